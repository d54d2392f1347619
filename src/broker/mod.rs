//! The engine: vhosts, exchanges, bindings, routing, queues, consumers.
//!
//! ```text
//! publish ─▶ vhost ─▶ exchange ─▶ bindings ─▶ queue ─▶ sink (a consumer's channel)
//!              │                                │
//!              └─▶ catalog                      └─▶ effects: what is left to do after the lock
//!
//! reply_addresses                         where answers go that pass no queue
//! passage, deduplication                  exchanges that remember what went through them
//! delayed_message                         messages that wait before they are routed
//! notices                                 what the broker publishes itself
//! names, ids, declared, term, json_term   how topology is named, numbered, checked and printed
//! parameters ─▶ policy ─▶ vhost, queue    accounts    sessions    what is changed at run time
//! ```
//!
//! The engine knows no socket and no channel number. It reaches a consumer through [`Sink`].

pub mod accounts;
pub mod binding;
pub mod blind_copies;
pub mod catalog;
pub mod dead_letter;
mod declared;
pub mod deduplication;
mod delayed_message;
pub mod effects;
pub mod engine;
pub mod exchange;
pub mod ids;
mod json_term;
pub mod log;
pub mod message;
pub mod metrics;
mod missing;
pub mod names;
pub mod notices;
pub mod pager;
pub mod parameters;
mod passage;
pub mod policy;
pub mod queue;
pub mod recovery;
pub mod reply_addresses;
pub mod restore;
mod restore_users;
mod routing;
pub mod sessions;
pub mod sink;
pub(crate) mod term;
pub mod vhost;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;

pub use catalog::Catalog;
pub use effects::Effects;
pub use engine::{Alarms, Engine};
pub use exchange::{Exchange, ExchangeKind};
pub use message::{Body, Facts, Message};
pub use metrics::Metrics;
pub use passage::Passed;
pub use queue::{Queue, QueueId};
pub use sink::{Delivery, Sink, SinkRef, Taken};
pub use vhost::{Route, Totals, Vhost};

use self::catalog::{Change, Forgetful, NotStored};
use self::parameters::Put;
use self::sessions::Seated;
use self::vhost::{Metadata, Surroundings};
use crate::auth::Users;

/// Names a connection for as long as the broker runs; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Messages may take this much memory before publishers are blocked, where nothing else is said.
const DEFAULT_MEMORY_LIMIT_BYTES: u64 = 1 << 30;

/// The vhost that every new broker has.
const DEFAULT_VHOST: &str = "/";

/// A queue in which nothing was published for so long gives its spare buffers back.
const TIDY_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// The broker: vhosts, users, counters. One per process; shared by every connection.
pub struct Broker {
    /// Vhosts by name.
    pub vhosts: DashMap<Arc<str>, Arc<Vhost>>,
    /// Users and their permissions.
    pub users: Users,
    /// What all queues share: the clock, timers, alarms, counters.
    pub engine: Arc<Engine>,
    catalog: Arc<dyn Catalog>,
    /// Whoever adds, changes or removes a vhost, a parameter or a user holds it, so that the catalog
    /// hears of it in that order.
    changing: Mutex<()>,
    global_parameters: Mutex<BTreeMap<String, serde_json::Value>>,
    sessions: DashMap<ConnectionId, Seated>,
    next_connection: AtomicU64,
}

impl Broker {
    /// A new broker with the vhost `/`, which keeps nothing past its end.
    pub fn new(users: Users) -> Arc<Self> {
        Self::with_engine(
            users,
            Engine::new(DEFAULT_MEMORY_LIMIT_BYTES),
            Arc::new(Forgetful::default()),
        )
    }

    /// A new broker with the vhost `/`, whose queues share that engine and whose durable topology
    /// goes to that catalog.
    pub fn with_engine(users: Users, engine: Arc<Engine>, catalog: Arc<dyn Catalog>) -> Arc<Self> {
        let broker = Self::without_vhosts(users, engine, catalog);
        broker.add_vhost(DEFAULT_VHOST);
        broker
    }

    /// A new broker into which the catalog's topology is to be restored.
    pub fn without_vhosts(
        users: Users,
        engine: Arc<Engine>,
        catalog: Arc<dyn Catalog>,
    ) -> Arc<Self> {
        Arc::new(Self {
            vhosts: DashMap::new(),
            users,
            engine,
            catalog,
            changing: Mutex::new(()),
            global_parameters: Mutex::default(),
            sessions: DashMap::new(),
            next_connection: AtomicU64::new(1),
        })
    }

    /// All durable queues, in the order of their numbers; where exchanges keep delayed messages is one.
    pub(crate) fn durable_queues(&self) -> Vec<Arc<Queue>> {
        let vhosts = self.all_vhosts();
        let queues = vhosts.iter().flat_map(|vhost| vhost.queues_and_delays());
        let mut durable: Vec<_> = queues.filter(|queue| queue.is_durable()).collect();
        durable.sort_unstable_by_key(|queue| queue.id());
        durable
    }

    /// All exchanges whose ids must outlive a restart, each with its vhost.
    pub(crate) fn exchanges_with_ids(&self) -> Vec<(Arc<Vhost>, Arc<Exchange>)> {
        let mut found = Vec::new();
        for vhost in self.all_vhosts() {
            let exchanges = vhost.exchanges().into_iter();
            let keepers = exchanges.filter(|exchange| exchange.keeps_ids());
            found.extend(keepers.map(|exchange| (Arc::clone(&vhost), exchange)));
        }
        found
    }

    /// The queue of that id, if it is there still.
    pub(crate) fn queue_of_id(&self, id: u64) -> Option<Arc<Queue>> {
        let vhosts = self.all_vhosts();
        let mut queues = vhosts.iter().flat_map(|vhost| vhost.queues_and_delays());
        queues.find(|queue| queue.id().0 == id)
    }

    /// Counters, for the metrics page.
    pub fn metrics(&self) -> &Metrics {
        &self.engine.metrics
    }

    /// All vhosts, by name.
    pub fn vhosts_by_name(&self) -> Vec<Arc<Vhost>> {
        let mut vhosts = self.all_vhosts();
        vhosts.sort_by(|one, other| one.name().cmp(other.name()));
        vhosts
    }

    /// Where what changes is kept.
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.catalog
    }

    fn all_vhosts(&self) -> Vec<Arc<Vhost>> {
        self.vhosts.iter().map(|vhost| Arc::clone(&vhost)).collect()
    }

    /// Has queues give back what bursts left them with, for ever. The server runs it as one task.
    pub async fn tidy_queues(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TIDY_INTERVAL).await;
            for queue in self
                .all_vhosts()
                .iter()
                .flat_map(|vhost| vhost.queues_and_delays())
            {
                queue.tidy();
                tokio::task::consume_budget().await;
            }
            crate::store::segment::let_go_of_unused();
        }
    }

    /// How much all vhosts hold, counted now.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for vhost in self.all_vhosts() {
            totals += vhost.totals();
        }
        totals
    }

    /// Alarms, to be watched.
    pub fn alarms(&self) -> &tokio::sync::watch::Sender<Alarms> {
        &self.engine.alarms
    }

    /// Why topology is not stored any more, if that is so.
    pub fn catalog_failure(&self) -> Option<NotStored> {
        self.catalog.failure()
    }

    /// Whether changes of durable topology are refused for now, because the disk has no room for them.
    pub fn is_catalog_stalled(&self) -> bool {
        self.catalog.is_stalled()
    }

    /// A fresh connection id.
    pub fn next_connection_id(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// The vhost of that name.
    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.get(name).map(|vhost| Arc::clone(&vhost))
    }

    /// The vhost of that name, which is made if there is none.
    pub fn add_vhost(&self, name: &str) -> Arc<Vhost> {
        let _changing = self.changing.lock();
        let (vhost, is_new) = self.put_in_vhost(name);
        if is_new {
            self.catalog
                .submit(vec![Change::PutVhost(Arc::clone(&vhost))]);
            vhost.tell_made();
            self.make_own_exchanges(&vhost);
        }
        vhost
    }

    /// The same, and says this of it. A default queue type that is not said again stays.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn put_vhost(&self, name: &str, mut metadata: Metadata) -> Result<Put, NotStored> {
        let _changing = self.changing.lock();
        self.catalog.check()?;
        let (vhost, is_new) = self.put_in_vhost(name);
        let before = vhost.metadata().default_queue_type;
        metadata.default_queue_type = metadata.default_queue_type.or(before);
        vhost.set_metadata(metadata);
        self.catalog
            .submit(vec![Change::PutVhost(Arc::clone(&vhost))]);
        Ok(match is_new {
            true => {
                vhost.tell_made();
                self.make_own_exchanges(&vhost);
                Put::Created
            }
            false => {
                vhost.tell_changed();
                Put::Changed
            }
        })
    }

    /// The vhost of that name, and whether it was made just now.
    fn put_in_vhost(&self, name: &str) -> (Arc<Vhost>, bool) {
        match self.vhosts.entry(name.into()) {
            Entry::Occupied(there) => (Arc::clone(there.get()), false),
            Entry::Vacant(place) => {
                let surroundings = Surroundings {
                    engine: Arc::clone(&self.engine),
                    catalog: Arc::clone(&self.catalog),
                };
                let vhost = Vhost::new(name, surroundings);
                (Arc::clone(&place.insert(vhost)), true)
            }
        }
    }

    /// Removes a vhost and all that is in it, closes its connections, and forgets what users may do
    /// in it; says whether there was one.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn remove_vhost(&self, name: &str, effects: &mut Effects) -> Result<bool, NotStored> {
        let _changing = self.changing.lock();
        if !self.vhosts.contains_key(name) {
            return Ok(false);
        }
        self.catalog.check()?;
        let Some((_, vhost)) = self.vhosts.remove(name) else {
            return Ok(false);
        };
        let mut changes = Vec::new();
        self.forget_permissions_in(vhost.name(), &mut changes);
        changes.extend(vhost.close(effects));
        let parameters = vhost.parameters();
        let notices = &self.engine.notices;
        notices.vhost_deleted(name, parameters.keys());
        for (component, name) in parameters.into_keys() {
            let key = [Arc::clone(vhost.name()), component.into(), name.into()];
            changes.push(Change::DeleteParameter(key));
        }
        changes.push(Change::DeleteVhost(Arc::clone(vhost.name())));
        self.catalog.submit(changes);
        let reason = format!("vhost '{name}' is deleted");
        self.close_sessions(&reason, |seated| Arc::ptr_eq(&seated.vhost, &vhost));
        Ok(true)
    }
}
