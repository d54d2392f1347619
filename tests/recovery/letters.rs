//! Dead letters that must be read from the disk first: all of them leave, in the order in which they were
//! given up, whatever becomes of their queue.

use std::sync::Arc;

use bytes::Bytes;
use warren::broker::engine::Clock;
use warren::broker::pager::Turn;
use warren::broker::queue::Got;
use warren::broker::{Body, Effects, Facts, Message};
use warren::store::disk::SimDisk;

use crate::small;
use crate::world::{DEAD, Kind, Sizes, World};

/// They say that it is persistent, and nothing else.
const PROPERTIES: [u8; 3] = [0x10, 0, 2];
const MESSAGES: u64 = 1000;
const BODY_BYTES: usize = 1000;

/// Its messages are in some 60 chunks, of which 4 fit the window.
fn sizes() -> Sizes {
    let mut sizes = small();
    sizes.file_bytes = 1 << 20;
    sizes.paging.chunk_bytes = 16 << 10;
    sizes.paging.window_bytes = 64 << 10;
    sizes.paging.narrow_window_bytes = 64 << 10;
    sizes.paging.segment_bytes = 256 << 10;
    sizes
}

const KIND: Kind = Kind {
    name: "letters",
    dead_letters_to: Some(DEAD),
    ..Kind::PLAIN
};

fn work(world: &World) {
    world.journal.turn().expect("it works");
    for turn in [Turn::Write, Turn::LookAfter] {
        let turn_journal = &mut || {
            world.journal.turn().expect("it works");
        };
        while world.pager.turn(turn, turn_journal) && turn == Turn::Write {}
    }
}

fn publish(world: &World, numbers: std::ops::Range<u64>) {
    let queue = world.queue(KIND.name);
    for number in numbers {
        let mut body = number.to_le_bytes().to_vec();
        body.resize(BODY_BYTES, number as u8);
        let body = Bytes::from(body);
        let message = Message {
            exchange: b"",
            routing_key: KIND.name.as_bytes(),
            properties: &PROPERTIES,
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

/// Takes all messages: their sequences and numbers.
fn take(world: &World, name: &str) -> Vec<(u64, u64)> {
    let queue = world.queue(name);
    let mut effects = Effects::new();
    let mut taken = Vec::new();
    loop {
        let got = queue.get(false, &mut effects, &mut |delivery, _| {
            let mut number = [0; 8];
            number.copy_from_slice(&delivery.message.body.as_slice()[..8]);
            taken.push((delivery.sequence, u64::from_le_bytes(number)));
        });
        effects.complete();
        match got {
            Got::Message => {}
            Got::Nothing | Got::Unreadable => return taken,
            Got::NotLoaded => {
                queue.when_head_is_loaded(Box::new(|| {}));
                assert!(world.load_all() > 0, "it never loads");
            }
        }
        if taken.len().is_multiple_of(50) {
            work(world);
        }
    }
}

fn numbers(taken: &[(u64, u64)]) -> Vec<u64> {
    taken.iter().map(|(_, number)| *number).collect()
}

fn start(disk: &SimDisk) -> World {
    let started = World::start(disk, &sizes(), &Clock::manual(0), 1, |_| {});
    started.expect("it starts").0
}

/// A queue of which everything is out, most of it not in memory.
fn all_out(disk: &SimDisk) -> (World, Vec<(u64, u64)>) {
    let world = start(disk);
    world.declare(&KIND);
    publish(&world, 0..MESSAGES);
    let taken = take(&world, KIND.name);
    assert_eq!(numbers(&taken), (0..MESSAGES).collect::<Vec<_>>());
    work(&world);
    (world, taken)
}

fn reject(world: &World, taken: &[(u64, u64)]) {
    let returned: Vec<u64> = taken.iter().map(|(sequence, _)| *sequence).collect();
    let mut effects = Effects::new();
    world.queue(KIND.name).reject(&returned, &[], &mut effects);
    effects.complete();
}

/// Reads what dead letters wait for, and what they make necessary.
fn read(world: &World) {
    loop {
        work(world);
        if world.load_all() == 0 {
            return;
        }
    }
}

#[test]
fn dead_letters_leave_in_the_order_of_their_rejection() {
    let disk = World::new_disk(&sizes());
    let (world, taken) = all_out(&disk);
    // What was published last, which is in memory, first and last.
    let (old, new) = taken.split_at(taken.len() / 2);
    let (middle, newest) = new.split_at(new.len() - 1);
    reject(&world, middle);
    reject(&world, old);
    reject(&world, newest);
    read(&world);
    let expected = [numbers(middle), numbers(old), numbers(newest)].concat();
    assert_eq!(numbers(&take(&world, DEAD)), expected);
    assert_eq!(world.queue(KIND.name).counts().unacked, 0);
}

#[test]
fn what_is_over_the_limit_leaves_after_what_was_rejected_before() {
    let disk = World::new_disk(&sizes());
    let world = start(&disk);
    let most = MESSAGES / 2;
    world.declare(&Kind {
        max_length: Some(most),
        ..KIND
    });
    publish(&world, 0..most);
    let taken = take(&world, KIND.name);
    publish(&world, most..MESSAGES);
    reject(&world, &taken);
    publish(&world, MESSAGES..MESSAGES + 5);
    let counts = world.queue(KIND.name).counts();
    assert_eq!((counts.ready, counts.unacked), (most, most + 5));
    read(&world);
    let expected: Vec<u64> = (0..most + 5).collect();
    assert_eq!(numbers(&take(&world, DEAD)), expected);
    let counts = world.queue(KIND.name).counts();
    assert_eq!((counts.ready, counts.unacked), (most, 0));
}

#[test]
fn dead_letters_leave_a_queue_that_is_deleted() {
    let disk = World::new_disk(&sizes());
    let (world, taken) = all_out(&disk);
    // What is not given up goes with the queue.
    let kept = |number: u64| number.is_multiple_of(7) || (200..300).contains(&number);
    let (_, given_up): (Vec<_>, Vec<_>) = taken.iter().partition(|(_, number)| kept(*number));
    reject(&world, &given_up);
    let queue = Arc::downgrade(&world.queue(KIND.name));
    let mut effects = Effects::new();
    world.delete(KIND.name, &mut effects);
    effects.complete();
    world.wait_stored();
    read(&world);
    assert_eq!(numbers(&take(&world, DEAD)), numbers(&given_up));
    assert!(queue.upgrade().is_none(), "nothing keeps it any more");

    // They are where they went for good.
    drop(world);
    let world = start(&disk);
    assert_eq!(numbers(&take(&world, DEAD)), numbers(&given_up));
}
