//! Messages that a queue gives up but must read from the disk first, to dead-letter them; and those that
//! are to wait for their next attempt as long as they say themselves.
//!
//! As long as there are any, whatever else is given up waits behind them, in memory or not, so that dead
//! letters leave in the order in which messages were given up. A queue that is deleted meanwhile is kept
//! by the pager, with nothing else in it, until they are out.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::band::Band;
use super::slot::NoRecord;
use super::{Queue, State, band_of, number_of, sequence_of};
use crate::broker::Effects;
use crate::broker::dead_letter::Reason;

/// So many runs are looked at for chunks to be read: the first of them always has one.
const RUNS_AHEAD: usize = 64;

/// Messages with successive sequences.
struct Run {
    first: u64,
    last: u64,
    reason: Reason,
}

/// See the module. In the order in which they are to leave.
#[derive(Default)]
pub(super) struct GivenUp(VecDeque<Run>);

impl GivenUp {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|run| run.last - run.first + 1).sum()
    }

    pub fn push(&mut self, sequence: u64, reason: Reason) {
        match self.0.back_mut() {
            Some(run) if run.last + 1 == sequence && run.reason == reason => run.last = sequence,
            _ => self.0.push_back(Run {
                first: sequence,
                last: sequence,
                reason,
            }),
        }
    }

    fn front(&self) -> Option<(u64, Reason)> {
        self.0.front().map(|run| (run.first, run.reason))
    }

    fn pop_front(&mut self) {
        match self.0.front_mut() {
            Some(run) if run.first < run.last => run.first += 1,
            _ => drop(self.0.pop_front()),
        }
    }

    /// First and last sequences, in order.
    fn sorted(&self) -> Vec<(u64, u64)> {
        let runs = self.0.iter().map(|run| (run.first, run.last));
        let mut runs: Vec<_> = runs.collect();
        runs.sort_unstable();
        runs
    }
}

impl Queue {
    /// Settles an unacked message that is given up: it is dead-lettered if the queue asks for that, as
    /// soon as all that were given up before it are.
    pub(super) fn give_up(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        sequence: u64,
        reason: Reason,
        effects: &mut Effects,
    ) {
        if self.keeps_letters(state) {
            self.keep_letter(state, sequence, reason, effects);
        }
        let is_behind = !state.paging.given_up.is_empty() && self.sends_letters(state);
        if is_behind || self.must_be_read(state, sequence, reason) {
            // It counts as unacked until it goes.
            state.paging.given_up.push(sequence, reason);
        } else {
            self.give_up_now(state, sequence, reason, effects);
        }
    }

    /// Dead-letters what was given up, as far as it is in memory.
    pub(super) fn send_given_up(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects,
    ) {
        while let Some((sequence, reason)) = state.paging.given_up.front()
            && !self.must_be_read(state, sequence, reason)
        {
            state.paging.given_up.pop_front();
            match reason {
                Reason::Retry => self.wait_now(state, sequence, effects),
                Reason::Due => self.send_if_due(state, sequence, effects),
                _ => self.give_up_now(state, sequence, reason, effects),
            }
        }
    }

    /// The first chunks with messages that are given up; not all at once, because they may be many.
    pub(super) fn given_up_ahead(&self, state: &State) -> Vec<(usize, u64)> {
        let most = self.spec.engine.paging.ahead_chunks;
        let mut wanted = Vec::new();
        for run in state.paging.given_up.0.iter().take(RUNS_AHEAD) {
            let at = band_of(run.first);
            let (first, last) = (number_of(run.first), number_of(run.last));
            let slots = state.bands.get(at).map(|band| band.slots_from(first));
            let slots = slots.into_iter().flatten();
            let absent = slots
                .take_while(|slot| slot.first <= last)
                .filter(|slot| slot.is_absent());
            for slot in absent {
                if wanted.len() >= most {
                    return wanted;
                }
                if !wanted.contains(&(at, slot.first)) {
                    wanted.push((at, slot.first));
                }
            }
        }
        wanted
    }

    /// The queue is deleted: nothing stays in it but what is to be dead-lettered all the same.
    pub(super) fn keep_last_letters(&self, state: &mut State) {
        if !self.sends_letters(state) || self.is_for_delayed {
            state.paging.given_up = GivenUp::default();
        }
        // Nobody tries again.
        let given_up = &mut state.paging.given_up.0;
        given_up.retain(|run| run.reason != Reason::Retry);
        let staying = state.paging.given_up.sorted();
        state.unacked = staying.iter().map(|(first, last)| last - first + 1).sum();
        let mut staying = staying.into_iter().peekable();
        for (at, band) in state.bands.iter_mut().enumerate() {
            let mut from = band.slots.front().map_or(band.end(), |slot| slot.first);
            while let Some((first, last)) = staying.next_if(|(first, _)| band_of(*first) == at) {
                settle_up_to(band, from, number_of(first));
                from = number_of(last) + 1;
            }
            settle_up_to(band, from, band.end());
        }
        state.paging.uncounted.clear();
        // Whoever asked before did not keep the queue.
        state.paging.loading.clear();
        self.end_if_done(state);
    }

    /// Whether what is given up goes somewhere.
    pub(super) fn sends_letters(&self, state: &State) -> bool {
        state.wants.dead_letter_exchange.is_some() || self.is_for_delayed
    }

    /// Whether a message that is given up goes somewhere, or waits, and is not in memory.
    fn must_be_read(&self, state: &State, sequence: u64, reason: Reason) -> bool {
        (self.sends_letters(state) || reason == Reason::Retry)
            && state.bands.get(band_of(sequence)).is_some_and(|band| {
                let record = band.record(number_of(sequence));
                matches!(record, Err(NoRecord::NotLoaded(_)))
            })
    }

    /// A queue that is deleted is done with what it had when the last letter is out.
    pub(super) fn end_if_done(&self, state: &mut State) {
        if state.paging.given_up.is_empty() {
            state.bands = vec![self.new_band()];
            state.unacked = 0;
        }
    }
}

impl State {
    /// Messages that were taken from the head of a band leave once all that were given up before have left;
    /// until then they count as unacked.
    pub(super) fn give_up_later(&mut self, band: usize, numbers: &[u64], reason: Reason) {
        self.unacked += numbers.len() as u64;
        for number in numbers {
            self.paging
                .given_up
                .push(sequence_of(band, *number), reason);
        }
    }
}

fn settle_up_to(band: &mut Band, from: u64, end: u64) {
    if from < end {
        band.settle(from, end - 1);
    }
}
