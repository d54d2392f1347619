//! A chunk that its segment does not give, put together from what the log has of it.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::band::Band;
use super::slot::Slot;
use super::{Queue, State, sequence_of};
use crate::broker::log::Copies;
use crate::broker::pager::Stored;

impl Queue {
    /// Whether that chunk is needed where it is.
    pub(in crate::broker) fn needs(&self, stored: &Stored) -> bool {
        self.state.lock().slot_at(stored).is_some()
    }

    /// The numbers of what is not settled of a chunk that is not in memory; None if it is, or is elsewhere
    /// by now.
    pub(in crate::broker) fn wanted_of(&self, stored: &Stored) -> Option<Vec<u64>> {
        let state = self.state.lock();
        let slot = state.slot_at(stored)?;
        let numbers = (slot.first..slot.end()).filter(|number| !slot.is_settled(*number));
        Some(numbers.collect())
    }

    /// The log has these messages of a chunk that its segment does not give; what is not among them is lost.
    pub(super) fn copied(
        &self,
        state: &mut MutexGuard<'_, State>,
        stored: &Stored,
        copies: &Copies,
    ) {
        let Some(slot) = state.slot_at(stored) else {
            return;
        };
        let (at, first) = (stored.entry.band as usize, slot.first);
        let is_lost = |number: &u64| !slot.is_settled(*number) && !copies.has(*number);
        let lost: Vec<u64> = (first..slot.end()).filter(is_lost).collect();
        let counts_bytes = state.wants.max_length_bytes.is_some();
        for numbers in lost.chunk_by(|one, next| one + 1 == *next) {
            if let [first, ..] = numbers {
                self.lose(state, at, *first, first + numbers.len() as u64 - 1);
            }
        }
        let chunk = Arc::new(copies.chunk(&stored.entry));
        if let Some(band) = state.bands.get_mut(at) {
            band.load_copies(first, chunk, copies.from, counts_bytes);
        }
        self.is_resident(state, first);
    }

    /// Messages of one chunk are gone; those who have some of them unacked may settle them all the same.
    pub(super) fn lose(&self, state: &mut MutexGuard<'_, State>, at: usize, first: u64, last: u64) {
        let Some(band) = state.bands.get_mut(at) else {
            return;
        };
        let before = band.ready();
        band.lose(first, last);
        let lost = before - band.ready();
        let (first, last) = (sequence_of(at, first), sequence_of(at, last));
        state.came_back.forget(first, last);
        state.ready -= lost;
        self.spec.engine.metrics.messages_lost.add(lost);
    }
}

impl State {
    /// That chunk's slot, if it is not in memory and has something that is not settled.
    fn slot_at(&self, stored: &Stored) -> Option<&Slot> {
        let band: &Band = self.bands.get(stored.entry.band as usize)?;
        let slot = band.slot(stored.entry.first)?;
        let is_there = slot.stored.as_ref().is_some_and(|it| it.is_same(stored));
        (slot.is_absent() && slot.unsettled() > 0 && is_there).then_some(slot)
    }
}
