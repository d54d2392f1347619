//! Numbers for queues, exchanges and bindings, never used again: the catalog gives them out.
//!
//! A queue that is deleted and declared again under its old name is another queue, and what was
//! meant for the first one (a binding, a cached route, a record in the catalog) must not reach
//! the second: so they go by number. No exchange has the number of a queue.

/// Names an exchange for as long as the data folder lives; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

/// Names a binding for as long as the data folder lives; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingId(pub u64);

/// The exchanges that every vhost has are made anew at each start, and the catalog knows them by
/// their names alone: their numbers are far beyond those that it gives out.
const FIRST_SYSTEM_ID: u64 = 1 << 63;

impl ExchangeId {
    /// For one of the exchanges that every vhost has.
    pub(super) fn system(index: usize) -> Self {
        Self(FIRST_SYSTEM_ID + index as u64)
    }

    /// Whether it is one of the exchanges that every vhost has.
    pub(super) fn is_system(self) -> bool {
        self.0 >= FIRST_SYSTEM_ID
    }
}
