//! Dead letters of quorum queues that stay until they have arrived (x-dead-letter-strategy:
//! at-least-once): over targets that are not there or refuse, and over kills.

#[macro_use]
mod support;

use serde_json::json;
use support::{Broker, Client, Setup, Table, Talk, Value};
use tempfile::TempDir;

fn again(data: TempDir) -> Broker {
    let broker = Setup::default().on(data).start();
    broker.expect("the first one was ours too")
}

fn declare(client: &mut Client, name: &str, arguments: Table) {
    client.call(method!("queue.declare", queue: name, durable: true, arguments: arguments));
}

/// The queue, which dead-letters to the exchange.
fn source(client: &mut Client, exchange: &str) {
    let arguments = table! {
        "x-queue-type" => "quorum",
        "x-overflow" => "reject-publish",
        "x-dead-letter-strategy" => "at-least-once",
        "x-dead-letter-exchange" => exchange,
        "x-max-length" => 3,
    };
    declare(client, "source", arguments);
}

fn fanout(client: &mut Client, name: &str) {
    client.call(method!("exchange.declare", exchange: name, type: "fanout", durable: true));
}

fn publish(client: &mut Client, body: &str) {
    client.publish_with("", "source", &properties!(delivery_mode: 2), body);
    client.expect_name("basic.ack");
}

fn reject(client: &mut Client) {
    let message = client.get("source", false).expect("a message");
    client.nack(message.tag(), false, false);
    client.call(method!("basic.qos"));
}

/// A change of policies has letters tried again.
fn hurry(broker: &Broker, limit: u64) {
    let api = broker.management().expect("it is ours");
    let policy = json!({
        "pattern": "^source$", "apply-to": "queues", "definition": { "delivery-limit": limit },
    });
    assert!(api.put("/policies/%2F/other", policy) < 300);
}

#[test]
fn a_letter_without_a_target_stays_over_a_kill() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    source(&mut client, "letters");
    publish(&mut client, "1");
    reject(&mut client);
    // Nobody is given it again, and whatever was dealt with before it is safe with a message.
    publish(&mut client, "2");
    assert_eq!(client.counts("source").0, 1);
    let broker = again(broker.kill());
    let mut client = broker.client();
    assert_eq!(client.take_all("source"), ["2"]);
    // It is purged no more than what is delivered.
    assert_eq!(
        client
            .call(method!("queue.purge", queue: "source"))
            .number("message-count"),
        0
    );
    fanout(&mut client, "letters");
    declare(&mut client, "target", table! {});
    hurry(&broker, 100);
    assert_eq!(client.counts("target").0, 0);
    client.bind("target", "letters", "");
    hurry(&broker, 101);
    client.await_ready("target", 1);
    let letter = client.get("target", false).expect("a letter");
    assert_eq!(letter.text(), "1");
    let Value::Array(deaths) = letter.headers().at("x-death").clone() else {
        panic!("no deaths");
    };
    let Value::Table(death) = &deaths[0] else {
        panic!("no death");
    };
    assert_eq!(death.at("reason"), &Value::from("rejected"));
    assert_eq!(death.at("count"), &Value::I64(1));
    client.ack(letter.tag());
    client.call(method!("confirm.select"));
    publish(&mut client, "3");
    // It left for good.
    let broker = again(broker.kill());
    let mut client = broker.client();
    hurry(&broker, 102);
    assert_eq!(client.take_all("source"), ["3"]);
    assert_eq!(client.counts("target").0, 0);
}

#[test]
fn who_refuses_a_letter_gets_it_again_and_who_took_it_does_not() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    fanout(&mut client, "letters");
    source(&mut client, "letters");
    declare(&mut client, "takes", table! {});
    let full = table! { "x-max-length" => 1, "x-overflow" => "reject-publish" };
    declare(&mut client, "full", full);
    for target in ["takes", "full"] {
        client.bind(target, "letters", "");
    }
    for body in ["1", "2"] {
        publish(&mut client, body);
        reject(&mut client);
    }
    client.await_ready("takes", 2);
    // What has not arrived counts against the length of its queue.
    for body in ["3", "4"] {
        publish(&mut client, body);
    }
    client.publish("", "source", "too much");
    client.expect_name("basic.nack");
    assert_eq!(client.take_all("full"), ["1"]);
    hurry(&broker, 100);
    client.await_ready("full", 1);
    assert_eq!(client.take_all("full"), ["2"]);
    assert_eq!(client.take_all("takes"), ["1", "2"]);
    publish(&mut client, "5");
    assert_eq!(client.take_all("source"), ["3", "4", "5"]);
}

#[test]
fn expired_messages_stay_as_well_and_so_do_those_on_the_disk() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    let arguments = table! {
        "x-queue-type" => "quorum",
        "x-overflow" => "reject-publish",
        "x-dead-letter-strategy" => "at-least-once",
        "x-dead-letter-exchange" => "letters",
        "x-message-ttl" => 1500,
    };
    declare(&mut client, "source", arguments);
    let body = "x".repeat(3000);
    for number in 0..6000 {
        let properties = properties!(delivery_mode: 2);
        client.publish_with("", "source", &properties, &format!("{number} {body}"));
    }
    let mut confirmed = 0;
    while confirmed < 6000 {
        confirmed = client.expect_name("basic.ack").number("delivery-tag");
    }
    client.await_ready("source", 0);
    fanout(&mut client, "letters");
    declare(&mut client, "target", table! {});
    client.bind("target", "letters", "");
    hurry(&broker, 100);
    client.await_ready("target", 6000);
    client.consume("target", "c");
    let mut seen = vec![0; 6000];
    for _ in 0..6000 {
        let text = client.delivery().text();
        let number = text
            .split(' ')
            .next()
            .and_then(|number| number.parse::<usize>().ok());
        seen[number.expect("a number")] += 1;
    }
    assert!(seen.iter().all(|times| *times == 1));
}

/// As in RabbitMQ it falls back to at-most-once where the head of the queue may be dropped.
#[test]
fn with_drop_head_letters_without_a_target_go() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    let arguments = table! {
        "x-queue-type" => "quorum",
        "x-dead-letter-strategy" => "at-least-once",
        "x-dead-letter-exchange" => "letters",
    };
    declare(&mut client, "source", arguments);
    publish(&mut client, "1");
    reject(&mut client);
    fanout(&mut client, "letters");
    declare(&mut client, "target", table! {});
    client.bind("target", "letters", "");
    hurry(&broker, 100);
    assert_eq!(client.counts("target").0, 0);
}

/// As in RabbitMQ, which deletes what has not arrived.
#[test]
fn letters_go_when_a_policy_has_them_stay_no_more() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let strategy = |broker: &Broker, strategy: &str| {
        let api = broker.management().expect("it is ours");
        let policy = json!({
            "pattern": "^source$", "apply-to": "queues",
            "definition": { "dead-letter-strategy": strategy },
        });
        assert!(api.put("/policies/%2F/strategy", policy) < 300);
    };
    strategy(&broker, "at-least-once");
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    let arguments = table! {
        "x-queue-type" => "quorum",
        "x-overflow" => "reject-publish",
        "x-dead-letter-exchange" => "letters",
        "x-max-length" => 2,
    };
    declare(&mut client, "source", arguments);
    publish(&mut client, "1");
    reject(&mut client);
    publish(&mut client, "2");
    client.publish("", "source", "too much");
    client.expect_name("basic.nack");
    // It has somewhere to go now, but is not sent once more.
    fanout(&mut client, "letters");
    declare(&mut client, "target", table! {});
    client.bind("target", "letters", "");
    strategy(&broker, "at-most-once");
    // The letter does not count any more.
    publish(&mut client, "3");
    // It does not come back, either, nor does a kill bring it.
    strategy(&broker, "at-least-once");
    let broker = again(broker.kill());
    let mut client = broker.client();
    strategy(&broker, "at-most-once");
    assert_eq!(client.take_all("source"), ["2", "3"]);
    assert_eq!(client.counts("target").0, 0);
}
