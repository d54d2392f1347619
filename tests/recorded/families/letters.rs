//! Dead letters: why, and what is written into them; and replies to addresses of the broker's making.

use crate::script::{Entry, Script};
use crate::support::frame::Frame;
use crate::support::{Login, Properties, Table, Value, method, properties, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    letters(&mut scripts);
    replies(&mut scripts);
    expiring(&mut scripts);
    priorities(&mut scripts);
    scripts
}

/// A queue `q` of that type whose dead letters go to `d`, which `c` consumes on channel 2.
fn queues(name: impl Into<String>, kind: &str, more: Table) -> (Script, String) {
    let script = Script::new(name);
    let (queue, dead) = (script.own("q"), script.own("d"));
    let mut arguments = table! {
        "x-queue-type" => kind, "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => dead.as_str(),
    };
    arguments.0.extend(more.0);
    let declare = method!("queue.declare", queue: &queue, durable: true, arguments: arguments);
    let script = script.call(declare);
    let script = script
        .open(2)
        .call(method!("queue.declare", queue: &dead, exclusive: true));
    let consume = method!("basic.consume", queue: &dead, consumer_tag: "c", no_ack: true);
    (script.call(consume).on(1), queue)
}

fn letters(scripts: &mut Vec<Script>) {
    for kind in ["classic", "quorum"] {
        for (how, settle) in [
            ("reject", method!("basic.reject", delivery_tag: 1)),
            ("nack", method!("basic.nack", delivery_tag: 1)),
            (
                "nack-multiple",
                method!("basic.nack", delivery_tag: 1, multiple: true),
            ),
        ] {
            let (script, queue) = queues(format!("{kind}-{how}"), kind, Table::default());
            let says =
                properties!(headers: table! { "a" => 1 }, expiration: "100000", message_id: "m");
            let script = script.call(method!("confirm.select"));
            let script = script.publish_with("", &queue, &says, "hello").events(1);
            let script = script
                .call(method!("basic.get", queue: &queue))
                .send(settle);
            scripts.push(script.on(2).events(1));
        }
        let (script, queue) = queues(
            format!("{kind}-max-length"),
            kind,
            table! { "x-max-length" => 1 },
        );
        let script = script.publish("", &queue, "one").publish("", &queue, "two");
        scripts.push(script.on(2).events(1));
        let more = table! { "x-max-length" => 1, "x-overflow" => "reject-publish-dlx" };
        if kind == "classic" {
            let (script, queue) = queues("classic-reject-publish-dlx", kind, more);
            let script = script.publish("", &queue, "one").publish("", &queue, "two");
            scripts.push(script.on(2).events(1));
        }
        let (script, queue) = queues(format!("{kind}-expired"), kind, Table::default());
        let says = properties!(expiration: "1", headers: table! { "a" => 1 });
        scripts.push(
            script
                .publish_with("", &queue, &says, "hello")
                .on(2)
                .events(1),
        );
        let more = table! { "x-message-ttl" => 1 };
        let (script, queue) = queues(format!("{kind}-expired-in-queue"), kind, more);
        scripts.push(script.publish("", &queue, "hello").on(2).events(1));
    }
    let more = table! { "x-delivery-limit" => 0 };
    let (script, queue) = queues("quorum-delivery-limit", "quorum", more);
    let script = script
        .call(method!("confirm.select"))
        .publish("", &queue, "hello")
        .events(1);
    let script = script.call(method!("basic.get", queue: &queue));
    let back = method!("basic.reject", delivery_tag: 1, requeue: true);
    scripts.push(script.send(back).on(2).events(1));
    // With CC and BCC, and through an exchange.
    let (script, queue) = queues("classic-with-CC", "classic", Table::default());
    let says = properties!(headers: table! { "CC" => vec![Value::from("x")], "BCC" => vec![Value::from("y")] });
    let script = script.publish_with("", &queue, &says, "hello");
    let script = script.call(method!("basic.get", queue: &queue));
    scripts.push(
        script
            .send(method!("basic.reject", delivery_tag: 1))
            .on(2)
            .events(1),
    );
}

fn replies(scripts: &mut Vec<Script>) {
    let script = Script::new("reply");
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue));
    let consume =
        method!("basic.consume", queue: "amq.rabbitmq.reply-to", no_ack: true, consumer_tag: "r");
    let script = script.call(consume);
    let says = properties!(reply_to: "amq.rabbitmq.reply-to", correlation_id: "1");
    let script = script.publish_with("", &queue, &says, "question");
    let script = script.enters(Entry::Open(Login::default()));
    let script = script.call(method!("basic.get", queue: &queue, no_ack: true));
    let script = script.answer(|address| {
        let publish = method!("basic.publish", routing_key: address, mandatory: true);
        vec![
            Frame::method(1, &publish),
            Frame::content_header(1, 6, &properties!(correlation_id: "1")),
            Frame::body(1, b"answer"),
        ]
    });
    let script = script.settled().client(0).events(1);
    // The address is there while the consumer is.
    let script = script.client(1).answer(|address| {
        vec![Frame::method(
            1,
            &method!("queue.declare", queue: address, passive: true),
        )]
    });
    let script = script
        .reply()
        .client(0)
        .call(method!("basic.cancel", consumer_tag: "r"))
        .client(1);
    let script = script.answer(|address| {
        let publish = method!("basic.publish", routing_key: address, mandatory: true);
        vec![
            Frame::method(1, &publish),
            Frame::content_header(1, 4, &Properties::default()),
            Frame::body(1, b"late"),
        ]
    });
    scripts.push(script.events(1));
}

fn expiring(scripts: &mut Vec<Script>) {
    let script = Script::new("expires-at-once");
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let script = script.publish_with("", &queue, &properties!(expiration: "0"), "hello");
    scripts.push(script.call(method!("basic.get", queue: &queue)));
    let script = Script::new("ttl-zero");
    let queue = script.own("q");
    let arguments = table! { "x-message-ttl" => 0 };
    let declare = method!("queue.declare", queue: &queue, exclusive: true, arguments: arguments);
    let script = script.call(declare).publish("", &queue, "hello");
    scripts.push(script.call(method!("basic.get", queue: &queue)));
}

fn priorities(scripts: &mut Vec<Script>) {
    let script = Script::new("by-priority");
    let queue = script.own("q");
    let arguments = table! { "x-max-priority" => 5 };
    let declare = method!("queue.declare", queue: &queue, exclusive: true, arguments: arguments);
    let mut script = script.call(declare).call(method!("confirm.select"));
    for (priority, body) in [(1, "low"), (9, "beyond"), (5, "high"), (0, "none")] {
        let says = properties!(priority: priority);
        script = script.publish_with("", &queue, &says, body).events(1);
    }
    for _ in 0..5 {
        script = script.call(method!("basic.get", queue: &queue, no_ack: true));
    }
    scripts.push(script);
}
