//! What length limits and times-to-live take away from the head of a queue, and the queue's timer.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::deliver::settle_runs;
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
            if self.drop_head(state, Reason::MaxLength, effects, |taken, _| taken < excess) == 0 {
                // It is on its way from the disk.
                return;
            }
        }
        if let Some(max_bytes) = state.wants.max_length_bytes {
            let mut ready_bytes = state.ready_bytes();
            while ready_bytes > max_bytes && state.ready > 0 {
                let dropped =
                    self.drop_head(state, Reason::MaxLength, effects, |taken, message| {
                        let over = ready_bytes > max_bytes && taken < SLICE;
                        if over {
                            ready_bytes -= message.body.len() as u64;
                        }
                        over
                    });
                if dropped == 0 {
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

    /// Drops what expired by `now_ms` from the head of the queue; what has expired behind a
    /// message that has not stays, as in RabbitMQ.
    pub(super) fn drop_expired(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        now_ms: u64,
        effects: &mut Effects,
    ) {
        while state
            .head_expires_at_ms()
            .is_some_and(|at_ms| at_ms <= now_ms)
        {
            if self.drop_expired_slice(state, now_ms, effects) == 0 {
                // It is on its way from the disk.
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
        }
        state.letters.remove(&sequence);
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
            state.look_at_head();
            state.head_expires_at_ms()
        } else {
            None
        };
        // What has expired and is not in memory goes as soon as it is; nobody need be woken for it.
        let message_ms = message_ms.filter(|_| !self.is_expired_on_disk(state));
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

    /// Whether the message at the head has expired and must be read before it can go.
    fn is_expired_on_disk(&self, state: &State) -> bool {
        state.is_head_absent()
            && state
                .head_expires_at_ms()
                .is_some_and(|at_ms| at_ms <= self.spec.engine.clock.now_ms())
    }

    /// Whether the head must be in memory because of when it expires: that has come, or is not known.
    pub(super) fn must_look_at_head(&self, state: &State) -> bool {
        state.may_expire && (!state.knows_head() || self.is_expired_on_disk(state))
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
        now_ms: u64,
        effects: &mut Effects,
    ) -> u64 {
        let Some(band) = state.top_band() else {
            return 0;
        };
        let mut count = 0;
        state.bands[band].read_ready(|_, _, record| {
            let expired = record.expires_at_ms <= now_ms && count < SLICE;
            count += u64::from(expired);
            expired
        });
        self.drop_head(state, Reason::Expired, effects, |taken, _| taken < count)
    }

    /// Takes messages from the head of the highest band for as long as `goes` says so (given how
    /// many went before) and they are in memory, and dead-letters or drops them, or will do so when its
    /// turn has come. Says how many.
    fn drop_head(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        reason: Reason,
        effects: &mut Effects,
        mut goes: impl FnMut(u64, &Message<'_>) -> bool,
    ) -> u64 {
        let Some(at) = state.top_band() else { return 0 };
        let dead_letters = state.wants.dead_letter_exchange.is_some();
        let waits = dead_letters && !state.paging.given_up.is_empty();
        state.paging.is_dirty |= state.is_logged;
        let mut numbers = Vec::new();
        let mut body_bytes = 0;
        state.bands[at].read_ready(|number, _, record| {
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
        let band = &mut state.bands[at];
        band.take_head(numbers.len() as u64, body_bytes);
        state.ready -= numbers.len() as u64;
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

    /// When the message at the head expires, if it does and that is known.
    fn head_expires_at_ms(&self) -> Option<u64> {
        let (_, at_ms) = self.head_in_memory().or_else(|| {
            let head = self.head_sequence()?;
            self.seen_head.filter(|(sequence, _)| *sequence == head)
        })?;
        Some(at_ms).filter(|at_ms| *at_ms != Facts::NEVER)
    }

    /// Remembers when the message at the head expires, so that nobody need read it for that.
    fn look_at_head(&mut self) {
        if let Some(head) = self.head_in_memory() {
            self.seen_head = Some(head);
        }
    }

    /// Whether it is known when the message at the head expires, if there is one.
    fn knows_head(&self) -> bool {
        let head = self.head_sequence();
        head.is_none()
            || head == self.seen_head.map(|(sequence, _)| sequence)
            || !self.is_head_absent()
    }

    fn is_head_absent(&self) -> bool {
        let band = self.top_band().map(|at| &self.bands[at]);
        band.is_some_and(|band| {
            let head = band.head().and_then(|(number, _)| band.slot(number));
            head.is_some_and(Slot::is_absent)
        })
    }

    fn head_sequence(&self) -> Option<u64> {
        let at = self.top_band()?;
        let (number, _) = self.bands[at].head()?;
        Some(sequence_of(at, number))
    }

    /// The sequence of the message at the head, and when it expires, if it is in memory.
    fn head_in_memory(&self) -> Option<(u64, u64)> {
        if self.stream.is_some() {
            // It keeps there when a message came.
            return None;
        }
        let sequence = self.head_sequence()?;
        let record = self.bands[band_of(sequence)]
            .record(number_of(sequence))
            .ok()?;
        Some((sequence, record.expires_at_ms))
    }
}
