//! Time to live of messages and queues.

use crate::support::broker::eventually;
use crate::support::*;

#[test]
fn a_queues_ttl_holds_for_its_messages() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-message-ttl" => 20 });
    client.call(method!("confirm.select"));
    client.publish("", &queue, "x");
    client.expect(method!("basic.ack", delivery_tag: 1));
    client.await_ready(&queue, 0);
    assert_eq!(client.take(&queue), None);
}

#[test]
fn a_messages_own_ttl_holds() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.call(method!("confirm.select"));
    client.publish_with("", &queue, &properties!(expiration: "20"), "x");
    client.publish("", &queue, "stays");
    // RabbitMQ may count before it takes what was published: only now it has both.
    while client.expect_name("basic.ack").number("delivery-tag") < 2 {}
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["stays"]);
}

#[test]
fn the_shorter_ttl_wins() {
    for (queue_ttl, message_ttl) in [(20, "60000"), (60_000, "20")] {
        let mut client = Broker::shared().client();
        let queue = client.queue_with(table! { "x-message-ttl" => queue_ttl });
        client.call(method!("confirm.select"));
        client.publish_with("", &queue, &properties!(expiration: message_ttl), "x");
        client.expect(method!("basic.ack", delivery_tag: 1));
        client.await_ready(&queue, 0);
    }
}

#[test]
fn a_message_that_lives_longer_shields_those_behind_it() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.publish("", &queue, "shield");
    client.publish_with("", &queue, &properties!(expiration: "1"), "x");
    client.await_ready(&queue, 2);
    let marker = client.queue_with(table! { "x-message-ttl" => 100 });
    client.publish("", &marker, "time passes");
    client.await_ready(&marker, 1);
    client.await_ready(&marker, 0);
    assert_eq!(client.counts(&queue).0, 2);
    // Once it is at the head it is dropped, not delivered.
    assert_eq!(client.take_all(&queue), ["shield"]);
}

#[test]
fn what_goes_back_expires_too() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-message-ttl" => 100 });
    client.publish("", &queue, "x");
    let mut held = None;
    eventually("delivered", || {
        held = client.get(&queue, false);
        held.is_some()
    });
    let marker = client.queue_with(table! { "x-message-ttl" => 150 });
    client.publish("", &marker, "time passes");
    client.await_ready(&marker, 1);
    client.await_ready(&marker, 0);
    client.nack(held.expect("a message").tag(), false, true);
    client.await_ready(&queue, 0);
}

#[test]
fn a_ttl_of_zero_reaches_consumers_that_wait() {
    for (arguments, properties) in [
        (table! { "x-message-ttl" => 0 }, properties!()),
        (table! {}, properties!(expiration: "0")),
    ] {
        let mut client = Broker::shared().client();
        let queue = client.queue_with(arguments);
        client.call(method!("confirm.select"));
        client.publish_with("", &queue, &properties, "nobody waits");
        client.expect(method!("basic.ack", delivery_tag: 1));
        client.await_ready(&queue, 0);
        client.open_channel(2);
        let mut client = client.on(2);
        client.consume(&queue, "c");
        client.publish_with("", &queue, &properties, "somebody waits");
        client.expect_bodies(&["somebody waits"]);
    }
}

#[test]
fn what_is_unacked_does_not_expire() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-message-ttl" => 50 });
    client.consume(&queue, "c");
    client.publish("", &queue, "x");
    client.expect_bodies(&["x"]);
    let marker = client.queue_with(table! { "x-message-ttl" => 100 });
    client.publish("", &marker, "time passes");
    client.await_ready(&marker, 1);
    client.await_ready(&marker, 0);
    client.ack(1);
    client.call(method!("basic.qos"));
}

fn exists(client: &mut Client, queue: &str) -> bool {
    client.send(method!("queue.declare", queue: queue, passive: true));
    match client.receive().name {
        "channel.close" => {
            client.send(method!("channel.close-ok"));
            client.open_channel(1);
            false
        }
        _ => true,
    }
}

#[test]
fn a_queue_nobody_uses_expires() {
    let mut client = Broker::shared().client();
    let (queue, watch) = (unique("expires"), client.queue());
    client.call(method!("queue.declare", queue: &queue, arguments: table! { "x-expires" => 50 }));
    client.publish("", &queue, "does not count as use");
    await_gone(&mut client, &queue, &watch);
    assert!(!exists(&mut client, &queue));
}

#[test]
fn a_queue_with_a_consumer_does_not_expire() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    let queue = client.queue_with(table! { "x-expires" => 50 });
    client.on(2).consume(&queue, "c");
    let marker = client.queue_with(table! { "x-message-ttl" => 150 });
    client.publish("", &marker, "time passes");
    client.await_ready(&marker, 1);
    client.await_ready(&marker, 0);
    assert!(exists(&mut client, &queue));
}

#[test]
fn expiring_queues_do_not_dead_letter() {
    let mut client = Broker::shared().client();
    let dead = client.queue();
    let queue = client.queue_with(table! {
        "x-expires" => 50, "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => &dead,
    });
    client.publish("", &queue, "x");
    eventually("gone", || {
        let publish = method!("basic.publish", routing_key: &queue, mandatory: true);
        client.send_content(publish, &Properties::default(), b"x");
        client.send(method!("queue.declare", queue: &dead, passive: true));
        let answer = client.receive();
        if answer.name == "basic.return" {
            client.content(answer);
            client.expect_name("queue.declare-ok");
            return true;
        }
        false
    });
    assert_eq!(client.counts(&dead).0, 0);
}

/// Looking at the queue would count as use: publishes to it until it is gone. `watch` is another one.
fn await_gone(client: &mut Client, queue: &str, watch: &str) {
    eventually("gone", || {
        let publish = method!("basic.publish", routing_key: queue, mandatory: true);
        client.send_content(publish, &Properties::default(), b"x");
        client.send(method!("queue.declare", queue: watch, passive: true));
        let answer = client.receive();
        if answer.name == "basic.return" {
            client.content(answer);
            client.expect_name("queue.declare-ok");
            return true;
        }
        false
    });
}

#[test]
fn an_unused_quorum_queue_goes_as_well() {
    let mut client = Broker::shared().client();
    let (queue, watch) = (unique("expires"), client.queue());
    let arguments = table! { "x-queue-type" => "quorum", "x-expires" => 50 };
    client.call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
    await_gone(&mut client, &queue, &watch);
    assert!(!exists(&mut client, &queue));
}

/// Declaring it again counts as use for other queues alone.
#[test]
fn a_quorum_queue_expires_however_often_it_is_declared() {
    let mut client = Broker::shared().client();
    let queue = unique("quorum");
    let declare = || {
        let arguments = table! { "x-queue-type" => "quorum", "x-expires" => 500 };
        method!("queue.declare", queue: &queue, durable: true, arguments: arguments)
    };
    client.call(declare());
    client.publish("", &queue, "x");
    client.await_ready(&queue, 1);
    eventually("it is made anew", || {
        client.call(declare()).number("message-count") == 0
    });
    client.call(method!("queue.delete", queue: &queue));
}
