//! Who has changed a queue and not yet appended the record of it. Whoever wants to know that the
//! log has everything that a queue shows waits for those who were under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
/// See the module. Two counters that take turns: new flights count in one while those in the other
/// come to their end.
#[derive(Debug, Default)]
pub struct Flights {
    epoch: AtomicUsize,
    counts: [AtomicUsize; 2],
}

/// Somebody under way, until it is dropped.
#[derive(Debug)]
pub struct Flight {
    flights: Arc<Flights>,
    epoch: usize,
}

impl Flights {
    /// Sets out. Called under the lock of the queue that is changed, before the change shows.
    pub fn begin(self: &Arc<Self>) -> Flight {
        loop {
            let epoch = self.epoch.load(Ordering::SeqCst);
            self.counts[epoch % 2].fetch_add(1, Ordering::SeqCst);
            if self.epoch.load(Ordering::SeqCst) == epoch {
                return Flight {
                    flights: Arc::clone(self),
                    epoch,
                };
            }
            self.counts[epoch % 2].fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Waits for everybody who is under way now: most flights take microseconds. `pause` is called
    /// between two looks. One caller at a time; never a worker thread, and never with a lock held.
    pub fn wait(&self, pause: &mut dyn FnMut()) {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst);
        while self.counts[epoch % 2].load(Ordering::SeqCst) > 0 {
            pause();
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.counts[self.epoch % 2].fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn waits_for_those_before_and_not_for_those_behind() {
        let flights = Arc::new(Flights::default());
        let before = flights.begin();
        let landed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                flights.wait(&mut std::thread::yield_now);
                assert!(landed.load(Ordering::SeqCst));
            });
            while flights.epoch.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let behind = flights.begin();
            landed.store(true, Ordering::SeqCst);
            drop(before);
            waiting.join().expect("it waited");
            drop(behind);
        });
        flights.wait(&mut || panic!("nobody is under way"));
    }
}
