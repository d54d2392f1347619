//! Length limits of queues, and what a queue does when it is full.

use crate::support::*;

fn publish_all(client: &mut Client, queue: &str, bodies: &[&str]) {
    for body in bodies {
        client.publish("", queue, body);
    }
}

#[test]
fn the_oldest_go_first() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-length" => 2 });
    publish_all(&mut client, &queue, &["1", "2", "3", "4"]);
    client.await_ready(&queue, 2);
    assert_eq!(client.take_all(&queue), ["3", "4"]);
}

/// Each pushes out what is too much when it comes, however many come at once.
#[test]
fn with_priorities_the_head_goes_each_time() {
    for limit in ["x-max-length", "x-max-length-bytes"] {
        let mut client = Broker::shared().client();
        let dead = client.queue();
        let mut arguments = table! {
            "x-max-priority" => 5, "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => &dead,
        };
        arguments.0.push((limit.into(), Value::from(2)));
        let queue = client.queue_with(arguments);
        let mut frames = Vec::new();
        for (body, priority) in [("a", 1), ("b", 3), ("c", 2), ("d", 0), ("e", 4), ("f", 1)] {
            let publish = method!("basic.publish", routing_key: &queue);
            let properties = properties!(priority: priority);
            frames.extend(Frame::method(1, &publish).encode());
            frames.extend(Frame::content_header(1, 1, &properties).encode());
            frames.extend(Frame::body(1, body.as_bytes()).encode());
        }
        client.send_bytes(&frames);
        client.await_ready(&dead, 4);
        assert_eq!(client.take_all(&dead), ["b", "c", "e", "a"]);
        assert_eq!(client.take_all(&queue), ["f", "d"]);
    }
}

#[test]
fn bytes_are_counted_over_bodies() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-length-bytes" => 10 });
    let properties =
        properties!(message_id: "long and not counted", headers: table! { "nor" => "this" });
    for body in ["aaaa", "bbbb", "cc", "d"] {
        client.publish_with("", &queue, &properties, body);
    }
    client.counts(&queue);
    assert_eq!(client.take_all(&queue), ["bbbb", "cc", "d"]);
}

#[test]
fn a_body_larger_than_the_limit_goes_at_once() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-length-bytes" => 3 });
    publish_all(&mut client, &queue, &["abc", "abcd"]);
    client.await_ready(&queue, 0);
}

#[test]
fn both_limits_hold() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-length" => 3, "x-max-length-bytes" => 4 });
    publish_all(&mut client, &queue, &["1", "2", "3", "4"]);
    client.await_ready(&queue, 3);
    client.publish("", &queue, "555");
    client.await_ready(&queue, 2);
    assert_eq!(client.take_all(&queue), ["4", "555"]);
}

#[test]
fn a_limit_of_zero_keeps_nothing_but_waiting_consumers_are_served() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-length" => 0 });
    client.publish("", &queue, "nobody waits");
    client.await_ready(&queue, 0);
    client.consume(&queue, "c");
    client.publish("", &queue, "somebody waits");
    client.expect_bodies(&["somebody waits"]);
}

#[test]
fn what_is_unacked_does_not_count() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-length" => 1 });
    client.publish("", &queue, "1");
    client.await_ready(&queue, 1);
    client.get(&queue, false);
    client.publish("", &queue, "2");
    client.await_ready(&queue, 1);
    // What goes back is the oldest, and goes.
    client.nack(1, false, true);
    client.call(method!("basic.qos"));
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["2"]);
}

#[test]
fn publishes_may_be_refused_instead() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-length" => 2, "x-overflow" => "reject-publish" });
    client.call(method!("confirm.select"));
    for (tag, answer) in [
        (1, "basic.ack"),
        (2, "basic.ack"),
        (3, "basic.nack"),
        (4, "basic.nack"),
    ] {
        client.publish("", &queue, &tag.to_string());
        match answer {
            // With the bits that RabbitMQ sets.
            "basic.nack" => client
                .expect(method!("basic.nack", delivery_tag: tag, multiple: true, requeue: true)),
            _ => client.expect(method!("basic.ack", delivery_tag: tag)),
        }
    }
    assert_eq!(client.take(&queue).as_deref(), Some("1"));
    client.publish("", &queue, "5");
    client.expect(method!("basic.ack", delivery_tag: 5));
    assert_eq!(client.take_all(&queue), ["2", "5"]);
}

#[test]
fn refused_publishes_are_dropped_silently_without_confirms() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-length" => 1, "x-overflow" => "reject-publish" });
    let publish = method!("basic.publish", routing_key: &queue, mandatory: true);
    for body in [b"1", b"2"] {
        client.send_content(publish.clone(), &Properties::default(), body);
    }
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["1"]);
}

#[test]
fn one_full_queue_of_many_makes_a_nack() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("fanout");
    let full = client.queue_with(table! { "x-max-length" => 0, "x-overflow" => "reject-publish" });
    let free = client.queue();
    client.bind(&full, &exchange, "");
    client.bind(&free, &exchange, "");
    client.call(method!("confirm.select"));
    client.publish(&exchange, "", "x");
    client.expect_nack(1);
    client.await_ready(&free, 1);
}

#[test]
fn a_refused_body_leaves_room_for_a_smaller_one() {
    let mut client = Broker::shared().client();
    let queue =
        client.queue_with(table! { "x-max-length-bytes" => 5, "x-overflow" => "reject-publish" });
    client.call(method!("confirm.select"));
    client.publish("", &queue, "abc");
    client.expect(method!("basic.ack", delivery_tag: 1));
    client.publish("", &queue, "defg");
    client.expect_nack(2);
    client.publish("", &queue, "h");
    client.expect(method!("basic.ack", delivery_tag: 3));
    assert_eq!(client.take_all(&queue), ["abc", "h"]);
}
