//! Which chunks of a stream are in memory: the last few, because most readers are there, and those
//! that other readers are at or come to next. Every chunk goes to a segment soon after it is full.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::broker::pager::{Pager, Stored};
use crate::broker::queue::paging::PageOut;
use crate::broker::queue::slot::{Resident, Slot};
use crate::broker::queue::{Queue, QueueType, State};
use crate::store::catalog::ChunkMark;
use crate::store::segment::ChunkEntry;

use super::marks::Mark;

/// So many bytes at the end stay in memory.
const TAIL_BYTES: u64 = 3 << 20;
/// Full chunks are written out once they have so many bytes together ...
const WORTH_WRITING_BYTES: usize = 2 << 20;
/// ... and past this publishers wait for that.
const MOST_UNWRITTEN_BYTES: usize = 8 << 20;
/// A reader has so many chunks read, the one that it is at among them.
const AHEAD: usize = 3;
/// With more chunks than this in memory, readers without room keep none.
const MANY: usize = 48;

impl Queue {
    /// After any change: has full chunks written out.
    pub(in crate::broker::queue) fn page_stream(
        self: &Arc<Self>,
        state: &mut State,
        pager: &Arc<Pager>,
    ) {
        let bytes = unwritten(state).map(Slot::memory_bytes).sum::<usize>();
        if bytes > WORTH_WRITING_BYTES && state.paging.ask() {
            pager.page_out(self);
        }
        let owed_bytes = bytes.saturating_sub(MOST_UNWRITTEN_BYTES);
        if owed_bytes != state.paging.owed_bytes {
            pager.owe(&self.spec.engine, state.paging.owed_bytes, owed_bytes);
            state.paging.owed_bytes = owed_bytes;
        }
    }

    /// Full chunks that are in no segment, oldest first, at most so many.
    pub(in crate::broker::queue) fn stream_chunks_to_page(
        &self,
        state: &mut State,
        most: usize,
    ) -> Vec<PageOut> {
        let mut firsts: Vec<u64> = unwritten(state).map(|slot| slot.first).collect();
        firsts.reverse();
        let band = state.bands.first();
        let pages = firsts
            .into_iter()
            .filter_map(|first| match &band?.slot(first)?.resident {
                Resident::Closed(chunk) => Some(PageOut {
                    is_far: false,
                    band: 0,
                    first,
                    chunk: Arc::clone(chunk),
                }),
                Resident::Open(_) | Resident::No => None,
            });
        let pages: Vec<PageOut> = pages.take(most).collect();
        if pages.is_empty() {
            self.evict(state);
        }
        pages
    }

    /// Chunks are in segments, and in memory as well.
    pub(in crate::broker::queue) fn stream_paged(
        &self,
        state: &mut State,
        placed: Vec<(usize, u64, Stored)>,
    ) {
        for (_, first, stored) in placed {
            if let Some(band) = state.bands.first_mut() {
                band.with_slot(first, |slot| slot.store_whole(stored));
            }
            self.is_resident(state, first);
        }
        self.evict(state);
    }

    /// What the catalog is to know of stored chunks beside their places; nothing for other queues.
    pub(in crate::broker) fn marks_of(&self, chunks: &[ChunkEntry]) -> Vec<ChunkMark> {
        if self.queue_type != QueueType::Stream {
            return Vec::new();
        }
        let state = self.state.lock();
        let marks = state.stream.as_ref().map(|stream| &stream.marks);
        let mark = |chunk: &ChunkEntry| marks.and_then(|marks| marks.of(chunk.first));
        // What retention let go of meanwhile needs none.
        let marks = chunks
            .iter()
            .map(|chunk| mark(chunk).map_or_else(ChunkMark::default, Mark::to_stored));
        marks.collect()
    }

    /// A segment is closed once it has so many bytes: no more than `most`, and than a stream asks for.
    pub(in crate::broker) fn most_segment_bytes(&self, most: u64) -> u64 {
        if self.queue_type != QueueType::Stream {
            return most;
        }
        let state = self.state.lock();
        let asked = state.stream.as_ref().map(|stream| stream.wants);
        let bytes = asked.and_then(|wants| wants.segment_bytes);
        bytes.map_or(most, |bytes| bytes.min(most))
    }

    /// A chunk that is in a segment is in memory.
    pub(in crate::broker::queue) fn is_resident(&self, state: &mut State, first: u64) {
        if let Some(stream) = &mut state.stream
            && !stream.resident.contains(&first)
        {
            stream.resident.push(first);
        }
    }

    /// Asks for the chunk that the message is in, and some behind it.
    pub(super) fn read_ahead(self: &Arc<Self>, state: &mut State, number: u64) {
        let Some(band) = state.bands.first() else {
            return;
        };
        let wanted: SmallVec<[u64; AHEAD]> = band
            .slots_from(number)
            .take(AHEAD)
            .filter(|slot| slot.is_absent())
            .map(|slot| slot.first)
            .collect();
        for first in wanted {
            self.request(state, 0, first);
        }
    }

    /// Lets go of chunks that nobody needs in memory.
    pub(in crate::broker::queue) fn evict(&self, state: &mut State) {
        let (Some(stream), Some(band)) = (&mut state.stream, state.bands.first_mut()) else {
            return;
        };
        let tail = match state.paging.is_idle {
            true => u64::MAX,
            false => stream.marks.within(TAIL_BYTES),
        };
        if stream.resident.iter().all(|first| *first >= tail) {
            return;
        }
        let are_many = stream.resident.len() > MANY;
        let mut needed: Vec<u64> = Vec::new();
        for reader in stream.readers.iter() {
            let chunks = match reader.has_room {
                true => AHEAD,
                false if are_many => 0,
                false => 1,
            };
            let slots = band.slots_from(reader.next).take(chunks);
            needed.extend(slots.map(|slot| slot.first));
        }
        needed.sort_unstable();
        stream.resident.retain(|first| {
            let stays = *first >= tail || needed.binary_search(first).is_ok();
            if !stays {
                band.with_slot(*first, Slot::evict);
            }
            stays
        });
    }
}

/// Full chunks that no segment has for good, the newest first. (They are written in order.)
fn unwritten(state: &State) -> impl Iterator<Item = &Slot> {
    let slots = state.bands.first().into_iter().flat_map(|band| &band.slots);
    let closed = slots.rev().skip_while(|slot| slot.is_open());
    closed.take_while(|slot| !slot.is_stored_for_good())
}
