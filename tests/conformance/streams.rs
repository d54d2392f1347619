//! Streams: what may be declared, where readers begin, what they get, what is not there.

use crate::support::*;

fn declare(name: &str, arguments: Table) -> Method {
    let mut all = table! { "x-queue-type" => "stream" };
    all.0.extend(arguments.0);
    method!("queue.declare", queue: name, durable: true, arguments: all)
}

fn stream(client: &mut Client, arguments: Table) -> String {
    let name = unique("stream");
    client.send(declare(&name, arguments));
    client.expect(method!("queue.declare-ok", queue: &name));
    name
}

/// A stream with the messages "0" to "9", each of them published by itself, on a channel with confirms.
fn ten(client: &mut Client) -> String {
    let name = stream(client, table! {});
    client.call(method!("confirm.select"));
    for number in 0..10 {
        client.publish("", &name, &number.to_string());
        client.expect_name("basic.ack");
    }
    name
}

fn delete(queue: &str) {
    let mut client = Broker::shared().client();
    client.call(method!("queue.delete", queue: queue));
}

fn consume(queue: &str, arguments: Table) -> Method {
    method!("basic.consume", queue: queue, consumer_tag: "reader", arguments: arguments)
}

/// A reader on a connection of its own, with a prefetch of 100.
fn reader(queue: &str, arguments: Table) -> Client {
    let mut client = Broker::shared().client();
    client.prefetch(100);
    client.send(consume(queue, arguments));
    client.expect_name("basic.consume-ok");
    client
}

/// A published message comes as the reader's next one: nothing was on its way before it.
fn expect_next(publisher: &mut Client, reader: &mut Client, queue: &str) {
    publisher.publish("", queue, "next");
    publisher.expect_name("basic.ack");
    reader.expect_bodies(&["next"]);
}

fn expect_from(reader: &mut Client, first: u64) {
    for number in first..10 {
        let message = reader.delivery();
        assert_eq!(message.text(), number.to_string());
        assert_eq!(
            message.headers().at("x-stream-offset"),
            &Value::from(number as i64)
        );
        assert!(!message.redelivered());
        reader.ack(message.tag());
    }
}

#[test]
fn readers_begin_where_they_want_to() {
    let mut client = Broker::shared().client();
    let queue = ten(&mut client);
    for (offset, first) in [
        (Value::from("first"), 0),
        (Value::from("last"), 9),
        (Value::from(0), 0),
        (Value::from(5), 5),
        (Value::from(5i64), 5),
        (Value::from(9), 9),
        (Value::from(-1), 0),
        (Value::from("1h"), 0),
        (Value::from("1Y"), 0),
        (Value::Timestamp(1_600_000_000), 0),
    ] {
        let mut reader = reader(&queue, table! { "x-stream-offset" => offset });
        expect_from(&mut reader, first);
    }
    delete(&queue);
}

#[test]
fn readers_that_begin_at_the_end_see_what_comes() {
    let mut client = Broker::shared().client();
    let queue = ten(&mut client);
    for arguments in [
        table! {},
        table! { "x-stream-offset" => "next" },
        table! { "x-stream-offset" => Value::Timestamp(4_000_000_000) },
    ] {
        let mut reader = reader(&queue, arguments);
        expect_next(&mut client, &mut reader, &queue);
    }
    delete(&queue);
}

#[test]
fn an_offset_that_is_not_there_yet_is_waited_for() {
    let mut client = Broker::shared().client();
    let queue = ten(&mut client);
    let mut reader = reader(&queue, table! { "x-stream-offset" => 13 });
    for number in 10..15 {
        client.publish("", &queue, &number.to_string());
        client.expect_name("basic.ack");
    }
    let messages = reader.expect_bodies(&["13", "14"]);
    assert_eq!(
        messages[0].headers().at("x-stream-offset"),
        &Value::from(13i64)
    );
    delete(&queue);
}

#[test]
fn readers_do_not_take_from_each_other() {
    let mut client = Broker::shared().client();
    let queue = ten(&mut client);
    let first = || table! { "x-stream-offset" => "first" };
    let mut readers = [reader(&queue, first()), reader(&queue, first())];
    readers.iter_mut().for_each(|reader| expect_from(reader, 0));
    drop(readers);
    expect_from(&mut reader(&queue, first()), 0);
    client.await_ready(&queue, 10);
    delete(&queue);
}

#[test]
fn acks_make_room_for_more() {
    let mut client = Broker::shared().client();
    let queue = stream(&mut client, table! {});
    client.call(method!("confirm.select"));
    for number in 0..10 {
        client.publish("", &queue, &number.to_string());
        client.expect_name("basic.ack");
    }
    let mut reader = Broker::shared().client();
    reader.prefetch(2);
    reader.send(consume(&queue, table! { "x-stream-offset" => "first" }));
    reader.expect_name("basic.consume-ok");
    let messages = reader.expect_bodies(&["0", "1"]);
    // Nothing else may come: its answer would be behind it.
    reader.expect_nothing(&queue);
    reader.ack(messages[0].tag());
    reader.expect_bodies(&["2"]);
    reader.send(method!("basic.ack", delivery_tag: 3, multiple: true));
    reader.expect_bodies(&["3", "4"]);
    delete(&queue);
}

#[test]
fn a_reader_goes_on_with_what_is_published_meanwhile() {
    let mut client = Broker::shared().client();
    let queue = ten(&mut client);
    let mut reader = reader(&queue, table! { "x-stream-offset" => 8 });
    expect_from(&mut reader, 8);
    expect_next(&mut client, &mut reader, &queue);
    expect_next(&mut client, &mut reader, &queue);
    delete(&queue);
}

#[test]
fn exclusive_readers_do_not_keep_others_out() {
    let mut client = Broker::shared().client();
    let queue = ten(&mut client);
    let exclusive = || {
        let mut client = Broker::shared().client();
        client.prefetch(100);
        let arguments = table! { "x-stream-offset" => "first" };
        client.send(consume(&queue, arguments).with("exclusive", true));
        client.expect_name("basic.consume-ok");
        client
    };
    let (mut one, mut other) = (exclusive(), exclusive());
    expect_from(&mut one, 0);
    expect_from(&mut other, 0);
    delete(&queue);
}

#[test]
fn messages_come_as_they_were_published() {
    let mut client = Broker::shared().client();
    let queue = stream(&mut client, table! {});
    let exchange = client.exchange("fanout");
    client.bind(&queue, &exchange, "");
    client.call(method!("confirm.select"));
    let headers = table! { "a" => 1, "b" => "text", "x-stream-offset" => "mine" };
    let properties = properties!(
        content_type: "text/plain", content_encoding: "utf-8", headers: headers, delivery_mode: 1,
        priority: 3, correlation_id: "c", reply_to: "r", expiration: "60000", message_id: "m",
        timestamp: 1234, type: "t", user_id: "guest", app_id: "app"
    );
    client.publish_with(&exchange, "key", &properties, "whole");
    client.expect_name("basic.ack");
    client.publish_with("", &queue, &Properties::default(), "plain");
    client.expect_name("basic.ack");
    let mut reader = reader(&queue, table! { "x-stream-offset" => "first" });
    let message = reader.delivery();
    assert_eq!(message.method.text("exchange"), exchange);
    assert_eq!(message.method.text("routing-key"), "key");
    let headers = table! { "a" => 1, "b" => "text", "x-stream-offset" => 0i64 };
    assert_eq!(message.properties, properties.with("headers", headers));
    let message = reader.delivery();
    assert_eq!(message.method.text("routing-key"), queue);
    let headers = table! { "x-stream-offset" => 1i64 };
    assert_eq!(
        message.properties,
        Properties::default().with("headers", headers)
    );
    delete(&queue);
}

#[test]
fn large_messages_and_many_come_whole() {
    let mut client = Broker::shared().client();
    let queue = stream(&mut client, table! {});
    client.call(method!("confirm.select"));
    let bodies: Vec<String> = (0..40)
        .map(|number| number.to_string().repeat(20_000))
        .collect();
    for (tag, body) in (1..).zip(&bodies) {
        client.publish("", &queue, body);
        loop {
            let ack = client.expect_name("basic.ack");
            if ack.number("delivery-tag") == tag {
                break;
            }
        }
    }
    let mut reader = reader(&queue, table! { "x-stream-offset" => "first" });
    for body in &bodies {
        assert!(reader.delivery().text() == *body);
    }
    delete(&queue);
}

#[test]
fn only_what_stays_for_everybody_can_be_a_stream() {
    let mut client = Broker::shared().client();
    for (flag, value, property) in [
        ("auto-delete", true, "auto-delete"),
        ("exclusive", true, "exclusive-owner"),
        ("durable", false, "non-durable"),
    ] {
        let name = unique("stream");
        let text = format!(
            "PRECONDITION_FAILED - invalid property '{property}' for queue '{name}' in vhost '/'"
        );
        client.refused(declare(&name, table! {}).with(flag, value), 406, &text);
    }
    let text =
        "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_stream_queue";
    client.refused(declare("", table! {}), 406, text);
}

#[test]
fn arguments_are_checked() {
    let mut client = Broker::shared().client();
    for (argument, value, why) in [
        ("x-max-age", Value::from("5"), "invalid_max_age"),
        ("x-max-age", Value::from("0s"), "invalid_max_age"),
        ("x-max-age", Value::from("5x"), "invalid_max_age"),
        ("x-max-age", Value::from(5), "{unacceptable_type,signedint}"),
        ("x-max-length-bytes", Value::from(-1), "{value_negative,-1}"),
        (
            "x-max-length-bytes",
            Value::from("a"),
            "\"expected integer, got longstr\"",
        ),
        (
            "x-stream-max-segment-size-bytes",
            Value::from(-1),
            "{value_negative,-1}",
        ),
        ("x-initial-cluster-size", Value::from(0), "{value_zero,0}"),
        (
            "x-initial-cluster-size",
            Value::from(-2),
            "{value_negative,-2}",
        ),
        (
            "x-queue-leader-locator",
            Value::from("x"),
            "invalid_queue_locator_arg",
        ),
        (
            "x-queue-leader-locator",
            Value::from(1),
            "{unacceptable_type,signedint}",
        ),
    ] {
        let name = unique("stream");
        let arguments = Table(vec![(argument.into(), value)]);
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/': {why}"
        );
        client.refused(declare(&name, arguments), 406, &text);
    }
    let too_large = table! { "x-stream-max-segment-size-bytes" => 3_000_000_001i64 };
    let text = "PRECONDITION_FAILED - Exceeded max value for x-stream-max-segment-size-bytes";
    client.refused(declare(&unique("stream"), too_large), 406, text);
    for arguments in [
        table! { "x-max-age" => "7D", "x-max-length-bytes" => 0 },
        table! { "x-stream-max-segment-size-bytes" => 3_000_000_000i64 },
        table! { "x-initial-cluster-size" => 1, "x-queue-leader-locator" => "balanced" },
        table! { "x-stream-filter-size-bytes" => 255, "x-whatever" => 1 },
    ] {
        let queue = stream(&mut client, arguments);
        delete(&queue);
    }
}

#[test]
fn an_age_without_a_number_ends_the_connection() {
    for age in ["", "foo", "-5s"] {
        let mut client = Broker::shared().client();
        client.send(declare(&unique("stream"), table! { "x-max-age" => age }));
        client.expect_connection_close(541, "INTERNAL_ERROR", "");
    }
}

#[test]
fn arguments_of_other_queues_are_refused() {
    let mut client = Broker::shared().client();
    let others = [
        ("x-message-ttl", Value::from(1000)),
        ("x-expires", Value::from(1000)),
        ("x-dead-letter-exchange", Value::from("x")),
        ("x-dead-letter-routing-key", Value::from("x")),
        ("x-max-length", Value::from(5)),
        ("x-max-priority", Value::from(5)),
        ("x-overflow", Value::from("drop-head")),
        ("x-queue-mode", Value::from("lazy")),
        ("x-queue-version", Value::from(2)),
        ("x-single-active-consumer", Value::from(true)),
        ("x-delivery-limit", Value::from(5)),
        ("x-quorum-initial-group-size", Value::from(3)),
        ("x-max-in-memory-length", Value::from(3)),
        ("x-queue-master-locator", Value::from("client-local")),
    ];
    let refusal = |argument: &str, name: &str, kind: &str| {
        format!(
            "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/' of queue \
             type rabbit_{kind}_queue"
        )
    };
    for (argument, value) in &others {
        let name = unique("stream");
        let arguments = Table(vec![((*argument).into(), value.clone())]);
        client.refused(
            declare(&name, arguments),
            406,
            &refusal(argument, &name, "stream"),
        );
    }
    // The first that was given is named.
    for order in [[0, 4], [4, 0]] {
        let name = unique("stream");
        let entries = order.map(|at| (others[at].0.to_string(), others[at].1.clone()));
        let text = refusal(others[order[0]].0, &name, "stream");
        client.refused(declare(&name, Table(entries.into())), 406, &text);
    }
    for kind in ["classic", "quorum"] {
        for (argument, value) in [
            ("x-max-age", Value::from("1h")),
            ("x-stream-max-segment-size-bytes", Value::from(1000)),
            ("x-initial-cluster-size", Value::from(1)),
        ] {
            let name = unique(kind);
            let arguments = Table(vec![
                ("x-queue-type".into(), Value::from(kind)),
                (argument.into(), value),
            ]);
            let declare =
                method!("queue.declare", queue: &name, durable: true, arguments: arguments);
            client.refused(declare, 406, &refusal(argument, &name, kind));
        }
    }
}

#[test]
fn a_stream_that_is_there_is_declared_again_as_it_is() {
    let mut client = Broker::shared().client();
    let arguments = || table! { "x-max-length-bytes" => 1000, "x-max-age" => "1h" };
    let queue = stream(&mut client, arguments());
    client.call(declare(&queue, arguments()));
    client.call(declare(
        &queue,
        table! { "x-max-age" => "1h", "x-max-length-bytes" => 1000i64 },
    ));
    let mut more = arguments();
    more.0
        .push(("x-stream-filter-size-bytes".into(), Value::from(32)));
    client.call(declare(&queue, more));
    for (arguments, text) in [
        (
            table! { "x-max-length-bytes" => 1000, "x-max-age" => "60m" },
            "'x-max-age' for queue 'Q' in vhost '/': received '60m' but current is '1h'",
        ),
        (
            table! { "x-max-age" => "1h" },
            "'x-max-length-bytes' for queue 'Q' in vhost '/': received none but current is the value \
             '1000' of type 'signedint'",
        ),
        (
            table! { "x-max-age" => "1h", "x-max-length-bytes" => 1000, "x-initial-cluster-size" => 1 },
            "'x-initial-cluster-size' for queue 'Q' in vhost '/': received the value '1' of type \
             'signedint' but current is none",
        ),
    ] {
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg {}",
            text.replace('Q', &queue)
        );
        client.refused(declare(&queue, arguments), 406, &text);
    }
    let mut classic = arguments();
    classic
        .0
        .push(("x-queue-type".into(), Value::from("classic")));
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '{queue}' in vhost '/': \
         received 'classic' but current is 'stream'"
    );
    let declare = method!("queue.declare", queue: &queue, durable: true, arguments: classic);
    client.refused(declare, 406, &text);
    delete(&queue);
}

#[test]
fn offsets_are_checked() {
    let mut client = Broker::shared().client();
    let queue = stream(&mut client, table! {});
    client.prefetch(10);
    for offset in ["5x", "0s", "5"] {
        let text = format!(
            "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue '{queue}' in vhost '/': \
             {{invalid_stream_offset_arg,{{longstr,<<\"{offset}\">>}}}}"
        );
        client.refused(
            consume(&queue, table! { "x-stream-offset" => offset }),
            406,
            &text,
        );
        client.prefetch(10);
    }
    for offset in [
        Value::from("foo"),
        Value::from(""),
        Value::from(true),
        Value::Void,
    ] {
        let mut client = Broker::shared().client();
        client.prefetch(10);
        client.send(consume(&queue, table! { "x-stream-offset" => offset }));
        client.expect_connection_close(541, "INTERNAL_ERROR", "");
    }
    delete(&queue);
}

#[test]
fn other_queues_do_not_know_offsets_and_streams_no_priorities() {
    let mut client = Broker::shared().client();
    let queue = stream(&mut client, table! {});
    let classic = client.queue();
    client.prefetch(10);
    for (name, argument, value, kind) in [
        (&queue, "x-priority", Value::from(5), "stream"),
        (&queue, "x-priority", Value::from("a"), "stream"),
        (
            &queue,
            "x-cancel-on-ha-failover",
            Value::from(true),
            "stream",
        ),
        (&classic, "x-stream-offset", Value::from("first"), "classic"),
    ] {
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/' of queue \
             type rabbit_{kind}_queue"
        );
        client.refused(
            consume(name, Table(vec![(argument.into(), value)])),
            406,
            &text,
        );
        client.prefetch(10);
    }
    delete(&queue);
}

#[test]
fn readers_need_a_prefetch_and_acks() {
    let mut client = Broker::shared().client();
    let queue = stream(&mut client, table! {});
    let text = format!(
        "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue '{queue}' in vhost '/''"
    );
    client.refused(consume(&queue, table! {}), 406, &text);
    client.refused(consume(&queue, table! {}).with("no-ack", true), 406, &text);
    // That is looked at before a place to begin that is none by its type.
    let nowhere = || table! { "x-stream-offset" => true };
    client.refused(consume(&queue, nowhere()), 406, &text);
    // ... and after one that is none by its text.
    let at = |text: &str| table! { "x-stream-offset" => text };
    let invalid = format!(
        "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue '{queue}' in vhost '/': \
         {{invalid_stream_offset_arg,{{longstr,<<\"5x\">>}}}}"
    );
    client.refused(consume(&queue, at("5x")), 406, &invalid);
    for no_ack in [false, true] {
        let mut client = Broker::shared().client();
        client.send(consume(&queue, at("never")).with("no-ack", no_ack));
        client.expect_connection_close(541, "INTERNAL_ERROR", "");
    }
    client.prefetch(10);
    client.send(consume(&queue, nowhere()).with("no-ack", true));
    let text = format!(
        "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues queue '{queue}' in \
         vhost '/'"
    );
    client.expect_connection_close(540, &text, "basic.consume");
    let mut client = Broker::shared().client();
    client.prefetch(10);
    client.call(method!("basic.qos", prefetch_count: 5, global: true));
    client.send(consume(&queue, table! {}));
    let text =
        format!("NOT_IMPLEMENTED - queue '{queue}' in vhost '/' does not support global qos");
    client.expect_connection_close(540, &text, "basic.consume");
    delete(&queue);
}

#[test]
fn getting_and_purging_are_not_implemented() {
    let mut client = Broker::shared().client();
    let queue = stream(&mut client, table! {});
    for name in ["basic.get", "queue.purge"] {
        let mut client = Broker::shared().client();
        client.send(Method::new(name).with("queue", &queue));
        let text = format!(
            "NOT_IMPLEMENTED - {name} not supported by stream queues queue '{queue}' in vhost '/'"
        );
        client.expect_connection_close(540, &text, name);
    }
    delete(&queue);
}

#[test]
fn deleting_cancels_readers_and_looks_at_no_condition() {
    for flag in ["if-unused", "if-empty"] {
        let mut client = Broker::shared().client();
        let queue = ten(&mut client);
        let mut reader = reader(&queue, table! {});
        client.send(method!("queue.delete", queue: &queue).with(flag, true));
        client.expect(method!("queue.delete-ok", message_count: 0));
        reader.expect(method!("basic.cancel", consumer_tag: "reader", no_wait: true));
        client.refused(
            method!("queue.declare", queue: &queue, passive: true),
            404,
            &format!("NOT_FOUND - no queue '{queue}' in vhost '/'"),
        );
    }
}

#[test]
fn nobody_is_counted_among_its_consumers() {
    let mut client = Broker::shared().client();
    let queue = ten(&mut client);
    let _reader = reader(&queue, table! {});
    client.await_ready(&queue, 10);
    assert_eq!(client.counts(&queue), (10, 0));
    delete(&queue);
}

#[test]
fn a_cancelled_reader_gets_nothing_more() {
    let mut client = Broker::shared().client();
    let queue = ten(&mut client);
    let mut reader = reader(&queue, table! {});
    reader.call(method!("basic.cancel", consumer_tag: "reader"));
    client.publish("", &queue, "x");
    client.expect_name("basic.ack");
    reader.expect_nothing(&queue);
    delete(&queue);
}

/// How much goes at once is each broker's own, and so is when it is looked at: at the latest with the
/// next full segment.
#[test]
fn what_is_too_much_goes_from_the_head() {
    let mut client = Broker::shared().client();
    let arguments = table! {
        "x-max-length-bytes" => 200_000, "x-stream-max-segment-size-bytes" => 50_000,
    };
    let queue = stream(&mut client, arguments);
    client.call(method!("confirm.select"));
    let body = "x".repeat(10_000);
    let publish = |client: &mut Client, count: u64| {
        for _ in 0..count {
            client.publish("", &queue, &body);
        }
        let mut last = 1_u64;
        while !last.is_multiple_of(count) {
            last = client.expect_name("basic.ack").number("delivery-tag");
        }
    };
    let offset = |message: &Message| match message.headers().at("x-stream-offset") {
        Value::I64(offset) => *offset,
        other => panic!("{other:?}"),
    };
    let mut first = 0;
    for _ in 0..50 {
        publish(&mut client, 100);
        let mut reader = reader(&queue, table! { "x-stream-offset" => "first" });
        let message = reader.delivery();
        assert_eq!(message.body.len(), body.len());
        first = offset(&message);
        let next = reader.delivery();
        assert_eq!(offset(&next), first + 1);
        if first > 0 {
            break;
        }
    }
    assert!(first > 0, "nothing went");
    delete(&queue);
}
