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

/// A rate that the broker should bear: a share of what it does flat out.
fn measure_share(bench: &Bench, share: f64) -> io::Result<Figures> {
    let outcome = Traffic::transient(BODY_BYTES).run(bench)?;
    let most_per_second = outcome.consumed as f64 / outcome.seconds;
    measure(bench, most_per_second * share)
}

/// The table.
pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = [("1k", 1e3), ("10k", 1e4), ("100k", 1e5), ("500k", 5e5)]
        .map(|(name, per_second)| {
            Scenario::new(
                &format!("latency-{name}"),
                &format!(
                    "latency at {per_second} messages/s of {BODY_BYTES} B, transient, auto-ack"
                ),
                move |bench| measure(bench, per_second),
            )
        })
        .into();
    for percent in [50, 80] {
        scenarios.push(Scenario::new(
            &format!("latency-{percent}pct"),
            &format!("latency at {percent}% of what the broker does flat out, {BODY_BYTES} B"),
            move |bench| measure_share(bench, f64::from(percent) / 100.0),
        ));
    }
    scenarios
}
