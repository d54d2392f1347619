//! What the pager asks of a queue: which chunks may leave memory, where they are now, here is one that
//! you need.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::band::Band;
use super::chunk::Chunk;
use super::given_up::GivenUp;
use super::slot::Resident;
use super::{Queue, State, sequence_of};
use crate::broker::Effects;
use crate::broker::log::Copies;
use crate::broker::pager::Stored;
use crate::store::segment::StoredChunk;

/// Called when a chunk that somebody waits for has come, without any lock.
pub type Then = Box<dyn FnOnce() + Send>;

/// A chunk to be written to a segment.
pub(in crate::broker) struct PageOut {
    pub band: usize,
    /// The number of its first record.
    pub first: u64,
    pub chunk: Arc<Chunk>,
    /// Much comes before it, so that it will not be read soon.
    pub is_far: bool,
}

impl PageOut {
    /// A chunk that lies in a segment which is of no use after a restart.
    pub fn of(stored: &Stored, chunk: StoredChunk) -> Self {
        Self {
            band: stored.entry.band as usize,
            first: stored.entry.first,
            is_far: false,
            chunk: Arc::new(Chunk::from_stored(chunk)),
        }
    }

    /// What of it does not survive a restart, as ranges of sequences.
    pub fn passing(&self) -> impl Iterator<Item = (u64, u64)> {
        let sequence = |index: u32| sequence_of(self.band, self.first + u64::from(index));
        let runs = self.chunk.transient_runs();
        runs.map(move |(first, last)| (sequence(first), sequence(last)))
    }
}

/// Where a chunk comes from that was in a segment.
pub(in crate::broker) enum CameBy {
    /// From there.
    Segment(StoredChunk),
    /// It is damaged, or the disk does not give it, but the log has these of its messages.
    Log(Copies),
    /// It is damaged.
    Nothing,
}

/// What the state keeps for paging.
#[derive(Default)]
pub(super) struct Paging {
    /// The pager was told that the queue is past its window.
    is_asked: bool,
    /// Nothing was done for a while: the window is closed.
    pub is_idle: bool,
    /// Chunks that are being loaded: band, first number.
    pub loading: Vec<(usize, u64)>,
    /// Chunks that are being loaded and can't be read: band, first number.
    pub unreadable: Vec<(usize, u64)>,
    /// Somebody outside waits for the head.
    pub waiting: Vec<Then>,
    /// Messages that had come back too often when the last run ended: first and last sequences.
    pub come_too_often: Vec<(u64, u64)>,
    /// Messages that are given up, once they can be read.
    pub given_up: GivenUp,
    /// What the pager was told that the queue holds beyond its window.
    pub owed_bytes: usize,
    /// Something was settled, delivered or given back since the last checkpoint.
    pub is_dirty: bool,
    /// From that index on the log says all that it must know of the queue, ...
    pub said_at: u64,
    /// ... in so many bytes.
    pub said_bytes: u64,
    /// Chunks whose bytes are yet to be counted: band, first number.
    pub uncounted: VecDeque<(usize, u64)>,
}

impl Paging {
    /// Whether the pager is to be told now that there is something to write.
    pub fn ask(&mut self) -> bool {
        !std::mem::replace(&mut self.is_asked, true)
    }

    /// That chunk could be read, or is not needed.
    pub fn can_read(&mut self, key: (usize, u64)) {
        self.unreadable.retain(|unreadable| *unreadable != key);
    }
}

impl Queue {
    /// After any change: has chunks written that are past the window, and read that are needed soon.
    pub(super) fn page(self: &Arc<Self>, state: &mut MutexGuard<'_, State>) {
        let Some(pager) = self.spec.engine.pager() else {
            return;
        };
        if state.stream.is_some() {
            return self.page_stream(state, pager);
        }
        let closed_bytes: usize = match self.is_deleted() {
            // Nothing of it is written any more.
            true => 0,
            false => state.bands.iter().map(Band::closed_bytes).sum(),
        };
        let absent: usize = state.bands.iter().map(Band::absent).sum();
        let past_window_bytes = self.spec.engine.paging.past_window_bytes;
        let most_bytes = self.window_bytes() + past_window_bytes;
        if closed_bytes > most_bytes && !state.paging.is_asked {
            state.paging.is_asked = true;
            pager.page_out(self);
        }
        let owes_bytes = closed_bytes.saturating_sub(most_bytes);
        if owes_bytes != state.paging.owed_bytes {
            pager.owe(&self.spec.engine, state.paging.owed_bytes, owes_bytes);
            state.paging.owed_bytes = owes_bytes;
        }
        if absent > 0 {
            self.load_ahead(state);
        }
    }

    /// How much of its head it keeps in memory: less if all queues together take much.
    fn window_bytes(&self) -> usize {
        let engine = &self.spec.engine;
        if engine.memory.used_bytes() > engine.memory.limit_bytes() / 2 {
            engine.paging.narrow_window_bytes
        } else {
            engine.paging.window_bytes
        }
    }

    /// Asks for the chunks that are needed next, if anybody needs them.
    fn load_ahead(self: &Arc<Self>, state: &mut MutexGuard<'_, State>) {
        let mut wanted = self.given_up_ahead(state);
        if !state.paging.uncounted.is_empty() {
            wanted.extend(self.uncounted_ahead(state));
        }
        let is_read = state.consumers.any_with_room()
            || !state.paging.waiting.is_empty()
            || self.is_over_length(state);
        let chunks = self.spec.engine.paging.ahead_chunks;
        if let Some(head) = state.head().filter(|_| is_read) {
            wanted.extend(state.chunks_from(head, chunks));
        }
        if state.may_expire {
            // Once it is known when they expire, the timer sees to the rest.
            let heads = state.heads_to_look_at(self.spec.engine.clock.now_ms());
            wanted.extend(heads.iter().flat_map(|head| state.chunks_from(*head, 1)));
        }
        for (at, number) in wanted {
            self.request(state, at, number);
        }
    }

    /// Asks for the chunk that the message is in, if it is not in memory.
    pub(super) fn request(self: &Arc<Self>, state: &mut State, at: usize, number: u64) {
        let Some(slot) = state.bands.get(at).and_then(|band| band.slot(number)) else {
            return;
        };
        let key = (at, slot.first);
        if let (Resident::No, Some(stored)) = (&slot.resident, &slot.stored)
            && !state.paging.loading.contains(&key)
            && let Some(pager) = self.spec.engine.pager()
        {
            pager.load(self, stored.clone());
            state.paging.loading.push(key);
        }
    }

    /// Chunks that are past the window, oldest first, at most so many. None: the queue is done.
    pub(in crate::broker) fn chunks_to_page(self: &Arc<Self>, most: usize) -> Vec<PageOut> {
        let mut state = self.state.lock();
        let pages = match state.stream.is_some() {
            _ if self.is_deleted() => Vec::new(),
            true => self.stream_chunks_to_page(&mut state, most),
            false => self.past_window(&mut state, most),
        };
        if pages.is_empty() {
            state.paging.is_asked = false;
            self.account(&mut state);
            self.page(&mut state);
        }
        pages
    }

    fn past_window(&self, state: &mut State, most: usize) -> Vec<PageOut> {
        let window_bytes = if state.paging.is_idle {
            0
        } else {
            self.window_bytes()
        };
        let counts_bytes = state.wants.max_length_bytes.is_some();
        let mut pages = Vec::new();
        let mut left_bytes = window_bytes;
        let next = state.chunk_that_came_back();
        for (at, band) in state.bands.iter_mut().enumerate().rev() {
            let is_far = band.chunks() > self.spec.engine.paging.near_chunks;
            for first in band.past_window(&mut left_bytes) {
                let Some(slot) = band.slot(first) else {
                    continue;
                };
                let page = match &slot.resident {
                    _ if next == Some((at, first)) => None,
                    _ if slot.is_stored_for_good() => {
                        band.evict(first, counts_bytes);
                        None
                    }
                    Resident::Closed(chunk) if pages.len() < most => Some(Arc::clone(chunk)),
                    _ => None,
                };
                if let Some(chunk) = page {
                    pages.push(PageOut {
                        band: at,
                        first,
                        chunk,
                        is_far,
                    });
                }
            }
        }
        pages
    }

    /// The pager could not write: it will be asked again.
    pub(in crate::broker) fn page_later(&self) {
        self.state.lock().paging.is_asked = false;
    }

    /// Chunks were written and need not be in memory any more.
    pub(in crate::broker) fn paged(self: &Arc<Self>, placed: Vec<(usize, u64, Stored)>) {
        let mut state = self.state.lock();
        if state.stream.is_some() {
            self.stream_paged(&mut state, placed);
            self.account(&mut state);
            return self.page(&mut state);
        }
        let is_idle = state.paging.is_idle;
        let counts_bytes = state.wants.max_length_bytes.is_some();
        let near_chunks = self.spec.engine.paging.ahead_chunks;
        let next = state.chunk_that_came_back();
        for (at, first, stored) in placed {
            let Some(band) = state.bands.get_mut(at) else {
                continue;
            };
            let is_near = !is_idle
                && (next == Some((at, first)) || band.ahead(near_chunks).any(|near| near == first));
            band.with_slot(first, |slot| slot.store_whole(stored));
            if !is_near {
                band.evict(first, counts_bytes);
            }
        }
        self.account(&mut state);
        self.page(&mut state);
    }

    /// A chunk was read, or is damaged: then its messages are passed over. Gives back who waited.
    pub(in crate::broker) fn loaded(
        self: &Arc<Self>,
        stored: &Stored,
        came_by: CameBy,
        effects: &mut Effects,
    ) -> Vec<Then> {
        let (at, first) = (stored.entry.band as usize, stored.entry.first);
        let mut state = self.state.lock();
        state.paging.loading.retain(|key| *key != (at, first));
        state.paging.can_read((at, first));
        if self.is_deleted() && state.paging.given_up.is_empty() {
            return std::mem::take(&mut state.paging.waiting);
        }
        let counts_bytes = state.wants.max_length_bytes.is_some();
        match came_by {
            CameBy::Segment(chunk) => {
                if let Some(band) = state.bands.get_mut(at) {
                    band.load(first, Arc::new(Chunk::from_stored(chunk)), counts_bytes);
                }
                self.is_resident(&mut state, first);
            }
            CameBy::Log(copies) => {
                self.copied(&mut state, stored, &copies);
                self.note_end_of(&mut state, effects);
            }
            CameBy::Nothing => {
                let slot = state.bands.get(at).and_then(|band| band.slot(first));
                if let Some(last) = slot.and_then(|slot| slot.end().checked_sub(1)) {
                    self.lose(&mut state, at, first, last);
                }
                self.note_end_of(&mut state, effects);
            }
        }
        self.send_given_up(&mut state, effects);
        if self.is_deleted() {
            self.end_if_done(&mut state);
            self.account(&mut state);
            self.page(&mut state);
            return std::mem::take(&mut state.paging.waiting);
        }
        self.drop_over_length(&mut state, effects);
        if state.may_expire {
            let now_ms = self.spec.engine.clock.now_ms();
            self.drop_expired(&mut state, now_ms, effects);
        }
        let waiting = std::mem::take(&mut state.paging.waiting);
        // What comes next is asked for first; meanwhile others deliver this.
        self.after(&mut state);
        if !self.leave_delivering(&mut state, effects) {
            self.run(&mut state, effects);
        }
        if waiting.is_empty() && state.consumers.is_empty() && state.stream.is_none() {
            // It was only looked at, as are the heads of all queues after a start.
            if let Some(band) = state.bands.get_mut(at) {
                band.evict(first, counts_bytes);
            }
            self.account(&mut state);
        }
        waiting
    }

    /// Calls `then` when the chunk at the head has come.
    pub(super) fn wait_for_head(self: &Arc<Self>, state: &mut MutexGuard<'_, State>, then: Then) {
        state.paging.waiting.push(then);
        self.load_ahead(state);
    }

    /// Nothing was done for a while: everything may leave memory.
    pub(super) fn page_when_idle(self: &Arc<Self>, state: &mut MutexGuard<'_, State>) {
        let Some(pager) = self.spec.engine.pager() else {
            return;
        };
        let memory_bytes: usize = state.bands.iter().map(Band::memory_bytes).sum();
        if memory_bytes < self.spec.engine.paging.idle_queue_bytes || state.paging.is_asked {
            return;
        }
        state.bands.iter_mut().for_each(Band::close_tail);
        state.paging.is_idle = true;
        state.paging.is_asked = true;
        pager.page_out(self);
    }

    /// The segment is listed: what is in it needs the log no more.
    pub(in crate::broker) fn catalogued(&self, segment: u64) {
        let mut state = self.state.lock();
        for slot in state.bands.iter_mut().flat_map(|band| &mut band.slots) {
            if slot
                .stored
                .as_ref()
                .is_some_and(|stored| stored.segment.number == segment)
            {
                slot.logged_from = None;
            }
        }
    }

    /// Chunks were written, and stay in memory as well.
    pub(in crate::broker) fn kept(&self, placed: Vec<(usize, u64, Stored)>) {
        let mut state = self.state.lock();
        for (at, first, stored) in placed {
            if let Some(band) = state.bands.get_mut(at) {
                band.with_slot(first, |slot| slot.store_whole(stored));
            }
            self.is_resident(&mut state, first);
        }
    }

    /// Whether a chunk with messages in the log below that index is in a segment that is not listed.
    pub(in crate::broker) fn waits_for_catalog(&self, before: u64) -> bool {
        let state = self.state.lock();
        let mut slots = state.bands.iter().flat_map(|band| &band.slots);
        slots.any(|slot| {
            slot.is_stored_for_good() && slot.logged_from.is_some_and(|from| from < before)
        })
    }
}
