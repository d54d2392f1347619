//! A queue that limits its bytes leaves memory as any other does, and counts them exactly all the same.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use serde_json::json;
use warren::broker::engine::Clock;
use warren::broker::pager::Turn;
use warren::broker::queue::{Cause, Got};
use warren::broker::{Body, Effects, Facts, Message};
use warren::store::disk::SimDisk;

use crate::disk::among;
use crate::small;
use crate::world::{Kind, Sizes, World};

const MESSAGES: u64 = 3000;
const BODY_BYTES: usize = 1000;
/// So many of them are in the queue at most.
const MOST: u64 = 4000;
/// The window and what is kept of messages that are out.
const MEMORY_BYTES: u64 = 256 << 10;

fn sizes() -> Sizes {
    let mut sizes = small();
    sizes.file_bytes = 1 << 20;
    sizes.paging.chunk_bytes = 16 << 10;
    sizes.paging.window_bytes = 64 << 10;
    sizes.paging.narrow_window_bytes = 64 << 10;
    sizes.paging.segment_bytes = 256 << 10;
    sizes
}

fn kind() -> Kind {
    Kind {
        name: "counted-bytes",
        max_length_bytes: Some(MOST * BODY_BYTES as u64),
        ..Kind::PLAIN
    }
}

fn publish(world: &World, numbers: std::ops::Range<u64>) {
    let queue = world.queue(kind().name);
    for number in numbers {
        let mut body = number.to_le_bytes().to_vec();
        body.resize(BODY_BYTES, number as u8);
        let body = Bytes::from(body);
        let message = Message {
            exchange: b"",
            routing_key: kind().name.as_bytes(),
            properties: &[0, 0],
            body: Body::of(&body),
            facts: Facts {
                persistent: true,
                ..Facts::PLAIN
            },
        };
        let mut effects = Effects::new();
        queue.publish(&[message], None, &mut effects);
        let logged = effects.log_published(&world.broker.engine, &[message]);
        logged.expect("it is taken");
        effects.complete();
        if number.is_multiple_of(50) {
            work(world);
        }
    }
    work(world);
}

fn work(world: &World) {
    world.journal.turn().expect("it works");
    for turn in [Turn::Write, Turn::LookAfter] {
        let turn_journal = &mut || {
            world.journal.turn().expect("it works");
        };
        while world.pager.turn(turn, turn_journal) && turn == Turn::Write {}
    }
    world.load_all();
}

/// Takes the next messages: their sequences and numbers.
fn take(world: &World, most: u64) -> Vec<(u64, u64)> {
    let queue = world.queue(kind().name);
    let mut effects = Effects::new();
    let mut taken = Vec::new();
    while (taken.len() as u64) < most {
        let got = queue.get(false, &mut effects, &mut |delivery, _| {
            let mut number = [0; 8];
            number.copy_from_slice(&delivery.message.body.as_slice()[..8]);
            taken.push((delivery.sequence, u64::from_le_bytes(number)));
        });
        effects.complete();
        match got {
            Got::Message => {}
            Got::Nothing | Got::Unreadable => break,
            Got::NotLoaded => {
                queue.when_head_is_loaded(Box::new(|| {}));
                assert!(world.load_all() > 0, "it never loads");
            }
        }
        if taken.len().is_multiple_of(50) {
            work(world);
        }
    }
    work(world);
    taken
}

fn numbers(taken: &[(u64, u64)]) -> Vec<u64> {
    taken.iter().map(|(_, number)| *number).collect()
}

fn start(disk: &SimDisk) -> World {
    let started = World::start(disk, &sizes(), &Clock::manual(0), 1, |_| {});
    started.expect("it starts").0
}

#[test]
fn a_queue_that_counts_its_bytes_leaves_memory() {
    let disk = World::new_disk(&sizes());
    let world = start(&disk);
    world.declare(&kind());
    let used_bytes = || world.broker.engine.memory.used_bytes();
    publish(&world, 0..MESSAGES);
    assert!(used_bytes() < MEMORY_BYTES, "{} ready", used_bytes());
    let first = take(&world, MESSAGES);
    assert_eq!(numbers(&first), (0..MESSAGES).collect::<Vec<_>>());
    assert!(used_bytes() < MEMORY_BYTES, "{} taken", used_bytes());
    publish(&world, MESSAGES..2 * MESSAGES);
    assert!(used_bytes() < MEMORY_BYTES, "{} both", used_bytes());

    // Some are settled; the others come back, and are more than there may be: the oldest go.
    let queue = world.queue(kind().name);
    let mut effects = Effects::new();
    let (settled, back): (Vec<_>, Vec<_>) = first
        .iter()
        .partition(|(_, number)| number.is_multiple_of(3));
    for (sequence, _) in &settled {
        queue.ack(&[(*sequence, *sequence)], &[], &mut effects);
        effects.complete();
    }
    let returned: Vec<u64> = back.iter().map(|(sequence, _)| *sequence).collect();
    for some in returned.chunks(100) {
        queue.requeue(some, Cause::Nacked, &[], &mut effects);
        effects.complete();
        work(&world);
    }
    while world.load_all() > 0 {}
    assert_eq!(queue.counts().ready, MOST);
    let excess = back.len() as u64 + MESSAGES - MOST;
    let mut expected = numbers(&back).split_off(excess as usize);
    expected.extend(MESSAGES..2 * MESSAGES);

    // After a restart it counts on: every message more is one less.
    drop(queue);
    drop(world);
    let world = start(&disk);
    let queue = world.queue(kind().name);
    assert_eq!(queue.counts().ready, MOST);
    publish(&world, 2 * MESSAGES..2 * MESSAGES + 100);
    while world.load_all() > 0 {}
    assert_eq!(queue.counts().ready, MOST);
    expected.drain(..100);
    expected.extend(2 * MESSAGES..2 * MESSAGES + 100);
    assert_eq!(numbers(&take(&world, u64::MAX)), expected);
}

/// However much of it lies on the disk, it is read while the broker runs, and the limit holds then.
#[test]
fn a_start_reads_nothing_of_a_queue_that_counts_its_bytes() {
    let disk_with = |messages: u64| {
        let disk = World::new_disk(&sizes());
        let world = start(&disk);
        world.declare(&kind());
        publish(&world, 0..messages);
        disk
    };
    // How often the disk is asked for something.
    let start_counted = |disk: &SimDisk| {
        let calls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&calls);
        let world = among(move || counted.set(counted.get() + 1), || start(disk));
        (world, calls.get())
    };
    // What the log has as well is verified, so both have a log of the same length.
    let (_, calls_for_fewer) = start_counted(&disk_with(MOST * 3 / 4));
    let (world, calls) = start_counted(&disk_with(MOST));
    let chunks = world.load_all();
    assert!(chunks > 200, "{chunks} chunks were read afterwards");
    let more = calls - calls_for_fewer;
    assert!(more < chunks / 5, "{more} more calls for {chunks} chunks");
    publish(&world, MOST..MOST + 10);
    while world.load_all() > 0 {}
    assert_eq!(world.queue(kind().name).counts().ready, MOST);
    let used_bytes = world.broker.engine.memory.used_bytes();
    assert!(used_bytes < MEMORY_BYTES, "{used_bytes} bytes");
}

/// A policy comes when most of the queue is on the disk and some of it is out.
#[test]
fn a_limit_that_comes_late_counts_what_is_on_the_disk() {
    let disk = World::new_disk(&sizes());
    let world = start(&disk);
    world.declare(&Kind {
        max_length_bytes: None,
        ..kind()
    });
    publish(&world, 0..2 * MESSAGES);
    let taken = take(&world, 500);
    let queue = world.queue(kind().name);
    let policy = json!({
        "pattern": kind().name, "priority": 0, "apply-to": "queues",
        "definition": {"max-length-bytes": MOST * BODY_BYTES as u64},
    });
    let mut effects = Effects::new();
    let set = world
        .broker
        .set_parameter("/", "policy", "late", policy, &mut effects);
    assert!(set.is_ok(), "{set:?}");
    effects.complete();
    while world.load_all() > 0 {
        work(&world);
    }
    assert_eq!(queue.counts().ready, MOST);
    let used_bytes = world.broker.engine.memory.used_bytes();
    assert!(used_bytes < MEMORY_BYTES, "{used_bytes} bytes");
    // What was out counts when it is back.
    let returned: Vec<u64> = taken.iter().map(|(sequence, _)| *sequence).collect();
    queue.requeue(&returned, Cause::Nacked, &[], &mut effects);
    effects.complete();
    while world.load_all() > 0 {}
    assert_eq!(queue.counts().ready, MOST);
    let expected: Vec<u64> = (2 * MESSAGES - MOST..2 * MESSAGES).collect();
    assert_eq!(numbers(&take(&world, u64::MAX)), expected);
}
