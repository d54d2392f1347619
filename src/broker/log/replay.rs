//! From what the log and the segments have to what queues hold.
//!
//! In: segments, records in the log's order. Out: for each queue its messages that were not settled,
//! in order. What holds: the outcome depends on which records there are, not on their order, because
//! those of different connections may pass each other on their way into the log. What is said of a
//! queue that is not there any more is of no interest. A message that is in a segment and in the log as
//! well is taken from the segment, and is noted: so that the log can be asked if the segment does not give it.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeBounds;
use std::sync::Arc;

use super::copies::Copies;
use super::ranges::Ranges;
use super::{Log, Place};
use crate::broker::exchange::Exchange;
use crate::broker::message::{Body, Facts, Message};
use crate::broker::pager::Stored;
use crate::broker::queue::{Chunk, Queue, QueueType, RestoredBand, Runs, band_of, number_of};
use crate::store::catalog::ChunkMark;
use crate::store::journal::{Entry, MessageView, Record, SeenViews};
use crate::store::segment::{ChunkEntry, ChunkError, StoredChunk};

/// Reads a chunk of a segment.
type Read = Box<dyn Fn(&Stored) -> Result<StoredChunk, ChunkError>>;

/// See the module.
pub(in crate::broker) struct Replay {
    queues: HashMap<u64, QueueReplay>,
    read: Read,
    /// Exchanges that remember messages, and the time as of which they do.
    exchanges: HashMap<u64, Arc<Exchange>>,
    now_ms: u64,
    /// The chunk that made a record of the log whole last, because it may do so with the next one: queue,
    /// segment, and where in it.
    mending: Option<((u64, u64, u64), Chunk)>,
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
    /// How often messages were delivered or given back.
    pub returns: Runs,
    /// Until when messages wait that were given back.
    pub waiting: HashMap<u64, u64>,
    /// Dead letters that stay until they have arrived, and why they are.
    pub letters: HashMap<u64, u64>,
    /// No number from here on was ever used.
    pub next: u64,
    /// Of stored chunks, by the number of their first record, from which index on the log has messages of
    /// them as well.
    pub copied: HashMap<u64, u64>,
    /// What a stream knows of its stored chunks, by the number of their first record.
    pub marks: BTreeMap<u64, ChunkMark>,
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
    /// For these queues, whose chunks can be read with `read`.
    pub(in crate::broker) fn new(
        queues: impl IntoIterator<Item = Arc<Queue>>,
        read: impl Fn(&Stored) -> Result<StoredChunk, ChunkError> + 'static,
    ) -> Self {
        let replay = |queue: Arc<Queue>| {
            let bands = BTreeMap::new();
            (queue.id().0, QueueReplay { queue, bands })
        };
        Self {
            queues: queues.into_iter().map(replay).collect(),
            read: Box::new(read),
            exchanges: HashMap::new(),
            now_ms: 0,
            mending: None,
        }
    }

    /// For these exchanges as well, which remember messages.
    pub(in crate::broker) fn know_exchanges(
        &mut self,
        exchanges: impl IntoIterator<Item = Arc<Exchange>>,
        now_ms: u64,
    ) {
        let exchanges = exchanges.into_iter();
        self.exchanges = exchanges
            .map(|exchange| (exchange.id().0, exchange))
            .collect();
        self.now_ms = now_ms;
    }

    /// A chunk in a segment, what a stream knows of it, and which of the segment's records do not outlive
    /// a run.
    pub fn stored(
        &mut self,
        queue: u64,
        stored: Stored,
        mark: Option<ChunkMark>,
        empty: &[(u64, u64)],
    ) {
        let at = stored.entry.band as usize;
        let Some(band) = self.band(queue, at) else {
            return;
        };
        for (first, last) in empty.iter().filter(|range| band_of(range.0) == at) {
            band.empty.insert(number_of(*first), number_of(*last));
        }
        let end = stored.entry.first + u64::from(stored.entry.records);
        band.next = band.next.max(end);
        band.marks
            .extend(mark.map(|mark| (stored.entry.first, mark)));
        band.stored.insert(stored.entry.first, stored);
    }

    /// Chunks in a segment that is not there, and which of its records do not outlive a run. Their numbers
    /// were used all the same.
    pub fn missing(&mut self, queue: u64, chunks: &[ChunkEntry], empty: &[(u64, u64)]) {
        for chunk in chunks {
            if let Some(band) = self.band(queue, chunk.band as usize) {
                let end = chunk.first + u64::from(chunk.records);
                band.next = band.next.max(end);
            }
        }
        for (first, last) in empty {
            if let Some(band) = self.band(queue, band_of(*first)) {
                band.empty.insert(number_of(*first), number_of(*last));
            }
        }
    }

    /// How many messages of such chunks that were not settled the log has, and how many are lost.
    pub fn left_of(&self, queue: u64, chunks: &[ChunkEntry]) -> (u64, u64) {
        let bands = self.queues.get(&queue).map(|replay| &replay.bands);
        let left = chunks.iter().filter_map(|chunk| {
            let band = bands?.get(&(chunk.band as usize))?;
            Some(band.left_of(chunk))
        });
        left.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    /// So many records are missing. Each may have been of a stream's last message, whose number is not to be
    /// given again.
    pub fn miss_records(&mut self, records: u64) {
        for replay in self.queues.values_mut() {
            if replay.queue.queue_type() == QueueType::Stream {
                replay.bands.entry(0).or_default().next += records;
            }
        }
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
            Record::Returned {
                queue,
                range: (first, last),
                returns,
            } => {
                if let Some(band) = self.band(queue, band_of(first)) {
                    band.returns
                        .raise(number_of(first), number_of(last), returns);
                }
            }
            Record::Waiting { queue, waiting } => {
                for (sequence, due_ms) in waiting {
                    if let Some(band) = self.band(queue, band_of(sequence)) {
                        let known = band.waiting.entry(number_of(sequence)).or_default();
                        *known = due_ms.max(*known);
                    }
                }
            }
            Record::Letters { queue, letters } => {
                for (sequence, reason) in letters {
                    if let Some(band) = self.band(queue, band_of(sequence)) {
                        band.letters.insert(number_of(sequence), reason);
                    }
                }
            }
            Record::Seen(seen) => self.seen(entry.index, seen),
        }
    }

    /// What a message consists of that a segment has: exchange, routing key, properties, body.
    pub fn content_at(&mut self, place: Place) -> Option<Vec<u8>> {
        let Place { queue, sequence } = place;
        let number = number_of(sequence);
        let band = self.queues.get_mut(&queue)?;
        let band = band.bands.get_mut(&band_of(sequence))?;
        let (first, stored) = band.stored_with(number)?;
        if band.empty.contains(number) {
            return None;
        }
        let index = u32::try_from(number - first).ok()?;
        let key = (queue, stored.segment.number, stored.entry.offset);
        if self.mending.as_ref().is_none_or(|(last, _)| *last != key) {
            let chunk = (self.read)(stored).ok()?;
            self.mending = Some((key, Chunk::from_stored(chunk)));
        }
        let (_, chunk) = self.mending.as_ref()?;
        if index >= chunk.len() {
            return None;
        }
        let message = chunk.record(index).message;
        let parts = [
            message.exchange,
            message.routing_key,
            message.properties,
            message.body.as_slice(),
        ];
        Some(parts.concat())
    }

    /// Chunks of which the log has messages as well, and from which index on.
    pub fn copied(&self) -> impl Iterator<Item = (&Stored, u64)> {
        let bands = self
            .queues
            .values()
            .flat_map(|replay| replay.bands.values());
        bands.flat_map(|band| {
            let copied = band.copied.iter();
            copied.filter_map(|(first, from)| Some((band.stored.get(first)?, *from)))
        })
    }

    /// Gives every queue what it holds, and says how many messages that are. The log can be read again.
    pub fn finish(self, log: &dyn Log) -> u64 {
        let read = |stored: &Stored, copied: &HashMap<u64, u64>| {
            let entry = &stored.entry;
            if let Ok(chunk) = (self.read)(stored) {
                return Some(Chunk::from_stored(chunk));
            }
            let numbers: Vec<u64> = (entry.first..entry.first + u64::from(entry.records)).collect();
            let from = copied.get(&entry.first)?;
            Some(Copies::read(log, stored, *from, &numbers).chunk(entry))
        };
        let mut messages = 0;
        let mut queues: Vec<_> = self.queues.into_values().collect();
        queues.sort_unstable_by_key(|replay| replay.queue.id());
        for QueueReplay { queue, bands } in queues {
            let restored = bands.into_iter().map(|(at, mut band)| {
                let copied = std::mem::take(&mut band.copied);
                let mut restored = RestoredBand::of(band, &queue);
                if queue.takes_once() {
                    restored.know_ids(|stored| read(stored, &copied));
                }
                if queue.is_for_delayed() {
                    restored.know_due_times(|stored| read(stored, &copied));
                }
                (at, restored)
            });
            messages += queue.restore(restored.collect());
        }
        messages
    }

    fn seen(&self, index: u64, seen: SeenViews<'_>) {
        for id in seen {
            if let Some(exchange) = self.exchanges.get(&id.exchange) {
                exchange.restore_ids(|seen| seen.restore_logged(index, &id, self.now_ms));
            }
        }
    }

    fn message(&mut self, index: u64, message: &MessageView<'_>) {
        self.seen(index, message.seen);
        for Place { queue, sequence } in message.settles {
            if let Some(band) = self.band(queue, band_of(sequence)) {
                band.settle(number_of(sequence), number_of(sequence));
            }
        }
        let mut shared = None;
        for placement in message.placements {
            let Place { queue, sequence } = placement.place;
            let Some(band) = band_in(&mut self.queues, queue, band_of(sequence)) else {
                continue;
            };
            let number = number_of(sequence);
            band.next = band.next.max(number + 1);
            if band.settled.contains(number) || band.is_stored(number, index) {
                continue;
            }
            band.logged.entry(number).or_insert_with(|| {
                LoggedMessage::new(index, placement.expires_at_ms, message, &mut shared)
            });
        }
    }

    fn band(&mut self, queue: u64, band: usize) -> Option<&mut BandReplay> {
        band_in(&mut self.queues, queue, band)
    }
}

fn band_in(
    queues: &mut HashMap<u64, QueueReplay>,
    queue: u64,
    band: usize,
) -> Option<&mut BandReplay> {
    let queue = queues.get_mut(&queue)?;
    Some(queue.bands.entry(band).or_default())
}

impl BandReplay {
    /// The stored chunk with that message, and its first number.
    fn stored_with(&self, number: u64) -> Option<(u64, &Stored)> {
        let (first, stored) = self.stored.range(..=number).next_back()?;
        (number - first < u64::from(stored.entry.records)).then_some((*first, stored))
    }

    /// Whether a chunk in a segment has the message, which the log has at that index as well.
    fn is_stored(&mut self, number: u64, index: u64) -> bool {
        let first = self.stored_with(number).map(|(first, _)| first);
        if let Some(first) = first {
            let from = self.copied.entry(first).or_insert(index);
            *from = index.min(*from);
        }
        first.is_some()
    }

    /// How many messages of a damaged chunk the log has, and how many are lost.
    fn left_of(&self, chunk: &ChunkEntry) -> (u64, u64) {
        let first = chunk.first;
        let end = first + u64::from(chunk.records);
        let in_log = self.logged.range(first..end).count() as u64;
        let is_lost = |number: &u64| {
            !self.logged.contains_key(number)
                && !self.settled.contains(*number)
                && !self.empty.contains(*number)
        };
        (in_log, (first..end).filter(is_lost).count() as u64)
    }

    fn settle(&mut self, first: u64, last: u64) {
        self.settled.insert(first, last);
        self.forget(first..=last);
    }

    /// Costs what there is of these. To split the map there and put the rest together again would cost all
    /// that is left, for each of the many ranges that several consumers settle in turns.
    fn forget(&mut self, numbers: impl RangeBounds<u64>) {
        let all = self.logged.extract_if(numbers, |_, _| true);
        all.for_each(drop);
    }
}

impl LoggedMessage {
    /// `shared` is what other queues got of it as well.
    pub(super) fn new(
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
