//! A random history: what clients, the pager and the journal do, some of it at the same time, until the
//! machine stops; what is there when it starts again is held against the model; and so on.

mod clients;
mod reads;
mod stops;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use warren::broker::engine::Clock;
use warren::broker::pager::Turn;
use warren::broker::{Body, Effects, Facts, Message, Queue};
use warren::store::disk::SimDisk;
use warren::store::disk::sim::Faults;
use warren::store::journal::Fsync;

use crate::content::Content;
use crate::disk;
use crate::model::{Letter, Model, OpId};
use crate::world::{DEAD, KINDS, Sizes, World};

/// What a history is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub sizes: Sizes,
    /// Whether chunks leave memory at all.
    pub pages: bool,
    /// Whether the disk has other faults than that it stops.
    pub breaks: bool,
    /// Whether reads of segments fail.
    pub reads_fail: bool,
    /// What is damaged while it is stopped.
    pub damage: Option<Damage>,
    pub lives: usize,
    pub steps: usize,
    /// Largest body.
    pub body_bytes: usize,
}

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Log,
    Segment,
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
                has_bcc: false,
            },
        }
    }
}

/// Messages that were rejected, but must be read from the disk to be dead-lettered.
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
            match self.0.plan.damage {
                None => self.crash(),
                Some(Damage::Log) => self.damage_log(),
                Some(Damage::Segment) => return self.damage_segment(),
            }
        }
        self.end();
    }

    /// What goes wrong in a life.
    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.0.plan.damage.is_some() {
            return faults;
        }
        let now = self.0.disk.operations();
        let soon = |history: &Self| now + history.random(0..60) as u64;
        if self.0.plan.reads_fail {
            faults.fail_reads_at = self.failing_reads();
        }
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
        if self.0.plan.reads_fail {
            self.break_or_repair();
        }
        match self.random(0..100) {
            0..62 => self.client(),
            62..70 => self.journal_turn(),
            70..79 => self.pager_turn(Turn::Write),
            79..84 => self.pager_turn(Turn::Load),
            84..88 => self.pager_turn(Turn::Rewrite),
            88..92 => self.pager_turn(Turn::LookAfter),
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
        if matches!(self.0.plan.sizes.fsync, Fsync::Interval(_)) && self.chance(30) {
            let synced = world.journal.sync_now();
            self.note(|| format!("journal sync: {synced:?}"));
        }
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
        self.repair();
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
        let deferred = deferred.iter();
        let deferred = deferred.filter(|one| Arc::ptr_eq(&one.queue, queue));
        let deferred: usize = deferred.map(|one| one.letters.len()).sum();
        let model = self.model();
        let expected = &model.queues[&queue.id().0];
        let unacked = expected.unacked.len() + deferred;
        assert_eq!(
            (counts.ready, counts.unacked),
            (expected.ready.len() as u64, unacked as u64),
            "ready and unacked in {}",
            queue.name()
        );
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
