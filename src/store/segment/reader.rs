//! Reads chunks back and verifies them.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::buffer::{Blocks, Buffer};
use super::layout::{
    CHUNK_HEADER_BYTES, ChunkEntry, ChunkHeader, FOOTER_BYTES, decode_footer, decode_table,
    table_bytes,
};
use super::{SegmentWriter, path_of, place_of};
use crate::store::disk::{Disk, DiskFile, whole_blocks};
use crate::store::fields::{Fields, crc};
use crate::store::quarantine;

/// A chunk that was read, as it lay in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// The band.
    pub band: u32,
    /// The number of its first record.
    pub first: u64,
    /// The records.
    pub data: Buffer,
    /// Where each record begins in `data`; never past its end.
    pub starts: Vec<u32>,
    /// Bodies that lie outside, with the index of their record.
    pub blobs: Vec<(u32, Bytes)>,
}

/// Why a chunk can't be read.
#[derive(Debug)]
pub enum ChunkError {
    /// The disk does not give it.
    Unreadable {
        /// The queue's id.
        queue: u64,
        /// The segment's number.
        segment: u64,
        /// Which of its chunks.
        chunk: ChunkEntry,
        /// The disk's error.
        error: io::Error,
    },
    /// It is not what was written.
    Damaged {
        /// The queue's id.
        queue: u64,
        /// The segment's number.
        segment: u64,
        /// Which of its chunks.
        chunk: ChunkEntry,
        /// Where a copy is, if there was anything to copy.
        kept_in: Option<String>,
    },
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable {
                queue,
                segment,
                chunk,
                error,
            } => write!(
                f,
                "{} records from {} on in band {} of queue {queue} can't be read ({} bytes at {} of \
                 segment {segment}): {error}",
                chunk.records, chunk.first, chunk.band, chunk.bytes, chunk.offset
            ),
            Self::Damaged {
                queue,
                segment,
                chunk,
                kept_in,
            } => {
                write!(
                    f,
                    "{} records from {} on in band {} of queue {queue} are damaged ({} bytes at {} \
                     of segment {segment})",
                    chunk.records, chunk.first, chunk.band, chunk.bytes, chunk.offset
                )?;
                match kept_in {
                    Some(path) => write!(f, ", copied to {path}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for ChunkError {}

/// A segment that is open for reading.
#[derive(Clone, Debug)]
pub struct Segment {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    queue: u64,
    number: u64,
    past_cache: bool,
}

impl Segment {
    /// Opens a segment.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(disk: Arc<dyn Disk>, queue: u64, number: u64) -> io::Result<Self> {
        let file = disk.open(&path_of(queue, number))?;
        Ok(Self {
            disk,
            file,
            queue,
            number,
            past_cache: false,
        })
    }

    /// What is read from now on leaves the system's cache alone, where it does not lie anyway.
    pub fn past_cache(self, past_cache: bool) -> Self {
        Self { past_cache, ..self }
    }

    /// The same for one that is still being written.
    pub fn of(writer: &SegmentWriter) -> Self {
        Self {
            disk: Arc::clone(writer.disk()),
            file: Arc::clone(writer.file()),
            queue: writer.queue(),
            number: writer.number(),
            past_cache: false,
        }
    }

    /// Reads a chunk. Damage is copied to quarantine.
    ///
    /// # Errors
    /// See [`ChunkError`].
    pub fn read(&self, chunk: &ChunkEntry) -> Result<StoredChunk, ChunkError> {
        match self.look(chunk) {
            Err(ChunkError::Damaged { .. }) => {
                let name = place_of(self.queue, self.number, chunk);
                let bytes = u64::from(chunk.bytes);
                let kept_in =
                    quarantine::copy(&*self.disk, &*self.file, chunk.offset, bytes, &name)
                        .map_err(|error| self.unreadable(chunk, error))?;
                Err(self.damaged(chunk, kept_in))
            }
            read => read,
        }
    }

    /// Reads a chunk. Damage is left alone.
    ///
    /// # Errors
    /// See [`ChunkError`].
    pub fn look(&self, chunk: &ChunkEntry) -> Result<StoredChunk, ChunkError> {
        match self.read_intact(chunk) {
            Ok(Some(stored)) => Ok(stored),
            Ok(None) => Err(self.damaged(chunk, None)),
            Err(error) => Err(self.unreadable(chunk, error)),
        }
    }

    /// Whether a chunk is what was written: it is read, but not kept. Damage is copied to quarantine.
    ///
    /// # Errors
    /// See [`ChunkError`].
    pub fn verify(&self, chunk: &ChunkEntry) -> Result<(), ChunkError> {
        match self.read_whole(chunk) {
            Ok(Some(_)) => Ok(()),
            // Whatever is wrong with it is found once more.
            _ => self.read(chunk).map(drop),
        }
    }

    /// The table in the footer of a sealed segment; None if it is not sealed, or damaged.
    ///
    /// # Errors
    /// The disk's.
    pub fn table(&self) -> io::Result<Option<Vec<ChunkEntry>>> {
        let bytes = self.file.len()?;
        let Some(footer_at) = bytes.checked_sub(FOOTER_BYTES as u64) else {
            return Ok(None);
        };
        let mut footer = [0; FOOTER_BYTES];
        self.file.read_at(&mut footer, footer_at)?;
        let Some((offset, chunks, sum)) = decode_footer(&footer) else {
            return Ok(None);
        };
        if offset.checked_add(table_bytes(chunks) as u64) != Some(footer_at) {
            return Ok(None);
        }
        let mut table = vec![0; table_bytes(chunks)];
        self.file.read_at(&mut table, offset)?;
        Ok(decode_table(self.queue, &table, sum))
    }

    fn damaged(&self, chunk: &ChunkEntry, kept_in: Option<String>) -> ChunkError {
        ChunkError::Damaged {
            queue: self.queue,
            segment: self.number,
            chunk: *chunk,
            kept_in,
        }
    }

    fn unreadable(&self, chunk: &ChunkEntry, error: io::Error) -> ChunkError {
        ChunkError::Unreadable {
            queue: self.queue,
            segment: self.number,
            chunk: *chunk,
            error,
        }
    }

    /// None if the chunk is not what the list says, or was written.
    fn read_intact(&self, chunk: &ChunkEntry) -> io::Result<Option<StoredChunk>> {
        match self.read_parts(chunk) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read,
        }
    }

    fn read_parts(&self, chunk: &ChunkEntry) -> io::Result<Option<StoredChunk>> {
        if (chunk.bytes as usize) < CHUNK_HEADER_BYTES {
            return Ok(None);
        }
        match self.past_cache {
            true => self.read_blocks(chunk),
            false => self.read_in_place(chunk),
        }
    }

    /// All of it in one go, past the cache, if it is what was written.
    fn read_whole(&self, chunk: &ChunkEntry) -> io::Result<Option<(ChunkHeader, Blocks)>> {
        let mut blocks = Blocks::with_len(whole_blocks(u64::from(chunk.bytes)) as usize);
        let read = self.file.read_blocks_at(&mut blocks, chunk.offset)?;
        if read < chunk.bytes as usize {
            return Ok(None);
        }
        blocks.truncate(chunk.bytes as usize);
        let (header, payload) = blocks.split_at(CHUNK_HEADER_BYTES);
        let header = self.header(chunk, header);
        let header = header.filter(|header| header.payload_crc == crc(0, payload));
        Ok(header.map(|header| (header, blocks)))
    }

    /// The records are moved from there to where they are to stay.
    fn read_blocks(&self, chunk: &ChunkEntry) -> io::Result<Option<StoredChunk>> {
        let Some((header, blocks)) = self.read_whole(chunk)? else {
            return Ok(None);
        };
        let payload = &blocks[CHUNK_HEADER_BYTES..];
        let (data, rest) = payload.split_at(header.data_bytes as usize);
        let mut records = Buffer::with_room(data.len());
        records.extend_from_slice(data);
        Ok(split(header, records, rest.to_vec()))
    }

    /// The records are read to where they are to stay.
    fn read_in_place(&self, chunk: &ChunkEntry) -> io::Result<Option<StoredChunk>> {
        let mut header = [0; CHUNK_HEADER_BYTES];
        self.file.read_at(&mut header, chunk.offset)?;
        let Some(header) = self.header(chunk, &header) else {
            return Ok(None);
        };
        let data_bytes = header.data_bytes as usize;
        let data_at = chunk.offset + CHUNK_HEADER_BYTES as u64;
        let mut data = Buffer::with_len(data_bytes);
        self.file.read_at(&mut data, data_at)?;
        let mut rest = vec![0; chunk.bytes as usize - CHUNK_HEADER_BYTES - data_bytes];
        self.file.read_at(&mut rest, data_at + data_bytes as u64)?;
        let is_whole = header.payload_crc == crc(crc(0, &data), &rest);
        Ok(is_whole.then(|| split(header, data, rest)).flatten())
    }

    /// None if it is not that of the chunk.
    fn header(&self, chunk: &ChunkEntry, bytes: &[u8]) -> Option<ChunkHeader> {
        let header = ChunkHeader::decode(bytes)?;
        let is_right = header.queue == self.queue
            && header.first == chunk.first
            && header.band == chunk.band
            && header.records == chunk.records
            && header.total_bytes() == u64::from(chunk.bytes);
        is_right.then_some(header)
    }
}

fn split(header: ChunkHeader, data: Buffer, rest: Vec<u8>) -> Option<StoredChunk> {
    let mut rest = Bytes::from(rest);
    let starts = rest.split_to(header.records as usize * 4);
    let mut table = rest.split_to(header.blobs as usize * 8);
    let starts: Vec<u32> = starts
        .chunks_exact(4)
        .filter_map(|start| Fields(start).u32())
        .collect();
    if starts.iter().any(|start| *start as usize > data.len()) {
        return None;
    }
    let mut blobs = Vec::with_capacity(header.blobs as usize);
    while !table.is_empty() {
        let entry = table.split_to(8);
        let mut fields = Fields(&entry);
        let (record, length) = (fields.u32()?, fields.u32()? as usize);
        if length > rest.len() {
            return None;
        }
        blobs.push((record, rest.split_to(length)));
    }
    Some(StoredChunk {
        band: header.band,
        first: header.first,
        data,
        starts,
        blobs,
    })
}
