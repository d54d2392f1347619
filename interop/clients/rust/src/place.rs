//! Where a scenario runs: a client, the broker's URLs, fresh names, and whoever can restart the broker.

use std::future::Future;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::words::{Client, How};

/// How long anything that must come is waited for.
pub const WAIT: Duration = Duration::from_secs(20);

/// Why something did not go well.
#[derive(Debug)]
pub enum Problem {
    /// The client or the broker at hand cannot do it.
    Skipped(String),
    /// The broker closed the channel or the connection with this.
    Refused(u16, String),
    /// It should have.
    Failed(String),
}

/// Something that must come, in time.
pub async fn in_time<T>(what: &str, coming: impl Future<Output = Option<T>>) -> Result<T, Problem> {
    match tokio::time::timeout(WAIT, coming).await {
        Ok(Some(it)) => Ok(it),
        Ok(None) => Err(Problem::Failed(format!("{what}: nothing comes any more"))),
        Err(_) => Err(Problem::Failed(format!("{what}: did not come"))),
    }
}

/// Hands out names and knows the URLs.
pub struct Place<'a, C> {
    pub client: &'a C,
    /// AMQP_URL.
    pub url: String,
    certs: PathBuf,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl<'a, C: Client> Place<'a, C> {
    /// From the environment.
    pub fn new(client: &'a C) -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self {
            client,
            url: variable("AMQP_URL"),
            certs: variable("CERTS").into(),
        }
    }

    /// A plain connection.
    pub async fn connect(&self) -> Result<C::Connection, Problem> {
        self.client.connect(&self.url, How::default()).await
    }

    /// A name that nobody else uses.
    pub fn name(&self, what: &str) -> String {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        format!("fleet-{what}-{}-{number}", std::process::id())
    }

    /// A URL that the broker may not have.
    pub fn tls_url(&self, variable: &str) -> Result<String, Problem> {
        std::env::var(variable)
            .ok()
            .filter(|url| !url.is_empty())
            .ok_or_else(|| Problem::Skipped(format!("no {variable}")))
    }

    /// A file among the certificates.
    pub fn certificate(&self, file: &str) -> PathBuf {
        Path::new(&self.certs).join(file)
    }

    /// Has the broker killed or stopped and started again, or a second client frozen.
    pub async fn ask(&self, what: &str) -> Result<(), Problem> {
        if std::env::var("FLEET_ASKS").is_err() {
            let why = "nobody here who can restart the broker or freeze a client";
            return Err(Problem::Skipped(why.into()));
        }
        println!("{}", serde_json::json!({"ask": what}));
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        match answer.await {
            Ok(Ok(line)) if line.trim() == "done" => Ok(()),
            Ok(Ok(line)) => Err(Problem::Failed(line)),
            _ => Err(Problem::Failed("nobody answered".into())),
        }
    }
}
