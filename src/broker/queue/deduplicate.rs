//! Taking no message while one with its id is in the queue, until that is acked, dropped or expired
//! (x-message-deduplication).

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::publish::Picked;
use super::{Queue, QueueType, State, sequence_of};
use crate::broker::Effects;
use crate::broker::deduplication::MessageId;
use crate::broker::log::{Place, Placement};
use crate::broker::message::Message;

impl Queue {
    /// Takes messages one by one, but for duplicates: those count as taken.
    pub(super) fn take_in_once(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        picked: Picked<'_>,
        effects: &mut Effects,
    ) {
        for at in 0..picked.len() {
            let (index, message) = (picked.index(at), picked.get(at));
            let id = MessageId::of(message.properties);
            let now_ms = self.spec.engine.clock.now_ms();
            if let Some(there) = id.and_then(|id| self.find_id(state, id, now_ms)) {
                self.drop_duplicate(state, message, index, there, effects);
                continue;
            }
            state.arriving = id;
            self.take_in(state, picked.only(&index), effects);
            // It may have been refused, or handed on.
            state.arriving = None;
        }
    }

    fn find_id(&self, state: &State, id: MessageId, now_ms: u64) -> Option<Placement> {
        let mut bands = state.bands.iter().enumerate();
        bands.find_map(|(at, band)| {
            let (number, expires_at_ms) = band.find_id(id, now_ms)?;
            let place = Place {
                queue: self.spec.id.0,
                sequence: sequence_of(at, number),
            };
            Some(Placement {
                place,
                expires_at_ms,
            })
        })
    }

    /// The message is confirmed when it is safe that one with its id is there. The other's record may
    /// still be on its way into the log, whoever published it: so this one becomes a record of the same
    /// place.
    fn drop_duplicate(
        &self,
        state: &mut State,
        message: &Message<'_>,
        index: u32,
        there: Placement,
        effects: &mut Effects,
    ) {
        self.spec.engine.metrics.messages_deduplicated.add(1);
        let keeps_all = self.queue_type == QueueType::Quorum;
        if self.spec.durable
            && self.spec.engine.log().is_some()
            && (message.facts.persistent || keeps_all)
        {
            state.is_logged = true;
            state.paging.is_dirty = true;
            effects.pending.begin(&self.spec.engine);
            effects
                .pending
                .placed(index, there, self.stored_by().revision());
        }
    }
}
