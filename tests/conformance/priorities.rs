//! Priority queues: x-max-priority.

use crate::support::*;

fn publish_all(client: &mut Client, queue: &str, messages: &[(&str, Option<i32>)]) {
    for (body, priority) in messages {
        let properties = match priority {
            Some(priority) => properties!(priority: *priority),
            None => properties!(),
        };
        client.publish_with("", queue, &properties, body);
    }
    client.await_ready(queue, messages.len() as u64);
}

#[test]
fn higher_comes_first_and_equals_in_order() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-priority" => 5 });
    let messages = [
        ("a", Some(1)),
        ("b", Some(5)),
        ("c", None),
        ("d", Some(5)),
        ("e", Some(0)),
        ("f", Some(3)),
    ];
    publish_all(&mut client, &queue, &messages);
    assert_eq!(client.take_all(&queue), ["b", "d", "f", "a", "c", "e"]);
}

#[test]
fn more_than_the_maximum_counts_as_the_maximum() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-priority" => 2 });
    publish_all(
        &mut client,
        &queue,
        &[("a", Some(2)), ("b", Some(200)), ("c", Some(2))],
    );
    client.consume(&queue, "c");
    let came = client.expect_bodies(&["a", "b", "c"]);
    assert_eq!(came[1].properties.get("priority"), Some(&Arg::from(200)));
}

/// A consumer with room is given each message as it comes, whatever the same read brings behind it.
#[test]
fn a_consumer_with_room_is_given_what_comes_first() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    for (no_ack, given) in [(true, "012345"), (false, "012")] {
        let queue = client.queue_with(table! { "x-max-priority" => 5 });
        client.on(2).prefetch(3);
        let consume = method!("basic.consume", queue: &queue, no_ack: no_ack);
        client.on(2).call(consume);
        let mut burst = Vec::new();
        for priority in 0..=5 {
            let publish = method!("basic.publish", routing_key: &queue);
            let properties = properties!(priority: priority);
            burst.extend(Frame::method(1, &publish).encode());
            burst.extend(Frame::content_header(1, 1, &properties).encode());
            burst.extend(Frame::body(1, priority.to_string().as_bytes()).encode());
        }
        client.send_bytes(&burst);
        let bodies: Vec<&str> = given.split("").filter(|body| !body.is_empty()).collect();
        client.on(2).expect_bodies(&bodies);
        client.call(method!("queue.delete", queue: &queue));
        client.on(2).expect_name("basic.cancel");
    }
}

#[test]
fn without_x_max_priority_priorities_mean_nothing() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    publish_all(&mut client, &queue, &[("a", Some(1)), ("b", Some(9))]);
    assert_eq!(client.take_all(&queue), ["a", "b"]);
}

#[test]
fn what_goes_back_takes_its_place_among_its_priority() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-priority" => 5 });
    publish_all(
        &mut client,
        &queue,
        &[("low", Some(1)), ("high 1", Some(5)), ("high 2", Some(5))],
    );
    assert_eq!(
        client.get(&queue, false).expect("a message").text(),
        "high 1"
    );
    client.nack(1, false, true);
    client.await_ready(&queue, 3);
    assert_eq!(client.take_all(&queue), ["high 1", "high 2", "low"]);
}

#[test]
fn a_full_queue_drops_its_head_which_is_the_highest() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-priority" => 5, "x-max-length" => 2 });
    publish_all(&mut client, &queue, &[("high", Some(5)), ("low", Some(1))]);
    client.publish_with("", &queue, &properties!(priority: 3), "middle");
    client.counts(&queue);
    assert_eq!(client.take_all(&queue), ["middle", "low"]);
}

#[test]
fn counts_and_purge_span_all_priorities() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-max-priority" => 5 });
    publish_all(
        &mut client,
        &queue,
        &[("a", Some(1)), ("b", Some(5)), ("c", None)],
    );
    let purged = client.call(method!("queue.purge", queue: &queue));
    assert_eq!(purged.number("message-count"), 3);
}
