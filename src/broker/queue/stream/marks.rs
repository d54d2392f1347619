//! What a stream knows of its chunks without reading them: how many bytes they have, when their
//! messages came, which filter values there are. One mark a chunk, in order.
//!
//! The marks of stored chunks are in the catalog's list of segments.

use std::collections::VecDeque;

use super::bloom::ChunkValues;
use super::filter;
use crate::broker::queue::chunk::Record;
use crate::store::catalog::ChunkMark;

/// What is known of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of its first message.
    pub first: u64,
    /// About what it takes on the disk.
    pub bytes: u64,
    /// When its first message came, in milliseconds since 1970 ...
    pub first_ms: u64,
    /// ... and its last.
    pub last_ms: u64,
    /// Which filter values its messages have.
    pub values: ChunkValues,
}

/// What a record takes beside its names, properties and body.
const RECORD_BYTES: usize = 24;

impl Mark {
    /// Of a chunk that is empty yet.
    fn empty(first: u64, now_ms: u64) -> Self {
        Self {
            first,
            bytes: 0,
            first_ms: now_ms,
            last_ms: now_ms,
            values: ChunkValues::default(),
        }
    }

    /// Of a stored chunk of so many bytes.
    pub fn stored(first: u64, bytes: u64, mark: &ChunkMark) -> Self {
        Self {
            first,
            bytes,
            first_ms: mark.first_ms,
            last_ms: mark.last_ms,
            values: ChunkValues::restore(mark.filter.clone(), mark.has_unfiltered),
        }
    }

    /// As it is stored.
    pub fn to_stored(&self) -> ChunkMark {
        ChunkMark {
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            filter: self.values.bloom().to_vec(),
            has_unfiltered: self.values.has_unfiltered(),
        }
    }

    fn add(&mut self, record: &Record<'_>, filter_bytes: u8) {
        let message = &record.message;
        let bytes = message.exchange.len() + message.routing_key.len() + message.properties.len();
        self.bytes += (RECORD_BYTES + bytes + message.body.len()) as u64;
        self.last_ms = self.last_ms.max(record.expires_at_ms);
        let value = filter::value_of(message.properties);
        self.values.insert(value, filter_bytes);
    }
}

/// How much of a stream is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// About so many bytes.
    pub max_bytes: Option<u64>,
    /// What came at or after that moment, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// What goes, goes in pieces of at least so many bytes.
    pub segment_bytes: u64,
    /// All below it is safe, and some of that stays.
    pub committed: u64,
}

/// What [`Marks::shorten`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortened {
    /// Below that number everything goes, if anything does.
    pub below: Option<u64>,
    /// More is to go as soon as more is safe.
    pub waits: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Marks {
    marks: VecDeque<Mark>,
    bytes: u64,
}

impl Marks {
    /// When the last message came.
    pub fn last_ms(&self) -> u64 {
        self.marks.back().map_or(0, |mark| mark.last_ms)
    }

    /// Puts the mark of the next chunk behind the others. Its times are not before theirs.
    pub fn push(&mut self, mut mark: Mark) {
        mark.last_ms = mark.last_ms.max(self.last_ms());
        self.bytes += mark.bytes;
        self.marks.push_back(mark);
    }

    /// A message was put into the chunk that begins with number `first`: the last one, or a new one.
    /// Its `expires_at_ms` is when it came.
    pub fn appended(&mut self, first: u64, record: &Record<'_>, filter_bytes: u8) {
        if self.marks.back().is_none_or(|mark| mark.first != first) {
            self.marks
                .push_back(Mark::empty(first, record.expires_at_ms));
        }
        if let Some(mark) = self.marks.back_mut() {
            let before = mark.bytes;
            mark.add(record, filter_bytes);
            self.bytes += mark.bytes - before;
        }
    }

    /// The mark of the chunk that begins there.
    pub fn of(&self, first: u64) -> Option<&Mark> {
        let at = self.marks.partition_point(|mark| mark.first < first);
        self.marks.get(at).filter(|mark| mark.first == first)
    }

    /// The first number of the first chunk that has a message of that moment or later.
    pub fn since(&self, ms: u64) -> Option<u64> {
        let at = self.marks.partition_point(|mark| mark.last_ms < ms);
        self.marks.get(at).map(|mark| mark.first)
    }

    /// The first number of the chunks at the end that together have at most so many bytes; the last one
    /// belongs to them in any case.
    pub fn within(&self, bytes: u64) -> u64 {
        let mut left = bytes;
        let mut first = u64::MAX;
        for mark in self.marks.iter().rev() {
            if first != u64::MAX && mark.bytes > left {
                break;
            }
            left = left.saturating_sub(mark.bytes);
            first = mark.first;
        }
        first
    }

    /// Takes away at the head what need not be kept, whole segments, and never the last of them, or the
    /// last that begins with what is safe: a crash that took all behind it would leave nothing.
    pub fn shorten(&mut self, retention: &Retention) -> Shortened {
        let mut shortened = Shortened::default();
        while let Some(count) = self.head_segment(retention.segment_bytes) {
            let Some(next) = self.marks.get(count).map(|mark| mark.first) else {
                break;
            };
            let is_too_much = retention.max_bytes.is_some_and(|most| self.bytes > most);
            let is_too_old = retention.since_ms.is_some_and(|since_ms| {
                let newest = self.marks.get(count - 1);
                newest.is_some_and(|mark| mark.last_ms < since_ms)
            });
            if !is_too_much && !is_too_old {
                break;
            }
            if next >= retention.committed {
                shortened.waits = true;
                break;
            }
            self.bytes -= self
                .marks
                .drain(..count)
                .map(|mark| mark.bytes)
                .sum::<u64>();
            shortened.below = Some(next);
        }
        shortened
    }

    /// How many chunks the segment at the head has, if it is complete and something is behind it.
    fn head_segment(&self, segment_bytes: u64) -> Option<usize> {
        let mut bytes = 0;
        let full = self.marks.iter().position(|mark| {
            bytes += mark.bytes;
            bytes >= segment_bytes
        })?;
        (full + 1 < self.marks.len()).then_some(full + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks(sizes: &[(u64, u64)]) -> Marks {
        let mut marks = Marks::default();
        for (first, (bytes, at_ms)) in sizes.iter().enumerate() {
            marks.push(Mark {
                bytes: *bytes,
                ..Mark::empty(first as u64, *at_ms)
            });
        }
        marks
    }

    proptest! {
        /// The limits hold as far as whole segments allow, the last segment stays, and so does one that
        /// begins with what is safe; nothing goes that could have stayed.
        #[test]
        fn what_goes_are_whole_segments_that_are_too_much(
            sizes in prop::collection::vec((1..50u64, 0..20u64), 0..40),
            segment_bytes in 1..120u64,
            max_bytes in prop::option::of(0..600u64),
            max_age_ms in prop::option::of(0..400u64),
            committed in 0..60u64,
        ) {
            let mut at_ms = 0;
            let sizes: Vec<(u64, u64)> = sizes.into_iter().map(|(bytes, later)| {
                at_ms += later;
                (bytes, at_ms)
            }).collect();
            let since_ms = max_age_ms.map(|age_ms| at_ms.saturating_sub(age_ms));
            let retention = Retention { max_bytes, since_ms, segment_bytes, committed };
            // Segments as they are filled, front to back.
            let mut segments: Vec<Vec<(u64, u64)>> = vec![Vec::new()];
            for mark in &sizes {
                let full = segments.last().is_some_and(|last| last.iter().map(|(bytes, _)| bytes).sum::<u64>() >= segment_bytes);
                if full {
                    segments.push(Vec::new());
                }
                segments.last_mut().expect("one").push(*mark);
            }
            let (mut gone, mut waits) = (0, false);
            while segments.len() > 1 {
                let total: u64 = segments.iter().flatten().map(|(bytes, _)| bytes).sum();
                let newest_ms = segments[0].last().expect("one").1;
                let is_too_much = max_bytes.is_some_and(|most| total > most);
                if !is_too_much && since_ms.is_none_or(|since_ms| newest_ms >= since_ms) {
                    break;
                }
                waits = gone + segments[0].len() as u64 >= committed;
                if waits {
                    break;
                }
                gone += segments.remove(0).len() as u64;
            }
            let mut marks = marks(&sizes);
            let below = (gone > 0).then_some(gone);
            prop_assert_eq!(marks.shorten(&retention), Shortened { below, waits });
            prop_assert_eq!(marks.shorten(&retention), Shortened { below: None, waits });
            let left: u64 = segments.iter().flatten().map(|(bytes, _)| bytes).sum();
            prop_assert_eq!(marks.bytes, left);
        }
    }

    #[test]
    fn chunks_are_found_by_time_and_by_bytes_from_the_end() {
        let marks = marks(&[(10, 100), (10, 100), (10, 200), (10, 300)]);
        for (ms, first) in [
            (0, Some(0)),
            (100, Some(0)),
            (101, Some(2)),
            (300, Some(3)),
            (301, None),
        ] {
            assert_eq!(marks.since(ms), first);
        }
        for (bytes, first) in [(0, 3), (19, 3), (20, 2), (1000, 0)] {
            assert_eq!(marks.within(bytes), first);
        }
        assert_eq!(Marks::default().within(5), u64::MAX);
    }
}
