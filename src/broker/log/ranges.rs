//! A set of numbers as ranges, for what the log says is settled.

use std::collections::BTreeMap;

/// See the module. Ranges neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds the numbers from `first` to `last`.
    pub fn insert(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last);
        // Everything that begins at or before the number behind it and reaches the one before it.
        while let Some((&start, &end)) = self.0.range(..=last.saturating_add(1)).next_back()
            && end.saturating_add(1) >= first
        {
            self.0.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.0.insert(first, last);
    }

    /// Whether it has the number.
    pub fn contains(&self, number: u64) -> bool {
        let before = self.0.range(..=number).next_back();
        before.is_some_and(|(_, last)| *last >= number)
    }

    /// The highest number.
    pub fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, last)| *last)
    }

    /// The ranges that have numbers from `first` to `last`, cut to these.
    pub fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
        let before = self.0.range(..first).next_back();
        let from = before.map_or(first, |(start, _)| *start);
        let ranges = self.0.range(from..=last);
        ranges
            .map(move |(start, end)| (first.max(*start), last.min(*end)))
            .filter(|(start, end)| start <= end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(ranges in prop::collection::vec((0..200u64, 0..30u64), 0..40), first in 0..250u64, more in 0..50u64) {
            let (mut set, mut model) = (Ranges::default(), BTreeSet::new());
            for (first, more) in ranges {
                set.insert(first, first + more);
                model.extend(first..=first + more);
                let ends: Vec<_> = set.0.iter().map(|(first, last)| (*first, *last)).collect();
                prop_assert!(ends.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            }
            for number in 0..260 {
                prop_assert_eq!(set.contains(number), model.contains(&number));
            }
            prop_assert_eq!(set.last(), model.last().copied());
            let within: Vec<u64> = set.within(first, first + more).flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(within, model.range(first..=first + more).copied().collect::<Vec<_>>());
        }
    }
}
