//! What the broker writes into messages, where settings want it.

#[macro_use]
mod support;

use support::{Arg, Broker, Client, Message, Properties, Setup, Table, Talk, Value};

fn start(settings: &[(&str, &str)]) -> Option<Broker> {
    let setup = settings
        .iter()
        .fold(Setup::default(), |setup, (name, value)| {
            setup.env(&format!("WARREN_MESSAGE_INTERCEPTORS_{name}"), value)
        });
    setup.start()
}

/// What becomes of a message with these properties.
#[track_caller]
fn through(client: &mut Client, properties: &Properties, body: &str) -> Message {
    let queue = client.queue();
    client.publish_with("", &queue, properties, body);
    client.await_ready(&queue, 1);
    let message = client.get(&queue, true).expect("a message");
    assert_eq!(message.text(), body);
    message
}

fn with(headers: Table) -> Properties {
    properties!(headers: headers)
}

fn ms(headers: &Table, name: &str) -> u64 {
    match headers.at(name) {
        Value::I64(ms) => *ms as u64,
        other => panic!("{name}: {other:?}"),
    }
}

fn timestamp(message: &Message) -> Option<u64> {
    match message.properties.get("timestamp") {
        Some(Arg::Number(seconds)) => Some(*seconds),
        _ => None,
    }
}

#[test]
fn nothing_is_written_by_default() {
    let Some(broker) = start(&[]) else { return };
    let mut client = broker.client();
    let message = through(&mut client, &Properties::default(), "plain");
    assert_eq!(message.properties, Properties::default());
}

#[test]
fn when_a_message_came_is_written() {
    let Some(broker) = start(&[("TIMESTAMP", "overwrite")]) else {
        return;
    };
    let mut client = broker.client();
    // Small, in pieces, and with properties of its own.
    for body in ["small", &"x".repeat(300_000)] {
        let message = through(&mut client, &Properties::default(), body);
        let headers = message.headers();
        assert_eq!(headers.keys(), ["timestamp_in_ms"]);
        let at_ms = ms(&headers, "timestamp_in_ms");
        assert!(at_ms > 1_700_000_000_000, "{at_ms}");
        assert_eq!(timestamp(&message), Some(at_ms / 1000));
    }
    let own = table! { "z" => 1, "timestamp_in_ms" => "mine", "a" => 2 };
    let message = through(&mut client, &with(own).with("timestamp", 5), "own");
    let headers = message.headers();
    // As in RabbitMQ they are sorted then.
    assert_eq!(headers.keys(), ["a", "timestamp_in_ms", "z"]);
    let at_ms = ms(&headers, "timestamp_in_ms");
    assert_eq!(timestamp(&message), Some(at_ms / 1000));
}

#[test]
fn what_is_there_may_be_kept() {
    let Some(broker) = start(&[("TIMESTAMP", "keep"), ("ROUTING_NODE", "keep")]) else {
        return;
    };
    let mut client = broker.client();
    let own = table! { "x-routed-by" => "me", "timestamp_in_ms" => "mine" };
    let whole = with(own.clone()).with("timestamp", 5);
    let message = through(&mut client, &whole, "whole");
    assert_eq!(message.headers(), own);
    assert_eq!(timestamp(&message), Some(5));
    // Each is looked at for itself.
    let message = through(&mut client, &with(own.clone()), "half");
    assert!(timestamp(&message) > Some(1_700_000_000));
    assert_eq!(
        message.headers().at("timestamp_in_ms"),
        &Value::from("mine")
    );
    let message = through(&mut client, &Properties::default(), "none");
    let headers = message.headers();
    assert_eq!(headers.keys(), ["timestamp_in_ms", "x-routed-by"]);
}

#[test]
fn who_took_a_message_is_written_before_it_is_routed() {
    let Some(broker) = start(&[("ROUTING_NODE", "overwrite")]) else {
        return;
    };
    let mut client = broker.client();
    let message = through(&mut client, &Properties::default(), "body");
    let node = message.headers().at("x-routed-by").clone();
    assert!(matches!(&node, Value::Text(name) if name.starts_with(b"warren@")));
    let queue = client.queue();
    let arguments = table! { "x-match" => "all-with-x", "x-routed-by" => node.clone() };
    client
        .call(method!("queue.bind", queue: &queue, exchange: "amq.headers", arguments: arguments));
    client.call(method!("tx.select"));
    let own = with(table! { "x-routed-by" => "me" });
    client.publish_with("amq.headers", "", &own, "in a transaction");
    client.call(method!("tx.commit"));
    client.await_ready(&queue, 1);
    let message = client.get(&queue, true).expect("a message");
    assert_eq!(message.headers().at("x-routed-by"), &node);
}

#[test]
fn copies_of_a_message_say_it_too() {
    let Some(broker) = start(&[("TIMESTAMP", "overwrite"), ("SENT_TIMESTAMP", "true")]) else {
        return;
    };
    let mut client = broker.client();
    let (first, second) = (client.queue(), client.queue());
    let copies = Value::Array(vec![Value::from(&second)]);
    client.publish_with("", &first, &with(table! { "BCC" => copies }), "body");
    client.await_ready(&second, 1);
    for queue in [first, second] {
        client.await_ready(&queue, 1);
        let headers = client.get(&queue, true).expect("a message").headers();
        assert_eq!(
            headers.keys(),
            ["timestamp_in_ms", "x-opt-rabbitmq-sent-time"]
        );
    }
}

#[test]
fn when_a_message_was_sent_is_written_each_time() {
    let Some(broker) = start(&[("SENT_TIMESTAMP", "true")]) else {
        return;
    };
    let mut client = broker.client();
    let queue = client.queue();
    const SENT: &str = "x-opt-rabbitmq-sent-time";
    for number in 0..3 {
        client.publish("", &queue, &number.to_string());
    }
    client.await_ready(&queue, 3);
    let before = ms(
        &client.get(&queue, true).expect("a message").headers(),
        SENT,
    );
    client.consume(&queue, "consumer");
    for number in 1..3 {
        let delivery = client.delivery();
        assert_eq!(delivery.text(), number.to_string());
        assert!(ms(&delivery.headers(), SENT) >= before);
    }
    // What is returned is not sent to a consumer.
    client.send_content(
        method!("basic.publish", routing_key: "nowhere", mandatory: true),
        &Properties::default(),
        b"back",
    );
    let returned = client.message("basic.return");
    assert_eq!(returned.properties, Properties::default());
}
