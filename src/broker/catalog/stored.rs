//! The catalog that keeps: durable topology in the store's catalog, on the disk.
//!
//! In: transactions of the broker's changes, each of which becomes one of the store's. Out: the
//! watermark, moved by the store's thread. What always holds: revisions are stored in their order;
//! once one could not be stored, none after it is, and whoever waits is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Catalog, Change, NotStored, Revision, WhenStored};
use crate::amqp::table::FieldTable;
use crate::auth::User;
use crate::broker::binding::{Binding, Destination};
use crate::broker::exchange::Exchange;
use crate::broker::queue::Queue;
use crate::broker::vhost::Vhost;
use crate::store::catalog::{
    BindingRecord, Catalog as Store, CatalogError, ExchangeRecord, Op, ParameterRecord,
    PermissionRecord, QueueRecord, TopicPermissionRecord, UserRecord, VhostRecord,
};

/// See the module.
pub struct StoredCatalog {
    store: Arc<Store>,
    marks: Arc<Marks>,
    /// Held from taking a revision to handing it to the store, which keeps that order.
    order: Mutex<()>,
}

/// How far it has come.
#[derive(Default)]
struct Marks {
    submitted: AtomicU64,
    stored: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    failure: Option<NotStored>,
    by_revision: BTreeMap<u64, Vec<WhenStored>>,
}

impl StoredCatalog {
    /// Keeps what changes in `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            marks: Arc::default(),
            order: Mutex::new(()),
        }
    }
}

impl Catalog for StoredCatalog {
    fn submit(&self, changes: Vec<Change>) -> Revision {
        let ops = changes.iter().map(op).collect();
        let _order = self.order.lock();
        let revision = self.marks.submitted.load(Ordering::Relaxed) + 1;
        self.marks.submitted.store(revision, Ordering::Release);
        let marks = Arc::clone(&self.marks);
        self.store.submit_then(ops, move |outcome| match outcome {
            Ok(_) => marks.stored(revision),
            Err(error) => marks.fail(&error),
        });
        Revision(revision)
    }

    fn submitted(&self) -> Revision {
        Revision(self.marks.submitted.load(Ordering::Acquire))
    }

    fn stored(&self) -> Revision {
        Revision(self.marks.stored.load(Ordering::Acquire))
    }

    fn when_stored(&self, revision: Revision, then: WhenStored) {
        let mut waiting = self.marks.waiting.lock();
        let outcome = match &waiting.failure {
            // The watermark is moved under the lock, and never after a failure.
            _ if self.stored() >= revision => Ok(()),
            Some(failure) => Err(failure.clone()),
            None => {
                let waiting = waiting.by_revision.entry(revision.0).or_default();
                return waiting.push(then);
            }
        };
        drop(waiting);
        then(outcome);
    }

    fn next_id(&self) -> Result<u64, NotStored> {
        self.store.next_id().map_err(|error| not_stored(&error))
    }

    fn failure(&self) -> Option<NotStored> {
        self.marks.waiting.lock().failure.clone()
    }

    fn is_stalled(&self) -> bool {
        !self.store.has_room() && self.failure().is_none()
    }
}

fn not_stored(error: &CatalogError) -> NotStored {
    NotStored(error.to_string().into())
}

impl Marks {
    fn stored(&self, revision: u64) {
        let mut waiting = self.waiting.lock();
        self.stored.store(revision, Ordering::Release);
        let later = waiting.by_revision.split_off(&(revision + 1));
        let over = std::mem::replace(&mut waiting.by_revision, later);
        drop(waiting);
        over.into_values().flatten().for_each(|then| then(Ok(())));
    }

    fn fail(&self, error: &CatalogError) {
        let mut waiting = self.waiting.lock();
        let failure = waiting.failure.get_or_insert_with(|| not_stored(error));
        let failure = failure.clone();
        let over = std::mem::take(&mut waiting.by_revision);
        drop(waiting);
        let over = over.into_values().flatten();
        over.for_each(|then| then(Err(failure.clone())));
    }
}

/// A change as the store keeps it.
fn op(change: &Change) -> Op {
    match change {
        Change::PutVhost(vhost) => Op::PutVhost(vhost.name().to_string(), vhost_record(vhost)),
        Change::DeleteVhost(name) => Op::DeleteVhost(name.to_string()),
        Change::PutExchange(vhost, exchange) => {
            Op::PutExchange(exchange.id().0, exchange_record(vhost, exchange))
        }
        Change::DeleteExchange(id) => Op::DeleteExchange(id.0),
        Change::PutQueue(vhost, queue) => Op::PutQueue(queue.id().0, queue_record(vhost, queue)),
        Change::DeleteQueue(id) => Op::DeleteQueue(id.0),
        Change::PutBinding(vhost, binding) => {
            Op::PutBinding(binding.id.0, binding_record(vhost, binding))
        }
        Change::DeleteBinding(id) => Op::DeleteBinding(id.0),
        Change::PutParameter(key, json) => {
            let value = json.clone();
            Op::PutParameter(owned(key), ParameterRecord { value })
        }
        Change::DeleteParameter(key) => Op::DeleteParameter(owned(key)),
        Change::PutUser(user) => Op::PutUser(user.name().to_string(), user_record(user)),
        Change::DeleteUser(name) => Op::DeleteUser(name.to_string()),
        Change::PutPermission(key, [configure, write, read]) => Op::PutPermission(
            owned(key),
            PermissionRecord {
                configure: configure.clone(),
                write: write.clone(),
                read: read.clone(),
            },
        ),
        Change::DeletePermission(key) => Op::DeletePermission(owned(key)),
        Change::PutTopicPermission(key, [write, read]) => Op::PutTopicPermission(
            owned(key),
            TopicPermissionRecord {
                write: write.clone(),
                read: read.clone(),
            },
        ),
        Change::DeleteTopicPermission(key) => Op::DeleteTopicPermission(owned(key)),
    }
}

fn owned<const N: usize>(key: &[Arc<str>; N]) -> [String; N] {
    key.each_ref().map(|part| part.to_string())
}

fn vhost_record(vhost: &Vhost) -> VhostRecord {
    let metadata = vhost.metadata();
    VhostRecord {
        description: metadata.description,
        tags: metadata.tags,
        default_queue_type: metadata.default_queue_type,
        // They are a runtime parameter.
        limits: Vec::new(),
    }
}

/// Of a user whom configuration names, only what is not said there is kept.
fn user_record(user: &User) -> UserRecord {
    let account = user.account();
    let limits = account.limits.clone().into_iter().collect();
    if account.is_configured {
        return UserRecord {
            limits,
            ..UserRecord::default()
        };
    }
    UserRecord {
        password_hash: account.password_hash(),
        hashing_algorithm: account.hashing_algorithm().to_owned(),
        tags: account.tags.clone(),
        limits,
    }
}

fn exchange_record(vhost: &str, exchange: &Exchange) -> ExchangeRecord {
    ExchangeRecord {
        vhost: vhost.to_owned(),
        name: exchange.name().to_string(),
        kind: exchange.kind().name().to_owned(),
        durable: exchange.is_durable(),
        auto_delete: exchange.is_auto_delete(),
        internal: exchange.is_internal(),
        arguments: encoded(exchange.arguments()),
    }
}

fn queue_record(vhost: &str, queue: &Queue) -> QueueRecord {
    QueueRecord {
        vhost: vhost.to_owned(),
        name: queue.name().to_string(),
        kind: queue.queue_type().name().to_owned(),
        durable: queue.is_durable(),
        auto_delete: queue.is_auto_delete(),
        exclusive: queue.exclusive_owner().is_some(),
        arguments: encoded(queue.arguments()),
    }
}

fn binding_record(vhost: &str, binding: &Binding) -> BindingRecord {
    BindingRecord {
        vhost: vhost.to_owned(),
        source: binding.source.name().to_string(),
        destination: binding.destination.name().to_string(),
        to_exchange: matches!(binding.destination, Destination::Exchange(_)),
        routing_key: binding.routing_key.as_bytes().to_vec(),
        arguments: encoded(&binding.arguments),
    }
}

fn encoded(arguments: &FieldTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    arguments.encode(&mut bytes);
    bytes
}
