//! A random history: what clients, the pager and the journal do, some of it at the same time, until the
//! machine stops; what is there when it starts again is held against the model; and so on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use warren::amqp::table::FieldTable;
use warren::broker::engine::Clock;
use warren::broker::pager::Turn;
use warren::broker::queue::{ConsumerSpec, Got, Returned};
use warren::broker::{Body, Delivery, Effects, Facts, Message, Queue, Sink, Taken};
use warren::store::disk::SimDisk;
use warren::store::disk::sim::{Faults, Keep};

use crate::disk;
use crate::model::{Content, Delivered, Found, InstanceId, Letter, Model, OpId, properties};
use crate::world::{DEAD, FAN, KINDS, Sizes, World};

/// What a history is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub sizes: Sizes,
    /// Whether chunks leave memory at all.
    pub pages: bool,
    /// Whether the disk has other faults than that it stops.
    pub breaks: bool,
    pub lives: usize,
    pub steps: usize,
    /// Largest body.
    pub body_bytes: usize,
}

/// What a client has published and the log does not have yet, or otherwise has not come to its end.
struct InFlight {
    op: OpId,
    batch: Vec<Outgoing>,
    effects: Effects,
    /// The queues that have dead letters on their way because of it.
    sources: Vec<u64>,
}

struct Outgoing {
    content: Rc<Content>,
    properties: Vec<u8>,
    body: Bytes,
}

impl Outgoing {
    fn message(&self) -> Message<'_> {
        Message {
            exchange: self.content.exchange.as_bytes(),
            routing_key: self.content.key.as_bytes(),
            properties: &self.properties,
            body: Body::of(&self.body),
            facts: Facts {
                persistent: self.content.persistent,
                priority: self.content.priority,
                expiration_ms: self.content.expiration_ms.unwrap_or(Facts::NEVER),
            },
        }
    }
}

/// A message that was rejected, but must be read from the disk to be dead-lettered.
struct Deferred {
    op: OpId,
    queue: Arc<Queue>,
    letters: Vec<Letter>,
}

/// See the module.
#[derive(Clone)]
pub struct History(Rc<Inner>);

struct Inner {
    seed: u64,
    plan: Plan,
    disk: SimDisk,
    clock: Clock,
    world: RefCell<Option<Rc<World>>>,
    model: RefCell<Model>,
    dice: RefCell<SmallRng>,
    in_flight: RefCell<Vec<InFlight>>,
    deferred: RefCell<Option<Deferred>>,
    /// The pager or the journal is at work.
    is_between: Cell<bool>,
    /// The queues that this history is mostly about.
    favourites: Vec<&'static str>,
    last_id: Cell<u64>,
    log: RefCell<Vec<String>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: what happened:", self.seed);
            for line in self.log.borrow().iter() {
                eprintln!("  {line}");
            }
            eprintln!("seed {}", self.seed);
        }
    }
}

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

    fn deliver(&self, _slot: u32, _deliveries: &[Delivery<'_>]) {
        unreachable!("it is alone")
    }

    fn cancel(&self, _slot: u32) {}

    fn flush(&self) {}
}

impl History {
    pub fn new(seed: u64, plan: Plan, fresh: &SimDisk) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let disk = fresh.copy(seed ^ 0xd15c);
        let clock = Clock::manual(1_000_000);
        let count = dice.random_range(1..=4);
        let favourites = (0..count)
            .map(|_| KINDS[dice.random_range(0..KINDS.len())].name)
            .collect();
        let history = Self(Rc::new(Inner {
            seed,
            plan,
            disk,
            clock,
            world: RefCell::default(),
            model: RefCell::default(),
            dice: RefCell::new(dice),
            in_flight: RefCell::default(),
            deferred: RefCell::default(),
            is_between: Cell::new(false),
            favourites,
            last_id: Cell::new(0),
            log: RefCell::default(),
        }));
        let (world, _) = history.start(&history.0.disk).expect("it starts");
        let ids: Vec<(u64, &str)> = KINDS
            .iter()
            .map(|kind| (world.queue(kind.name).id().0, kind.name))
            .collect();
        let mut model = Model::new(ids);
        model.now_ms = history.0.clock.now_ms();
        *history.0.model.borrow_mut() = model;
        *history.0.world.borrow_mut() = Some(Rc::new(world));
        history
    }

    /// Lives and dies as often as planned, and ends with nothing left on the disk.
    pub fn run(&self) {
        for _ in 0..self.0.plan.lives {
            let steps = self.random(1..self.0.plan.steps);
            let faults = self.faults();
            self.note(|| format!("{faults:?} from {}", self.0.disk.operations()));
            self.0.disk.set_faults(faults);
            for _ in 0..steps {
                if self.world().has_failed() {
                    break;
                }
                self.step();
            }
            self.crash();
        }
        self.end();
    }

    /// What goes wrong in a life.
    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let now = self.0.disk.operations();
        let soon = |history: &Self| now + history.random(0..60) as u64;
        match self.random(0..if self.0.plan.breaks { 8 } else { 3 }) {
            0 => faults.crash_at = Some(soon(self)),
            1 | 2 => {}
            3 | 4 => faults.fail_at = (0..self.random(1..4)).map(|_| soon(self)).collect(),
            5 | 6 => faults.short_at = (0..self.random(1..4)).map(|_| soon(self)).collect(),
            _ => {
                let used: u64 = self.0.disk.files().iter().map(|(_, bytes)| bytes).sum();
                faults.capacity_bytes = Some(used + self.random(0..100_000) as u64);
            }
        }
        faults
    }

    fn random(&self, range: std::ops::Range<usize>) -> usize {
        self.0.dice.borrow_mut().random_range(range)
    }

    fn chance(&self, percent: usize) -> bool {
        self.random(0..100) < percent
    }

    fn note(&self, line: impl FnOnce() -> String) {
        let next = match &*self.0.world.borrow() {
            Some(world) => world.journal.next_index(),
            None => 0,
        };
        self.0.log.borrow_mut().push(format!("{next:5} {}", line()));
    }

    fn world(&self) -> Rc<World> {
        Rc::clone(self.0.world.borrow().as_ref().expect("it runs"))
    }

    fn model(&self) -> std::cell::RefMut<'_, Model> {
        self.0.model.borrow_mut()
    }

    fn begin(&self) -> OpId {
        let next = self.world().journal.next_index();
        self.model().begin(next)
    }

    fn end_op(&self, op: OpId) {
        let world = self.world();
        if !world.has_failed() {
            let next = world.journal.next_index();
            self.model().end(op, next);
        }
    }

    fn step(&self) {
        match self.random(0..100) {
            0..62 => self.client(),
            62..70 => self.journal_turn(),
            70..80 => self.pager_turn(Turn::Write),
            80..86 => self.pager_turn(Turn::Load),
            86..92 => self.pager_turn(Turn::LookAfter),
            92..95 => self.pass_time(),
            95..97 => self.idle(),
            _ => self.finish_one(),
        }
    }

    /// Something that a client does.
    fn client(&self) {
        let name = self.a_queue();
        match self.random(0..100) {
            0..36 => self.publish(name),
            36..52 => self.get(name),
            52..60 => self.consume(name),
            60..74 => self.ack(name),
            74..84 => self.requeue(name),
            84..94 => self.reject(name),
            94..96 => self.purge(name),
            96..97 => self.delete(name),
            _ => self.finish_one(),
        }
    }

    fn a_queue(&self) -> &'static str {
        loop {
            let name = match self.chance(80) {
                true => self.0.favourites[self.random(0..self.0.favourites.len())],
                false => KINDS[self.random(0..KINDS.len())].name,
            };
            if !self.0.is_between.get() || !gives_up(name) {
                return name;
            }
        }
    }

    /// What others do while the pager or the journal is at work.
    fn others(&self) -> impl FnMut() + 'static {
        let history = self.clone();
        let mut left = match self.chance(40) {
            true => self.random(1..4),
            false => 0,
        };
        move || {
            if left > 0 && history.chance(30) && !history.world().has_failed() {
                left -= 1;
                history.client();
            }
        }
    }

    fn journal_turn(&self) {
        self.note(|| "journal turn".to_owned());
        let world = self.world();
        self.0.is_between.set(true);
        let done = disk::among(self.others(), || world.journal.turn());
        self.0.is_between.set(false);
        self.note(|| format!("journal turn: {done:?}"));
        self.resolve_deferred();
    }

    fn pager_turn(&self, turn: Turn) {
        self.note(|| format!("pager {turn:?}"));
        let world = self.world();
        self.0.is_between.set(true);
        let mut pauses = 0;
        let done = disk::among(self.others(), || {
            world.pager.turn(turn, &mut || {
                pauses += 1;
                assert!(pauses < 1000, "the log's shortening comes to no end");
                self.finish_one();
                if !world.has_failed() {
                    let _ = world.journal.turn();
                }
            })
        });
        self.0.is_between.set(false);
        self.note(|| format!("pager {turn:?}: {done}"));
        self.resolve_deferred();
    }

    fn idle(&self) {
        let queue = self.world().queue(self.a_queue());
        self.note(|| format!("{} is idle", queue.name()));
        queue.tidy();
        queue.tidy();
    }

    fn pass_time(&self) {
        let ms = self.random(1..80) as u64;
        self.0.clock.advance(ms);
        self.model().now_ms = self.0.clock.now_ms();
        self.note(|| format!("{ms} ms pass"));
        self.fire_timers();
    }

    /// Wakes queues whose time has come, as the server's task does.
    fn fire_timers(&self) {
        let world = self.world();
        for _ in 0..3 {
            let due = world.broker.engine.timers.take_due(self.0.clock.now_ms());
            for queue in due.iter().filter_map(std::sync::Weak::upgrade) {
                let op = self.begin();
                let mut effects = Effects::new();
                queue.on_timer(&mut effects);
                effects.complete();
                let letters = self.model().limit(op, queue.id().0);
                self.note(|| format!("op {op}: {} gives up {letters:?}", queue.name()));
                let sources = self.model().post(letters);
                self.model().publish(sources);
                world.load_all();
                self.end_op(op);
                self.check_counts(&queue);
            }
        }
    }

    fn publish(&self, name: &str) {
        let to_fan = name.starts_with("fan") && self.chance(80);
        let count = match self.chance(60) {
            true => 1,
            false => self.random(2..9),
        };
        let batch: Vec<Outgoing> = (0..count)
            .map(|_| {
                let name = match self.chance(15) && !self.0.is_between.get() {
                    true => self.a_queue(),
                    false => name,
                };
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

    /// What a call left to be done is done at once, or later, while others do something.
    fn finish_or_leave(&self, in_flight: InFlight, may_be_left: bool) {
        if may_be_left && self.0.in_flight.borrow().len() < 3 && self.chance(25) {
            self.note(|| format!("op {} is left in flight", in_flight.op));
            self.0.in_flight.borrow_mut().push(in_flight);
        } else {
            self.finish(in_flight);
            if !self.0.is_between.get() {
                self.resolve_deferred();
            }
        }
    }

    fn finish_one(&self) {
        let count = self.0.in_flight.borrow().len();
        if count > 0 {
            let at = self.random(0..count);
            let in_flight = self.0.in_flight.borrow_mut().remove(at);
            self.note(|| format!("op {} lands", in_flight.op));
            self.finish(in_flight);
        }
    }

    fn finish(&self, in_flight: InFlight) {
        let InFlight {
            op,
            batch,
            mut effects,
            sources,
        } = in_flight;
        let world = self.world();
        let messages: Vec<Message<'_>> = batch.iter().map(Outgoing::message).collect();
        // Whether it failed is known afterwards.
        let _ = effects.log_published(&world.broker.engine, &messages);
        effects.complete();
        self.model().publish(sources);
        if !self.0.is_between.get() {
            world.load_all();
        }
        let is_deferred = self
            .0
            .deferred
            .borrow()
            .as_ref()
            .is_some_and(|deferred| deferred.op == op);
        if !is_deferred {
            self.end_op(op);
        }
    }

    /// What waited for a chunk is done once the chunk has come.
    fn resolve_deferred(&self) {
        if self.0.deferred.borrow().is_none() {
            return;
        }
        self.world().load_all();
        let Some(Deferred { op, queue, letters }) = self.0.deferred.borrow_mut().take() else {
            return;
        };
        let sources = self.model().post(letters);
        self.model().publish(sources);
        let is_in_flight = self.0.in_flight.borrow().iter().any(|other| other.op == op);
        if !is_in_flight {
            self.end_op(op);
        }
        self.check_counts(&queue);
    }

    fn check_counts(&self, queue: &Arc<Queue>) {
        if queue.is_deleted() {
            return;
        }
        let counts = queue.counts();
        let deferred = self.0.deferred.borrow();
        let deferred = deferred.iter().filter(|one| Arc::ptr_eq(&one.queue, queue));
        let model = self.model();
        let expected = &model.queues[&queue.id().0];
        let unacked = expected.unacked.len() + deferred.count();
        assert_eq!(
            (counts.ready, counts.unacked),
            (expected.ready.len() as u64, unacked as u64),
            "ready and unacked in {}",
            queue.name()
        );
    }

    /// The head of a queue is to be shown: says whether it was, or nothing is there; it may have to
    /// come from the disk.
    fn get(&self, name: &str) {
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
    fn consume(&self, name: &str) {
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
        queue.resume(consumer, &mut effects);
        if !self.0.is_between.get() {
            effects.complete();
            world.load_all();
        }
        queue.remove_consumer(consumer, &mut effects);
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
            assert_eq!(taken.len(), ready.min(wanted), "{name} gives what it has");
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

    fn ack(&self, name: &str) {
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

    fn requeue(&self, name: &str) {
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
        let counted = self.chance(70);
        let returned: Vec<Returned> = some.iter().map(|one| self.returned(one)).collect();
        self.note(|| format!("op {op}: requeue {returned:?} to {name} (counted: {counted})"));
        let mut effects = Effects::new();
        queue.requeue(&returned, counted, &[], &mut effects);
        let mut letters = Vec::new();
        for ((id, _), returned) in some.iter().zip(&returned) {
            let mut model = self.model();
            if has_limit.is_some_and(|limit| returned.returns + 1 > limit) {
                model.queue(name).unacked.remove(id);
                letters.extend(model.give_up(op, *id, "delivery_limit"));
            } else {
                model.give_back(op, *id, counted || has_limit.is_some());
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

    fn returned(&self, (id, sequence): &(InstanceId, u64)) -> Returned {
        Returned {
            sequence: *sequence,
            returns: self.model().instances[*id].returns,
        }
    }

    /// A message that was given up may have to be read from the disk first.
    fn given_up(&self, op: OpId, queue: &Arc<Queue>, letters: &mut Vec<Letter>) {
        let expected = self.model().queues[&queue.id().0].unacked.len() as u64;
        let is_deferred = queue.counts().unacked == expected + 1;
        if is_deferred {
            self.note(|| format!("op {op} is deferred"));
            let letters = std::mem::take(letters);
            if !self.0.is_between.get() {
                self.world().load_all();
                let sources = self.model().post(letters);
                self.model().publish(sources);
                return;
            }
            let deferred = Deferred {
                op,
                queue: Arc::clone(queue),
                letters,
            };
            *self.0.deferred.borrow_mut() = Some(deferred);
        }
    }

    fn reject(&self, name: &str) {
        if self.0.deferred.borrow().is_some() {
            return;
        }
        let most = if self.0.plan.pages { 1 } else { 8 };
        let some = self.some_unacked(name, most);
        if some.is_empty() {
            return;
        }
        let queue = self.world().queue(name);
        let op = self.begin();
        let returned: Vec<Returned> = some.iter().map(|one| self.returned(one)).collect();
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

    fn purge(&self, name: &str) {
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
    fn delete(&self, name: &'static str) {
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

    /// The machine stops, now or when it has stopped already, and starts again.
    fn crash(&self) {
        let world = self.world();
        let (safe, next) = (world.journal.safe_index(), world.journal.next_index());
        let is_clean = !world.has_failed() && !self.0.disk_may_fail() && self.chance(15);
        if is_clean {
            while !self.0.in_flight.borrow().is_empty() {
                self.finish_one();
            }
            self.resolve_deferred();
        }
        let (safe, next) = match is_clean {
            true => (world.journal.next_index() - 1, world.journal.next_index()),
            false => (safe, next),
        };
        let keep = match self.random(0..4) {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            2 => Keep::Sectors(512),
            _ => Keep::Sectors(4096),
        };
        self.note(|| format!("crash (clean: {is_clean}), {keep:?}, safe {safe}, next {next}"));
        if !is_clean {
            // Nobody does anything any more, whatever is tidied up in here.
            self.0.disk.set_faults(Faults {
                crash_at: Some(0),
                ..Faults::default()
            });
        }
        self.0.in_flight.borrow_mut().clear();
        *self.0.deferred.borrow_mut() = None;
        *self.0.world.borrow_mut() = None;
        assert_eq!(Rc::strong_count(&world), 1);
        drop(world);
        self.0.disk.crash(keep);
        // Sometimes it stops again while it starts.
        while self.chance(20) {
            let faults = self.faults();
            self.note(|| format!("{faults:?} while it starts"));
            self.0.disk.set_faults(faults);
            let started = self.start(&self.0.disk);
            self.0.disk.set_faults(Faults {
                crash_at: Some(0),
                ..Faults::default()
            });
            drop(started);
            self.0.disk.crash(keep);
        }
        let (found, last) = self.found();
        self.note(|| format!("starts again with {last} records"));
        assert!(last >= safe, "{last} survived, and {safe} was safe");
        assert!(
            last < next,
            "{last} survived, and {next} was never appended"
        );
        if let Err(what) = self.model().after_crash(&found, last) {
            panic!("{what} (safe {safe}, last {last}, next {next})");
        }
        let (world, recovered) = self.start(&self.0.disk).expect("it starts");
        assert_eq!(recovered.report.last_index, last);
        let world = Rc::new(world);
        *self.0.world.borrow_mut() = Some(Rc::clone(&world));
        let total: usize = self
            .model()
            .queues
            .values()
            .map(|queue| queue.ready.len())
            .sum();
        assert_eq!(recovered.messages, total as u64);
        self.after_start(last);
    }

    /// What is over its limits goes at once.
    fn after_start(&self, last: u64) {
        let world = self.world();
        let op = self.model().begin(last + 1);
        world.load_all();
        let ids: Vec<u64> = self.model().queues.keys().copied().collect();
        for id in ids {
            let letters = self.model().limit(op, id);
            self.note(|| format!("op {op}: at start {id} gives up {letters:?}"));
            let sources = self.model().post(letters);
            self.model().publish(sources);
        }
        self.end_op(op);
        self.fire_timers();
        for kind in &KINDS {
            self.check_counts(&world.queue(kind.name));
        }
    }

    fn start(
        &self,
        disk: &SimDisk,
    ) -> Result<(World, warren::broker::recovery::Recovered), String> {
        let seed = self.0.dice.borrow_mut().random();
        let (world, recovered) =
            World::start(disk, &self.0.plan.sizes, &self.0.clock, seed, |_| {})?;
        assert_eq!(recovered.report.damage, [], "nothing is damaged");
        assert_eq!(recovered.missing_segments, [], "no segment is missing");
        Ok((world, recovered))
    }

    /// What is there after a crash, seen on a copy of the disk, without what queues would do with it;
    /// and the index of the last record.
    fn found(&self) -> (BTreeMap<u64, Vec<Found>>, u64) {
        let copy = self.0.disk.copy(1);
        let mut plain = Vec::new();
        FieldTable::new().encode(&mut plain);
        let (world, recovered) = World::start(
            &copy,
            &self.0.plan.sizes,
            &Clock::manual(0),
            1,
            |contents| {
                for (_, queue) in &mut contents.queues {
                    queue.arguments.clone_from(&plain);
                    queue.kind = "classic".to_owned();
                }
            },
        )
        .expect("it starts");
        assert_eq!(recovered.report.damage, [], "nothing is damaged");
        let mut found = BTreeMap::new();
        for queue in world.vhost.queues() {
            let mut messages = Vec::new();
            let counted = queue.counts().ready;
            let mut effects = Effects::new();
            loop {
                let got = queue.get(true, &mut effects, &mut |delivery, _| {
                    messages.push(Found {
                        content: Content::seen(delivery),
                        redelivered: delivery.redelivered,
                        returns: delivery.returns,
                    });
                });
                match got {
                    Got::Message => {}
                    Got::Nothing => break,
                    Got::NotLoaded => {
                        queue.when_head_is_loaded(Box::new(|| {}));
                        assert!(world.load_all() > 0, "{} never loads", queue.name());
                    }
                }
            }
            effects.complete();
            assert_eq!(counted, messages.len() as u64, "ready in {}", queue.name());
            found.insert(queue.id().0, messages);
        }
        assert_eq!(world.broker.engine.metrics.messages_lost.get(), 0);
        (found, recovered.report.last_index)
    }

    /// Everything is taken; what it took on the disk is free again.
    fn end(&self) {
        self.0.disk.set_faults(Faults::default());
        let world = self.world();
        let turn_journal = || while world.journal.turn().expect("it works") {};
        for kind in &KINDS {
            let queue = world.queue(kind.name);
            let op = self.begin();
            let mut effects = Effects::new();
            queue.purge(&mut effects);
            effects.complete();
            self.model().purge(op, queue.id().0);
            self.check_counts(&queue);
        }
        for _ in 0..4 {
            while self.world().pager.turn(Turn::Write, &mut || {}) {}
            world.load_all();
            for _ in 0..6 {
                world.pager.turn(Turn::LookAfter, &mut || turn_journal());
                turn_journal();
            }
        }
        let files = self.0.disk.files();
        let segments: Vec<_> = files
            .iter()
            .filter(|(path, _)| path.starts_with("segments/"))
            .collect();
        assert!(segments.is_empty(), "{segments:?} are left");
        let journal = files
            .iter()
            .filter(|(path, _)| path.ends_with(".journal"))
            .count();
        let live = world.journal.file_starts();
        let most = self.0.plan.sizes.paging.most_log_files;
        assert!(live.len() <= most, "{live:?} are in use");
        // Some wait to be used again; a crash may bring some back that were removed.
        assert!(journal <= most + 16, "{journal} files are left");
    }
}

impl Inner {
    /// Topology must not change while it is not known what of it will be stored.
    fn disk_may_fail(&self) -> bool {
        self.disk.has_faults()
    }
}

fn gives_up(name: &str) -> bool {
    let mut kinds = KINDS.iter();
    name != DEAD && kinds.any(|kind| kind.name == name && kind.gives_up())
}
