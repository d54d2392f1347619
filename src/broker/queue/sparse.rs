//! What the pager asks of a queue to rewrite a segment: what of it still lives, and where it is now.

use std::sync::Arc;

use super::chunk::Chunk;
use super::paging::PageOut;
use super::settled::Settled;
use super::slot::{Resident, Slot};
use super::{Queue, State};
use crate::broker::pager::{SegmentFile, Stored};
use crate::store::segment::{ChunkEntry, StoredChunk};

/// A chunk of a segment of which something lives.
pub(in crate::broker) struct Living {
    entry: ChunkEntry,
    settled: Settled,
    /// The chunk, if it is in memory.
    chunk: Option<Arc<Chunk>>,
}

impl Living {
    /// The chunk without what is settled, which is read with `read` if it must be.
    pub fn squeezed<E>(
        self,
        read: impl FnOnce(&ChunkEntry) -> Result<StoredChunk, E>,
    ) -> Result<PageOut, E> {
        let chunk = match self.chunk {
            Some(chunk) => chunk,
            None => Arc::new(Chunk::from_stored(read(&self.entry)?)),
        };
        Ok(PageOut {
            is_far: false,
            band: self.entry.band as usize,
            first: self.entry.first,
            chunk: Arc::new(chunk.without(&self.settled)),
        })
    }
}

fn is_in(slot: &Slot, segment: &SegmentFile) -> bool {
    let stored = slot.stored.as_ref();
    stored.is_some_and(|stored| stored.segment.number == segment.number)
}

impl Queue {
    /// The chunks of that segment of which something lives: band, first number.
    pub(in crate::broker) fn living_in(&self, segment: &SegmentFile) -> Vec<(usize, u64)> {
        let state: &State = &self.state.lock();
        let bands = state.bands.iter().enumerate();
        let slots = bands.flat_map(|(at, band)| band.slots.iter().map(move |slot| (at, slot)));
        slots
            .filter(|(_, slot)| slot.unsettled() > 0 && is_in(slot, segment))
            .map(|(at, slot)| (at, slot.first))
            .collect()
    }

    /// One of them, if something lives of it still.
    pub(in crate::broker) fn living_at(
        &self,
        segment: &SegmentFile,
        band: usize,
        first: u64,
    ) -> Option<Living> {
        let state: &State = &self.state.lock();
        let slot = state.bands.get(band)?.slot(first)?;
        if slot.first != first || slot.unsettled() == 0 || !is_in(slot, segment) {
            return None;
        }
        Some(Living {
            entry: slot.stored.as_ref()?.entry,
            settled: slot.settled.clone(),
            chunk: match &slot.resident {
                Resident::Closed(chunk) => Some(Arc::clone(chunk)),
                Resident::Open(_) | Resident::No => None,
            },
        })
    }

    /// Chunks of that segment are in another one now, as far as they were needed.
    pub(in crate::broker) fn moved(&self, from: &SegmentFile, placed: Vec<(usize, u64, Stored)>) {
        let mut state = self.state.lock();
        for (at, first, stored) in placed {
            if let Some(band) = state.bands.get_mut(at) {
                band.with_slot(first, |slot| {
                    if is_in(slot, from) {
                        let bytes = u64::from(stored.entry.bytes);
                        slot.store(stored, bytes);
                    }
                });
            }
        }
    }
}
