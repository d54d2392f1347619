//! Dead letters that stay in their queue until they have arrived (x-dead-letter-strategy: at-least-once).
//!
//! A message that is given up is taken, and the log hears that it is a letter. It is settled when every
//! queue that its exchange leads to has taken its copy, in the record that says so. Where there is none, or
//! one refuses it, it is tried again after a while (`waiting.rs`), and after a restart; queues that took it
//! are left out then, as far as this run knows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::{Queue, QueueId, State, band_of, number_of};
use crate::broker::Effects;
use crate::broker::dead_letter::Reason;

/// So often a letter is tried again that has not arrived.
const TRY_AGAIN_MS: u64 = 30_000;

/// A message that is given up.
#[derive(Debug)]
pub(super) struct Letter {
    pub reason: Reason,
    /// Who has it already.
    pub took: Vec<QueueId>,
}

/// What one of them takes in memory, roughly, in bytes.
const LETTER_BYTES: usize = 64;

/// What they take in memory, roughly, in bytes.
pub(super) fn memory_bytes(letters: &Letters) -> usize {
    letters.len() * LETTER_BYTES
}

/// Letters by their sequences.
pub(super) type Letters = BTreeMap<u64, Letter>;

impl Queue {
    /// Whether what is given up now stays until it has arrived.
    pub(super) fn keeps_letters(&self, state: &State) -> bool {
        state.wants.dead_letters_at_least_once && !self.is_deleted()
    }

    /// A message is given up and stays.
    pub(super) fn keep_letter(
        &self,
        state: &mut State,
        sequence: u64,
        reason: Reason,
        effects: &mut Effects,
    ) {
        if state.letters.contains_key(&sequence) {
            return;
        }
        let took = Vec::new();
        state.letters.insert(sequence, Letter { reason, took });
        if let Some(log) = self.log_of(state, effects) {
            log.letter(self.spec.id.0, sequence, reason.code());
        }
    }

    /// A letter is where it should be, which the log has heard.
    pub(in crate::broker) fn letter_arrived(self: &Arc<Self>, sequence: u64) {
        let mut state = self.state.lock();
        if self.is_deleted() || state.letters.remove(&sequence).is_none() {
            return;
        }
        state.paging.is_dirty |= state.is_logged;
        state.unacked -= 1;
        if let Some(band) = state.bands.get_mut(band_of(sequence)) {
            band.settle(number_of(sequence), number_of(sequence));
        }
        self.after(&mut state);
    }

    /// A letter did not arrive, or only in these queues: it is tried again, unless letters stay no more.
    pub(in crate::broker) fn letter_stays(
        self: &Arc<Self>,
        sequence: u64,
        took: &[QueueId],
        effects: &mut Effects,
    ) {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return;
        }
        if !self.keeps_letters(&state) {
            self.drop_letter(&mut state, sequence, effects);
            self.after(&mut state);
            return;
        }
        let due_ms = self.spec.engine.clock.now_ms() + TRY_AGAIN_MS;
        let Some(letter) = state.letters.get_mut(&sequence) else {
            return;
        };
        letter.took.extend_from_slice(took);
        state.waiting.push(due_ms, sequence);
        self.after(&mut state);
    }

    /// Letters stay no more: those that wait for another try go, as in RabbitMQ. Those that are on their
    /// way, or are read for it, go unless they arrive this time.
    pub(super) fn drop_letters(&self, state: &mut MutexGuard<'_, State>, effects: &mut Effects) {
        if state.letters.is_empty() {
            return;
        }
        let mut dropped = 0_u64;
        for (sequence, due_ms) in state.waiting.take_all() {
            match self.drop_letter(state, sequence, effects) {
                true => dropped += 1,
                false => state.waiting.push(due_ms, sequence),
            }
        }
        if dropped > 0 {
            let (queue, vhost) = (self.name(), &self.spec.vhost_name);
            tracing::info!(?queue, ?vhost, dropped, "dead letters stay no more");
        }
    }

    /// Settles what stayed as a letter. Says whether it was one.
    pub(super) fn drop_letter(
        &self,
        state: &mut State,
        sequence: u64,
        effects: &mut Effects,
    ) -> bool {
        let was_letter = state.letters.remove(&sequence).is_some();
        if was_letter {
            state.paging.is_dirty |= state.is_logged;
            state.unacked -= 1;
            self.settle_logged(state, sequence, sequence, effects);
        }
        was_letter
    }

    /// Letters are tried again at once: they may go elsewhere now.
    pub(super) fn hurry_letters(&self, state: &mut MutexGuard<'_, State>) {
        if state.letters.is_empty() {
            return;
        }
        for (sequence, due_ms) in state.waiting.take_all() {
            let is_letter = state.letters.contains_key(&sequence);
            state
                .waiting
                .push(if is_letter { 0 } else { due_ms }, sequence);
        }
    }
}
