//! basic.ack, nack, reject and recover: what is settled, what goes back, and to which place.

use crate::support::*;

/// A client that has got these messages from a fresh queue and not acked them.
fn holding(bodies: &[&str]) -> (Client, String) {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    for body in bodies {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, bodies.len() as u64);
    for body in bodies {
        assert_eq!(client.get(&queue, false).expect("a message").text(), *body);
    }
    (client, queue)
}

/// What is in the queue once everything unacked went back.
fn left(client: &mut Client, queue: &str) -> Vec<String> {
    client.call(method!("channel.close", reply_code: 200));
    client.open_channel(1);
    client.take_all(queue)
}

#[test]
fn acks_settle_one_or_all_up_to_it() {
    for (tag, multiple, remain) in [
        (2, false, &["1", "3", "4"][..]),
        (3, true, &["4"]),
        (0, true, &[]),
        (4, true, &[]),
        (1, true, &["2", "3", "4"]),
    ] {
        for name in ["basic.ack", "basic.nack"] {
            let (mut client, queue) = holding(&["1", "2", "3", "4"]);
            client.send(
                Method::new(name)
                    .with("delivery_tag", tag)
                    .with("multiple", multiple),
            );
            assert_eq!(left(&mut client, &queue), remain, "{name} {tag} {multiple}");
        }
    }
}

#[test]
fn rejects_drop_or_give_back() {
    for (requeue, remain) in [(true, &["1", "2", "3"][..]), (false, &["1", "3"])] {
        let (mut client, queue) = holding(&["1", "2", "3"]);
        client.send(method!("basic.reject", delivery_tag: 2, requeue: requeue));
        assert_eq!(left(&mut client, &queue), remain);
    }
}

#[test]
fn unknown_tags_are_refused() {
    let (mut client, _) = holding(&["1", "2"]);
    client.ack(1);
    for (number, method) in (2..).zip([
        method!("basic.ack", delivery_tag: 1),
        method!("basic.ack", delivery_tag: 99),
        method!("basic.ack", delivery_tag: 0),
        method!("basic.ack", delivery_tag: 99, multiple: true),
        method!("basic.nack", delivery_tag: 99),
        method!("basic.nack", delivery_tag: 99, multiple: true),
        method!("basic.nack", delivery_tag: 0),
        method!("basic.reject", delivery_tag: 99),
        method!("basic.reject", delivery_tag: 0, requeue: true),
    ]) {
        client.open_channel(number);
        let text = format!(
            "PRECONDITION_FAILED - unknown delivery tag {}",
            method.number("delivery-tag")
        );
        client.on(number).refused(method, 406, &text);
    }
    client.send(method!("basic.ack", delivery_tag: 1));
    client.expect_close(
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
        "basic.ack",
    );
}

#[test]
fn acking_everything_where_there_is_nothing_is_fine() {
    let mut client = Broker::shared().client();
    client.send(method!("basic.ack", delivery_tag: 0, multiple: true));
    client.send(method!("basic.nack", delivery_tag: 0, multiple: true));
    client.call(method!("basic.qos"));
}

#[test]
fn multiple_skips_what_is_settled_already() {
    let (mut client, queue) = holding(&["1", "2", "3", "4"]);
    client.ack(2);
    client.send(method!("basic.ack", delivery_tag: 3, multiple: true));
    assert_eq!(left(&mut client, &queue), ["4"]);
}

#[test]
fn a_multiple_ack_of_a_settled_tag_is_refused() {
    let (mut client, _) = holding(&["1", "2", "3"]);
    client.ack(2);
    client.send(method!("basic.ack", delivery_tag: 2, multiple: true));
    client.expect_close(
        406,
        "PRECONDITION_FAILED - unknown delivery tag 2",
        "basic.ack",
    );
}

#[test]
fn tags_belong_to_their_channel() {
    let (mut client, queue) = holding(&["1"]);
    client.open_channel(2);
    let ack = method!("basic.ack", delivery_tag: 1);
    client
        .on(2)
        .refused(ack, 406, "PRECONDITION_FAILED - unknown delivery tag 1");
    assert_eq!(left(&mut client, &queue), ["1"]);
}

#[test]
fn what_goes_back_takes_its_old_place() {
    let (mut client, queue) = holding(&["1", "2", "3", "4"]);
    client.publish("", &queue, "5");
    client.await_ready(&queue, 1);
    client.nack(3, false, true);
    client.nack(1, false, true);
    client.await_ready(&queue, 3);
    let came: Vec<_> = std::iter::from_fn(|| client.get(&queue, true)).collect();
    let came: Vec<_> = came
        .iter()
        .map(|message| (message.text(), message.redelivered()))
        .collect();
    let expected =
        [("1", true), ("3", true), ("5", false)].map(|(text, again)| (text.to_string(), again));
    assert_eq!(came, expected);
}

#[test]
fn what_a_consumer_gives_back_comes_again_with_new_tags() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.consume(&queue, "c");
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    client.expect_bodies(&["1", "2"]);
    client.nack(2, true, true);
    let again = client.expect_bodies(&["1", "2"]);
    assert_eq!(
        again
            .iter()
            .map(|message| message.tag())
            .collect::<Vec<_>>(),
        [3, 4]
    );
    assert!(again.iter().all(|message| message.redelivered()));
}

#[test]
fn a_closed_channel_gives_back_in_order() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    let queue = client.queue();
    for body in ["1", "2", "3"] {
        client.publish("", &queue, body);
    }
    client.on(2).consume(&queue, "c");
    client.on(2).expect_bodies(&["1", "2", "3"]);
    client.on(2).ack(2);
    client.on(2).call(method!("channel.close", reply_code: 200));
    client.await_ready(&queue, 2);
    for body in ["1", "3"] {
        let message = client.get(&queue, true).expect("a message");
        assert_eq!(
            (message.text().as_str(), message.redelivered()),
            (body, true)
        );
    }
}

/// Two consumers had them by turns; a third gets them as they were in the queue.
#[test]
fn what_many_consumers_of_a_closed_channel_had_comes_in_order() {
    let mut client = Broker::shared().client();
    for number in 2..=3 {
        client.open_channel(number);
    }
    let queue = client.queue();
    client.on(2).consume(&queue, "a");
    client.on(2).consume(&queue, "b");
    let bodies = ["0", "1", "2", "3", "4", "5"];
    for body in bodies {
        client.publish("", &queue, body);
    }
    client.on(2).expect_bodies(&bodies);
    client.on(3).consume(&queue, "c");
    client.on(2).call(method!("channel.close", reply_code: 200));
    let back = client.on(3).expect_bodies(&bodies);
    assert!(back.iter().all(Message::redelivered));
}

#[test]
fn a_lost_connection_gives_back() {
    let mut client = Broker::shared().client();
    let name = unique("queue");
    client.call(method!("queue.declare", queue: &name));
    client.publish("", &name, "1");
    let mut other = Broker::shared().client();
    other.consume(&name, "c");
    other.expect_bodies(&["1"]);
    drop(other);
    client.await_ready(&name, 1);
    assert!(client.get(&name, true).expect("a message").redelivered());
    client.call(method!("queue.delete", queue: &name));
}

#[test]
fn recover_gives_everything_back() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.consume(&queue, "c");
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    client.expect_bodies(&["1", "2"]);
    client.ack(1);
    client.send(method!("basic.recover", requeue: true));
    client.expect(method!("basic.recover-ok"));
    let delivered = client.delivery();
    assert_eq!(
        (
            delivered.text().as_str(),
            delivered.redelivered(),
            delivered.tag()
        ),
        ("2", true, 3)
    );
}

#[test]
fn recover_async_has_no_answer() {
    let (mut client, queue) = holding(&["1"]);
    client.send(method!("basic.recover-async", requeue: true));
    client.await_ready(&queue, 1);
}

#[test]
fn recover_without_requeue_is_not_implemented() {
    for name in ["basic.recover", "basic.recover-async"] {
        let mut client = Broker::shared().client();
        client.send(Method::new(name));
        client.expect_connection_close(540, "NOT_IMPLEMENTED - requeue=false", name);
    }
}

#[test]
fn acks_may_come_in_any_order() {
    let bodies: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let (mut client, queue) = holding(&bodies);
    for tag in (1..=100).rev().filter(|tag| tag % 3 != 0) {
        client.ack(tag);
    }
    let expected: Vec<&str> = bodies
        .iter()
        .enumerate()
        .filter(|(n, _)| (n + 1) % 3 == 0)
        .map(|(_, b)| *b)
        .collect();
    assert_eq!(left(&mut client, &queue), expected);
}

/// The order is another matter.
#[test]
fn recover_gives_back_what_all_consumers_of_the_channel_had() {
    let mut client = Broker::shared().client();
    let (one, other) = (client.queue(), client.queue());
    client.consume(&one, "first");
    client.consume(&one, "second");
    client.consume(&other, "third");
    let bodies = ["1", "2", "3", "4", "5", "6"];
    for (number, body) in bodies.iter().enumerate() {
        let queue = if number < 4 { &one } else { &other };
        client.publish("", queue, body);
        client.delivery();
    }
    client.send(method!("basic.recover", requeue: true));
    client.expect(method!("basic.recover-ok"));
    let mut again: Vec<String> = (0..6)
        .map(|_| {
            let delivered = client.delivery();
            assert!(delivered.redelivered());
            delivered.text()
        })
        .collect();
    again.sort();
    assert_eq!(again, bodies);
}
