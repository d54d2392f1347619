//! Ids that a durable exchange remembers on the disk, over a disk that stops anywhere: an id is known
//! if and only if its message is there, and what was said to be safe is both.

use std::collections::BTreeSet;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use warren::amqp::properties::Properties;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::engine::Clock;
use warren::broker::pager::Turn;
use warren::broker::queue::Got;
use warren::broker::vhost::ExchangeDeclare;
use warren::broker::{Body, Effects, Facts, Message, Passed};
use warren::store::disk::SimDisk;
use warren::store::disk::sim::{Faults, Keep};

use crate::small;
use crate::world::{ME, Sizes, World};

const EXCHANGE: &str = "once";
/// Nothing can be done any more.
const STOPPED: Faults = Faults {
    crash_at: Some(0),
    fail_at: BTreeSet::new(),
    short_at: BTreeSet::new(),
    fail_reads_at: BTreeSet::new(),
    capacity_bytes: None,
};

/// Where its messages go.
const QUEUE: &str = "plain";

fn start(disk: &SimDisk, sizes: &Sizes, clock: &Clock, seed: u64) -> World {
    let started = World::start(disk, sizes, clock, seed, |_| {});
    started.expect("it starts").0
}

fn declare(world: &World, size: i32) {
    let mut arguments = FieldTable::new();
    arguments.push("x-cache-size", FieldValue::I32(size));
    arguments.push("x-cache-persistence", FieldValue::LongStr("disk".into()));
    let declare = ExchangeDeclare {
        name: EXCHANGE,
        kind: "x-message-deduplication",
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

fn publish(world: &World, id: u32, persistent: bool, body_bytes: usize) -> Passed {
    let mut headers = FieldTable::new();
    headers.push("x-deduplication-header", FieldValue::U32(id));
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
    let mut effects = Effects::new();
    let passed = world.vhost.pass(&message, &["k"], &|_| (), &mut effects);
    effects.complete();
    passed.expect("the exchange takes it")
}

fn work(world: &World, dice: &mut SmallRng) {
    if dice.random_bool(0.6) {
        world.journal.turn().expect("it works");
    }
    let mut pause = || {
        world.journal.turn().expect("it works");
    };
    match dice.random_range(0..4) {
        0 => {
            world.pager.turn(Turn::Write, &mut pause);
        }
        1 => {
            world.pager.turn(Turn::LookAfter, &mut pause);
        }
        _ => {}
    }
}

/// Takes everything that is in the queue: the ids, in order.
fn take_all(world: &World) -> Vec<u32> {
    let queue = world.queue(QUEUE);
    let mut effects = Effects::new();
    let mut ids = Vec::new();
    loop {
        let got = queue.get(true, &mut effects, &mut |delivery, _| {
            let body = String::from_utf8_lossy(delivery.message.body.as_slice()).into_owned();
            let id = body.split(' ').next().and_then(|id| id.parse().ok());
            ids.push(id.expect("a number"));
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

fn any_keep(dice: &mut SmallRng) -> Keep {
    match dice.random_range(0..3) {
        0 => Keep::Nothing,
        1 => Keep::Everything,
        _ => Keep::Sectors(4096),
    }
}

#[test]
fn an_id_is_known_if_and_only_if_its_message_is_there() {
    let sizes = small();
    let template = World::new_disk(&sizes);
    for seed in 0..60 {
        let dice = &mut SmallRng::seed_from_u64(seed);
        let disk = template.copy(seed);
        let clock = Clock::manual(1_000);
        let mut world = start(&disk, &sizes, &clock, seed);
        declare(&world, 10_000);
        // Of which somebody was told that they are safe.
        let mut safe = BTreeSet::new();
        let mut next_id = 0;
        for _life in 0..3 {
            let mut told = Vec::new();
            for _ in 0..dice.random_range(20..150) {
                let id = match dice.random_bool(0.3) {
                    true => dice.random_range(0..=next_id),
                    false => {
                        next_id += 1;
                        next_id
                    }
                };
                let passed = publish(&world, id, true, dice.random_range(0..400));
                let index = passed.safe_at.expect("the log takes it");
                // A duplicate is safe when its message is.
                told.push((id, index.unwrap_or(0)));
                work(&world, dice);
            }
            let safe_index = world.journal.safe_index();
            safe.extend(
                told.iter()
                    .filter(|(_, at)| *at <= safe_index)
                    .map(|(id, _)| *id),
            );
            if dice.random_bool(0.3) {
                drop(world);
            } else {
                // It stops before it can do anything more.
                disk.set_faults(STOPPED);
                drop(world);
            }
            disk.crash(any_keep(dice));
            world = start(&disk, &sizes, &clock, seed);
        }
        let known: BTreeSet<u32> = (0..=next_id)
            .filter(|id| publish(&world, *id, false, 0).is_duplicate)
            .collect();
        let mut there = take_all(&world);
        let count = there.len();
        there.sort_unstable();
        there.dedup();
        assert_eq!(there.len(), count, "seed {seed}: a message is there twice");
        // Those that were unknown are there now, once, too.
        assert_eq!(there, (0..=next_id).collect::<Vec<_>>(), "seed {seed}");
        assert!(
            safe.is_subset(&known),
            "seed {seed}: {:?}",
            safe.difference(&known)
        );
    }
}

/// Transient messages go, their ids stay; and ids outlive the files of the log that they were in.
#[test]
fn ids_outlive_their_messages_and_the_log() {
    let sizes = small();
    let disk = World::new_disk(&sizes);
    let clock = Clock::manual(1_000);
    let world = start(&disk, &sizes, &clock, 1);
    declare(&world, 300);
    for id in 0..400 {
        publish(&world, id, id % 2 == 0, 50);
        take_all(&world);
        world.journal.turn().expect("it works");
    }
    let starts = world.journal.file_starts();
    for _ in 0..50 {
        world.pager.turn(Turn::LookAfter, &mut || {
            world.journal.turn().expect("it works");
        });
        world.journal.turn().expect("it works");
    }
    let shorter = world.journal.file_starts();
    assert!(starts.len() > shorter.len(), "{starts:?} {shorter:?}");
    for _ in 0..3 {
        world.journal.turn().expect("it works");
    }
    drop(world);
    disk.crash(Keep::Nothing);
    let world = start(&disk, &sizes, &clock, 1);
    let known: Vec<u32> = (0..400)
        .rev()
        .filter(|id| publish(&world, *id, true, 0).is_duplicate)
        .collect();
    // The newest 300.
    assert_eq!(known, (100..400).rev().collect::<Vec<_>>());
}
