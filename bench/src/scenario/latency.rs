//! Latency at a fixed rate: from the moment a message was due to its delivery.
//!
//! The schedule goes on whatever the broker does, so a stall counts for every message that was due
//! meanwhile: coordinated omission is corrected by construction.

use std::io;

use super::traffic::{Traffic, add_usage};
use super::{Bench, Scenario};
use crate::figures::{Figures, Unit};
use crate::load::Pace;

const BODY_BYTES: usize = 100;
/// Less than this share of the schedule delivered means that the broker cannot keep up.
const KEPT_UP: f64 = 0.98;

fn measure(bench: &Bench, per_second: f64) -> io::Result<Figures> {
    let mut traffic = Traffic::transient(BODY_BYTES);
    traffic.publishers[0].pace = Pace::Rate { per_second };
    let outcome = traffic.run(bench)?;
    let mut figures = Figures::default();
    if let Some(latency) = outcome.delivery_latency.histogram() {
        figures.add_latency(["p50", "p90", "p99", "p99.9", "p99.99"], latency);
    }
    let consumed_per_second = outcome.consumed as f64 / outcome.seconds;
    figures.add("consumed", Unit::PerSecond, consumed_per_second);
    if consumed_per_second < per_second * KEPT_UP {
        figures.problems.push(format!(
            "cannot keep up: {consumed_per_second:.0} of {per_second:.0} per second"
        ));
    }
    add_usage(&mut figures, &outcome, outcome.consumed);
    Ok(figures)
}

/// The table.
pub fn scenarios() -> Vec<Scenario> {
    [("1k", 1e3), ("100k", 1e5), ("500k", 5e5)]
        .map(|(name, per_second)| {
            Scenario::new(
                &format!("latency-{name}"),
                &format!(
                    "latency at {per_second} messages/s of {BODY_BYTES} B, transient, auto-ack"
                ),
                move |bench| measure(bench, per_second),
            )
        })
        .into()
}
