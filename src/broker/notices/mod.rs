//! What the broker publishes itself, on exchanges of its own.
//!
//! ```text
//! a traced vhost's messages ─▶ firehose ──┐
//!                                         ├─▶ handed over ─▶ publishing (one task) ─▶ route ─▶ queues
//! what happens, by whom ─────▶ events ────┤
//!                 └ acting                │
//! the log ───────────────────▶ log_lines ─┘
//!
//! exchanges: those of them that settings want
//! ```
//!
//! Whoever has something to say may hold any lock: it is put aside here, copied and not yet made a
//! message of, and one task publishes it as a client's message is published. What waits is bounded by
//! its bytes; what does not fit is dropped and counted.

mod acting;
mod events;
mod exchanges;
mod firehose;
mod log_lines;
mod publishing;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use acting::Acting;
pub use events::{Client, Connected, Consumed, Secured};
pub(super) use firehose::TRACE_EXCHANGE;
pub use firehose::{Happened, Traced, Via};
pub use log_lines::LogLine;

use self::events::Event;
use self::exchanges::Listeners;

use super::metrics::Counter;

/// No more than this waits to be published: some milliseconds of what a busy broker's firehose brings.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// What the settings say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeSettings {
    /// What this broker is called in its messages.
    pub node: String,
    /// Vhosts whose messages are traced from the start.
    pub traced_vhosts: Vec<String>,
    /// Whether the log is published as well.
    pub log: bool,
    /// Whether what happens is published.
    pub events: bool,
}

/// See the module. One per broker.
#[derive(Default)]
pub struct Notices {
    settings: NoticeSettings,
    log_listeners: Listeners,
    event_listeners: Listeners,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// How many did not fit.
    pub dropped: Counter,
}

#[derive(Default)]
struct Waiting {
    notices: VecDeque<Notice>,
    bytes: usize,
}

/// Something to be published.
enum Notice {
    Traced(Box<Traced>),
    Logged(LogLine),
    Event(Box<Event>),
}

impl Notice {
    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        match self {
            Self::Traced(traced) => traced.bytes(),
            Self::Logged(line) => line.bytes(),
            Self::Event(event) => event.bytes(),
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl Notices {
    /// As the settings want it.
    pub fn new(settings: NoticeSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            ..Self::default()
        })
    }

    /// A message of a traced vhost was published or delivered.
    pub fn trace(&self, traced: Traced) {
        self.hand_over(Notice::Traced(Box::new(traced)));
    }

    /// Whether somebody listens to the log, now and on this thread: what is logged while it publishes for
    /// the broker itself is not published in turn.
    pub fn wants_log(&self) -> bool {
        self.log_listeners.any() && !publishing::is_publishing()
    }

    /// Whether somebody listens to events.
    pub fn wants_events(&self) -> bool {
        self.event_listeners.any()
    }

    /// Something was logged.
    pub fn log(&self, line: LogLine) {
        self.hand_over(Notice::Logged(line));
    }

    pub(super) fn settings(&self) -> &NoticeSettings {
        &self.settings
    }

    fn hand_over(&self, notice: Notice) {
        let bytes = notice.bytes();
        let mut waiting = self.waiting.lock();
        if waiting.bytes + bytes > MAX_WAITING_BYTES && !waiting.notices.is_empty() {
            drop(waiting);
            return self.dropped.add(1);
        }
        let was_empty = waiting.notices.is_empty();
        waiting.bytes += bytes;
        waiting.notices.push_back(notice);
        drop(waiting);
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Some of what waits, the oldest first.
    fn take(&self, most: usize) -> Vec<Notice> {
        let mut waiting = self.waiting.lock();
        let most = most.min(waiting.notices.len());
        let taken: Vec<_> = waiting.notices.drain(..most).collect();
        waiting.bytes -= taken.iter().map(Notice::bytes).sum::<usize>();
        if waiting.notices.is_empty() {
            // What a burst took is given back.
            *waiting = Waiting::default();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Body, Broker, Facts, Message};

    #[test]
    fn what_waits_is_bounded_by_its_bytes() {
        let broker = Broker::new(crate::auth::Users::default());
        let notices = &broker.engine.notices;
        let via = Via {
            vhost: broker.vhost("/").expect("the vhost"),
            connection: "connection".into(),
            channel: 1,
            user: "guest".into(),
        };
        let body = vec![0; 1000];
        let message = Message {
            exchange: b"exchange",
            routing_key: b"key",
            properties: &[0, 0],
            body: Body::Slice(&body),
            facts: Facts::PLAIN,
        };
        let each = MAX_WAITING_BYTES / 1000;
        for _ in 0..each {
            let traced = Traced::of(&message, &via, Happened::Published(Vec::new()));
            notices.trace(traced.expect("not a trace"));
        }
        let dropped = notices.dropped.get() as usize;
        assert!(dropped > 0);
        let kept = std::iter::from_fn(|| Some(notices.take(64)).filter(|some| !some.is_empty()));
        assert_eq!(kept.map(|some| some.len()).sum::<usize>(), each - dropped);
        assert_eq!(notices.waiting.lock().bytes, 0);
    }
}
