//! What the broker remembers of messages is there after `kill -9`: who publishes again because no
//! confirm came back is not heard twice.

#[macro_use]
mod support;

use support::{Broker, Client, Method, Setup, Table, Talk, Value};
use tempfile::TempDir;

const EXCHANGE: &str = "once";

fn again(data: TempDir) -> Broker {
    let broker = Setup::default().on(data).start();
    broker.expect("the first one was ours too")
}

fn declare(arguments: Table) -> Method {
    method!("exchange.declare", exchange: EXCHANGE, type: "x-message-deduplication", durable: true,
        arguments: arguments)
}

fn publish(client: &mut Client, id: impl Into<Value>, mode: i32, body: &str) {
    let headers = Table(vec![("x-deduplication-header".into(), id.into())]);
    let properties = properties!(headers: headers, delivery_mode: mode);
    client.publish_with(EXCHANGE, "k", &properties, body);
}

fn start(arguments: Table) -> Option<(Broker, Client)> {
    let broker = Setup::default().start()?;
    let mut client = broker.client();
    client.call(declare(arguments));
    client.call(method!("queue.declare", queue: "q", durable: true));
    client.bind("q", EXCHANGE, "");
    client.call(method!("confirm.select"));
    Some((broker, client))
}

/// Publishes each id with a confirm; says which of them came to the queue.
fn came(broker: &Broker, ids: std::ops::Range<i32>) -> Vec<String> {
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    let before = client.take_all("q");
    for id in ids {
        publish(&mut client, id, 2, &format!("again {id}"));
        client.expect_name("basic.ack");
    }
    let mut came = before;
    came.extend(client.take_all("q"));
    came
}

#[test]
fn a_kill_makes_no_duplicates() {
    let arguments = table! { "x-cache-size" => 1000, "x-cache-persistence" => "disk" };
    let Some((broker, mut client)) = start(arguments) else {
        return;
    };
    for id in 0..20 {
        // Of transient messages the ids stay.
        let mode = if id < 10 { 2 } else { 1 };
        publish(&mut client, id, mode, &id.to_string());
        client.expect_name("basic.ack");
    }
    let broker = again(broker.kill());
    let kept: Vec<String> = (0..10).map(|id| id.to_string()).collect();
    assert_eq!(
        came(&broker, 0..21),
        [kept, vec!["again 20".into()]].concat()
    );
    // And once more, after a stop in good order.
    let broker = again(broker.stop());
    assert_eq!(came(&broker, 0..22), ["again 21"]);
}

/// Many at once that nobody has confirmed: each is there or can come again, and never twice.
#[test]
fn what_was_under_way_comes_once() {
    let arguments = table! { "x-cache-size" => 100_000, "x-cache-persistence" => "disk" };
    let Some((broker, mut client)) = start(arguments) else {
        return;
    };
    const IDS: i32 = 3000;
    for id in 0..IDS {
        publish(&mut client, id, 2, &format!("{id}"));
    }
    client.expect_name("basic.ack");
    let broker = again(broker.kill());
    let mut ids: Vec<i32> = came(&broker, 0..IDS)
        .iter()
        .map(|text| text.trim_start_matches("again ").parse().expect("a number"))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..IDS).collect::<Vec<_>>());
}

#[test]
fn what_is_kept_in_memory_is_gone_after_a_kill() {
    for arguments in [
        table! { "x-cache-size" => 1000 },
        table! { "x-cache-size" => 1000, "x-cache-persistence" => "memory" },
    ] {
        let Some((broker, mut client)) = start(arguments) else {
            return;
        };
        publish(&mut client, 1, 2, "1");
        client.expect_name("basic.ack");
        let broker = again(broker.kill());
        assert_eq!(came(&broker, 1..2), ["1", "again 1"]);
    }
}

#[test]
fn another_exchange_of_the_same_name_remembers_nothing() {
    let arguments = table! { "x-cache-size" => 1000, "x-cache-persistence" => "disk" };
    let Some((broker, mut client)) = start(arguments.clone()) else {
        return;
    };
    publish(&mut client, 1, 2, "1");
    client.expect_name("basic.ack");
    client.call(method!("exchange.delete", exchange: EXCHANGE));
    client.call(declare(arguments));
    client.bind("q", EXCHANGE, "");
    let broker = again(broker.kill());
    assert_eq!(came(&broker, 1..2), ["1", "again 1"]);
}

/// The log's files are written over again and again; the ids in them are not lost.
#[test]
fn ids_outlive_the_log() {
    let Some(broker) = Setup::default()
        .env("WARREN_STORAGE_JOURNAL_FILE_BYTES", 1 << 20)
        .start()
    else {
        return;
    };
    let mut client = broker.client();
    client.call(declare(
        table! { "x-cache-size" => 1000, "x-cache-persistence" => "disk" },
    ));
    client.call(method!("queue.declare", queue: "q", durable: true));
    client.call(method!("queue.declare", queue: "other", durable: true));
    client.bind("q", EXCHANGE, "");
    client.call(method!("confirm.select"));
    for id in 0..100 {
        publish(&mut client, id, 2, "m");
        client.expect_name("basic.ack");
    }
    assert_eq!(client.take_all("q").len(), 100);
    let large = "x".repeat(100_000);
    for _ in 0..200 {
        client.publish_with("", "other", &properties!(delivery_mode: 2), &large);
        client.expect_name("basic.ack");
        client.take("other");
    }
    drop(client);
    let broker = again(broker.kill());
    assert_eq!(came(&broker, 0..101), ["again 100"]);
}

fn publish_to(client: &mut Client, queue: &str, id: i32, body: &str) {
    let headers = Table(vec![("x-deduplication-header".into(), id.into())]);
    let properties = properties!(headers: headers, delivery_mode: 2);
    client.publish_with("", queue, &properties, body);
    client.expect_name("basic.ack");
}

/// Also with messages that are not in memory when it starts again.
#[test]
fn a_queue_knows_after_a_kill_what_it_has() {
    let Some(broker) = Setup::default()
        .env("WARREN_STORAGE_JOURNAL_FILE_BYTES", 1 << 20)
        .start()
    else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    for kind in ["classic", "quorum"] {
        let arguments = table! { "x-message-deduplication" => true, "x-queue-type" => kind };
        client.call(method!("queue.declare", queue: kind, durable: true, arguments: arguments));
    }
    const MESSAGES: i32 = 150;
    let large = "x".repeat(100_000);
    for id in 0..MESSAGES {
        publish_to(&mut client, "classic", id, &large);
    }
    publish_to(&mut client, "classic", 0, "a duplicate");
    publish_to(&mut client, "quorum", 1, "1");
    for _ in 0..10 {
        client.take("classic").expect("a message");
    }
    drop(client);
    let broker = again(broker.kill());
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    publish_to(&mut client, "quorum", 1, "2");
    assert_eq!(client.take_all("quorum"), ["1"]);
    // An ack of the last moment may be lost, and its message there again.
    let (ready, _) = client.counts("classic");
    assert!((140..=150).contains(&ready), "{ready}");
    for id in 10..MESSAGES {
        publish_to(&mut client, "classic", id, "a duplicate");
    }
    assert_eq!(client.counts("classic").0, ready);
    assert!(client.take_all("classic").iter().all(|body| *body == large));
    publish_to(&mut client, "classic", MESSAGES - 1, "once more");
    assert_eq!(client.take_all("classic"), ["once more"]);
}

/// Two publishers have the same messages: none is lost, and none is there twice, whoever was told of it.
#[test]
fn what_two_publishers_sent_is_there_once() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    let arguments = table! { "x-message-deduplication" => true };
    client.call(method!("queue.declare", queue: "q", durable: true, arguments: arguments));
    let confirmed: Vec<i32> = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = broker.client();
                    client.call(method!("confirm.select"));
                    (0..200)
                        .inspect(|id| publish_to(&mut client, "q", *id, &id.to_string()))
                        .last()
                        .expect("there are some")
                })
            })
            .collect();
        publishers
            .into_iter()
            .map(|publisher| publisher.join().expect("it publishes"))
            .collect()
    });
    assert_eq!(confirmed, [199, 199]);
    let broker = again(broker.kill());
    let mut ids: Vec<i32> = broker
        .client()
        .take_all("q")
        .iter()
        .map(|text| text.parse().expect("a number"))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
}
