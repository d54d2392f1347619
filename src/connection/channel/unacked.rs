//! Deliveries that their client has not settled yet, by delivery tag.
//!
//! In: what was delivered, in the order of its tags. Out: what the client settles, one by one or
//! up to a tag. Holds always: tags grow from front to back, the front is not settled, and settled
//! entries that wait behind it are never more than the unsettled ones (plus [`SLACK`]), so that
//! one forgotten delivery does not make the list grow for ever.
//!
//! Settling the front, or the tag next to it, costs no search; tags without holes are found by
//! subtraction; only a channel that mixes acknowledged and unacknowledged consumers searches.

use std::collections::VecDeque;

/// How many settled entries may stay in the list whatever its length.
const SLACK: usize = 64;

/// An emptied list with room for more than this gives its memory back.
const KEPT_CAPACITY: usize = 4096;

/// Stands for the time of a delivery that went back to its queue.
const GIVEN_BACK: u64 = u64::MAX;

/// Marks an entry that was settled out of order.
const SETTLED: u32 = u32::MAX;

/// A delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsettled {
    /// Its delivery tag.
    pub tag: u64,
    /// Its place in its queue.
    pub sequence: u64,
    /// The slot that it went through, which knows queue and consumer.
    pub slot: u32,
    /// When it was delivered, by the broker's clock.
    pub delivered_at_ms: u64,
}

impl Unsettled {
    /// Whether it went back to its queue already, because it took too long.
    pub fn is_given_back(&self) -> bool {
        self.delivered_at_ms == GIVEN_BACK
    }

    /// Whether it has been unsettled for so long.
    pub fn is_overdue(&self, limit_ms: u64, now_ms: u64) -> bool {
        self.delivered_at_ms.saturating_add(limit_ms) <= now_ms
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    entries: VecDeque<Unsettled>,
    settled: usize,
}

impl Unacked {
    /// How many deliveries are unsettled.
    pub fn len(&self) -> usize {
        self.entries.len() - self.settled
    }

    /// The unsettled deliveries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Unsettled> {
        self.entries.iter().filter(|entry| entry.slot != SETTLED)
    }

    /// Whether any of them has been unsettled for so long, those apart that went back.
    pub fn is_overdue(&self, limit_ms: u64, now_ms: u64) -> bool {
        let oldest = self.iter().find(|entry| !entry.is_given_back());
        oldest.is_some_and(|oldest| oldest.is_overdue(limit_ms, now_ms))
    }

    /// A delivery went back to its queue: it stays here until its client settles it all the same.
    pub fn mark_given_back(&mut self, tag: u64) {
        if let Some(entry) = self.position(tag).and_then(|at| self.entries.get_mut(at)) {
            entry.delivered_at_ms = GIVEN_BACK;
        }
    }

    /// A delivery; its tag is higher than all before.
    pub fn push(&mut self, delivery: Unsettled) {
        debug_assert!(
            self.entries
                .back()
                .is_none_or(|last| last.tag < delivery.tag)
        );
        self.entries.push_back(delivery);
    }

    /// Takes out one delivery; None if the tag is not of an unsettled one.
    pub fn take(&mut self, tag: u64) -> Option<Unsettled> {
        let index = self.position(tag)?;
        let taken = *self.entries.get(index)?;
        if index == 0 {
            self.entries.pop_front();
            self.drop_settled_front();
        } else if index + 1 == self.entries.len() {
            self.entries.pop_back();
        } else if let Some(entry) = self.entries.get_mut(index) {
            entry.slot = SETTLED;
            self.settled += 1;
            self.compact();
        }
        Some(taken)
    }

    /// Takes out that delivery and all before it, oldest first. False, and nothing taken, if the
    /// tag is not of an unsettled one.
    pub fn take_up_to(&mut self, tag: u64, mut taken: impl FnMut(Unsettled)) -> bool {
        let Some(index) = self.position(tag) else {
            return false;
        };
        for entry in self.entries.drain(..=index) {
            if entry.slot == SETTLED {
                self.settled -= 1;
            } else {
                taken(entry);
            }
        }
        self.drop_settled_front();
        true
    }

    /// Takes out everything, oldest first.
    pub fn take_all(&mut self, mut taken: impl FnMut(Unsettled)) {
        self.settled = 0;
        self.entries
            .drain(..)
            .filter(|entry| entry.slot != SETTLED)
            .for_each(&mut taken);
        self.drop_settled_front();
    }

    /// Puts back what was taken out, in any order.
    pub fn put_back(&mut self, deliveries: impl IntoIterator<Item = Unsettled>) {
        self.entries.retain(|entry| entry.slot != SETTLED);
        self.settled = 0;
        self.entries.extend(deliveries);
        self.entries
            .make_contiguous()
            .sort_unstable_by_key(|entry| entry.tag);
    }

    fn position(&self, tag: u64) -> Option<usize> {
        let first = self.entries.front()?;
        // Tags grow by at least one from entry to entry, so this is the furthest it can be.
        let furthest = usize::try_from(tag.checked_sub(first.tag)?).unwrap_or(usize::MAX);
        let furthest = furthest.min(self.entries.len() - 1);
        let guess = self.entries.get(furthest)?;
        let index = if guess.tag == tag {
            furthest
        } else {
            self.entries
                .binary_search_by_key(&tag, |entry| entry.tag)
                .ok()?
        };
        (self.entries.get(index)?.slot != SETTLED).then_some(index)
    }

    fn drop_settled_front(&mut self) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.slot == SETTLED)
        {
            self.entries.pop_front();
            self.settled -= 1;
        }
        if self.entries.is_empty() && self.entries.capacity() > KEPT_CAPACITY {
            self.entries = VecDeque::new();
        }
    }

    fn compact(&mut self) {
        if self.settled > SLACK + self.len() {
            self.entries.retain(|entry| entry.slot != SETTLED);
            self.settled = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn delivery(tag: u64) -> Unsettled {
        Unsettled {
            tag,
            sequence: tag * 10,
            slot: (tag % 3) as u32,
            delivered_at_ms: tag,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Deliver { skipped_tags: u64 },
        Take(u64),
        TakeUpTo(u64),
        TakeAll,
        TakeAndPutBack(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..3u64).prop_map(|skipped_tags| Step::Deliver { skipped_tags }),
            8 => (0..200u64).prop_map(Step::Take),
            1 => (0..200u64).prop_map(Step::TakeUpTo),
            1 => Just(Step::TakeAll),
            1 => (0..200u64).prop_map(Step::TakeAndPutBack),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_an_ordered_map(steps in prop::collection::vec(step(), 1..400)) {
            let mut unacked = Unacked::default();
            let mut model = BTreeMap::new();
            let mut next_tag = 1;
            for step in steps {
                match step {
                    Step::Deliver { skipped_tags } => {
                        next_tag += skipped_tags;
                        unacked.push(delivery(next_tag));
                        model.insert(next_tag, delivery(next_tag));
                        next_tag += 1;
                    }
                    Step::Take(tag) => prop_assert_eq!(unacked.take(tag), model.remove(&tag)),
                    Step::TakeUpTo(tag) => {
                        let mut taken = Vec::new();
                        let found = unacked.take_up_to(tag, |entry| taken.push(entry));
                        prop_assert_eq!(found, model.contains_key(&tag));
                        if found {
                            let rest = model.split_off(&(tag + 1));
                            prop_assert_eq!(taken, model.into_values().collect::<Vec<_>>());
                            model = rest;
                        } else {
                            prop_assert!(taken.is_empty());
                        }
                    }
                    Step::TakeAll => {
                        let mut taken = Vec::new();
                        unacked.take_all(|entry| taken.push(entry));
                        prop_assert_eq!(taken, std::mem::take(&mut model).into_values().collect::<Vec<_>>());
                    }
                    Step::TakeAndPutBack(tag) => {
                        let first = unacked.take(tag);
                        let mut rest = Vec::new();
                        unacked.take_up_to(tag / 2, |entry| rest.push(entry));
                        unacked.put_back(first.into_iter().chain(rest));
                    }
                }
                prop_assert_eq!(unacked.len(), model.len());
                prop_assert!(unacked.iter().eq(model.values()));
                prop_assert!(unacked.entries.len() <= 2 * unacked.len() + SLACK + 1);
            }
        }
    }

    #[test]
    fn one_forgotten_delivery_keeps_the_list_short() {
        let mut unacked = Unacked::default();
        unacked.push(delivery(1));
        for tag in 2..100_000 {
            unacked.push(delivery(tag));
            unacked.push(delivery(tag + 100_000));
            assert_eq!(unacked.take(tag), Some(delivery(tag)));
            assert_eq!(unacked.take(tag + 100_000), Some(delivery(tag + 100_000)));
            assert!(unacked.entries.len() <= SLACK + 4);
        }
        assert_eq!(unacked.len(), 1);
    }
}
