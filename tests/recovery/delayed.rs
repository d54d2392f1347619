//! An exchange that delays messages, over a disk that stops anywhere, with a clock that the test sets:
//! nothing comes before its time, what comes is in order, and what was said to be safe comes.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use warren::amqp::properties::Properties;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::engine::Clock;
use warren::broker::queue::Got;
use warren::broker::vhost::ExchangeDeclare;
use warren::broker::{Body, Effects, Facts, Message};
use warren::store::disk::SimDisk;
use warren::store::disk::sim::{Faults, Keep};

use crate::world::{ME, Sizes, World};
use crate::{seeds, small};

const EXCHANGE: &str = "later";
/// Where its messages go.
const QUEUE: &str = "plain";
const STOPPED: Faults = Faults {
    crash_at: Some(0),
    fail_at: BTreeSet::new(),
    short_at: BTreeSet::new(),
    fail_reads_at: BTreeSet::new(),
    capacity_bytes: None,
};

fn start(disk: &SimDisk, sizes: &Sizes, clock: &Clock, seed: u64) -> World {
    let started = World::start(disk, sizes, clock, seed, |_| {});
    started.expect("it starts").0
}

fn declare(world: &World) {
    let mut arguments = FieldTable::new();
    arguments.push("x-delayed-type", FieldValue::LongStr("fanout".into()));
    let declare = ExchangeDeclare {
        name: EXCHANGE,
        kind: "x-delayed-message",
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments,
    };
    world.vhost.declare_exchange(declare).expect("declared");
    world
        .vhost
        .bind_queue(QUEUE, EXCHANGE, "", FieldTable::new(), ME)
        .expect("bound");
    world.wait_stored();
}

/// Says the index by which it is safe.
fn publish(world: &World, id: u64, delay_ms: u64, persistent: bool, body_bytes: usize) -> u64 {
    let mut headers = FieldTable::new();
    headers.push("x-delay", FieldValue::I64(delay_ms as i64));
    let properties = Properties {
        headers: Some(headers),
        ..Properties::default()
    };
    let mut encoded = Vec::new();
    properties.encode(&mut encoded);
    let mut body = id.to_string().into_bytes();
    body.push(b' ');
    body.resize(body.len() + body_bytes, b'.');
    let message = Message {
        exchange: EXCHANGE.as_bytes(),
        routing_key: b"k",
        properties: &encoded,
        body: Body::Slice(&body),
        facts: Facts {
            persistent,
            ..Facts::PLAIN
        },
    };
    let batch = std::slice::from_ref(&message);
    let route = world.vhost.route(EXCHANGE, "k", &encoded, false);
    let mut effects = Effects::new();
    for queue in route.expect("a route").queues.iter() {
        queue.publish(batch, None, &mut effects);
    }
    let logged = effects.log_published(&world.broker.engine, batch);
    effects.complete();
    logged.expect("the log takes it").unwrap_or(0)
}

/// Takes everything that is in the queue: the ids, in order.
fn take_all(world: &World) -> Vec<u64> {
    let queue = world.queue(QUEUE);
    let mut effects = Effects::new();
    let mut ids = Vec::new();
    loop {
        let got = queue.get(true, &mut effects, &mut |delivery, _| {
            let body = String::from_utf8_lossy(delivery.message.body.as_slice()).into_owned();
            let id = body.split(' ').next().and_then(|id| id.parse().ok());
            ids.push(id.expect("a number"));
            let properties = Properties::decode(delivery.message.properties).expect("properties");
            let headers = properties.headers.expect("headers");
            let delay_ms = headers.get("x-delay").and_then(FieldValue::as_i64);
            assert!(delay_ms.is_some_and(|delay_ms| delay_ms < 0));
        });
        match got {
            Got::Message => {}
            Got::Nothing | Got::Unreadable => break,
            Got::NotLoaded => {
                queue.when_head_is_loaded(Box::new(|| {}));
                assert!(world.load_all() > 0, "it never loads");
            }
        }
    }
    effects.complete();
    ids
}

#[test]
fn messages_come_in_time_and_are_not_lost() {
    let sizes = small();
    let template = World::new_disk(&sizes);
    for seed in seeds(80) {
        let dice = &mut SmallRng::seed_from_u64(seed);
        let disk = template.copy(seed);
        let clock = Clock::manual(1_000_000);
        let mut world = start(&disk, &sizes, &clock, seed);
        declare(&world);
        // When it is due, by its id.
        let mut due: BTreeMap<u64, u64> = BTreeMap::new();
        let mut transient = BTreeSet::new();
        let mut safe = BTreeSet::new();
        let mut came = BTreeSet::new();
        let longest_ms = [100, 10_000, 1_000_000][dice.random_range(0..3)];
        for _life in 0..3 {
            let mut told = Vec::new();
            let mut came_now = BTreeSet::new();
            for _ in 0..dice.random_range(20..200) {
                let id = due.len() as u64;
                let delay_ms = dice.random_range(1..=longest_ms);
                let is_transient = dice.random_bool(0.1);
                due.insert(id, clock.now_ms() + delay_ms);
                if is_transient {
                    transient.insert(id);
                }
                let body_bytes = match dice.random_bool(0.05) {
                    true => 5000,
                    false => dice.random_range(0..300),
                };
                told.push((id, publish(&world, id, delay_ms, !is_transient, body_bytes)));
                world.work_a_little(dice);
                if dice.random_bool(0.1) {
                    clock.advance(dice.random_range(0..longest_ms / 4));
                    world.let_come(&clock);
                    let ids = take_all(&world);
                    let now_ms = clock.now_ms();
                    assert!(
                        ids.iter().all(|id| due[id] <= now_ms),
                        "seed {seed}: too early"
                    );
                    assert!(
                        ids.is_sorted_by_key(|id| due[id]),
                        "seed {seed}: not in order: {ids:?}"
                    );
                    for id in ids {
                        assert!(came_now.insert(id), "seed {seed}: {id} came twice");
                    }
                    // Nothing that is due is left.
                    let is_late = |(id, at): (&u64, &u64)| {
                        let is_here = told.iter().any(|(told, _)| told == id);
                        is_here && *at <= now_ms && !came_now.contains(id)
                    };
                    assert_eq!(
                        due.iter().find(|(id, at)| is_late((id, at))),
                        None,
                        "seed {seed}"
                    );
                }
            }
            came.append(&mut came_now);
            let safe_index = world.journal.safe_index();
            let is_safe = |(id, at): &&(u64, u64)| *at <= safe_index && !transient.contains(id);
            safe.extend(told.iter().filter(is_safe).map(|(id, _)| *id));
            if dice.random_bool(0.3) {
                drop(world);
            } else {
                // It stops before it can do anything more.
                disk.set_faults(STOPPED);
                drop(world);
            }
            disk.crash(match dice.random_range(0..3) {
                0 => Keep::Nothing,
                1 => Keep::Everything,
                _ => Keep::Sectors(4096),
            });
            world = start(&disk, &sizes, &clock, seed);
        }
        // What arrived before the end need not have been taken for good.
        world.let_come(&clock);
        let now_ms = clock.now_ms();
        let ids = take_all(&world);
        assert!(
            ids.iter().all(|id| due[id] <= now_ms),
            "seed {seed}: too early"
        );
        came.extend(ids);
        clock.advance(longest_ms + 1);
        world.let_come(&clock);
        came.extend(take_all(&world));
        let missing: Vec<_> = safe.difference(&came).collect();
        assert!(missing.is_empty(), "seed {seed}: lost {missing:?}");
        let waiting = world.broker.totals().delayed;
        assert_eq!(waiting, 0, "seed {seed}");
    }
}
