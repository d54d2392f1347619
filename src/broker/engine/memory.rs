//! How much memory messages take, against a limit.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// See the module.
#[derive(Debug)]
pub struct MemoryGauge {
    used_bytes: AtomicI64,
    limit_bytes: i64,
    over: AtomicBool,
}

impl MemoryGauge {
    /// Nothing used so far.
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            used_bytes: AtomicI64::new(0),
            limit_bytes: i64::try_from(limit_bytes).unwrap_or(i64::MAX),
            over: AtomicBool::new(false),
        }
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed).max(0) as u64
    }

    /// The limit in bytes.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes as u64
    }

    /// Adds; says whether the limit is now passed if that changed. It clears at nine tenths of
    /// the limit, so that it does not flutter.
    pub(super) fn add(&self, bytes: i64) -> Option<bool> {
        let used = self.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let was_over = self.over.load(Ordering::Relaxed);
        let over = if was_over {
            used > self.limit_bytes / 10 * 9
        } else {
            used > self.limit_bytes
        };
        (over != was_over && self.over.swap(over, Ordering::Relaxed) != over).then_some(over)
    }
}
