//! Messages through the front door: what a broker says is safe is there after `kill -9`.

#[macro_use]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::broker::eventually;
use support::{Broker, Client, Message, Setup, Talk, Value};
use tempfile::TempDir;

fn again(data: TempDir) -> Broker {
    let broker = Setup::default().on(data).start();
    broker.expect("the first one was ours too")
}

fn declare(client: &mut Client, queue: &str) {
    client.call(method!("queue.declare", queue: queue, durable: true));
}

fn publish(client: &mut Client, queue: &str, body: &str) {
    client.publish_with("", queue, &properties!(delivery_mode: 2), body);
}

fn publish_confirmed(client: &mut Client, queue: &str, bodies: &[&str]) {
    for body in bodies {
        publish(client, queue, body);
        client.expect_name("basic.ack");
    }
}

fn count(client: &mut Client, queue: &str) -> u64 {
    let declared = client.call(method!("queue.declare", queue: queue, passive: true));
    declared.number("message-count")
}

fn all_of(broker: &Broker, queue: &str) -> Vec<String> {
    let mut client = broker.client();
    std::iter::from_fn(|| client.take(queue)).collect()
}

#[test]
fn a_confirmed_message_is_there_after_a_kill() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    declare(&mut client, "q");
    publish_confirmed(&mut client, "q", &["1", "2", "3"]);
    client.publish("", "q", "transient");
    client.expect_name("basic.ack");
    let broker = again(broker.kill());
    assert_eq!(all_of(&broker, "q"), ["1", "2", "3"]);
}

#[test]
fn bcc_is_kept_and_not_seen_after_a_kill() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    let exchange = "dead-letters";
    client.call(method!("exchange.declare", exchange: exchange, type: "direct", durable: true));
    let arguments = table! { "x-dead-letter-exchange" => exchange };
    client.call(method!("queue.declare", queue: "q", durable: true, arguments: arguments));
    declare(&mut client, "dead");
    client.call(method!("queue.bind", queue: "dead", exchange: exchange, routing_key: "bcc"));
    let bcc = table! { "BCC" => Value::Array(vec!["bcc".into()]) };
    let properties = properties!(delivery_mode: 2, headers: bcc);
    client.publish_with("", "q", &properties, "x");
    client.expect_name("basic.ack");

    let broker = again(broker.kill());
    let mut client = broker.client();
    let message = client.get("q", false).expect("a message");
    assert_eq!(message.headers().get("BCC"), None);
    client.nack(message.tag(), false, false);
    client.await_ready("dead", 1);
    let message = client.get("dead", true).expect("a message");
    assert_eq!(message.headers().get("BCC"), None);
}

#[test]
fn a_committed_transaction_is_there_after_a_kill() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    declare(&mut client, "q");
    client.call(method!("tx.select"));
    publish(&mut client, "q", "1");
    publish(&mut client, "q", "2");
    client.call(method!("tx.commit"));
    client.get("q", false);
    client.send(method!("basic.ack", delivery_tag: 1));
    client.call(method!("tx.commit"));
    publish(&mut client, "q", "not committed");
    let broker = again(broker.kill());
    assert_eq!(all_of(&broker, "q"), ["2"]);
}

/// What the journal takes once nobody needs anything of it, and what the next start reads of it.
#[test]
fn a_journal_of_which_nothing_is_needed_is_small_again() {
    const FILE_BYTES: u64 = 8 << 20;
    const SPARE_FILES: u64 = 2;
    let setup = || {
        Setup::default()
            .env("WARREN_STORAGE_JOURNAL_FILE_BYTES", FILE_BYTES)
            .env("WARREN_STORAGE_JOURNAL_SPARE_FILES", SPARE_FILES)
    };
    let Some(broker) = setup().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    declare(&mut client, "q");
    declare(&mut client, "little");
    publish_confirmed(&mut client, "little", &["stays"]);
    let body = "x".repeat(1 << 20);
    for _ in 0..80 {
        publish_confirmed(&mut client, "q", &[&body]);
        assert_eq!(client.take("q").map(|body| body.len()), Some(body.len()));
    }
    let journal = broker.data_dir().join("journal");
    let taken = || {
        let files = std::fs::read_dir(&journal).expect("a folder");
        let bytes = files.map(|file| {
            file.and_then(|file| file.metadata())
                .map_or(0, |of| of.len())
        });
        bytes.sum::<u64>()
    };
    assert!(taken() > 5 * FILE_BYTES, "{}", taken());
    // One as small as the first of a new folder, and those that are made ahead.
    eventually("small", || taken() < (SPARE_FILES + 1) * FILE_BYTES);
    let data = broker.kill();
    let broker = setup().on(data).start().expect("ours");
    // What stays, and that nothing else does.
    let line = broker.wait_for_line("restored messages");
    let records = line.split_once("records=").expect("a number").1;
    let records = records
        .split_whitespace()
        .next()
        .and_then(|text| text.parse().ok());
    assert!(records.is_some_and(|records: u64| records < 10), "{line}");
    assert_eq!(all_of(&broker, "little"), ["stays"]);
    assert!(all_of(&broker, "q").is_empty());
}

#[test]
fn a_purged_queue_stays_empty_after_a_kill() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    declare(&mut client, "q");
    publish_confirmed(&mut client, "q", &["1", "2", "3"]);
    client.call(method!("queue.purge", queue: "q"));
    let broker = again(broker.kill());
    assert!(all_of(&broker, "q").is_empty());
}

#[test]
fn what_was_delivered_and_not_acked_comes_back_in_its_place() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    declare(&mut client, "q");
    publish_confirmed(&mut client, "q", &["1", "2", "3", "4"]);
    for _ in 0..3 {
        client.get("q", false);
    }
    client.send(method!("basic.ack", delivery_tag: 2));
    client.call(method!("basic.qos"));
    // Whatever was dealt with before it is safe with it.
    publish_confirmed(&mut client, "q", &["5"]);
    let broker = again(broker.kill());
    let mut client = broker.client();
    let mut found = Vec::new();
    while let Some(message) = client.get("q", true) {
        found.push((message.text(), message.redelivered()));
    }
    let expected = [("1", true), ("3", true), ("4", false), ("5", false)];
    let expected = expected.map(|(body, redelivered)| (body.to_owned(), redelivered));
    assert_eq!(found, expected);
}

#[test]
fn what_was_rejected_to_nowhere_does_not_come_back_whoever_else_is_refused() {
    const MESSAGES: u64 = 300;
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    client.call(method!("exchange.declare", exchange: "void", type: "fanout", durable: true));
    let arguments = table! {
        "x-dead-letter-exchange" => "void",
        "x-max-length" => 100,
        "x-overflow" => "reject-publish-dlx",
    };
    client.call(method!("queue.declare", queue: "q", durable: true, arguments: arguments));
    declare(&mut client, "other");
    for _ in 0..MESSAGES {
        publish_confirmed(&mut client, "q", &["x"]);
        client.get("q", false);
    }
    // Their letters and the rejected ones go out by the same door.
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut flooder = broker.client();
                // A test that fails must end as well.
                let deadline = Instant::now() + Duration::from_secs(60);
                while !is_over.load(Ordering::Relaxed) && Instant::now() < deadline {
                    (0..100).for_each(|_| flooder.publish("", "q", "transient"));
                    flooder.call(method!("basic.qos"));
                }
            });
        }
        eventually("the queue is full", || count(&mut client, "q") == 100);
        for tag in 1..=MESSAGES {
            client.nack(tag, false, false);
        }
        client.call(method!("basic.qos"));
        is_over.store(true, Ordering::Relaxed);
    });
    publish_confirmed(&mut client, "other", &["safe"]);
    let broker = again(broker.kill());
    assert_eq!(all_of(&broker, "q").len(), 0);
}

#[test]
fn a_dead_letter_is_in_one_queue_after_a_kill() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    declare(&mut client, "dead");
    let arguments = table! {
        "x-dead-letter-exchange" => "",
        "x-dead-letter-routing-key" => "dead",
    };
    client.call(method!("queue.declare", queue: "q", durable: true, arguments: arguments));
    publish_confirmed(&mut client, "q", &["1", "2"]);
    client.get("q", false);
    client.nack(1, false, false);
    client.call(method!("basic.qos"));
    publish_confirmed(&mut client, "dead", &["3"]);
    let broker = again(broker.kill());
    assert_eq!(all_of(&broker, "q"), ["2"]);
    assert_eq!(all_of(&broker, "dead"), ["1", "3"]);
}

#[test]
fn a_purge_waits_for_what_it_says() {
    // Through many kills, since it is a matter of milliseconds.
    let Some(mut broker) = Setup::default().start() else {
        return;
    };
    for round in 0..5 {
        let mut client = broker.client();
        client.call(method!("confirm.select"));
        declare(&mut client, "q");
        publish_confirmed(&mut client, "q", &["1", "2"]);
        client.call(method!("queue.purge", queue: "q"));
        broker = again(broker.kill());
        assert!(all_of(&broker, "q").is_empty(), "round {round}");
    }
}

/// As in RabbitMQ 4.3 it is known over a kill which returns were failures: what was out is one.
#[test]
fn a_kill_tells_failures_from_what_was_given_back() {
    let Some(mut broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    declare(&mut client, "other");
    let arguments = table! { "x-queue-type" => "quorum", "x-delivery-limit" => 3 };
    client.call(method!("queue.declare", queue: "q", durable: true, arguments: arguments));
    publish_confirmed(&mut client, "q", &["nacked", "twice", "failed", "out"]);
    let expect = |client: &mut Client, name: &str, acquired: i64, failures: i64| {
        let message = client.get("q", false).expect("a message");
        assert_eq!(message.text(), name);
        for (header, count) in [
            ("x-acquired-count", acquired),
            ("x-delivery-count", failures),
        ] {
            let expected = (count > 0).then_some(Value::I64(count));
            let came = message.headers().get(header).cloned();
            assert_eq!(came, expected, "{header} of {name}");
        }
        message
    };
    let reject = |client: &mut Client, message: &Message| {
        client.send(method!("basic.reject", delivery_tag: message.tag(), requeue: true));
    };
    let all = ["nacked", "twice", "failed", "out"].map(|name| expect(&mut client, name, 0, 0));
    client.nack(all[0].tag(), false, true);
    client.nack(all[1].tag(), false, true);
    reject(&mut client, &all[2]);
    let nacked = expect(&mut client, "nacked", 1, 0);
    let twice = expect(&mut client, "twice", 1, 0);
    client.nack(nacked.tag(), false, true);
    reject(&mut client, &twice);
    let killed = |client: &mut Client, broker: Broker| {
        // Whatever was dealt with before it is safe with it.
        client.call(method!("basic.qos"));
        publish_confirmed(client, "other", &["safe"]);
        let broker = again(broker.kill());
        let mut client = broker.client();
        client.call(method!("confirm.select"));
        (broker, client)
    };
    (broker, client) = killed(&mut client, broker);
    let nacked = expect(&mut client, "nacked", 2, 0);
    expect(&mut client, "twice", 2, 1);
    expect(&mut client, "failed", 1, 1);
    expect(&mut client, "out", 1, 1);
    client.nack(nacked.tag(), false, true);
    (broker, client) = killed(&mut client, broker);
    expect(&mut client, "nacked", 3, 0);
    expect(&mut client, "twice", 3, 2);
    expect(&mut client, "failed", 2, 2);
    expect(&mut client, "out", 2, 2);
    drop(broker);
}

/// As RabbitMQ 3.10.8 and 4 do: the broker's end is the end of its consumers.
#[test]
fn a_kill_counts_as_a_return_where_returns_count() {
    let Some(mut broker) = Setup::default().start() else {
        return;
    };
    let declare_counted = |client: &mut Client| {
        let arguments = table! {
            "x-queue-type" => "quorum",
            "x-delivery-limit" => 3,
            "x-dead-letter-exchange" => "",
            "x-dead-letter-routing-key" => "dead",
        };
        client.call(method!("queue.declare", queue: "q", durable: true, arguments: arguments));
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    declare(&mut client, "dead");
    declare_counted(&mut client);
    publish_confirmed(&mut client, "q", &["1", "2"]);
    for count in [None, Some(1), Some(3)] {
        let message = client.get("q", false).expect("a message");
        assert_eq!(message.text(), "1");
        let header = message.headers().get("x-delivery-count").cloned();
        assert_eq!(header, count.map(Value::I64));
        if count == Some(1) {
            // A consumer fails on it in between, and it is delivered again.
            client.send(method!("basic.reject", delivery_tag: message.tag(), requeue: true));
            let message = client.get("q", false).expect("a message");
            let header = message.headers().get("x-delivery-count").cloned();
            assert_eq!(header, Some(Value::I64(2)));
        }
        // Whatever was dealt with before it is safe with it.
        publish_confirmed(&mut client, "dead", &["safe"]);
        client.call(method!("queue.purge", queue: "dead"));
        broker = again(broker.kill());
        client = broker.client();
        client.call(method!("confirm.select"));
    }
    // It was delivered four times.
    client.await_ready("dead", 1);
    let letter = client.get("dead", true).expect("a dead letter");
    assert_eq!(letter.text(), "1");
    let message = client.get("q", true).expect("a message");
    assert_eq!(message.text(), "2");
    assert_eq!(message.headers().get("x-delivery-count"), None);
    assert!(client.get("q", true).is_none());
}

/// What the journal has need not go anywhere before a stop.
#[test]
fn a_stop_does_not_wait_until_the_journal_is_shortened() {
    const QUEUES: usize = 1500;
    let setup = || Setup::default().env("WARREN_STORAGE_JOURNAL_FILE_BYTES", 1 << 20);
    let Some(broker) = setup().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    for number in 0..QUEUES {
        let queue = format!("q{number}");
        client.send(method!("queue.declare", queue: queue, durable: true, no_wait: true));
    }
    let folder = broker.data_dir().join("segments");
    let moved = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
    let body = "x".repeat(2 << 10);
    let mut published: u64 = 0;
    // The journal gets longer than it may be, and queues begin to move.
    while moved() == 0 {
        for _ in 0..100 {
            let queue = format!("q{}", published as usize % QUEUES);
            publish(&mut client, &queue, &body);
            published += 1;
        }
        while client.receive().number("delivery-tag") < published {}
        assert!(published < 200_000, "nothing moves");
    }
    // A stop waits for clients to answer, and meanwhile the journal is shortened.
    drop(client);
    let before = moved();
    let data = broker.stop();
    let folder = data.path().join("segments");
    let after = std::fs::read_dir(folder).map_or(0, Iterator::count);
    assert!(
        after < before + QUEUES / 2,
        "{before} queues had moved, then {after}"
    );
    let broker = setup().on(data).start().expect("ours");
    let mut client = broker.client();
    let there: u64 = (0..QUEUES)
        .map(|number| count(&mut client, &format!("q{number}")))
        .sum();
    assert_eq!(there, published);
}
