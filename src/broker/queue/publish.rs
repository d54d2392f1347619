//! Taking messages: handed straight on to a consumer with room where nothing waits before them,
//! appended to their band otherwise; refused where a length limit says so.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::deliver::{LARGE_SLICE, LARGE_SLICE_BYTES, SLICE, deal};
use super::{Overflow, Queue, QueueType, State, sequence_of};
use crate::broker::log::{Place, Placement, Returns};
use crate::broker::message::{Facts, Message};
use crate::broker::{Delivery, Effects};

/// Some messages of a batch: all, or those at some indices.
#[derive(Clone, Copy)]
pub(super) struct Picked<'a> {
    batch: &'a [Message<'a>],
    picks: Option<&'a [u32]>,
}

impl<'a> Picked<'a> {
    pub fn len(&self) -> usize {
        self.picks.map_or(self.batch.len(), <[u32]>::len)
    }

    pub fn index(&self, at: usize) -> u32 {
        self.picks.map_or(at as u32, |picks| picks[at])
    }

    pub fn get(&self, at: usize) -> &'a Message<'a> {
        &self.batch[self.index(at) as usize]
    }

    /// Of the same batch, the one message at an index.
    pub fn only<'b>(&'b self, index: &'b u32) -> Picked<'b> {
        Picked {
            batch: self.batch,
            picks: Some(std::slice::from_ref(index)),
        }
    }
}

impl Queue {
    /// Takes messages: all of `batch`, or those at the indices `picks`. Messages that a length
    /// limit refuses are named in `effects.refused`. A queue that was deleted meanwhile drops
    /// them, as if they had arrived just before.
    pub fn publish(
        self: &Arc<Self>,
        batch: &[Message<'_>],
        picks: Option<&[u32]>,
        effects: &mut Effects,
    ) {
        let picked = Picked { batch, picks };
        let mut state = self.state.lock();
        if self.is_deleted() {
            return;
        }
        state.note_use();
        if state.stream.is_some() {
            self.publish_to_stream(&mut state, picked, effects);
            return self.after(&mut state);
        }
        if self.is_for_delayed {
            self.take_in_delayed(&mut state, picked, effects);
            return self.after(&mut state);
        }
        if self.takes_once {
            self.take_in_once(&mut state, picked, effects);
        } else {
            self.take_in(&mut state, picked, effects);
        }
        self.drop_unservable(&mut state, effects);
        self.note_pace(&state, picked.len(), effects);
        self.after(&mut state);
    }

    #[inline]
    pub(super) fn take_in(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        picked: Picked<'_>,
        effects: &mut Effects,
    ) {
        if state.wants.overflow != Overflow::DropHead {
            return self.publish_unless_full(state, picked, effects);
        }
        let mut from = 0;
        while from < picked.len() && state.ready == 0 && state.hands_on(picked.len() - from) {
            from += state.hand_on(picked, from, effects);
        }
        if from == picked.len() {
            return;
        }
        let now_ms = self.spec.engine.clock.now_ms();
        while from < picked.len() {
            let to = from + state.at_a_time(picked, from);
            self.append(state, picked, from..to, now_ms, effects);
            self.deliver_as_of(state, now_ms, effects);
            self.drop_over_length(state, effects);
            from = to;
        }
    }

    /// As many as the length limits leave room for; deliveries in between make room again.
    fn publish_unless_full(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        picked: Picked<'_>,
        effects: &mut Effects,
    ) {
        let now_ms = self.spec.engine.clock.now_ms();
        let max_bytes = state.wants.max_length_bytes.unwrap_or(u64::MAX);
        let max_length = state.wants.max_length.unwrap_or(u64::MAX);
        let is_of_one_level = state.is_of_one_level(picked, 0);
        for at in 0..picked.len() {
            let body_bytes = picked.get(at).body.len() as u64;
            if state.held() + 1 > max_length || state.ready_bytes() + body_bytes > max_bytes {
                effects.refused.push(picked.index(at));
                if state.wants.overflow == Overflow::RejectPublishDlx {
                    self.dead_letter_refused(state, picked.get(at), effects);
                }
                continue;
            }
            self.append(state, picked, at..at + 1, now_ms, effects);
            // A consumer that has room is given this one, whatever priority the next ones have.
            let is_given = !is_of_one_level && state.consumers.any_with_room();
            let is_full = state.held() >= max_length || state.ready_bytes() >= max_bytes;
            if is_given || is_full {
                self.deliver_as_of(state, now_ms, effects);
            }
        }
        self.deliver_as_of(state, now_ms, effects);
    }

    fn append(
        &self,
        state: &mut MutexGuard<'_, State>,
        picked: Picked<'_>,
        range: Range<usize>,
        now_ms: u64,
        effects: &mut Effects,
    ) {
        let count = range.len();
        let logged_from = self.logged_from();
        let keeps_all = state.wants.queue_type == QueueType::Quorum;
        for at in range {
            let message = picked.get(at);
            let ttl_ms = state
                .wants
                .message_ttl_ms
                .unwrap_or(Facts::NEVER)
                .min(message.facts.expiration_ms);
            let expires_at_ms = if ttl_ms == Facts::NEVER {
                Facts::NEVER
            } else {
                state.may_expire = true;
                now_ms.saturating_add(ttl_ms)
            };
            let band = state.wants.band_of(message);
            if band >= state.bands.len() {
                state.bands.resize_with(band + 1, || self.new_band());
            }
            let kept;
            let mut message = message;
            if keeps_all && !message.facts.persistent {
                kept = as_persistent(message);
                message = &kept;
            }
            let logged_from = logged_from.filter(|_| message.facts.persistent);
            let number = state.bands[band].append(message, expires_at_ms, logged_from);
            if self.takes_once
                && let Some(id) = state.arriving.take()
            {
                state.bands[band].note_id(number, id, expires_at_ms);
            }
            if logged_from.is_some() {
                let sequence = sequence_of(band, number);
                self.note_placed(state, picked.index(at), sequence, expires_at_ms, effects);
            }
        }
        state.ready += count as u64;
    }

    /// An index that records in the log will not be below that are appended from now on, if it is to have
    /// any of this queue's messages.
    pub(super) fn logged_from(&self) -> Option<u64> {
        let log = self.spec.engine.log().filter(|_| self.spec.durable);
        log.map(|log| log.safe_index() + 1)
    }

    /// The message at `index` of its batch got a place here, which the log is to hear of.
    #[inline]
    pub(super) fn note_placed(
        &self,
        state: &mut State,
        index: u32,
        sequence: u64,
        expires_at_ms: u64,
        effects: &mut Effects,
    ) {
        state.is_logged = true;
        state.paging.is_dirty = true;
        effects.pending.begin(&self.spec.engine);
        let place = Place {
            queue: self.spec.id.0,
            sequence,
        };
        let placement = Placement {
            place,
            expires_at_ms,
        };
        effects
            .pending
            .placed(index, placement, self.stored_by().revision());
    }
}

/// A quorum queue and a stream keep whatever they take.
pub(super) fn as_persistent<'a>(message: &Message<'a>) -> Message<'a> {
    let facts = Facts {
        persistent: true,
        ..message.facts
    };
    Message { facts, ..*message }
}

impl State {
    /// Whether whoever is next, for so many messages, needs none to be kept for it.
    pub(super) fn hands_on(&mut self, messages: usize) -> bool {
        let most = messages.min(LARGE_SLICE);
        self.consumers.next_in_turn(most, &mut self.turn);
        let consumers = &self.consumers;
        !self.turn.is_empty()
            && self
                .turn
                .iter()
                .all(|id| consumers.get(*id).is_some_and(|consumer| consumer.no_ack))
    }

    /// Whether no message goes before another because of its priority: of those from `from` on, and those
    /// that are there.
    fn is_of_one_level(&self, picked: Picked<'_>, from: usize) -> bool {
        !self.wants.has_levels()
            || self.bands.len() == 1
                && (from..picked.len()).all(|at| self.wants.band_of(picked.get(at)) == 0)
    }

    /// How many messages from `from` on may be taken at once, with what comes of it as if they had come
    /// one by one. With priorities that depends on those before: a consumer that has room is given
    /// the next one whatever follows it, and a length limit counts what is there.
    fn at_a_time(&self, picked: Picked<'_>, from: usize) -> usize {
        let left = picked.len() - from;
        if self.is_of_one_level(picked, from) {
            return left;
        }
        if self.wants.limits_length() {
            return 1;
        }
        if self.ready > 0 || !self.consumers.any_with_room() {
            return left;
        }
        let level = |at| self.wants.level_of(picked.get(at));
        let rises = |at: &usize| level(*at) > level(at - 1);
        let rise = (from + 1..picked.len()).find(rises);
        rise.map_or(left, |at| at - from)
    }

    /// Hands messages from `from` on to consumers without storing them; says how many.
    fn hand_on(&mut self, picked: Picked<'_>, from: usize, effects: &mut Effects) -> usize {
        let left = picked.len() - from;
        let mut count = left.min(SLICE);
        if self.turn.len() > 1 {
            let mut left_bytes = LARGE_SLICE_BYTES;
            let fits = |at: &usize| {
                let is_room = left_bytes > 0;
                left_bytes = left_bytes.saturating_sub(picked.get(*at).body.len());
                is_room
            };
            let most = from + left.min(LARGE_SLICE);
            count = (from..most).take_while(fits).count();
        }
        let mut deliveries: SmallVec<[Delivery<'_>; SLICE]> = SmallVec::with_capacity(count);
        deliveries.extend((from..from + count).map(|at| Delivery {
            message: *picked.get(at),
            sequence: 0,
            returns: Returns::default(),
            redelivered: false,
        }));
        deal(&mut self.consumers, &mut self.turn, &deliveries, effects).count
    }
}
