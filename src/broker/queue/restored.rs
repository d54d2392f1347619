//! A queue as the last run left it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::band::{Band, Runs};
use super::chunk::Chunk;
use super::letters::Letter;
use super::{Queue, QueueType, State, sequence_of};
use crate::broker::Effects;
use crate::broker::dead_letter::Reason;
use crate::broker::log::{BandReplay, Returns};
use crate::broker::message::Facts;
use crate::broker::pager::Stored;
use crate::store::catalog::ChunkMark;

/// A band as the last run left it.
pub struct RestoredBand {
    band: Band,
    may_expire: bool,
    marks: BTreeMap<u64, ChunkMark>,
    /// When messages are due, and their numbers, where they wait for that.
    due: Vec<(u64, u64)>,
    /// Dead letters that have not arrived.
    letters: Vec<(u64, Reason)>,
    /// First and last numbers of messages that came back more often than the queue allows for.
    come_too_often: Vec<(u64, u64)>,
}

impl RestoredBand {
    /// Puts together what is known of it. What was delivered and not settled is ready again, in its
    /// old place.
    pub(in crate::broker) fn of(replay: BandReplay, queue: &Queue) -> Self {
        let BandReplay {
            stored,
            mut logged,
            mut settled,
            empty,
            mut cursor,
            returns,
            waiting,
            letters: given_up,
            mut next,
            marks,
            ..
        } = replay;
        let is_stream = queue.queue_type() == QueueType::Stream;
        if is_stream {
            // Of a stream it says which numbers were given.
            next = next.max(std::mem::take(&mut cursor));
        }
        if let Some(last) = settled.last().filter(|_| is_stream) {
            // It lets go of its head alone, even if the log heard of the one part and not of the other.
            settled.insert(0, last);
            logged = logged.split_off(&(last + 1));
        }
        let mut band = Band::new(queue.chunk_bytes());
        let mut may_expire = !stored.is_empty();
        let mut stored = stored.into_values().peekable();
        for (number, logged) in logged {
            while let Some(chunk) = stored.next_if(|chunk| chunk.entry.first <= number) {
                band.restore_stored(chunk, &settled, &empty);
            }
            may_expire |= logged.expires_at_ms != Facts::NEVER;
            let message = logged.message();
            band.restore_message(number, &message, logged.expires_at_ms, logged.index);
        }
        stored.for_each(|chunk| band.restore_stored(chunk, &settled, &empty));
        // What is settled or was given back was taken before, and so was everything below it.
        let last_taken = settled.last().max(returns.last());
        let last_taken = last_taken.max(waiting.keys().max().copied());
        let last_taken = last_taken.max(given_up.keys().max().copied());
        let cursor = cursor.max(last_taken.map_or(0, |last| last + 1));
        let (mut given_back, mut due, mut counted) = (Runs::default(), Vec::new(), Vec::new());
        let (mut letters, mut come_too_often) = (Vec::new(), Vec::<(u64, u64)>::new());
        let wants = queue.wants();
        let counts_deliveries = wants.counts_deliveries();
        for number in band.unsettled_below(cursor) {
            let reason = given_up.get(&number).copied();
            if let Some(reason) = reason.and_then(Reason::of_code) {
                letters.push((number, reason));
                continue;
            }
            // It was delivered, and with the broker its consumer is gone.
            let returns = match counts_deliveries {
                true => returns.get(number).unwrap_or(Returns::LOST_ONCE),
                false => Returns::default(),
            };
            if wants.is_too_often(returns) {
                match come_too_often.last_mut() {
                    Some((_, last)) if *last + 1 == number => *last = number,
                    _ => come_too_often.push((number, number)),
                }
            } else if let Some(due_ms) = waiting.get(&number) {
                due.push((*due_ms, number));
                counted.push((number, returns));
            } else {
                given_back.insert(number, number, returns);
            }
        }
        band.restore_cursor(next.max(cursor), cursor, given_back);
        for (number, returns) in counted {
            band.note_returns(number, returns);
        }
        for (first, last) in &come_too_often {
            (*first..=*last).for_each(|number| band.hold_back(number));
        }
        Self {
            band,
            may_expire,
            marks,
            due,
            letters,
            come_too_often,
        }
    }

    /// Its messages wait, each until the time that is kept as when it expires.
    pub(in crate::broker) fn know_due_times(&mut self, read: impl Fn(&Stored) -> Option<Chunk>) {
        self.due = self.band.take_all_waiting(read);
    }

    /// From now on it knows the ids of its messages.
    pub(in crate::broker) fn know_ids(&mut self, read: impl Fn(&Stored) -> Option<Chunk>) {
        self.band.know_ids(read);
    }
}

impl Queue {
    /// Fills the queue, which is new, with what the last run left; says how many messages that are.
    pub(in crate::broker) fn restore(self: &Arc<Self>, bands: Vec<(usize, RestoredBand)>) -> u64 {
        let mut state = self.state.lock();
        for (at, restored) in bands {
            while state.bands.len() <= at {
                state.bands.push(self.new_band());
            }
            state.restore_band(at, restored, self.spec.engine.clock.now_ms());
        }
        state.order_what_came_back();
        state.is_logged = state.ready > 0 || state.unacked > 0;
        // What the log says of it must not be forgotten before it is said again.
        state.paging.is_dirty = true;
        if state.wants.max_length_bytes.is_some() && state.stream.is_none() {
            self.begin_to_count(&mut state);
        }
        self.after(&mut state);
        state.ready + state.unacked
    }

    /// All queues are restored: what is over this one's limits goes.
    pub(in crate::broker) fn begin(self: &Arc<Self>, effects: &mut Effects) {
        let mut state = self.state.lock();
        self.retain(&mut state, effects);
        for (first, last) in std::mem::take(&mut state.paging.come_too_often) {
            for sequence in first..=last {
                self.give_up(&mut state, sequence, Reason::DeliveryLimit, effects);
            }
        }
        self.drop_over_length(&mut state, effects);
        if state.may_expire {
            let now_ms = self.spec.engine.clock.now_ms();
            self.drop_expired(&mut state, now_ms, effects);
        }
        self.after(&mut state);
    }
}

impl State {
    fn restore_band(&mut self, at: usize, restored: RestoredBand, now_ms: u64) {
        self.ready += restored.band.ready();
        self.unacked += restored.due.len() as u64;
        for (first, last) in restored.come_too_often {
            self.unacked += last - first + 1;
            let range = (sequence_of(at, first), sequence_of(at, last));
            self.paging.come_too_often.push(range);
        }
        for (due_ms, number) in restored.due {
            self.waiting.push(due_ms, sequence_of(at, number));
        }
        self.unacked += restored.letters.len() as u64;
        for (number, reason) in restored.letters {
            let (sequence, took) = (sequence_of(at, number), Vec::new());
            self.letters.insert(sequence, Letter { reason, took });
            // It is tried at once.
            self.waiting.push(0, sequence);
        }
        if let Some(stream) = &mut self.stream {
            stream.restore(&restored.band, restored.marks, now_ms);
            self.bands[at] = restored.band;
            return;
        }
        self.may_expire |= restored.may_expire;
        self.bands[at] = restored.band;
    }
}
