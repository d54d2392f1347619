//! When the log is to be brought to rest: nobody has appended for a while, and it was not done since.

use std::time::{Duration, Instant};

use crate::broker::log::Log;

/// See the module.
pub(super) struct Rest {
    /// The index that the next record had when that was last looked at, and since when it is that.
    next_index: u64,
    since: Instant,
    /// Which it was when the log was brought to rest.
    rested_at: Option<u64>,
}

impl Rest {
    pub fn new() -> Self {
        Self {
            next_index: 0,
            since: Instant::now(),
            rested_at: None,
        }
    }

    /// Whether it is time, if nothing was appended for so long.
    pub fn is_due(&mut self, log: &dyn Log, after: Duration) -> bool {
        let next_index = log.next_index();
        if next_index != self.next_index {
            self.next_index = next_index;
            self.since = Instant::now();
            return false;
        }
        let has_rested = self.rested_at == Some(next_index);
        !has_rested && self.since.elapsed() >= after && log.failure().is_none()
    }

    /// It was done; what was appended for that is no reason to do it again.
    pub fn done(&mut self, log: &dyn Log) {
        self.next_index = log.next_index();
        self.rested_at = Some(self.next_index);
    }

    /// It could not be done: it is tried again after a while.
    pub fn failed(&mut self) {
        self.since = Instant::now();
    }
}
