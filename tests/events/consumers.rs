//! Who consumes from a queue comes and goes.

use super::*;

#[test]
fn consumers_come_and_go() {
    let own = own();
    let broker = site(&own);
    let mut listener = listener(broker);
    for kind in ["classic", "quorum"] {
        let mut client = broker.client();
        let queue = unique(kind);
        let arguments = table! { "x-queue-type" => kind };
        client.call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
        client.call(method!("basic.qos", prefetch_count: 7));
        let arguments = table! { "x-priority" => 5, "own" => true };
        client.call(
            method!("basic.consume", queue: &queue, consumer_tag: "tag", arguments: arguments),
        );
        let arguments = [
            "{<<\"x-priority\">>,signedint,5}",
            "{<<\"own\">>,bool,true}",
        ];
        let mut created = table! {
            "user_who_performed_action" => "guest", "arguments" => terms(&arguments),
            "prefetch_count" => 7_i64, "queue" => &queue, "vhost" => "/",
        };
        let rest = table! { "ack_required" => true, "exclusive" => false, "consumer_tag" => "tag" };
        created.0.extend(rest.0.clone());
        let said = expect(&mut listener, "consumer.created", &created);
        let channel = said.at("channel").clone();
        let mut keys = created.keys();
        keys.insert(5, "channel");
        keys.push("timestamp_in_ms");
        assert_eq!(said.keys(), keys);
        let deleted = |by: Option<&str>| {
            let mut says = Table::default();
            if let Some(by) = by {
                says.0
                    .extend(table! { "user_who_performed_action" => by }.0);
            }
            let rest = table! {
                "queue" => &queue, "vhost" => "/", "channel" => channel.clone(), "consumer_tag" => "tag",
            };
            says.0.extend(rest.0);
            says
        };
        client.call(method!("basic.cancel", consumer_tag: "tag"));
        // A quorum queue does not know who it was.
        let by = ["guest", "rmq-internal"][usize::from(kind == "quorum")];
        expect_all(&mut listener, "consumer.deleted", deleted(Some(by)));

        client.call(method!("basic.consume", queue: &queue, consumer_tag: "tag"));
        client.call(method!("queue.delete", queue: &queue));
        let by = (kind == "classic").then_some("guest");
        expect_all(&mut listener, "consumer.deleted", deleted(by));
    }
}

#[test]
fn the_consumers_of_a_channel_go_with_it() {
    let own = own();
    let broker = site(&own);
    let mut listener = listener(broker);
    let mut client = broker.client();
    let queue = unique("queue");
    client.call(method!("queue.declare", queue: &queue));
    client.open_channel(2);
    client.on(2).call(
        method!("basic.consume", queue: &queue, consumer_tag: "alone", exclusive: true, no_ack: true),
    );
    let created = table! {
        "queue" => &queue, "ack_required" => false, "exclusive" => true, "consumer_tag" => "alone",
    };
    let channel = expect(&mut listener, "consumer.created", &created);
    client.on(2).call(method!("channel.close"));
    let deleted = table! {
        "user_who_performed_action" => "rmq-internal", "queue" => &queue, "vhost" => "/",
        "channel" => channel.at("channel").clone(), "consumer_tag" => "alone",
    };
    expect_all(&mut listener, "consumer.deleted", deleted);
    let closed = table! {
        "user_who_performed_action" => "guest", "pid" => channel.at("channel").clone(),
    };
    expect_all(&mut listener, "channel.closed", closed);
    client.call(method!("queue.delete", queue: &queue));
}

#[test]
fn the_reader_of_a_stream_is_told_of() {
    // RabbitMQ 3.10 tells of its end alone.
    let Some(broker) = own() else { return };
    let mut listener = listener(&broker);
    let mut client = broker.client();
    let arguments = table! { "x-queue-type" => "stream" };
    client.call(method!("queue.declare", queue: "stream", durable: true, arguments: arguments));
    client.call(method!("basic.qos", prefetch_count: 7));
    client.call(method!("basic.consume", queue: "stream", consumer_tag: "reader"));
    let says = table! { "queue" => "stream", "consumer_tag" => "reader" };
    expect(&mut listener, "consumer.created", &says);
    client.call(method!("basic.cancel", consumer_tag: "reader"));
    let by = expect(&mut listener, "consumer.deleted", &says);
    assert_eq!(by.at("user_who_performed_action"), &Value::from("guest"));
}
