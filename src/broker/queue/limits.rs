//! What length limits and times-to-live take away from the head of a queue, and the queue's timer.

use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::deliver::settle_runs;
use super::head::Head;
use super::slot::Slot;
use super::{Overflow, Queue, State, band_of, number_of, sequence_of};
use crate::broker::Effects;
use crate::broker::dead_letter::{DeadLetter, Reason};
use crate::broker::message::{Facts, Message};

/// So many messages are taken away at once.
const SLICE: u64 = 256;

impl Queue {
    /// Drops from the head what is over the length limits.
    pub(super) fn drop_over_length(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects,
    ) {
        if state.wants.overflow != Overflow::DropHead {
            return;
        }
        let max_length = state.wants.max_length.unwrap_or(u64::MAX);
        while state.held() > max_length && state.ready > 0 {
            let excess = (state.held() - max_length).min(SLICE);
            let Some(head) = state.head() else { return };
            let goes = |taken, _: &Message<'_>| taken < excess;
            if self.drop_from(state, head, Reason::MaxLength, effects, goes) == 0 {
                // It is on its way from the disk.
                return;
            }
        }
        if let Some(max_bytes) = state.wants.max_length_bytes {
            let mut ready_bytes = state.ready_bytes();
            while ready_bytes > max_bytes && state.ready > 0 {
                let Some(head) = state.head() else { return };
                let goes = |taken, message: &Message<'_>| {
                    let over = ready_bytes > max_bytes && taken < SLICE;
                    if over {
                        ready_bytes -= message.body.len() as u64;
                    }
                    over
                };
                if self.drop_from(state, head, Reason::MaxLength, effects, goes) == 0 {
                    return;
                }
            }
        }
    }

    /// Whether messages have to go because of the length limits.
    pub(super) fn is_over_length(&self, state: &State) -> bool {
        state.wants.overflow == Overflow::DropHead
            && (state
                .wants
                .max_length
                .is_some_and(|most| state.held() > most)
                || state
                    .wants
                    .max_length_bytes
                    .is_some_and(|most| state.ready_bytes() > most))
    }

    /// Drops what expired by `now_ms` from the head of the queue (in a quorum queue: of each priority);
    /// what has expired behind a message that has not stays, as in RabbitMQ.
    pub(super) fn drop_expired(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        now_ms: u64,
        effects: &mut Effects,
    ) {
        let has_expired = |state: &State, head| {
            let at_ms = state.expires_at_ms(head);
            at_ms.is_some_and(|at_ms| at_ms <= now_ms)
        };
        loop {
            let mut heads = state.heads().into_iter();
            // What is on its way from the disk goes when it is there.
            let has_dropped = heads.any(|head| {
                has_expired(state, head)
                    && self.drop_expired_slice(state, head, now_ms, effects) > 0
            });
            if !has_dropped {
                return;
            }
        }
    }

    /// After a publish: what was published with a time-to-live of 0 and found nobody goes.
    pub(super) fn drop_unservable(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects,
    ) {
        if state.may_expire && state.ready > 0 {
            let now_ms = self.spec.engine.clock.now_ms();
            self.drop_expired(state, now_ms, effects);
        }
    }

    /// A message that came when the queue was full, under reject-publish-dlx.
    pub(super) fn dead_letter_refused(
        self: &Arc<Self>,
        state: &State,
        message: &Message<'_>,
        effects: &mut Effects,
    ) {
        if state.wants.dead_letter_exchange.is_some() {
            let (source, reason) = (Arc::clone(self), Reason::MaxLength);
            effects.dead_letter(DeadLetter::new(source, &state.wants, reason, message, None));
        }
    }

    /// Settles an unacked message, which is in memory if it is to be dead-lettered.
    pub(super) fn give_up_now(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        sequence: u64,
        reason: Reason,
        effects: &mut Effects,
    ) {
        state.paging.is_dirty |= state.is_logged;
        if self.keeps_letters(state) {
            let band = state.bands.get(band_of(sequence));
            let record = band.and_then(|band| band.record(number_of(sequence)).ok());
            if let Some(record) = record {
                return self.move_on(state, sequence, reason, &record.message, effects);
            }
            // It was lost with its chunk.
            state.letters.remove(&sequence);
        } else if self.drop_letter(state, sequence, effects) {
            // It would have stayed until it arrived, and no letters do any more.
            return;
        }
        state.unacked -= 1;
        if self.sends_letters(state)
            && let Some(band) = state.bands.get(band_of(sequence))
            && let Ok(record) = band.record(number_of(sequence))
        {
            self.move_on(state, sequence, reason, &record.message, effects);
            if let Some(band) = state.bands.get_mut(band_of(sequence)) {
                band.settle(number_of(sequence), number_of(sequence));
            }
            return;
        }
        self.settle_logged(state, sequence, sequence, effects);
    }

    /// Copies a message that is given up, on its way to the dead-letter exchange. Where it is logged,
    /// what it leaves here and what it becomes there are one record.
    fn move_on(
        self: &Arc<Self>,
        state: &State,
        sequence: u64,
        reason: Reason,
        message: &Message<'_>,
        effects: &mut Effects,
    ) {
        if state.is_logged {
            effects.pending.begin(&self.spec.engine);
        }
        let left = state.is_logged.then_some(sequence);
        let source = Arc::clone(self);
        let mut letter = DeadLetter::new(source, &state.wants, reason, message, left);
        if self.keeps_letters(state) {
            let known = state.letters.get(&sequence);
            letter.stay(sequence, known.map_or(&[], |known| &known.took));
        }
        effects.dead_letter(letter);
    }

    /// Sets the timer to when the head expires or the queue does, whichever comes first.
    pub(super) fn set_timer(self: &Arc<Self>, state: &mut MutexGuard<'_, State>) {
        let waiting_ms = match self.is_for_delayed && !state.paging.given_up.is_empty() {
            // What is due waits until that has left.
            true => None,
            false => state.waiting.next_ms(),
        };
        if !state.may_expire && state.wants.expires_ms.is_none() && waiting_ms.is_none() {
            return;
        }
        let message_ms = if state.may_expire {
            state.look_at_heads();
            let now_ms = self.spec.engine.clock.now_ms();
            let heads = state.heads().into_iter();
            // What has expired and is not in memory goes as soon as it is; nobody need be woken for it.
            let heads = heads.filter(|head| !state.is_expired_on_disk(*head, now_ms));
            heads.filter_map(|head| state.expires_at_ms(head)).min()
        } else {
            None
        };
        let wanted_ms = [message_ms, self.expires_at_ms(state), waiting_ms];
        let Some(wanted_ms) = wanted_ms.into_iter().flatten().min() else {
            return;
        };
        // A timer that goes off too early sets itself anew; that is cheaper than moving it along
        // with every change.
        let timers = &self.spec.engine.timers;
        match state.timer_ms {
            Some(timer_ms) if timer_ms <= wanted_ms => return,
            Some(timer_ms) => timers.cancel(timer_ms, self.spec.id.0),
            None => {}
        }
        timers.schedule(wanted_ms, self.spec.id.0, Arc::downgrade(self));
        state.timer_ms = Some(wanted_ms);
    }

    /// When the queue itself goes if nobody uses it.
    pub(super) fn expires_at_ms(&self, state: &State) -> Option<u64> {
        let expires_ms = state
            .wants
            .expires_ms
            .filter(|_| state.consumers.is_empty())?;
        Some(state.used_at_ms.saturating_add(expires_ms))
    }

    fn drop_expired_slice(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        head: Head,
        now_ms: u64,
        effects: &mut Effects,
    ) -> u64 {
        let mut count = 0;
        head.read(&state.bands, |_, _, record| {
            let expired = record.expires_at_ms <= now_ms && count < SLICE;
            count += u64::from(expired);
            expired
        });
        let goes = |taken, _: &Message<'_>| taken < count;
        self.drop_from(state, head, Reason::Expired, effects, goes)
    }

    /// Takes messages from a head for as long as `goes` says so (given how
    /// many went before) and they are in memory, and dead-letters or drops them, or will do so when its
    /// turn has come. Says how many.
    fn drop_from(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        head: Head,
        reason: Reason,
        effects: &mut Effects,
        mut goes: impl FnMut(u64, &Message<'_>) -> bool,
    ) -> u64 {
        let at = head.band();
        let dead_letters = state.wants.dead_letter_exchange.is_some();
        let waits = dead_letters && !state.paging.given_up.is_empty();
        state.paging.is_dirty |= state.is_logged;
        let mut numbers = Vec::new();
        let mut body_bytes = 0;
        head.read(&state.bands, |number, _, record| {
            if !goes(numbers.len() as u64, &record.message) {
                return false;
            }
            numbers.push(number);
            body_bytes += record.message.body.len() as u64;
            if dead_letters && !waits {
                let sequence = sequence_of(at, number);
                self.move_on(state, sequence, reason, &record.message, effects);
            }
            true
        });
        state.take(head, numbers.len() as u64, body_bytes);
        let keeps = self.keeps_letters(state);
        if keeps {
            for number in &numbers {
                self.keep_letter(state, sequence_of(at, *number), reason, effects);
            }
        }
        if waits {
            state.give_up_later(at, &numbers, reason);
            return numbers.len() as u64;
        }
        if keeps {
            state.unacked += numbers.len() as u64;
            return numbers.len() as u64;
        }
        let band = &mut state.bands[at];
        settle_runs(numbers.iter().copied(), |first, last| {
            band.settle(first, last)
        });
        if !dead_letters && let Some(log) = self.log_of(state, effects) {
            settle_runs(numbers.iter().copied(), |first, last| {
                log.settled(
                    self.spec.id.0,
                    sequence_of(at, first),
                    sequence_of(at, last),
                );
            });
        }
        numbers.len() as u64
    }
}

impl State {
    /// What counts against the limit of messages: those that are ready, and those that will be.
    pub(super) fn held(&self) -> u64 {
        self.ready + self.waiting.len() as u64
    }

    /// When the first of some messages expires, if it does and that is known.
    fn expires_at_ms(&self, head: Head) -> Option<u64> {
        let (_, at_ms) = self
            .first_in_memory(head)
            .or_else(|| self.first_seen(head))?;
        Some(at_ms).filter(|at_ms| *at_ms != Facts::NEVER)
    }

    /// Remembers when messages at the head expire, so that nobody need read them for that.
    fn look_at_heads(&mut self) {
        let heads = self.heads().into_iter();
        let seen = heads.filter_map(|head| {
            let first = self.first_in_memory(head);
            first.or_else(|| self.first_seen(head))
        });
        self.seen_heads = seen.collect();
    }

    /// Whether it is known when the first of some messages expires.
    fn knows(&self, head: Head) -> bool {
        self.first_seen(head).is_some() || !self.is_absent(head)
    }

    /// The sequence of the first of some messages, and when it expires, if that was seen before.
    fn first_seen(&self, head: Head) -> Option<(u64, u64)> {
        let first = self.first_sequence(head)?;
        let mut seen = self.seen_heads.iter().copied();
        seen.find(|(sequence, _)| *sequence == first)
    }

    fn is_absent(&self, head: Head) -> bool {
        let band = &self.bands[head.band()];
        let first = self.first_of(head);
        let slot = first.and_then(|(number, _)| band.slot(number));
        slot.is_some_and(Slot::is_absent)
    }

    /// Whether the first of some messages has expired and must be read before it can go.
    fn is_expired_on_disk(&self, head: Head, now_ms: u64) -> bool {
        self.is_absent(head)
            && self
                .expires_at_ms(head)
                .is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// Messages at the head of which the first must be in memory because of when it expires: that has
    /// come, or is not known.
    pub(super) fn heads_to_look_at(&self, now_ms: u64) -> SmallVec<[Head; 2]> {
        let mut heads = self.heads();
        heads.retain(|head| !self.knows(*head) || self.is_expired_on_disk(*head, now_ms));
        heads
    }

    fn first_sequence(&self, head: Head) -> Option<u64> {
        let (number, _) = self.first_of(head)?;
        Some(sequence_of(head.band(), number))
    }

    /// The sequence of the first of some messages, and when it expires, if it is in memory.
    fn first_in_memory(&self, head: Head) -> Option<(u64, u64)> {
        if self.stream.is_some() {
            // It keeps there when a message came.
            return None;
        }
        let sequence = self.first_sequence(head)?;
        let record = self.bands[head.band()].record(number_of(sequence)).ok()?;
        Some((sequence, record.expires_at_ms))
    }
}
