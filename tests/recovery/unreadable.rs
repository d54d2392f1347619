//! A part of a segment that the disk does not give: its queue waits for it, nothing of it is forgotten
//! whatever happens meanwhile, it is told of, and it is there when the disk gives it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::engine::Clock;
use warren::broker::pager::{PagingOptions, Turn};
use warren::broker::queue::{ConsumerSpec, Got, Start};
use warren::broker::vhost::QueueDeclare;
use warren::broker::{Body, Delivery, Effects, Facts, Message, Sink, Taken};
use warren::store::disk::SimDisk;
use warren::store::disk::sim::{Faults, Keep};

use crate::small;
use crate::world::{DEAD, ME, Sizes, World};

const MESSAGES: u64 = 300;

fn start_with(disk: &SimDisk, sizes: &Sizes) -> World {
    let started = World::start(disk, sizes, &Clock::manual(0), 1, |_| {});
    started.expect("it starts").0
}

fn start(disk: &SimDisk) -> World {
    start_with(disk, &small())
}

/// The log keeps everything.
fn long_log() -> Sizes {
    let sizes = small();
    Sizes {
        file_bytes: 1 << 20,
        paging: PagingOptions {
            most_log_files: 1000,
            ..sizes.paging
        },
        ..sizes
    }
}

fn body_of(number: u64) -> Bytes {
    let mut body = format!("{number} ").into_bytes();
    body.resize(100, b'.');
    body.into()
}

fn number_of(body: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(body);
    let number = text.split(' ').next().and_then(|text| text.parse().ok());
    let number = number.expect("a number");
    assert_eq!(body, body_of(number));
    number
}

fn publish(world: &World, queue: &str, number: u64) {
    let body = body_of(number);
    let message = Message {
        exchange: b"",
        routing_key: queue.as_bytes(),
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
    let batch = [message];
    world.queue(queue).publish(&batch, None, &mut effects);
    let logged = effects.log_published(&world.broker.engine, &batch);
    logged.expect("it is taken");
    effects.complete();
}

fn work(world: &World) {
    let turn_journal = &mut || {
        world.journal.turn().expect("it works");
    };
    turn_journal();
    while world.pager.turn(Turn::Write, turn_journal) {}
    world.pager.turn(Turn::LookAfter, turn_journal);
    turn_journal();
}

fn fill(world: &World, queue: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        publish(world, queue, number);
        if number % 10 == 9 {
            work(world);
        }
    }
    work(world);
}

/// Takes what there is, and says whether something is left that can't be read.
fn take_all(world: &World, queue: &str) -> (Vec<u64>, bool) {
    let queue = world.queue(queue);
    let mut effects = Effects::new();
    let mut taken = Vec::new();
    let is_stuck = loop {
        let got = queue.get(true, &mut effects, &mut |delivery, _| {
            taken.push(number_of(delivery.message.body.as_slice()));
        });
        match got {
            Got::Message => {}
            Got::Nothing => break false,
            Got::Unreadable => break true,
            Got::NotLoaded => {
                let heard = Arc::new(Mutex::new(false));
                let hears = Arc::clone(&heard);
                queue.when_head_is_loaded(Box::new(move || *hears.lock() = true));
                world.load_all();
                assert!(*heard.lock(), "who waits is told in the end");
            }
        }
    };
    effects.complete();
    (taken, is_stuck)
}

fn segments_of(world: &World, disk: &SimDisk, queue: &str) -> Vec<(String, u64)> {
    let folder = format!("segments/{:016x}/", world.queue(queue).id().0);
    let files = disk.files().into_iter();
    files
        .filter(|(path, bytes)| path.starts_with(&folder) && *bytes > 0)
        .collect()
}

/// The middle one of a queue's segments goes bad, all of it.
fn break_one(world: &World, disk: &SimDisk, queue: &str) {
    let segments = segments_of(world, disk, queue);
    let (path, bytes) = &segments[segments.len() / 2];
    for at in (0..*bytes).step_by(512) {
        disk.break_sector(path, at);
    }
}

fn lost(world: &World) -> u64 {
    world.broker.engine.metrics.messages_lost.get()
}

#[track_caller]
fn is_told(world: &World, queue: &str) {
    let condition = world.broker.engine.store.condition();
    assert!(condition.unreadable > 0, "{condition:?}");
    let named: Vec<_> = condition.waiting_queues.keys().map(|at| &at.name).collect();
    assert_eq!(named, [queue]);
    let text = format!("queue {queue:?} in vhost \"/\" waits: ");
    assert!(condition.damage[0].starts_with(&text), "{condition:?}");
    assert_eq!(condition.segment_damage, 0);
}

#[track_caller]
fn is_well(world: &World) {
    let condition = world.broker.engine.store.condition();
    assert_eq!(condition.damage, Vec::<String>::new());
    assert_eq!((condition.unreadable, condition.segment_damage), (0, 0));
    assert!(condition.waiting_queues.is_empty());
}

#[test]
fn a_queue_waits_for_what_cannot_be_read() {
    let disk = World::new_disk(&small());
    let world = start(&disk);
    fill(&world, "plain", 0..MESSAGES);
    break_one(&world, &disk, "plain");
    let (before, is_stuck) = take_all(&world, "plain");
    assert!(is_stuck && !before.is_empty());
    is_told(&world, "plain");

    // It goes on taking messages, and so does everybody else; the log is made short again and again, and
    // what is sparse is rewritten as far as it can be read.
    fill(&world, "plain", MESSAGES..MESSAGES + 50);
    fill(&world, DEAD, 0..MESSAGES);
    for _ in 0..20 {
        world.pager.turn(Turn::Rewrite, &mut || {
            world.journal.turn().expect("it works");
        });
    }
    assert!(
        world.journal.file_starts()[0] > MESSAGES,
        "the log was shortened"
    );
    assert!(take_all(&world, "plain").1, "it waits still");
    let (others, is_stuck) = take_all(&world, DEAD);
    assert_eq!((others.len() as u64, is_stuck), (MESSAGES, false));
    work(&world);
    assert_eq!(lost(&world), 0);

    // A restart tries anew, with the same outcome.
    drop(world);
    disk.crash(Keep::Nothing);
    let world = start(&disk);
    is_well(&world);
    let (none, is_stuck) = take_all(&world, "plain");
    assert!(is_stuck && none.is_empty());
    is_told(&world, "plain");

    // It comes as soon as the disk gives it, in order.
    disk.repair();
    world.load_all();
    let (after, is_stuck) = take_all(&world, "plain");
    assert!(!is_stuck);
    let all: Vec<u64> = before.into_iter().chain(after).collect();
    assert_eq!(all, (0..MESSAGES + 50).collect::<Vec<_>>());
    is_well(&world);
    assert_eq!(lost(&world), 0);
    drop(world);
    disk.crash(Keep::Nothing);
    assert_eq!(take_all(&start(&disk), "plain"), (Vec::new(), false));
}

#[test]
fn a_read_that_fails_once_is_not_told() {
    let disk = World::new_disk(&small());
    let world = start(&disk);
    fill(&world, "plain", 0..MESSAGES);
    let reads = disk.reads();
    let faults = Faults {
        fail_reads_at: (reads..reads + 8).collect(),
        ..Faults::default()
    };
    disk.set_faults(faults);
    let (all, is_stuck) = take_all(&world, "plain");
    assert_eq!((all, is_stuck), ((0..MESSAGES).collect(), false));
    is_well(&world);
}

/// Whoever purges or deletes the queue does not want it any more.
#[test]
fn a_queue_can_be_purged_of_what_cannot_be_read() {
    let disk = World::new_disk(&small());
    let world = start(&disk);
    fill(&world, "plain", 0..MESSAGES);
    break_one(&world, &disk, "plain");
    assert!(take_all(&world, "plain").1);
    is_told(&world, "plain");
    let mut effects = Effects::new();
    assert!(world.queue("plain").purge(&mut effects) > 0);
    effects.complete();
    world.load_all();
    is_well(&world);
    for _ in 0..3 {
        work(&world);
    }
    assert_eq!(segments_of(&world, &disk, "plain"), []);
    publish(&world, "plain", 7);
    assert_eq!(take_all(&world, "plain"), (vec![7], false));

    fill(&world, "plain", 0..MESSAGES);
    break_one(&world, &disk, "plain");
    assert!(take_all(&world, "plain").1);
    let mut effects = Effects::new();
    world.delete("plain", &mut effects);
    effects.complete();
    world.load_all();
    is_well(&world);
}

/// A start finds messages in the log and in a segment that can't be read: those that the log has come from
/// there only if it has all of them.
#[test]
fn what_the_log_has_comes_from_there() {
    let sizes = long_log();
    let disk = World::new_disk(&sizes);
    let world = start_with(&disk, &sizes);
    fill(&world, "plain", 0..MESSAGES);
    break_one(&world, &disk, "plain");
    drop(world);
    disk.crash(Keep::Nothing);
    // Nor does anybody rest between tries.
    let sizes = Sizes {
        paging: PagingOptions {
            read_retry: Duration::from_secs(3600),
            ..sizes.paging
        },
        ..sizes
    };
    for is_proven_first in [true, false] {
        let disk = disk.copy(1);
        let world = start_with(&disk, &sizes);
        if is_proven_first {
            work(&world);
        }
        let (all, is_stuck) = take_all(&world, "plain");
        assert_eq!((all, is_stuck), ((0..MESSAGES).collect(), false));
        assert_eq!(lost(&world), 0);
        let condition = world.broker.engine.store.condition();
        assert!(condition.replaced > 0, "{condition:?}");
        is_well(&world);
        let is_kept = |(path, _): &(String, u64)| path.starts_with("quarantine/");
        assert!(!disk.files().iter().any(is_kept), "nothing is lost");
    }
}

/// One record of the log is gone, and the segment can't be read: it may have the message.
#[test]
fn what_the_log_has_not_is_waited_for() {
    let sizes = long_log();
    let disk = World::new_disk(&sizes);
    let world = start_with(&disk, &sizes);
    fill(&world, "plain", 0..MESSAGES);
    for (path, bytes) in segments_of(&world, &disk, "plain") {
        (0..bytes)
            .step_by(512)
            .for_each(|at| disk.break_sector(&path, at));
    }
    drop(world);
    disk.crash(Keep::Nothing);
    let gone = body_of(150);
    for (path, _) in disk.files() {
        let contents = disk.contents(&path).expect("it is there");
        let at = contents.windows(gone.len()).position(|bytes| bytes == gone);
        if let Some(at) = at.filter(|_| path.ends_with(".journal")) {
            assert!(disk.flip_bit(&path, at as u64 * 8));
        }
    }
    let world = start_with(&disk, &sizes);
    let (mut all, is_stuck) = take_all(&world, "plain");
    assert!(is_stuck && all.len() > 100, "{all:?}");
    assert_eq!(lost(&world), 0);
    disk.repair();
    let (none, is_stuck) = take_all(&world, "plain");
    assert_eq!((none, is_stuck), (Vec::new(), true), "it is not tried yet");
    world.load_all();
    let (rest, is_stuck) = take_all(&world, "plain");
    assert!(!is_stuck);
    all.extend(rest);
    assert_eq!(all, (0..MESSAGES).collect::<Vec<_>>());
}

/// Takes all that comes.
#[derive(Default)]
struct Basket(Mutex<Vec<u64>>);

impl Sink for Basket {
    fn offer(&self, _slot: u32, deliveries: &[Delivery<'_>]) -> Taken {
        let numbers = deliveries.iter();
        let numbers = numbers.map(|delivery| number_of(delivery.message.body.as_slice()));
        self.0.lock().extend(numbers);
        Taken {
            count: deliveries.len(),
            full: false,
        }
    }

    fn reserve(&self, _slot: u32, _wanted: usize) -> usize {
        unreachable!("it is alone")
    }

    fn deliver(&self, _slot: u32, _deliveries: &[Delivery<'_>], _places: &[u16]) {
        unreachable!("it is alone")
    }

    fn cancel(&self, _slot: u32) {}

    fn flush(&self) {}
}

/// A reader of a stream passes nothing over; one that is elsewhere does not wait.
#[test]
fn a_stream_has_no_gaps() {
    let disk = World::new_disk(&small());
    let world = start(&disk);
    let mut arguments = FieldTable::new();
    arguments.push("x-queue-type", FieldValue::LongStr("stream".into()));
    arguments.push("x-stream-max-segment-size-bytes", FieldValue::I64(2000));
    let declare = QueueDeclare {
        name: "stream",
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments,
    };
    let queue = world.vhost.declare_queue(declare, ME).expect("declared");
    world.wait_stored();
    for number in 0..MESSAGES {
        publish(&world, "stream", number);
        if number % 10 == 9 {
            queue.tidy();
            work(&world);
        }
    }
    queue.tidy();
    work(&world);
    break_one(&world, &disk, "stream");
    let read_from = |start: Start| {
        let basket = Arc::new(Basket::default());
        let spec = ConsumerSpec {
            tag: "c".into(),
            sink: Arc::clone(&basket) as _,
            slot: 0,
            no_ack: false,
            exclusive: false,
            priority: 0,
        };
        let mut effects = Effects::new();
        let id = queue.add_reader(spec, start, None).expect("a reader");
        queue.resume(&[id], &mut effects);
        effects.complete();
        basket
    };
    let first = read_from(Start::First);
    world.load_all();
    let seen = first.0.lock().len() as u64;
    assert!(seen > 0 && seen < MESSAGES);
    is_told(&world, "stream");
    let last = read_from(Start::At(MESSAGES - 10));
    world.load_all();
    assert_eq!(
        *last.0.lock(),
        (MESSAGES - 10..MESSAGES).collect::<Vec<_>>()
    );
    disk.repair();
    world.load_all();
    assert_eq!(*first.0.lock(), (0..MESSAGES).collect::<Vec<_>>());
    is_well(&world);
}
