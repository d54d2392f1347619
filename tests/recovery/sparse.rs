//! A message that nobody settles keeps little more on the disk than itself, however much went by.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use warren::broker::engine::Clock;
use warren::broker::pager::{PagingOptions, Turn};
use warren::broker::queue::Got;
use warren::broker::{Body, Effects, Facts, Message};
use warren::store::check::check;
use warren::store::disk::SimDisk;
use warren::store::disk::sim::Keep;

use crate::small;
use crate::world::{Sizes, World};

const MESSAGES: usize = 8000;
/// One of so many stays: about one in each segment.
const STAYS: usize = 500;
const SEGMENT_BYTES: u64 = 64 << 10;

fn sizes() -> Sizes {
    let sizes = small();
    Sizes {
        paging: PagingOptions {
            chunk_bytes: 8 << 10,
            window_bytes: 16 << 10,
            narrow_window_bytes: 16 << 10,
            segment_bytes: SEGMENT_BYTES,
            segment_idle: Duration::from_secs(3600),
            sparse_share: 8,
            sparse_bytes: 16 << 10,
            ..sizes.paging
        },
        ..sizes
    }
}

fn body_of(number: usize) -> Bytes {
    // Now and then one that memory shares and that lies beside its chunk.
    let bytes = if number.is_multiple_of(STAYS * 2) {
        5000
    } else {
        100
    };
    let mut body = format!("{number} ").into_bytes();
    body.resize(bytes, b'.');
    body.into()
}

fn publish(world: &World, number: usize) {
    let body = body_of(number);
    let message = Message {
        exchange: b"",
        routing_key: b"plain",
        properties: &[0, 0],
        body: Body::of(&body),
        facts: Facts {
            persistent: true,
            priority: 0,
            expiration_ms: Facts::NEVER,
            has_bcc: false,
        },
    };
    let mut effects = Effects::new();
    world.queue("plain").publish(&[message], None, &mut effects);
    effects.complete();
}

/// The next message's sequence and body.
fn next(world: &World) -> Option<(u64, Bytes)> {
    let queue = world.queue("plain");
    let mut effects = Effects::new();
    let mut found = None;
    loop {
        let got = queue.get(false, &mut effects, &mut |delivery, _| {
            let body = Bytes::copy_from_slice(delivery.message.body.as_slice());
            found = Some((delivery.sequence, body));
        });
        match got {
            Got::NotLoaded => {
                queue.when_head_is_loaded(Box::new(|| {}));
                assert!(world.load_all() > 0, "it never loads");
            }
            Got::Message | Got::Nothing | Got::Unreadable => break,
        }
    }
    effects.complete();
    found
}

fn turn(world: &World, turn: Turn) -> bool {
    world.pager.turn(turn, &mut || {
        world.journal.turn().expect("it works");
    })
}

fn work(world: &World) {
    world.journal.turn().expect("it works");
    while turn(world, Turn::Write) {}
    turn(world, Turn::LookAfter);
}

fn segment_bytes(disk: &SimDisk) -> u64 {
    let files = disk.files().into_iter();
    let segments = files.filter(|(path, _)| path.starts_with("segments/"));
    segments.map(|(_, bytes)| bytes).sum()
}

#[test]
fn messages_that_stay_pin_no_segments() {
    let sizes = sizes();
    let disk = World::new_disk(&sizes);
    let start = || {
        let started = World::start(&disk, &sizes, &Clock::manual(0), 1, |_| {});
        started.expect("it starts").0
    };
    let world = start();
    for number in 0..MESSAGES {
        publish(&world, number);
        if number % 100 == 99 {
            work(&world);
        }
    }
    let queue = world.queue("plain");
    let mut effects = Effects::new();
    for number in 0..MESSAGES {
        let (sequence, body) = next(&world).expect("it is there");
        assert_eq!(body, body_of(number));
        if !number.is_multiple_of(STAYS) {
            queue.ack(&[(sequence, sequence)], &[], &mut effects);
            effects.complete();
        }
    }
    drop(queue);
    work(&world);
    let before = segment_bytes(&disk);
    assert!(before > 12 * SEGMENT_BYTES, "{before} bytes in segments");

    let mut rewritten = 0;
    while turn(&world, Turn::Rewrite) {
        rewritten += 1;
        assert!(rewritten < 100, "it comes to no end");
    }
    work(&world);
    work(&world);
    let after = segment_bytes(&disk);
    assert!(after < before / 4, "{after} of {before} bytes are left");

    drop(world);
    disk.crash(Keep::Nothing);
    let report = check(Arc::new(disk.copy(1))).expect("a data folder");
    assert_eq!(report.problems, Vec::<String>::new());
    let world = start();
    for number in (0..MESSAGES).step_by(STAYS) {
        assert_eq!(next(&world).map(|(_, body)| body), Some(body_of(number)));
    }
    assert_eq!(next(&world), None);
    // What was made small before is left as it is.
    assert!(!turn(&world, Turn::Rewrite), "it is rewritten again");
}
