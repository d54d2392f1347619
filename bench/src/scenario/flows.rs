//! The table of flows: sizes, confirms and acks, patterns, exchanges, queue types, limits, TLS.

use std::io;

use super::disk::bare_sync;
use super::topology::{Topology, queue_name};
use super::traffic::Traffic;
use super::{Bench, Scenario};
use crate::client::QueueOptions;
use crate::figures::{Figures, Unit};
use crate::load::{AckMode, ConsumerPlan, MessageShape, Order, PublisherPlan};
use crate::wire::{Properties, Table, Value};

/// The table.
pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios = sizes();
    scenarios.extend(acknowledged());
    scenarios.extend(patterns());
    scenarios.extend(exchanges());
    scenarios.extend(queue_types());
    scenarios.extend(limits());
    scenarios.extend(encrypted());
    scenarios
}

fn scenario(name: &str, about: &str, traffic: Traffic) -> Scenario {
    Scenario::new(name, about, move |bench| traffic.measure(bench))
}

fn sizes() -> Vec<Scenario> {
    [
        ("16B", 16),
        ("100B", 100),
        ("1KiB", 1 << 10),
        ("16KiB", 16 << 10),
        ("64KiB", 64 << 10),
        ("1MiB", 1 << 20),
    ]
    .map(|(size, body_bytes)| {
        scenario(
            &format!("transient-{size}"),
            &format!("{size} transient, one publisher, one auto-ack consumer"),
            Traffic::transient(body_bytes),
        )
    })
    .into()
}

fn acknowledged() -> Vec<Scenario> {
    let queue = queue_name(0);
    let transient = PublisherPlan::to_queue(&queue, 16);
    let one_to_one = |publisher: &PublisherPlan, consumer| {
        Traffic::one_to_one(&QueueOptions::default(), publisher.clone(), consumer)
    };
    let mut scenarios = vec![
        scenario(
            "ack-each",
            "16 B transient, every message acked singly, prefetch 200",
            one_to_one(&transient, ConsumerPlan::acking(&queue, AckMode::Each, 200)),
        ),
        scenario(
            "ack-multiple",
            "16 B transient, one ack for 100 messages, prefetch 1,000",
            one_to_one(
                &transient,
                ConsumerPlan::acking(&queue, AckMode::Multiple(100), 1000),
            ),
        ),
    ];
    let persistent = |window, consumer| {
        let publisher = PublisherPlan::to_queue(&queue, 1024).persistent(window);
        Traffic::one_to_one(&durable(Table::new()), publisher, consumer)
    };
    for window in [1, 100, 1000] {
        scenarios.push(scenario(
            &format!("persistent-w{window}"),
            &format!("1 KiB persistent, confirm window {window}, one ack for 100 messages, prefetch 1,000"),
            persistent(window, ConsumerPlan::acking(&queue, AckMode::Multiple(100), 1000)),
        ));
    }
    scenarios.push(scenario(
        "persistent-w1000-ack-each",
        "1 KiB persistent, confirm window 1,000, every message acked singly, prefetch 1,000",
        persistent(1000, ConsumerPlan::acking(&queue, AckMode::Each, 1000)),
    ));
    let mut unconsumed = persistent(1, ConsumerPlan::automatic(&queue));
    unconsumed.consumers.clear();
    scenarios.push(Scenario::new(
        "confirm-w1",
        "1 KiB persistent, confirm window 1, nobody consumes: every message must reach the disk",
        move |bench| confirms_of_one(bench, &unconsumed),
    ));
    scenarios
}

/// Beside the confirms stands what the disk alone takes, in the same minute.
fn confirms_of_one(bench: &Bench, traffic: &Traffic) -> io::Result<Figures> {
    let floor = bare_sync(traffic.publishers[0].body_bytes, bench.warm_up)?;
    let measured = traffic.measure(bench)?;
    let mut figures = Figures {
        problems: measured.problems,
        ..Default::default()
    };
    if let (Some(p50), Some(histogram)) = (
        measured
            .figures
            .iter()
            .find(|figure| figure.name == "confirm p50"),
        floor.histogram(),
    ) {
        let bare = histogram.value_at_quantile(0.5) as f64;
        figures.figures.push(p50.clone());
        figures.add("bare write and sync p50", Unit::Nanoseconds, bare);
        figures.add("times the bare sync", Unit::Count, p50.value / bare);
    }
    figures.figures.extend(
        measured
            .figures
            .into_iter()
            .filter(|figure| figure.name != "confirm p50"),
    );
    Ok(figures)
}

/// So many publishers and consumers, dealt out over so many queues.
pub fn on_queues(publishers: usize, consumers: usize, queues: usize) -> Traffic {
    Traffic {
        topology: Topology::queues(queues, &QueueOptions::default()),
        publishers: (0..publishers)
            .map(|index| PublisherPlan::to_queue(&queue_name(index % queues), 16))
            .collect(),
        consumers: (0..consumers)
            .map(|index| ConsumerPlan::automatic(&queue_name(index % queues)))
            .collect(),
        copies: 1,
        order: if consumers > queues {
            Order::Rising
        } else {
            Order::Complete
        },
        tls: false,
    }
}

fn patterns() -> Vec<Scenario> {
    vec![
        scenario(
            "2-2-one-queue",
            "16 B, two publishers, two consumers, one queue",
            on_queues(2, 2, 1),
        ),
        scenario(
            "2-2-two-queues",
            "16 B, two publishers, two consumers, a queue for each pair",
            on_queues(2, 2, 2),
        ),
        scenario(
            "10-1",
            "16 B, ten publishers, one consumer",
            on_queues(10, 1, 1),
        ),
        scenario(
            "1-10",
            "16 B, one publisher, ten consumers on one queue",
            on_queues(1, 10, 1),
        ),
    ]
}

fn exchanges() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for queues in [10, 100] {
        scenarios.push(scenario(
            &format!("fanout-{queues}"),
            &format!("100 B through a fanout exchange to {queues} queues with a consumer each"),
            fanout(queues),
        ));
    }
    scenarios.push(scenario(
        "topic-1000",
        "16 B through a topic exchange with 1,000 bindings, of which one matches",
        topic(1_000),
    ));
    scenarios.push(
        scenario(
            "topic-100000",
            "16 B through a topic exchange with 100,000 bindings, of which one matches",
            topic(100_000),
        )
        .real_broker(),
    );
    scenarios.push(scenario(
        "headers",
        "16 B with two headers through a headers exchange with 10 bindings, of which one matches",
        headers(10),
    ));
    scenarios
}

/// To so many queues, each consumed.
pub fn fanout(queues: usize) -> Traffic {
    let exchange = "bench.fanout".to_owned();
    let mut topology = Topology::queues(queues, &QueueOptions::default());
    topology
        .exchanges
        .push((exchange.clone(), "fanout".to_owned()));
    for index in 0..queues {
        topology.bindings.push((
            queue_name(index),
            exchange.clone(),
            String::new(),
            Table::new(),
        ));
    }
    Traffic {
        topology,
        publishers: vec![PublisherPlan {
            exchange,
            ..PublisherPlan::to_queue("", 100)
        }],
        consumers: (0..queues)
            .map(|index| ConsumerPlan::automatic(&queue_name(index)))
            .collect(),
        copies: queues as u64,
        order: Order::Complete,
        tls: false,
    }
}

/// Through so many bindings with a wildcard; the publisher's keys hit a thousand of them in turn.
pub fn topic(bindings: usize) -> Traffic {
    const KEYS: usize = 1_000;
    let exchange = "bench.topic".to_owned();
    let mut topology = Topology::queues(1, &QueueOptions::default());
    topology
        .exchanges
        .push((exchange.clone(), "topic".to_owned()));
    for index in 0..bindings {
        topology.bindings.push((
            queue_name(0),
            exchange.clone(),
            format!("area.{index}.*"),
            Table::new(),
        ));
    }
    // As many different keys however many bindings there are: what differs costs more than what is alike.
    let shape = |index: usize| MessageShape {
        routing_key: format!("area.{}.event{index}", index * bindings / KEYS),
        ..Default::default()
    };
    let shapes = (0..KEYS).map(shape).collect();
    let publisher = PublisherPlan {
        exchange,
        shapes,
        ..PublisherPlan::to_queue("", 16)
    };
    Traffic {
        topology,
        publishers: vec![publisher],
        ..Traffic::transient(16)
    }
}

fn headers(bindings: usize) -> Traffic {
    let exchange = "bench.headers".to_owned();
    // Only the first queue is consumed from, and only its binding matches.
    let mut topology = Topology::queues(2, &QueueOptions::default());
    topology
        .exchanges
        .push((exchange.clone(), "headers".to_owned()));
    let table = |number: usize| {
        vec![
            ("kind".to_owned(), Value::from("order")),
            ("number".to_owned(), Value::Int(number as i32)),
        ]
    };
    for index in 0..bindings {
        let mut arguments = table(index);
        arguments.push(("x-match".to_owned(), Value::from("all")));
        topology.bindings.push((
            queue_name(index.min(1)),
            exchange.clone(),
            String::new(),
            arguments,
        ));
    }
    let properties = Properties {
        headers: table(0),
        ..Default::default()
    };
    let shapes = vec![MessageShape {
        routing_key: String::new(),
        properties,
    }];
    let publisher = PublisherPlan {
        exchange,
        shapes,
        ..PublisherPlan::to_queue("", 16)
    };
    Traffic {
        topology,
        publishers: vec![publisher],
        ..Traffic::transient(16)
    }
}

fn queue_types() -> Vec<Scenario> {
    const PRIORITIES: u8 = 10;
    let queue = queue_name(0);
    let mut priority = Traffic::transient(16);
    priority.topology.queues[0].1.arguments =
        vec![("x-max-priority".to_owned(), Value::Int(PRIORITIES.into()))];
    priority.publishers[0].shapes = (0..PRIORITIES)
        .map(|priority| MessageShape {
            routing_key: queue.clone(),
            properties: Properties {
                priority: Some(priority),
                ..Default::default()
            },
        })
        .collect();
    priority.order = Order::Any;
    let of_type = |kind: &str, consumer| {
        let publisher = PublisherPlan::to_queue(&queue, 1024).persistent(1000);
        let arguments = vec![("x-queue-type".to_owned(), Value::from(kind))];
        Traffic::one_to_one(&durable(arguments), publisher, consumer)
    };
    let acking = ConsumerPlan::acking(&queue, AckMode::Multiple(100), 1000);
    vec![
        scenario(
            "priority",
            "16 B through a priority queue with 10 levels, all in use",
            priority,
        ),
        scenario(
            "quorum",
            "1 KiB persistent through a quorum queue, confirm window 1,000, one ack for 100 messages",
            of_type("quorum", acking.clone()),
        ),
        scenario(
            "stream",
            "1 KiB persistent through a stream, confirm window 1,000, one ack for 100 messages",
            of_type("stream", acking),
        )
        .real_broker(),
    ]
}

fn limits() -> Vec<Scenario> {
    const MOST_MESSAGES: u64 = 1_000_000;
    let limited = |arguments| {
        let mut traffic = Traffic::transient(16);
        traffic.topology.queues[0].1.arguments = arguments;
        traffic
    };
    let unconsumed = |arguments| Traffic {
        consumers: Vec::new(),
        ..limited(arguments)
    };
    let number = |name: &str, value: i64| vec![(name.to_owned(), Value::Long(value))];
    let mut expiring = Traffic::transient(16);
    expiring.publishers[0].shapes[0].properties.expiration = Some("60000".to_owned());
    let full = unconsumed(number("x-max-length", MOST_MESSAGES as i64));
    vec![
        scenario(
            "publish-max-length",
            "16 B into a queue of at most 1 million, nobody consumes",
            full,
        ),
        scenario(
            "ttl-queue",
            "16 B through a queue with a TTL that nothing reaches",
            limited(number("x-message-ttl", 60_000)),
        ),
        scenario(
            "ttl-message",
            "16 B with a TTL each that nothing reaches",
            expiring,
        ),
        scenario(
            "ttl-expiring",
            "16 B into a queue that nobody consumes, everything expires after 100 ms",
            unconsumed(number("x-message-ttl", 100)),
        ),
    ]
}

fn encrypted() -> Vec<Scenario> {
    [("16B", 16), ("1KiB", 1 << 10), ("64KiB", 64 << 10)]
        .map(|(size, body_bytes)| {
            let traffic = Traffic {
                tls: true,
                ..Traffic::transient(body_bytes)
            };
            let about =
                format!("{size} transient over TLS 1.3, one publisher, one auto-ack consumer");
            scenario(&format!("tls-{size}"), &about, traffic).encrypted()
        })
        .into()
}

fn durable(arguments: Table) -> QueueOptions {
    QueueOptions {
        durable: true,
        arguments,
        ..Default::default()
    }
}
