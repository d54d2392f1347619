//! Exchanges: names, types, passive declares, deletion, internal and alternate ones.

use crate::script::Script;
use crate::support::{method, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    names(&mut scripts);
    types(&mut scripts);
    built_in(&mut scripts);
    deleting(&mut scripts);
    internal(&mut scripts);
    scripts
}

fn with_exchange(name: impl Into<String>, kind: &str) -> (Script, String) {
    let script = Script::new(name);
    let exchange = script.own("x");
    let script = script.call(method!("exchange.declare", exchange: &exchange, type: kind));
    (script, exchange)
}

fn names(scripts: &mut Vec<Script>) {
    let long = "n".repeat(255);
    for (name, exchange) in [
        ("empty", ""),
        ("amq", "amq.exchange"),
        ("amq-without-dot", "amq"),
        ("amq-default", "amq.default"),
        ("longest", &long),
        ("control-characters", "a\nb\r\tc\u{1}.names"),
        ("line-ends-alone", "\r\n"),
        ("quotes", "it's \"quoted\" ~p ~s.names"),
        ("unicode", "кролик.names"),
    ] {
        let declare = method!("exchange.declare", exchange: exchange, type: "fanout");
        scripts.push(Script::new(format!("name-{name}")).call(declare.clone()));
        let other = declare
            .with("exchange", format!("{exchange}!"))
            .with("passive", true);
        if exchange.len() < 255 {
            scripts.push(Script::new(format!("name-passive-{name}")).call(other));
        }
    }
    let empty = method!("exchange.declare", type: "direct", passive: true);
    scripts.push(Script::new("passive-empty").call(empty));
    let binary = method!("exchange.declare", exchange: b"\xff\xfe".to_vec(), passive: true);
    scripts.push(Script::new("passive-binary").call(binary));
    let (script, exchange) = with_exchange("passive-there", "topic");
    let passive = method!("exchange.declare", exchange: &exchange, passive: true);
    scripts.push(
        script
            .call(passive.clone())
            .call(passive.with("type", "nothing").with("durable", true)),
    );
    let passive = method!("exchange.declare", exchange: "none.at.all", passive: true);
    scripts.push(Script::new("passive-missing").call(passive.clone()));
    let no_wait = passive.with("no_wait", true);
    scripts.push(Script::new("passive-missing-no-wait").call(no_wait));
    let (script, exchange) = with_exchange("declare-no-wait", "topic");
    let declare = method!("exchange.declare", exchange: &exchange, type: "topic", no_wait: true);
    scripts.push(
        script
            .send(declare.clone())
            .settled()
            .send(declare.with("type", "direct"))
            .reply(),
    );
}

fn types(scripts: &mut Vec<Script>) {
    let long = "t".repeat(255);
    for kind in [
        "direct",
        "fanout",
        "topic",
        "headers",
        "",
        "Direct",
        "direct ",
        "x-none-at-all",
        "system",
        "x'y",
        "amqp",
        "undefined",
        "rabbit",
        &long,
    ] {
        let script = Script::new(format!("type-{kind:.20}"));
        let declare = method!("exchange.declare", exchange: script.own("x"), type: kind);
        scripts.push(script.call(declare));
    }
    let binary = method!("exchange.declare", exchange: "x.binary", type: b"\xff".to_vec());
    scripts.push(Script::new("type-binary").call(binary));
    // Which is looked at first.
    let declare = method!("exchange.declare", exchange: "", type: "none");
    scripts.push(Script::new("type-and-name-wrong").call(declare.clone()));
    scripts.push(Script::new("type-and-prefix-wrong").call(declare.with("exchange", "amq.none")));
}

const BUILT_IN: [(&str, &str); 7] = [
    ("amq.direct", "direct"),
    ("amq.fanout", "fanout"),
    ("amq.topic", "topic"),
    ("amq.headers", "headers"),
    ("amq.match", "headers"),
    ("amq.rabbitmq.trace", "topic"),
    ("amq.rabbitmq.log", "topic"),
];

fn built_in(scripts: &mut Vec<Script>) {
    for (exchange, kind) in BUILT_IN {
        let declare = method!("exchange.declare", exchange: exchange, type: kind, durable: true);
        let script = Script::new(format!("built-in-{exchange}"));
        let script = script
            .call(declare.clone())
            .open(2)
            .call(declare.clone().with("internal", true));
        let passive = method!("exchange.declare", exchange: exchange, passive: true);
        scripts.push(script.open(3).call(passive));
        let other = declare
            .clone()
            .with("type", if kind == "topic" { "fanout" } else { "topic" });
        scripts.push(Script::new(format!("built-in-{exchange}-other-type")).call(other));
        let transient = declare.with("durable", false);
        scripts.push(Script::new(format!("built-in-{exchange}-transient")).call(transient));
        let delete = method!("exchange.delete", exchange: exchange);
        scripts.push(Script::new(format!("built-in-{exchange}-delete")).call(delete));
        let script = Script::new(format!("built-in-{exchange}-publish"));
        scripts.push(script.publish(exchange, "key.of.nobody", "hello").settled());
    }
    for (count, method) in [
        method!("exchange.declare", type: "direct", durable: true),
        method!("exchange.delete"),
        method!("exchange.bind", destination: "amq.direct"),
        method!("exchange.bind", source: "amq.direct"),
        method!("exchange.unbind", destination: "amq.direct"),
        method!("exchange.unbind", source: "amq.direct"),
        method!("exchange.bind"),
    ]
    .into_iter()
    .enumerate()
    {
        scripts.push(Script::new(format!("default-{}-{count}", method.name)).call(method));
    }
}

fn deleting(scripts: &mut Vec<Script>) {
    let delete = |exchange: &str| method!("exchange.delete", exchange: exchange);
    scripts.push(Script::new("delete-missing").call(delete("none.at.all")));
    let unused = delete("none.at.all").with("if_unused", true);
    scripts.push(Script::new("delete-missing-if-unused").call(unused));
    scripts.push(Script::new("delete-amq").call(delete("amq.none.at.all")));
    scripts.push(Script::new("delete-amq-without-dot").call(delete("amq")));
    let (script, exchange) = with_exchange("delete", "direct");
    scripts.push(script.call(delete(&exchange)).call(delete(&exchange)));
    let (script, exchange) = with_exchange("delete-no-wait", "direct");
    let script = script
        .send(delete(&exchange).with("no_wait", true))
        .settled();
    scripts.push(script.call(method!("exchange.declare", exchange: &exchange, passive: true)));
    let (script, exchange) = with_exchange("delete-if-unused-is", "direct");
    scripts.push(script.call(delete(&exchange).with("if_unused", true)));
    let (script, exchange) = with_exchange("delete-if-unused-is-bound", "direct");
    let script = script.call(method!("queue.declare", exclusive: true));
    let script = script.call(method!("queue.bind", exchange: &exchange, routing_key: "k"));
    scripts.push(script.call(delete(&exchange).with("if_unused", true)));
    let (script, exchange) = with_exchange("delete-if-unused-is-destination", "direct");
    let script =
        script.call(method!("exchange.bind", destination: &exchange, source: "amq.direct"));
    scripts.push(script.call(delete(&exchange).with("if_unused", true)));
    // Publishing after it is gone.
    let (script, exchange) = with_exchange("delete-then-publish", "direct");
    scripts.push(
        script
            .call(delete(&exchange))
            .publish(&exchange, "", "hello")
            .reply(),
    );
    // Auto-delete ones go with their last binding.
    let script = Script::new("auto-delete");
    let exchange = script.own("x");
    let declare =
        method!("exchange.declare", exchange: &exchange, type: "direct", auto_delete: true);
    let script = script
        .call(declare)
        .call(method!("queue.declare", exclusive: true));
    let script = script.call(method!("queue.bind", exchange: &exchange, routing_key: "k"));
    let script = script.call(method!("queue.unbind", exchange: &exchange, routing_key: "k"));
    scripts.push(script.call(method!("exchange.declare", exchange: &exchange, passive: true)));
}

fn internal(scripts: &mut Vec<Script>) {
    let script = Script::new("internal-publish");
    let exchange = script.own("x");
    let declare = method!("exchange.declare", exchange: &exchange, type: "fanout", internal: true);
    scripts.push(
        script
            .call(declare.clone())
            .publish(&exchange, "k", "hello")
            .reply(),
    );
    // It may be bound, and what comes that way passes.
    let script = Script::new("internal-bound");
    let (exchange, queue, source) = (script.own("x"), script.own("q"), script.own("s"));
    let script = script.call(declare.with("exchange", &exchange));
    let script = script.call(method!("exchange.declare", exchange: &source, type: "fanout"));
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let script = script.call(method!("queue.bind", queue: &queue, exchange: &exchange));
    let script = script.call(method!("exchange.bind", destination: &exchange, source: &source));
    let script = script.publish(&source, "k", "hello");
    scripts.push(script.call(method!("basic.get", queue: &queue, no_ack: true)));
    // What finds no queue goes to the alternate exchange, which need not be there.
    let script = Script::new("alternate");
    let (exchange, other, queue) = (script.own("x"), script.own("a"), script.own("q"));
    let arguments = table! { "alternate-exchange" => other.as_str() };
    let declare =
        method!("exchange.declare", exchange: &exchange, type: "direct", arguments: arguments);
    let script = script
        .call(declare)
        .publish(&exchange, "k", "lost")
        .settled();
    let script = script.call(method!("exchange.declare", exchange: &other, type: "fanout"));
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let script = script.call(method!("queue.bind", queue: &queue, exchange: &other));
    let script = script.publish(&exchange, "k", "found");
    scripts.push(script.call(method!("basic.get", queue: &queue, no_ack: true)));
    let script = Script::new("alternate-is-itself");
    let exchange = script.own("x");
    let arguments = table! { "alternate-exchange" => exchange.as_str() };
    let declare =
        method!("exchange.declare", exchange: &exchange, type: "direct", arguments: arguments);
    let publish = method!("basic.publish", exchange: &exchange, routing_key: "k", mandatory: true);
    scripts.push(
        script
            .call(declare)
            .content(publish, &Default::default(), b"hello")
            .events(1),
    );
}
