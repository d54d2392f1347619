//! What the log must hear again of a queue before its old parts are written over: messages that are
//! durable nowhere else, and what is settled, delivered and given back.
//!
//! What was said once is not said again as long as the part that says it stays.

use std::sync::Arc;

use super::band::Band;
use super::chunk::Chunk;
use super::paging::PageOut;
use super::slot::{Resident, Slot};
use super::{Queue, band_of, number_of, sequence_of};
use crate::broker::log::{Place, Placement, Returns};
use crate::broker::message::Message;
use crate::broker::pager::Stored;

/// What a record takes in the log beside its contents, in bytes.
const RECORD_BYTES: u64 = 40;
/// What a place, or a range of sequences, takes.
const PLACE_BYTES: u64 = 16;

/// A chunk that moves on from the log to a segment.
pub(in crate::broker) enum Moving {
    /// It is in memory.
    Held(PageOut),
    /// It must be read from another segment, which will never be listed.
    Stored(Stored),
}

/// What the log must hear again of a queue.
#[derive(Default)]
pub(in crate::broker) struct Checkpoint {
    /// First and last sequences.
    pub settled: Vec<(u64, u64)>,
    pub cursors: Vec<u64>,
    /// First and last sequences, and how often they were delivered.
    pub returned: Vec<((u64, u64), Returns)>,
    /// Sequences of messages that wait, and until when.
    pub waiting: Vec<(u64, u64)>,
    /// Sequences of dead letters that stay, and why they are.
    pub letters: Vec<(u64, u64)>,
    pub messages: Vec<Kept>,
    /// Everything in it will be in the log from this index on.
    from: u64,
    /// Whether it says all that there is to be said, beside the messages.
    is_whole: bool,
    /// The chunks that the messages are in: band, first number.
    chunks: Vec<(usize, u64)>,
}

impl Checkpoint {
    /// What it takes in the log beside its messages, roughly, in bytes.
    pub fn state_bytes(&self) -> u64 {
        let ranges = self.settled.len() + self.waiting.len() + self.letters.len();
        let records = self.cursors.len() + self.returned.len();
        ranges as u64 * PLACE_BYTES + records as u64 * (RECORD_BYTES + PLACE_BYTES) + RECORD_BYTES
    }

    /// What it takes in the log, roughly, in bytes.
    pub fn bytes(&self) -> u64 {
        let messages = self.messages.iter().map(|kept| kept.bytes() as u64);
        self.state_bytes() + messages.sum::<u64>()
    }
}

/// A message that lives on at the end of the log.
pub(in crate::broker) struct Kept {
    pub placement: Placement,
    chunk: Chunk,
}

impl Kept {
    /// The message.
    pub fn message(&self) -> Message<'_> {
        self.chunk.record(0).message
    }

    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.chunk.memory_bytes()
    }
}

/// First and last numbers of messages that were delivered more than once, and how often: those that
/// were once lie below the cursor, and are lost if nothing else is said.
fn deliveries(band: &Band, waiting: &[u64], at: usize) -> Vec<((u64, u64), Returns)> {
    let mut taken = band.returns().clone();
    let mut back = band.given_back().clone();
    for sequence in waiting.iter().filter(|sequence| band_of(**sequence) == at) {
        // It came back as often as is noted, and nobody has it.
        let number = number_of(*sequence);
        if let Some(returns) = taken.get(number) {
            taken.remove(number, number);
            back.insert(number, number, returns);
        }
    }
    let taken = taken
        .iter()
        .map(|(run, returns)| (run, returns.again(true)));
    let back = back.iter();
    let back = back.filter(|(_, returns)| returns.is_any() && *returns != Returns::LOST_ONCE);
    back.chain(taken)
        .map(|(run, deliveries)| (run.into_inner(), deliveries))
        .collect()
}

/// Messages of a queue that are durable only in old parts of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Leftover {
    /// So few, in bytes, that they may be put at the end of the log again.
    Few(usize),
    /// They go to a segment.
    Many,
}

impl Queue {
    /// What is durable only in the log below that index; None if nothing is.
    pub(in crate::broker) fn leftover(&self, before: u64) -> Option<Leftover> {
        let state = self.state.lock();
        let slots = state.bands.iter().flat_map(|band| &band.slots);
        let mut needy = slots.filter(|slot| slot.is_only_logged_before(before));
        let first = needy.next()?;
        let mut live_bytes = 0;
        for slot in std::iter::once(first).chain(needy) {
            if slot.is_absent() {
                return Some(Leftover::Many);
            }
            live_bytes += slot.live_bytes();
        }
        let is_few = live_bytes <= self.spec.engine.paging.few_bytes;
        Some(match is_few {
            true => Leftover::Few(live_bytes),
            false => Leftover::Many,
        })
    }

    /// Chunks with messages that are durable only in the log below that index, to be written to a
    /// segment.
    pub(in crate::broker) fn chunks_logged_before(self: &Arc<Self>, before: u64) -> Vec<Moving> {
        let mut state = self.state.lock();
        let needs = |slot: &Slot| slot.is_only_logged_before(before);
        let mut moving = Vec::new();
        for (at, band) in state.bands.iter_mut().enumerate() {
            if band.slots.back().is_some_and(needs) {
                band.close_tail();
            }
            for slot in band.slots.iter().filter(|slot| needs(slot)) {
                match (&slot.resident, &slot.stored) {
                    (Resident::Closed(chunk), _) => moving.push(Moving::Held(PageOut {
                        is_far: false,
                        band: at,
                        first: slot.first,
                        chunk: Arc::clone(chunk),
                    })),
                    (Resident::No, Some(stored)) => moving.push(Moving::Stored(stored.clone())),
                    _ => {}
                }
            }
        }
        self.account(&mut state);
        moving
    }

    /// What the log must hear again before it forgets what lies below that index; None if nothing.
    /// `has_segments` says that the queue may have segments at the next start.
    pub(in crate::broker) fn checkpoint(
        &self,
        before: u64,
        has_segments: bool,
    ) -> Option<Checkpoint> {
        let log = self.spec.engine.log()?;
        let mut state = self.state.lock();
        if self.is_deleted() {
            return None;
        }
        // Whatever records below it say was so when they were appended: it is said below.
        let mut checkpoint = Checkpoint {
            from: log.next_index(),
            ..Checkpoint::default()
        };
        // A stream's numbers are known to clients.
        let is_new = |band: &Band| band.end() == 0;
        let is_empty = state.ready == 0
            && state.unacked == 0
            && !has_segments
            && (state.stream.is_none() || state.bands.iter().all(is_new));
        if state.paging.said_at < before {
            checkpoint.is_whole = state.paging.is_dirty || !is_empty;
            state.paging.said_bytes = 0;
        }
        let waiting: Vec<u64> = match checkpoint.is_whole && !self.is_for_delayed {
            true => state.waiting.iter().map(|(sequence, _)| sequence).collect(),
            false => Vec::new(),
        };
        for (at, band) in state.bands.iter().enumerate() {
            let sequence = |number| sequence_of(at, number);
            if checkpoint.is_whole {
                let settled = band.settled_ranges();
                // What is settled was taken before, and so was all below it.
                let taken = settled.last().map_or(0, |(_, last)| last + 1);
                if state.stream.is_some() {
                    if !band.is_end_known() {
                        checkpoint.cursors.push(sequence(band.end()));
                    }
                } else if band.cursor() > taken {
                    checkpoint.cursors.push(sequence(band.cursor()));
                }
                let ranges = settled.into_iter();
                let ranges = ranges.map(|(first, last)| (sequence(first), sequence(last)));
                checkpoint.settled.extend(ranges);
                if state.counts_deliveries() {
                    let returned = deliveries(band, &waiting, at);
                    let returned = returned.into_iter().map(|((first, last), deliveries)| {
                        ((sequence(first), sequence(last)), deliveries)
                    });
                    checkpoint.returned.extend(returned);
                }
            }
            let slots = band.slots.iter();
            for slot in slots.filter(|slot| slot.is_only_logged_before(before)) {
                checkpoint.chunks.push((at, slot.first));
                slot.for_each_live(|number, record| {
                    if record.message.facts.persistent {
                        let mut chunk = Chunk::default();
                        chunk.append(&record.message, record.expires_at_ms);
                        let placement = Placement {
                            place: self.place(sequence(number)),
                            expires_at_ms: record.expires_at_ms,
                        };
                        checkpoint.messages.push(Kept { placement, chunk });
                    }
                });
            }
        }
        if !checkpoint.is_whole && checkpoint.chunks.is_empty() {
            return None;
        }
        if checkpoint.is_whole {
            if !self.is_for_delayed {
                let waiting = state.waiting.iter();
                let waiting = waiting.filter(|(sequence, _)| !state.letters.contains_key(sequence));
                checkpoint.waiting.extend(waiting);
                let letters = state.letters.iter();
                let letters = letters.map(|(sequence, letter)| (*sequence, letter.reason.code()));
                checkpoint.letters.extend(letters);
            }
            state.paging.is_dirty = false;
        }
        Some(checkpoint)
    }

    /// The log has the checkpoint, synced.
    pub(in crate::broker) fn said(&self, before: u64, checkpoint: &Checkpoint) {
        let mut state = self.state.lock();
        if checkpoint.is_whole {
            state.paging.said_at = checkpoint.from;
            state.paging.said_bytes = checkpoint.state_bytes();
        }
        for (at, first) in &checkpoint.chunks {
            let Some(band) = state.bands.get_mut(*at) else {
                continue;
            };
            band.with_slot(*first, |slot| {
                if slot.is_only_logged_before(before) {
                    slot.logged_from = Some(checkpoint.from);
                }
            });
        }
    }

    /// The log may not have the checkpoint: what it says is to be said again.
    pub(in crate::broker) fn not_said(&self, checkpoint: &Checkpoint) {
        self.state.lock().paging.is_dirty |= checkpoint.is_whole;
    }

    /// What the log must keep of it takes so many bytes there, beside its messages.
    pub(in crate::broker) fn said_bytes(&self) -> u64 {
        self.state.lock().paging.said_bytes
    }

    fn place(&self, sequence: u64) -> Place {
        Place {
            queue: self.spec.id.0,
            sequence,
        }
    }
}
