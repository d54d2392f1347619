//! Dealing ready messages out to consumers with room: one each in turn, many with one call.
//!
//! Whoever deals to several consumers takes each one's locks twice for a slice, once for its promise and
//! once for what it gets. So where there are many, slices are large.

use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::consumers::{Consumer, ConsumerId, Consumers};
use super::delivery_count::with_delivery_count;
use super::head::Head;
use super::{Queue, State, sequence_of};
use crate::broker::log::Returns;
use crate::broker::{Delivery, Effects};

/// So many messages are dealt at once to one consumer, or where acknowledgements bound how many are
/// taken ...
pub(super) const SLICE: usize = 64;
/// ... and so many to several that take all there is, ...
pub(super) const LARGE_SLICE: usize = 1024;
/// ... if their bodies are no larger than that in all, because a promise is made in messages.
pub(super) const LARGE_SLICE_BYTES: usize = 256 << 10;

/// What became of the messages that were dealt.
#[derive(Debug, Default)]
pub(super) struct Dealt {
    /// The first so many were taken.
    pub count: usize,
    /// Which of them are settled.
    pub settled: AtOnce,
}

/// Which of the messages that were dealt went to consumers without acknowledgements, and so are
/// settled.
#[derive(Debug, Default)]
pub(super) enum AtOnce {
    /// None of them.
    #[default]
    Nothing,
    /// All of them.
    All,
    /// Those with true at their place.
    Some(SmallVec<[bool; SLICE]>),
}

impl AtOnce {
    fn all_if(no_ack: bool) -> Self {
        match no_ack {
            true => Self::All,
            false => Self::Nothing,
        }
    }

    fn contains(&self, at: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Some(places) => places.get(at).is_some_and(|is_settled| *is_settled),
        }
    }

    /// How many of the first `count`.
    fn count(&self, count: usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::All => count,
            Self::Some(places) => places.iter().filter(|is_settled| **is_settled).count(),
        }
    }
}

/// Deals `deliveries` (at most [`LARGE_SLICE`]) to the consumers in turn, in order, until they are used
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
    let settled = AtOnce::all_if(consumer.no_ack);
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
    let sharers = sharers(consumers, turn);
    let Promises { promises, full } = ask(consumers, turn, deliveries.len(), &sharers);
    let count: usize = promises.iter().sum();
    let hands = Hands::deal(&promises, count);
    let no_acks = || {
        turn.iter()
            .filter_map(|id| Some(consumers.get(*id)?.no_ack))
    };
    let mut settled = match no_acks().next() {
        Some(first) if no_acks().all(|no_ack| no_ack == first) => AtOnce::all_if(first),
        _ => AtOnce::Some(SmallVec::from_elem(false, count)),
    };
    // Two consumers of one channel: what they get must reach it in the queue's order.
    let mut shared: SmallVec<[(u16, &Consumer); SLICE]> = SmallVec::new();
    for (id, hand) in turn.iter().zip(hands.iter()) {
        let Some(consumer) = consumers.get(*id).filter(|_| !hand.is_empty()) else {
            continue;
        };
        if sharers.contains(&address(consumer)) {
            shared.extend(hand.iter().map(|at| (*at, consumer)));
        } else {
            consumer.sink.deliver(consumer.slot, deliveries, hand);
        }
        effects.touch(&consumer.sink);
        if let AtOnce::Some(places) = &mut settled
            && consumer.no_ack
        {
            hand.iter().for_each(|at| places[usize::from(*at)] = true);
        }
    }
    shared.sort_unstable_by_key(|(at, _)| *at);
    for (at, consumer) in shared {
        consumer.sink.deliver(consumer.slot, deliveries, &[at]);
    }
    consumers.advance_turn(count);
    for id in full {
        consumers.is_full(id);
    }
    Dealt { count, settled }
}

/// How many each consumer takes, and who is full then.
struct Promises {
    promises: SmallVec<[usize; SLICE]>,
    full: SmallVec<[ConsumerId; 8]>,
}

/// Has each promise how many of its share of `wanted` messages it takes.
fn ask(consumers: &Consumers, turn: &[ConsumerId], wanted: usize, sharers: &[usize]) -> Promises {
    let mut promises: SmallVec<[usize; SLICE]> = SmallVec::new();
    let mut full: SmallVec<[ConsumerId; 8]> = SmallVec::new();
    let mut one_by_one: SmallVec<[(usize, usize, &Consumer); 8]> = SmallVec::new();
    for (at, id) in turn.iter().enumerate() {
        let share = (wanted - at).div_ceil(turn.len());
        let promise = match consumers.get(*id) {
            Some(consumer) if !consumer.no_ack && sharers.contains(&address(consumer)) => {
                one_by_one.push((at, share, consumer));
                promises.push(0);
                continue;
            }
            Some(consumer) => consumer.sink.reserve(consumer.slot, share),
            None => 0,
        };
        if promise < share {
            full.push(*id);
        }
        promises.push(promise.min(share));
    }
    // Those of one channel may share its prefetch, of which none may have it all.
    while !one_by_one.is_empty() {
        one_by_one.retain(|&mut (at, share, consumer)| {
            let is_promised = consumer.sink.reserve(consumer.slot, 1) > 0;
            if is_promised {
                promises[at] += 1;
            } else {
                full.push(turn[at]);
            }
            is_promised && promises[at] < share
        });
    }
    Promises { promises, full }
}

/// Who gets which of the messages that are dealt, by their places.
struct Hands {
    places: SmallVec<[u16; SLICE]>,
    /// Where each hand begins in them; one more entry for the end.
    starts: SmallVec<[usize; SLICE]>,
}

impl Hands {
    /// Deals `count` places in turn, to each as many as it has promised to take, which is `count` in all.
    fn deal(promises: &[usize], count: usize) -> Self {
        let mut starts = SmallVec::with_capacity(promises.len() + 1);
        starts.push(0);
        starts.extend(promises.iter().scan(0, |end, promise| {
            *end += promise;
            Some(*end)
        }));
        let mut places: SmallVec<[u16; SLICE]> = SmallVec::from_elem(0, count);
        let rounds = promises.iter().copied().max().unwrap_or_default();
        let mut next = 0;
        for round in 0..rounds {
            for (promise, start) in promises.iter().zip(&starts) {
                if round < *promise {
                    places[start + round] = next;
                    next += 1;
                }
            }
        }
        Self { places, starts }
    }

    fn iter(&self) -> impl Iterator<Item = &[u16]> {
        let ends = self.starts.windows(2);
        ends.map(|ends| &self.places[ends[0]..ends[1]])
    }
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

impl State {
    /// How many messages are dealt at once. Only a few consumers are looked at where acknowledgements
    /// bound what they take.
    fn slice(&mut self) -> usize {
        let waits = usize::try_from(self.ready).unwrap_or(LARGE_SLICE);
        match self.hands_on(2) && self.turn.len() > 1 && self.hands_on(waits) {
            true => LARGE_SLICE,
            false => SLICE,
        }
    }
}

impl Queue {
    /// Leaves the delivering to the task of the queue's only consumer, if there is only one and it has
    /// room: whoever has something better to do goes on at once. Says whether it will be done.
    pub(super) fn leave_delivering(
        &self,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects,
    ) -> bool {
        let state = &mut **state;
        if state.ready == 0 || state.stream.is_some() || state.consumers.len() != 1 {
            return false;
        }
        state.consumers.next_in_turn(1, &mut state.turn);
        let Some(only) = state.turn.first().copied() else {
            return false;
        };
        let Some(consumer) = state.consumers.get(only) else {
            return false;
        };
        if !consumer.sink.defer(consumer.slot) {
            return false;
        }
        effects.touch(&consumer.sink);
        state.consumers.is_full(only);
        true
    }

    /// Delivers what is ready, in the order of `head.rs`, for as long as somebody has room.
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
        if state.consumers.is_yielding() && state.out() == 0 {
            state.consumers.make_way();
        }
        while state.ready > 0 && state.consumers.any_with_room() {
            if state.may_expire {
                self.drop_expired(state, expired_by_ms, effects);
            }
            let Some(head) = state.head() else { return };
            if !self.deliver_from(state, head, expired_by_ms, effects) {
                return;
            }
        }
    }

    /// Deals out up to a slice of what comes next, as far as the first that has expired.
    /// Says whether there was anything to deal out: what is not in memory is not.
    fn deliver_from(
        &self,
        state: &mut State,
        head: Head,
        expired_by_ms: u64,
        effects: &mut Effects,
    ) -> bool {
        let counted: Vec<(usize, Vec<u8>)>;
        let most = state.slice();
        let mut left_bytes = LARGE_SLICE_BYTES;
        let mut deliveries: SmallVec<[Delivery<'_>; SLICE]> = SmallVec::new();
        let band = head.band();
        head.read(&state.bands, |number, back, record| {
            if record.expires_at_ms <= expired_by_ms {
                return false;
            }
            left_bytes = left_bytes.saturating_sub(record.message.body.len());
            deliveries.push(Delivery {
                message: record.message,
                sequence: sequence_of(band, number),
                returns: back.returns,
                redelivered: back.redelivered,
            });
            deliveries.len() < most && (left_bytes > 0 || most == SLICE)
        });
        if deliveries.is_empty() {
            return false;
        }
        if state.counts_deliveries() {
            let came_back = deliveries.iter().enumerate();
            counted = came_back
                .filter(|(_, delivery)| delivery.returns.is_any())
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
        let number = |delivery: &Delivery<'_>| super::number_of(delivery.sequence);
        // They rise.
        let run = taken.first().zip(taken.last());
        let run = run.map(|(first, last)| (number(first), number(last)));
        let run = run.filter(|(first, last)| {
            last - first + 1 == dealt.count as u64 && matches!(dealt.settled, AtOnce::All)
        });
        let numbers: SmallVec<[u64; SLICE]> = match run {
            Some(_) => SmallVec::new(),
            None => taken.iter().map(number).collect(),
        };
        // The log hears how often it was delivered by now: so often it came back if the broker ends.
        let again: Vec<(u64, Returns)> = match state.counts_deliveries() {
            false => Vec::new(),
            true => taken
                .iter()
                .enumerate()
                .filter(|(at, delivery)| delivery.returns.is_any() && !dealt.settled.contains(*at))
                .map(|(_, delivery)| (delivery.sequence, delivery.returns.again(true)))
                .collect(),
        };
        drop(deliveries);

        state.note_use();
        state.pace(dealt.count, effects);
        state.take(head, dealt.count as u64, body_bytes);
        let settled_count = dealt.settled.count(dealt.count);
        state.unacked += (dealt.count - settled_count) as u64;
        let queue = self.spec.id.0;
        let mut log = self.log_of(state, effects);
        let taken_from = &mut state.bands[band];
        if let Some(log) = &mut log
            && settled_count < dealt.count
        {
            log.delivered(queue, sequence_of(band, taken_from.cursor()));
            for (sequence, deliveries) in again {
                log.returned(queue, sequence, deliveries);
            }
        }
        let mut settle = |first, last| {
            taken_from.settle(first, last);
            if let Some(log) = &mut log {
                log.settled(queue, sequence_of(band, first), sequence_of(band, last));
            }
        };
        if let Some((first, last)) = run {
            settle(first, last);
            return true;
        }
        let settled = numbers
            .iter()
            .enumerate()
            .filter(|(at, _)| dealt.settled.contains(*at));
        settle_runs(settled.map(|(_, number)| *number), settle);
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
