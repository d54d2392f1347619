//! Exchanges that RabbitMQ has from its plugins: those that choose one of what is bound to them, and that
//! with a history.
//!
//! Which way a message takes is not in here, for that is each broker's own choice.

use crate::script::Script;
use crate::support::{Method, Properties, Table, Value, method, properties, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for kind in KINDS {
        declaring(&mut scripts, kind);
        leading(&mut scripts, kind);
        coming_and_going(&mut scripts, kind);
    }
    weights(&mut scripts);
    hashed(&mut scripts);
    history_lengths(&mut scripts);
    history(&mut scripts);
    history_bound(&mut scripts);
    scripts
}

const HASH: &str = "x-consistent-hash";
const HISTORY: &str = "x-recent-history";
const KINDS: [&str; 4] = [HASH, "x-random", "x-modulus-hash", HISTORY];

fn declare(kind: &str, arguments: Table) -> Method {
    method!("exchange.declare", type: kind, arguments: arguments)
}

fn bind(queue: &str, exchange: &str, key: &str) -> Method {
    method!("queue.bind", queue: queue, exchange: exchange, routing_key: key)
}

fn get(queue: &str) -> Method {
    method!("basic.get", queue: queue, no_ack: true)
}

/// An exchange `x` of that type.
fn with_exchange(name: String, kind: &str, arguments: Table) -> (Script, String) {
    let script = Script::new(name);
    let exchange = script.own("x");
    let script = script.call(declare(kind, arguments).with("exchange", exchange.as_str()));
    (script, exchange)
}

/// A queue `q` beside it.
fn with_queue(name: String, kind: &str, arguments: Table) -> (Script, String, String) {
    let (script, exchange) = with_exchange(name, kind, arguments);
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    (script, exchange, queue)
}

/// Declared, and again with one property, the type or an argument changed.
fn declaring(scripts: &mut Vec<Script>, kind: &str) {
    let plain = declare(kind, Table::default());
    let mut again = |how: &str, first: Method, second: Method| {
        let script = Script::new(format!("{kind}-declared-{how}"));
        let exchange = script.own("x");
        let (first, second) = (
            first.with("exchange", exchange.as_str()),
            second.with("exchange", exchange.as_str()),
        );
        let script = script.call(first.clone()).call(second).open(2).call(first);
        let passive = method!("exchange.declare", exchange: &exchange, passive: true);
        scripts.push(script.call(passive));
    };
    again("same", plain.clone(), plain.clone());
    for property in ["durable", "auto_delete", "internal"] {
        let other = plain.clone().with(property, true);
        again(&format!("{property}-set"), plain.clone(), other.clone());
        again(&format!("{property}-cleared"), other, plain.clone());
    }
    let others = KINDS.into_iter().chain(["direct", "fanout"]);
    for other in others.filter(|other| *other != kind) {
        again(other, plain.clone(), plain.clone().with("type", other));
    }
    for (key, value, other) in [
        ("alternate-exchange", "amq.fanout", "amq.direct"),
        ("hash-header", "a", "b"),
        ("hash-property", "message_id", "correlation_id"),
    ] {
        let (one, two) = (
            declare(kind, table! { key => value }),
            declare(kind, table! { key => other }),
        );
        again(&format!("{key}-added"), plain.clone(), one.clone());
        again(&format!("{key}-taken"), one.clone(), plain.clone());
        again(&format!("{key}-changed"), one, two);
    }
    let length = |length: i32| declare(kind, table! { "x-recent-history-length" => length });
    again("history-added", plain.clone(), length(3));
    again("history-taken", length(3), plain);
    again("history-changed", length(3), length(4));
}

/// What one destination gets, and nobody: returned, sent to the alternate exchange, confirmed.
fn leading(scripts: &mut Vec<Script>, kind: &str) {
    let publish = |exchange: &str| method!("basic.publish", exchange: exchange, routing_key: "k", mandatory: true);
    let nothing = Properties::default();
    let (script, exchange, queue) = with_queue(format!("{kind}-to-one"), kind, Table::default());
    scripts.push(
        script
            .call(bind(&queue, &exchange, "1"))
            .content(publish(&exchange), &nothing, b"hello")
            .call(get(&queue)),
    );
    let (script, exchange) = with_exchange(format!("{kind}-to-nobody"), kind, Table::default());
    let script = script.call(method!("confirm.select"));
    let script = script.content(publish(&exchange), &nothing, b"hello");
    scripts.push(script.events(2));
    let script = Script::new(format!("{kind}-to-alternate"));
    let (other, queue) = (script.own("a"), script.own("q"));
    let alternate = method!("exchange.declare", exchange: &other, type: "fanout");
    let arguments = table! { "alternate-exchange" => other.as_str() };
    let exchange = script.own("x");
    let script = script
        .call(alternate)
        .call(declare(kind, arguments).with("exchange", exchange.as_str()))
        .call(method!("queue.declare", queue: &queue, exclusive: true))
        .call(bind(&queue, &other, ""));
    scripts.push(script.publish(&exchange, "k", "hello").call(get(&queue)));
    let (script, exchange, queue) =
        with_queue(format!("{kind}-by-exchange"), kind, Table::default());
    let to_exchange =
        method!("exchange.bind", destination: "amq.fanout", source: &exchange, routing_key: "1");
    let from_exchange = method!("exchange.bind", destination: &exchange, source: "amq.topic", routing_key: &script.own("k"));
    let key = script.own("k");
    scripts.push(
        script
            .call(bind(&queue, &exchange, "1"))
            .call(from_exchange)
            .publish("amq.topic", &key, "hello")
            .call(get(&queue))
            .call(to_exchange),
    );
    let internal = declare(kind, Table::default()).with("internal", true);
    let script = Script::new(format!("{kind}-internal"));
    let exchange = script.own("x");
    let script = script.call(internal.with("exchange", exchange.as_str()));
    scripts.push(script.publish(&exchange, "k", "hello").reply());
}

/// Bound twice, unbound, deleted while something is bound, and by itself.
fn coming_and_going(scripts: &mut Vec<Script>, kind: &str) {
    let unbind = |queue: &str, exchange: &str, key: &str| method!("queue.unbind", queue: queue, exchange: exchange, routing_key: key);
    let (script, exchange, queue) = with_queue(format!("{kind}-unbound"), kind, Table::default());
    scripts.push(
        script
            .call(bind(&queue, &exchange, "1"))
            .call(bind(&queue, &exchange, "1"))
            .call(unbind(&queue, &exchange, "2"))
            .publish(&exchange, "k", "before")
            .call(unbind(&queue, &exchange, "1"))
            .publish(&exchange, "k", "after")
            .call(get(&queue))
            .call(get(&queue)),
    );
    let (script, exchange, queue) = with_queue(format!("{kind}-deleted"), kind, Table::default());
    let delete = method!("exchange.delete", exchange: &exchange);
    scripts.push(
        script
            .call(bind(&queue, &exchange, "1"))
            .call(delete.clone().with("if_unused", true))
            .open(2)
            .call(delete.clone())
            .call(delete)
            .publish(&exchange, "k", "hello")
            .reply(),
    );
    let (script, exchange, queue) =
        with_queue(format!("{kind}-deleted-by-itself"), kind, Table::default());
    let (itself, again) = (script.own("y"), script.own("y"));
    let declare = declare(kind, Table::default()).with("auto_delete", true);
    scripts.push(
        script
            .call(declare.with("exchange", itself.as_str()))
            .call(bind(&queue, &itself, "1"))
            .call(unbind(&queue, &itself, "1"))
            .call(method!("exchange.declare", exchange: &again, passive: true))
            .open(2)
            .call(method!("queue.delete", queue: &queue))
            .call(method!("exchange.delete", exchange: &exchange, if_unused: true)),
    );
}

/// The keys of a consistent hash.
fn weights(scripts: &mut Vec<Script>) {
    for key in [
        "0", "-1", "+2", "007", "", "a", "1.5", " 1", "1 ", "0x1", "1e3", "a\"b", "€",
    ] {
        let (script, exchange, queue) = with_queue(format!("weight-{key}"), HASH, Table::default());
        let to_exchange = method!("exchange.bind", destination: "amq.fanout", source: &exchange, routing_key: key);
        let script = script.call(bind(&queue, &exchange, key));
        scripts.push(script.open(2).call(to_exchange));
    }
    let (script, exchange, queue) = with_queue("weight-binary".into(), HASH, Table::default());
    let bind = bind(&queue, &exchange, "").with("routing_key", b"\x01\xff".to_vec());
    scripts.push(script.call(bind));
}

/// What is no text, by the name of its type in Erlang.
fn wrong() -> [(&'static str, Value); 16] {
    [
        ("bool", true.into()),
        ("byte", Value::I8(1)),
        ("unsignedbyte", Value::U8(1)),
        ("short", Value::I16(1)),
        ("unsignedshort", Value::U16(1)),
        ("signedint", Value::I32(1)),
        ("unsignedint", Value::U32(1)),
        ("long", Value::I64(1)),
        ("float", Value::F32(1.5)),
        ("double", Value::F64(1.5)),
        ("decimal", Value::Decimal(1, 15)),
        ("binary", Value::Bytes(b"1".to_vec())),
        ("array", Value::Array(vec![1.into()])),
        ("timestamp", Value::Timestamp(7)),
        ("table", Value::Table(table! { "a" => 1 })),
        ("void", Value::Void),
    ]
}

/// What a consistent hash is told to look at, and messages that have it or not.
fn hashed(scripts: &mut Vec<Script>) {
    for key in ["hash-header", "hash-property"] {
        for (kind, value) in wrong() {
            let arguments = Table(vec![(key.into(), value)]);
            scripts.push(with_exchange(format!("{key}-type-{kind}"), HASH, arguments).0);
        }
    }
    for text in ["a", ""] {
        let arguments = table! { "hash-header" => text };
        let name = format!("hash-header-{text}");
        let (script, exchange, queue) = with_queue(name, HASH, arguments);
        scripts.push(
            script
                .call(bind(&queue, &exchange, "1"))
                .publish(&exchange, "k", "hello")
                .call(get(&queue)),
        );
    }
    let says = properties!(message_id: "m", correlation_id: "c", timestamp: 7u64,
        headers: table! { "h" => 1 });
    for property in [
        "message_id",
        "correlation_id",
        "timestamp",
        "user_id",
        "headers",
        "message-id",
        "Timestamp",
        "",
    ] {
        let arguments = table! { "hash-property" => property };
        let (script, exchange, queue) =
            with_queue(format!("hash-property-{property}"), HASH, arguments);
        scripts.push(
            script
                .call(bind(&queue, &exchange, "2"))
                .publish_with(&exchange, "k", &says, "with")
                .publish(&exchange, "k", "without")
                .call(get(&queue))
                .call(get(&queue)),
        );
    }
    let both = table! { "hash-header" => "h", "hash-property" => "message_id" };
    let script = Script::new("hash-header-and-property");
    let exchange = script.own("x");
    scripts.push(script.call(declare(HASH, both).with("exchange", exchange)));
    for (kind, value) in wrong() {
        let arguments = table! { "hash-header" => "h" };
        let (script, exchange, queue) =
            with_queue(format!("hashed-header-{kind}"), HASH, arguments);
        let says = properties!(headers: Table(vec![("h".into(), value)]));
        scripts.push(
            script
                .call(bind(&queue, &exchange, "2"))
                .publish_with(&exchange, "k", &says, "hello")
                .call(get(&queue)),
        );
    }
}

fn history_lengths(scripts: &mut Vec<Script>) {
    for (kind, value) in wrong() {
        let arguments = Table(vec![("x-recent-history-length".into(), value)]);
        scripts.push(with_exchange(format!("history-length-{kind}"), HISTORY, arguments).0);
    }
    for value in [0, -1, 1, i64::MAX, i64::MIN] {
        let arguments = table! { "x-recent-history-length" => Value::I64(value) };
        scripts.push(with_exchange(format!("history-length-{value}"), HISTORY, arguments).0);
    }
    let arguments = table! { "x-recent-history-length" => "1" };
    scripts.push(with_exchange("history-length-text".into(), HISTORY, arguments).0);
}

/// What a queue gets that is bound after messages came.
fn history(scripts: &mut Vec<Script>) {
    let (script, exchange, queue) = with_queue(
        "history-of-two".into(),
        HISTORY,
        table! { "x-recent-history-length" => 2 },
    );
    let says = properties!(message_id: "m", delivery_mode: 2, priority: 3,
        headers: table! { "h" => 1 });
    let mut script = script
        .publish(&exchange, "first", "one")
        .publish_with(&exchange, "second", &says, "two")
        .publish(&exchange, "third", "three")
        .call(bind(&queue, &exchange, "any"))
        .call(bind(&queue, &exchange, "any"))
        .call(bind(&queue, &exchange, "other"));
    script = script.publish(&exchange, "fourth", "four");
    for _ in 0..6 {
        script = script.call(get(&queue));
    }
    scripts.push(script);
    for (at, value) in [
        Value::from(true),
        Value::from(false),
        Value::from("true"),
        Value::I32(1),
        Value::Void,
    ]
    .into_iter()
    .enumerate()
    {
        let (script, exchange, queue) =
            with_queue(format!("history-no-store-{at}"), HISTORY, Table::default());
        let says = properties!(headers: Table(vec![("x-recent-history-no-store".into(), value)]));
        scripts.push(
            script
                .publish_with(&exchange, "k", &says, "hello")
                .call(bind(&queue, &exchange, ""))
                .call(get(&queue)),
        );
    }
    // A history ends with its exchange.
    let (script, exchange, queue) =
        with_queue("history-declared-anew".into(), HISTORY, Table::default());
    scripts.push(
        script
            .publish(&exchange, "k", "before")
            .call(method!("exchange.delete", exchange: &exchange))
            .call(declare(HISTORY, Table::default()).with("exchange", exchange.as_str()))
            .call(bind(&queue, &exchange, ""))
            .call(get(&queue)),
    );
}

/// What an exchange passes on that is bound after messages came.
fn history_bound(scripts: &mut Vec<Script>) {
    let (script, exchange, queue) =
        with_queue("history-to-exchange".into(), HISTORY, Table::default());
    let other = script.own("y");
    let to_other = method!("exchange.bind", destination: &other, source: &exchange);
    scripts.push(
        script
            .call(method!("exchange.declare", exchange: &other, type: "fanout"))
            .call(bind(&queue, &other, ""))
            .publish(&exchange, "k", "one")
            .publish(&exchange, "k", "two")
            .call(to_other.clone())
            .call(get(&queue))
            .call(get(&queue))
            .call(get(&queue)),
    );
    let (script, exchange) = with_exchange("history-to-nobody".into(), HISTORY, Table::default());
    let other = script.own("y");
    let to_other = method!("exchange.bind", destination: &other, source: &exchange);
    scripts.push(
        script
            .call(method!("exchange.declare", exchange: &other, type: "fanout"))
            .publish(&exchange, "k", "one")
            .call(to_other),
    );
}
