//! Where durable topology is kept: the one place that hears of every change to it.
//!
//! In: changes, as transactions, in the order in which they took effect. Out: a watermark, the
//! revision up to which everything is stored. A reply such as declare-ok may leave once
//! [`Catalog::submitted`], read after the change, is stored; nobody waits with a lock held. Where
//! storing fails, nothing is ever reported stored any more.

mod stored;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::stored::StoredCatalog;

use super::binding::Binding;
use super::exchange::Exchange;
use super::ids::{BindingId, ExchangeId};
use super::queue::{Queue, QueueId};
use super::vhost::Vhost;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::auth::User;

/// A change to durable topology. What is put is put whole; its id is new.
#[derive(Clone)]
pub enum Change {
    /// A vhost was added, or what is said of it changed.
    PutVhost(Arc<Vhost>),
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
    /// A durable queue or exchange was bound to a durable exchange, in the vhost of that name.
    PutBinding(Arc<str>, Arc<Binding>),
    /// Such a binding went.
    DeleteBinding(BindingId),
    /// A runtime parameter was set: vhost (empty for a global one), component, name, and its JSON.
    PutParameter([Arc<str>; 3], String),
    /// A runtime parameter was cleared.
    DeleteParameter([Arc<str>; 3]),
    /// A user was added or changed, permissions aside.
    PutUser(Arc<User>),
    /// A user was deleted.
    DeleteUser(Arc<str>),
    /// What a user may do in a vhost changed: vhost, user, and `configure`, `write`, `read`.
    PutPermission([Arc<str>; 2], [String; 3]),
    /// A user may not enter a vhost any more.
    DeletePermission([Arc<str>; 2]),
    /// Which keys a user may use changed: vhost, user, exchange, and `write`, `read`.
    PutTopicPermission([Arc<str>; 3], [String; 2]),
    /// All keys are a user's to use again.
    DeleteTopicPermission([Arc<str>; 3]),
}

/// How many transactions a catalog has taken. Revisions are stored in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// Whether what a change was about survives a restart, so that its reply waits for the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does not.
    Transient,
    /// It does, or may: everything that was changed so far is to be stored.
    Durable,
    /// It does, once everything up to that is stored.
    StoredBy(Revision),
}

impl Durability {
    /// Of something that is durable or not.
    pub fn of(is_durable: bool) -> Self {
        match is_durable {
            true => Self::Durable,
            false => Self::Transient,
        }
    }
}

/// By which revision something is stored that survives a restart; 0 for what was restored, or does not
/// survive one. Said before anybody can find it.
#[derive(Debug, Default)]
pub struct StoredBy(AtomicU64);

impl StoredBy {
    /// It was submitted with that transaction.
    pub fn set(&self, revision: Revision) {
        self.0.store(revision.0, Ordering::Release);
    }

    /// See the type.
    #[inline]
    pub fn revision(&self) -> Revision {
        Revision(self.0.load(Ordering::Acquire))
    }

    /// Whether what it belongs to survives a restart, which it does if it `is_durable`, and by when it is
    /// stored.
    pub fn durability(&self, is_durable: bool) -> Durability {
        match is_durable {
            true => Durability::StoredBy(self.revision()),
            false => Durability::Transient,
        }
    }
}

/// Why something is not stored, or would not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStored(pub Arc<str>);

impl NotStored {
    /// For clients of the management API, as [`Exception`] has it for others.
    pub const TEXT: &str = "the change can't be stored";
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotStored {}

/// For clients, who need not know what is wrong with the disk.
impl From<NotStored> for Exception {
    fn from(_: NotStored) -> Self {
        let text = "durable topology can't be stored";
        Self::new(ReplyCode::InternalError, text)
    }
}

/// What waits until something is stored. It must not block.
pub type WhenStored = Box<dyn FnOnce(Result<(), NotStored>) + Send>;

/// See the module.
pub trait Catalog: Send + Sync {
    /// Takes a transaction. Called with a vhost's topology locked, so it must not block.
    fn submit(&self, changes: Vec<Change>) -> Revision;

    /// The revision of the last transaction taken.
    fn submitted(&self) -> Revision;

    /// The revision up to which everything is stored.
    fn stored(&self) -> Revision;

    /// Calls `then` as soon as everything up to `revision` is stored, or can't be any more; at once
    /// if that is so already.
    fn when_stored(&self, revision: Revision, then: WhenStored);

    /// A number that was never given out before and never will be again, not even after a restart.
    ///
    /// # Errors
    /// Storing has failed.
    fn next_id(&self) -> Result<u64, NotStored>;

    /// Whether a change would be stored, as far as can be known before it is made.
    ///
    /// # Errors
    /// It would not: it is to be refused.
    fn check(&self) -> Result<(), NotStored> {
        match self.failure() {
            Some(failure) => Err(failure),
            None if self.is_stalled() => Err(NotStored("the disk has no room for it".into())),
            None => Ok(()),
        }
    }

    /// Why nothing is stored any more, if that is so.
    fn failure(&self) -> Option<NotStored>;

    /// Whether changes are refused for now, because the disk has no room for them.
    fn is_stalled(&self) -> bool {
        false
    }
}

/// A catalog that keeps nothing: topology lives as long as the broker.
#[derive(Debug, Default)]
pub struct Forgetful {
    revision: AtomicU64,
    id: AtomicU64,
}

impl Catalog for Forgetful {
    fn submit(&self, _changes: Vec<Change>) -> Revision {
        Revision(self.revision.fetch_add(1, Ordering::AcqRel) + 1)
    }

    fn submitted(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    fn stored(&self) -> Revision {
        self.submitted()
    }

    fn when_stored(&self, _revision: Revision, then: WhenStored) {
        then(Ok(()));
    }

    fn next_id(&self) -> Result<u64, NotStored> {
        Ok(self.id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn failure(&self) -> Option<NotStored> {
        None
    }
}
