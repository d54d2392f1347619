//! The queue in which an exchange of type x-delayed-message keeps messages until their delay is over.
//!
//! ```text
//! publish ─▶ a band for its due time ─▶ log, segments, as in any queue
//!               └─▶ waiting.rs ─(due)─▶ given_up.rs: read it, if need be ─▶ outbox ─▶ the exchange
//! ```
//!
//! What is kept as "expires" is when a message is due, so that a restart knows it. Messages are taken as
//! soon as they come, and leave as dead letters do: that they left and where they arrived is one record in
//! the log.
//!
//! Messages that are due at about the same time lie in one band, whatever their delays. So what is due is
//! read from few chunks, in the narrow window of memory that every queue has, and what is settled stays few
//! ranges. Of a million messages that are due at random within an hour a band has four thousand.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::publish::Picked;
use super::{Queue, QueueSpec, State, band_of, number_of, sequence_of};
use crate::amqp::reply::Exception;
use crate::broker::Effects;
use crate::broker::dead_letter::Reason;
use crate::broker::delayed_message::delay_ms_of;

/// So many bands take turns ...
const BANDS: u64 = 256;

/// ... and each has the messages that are due within so many milliseconds, as a power of two.
const BAND_MS_SHIFT: u32 = 8;

/// Chunks are small, because each band has one that is being filled, and because one is read for a few of
/// its messages where delays are very different.
pub(super) const CHUNK_BYTES: usize = 32 << 10;

/// So many messages that are due leave at once.
const MOST_AT_ONCE: usize = 256;

impl Queue {
    /// The queue for an exchange that delays messages.
    ///
    /// # Errors
    /// None for a spec without arguments.
    pub(in crate::broker) fn for_delayed(spec: QueueSpec) -> Result<Arc<Self>, Exception> {
        Self::make(spec, true, |_| Default::default())
    }

    /// Takes messages in that are to be routed later.
    pub(super) fn take_in_delayed(
        &self,
        state: &mut MutexGuard<'_, State>,
        picked: Picked<'_>,
        effects: &mut Effects,
    ) {
        let now_ms = self.spec.engine.clock.now_ms();
        let logged_from = self.logged_from();
        for at in 0..picked.len() {
            let message = picked.get(at);
            let delay_ms = delay_ms_of(message.properties).unwrap_or(0);
            // One that will never be due is not to be taken for one that never expires.
            let due_ms = now_ms.saturating_add(delay_ms).min(u64::MAX - 1);
            let band = band_of_due(due_ms);
            if band >= state.bands.len() {
                state.bands.resize_with(band + 1, || self.new_band());
            }
            let logged_from = logged_from.filter(|_| message.facts.persistent);
            let number = state.bands[band].append(message, due_ms, logged_from);
            state.bands[band].take_head(1, message.body.len() as u64);
            let sequence = sequence_of(band, number);
            if logged_from.is_some() {
                self.note_placed(state, picked.index(at), sequence, due_ms, effects);
            }
            state.waiting.push(due_ms, sequence);
        }
        state.unacked += picked.len() as u64;
    }

    /// What is due leaves, unless earlier ones are still to be read.
    pub(super) fn send_due(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        now_ms: u64,
        effects: &mut Effects,
    ) {
        if !state.paging.given_up.is_empty() {
            return;
        }
        for _ in 0..MOST_AT_ONCE {
            let Some(sequence) = state.waiting.pop_due(now_ms) else {
                return;
            };
            self.give_up(state, sequence, Reason::Due, effects);
        }
    }

    /// A message that was taken for due, and has been read, leaves: unless a start could not read when it
    /// is due.
    pub(super) fn send_if_due(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        sequence: u64,
        effects: &mut Effects,
    ) {
        let band = state.bands.get(band_of(sequence));
        let record = band.and_then(|band| band.record(number_of(sequence)).ok());
        let due_ms = record.map_or(0, |record| record.expires_at_ms);
        match due_ms > self.spec.engine.clock.now_ms() {
            true => state.waiting.push(due_ms, sequence),
            false => self.give_up_now(state, sequence, Reason::Due, effects),
        }
    }

    /// The exchange is deleted, and with it what waits here.
    pub(in crate::broker) fn drop_delayed(self: &Arc<Self>) {
        // Without conditions it cannot be refused, and nobody has to be told.
        let _ = self.close(false, false, &mut Effects::new());
    }

    /// Whether it keeps messages for an exchange that delays them.
    pub(crate) fn is_for_delayed(&self) -> bool {
        self.is_for_delayed
    }
}

/// The band for what is due then.
fn band_of_due(due_ms: u64) -> usize {
    (due_ms >> BAND_MS_SHIFT & (BANDS - 1)) as usize
}
