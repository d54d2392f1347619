//! Streams through the front door, where only Warren can be asked: kills, retention, what lies on the
//! disk, and what RabbitMQ has since 3.13 (filters, credit for what is given back).

#[macro_use]
mod support;

use support::*;
use tempfile::TempDir;

fn again(data: TempDir) -> Broker {
    let broker = Setup::default().on(data).start();
    broker.expect("the first one was ours too")
}

fn declare(client: &mut Client, queue: &str, arguments: Table) {
    let mut all = table! { "x-queue-type" => "stream" };
    all.0.extend(arguments.0);
    client.call(method!("queue.declare", queue: queue, durable: true, arguments: all));
}

/// A client with confirms and a stream of that name.
fn publisher(broker: &Broker, queue: &str, arguments: Table) -> Client {
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    declare(&mut client, queue, arguments);
    client
}

/// Publishes and waits until all of it is confirmed.
fn publish_all<'a>(
    client: &mut Client,
    queue: &str,
    first_tag: u64,
    bodies: impl IntoIterator<Item = (&'a Properties, String)>,
) -> u64 {
    let mut tag = first_tag;
    for (properties, body) in bodies {
        client.publish_with("", queue, properties, &body);
        tag += 1;
    }
    let mut confirmed = first_tag;
    while confirmed < tag {
        let ack = client.expect_name("basic.ack");
        confirmed = ack.number("delivery-tag") + 1;
    }
    tag
}

fn numbered(numbers: std::ops::Range<u64>, bytes: usize) -> Vec<(&'static Properties, String)> {
    static PLAIN: std::sync::LazyLock<Properties> = std::sync::LazyLock::new(Properties::default);
    let body = |number: u64| {
        let mut body = format!("{number} ");
        body.extend(std::iter::repeat_n('x', bytes));
        (&*PLAIN, body)
    };
    numbers.map(body).collect()
}

fn reader(broker: &Broker, queue: &str, arguments: Table) -> Client {
    let mut client = broker.client();
    client.prefetch(1000);
    let consume = method!("basic.consume", queue: queue, consumer_tag: "r", arguments: arguments);
    client.send(consume);
    client.expect_name("basic.consume-ok");
    client
}

fn from(offset: impl Into<Value>) -> Table {
    Table(vec![("x-stream-offset".into(), offset.into())])
}

fn offset_of(message: &Message) -> u64 {
    match message.headers().at("x-stream-offset") {
        Value::I64(offset) => *offset as u64,
        other => panic!("{other:?}"),
    }
}

fn number_of(message: &Message) -> u64 {
    let text = message.text();
    let number = text
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    number.expect("a number")
}

/// Reads up to a number; every message's offset is its number.
fn expect_numbers(reader: &mut Client, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let message = reader.delivery();
        assert_eq!((number_of(&message), offset_of(&message)), (number, number));
        if number % 100 == 99 {
            reader.send(method!("basic.ack", delivery_tag: message.tag(), multiple: true));
        }
    }
}

#[test]
fn what_was_confirmed_is_there_after_a_kill_at_its_offset() {
    let Some(mut broker) = Setup::default().start() else {
        return;
    };
    let mut next = 0;
    for round in 0..4u64 {
        let mut client = publisher(&broker, "s", table! {});
        publish_all(&mut client, "s", 1, numbered(next..next + 300, 10));
        next += 300;
        // What is on its way when the broker dies may be there or not.
        for (properties, body) in numbered(next..next + round, 10) {
            client.publish_with("", "s", properties, &body);
        }
        broker = again(broker.kill());
        let mut client = broker.client();
        let there = client.counts("s").0;
        assert!(
            (next..=next + round).contains(&there),
            "{there} in round {round}"
        );
        expect_numbers(&mut reader(&broker, "s", from("first")), 0..next);
        next = there;
    }
    let broker = again(broker.stop());
    expect_numbers(&mut reader(&broker, "s", from(777)), 777..next);
}

#[test]
fn a_stream_that_lies_on_the_disk_is_read_from_anywhere() {
    const MESSAGES: u64 = 30_000;
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = publisher(&broker, "s", table! {});
    let mut tag = 1;
    for first in (0..MESSAGES).step_by(1000) {
        tag = publish_all(&mut client, "s", tag, numbered(first..first + 1000, 1000));
    }
    let mut all = reader(&broker, "s", from("first"));
    let mut some = reader(&broker, "s", from(20_000));
    expect_numbers(&mut all, 0..5_000);
    expect_numbers(&mut some, 20_000..MESSAGES);
    expect_numbers(&mut all, 5_000..MESSAGES);
    let broker = again(broker.kill());
    for first in [0, 12_345, MESSAGES - 1] {
        let last = MESSAGES.min(first + 3000);
        expect_numbers(&mut reader(&broker, "s", from(first as i64)), first..last);
    }
    let mut client = publisher(&broker, "s", table! {});
    publish_all(&mut client, "s", 1, numbered(MESSAGES..MESSAGES + 10, 1000));
    let last = MESSAGES + 10;
    expect_numbers(&mut reader(&broker, "s", from(29_990)), 29_990..last);
    assert_eq!(client.counts("s").0, last);
    let broker = again(broker.stop());
    expect_numbers(&mut reader(&broker, "s", from("first")), 0..last);
}

#[test]
fn what_is_too_much_goes_from_the_head_and_stays_gone() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let limits = || {
        table! { "x-max-length-bytes" => 100_000, "x-stream-max-segment-size-bytes" => 20_000 }
    };
    let mut client = publisher(&broker, "s", limits());
    publish_all(&mut client, "s", 1, numbered(0..1000, 1000));
    let (there, _) = client.counts("s");
    // As much as the limit allows, but for a segment that went and one that is not full yet.
    assert!((75..=118).contains(&there), "{there} are left");
    for offset in [Value::from("first"), Value::from(5)] {
        // It may have become shorter since.
        let mut all = reader(&broker, "s", from(offset));
        let first = number_of(&all.delivery());
        assert!(
            (1000 - there..=925).contains(&first),
            "{first} is the first"
        );
        expect_numbers(&mut all, first + 1..1000);
    }
    let broker = again(broker.kill());
    let mut client = broker.client();
    // Another segment may have gone meanwhile; none comes back.
    let (still_there, _) = client.counts("s");
    assert!(
        (75..=there).contains(&still_there),
        "{still_there} are left"
    );
    let first = 1000 - still_there;
    expect_numbers(&mut reader(&broker, "s", from("first")), first..1000);
    declare(&mut client, "s", limits());
}

#[test]
fn what_is_too_old_goes() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let limits = table! { "x-max-age" => "1s", "x-stream-max-segment-size-bytes" => 5_000 };
    let mut client = publisher(&broker, "s", limits);
    publish_all(&mut client, "s", 1, numbered(0..100, 1000));
    // Nobody needs to publish for that. The last segment stays whatever its age.
    support::broker::eventually("old segments go", || client.counts("s").0 < 10);
    assert!(client.counts("s").0 > 0);
}

/// What a policy says holds for what is there already; the policy before the argument, as in RabbitMQ.
#[test]
fn a_policy_says_what_is_too_old() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let http = broker.management().expect("a management API");
    let limits = table! { "x-max-age" => "1h", "x-stream-max-segment-size-bytes" => 5_000 };
    let mut client = publisher(&broker, "s", limits);
    publish_all(&mut client, "s", 1, numbered(0..100, 1000));
    let policy = |age: &str| {
        serde_json::json!({
            "pattern": "^s$", "apply-to": "streams", "definition": { "max-age": age },
        })
    };
    assert_eq!(http.put("/policies/%2F/age", policy("2h")), 201);
    assert_eq!(client.counts("s").0, 100);
    assert!(http.put("/policies/%2F/age", policy("1s")) < 300);
    support::broker::eventually("old segments go", || client.counts("s").0 < 10);
    let (left, _) = client.counts("s");
    assert!(left > 0);
    // Offsets go on, whatever went; and without the policy nothing does.
    assert_eq!(http.delete("/policies/%2F/age"), 204);
    publish_all(&mut client, "s", 101, numbered(100..130, 1000));
    expect_numbers(&mut reader(&broker, "s", from("first")), 100 - left..130);
}

#[test]
fn readers_see_what_they_filter_for() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = publisher(&broker, "s", table! { "x-stream-filter-size-bytes" => 32 });
    let with = |value: &str| {
        let headers = table! { "other" => 1, "x-stream-filter-value" => value };
        Properties::default().with("headers", headers)
    };
    let (red, green, none) = (with("red"), with("green"), Properties::default());
    let kinds = [&red, &green, &none];
    let messages = (0..30u64).map(|number| (kinds[number as usize % 3], number.to_string()));
    publish_all(&mut client, "s", 1, messages);
    let check = |broker: &Broker| {
        let filter = |filter: Value, unfiltered: bool| {
            let mut arguments = from("first");
            arguments.0.push(("x-stream-filter".into(), filter));
            let unfiltered = Value::from(unfiltered);
            arguments
                .0
                .push(("x-stream-match-unfiltered".into(), unfiltered));
            arguments
        };
        let both = || Value::Array(vec![Value::from("red"), Value::from("green")]);
        for (arguments, rests) in [
            (filter(Value::from("red"), false), &[0][..]),
            (filter(Value::from("red"), true), &[0, 2]),
            (filter(both(), false), &[0, 1]),
            (filter(Value::from("blue"), true), &[2]),
            (from("first"), &[0, 1, 2]),
        ] {
            let mut reader = reader(broker, "s", arguments);
            for number in (0..30).filter(|number| rests.contains(&(number % 3))) {
                let message = reader.delivery();
                assert_eq!((number_of(&message), offset_of(&message)), (number, number));
            }
        }
    };
    check(&broker);
    check(&again(broker.kill()));
}

/// As in RabbitMQ since 3.13; before, it closed the connection.
#[test]
fn whatever_becomes_of_a_delivery_makes_room_for_more() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = publisher(&broker, "s", table! {});
    publish_all(&mut client, "s", 1, numbered(0..10, 1));
    let mut reader = broker.client();
    reader.prefetch(1);
    let consume = method!("basic.consume", queue: "s", consumer_tag: "r", arguments: from("first"));
    reader.call(consume);
    for (number, settle) in [
        method!("basic.nack", delivery_tag: 1, requeue: true),
        method!("basic.nack", delivery_tag: 2, requeue: false),
        method!("basic.reject", delivery_tag: 3, requeue: true),
        method!("basic.reject", delivery_tag: 4, requeue: false),
    ]
    .into_iter()
    .enumerate()
    {
        let message = reader.delivery();
        assert_eq!(offset_of(&message), number as u64);
        assert!(!message.redelivered());
        reader.send(settle);
    }
    assert_eq!(offset_of(&reader.delivery()), 4);
    assert_eq!(client.counts("s").0, 10);
}

#[test]
fn the_size_of_filters_is_checked() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    for size in [Value::from(15), Value::from(256), Value::from("x")] {
        let arguments = Table(vec![
            ("x-queue-type".into(), Value::from("stream")),
            ("x-stream-filter-size-bytes".into(), size),
        ]);
        let declare = method!("queue.declare", queue: "s", durable: true, arguments: arguments);
        let text = "PRECONDITION_FAILED - Invalid value for  x-stream-filter-size-bytes";
        client.refused(declare, 406, text);
    }
    let queue = client.queue();
    let arguments = table! { "x-stream-filter" => "red" };
    let consume = method!("basic.consume", queue: &queue, arguments: arguments);
    let text = format!(
        "PRECONDITION_FAILED - invalid arg 'x-stream-filter' for queue '{queue}' in vhost '/' of queue \
         type rabbit_classic_queue"
    );
    client.refused(consume, 406, &text);
}

#[test]
fn a_fanout_and_dead_letters_reach_streams() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = publisher(&broker, "s", table! {});
    let arguments = table! {
        "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => "s", "x-message-ttl" => 0,
    };
    client.call(method!("queue.declare", queue: "q", durable: true, arguments: arguments));
    client.call(method!("exchange.declare", exchange: "x", type: "fanout", durable: true));
    client.bind("s", "x", "");
    client.bind("q", "x", "");
    client.publish("x", "", "twice");
    client.expect_name("basic.ack");
    let mut reader = reader(&broker, "s", from("first"));
    let messages = reader.expect_bodies(&["twice", "twice"]);
    assert_eq!(
        messages[1].headers().at("x-first-death-queue"),
        &Value::from("q")
    );
    assert_eq!(messages.iter().map(offset_of).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_policy_says_how_much_is_kept() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let http = broker.management().expect("ours has one");
    let limits = table! {
        "x-stream-max-segment-size-bytes" => 20_000, "x-max-length-bytes" => 10_000_000,
    };
    let mut client = publisher(&broker, "s", limits);
    publish_all(&mut client, "s", 1, numbered(0..300, 1000));
    assert_eq!(client.counts("s").0, 300);
    let policy = serde_json::json!({
        "pattern": "^s$", "apply-to": "streams", "definition": {"max-length-bytes": 100_000},
    });
    // It holds at once, and instead of the argument.
    assert_eq!(http.put("/policies/%2F/short", policy), 201);
    support::broker::eventually("old segments go", || client.counts("s").0 < 120);
    let there = client.counts("s").0;
    assert!(there >= 75, "{there} are left");
    let first = 300 - there;
    expect_numbers(&mut reader(&broker, "s", from("first")), first..300);
    // It says nothing to a stream if it has a key that streams do not have.
    let foreign = serde_json::json!({
        "pattern": "^s$", "definition": {"max-length-bytes": 1_000, "message-ttl": 5},
        "priority": 9,
    });
    assert_eq!(http.put("/policies/%2F/foreign", foreign), 201);
    publish_all(&mut client, "s", 301, numbered(300..310, 1000));
    assert!(client.counts("s").0 > 70);
}
