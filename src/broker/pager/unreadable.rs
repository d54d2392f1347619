//! Chunks that the disk does not give. Another disk, or this one after a repair, may still have them: so they
//! are not lost, their queue waits, and they are tried again, soon at first and then ever more rarely, for
//! as long as the queue needs them. A restart tries anew.
//!
//! After some tries it is told, in the log once and on the pages for as long as it lasts.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::reading::{Load, is_shortage};
use crate::broker::queue::{Queue, Then};
use crate::store::unreadable::UnreadableChunk;

/// A chunk that could not be read so often is told of.
pub(super) const MOST_TRIES: u32 = 10;
/// No longer than that passes between two tries.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Unreadable {
    /// By when they are tried again, and in which order they came.
    loads: BTreeMap<(Instant, u64), Load>,
    next: u64,
    /// How long the first rests are.
    rest: Duration,
}

impl Unreadable {
    pub fn new(rest: Duration) -> Self {
        Self {
            loads: BTreeMap::new(),
            next: 0,
            rest,
        }
    }

    /// When something is to be tried again.
    pub fn due_at(&self) -> Option<Instant> {
        self.loads.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out what is to be tried again now.
    pub fn take_due(&mut self, now: Instant) -> Vec<Load> {
        let later = self.loads.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.loads, later)
            .into_values()
            .collect()
    }

    /// A chunk of that queue could not be read. Gives whoever waits for it and is to wait no more.
    pub fn add(&mut self, load: Load, queue: &Arc<Queue>, error: &io::Error) -> Vec<Then> {
        let mut load = Load {
            tries: load.tries.saturating_add(1),
            ..load
        };
        let mut waiting = Vec::new();
        // Too little of something says nothing of what is stored.
        if load.tries >= MOST_TRIES && load.told.is_none() && !is_shortage(error) {
            let entry = &load.stored.entry;
            let concerned = queue.concerned();
            let what = format!(
                "queue {:?} in vhost {:?} waits: {} records from {} on can't be read ({} bytes at {} of \
                 segment {}): {error}",
                concerned.name,
                concerned.vhost,
                entry.records,
                entry.first,
                entry.bytes,
                entry.offset,
                load.stored.segment.number
            );
            let chunk = UnreadableChunk {
                what,
                queue: concerned,
            };
            let unreadable = &queue.engine().store.unreadable;
            load.told = Some(unreadable.tell(load.stored.place(), chunk));
            waiting = queue.cannot_read(&load.stored);
        } else if load.tries == 1 {
            tracing::warn!(%error, queue = ?queue.name(), "messages can't be read; trying again");
        }
        let rest = self.rest_after(load.tries);
        self.loads.insert((Instant::now() + rest, self.next), load);
        self.next += 1;
        waiting
    }

    fn rest_after(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(MOST_TRIES).min(16);
        (self.rest * (1 << doublings)).min(LONGEST_REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_once_it_is_told() {
        let unreadable = Unreadable::new(Duration::from_millis(100));
        let rests = [1, 10, 11, 13, 16, 17, 18, 1000].map(|tries| unreadable.rest_after(tries));
        let rests = rests.map(|rest| rest.as_millis());
        assert_eq!(rests, [100, 100, 200, 800, 6400, 10_000, 10_000, 10_000]);
    }
}
