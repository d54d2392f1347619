//! A segment's fixed parts as bytes: chunk header and footer. `docs/storage.md` has the tables.

use serde::{Deserialize, Serialize};

use crate::store::fields::{Fields, crc};

/// The format that is written, and the newest that can be read.
pub const FORMAT: u32 = 1;

const CHUNK_MAGIC: [u8; 8] = *b"WARRENC1";
const FOOTER_MAGIC: [u8; 8] = *b"WARRENF1";
const ENTRY_BYTES: usize = 32;

/// Bytes of a chunk's header.
pub const CHUNK_HEADER_BYTES: usize = 64;
/// Bytes at the very end of a sealed segment.
pub const FOOTER_BYTES: usize = 32;

/// Where a chunk lies in its segment: what has to be known to read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkEntry {
    /// Where its header begins.
    pub offset: u64,
    /// The number of its first record.
    pub first: u64,
    /// The band.
    pub band: u32,
    /// How many records it has.
    pub records: u32,
    /// Bytes of header and everything behind it, without padding.
    pub bytes: u32,
}

/// What a chunk says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// The queue's id.
    pub queue: u64,
    /// The number of its first record.
    pub first: u64,
    /// The band.
    pub band: u32,
    /// How many records it has.
    pub records: u32,
    /// Bytes of data.
    pub data_bytes: u32,
    /// How many bodies lie outside the data.
    pub blobs: u32,
    /// Their bytes.
    pub blob_bytes: u32,
    /// Checksum of everything behind the header.
    pub payload_crc: u32,
}

impl ChunkHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; CHUNK_HEADER_BYTES] {
        let mut header = [0; CHUNK_HEADER_BYTES];
        header[..8].copy_from_slice(&CHUNK_MAGIC);
        header[12..16].copy_from_slice(&FORMAT.to_le_bytes());
        header[16..24].copy_from_slice(&self.queue.to_le_bytes());
        header[24..32].copy_from_slice(&self.first.to_le_bytes());
        let fields = [
            self.band,
            self.records,
            self.data_bytes,
            self.blobs,
            self.blob_bytes,
            self.payload_crc,
        ];
        for (at, field) in fields.into_iter().enumerate() {
            header[32 + at * 4..36 + at * 4].copy_from_slice(&field.to_le_bytes());
        }
        let sum = crc(0, &header[12..]);
        header[8..12].copy_from_slice(&sum.to_le_bytes());
        header
    }

    /// Reads a header, if it is a valid one of this format.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(..CHUNK_HEADER_BYTES)?);
        if fields.bytes(8)? != CHUNK_MAGIC
            || fields.u32()? != crc(0, fields.0)
            || fields.u32()? != FORMAT
        {
            return None;
        }
        Some(Self {
            queue: fields.u64()?,
            first: fields.u64()?,
            band: fields.u32()?,
            records: fields.u32()?,
            data_bytes: fields.u32()?,
            blobs: fields.u32()?,
            blob_bytes: fields.u32()?,
            payload_crc: fields.u32()?,
        })
    }

    /// Bytes of header and everything behind it.
    pub fn total_bytes(&self) -> u64 {
        CHUNK_HEADER_BYTES as u64
            + u64::from(self.data_bytes)
            + u64::from(self.records) * 4
            + u64::from(self.blobs) * 8
            + u64::from(self.blob_bytes)
    }
}

/// The chunks' table and the footer, for a table that begins at `offset`.
pub fn encode_footer(queue: u64, chunks: &[ChunkEntry], offset: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(chunks.len() * ENTRY_BYTES + FOOTER_BYTES);
    for chunk in chunks {
        bytes.extend_from_slice(&chunk.offset.to_le_bytes());
        bytes.extend_from_slice(&chunk.first.to_le_bytes());
        for field in [chunk.band, chunk.records, chunk.bytes, 0] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
    }
    let sum = table_crc(queue, &bytes);
    bytes.extend_from_slice(&FOOTER_MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&(chunks.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

/// What the footer says: where the table is, how many chunks it has, its checksum.
pub fn decode_footer(bytes: &[u8]) -> Option<(u64, usize, u32)> {
    let mut fields = Fields(bytes.get(..FOOTER_BYTES)?);
    if fields.bytes(8)? != FOOTER_MAGIC || fields.u32()? != FORMAT {
        return None;
    }
    let chunks = fields.u32()? as usize;
    Some((fields.u64()?, chunks, fields.u32()?))
}

/// Bytes of a table of so many chunks.
pub fn table_bytes(chunks: usize) -> usize {
    chunks * ENTRY_BYTES
}

/// Reads the table, if it is what the footer's checksum says.
pub fn decode_table(queue: u64, table: &[u8], sum: u32) -> Option<Vec<ChunkEntry>> {
    if table_crc(queue, table) != sum {
        return None;
    }
    table
        .chunks_exact(ENTRY_BYTES)
        .map(|entry| {
            let mut fields = Fields(entry);
            Some(ChunkEntry {
                offset: fields.u64()?,
                first: fields.u64()?,
                band: fields.u32()?,
                records: fields.u32()?,
                bytes: fields.u32()?,
            })
        })
        .collect()
}

fn table_crc(queue: u64, table: &[u8]) -> u32 {
    crc(crc(0, table), &queue.to_le_bytes())
}
