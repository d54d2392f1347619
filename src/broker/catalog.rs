//! Where durable topology is kept: the one place that hears of every change to it.
//!
//! In: changes, as transactions, in the order in which they took effect. Out: a watermark, the
//! revision up to which everything is stored. A reply such as declare-ok may leave once
//! [`Catalog::submitted`], read after the change, is stored; nobody waits with a lock held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::binding::Binding;
use super::exchange::Exchange;
use super::ids::{BindingId, ExchangeId};
use super::queue::{Queue, QueueId};

/// A change to durable topology. What is put is put whole; its id is new.
#[derive(Clone)]
pub enum Change {
    /// A vhost was added.
    PutVhost(Arc<str>),
    /// A vhost was removed, with all that is in it.
    DeleteVhost(Arc<str>),
    /// A durable exchange was declared in the vhost of that name.
    PutExchange(Arc<str>, Arc<Exchange>),
    /// A durable exchange was deleted.
    DeleteExchange(ExchangeId),
    /// A durable queue was declared in the vhost of that name.
    PutQueue(Arc<str>, Arc<Queue>),
    /// A durable queue was deleted.
    DeleteQueue(QueueId),
    /// A durable exchange was bound to a durable queue or exchange.
    PutBinding(Arc<Binding>),
    /// Such a binding went.
    DeleteBinding(BindingId),
}

/// How many transactions a catalog has taken. Revisions are stored in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// See the module.
pub trait Catalog: Send + Sync {
    /// Takes a transaction. Called with a vhost's topology locked, so it must not block.
    fn submit(&self, changes: Vec<Change>) -> Revision;

    /// The revision of the last transaction taken.
    fn submitted(&self) -> Revision;

    /// The revision up to which everything is stored.
    fn stored(&self) -> Revision;

    /// Calls `then` as soon as everything up to `revision` is stored; at once if it is.
    fn when_stored(&self, revision: Revision, then: Box<dyn FnOnce() + Send>);
}

/// A catalog that keeps nothing: topology lives as long as the broker.
#[derive(Debug, Default)]
pub struct Forgetful(AtomicU64);

impl Catalog for Forgetful {
    fn submit(&self, _changes: Vec<Change>) -> Revision {
        Revision(self.0.fetch_add(1, Ordering::AcqRel) + 1)
    }

    fn submitted(&self) -> Revision {
        Revision(self.0.load(Ordering::Acquire))
    }

    fn stored(&self) -> Revision {
        self.submitted()
    }

    fn when_stored(&self, _revision: Revision, then: Box<dyn FnOnce() + Send>) {
        then();
    }
}
