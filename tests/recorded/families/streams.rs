//! Streams: offsets, what a reader gets, what they do not do.

use crate::script::Script;
use crate::support::{Method, Value, method, properties, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    offsets(&mut scripts);
    reading(&mut scripts);
    refused(&mut scripts);
    scripts
}

/// With a stream that has so many messages, and a prefetch.
fn stream(name: impl Into<String>, count: usize) -> (Script, String) {
    let script = Script::new(name);
    let queue = script.own("q");
    let arguments = table! { "x-queue-type" => "stream" };
    let declare = method!("queue.declare", queue: &queue, durable: true, arguments: arguments);
    let mut script = script.call(declare).call(method!("confirm.select"));
    for number in 0..count {
        script = script.publish("", &queue, &format!("{number}")).events(1);
    }
    (
        script.call(method!("basic.qos", prefetch_count: 100)),
        queue,
    )
}

fn consume(queue: &str, offset: Value) -> Method {
    method!("basic.consume", queue: queue, consumer_tag: "c",
        arguments: table! { "x-stream-offset" => offset })
}

fn offsets(scripts: &mut Vec<Script>) {
    for (name, offset) in [
        ("number-negative", Value::I64(-1)),
        ("number-far", Value::I64(i64::MAX)),
        ("first-upper-case", "First".into()),
        ("empty", "".into()),
        ("word", "middle".into()),
        ("interval", "1h".into()),
        ("interval-years", "1Y".into()),
        ("interval-without-unit", "10".into()),
        ("interval-without-number", "h".into()),
        ("interval-wrong-unit", "10x".into()),
        ("interval-negative", "-1h".into()),
        ("timestamp-future", Value::Timestamp(4_000_000_000)),
    ] {
        let (script, queue) = stream(format!("offset-{name}"), 0);
        scripts.push(script.call(consume(&queue, offset)));
    }
}

fn reading(scripts: &mut Vec<Script>) {
    for (name, offset, count) in [
        ("first", Value::from("first"), 3),
        ("zero", Value::I64(0), 3),
        ("second", Value::I64(1), 2),
        ("timestamp", Value::Timestamp(0), 3),
    ] {
        let (script, queue) = stream(format!("read-{name}"), 3);
        let script = script.send(consume(&queue, offset)).events(1 + count);
        scripts.push(script.call(method!("basic.cancel", consumer_tag: "c")));
    }
    let (script, queue) = stream("read-next", 1);
    let script = script.call(consume(&queue, "next".into())).open(2);
    scripts.push(script.publish("", &queue, "new").on(1).events(1));
    let (script, queue) = stream("read-with-properties", 0);
    let says = properties!(content_type: "text/plain", delivery_mode: 1, priority: 3,
        correlation_id: "c", headers: table! { "b" => 1, "a" => "x" }, message_id: "m", app_id: "a");
    let script = script.publish_with("", &queue, &says, "hello").events(1);
    scripts.push(script.send(consume(&queue, "first".into())).events(2));
    // What was acked is there for the next reader.
    let (script, queue) = stream("read-twice", 1);
    let script = script.send(consume(&queue, "first".into())).events(2);
    let script = script.send(method!("basic.ack", delivery_tag: 1));
    let script = script.call(method!("basic.cancel", consumer_tag: "c"));
    scripts.push(script.send(consume(&queue, "first".into())).events(2));
    let (script, queue) = stream("delete-read", 1);
    let script = script.send(consume(&queue, "first".into())).events(2);
    scripts.push(
        script
            .send(method!("queue.delete", queue: &queue))
            .events(2),
    );
}

fn refused(scripts: &mut Vec<Script>) {
    for (count, settle) in [
        method!("basic.nack", delivery_tag: 1),
        method!("basic.reject", delivery_tag: 1, requeue: true),
        method!("basic.nack", delivery_tag: 1, requeue: true),
    ]
    .into_iter()
    .enumerate()
    {
        let (script, queue) = stream(format!("{}-{count}", settle.name), 1);
        let script = script
            .send(consume(&queue, "first".into()))
            .events(2)
            .send(settle);
        scripts.push(script.settled());
    }
    let (script, queue) = stream("no-prefetch", 0);
    let script = script.call(method!("basic.qos"));
    scripts.push(script.call(consume(&queue, "first".into())));
    let (script, queue) = stream("no-prefetch-and-no-ack", 0);
    let script = script.call(method!("basic.qos"));
    scripts.push(script.call(consume(&queue, "first".into()).with("no_ack", true)));
    let (script, queue) = stream("no-ack", 0);
    scripts.push(script.call(consume(&queue, "first".into()).with("no_ack", true)));
    let (script, queue) = stream("no-ack-and-wrong-offset", 0);
    scripts.push(script.call(consume(&queue, "middle".into()).with("no_ack", true)));
}
