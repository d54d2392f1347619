//! A slot: one chunk's place in its band, wherever the chunk is: being filled, in memory, in a
//! segment, or both of the latter.

use std::sync::Arc;

use super::chunk::{Before, Chunk, Record};
use super::settled::Settled;
use crate::broker::pager::Stored;

/// See the module. Its records are numbered from `first` on without gaps.
#[derive(Debug)]
pub struct Slot {
    pub first: u64,
    pub settled: Settled,
    pub resident: Resident,
    /// Where it is in a segment.
    pub stored: Option<Stored>,
    /// What its records that are not settled take of that segment, roughly.
    weight: u64,
    /// The log may have messages of it from this index on, and nothing else is durable of them yet.
    pub logged_from: Option<u64>,
    /// Records of a chunk that is not in memory.
    len: u32,
    /// What is kept of the bodies of a chunk that is not in memory, if its queue counts bytes.
    pub bodies: Option<Box<Bodies>>,
}

/// What a queue that counts its ready messages' bytes must know of a chunk that is not in memory.
#[derive(Debug, Default)]
pub struct Bodies {
    /// The bytes of its ready messages' bodies.
    pub ready_bytes: u64,
    /// The index and the body's bytes of each message that was taken and not settled when the chunk left:
    /// it may come back.
    pub taken: Box<[(u32, u32)]>,
}

impl Bodies {
    /// A message that was taken is ready again; says how many bytes its body has.
    fn give_back(&mut self, index: u32) -> u64 {
        let at = self.taken.binary_search_by_key(&index, |(index, _)| *index);
        let bytes = at.map_or(0, |at| u64::from(self.taken[at].1));
        self.ready_bytes += bytes;
        bytes
    }
}

/// The chunk in memory.
#[derive(Debug)]
pub enum Resident {
    /// It is the tail and takes messages.
    Open(Chunk),
    /// It is full, or was, and does not change any more.
    Closed(Arc<Chunk>),
    /// It is only in a segment.
    No,
}

/// Why a record can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRecord {
    /// It is settled, or never was.
    Gone,
    /// Its chunk must be loaded; this is the number of the chunk's first record.
    NotLoaded(u64),
}

impl Slot {
    /// A slot for a chunk that takes messages from number `first` on.
    pub fn open(first: u64, chunk: Chunk) -> Self {
        Self {
            first,
            settled: Settled::default(),
            resident: Resident::Open(chunk),
            stored: None,
            weight: 0,
            logged_from: None,
            len: 0,
            bodies: None,
        }
    }

    /// A slot for a chunk of `len` records in a segment; where, is to follow.
    pub fn absent(first: u64, len: u32) -> Self {
        Self {
            first,
            settled: Settled::default(),
            resident: Resident::No,
            stored: None,
            weight: 0,
            logged_from: None,
            len,
            bodies: None,
        }
    }

    /// Its chunk is in a segment, whole.
    pub fn store_whole(&mut self, stored: Stored) {
        let bytes = u64::from(stored.entry.bytes) * u64::from(self.unsettled());
        self.store(stored, bytes / u64::from(self.len().max(1)));
    }

    /// Its chunk is in a segment, of which its records that are not settled take so many bytes.
    pub fn store(&mut self, stored: Stored, bytes: u64) {
        stored.segment.weigh(bytes);
        let weight = std::mem::replace(&mut self.weight, bytes);
        if let Some(before) = self.stored.replace(stored) {
            before.segment.lighten(weight);
        }
    }

    /// Whether its chunk is in a segment that survives a restart, or will be as soon as that is closed.
    pub fn is_stored_for_good(&self) -> bool {
        self.stored.as_ref().is_some_and(Stored::is_for_good)
    }

    /// Whether the log alone has messages of it below that index.
    pub fn is_only_logged_before(&self, before: u64) -> bool {
        !self.is_stored_for_good() && self.logged_from.is_some_and(|from| from < before)
    }

    /// Whether it takes messages.
    pub fn is_open(&self) -> bool {
        matches!(self.resident, Resident::Open(_))
    }

    /// Whether its chunk is not in memory.
    pub fn is_absent(&self) -> bool {
        matches!(self.resident, Resident::No)
    }

    /// What its records that are not settled take, roughly, if they are in memory.
    pub fn live_bytes(&self) -> usize {
        match self.chunk() {
            Some(chunk) if chunk.len() > 0 => {
                let bytes = chunk.content_bytes() as u64 * u64::from(self.unsettled());
                (bytes / u64::from(chunk.len())) as usize
            }
            _ => 0,
        }
    }

    /// Shows all records that are not settled, if they are in memory.
    pub fn for_each_live(&self, mut each: impl FnMut(u64, Record<'_>)) {
        for number in self.first..self.end() {
            if let Ok(record) = self.record(number) {
                each(number, record);
            }
        }
    }

    /// How many records it has, settled or not.
    #[inline]
    pub fn len(&self) -> u32 {
        match &self.resident {
            Resident::Open(chunk) => chunk.len(),
            Resident::Closed(chunk) => chunk.len(),
            Resident::No => self.len,
        }
    }

    /// The number after its last record.
    #[inline]
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.len())
    }

    /// How many of its records are not settled.
    pub fn unsettled(&self) -> u32 {
        self.len() - self.settled.count()
    }

    /// What it holds in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.chunk().map_or(0, Chunk::memory_bytes)
    }

    /// Whether it is known how many bytes its bodies have.
    pub fn is_counted(&self) -> bool {
        !self.is_absent() || self.bodies.is_some()
    }

    /// What it holds in memory beside the chunk, in bytes.
    pub fn bodies_bytes(&self) -> usize {
        self.bodies.as_ref().map_or(0, |bodies| {
            size_of::<Bodies>() + size_of_val(&*bodies.taken)
        })
    }

    /// A message that was taken is ready again; says how many bytes its body has, as far as that is known.
    pub fn give_back(&mut self, number: u64) -> u64 {
        if let Ok(record) = self.record(number) {
            return record.message.body.len() as u64;
        }
        let index = (number - self.first) as u32;
        let bodies = self.bodies.as_mut();
        bodies.map_or(0, |bodies| bodies.give_back(index))
    }

    /// The chunk, if it is in memory.
    #[inline]
    pub fn chunk(&self) -> Option<&Chunk> {
        match &self.resident {
            Resident::Open(chunk) => Some(chunk),
            Resident::Closed(chunk) => Some(chunk),
            Resident::No => None,
        }
    }

    /// Whether the record of that number, which must be in this slot, is settled.
    pub fn is_settled(&self, number: u64) -> bool {
        self.settled.contains((number - self.first) as u32)
    }

    /// The record of that number, which must be in this slot.
    #[inline]
    pub fn record(&self, number: u64) -> Result<Record<'_>, NoRecord> {
        let index = (number - self.first) as u32;
        if self.settled.contains(index) {
            return Err(NoRecord::Gone);
        }
        match self.chunk() {
            Some(chunk) => Ok(chunk.record(index)),
            None => Err(NoRecord::NotLoaded(self.first)),
        }
    }

    /// The same, read after another one of this slot.
    #[inline]
    pub fn record_after<'a>(
        &'a self,
        number: u64,
        before: &mut Option<Before<'a>>,
    ) -> Result<Record<'a>, NoRecord> {
        let index = (number - self.first) as u32;
        if self.settled.contains(index) {
            return Err(NoRecord::Gone);
        }
        match self.chunk() {
            Some(chunk) => Ok(chunk.record_after(index, before)),
            None => Err(NoRecord::NotLoaded(self.first)),
        }
    }

    /// Settles records of this slot; says how many were not settled yet.
    pub fn settle(&mut self, first: u64, last: u64) -> u32 {
        let (first, last) = ((first - self.first) as u32, (last - self.first) as u32);
        let unsettled = self.unsettled();
        let new = self.settled.settle(first, last);
        if new > 0 {
            self.lighten(first, last, new, unsettled);
        }
        let chunk = match &mut self.resident {
            Resident::Open(chunk) => Some(chunk),
            // While it is being written to a segment it stays whole.
            Resident::Closed(chunk) => Arc::get_mut(chunk),
            Resident::No => None,
        };
        if let Some(chunk) = chunk
            && chunk.has_blobs()
        {
            chunk.release_blobs(first, last);
        }
        new
    }

    /// Of `unsettled` records, `new` ones were settled, from one index to another.
    fn lighten(&mut self, first: u32, last: u32, new: u32, unsettled: u32) {
        let Some(stored) = &self.stored else {
            return;
        };
        let bytes = match self.chunk() {
            _ if new == unsettled => self.weight,
            Some(chunk) if new == last - first + 1 => chunk.bytes_of(first, last).min(self.weight),
            _ => self.weight * u64::from(new) / u64::from(unsettled),
        };
        stored.segment.lighten(bytes);
        self.weight -= bytes;
    }

    /// It takes no more messages.
    pub fn close(&mut self) {
        if let Resident::Open(chunk) = &mut self.resident {
            self.len = chunk.len();
            self.resident = Resident::Closed(Arc::new(std::mem::take(chunk)));
        }
    }

    /// Its chunk was read from the segment.
    pub fn load(&mut self, chunk: Arc<Chunk>) {
        if let Resident::No = self.resident
            && chunk.len() == self.len
        {
            self.resident = Resident::Closed(chunk);
            self.bodies = None;
        }
    }

    /// The log has its chunk from that index on, and the segment does not count any more.
    pub fn forget_stored(&mut self, logged_from: u64) {
        if let Some(before) = self.stored.take() {
            before.segment.lighten(std::mem::take(&mut self.weight));
        }
        self.logged_from = Some(logged_from);
    }

    /// Lets go of the chunk in memory, if it is in a segment.
    pub fn evict(&mut self) {
        if let (Resident::Closed(chunk), Some(_)) = (&self.resident, &self.stored) {
            self.len = chunk.len();
            self.resident = Resident::No;
        }
    }

    /// The chunk, to be used again.
    pub fn into_chunk(self) -> Option<Chunk> {
        match self.resident {
            Resident::Open(chunk) => Some(chunk),
            Resident::Closed(chunk) => Arc::into_inner(chunk),
            Resident::No => None,
        }
    }
}
