//! How the broker's cost for a message grows with the number of things around it.
//!
//! Each scenario is a curve: the same flow at several sizes, and for each the CPU time of the
//! broker for a million messages counted. What scales well is flat.

use std::io;

use super::backlog::Backlog;
use super::flows::{fanout, on_queues, topic};
use super::topology::{Topology, queue_name};
use super::traffic::Traffic;
use super::{Bench, Scenario};
use crate::client::QueueOptions;
use crate::figures::{Figures, Unit};

const CPU: &str = "CPU s per million";

/// The flow at every size, and what a size is a number of.
fn curve(
    bench: &Bench,
    of: &str,
    sizes: &[usize],
    flow: impl Fn(usize) -> Traffic,
) -> io::Result<Figures> {
    let mut figures = Figures::default();
    for size in sizes {
        let measured = flow(*size).measure(bench)?;
        if let Some(cpu) = measured.get(CPU) {
            figures.add_at(
                format!("CPU s/M, {size} {of}"),
                *size as f64,
                Unit::Count,
                cpu,
            );
        }
        let counted = measured.get("consumed").or(measured.get("published"));
        figures.add(
            format!("messages, {size} {of}"),
            Unit::PerSecond,
            counted.unwrap_or_default(),
        );
        figures.problems.extend(measured.problems);
    }
    Ok(figures)
}

fn scenario(
    name: &str,
    about: &str,
    of: &'static str,
    sizes: &'static [usize],
    flow: impl Fn(usize) -> Traffic + 'static,
) -> Scenario {
    Scenario::new(name, about, move |bench| curve(bench, of, sizes, &flow)).long()
}

/// One flow while so many other queues exist.
fn beside_queues(others: usize) -> Traffic {
    let traffic = Traffic::transient(16);
    let topology = Topology::queues(others.max(1), &QueueOptions::default());
    Traffic {
        topology,
        ..traffic
    }
}

fn backlog(bench: &Bench) -> io::Result<Figures> {
    let mut figures = Figures::default();
    for messages in [10_000, 100_000, 1_000_000, 10_000_000] {
        let measured = Backlog::transient(&queue_name(0), messages).measure(bench)?;
        // A drain of few messages takes less than the clock tick that CPU time is counted in.
        let cpu = measured.get("drain CPU s per million");
        if let Some(cpu) = cpu.filter(|_| messages >= 100_000) {
            figures.add_at(
                format!("drain CPU s/M, {messages} deep"),
                messages as f64,
                Unit::Count,
                cpu,
            );
        }
        for (name, unit) in [
            ("drained", Unit::PerSecond),
            ("filled", Unit::PerSecond),
            ("resident when full", Unit::Bytes),
        ] {
            figures.add(
                format!("{name}, {messages} deep"),
                unit,
                measured.get(name).unwrap_or_default(),
            );
        }
        figures.problems.extend(measured.problems);
    }
    Ok(figures)
}

/// The table.
pub fn scenarios() -> Vec<Scenario> {
    let flows: &[usize] = &[1, 4, 16, 64];
    let pairs: &[usize] = &[1, 4, 16, 32];
    let powers: &[usize] = &[1, 10, 100, 1_000, 10_000, 100_000];
    let copies: &[usize] = &[1, 10, 100];
    vec![
        scenario(
            "scale-publishers",
            "16 B, N publishers to N consumers over N queues",
            "queues",
            flows,
            |count| on_queues(count, count, count),
        ),
        scenario(
            "scale-one-queue",
            "16 B, N publishers to N consumers over one queue",
            "pairs",
            pairs,
            |count| on_queues(count, count, 1),
        ),
        scenario(
            "scale-queues",
            "16 B over one queue while N exist",
            "queues",
            powers,
            beside_queues,
        ),
        scenario(
            "scale-bindings",
            "16 B through a topic exchange with N bindings",
            "bindings",
            powers,
            topic,
        )
        // The null broker looks at one binding after the other.
        .real_broker(),
        scenario(
            "scale-fanout",
            "100 B through a fanout exchange to N queues",
            "queues",
            copies,
            fanout,
        ),
        Scenario::new(
            "scale-backlog",
            "100 B transient, N deep, filled and drained",
            backlog,
        )
        .real_broker()
        .long(),
    ]
}
