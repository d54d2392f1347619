//! How fast an empty broker starts, and what it holds then.

use std::io;

use super::{Bench, Scenario};
use crate::figures::{Figures, Unit};

fn measure(bench: &Bench) -> io::Result<Figures> {
    let mut figures = Figures::default();
    if let Some(seconds) = bench.start_seconds {
        figures.add("to first connection", Unit::Seconds, seconds);
    }
    if let Some(process) = bench.probe.process {
        figures.add(
            "resident",
            Unit::Bytes,
            process.usage()?.resident_bytes as f64,
        );
    }
    Ok(figures)
}

/// The table.
pub fn scenarios() -> Vec<Scenario> {
    let about = "from the start of the process to the first open connection, empty";
    vec![Scenario::new("start", about, measure)]
}
