//! A chunk: messages one after the other in one byte buffer, the unit in which a queue keeps,
//! finds, recycles and pages out its messages. No object, no allocation and no reference count per
//! message.
//!
//! A record is a fixed header, exchange, routing key, properties, body; all lengths little-endian:
//!
//! ```text
//! flags u8 │ priority u8 │ exchange u8 │ key u8 │ properties u32 │ body u32 │ expires u64 │ bytes…
//! ```
//!
//! A shared body ([`Body::Shared`]) stays outside, in `blobs`; its record has the flag for it.

use bytes::Bytes;

use super::settled::Settled;
use crate::broker::message::{Body, Facts, Message};
use crate::store::segment::{Buffer, ChunkParts, StoredChunk};

/// A chunk is closed once its buffer has as many bytes as its queue wants, or this many records (the
/// index costs four bytes each) ...
const CHUNK_RECORDS: usize = 1 << 16;
/// ... or names so many times as many bytes of shared bodies.
const BLOBS_TO_DATA: usize = 4;

const HEADER_BYTES: usize = 20;
const PERSISTENT: u8 = 1;
const SHARED: u8 = 2;
const HAS_BCC: u8 = 4;

/// A message as it lies in a chunk, with when it expires.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The message.
    pub message: Message<'a>,
    /// Wall-clock milliseconds, or [`Facts::NEVER`].
    pub expires_at_ms: u64,
}

/// A record that was read, of which the like may follow: all that lies before its body.
pub struct Before<'a> {
    head: &'a [u8],
    record: Record<'a>,
}

/// See the module. Records are found by their index.
#[derive(Debug, Default)]
pub struct Chunk {
    data: Buffer,
    starts: Vec<u32>,
    blobs: Vec<(u32, Bytes)>,
    blob_bytes: usize,
    has_transient: bool,
}

impl Chunk {
    /// An empty chunk that has room for so many bytes at once, which a queue that filled one before
    /// will need.
    pub fn with_room(bytes: usize) -> Self {
        Self {
            data: Buffer::with_room(bytes),
            ..Self::default()
        }
    }

    /// A chunk that was read from a segment.
    pub fn from_stored(stored: StoredChunk) -> Self {
        Self {
            data: stored.data,
            starts: stored.starts,
            blob_bytes: stored.blobs.iter().map(|(_, blob)| blob.len()).sum(),
            blobs: stored.blobs,
            has_transient: true,
        }
    }

    /// The chunk as a segment takes it.
    pub fn parts(&self, band: u32, first: u64) -> ChunkParts<'_> {
        ChunkParts {
            band,
            first,
            data: &self.data,
            starts: &self.starts,
            blobs: &self.blobs,
        }
    }

    /// Makes it an empty chunk, keeping its buffers.
    pub fn reset(&mut self) {
        self.data.clear();
        self.starts.clear();
        self.blobs.clear();
        self.blob_bytes = 0;
        self.has_transient = false;
    }

    /// How many records it has.
    pub fn len(&self) -> u32 {
        self.starts.len() as u32
    }

    /// The bytes of its records and shared bodies.
    pub fn content_bytes(&self) -> usize {
        self.data.len() + self.blob_bytes
    }

    /// The records that are not persistent, and the places without a record, as ranges of indices.
    pub fn transient_runs(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut from = 0;
        std::iter::from_fn(move || {
            if !self.has_transient {
                return None;
            }
            let first = (from..self.len()).find(|index| !self.is_persistent(*index))?;
            let end = (first..self.len()).find(|index| self.is_persistent(*index));
            from = end.unwrap_or(self.len());
            Some((first, from - 1))
        })
    }

    fn is_persistent(&self, index: u32) -> bool {
        let start_of = |index: usize| match self.starts.get(index) {
            Some(start) => *start as usize,
            None => self.data.len(),
        };
        let (start, end) = (start_of(index as usize), start_of(index as usize + 1));
        let flags = self.data.get(start..end).and_then(<[u8]>::first);
        flags.is_some_and(|flags| flags & PERSISTENT != 0)
    }

    /// Whether the next record goes to a new chunk.
    pub fn is_full(&self, full_bytes: usize) -> bool {
        self.data.len() >= full_bytes
            || self.starts.len() >= CHUNK_RECORDS
            || self.blob_bytes >= full_bytes * BLOBS_TO_DATA
    }

    /// What it holds in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.data.capacity() + self.starts.capacity() * 4 + self.blob_bytes
    }

    /// Gives back buffers that are larger than a quiet queue needs.
    pub fn shrink(&mut self, keep_bytes: usize) {
        if self.data.capacity() > keep_bytes {
            self.data.shrink_to(keep_bytes);
            self.starts.shrink_to(keep_bytes / 64);
            self.blobs.shrink_to(0);
        }
    }

    /// Appends a message.
    pub fn append(&mut self, message: &Message<'_>, expires_at_ms: u64) {
        let index = self.starts.len() as u32;
        self.starts.push(self.data.len() as u32);
        let body_bytes = message.body.len();
        let (inline, shared) = match message.body {
            Body::Slice(bytes) => (bytes, 0),
            Body::Shared(bytes) => {
                self.blobs.push((index, Bytes::clone(bytes)));
                self.blob_bytes += bytes.len();
                (&[][..], SHARED)
            }
        };
        let persistent = if message.facts.persistent {
            PERSISTENT
        } else {
            0
        };
        self.has_transient |= !message.facts.persistent;
        let bcc = if message.facts.has_bcc { HAS_BCC } else { 0 };
        let mut header = [0; HEADER_BYTES];
        header[0] = persistent | shared | bcc;
        header[1] = message.facts.priority;
        header[2] = message.exchange.len() as u8;
        header[3] = message.routing_key.len() as u8;
        header[4..8].copy_from_slice(&(message.properties.len() as u32).to_le_bytes());
        header[8..12].copy_from_slice(&(body_bytes as u32).to_le_bytes());
        header[12..20].copy_from_slice(&expires_at_ms.to_le_bytes());
        self.data.reserve(
            HEADER_BYTES
                + message.exchange.len()
                + message.routing_key.len()
                + message.properties.len()
                + inline.len(),
        );
        self.data.extend_from_slice(&header);
        self.data.extend_from_slice(message.exchange);
        self.data.extend_from_slice(message.routing_key);
        self.data.extend_from_slice(message.properties);
        self.data.extend_from_slice(inline);
    }

    /// Appends places for records that are settled already, so that those behind them have the
    /// right index.
    pub fn append_settled(&mut self, count: u32) {
        let filled = self.starts.len() + count as usize;
        self.starts.resize(filled, self.data.len() as u32);
        self.has_transient = true;
    }

    /// The same without what is settled, of which only the places stay.
    pub fn without(&self, settled: &Settled) -> Self {
        let mut chunk = Self::default();
        for index in 0..self.len() {
            if settled.contains(index) {
                chunk.append_settled(1);
            } else {
                let record = self.record(index);
                chunk.append(&record.message, record.expires_at_ms);
            }
        }
        chunk
    }

    /// What the records from one index to another take in a segment, in bytes.
    pub fn bytes_of(&self, first: u32, last: u32) -> u64 {
        let start_of = |index: u32| match self.starts.get(index as usize) {
            Some(start) => u64::from(*start),
            None => self.data.len() as u64,
        };
        let from = self.blobs.partition_point(|(at, _)| *at < first);
        let blobs = self.blobs[from..].iter();
        let blobs = blobs.take_while(|(at, _)| *at <= last);
        let blob_bytes: u64 = blobs.map(|(_, blob)| blob.len() as u64).sum();
        let index_bytes = (u64::from(last - first) + 1) * 4;
        start_of(last + 1) - start_of(first) + index_bytes + blob_bytes
    }

    /// The record at that index, which must be in this chunk and not be settled.
    pub fn record(&self, index: u32) -> Record<'_> {
        let data = &self.data[self.starts[index as usize] as usize..];
        let (header, rest) = data.split_at(HEADER_BYTES);
        let properties_bytes =
            u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let body_bytes =
            u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let expires_at_ms = u64::from_le_bytes([
            header[12], header[13], header[14], header[15], header[16], header[17], header[18],
            header[19],
        ]);
        let (exchange, rest) = rest.split_at(header[2] as usize);
        let (routing_key, rest) = rest.split_at(header[3] as usize);
        let (properties, rest) = rest.split_at(properties_bytes);
        let body = if header[0] & SHARED == 0 {
            Body::Slice(&rest[..body_bytes])
        } else {
            self.blob(index)
                .map_or(Body::Slice(&[]), |at| Body::Shared(&self.blobs[at].1))
        };
        Record {
            message: Message {
                exchange,
                routing_key,
                properties,
                body,
                facts: Facts {
                    persistent: header[0] & PERSISTENT != 0,
                    priority: header[1],
                    expiration_ms: Facts::NEVER,
                    has_bcc: header[0] & HAS_BCC != 0,
                },
            },
            expires_at_ms,
        }
    }

    /// The record at that index, read after another one: most are like the one before but for the body's
    /// bytes, and then share its names and properties.
    #[inline]
    pub fn record_after<'a>(&'a self, index: u32, before: &mut Option<Before<'a>>) -> Record<'a> {
        let start = self.starts[index as usize] as usize;
        if let Some(Before { head, record }) = before
            && let Some((like, rest)) = self.data[start..].split_at_checked(head.len())
            && like == *head
            && let Some(body) = rest.get(..record.message.body.len())
        {
            record.message.body = Body::Slice(body);
            return *record;
        }
        let record = self.record(index);
        *before = self.before(start, record);
        record
    }

    /// What the record that begins there has before its body, if that lies behind it.
    fn before<'a>(&'a self, start: usize, record: Record<'a>) -> Option<Before<'a>> {
        let Message {
            exchange,
            routing_key,
            properties,
            body: Body::Slice(_),
            ..
        } = record.message
        else {
            return None;
        };
        let names_bytes = exchange.len() + routing_key.len();
        let end = start + HEADER_BYTES + names_bytes + properties.len();
        let head = self.data.get(start..end)?;
        Some(Before { head, record })
    }

    /// Whether it has shared bodies.
    pub fn has_blobs(&self) -> bool {
        !self.blobs.is_empty()
    }

    fn blob(&self, index: u32) -> Option<usize> {
        self.blobs.binary_search_by_key(&index, |(at, _)| *at).ok()
    }

    /// Lets go of settled records' shared bodies at once, as they may be far larger than the chunk;
    /// says how many bytes they had.
    pub fn release_blobs(&mut self, from: u32, to: u32) -> usize {
        let before = self.blob_bytes;
        let start = self.blobs.partition_point(|(at, _)| *at < from);
        for (_, bytes) in self.blobs[start..]
            .iter_mut()
            .take_while(|(at, _)| *at <= to)
        {
            self.blob_bytes -= bytes.len();
            *bytes = Bytes::new();
        }
        before - self.blob_bytes
    }
}
