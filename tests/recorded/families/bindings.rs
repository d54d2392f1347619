//! Bindings: both kinds, missing ends, the default exchange, headers' arguments.

use crate::script::Script;
use crate::support::{Method, Table, Value, method, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    missing(&mut scripts);
    again(&mut scripts);
    headers(&mut scripts);
    scripts
}

fn with_queue(name: impl Into<String>) -> (Script, String) {
    let script = Script::new(name);
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    (script, queue)
}

fn missing(scripts: &mut Vec<Script>) {
    for kind in ["queue.bind", "queue.unbind"] {
        for (name, queue, exchange, key) in [
            ("no-exchange", "", "none.at.all", "k"),
            ("no-queue", "none.at.all", "amq.direct", "k"),
            ("neither", "none.at.all", "none.at.either", "k"),
            ("default-exchange", "", "", "k"),
            ("default-exchange-no-queue", "none.at.all", "", "k"),
            ("line-ends-in-exchange", "", "amq\r\n.direct", "k"),
            ("long-key", "", "amq.direct", &"k".repeat(255)),
        ] {
            let (script, _) = with_queue(format!("{kind}-{name}"));
            let bind = Method::new(kind)
                .with("queue", queue)
                .with("exchange", exchange);
            scripts.push(script.call(bind.with("routing_key", key)));
        }
    }
    for kind in ["exchange.bind", "exchange.unbind"] {
        for (name, destination, source) in [
            ("no-source", "amq.direct", "none.at.all"),
            ("no-destination", "none.at.all", "amq.direct"),
            ("neither", "none.at.all", "none.at.either"),
            ("to-default", "", "amq.direct"),
            ("from-default", "amq.direct", ""),
        ] {
            let bind = Method::new(kind)
                .with("destination", destination)
                .with("source", source);
            scripts.push(Script::new(format!("{kind}-{name}")).call(bind.with("routing_key", "k")));
        }
    }
    // Without a wait the refusal comes all the same.
    let bind = method!("queue.bind", queue: "none.at.all", exchange: "amq.direct", no_wait: true);
    scripts.push(Script::new("bind-no-wait-missing").call(bind));
}

fn again(scripts: &mut Vec<Script>) {
    let bind = method!("queue.bind", exchange: "amq.topic", routing_key: "a.b");
    let unbind = method!("queue.unbind", exchange: "amq.topic", routing_key: "a.b");
    let (script, _) = with_queue("twice");
    let script = script
        .call(bind.clone())
        .call(bind.clone())
        .call(unbind.clone());
    scripts.push(script.call(unbind.clone()));
    let (script, _) = with_queue("no-wait");
    let script = script.send(bind.clone().with("no_wait", true)).settled();
    scripts.push(script.call(unbind.clone()));
    let (script, _) = with_queue("unbind-other-key");
    let other = unbind.clone().with("routing_key", "a.c");
    scripts.push(script.call(bind.clone()).call(other));
    let (script, _) = with_queue("unbind-other-arguments");
    let with = |arguments: Table| bind.clone().with("arguments", arguments);
    let other = unbind.clone().with("arguments", table! { "a" => 2 });
    scripts.push(script.call(with(table! { "a" => 1 })).call(other));
    let (script, _) = with_queue("unbind-arguments-in-other-order");
    let other = unbind
        .clone()
        .with("arguments", table! { "b" => 2, "a" => 1 });
    scripts.push(script.call(with(table! { "a" => 1, "b" => 2 })).call(other));
    let (script, _) = with_queue("unbind-arguments-in-other-type");
    let other = unbind.with("arguments", table! { "a" => 1i64 });
    scripts.push(script.call(with(table! { "a" => 1 })).call(other));
    // A message once, however many ways there are.
    let (script, queue) = with_queue("many-ways-one-message");
    let script = script.call(method!("exchange.declare", exchange: "x.ways", type: "topic"));
    let on = |key: &str| method!("queue.bind", exchange: "x.ways", routing_key: key);
    let script = script.call(on("#")).call(on("a.*")).call(on("a.b"));
    let script = script.publish("x.ways", "a.b", "hello");
    let get = method!("basic.get", queue: &queue, no_ack: true);
    scripts.push(script.call(get.clone()).call(get));
    let bind =
        method!("exchange.bind", destination: "amq.direct", source: "amq.fanout", routing_key: "z");
    let unbind = method!("exchange.unbind", destination: "amq.direct", source: "amq.fanout", routing_key: "z");
    let script = Script::new("exchange-twice")
        .call(bind.clone())
        .call(bind.clone());
    scripts.push(script.call(unbind.clone()).call(unbind));
    let script = Script::new("exchange-to-itself");
    let exchange = script.own("x");
    let script = script.call(method!("exchange.declare", exchange: &exchange, type: "fanout"));
    let script = script.call(method!("exchange.bind", destination: &exchange, source: &exchange));
    scripts.push(script.publish(&exchange, "", "hello").settled());
}

fn headers(scripts: &mut Vec<Script>) {
    for (name, value) in [
        ("all", Value::from("all")),
        ("any", Value::from("any")),
        ("all-with-x", Value::from("all-with-x")),
        ("any-with-x", Value::from("any-with-x")),
        ("none", Value::from("none")),
        ("upper-case", Value::from("ALL")),
        ("empty", Value::from("")),
        ("number", Value::from(1)),
        ("bool", Value::from(true)),
        ("void", Value::Void),
        ("bytes", Value::Bytes(b"all".to_vec())),
        ("array", Value::Array(vec![Value::from("all")])),
        ("table", Value::Table(table! { "a" => 1 })),
        ("float", Value::F64(1.5)),
    ] {
        for exchange in ["amq.headers", "amq.direct"] {
            let (script, _) = with_queue(format!("x-match-{name}-{exchange}"));
            let arguments = table! { "x-match" => value.clone(), "a" => 1 };
            scripts
                .push(script.call(method!("queue.bind", exchange: exchange, arguments: arguments)));
        }
    }
}
