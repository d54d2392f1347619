//! no-wait: done as asked, and nothing said about it.

use crate::support::*;

#[test]
fn nothing_is_answered_and_everything_is_done() {
    let mut client = Broker::shared().client();
    let (exchange, other, queue) = (unique("exchange"), unique("other"), unique("queue"));
    let declare = method!("exchange.declare", type: "fanout", no_wait: true);
    client.send(declare.clone().with("exchange", &exchange));
    client.send(declare.with("exchange", &other));
    client.send(method!("exchange.bind", destination: &exchange, source: &other, no_wait: true));
    client.send(method!("queue.declare", queue: &queue, no_wait: true));
    client.send(method!("queue.bind", queue: &queue, exchange: &exchange, no_wait: true));
    client.send(method!("confirm.select", no_wait: true));
    client.publish(&other, "", "1");
    client.expect(method!("basic.ack", delivery_tag: 1));
    assert_eq!(client.counts(&queue), (1, 0));
    client.send(method!("basic.consume", queue: &queue, consumer_tag: "c", no_wait: true));
    client.expect_bodies(&["1"]);
    client.send(method!("basic.cancel", consumer_tag: "c", no_wait: true));
    client.ack(1);
    client.publish(&other, "", "2");
    client.expect(method!("basic.ack", delivery_tag: 2));
    assert_eq!(client.counts(&queue), (1, 0));
    client.send(method!("queue.purge", queue: &queue, no_wait: true));
    assert_eq!(client.counts(&queue), (0, 0));
    client.send(method!("exchange.unbind", destination: &exchange, source: &other, no_wait: true));
    client.send(method!("exchange.delete", exchange: &other, no_wait: true));
    client.send(method!("exchange.delete", exchange: &exchange, no_wait: true));
    client.send(method!("queue.delete", queue: &queue, no_wait: true));
    let passive = method!("queue.declare", queue: &queue, passive: true);
    client.refused(
        passive,
        404,
        &format!("NOT_FOUND - no queue '{queue}' in vhost '/'"),
    );
    let passive = method!("exchange.declare", exchange: &exchange, passive: true);
    client.refused(
        passive,
        404,
        &format!("NOT_FOUND - no exchange '{exchange}' in vhost '/'"),
    );
}

#[test]
fn errors_are_still_told() {
    let mut client = Broker::shared().client();
    let nothing = unique("nothing");
    let no_queue = format!("NOT_FOUND - no queue '{nothing}' in vhost '/'");
    for method in [
        method!("queue.declare", queue: &nothing, passive: true, no_wait: true),
        method!("queue.purge", queue: &nothing, no_wait: true),
        method!("queue.bind", queue: &nothing, exchange: "amq.direct", no_wait: true),
        method!("basic.consume", queue: &nothing, no_wait: true),
    ] {
        client.refused(method, 404, &no_queue);
    }
}

#[test]
fn a_passive_declare_with_no_wait_makes_the_queue_the_last_one() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.queue();
    client.send(method!("queue.declare", queue: &queue, passive: true, no_wait: true));
    client.publish("", &queue, "1");
    client.await_ready(&queue, 1);
    assert_eq!(client.take("").as_deref(), Some("1"));
}
