//! How much memory messages take, against a limit.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

/// See the module.
#[derive(Debug)]
pub struct MemoryGauge {
    used_bytes: AtomicI64,
    limit_bytes: i64,
    /// Whether the alarm is on, for a look without the lock.
    over: AtomicBool,
    /// Held while the alarm is switched, so that the last switch tells of the latest count.
    switching: Mutex<()>,
}

impl MemoryGauge {
    /// Nothing used so far.
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            used_bytes: AtomicI64::new(0),
            limit_bytes: i64::try_from(limit_bytes).unwrap_or(i64::MAX),
            over: AtomicBool::new(false),
            switching: Mutex::new(()),
        }
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::SeqCst).max(0) as u64
    }

    /// The limit in bytes.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes as u64
    }

    /// Adds, and calls `switch` if the limit is passed now and was not, or the other way round. It
    /// counts as passed until nine tenths of the limit, so that it does not flutter.
    ///
    /// Whoever adds looks at the alarm afterwards, and whoever switches it looks at the count once
    /// more afterwards: of two who meet, one sees the other.
    pub(super) fn add(&self, bytes: i64, mut switch: impl FnMut(bool)) {
        self.used_bytes.fetch_add(bytes, Ordering::SeqCst);
        while self.is_wrong() {
            let _switching = self.switching.lock();
            if self.is_wrong() {
                let over = !self.over.load(Ordering::SeqCst);
                switch(over);
                self.over.store(over, Ordering::SeqCst);
            }
        }
    }

    /// Whether the alarm is on and should be off, or off and should be on.
    fn is_wrong(&self) -> bool {
        let used_bytes = self.used_bytes.load(Ordering::SeqCst);
        match self.over.load(Ordering::SeqCst) {
            true => used_bytes <= self.limit_bytes / 10 * 9,
            false => used_bytes > self.limit_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Whoever meets whom: when all have let go of what they added, the alarm is off, and it was
    /// never switched to what it was.
    #[test]
    fn the_last_switch_tells_of_the_latest_count() {
        for _ in 0..200 {
            let gauge = MemoryGauge::new(1_000);
            let alarm = AtomicBool::new(false);
            let switches = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            for bytes in [600, 600, -1_200] {
                                gauge.add(bytes, |over| {
                                    assert_ne!(alarm.swap(over, Ordering::SeqCst), over);
                                    switches.fetch_add(1, Ordering::SeqCst);
                                });
                            }
                        }
                    });
                }
            });
            assert_eq!(gauge.used_bytes(), 0);
            assert!(!alarm.load(Ordering::SeqCst));
            assert!(switches.load(Ordering::SeqCst) > 0);
        }
    }
}
