//! A broker that nobody uses comes to rest, whatever its queues hold: its log is as short as it may be
//! and nothing is written any more. One whose log grows faster than it can be shortened slows publishers.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::engine::Clock;
use warren::broker::log::Returns;
use warren::broker::pager::Turn;
use warren::broker::queue::{Cause, ConsumerSpec, Got};
use warren::broker::vhost::QueueDeclare;
use warren::broker::{Body, Delivery, Effects, Facts, Message, Queue, Sink, Taken};
use warren::store::disk::SimDisk;
use warren::store::disk::sim::Keep;

use crate::small;
use crate::world::{DEAD, Kind, ME, World};

fn start(disk: &SimDisk) -> World {
    start_at(disk, &Clock::manual(0))
}

fn start_at(disk: &SimDisk, clock: &Clock) -> World {
    let started = World::start(disk, &small(), clock, 1, |_| {});
    started.expect("it starts").0
}

fn declare(world: &World, name: &str, queue_type: &'static str) -> Arc<Queue> {
    let mut arguments = FieldTable::new();
    arguments.push("x-queue-type", FieldValue::LongStr(queue_type.into()));
    let declare = QueueDeclare {
        name,
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments,
    };
    world.vhost.declare_queue(declare, ME).expect("declared")
}

fn publish(world: &World, queue: &Arc<Queue>, number: u64, body_bytes: usize) {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(body_bytes.max(8), b'.');
    let body = Bytes::from(body);
    let message = Message {
        exchange: b"",
        routing_key: queue.name().as_bytes(),
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
}

/// The next message: its sequence, its number, how often it came back.
fn take(world: &World, queue: &Arc<Queue>) -> Option<(u64, u64, Returns)> {
    let mut effects = Effects::new();
    let mut taken = None;
    loop {
        let got = queue.get(false, &mut effects, &mut |delivery, _| {
            let mut number = [0; 8];
            number.copy_from_slice(&delivery.message.body.as_slice()[..8]);
            let number = u64::from_le_bytes(number);
            taken = Some((delivery.sequence, number, delivery.returns));
        });
        effects.complete();
        match got {
            Got::Message | Got::Nothing | Got::Unreadable => return taken,
            Got::NotLoaded => {
                queue.when_head_is_loaded(Box::new(|| {}));
                assert!(world.load_all() > 0, "it never loads");
            }
        }
    }
}

fn work(world: &World) {
    let mut turn_journal = || {
        world.journal.turn().expect("it works");
    };
    turn_journal();
    while world.pager.turn(Turn::Write, &mut turn_journal) {}
    world.pager.turn(Turn::LookAfter, &mut turn_journal);
    while world.journal.turn().expect("it works") {}
}

/// Nobody does anything; says how many files the log has in the end.
fn come_to_rest(world: &World) -> usize {
    for _ in 0..100 {
        work(world);
    }
    let before = world.journal.next_index();
    for _ in 0..100 {
        work(world);
    }
    let written = world.journal.next_index() - before;
    assert_eq!(written, 0, "records are written though nothing happens");
    world.journal.file_starts().len()
}

#[test]
fn many_queues_with_little_each_come_to_rest() {
    const QUEUES: usize = 300;
    let disk = World::new_disk(&small());
    let world = start(&disk);
    let name = |at: usize| format!("little-{at}");
    let queues: Vec<_> = (0..QUEUES)
        .map(|at| declare(&world, &name(at), "classic"))
        .collect();
    world.wait_stored();
    for number in 0..2 {
        for queue in &queues {
            publish(&world, queue, number, 100);
        }
        world.journal.turn().expect("it works");
    }
    assert!(world.journal.file_starts().len() > 4);
    assert!(come_to_rest(&world) <= small().paging.most_log_files);

    drop(queues);
    drop(world);
    disk.crash(Keep::Nothing);
    let world = start(&disk);
    for at in 0..QUEUES {
        let queue = world.queue(&name(at));
        let numbers: Vec<u64> = std::iter::from_fn(|| take(&world, &queue))
            .map(|(_, number, _)| number)
            .collect();
        assert_eq!(numbers, [0, 1], "{at}");
    }
}

/// What is settled and what came back, each beside the other, takes more in the log than it may have.
#[test]
fn a_queue_of_which_there_is_much_to_be_said_comes_to_rest() {
    const MESSAGES: u64 = 6000;
    let disk = World::new_disk(&small());
    let world = start(&disk);
    let queue = declare(&world, "told", "quorum");
    world.wait_stored();
    for number in 0..MESSAGES {
        publish(&world, &queue, number, 8);
        if number.is_multiple_of(100) {
            work(&world);
        }
    }
    let mut effects = Effects::new();
    let taken: Vec<_> = (0..MESSAGES)
        .map(|_| take(&world, &queue).expect("it is there"))
        .collect();
    let mut back = BTreeSet::new();
    for (sequence, number, _) in taken {
        match number % 3 {
            0 => queue.ack(&[(sequence, sequence)], &[], &mut effects),
            1 => {
                queue.requeue(&[sequence], Cause::Nacked, &[], &mut effects);
                back.insert(number);
            }
            _ => {}
        }
        effects.complete();
        if number.is_multiple_of(100) {
            work(&world);
        }
    }
    let files = come_to_rest(&world);
    let file_bytes = small().file_bytes as usize;
    assert!(files * file_bytes < 1 << 20, "{files} files");

    drop(queue);
    drop(world);
    disk.crash(Keep::Nothing);
    let world = start(&disk);
    let queue = world.queue("told");
    for number in (0..MESSAGES).filter(|number| number % 3 != 0) {
        let (_, found, returns) = take(&world, &queue).expect("it is there");
        assert_eq!(found, number);
        let failures = u32::from(!back.contains(&number));
        assert_eq!(returns, Returns { all: 1, failures }, "{number}");
    }
    assert_eq!(take(&world, &queue), None);
}

/// Time passes, and nobody does anything; says how many chunks were read.
fn rest(world: &World, queue: &Arc<Queue>) -> u64 {
    let mut loads = 0;
    for _ in 0..10 {
        queue.tidy();
        work(world);
        loads += world.load_all();
    }
    loads
}

/// Whatever may expire, its head need be looked at once only.
#[test]
fn a_deep_queue_that_nobody_uses_is_not_read() {
    const MESSAGES: u64 = 200;
    const TTL_MS: u64 = 1000;
    let kinds = [
        Kind {
            name: "patient",
            message_ttl_ms: Some(TTL_MS),
            dead_letters_to: Some(DEAD),
            ..Kind::PLAIN
        },
        Kind {
            name: "everlasting",
            ..Kind::PLAIN
        },
    ];
    for kind in &kinds {
        let disk = World::new_disk(&small());
        let clock = Clock::manual(0);
        let world = start_at(&disk, &clock);
        let queue = world.declare(kind);
        world.wait_stored();
        for number in 0..MESSAGES {
            publish(&world, &queue, number, 100);
            work(&world);
        }
        assert_eq!(rest(&world, &queue), 0, "{}", kind.name);

        drop(queue);
        drop(world);
        disk.crash(Keep::Nothing);
        let world = start_at(&disk, &clock);
        let queue = world.queue(kind.name);
        let used_bytes = || world.broker.engine.memory.used_bytes();
        let before_bytes = used_bytes();
        assert_eq!(world.load_all(), 1, "{}: its head is looked at", kind.name);
        assert_eq!(used_bytes(), before_bytes, "{}: and stays", kind.name);
        assert_eq!(rest(&world, &queue), 0, "{}", kind.name);

        clock.advance(TTL_MS - 1);
        world.let_come(&clock);
        assert_eq!(queue.counts().ready, MESSAGES, "{}", kind.name);
        clock.advance(1);
        world.let_come(&clock);
        let left = if kind.message_ttl_ms.is_some() {
            0
        } else {
            MESSAGES
        };
        assert_eq!(queue.counts().ready, left, "{}", kind.name);
        assert_eq!(world.queue(DEAD).counts().ready, MESSAGES - left);
    }
}

/// Takes one message at a time.
#[derive(Default)]
struct Hand(Mutex<Option<u64>>);

impl Sink for Hand {
    fn offer(&self, _slot: u32, deliveries: &[Delivery<'_>]) -> Taken {
        *self.0.lock() = Some(deliveries[0].sequence);
        Taken {
            count: 1,
            full: true,
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

/// A newly started broker with one deep queue, of which it has nothing in memory.
fn deep(messages: u64) -> (World, Arc<Queue>) {
    let disk = World::new_disk(&small());
    let world = start(&disk);
    let queue = world.queue("plain");
    for number in 0..messages {
        publish(&world, &queue, number, 100);
        work(&world);
    }
    rest(&world, &queue);
    drop(queue);
    drop(world);
    disk.crash(Keep::Nothing);
    let world = start(&disk);
    let queue = world.queue("plain");
    rest(&world, &queue);
    (world, queue)
}

/// Gets and acks all that there is, and does something `between`; says how many chunks were read.
fn get_all(world: &World, queue: &Arc<Queue>, between: &dyn Fn()) -> u64 {
    let mut loads = 0;
    loop {
        queue.when_head_is_loaded(Box::new(|| {}));
        loads += world.load_all();
        let Some((sequence, ..)) = take(world, queue) else {
            return loads;
        };
        between();
        let mut effects = Effects::new();
        queue.ack(&[(sequence, sequence)], &[], &mut effects);
        effects.complete();
        between();
    }
}

/// The same with a consumer that is given one message at a time.
fn consume_all(world: &World, queue: &Arc<Queue>, between: &dyn Fn()) -> u64 {
    let hand = Arc::new(Hand::default());
    let mut effects = Effects::new();
    let spec = ConsumerSpec {
        tag: "slow".into(),
        sink: Arc::clone(&hand) as _,
        slot: 0,
        no_ack: false,
        exclusive: false,
        priority: 0,
    };
    let consumer = queue.add_consumer(spec).expect("it consumes");
    queue.resume(&[consumer], &mut effects);
    effects.complete();
    let mut loads = 0;
    loop {
        loads += world.load_all();
        let Some(taken) = hand.0.lock().take() else {
            return loads;
        };
        between();
        queue.ack(&[(taken, taken)], &[consumer], &mut effects);
        effects.complete();
    }
}

/// Nobody publishes, but what was read ahead for whoever takes messages out slowly stays.
#[test]
fn what_is_slowly_consumed_is_read_once() {
    const MESSAGES: u64 = 200;
    for all in [get_all, consume_all] {
        let (world, queue) = deep(MESSAGES);
        let chunks = all(&world, &queue, &|| {});
        assert!(chunks > 10, "it is no deep queue");
        assert_eq!(queue.counts().ready, 0);

        let (world, queue) = deep(MESSAGES);
        let loads = all(&world, &queue, &|| {
            queue.tidy();
            work(&world);
        });
        assert_eq!(loads, chunks);
    }
}

/// Who stops consuming is not waited for.
#[test]
fn what_is_not_consumed_any_more_leaves_memory() {
    let (world, queue) = deep(200);
    queue.when_head_is_loaded(Box::new(|| {}));
    assert!(world.load_all() > 0);
    let (sequence, ..) = take(&world, &queue).expect("it is there");
    let mut effects = Effects::new();
    queue.ack(&[(sequence, sequence)], &[], &mut effects);
    effects.complete();
    rest(&world, &queue);
    queue.when_head_is_loaded(Box::new(|| {}));
    assert!(world.load_all() > 0, "it is still in memory");
}

#[test]
fn publishers_wait_while_the_log_is_far_too_long() {
    let disk = World::new_disk(&small());
    let world = start(&disk);
    let queue = world.queue("plain");
    let gate = &world.broker.engine.gate;
    for number in 0..2000 {
        publish(&world, &queue, number, 100);
        world.journal.turn().expect("it works");
    }
    assert!(world.journal.file_starts().len() > 10);
    assert!(!gate.is_closed());
    // Its files are only free once the journal has noted that.
    world.pager.turn(Turn::LookAfter, &mut || {
        world.journal.turn().expect("it works");
    });
    assert!(gate.is_closed());
    for _ in 0..3 {
        work(&world);
    }
    assert!(!gate.is_closed());
}
