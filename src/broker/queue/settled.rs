//! Which records of a chunk are settled: nearly always the first so many, so that is a number, with
//! a bit for each record only where they are settled out of order.

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// All before it are settled.
    prefix: u32,
    /// How many are settled in all.
    count: u32,
    /// A bit a record, from the first on; kept only while there are settled ones past the prefix.
    bits: Vec<u64>,
}

impl Settled {
    /// How many are settled.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// What it takes in memory beside itself, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bits.capacity() * size_of::<u64>()
    }

    /// Whether that record is settled.
    pub fn contains(&self, index: u32) -> bool {
        index < self.prefix || self.has_bit(index)
    }

    /// Settles the records from `first` to `last` and says how many of them were not settled yet.
    pub fn settle(&mut self, first: u32, last: u32) -> u32 {
        if first <= self.prefix {
            return self.settle_prefix(last);
        }
        let words = last as usize / 64 + 1;
        if self.bits.len() < words {
            self.bits.resize(words, 0);
        }
        let mut new = 0;
        for index in first..=last {
            let (word, bit) = (&mut self.bits[index as usize / 64], 1 << (index % 64));
            new += u32::from(*word & bit == 0);
            *word |= bit;
        }
        self.count += new;
        new
    }

    /// The settled ones as ranges, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let first = if from < self.prefix {
                0
            } else {
                (from..self.bits.len() as u32 * 64).find(|index| self.has_bit(*index))?
            };
            let mut end = self.prefix.max(first + 1);
            while self.has_bit(end) {
                end += 1;
            }
            from = end;
            Some((first, end - 1))
        })
    }

    fn settle_prefix(&mut self, last: u32) -> u32 {
        if last < self.prefix {
            return 0;
        }
        let new = if self.bits.is_empty() {
            last + 1 - self.prefix
        } else {
            (self.prefix..=last)
                .filter(|index| !self.has_bit(*index))
                .count() as u32
        };
        self.count += new;
        self.prefix = last + 1;
        while self.has_bit(self.prefix) {
            self.prefix += 1;
        }
        if self.count == self.prefix {
            self.bits = Vec::new();
        }
        new
    }

    fn has_bit(&self, index: u32) -> bool {
        self.bits
            .get(index as usize / 64)
            .is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(ranges in prop::collection::vec((0..300u32, 0..20u32), 0..60)) {
            let mut settled = Settled::default();
            let mut model = BTreeSet::new();
            for (first, more) in ranges {
                let new = (first..=first + more).filter(|index| model.insert(*index)).count();
                prop_assert_eq!(settled.settle(first, first + more) as usize, new);
                prop_assert_eq!(settled.count() as usize, model.len());
            }
            for index in 0..400 {
                prop_assert_eq!(settled.contains(index), model.contains(&index));
            }
            let listed: Vec<u32> = settled.ranges().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(listed, model.into_iter().collect::<Vec<_>>());
            let ranges: Vec<_> = settled.ranges().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
