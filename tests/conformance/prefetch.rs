//! basic.qos: how much a consumer, or a channel, may have unacked.

use crate::support::*;

/// A queue with five messages.
fn filled(client: &mut Client) -> String {
    let queue = client.queue();
    for body in ["1", "2", "3", "4", "5"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 5);
    queue
}

#[test]
fn a_consumer_gets_no_more_than_its_prefetch() {
    let mut client = Broker::shared().client();
    let queue = filled(&mut client);
    client.prefetch(2);
    client.consume(&queue, "c");
    client.expect_bodies(&["1", "2"]);
    client.await_ready(&queue, 3);
    client.ack(1);
    client.expect_bodies(&["3"]);
    client.send(method!("basic.ack", delivery_tag: 3, multiple: true));
    client.expect_bodies(&["4", "5"]);
}

#[test]
fn each_consumer_has_a_prefetch_of_its_own() {
    let mut client = Broker::shared().client();
    let queue = filled(&mut client);
    client.prefetch(1);
    client.consume(&queue, "a");
    client.expect_bodies(&["1"]);
    client.consume(&queue, "b");
    client.expect_bodies(&["2"]);
    client.await_ready(&queue, 3);
    client.ack(2);
    let message = client.delivery();
    assert_eq!(
        (
            message.text().as_str(),
            message.method.text("consumer-tag").as_str()
        ),
        ("3", "b")
    );
}

#[test]
fn qos_holds_for_consumers_that_come_later() {
    let mut client = Broker::shared().client();
    let queue = filled(&mut client);
    client.prefetch(1);
    client.consume(&queue, "a");
    client.expect_bodies(&["1"]);
    client.prefetch(2);
    client.await_ready(&queue, 4);
    client.consume(&queue, "b");
    client.expect_bodies(&["2", "3"]);
    client.await_ready(&queue, 2);
}

#[test]
fn global_prefetch_counts_the_channel() {
    let mut client = Broker::shared().client();
    let queue = filled(&mut client);
    client.call(method!("basic.qos", prefetch_count: 2, global: true));
    client.consume(&queue, "a");
    client.expect_bodies(&["1", "2"]);
    client.consume(&queue, "b");
    client.await_ready(&queue, 3);
    client.ack(1);
    client.expect_bodies(&["3"]);
    client.await_ready(&queue, 2);
}

#[test]
fn global_prefetch_may_be_raised_while_consuming() {
    let mut client = Broker::shared().client();
    let queue = filled(&mut client);
    client.call(method!("basic.qos", prefetch_count: 1, global: true));
    client.consume(&queue, "a");
    client.expect_bodies(&["1"]);
    client.await_ready(&queue, 4);
    client.call(method!("basic.qos", prefetch_count: 3, global: true));
    client.expect_bodies(&["2", "3"]);
    client.await_ready(&queue, 2);
    client.call(method!("basic.qos", prefetch_count: 0, global: true));
    client.expect_bodies(&["4", "5"]);
}

#[test]
fn both_kinds_of_prefetch_hold_at_once() {
    let mut client = Broker::shared().client();
    let queue = filled(&mut client);
    client.prefetch(2);
    client.call(method!("basic.qos", prefetch_count: 3, global: true));
    client.consume(&queue, "a");
    client.expect_bodies(&["1", "2"]);
    client.consume(&queue, "b");
    client.expect_bodies(&["3"]);
    client.await_ready(&queue, 2);
}

#[test]
fn no_ack_knows_no_prefetch() {
    let mut client = Broker::shared().client();
    let queue = filled(&mut client);
    client.prefetch(1);
    client.call(method!("basic.consume", queue: &queue, no_ack: true));
    client.expect_bodies(&["1", "2", "3", "4", "5"]);
}

#[test]
fn get_knows_no_prefetch() {
    let mut client = Broker::shared().client();
    let queue = filled(&mut client);
    client.prefetch(1);
    for _ in 0..5 {
        assert!(client.get(&queue, false).is_some());
    }
}

#[test]
fn prefetch_size_is_not_implemented() {
    let mut client = Broker::shared().client();
    client.send(method!("basic.qos", prefetch_size: 1));
    client.expect_connection_close(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)", "basic.qos");
}

#[test]
fn giving_back_makes_room() {
    let mut client = Broker::shared().client();
    let queue = filled(&mut client);
    client.prefetch(1);
    client.consume(&queue, "c");
    client.expect_bodies(&["1"]);
    client.nack(1, false, true);
    let again = client.expect_bodies(&["1"]);
    assert!(again[0].redelivered());
    client.nack(2, false, false);
    client.expect_bodies(&["2"]);
}

#[test]
fn many_acks_at_once_keep_the_flow_going() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.prefetch(10);
    client.consume(&queue, "c");
    for n in 0..500 {
        client.publish("", &queue, &n.to_string());
    }
    for n in 0..500u64 {
        let message = client.delivery();
        assert_eq!((message.text(), message.tag()), (n.to_string(), n + 1));
        if n % 10 == 9 {
            client.send(method!("basic.ack", delivery_tag: n + 1, multiple: true));
        }
    }
}

/// All of a channel's consumers share its prefetch, and are served in turn.
#[test]
fn consumers_that_share_a_prefetch_are_served_in_turn() {
    for (prefetch, consumers, served) in [(10, 2, [5, 5, 0, 0]), (4, 4, [1, 1, 1, 1])] {
        let mut client = Broker::shared().client();
        let queue = client.queue();
        client.call(method!("basic.qos", prefetch_count: prefetch, global: true));
        for consumer in 0..consumers {
            client.consume(&queue, &consumer.to_string());
        }
        for _ in 0..6 * prefetch {
            client.publish("", &queue, "x");
        }
        for _ in 0..6 {
            let mut counts = [0; 4];
            let mut last = 0;
            for _ in 0..prefetch {
                let message = client.delivery();
                let consumer: usize = message
                    .method
                    .text("consumer-tag")
                    .parse()
                    .expect("a number");
                counts[consumer] += 1;
                last = message.tag();
            }
            assert_eq!(counts, served);
            client.send(method!("basic.ack", delivery_tag: last, multiple: true));
        }
    }
}

#[test]
fn whose_turn_it_is_is_kept_while_a_shared_prefetch_is_used_up() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.call(method!("basic.qos", prefetch_count: 3, global: true));
    client.consume(&queue, "a");
    for _ in 0..9 {
        client.publish("", &queue, "x");
    }
    let mut given = String::new();
    let mut take = |client: &mut Client| {
        let message = client.delivery();
        given += &message.method.text("consumer-tag");
        message.tag()
    };
    let mut tags: std::collections::VecDeque<u64> = (0..3).map(|_| take(&mut client)).collect();
    client.consume(&queue, "b");
    for _ in 0..6 {
        let tag = tags.pop_front().expect("a delivery");
        client.send(method!("basic.ack", delivery_tag: tag));
        tags.push_back(take(&mut client));
    }
    assert_eq!(given, "aaaababab");
}
