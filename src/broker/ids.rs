//! Numbers for queues, exchanges and bindings: one counter for all of them, never used again.
//!
//! A queue that is deleted and declared again under its old name is another queue, and what was
//! meant for the first one (a binding, a cached route, a record in the catalog) must not reach
//! the second: so they go by number.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names an exchange for as long as the data folder lives; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

/// Names a binding for as long as the data folder lives; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingId(pub u64);

/// See the module. One per broker.
#[derive(Debug)]
pub struct Ids(AtomicU64);

impl Ids {
    /// Numbers from `first` on: past the highest that was ever given out.
    pub fn starting_at(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    /// A fresh number.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
