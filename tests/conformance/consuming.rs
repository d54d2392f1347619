//! basic.consume, cancel and get: tags, exclusive consumers, round robin, notifications.

use crate::support::*;

fn consume(queue: &str, tag: &str) -> Method {
    method!("basic.consume", queue: queue, consumer_tag: tag)
}

#[test]
fn deliveries_carry_tag_exchange_and_key() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("topic"), client.queue());
    client.bind(&queue, &exchange, "#");
    client.consume(&queue, "mine");
    for (tag, key) in [(1, "a"), (2, "b.c")] {
        client.publish(&exchange, key, "x");
        assert_eq!(
            client.delivery().method,
            method!("basic.deliver", consumer_tag: "mine", delivery_tag: tag, exchange: &exchange, routing_key: key)
        );
    }
}

#[test]
fn what_is_there_comes_after_consume_ok() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    client.consume(&queue, "c");
    client.expect_bodies(&["1", "2"]);
}

#[test]
fn tags_are_made_where_none_is_given() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    let mut tags = Vec::new();
    for _ in 0..2 {
        tags.push(client.call(consume(&queue, "")).text("consumer-tag"));
    }
    assert_ne!(tags[0], tags[1]);
    for tag in tags {
        let random = tag.strip_prefix("amq.ctag-").expect(&tag);
        assert_eq!(random.len(), 22);
        client.call(method!("basic.cancel", consumer_tag: &tag));
    }
}

#[test]
fn a_tag_is_used_once_in_a_channel() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    let queue = client.queue();
    client.consume(&queue, "c");
    client.on(2).consume(&queue, "c");
    client.call(method!("basic.cancel", consumer_tag: "c"));
    client.consume(&queue, "c");
    client.send(consume(&queue, "c"));
    client.expect_connection_close(
        530,
        "NOT_ALLOWED - attempt to reuse consumer tag 'c'",
        "basic.consume",
    );
}

#[test]
fn cancelling_what_is_not_there_is_fine() {
    let mut client = Broker::shared().client();
    client.send(method!("basic.cancel", consumer_tag: "nobody"));
    client.expect(method!("basic.cancel-ok", consumer_tag: "nobody"));
}

#[test]
fn after_cancel_ok_nothing_comes() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.consume(&queue, "c");
    client.call(method!("basic.cancel", consumer_tag: "c"));
    client.publish("", &queue, "stays");
    client.await_ready(&queue, 1);
}

#[test]
fn what_was_delivered_may_be_acked_after_cancel() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.consume(&queue, "c");
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    client.expect_bodies(&["1", "2"]);
    client.call(method!("basic.cancel", consumer_tag: "c"));
    client.ack(1);
    client.nack(2, false, true);
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["2"]);
}

#[test]
fn no_ack_settles_at_once() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    let queue = client.queue();
    client.on(2).call(consume(&queue, "c").with("no_ack", true));
    client.publish("", &queue, "1");
    client.on(2).expect_bodies(&["1"]);
    client.on(2).call(method!("channel.close", reply_code: 200));
    assert_eq!(client.counts(&queue), (0, 0));
}

#[test]
fn consumers_take_turns() {
    let mut client = Broker::shared().client();
    for number in 2..=4 {
        client.open_channel(number);
    }
    let queue = client.queue();
    for number in 2..=4 {
        client.on(number).consume(&queue, "c");
    }
    for body in ["1", "2", "3", "4", "5", "6"] {
        client.publish("", &queue, body);
    }
    client.on(2).expect_bodies(&["1", "4"]);
    client.on(3).expect_bodies(&["2", "5"]);
    client.on(4).expect_bodies(&["3", "6"]);
}

#[test]
fn consumers_of_one_channel_take_turns_too_and_the_order_is_kept() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.consume(&queue, "a");
    client.consume(&queue, "b");
    let bodies: Vec<String> = (1..=50).map(|n| n.to_string()).collect();
    for body in &bodies {
        client.publish("", &queue, body);
    }
    for (n, body) in (1..).zip(&bodies) {
        let message = client.delivery();
        assert_eq!((&message.text(), message.tag()), (body, n));
        let tag = if n % 2 == 1 { "a" } else { "b" };
        assert_eq!(message.method.text("consumer-tag"), tag);
    }
}

#[test]
fn an_exclusive_consumer_is_alone() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    let text = format!("ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use");
    client.open_channel(2);
    client
        .on(2)
        .call(consume(&queue, "first").with("exclusive", true));
    client.refused(consume(&queue, "second"), 403, &text);
    client.refused(
        consume(&queue, "second").with("exclusive", true),
        403,
        &text,
    );
    client
        .on(2)
        .call(method!("basic.cancel", consumer_tag: "first"));
    client.consume(&queue, "second");
    client
        .on(2)
        .refused(consume(&queue, "first").with("exclusive", true), 403, &text);
}

#[test]
fn get_takes_past_an_exclusive_consumer() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.prefetch(1);
    client.call(consume(&queue, "c").with("exclusive", true));
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    client.expect_bodies(&["1"]);
    client.await_ready(&queue, 1);
    client.open_channel(2);
    assert_eq!(client.on(2).take(&queue).as_deref(), Some("2"));
}

#[test]
fn get_counts_what_remains() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    assert_eq!(client.get(&queue, false), None);
    for body in ["1", "2", "3"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 3);
    for (tag, left) in [(1, 2), (2, 1), (3, 0)] {
        assert_eq!(
            client.get(&queue, false).expect("a message").method,
            method!("basic.get-ok", delivery_tag: tag, routing_key: &queue, message_count: left)
        );
    }
    client.send(method!("basic.get", queue: &queue));
    client.expect(method!("basic.get-empty"));
}

#[test]
fn delivery_tags_count_gets_and_deliveries_with_and_without_ack() {
    let mut client = Broker::shared().client();
    let (one, two) = (client.queue(), client.queue());
    for queue in [&one, &two] {
        client.publish("", queue, "x");
        client.publish("", queue, "x");
        client.await_ready(queue, 2);
    }
    assert_eq!(client.get(&one, true).expect("a message").tag(), 1);
    assert_eq!(client.get(&one, false).expect("a message").tag(), 2);
    client.call(consume(&two, "c").with("no_ack", true));
    assert_eq!(client.delivery().tag(), 3);
    assert_eq!(client.delivery().tag(), 4);
}

#[test]
fn a_deleted_queue_cancels_its_consumers() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    let queue = client.queue();
    client.on(2).consume(&queue, "a");
    client.on(2).consume(&queue, "b");
    client.call(method!("queue.delete", queue: &queue));
    let mut tags = [(); 2].map(|()| client.on(2).receive());
    tags.sort_by_key(|cancel| cancel.text("consumer-tag"));
    assert_eq!(
        tags,
        ["a", "b"].map(|tag| method!("basic.cancel", consumer_tag: tag, no_wait: true))
    );
    let other = client.queue();
    client.on(2).consume(&other, "a");
}

/// Durable ones, too, whose delete-ok waits until the deletion is stored.
#[test]
fn who_deletes_a_queue_hears_of_that_before_its_consumers_are_cancelled() {
    let mut client = Broker::shared().client();
    for durable in [false, true] {
        let queue = unique("deleted");
        client.call(method!("queue.declare", queue: &queue, durable: durable));
        client.consume(&queue, "a");
        client.send(method!("queue.delete", queue: &queue));
        client.send(method!("basic.qos"));
        client.expect(method!("queue.delete-ok"));
        let mut then = [(); 2].map(|()| client.receive());
        then.sort_by_key(|method| method.name != "basic.cancel");
        let cancel = method!("basic.cancel", consumer_tag: "a", no_wait: true);
        assert_eq!(then, [cancel, method!("basic.qos-ok")]);
    }
}

#[test]
fn clients_that_do_not_know_cancel_notifications_get_none() {
    let login = Login {
        capabilities: Table::default(),
        ..Login::default()
    };
    let mut client = login.open(Broker::shared().address());
    client.open_channel(1);
    client.open_channel(2);
    let queue = client.queue();
    client.on(2).consume(&queue, "a");
    client.call(method!("queue.delete", queue: &queue));
    client.on(2).call(method!("basic.qos"));
}

#[test]
fn one_ack_may_settle_deliveries_of_many_queues() {
    let mut client = Broker::shared().client();
    let (one, two) = (client.queue(), client.queue());
    client.consume(&one, "one");
    client.consume(&two, "two");
    client.publish("", &one, "1");
    client.delivery();
    client.publish("", &two, "2");
    client.delivery();
    client.send(method!("basic.ack", delivery_tag: 2, multiple: true));
    client.call(method!("channel.close", reply_code: 200));
    client.open_channel(1);
    assert_eq!((client.counts(&one), client.counts(&two)), ((0, 0), (0, 0)));
}

#[test]
fn higher_priorities_are_served_first() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    client.open_channel(3);
    let queue = client.queue();
    client.on(2).prefetch(2);
    client
        .on(2)
        .call(consume(&queue, "high").with("arguments", table! { "x-priority" => 10 }));
    client.on(3).consume(&queue, "low");
    for body in ["1", "2", "3", "4"] {
        client.publish("", &queue, body);
    }
    client.on(2).expect_bodies(&["1", "2"]);
    client.on(3).expect_bodies(&["3", "4"]);
    client
        .on(2)
        .send(method!("basic.ack", delivery_tag: 2, multiple: true));
    client.on(2).call(method!("basic.qos", prefetch_count: 2));
    client.counts(&queue);
    client.publish("", &queue, "5");
    client.on(2).expect_bodies(&["5"]);
}

#[test]
fn negative_priorities_are_served_last() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    client.open_channel(3);
    let queue = client.queue();
    client
        .on(2)
        .call(consume(&queue, "low").with("arguments", table! { "x-priority" => -1 }));
    client.on(3).prefetch(1);
    client.on(3).consume(&queue, "normal");
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    client.on(3).expect_bodies(&["1"]);
    client.on(2).expect_bodies(&["2"]);
}

#[test]
fn the_priority_must_be_a_number() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    for (value, kind) in [
        (Value::from("high"), "longstr"),
        (Value::from(true), "bool"),
    ] {
        let arguments = Table(vec![("x-priority".into(), value)]);
        let text = format!(
            "PRECONDITION_FAILED - invalid arg 'x-priority' for queue '{queue}' in vhost '/': \
             \"expected integer, got {kind}\""
        );
        client.refused(
            consume(&queue, "c").with("arguments", arguments),
            406,
            &text,
        );
    }
}

#[test]
fn single_active_consumer_hands_over() {
    let mut client = Broker::shared().client();
    for number in 2..=3 {
        client.open_channel(number);
    }
    let queue = client.queue_with(table! { "x-single-active-consumer" => true });
    client.on(2).consume(&queue, "first");
    client.on(3).consume(&queue, "second");
    for body in ["1", "2", "3"] {
        client.publish("", &queue, body);
    }
    client.on(2).expect_bodies(&["1", "2", "3"]);
    client.on(2).ack(1);
    client
        .on(2)
        .call(method!("basic.cancel", consumer_tag: "first"));
    client.publish("", &queue, "4");
    client.on(3).expect_bodies(&["4"]);
    client.on(2).call(method!("channel.close", reply_code: 200));
    let back = client.on(3).expect_bodies(&["2", "3"]);
    assert!(back.iter().all(|message| message.redelivered()));
}

/// However its predecessor ends.
#[test]
fn the_next_single_active_consumer_first_gets_what_came_back() {
    for ends_connection in [false, true] {
        let mut client = Broker::shared().client();
        let mut first = Broker::shared().client();
        client.open_channel(2);
        let queue = unique("queue");
        let arguments = table! { "x-single-active-consumer" => true };
        client.call(method!("queue.declare", queue: &queue, arguments: arguments));
        first.open_channel(2);
        first.on(2).prefetch(1);
        first.on(2).consume(&queue, "first");
        client.on(2).consume(&queue, "second");
        let bodies = ["0", "1", "2", "3"];
        for body in bodies {
            client.publish("", &queue, body);
        }
        first.on(2).expect_bodies(&["0"]);
        client.await_ready(&queue, 3);
        if ends_connection {
            drop(first);
        } else {
            first.on(2).call(method!("channel.close", reply_code: 200));
        }
        let back = client.on(2).expect_bodies(&bodies);
        let redelivered: Vec<bool> = back.iter().map(Message::redelivered).collect();
        assert_eq!(redelivered, [true, false, false, false]);
        client.call(method!("queue.delete", queue: &queue));
    }
}

/// RabbitMQ 3.10's queue waits for something else to happen, and may crash over it.
#[test]
fn a_cancelled_single_active_consumer_is_followed_after_cancel_ok() {
    let broker = Broker::shared();
    if !broker.is_warren() {
        return skip("RabbitMQ 3.10 does not hand over here");
    }
    let mut client = broker.client();
    let queue = client.queue_with(table! { "x-single-active-consumer" => true });
    client.prefetch(1);
    client.consume(&queue, "first");
    client.consume(&queue, "second");
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    client.expect_bodies(&["1"]);
    client.send(method!("basic.cancel", consumer_tag: "first"));
    client.expect(method!("basic.cancel-ok", consumer_tag: "first"));
    let next = client.delivery();
    assert_eq!(
        (next.text().as_str(), next.method.text("consumer-tag")),
        ("2", "second".to_owned())
    );
}

/// As in RabbitMQ since 4.0, for quorum queues alone: once everything is settled that the active one has.
#[test]
fn a_single_active_consumer_makes_way_for_a_higher_priority() {
    let broker = Broker::shared();
    if !broker.is_warren() {
        return skip("RabbitMQ 3.10 leaves it the active one");
    }
    let mut client = broker.client();
    for number in 2..=4 {
        client.open_channel(number);
    }
    let queue = unique("quorum");
    let arguments = table! { "x-queue-type" => "quorum", "x-single-active-consumer" => true };
    client.call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
    let with = |tag: &str, priority: i32| {
        consume(&queue, tag).with("arguments", table! { "x-priority" => priority })
    };
    client.on(2).call(with("low", 1));
    for body in ["1", "2"] {
        client.publish("", &queue, body);
    }
    client.on(2).expect_bodies(&["1", "2"]);
    client.on(3).call(with("high", 5));
    client.publish("", &queue, "3");
    client.await_ready(&queue, 1);
    client.on(2).ack(1);
    // A reply comes after whatever was done before.
    client.on(2).call(method!("basic.qos"));
    assert_eq!(client.counts(&queue).0, 1);
    client.on(2).ack(2);
    client.on(3).expect_bodies(&["3"]);
    // Who is as important waits, and so does who is less.
    client.on(4).call(with("same", 5));
    client.publish("", &queue, "4");
    client.on(3).expect_bodies(&["4"]);
    // One that goes again before it had its turn leaves the active one where it was.
    client.on(4).call(with("higher", 9));
    client.publish("", &queue, "5");
    client.await_ready(&queue, 1);
    client
        .on(4)
        .call(method!("basic.cancel", consumer_tag: "higher"));
    client.on(3).expect_bodies(&["5"]);
    client.publish("", &queue, "6");
    client.on(3).expect_bodies(&["6"]);
    // With nothing out there is nothing to wait for; what comes back is the next one's.
    client
        .on(3)
        .call(method!("basic.cancel", consumer_tag: "high"));
    client.publish("", &queue, "7");
    client.on(4).expect_bodies(&["7"]);
    client.on(3).call(method!("channel.close", reply_code: 200));
    client.on(4).expect_bodies(&["3", "4", "5", "6"]);
    client.call(method!("queue.delete", queue: &queue));
}

#[test]
fn single_active_consumer_excludes_exclusive_ones() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-single-active-consumer" => true });
    let text = format!("ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use");
    client.refused(consume(&queue, "c").with("exclusive", true), 403, &text);
}

#[test]
fn a_slow_single_active_consumer_is_not_passed_over() {
    let mut client = Broker::shared().client();
    for number in 2..=3 {
        client.open_channel(number);
    }
    let queue = client.queue_with(table! { "x-single-active-consumer" => true });
    client.on(2).prefetch(1);
    client.on(2).consume(&queue, "first");
    client.on(3).consume(&queue, "second");
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    client.on(2).expect_bodies(&["1"]);
    client.await_ready(&queue, 1);
    client.on(2).ack(1);
    client.on(2).expect_bodies(&["2"]);
}

#[test]
fn a_consumer_gets_its_own_messages_no_local_or_not() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.call(consume(&queue, "c").with("no_local", true));
    client.publish("", &queue, "own");
    client.expect_bodies(&["own"]);
}

/// RabbitMQ 4 does not look at it. 3.10, whose AMQP 1.0 clients use it, counts by it if both of its parts are of
/// the right type, and ends the connection with 541 if it is no table.
#[test]
fn x_credit_does_nothing() {
    let broker = Broker::shared();
    let credit = |credit: Value| table! { "credit" => credit, "drain" => false };
    let mut values = vec![Value::Table(credit(Value::I32(1)))];
    if broker.is_warren() {
        values.extend([
            Value::Table(credit(Value::I64(1))),
            Value::I32(1),
            Value::Void,
        ]);
    }
    for value in values {
        let mut client = broker.client();
        let queue = client.queue();
        let arguments = table! { "x-credit" => value };
        client.call(
            method!("basic.consume", queue: &queue, consumer_tag: "c", no_ack: true, arguments: arguments),
        );
        for body in ["1", "2", "3"] {
            client.publish("", &queue, body);
        }
        client.expect_bodies(&["1", "2", "3"]);
    }
}
