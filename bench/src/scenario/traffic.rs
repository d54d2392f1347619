//! Messages flowing: publishers and consumers for a while, as fast as they can.

use std::io;

use super::Bench;
use super::topology::{Topology, queue_name};
use crate::client::QueueOptions;
use crate::figures::{Figures, Unit};
use crate::load::{self, ConsumerPlan, Load, LoadOutcome, Order, PublisherPlan, Until};

/// What flows where.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Declared first.
    pub topology: Topology,
    /// Publishers.
    pub publishers: Vec<PublisherPlan>,
    /// Consumers.
    pub consumers: Vec<ConsumerPlan>,
    /// Queues that each message reaches.
    pub copies: u64,
    /// What consumers must see.
    pub order: Order,
    /// Over TLS.
    pub tls: bool,
}

impl Traffic {
    /// One publisher to one consumer over one queue.
    pub fn one_to_one(
        queue: &QueueOptions,
        publisher: PublisherPlan,
        consumer: ConsumerPlan,
    ) -> Self {
        Traffic {
            topology: Topology::queues(1, queue),
            publishers: vec![publisher],
            consumers: vec![consumer],
            copies: 1,
            order: Order::Complete,
            tls: false,
        }
    }

    /// Transient and auto-ack.
    pub fn transient(body_bytes: usize) -> Self {
        let queue = queue_name(0);
        let publisher = PublisherPlan::to_queue(&queue, body_bytes);
        Traffic::one_to_one(
            &QueueOptions::default(),
            publisher,
            ConsumerPlan::automatic(&queue),
        )
    }

    /// Runs it for the bench's time.
    pub fn run(&self, bench: &Bench) -> io::Result<LoadOutcome> {
        let url = match &bench.tls_url {
            Some(tls_url) if self.tls => tls_url,
            None if self.tls => return Err(io::Error::other("nothing listens for TLS")),
            _ => &bench.url,
        };
        let declared = self.topology.declare(&bench.url)?;
        let load = Load {
            publishers: self.publishers.clone(),
            consumers: self.consumers.clone(),
            copies: self.copies,
            order: self.order,
            until: Until::Elapsed {
                warm_up: bench.warm_up,
                measured: bench.measured,
            },
            sync_queue: None,
        };
        let outcome = load::run(url, &load, bench.probe)?;
        declared.remove()?;
        Ok(outcome)
    }

    /// Runs it and says what it found.
    pub fn measure(&self, bench: &Bench) -> io::Result<Figures> {
        let outcome = self.run(bench)?;
        let mut figures = Figures::default();
        let per_second = |count: u64| count as f64 / outcome.seconds;
        let mut counted = outcome.published;
        if !self.consumers.is_empty() {
            figures.add("consumed", Unit::PerSecond, per_second(outcome.consumed));
            counted = outcome.consumed;
        }
        figures.add("published", Unit::PerSecond, per_second(outcome.published));
        if let Some(confirms) = outcome.confirm_latency.histogram() {
            let names = [
                "confirm p50",
                "confirm p90",
                "confirm p99",
                "confirm p99.9",
                "confirm p99.99",
            ];
            figures.add_latency(names, confirms);
        }
        self.check(&outcome, &mut figures);
        add_usage(&mut figures, &outcome, counted);
        Ok(figures)
    }

    fn check(&self, outcome: &LoadOutcome, figures: &mut Figures) {
        let expected = outcome.published_in_all * self.copies;
        if outcome.cut_off > 0 {
            figures.problems.push(format!(
                "{} publishers were still kept waiting at the end, so completeness was not checked",
                outcome.cut_off
            ));
        } else if self.order == Order::Complete
            && !self.consumers.is_empty()
            && outcome.consumed_in_all != expected
        {
            figures.problems.push(format!(
                "{} of {expected} messages came",
                outcome.consumed_in_all
            ));
        }
        if outcome.misplaced > 0 {
            figures
                .problems
                .push(format!("{} messages out of order", outcome.misplaced));
        }
        if outcome.refused > 0 {
            figures
                .problems
                .push(format!("{} messages nacked", outcome.refused));
        }
    }
}

/// Adds what the broker's processes used.
pub fn add_usage(figures: &mut Figures, outcome: &LoadOutcome, counted: u64) {
    if let Some(cpu_seconds) = outcome.broker_cpu_seconds {
        figures.add(
            "CPU s per million",
            Unit::Count,
            cpu_seconds / (counted.max(1) as f64 / 1e6),
        );
    }
    if let Some(resident_bytes) = outcome.broker_resident_bytes {
        figures.add("resident", Unit::Bytes, resident_bytes as f64);
    }
    match &outcome.system_calls_per_second {
        Some(Ok(per_second)) => {
            let messages_per_second = counted.max(1) as f64 / outcome.seconds;
            figures.add(
                "system calls per message",
                Unit::Count,
                per_second / messages_per_second,
            );
        }
        Some(Err(error)) => figures.problems.push(error.to_string()),
        None => {}
    }
}
