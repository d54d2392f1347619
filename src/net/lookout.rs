//! Looking out for what a lone publisher sends next, instead of going to sleep.
//!
//! A publisher that waits for each confirm before it sends the next message pays for every thread
//! that has to be woken on the way. While it is at it, its connection's task keeps its worker awake,
//! for a moment that is about as long as a disk takes. Whatever else the worker has to do goes first.
//! Few connections do so at a time: where there are many, workers do not sleep anyway.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// So long it is looked out for the next message, if the last one came as quickly.
const MOMENT: Duration = Duration::from_micros(400);

/// How many connections may still look out.
#[derive(Debug, Default)]
pub(super) struct Lookouts(AtomicUsize);

/// Leave to look out; given back when it is dropped.
#[derive(Debug)]
struct Leave(Arc<Lookouts>);

/// What one connection does. See the module.
#[derive(Debug)]
pub(super) struct Lookout {
    lookouts: Arc<Lookouts>,
    /// When a lone message was published last.
    published: Option<Instant>,
    leave: Option<(Leave, Instant)>,
}

impl Lookouts {
    /// For so many connections at a time.
    pub fn new(connections: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(connections)))
    }

    fn leave(self: &Arc<Self>) -> Option<Leave> {
        let taken = self
            .0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        taken.ok().map(|_| Leave(Arc::clone(self)))
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Lookout {
    pub fn new(lookouts: &Arc<Lookouts>) -> Self {
        Self {
            lookouts: Arc::clone(lookouts),
            published: None,
            leave: None,
        }
    }

    /// A message was published alone and waits for the disk.
    pub fn published(&mut self, now: Instant) {
        let before = self.published.replace(now);
        let is_brisk = before.is_some_and(|before| now.duration_since(before) < MOMENT);
        let leave = self.leave.take().map(|(leave, _)| leave);
        if is_brisk && let Some(leave) = leave.or_else(|| self.lookouts.leave()) {
            self.leave = Some((leave, now + MOMENT));
        }
    }

    /// Whether to look out still.
    pub fn goes_on(&mut self, now: Instant) -> bool {
        self.leave.take_if(|(_, until)| *until <= now);
        self.leave.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_out_for_a_moment_after_messages_that_follow_each_other() {
        let mut lookout = Lookout::new(&Lookouts::new(1));
        let start = Instant::now();
        lookout.published(start);
        assert!(!lookout.goes_on(start), "nobody knows that more will come");
        lookout.published(start + MOMENT / 2);
        assert!(lookout.goes_on(start + MOMENT));
        assert!(!lookout.goes_on(start + MOMENT / 2 + MOMENT));
        lookout.published(start + 4 * MOMENT);
        assert!(!lookout.goes_on(start + 4 * MOMENT), "it came too late");
    }

    #[test]
    fn only_so_many_look_out_at_a_time() {
        let lookouts = Lookouts::new(1);
        let now = Instant::now();
        let busy = || {
            let mut lookout = Lookout::new(&lookouts);
            lookout.published(now);
            lookout.published(now);
            lookout
        };
        let mut first = busy();
        assert!(first.goes_on(now));
        assert!(!busy().goes_on(now));
        first.published(now);
        assert!(first.goes_on(now), "it keeps its leave");
        drop(first);
        let mut second = busy();
        assert!(second.goes_on(now));
        assert!(!second.goes_on(now + MOMENT));
        assert!(busy().goes_on(now), "one that is over gives its leave back");
        assert!(!Lookout::new(&Lookouts::new(0)).goes_on(now));
    }
}
