//! Dealing ready messages out to consumers with room: one each in turn, many with one call.

use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::consumers::{Consumer, ConsumerId, Consumers};
use super::delivery_count::with_delivery_count;
use super::{Queue, State, sequence_of};
use crate::broker::{Delivery, Effects};

/// So many messages are dealt at once; not more than a [`Dealt::settled`] has bits.
pub(super) const SLICE: usize = 64;

/// What became of the messages that were dealt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dealt {
    /// The first so many were taken.
    pub count: usize,
    /// A bit for each that went to a consumer without acknowledgements, and so is settled.
    pub settled: u64,
}

/// Deals `deliveries` (at most [`SLICE`]) to the consumers in turn, in order, until they are used
/// up or one round found nobody with room. Nobody sees two of them out of order.
pub(super) fn deal(
    consumers: &mut Consumers,
    turn: &mut Vec<ConsumerId>,
    deliveries: &[Delivery<'_>],
    effects: &mut Effects,
) -> Dealt {
    consumers.next_in_turn(deliveries.len(), turn);
    match turn[..] {
        [] => Dealt::default(),
        [only] => deal_to_one(consumers, only, deliveries, effects),
        _ => deal_to_many(consumers, turn, deliveries, effects),
    }
}

fn deal_to_one(
    consumers: &mut Consumers,
    id: ConsumerId,
    deliveries: &[Delivery<'_>],
    effects: &mut Effects,
) -> Dealt {
    let Some(consumer) = consumers.get(id) else {
        return Dealt::default();
    };
    let taken = consumer.sink.offer(consumer.slot, deliveries);
    let count = taken.count.min(deliveries.len());
    if count > 0 {
        effects.touch(&consumer.sink);
    }
    let settled = if consumer.no_ack {
        first_bits(count)
    } else {
        0
    };
    consumers.advance_turn(count);
    if taken.full || count < deliveries.len() {
        consumers.is_full(id);
    }
    Dealt { count, settled }
}

fn deal_to_many(
    consumers: &mut Consumers,
    turn: &[ConsumerId],
    deliveries: &[Delivery<'_>],
    effects: &mut Effects,
) -> Dealt {
    // First everybody's promise, then the dealing: whoever is served out is passed over.
    let mut promises: SmallVec<[usize; SLICE]> = SmallVec::new();
    let mut full: SmallVec<[ConsumerId; 8]> = SmallVec::new();
    for (start, id) in turn.iter().enumerate() {
        let share = (deliveries.len() - start).div_ceil(turn.len());
        let promise = consumers
            .get(*id)
            .map_or(0, |consumer| consumer.sink.reserve(consumer.slot, share));
        if promise < share {
            full.push(*id);
        }
        promises.push(promise.min(share));
    }
    let count: usize = promises.iter().sum();
    let mut hands: SmallVec<[SmallVec<[u8; SLICE]>; 8]> =
        promises.iter().map(|_| SmallVec::new()).collect();
    let mut next = 0;
    for at in 0..count {
        while hands[next].len() == promises[next] {
            next = (next + 1) % hands.len();
        }
        hands[next].push(at as u8);
        next = (next + 1) % hands.len();
    }
    let mut settled = 0;
    // Two consumers of one channel: what they get must reach it in the queue's order.
    let mut shared: SmallVec<[(u8, &Consumer); SLICE]> = SmallVec::new();
    let sharers = sharers(consumers, turn);
    for (id, hand) in turn.iter().zip(&hands) {
        let Some(consumer) = consumers.get(*id).filter(|_| !hand.is_empty()) else {
            continue;
        };
        if sharers.contains(&address(consumer)) {
            shared.extend(hand.iter().map(|at| (*at, consumer)));
        } else {
            let dealt: SmallVec<[Delivery<'_>; SLICE]> =
                hand.iter().map(|at| deliveries[usize::from(*at)]).collect();
            consumer.sink.deliver(consumer.slot, &dealt);
        }
        effects.touch(&consumer.sink);
        if consumer.no_ack {
            settled |= hand.iter().fold(0, |bits, at| bits | 1 << at);
        }
    }
    shared.sort_unstable_by_key(|(at, _)| *at);
    for (at, consumer) in shared {
        let at = usize::from(at);
        consumer.sink.deliver(consumer.slot, &deliveries[at..=at]);
    }
    consumers.advance_turn(count);
    for id in full {
        consumers.is_full(id);
    }
    Dealt { count, settled }
}

/// The channels, by their addresses, that more than one of these consumers belongs to.
fn sharers(consumers: &Consumers, turn: &[ConsumerId]) -> SmallVec<[usize; 4]> {
    let mut sinks: SmallVec<[usize; SLICE]> = turn
        .iter()
        .filter_map(|id| consumers.get(*id))
        .map(address)
        .collect();
    sinks.sort_unstable();
    let twice = sinks.windows(2).filter(|pair| pair[0] == pair[1]);
    twice.map(|pair| pair[0]).collect()
}

/// Where a consumer's channel lies; one channel's consumers have the same.
fn address(consumer: &Consumer) -> usize {
    Arc::as_ptr(&consumer.sink).cast::<()>().addr()
}

/// The lowest `count` bits.
fn first_bits(count: usize) -> u64 {
    if count >= 64 {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}

impl Queue {
    /// Delivers what is ready, the highest band first, for as long as somebody has room.
    pub(super) fn deliver(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects,
    ) {
        let now_ms = if state.may_expire {
            self.spec.engine.clock.now_ms()
        } else {
            0
        };
        self.deliver_as_of(state, now_ms, effects);
    }

    /// The same at a time that the caller has read: what it took in then is not to expire on the
    /// way from there to here.
    pub(super) fn deliver_as_of(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        now_ms: u64,
        effects: &mut Effects,
    ) {
        // What expires at this very moment may still be delivered: a message with a time-to-live of
        // 0 goes to a consumer that is ready for it, or nowhere.
        let expired_by_ms = now_ms.saturating_sub(1);
        while state.ready > 0 && state.consumers.any_with_room() {
            if state.may_expire {
                self.drop_expired(state, expired_by_ms, effects);
            }
            let Some(band) = state.top_band() else { return };
            if !self.deliver_from(state, band, expired_by_ms, effects) {
                return;
            }
        }
    }

    /// Deals out up to a slice of what is ready in one band, as far as the first that has expired.
    /// Says whether there was anything to deal out: what is not in memory is not.
    fn deliver_from(
        &self,
        state: &mut State,
        band: usize,
        expired_by_ms: u64,
        effects: &mut Effects,
    ) -> bool {
        let counted: Vec<(usize, Vec<u8>)>;
        let mut deliveries: SmallVec<[Delivery<'_>; SLICE]> = SmallVec::new();
        state.bands[band].read_ready(|number, back, record| {
            if record.expires_at_ms <= expired_by_ms {
                return false;
            }
            deliveries.push(Delivery {
                message: record.message,
                sequence: sequence_of(band, number),
                returns: back.returns,
                redelivered: back.redelivered,
            });
            deliveries.len() < SLICE
        });
        if deliveries.is_empty() {
            return false;
        }
        if state.counts_deliveries() {
            let came_back = deliveries.iter().enumerate();
            counted = came_back
                .filter(|(_, delivery)| delivery.returns > 0)
                .map(|(at, delivery)| {
                    (
                        at,
                        with_delivery_count(delivery.message.properties, delivery.returns),
                    )
                })
                .collect();
            for (at, properties) in &counted {
                deliveries[*at].message.properties = properties;
            }
        }
        let dealt = deal(&mut state.consumers, &mut state.turn, &deliveries, effects);
        if dealt.count == 0 {
            return true;
        }
        let taken = &deliveries[..dealt.count];
        let body_bytes = taken
            .iter()
            .map(|delivery| delivery.message.body.len() as u64)
            .sum();
        let numbers: SmallVec<[u64; SLICE]> = taken
            .iter()
            .map(|delivery| super::number_of(delivery.sequence))
            .collect();
        drop(deliveries);

        state.pace(dealt.count, effects);
        state.ready -= dealt.count as u64;
        state.unacked += dealt.count as u64 - u64::from(dealt.settled.count_ones());
        let queue = self.spec.id.0;
        let mut log = self.log_of(state, effects);
        let taken_from = &mut state.bands[band];
        taken_from.take_head(dealt.count as u64, body_bytes);
        if let Some(log) = &mut log
            && (dealt.settled.count_ones() as usize) < dealt.count
        {
            log.delivered(queue, sequence_of(band, taken_from.cursor()));
        }
        let settled = numbers
            .iter()
            .enumerate()
            .filter(|(at, _)| dealt.settled >> at & 1 == 1);
        settle_runs(settled.map(|(_, number)| *number), |first, last| {
            taken_from.settle(first, last);
            if let Some(log) = &mut log {
                log.settled(queue, sequence_of(band, first), sequence_of(band, last));
            }
        });
        true
    }
}

/// Calls `settle` for each run of consecutive numbers.
pub(super) fn settle_runs(numbers: impl Iterator<Item = u64>, mut settle: impl FnMut(u64, u64)) {
    let mut run: Option<(u64, u64)> = None;
    for number in numbers {
        run = match run {
            Some((first, last)) if last + 1 == number => Some((first, number)),
            other => {
                if let Some((first, last)) = other {
                    settle(first, last);
                }
                Some((number, number))
            }
        };
    }
    if let Some((first, last)) = run {
        settle(first, last);
    }
}
