//! The checker: reads the ledger, knows what must and what may be, and says what is not so.
//!
//! ```text
//! ledger ─▶ events ─▶ Checker ─▶ violations
//!                       └─ lineage: one letter in one chain of queues
//! ```
//!
//! What survives a kill is decided by the *horizon*: the latest moment at which a letter was
//! published that was confirmed afterwards and had to be written. Whatever the broker had done
//! before that moment it wrote before that letter, so it is on the disk. What it did later may or
//! may not be.

mod lineage;
mod order;
mod story;
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::ledger::{ConsumerId, Event, Fault, Kind, Settling, What};
use crate::letter::Letter;
use crate::plan::{QueueId, QueueInfo, Role};
use lineage::{Gone, Lineage, Note};
use order::Line;

/// A delivery may be so much later than what it was asked for, and a clock so coarse.
const SLACK_MS: u64 = 100;

/// Something that must not be.
#[derive(Debug)]
pub struct Violation {
    pub kind: Kind,
    pub what: String,
    /// All that is known of the letter.
    pub history: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)?;
        self.history
            .lines()
            .try_for_each(|line| write!(f, "\n        {line}"))
    }
}

/// Letters of one chain of queues.
#[derive(Default)]
struct Chain {
    /// Source, and where its dead letters go.
    queues: Vec<Arc<QueueInfo>>,
    lineages: BTreeMap<u64, Lineage>,
    /// Those that are gone for good.
    gone: HashMap<u64, Gone>,
    /// Whether the queue is about to be deleted.
    deleting: bool,
}

struct Consumer {
    inspects: bool,
    asked_ms: u64,
    line: Line,
    received: u64,
    /// Settled, but nobody knows yet whether that was processed.
    unprocessed: Vec<(u64, QueueId, u64)>,
    held: Vec<(QueueId, u64)>,
}

/// See the module.
#[derive(Default)]
pub struct Checker {
    chains: HashMap<QueueId, Chain>,
    queues: HashMap<QueueId, Arc<QueueInfo>>,
    consumers: HashMap<ConsumerId, Consumer>,
    /// Of this life: when they were published, and whether their confirms prove anything.
    published: HashMap<u64, (u64, Arc<[QueueId]>)>,
    horizon: u64,
    life: u32,
    /// Since when the broker ends in good order.
    stopping: Option<u64>,
    violations: Vec<Violation>,
    pub totals: Totals,
}

/// What went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub published: u64,
    pub confirmed: u64,
    pub delivered: u64,
    pub settled: u64,
    /// Letters that were looked for after a restart and had to be there.
    pub owed: u64,
}

impl Checker {
    pub fn apply(&mut self, events: Vec<Event>) {
        for event in events {
            self.step(event);
        }
    }

    pub fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    /// What must be in this chain and was not delivered to anybody yet.
    pub fn missing(&self, chain: QueueId) -> usize {
        let missing = |lineage: &&Lineage| lineage.must_be(self.life) && !lineage.is_held();
        self.chains
            .get(&chain)
            .map_or(0, |chain| chain.lineages.values().filter(missing).count())
    }

    fn step(&mut self, Event { order, at_ms, what }: Event) {
        match what {
            What::Queue(info) => {
                let chain = self.chains.entry(info.chain).or_default();
                chain.queues.push(Arc::clone(&info));
                self.queues.insert(info.id, info);
            }
            What::Published { letter, to } => self.published(order, at_ms, letter, to),
            What::Confirmed(id) => self.confirmed(order, at_ms, id),
            What::Asked { consumer, inspects } => {
                let consumer_is = Consumer {
                    inspects,
                    asked_ms: at_ms,
                    line: Line::default(),
                    received: 0,
                    unprocessed: Vec::new(),
                    held: Vec::new(),
                };
                self.consumers.insert(consumer, consumer_is);
            }
            What::Delivered {
                consumer,
                queue,
                letter,
                redelivered,
                faults,
            } => {
                let delivery = Delivery {
                    order,
                    at_ms,
                    consumer,
                    queue: Arc::clone(&self.queues[&queue]),
                    letter: *letter,
                    redelivered,
                };
                self.delivered(&delivery, faults);
            }
            What::Garbled { queue, faults } => {
                let name = self.queues[&queue].name.clone();
                for fault in faults {
                    self.complain(fault.kind, format!("in {name}: {}", fault.what), None);
                }
            }
            What::Settled { consumer, ids, how } => self.settled(order, consumer, &ids, how),
            What::Processed { consumer, before } => self.processed(order, consumer, before),
            What::Released(consumer) => self.released(order, consumer),
            What::Counted {
                consumer,
                queue,
                ready,
            } => {
                let received = self.consumers[&consumer].received;
                if received != ready {
                    let name = &self.queues[&queue].name;
                    let what = format!("{ready} in {name}, said the broker; {received} came");
                    self.complain(Kind::Count, what, None);
                }
            }
            What::Inspected(chain) => self.inspected(order, chain),
            What::Purging(queue) => self.purging(order, queue),
            What::Purged { queue, count } => self.purged(order, queue, count),
            What::Deleting(queue) => self.chain_mut(queue).deleting = true,
            What::Deleted { queue, count } => self.deleted(queue, count),
            What::Stopping => self.stopping = Some(order),
            What::Killed => self.killed(at_ms),
            What::Fault(Fault { kind, what }) => self.complain(kind, what, None),
        }
    }

    fn chain_mut(&mut self, queue: QueueId) -> &mut Chain {
        let chain = self.queues[&queue].chain;
        self.chains.entry(chain).or_default()
    }

    fn complain(&mut self, kind: Kind, what: String, lineage: Option<(QueueId, u64)>) {
        let history = lineage.and_then(|(chain, id)| {
            let chain = self.chains.get(&chain)?;
            Some(chain.lineages.get(&id)?.history(&chain.queues))
        });
        let history = history.unwrap_or_default();
        self.violations.push(Violation {
            kind,
            what,
            history,
        });
    }

    fn published(&mut self, order: u64, at_ms: u64, letter: Arc<Letter>, to: Arc<[QueueId]>) {
        self.totals.published += 1;
        for queue in to.iter() {
            let chain = self.queues[queue].chain;
            let chain = self.chains.get_mut(&chain).expect("declared before");
            let lineage = Lineage::new(&letter, self.life, order, at_ms, &chain.queues);
            chain.lineages.insert(letter.id, lineage);
        }
        self.published.insert(letter.id, (order, to));
    }

    fn confirmed(&mut self, order: u64, at_ms: u64, id: u64) {
        self.totals.confirmed += 1;
        let Some((published, to)) = self.published.remove(&id) else {
            let what = format!("a confirm of {id:x}, which nobody waits for");
            return self.complain(Kind::Trouble, what, None);
        };
        for queue in to.iter() {
            let info = &self.queues[queue];
            let chain = self.chains.get_mut(&info.chain).expect("declared before");
            let Some(lineage) = chain.lineages.get_mut(&id) else {
                continue;
            };
            lineage.confirmed = Some((order, at_ms));
            lineage.note(order, self.life, Note::Confirmed);
            if lineage.letter.persistent && info.witness {
                self.horizon = self.horizon.max(published);
            }
        }
    }

    fn delivered(&mut self, delivery: &Delivery, faults: Vec<Fault>) {
        self.totals.delivered += 1;
        let chain_id = delivery.queue.chain;
        let id = delivery.letter.id;
        let name = &delivery.queue.name;
        let consumer = self
            .consumers
            .get_mut(&delivery.consumer)
            .expect("it asked");
        consumer.received += 1;
        consumer.held.push((delivery.queue.id, id));
        let (inspects, asked_ms) = (consumer.inspects, consumer.asked_ms);
        let chain = self.chains.get_mut(&chain_id).expect("declared before");
        let mut wrong: Vec<(Kind, String)> = faults
            .into_iter()
            .map(|fault| (fault.kind, format!("in {name}: {}", fault.what)))
            .collect();
        if let Some(lineage) = chain.lineages.get_mut(&id) {
            let at = usize::from(delivery.queue.role.is_behind());
            if let Some(since) = self.stopping {
                lineage.lose_holders(since);
            }
            lineage.deliver(delivery, at, self.life, &mut wrong);
            if inspects && lineage.is_past_deadline(&delivery.queue, asked_ms) {
                let what = format!("asked {name} past the deadline of {:?}", lineage.letter);
                wrong.push((Kind::PastDeadline, what));
            }
            let ordered = inspects || !delivery.redelivered;
            if ordered {
                let band = delivery.queue.band(&delivery.letter);
                consumer.line.add(lineage, band, delivery, &mut wrong);
            }
            if inspects {
                consumer.line.add_priority(delivery, &mut wrong);
            }
        } else if let Some(gone) = chain.gone.get(&id) {
            let kind = match gone {
                Gone::Transient => Kind::Transient,
                _ => Kind::CameBack,
            };
            let what = format!("{:?} is back in {name}: {gone:?}", delivery.letter);
            wrong.push((kind, what));
        } else {
            let what = format!("in {name}: {:?}", delivery.letter);
            wrong.push((Kind::Stranger, what));
        }
        for (kind, what) in wrong {
            self.complain(kind, what, Some((chain_id, id)));
        }
    }

    fn settled(&mut self, order: u64, consumer: ConsumerId, ids: &[u64], how: Settling) {
        self.totals.settled += ids.len() as u64;
        let life = self.life;
        let state = self.consumers.get_mut(&consumer).expect("it asked");
        let (settled, held): (Vec<_>, Vec<_>) =
            state.held.drain(..).partition(|(_, id)| ids.contains(id));
        state.held = held;
        for (queue, id) in settled {
            state.unprocessed.push((order, queue, id));
            let info = &self.queues[&queue];
            let chain = self.chains.get_mut(&info.chain).expect("declared before");
            if let Some(lineage) = chain.lineages.get_mut(&id) {
                lineage.settle(order, life, usize::from(info.role.is_behind()), how);
            }
        }
    }

    fn processed(&mut self, order: u64, consumer: ConsumerId, before: u64) {
        let state = self.consumers.get_mut(&consumer).expect("it asked");
        let (processed, rest): (Vec<_>, Vec<_>) = state
            .unprocessed
            .drain(..)
            .partition(|(settled, ..)| *settled < before);
        state.unprocessed = rest;
        for (settled, queue, id) in processed {
            let info = &self.queues[&queue];
            let chain = self.chains.get_mut(&info.chain).expect("declared before");
            if let Some(lineage) = chain.lineages.get_mut(&id) {
                let at = usize::from(info.role.is_behind());
                lineage.processed(order, self.life, at, settled);
            }
        }
    }

    fn released(&mut self, order: u64, consumer: ConsumerId) {
        let state = self.consumers.get_mut(&consumer).expect("it asked");
        for (queue, id) in std::mem::take(&mut state.held) {
            let info = &self.queues[&queue];
            let chain = self.chains.get_mut(&info.chain).expect("declared before");
            if let Some(lineage) = chain.lineages.get_mut(&id) {
                let at = usize::from(info.role.is_behind());
                lineage.settle(order, self.life, at, Settling::Requeue);
            }
        }
    }

    /// What was not delivered is not there.
    fn inspected(&mut self, order: u64, chain_id: QueueId) {
        let chain = self.chains.get_mut(&chain_id).expect("declared before");
        let mut lost = Vec::new();
        for (id, lineage) in &mut chain.lineages {
            let owed = lineage.must_be(self.life);
            self.totals.owed += u64::from(owed);
            lineage.note(order, self.life, Note::Inspected);
            if !lineage.is_held() {
                if owed {
                    lost.push(*id);
                } else {
                    lineage.gone = Some(Gone::Missing);
                }
            }
        }
        let names: Vec<&str> = chain
            .queues
            .iter()
            .map(|queue| queue.name.as_str())
            .collect();
        let names = names.join(" nor in ");
        for id in lost {
            let chain = &self.chains[&chain_id];
            let what = format!("not in {names}: {:?}", chain.lineages[&id].letter);
            self.complain(Kind::Lost, what, Some((chain_id, id)));
            let chain = self.chains.get_mut(&chain_id).expect("it is there");
            chain.lineages.get_mut(&id).expect("it is there").gone = Some(Gone::Lost);
        }
        self.chains
            .get_mut(&chain_id)
            .expect("it is there")
            .forget_gone();
    }

    fn purging(&mut self, order: u64, queue: QueueId) {
        let life = self.life;
        for lineage in self.chain_mut(queue).lineages.values_mut() {
            lineage.purge(order, life);
        }
    }

    fn purged(&mut self, order: u64, queue: QueueId, count: u64) {
        let life = self.life;
        let chain = self.chain_mut(queue);
        let before = chain
            .lineages
            .values()
            .filter(|lineage| lineage.is_being_purged().is_some());
        let (must, may) = bounds(before, life);
        for lineage in chain.lineages.values_mut() {
            lineage.purged(order, life);
        }
        let name = self.queues[&queue].name.clone();
        self.check_count("purged from", &name, count, (must, may));
    }

    fn check_count(&mut self, done: &str, name: &str, count: u64, (must, may): (u64, u64)) {
        if !(must..=may).contains(&count) {
            let what = format!("{count} {done} {name}, said the broker, not {must} to {may}");
            self.complain(Kind::Count, what, None);
        }
    }

    /// Its chain stays as long as the run, to know what belonged to it.
    fn deleted(&mut self, queue: QueueId, count: Option<u64>) {
        let life = self.life;
        let chain = self.chain_mut(queue);
        chain.deleting = false;
        let there = chain
            .lineages
            .values()
            .filter(|lineage| !lineage.is_ending());
        let bounds = bounds(there, life);
        for lineage in chain.lineages.values_mut() {
            lineage.gone = Some(Gone::Deleted);
        }
        chain.forget_gone();
        if let Some(count) = count {
            let name = self.queues[&queue].name.clone();
            self.check_count("deleted with", &name, count, bounds);
        }
    }

    fn killed(&mut self, at_ms: u64) {
        for chain in self.chains.values_mut() {
            let is_ring = chain.queues.iter().any(|queue| queue.role == Role::Work);
            let durable = chain.queues.iter().all(|queue| queue.durable);
            for lineage in chain.lineages.values_mut() {
                lineage.doubt |= chain.deleting;
                lineage.killed(self.horizon, self.life, at_ms, is_ring);
                if !durable {
                    lineage.gone = Some(Gone::Deleted);
                }
            }
            chain.deleting = false;
            chain.forget_gone();
        }
        self.consumers.clear();
        self.published.clear();
        self.stopping = None;
        self.life += 1;
    }
}

/// How many of these must be in their queue at least, and how many may be at most.
fn bounds<'a>(lineages: impl Iterator<Item = &'a Lineage>, life: u32) -> (u64, u64) {
    lineages.fold((0, 0), |(must, may), lineage| {
        // The same channel published it, so it has arrived, confirmed or not.
        let is_there = lineage.life == life || lineage.is_promised(life);
        (must + u64::from(is_there), may + 1)
    })
}

impl Chain {
    fn forget_gone(&mut self) {
        let gone = &mut self.gone;
        self.lineages.retain(|id, lineage| {
            if let Some(why) = lineage.gone {
                gone.insert(*id, why);
            }
            lineage.gone.is_none()
        });
    }
}

/// A letter that came.
struct Delivery {
    order: u64,
    at_ms: u64,
    consumer: ConsumerId,
    queue: Arc<QueueInfo>,
    letter: Letter,
    redelivered: bool,
}

impl Role {
    /// Whether it is the second queue of its chain.
    fn is_behind(self) -> bool {
        matches!(self, Role::Dead | Role::Wait)
    }
}

impl QueueInfo {
    /// The priority by which it treats a letter.
    fn band(&self, letter: &Letter) -> u8 {
        let wanted = letter.priority.unwrap_or(0);
        self.max_priority.map_or(0, |most| wanted.min(most))
    }
}
