//! A deep queue: how fast it fills with nobody consuming, what it holds, how fast it drains.

use std::io;

use super::topology::{Topology, queue_name};
use super::{Bench, Scenario};
use crate::client::QueueOptions;
use crate::figures::{Figures, Unit};
use crate::load::{
    self, AckMode, ConsumerPlan, Load, LoadOutcome, Order, Pace, PublisherPlan, Until,
};
use crate::wire::Value;

/// What fills the queue and what drains it.
#[derive(Clone, Debug)]
pub struct Backlog {
    queue: QueueOptions,
    publisher: PublisherPlan,
    consumer: ConsumerPlan,
    messages: u64,
    /// Whether the count of messages is right as soon as they are there.
    counts_at_once: bool,
}

impl Backlog {
    /// 100 B, drained with auto-ack.
    pub fn transient(queue: &str, messages: u64) -> Self {
        Backlog {
            queue: QueueOptions::default(),
            publisher: PublisherPlan::to_queue(queue, 100),
            consumer: ConsumerPlan::automatic(queue),
            messages,
            counts_at_once: true,
        }
    }

    /// 100 B, persistent and not confirmed, drained with auto-ack.
    fn durable(queue: &str, messages: u64) -> Self {
        Backlog {
            queue: QueueOptions {
                durable: true,
                ..Default::default()
            },
            publisher: PublisherPlan {
                pace: Pace::FlatOut,
                ..PublisherPlan::to_queue(queue, 100).persistent(0)
            },
            ..Self::transient(queue, messages)
        }
    }

    /// 1 KiB, confirmed, drained with an ack for 100.
    fn persistent(queue: &str, messages: u64) -> Self {
        Backlog {
            queue: QueueOptions {
                durable: true,
                ..Default::default()
            },
            publisher: PublisherPlan::to_queue(queue, 1024).persistent(1000),
            consumer: ConsumerPlan::acking(queue, AckMode::Multiple(100), 1000),
            messages,
            counts_at_once: true,
        }
    }

    /// 100 B, not confirmed, read from the first message on with an ack for 100.
    fn stream(queue: &str, messages: u64) -> Self {
        let durable = Self::durable(queue, messages);
        let mut consumer = ConsumerPlan::acking(queue, AckMode::Multiple(100), 1000);
        let first = ("x-stream-offset".to_owned(), Value::from("first"));
        consumer.arguments.push(first);
        Backlog {
            queue: QueueOptions {
                arguments: vec![("x-queue-type".to_owned(), Value::from("stream"))],
                ..durable.queue
            },
            consumer,
            // RabbitMQ counts a stream's every few seconds.
            counts_at_once: false,
            ..durable
        }
    }

    /// Fills, looks, drains.
    pub fn measure(&self, bench: &Bench) -> io::Result<Figures> {
        let topology = Topology::queues(1, &self.queue);
        let mut declared = topology.declare(&bench.url)?;
        let empty_bytes = resident_bytes(bench);
        let filled = fill(bench, &self.publisher, &queue_name(0), self.messages)?;
        let full_bytes = resident_bytes(bench);
        let ready = declared.admin.inspect_queue(&queue_name(0))?.messages;
        let drain = Load {
            publishers: Vec::new(),
            consumers: vec![self.consumer.clone()],
            copies: 1,
            order: Order::Complete,
            until: Until::Consumed(self.messages),
            sync_queue: None,
        };
        let drained = load::run(&bench.url, &drain, bench.probe)?;
        declared.remove()?;
        let mut figures = Figures::default();
        figures.add(
            "drained",
            Unit::PerSecond,
            self.messages as f64 / drained.seconds,
        );
        figures.add(
            "filled",
            Unit::PerSecond,
            self.messages as f64 / filled.seconds,
        );
        if let (Some(empty), Some(full)) = (empty_bytes, full_bytes) {
            figures.add("resident when full", Unit::Bytes, full as f64);
            figures.add("grown by", Unit::Bytes, full.saturating_sub(empty) as f64);
        }
        let mut add_cpu = |name, outcome: &LoadOutcome| {
            if let Some(cpu_seconds) = outcome.broker_cpu_seconds {
                figures.add(
                    name,
                    Unit::Count,
                    cpu_seconds / (self.messages as f64 / 1e6),
                );
            }
        };
        add_cpu("fill CPU s per million", &filled);
        add_cpu("drain CPU s per million", &drained);
        if self.counts_at_once && u64::from(ready) != self.messages {
            figures
                .problems
                .push(format!("{ready} of {} messages were ready", self.messages));
        }
        if drained.misplaced > 0 {
            figures
                .problems
                .push(format!("{} messages out of order", drained.misplaced));
        }
        Ok(figures)
    }
}

/// Publishes so many messages and waits until the broker has taken them all in.
pub fn fill(
    bench: &Bench,
    publisher: &PublisherPlan,
    queue: &str,
    messages: u64,
) -> io::Result<LoadOutcome> {
    let load = Load {
        publishers: vec![PublisherPlan {
            limit: Some(messages),
            ..publisher.clone()
        }],
        consumers: Vec::new(),
        copies: 1,
        order: Order::Any,
        until: Until::Consumed(0),
        sync_queue: Some(queue.to_owned()),
    };
    load::run(&bench.url, &load, bench.probe)
}

fn resident_bytes(bench: &Bench) -> Option<u64> {
    Some(bench.probe.process?.usage().ok()?.resident_bytes)
}

/// The table.
pub fn scenarios() -> Vec<Scenario> {
    let queue = queue_name(0);
    let mut scenarios = Vec::new();
    for (name, messages) in [("1M", 1_000_000), ("10M", 10_000_000)] {
        let transient = Backlog::transient(&queue, messages);
        let durable = Backlog::durable(&queue, messages);
        let persistent = Backlog::persistent(&queue, messages);
        let of_transient = Scenario::new(
            &format!("backlog-{name}"),
            &format!("{name} transient messages of 100 B filled, then drained with auto-ack"),
            move |bench| transient.measure(bench),
        );
        let of_durable = Scenario::new(
            &format!("backlog-{name}-durable"),
            &format!("{name} persistent messages of 100 B filled, then drained with auto-ack"),
            move |bench| durable.measure(bench),
        );
        let of_persistent = Scenario::new(
            &format!("backlog-{name}-persistent"),
            &format!(
                "{name} persistent messages of 1 KiB filled with a window of 1,000, drained with ack multiple 100"
            ),
            move |bench| persistent.measure(bench),
        );
        let stream = Backlog::stream(&queue, messages);
        let of_stream = Scenario::new(
            &format!("backlog-{name}-stream"),
            &format!(
                "{name} messages of 100 B filled into a stream, then read from the first with ack multiple 100"
            ),
            move |bench| stream.measure(bench),
        );
        for scenario in [of_transient, of_durable, of_persistent, of_stream] {
            let scenario = scenario.real_broker();
            scenarios.push(if messages > 1_000_000 {
                scenario.long()
            } else {
                scenario
            });
        }
    }
    let deepest = Backlog::transient(&queue, 100_000_000);
    let of_deepest = Scenario::new(
        "backlog-100M",
        "100M transient messages of 100 B filled, then drained with auto-ack",
        move |bench| deepest.measure(bench),
    );
    let deepest = Backlog::durable(&queue, 100_000_000);
    let of_deepest_durable = Scenario::new(
        "backlog-100M-durable",
        "100M persistent messages of 100 B filled, then drained with auto-ack",
        move |bench| deepest.measure(bench),
    );
    let deepest = [of_deepest, of_deepest_durable].into_iter();
    scenarios.extend(deepest.map(|scenario| scenario.real_broker().long()));
    scenarios
}
