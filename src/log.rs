//! The log: to standard error, and to the broker's own exchange if settings say so.
//!
//! In: what is logged anywhere. Out: lines, for people or as JSON; those for the exchange are handed over
//! to whoever publishes them, and not even made while nobody listens.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};
use warren::broker::notices::{LogLine, Notices};
use warren::config::{LogFormat, LogSettings};

use super::AnyError;

/// Logs as settings want it from now on.
pub fn start(log: &LogSettings, notices: &Arc<Notices>) -> Result<(), AnyError> {
    let filter = filter("log.level", &log.level)?;
    let own = match log.exchange {
        true => Some(to_exchange(log, notices)?),
        false => None,
    };
    let builder = fmt::layer()
        .with_writer(io::stderr)
        // Whoever reads the log may go away; the broker stays.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    let to_people = match log.format {
        LogFormat::Human => builder.boxed(),
        LogFormat::Json => builder.json().boxed(),
    };
    let registry = tracing_subscriber::registry();
    registry
        .with(to_people.with_filter(filter))
        .with(own)
        .init();
    Ok(())
}

fn to_exchange<S>(
    log: &LogSettings,
    notices: &Arc<Notices>,
) -> Result<Box<dyn Layer<S> + Send + Sync>, AnyError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = filter("log.exchange_level", &log.exchange_level)?;
    let filter = filter.and(WhileHeard(Arc::clone(notices)));
    let lines = Lines {
        notices: Arc::clone(notices),
        content_type: match log.format {
            LogFormat::Human => "text/plain",
            LogFormat::Json => "application/json",
        },
    };
    let builder = fmt::layer()
        .with_writer(lines)
        .log_internal_errors(false)
        .with_ansi(false);
    Ok(match log.format {
        LogFormat::Human => builder.with_filter(filter).boxed(),
        LogFormat::Json => builder.json().with_filter(filter).boxed(),
    })
}

fn filter(key: &str, level: &str) -> Result<EnvFilter, AnyError> {
    check_level(key, level)?;
    Ok(EnvFilter::try_new(level).map_err(|error| format!("{key}: {error}"))?)
}

/// A word alone must be a level: taken for the name of a module, a mistyped one would silence all else.
fn check_level(key: &str, level: &str) -> Result<(), String> {
    let mut words = level.split(',').map(str::trim);
    let wrong = words.find(|word| {
        let is_module = word.contains("::") || word.contains('=') || word.contains('[');
        !is_module && word.parse::<LevelFilter>().is_err()
    });
    match wrong {
        None => Ok(()),
        Some(word) => Err(format!(
            "{key}: {word:?} is none of off, error, warn, info, debug, trace"
        )),
    }
}

/// Lets through what is logged while somebody listens to the log's exchange.
struct WhileHeard(Arc<Notices>);

impl<S> Filter<S> for WhileHeard {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.0.wants_log()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // The other filter knows better.
        Some(LevelFilter::TRACE)
    }
}

/// Where lines for the exchange go.
struct Lines {
    notices: Arc<Notices>,
    content_type: &'static str,
}

/// One line, which comes whole.
struct Line<'a> {
    lines: &'a Lines,
    level: &'static str,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            lines: self,
            level: "info",
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        // RabbitMQ's names, where it has one.
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        Line { lines: self, level }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.notices.log(LogLine {
            level: self.level,
            content_type: self.lines.content_type,
            text: line.into(),
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
