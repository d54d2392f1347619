//! Deliveries that nobody settles in time: timeouts of consumers, queues, policies and all together, and
//! what becomes of a delivery then. (That a channel is closed for it, with RabbitMQ's text, is stated in
//! `conformance/timeouts.rs`.)

#[macro_use]
mod support;

use serde_json::json;
use support::{Broker, Client, Message, Method, Setup, Table, Talk, Value};

fn declare(client: &mut Client, name: &str, arguments: Table) {
    client.call(method!("queue.declare", queue: name, durable: true, arguments: arguments));
}

fn consume(queue: &str, tag: &str, arguments: Table) -> Method {
    method!("basic.consume", queue: queue, consumer_tag: tag, arguments: arguments)
}

fn closes(client: &mut Client, timeout_ms: u64) {
    let text = format!(
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: \
         {timeout_ms} ms. This timeout value can be configured, see consumers doc guide to learn more"
    );
    client.expect_close(406, &text, "");
}

/// A client with one delivery from the queue.
fn holder(broker: &Broker, queue: &str, arguments: Table) -> (Client, Message) {
    let mut client = broker.client();
    client.prefetch(1);
    client.call(consume(queue, "holder", arguments));
    let message = client.delivery();
    (client, message)
}

const TYPES: [&str; 3] = ["classic", "quorum", "stream"];

#[test]
fn a_queue_has_its_own_timeout() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    for queue_type in TYPES {
        let arguments = table! { "x-queue-type" => queue_type, "x-consumer-timeout" => 500 };
        declare(&mut client, queue_type, arguments);
        client.publish("", queue_type, "x");
        let offset = match queue_type {
            "stream" => table! { "x-stream-offset" => "first" },
            _ => table! {},
        };
        let (mut holder, _) = holder(&broker, queue_type, offset);
        closes(&mut holder, 500);
        if queue_type != "stream" {
            client.await_ready(queue_type, 1);
        }
    }
}

#[test]
fn what_was_out_goes_back_whether_the_client_answers_the_close_or_not() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    for queue_type in &TYPES[..2] {
        let arguments = table! { "x-queue-type" => *queue_type, "x-consumer-timeout" => 500 };
        declare(&mut client, queue_type, arguments);
        client.publish("", queue_type, "x");
        client.await_ready(queue_type, 1);
        // It reads nothing any more.
        let mut stuck = broker.client();
        stuck.get(queue_type, false).expect("a message");
        client.await_ready(queue_type, 1);
    }
}

/// RabbitMQ 3.10 does not know the argument, 4.3 compares it for quorum queues alone.
#[test]
fn a_queue_may_be_declared_again_with_another_timeout_unless_it_is_a_quorum_queue() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    for queue_type in TYPES {
        let declare = |timeout_ms: i32| {
            let arguments =
                table! { "x-queue-type" => queue_type, "x-consumer-timeout" => timeout_ms };
            method!("queue.declare", queue: queue_type, durable: true, arguments: arguments)
        };
        client.call(declare(60_000));
        if queue_type != "quorum" {
            client.call(declare(60_001));
            continue;
        }
        let text = "PRECONDITION_FAILED - inequivalent arg 'x-consumer-timeout' for queue 'quorum' in vhost '/': \
            received '60001' but current is '60000'";
        client.refused(declare(60_001), 406, text);
    }
}

#[test]
fn what_a_consumer_asks_for_holds_before_the_queue_and_the_shorter_of_policy_and_argument() {
    let Some(broker) = Setup::default()
        .env("WARREN_LIMITS_CONSUMER_TIMEOUT_MS", 0)
        .start()
    else {
        return;
    };
    let api = broker.management().expect("it is ours");
    let policy = json!({
        "pattern": "^q$", "apply-to": "queues", "definition": { "consumer-timeout": 600 },
    });
    assert_eq!(api.put("/policies/%2F/short", policy), 201);
    let mut client = broker.client();
    declare(
        &mut client,
        "q",
        table! { "x-consumer-timeout" => 3_600_000 },
    );
    client.publish("", "q", "x");
    let (mut first, _) = holder(&broker, "q", table! {});
    closes(&mut first, 600);
    let (mut second, _) = holder(&broker, "q", table! { "x-consumer-timeout" => 300 });
    closes(&mut second, 300);
    // Without limit; and a get has the queue's.
    let (mut third, message) = holder(&broker, "q", table! { "x-consumer-timeout" => 0 });
    client.publish("", "q", "y");
    client.await_ready("q", 1);
    client.get("q", false).expect("a message");
    closes(&mut client, 600);
    third.ack(message.tag());
    third.expect_bodies(&["y"]);
}

#[test]
fn it_alone_goes_back_and_its_late_ack_is_taken() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    for queue_type in &TYPES[..2] {
        let arguments = table! {
            "x-queue-type" => *queue_type,
            "x-consumer-timeout" => 300,
            "x-consumer-timeout-action" => "return",
        };
        declare(&mut client, queue_type, arguments);
        client.publish("", queue_type, "x");
        let (mut stuck, message) = holder(&broker, queue_type, table! {});
        // The other one gets it; the one that is stuck gets nothing in its place.
        client.await_ready(queue_type, 1);
        let again = client.get(queue_type, false).expect("a message");
        assert!(again.redelivered());
        client.ack(again.tag());
        client.publish("", queue_type, "next");
        client.await_ready(queue_type, 1);
        stuck.ack(message.tag());
        let next = stuck.delivery();
        assert_eq!(next.text(), "next");
        // All there are, of which one went back.
        client.await_ready(queue_type, 1);
        stuck.send(method!("basic.ack", delivery_tag: 0, multiple: true));
        let redelivered = stuck.delivery();
        stuck.ack(redelivered.tag());
        // A tag is good for one ack as ever.
        stuck.send(method!("basic.ack", delivery_tag: message.tag()));
        let tag = message.tag();
        let text = format!("PRECONDITION_FAILED - unknown delivery tag {tag}");
        stuck.expect_close(406, &text, "basic.ack");
        assert_eq!(client.counts(queue_type).0, 0);
    }
}

#[test]
fn late_rejects_and_closed_channels_give_nothing_back_twice() {
    let Some(broker) = Setup::default()
        .env("WARREN_LIMITS_CONSUMER_TIMEOUT_MS", 300)
        .env("WARREN_LIMITS_CONSUMER_TIMEOUT_ACTION", "return")
        .start()
    else {
        return;
    };
    let mut client = broker.client();
    let dead = client.queue();
    let arguments = table! {
        "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => &dead,
    };
    declare(&mut client, "q", arguments);
    client.publish("", "q", "x");
    let (mut rejects, message) = holder(&broker, "q", table! {});
    client.await_ready("q", 1);
    client.call(consume("q", "other", table! { "x-consumer-timeout" => 0 }));
    let again = client.delivery();
    rejects.nack(message.tag(), false, false);
    rejects.call(method!("basic.cancel", consumer_tag: "holder"));
    client.call(method!("basic.cancel", consumer_tag: "other"));
    // Once more, with a channel that goes.
    client.nack(again.tag(), false, true);
    client.await_ready("q", 1);
    let (closes, _) = holder(&broker, "q", table! {});
    client.await_ready("q", 1);
    closes.close();
    let last = client.get("q", true).expect("a message");
    assert_eq!(last.text(), "x");
    assert_eq!(client.counts("q").0, 0);
    assert_eq!(client.counts(&dead).0, 0);
}

#[test]
fn what_took_too_long_waits_where_retries_are_delayed() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    let arguments = table! {
        "x-consumer-timeout" => 200,
        "x-consumer-timeout-action" => "return",
        "x-delayed-retry-type" => "returned",
        "x-delayed-retry-min" => 500,
    };
    declare(&mut client, "q", arguments);
    client.publish("", "q", "x");
    let start = std::time::Instant::now();
    let (_holder, _) = holder(&broker, "q", table! {});
    client.await_ready("q", 1);
    assert!(start.elapsed().as_millis() >= 700);
    let message = client.get("q", true).expect("a message");
    assert_eq!(message.headers().at("x-acquired-count"), &Value::I64(1));
    assert_eq!(message.headers().get("x-delivery-count"), None);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    let queue = client.queue();
    let cases: Vec<(&str, Table, &str)> = vec![
        (
            "x-consumer-timeout",
            table! { "x-consumer-timeout" => -1 },
            "{value_negative,-1}",
        ),
        (
            "x-consumer-timeout",
            table! { "x-consumer-timeout" => Value::Void },
            "\"expected integer, got void\"",
        ),
        (
            "x-consumer-timeout",
            table! { "x-consumer-timeout" => "1" },
            "\"expected integer, got longstr\"",
        ),
        (
            "x-consumer-timeout-action",
            table! { "x-consumer-timeout-action" => "nothing" },
            "\"unsupported timeout action 'nothing'\"",
        ),
    ];
    for (argument, arguments, why) in cases {
        let text = |queue: &str, why: &str| {
            format!(
                "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{queue}' in vhost '/': {why}"
            )
        };
        let declare = method!("queue.declare", queue: "q", arguments: arguments.clone());
        client.refused(declare, 406, &text("q", why));
        let why = match argument {
            "x-consumer-timeout-action" => "\"expected close or return\"",
            _ => why,
        };
        client.refused(consume(&queue, "c", arguments), 406, &text(&queue, why));
    }
}

/// Nobody else would get what its single consumer is stuck on.
#[test]
fn a_single_active_consumer_that_is_stuck_goes() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    let arguments = table! {
        "x-single-active-consumer" => true,
        "x-consumer-timeout" => 300,
        "x-consumer-timeout-action" => "return",
    };
    declare(&mut client, "q", arguments);
    client.publish("", "q", "x");
    let (mut stuck, _) = holder(&broker, "q", table! {});
    client.consume("q", "next");
    closes(&mut stuck, 300);
    client.expect_bodies(&["x"]);
}
