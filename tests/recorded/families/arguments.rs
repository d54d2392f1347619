//! Every x-argument with every wrong type, and beyond every bound of its range.

use crate::script::Script;
use crate::support::{Method, Value, method, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for kind in ["classic", "quorum", "stream"] {
        for key in DECLARE {
            if kind == "classic" && CLASSIC_ALONE.contains(&key) {
                continue;
            }
            scripts.push(every_type(format!("{kind}-{key}-types"), |value| {
                declare(kind, key, value)
            }));
            scripts.push(every_value(format!("{kind}-{key}-values"), key, |value| {
                declare(kind, key, value)
            }));
        }
    }
    for kind in ["classic", "quorum", "stream"] {
        for key in CONSUME {
            if key != "x-credit" || kind == "stream" {
                scripts.push(consumes(kind, key));
            }
        }
    }
    alone(&mut scripts);
    for kind in ["classic", "quorum", "stream"] {
        consumer_priorities(&mut scripts, kind);
    }
    credit(&mut scripts);
    alternate_exchanges(&mut scripts);
    for key in ["alternate-exchange", "x-nobody-knows"] {
        scripts.push(every_type(format!("exchange-{key}-types"), |value| {
            method!("exchange.declare", type: "fanout", auto_delete: true, arguments: table! { key => value })
        }));
    }
    scripts
}

/// Where RabbitMQ 3.10 fails, or where others have learnt something since: a conversation a value.
const CLASSIC_ALONE: [&str; 2] = ["x-queue-leader-locator", "x-queue-master-locator"];

fn alone(scripts: &mut Vec<Script>) {
    let declares = |name: &str, kind: &str, key: &str, value: Value| {
        let script = Script::new(format!("{kind}-{key}-{name}"));
        let queue = script.own("q");
        script.call(declare(kind, key, value).with("queue", queue))
    };
    for (name, value) in [
        ("bool", Value::from(true)),
        ("number", 1.into()),
        ("place", "client-local".into()),
        ("no-place", "nowhere".into()),
    ] {
        for key in CLASSIC_ALONE {
            scripts.push(declares(name, "classic", key, value.clone()));
        }
    }
    for kind in ["quorum", "stream"] {
        let value = Value::from("min-masters");
        scripts.push(declares(
            "min-masters",
            kind,
            "x-queue-leader-locator",
            value,
        ));
    }
    for kind in ["classic", "quorum", "stream"] {
        let value = Value::from(1);
        scripts.push(declares("one", kind, "x-stream-filter-size-bytes", value));
    }
    let value = Value::from("at-least-once");
    scripts.push(declares(
        "at-least-once",
        "quorum",
        "x-dead-letter-strategy",
        value,
    ));
    for kind in ["classic", "quorum"] {
        for (name, value) in [("bool", Value::from(true)), ("number", 1.into())] {
            let script = Script::new(format!("consume-{kind}-x-credit-{name}"));
            let queue = script.own("q");
            let arguments = table! { "x-queue-type" => kind };
            let declare =
                method!("queue.declare", queue: &queue, durable: true, arguments: arguments);
            let consume = method!("basic.consume", queue: &queue, consumer_tag: "c",
                arguments: table! { "x-credit" => value });
            scripts.push(script.call(declare).call(consume));
        }
    }
}

const DECLARE: [&str; 24] = [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
    "x-queue-master-locator",
    "x-delivery-limit",
    "x-quorum-target-group-size",
    "x-nobody-knows",
];

const CONSUME: [&str; 4] = [
    "x-priority",
    "x-cancel-on-ha-failover",
    "x-stream-offset",
    "x-credit",
];

/// One value of each type that a table can hold.
pub fn types() -> Vec<Value> {
    vec![
        Value::Bool(true),
        Value::I8(1),
        Value::U8(1),
        Value::I16(1),
        Value::U16(1),
        Value::I32(1),
        Value::U32(1),
        Value::I64(1),
        Value::F32(1.5),
        Value::F64(1.5),
        Value::Decimal(1, 15),
        Value::from("1"),
        Value::Bytes(b"1".to_vec()),
        Value::Array(vec![Value::I32(1)]),
        Value::Timestamp(1),
        Value::Table(table! { "a" => 1 }),
        Value::Void,
    ]
}

fn declare(kind: &str, key: &str, value: Value) -> Method {
    let arguments = match key {
        "x-queue-type" => table! { key => value },
        _ => table! { "x-queue-type" => kind, key => value },
    };
    method!("queue.declare", durable: true, arguments: arguments)
}

/// Says each on a channel of its own, so that one refusal is apart from the next.
fn each(name: String, methods: impl Iterator<Item = Method>) -> Script {
    let mut script = Script::new(name);
    for (at, method) in methods.enumerate() {
        let named = match method.name {
            "queue.declare" => method.with("queue", script.own(&format!("q{at}"))),
            _ => method.with("exchange", script.own(&format!("x{at}"))),
        };
        script = script.open(at as u16 + 2).call(named);
    }
    script
}

fn every_type(name: String, declare: impl Fn(Value) -> Method) -> Script {
    each(name, types().into_iter().map(declare))
}

/// What is at or beyond a bound for that argument.
fn every_value(name: String, key: &str, declare: impl Fn(Value) -> Method) -> Script {
    let texts: &[&str] = match key {
        "x-overflow" => &[
            "drop-head",
            "reject-publish",
            "reject-publish-dlx",
            "drop-tail",
            "",
        ],
        "x-queue-mode" => &["default", "lazy", "eager", ""],
        "x-queue-type" => &["classic", "Classic", "mirrored", ""],
        "x-dead-letter-strategy" => &["at-most-once", "twice", ""],
        "x-queue-leader-locator" => &[
            "client-local",
            "balanced",
            "random",
            "least-leaders",
            "nowhere",
            "",
        ],
        "x-queue-master-locator" => &["client-local", "random", "min-masters"],
        "x-max-age" => &[
            "1Y", "1M", "1D", "1h", "1m", "1s", "0s", "1", "1x", "1hh", " 1h",
        ],
        "x-dead-letter-exchange" | "x-dead-letter-routing-key" => &["", "a"],
        _ => &[],
    };
    let numbers: &[i64] = match key {
        "x-max-priority" => &[-1, 0, 1, 255, 256],
        "x-queue-version" => &[-1, 0, 1, 2, 3],
        "x-expires" | "x-message-ttl" => &[
            -1,
            0,
            1_000_000,
            315_360_000_000,
            315_360_000_001,
            i64::MAX,
            i64::MIN,
        ],
        "x-stream-max-segment-size-bytes" => &[-1, 0, 3_000_000_000, 3_000_000_001],
        "x-max-length"
        | "x-max-length-bytes"
        | "x-max-in-memory-length"
        | "x-max-in-memory-bytes"
        | "x-delivery-limit" => &[-1, 0, 1, i64::MAX, i64::MIN],
        "x-quorum-initial-group-size" | "x-initial-cluster-size" => &[-1, 0, 1, 3],
        _ => &[],
    };
    let texts = texts.iter().map(|text| Value::from(*text));
    let numbers = numbers.iter().map(|number| Value::I64(*number));
    each(name, texts.chain(numbers).map(declare))
}

/// A consumer's argument in every type, each on its own channel.
fn consumes(kind: &str, key: &str) -> Script {
    let mut script = Script::new(format!("consume-{kind}-{key}"));
    let queue = script.own("q");
    let arguments = table! { "x-queue-type" => kind };
    script =
        script.call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
    for (at, value) in types().into_iter().enumerate() {
        let consume = method!("basic.consume", queue: &queue, consumer_tag: format!("c{at}"),
            arguments: table! { key => value });
        let qos = method!("basic.qos", prefetch_count: 10);
        script = script.open(at as u16 + 2).call(qos).call(consume);
    }
    script
}

/// What is at or beyond a bound for a consumer's priority, of which there is none.
fn consumer_priorities(scripts: &mut Vec<Script>, kind: &str) {
    let mut script = Script::new(format!("consume-{kind}-x-priority-values"));
    let queue = script.own("q");
    let arguments = table! { "x-queue-type" => kind };
    script =
        script.call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
    for (at, priority) in [-1, 0, 255, 256, i64::MAX, i64::MIN]
        .into_iter()
        .enumerate()
    {
        let consume = method!("basic.consume", queue: &queue, consumer_tag: format!("c{at}"),
            arguments: table! { "x-priority" => priority });
        let qos = method!("basic.qos", prefetch_count: 10);
        script = script.open(at as u16 + 2).call(qos).call(consume);
    }
    scripts.push(script);
}

/// x-credit as RabbitMQ 3.10 reads it, and tables that it does not read.
fn credit(scripts: &mut Vec<Script>) {
    for (name, credit) in [
        ("one", table! { "credit" => 1_i64, "drain" => false }),
        ("int", table! { "credit" => 1, "drain" => false }),
        ("alone", table! { "credit" => 1_i64 }),
        ("empty", table! {}),
    ] {
        let script = Script::new(format!("consume-classic-x-credit-table-{name}"));
        let queue = script.own("q");
        let consume = method!("basic.consume", queue: &queue, consumer_tag: "c", no_ack: true,
            arguments: table! { "x-credit" => credit });
        scripts.push(
            script
                .call(method!("queue.declare", queue: &queue, exclusive: true))
                .publish("", &queue, "1")
                .publish("", &queue, "2")
                .call(consume)
                .events(if name == "one" { 1 } else { 2 })
                .settled(),
        );
    }
}

/// Names of alternate exchanges, each on a channel of its own: none of them has to be there.
fn alternate_exchanges(scripts: &mut Vec<Script>) {
    let names = ["", "none.at.all", "amq.none", "amq.rabbitmq.log", "a\nb"];
    let longest = "x".repeat(255);
    let longer = "x".repeat(256);
    let names = names.into_iter().chain([&longest[..], &longer[..]]);
    scripts.push(each("exchange-alternate-exchange-values".into(), names.map(|name| {
        method!("exchange.declare", type: "fanout", arguments: table! { "alternate-exchange" => name })
    })));
}
