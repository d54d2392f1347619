//! A message whose chunk is damaged, and of which the log has a copy, comes back from there.

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
use warren::store::journal::{Fsync, OnDamage, Options};

use crate::small;
use crate::world::{Sizes, World};

const MESSAGES: u64 = 400;
/// So many are settled before the damage, and some in between.
const SETTLED: u64 = 30;

/// The log keeps everything, and queues page out all the same.
fn sizes() -> Sizes {
    let sizes = small();
    Sizes {
        file_bytes: 1 << 20,
        fsync: Fsync::Always,
        paging: PagingOptions {
            most_log_files: 1000,
            log_idle: Duration::MAX,
            segment_idle: Duration::ZERO,
            segment_bytes: 1 << 20,
            sparse_bytes: u64::MAX,
            ..sizes.paging
        },
    }
}

fn body_of(number: u64) -> Bytes {
    let mut body = format!("{number} ").into_bytes();
    // Now and then one that memory shares and that lies beside its chunk.
    let bytes = if number % 50 == 7 { 5000 } else { 60 };
    body.resize(bytes, b'.');
    body.into()
}

/// Every tenth message does not outlive a restart.
fn is_persistent(number: u64) -> bool {
    !number.is_multiple_of(10)
}

fn publish(world: &World, number: u64) {
    let body = body_of(number);
    let message = Message {
        exchange: b"",
        routing_key: b"plain",
        properties: &[0, 0],
        body: Body::of(&body),
        facts: Facts {
            persistent: is_persistent(number),
            priority: 0,
            expiration_ms: Facts::NEVER,
            has_bcc: false,
        },
    };
    let mut effects = Effects::new();
    let batch = [message];
    world.queue("plain").publish(&batch, None, &mut effects);
    let logged = effects.log_published(&world.broker.engine, &batch);
    assert_eq!(
        logged.expect("it is taken").is_some(),
        is_persistent(number)
    );
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

fn work(world: &World) {
    world.journal.turn().expect("it works");
    for turn in [Turn::Write, Turn::LookAfter] {
        let turn_journal = &mut || {
            world.journal.turn().expect("it works");
        };
        while world.pager.turn(turn, turn_journal) && turn == Turn::Write {}
    }
    world.journal.turn().expect("it works");
}

fn start(disk: &SimDisk) -> World {
    let started = World::start(disk, &sizes(), &Clock::manual(0), 1, |_| {});
    started.expect("it starts").0
}

fn segments(disk: &SimDisk) -> Vec<(String, u64)> {
    let files = disk.files().into_iter();
    files
        .filter(|(path, _)| path.starts_with("segments/"))
        .collect()
}

/// A stopped broker's disk with messages in segments and in the log, and which of them are to come back.
fn left_behind() -> (SimDisk, Vec<u64>) {
    let disk = World::new_disk(&sizes());
    let world = start(&disk);
    for number in 0..MESSAGES {
        publish(&world, number);
        if number % 20 == 19 {
            work(&world);
        }
    }
    let queue = world.queue("plain");
    let mut effects = Effects::new();
    let mut stay = Vec::new();
    for number in 0..2 * SETTLED {
        let (sequence, body) = next(&world).expect("it is there");
        assert_eq!(body, body_of(number));
        if number < SETTLED || number.is_multiple_of(3) {
            queue.ack(&[(sequence, sequence)], &[], &mut effects);
            effects.complete();
        } else {
            stay.push(number);
        }
    }
    stay.extend(2 * SETTLED..MESSAGES);
    stay.retain(|number| is_persistent(*number));
    drop(queue);
    work(&world);
    drop(world);
    disk.crash(Keep::Nothing);
    assert!(!segments(&disk).is_empty());
    (disk, stay)
}

/// All that there is, whose bodies are whole.
fn all_of(world: &World) -> Vec<u64> {
    let numbers = std::iter::from_fn(|| {
        let (_, body) = next(world)?;
        let text = String::from_utf8_lossy(&body);
        let number = text.split(' ').next()?.parse().expect("a number");
        assert!(body == body_of(number), "the body of {number} is another");
        Some(number)
    });
    numbers.collect()
}

#[test]
fn a_damaged_chunk_comes_back_from_the_log() {
    comes_back_from_the_log(true);
}

/// Nor need anybody wait until all is proven.
#[test]
fn a_damaged_chunk_that_is_needed_at_once_comes_back_from_the_log() {
    comes_back_from_the_log(false);
}

fn comes_back_from_the_log(is_proven_first: bool) {
    let (disk, stay) = left_behind();
    // Every segment, every fifth block: whole chunks are gone, and some stay.
    for (path, bytes) in segments(&disk) {
        for block in (0..bytes / 4096).step_by(5) {
            assert!(disk.flip_bit(&path, (block * 4096 + 100) * 8));
        }
    }
    let told = |world: &World| world.broker.engine.store.condition();
    let lost = |world: &World| world.broker.engine.metrics.messages_lost.get();

    // Where damage is refused, nothing is set aside.
    let strict = Options {
        on_damage: OnDamage::Refuse,
        ..sizes().options(1)
    };
    let refused = World::start_with(&disk, sizes().paging, &Clock::manual(0), strict, |_| {});
    let refused = refused.err().expect("it is refused");
    assert!(refused.contains("are damaged"), "{refused}");
    let is_kept = |(path, _): &(String, u64)| path.starts_with("quarantine/");
    assert!(!disk.files().iter().any(is_kept));

    let world = start(&disk);
    if is_proven_first {
        work(&world);
        assert!(told(&world).segment_damage > 1);
    }
    assert_eq!(all_of(&world), stay);
    assert_eq!(lost(&world), 0);
    let first = told(&world);
    assert!(first.segment_damage > 1, "{first:?}");
    assert_eq!(first.queues.len(), 1);
    assert!(first.damage[0].contains(", 0 are lost"), "{first:?}");
    // What came back from the log moves to segments again, which the damaged ones do not stand in the way of.
    drop(world);
    let world = start(&disk);
    for number in 0..40 {
        publish(&world, MESSAGES + number);
        work(&world);
    }
    assert_eq!(
        told(&world).segment_damage,
        first.segment_damage,
        "it is told twice"
    );
    drop(world);
    disk.crash(Keep::Nothing);

    // Without the log's old copies.
    let world = start(&disk);
    let mut all = stay.clone();
    all.extend((MESSAGES..MESSAGES + 40).filter(|number| is_persistent(*number)));
    assert_eq!(all_of(&world), all);
    assert_eq!(lost(&world), 0);
    assert_eq!(told(&world).segment_damage, first.segment_damage);
    drop(world);
    disk.crash(Keep::Nothing);
    let report = check(Arc::new(disk.copy(1))).expect("a data folder");
    let (found_before, problems): (Vec<_>, Vec<_>) = report
        .problems
        .iter()
        .partition(|problem| problem.contains("noted in quarantine/"));
    // "6 records from 20 on": nobody has looked at what was settled in time.
    let is_settled = |problem: &&&String| {
        let words: Vec<&str> = problem.split(' ').collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        let settled = number(0).zip(number(3));
        settled.is_some_and(|(records, from)| from + records <= SETTLED)
    };
    let unsettled: Vec<_> = problems.iter().filter(|it| !is_settled(it)).collect();
    assert_eq!(unsettled, Vec::<&&String>::new());
    assert_eq!(found_before.len() as u64, first.segment_damage);
}

/// What the log has no more is lost with its chunk, which is said, and the rest of the chunk is not.
#[test]
fn what_neither_has_is_lost_and_said() {
    let (disk, stay) = left_behind();
    for (path, bytes) in segments(&disk) {
        for block in 0..bytes / 4096 {
            assert!(disk.flip_bit(&path, (block * 4096 + 100) * 8));
        }
    }
    // A record in the middle of the log.
    let files = disk.files();
    let path = files.iter().find(|(path, _)| path.ends_with(".journal"));
    let (path, _) = path.expect("it is there");
    let contents = disk.contents(path).expect("it is there");
    let gone = stay[stay.len() / 2];
    let body = body_of(gone);
    let at = contents.windows(body.len()).position(|bytes| bytes == body);
    assert!(disk.flip_bit(path, at.expect("it is in the log") as u64 * 8));
    let world = start(&disk);
    let found = all_of(&world);
    let condition = world.broker.engine.store.condition();
    let lost = world.broker.engine.metrics.messages_lost.get();
    let mut expected = stay.clone();
    expected.retain(|number| *number != gone);
    assert_eq!(found, expected);
    assert_eq!(lost, 1);
    assert_eq!(condition.missing_records, 1);
    let said = |text: &str| condition.damage.iter().any(|what| what.contains(text));
    assert!(said(", 1 are lost"), "{condition:?}");
}

/// Flips a bit in the log, so many bytes before a message's body begins.
fn flip_before(disk: &SimDisk, number: u64, bytes: usize) {
    let body = body_of(number);
    let files = disk.files().into_iter();
    let flipped = files
        .filter(|(path, _)| path.ends_with(".journal"))
        .filter(|(path, _)| {
            let contents = disk.contents(path).expect("it is there");
            let at = contents.windows(body.len()).position(|bytes| bytes == body);
            at.is_some_and(|at| disk.flip_bit(path, (at - bytes) as u64 * 8))
        });
    assert_eq!(flipped.count(), 1);
}

/// What is damaged in the log of messages that segments have as well is made whole.
#[test]
fn a_record_whose_message_lies_in_a_segment_is_whole_again() {
    let (disk, stay) = left_behind();
    let mut harmed: Vec<u64> = stay[10..stay.len() - 40].to_vec();
    harmed.retain(|number| number % 7 < 2);
    assert!(harmed.len() > 30);
    for number in &harmed {
        flip_before(&disk, *number, 0);
    }
    let problems = |disk: &SimDisk| {
        let report = check(Arc::new(disk.copy(1)));
        report.expect("a data folder").problems
    };
    assert!(!problems(&disk).is_empty());

    let started = World::start(&disk, &sizes(), &Clock::manual(0), 1, |_| {});
    let (world, recovered) = started.expect("it starts");
    assert_eq!(recovered.report.mended_records, harmed.len() as u64);
    assert_eq!(recovered.report.damage, []);
    let condition = world.broker.engine.store.condition();
    assert_eq!(condition.damage, [""; 0]);
    assert_eq!(all_of(&world), stay);
    drop(world);
    disk.crash(Keep::Nothing);

    // Once and for all.
    assert_eq!(problems(&disk), [""; 0]);
    let started = World::start(&disk, &sizes(), &Clock::manual(0), 1, |_| {});
    let (world, recovered) = started.expect("it starts");
    assert_eq!(recovered.report.mended_records, 0);
    assert_eq!(all_of(&world), stay);
}

/// Where nothing proves what a record said, it is missing.
#[test]
fn a_record_whose_head_is_damaged_is_missing() {
    // Before the body come properties, routing key and place; before them what is long how, and the
    // header.
    const SEQUENCE: usize = 2 + 5 + 8;
    const LENGTHS: usize = SEQUENCE + 8 + 16;
    const CHECKSUM: usize = LENGTHS + 28;
    for bytes in [SEQUENCE, LENGTHS - 12, CHECKSUM] {
        let (disk, stay) = left_behind();
        flip_before(&disk, stay[50], bytes);
        let started = World::start(&disk, &sizes(), &Clock::manual(0), 1, |_| {});
        let (world, recovered) = started.expect("it starts");
        assert_eq!(recovered.report.mended_records, 0);
        let condition = world.broker.engine.store.condition();
        assert_eq!(condition.missing_records, 1, "{bytes}: {condition:?}");
        assert_eq!(all_of(&world), stay);
    }
}
