//! Publisher confirms: one answer for a read where that can be, and never a wrong one.

use warren::amqp::method::{Method, basic, confirm};
use warren::amqp::properties::Properties;
use warren::amqp::table::FieldTable;

use super::client::{Client, Received, broker, to};

fn confirming() -> Client {
    let mut client = Client::new(&broker());
    client.declare("q");
    assert!(matches!(
        client.ask(confirm::Select::default()),
        Method::ConfirmSelectOk(_)
    ));
    client
}

fn acked(delivery_tag: u64, multiple: bool) -> Received {
    Received::Method(
        basic::Ack {
            delivery_tag,
            multiple,
        }
        .into(),
    )
}

fn nacked(delivery_tag: u64) -> Received {
    Received::Method(
        basic::Nack {
            delivery_tag,
            multiple: false,
            requeue: true,
        }
        .into(),
    )
}

#[test]
fn one_ack_answers_a_read() {
    let mut client = confirming();
    client.publish("", "q", "1").read();
    assert_eq!(client.received(), [acked(1, false)]);
    for number in 2..1000 {
        client.publish(
            "",
            if number % 2 == 0 { "q" } else { "nowhere" },
            number.to_string(),
        );
    }
    client.read();
    assert_eq!(client.received(), [acked(999, true)]);
    client.read();
    assert_eq!(client.received(), []);
}

#[test]
fn more_than_a_batch_holds_is_still_answered_once() {
    let mut client = confirming();
    for _ in 0..5000 {
        client.publish("", "q", "x");
    }
    client.read();
    assert_eq!(client.received(), [acked(5000, true)]);
}

#[test]
fn a_full_queue_nacks_what_it_refused() {
    let mut client = confirming();
    let mut arguments = FieldTable::new();
    arguments.push("x-max-length", 2);
    arguments.push("x-overflow", "reject-publish");
    client.declare_with("full", arguments);
    for number in 1..=6 {
        // To the full queue go 2, 4 and 6.
        client.publish(
            "",
            if number % 2 == 0 { "full" } else { "q" },
            number.to_string(),
        );
    }
    client.read();
    assert_eq!(client.received(), [acked(5, true), nacked(6)]);
    assert_eq!(client.drain_queue("full"), ["2", "4"]);
    client.publish("", "full", "7").publish("", "q", "8").read();
    assert_eq!(client.received(), [acked(8, true)]);
}

#[test]
fn a_message_comes_back_right_before_its_own_confirm() {
    let mut client = confirming();
    let publish = basic::Publish {
        mandatory: true,
        ..to("", "nowhere")
    };
    client.publish("", "q", "1").publish("", "q", "2");
    client.publish_with(publish, &Properties::default(), "3");
    client.publish("", "q", "4").read();
    match client.received().as_slice() {
        [
            before,
            Received::Content {
                method: Method::BasicReturn(_),
                ..
            },
            its_own,
            after,
        ] => {
            assert_eq!(
                [before, its_own, after],
                [&acked(2, true), &acked(3, false), &acked(4, false)]
            );
        }
        other => panic!("not acks around a return: {other:?}"),
    }
}

#[test]
fn publishes_before_an_error_are_answered() {
    let mut client = confirming();
    client
        .publish("", "q", "1")
        .publish("", "q", "2")
        .publish("nope", "", "3");
    assert_eq!(
        client.refused(),
        "NOT_FOUND - no exchange 'nope' in vhost '/'"
    );
    assert_eq!(client.received(), [acked(2, true)]);
}
