//! Damaged chunks of one segment, which are told of together: a segment that was cut has hundreds.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::store::segment::ChunkEntry;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedChunks {
    /// The queue's id.
    pub queue: u64,
    /// The segment's number.
    pub segment: u64,
    /// Where in the segment they begin: one that is found again, because the broker ended before the catalog
    /// forgot it, is told of once.
    pub offsets: BTreeSet<u64>,
    /// How many chunks ...
    pub chunks: u64,
    /// ... with how many records.
    pub records: u64,
    /// Where in the segment the first of them begins ...
    pub offset: u64,
    /// ... and the last one ends.
    pub end: u64,
    /// Band and number of the first record there ...
    pub first: (u32, u64),
    /// ... and of the last one.
    pub last: (u32, u64),
    /// How many of them were copied.
    pub copies: u64,
    /// How many were found at start or soon after it, where it is known what is lost.
    pub at_start: u64,
    /// How many messages of those the journal has as well ...
    pub in_journal: u64,
    /// ... and how many are lost.
    pub lost: u64,
}

impl DamagedChunks {
    /// One that was found when it was read.
    pub fn of(queue: u64, segment: u64, chunk: &ChunkEntry, is_copied: bool) -> Self {
        let last = chunk.first + u64::from(chunk.records.saturating_sub(1));
        Self {
            queue,
            segment,
            offsets: BTreeSet::from([chunk.offset]),
            chunks: 1,
            records: chunk.records.into(),
            offset: chunk.offset,
            end: chunk.offset + u64::from(chunk.bytes),
            first: (chunk.band, chunk.first),
            last: (chunk.band, last),
            copies: is_copied.into(),
            at_start: 0,
            in_journal: 0,
            lost: 0,
        }
    }

    /// It was found at start, or soon after it: the journal has so many of its messages, and so many are lost.
    pub fn at_start(self, in_journal: u64, lost: u64) -> Self {
        Self {
            at_start: self.chunks,
            in_journal,
            lost,
            ..self
        }
    }

    /// Whether these are all among them.
    pub fn has(&self, other: &Self) -> bool {
        self.offsets.is_superset(&other.offsets)
    }

    /// Others of the same segment as well.
    pub fn add(&mut self, other: &Self) {
        self.offsets.extend(&other.offsets);
        self.chunks += other.chunks;
        self.records += other.records;
        self.copies += other.copies;
        self.at_start += other.at_start;
        self.in_journal += other.in_journal;
        self.lost += other.lost;
        if other.offset < self.offset {
            (self.offset, self.first) = (other.offset, other.first);
        }
        if other.end > self.end {
            (self.end, self.last) = (other.end, other.last);
        }
    }

    /// What their note is called.
    pub fn place(&self) -> String {
        format!("{:016x}-{:016x}-chunks", self.queue, self.segment)
    }
}

impl fmt::Display for DamagedChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            queue,
            segment,
            chunks,
            records,
            offset,
            end,
            first,
            last,
            ..
        } = self;
        match chunks {
            1 => write!(f, "a chunk")?,
            _ => write!(f, "{chunks} chunks")?,
        }
        write!(
            f,
            " of segment {segment} of queue {queue} with {records} records"
        )?;
        match chunks {
            1 => write!(f, " is damaged")?,
            _ => write!(f, " are damaged")?,
        }
        write!(f, " (bytes {offset} to {end}, from record {}", first.1)?;
        match first.0 == last.0 {
            true => write!(f, " to {} in band {})", last.1, last.0)?,
            false => write!(f, " in band {} to {} in band {})", first.0, last.1, last.0)?,
        }
        if self.copies > 0 {
            let copies = "copied to quarantine/";
            write!(f, ", {copies}{queue:016x}-{segment:016x}-OFFSET")?;
        }
        let Self {
            at_start,
            in_journal,
            lost,
            ..
        } = self;
        match at_start {
            0 => write!(f, "; the queue goes on without them"),
            all if all == chunks => write!(
                f,
                "; {in_journal} of the messages are in the journal as well, {lost} are lost"
            ),
            some => write!(
                f,
                "; of the messages of {some} of them {in_journal} are in the journal as well and {lost} are \
                 lost; the queue goes on without those of the others"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: u64, first: u64) -> ChunkEntry {
        ChunkEntry {
            offset,
            first,
            band: 0,
            records: 10,
            bytes: 4000,
        }
    }

    #[test]
    fn chunks_are_told_of_together_in_whatever_order_they_are_found() {
        let mut all = DamagedChunks::of(5, 7, &chunk(8192, 20), false);
        assert_eq!(
            all.to_string(),
            "a chunk of segment 7 of queue 5 with 10 records is damaged (bytes 8192 to 12192, from \
             record 20 to 29 in band 0); the queue goes on without them"
        );
        all.add(&DamagedChunks::of(5, 7, &chunk(16384, 30), true).at_start(4, 6));
        all.add(&DamagedChunks::of(5, 7, &chunk(0, 0), false));
        assert_eq!(
            all.to_string(),
            "3 chunks of segment 7 of queue 5 with 30 records are damaged (bytes 0 to 20384, from \
             record 0 to 39 in band 0), copied to \
             quarantine/0000000000000005-0000000000000007-OFFSET; of the messages of 1 of them 4 are \
             in the journal as well and 6 are lost; the queue goes on without those of the others"
        );
        assert!(all.has(&DamagedChunks::of(5, 7, &chunk(16384, 30), true)));
        assert!(!all.has(&DamagedChunks::of(5, 7, &chunk(4096, 10), true)));
        let mut all = DamagedChunks::of(5, 7, &chunk(0, 0), false).at_start(10, 0);
        all.add(&DamagedChunks::of(5, 7, &chunk(4096, 10), false).at_start(7, 3));
        let said = "; 17 of the messages are in the journal as well, 3 are lost";
        assert!(all.to_string().ends_with(said), "{all}");
    }
}
