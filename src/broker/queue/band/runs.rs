//! Numbers, each with how often its message came back, as runs of successive numbers with the same
//! count: what came back together takes no more than one of them does.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::broker::log::Returns;

/// What a run takes in memory, roughly, in bytes.
const RUN_BYTES: usize = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    last: u64,
    returns: Returns,
}

/// See the module. Runs do not overlap, and those that touch have different counts.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct Runs {
    /// By the first number.
    runs: BTreeMap<u64, Run>,
    /// How many numbers there are.
    len: u64,
}

impl Runs {
    /// How many numbers there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What they take in memory, roughly, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.runs.len() * RUN_BYTES
    }

    /// Whether the number is there.
    pub fn contains(&self, number: u64) -> bool {
        self.get(number).is_some()
    }

    /// The count of a number; None if it is not there.
    pub fn get(&self, number: u64) -> Option<Returns> {
        let (_, run) = self.runs.range(..=number).next_back()?;
        (run.last >= number).then_some(run.returns)
    }

    /// The highest number.
    pub fn last(&self) -> Option<u64> {
        self.runs.last_key_value().map(|(_, run)| run.last)
    }

    /// The lowest number, and its count.
    pub fn first(&self) -> Option<(u64, Returns)> {
        let (first, run) = self.runs.first_key_value()?;
        Some((*first, run.returns))
    }

    /// The runs in order: their numbers, and the count of each of these.
    pub fn iter(&self) -> impl Iterator<Item = (RangeInclusive<u64>, Returns)> {
        let runs = self.runs.iter();
        runs.map(|(first, run)| (*first..=run.last, run.returns))
    }

    /// Adds the numbers from `first` to `last`, none of which is there.
    pub fn insert(&mut self, first: u64, last: u64, returns: Returns) {
        self.len += last - first + 1;
        let (mut first, mut last) = (first, last);
        if let Some((&before, run)) = self.runs.range_mut(..first).next_back()
            && run.last + 1 == first
            && run.returns == returns
        {
            first = before;
        }
        if let Some(behind) = self.runs.get(&(last + 1))
            && behind.returns == returns
        {
            let behind = behind.last;
            self.runs.remove(&(last + 1));
            last = behind;
        }
        self.runs.insert(first, Run { last, returns });
    }

    /// Adds the numbers from `first` to `last`; of those that are there the later count holds.
    pub fn raise(&mut self, first: u64, last: u64, returns: Returns) {
        let mut before = Vec::new();
        let from = self.runs.range(..first).next_back();
        let from = from.map_or(first, |(start, _)| *start);
        for (&start, run) in self.runs.range(from..=last) {
            if run.last >= first {
                before.push((start.max(first), run.last.min(last), run.returns));
            }
        }
        self.remove(first, last);
        let mut next = first;
        for (start, end, known) in before {
            if next < start {
                self.insert(next, start - 1, returns);
            }
            self.insert(start, end, known.later(returns));
            next = end + 1;
        }
        if next <= last {
            self.insert(next, last, returns);
        }
    }

    /// Removes those from `first` to `last` that are there.
    pub fn remove(&mut self, first: u64, last: u64) {
        while let Some((&start, &run)) = self.runs.range(..=last).next_back()
            && run.last >= first
        {
            self.runs.remove(&start);
            self.len -= run.last.min(last) - start.max(first) + 1;
            if run.last > last {
                self.runs.insert(last + 1, run);
            }
            if start < first {
                let last = first - 1;
                self.runs.insert(start, Run { last, ..run });
            }
        }
    }

    /// Removes the lowest run, or so many of its numbers.
    pub fn pop_first(&mut self, most: u64) -> Option<(RangeInclusive<u64>, Returns)> {
        let (&first, &run) = self.runs.first_key_value()?;
        let last = run.last.min(first.saturating_add(most - 1));
        self.runs.pop_first();
        self.len -= last - first + 1;
        if last < run.last {
            self.runs.insert(last + 1, run);
        }
        Some((first..=last, run.returns))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn returns() -> impl Strategy<Value = Returns> {
        (0..3u32, 0..2u32).prop_map(|(all, failures)| Returns { all, failures })
    }

    proptest! {
        #[test]
        fn behave_as_a_map(
            steps in prop::collection::vec((0..5u8, 0..100u64, 0..12u64, returns()), 0..80),
        ) {
            let (mut runs, mut model) = (Runs::default(), BTreeMap::new());
            for (what, first, more, returns) in steps {
                let last = first + more;
                match what {
                    0 => {
                        runs.remove(first, last);
                        model.retain(|number, _| *number < first || *number > last);
                    }
                    1 => {
                        let popped = runs.pop_first(more + 1);
                        let expected = model.first_key_value().map(|(first, returns)| (*first, *returns));
                        prop_assert_eq!(popped.as_ref().map(|(run, returns)| (*run.start(), *returns)), expected);
                        for number in popped.into_iter().flat_map(|(run, _)| run) {
                            prop_assert!(model.remove(&number).is_some());
                        }
                    }
                    2 => {
                        runs.raise(first, last, returns);
                        for number in first..=last {
                            let known = model.entry(number).or_insert(returns);
                            *known = returns.later(*known);
                        }
                    }
                    _ if model.range(first..=last).next().is_none() => {
                        runs.insert(first, last, returns);
                        model.extend((first..=last).map(|number| (number, returns)));
                    }
                    _ => {}
                }
                let all: BTreeMap<u64, Returns> = runs
                    .iter()
                    .flat_map(|(run, returns)| run.map(move |number| (number, returns)))
                    .collect();
                prop_assert_eq!(&all, &model);
                prop_assert_eq!(runs.len(), model.len() as u64);
                prop_assert_eq!(runs.last(), model.keys().last().copied());
                prop_assert_eq!(runs.first(), model.first_key_value().map(|(at, returns)| (*at, *returns)));
                for number in 0..120 {
                    prop_assert_eq!(runs.get(number), model.get(&number).copied());
                }
                let listed: Vec<_> = runs.iter().collect();
                let is_apart = |pair: &[(RangeInclusive<u64>, Returns)]| {
                    pair[0].0.end() + 1 < *pair[1].0.start() || pair[0].1 != pair[1].1
                };
                let are_apart = listed.windows(2).all(is_apart);
                prop_assert!(are_apart);
            }
        }
    }
}
