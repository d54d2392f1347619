//! Exchanges that keep messages for a while: x-delayed-message. RabbitMQ needs the plugin
//! rabbitmq_delayed_message_exchange for them.

use std::time::{Duration, Instant};

use crate::support::*;

fn declare(name: &str, arguments: Table) -> Method {
    method!("exchange.declare", exchange: name, type: "x-delayed-message", arguments: arguments)
}

fn exchange(client: &mut Client, kind: &str) -> String {
    let name = unique("later");
    client.call(declare(&name, table! { "x-delayed-type" => kind }));
    name
}

fn publish(client: &mut Client, exchange: &str, key: &str, delay: impl Into<Value>, body: &str) {
    let headers = Table(vec![("x-delay".into(), delay.into())]);
    client.publish_with(exchange, key, &properties!(headers: headers), body);
}

#[test]
fn the_type_by_which_it_routes_must_be_another() {
    let mut client = Broker::shared().client();
    let text = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type";
    for arguments in [table! {}, table! { "x-delayed-type" => 5 }] {
        client.refused(declare(&unique("x"), arguments), 406, text);
    }
    let text = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'";
    let arguments = table! { "x-delayed-type" => "x-delayed-message" };
    client.refused(declare(&unique("x"), arguments), 406, text);

    client.send(declare(
        &unique("x"),
        table! { "x-delayed-type" => "roundabout" },
    ));
    let text = "COMMAND_INVALID - unknown exchange type 'roundabout'";
    client.expect_connection_close(503, text, "exchange.declare");
}

#[test]
fn the_other_type_checks_its_arguments_and_bindings() {
    let mut client = Broker::shared().client();
    let name = exchange(&mut client, "headers");
    let queue = client.queue();
    let arguments = table! { "x-match" => "some" };
    let bind = method!("queue.bind", queue: &queue, exchange: &name, arguments: arguments);
    client.send(bind);
    assert_eq!(
        client.expect_name("channel.close").number("reply-code"),
        406
    );
    client.send(method!("channel.close-ok"));
}

#[test]
fn messages_come_when_their_delay_is_over() {
    let mut client = Broker::shared().client();
    let name = exchange(&mut client, "direct");
    let queue = client.queue();
    client.bind(&queue, &name, "k");
    client.consume(&queue, "c");
    let start = Instant::now();
    publish(&mut client, &name, "k", 400, "third");
    publish(&mut client, &name, "k", 100, "second");
    publish(&mut client, &name, "other", 100, "nowhere");
    publish(&mut client, &name, "k", 0, "first");
    let messages = client.expect_bodies(&["first", "second", "third"]);
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert_eq!(messages[0].headers().at("x-delay"), &Value::I32(0));
    for (message, delay) in messages[1..].iter().zip([-100, -400]) {
        assert_eq!(message.headers().at("x-delay"), &Value::I64(delay));
        assert_eq!(message.method.text("exchange"), name);
        assert_eq!(message.method.text("routing-key"), "k");
        assert!(!message.redelivered());
    }
}

#[test]
fn what_is_no_delay_above_zero_does_not_delay() {
    let mut client = Broker::shared().client();
    let name = exchange(&mut client, "fanout");
    let queue = client.queue();
    client.bind(&queue, &name, "");
    client.consume(&queue, "c");
    client.publish(&name, "", "none");
    publish(&mut client, &name, "", -5000, "negative");
    publish(&mut client, &name, "", true, "no number");
    let messages = client.expect_bodies(&["none", "negative", "no number"]);
    assert_eq!(messages[1].headers().at("x-delay"), &Value::I32(-5000));
    // Numbers of other types are.
    let start = Instant::now();
    publish(&mut client, &name, "", "100", "text");
    publish(&mut client, &name, "", Value::F64(200.7), "fraction");
    publish(&mut client, &name, "", Value::U16(300), "short");
    client.expect_bodies(&["text", "fraction", "short"]);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn it_routes_as_the_other_type() {
    let mut client = Broker::shared().client();
    let name = exchange(&mut client, "topic");
    let queues = [client.queue(), client.queue()];
    client.bind(&queues[0], &name, "a.*");
    client.bind(&queues[1], &name, "*.b");
    publish(&mut client, &name, "a.b", 50, "both");
    publish(&mut client, &name, "a.c", 50, "first");
    publish(&mut client, &name, "c.b", 50, "second");
    for (queue, other) in queues.iter().zip(["first", "second"]) {
        client.await_ready(queue, 2);
        assert_eq!(client.take_all(queue), ["both", other]);
    }
}

#[test]
fn carbon_copies_are_routed_as_well() {
    let mut client = Broker::shared().client();
    let name = exchange(&mut client, "direct");
    let queues: Vec<String> = ["own", "cc", "bcc"]
        .iter()
        .map(|key| {
            let queue = client.queue();
            client.bind(&queue, &name, key);
            queue
        })
        .collect();
    let headers = table! {
        "x-delay" => 50,
        "CC" => Value::Array(vec!["cc".into()]),
        "BCC" => Value::Array(vec!["bcc".into()])
    };
    client.publish_with(&name, "own", &properties!(headers: headers), "x");
    for queue in &queues {
        client.await_ready(queue, 1);
        let message = client.get(queue, true).expect("a message");
        assert_eq!(message.headers().get("BCC"), None);
        assert!(message.headers().get("CC").is_some());
    }
}

#[test]
fn it_is_confirmed_before_it_is_routed() {
    let mut client = Broker::shared().client();
    client.call(method!("confirm.select"));
    let name = exchange(&mut client, "fanout");
    let queue = client.queue();
    client.bind(&queue, &name, "");
    publish(&mut client, &name, "", 3_600_000, "much later");
    client.expect_name("basic.ack");
    assert_eq!(client.counts(&queue).0, 0);
}

/// Its delay is negative from then on, so no other exchange delays it again.
#[test]
fn a_message_is_delayed_once() {
    let mut client = Broker::shared().client();
    let names = [
        exchange(&mut client, "fanout"),
        exchange(&mut client, "fanout"),
    ];
    client.call(method!("exchange.bind", destination: &names[1], source: &names[0]));
    let queue = client.queue();
    client.bind(&queue, &names[1], "");
    client.consume(&queue, "c");
    publish(&mut client, &names[0], "k", 200, "once");
    let message = client.delivery();
    assert_eq!(message.headers().at("x-delay"), &Value::I64(-200));
    assert_eq!(message.method.text("exchange"), names[0]);
}

#[test]
fn who_binds_before_it_is_over_gets_it() {
    let mut client = Broker::shared().client();
    let name = exchange(&mut client, "direct");
    let queue = client.queue();
    client.bind(&queue, &name, "k");
    publish(&mut client, &name, "k", 300, "to the other");
    client.call(method!("queue.unbind", queue: &queue, exchange: &name, routing_key: "k"));
    let other = client.queue();
    client.bind(&other, &name, "k");
    client.await_ready(&other, 1);
    assert_eq!(client.counts(&queue).0, 0);
}

#[test]
fn what_waits_goes_with_the_exchange() {
    let mut client = Broker::shared().client();
    let name = exchange(&mut client, "fanout");
    let queue = client.queue();
    publish(&mut client, &name, "", 200, "gone");
    client.call(method!("exchange.delete", exchange: &name));
    client.call(declare(&name, table! { "x-delayed-type" => "fanout" }));
    client.bind(&queue, &name, "");
    client.consume(&queue, "c");
    publish(&mut client, &name, "", 400, "there");
    client.expect_bodies(&["there"]);
}
