//! Small examples of what a queue does, each by itself.

use std::sync::{Arc, Weak};

use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::engine::Engine;
use warren::broker::queue::{Cause, ConsumerId, Queue, QueueId, QueueSpec};
use warren::broker::{Body, Effects, Facts, Message};

use crate::basket::Basket;
use crate::world::add_consumer;

fn queue(arguments: &[(&str, FieldValue)]) -> Arc<Queue> {
    queue_of(&Engine::new(u64::MAX), arguments)
}

fn queue_of(engine: &Arc<Engine>, arguments: &[(&str, FieldValue)]) -> Arc<Queue> {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.push(*name, value.clone());
    }
    let spec = QueueSpec {
        id: QueueId(1),
        engine: Arc::clone(engine),
        vhost: Weak::new(),
        vhost_name: "/".into(),
        name: "q".into(),
        durable: false,
        auto_delete: false,
        exclusive_owner: None,
        arguments: table,
    };
    Queue::new(spec).expect("the arguments are valid")
}

fn publish(
    queue: &Arc<Queue>,
    names: std::ops::Range<u64>,
    priority: impl Fn(u64) -> u8,
) -> Effects {
    let bodies: Vec<[u8; 8]> = names.clone().map(u64::to_le_bytes).collect();
    let message = |(name, body)| Message {
        exchange: b"",
        routing_key: b"q",
        properties: &[0, 0],
        body: Body::Slice(body),
        facts: Facts {
            priority: priority(name),
            ..Facts::PLAIN
        },
    };
    let batch: Vec<Message<'_>> = names
        .zip(bodies.iter().map(|body| &body[..]))
        .map(message)
        .collect();
    let mut effects = Effects::new();
    queue.publish(&batch, None, &mut effects);
    effects
}

fn consume(queue: &Arc<Queue>, basket: &Arc<Basket>, no_ack: bool, priority: i32) -> ConsumerId {
    let id = add_consumer(queue, basket, no_ack, priority);
    queue.resume(&[id], &mut Effects::new());
    id
}

#[test]
fn consumers_of_one_priority_are_served_in_turn() {
    let queue = queue(&[]);
    let baskets = [1_000; 3].map(Basket::new);
    for basket in &baskets {
        consume(&queue, basket, true, 0);
    }
    publish(&queue, 0..1, |_| 0);
    publish(&queue, 1..8, |_| 0);
    publish(&queue, 8..9, |_| 0);
    assert_eq!(
        baskets.map(|basket| basket.take_names()),
        [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    );
}

#[test]
fn a_large_batch_is_dealt_one_each_in_turn_to_many() {
    let plain = queue(&[]);
    // Here everything is stored before it is dealt.
    let stored = queue(&[("x-max-priority", FieldValue::I32(1))]);
    for (queue, no_ack) in [(&plain, true), (&plain, false), (&stored, true)] {
        let baskets: Vec<_> = (0..40).map(|_| Basket::new(usize::MAX)).collect();
        let consumers = baskets
            .iter()
            .map(|basket| consume(queue, basket, no_ack, 0));
        let consumers: Vec<_> = consumers.collect();
        publish(queue, 0..5_000, |_| 0);
        for (at, basket) in (0..).zip(&baskets) {
            let expected: Vec<_> = (at..5_000).step_by(40).collect();
            assert_eq!(basket.take_names(), expected);
        }
        assert_eq!(queue.counts().unacked, if no_ack { 0 } else { 5_000 });
        queue.remove_consumers(&consumers, &mut Effects::new());
    }
}

#[test]
fn some_of_a_large_batch_is_settled_at_once_and_some_is_not() {
    let queue = queue(&[("x-max-priority", FieldValue::I32(1))]);
    let baskets = [usize::MAX; 3].map(Basket::new);
    for (basket, no_ack) in baskets.iter().zip([true, false, true]) {
        consume(&queue, basket, no_ack, 0);
    }
    publish(&queue, 0..3_000, |_| 0);
    assert_eq!(queue.counts().unacked, 1_000);
    let expected: Vec<_> = (1..3_000).step_by(3).collect();
    assert_eq!(baskets[1].take_names(), expected);
}

#[test]
fn a_higher_priority_consumer_is_served_first_while_it_has_room() {
    let queue = queue(&[]);
    let (low, high) = (Basket::new(10), Basket::new(2));
    consume(&queue, &low, false, 0);
    consume(&queue, &high, false, 5);
    publish(&queue, 0..5, |_| 0);
    assert_eq!(high.take_names(), [0, 1]);
    assert_eq!(low.take_names(), [2, 3, 4]);
}

#[test]
fn a_single_active_consumer_is_followed_by_the_next() {
    let queue = queue(&[("x-single-active-consumer", FieldValue::Bool(true))]);
    let (first, second) = (Basket::new(10), Basket::new(10));
    let active = consume(&queue, &first, false, 0);
    consume(&queue, &second, false, 0);
    publish(&queue, 0..3, |_| 0);
    assert_eq!(
        (first.take_names(), second.take_names()),
        (vec![0, 1, 2], vec![])
    );
    assert!(queue.remove_consumers(&[active], &mut Effects::new()));
    queue.activate_next(&mut Effects::new());
    publish(&queue, 3..5, |_| 0);
    assert_eq!(second.take_names(), [3, 4]);
}

#[test]
fn a_full_queue_refuses_what_is_over_its_length() {
    let overflow = FieldValue::LongStr("reject-publish".into());
    let queue = queue(&[
        ("x-max-length", FieldValue::I32(3)),
        ("x-overflow", overflow),
    ]);
    let effects = publish(&queue, 0..5, |_| 0);
    assert_eq!(effects.refused, [3, 4]);
    assert_eq!(queue.counts().ready, 3);
}

#[test]
fn a_full_queue_drops_its_head() {
    let queue = queue(&[("x-max-length", FieldValue::I32(3))]);
    publish(&queue, 0..500, |_| 0);
    let basket = Basket::new(10);
    consume(&queue, &basket, false, 0);
    assert_eq!(basket.take_names(), [497, 498, 499]);
}

#[test]
fn a_deleted_queue_cancels_its_consumers() {
    let queue = queue(&[]);
    let basket = Basket::new(0);
    consume(&queue, &basket, false, 0);
    publish(&queue, 0..5, |_| 0);
    assert_eq!(queue.close(false, false, &mut Effects::new()), Ok(Some(5)));
    assert!(basket.is_cancelled());
    assert_eq!(queue.close(false, false, &mut Effects::new()), Ok(None));
}

#[test]
fn a_burst_leaves_no_memory_behind() {
    let engine = Engine::new(u64::MAX);
    let queue = queue_of(&engine, &[]);
    publish(&queue, 0..100_000, |_| 0);
    assert!(engine.memory.used_bytes() > 2_000_000);
    let basket = Basket::new(usize::MAX);
    consume(&queue, &basket, true, 0);
    assert_eq!(basket.take_new().len(), 100_000);
    // What was published into since the last time keeps its buffers for once.
    queue.tidy();
    queue.tidy();
    assert!(engine.memory.used_bytes() < 100_000);
}

#[test]
fn messages_past_the_limit_raise_the_alarm_until_they_are_gone() {
    let engine = Engine::new(1_000_000);
    let queue = queue_of(&engine, &[]);
    publish(&queue, 0..100_000, |_| 0);
    assert!(engine.alarms.borrow().memory);
    queue.purge(&mut Effects::new());
    queue.tidy();
    queue.tidy();
    assert!(!engine.alarms.borrow().memory);
}

/// What came back in one piece takes next to nothing; where it lies between what did not, it counts.
#[test]
fn which_messages_came_back_counts_as_memory() {
    const MESSAGES: u64 = 20_000;
    let engine = Engine::new(u64::MAX);
    let queue = queue_of(&engine, &[]);
    let mut effects = publish(&queue, 0..MESSAGES, |_| 0);
    let mut taken = Vec::new();
    while (taken.len() as u64) < MESSAGES {
        queue.get(false, &mut effects, &mut |delivery, _| {
            taken.push(delivery.sequence);
        });
    }
    let used = || engine.memory.used_bytes() as i64;
    let before = used();
    let mut give_back = |number: usize| {
        let returned = &taken[number..=number];
        queue.requeue(returned, Cause::Nacked, &[], &mut effects);
    };
    (0..taken.len()).step_by(2).for_each(&mut give_back);
    let scattered = used() - before;
    assert!(scattered > MESSAGES as i64 * 10, "{scattered} bytes");
    (1..taken.len()).step_by(2).for_each(&mut give_back);
    let whole = used() - before;
    assert!(whole < 128 << 10, "{whole} bytes");
}
