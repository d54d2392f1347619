//! A vhost: its exchanges, queues and bindings.
//!
//! ```text
//! declare, delete ─▶ exchanges, queues ─┐
//! bind, unbind ────▶ bindings ──────────┼─▶ topology ─▶ catalog
//!                                       └─▶ exchange tables, registries ◀─ routing
//! ```
//!
//! Whoever looks something up or routes takes only what is shared: a registry's shard, an
//! exchange's table. Whoever changes the topology holds the vhost's one `topology` lock meanwhile,
//! so that changes are made one after the other, and in the catalog's order. It is the outermost
//! lock: a queue's and an exchange's are taken within it, never the other way round. A queue is
//! closed before it is taken out of the topology, so no work on messages is done under that lock.

mod bindings;
mod exchanges;
mod queues;
mod restore;
mod settings;
mod topology;
mod traced;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;

pub use exchanges::ExchangeDeclare;
pub use queues::{Deleted, QueueDeclare};
pub(super) use restore::RestoredQueue;

pub use self::settings::Metadata;
pub(super) use self::settings::{OPERATOR_POLICY, POLICY, VHOST_LIMITS};
pub use super::routing::Route;

use self::settings::Settings;
use self::topology::Topology;
use super::binding::Binding;
use super::catalog::Catalog;
use super::engine::Engine;
use super::exchange::Exchange;
use super::queue::{Counts, Queue};

/// Things by their names.
type Registry<T> = DashMap<Arc<str>, Arc<T>, foldhash::fast::RandomState>;

/// What a vhost has from its broker.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub engine: Arc<Engine>,
    pub catalog: Arc<dyn Catalog>,
}

/// See the module.
pub struct Vhost {
    name: Arc<str>,
    broker: Surroundings,
    exchanges: Registry<Exchange>,
    queues: Registry<Queue>,
    topology: Mutex<Topology>,
    settings: Settings,
    /// Held by whoever publishes through exchanges with a memory.
    passing: Mutex<()>,
    /// Its messages are to be traced, if anybody listens.
    tracing: AtomicBool,
    epoch: AtomicU64,
    nowhere: Arc<[Arc<Queue>]>,
}

impl Vhost {
    /// A vhost of that name, with the exchanges that every vhost has.
    pub(super) fn new(name: &str, broker: Surroundings) -> Arc<Self> {
        let traced = &broker.engine.notices.settings().traced_vhosts;
        let tracing = traced.iter().any(|traced| traced == name);
        let vhost = Arc::new(Self {
            name: name.into(),
            broker,
            exchanges: Registry::default(),
            queues: Registry::default(),
            topology: Mutex::default(),
            settings: Settings::default(),
            passing: Mutex::default(),
            tracing: tracing.into(),
            epoch: AtomicU64::new(0),
            nowhere: Arc::new([]),
        });
        vhost.declare_system_exchanges();
        vhost
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Changes whenever what [`Vhost::route`] found before may no longer hold. Read it before
    /// routing. A change that is being made while it is read counts as later.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Where durable topology is kept: a reply that says that something was declared, deleted,
    /// bound or unbound may leave once what is submitted by then is stored.
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.broker.catalog
    }

    /// All queues, in no order.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        let queues = self.queues.iter().map(|queue| Arc::clone(&queue));
        queues.filter(|queue| !queue.is_deleted()).collect()
    }

    /// All queues, and where exchanges keep delayed messages, in no order.
    pub(super) fn queues_and_delays(&self) -> Vec<Arc<Queue>> {
        let mut queues = self.queues();
        let exchanges = self.exchanges.iter();
        queues.extend(exchanges.filter_map(|exchange| exchange.delays().cloned()));
        queues
    }

    /// All exchanges, in no order; the default exchange, named by the empty string, is one.
    pub fn exchanges(&self) -> Vec<Arc<Exchange>> {
        self.exchanges
            .iter()
            .map(|exchange| Arc::clone(&exchange))
            .collect()
    }

    /// All bindings, in no order, without those of the default exchange.
    pub fn bindings(&self) -> Vec<Arc<Binding>> {
        self.topology
            .lock()
            .bindings
            .iter()
            .map(Arc::clone)
            .collect()
    }

    /// How much there is, counted now.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            exchanges: self.exchanges.len() as u64,
            ..Totals::default()
        };
        for queue in self.queues() {
            totals.add(queue.counts());
        }
        for exchange in &self.exchanges {
            let counts = exchange.delays().map(|store| store.counts());
            totals.delayed += counts.map_or(0, |counts| counts.waiting + counts.unacked);
        }
        totals
    }

    /// What channels remember of routes, and of whether they may use them, holds no more.
    pub(super) fn bump_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.broker.engine
    }

    /// The turn of whoever publishes through exchanges with a memory.
    pub(super) fn passing(&self) -> &Mutex<()> {
        &self.passing
    }

    pub(super) fn nowhere(&self) -> &Arc<[Arc<Queue>]> {
        &self.nowhere
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        // Exchanges that lead to each other would keep each other.
        for exchange in &self.exchanges {
            exchange.clear();
        }
    }
}

/// How much a vhost or a broker holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Exchanges, those that every vhost has among them.
    pub exchanges: u64,
    /// Queues.
    pub queues: u64,
    /// Messages waiting in queues.
    pub ready: u64,
    /// Messages delivered and not yet settled.
    pub unacked: u64,
    /// Messages that exchanges are to route later, and those that wait in queues to be delivered again.
    pub delayed: u64,
    /// Consumers.
    pub consumers: u64,
}

impl Totals {
    fn add(&mut self, queue: Counts) {
        self.queues += 1;
        self.ready += queue.ready;
        self.unacked += queue.unacked;
        self.delayed += queue.waiting;
        self.consumers += u64::from(queue.consumers);
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.exchanges += other.exchanges;
        self.queues += other.queues;
        self.ready += other.ready;
        self.unacked += other.unacked;
        self.delayed += other.delayed;
        self.consumers += other.consumers;
    }
}
