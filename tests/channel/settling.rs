//! Acknowledgements: gathered per read, told to each queue once, refused where unknown.

use std::collections::BTreeSet;

use proptest::prelude::*;
use warren::amqp::method::basic;

use super::client::{Client, ack, ack_up_to, broker, numbered};

fn consuming(queues: &[&str], messages: usize) -> Client {
    let mut client = Client::new(&broker());
    for queue in queues {
        client.declare(queue);
        client.consume(queue, queue, false);
    }
    for number in 0..messages {
        for queue in queues {
            client.publish("", queue, format!("{queue} {number}"));
        }
        client.read();
    }
    assert_eq!(client.deliveries().len(), messages * queues.len());
    client
}

#[test]
fn unknown_tags_are_refused_and_what_came_before_counts() {
    for (settle, tag) in [
        (
            basic::Ack {
                delivery_tag: 9,
                multiple: false,
            }
            .into(),
            9,
        ),
        (
            basic::Ack {
                delivery_tag: 9,
                multiple: true,
            }
            .into(),
            9,
        ),
        (
            basic::Ack {
                delivery_tag: 0,
                multiple: false,
            }
            .into(),
            0,
        ),
        (
            basic::Ack {
                delivery_tag: 1,
                multiple: false,
            }
            .into(),
            1,
        ),
        (
            basic::Nack {
                delivery_tag: 2,
                multiple: true,
                requeue: true,
            }
            .into(),
            2,
        ),
        (
            basic::Reject {
                delivery_tag: 9,
                requeue: true,
            }
            .into(),
            9,
        ),
    ] {
        let settle: warren::amqp::method::Method = settle;
        let mut client = consuming(&["q"], 5);
        client
            .write(ack(1))
            .write(ack(2))
            .write(settle)
            .write(ack(3));
        assert_eq!(
            client.refused(),
            format!("PRECONDITION_FAILED - unknown delivery tag {tag}")
        );
        assert_eq!(client.counts("q"), (0, 3, 1));
    }
}

#[test]
fn multiple_settles_across_queues() {
    let mut client = consuming(&["a", "b"], 3);
    client.write(ack_up_to(4)).read();
    assert_eq!(
        (client.counts("a"), client.counts("b")),
        ((0, 1, 1), (0, 1, 1))
    );
    client.write(ack_up_to(0)).read();
    assert_eq!(
        (client.counts("a"), client.counts("b")),
        ((0, 0, 1), (0, 0, 1))
    );
    // With nothing unsettled tag 0 still means all of it.
    client.write(ack_up_to(0)).read();
}

#[test]
fn what_is_given_back_comes_again_in_its_old_order() {
    let mut client = consuming(&["q"], 5);
    client.write(basic::Cancel {
        consumer_tag: "q".into(),
        no_wait: true,
    });
    for tag in [4, 2, 5] {
        client.write(basic::Reject {
            delivery_tag: tag,
            requeue: true,
        });
    }
    client.write(ack(1)).write(ack(3)).read();
    assert_eq!(client.drain_queue("q"), numbered("q", [1, 3, 4]));
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Ack(usize),
    AckUpTo(usize),
    Requeue(usize),
    Reject(usize),
    Recover,
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2usize).prop_map(Step::Publish),
        5 => (0..8usize).prop_map(Step::Ack),
        1 => (0..8usize).prop_map(Step::AckUpTo),
        2 => (0..8usize).prop_map(Step::Requeue),
        1 => (0..8usize).prop_map(Step::Reject),
        1 => Just(Step::Recover),
        4 => Just(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever is settled in whatever reads: each message ends exactly once, and what is neither
    /// acked nor rejected stays.
    #[test]
    fn nothing_is_lost_and_nothing_comes_back_from_the_dead(
        steps in prop::collection::vec(step(), 1..120),
        prefetch in 0..4u16,
        global in any::<bool>(),
    ) {
        let mut client = Client::new(&broker());
        for queue in ["a", "b"] {
            client.declare(queue);
        }
        client.ask(basic::Qos { prefetch_size: 0, prefetch_count: prefetch, global });
        for (queue, tag) in [("a", "one"), ("a", "two"), ("b", "three")] {
            client.consume(queue, tag, false);
        }
        let mut published = 0;
        let mut unsettled: Vec<(u64, String)> = Vec::new();
        let mut alive = BTreeSet::new();
        for step in steps.into_iter().chain([Step::Read]) {
            let pick = |at: usize| (!unsettled.is_empty()).then(|| at % unsettled.len());
            match step {
                Step::Publish(queue) => {
                    let body = format!("m{published}");
                    published += 1;
                    client.publish("", ["a", "b"][queue], &body);
                    alive.insert(body);
                }
                Step::Ack(at) => if let Some(at) = pick(at) {
                    let (tag, body) = unsettled.remove(at);
                    client.write(ack(tag));
                    alive.remove(&body);
                }
                Step::AckUpTo(at) => if let Some(at) = pick(at) {
                    client.write(ack_up_to(unsettled[at].0));
                    for (_, body) in unsettled.drain(..=at) {
                        alive.remove(&body);
                    }
                }
                Step::Requeue(at) => if let Some(at) = pick(at) {
                    let (tag, _) = unsettled.remove(at);
                    client.write(basic::Reject { delivery_tag: tag, requeue: true });
                }
                Step::Reject(at) => if let Some(at) = pick(at) {
                    let (tag, body) = unsettled.remove(at);
                    client.write(basic::Nack { delivery_tag: tag, multiple: false, requeue: false });
                    alive.remove(&body);
                }
                Step::Recover => {
                    client.read();
                    unsettled.extend(client.deliveries().into_iter().map(|it| (it.tag, it.body)));
                    unsettled.clear();
                    client.write(basic::RecoverAsync { requeue: true }).read();
                }
                Step::Read => {
                    client.read();
                    unsettled.extend(client.deliveries().into_iter().map(|it| (it.tag, it.body)));
                }
            }
        }
        let (ready_a, unacked_a, _) = client.counts("a");
        let (ready_b, unacked_b, _) = client.counts("b");
        prop_assert_eq!(unacked_a + unacked_b, unsettled.len() as u64);
        prop_assert_eq!((ready_a + ready_b) as usize + unsettled.len(), alive.len());
        // Whoever can take something has got it.
        let limit = match (prefetch, global) { (0, _) => usize::MAX, (n, true) => n.into(), (n, false) => 3 * usize::from(n) };
        prop_assert!(unsettled.len() <= limit);
        if prefetch == 0 {
            prop_assert_eq!(ready_a + ready_b, 0);
        } else if global {
            prop_assert!(ready_a + ready_b == 0 || unsettled.len() == limit);
        }
        let broker = client.shared.broker.clone();
        client.leave();
        let mut heir = Client::new(&broker);
        let left: BTreeSet<String> = ["a", "b"].iter().flat_map(|queue| heir.drain_queue(queue)).collect();
        prop_assert_eq!(left, alive);
    }
}
