//! What remembers messages: exchanges of type x-recent-history (RabbitMQ needs its plugin
//! rabbitmq_recent_history_exchange) and x-message-deduplication, and queues that take no message twice
//! (a plugin of somebody else).

use crate::support::broker::eventually;
use crate::support::*;

fn declare(name: &str, kind: &str, arguments: Table) -> Method {
    method!("exchange.declare", exchange: name, type: kind, auto_delete: true, arguments: arguments)
}

fn exchange_with(client: &mut Client, kind: &str, arguments: Table) -> String {
    let name = unique(kind);
    client.call(declare(&name, kind, arguments));
    name
}

fn with_headers(headers: Table) -> Properties {
    Properties::default().with("headers", headers)
}

/// A history with so many messages published to it, of which the broker knows all.
fn history_of(client: &mut Client, arguments: Table, messages: usize) -> String {
    let exchange = exchange_with(client, "x-recent-history", arguments);
    for number in 0..messages {
        client.publish(&exchange, &format!("k{number}"), &number.to_string());
    }
    settle(client);
    exchange
}

/// Waits until the broker has done what it was told before.
fn settle(client: &mut Client) {
    let queue = client.queue();
    client.publish("", &queue, "end");
    client.await_ready(&queue, 1);
}

#[test]
fn a_history_length_is_a_signed_integer_above_zero() {
    let mut client = Broker::shared().client();
    let kind = "x-recent-history";
    for (value, text) in [
        (Value::I32(0), "0"),
        (Value::I32(-1), "-1"),
        (Value::U8(5), "5"),
        (Value::U32(5), "5"),
        (Value::from("5"), "<<\"5\">>"),
        (Value::from(true), "true"),
        (Value::Void, "undefined"),
        (Value::Array(vec![1.into()]), "[{signedint,1}]"),
        (Value::Timestamp(7), "7"),
    ] {
        let arguments = Table(vec![("x-recent-history-length".into(), value)]);
        let text = format!(
            "PRECONDITION_FAILED - Invalid argument {text}, 'x-recent-history-length' must be a positive integer"
        );
        client.refused(declare(&unique(kind), kind, arguments), 406, &text);
    }
    for value in [
        Value::I8(1),
        Value::I16(1),
        Value::I32(1),
        Value::I64(1 << 40),
    ] {
        let arguments = Table(vec![("x-recent-history-length".into(), value)]);
        exchange_with(&mut client, kind, arguments);
    }
}

#[test]
fn what_is_bound_gets_what_came_before() {
    let mut client = Broker::shared().client();
    let exchange = history_of(&mut client, table! {}, 25);
    let queue = client.queue();
    client.bind(&queue, &exchange, "whatever");
    client.publish(&exchange, "new", "new");
    client.await_ready(&queue, 21);
    let first = client.get(&queue, true).expect("a message");
    assert_eq!(first.text(), "5");
    assert_eq!(first.method.text("exchange"), exchange);
    assert_eq!(first.method.text("routing-key"), "k5");
    let rest = client.take_all(&queue);
    let mut expected: Vec<String> = (6..25).map(|number| number.to_string()).collect();
    expected.push("new".into());
    assert_eq!(rest, expected);
    // Nothing went: the next one gets as much.
    let other = client.queue();
    client.bind(&other, &exchange, "");
    client.await_ready(&other, 20);
}

#[test]
fn every_new_binding_brings_the_history_again() {
    let mut client = Broker::shared().client();
    let exchange = history_of(&mut client, table! { "x-recent-history-length" => 2 }, 3);
    let queue = client.queue();
    client.bind(&queue, &exchange, "x");
    client.bind(&queue, &exchange, "x");
    client.await_ready(&queue, 2);
    client.bind(&queue, &exchange, "y");
    client.publish(&exchange, "z", "last");
    client.await_ready(&queue, 5);
    assert_eq!(client.take_all(&queue), ["1", "2", "1", "2", "last"]);
}

#[test]
fn what_is_not_to_be_stored_is_not() {
    let mut client = Broker::shared().client();
    let exchange = exchange_with(&mut client, "x-recent-history", table! {});
    let bound = client.queue();
    client.bind(&bound, &exchange, "");
    for (value, body) in [
        (Value::from(true), "not kept"),
        (Value::from(false), "kept"),
        (Value::from("true"), "kept as well"),
    ] {
        let headers = Table(vec![("x-recent-history-no-store".into(), value)]);
        client.publish_with(&exchange, "k", &with_headers(headers), body);
    }
    client.await_ready(&bound, 3);
    assert_eq!(
        client.take_all(&bound),
        ["not kept", "kept", "kept as well"]
    );
    let queue = client.queue();
    client.bind(&queue, &exchange, "");
    client.await_ready(&queue, 2);
    assert_eq!(client.take_all(&queue), ["kept", "kept as well"]);
}

#[test]
fn an_exchange_that_is_bound_sends_the_history_on() {
    let mut client = Broker::shared().client();
    let exchange = history_of(&mut client, table! {}, 3);
    let direct = client.exchange("direct");
    let queue = client.queue();
    for key in ["k0", "k1", "k2"] {
        client.bind(&queue, &direct, key);
    }
    client.call(method!("exchange.bind", destination: &direct, source: &exchange));
    client.await_ready(&queue, 3);
    // The newest first.
    assert_eq!(client.take_all(&queue), ["2", "1", "0"]);
}

#[test]
fn a_history_is_kept_behind_other_exchanges_too() {
    let mut client = Broker::shared().client();
    let exchange = exchange_with(&mut client, "x-recent-history", table! {});
    let (topic, other) = (client.exchange("topic"), client.queue());
    client
        .call(method!("exchange.bind", destination: &exchange, source: &topic, routing_key: "a.#"));
    client.bind(&other, &topic, "#");
    let others = Value::Array(vec!["a.c".into()]);
    let cc = with_headers(Table(vec![("CC".into(), others)]));
    client.publish(&topic, "a.b", "1");
    client.publish(&topic, "b", "2");
    client.publish_with(&topic, "b", &cc, "3");
    client.publish(&topic, "a", &"4".repeat(200_000));
    client.await_ready(&other, 4);
    let queue = client.queue();
    client.bind(&queue, &exchange, "");
    client.await_ready(&queue, 3);
    assert_eq!(client.take_all(&queue), ["1", "3", &"4".repeat(200_000)]);
}

#[test]
fn publishers_hear_of_what_went_through_a_memory() {
    let mut client = Broker::shared().client();
    let exchange = exchange_with(&mut client, "x-recent-history", table! {});
    client.call(method!("confirm.select"));
    let publish = method!("basic.publish", exchange: &exchange, routing_key: "k", mandatory: true);
    client.send_content(publish.clone(), &Properties::default(), b"back");
    assert_eq!(client.message("basic.return").text(), "back");
    assert_eq!(client.expect_name("basic.ack").number("delivery-tag"), 1);
    let full = client.queue_with(table! { "x-max-length" => 1, "x-overflow" => "reject-publish" });
    // The history fills it.
    client.bind(&full, &exchange, "");
    client.await_ready(&full, 1);
    client.send_content(publish, &Properties::default(), b"refused");
    client.expect_nack(2);
}

/// Tests of x-message-deduplication, which RabbitMQ's own plugins do not have.
fn deduplicating(arguments: Table) -> Option<(Client, String, String)> {
    if !Broker::shared().is_warren() {
        skip("x-message-deduplication is a plugin that this broker does not have");
        return None;
    }
    let mut client = Broker::shared().client();
    let exchange = exchange_with(&mut client, "x-message-deduplication", arguments);
    let queue = client.queue();
    client.bind(&queue, &exchange, "whatever");
    Some((client, exchange, queue))
}

fn publish_id(client: &mut Client, exchange: &str, id: impl Into<Value>, body: &str) {
    let headers = Table(vec![("x-deduplication-header".into(), id.into())]);
    client.publish_with(exchange, "k", &with_headers(headers), body);
}

/// What came to the queue by now, which is taken out.
fn came(client: &mut Client, queue: &str) -> Vec<String> {
    client.publish("", queue, "end");
    let mut came = Vec::new();
    eventually("all is there", || {
        came.extend(client.take_all(queue));
        came.last().is_some_and(|last| last == "end")
    });
    came.pop();
    came
}

#[test]
fn deduplication_must_be_told_how_much_to_remember() {
    if !Broker::shared().is_warren() {
        return skip("x-message-deduplication is a plugin that this broker does not have");
    }
    let mut client = Broker::shared().client();
    let kind = "x-message-deduplication";
    let size = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
    let ttl = "Invalid argument, 'x-cache-ttl' must be an integer greater than 0";
    let persistence = "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'";
    for (arguments, text) in [
        (table! {}, size),
        (table! { "x-cache-size" => 0 }, size),
        (table! { "x-cache-size" => -1 }, size),
        (table! { "x-cache-size" => "many" }, size),
        (table! { "x-cache-size" => true }, size),
        (table! { "x-cache-size" => 1, "x-cache-ttl" => 0 }, ttl),
        (table! { "x-cache-size" => 1, "x-cache-ttl" => "soon" }, ttl),
        (
            table! { "x-cache-size" => 1, "x-cache-persistence" => "paper" },
            persistence,
        ),
        (
            table! { "x-cache-size" => 1, "x-cache-persistence" => 1 },
            persistence,
        ),
    ] {
        let text = format!("PRECONDITION_FAILED - {text}");
        client.refused(declare(&unique(kind), kind, arguments), 406, &text);
    }
    for arguments in [
        table! { "x-cache-size" => "10" },
        table! { "x-cache-size" => 10, "x-cache-ttl" => "60000", "x-cache-persistence" => "memory" },
        table! { "x-cache-size" => 10, "x-cache-persistence" => "disk" },
    ] {
        exchange_with(&mut client, kind, arguments);
    }
}

#[test]
fn each_id_goes_through_once_and_what_has_none_always() {
    let Some((mut client, exchange, queue)) = deduplicating(table! { "x-cache-size" => 100 })
    else {
        return;
    };
    let second = client.queue();
    client.bind(&second, &exchange, "");
    for round in 1..=2 {
        publish_id(&mut client, &exchange, "a", &format!("a{round}"));
        publish_id(&mut client, &exchange, 1, &format!("1:{round}"));
        publish_id(&mut client, &exchange, Value::I64(1), "the same number");
        publish_id(&mut client, &exchange, "1", &format!("text 1:{round}"));
        publish_id(&mut client, &exchange, Value::Void, &format!("void{round}"));
        client.publish(&exchange, "k", &format!("none{round}"));
    }
    let expected = ["a1", "1:1", "text 1:1", "void1", "none1", "none2"];
    assert_eq!(came(&mut client, &queue), expected);
    assert_eq!(came(&mut client, &second), expected);
}

#[test]
fn the_oldest_id_goes_for_a_new_one() {
    let Some((mut client, exchange, queue)) = deduplicating(table! { "x-cache-size" => 2 }) else {
        return;
    };
    for id in ["a", "b", "a", "c", "b", "a"] {
        publish_id(&mut client, &exchange, id, id);
    }
    assert_eq!(came(&mut client, &queue), ["a", "b", "c", "a"]);
}

#[test]
fn ids_are_forgotten_in_time() {
    let arguments = table! { "x-cache-size" => 100, "x-cache-ttl" => 30 };
    let Some((mut client, exchange, queue)) = deduplicating(arguments) else {
        return;
    };
    let with_ttl = |ttl: Value, id: &str| {
        with_headers(table! { "x-deduplication-header" => id, "x-cache-ttl" => ttl })
    };
    let kept = with_ttl(Value::from(3_600_000), "kept");
    client.publish_with(&exchange, "k", &kept, "kept");
    publish_id(&mut client, &exchange, "short", "short");
    client.await_ready(&queue, 2);
    // Again and again until it is let through.
    eventually("let through again", || {
        publish_id(&mut client, &exchange, "short", "short");
        client.publish_with(&exchange, "k", &kept, "again");
        came(&mut client, &queue).ends_with(&["short".to_string()])
            && came(&mut client, &queue).is_empty()
    });
    // One that is forgotten at once.
    for _ in 0..2 {
        let never = with_ttl(Value::from(0), "never");
        client.publish_with(&exchange, "k", &never, "never");
    }
    assert_eq!(came(&mut client, &queue), ["never", "never"]);
    let text = "PRECONDITION_FAILED - Invalid header, 'x-cache-ttl' must be an integer";
    client.publish_with(&exchange, "k", &with_ttl(Value::from("soon"), "bad"), "bad");
    client.expect_close(406, text, "basic.publish");
}

#[test]
fn a_duplicate_is_confirmed() {
    let Some((mut client, exchange, queue)) = deduplicating(table! { "x-cache-size" => 9 }) else {
        return;
    };
    client.call(method!("confirm.select"));
    for tag in 1..=3 {
        publish_id(&mut client, &exchange, "a", "a");
        assert_eq!(client.expect_name("basic.ack").number("delivery-tag"), tag);
    }
    assert_eq!(client.take_all(&queue), ["a"]);
    // As with the plugin, it has no route.
    let headers = table! { "x-deduplication-header" => "a" };
    let publish = method!("basic.publish", exchange: &exchange, routing_key: "k", mandatory: true);
    client.send_content(publish, &with_headers(headers), b"back");
    assert_eq!(client.message("basic.return").text(), "back");
    assert_eq!(client.expect_name("basic.ack").number("delivery-tag"), 4);
}

#[test]
fn a_refused_message_may_come_again() {
    let Some((mut client, exchange, queue)) = deduplicating(table! { "x-cache-size" => 9 }) else {
        return;
    };
    let full = client.queue_with(table! { "x-max-length" => 1, "x-overflow" => "reject-publish" });
    client.bind(&full, &exchange, "");
    client
        .call(method!("queue.unbind", queue: &queue, exchange: &exchange, routing_key: "whatever"));
    client.call(method!("confirm.select"));
    publish_id(&mut client, &exchange, "a", "a");
    client.expect_name("basic.ack");
    publish_id(&mut client, &exchange, "b", "b");
    client.expect_nack(2);
    assert_eq!(client.take(&full).as_deref(), Some("a"));
    publish_id(&mut client, &exchange, "b", "b");
    client.expect_name("basic.ack");
    assert_eq!(client.take(&full).as_deref(), Some("b"));
}

#[test]
fn a_transaction_counts_when_it_is_committed() {
    let Some((mut client, exchange, queue)) = deduplicating(table! { "x-cache-size" => 9 }) else {
        return;
    };
    client.call(method!("tx.select"));
    publish_id(&mut client, &exchange, "a", "rolled back");
    client.call(method!("tx.rollback"));
    publish_id(&mut client, &exchange, "a", "a");
    client.publish("", &queue, "between");
    publish_id(&mut client, &exchange, "a", "twice");
    publish_id(&mut client, &exchange, "b", "b");
    assert_eq!(client.counts(&queue).0, 0);
    client.call(method!("tx.commit"));
    assert_eq!(client.take_all(&queue), ["a", "between", "b"]);
}

#[test]
fn duplicates_go_to_the_alternate_exchange() {
    if !Broker::shared().is_warren() {
        return skip("x-message-deduplication is a plugin that this broker does not have");
    }
    let mut client = Broker::shared().client();
    let alternate = client.exchange("fanout");
    let (queue, duplicates) = (client.queue(), client.queue());
    client.bind(&duplicates, &alternate, "");
    let arguments = table! { "x-cache-size" => 9, "alternate-exchange" => &alternate };
    let exchange = exchange_with(&mut client, "x-message-deduplication", arguments);
    client.bind(&queue, &exchange, "");
    publish_id(&mut client, &exchange, "a", "first");
    publish_id(&mut client, &exchange, "a", "second");
    assert_eq!(came(&mut client, &duplicates), ["second"]);
    assert_eq!(came(&mut client, &queue), ["first"]);
}

#[test]
fn deduplication_works_behind_other_exchanges_and_for_dead_letters() {
    let Some((mut client, exchange, queue)) = deduplicating(table! { "x-cache-size" => 9 }) else {
        return;
    };
    let topic = client.exchange("topic");
    client.call(method!("exchange.bind", destination: &exchange, source: &topic, routing_key: "#"));
    let beside = client.queue();
    client.bind(&beside, &topic, "#");
    publish_id(&mut client, &topic, "a", "1");
    publish_id(&mut client, &topic, "a", "2");
    assert_eq!(came(&mut client, &beside), ["1", "2"]);
    assert_eq!(came(&mut client, &queue), ["1"]);

    let dying = client.queue_with(table! { "x-dead-letter-exchange" => &exchange });
    for (id, body) in [("b", "3"), ("a", "4"), ("b", "5")] {
        publish_id(&mut client, "", "unused", "unused");
        let headers = with_headers(table! { "x-deduplication-header" => id });
        client.publish_with("", &dying, &headers, body);
    }
    client.await_ready(&dying, 3);
    for _ in 0..3 {
        let message = client.get(&dying, false).expect("a message");
        client.nack(message.method.number("delivery-tag"), false, false);
    }
    client.await_ready(&queue, 1);
    assert_eq!(came(&mut client, &queue), ["3"]);
}

/// Many at a time publish the same: each id arrives once.
#[test]
fn racing_publishers_are_heard_once() {
    let arguments = table! { "x-cache-size" => 10_000 };
    let Some((mut client, exchange, queue)) = deduplicating(arguments) else {
        return;
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Broker::shared().client();
                for id in 0..500 {
                    publish_id(&mut client, &exchange, id, &id.to_string());
                }
                settle(&mut client);
            });
        }
    });
    let mut ids: Vec<u32> = came(&mut client, &queue)
        .iter()
        .map(|text| text.parse().expect("a number"))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..500).collect::<Vec<u32>>());
}

/// A queue that takes no message twice.
fn unique_queue(arguments: Table) -> Option<(Client, String)> {
    if !Broker::shared().is_warren() {
        skip("x-message-deduplication is a plugin that this broker does not have");
        return None;
    }
    let mut client = Broker::shared().client();
    let mut arguments = arguments;
    arguments
        .0
        .push(("x-message-deduplication".into(), true.into()));
    let queue = client.queue_with(arguments);
    Some((client, queue))
}

fn publish_to(client: &mut Client, queue: &str, id: &str, body: &str) {
    let headers = table! { "x-deduplication-header" => id };
    client.publish_with("", queue, &with_headers(headers), body);
}

#[test]
fn a_queue_is_told_by_a_boolean() {
    if !Broker::shared().is_warren() {
        return skip("x-message-deduplication is a plugin that this broker does not have");
    }
    let mut client = Broker::shared().client();
    let queue = unique("queue");
    let arguments = table! { "x-message-deduplication" => "true" };
    let declare = method!("queue.declare", queue: &queue, exclusive: true, arguments: arguments);
    let text = format!(
        "PRECONDITION_FAILED - invalid arg 'x-message-deduplication' for queue '{queue}' in vhost '/': {{unacceptable_type,longstr}}"
    );
    client.refused(declare, 406, &text);
    let queue = client.queue_with(table! { "x-message-deduplication" => false });
    publish_to(&mut client, &queue, "a", "1");
    publish_to(&mut client, &queue, "a", "2");
    client.await_ready(&queue, 2);
}

#[test]
fn a_queue_takes_no_message_that_it_has() {
    let Some((mut client, queue)) = unique_queue(table! {}) else {
        return;
    };
    for (id, body) in [("a", "1"), ("b", "2"), ("a", "3")] {
        publish_to(&mut client, &queue, id, body);
    }
    client.publish("", &queue, "4");
    client.publish("", &queue, "5");
    client.await_ready(&queue, 4);
    // It is there until it is acked.
    let message = client.get(&queue, false).expect("a message");
    assert_eq!(message.text(), "1");
    publish_to(&mut client, &queue, "a", "6");
    client.ack(message.method.number("delivery-tag"));
    publish_to(&mut client, &queue, "a", "7");
    client.await_ready(&queue, 4);
    assert_eq!(client.take_all(&queue), ["2", "4", "5", "7"]);
}

#[test]
fn a_queue_forgets_what_leaves_it() {
    let Some((mut client, queue)) = unique_queue(table! { "x-max-length" => 2 }) else {
        return;
    };
    // Too many; taken without an ack; purged; rejected.
    for (id, body) in [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4"), ("c", "5")] {
        publish_to(&mut client, &queue, id, body);
    }
    client.await_ready(&queue, 2);
    assert_eq!(client.take_all(&queue), ["3", "4"]);
    publish_to(&mut client, &queue, "a", "6");
    client.await_ready(&queue, 1);
    client.call(method!("queue.purge", queue: &queue));
    publish_to(&mut client, &queue, "a", "7");
    client.await_ready(&queue, 1);
    let message = client.get(&queue, false).expect("a message");
    client.nack(message.method.number("delivery-tag"), false, true);
    // It came back, and is there still.
    publish_to(&mut client, &queue, "a", "8");
    client.publish("", &queue, "9");
    client.await_ready(&queue, 2);
    let message = client.get(&queue, false).expect("a message");
    assert_eq!(message.text(), "7");
    client.nack(message.method.number("delivery-tag"), false, false);
    publish_to(&mut client, &queue, "a", "10");
    client.await_ready(&queue, 2);
    assert_eq!(client.take_all(&queue), ["9", "10"]);
}

#[test]
fn a_queue_forgets_what_expires() {
    let Some((mut client, queue)) = unique_queue(table! { "x-max-priority" => 3 }) else {
        return;
    };
    let properties = |priority: i32, expiration: &str| {
        with_headers(table! { "x-deduplication-header" => "a" })
            .with("priority", priority)
            .with("expiration", expiration)
    };
    // Whatever the priority, it is one queue.
    client.publish_with("", &queue, &properties(1, "3600000"), "1");
    client.publish_with("", &queue, &properties(2, "3600000"), "2");
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["1"]);
    client.publish_with("", &queue, &properties(1, "20"), "3");
    client.await_ready(&queue, 0);
    client.publish_with("", &queue, &properties(1, "3600000"), "4");
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["4"]);
}

#[test]
fn a_queue_confirms_duplicates_also_when_it_is_full() {
    let arguments = table! { "x-max-length" => 1, "x-overflow" => "reject-publish" };
    let Some((mut client, queue)) = unique_queue(arguments) else {
        return;
    };
    client.call(method!("confirm.select"));
    publish_to(&mut client, &queue, "a", "1");
    client.expect_name("basic.ack");
    publish_to(&mut client, &queue, "a", "2");
    client.expect_name("basic.ack");
    publish_to(&mut client, &queue, "b", "3");
    client.expect_nack(3);
    assert_eq!(client.take(&queue).as_deref(), Some("1"));
    publish_to(&mut client, &queue, "b", "4");
    client.expect_name("basic.ack");
    assert_eq!(client.take_all(&queue), ["4"]);
}

/// Messages that are handed straight on to a consumer are never in the queue.
#[test]
fn a_queue_with_consumers_takes_what_they_have_acked() {
    let Some((mut client, queue)) = unique_queue(table! {}) else {
        return;
    };
    client.consume(&queue, "c");
    publish_to(&mut client, &queue, "a", "1");
    let message = client.delivery();
    publish_to(&mut client, &queue, "a", "2");
    client.ack(message.method.number("delivery-tag"));
    publish_to(&mut client, &queue, "a", "3");
    client.expect_bodies(&["3"]);
    client.call(method!("basic.cancel", consumer_tag: "c"));
    let other = client.queue_with(table! { "x-message-deduplication" => true });
    client.call(method!("basic.consume", queue: &other, consumer_tag: "d", no_ack: true));
    publish_to(&mut client, &other, "a", "4");
    publish_to(&mut client, &other, "a", "5");
    client.expect_bodies(&["4", "5"]);
}

#[test]
fn a_stream_takes_messages_as_often_as_they_come() {
    let broker = Broker::shared();
    if !broker.is_warren() {
        return skip("RabbitMQ takes the argument and does nothing");
    }
    let mut client = broker.client();
    let queue = unique("stream");
    let arguments = table! { "x-queue-type" => "stream", "x-message-deduplication" => true };
    client.send(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
    client.expect_close(
        406,
        &format!(
            "PRECONDITION_FAILED - invalid arg 'x-message-deduplication' for queue '{queue}' in vhost \
             '/' of queue type rabbit_stream_queue"
        ),
        "queue.declare",
    );
}
