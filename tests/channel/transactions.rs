//! tx: what waits for the commit, and what becomes of it otherwise.

use warren::amqp::method::{Method, basic, confirm, tx};
use warren::amqp::properties::Properties;
use warren::amqp::table::FieldTable;

use super::client::{Client, Received, ack, broker, numbered, to};

fn in_transaction() -> Client {
    let mut client = Client::new(&broker());
    client.declare("q");
    assert!(matches!(client.ask(tx::Select), Method::TxSelectOk(_)));
    client
}

#[test]
fn publishes_and_acks_wait_for_the_commit() {
    let mut client = in_transaction();
    let large = "large ".repeat(3000);
    client
        .publish("", "q", "first")
        .publish("", "q", &large)
        .read();
    assert_eq!(client.counts("q"), (0, 0, 0));
    assert!(matches!(client.ask(tx::Commit), Method::TxCommitOk(_)));
    client.consume("q", "tag", false);
    assert_eq!(client.bodies(), ["first", &large]);
    client.write(ack(1)).read();
    assert_eq!(client.counts("q"), (0, 2, 1));
    assert!(matches!(client.ask(tx::Commit), Method::TxCommitOk(_)));
    assert_eq!(client.counts("q"), (0, 1, 1));
}

#[test]
fn a_rollback_forgets_publishes_and_acks() {
    let mut client = in_transaction();
    client.publish("", "q", "kept").write(tx::Commit).read();
    client.received();
    client.consume("q", "tag", false);
    assert_eq!(client.bodies(), ["kept"]);
    client.publish("", "q", "forgotten").write(ack(1));
    assert!(matches!(client.ask(tx::Rollback), Method::TxRollbackOk(_)));
    assert_eq!(client.counts("q"), (0, 1, 1));
    // The delivery can be acknowledged anew.
    client.write(ack(1)).write(tx::Commit).read();
    assert_eq!(client.counts("q"), (0, 0, 1));
}

#[test]
fn a_closed_channel_gives_back_what_was_acked_but_not_committed() {
    let mut client = in_transaction();
    for body in numbered("m", 0..3) {
        client.publish("", "q", body);
    }
    client.write(tx::Commit).read();
    client.consume("q", "tag", false);
    client.write(ack(2)).publish("", "q", "never").read();
    let broker = client.shared.broker.clone();
    client.leave();
    assert_eq!(Client::new(&broker).drain_queue("q"), numbered("m", 0..3));
}

#[test]
fn mandatory_messages_come_back_at_the_commit() {
    let mut client = in_transaction();
    let publish = basic::Publish {
        mandatory: true,
        ..to("", "nowhere")
    };
    client
        .publish_with(publish, &Properties::default(), "lost")
        .read();
    assert_eq!(client.received(), []);
    client.write(tx::Commit).read();
    let received = client.received();
    assert!(
        matches!(
            received.as_slice(),
            [
                Received::Content {
                    method: Method::BasicReturn(_),
                    ..
                },
                Received::Method(Method::TxCommitOk(_))
            ]
        ),
        "{received:?}"
    );
}

#[test]
fn a_refused_publish_fails_the_commit() {
    let mut client = in_transaction();
    let mut arguments = FieldTable::new();
    arguments.push("x-max-length", 1);
    arguments.push("x-overflow", "reject-publish");
    client.declare_with("full", arguments);
    client
        .publish("", "full", "1")
        .publish("", "full", "2")
        .write(tx::Commit);
    assert_eq!(
        client.refused(),
        "PRECONDITION_FAILED - partial tx completion"
    );
    assert_eq!(client.counts("full"), (1, 0, 0));
}

#[test]
fn modes_do_not_mix() {
    let mut client = in_transaction();
    client.write(confirm::Select::default());
    assert_eq!(
        client.refused(),
        "PRECONDITION_FAILED - cannot switch from tx to confirm mode"
    );
    let mut client = Client::new(&broker());
    client.ask(confirm::Select::default());
    client.write(tx::Select);
    assert_eq!(
        client.refused(),
        "PRECONDITION_FAILED - cannot switch from confirm to tx mode"
    );
    for method in [Method::from(tx::Commit), tx::Rollback.into()] {
        let mut client = Client::new(&broker());
        client.write(method);
        assert_eq!(
            client.refused(),
            "PRECONDITION_FAILED - channel is not transactional"
        );
    }
}
