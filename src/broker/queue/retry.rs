//! Delayed retry: a message that comes back waits before it is delivered again, the longer the more often
//! consumers failed on it.
//!
//! In: messages that consumers return. Out: the same, ready again when their time has come (`waiting.rs`).
//! The log hears until when each waits, so a restart changes nothing about that. A message waits in its
//! place: it is ready there as soon as it is due.
//!
//! Names and meaning are those of RabbitMQ's quorum queues since 4.3; what goes beyond is named alike.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::slot::NoRecord;
use super::{Queue, State, band_of, number_of};
use crate::broker::Effects;
use crate::broker::dead_letter::Reason;
use crate::broker::delayed_message::whole_number;
use crate::broker::exchange::MessageHeaders;
use crate::broker::log::Returns;

/// No message waits longer: ten years, as for times to live.
const MAX_DELAY_MS: u64 = 315_360_000_000;

/// So many messages come back at once.
const MOST_AT_ONCE: usize = 1024;

/// A header by which a message says for itself how many milliseconds it waits.
const OWN_DELAY: &[u8] = b"x-retry-delay";

/// How messages come back to their queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// By basic.nack.
    Nacked,
    /// By basic.reject: its consumer failed on it.
    Rejected,
    /// By basic.recover.
    Recovered,
    /// Its consumer is gone, with its channel.
    Abandoned,
    /// Its consumer took too long.
    TimedOut,
}

impl Cause {
    /// What counts as a failure in RabbitMQ since 4.3.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Rejected | Self::Abandoned)
    }
}

/// Which of them wait (x-delayed-retry-type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryType {
    /// All that come back.
    All,
    /// Those that were rejected, or whose consumer is gone.
    Failed,
    /// The others.
    Returned,
}

impl RetryType {
    /// The type of that name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"all" => Some(Self::All),
            b"failed" => Some(Self::Failed),
            b"returned" => Some(Self::Returned),
            _ => None,
        }
    }
}

/// How long messages wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Which wait.
    pub kind: RetryType,
    /// x-delayed-retry-min in milliseconds: the first delay.
    pub min_ms: u64,
    /// x-delayed-retry-max in milliseconds: the longest delay.
    pub max_ms: Option<u64>,
    /// x-delayed-retry-multiplier: each delay is so many times the one before; None: each is longer than the
    /// one before by the first.
    pub multiplier: Option<f64>,
    /// x-delayed-retry-jitter, from 0 to 1: what share of a delay is left to chance.
    pub jitter: f64,
    /// x-delayed-retry-max-attempts: after so many deliveries it is dead-lettered.
    pub max_attempts: Option<u32>,
}

impl Retry {
    fn applies(&self, cause: Cause) -> bool {
        match self.kind {
            RetryType::All => true,
            RetryType::Failed => cause.is_failure(),
            RetryType::Returned => !cause.is_failure(),
        }
    }

    /// How long a message waits on which consumers failed so often, if chance (from 0 to 1) falls so. The
    /// delay of one that came back otherwise does not grow, as in RabbitMQ.
    fn delay_ms(&self, failures: u32, chance: f64) -> u64 {
        let failures = failures.max(1);
        let (grown_ms, most_ms) = match self.multiplier {
            // As in RabbitMQ a delay without a maximum does not grow.
            None => (
                self.min_ms.saturating_mul(failures.into()),
                self.max_ms.unwrap_or(self.min_ms),
            ),
            Some(multiplier) => {
                let times = i32::try_from(failures - 1).unwrap_or(i32::MAX);
                let grown_ms = self.min_ms as f64 * multiplier.powi(times);
                // Too large a number becomes the largest there is.
                (grown_ms as u64, self.max_ms.unwrap_or(MAX_DELAY_MS))
            }
        };
        let delay_ms = grown_ms.min(most_ms).min(MAX_DELAY_MS);
        delay_ms - (delay_ms as f64 * self.jitter * chance) as u64
    }
}

impl Queue {
    /// Has a message wait that came back, if it is to; says whether that is so. It counts as unacked
    /// meanwhile.
    pub(super) fn wait_to_retry(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        sequence: u64,
        returns: Returns,
        cause: Cause,
        effects: &mut Effects,
    ) -> bool {
        if !state.wants.retry.is_some_and(|retry| retry.applies(cause)) {
            return false;
        }
        let Some(band) = state.bands.get_mut(band_of(sequence)) else {
            return false;
        };
        band.note_returns(number_of(sequence), returns);
        if let Err(NoRecord::NotLoaded(_)) = band.record(number_of(sequence)) {
            // It may say for itself how long it waits.
            state.paging.given_up.push(sequence, Reason::Retry);
        } else {
            self.wait_now(state, sequence, effects);
        }
        true
    }

    /// Has a message wait that came back and is in memory, if it is there still.
    pub(super) fn wait_now(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        sequence: u64,
        effects: &mut Effects,
    ) {
        let number = number_of(sequence);
        let band = state.bands.get(band_of(sequence));
        let found = band.and_then(|band| Some((band, band.record(number).ok()?)));
        let Some((band, record)) = found else {
            // It was lost with its chunk.
            state.unacked -= 1;
            return;
        };
        let most_ms = state.wants.retry.and_then(|retry| retry.max_ms);
        let own_ms = MessageHeaders::new(record.message.properties)
            .get(OWN_DELAY)
            .and_then(whole_number)
            .and_then(|delay_ms| u64::try_from(delay_ms).ok())
            .map(|delay_ms| delay_ms.min(most_ms.unwrap_or(MAX_DELAY_MS)));
        let usual_ms = || match &state.wants.retry {
            Some(retry) => retry.delay_ms(band.returns_of(number).failures, rand::random()),
            None => 0,
        };
        let delay_ms = own_ms.unwrap_or_else(usual_ms).min(MAX_DELAY_MS);
        let due_ms = self.spec.engine.clock.now_ms().saturating_add(delay_ms);
        if let Some(log) = self.log_of(state, effects) {
            log.waits(self.spec.id.0, sequence, due_ms);
        }
        state.waiting.push(due_ms, sequence);
    }

    /// What has waited long enough is ready again; a dead letter that stays is tried again.
    pub(super) fn bring_back(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        now_ms: u64,
        effects: &mut Effects,
    ) {
        for _ in 0..MOST_AT_ONCE {
            let Some(sequence) = state.waiting.pop_due(now_ms) else {
                return;
            };
            if let Some(letter) = state.letters.get(&sequence) {
                let reason = letter.reason;
                self.give_up(state, sequence, reason, effects);
                continue;
            }
            if let Some(band) = state.bands.get(band_of(sequence)) {
                let returns = band.returns_of(number_of(sequence));
                state.give_back(sequence, returns);
            }
            state.unacked -= 1;
        }
    }

    /// Drops what waits to be ready again, and says how many that is.
    pub(super) fn drop_waiting(
        &self,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects,
    ) -> u64 {
        let mut dropped = 0;
        for (sequence, due_ms) in state.waiting.take_all() {
            if state.letters.contains_key(&sequence) {
                state.waiting.push(due_ms, sequence);
                continue;
            }
            dropped += 1;
            state.unacked -= 1;
            self.settle_logged(state, sequence, sequence, effects);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retry(min_ms: u64, max_ms: Option<u64>, multiplier: Option<f64>) -> Retry {
        Retry {
            kind: RetryType::All,
            min_ms,
            max_ms,
            multiplier,
            jitter: 0.0,
            max_attempts: None,
        }
    }

    #[track_caller]
    fn delays(retry: Retry, expected: &[u64]) {
        let returns = 1..=expected.len() as u32;
        let delays: Vec<u64> = returns
            .map(|returns| retry.delay_ms(returns, 0.5))
            .collect();
        assert_eq!(delays, expected);
    }

    #[test]
    fn delays_grow_up_to_a_maximum() {
        delays(retry(10, Some(35), None), &[10, 20, 30, 35, 35]);
        delays(retry(10, None, None), &[10, 10, 10]);
        delays(retry(10, Some(5), None), &[5, 5]);
        delays(retry(10, Some(100), Some(3.0)), &[10, 30, 90, 100, 100]);
        delays(retry(10, None, Some(1.5)), &[10, 15, 22, 33]);
        delays(retry(10, None, Some(1.0)), &[10, 10, 10]);
        let long = retry(1000, None, Some(10.0));
        assert_eq!(long.delay_ms(1000, 0.0), MAX_DELAY_MS);
        assert_eq!(long.delay_ms(u32::MAX, 0.0), MAX_DELAY_MS);
        assert_eq!(retry(u64::MAX, None, None).delay_ms(7, 0.0), MAX_DELAY_MS);
    }

    proptest! {
        #[test]
        fn chance_takes_its_share_and_no_more(
            min_ms in 1..1_000_000u64,
            returns in 0..100u32,
            jitter in 0.0..=1.0f64,
            chance in 0.0..1.0f64,
        ) {
            let even = retry(min_ms, Some(10_000_000), Some(1.3));
            let delay_ms = even.delay_ms(returns, chance);
            let uneven = Retry { jitter, ..even };
            let least_ms = (delay_ms as f64 * (1.0 - jitter)).floor() as u64;
            prop_assert!((least_ms..=delay_ms).contains(&uneven.delay_ms(returns, chance)));
        }
    }
}
