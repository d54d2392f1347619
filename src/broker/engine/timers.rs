//! When queues want to be woken: one ordered list for all of them, at millisecond grain.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Clock;
use crate::broker::Queue;

/// Longest sleep in one go, so that a wall clock that is set forward is noticed.
const LONGEST_SLEEP_MS: u64 = 1_000;

/// See the module.
#[derive(Default)]
pub struct Timers {
    due: Mutex<BTreeMap<(u64, u64), Weak<Queue>>>,
    earlier: Notify,
}

impl Timers {
    /// Wakes the queue with that number at `due_ms`. May be called with a queue's lock held.
    pub fn schedule(&self, due_ms: u64, number: u64, queue: Weak<Queue>) {
        let mut due = self.due.lock();
        let is_first = due
            .first_key_value()
            .is_none_or(|((first_ms, _), _)| due_ms < *first_ms);
        due.insert((due_ms, number), queue);
        drop(due);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// The queue no longer wants to be woken at that time.
    pub fn cancel(&self, due_ms: u64, number: u64) {
        self.due.lock().remove(&(due_ms, number));
    }

    /// Waits until somebody is due, and takes them out.
    pub async fn wait_due(&self, clock: &Clock) -> Vec<Weak<Queue>> {
        loop {
            let now_ms = clock.now_ms();
            let due = self.take_due(now_ms);
            if !due.is_empty() {
                return due;
            }
            let next_ms = self
                .due
                .lock()
                .first_key_value()
                .map(|((due_ms, _), _)| *due_ms);
            match next_ms {
                None => self.earlier.notified().await,
                Some(due_ms) => {
                    let sleep_ms = due_ms.saturating_sub(now_ms).clamp(1, LONGEST_SLEEP_MS);
                    let sleep = tokio::time::sleep(Duration::from_millis(sleep_ms));
                    tokio::select! {
                        () = self.earlier.notified() => {}
                        () = sleep => {}
                    }
                }
            }
        }
    }

    /// Takes out everybody who is due at `now_ms`.
    pub fn take_due(&self, now_ms: u64) -> Vec<Weak<Queue>> {
        let mut due = self.due.lock();
        let later = due.split_off(&(now_ms + 1, 0));
        std::mem::replace(&mut *due, later).into_values().collect()
    }
}
