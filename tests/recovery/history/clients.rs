//! What clients do: each thing as a channel would do it, and the same in the model.

use std::rc::Rc;
use std::sync::Arc;

use parking_lot::Mutex;
use warren::broker::queue::{Cause, ConsumerSpec, Got};
use warren::broker::{Delivery, Effects, Message, Queue, Sink, Taken};

use super::{Deferred, History, InFlight, Outgoing, gives_up};
use crate::content::{Content, Delivered, properties};
use crate::model::{InstanceId, Letter, OpId};
use crate::world::{FAN, KINDS};

/// Takes up to so many deliveries.
struct Basket(Mutex<(usize, Vec<Delivered>)>);

impl Sink for Basket {
    fn offer(&self, _slot: u32, deliveries: &[Delivery<'_>]) -> Taken {
        let mut basket = self.0.lock();
        let count = deliveries.len().min(basket.0);
        basket.0 -= count;
        basket
            .1
            .extend(deliveries[..count].iter().map(Delivered::of));
        Taken {
            count,
            full: basket.0 == 0,
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

impl History {
    pub(super) fn publish(&self, name: &str) {
        let to_fan = name.starts_with("fan") && self.chance(80);
        let count = match self.chance(60) {
            true => 1,
            false => self.random(2..9),
        };
        let batch: Vec<Outgoing> = (0..count)
            .map(|_| {
                let other = match self.chance(15) && !self.0.is_between.get() {
                    true => self.a_queue(),
                    false => name,
                };
                // In which order two queues give messages up hangs on what is in memory.
                let name = if gives_up(other) { name } else { other };
                self.outgoing(if to_fan { FAN } else { "" }, name)
            })
            .collect();
        let world = self.world();
        let op = self.begin();
        let messages: Vec<Message<'_>> = batch.iter().map(Outgoing::message).collect();
        let mut picks: Vec<(Arc<Queue>, Vec<u32>)> = Vec::new();
        for (at, out) in batch.iter().enumerate() {
            let route = world.vhost.route(
                &out.content.exchange,
                &out.content.key,
                &out.properties,
                false,
            );
            for queue in route.expect("a route").queues.iter() {
                match picks
                    .iter_mut()
                    .find(|(there, _)| Arc::ptr_eq(there, queue))
                {
                    Some((_, picks)) => picks.push(at as u32),
                    None => picks.push((Arc::clone(queue), vec![at as u32])),
                }
            }
        }
        self.note(|| {
            let what = batch.iter().map(|out| {
                let Content {
                    id,
                    persistent,
                    priority,
                    ..
                } = *out.content;
                format!("{id}{}p{priority}", if persistent { "" } else { "t" })
            });
            let what: Vec<String> = what.collect();
            format!("op {op}: publish {what:?} to {name} (fan: {to_fan})")
        });
        let mut effects = Effects::new();
        let mut letters = Vec::new();
        let mut gives_up_itself = false;
        for (queue, picks) in &picks {
            queue.publish(&messages, Some(picks), &mut effects);
            assert_eq!(effects.refused, [0; 0]);
            let mut model = self.model();
            for at in picks {
                model.arrive(op, queue.id().0, &batch[*at as usize].content);
            }
            letters.extend(model.limit(op, queue.id().0));
            gives_up_itself |= gives_up(queue.name());
        }
        drop(messages);
        let sources = self.model().post(letters);
        let in_flight = InFlight {
            op,
            batch,
            effects,
            sources,
        };
        self.finish_or_leave(in_flight, !gives_up_itself);
    }

    fn outgoing(&self, exchange: &str, key: &str) -> Outgoing {
        let id = self.0.last_id.get() + 1;
        self.0.last_id.set(id);
        let body_bytes = match self.random(0..10) {
            0 => self.random(8..self.0.plan.body_bytes),
            _ => self.random(8..200),
        };
        let kind = KINDS
            .iter()
            .find(|kind| kind.name == key)
            .expect("one of them");
        let persistent = self.chance(80);
        let content = Rc::new(Content {
            id,
            body_bytes,
            exchange: exchange.to_owned(),
            key: key.to_owned(),
            persistent,
            wants_persistent: persistent,
            priority: match kind.max_priority {
                0 if kind.is_quorum() => [0, 0, 1, 5, 200][self.random(0..5)],
                0 => 0,
                _ => self.random(0..6) as u8,
            },
            expiration_ms: (kind.name == "timed" && exchange.is_empty() && self.chance(30))
                .then(|| self.random(1..150) as u64),
            deaths: Vec::new(),
        });
        Outgoing {
            properties: properties(&content),
            body: content.body().into(),
            content,
        }
    }

    /// The head of a queue is to be shown: says whether it was, or nothing is there; it may have to
    /// come from the disk.
    pub(super) fn get(&self, name: &str) {
        let world = self.world();
        let queue = world.queue(name);
        let no_ack = self.chance(15);
        let op = self.begin();
        let mut effects = Effects::new();
        let early = self.model().limit(op, queue.id().0);
        assert!(early.is_empty(), "nothing expires by itself");
        let mut got = None;
        let mut tries = 0;
        loop {
            match queue.get(no_ack, &mut effects, &mut |delivery, remaining| {
                got = Some((Delivered::of(delivery), remaining));
            }) {
                Got::NotLoaded if self.0.is_between.get() => {
                    effects.complete();
                    self.end_op(op);
                    return;
                }
                Got::Unreadable => {
                    assert!(self.0.disk.has_bad_sectors(), "{name} can be read");
                    self.note(|| format!("op {op}: {name} can't be read"));
                    effects.complete();
                    self.end_op(op);
                    return;
                }
                Got::NotLoaded => {
                    tries += 1;
                    assert!(tries < 20, "{name} never loads");
                    let queue = Arc::clone(&queue);
                    queue.when_head_is_loaded(Box::new(|| {}));
                    world.load_all();
                }
                Got::Nothing => {
                    assert!(
                        self.model().queue(name).ready.is_empty(),
                        "{name} has nothing"
                    );
                    break;
                }
                Got::Message => break,
            }
        }
        self.note(|| {
            let id = got.as_ref().map(|(got, _)| (got.content.id, got.sequence));
            format!("op {op}: get from {name} (no ack: {no_ack}): {id:?}")
        });
        let mut letters = Vec::new();
        if let Some((delivered, remaining)) = got {
            let mut model = self.model();
            model.deliver(op, queue.id().0, &delivered, no_ack);
            letters = model.limit(op, queue.id().0);
            let ready = model.queue(name).ready.len() as u64;
            // What has expired and is not in memory still counts.
            assert!(remaining == ready || gives_up(name) && self.0.plan.pages && remaining > ready);
        }
        let sources = self.model().post(letters);
        let in_flight = InFlight {
            op,
            batch: Vec::new(),
            effects,
            sources,
        };
        self.finish_or_leave(in_flight, !gives_up(name));
        if !gives_up(name) || !self.0.is_between.get() {
            self.check_counts(&queue);
        }
    }

    /// A consumer comes, takes some, and goes.
    pub(super) fn consume(&self, name: &str) {
        let world = self.world();
        let queue = world.queue(name);
        let no_ack = self.chance(15);
        let wanted = self.random(1..12);
        let op = self.begin();
        let mut effects = Effects::new();
        let basket = Arc::new(Basket(Mutex::new((wanted, Vec::new()))));
        let consumer = queue
            .add_consumer(ConsumerSpec {
                tag: "c".into(),
                sink: Arc::clone(&basket) as _,
                slot: 0,
                no_ack,
                exclusive: false,
                priority: 0,
            })
            .expect("a consumer");
        queue.resume(&[consumer], &mut effects);
        if !self.0.is_between.get() {
            effects.complete();
            world.load_all();
        }
        if queue.remove_consumers(&[consumer], &mut effects) {
            queue.activate_next(&mut effects);
        }
        let taken = std::mem::take(&mut basket.0.lock().1);
        self.note(|| {
            let ids: Vec<_> = taken
                .iter()
                .map(|taken| (taken.content.id, taken.sequence))
                .collect();
            format!("op {op}: consume from {name} (no ack: {no_ack}): {ids:?}")
        });
        let mut model = self.model();
        if !self.0.is_between.get() && !gives_up(name) {
            let ready = model.queue(name).ready.len();
            let waits = taken.len() < ready && self.0.disk.has_bad_sectors();
            assert!(
                waits || taken.len() == ready.min(wanted),
                "{name} gives what it has"
            );
        }
        let mut letters = Vec::new();
        for delivered in &taken {
            letters.extend(model.expire_before(op, queue.id().0, delivered));
            model.deliver(op, queue.id().0, delivered, no_ack);
        }
        drop(model);
        let sources = self.model().post(letters);
        let in_flight = InFlight {
            op,
            batch: Vec::new(),
            effects,
            sources,
        };
        self.finish_or_leave(in_flight, !gives_up(name));
        if gives_up(name) {
            // What has expired behind the last one may wait for its timer.
            let letters = self.model().limit(op, queue.id().0);
            let sources = self.model().post(letters);
            self.model().publish(sources);
            self.fire_timers();
            self.end_op(op);
        }
        self.check_counts(&queue);
    }

    /// Some of the unacked messages of a queue, in no order.
    fn some_unacked(&self, name: &str, most: usize) -> Vec<(InstanceId, u64)> {
        let mut all: Vec<(InstanceId, u64)> = {
            let mut model = self.model();
            let unacked = &model.queue(name).unacked;
            unacked.iter().map(|(id, at)| (*id, *at)).collect()
        };
        let count = self.random(0..all.len().min(most) + 1);
        let mut some = Vec::new();
        // Often a run, which is settled as a range.
        if self.chance(50) && count > 0 {
            let from = self.random(0..all.len() - count + 1);
            return all[from..from + count].to_vec();
        }
        for _ in 0..count {
            some.push(all.swap_remove(self.random(0..all.len())));
        }
        some
    }

    pub(super) fn ack(&self, name: &str) {
        let some = self.some_unacked(name, 20);
        if some.is_empty() {
            return;
        }
        let queue = self.world().queue(name);
        let op = self.begin();
        let mut sequences: Vec<u64> = some.iter().map(|(_, sequence)| *sequence).collect();
        sequences.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for sequence in sequences {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == sequence => *last = sequence,
                _ => ranges.push((sequence, sequence)),
            }
        }
        self.note(|| format!("op {op}: ack {ranges:?} of {name}"));
        let mut effects = Effects::new();
        queue.ack(&ranges, &[], &mut effects);
        for (id, _) in &some {
            self.model().ack(op, *id);
        }
        let in_flight = InFlight {
            op,
            batch: Vec::new(),
            effects,
            sources: Vec::new(),
        };
        self.finish_or_leave(in_flight, !gives_up(name));
        self.check_counts(&queue);
    }

    pub(super) fn requeue(&self, name: &str) {
        let queue = self.world().queue(name);
        let has_limit = queue.wants().delivery_limit;
        if has_limit.is_some() && self.0.deferred.borrow().is_some() {
            return;
        }
        let some = self.some_unacked(name, if has_limit.is_some() { 1 } else { 8 });
        if some.is_empty() {
            return;
        }
        let op = self.begin();
        let is_failure = self.chance(70);
        let returned: Vec<u64> = some.iter().map(|(_, sequence)| *sequence).collect();
        self.note(|| format!("op {op}: requeue {returned:?} to {name} (failed: {is_failure})"));
        let mut effects = Effects::new();
        let cause = match is_failure {
            true => Cause::Rejected,
            false => Cause::Nacked,
        };
        queue.requeue(&returned, cause, &[], &mut effects);
        let mut letters = Vec::new();
        for (id, _) in &some {
            let mut model = self.model();
            let failures = model.instances[*id].returns.again(is_failure).failures;
            if has_limit.is_some_and(|limit| failures > limit) {
                model.queue(name).unacked.remove(id);
                letters.extend(model.give_up(op, *id, "delivery_limit"));
            } else {
                model.give_back(op, *id, is_failure);
            }
        }
        letters.extend(self.model().limit(op, queue.id().0));
        self.given_up(op, &queue, &mut letters);
        let sources = self.model().post(letters);
        let in_flight = InFlight {
            op,
            batch: Vec::new(),
            effects,
            sources,
        };
        self.finish_or_leave(in_flight, !gives_up(name));
        self.check_counts(&queue);
    }

    /// Messages that were given up may have to be read from the disk first, and so may those before them:
    /// the last of the letters wait.
    fn given_up(&self, op: OpId, queue: &Arc<Queue>, letters: &mut Vec<Letter>) {
        // Whoever may add another one does nothing while there is one.
        if self.0.deferred.borrow().is_some() {
            return;
        }
        let expected = self.model().queues[&queue.id().0].unacked.len() as u64;
        let waiting = (queue.counts().unacked - expected) as usize;
        if waiting > 0 {
            self.note(|| format!("op {op} is deferred"));
            // What else the queue gives up would wait as well.
            if !self.0.is_between.get() || gives_up(queue.name()) {
                self.repair();
                self.world().load_all();
                let sources = self.model().post(std::mem::take(letters));
                self.model().publish(sources);
                return;
            }
            let letters = letters.split_off(letters.len() - waiting);
            let deferred = Deferred {
                op,
                queue: Arc::clone(queue),
                letters,
            };
            *self.0.deferred.borrow_mut() = Some(deferred);
        }
    }

    pub(super) fn reject(&self, name: &str) {
        if self.0.deferred.borrow().is_some() {
            return;
        }
        let some = self.some_unacked(name, 8);
        if some.is_empty() {
            return;
        }
        let queue = self.world().queue(name);
        let op = self.begin();
        let returned: Vec<u64> = some.iter().map(|(_, sequence)| *sequence).collect();
        self.note(|| format!("op {op}: reject {returned:?} of {name}"));
        let mut effects = Effects::new();
        queue.reject(&returned, &[], &mut effects);
        let mut letters = Vec::new();
        for (id, _) in &some {
            let mut model = self.model();
            model.queue(name).unacked.remove(id);
            letters.extend(model.give_up(op, *id, "rejected"));
        }
        self.given_up(op, &queue, &mut letters);
        let sources = self.model().post(letters);
        let in_flight = InFlight {
            op,
            batch: Vec::new(),
            effects,
            sources,
        };
        self.finish_or_leave(in_flight, !gives_up(name));
        self.check_counts(&queue);
    }

    pub(super) fn purge(&self, name: &str) {
        let queue = self.world().queue(name);
        let op = self.begin();
        self.note(|| format!("op {op}: purge {name}"));
        let mut effects = Effects::new();
        let purged = queue.purge(&mut effects);
        assert_eq!(
            purged,
            self.model().purge(op, queue.id().0),
            "purged of {name}"
        );
        let in_flight = InFlight {
            op,
            batch: Vec::new(),
            effects,
            sources: Vec::new(),
        };
        self.finish_or_leave(in_flight, true);
    }

    /// Deletes a queue and declares it again.
    pub(super) fn delete(&self, name: &'static str) {
        if self.0.disk_may_fail() {
            return;
        }
        let world = self.world();
        self.note(|| format!("delete {name}"));
        let id = world.queue(name).id().0;
        let mut effects = Effects::new();
        world.delete(name, &mut effects);
        effects.complete();
        let kind = KINDS
            .iter()
            .find(|kind| kind.name == name)
            .expect("one of them");
        let queue = world.declare(kind);
        world.wait_stored();
        let mut model = self.model();
        model.queues.remove(&id);
        model.declare(queue.id().0, name);
    }
}
