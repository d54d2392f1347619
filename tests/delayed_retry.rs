//! Delayed retry: what comes back waits before it is delivered again, over kills as well. RabbitMQ has the
//! first three settings since 4.3, for quorum queues; the rest is Warren's own.

#[macro_use]
mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::{Broker, Client, Message, Setup, Table, Talk, Value};
use tempfile::TempDir;

fn again(data: TempDir) -> Broker {
    let broker = Setup::default().on(data).start();
    broker.expect("the first one was ours too")
}

fn declare(client: &mut Client, name: &str, arguments: Table) {
    client.call(method!("queue.declare", queue: name, durable: true, arguments: arguments));
}

fn publish(client: &mut Client, queue: &str, body: &str) {
    client.publish_with("", queue, &properties!(delivery_mode: 2), body);
}

fn reject(client: &mut Client, message: &Message) {
    client.send(method!("basic.reject", delivery_tag: message.tag(), requeue: true));
}

/// How long it took to come.
fn next(client: &mut Client) -> (Message, Duration) {
    let start = Instant::now();
    let message = client.delivery();
    (message, start.elapsed())
}

fn is_late(took: Duration, least_ms: u64) -> bool {
    took >= Duration::from_millis(least_ms)
}

const TYPES: [&str; 2] = ["classic", "quorum"];

#[test]
fn delays_grow_with_the_number_of_failures() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    for queue_type in TYPES {
        let arguments = table! {
            "x-queue-type" => queue_type,
            "x-delayed-retry-type" => "all",
            "x-delayed-retry-min" => 100,
            "x-delayed-retry-max" => 250,
        };
        declare(&mut client, queue_type, arguments);
        client.consume(queue_type, queue_type);
        publish(&mut client, queue_type, "x");
        let (mut message, _) = next(&mut client);
        assert_eq!(message.headers().get("x-delivery-count"), None);
        // What is given back without a failure waits as well, but no longer than before.
        for (acquired, fails, count, least_ms) in [
            (1, false, None, 100),
            (2, true, Some(1), 100),
            (3, true, Some(2), 200),
            (4, false, Some(2), 200),
            (5, true, Some(3), 250),
        ] {
            match fails {
                true => reject(&mut client, &message),
                false => client.nack(message.tag(), false, true),
            }
            let took;
            (message, took) = next(&mut client);
            assert!(is_late(took, least_ms), "{took:?} for {least_ms}");
            assert!(message.redelivered());
            let counted = message.headers();
            assert_eq!(counted.at("x-acquired-count"), &Value::I64(acquired));
            let failures = counted.get("x-delivery-count").cloned();
            assert_eq!(failures, count.map(Value::I64));
        }
        client.ack(message.tag());
    }
}

#[test]
fn others_are_delivered_meanwhile_and_it_comes_back_to_its_place() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    let arguments = table! { "x-delayed-retry-type" => "all", "x-delayed-retry-min" => 200 };
    declare(&mut client, "q", arguments);
    for body in ["1", "2", "3"] {
        publish(&mut client, "q", body);
    }
    let first = client.get("q", false).expect("a message");
    reject(&mut client, &first);
    assert_eq!(client.take("q").expect("a message"), "2");
    client.await_ready("q", 2);
    assert_eq!(client.take_all("q"), ["1", "3"]);
}

/// A delay that is far away, so that it is plain what waits.
fn long(kind: &str) -> Table {
    table! { "x-delayed-retry-type" => kind, "x-delayed-retry-min" => 3_600_000 }
}

#[test]
fn failures_and_returns_are_told_apart() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    for (kind, returned_waits, failed_waits) in [
        ("all", true, true),
        ("failed", false, true),
        ("returned", true, false),
        ("disabled", false, false),
    ] {
        declare(&mut client, kind, long(kind));
        let mut check =
            |how: &str, waits: bool, give_back: &mut dyn FnMut(&mut Client, Message)| {
                publish(&mut client, kind, how);
                let message = client.get(kind, false).expect("a message");
                give_back(&mut client, message);
                match waits {
                    // A reply comes after whatever was sent before it.
                    true => assert_eq!(client.counts(kind).0, 0, "{kind} {how}"),
                    false => client.await_ready(kind, 1),
                }
                let purged = client.call(method!("queue.purge", queue: kind));
                // What waits goes as well.
                assert_eq!(purged.number("message-count"), 1, "{kind} {how}");
            };
        check("nack", returned_waits, &mut |client, message| {
            client.nack(message.tag(), false, true);
        });
        check("recover", returned_waits, &mut |client, _| {
            client.call(method!("basic.recover", requeue: true));
        });
        check("reject", failed_waits, &mut |client, message| {
            reject(client, &message);
        });
    }
    for (kind, waits) in [("failed", true), ("returned", false)] {
        publish(&mut client, kind, "x");
        client.await_ready(kind, 1);
        let mut other = broker.client();
        other.get(kind, false).expect("a message");
        other.close();
        if waits {
            assert_eq!(client.counts(kind).0, 0);
        } else {
            client.await_ready(kind, 1);
        }
    }
}

#[test]
fn delays_may_grow_by_a_factor_and_a_message_may_have_its_own() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    let arguments = table! {
        "x-delayed-retry-type" => "all",
        "x-delayed-retry-min" => 50,
        "x-delayed-retry-max" => 10_000,
        "x-delayed-retry-multiplier" => Value::F64(3.0),
        "x-delayed-retry-jitter" => Value::F64(0.1),
    };
    declare(&mut client, "q", arguments);
    client.consume("q", "c");
    publish(&mut client, "q", "x");
    let (mut message, _) = next(&mut client);
    for least_ms in [45, 135, 405] {
        reject(&mut client, &message);
        let took;
        (message, took) = next(&mut client);
        assert!(is_late(took, least_ms), "{took:?} for {least_ms}");
    }
    client.ack(message.tag());

    let headers = table! { "x-retry-delay" => 200 };
    client.publish_with("", "q", &properties!(headers: headers), "its own");
    let (mut message, _) = next(&mut client);
    for _ in 0..2 {
        reject(&mut client, &message);
        let took;
        (message, took) = next(&mut client);
        assert!(is_late(took, 200), "{took:?}");
        assert_eq!(message.text(), "its own");
    }
}

#[test]
fn no_message_waits_longer_than_its_queue_lets_it() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    let arguments = table! {
        "x-delayed-retry-type" => "all",
        "x-delayed-retry-min" => 1,
        "x-delayed-retry-max" => 100,
    };
    declare(&mut client, "q", arguments);
    client.consume("q", "c");
    let headers = table! { "x-retry-delay" => i64::MAX };
    client.publish_with("", "q", &properties!(headers: headers), "x");
    let (message, _) = next(&mut client);
    reject(&mut client, &message);
    let (_, took) = next(&mut client);
    assert!(is_late(took, 100), "{took:?}");
}

#[test]
fn after_so_many_attempts_it_is_dead_lettered() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    let dead = client.queue();
    let arguments = table! {
        "x-delayed-retry-type" => "all",
        "x-delayed-retry-min" => 10,
        "x-delayed-retry-max-attempts" => 3,
        "x-dead-letter-exchange" => "",
        "x-dead-letter-routing-key" => &dead,
    };
    declare(&mut client, "q", arguments);
    client.consume("q", "c");
    publish(&mut client, "q", "x");
    for _ in 0..3 {
        let (message, _) = next(&mut client);
        reject(&mut client, &message);
    }
    client.await_ready(&dead, 1);
    let letter = client.get(&dead, true).expect("a letter");
    let reason = letter.headers();
    let reason = reason.at("x-first-death-reason");
    assert_eq!(reason, &Value::from("delivery_limit"));
}

#[test]
fn a_policy_does_it_as_well_and_counts_what_waits() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    declare(&mut client, "q", table! { "x-max-length" => 2 });
    let api = broker.management().expect("it is ours");
    let policy = json!({
        "pattern": "^q$", "apply-to": "queues",
        "definition": {
            "delayed-retry-type": "all", "delayed-retry-min": 3_600_000, "delayed-retry-max": 7_200_000,
            "delayed-retry-multiplier": 1.5, "delayed-retry-jitter": 0.5,
            "delayed-retry-max-attempts": 4,
        },
    });
    assert_eq!(api.put("/policies/%2F/retry", policy), 201);
    publish(&mut client, "q", "waits");
    let message = client.get("q", false).expect("a message");
    client.nack(message.tag(), false, true);
    assert_eq!(client.counts("q").0, 0);
    // It counts against the limit, and those that are ready go.
    for body in ["1", "2"] {
        publish(&mut client, "q", body);
    }
    client.await_ready("q", 1);
    assert_eq!(client.take_all("q"), ["2"]);
    // What waits does so also when the policy is gone.
    assert_eq!(api.delete("/policies/%2F/retry"), 204);
    assert_eq!(client.counts("q").0, 0);
    for definition in [
        json!({ "delayed-retry-jitter": 1.5 }),
        json!({ "delayed-retry-multiplier": 0.5 }),
        json!({ "delayed-retry-max-attempts": 0 }),
        json!({ "delayed-retry-multiplier": "2" }),
    ] {
        let policy = json!({ "pattern": "x", "definition": definition });
        assert_eq!(api.put("/policies/%2F/wrong", policy), 400);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    let kind = "x-delayed-retry-type";
    let cases: Vec<(&str, Table, &str)> = vec![
        (
            kind,
            table! { kind => "always" },
            "\"unsupported delayed retry type 'always'\"",
        ),
        (kind, table! { kind => 5 }, "{unacceptable_type,signedint}"),
        (
            kind,
            table! { kind => "all" },
            "\"x-delayed-retry-min is required\"",
        ),
        (
            "x-delayed-retry-min",
            table! { kind => "all", "x-delayed-retry-min" => 0 },
            "{value_zero,0}",
        ),
        (
            "x-delayed-retry-max",
            table! { "x-delayed-retry-max" => -1 },
            "{value_negative,-1}",
        ),
        (
            "x-delayed-retry-multiplier",
            table! { "x-delayed-retry-multiplier" => Value::F64(0.5) },
            "\"expected 1 or more\"",
        ),
        (
            "x-delayed-retry-jitter",
            table! { "x-delayed-retry-jitter" => 2 },
            "\"expected 0 to 1\"",
        ),
        (
            "x-delayed-retry-max-attempts",
            table! { "x-delayed-retry-max-attempts" => "3" },
            "\"expected integer, got longstr\"",
        ),
    ];
    for (argument, arguments, why) in cases {
        let declare = method!("queue.declare", queue: "q", durable: true, arguments: arguments);
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{argument}' for queue 'q' in vhost '/': {why}"
        );
        client.refused(declare, 406, &text);
    }
}

#[test]
fn what_waits_does_so_after_a_kill() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    let retry = |min: i32| {
        table! { "x-delayed-retry-type" => "all", "x-delayed-retry-min" => min,
        "x-delayed-retry-max" => min * 10 }
    };
    declare(&mut client, "soon", retry(2000));
    declare(&mut client, "late", retry(3_600_000));
    let start = Instant::now();
    for queue in ["soon", "late"] {
        for body in ["1", "2"] {
            publish(&mut client, queue, body);
            client.expect_name("basic.ack");
        }
        let message = client.get(queue, false).expect("a message");
        reject(&mut client, &message);
        client.call(method!("basic.qos"));
        // Whatever was dealt with before it is safe with it.
        publish(&mut client, queue, "3");
        client.expect_name("basic.ack");
    }
    let broker = again(broker.kill());
    let mut client = broker.client();
    assert_eq!(client.take_all("late"), ["2", "3"]);
    client.await_ready("soon", 3);
    assert!(is_late(start.elapsed(), 2000));
    let message = client.get("soon", false).expect("a message");
    assert_eq!(message.text(), "1");
    assert_eq!(message.headers().at("x-delivery-count"), &Value::I64(1));
    // And once more: it is still known how often it came back.
    let broker = again(broker.kill());
    let mut client = broker.client();
    assert_eq!(client.counts("late").0, 0);
    let counted = client.call(method!("queue.delete", queue: "late"));
    assert_eq!(counted.number("message-count"), 0);
    let message = client.get("soon", false).expect("a message");
    assert_eq!(message.headers().at("x-delivery-count"), &Value::I64(1));
}

/// Most of the queue is on the disk when messages come back that say for themselves how long they wait.
#[test]
fn a_message_that_is_on_the_disk_has_its_own_delay() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    declare(&mut client, "q", long("all"));
    let body = "x".repeat(3000);
    for number in 0..10_000 {
        let delay = if number == 0 { 1 } else { 3_600_000 };
        let headers = table! { "x-retry-delay" => delay };
        let properties = properties!(headers: headers, delivery_mode: 2);
        client.publish_with("", "q", &properties, &format!("{number} {body}"));
    }
    let mut confirmed = 0;
    while confirmed < 10_000 {
        confirmed = client.expect_name("basic.ack").number("delivery-tag");
    }
    client.consume("q", "c");
    let mut last = 0;
    for _ in 0..10_000 {
        last = client.delivery().tag();
    }
    client.call(method!("basic.cancel", consumer_tag: "c"));
    client.nack(last, true, true);
    client.await_ready("q", 1);
    let message = client.get("q", false).expect("a message");
    assert!(message.text().starts_with("0 "));
    assert_eq!(client.counts("q").0, 0);
}
