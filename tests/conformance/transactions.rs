//! tx: publishes and acks take effect at commit, all of them, or never.

use crate::support::*;

fn transactional() -> Client {
    let mut client = Broker::shared().client();
    client.call(method!("tx.select"));
    client
}

#[test]
fn publishes_wait_for_commit() {
    let mut client = transactional();
    let queue = client.queue();
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    assert_eq!(client.counts(&queue).0, 0);
    client.call(method!("tx.commit"));
    assert_eq!(client.counts(&queue).0, 2);
    assert_eq!(client.take_all(&queue), ["1", "2"]);
}

#[test]
fn publishes_are_forgotten_by_rollback() {
    let mut client = transactional();
    let queue = client.queue();
    client.publish("", &queue, "1");
    client.call(method!("tx.rollback"));
    client.publish("", &queue, "2");
    client.call(method!("tx.commit"));
    assert_eq!(client.take_all(&queue), ["2"]);
}

#[test]
fn publishes_are_forgotten_when_the_channel_closes() {
    let mut client = transactional();
    let queue = client.queue();
    client.publish("", &queue, "1");
    client.call(method!("channel.close", reply_code: 200));
    client.open_channel(1);
    assert_eq!(client.counts(&queue).0, 0);
}

#[test]
fn acks_wait_for_commit() {
    let mut client = transactional();
    client.open_channel(2);
    let queue = client.queue();
    for body in ["1", "2", "3"] {
        client.on(2).publish("", &queue, body);
    }
    client.await_ready(&queue, 3);
    for _ in 0..3 {
        client.get(&queue, false);
    }
    client.ack(1);
    client.nack(2, false, false);
    client.call(method!("tx.commit"));
    client.ack(3);
    client.call(method!("channel.close", reply_code: 200));
    client.on(2).await_ready(&queue, 1);
    client.open_channel(1);
    assert_eq!(client.take_all(&queue), ["3"]);
}

/// Durable or not: what an ack, a reject or a return makes possible comes after commit-ok.
#[test]
fn commit_ok_comes_before_what_the_commit_makes_possible() {
    for durable in [false, true] {
        let mut client = transactional();
        let mut other = Broker::shared().client();
        let queue = unique("queue");
        other.call(method!("queue.declare", queue: &queue, durable: durable));
        let delivery_mode = if durable { 2 } else { 1 };
        let properties = properties!(delivery_mode: delivery_mode);
        for body in ["1", "2", "3"] {
            other.publish_with("", &queue, &properties, body);
        }
        other.await_ready(&queue, 3);
        client.prefetch(1);
        client.consume(&queue, "c");
        client.expect_bodies(&["1"]);
        client.ack(1);
        client.send(method!("tx.commit"));
        client.expect(method!("tx.commit-ok"));
        client.expect_bodies(&["2"]);
        client.nack(2, false, true);
        client.send(method!("tx.commit"));
        client.expect(method!("tx.commit-ok"));
        let again = client.expect_bodies(&["2"]);
        assert!(again[0].redelivered());
        client.nack(3, false, false);
        client.send(method!("tx.commit"));
        client.expect(method!("tx.commit-ok"));
        client.expect_bodies(&["3"]);
        other.call(method!("queue.delete", queue: &queue));
    }
}

#[test]
fn rejects_wait_for_commit() {
    let mut client = transactional();
    client.open_channel(2);
    let queue = client.queue();
    client.on(2).publish("", &queue, "1");
    client.await_ready(&queue, 1);
    client.get(&queue, false);
    client.nack(1, false, true);
    assert_eq!(client.counts(&queue).0, 0);
    client.call(method!("tx.commit"));
    client.await_ready(&queue, 1);
}

#[test]
fn acks_are_forgotten_by_rollback() {
    let mut client = transactional();
    client.open_channel(2);
    let queue = client.queue();
    client.on(2).publish("", &queue, "1");
    client.await_ready(&queue, 1);
    client.get(&queue, false);
    client.ack(1);
    client.call(method!("tx.rollback"));
    // The delivery is open again and may be acked.
    client.ack(1);
    client.call(method!("tx.commit"));
    client.call(method!("channel.close", reply_code: 200));
    assert_eq!(client.on(2).counts(&queue).0, 0);
}

#[test]
fn a_tag_is_acked_once_in_a_transaction() {
    let mut client = transactional();
    client.open_channel(2);
    let queue = client.queue();
    client.on(2).publish("", &queue, "1");
    client.await_ready(&queue, 1);
    client.get(&queue, false);
    client.ack(1);
    client.ack(1);
    client.expect_close(
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
        "basic.ack",
    );
}

#[test]
fn selecting_twice_is_fine() {
    let mut client = transactional();
    let queue = client.queue();
    client.publish("", &queue, "1");
    client.call(method!("tx.select"));
    client.call(method!("tx.commit"));
    assert_eq!(client.counts(&queue).0, 1);
}

#[test]
fn nothing_to_commit_is_fine() {
    let mut client = transactional();
    client.call(method!("tx.commit"));
    client.call(method!("tx.rollback"));
}

#[test]
fn without_select_there_is_no_transaction() {
    for name in ["tx.commit", "tx.rollback"] {
        let mut client = Broker::shared().client();
        client.refused(
            Method::new(name),
            406,
            "PRECONDITION_FAILED - channel is not transactional",
        );
    }
}

#[test]
fn mandatory_messages_come_back_at_commit() {
    let mut client = transactional();
    let key = unique("nowhere");
    let publish = method!("basic.publish", routing_key: &key, mandatory: true);
    client.send_content(publish, &Properties::default(), b"x");
    client.call(method!("basic.qos"));
    client.send(method!("tx.commit"));
    assert_eq!(
        client.message("basic.return").method.text("routing-key"),
        key
    );
    client.expect(method!("tx.commit-ok"));
}

#[test]
fn a_missing_exchange_is_told_at_once() {
    let mut client = transactional();
    let nothing = unique("nothing");
    client.publish(&nothing, "k", "x");
    client.expect_close(
        404,
        &format!("NOT_FOUND - no exchange '{nothing}' in vhost '/'"),
        "basic.publish",
    );
}

#[test]
fn routing_is_decided_when_it_is_published() {
    let mut client = transactional();
    let (exchange, one, two) = (client.exchange("fanout"), client.queue(), client.queue());
    client.bind(&one, &exchange, "");
    client.publish(&exchange, "", "x");
    client.bind(&two, &exchange, "");
    client.call(method!("tx.commit"));
    assert_eq!((client.counts(&one).0, client.counts(&two).0), (1, 0));
}

#[test]
fn messages_refused_by_a_full_queue_fail_the_commit() {
    let mut client = transactional();
    let queue = client.queue_with(table! { "x-max-length" => 1, "x-overflow" => "reject-publish" });
    client.publish("", &queue, "1");
    client.call(method!("tx.commit"));
    client.publish("", &queue, "2");
    client.send(method!("tx.commit"));
    client.expect_close(
        406,
        "PRECONDITION_FAILED - partial tx completion",
        "tx.commit",
    );
}
