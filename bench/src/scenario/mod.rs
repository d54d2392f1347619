//! The scenarios: what is measured, as a table of small functions over the load engine.
//!
//! ```text
//! flows ─▶ traffic ───────────┐
//! latency, backlog, rewriting ┴─▶ load engine ─▶ figures
//! idle, churn, start ───────────▶ client ──────▶ figures
//! churn of connections ─────────▶ visits ──────▶ figures
//! ```
//!
//! A scenario sets up what it needs, measures, and leaves the broker as it found it.

mod backlog;
mod churn;
mod disk;
mod flows;
mod idle;
mod latency;
mod rewriting;
mod scale;
mod start;
mod topology;
mod traffic;
mod visits;

use std::io;
use std::time::Duration;

use crate::figures::Figures;
use crate::load::Probe;
use crate::url::BrokerUrl;

pub use topology::Topology;

/// A broker and how long to measure it.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Where the broker is.
    pub url: BrokerUrl,
    /// Its processes, where they can be looked at.
    pub probe: Probe,
    /// How long it took to start.
    pub start_seconds: Option<f64>,
    /// Where it listens for TLS.
    pub tls_url: Option<BrokerUrl>,
    /// Not measured.
    pub warm_up: Duration,
    /// Measured.
    pub measured: Duration,
}

/// A measurement of a broker.
pub type Measure = Box<dyn Fn(&Bench) -> io::Result<Figures>>;

/// One line of the table.
pub struct Scenario {
    /// What it is selected by.
    pub name: String,
    /// What it is, in a sentence.
    pub about: String,
    /// Runs only when it is named: it takes minutes or gigabytes.
    pub long: bool,
    /// A null broker can do it: nothing has to be kept.
    pub null_can: bool,
    /// The broker must listen for TLS.
    pub tls: bool,
    /// Measures.
    pub measure: Measure,
}

impl Scenario {
    fn new(
        name: &str,
        about: &str,
        measure: impl Fn(&Bench) -> io::Result<Figures> + 'static,
    ) -> Self {
        Scenario {
            name: name.to_owned(),
            about: about.to_owned(),
            long: false,
            null_can: true,
            tls: false,
            measure: Box::new(measure),
        }
    }
}

impl Scenario {
    /// Only when named.
    fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// Over TLS, which the null broker does not speak.
    fn encrypted(mut self) -> Self {
        self.tls = true;
        self.real_broker()
    }

    /// Needs a broker that keeps something, or does more than the null broker does.
    fn real_broker(mut self) -> Self {
        self.null_can = false;
        self
    }
}

/// Every scenario, in the order in which they run.
pub fn all() -> Vec<Scenario> {
    let mut scenarios = flows::scenarios();
    scenarios.extend(latency::scenarios());
    scenarios.extend(backlog::scenarios());
    scenarios.extend(rewriting::scenarios());
    scenarios.extend(idle::scenarios());
    scenarios.extend(churn::scenarios());
    scenarios.extend(start::scenarios());
    scenarios.extend(scale::scenarios());
    scenarios
}

/// Whether a name matches a pattern in which `*` stands for anything.
pub fn matches_glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|name| {
            (0..=name.len()).any(|skipped| {
                name.is_char_boundary(skipped) && matches_glob(rest, &name[skipped..])
            })
        }),
    }
}
