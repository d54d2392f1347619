//! The catalog: topology, users, permissions, parameters, and which segments queues have.
//! Transactional, in an embedded key-value library (redb).
//!
//! ```text
//! submit(change) ─▶ commit.rs: one thread, one transaction for all that gathered ─▶ Stored
//!                    tables.rs, records.rs: what is kept and how
//! open.rs: whole, of a known format, or not at all      backend.rs: on the store's disk
//!                    room.rs: on the disk, ahead        overlay.rs: for looking only
//! ```
//!
//! A change is stored or not, never in part; once [`Stored`] says so, it survives. Changes are
//! applied in the order in which they were submitted.

mod backend;
mod commit;
mod open;
mod overlay;
mod records;
mod room;
mod tables;

use std::fmt;
use std::io;
use std::sync::Arc;

use self::open::Use;
use super::disk::Disk;

pub use self::commit::{Answer, Catalog, Stored};
pub use self::open::FORMAT;
pub use self::records::{
    BindingRecord, ChunkMark, DamageRecord, ExchangeRecord, ParameterRecord, PermissionRecord,
    QueueRecord, SeenRecord, SegmentRecord, TopicPermissionRecord, UserRecord, VhostRecord,
};
pub use self::tables::{Contents, Op};

/// What changes in one transaction, in this order.
pub type Change = Vec<Op>;

/// What is wrong with the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogError {
    /// There is none.
    Missing,
    /// It was written by a newer program.
    NewerFormat(u64),
    /// It is not what was written.
    Damaged(String),
    /// The disk, or the library, failed; nothing more is stored.
    Failed(String),
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the data folder has no catalog (catalog.redb)"),
            Self::NewerFormat(format) => write!(
                f,
                "the catalog has format {format}, which is newer than this program knows"
            ),
            Self::Damaged(what) => write!(f, "the catalog (catalog.redb) is damaged: {what}"),
            Self::Failed(what) => write!(f, "the catalog has failed: {what}"),
        }
    }
}

impl std::error::Error for CatalogError {}

impl From<io::Error> for CatalogError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<redb::Error> for CatalogError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Damaged("its file ends too early".to_owned())
            }
            redb::Error::Io(error) => Self::Failed(error.to_string()),
            redb::Error::Corrupted(what) => Self::Damaged(what),
            redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::UpgradeRequired(_) => Self::Damaged(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for CatalogError {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}
from_redb!(
    DatabaseError,
    TransactionError,
    TableError,
    StorageError,
    CommitError
);

impl Catalog {
    /// Makes an empty catalog where there is none. It is durable once the folder is synced.
    ///
    /// # Errors
    /// The disk's.
    pub fn create(disk: &dyn Disk) -> Result<(), CatalogError> {
        open::create(disk)
    }

    /// Whether there is a catalog.
    ///
    /// # Errors
    /// The disk's.
    pub fn exists(disk: &dyn Disk) -> Result<bool, CatalogError> {
        open::exists(disk)
    }

    /// Opens the catalog and reads everything.
    ///
    /// # Errors
    /// See [`CatalogError`]. Nothing is changed then.
    pub fn open(disk: Arc<dyn Disk>) -> Result<(Self, Contents), CatalogError> {
        if !open::exists(&*disk)? {
            return Err(CatalogError::Missing);
        }
        commit::start(open::open(&*disk, Use::Write)?)
    }

    /// Reads everything, for a look at a stopped folder. Changes nothing in it.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub fn inspect(disk: &dyn Disk) -> Result<Contents, CatalogError> {
        if !open::exists(disk)? {
            return Err(CatalogError::Missing);
        }
        Ok(open::open(disk, Use::Look)?.contents)
    }
}
