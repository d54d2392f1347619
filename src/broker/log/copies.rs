//! What the log has of a chunk that its segment does not give.

use std::collections::BTreeMap;

use super::replay::LoggedMessage;
use super::{Log, ReadError};
use crate::broker::pager::Stored;
use crate::broker::queue::{Chunk, band_of, number_of};
use crate::store::journal::Record;
use crate::store::segment::ChunkEntry;

/// So many times reading goes on behind records that are missing.
const MOST_GAPS: usize = 1000;

/// See the module.
pub(in crate::broker) struct Copies {
    messages: BTreeMap<u64, LoggedMessage>,
    /// The log has them from this index on.
    pub from: u64,
}

impl Copies {
    /// Of those messages of the chunk that are `wanted`, by their numbers, what the log has from that index
    /// on. What it does not give is not there.
    pub fn read(log: &dyn Log, stored: &Stored, from: u64, wanted: &[u64]) -> Self {
        let mut messages = BTreeMap::new();
        let queue = stored.segment.queue;
        let last = log.next_index() - 1;
        let mut first = from;
        for _ in 0..MOST_GAPS {
            let read = log.read(first, last, &mut |entry| {
                let Record::Message(message) = entry.record else {
                    return true;
                };
                let mut shared = None;
                for placement in message.placements {
                    let (band, number) = (
                        band_of(placement.place.sequence),
                        number_of(placement.place.sequence),
                    );
                    if placement.place.queue == queue
                        && band == stored.entry.band as usize
                        && wanted.binary_search(&number).is_ok()
                    {
                        let expires_at_ms = placement.expires_at_ms;
                        messages.entry(number).or_insert_with(|| {
                            LoggedMessage::new(entry.index, expires_at_ms, &message, &mut shared)
                        });
                    }
                }
                messages.len() < wanted.len()
            });
            match read {
                Err(ReadError::Missing(index)) => first = index + 1,
                Err(error) => {
                    tracing::error!(%error, "messages may be lost that only the log has");
                    break;
                }
                Ok(()) => break,
            }
        }
        Self { messages, from }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether that message is there.
    pub fn has(&self, number: u64) -> bool {
        self.messages.contains_key(&number)
    }

    /// The chunk; what is not there has a place alone.
    pub fn chunk(&self, entry: &ChunkEntry) -> Chunk {
        let mut chunk = Chunk::default();
        for number in entry.first..entry.first + u64::from(entry.records) {
            match self.messages.get(&number) {
                Some(logged) => chunk.append(&logged.message(), logged.expires_at_ms),
                None => chunk.append_settled(1),
            }
        }
        chunk
    }
}
