//! What waits until it is safe, with a log that is safe when the test says so; and what the log hears.

use std::sync::Arc;

use warren::amqp::method::{Method, basic, confirm, queue, tx};
use warren::amqp::properties::Properties;
use warren::amqp::table::FieldTable;
use warren::broker::log::{MemoryLog, OwnedRecord};

use super::client::{Client, Received, ack, broker, to};

/// A client of a broker with a log.
fn client() -> (Client, Arc<MemoryLog>) {
    let (broker, log) = (broker(), MemoryLog::new());
    broker.engine.set_log(Arc::clone(&log) as _);
    (Client::new(&broker), log)
}

fn confirming() -> (Client, Arc<MemoryLog>) {
    let (mut client, log) = client();
    client.ask(confirm::Select::default());
    declare(&mut client, "q", FieldTable::new());
    (client, log)
}

fn declare(client: &mut Client, name: &str, arguments: FieldTable) {
    let declare = queue::Declare {
        queue: name.into(),
        durable: true,
        arguments,
        ..queue::Declare::default()
    };
    client.ask(declare);
}

fn persistent() -> Properties {
    Properties {
        delivery_mode: Some(2),
        ..Properties::default()
    }
}

/// Publishes a persistent message.
fn publish(client: &mut Client, routing_key: &str, body: &str) {
    client.publish_with(to("", routing_key), &persistent(), body);
}

fn acked(delivery_tag: u64, multiple: bool) -> Received {
    let ack = basic::Ack {
        delivery_tag,
        multiple,
    };
    Received::Method(ack.into())
}

fn nacked(delivery_tag: u64, multiple: bool) -> Received {
    let nack = basic::Nack {
        delivery_tag,
        multiple,
        requeue: true,
    };
    Received::Method(nack.into())
}

/// Bodies of logged messages, each with the queues that it went to and left.
fn messages(log: &MemoryLog) -> Vec<(String, Vec<u64>, Vec<u64>)> {
    let records = log.records().into_iter();
    let messages = records.filter_map(|record| match record {
        OwnedRecord::Message {
            placements,
            settles,
            body,
            ..
        } => Some((
            String::from_utf8(body).expect("text"),
            placements.iter().map(|to| to.place.queue).collect(),
            settles.iter().map(|from| from.queue).collect(),
        )),
        _ => None,
    });
    messages.collect()
}

fn id(client: &Client, queue: &str) -> u64 {
    let queue = client.shared.vhost.queue(queue, client.shared.id);
    queue.expect("it is there").id().0
}

#[test]
fn a_confirm_of_a_persistent_message_waits_for_the_log() {
    let (mut client, log) = confirming();
    publish(&mut client, "q", "1");
    publish(&mut client, "q", "2");
    client.read();
    publish(&mut client, "q", "3");
    client.read();
    assert_eq!(client.received(), []);
    log.sync();
    assert_eq!(client.received(), [acked(3, true)]);
}

#[test]
fn nothing_else_waits() {
    let (mut client, log) = confirming();
    client.declare("transient");
    // Not persistent; not durable; nowhere to go.
    client.publish("", "q", "1").read();
    assert_eq!(client.received(), [acked(1, false)]);
    publish(&mut client, "transient", "2");
    client.read();
    assert_eq!(client.received(), [acked(2, false)]);
    publish(&mut client, "nowhere", "3");
    client.read();
    assert_eq!(client.received(), [acked(3, false)]);
    assert_eq!(log.records(), []);
    // ... but for what was published before.
    publish(&mut client, "q", "4");
    client.publish("", "q", "5").read();
    assert_eq!(client.received(), []);
    log.sync();
    assert_eq!(client.received(), [acked(5, true)]);
}

#[test]
fn a_returned_message_is_confirmed_right_behind_its_return() {
    let (mut client, log) = confirming();
    publish(&mut client, "q", "1");
    let mut mandatory = to("", "nowhere");
    mandatory.mandatory = true;
    client.publish_with(mandatory, &persistent(), "2");
    publish(&mut client, "q", "3");
    client.read();
    match client.received().as_slice() {
        [Received::Content { method, .. }, confirm] => {
            assert!(matches!(method, Method::BasicReturn(_)));
            assert_eq!(*confirm, acked(2, false));
        }
        other => panic!("{other:?}"),
    }
    log.sync();
    assert_eq!(client.received(), [acked(3, true)]);
}

#[test]
fn a_failed_log_nacks_what_waits_and_all_that_comes() {
    let (mut client, log) = confirming();
    publish(&mut client, "q", "1");
    client.read();
    log.sync();
    assert_eq!(client.received(), [acked(1, false)]);
    publish(&mut client, "q", "2");
    publish(&mut client, "q", "3");
    client.read();
    log.fail();
    assert_eq!(client.received(), [nacked(3, true)]);
    publish(&mut client, "q", "4");
    client.read();
    assert_eq!(client.received(), [nacked(4, true)]);
    // Who needs no log is served.
    client.publish("", "q", "5").read();
    assert_eq!(client.received(), [acked(5, false)]);
}

#[test]
fn a_closed_channel_hears_of_nothing() {
    let (mut client, log) = confirming();
    publish(&mut client, "q", "1");
    client.read();
    client.channel.close();
    log.sync();
    assert_eq!(client.received(), []);
}

#[test]
fn a_commit_waits_for_the_log() {
    let (mut client, log) = client();
    declare(&mut client, "q", FieldTable::new());
    client.ask(tx::Select);
    publish(&mut client, "q", "1");
    client.write(tx::Commit).read();
    assert_eq!(client.received(), []);
    assert!(client.shared.pauses.is_lasting());
    log.sync();
    assert!(!client.shared.pauses.is_lasting());

    client.publish("", "q", "not persistent");
    assert!(matches!(client.ask(tx::Commit), Method::TxCommitOk(_)));
}

#[test]
fn a_message_is_logged_once_however_many_queues_it_went_to() {
    let (mut client, log) = client();
    for queue in ["a", "b", "c"] {
        declare(&mut client, queue, FieldTable::new());
        let bind = queue::Bind {
            queue: queue.into(),
            exchange: "amq.fanout".into(),
            ..queue::Bind::default()
        };
        client.ask(bind);
    }
    client.declare("transient");
    let bind = queue::Bind {
        queue: "transient".into(),
        exchange: "amq.fanout".into(),
        ..queue::Bind::default()
    };
    client.ask(bind);
    client.publish_with(to("amq.fanout", ""), &persistent(), "once");
    client.read();
    let mut logged = messages(&log);
    logged[0].1.sort_unstable();
    let mut queues = ["a", "b", "c"].map(|queue| id(&client, queue)).to_vec();
    queues.sort_unstable();
    assert_eq!(logged, [("once".to_owned(), queues, vec![])]);
}

#[test]
fn a_dead_letter_leaves_and_arrives_in_one_record() {
    let (mut client, log) = client();
    declare(&mut client, "dead", FieldTable::new());
    let mut arguments = FieldTable::new();
    arguments.push("x-dead-letter-exchange", "");
    arguments.push("x-dead-letter-routing-key", "dead");
    declare(&mut client, "q", arguments);
    publish(&mut client, "q", "m");
    client.read();
    client.consume("q", "tag", false);
    let reject = basic::Reject {
        delivery_tag: 1,
        requeue: false,
    };
    client.write(reject).read();
    let (q, dead) = (id(&client, "q"), id(&client, "dead"));
    assert_eq!(
        messages(&log),
        [
            ("m".to_owned(), vec![q], vec![]),
            ("m".to_owned(), vec![dead], vec![q]),
        ]
    );
}

#[test]
fn acks_are_logged_as_ranges_and_deliveries_as_how_far_they_came() {
    let (mut client, log) = client();
    declare(&mut client, "q", FieldTable::new());
    for body in ["0", "1", "2", "3"] {
        publish(&mut client, "q", body);
    }
    client.read();
    client.consume("q", "tag", false);
    client.write(ack(1)).write(ack(2)).write(ack(4)).read();
    let queue = id(&client, "q");
    let others: Vec<OwnedRecord> = log.records().split_off(4);
    let expected = [
        OwnedRecord::Cursor { queue, sequence: 4 },
        OwnedRecord::Settle {
            queue,
            ranges: vec![(0, 1), (3, 3)],
        },
    ];
    assert_eq!(others, expected);
}

#[test]
fn what_is_handed_on_to_a_consumer_without_acks_is_not_logged() {
    let (mut client, log) = confirming();
    client.consume("q", "tag", true);
    publish(&mut client, "q", "1");
    client.read();
    let received = client.received();
    assert_eq!(received.last(), Some(&acked(1, false)), "{received:?}");
    assert_eq!(log.records(), []);
}

#[test]
fn without_confirms_a_failed_log_closes_the_connection_over_what_it_cannot_keep() {
    let (mut client, log) = client();
    declare(&mut client, "q", FieldTable::new());
    log.fail();
    client.publish("", "q", "needs no log").read();
    publish(&mut client, "q", "needs it");
    let refused = client.refused();
    assert_eq!(refused, "INTERNAL_ERROR - messages can't be stored");
}
