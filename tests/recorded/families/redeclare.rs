//! Declared, and declared again with one property or argument changed: every pair.

use super::arguments::types;
use crate::script::Script;
use crate::support::{Method, Table, Value, method, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    queue_properties(&mut scripts);
    exchange_properties(&mut scripts);
    for (kind, arguments) in [
        ("classic", classic_arguments()),
        ("quorum", quorum_arguments()),
        ("stream", stream_arguments()),
    ] {
        queue_arguments(&mut scripts, kind, arguments);
    }
    queue_types(&mut scripts);
    exchange_arguments(&mut scripts);
    scripts
}

/// With an argument in every type, void among them, after a declaration that has it right, and before one
/// that has it right and one that has not got it at all. Each declaration is said on a channel of its own.
fn retyped(scripts: &mut Vec<Script>, name: &str, plain: &Method, key: &str, right: &Value) {
    let named = |script: &Script, at: usize, value: Option<&Value>| {
        let what = match plain.name {
            "queue.declare" => ("queue", "q"),
            _ => ("exchange", "x"),
        };
        let name = script.own(&format!("{}{at}", what.1));
        let mut arguments = plain.table("arguments").clone();
        if let Some(value) = value {
            arguments.0.retain(|(there, _)| there != key);
            arguments.0.push((key.to_string(), value.clone()));
        }
        let method = plain.clone().with(what.0, name);
        method.with("arguments", arguments)
    };
    // Over a decimal that it compares RabbitMQ fails, which ends the connection.
    let is_decimal = |value: &Value| matches!(value, Value::Decimal(..));
    let (decimals, others): (Vec<_>, Vec<_>) = types().into_iter().partition(is_decimal);

    let mut again = Script::new(format!("{name}-retyped"));
    let method = named(&again, 0, Some(right));
    again = again.call(method);
    for (at, value) in others.iter().enumerate() {
        let method = named(&again, 0, Some(value));
        again = again.open(at as u16 + 2).call(method);
    }
    scripts.push(again);

    // Over this one RabbitMQ 3.10 fails when it makes a queue, see `arguments`.
    if key == "x-queue-master-locator" {
        return;
    }
    // A queue that expires must stay for as long as the conversation lasts.
    let lasting = |value: &Value| match value {
        Value::I8(_) | Value::U8(_) => None,
        Value::I16(_) => Some(Value::I16(30_000)),
        Value::U16(_) => Some(Value::U16(30_000)),
        Value::I32(_) => Some(Value::I32(30_000)),
        Value::U32(_) => Some(Value::U32(30_000)),
        Value::I64(_) => Some(Value::I64(30_000)),
        other => Some(other.clone()),
    };
    let others = match key {
        "x-expires" => others.iter().filter_map(lasting).collect(),
        _ => others,
    };
    let mut before = Script::new(format!("{name}-was-of-another-type"));
    let mut channel = 1;
    for (at, value) in others.iter().enumerate() {
        for said in [Some(value), Some(right), None] {
            let method = named(&before, at, said);
            channel += 1;
            before = before.open(channel).call(method);
        }
    }
    scripts.push(before);

    for decimal in &decimals {
        for (how, first, second) in [
            ("retyped-decimal", right, decimal),
            ("was-decimal", decimal, right),
        ] {
            let script = Script::new(format!("{name}-{how}"));
            let (first, second) = (
                named(&script, 0, Some(first)),
                named(&script, 0, Some(second)),
            );
            scripts.push(script.call(first).open(2).call(second));
        }
    }
}

/// Declares the one, then the other on a channel that is opened again if need be, then the first again.
fn pair(name: String, first: Method, second: Method) -> Script {
    let script = Script::new(name);
    let named = |method: Method| match method.name {
        "queue.declare" => method.with("queue", script.own("q")),
        _ => method.with("exchange", script.own("x")),
    };
    let (first, second) = (named(first), named(second));
    script.call(first.clone()).call(second).open(2).call(first)
}

fn queue_properties(scripts: &mut Vec<Script>) {
    for property in ["durable", "exclusive", "auto_delete"] {
        let plain = method!("queue.declare");
        let other = plain.clone().with(property, true);
        scripts.push(pair(
            format!("queue-{property}-set"),
            plain.clone(),
            other.clone(),
        ));
        scripts.push(pair(format!("queue-{property}-cleared"), other, plain));
    }
    for kind in ["quorum", "stream"] {
        let plain =
            method!("queue.declare", durable: true, arguments: table! { "x-queue-type" => kind });
        for property in ["durable", "exclusive", "auto_delete"] {
            let other = plain.clone().with(property, property != "durable");
            scripts.push(pair(format!("{kind}-{property}"), plain.clone(), other));
        }
    }
    let all = method!("queue.declare", durable: true, auto_delete: true);
    scripts.push(pair("queue-all-same".into(), all.clone(), all.clone()));
    let none = method!("queue.declare");
    scripts.push(pair("queue-all-cleared".into(), all.clone(), none));
    // An exclusive queue is never durable, whatever was asked for.
    let exclusive = method!("queue.declare", exclusive: true);
    let durable = method!("queue.declare", exclusive: true, durable: true);
    scripts.push(pair("queue-exclusive-durable".into(), exclusive, durable));
}

fn exchange_properties(scripts: &mut Vec<Script>) {
    let plain = method!("exchange.declare", type: "direct");
    for property in ["durable", "auto_delete", "internal"] {
        let other = plain.clone().with(property, true);
        scripts.push(pair(
            format!("exchange-{property}-set"),
            plain.clone(),
            other.clone(),
        ));
        scripts.push(pair(
            format!("exchange-{property}-cleared"),
            other,
            plain.clone(),
        ));
    }
    let types = ["direct", "fanout", "topic", "headers"];
    for from in types {
        for to in types {
            let (first, second) = (
                plain.clone().with("type", from),
                plain.clone().with("type", to),
            );
            scripts.push(pair(format!("exchange-{from}-{to}"), first, second));
        }
    }
}

/// An argument with two values that are both right.
type Argument = (&'static str, Value, Value);

fn classic_arguments() -> Vec<Argument> {
    vec![
        ("x-message-ttl", 60_000.into(), 60_001.into()),
        ("x-expires", 60_000.into(), 60_001.into()),
        ("x-max-length", 10.into(), 11.into()),
        ("x-max-length-bytes", 1000.into(), 1001.into()),
        (
            "x-dead-letter-exchange",
            "amq.direct".into(),
            "amq.topic".into(),
        ),
        ("x-overflow", "drop-head".into(), "reject-publish".into()),
        ("x-max-priority", 3.into(), 4.into()),
        ("x-queue-mode", "default".into(), "lazy".into()),
        ("x-queue-version", 1.into(), 2.into()),
        ("x-single-active-consumer", true.into(), false.into()),
        (
            "x-queue-master-locator",
            "client-local".into(),
            "min-masters".into(),
        ),
        ("x-nobody-knows", "a".into(), "b".into()),
    ]
}

fn quorum_arguments() -> Vec<Argument> {
    vec![
        ("x-message-ttl", 60_000.into(), 60_001.into()),
        ("x-expires", 60_000.into(), 60_001.into()),
        ("x-max-length", 10.into(), 11.into()),
        ("x-max-length-bytes", 1000.into(), 1001.into()),
        ("x-max-in-memory-length", 10.into(), 11.into()),
        ("x-max-in-memory-bytes", 1000.into(), 1001.into()),
        ("x-delivery-limit", 3.into(), 4.into()),
        (
            "x-dead-letter-exchange",
            "amq.direct".into(),
            "amq.topic".into(),
        ),
        ("x-overflow", "drop-head".into(), "reject-publish".into()),
        ("x-single-active-consumer", true.into(), false.into()),
        (
            "x-dead-letter-strategy",
            "at-most-once".into(),
            "at-least-once".into(),
        ),
        ("x-quorum-initial-group-size", 1.into(), 2.into()),
        (
            "x-queue-leader-locator",
            "client-local".into(),
            "balanced".into(),
        ),
    ]
}

fn stream_arguments() -> Vec<Argument> {
    vec![
        ("x-max-length-bytes", 1_000_000.into(), 1_000_001.into()),
        ("x-max-age", "1h".into(), "2h".into()),
        (
            "x-stream-max-segment-size-bytes",
            1_000_000.into(),
            1_000_001.into(),
        ),
        ("x-initial-cluster-size", 1.into(), 2.into()),
        (
            "x-queue-leader-locator",
            "client-local".into(),
            "balanced".into(),
        ),
    ]
}

/// For each argument: added, taken away, changed, and with the same number in another type.
fn queue_arguments(scripts: &mut Vec<Script>, kind: &str, arguments: Vec<Argument>) {
    let durable = kind != "classic";
    let declare = |entries: &[(&str, &Value)]| {
        let typed = (kind != "classic").then(|| ("x-queue-type".to_string(), Value::from(kind)));
        let entries = entries
            .iter()
            .map(|(key, value)| (key.to_string(), (*value).clone()));
        let arguments = Table(typed.into_iter().chain(entries).collect());
        method!("queue.declare", durable: durable, arguments: arguments)
    };
    for (key, value, other) in &arguments {
        let (without, with) = (declare(&[]), declare(&[(key, value)]));
        let name = |how: &str| format!("{kind}-{key}-{how}");
        scripts.push(pair(name("added"), without.clone(), with.clone()));
        scripts.push(pair(name("taken"), with.clone(), without));
        scripts.push(pair(
            name("changed"),
            with.clone(),
            declare(&[(key, other)]),
        ));
        if let Value::I32(number) = value {
            let wide = Value::I64(i64::from(*number));
            scripts.push(pair(name("wide"), with, declare(&[(key, &wide)])));
        }
        let plain = declare(&[]);
        retyped(scripts, &format!("{kind}-{key}"), &plain, key, value);
    }
    let name = format!("{kind}-x-queue-type");
    retyped(
        scripts,
        &name,
        &declare(&[]),
        "x-queue-type",
        &Value::from(kind),
    );
    // With a key beside it that needs another.
    let dlx = Value::from("amq.direct");
    let keys = [Value::from("a"), Value::from("b")];
    if kind != "stream" {
        let with = |key: &Value| {
            declare(&[
                ("x-dead-letter-exchange", &dlx),
                ("x-dead-letter-routing-key", key),
            ])
        };
        let name = |how: &str| format!("{kind}-x-dead-letter-routing-key-{how}");
        let without = declare(&[("x-dead-letter-exchange", &dlx)]);
        scripts.push(pair(name("added"), without.clone(), with(&keys[0])));
        scripts.push(pair(name("taken"), with(&keys[0]), without));
        scripts.push(pair(name("changed"), with(&keys[0]), with(&keys[1])));
        let name = format!("{kind}-x-dead-letter-routing-key");
        let plain = declare(&[("x-dead-letter-exchange", &dlx)]);
        let key = "x-dead-letter-routing-key";
        retyped(scripts, &name, &plain, key, &keys[0]);
    }
}

fn queue_types(scripts: &mut Vec<Script>) {
    let kinds = ["none", "classic", "quorum", "stream"];
    for from in kinds {
        for to in kinds {
            let declare = |kind: &str| {
                let arguments = match kind {
                    "none" => Table::default(),
                    kind => table! { "x-queue-type" => kind },
                };
                method!("queue.declare", durable: true, arguments: arguments)
            };
            scripts.push(pair(
                format!("type-{from}-{to}"),
                declare(from),
                declare(to),
            ));
        }
    }
}

fn exchange_arguments(scripts: &mut Vec<Script>) {
    let declare =
        |arguments: Table| method!("exchange.declare", type: "topic", arguments: arguments);
    let plain = declare(Table::default());
    for (key, value, other) in [
        ("alternate-exchange", "amq.fanout", "amq.direct"),
        ("x-nobody-knows", "a", "b"),
    ] {
        let (one, two) = (
            declare(table! { key => value }),
            declare(table! { key => other }),
        );
        let name = |how: &str| format!("exchange-{key}-{how}");
        scripts.push(pair(name("added"), plain.clone(), one.clone()));
        scripts.push(pair(name("taken"), one.clone(), plain.clone()));
        scripts.push(pair(name("changed"), one, two));
        let (name, value) = (format!("exchange-{key}"), Value::from(value));
        retyped(scripts, &name, &plain, key, &value);
    }
}
