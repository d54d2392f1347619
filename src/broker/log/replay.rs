//! From what the log and the segments have to what queues hold.
//!
//! In: segments, records in the log's order. Out: for each queue its messages that were not settled,
//! in order. What holds: the outcome depends on which records there are, not on their order, because
//! those of different connections may pass each other on their way into the log. What is said of a
//! queue that is not there any more is of no interest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Place;
use super::ranges::Ranges;
use crate::broker::message::{Body, Facts, Message};
use crate::broker::pager::Stored;
use crate::broker::queue::{Queue, RestoredBand, band_of, number_of};
use crate::store::journal::{Entry, MessageView, Record};
use crate::store::segment::StoredChunk;

/// See the module.
#[derive(Default)]
pub struct Replay {
    queues: HashMap<u64, QueueReplay>,
}

struct QueueReplay {
    queue: Arc<Queue>,
    bands: BTreeMap<usize, BandReplay>,
}

/// What is known of a band.
#[derive(Default)]
pub(in crate::broker) struct BandReplay {
    /// Chunks in segments, by the number of their first record.
    pub stored: BTreeMap<u64, Stored>,
    /// Messages from the log that are not known to be settled.
    pub logged: BTreeMap<u64, LoggedMessage>,
    pub settled: Ranges,
    /// Places in chunks that hold nothing that outlives a run.
    pub empty: Ranges,
    /// Everything below it was delivered at least once.
    pub cursor: u64,
    /// How often messages were given back in a way that counts.
    pub returns: HashMap<u64, u32>,
    /// No number from here on was ever used.
    pub next: u64,
}

/// A message from the log.
pub(in crate::broker) struct LoggedMessage {
    /// The index of its record.
    pub index: u64,
    pub expires_at_ms: u64,
    facts: Facts,
    /// Where routing key, properties and body begin.
    starts: [usize; 3],
    bytes: Box<[u8]>,
    /// A large body, shared between the queues that it went to.
    shared: Option<bytes::Bytes>,
}

impl Replay {
    /// For these queues.
    pub fn new(queues: impl IntoIterator<Item = Arc<Queue>>) -> Self {
        let replay = |queue: Arc<Queue>| {
            let bands = BTreeMap::new();
            (queue.id().0, QueueReplay { queue, bands })
        };
        Self {
            queues: queues.into_iter().map(replay).collect(),
        }
    }

    /// A chunk in a segment, and which of the segment's records do not outlive a run.
    pub fn stored(&mut self, queue: u64, stored: Stored, empty: &[(u64, u64)]) {
        let at = stored.entry.band as usize;
        let Some(band) = self.band(queue, at) else {
            return;
        };
        for (first, last) in empty.iter().filter(|range| band_of(range.0) == at) {
            band.empty.insert(number_of(*first), number_of(*last));
        }
        let end = stored.entry.first + u64::from(stored.entry.records);
        band.next = band.next.max(end);
        band.stored.insert(stored.entry.first, stored);
    }

    /// The next record.
    pub fn record(&mut self, entry: &Entry<'_>) {
        match entry.record {
            Record::Message(message) => self.message(entry.index, &message),
            Record::Settle { queue, ranges } => {
                for (first, last) in ranges {
                    if let Some(band) = self.band(queue, band_of(first)) {
                        band.settle(number_of(first), number_of(last));
                    }
                }
            }
            Record::Cursor { queue, sequence } => {
                if let Some(band) = self.band(queue, band_of(sequence)) {
                    band.cursor = band.cursor.max(number_of(sequence));
                }
            }
            Record::Returned { place, returns } => {
                if let Some(band) = self.band(place.queue, band_of(place.sequence)) {
                    let known = band.returns.entry(number_of(place.sequence)).or_default();
                    *known = returns.max(*known);
                }
            }
            Record::Drop { queue } => {
                self.queues.remove(&queue);
            }
        }
    }

    /// Gives every queue what it holds; says how many messages that are. Where a queue must know more of
    /// a chunk than how many records it has, `read` reads it.
    pub fn finish(self, read: impl Fn(&Stored) -> Option<StoredChunk>) -> u64 {
        let mut messages = 0;
        let mut queues: Vec<_> = self.queues.into_values().collect();
        queues.sort_unstable_by_key(|replay| replay.queue.id());
        for replay in queues {
            let chunk_bytes = replay.queue.engine().paging.chunk_bytes;
            let bands = replay.bands.into_iter();
            let mut bands: Vec<_> = bands
                .map(|(at, band)| (at, RestoredBand::of(band, chunk_bytes)))
                .collect();
            if replay.queue.wants().max_length_bytes.is_some() {
                bands
                    .iter_mut()
                    .for_each(|(_, band)| band.count_stored(&read));
            }
            messages += replay.queue.restore(bands);
        }
        messages
    }

    fn message(&mut self, index: u64, message: &MessageView<'_>) {
        for Place { queue, sequence } in message.settles {
            if let Some(band) = self.band(queue, band_of(sequence)) {
                band.settle(number_of(sequence), number_of(sequence));
            }
        }
        let mut shared = None;
        for placement in message.placements {
            let Place { queue, sequence } = placement.place;
            let Some(band) = self.band(queue, band_of(sequence)) else {
                continue;
            };
            let number = number_of(sequence);
            band.next = band.next.max(number + 1);
            if band.settled.contains(number) || band.is_stored(number) {
                continue;
            }
            let message = LoggedMessage::new(index, placement.expires_at_ms, message, &mut shared);
            band.logged.entry(number).or_insert(message);
        }
    }

    fn band(&mut self, queue: u64, band: usize) -> Option<&mut BandReplay> {
        let queue = self.queues.get_mut(&queue)?;
        Some(queue.bands.entry(band).or_default())
    }
}

impl BandReplay {
    /// Whether a chunk in a segment has the message.
    fn is_stored(&self, number: u64) -> bool {
        let before = self.stored.range(..=number).next_back();
        before.is_some_and(|(first, stored)| number - first < u64::from(stored.entry.records))
    }

    fn settle(&mut self, first: u64, last: u64) {
        self.settled.insert(first, last);
        if first == last {
            self.logged.remove(&first);
        } else if self
            .logged
            .first_key_value()
            .is_some_and(|(lowest, _)| *lowest <= last)
        {
            let mut from = self.logged.split_off(&first);
            let mut behind = from.split_off(&(last + 1));
            self.logged.append(&mut behind);
        }
    }
}

impl LoggedMessage {
    fn new(
        index: u64,
        expires_at_ms: u64,
        message: &MessageView<'_>,
        shared: &mut Option<bytes::Bytes>,
    ) -> Self {
        let is_shared = message.body.len() >= crate::broker::message::SHARED_BODY_BYTES;
        if is_shared && shared.is_none() {
            *shared = Some(bytes::Bytes::copy_from_slice(message.body));
        }
        let body = if is_shared { &[] } else { message.body };
        let parts = [
            message.exchange,
            message.routing_key,
            message.properties,
            body,
        ];
        let key = message.exchange.len();
        let properties = key + message.routing_key.len();
        Self {
            index,
            expires_at_ms,
            facts: Facts {
                persistent: message.persistent,
                priority: message.priority,
                expiration_ms: Facts::NEVER,
                has_bcc: message.has_bcc,
            },
            starts: [key, properties, properties + message.properties.len()],
            bytes: parts.concat().into(),
            shared: shared.clone().filter(|_| is_shared),
        }
    }

    /// The message.
    pub fn message(&self) -> Message<'_> {
        let (head, body) = self.bytes.split_at(self.starts[2]);
        let (head, properties) = head.split_at(self.starts[1]);
        let (exchange, routing_key) = head.split_at(self.starts[0]);
        Message {
            exchange,
            routing_key,
            properties,
            body: match &self.shared {
                Some(body) => Body::Shared(body),
                None => Body::Slice(body),
            },
            facts: self.facts,
        }
    }
}
