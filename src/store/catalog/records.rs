//! What the catalog keeps, and how a record is encoded: a version byte, then postcard. A field
//! that is added later goes into a new version of its record, which is then read by both.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::segment::ChunkEntry;

/// The version of all records.
const VERSION: u8 = 1;
/// The version of a segment's record that has marks, which follow it.
const MARKED_VERSION: u8 = 2;

/// A virtual host; its name is its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhostRecord {
    /// For people.
    pub description: String,
    /// For people.
    pub tags: Vec<String>,
    /// Which type its queues have by default, if it says so.
    pub default_queue_type: Option<String>,
    /// Limits by name ("max-connections", "max-queues").
    pub limits: Vec<(String, i64)>,
}

/// An exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRecord {
    /// Its vhost.
    pub vhost: String,
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// Takes nothing from clients.
    pub internal: bool,
    /// An AMQP table as on the wire.
    #[serde(with = "postcard_bytes")]
    pub arguments: Vec<u8>,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRecord {
    /// Its vhost.
    pub vhost: String,
    /// Its name.
    pub name: String,
    /// Its type ("classic").
    pub kind: String,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// Belonged to a connection.
    pub exclusive: bool,
    /// An AMQP table as on the wire.
    #[serde(with = "postcard_bytes")]
    pub arguments: Vec<u8>,
}

/// A binding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRecord {
    /// Its vhost.
    pub vhost: String,
    /// The exchange that messages come from.
    pub source: String,
    /// What they go to.
    pub destination: String,
    /// Whether that is an exchange; a queue otherwise.
    pub to_exchange: bool,
    /// Its routing key, which need not be UTF-8.
    #[serde(with = "postcard_bytes")]
    pub routing_key: Vec<u8>,
    /// An AMQP table as on the wire.
    #[serde(with = "postcard_bytes")]
    pub arguments: Vec<u8>,
}

/// A user; the name is the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// RabbitMQ's format.
    pub password_hash: String,
    /// RabbitMQ's name for how it was made.
    pub hashing_algorithm: String,
    /// "administrator" and the like.
    pub tags: Vec<String>,
    /// Limits by name ("max-connections", "max-channels").
    pub limits: Vec<(String, i64)>,
}

/// What a user may do in a vhost; vhost and user are the key. Regular expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionRecord {
    /// What may be configured.
    pub configure: String,
    /// What may be written to.
    pub write: String,
    /// What may be read from.
    pub read: String,
}

/// Which routing keys a user may use; vhost, user and exchange are the key. Regular expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPermissionRecord {
    /// For publishing.
    pub write: String,
    /// For binding and consuming.
    pub read: String,
}

/// A runtime parameter or policy; vhost, component and name are the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterRecord {
    /// JSON.
    pub value: String,
}

/// A segment of a queue; queue and number are the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// Its bytes.
    pub bytes: u64,
    /// It never changes again.
    pub sealed: bool,
    /// Where its chunks are.
    pub chunks: Vec<ChunkEntry>,
    /// Which of its messages are done with: first and last sequence of each range.
    pub settled: Vec<(u64, u64)>,
    /// What a stream knows of its chunks, in their order; empty for other queues.
    #[serde(skip)]
    pub marks: Vec<ChunkMark>,
}

impl SegmentRecord {
    /// How many messages are in it that were not known to be done with.
    pub fn messages(&self) -> u64 {
        let all: u64 = self
            .chunks
            .iter()
            .map(|chunk| u64::from(chunk.records))
            .sum();
        let settled: u64 = self
            .settled
            .iter()
            .map(|(first, last)| last - first + 1)
            .sum();
        all.saturating_sub(settled)
    }

    /// Forgets a chunk, and what is known of it.
    pub(super) fn drop_chunk(&mut self, band: u32, first: u64) {
        let is_it = |chunk: &ChunkEntry| (chunk.band, chunk.first) == (band, first);
        let Some(at) = self.chunks.iter().position(is_it) else {
            return;
        };
        self.chunks.remove(at);
        if at < self.marks.len() {
            self.marks.remove(at);
        }
    }
}

/// What a stream knows of a chunk without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkMark {
    /// When its first message came, in milliseconds since 1970.
    pub first_ms: u64,
    /// When its last message came.
    pub last_ms: u64,
    /// A Bloom filter of its messages' filter values; empty if they have none.
    #[serde(with = "postcard_bytes")]
    pub filter: Vec<u8>,
    /// Whether it has messages without a filter value.
    pub has_unfiltered: bool,
}

/// Damage of the journal that was reported and set aside; the first and the last index that are missing
/// are the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageRecord {
    /// What its note in the quarantine folder is called.
    pub place: String,
}

/// Ids of messages that an exchange remembers; the exchange and a number are the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRecord {
    /// When this was written, the exchange had forgotten everything before this place.
    pub first: u64,
    /// Its place among those that the exchange remembers, what the message is told by, and when the
    /// exchange forgets it, in milliseconds since 1970.
    pub ids: Vec<(u64, u128, u64)>,
}

pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(record, vec![VERSION])
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&VERSION, record)) => match postcard::take_from_bytes(record) {
            Ok((record, [])) => Some(record),
            _ => None,
        },
        _ => None,
    }
}

/// A segment's record; only that of a stream is of the newer version.
pub(super) fn encode_segment(record: &SegmentRecord) -> Result<Vec<u8>, postcard::Error> {
    match record.marks.is_empty() {
        true => encode(record),
        false => postcard::to_extend(&(record, &record.marks), vec![MARKED_VERSION]),
    }
}

pub(super) fn decode_segment(bytes: &[u8]) -> Option<SegmentRecord> {
    match bytes.split_first() {
        Some((&MARKED_VERSION, record)) => match postcard::take_from_bytes(record) {
            Ok(((record, marks), [])) => Some(SegmentRecord { marks, ..record }),
            _ => None,
        },
        _ => decode(bytes),
    }
}

/// Bytes as bytes, not as a sequence of numbers.
mod postcard_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        <&[u8]>::deserialize(from).map(<[u8]>::to_vec)
    }
}
