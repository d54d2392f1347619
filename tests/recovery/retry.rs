//! Delayed retry over a disk that stops anywhere, with a clock that the test sets: what is given back is
//! not lost, comes back when it is due and not before, and knows how often it came back.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::engine::Clock;
use warren::broker::log::Returns;
use warren::broker::queue::{Cause, Got};
use warren::broker::vhost::QueueDeclare;
use warren::broker::{Body, Effects, Facts, Message};
use warren::store::disk::SimDisk;
use warren::store::disk::sim::{Faults, Keep};

use crate::world::{ME, Sizes, World};
use crate::{seeds, small};

const QUEUE: &str = "retries";
const MIN_MS: u64 = 1000;
const STOPPED: Faults = Faults {
    crash_at: Some(0),
    fail_at: BTreeSet::new(),
    short_at: BTreeSet::new(),
    fail_reads_at: BTreeSet::new(),
    capacity_bytes: None,
};

/// Says up to which index the log is there.
fn start(disk: &SimDisk, sizes: &Sizes, clock: &Clock, seed: u64) -> (World, u64) {
    let (world, recovered) = World::start(disk, sizes, clock, seed, |_| {}).expect("it starts");
    (world, recovered.report.last_index)
}

fn declare(world: &World) {
    let mut arguments = FieldTable::new();
    arguments.push("x-delayed-retry-type", FieldValue::LongStr("all".into()));
    arguments.push("x-delayed-retry-min", FieldValue::I64(MIN_MS as i64));
    arguments.push("x-delayed-retry-max", FieldValue::I64(100 * MIN_MS as i64));
    let declare = QueueDeclare {
        name: QUEUE,
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments,
    };
    world.vhost.declare_queue(declare, ME).expect("declared");
    world.wait_stored();
}

/// Says the index by which it is safe.
fn publish(world: &World, id: u64, body_bytes: usize) -> u64 {
    let mut body = id.to_string().into_bytes();
    body.push(b' ');
    body.resize(body.len() + body_bytes, b'.');
    let message = Message {
        exchange: b"",
        routing_key: QUEUE.as_bytes(),
        properties: &[0x10, 0, 2],
        body: Body::Slice(&body),
        facts: Facts {
            persistent: true,
            ..Facts::PLAIN
        },
    };
    let batch = std::slice::from_ref(&message);
    let mut effects = Effects::new();
    world.queue(QUEUE).publish(batch, None, &mut effects);
    let logged = effects.log_published(&world.broker.engine, batch);
    effects.complete();
    logged.expect("the log takes it").unwrap_or(0)
}

/// How a message was delivered.
#[derive(Clone, Copy)]
struct Taken {
    sequence: u64,
    returns: Returns,
}

/// Takes the head: its id and how it was delivered.
fn take(world: &World) -> Option<(u64, Taken)> {
    let queue = world.queue(QUEUE);
    let mut effects = Effects::new();
    let mut taken = None;
    loop {
        let got = queue.get(false, &mut effects, &mut |delivery, _| {
            let body = String::from_utf8_lossy(delivery.message.body.as_slice()).into_owned();
            let id = body.split(' ').next().and_then(|id| id.parse().ok());
            let taken_as = Taken {
                sequence: delivery.sequence,
                returns: delivery.returns,
            };
            taken = Some((id.expect("a number"), taken_as));
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

/// What is known of a message that waits.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wait {
    due_ms: u64,
    returns: Returns,
}

#[test]
fn what_is_given_back_waits_and_is_not_lost() {
    let sizes = small();
    let template = World::new_disk(&sizes);
    for seed in seeds(200) {
        let dice = &mut SmallRng::seed_from_u64(seed);
        let disk = template.copy(seed);
        let clock = Clock::manual(1_000_000);
        let (mut world, _) = start(&disk, &sizes, &clock, seed);
        declare(&world);
        let mut published = 0;
        let mut logged: BTreeSet<u64> = BTreeSet::new();
        // Acked, though that may be forgotten.
        let mut acked: BTreeSet<u64> = BTreeSet::new();
        let mut waiting: BTreeMap<u64, Wait> = BTreeMap::new();
        // Who ever waited, by the index at which the log has it.
        let mut waits: Vec<(u64, u64, Wait)> = Vec::new();
        for _life in 0..3 {
            let mut told: Vec<(u64, u64)> = Vec::new();
            let mut unacked: Vec<(u64, Taken)> = Vec::new();
            for _ in 0..dice.random_range(20..200) {
                match dice.random_range(0..100) {
                    0..40 => {
                        let body_bytes = dice.random_range(0..300);
                        told.push((published, publish(&world, published, body_bytes)));
                        published += 1;
                    }
                    40..65 => {
                        if let Some((id, taken)) = take(&world) {
                            if let Some(wait) = waiting.remove(&id) {
                                assert!(
                                    wait.due_ms <= clock.now_ms(),
                                    "seed {seed}: {id} {wait:?}"
                                );
                                assert_eq!(taken.returns, wait.returns, "seed {seed}: {id}");
                            }
                            unacked.push((id, taken));
                        }
                    }
                    65..85 if !unacked.is_empty() => {
                        let at = dice.random_range(0..unacked.len());
                        let (id, taken) = unacked.swap_remove(at);
                        let (cause, is_failure) = match dice.random_bool(0.6) {
                            true => (Cause::Rejected, true),
                            false => (Cause::Nacked, false),
                        };
                        let mut effects = Effects::new();
                        let queue = world.queue(QUEUE);
                        queue.requeue(&[taken.sequence], cause, &[], &mut effects);
                        effects.complete();
                        world.load_all();
                        let returns = taken.returns.again(is_failure);
                        let wait = Wait {
                            due_ms: clock.now_ms()
                                + (MIN_MS * u64::from(returns.failures.max(1))).min(100 * MIN_MS),
                            returns,
                        };
                        waiting.insert(id, wait);
                        waits.push((world.journal.next_index() - 1, id, wait));
                    }
                    85..92 if !unacked.is_empty() => {
                        let at = dice.random_range(0..unacked.len());
                        let (id, Taken { sequence, .. }) = unacked.swap_remove(at);
                        let mut effects = Effects::new();
                        world
                            .queue(QUEUE)
                            .ack(&[(sequence, sequence)], &[], &mut effects);
                        effects.complete();
                        acked.insert(id);
                    }
                    92.. => {
                        clock.advance(dice.random_range(0..2 * MIN_MS));
                        world.let_come(&clock);
                    }
                    _ => {}
                }
                world.work_a_little(dice);
            }
            let counts = world.queue(QUEUE).counts();
            let due = |wait: &&Wait| wait.due_ms > clock.now_ms();
            world.let_come(&clock);
            let still = waiting.values().filter(due).count() as u64;
            assert_eq!(
                world.queue(QUEUE).counts().waiting,
                still,
                "seed {seed}: {counts:?}"
            );
            assert_eq!(counts.unacked, unacked.len() as u64, "seed {seed}");

            let safe_index = world.journal.safe_index();
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
            let (started, last_index) = start(&disk, &sizes, &clock, seed);
            world = started;
            assert!(
                last_index >= safe_index,
                "seed {seed}: what was safe is gone"
            );
            // More than was safe may be there, be it that the broker came to its end in order.
            let is_there = told.iter().filter(|(_, at)| *at <= last_index);
            logged.extend(is_there.map(|(id, _)| *id));
            waits.retain(|(at, _, _)| *at <= last_index);
            // Who was taken since, or waits again, had waited long enough by what the log has.
            let known: BTreeMap<u64, Wait> =
                waits.iter().map(|(_, id, wait)| (*id, *wait)).collect();
            waiting.retain(|id, last| known.get(id) == Some(last));
        }
        clock.advance(200 * MIN_MS);
        world.let_come(&clock);
        assert_eq!(world.queue(QUEUE).counts().waiting, 0, "seed {seed}");
        let there: Vec<u64> = std::iter::from_fn(|| take(&world))
            .map(|(id, _)| id)
            .collect();
        let there_once: BTreeSet<u64> = there.iter().copied().collect();
        assert_eq!(there.len(), there_once.len(), "seed {seed}: there twice");
        let left = logged
            .iter()
            .filter(|id| !acked.contains(id) && !there_once.contains(id));
        let lost: Vec<_> = left.collect();
        assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
    }
}
