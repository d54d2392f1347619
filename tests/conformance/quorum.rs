//! Quorum queues, as far as one node has them: what may be declared, counted returns, the delivery
//! limit.

use crate::support::*;

fn quorum(client: &mut Client, arguments: Table) -> String {
    let name = unique("quorum");
    client.send(declare(&name, arguments));
    client.expect(method!("queue.declare-ok", queue: &name));
    name
}

fn declare(name: &str, mut arguments: Table) -> Method {
    arguments
        .0
        .push(("x-queue-type".into(), Value::from("quorum")));
    method!("queue.declare", queue: name, durable: true, arguments: arguments)
}

fn delete(client: &mut Client, queue: &str) {
    client.call(method!("queue.delete", queue: queue));
}

/// Takes the next message and gives it back.
fn take_and_return(client: &mut Client, queue: &str) -> Message {
    client.await_ready(queue, 1);
    let message = client.get(queue, false).expect("a message");
    client.send(method!("basic.reject", delivery_tag: message.tag(), requeue: true));
    message
}

#[test]
fn returns_are_counted_in_a_header() {
    let mut client = Broker::shared().client();
    let queue = quorum(&mut client, table! {});
    client.publish("", &queue, "x");
    assert!(!take_and_return(&mut client, &queue).redelivered());
    for count in 1..4i64 {
        let message = take_and_return(&mut client, &queue);
        assert!(message.redelivered());
        assert_eq!(
            message.headers().at("x-delivery-count"),
            &Value::from(count)
        );
    }
    delete(&mut client, &queue);
}

/// As in RabbitMQ 4.3: a message whose consumer failed on it, or was lost, is told from one that was given
/// back otherwise, and only the former counts towards the limit.
#[test]
fn only_failures_count_towards_the_limit() {
    if !Broker::shared().is_warren() {
        return skip("RabbitMQ 3.10 counts every return");
    }
    let broker = Broker::shared();
    let mut client = broker.client();
    let queue = quorum(&mut client, table! { "x-delivery-limit" => 2 });
    client.publish("", &queue, "x");
    let mut look = |acquired: i64, failures: i64, settle: &dyn Fn(&mut Client, &Message)| {
        client.await_ready(&queue, 1);
        let message = client.get(&queue, false).expect("a message");
        assert_eq!(message.redelivered(), acquired > 0);
        for (name, count) in [
            ("x-acquired-count", acquired),
            ("x-delivery-count", failures),
        ] {
            let expected = (count > 0).then_some(Value::from(count));
            let headers = message.headers();
            assert_eq!(headers.get(name).cloned(), expected, "{name}");
        }
        settle(&mut client, &message);
    };
    look(0, 0, &|client, message| {
        client.nack(message.tag(), false, true)
    });
    look(1, 0, &|client, _| {
        drop(client.call(method!("basic.recover", requeue: true)))
    });
    look(2, 0, &|client, message| {
        client.send(method!("basic.reject", delivery_tag: message.tag(), requeue: true));
    });
    look(3, 1, &|client, message| {
        client.nack(message.tag(), true, true)
    });
    look(4, 1, &|client, _| {
        client.call(
            method!("channel.close", reply_code: 200, reply_text: "", class_id: 0, method_id: 0),
        );
        client.call(method!("channel.open"));
    });
    look(5, 2, &|client, message| {
        client.nack(message.tag(), false, true)
    });
    // The next failure is one too many.
    look(6, 2, &|client, message| {
        client.send(method!("basic.reject", delivery_tag: message.tag(), requeue: true));
    });
    assert_eq!(client.counts(&queue).0, 0);
    assert!(client.get(&queue, true).is_none());
    delete(&mut client, &queue);
}

/// What came back comes before all else, in the order in which it came back.
#[test]
fn what_came_back_comes_first() {
    let mut client = Broker::shared().client();
    let queue = quorum(&mut client, table! { "x-delivery-limit" => 20 });
    for text in ["one", "two", "three", "four"] {
        client.publish("", &queue, text);
    }
    client.await_ready(&queue, 4);
    let mut take = || client.get(&queue, false).expect("a message");
    let [one, two, three] = [take(), take(), take()];
    for (message, ready) in [(&three, 2), (&one, 3)] {
        client.send(method!("basic.reject", delivery_tag: message.tag(), requeue: true));
        client.await_ready(&queue, ready);
    }
    let mut texts = Vec::new();
    for _ in 0..3 {
        texts.push(client.get(&queue, true).expect("a message").text());
    }
    assert_eq!(texts, ["three", "one", "four"]);
    client.send(method!("basic.ack", delivery_tag: two.tag()));
    delete(&mut client, &queue);
}

/// As in RabbitMQ 4.3: 32 priorities, always; 4 for messages without one; none for what came back.
#[test]
fn higher_priorities_come_first() {
    if !Broker::shared().is_warren() {
        return skip("RabbitMQ 3.10 has no priorities in quorum queues");
    }
    let mut client = Broker::shared().client();
    let queue = quorum(&mut client, table! {});
    let publish = |client: &mut Client, priority: i32| {
        let properties = properties!(priority: priority);
        client.publish_with("", &queue, &properties, &priority.to_string());
    };
    for priority in [0, 3, 4] {
        publish(&mut client, priority);
    }
    client.publish("", &queue, "none");
    for priority in [5, 31, 200, 4] {
        publish(&mut client, priority);
    }
    client.await_ready(&queue, 8);
    let mut texts = Vec::new();
    for _ in 0..7 {
        texts.push(client.get(&queue, true).expect("a message").text());
    }
    assert_eq!(texts, ["31", "200", "5", "4", "none", "4", "3"]);
    assert_eq!(take_and_return(&mut client, &queue).text(), "0");
    publish(&mut client, 31);
    client.await_ready(&queue, 2);
    let next = client.get(&queue, true).expect("a message");
    assert_eq!((next.text().as_str(), next.redelivered()), ("0", true));
    delete(&mut client, &queue);
}

/// What expires behind a message of another priority need not wait for it.
#[test]
fn every_priority_expires_by_itself() {
    if !Broker::shared().is_warren() {
        return skip("RabbitMQ 3.10 has no priorities in quorum queues");
    }
    let mut client = Broker::shared().client();
    let queue = quorum(&mut client, table! {});
    client.publish_with("", &queue, &properties!(priority: 9), "stays");
    let passing = properties!(priority: 1, expiration: "1");
    client.publish_with("", &queue, &passing, "goes");
    client.await_ready(&queue, 1);
    assert_eq!(client.get(&queue, true).expect("a message").text(), "stays");
    delete(&mut client, &queue);
}

#[test]
fn a_message_that_came_back_too_often_dies() {
    let mut client = Broker::shared().client();
    let dead = client.queue();
    let arguments = table! {
        "x-delivery-limit" => 2,
        "x-dead-letter-exchange" => "",
        "x-dead-letter-routing-key" => &dead,
    };
    let queue = quorum(&mut client, arguments);
    client.publish("", &queue, "x");
    for _ in 0..3 {
        take_and_return(&mut client, &queue);
    }
    client.await_ready(&dead, 1);
    let message = client.get(&dead, true).expect("a dead letter");
    let headers = message.headers();
    assert_eq!(
        headers.at("x-first-death-reason"),
        &Value::from("delivery_limit")
    );
    assert_eq!(headers.at("x-first-death-queue"), &Value::from(&queue));
    let deaths = headers.at("x-death").array();
    assert_eq!(deaths.len(), 1);
    let death = deaths[0].table();
    assert_eq!(death.at("reason"), &Value::from("delivery_limit"));
    assert_eq!(death.at("count"), &Value::from(1i64));
    assert_eq!(death.at("queue"), &Value::from(&queue));
    delete(&mut client, &queue);
}

#[test]
fn only_what_stays_for_everybody_can_be_a_quorum_queue() {
    let mut client = Broker::shared().client();
    for (flag, value, property) in [
        ("auto-delete", true, "auto-delete"),
        ("exclusive", true, "exclusive-owner"),
        ("durable", false, "non-durable"),
    ] {
        let name = unique("quorum");
        let text = format!(
            "PRECONDITION_FAILED - invalid property '{property}' for queue '{name}' in vhost '/'"
        );
        client.refused(declare(&name, table! {}).with(flag, value), 406, &text);
    }
    let text =
        "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue";
    client.refused(declare("", table! {}), 406, text);
}

#[test]
fn arguments_of_classic_queues_are_refused() {
    let mut client = Broker::shared().client();
    for (argument, value) in [
        ("x-max-priority", Value::from(5)),
        ("x-queue-mode", Value::from("lazy")),
        ("x-queue-version", Value::from(2)),
    ] {
        let name = unique("quorum");
        let mut arguments = table! {};
        arguments.0.push((argument.into(), value));
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/' of queue \
             type rabbit_quorum_queue"
        );
        client.refused(declare(&name, arguments), 406, &text);
    }
}

#[test]
fn arguments_are_checked() {
    let mut client = Broker::shared().client();
    let odd = || Value::Text(b"a\xff".to_vec());
    for (argument, value, text) in [
        (
            "x-dead-letter-strategy",
            Value::from(1),
            "{unacceptable_type,signedint}",
        ),
        (
            "x-dead-letter-strategy",
            Value::from("maybe"),
            "invalid_dlx_strategy",
        ),
        ("x-dead-letter-strategy", odd(), "invalid_dlx_strategy"),
        ("x-queue-leader-locator", odd(), "invalid_queue_locator_arg"),
        (
            "x-queue-leader-locator",
            Value::from(1),
            "{unacceptable_type,signedint}",
        ),
        (
            "x-quorum-initial-group-size",
            Value::from("a"),
            "\"expected integer, got longstr\"",
        ),
        (
            "x-quorum-initial-group-size",
            Value::from(0),
            "{value_zero,0}",
        ),
    ] {
        let name = unique("quorum");
        let arguments = Table(vec![(argument.into(), value)]);
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/': {text}"
        );
        client.refused(declare(&name, arguments), 406, &text);
    }
}

#[test]
fn a_delivery_limit_that_is_no_number_is_none() {
    let mut client = Broker::shared().client();
    for value in [Value::from("a"), Value::from(true)] {
        let arguments = Table(vec![("x-delivery-limit".into(), value)]);
        let queue = quorum(&mut client, arguments);
        client.publish("", &queue, "x");
        for _ in 0..5 {
            take_and_return(&mut client, &queue);
        }
        client.await_ready(&queue, 1);
        delete(&mut client, &queue);
    }
}

#[test]
fn conditions_for_deleting_are_not_implemented() {
    for flag in ["if-unused", "if-empty"] {
        let mut client = Broker::shared().client();
        let queue = quorum(&mut client, table! {});
        client.send(method!("queue.delete", queue: &queue).with(flag, true));
        let text = format!(
            "NOT_IMPLEMENTED - cannot delete queue '{queue}' in vhost '/'. queue.delete operations \
             with {flag} flag set are not supported by quorum queues"
        );
        client.expect_connection_close(540, &text, "queue.delete");
        delete(&mut Broker::shared().client(), &queue);
    }
}

#[test]
fn prefetch_for_the_whole_channel_is_not_implemented() {
    let mut client = Broker::shared().client();
    let queue = quorum(&mut client, table! {});
    client.send(method!("basic.qos", prefetch_count: 5, global: true));
    client.expect(method!("basic.qos-ok"));
    client.send(method!("basic.consume", queue: &queue, consumer_tag: "c"));
    let text =
        format!("NOT_IMPLEMENTED - queue '{queue}' in vhost '/' does not support global qos");
    client.expect_connection_close(540, &text, "basic.consume");
    delete(&mut Broker::shared().client(), &queue);
}

#[test]
fn letters_that_must_arrive_are_like_others() {
    let mut client = Broker::shared().client();
    let dead = client.queue();
    let arguments = |extra: (&str, Value)| {
        let mut arguments = table! {
            "x-overflow" => "reject-publish",
            "x-dead-letter-strategy" => "at-least-once",
            "x-dead-letter-exchange" => "",
            "x-dead-letter-routing-key" => &dead,
        };
        arguments.0.push((extra.0.into(), extra.1));
        arguments
    };
    for (reason, extra) in [
        ("rejected", ("x-max-length", Value::from(5))),
        ("expired", ("x-message-ttl", Value::from(1))),
        ("delivery_limit", ("x-delivery-limit", Value::from(0))),
    ] {
        let queue = quorum(&mut client, arguments(extra));
        client.publish("", &queue, reason);
        match reason {
            "rejected" => {
                client.await_ready(&queue, 1);
                let message = client.get(&queue, false).expect("a message");
                client.nack(message.tag(), false, false);
            }
            "delivery_limit" => drop(take_and_return(&mut client, &queue)),
            _ => {}
        }
        client.await_ready(&dead, 1);
        let letter = client.get(&dead, true).expect("a letter");
        assert_eq!(letter.text(), reason);
        let headers = letter.headers();
        assert_eq!(headers.at("x-first-death-reason"), &Value::from(reason));
        assert_eq!(headers.at("x-first-death-queue"), &Value::from(&*queue));
        assert_eq!(client.counts(&queue).0, 0);
        delete(&mut client, &queue);
    }
}

/// How many there are then is exact in classic queues only.
#[test]
fn reject_publish_refuses_what_is_too_much_until_there_is_room() {
    let mut client = Broker::shared().client();
    let arguments = table! { "x-max-length" => 3, "x-overflow" => "reject-publish" };
    let queue = quorum(&mut client, arguments);
    client.call(method!("confirm.select"));
    let publish = |client: &mut Client, number: u32| {
        client.publish("", &queue, &number.to_string());
        client.receive().name == "basic.ack"
    };
    let taken = (0..1000).find(|number| !publish(&mut client, *number));
    let taken = taken.expect("what is too much is refused");
    assert!(taken >= 3, "{taken}");
    assert_eq!(client.take_all(&queue)[..3], ["0", "1", "2"]);
    assert!((0..1000).any(|number| publish(&mut client, number)));
    delete(&mut client, &queue);
}
