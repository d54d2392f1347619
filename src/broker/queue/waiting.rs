//! Messages of a queue that wait until a time: taken, so that nobody is given them, and not settled.
//!
//! What is kept of each is when it is due and where it is, 16 bytes; the message is in its chunk, in memory
//! or not. Taking the next one and adding one cost a logarithm of how many there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A heap with room for more than this, and four times what it holds, gives its memory back.
const KEPT_CAPACITY: usize = 1024;

/// See the module. Of those with one due time the lowest sequence comes first.
#[derive(Default)]
pub(super) struct Waiting(BinaryHeap<Reverse<(u64, u64)>>);

impl Waiting {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The message with that sequence is due then, in milliseconds since 1970.
    pub fn push(&mut self, due_ms: u64, sequence: u64) {
        self.0.push(Reverse((due_ms, sequence)));
    }

    /// When the next one is due.
    pub fn next_ms(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((due_ms, _))| *due_ms)
    }

    /// Takes out the next one, if it is due by then.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<u64> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let Reverse((_, sequence)) = self.0.pop()?;
        if self.0.capacity() > KEPT_CAPACITY.max(self.0.len() * 4) {
            self.0.shrink_to(self.0.len() * 2);
        }
        Some(sequence)
    }

    /// Takes out all: where they are, in order, and when they are due.
    pub fn take_all(&mut self) -> Vec<(u64, u64)> {
        let mut all: Vec<_> = self.iter().collect();
        self.clear();
        all.sort_unstable();
        all
    }

    /// Where they are, and when they are due, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0
            .iter()
            .map(|Reverse((due_ms, sequence))| (*sequence, *due_ms))
    }

    /// Nobody waits any more.
    pub fn clear(&mut self) {
        self.0 = BinaryHeap::new();
    }

    /// What it takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u64, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is a sorted list.
        #[test]
        fn gives_what_is_due_in_order(
            steps in prop::collection::vec((0..50u64, prop::option::of(0..60u64)), 0..300),
        ) {
            let mut waiting = Waiting::default();
            let mut model: Vec<(u64, u64)> = Vec::new();
            for (sequence, (due_ms, now_ms)) in steps.into_iter().enumerate() {
                waiting.push(due_ms, sequence as u64);
                model.push((due_ms, sequence as u64));
                model.sort_unstable();
                prop_assert_eq!(waiting.next_ms(), model.first().map(|(due_ms, _)| *due_ms));
                let Some(now_ms) = now_ms else { continue };
                while let Some(sequence) = waiting.pop_due(now_ms) {
                    prop_assert_eq!(model.remove(0).1, sequence);
                }
                prop_assert!(model.first().is_none_or(|(due_ms, _)| *due_ms > now_ms));
                prop_assert_eq!(waiting.len(), model.len());
            }
        }
    }
}
