//! What is safe, and who waits to hear of it. One watermark, not a future per message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Is told when what it waits for is safe. Called without any of the journal's locks, from its
/// storage thread: it must not block and not take long.
pub trait SafeListener: Send + Sync {
    /// Everything up to `safe_index` is safe. One call, whatever the listener waited for.
    fn safe(&self, safe_index: u64);

    /// The journal has failed: nothing more will become safe.
    fn failed(&self);
}

/// What [`Journal::notify_when_safe`](super::Journal::notify_when_safe) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Safety {
    /// It is safe already; the listener will not be called for it.
    Safe,
    /// The listener will be called.
    Waiting,
    /// The journal has failed before it became safe; the listener will not be called.
    Failed,
}

#[derive(Default)]
pub(super) struct Safeties {
    safe: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Sorted by index.
    listeners: VecDeque<(u64, Arc<dyn SafeListener>)>,
    has_failed: bool,
}

impl Safeties {
    pub fn new(safe_index: u64) -> Self {
        Self {
            safe: AtomicU64::new(safe_index),
            ..Self::default()
        }
    }

    pub fn safe_index(&self) -> u64 {
        self.safe.load(Ordering::Acquire)
    }

    pub fn register(&self, index: u64, listener: Arc<dyn SafeListener>) -> Safety {
        let mut waiting = self.waiting.lock();
        if index <= self.safe_index() {
            return Safety::Safe;
        }
        if waiting.has_failed {
            return Safety::Failed;
        }
        // Nearly always the highest yet.
        let at = waiting.listeners.partition_point(|(at, _)| *at <= index);
        waiting.listeners.insert(at, (index, listener));
        Safety::Waiting
    }

    /// Raises the watermark and calls whoever waited for it.
    pub fn advance(&self, safe_index: u64) {
        let ready = {
            let mut waiting = self.waiting.lock();
            if waiting.has_failed {
                return;
            }
            self.safe.fetch_max(safe_index, Ordering::AcqRel);
            let count = waiting
                .listeners
                .partition_point(|(index, _)| *index <= safe_index);
            waiting.listeners.drain(..count).collect::<Vec<_>>()
        };
        for listener in distinct(ready) {
            listener.safe(safe_index);
        }
    }

    /// What was safe above it is not there any more.
    pub fn truncate(&self, last_index: u64) {
        let _waiting = self.waiting.lock();
        self.safe.fetch_min(last_index, Ordering::AcqRel);
    }

    /// Nothing becomes safe any more.
    pub fn fail(&self) {
        let all = {
            let mut waiting = self.waiting.lock();
            waiting.has_failed = true;
            waiting.listeners.drain(..).collect::<Vec<_>>()
        };
        for listener in distinct(all) {
            listener.failed();
        }
    }
}

/// Each listener once.
fn distinct(
    listeners: Vec<(u64, Arc<dyn SafeListener>)>,
) -> impl Iterator<Item = Arc<dyn SafeListener>> {
    let mut listeners: Vec<_> = listeners
        .into_iter()
        .map(|(_, listener)| (Arc::as_ptr(&listener).cast::<()>().addr(), listener))
        .collect();
    listeners.sort_unstable_by_key(|(address, _)| *address);
    listeners.dedup_by_key(|(address, _)| *address);
    listeners.into_iter().map(|(_, listener)| listener)
}
