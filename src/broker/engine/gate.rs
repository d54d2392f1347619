//! Where publishers wait for the disk: for the log to write what gathered or to become shorter, for
//! pages to be written.
//! Unlike an alarm it lasts milliseconds, and clients are not told.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

/// Why publishers wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The log has gathered more than it should.
    ForLog,
    /// Queues hold more than their windows, and it is being written.
    ForPages,
    /// The log is far longer than it should be, and is being shortened.
    ForRoom,
}

impl Waits {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What is to be done when the gate opens.
type Then = Box<dyn FnOnce() + Send>;

/// See the module.
#[derive(Default)]
pub struct Gate {
    reasons: AtomicU8,
    waiting: Mutex<Vec<Then>>,
}

impl Gate {
    /// Whether publishers should wait.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.reasons.load(Ordering::Acquire) != 0
    }

    /// There is that reason to wait, or there is none any more.
    pub fn set(&self, waits: Waits, holds: bool) {
        if holds {
            self.reasons.fetch_or(waits.bit(), Ordering::AcqRel);
            return;
        }
        let before = self.reasons.load(Ordering::Acquire);
        if before & waits.bit() == 0 {
            return;
        }
        let waiting = {
            let mut waiting = self.waiting.lock();
            let left = self.reasons.fetch_and(!waits.bit(), Ordering::AcqRel) & !waits.bit();
            if left != 0 {
                return;
            }
            std::mem::take(&mut *waiting)
        };
        waiting.into_iter().for_each(|then| then());
    }

    /// Calls `then` when the gate opens; at once if it is open.
    pub fn when_open(&self, then: Then) {
        let mut waiting = self.waiting.lock();
        if self.is_closed() {
            waiting.push(then);
        } else {
            drop(waiting);
            then();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn opens_when_the_last_reason_is_gone() {
        let gate = Gate::default();
        let opened = Arc::new(AtomicUsize::new(0));
        let count = || {
            let opened = Arc::clone(&opened);
            Box::new(move || {
                opened.fetch_add(1, Ordering::SeqCst);
            })
        };
        gate.when_open(count());
        assert_eq!(opened.load(Ordering::SeqCst), 1);
        gate.set(Waits::ForLog, true);
        gate.set(Waits::ForPages, true);
        gate.when_open(count());
        gate.set(Waits::ForLog, false);
        assert!(gate.is_closed());
        assert_eq!(opened.load(Ordering::SeqCst), 1);
        gate.set(Waits::ForPages, false);
        assert!(!gate.is_closed());
        assert_eq!(opened.load(Ordering::SeqCst), 2);
    }
}
