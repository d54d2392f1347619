//! Publishers are stopped while memory or disk space is short.

use crate::support::*;

/// A broker whose messages may take a megabyte.
fn small() -> Option<Broker> {
    Setup::default()
        .env("WARREN_LIMITS_MEMORY_LIMIT_BYTES", 1 << 20)
        .start()
}

/// Fills a queue until the broker says that it is too much.
fn fill(client: &mut Client, queue: &str) -> u64 {
    publish_until_blocked(client, queue, &"x".repeat(50_000), 100)
}

/// Publishes until the broker says that it is too much; fails if it takes `most` of them.
fn publish_until_blocked(client: &mut Client, queue: &str, body: &str, most: u64) -> u64 {
    client.call(method!("confirm.select"));
    for published in 1..=most {
        client.publish("", queue, body);
        // Either it is confirmed or we are told to wait.
        let deadline = std::time::Instant::now() + client.patience;
        let frame = client
            .raw_frame(deadline)
            .expect("a confirm or connection.blocked");
        let method = Method::decode(&frame.payload);
        if method.name == "connection.blocked" {
            assert_eq!(
                method,
                method!("connection.blocked", reason: "low on memory")
            );
            return published;
        }
        assert_eq!(method.name, "basic.ack");
    }
    panic!("{most} messages of {} bytes were taken", body.len());
}

#[test]
fn a_blocked_publisher_is_told_and_goes_on_when_there_is_room() {
    let Some(broker) = small() else { return };
    let (mut publisher, mut consumer) = (broker.client(), broker.client());
    let queue = unique("queue");
    consumer.call(method!("queue.declare", queue: &queue));
    fill(&mut publisher, &queue);
    // Others, who only consume, are not stopped; and make room.
    while consumer.take(&queue).is_some() {}
    publisher.on(0).expect(method!("connection.unblocked"));
    publisher.publish("", &queue, "more");
    consumer.call(method!("basic.consume", queue: &queue, no_ack: true));
    while consumer.delivery().text() != "more" {}
}

#[test]
fn a_blocked_publisher_is_not_read_until_there_is_room() {
    let Some(broker) = small() else { return };
    let (mut publisher, mut consumer) = (broker.client(), broker.client());
    let queue = unique("queue");
    consumer.call(method!("queue.declare", queue: &queue));
    fill(&mut publisher, &queue);
    publisher.publish("", &queue, "late");
    publisher.send(method!("queue.purge", queue: &queue));
    let before = consumer.counts(&queue).0;
    assert!(before > 0, "the purge was read");
    while consumer.take(&queue).is_some() {}
    publisher.on(0).expect(method!("connection.unblocked"));
    publisher.expect_name("basic.ack");
}

#[test]
fn clients_that_do_not_know_connection_blocked_are_not_told() {
    let Some(broker) = small() else { return };
    let mut informed = broker.client();
    let queue = unique("queue");
    informed.call(method!("queue.declare", queue: &queue));
    fill(&mut informed, &queue);
    let login = Login {
        capabilities: Table::default(),
        ..Login::default()
    };
    let mut uninformed = login.open(broker.address());
    uninformed.open_channel(1);
    uninformed.publish("", &queue, "held");
    let mut consumer = broker.client();
    consumer.call(method!("basic.consume", queue: &queue, no_ack: true));
    while consumer.delivery().text() != "held" {}
    informed.on(0).expect(method!("connection.unblocked"));
    uninformed.call(method!("basic.qos"));
}

#[test]
fn half_a_message_counts_until_its_publisher_is_gone() {
    let Some(broker) = small() else { return };
    let (mut publisher, mut bystander) = (broker.client(), broker.client());
    let queue = unique("queue");
    bystander.call(method!("queue.declare", queue: &queue));
    publisher.send(method!("basic.publish", routing_key: &queue));
    publisher.send_frame(&Frame::content_header(1, 100_000_000, &properties!()));
    for _ in 0..12 {
        publisher.send_frame(&Frame::body(1, &[b'x'; 100_000]));
    }
    // These take next to nothing themselves; sooner or later the alarm comes round to us.
    publish_until_blocked(&mut bystander, &queue, "", 5_000);
    drop(publisher);
    bystander.on(0).expect(method!("connection.unblocked"));
}

#[test]
fn an_open_transaction_counts_until_its_publisher_is_gone() {
    let Some(broker) = small() else { return };
    let (mut publisher, mut bystander) = (broker.client(), broker.client());
    let queue = unique("queue");
    bystander.call(method!("queue.declare", queue: &queue));
    publisher.call(method!("tx.select"));
    for _ in 0..12 {
        publisher.publish("", &queue, &"x".repeat(100_000));
    }
    // These take next to nothing themselves; sooner or later the alarm comes round to us.
    publish_until_blocked(&mut bystander, &queue, "", 5_000);
    drop(publisher);
    bystander.on(0).expect(method!("connection.unblocked"));
}

/// A broker that wants more free disk space than there is anywhere.
fn short_of_disk() -> Option<Broker> {
    Setup::default()
        .env("WARREN_STORAGE_DISK_FREE_LIMIT", "10000000TB")
        .start()
}

#[test]
fn publishers_are_blocked_while_the_disk_is_nearly_full() {
    let Some(broker) = short_of_disk() else {
        return;
    };
    broker.wait_for_line("free disk space is insufficient");
    let (mut publisher, mut consumer) = (broker.client(), broker.client());
    let queue = unique("queue");
    let blocked = method!("connection.blocked", reason: "low on disk");
    // Who does not publish is not held, and neither is who is about to.
    consumer.call(method!("queue.declare", queue: &queue));
    publisher.call(method!("confirm.select"));
    // The content header is what blocks. Without a body to come, the message is whole.
    publisher.publish("", &queue, "");
    publisher.on(0).expect(blocked.clone());
    publisher.expect(method!("basic.ack", delivery_tag: 1));
    publisher.publish("", &queue, "second");
    let mut other = broker.client();
    other.publish("", &queue, "third");
    other.on(0).expect(blocked);
    // What is there is consumed, and the topology goes on to change.
    consumer.call(method!("basic.consume", queue: &queue));
    let delivery = consumer.delivery();
    assert_eq!(delivery.text(), "");
    consumer.ack(delivery.tag());
    consumer.call(method!("queue.declare", queue: unique("other")));
    assert_eq!(consumer.counts(&queue).0, 0);
    // Who is blocked can go all the same, and others come and go.
    drop((publisher, other));
    broker.client().close();
}

#[test]
fn both_alarms_are_told_together() {
    let setup = Setup::default()
        .env("WARREN_STORAGE_DISK_FREE_LIMIT", "10000000TB")
        .env("WARREN_LIMITS_MEMORY_LIMIT_BYTES", 50_000);
    let Some(broker) = setup.start() else { return };
    let mut publisher = broker.client();
    let queue = unique("queue");
    publisher.call(method!("queue.declare", queue: &queue));
    // A body would be held; what is in a header is not. A half-read frame of this size does not pass
    // the limit by itself.
    let large = properties!(headers: table! { "x" => "x".repeat(12_000) });
    publisher.publish_with("", &queue, &large, "");
    publisher
        .on(0)
        .expect(method!("connection.blocked", reason: "low on disk"));
    let others: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = broker.client();
            client.publish_with("", &queue, &large, "");
            client.on(0).expect_name("connection.blocked");
            client
        })
        .collect();
    broker.wait_for_line("messages take too much memory");
    let mut other = broker.client();
    other.publish("", &queue, "");
    other
        .on(0)
        .expect(method!("connection.blocked", reason: "low on disk & memory"));
    drop(others);
}
