//! Writes chunks into a new segment, one after the other, and seals it.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;

use super::buffer::Blocks;
use super::layout::{ChunkEntry, ChunkHeader, encode_footer};
use super::{FOLDER, folder_of, path_of};
use crate::store::disk::{Disk, DiskFile, whole_blocks};

/// So much room on the disk is set aside at a time.
const MOST_RESERVED: u64 = 8 << 20;

/// A chunk to be written, as it lies in memory.
#[derive(Clone, Copy, Debug)]
pub struct ChunkParts<'a> {
    /// The band.
    pub band: u32,
    /// The number of its first record.
    pub first: u64,
    /// The records.
    pub data: &'a [u8],
    /// Where each record begins in `data`.
    pub starts: &'a [u32],
    /// Bodies that lie outside, with the index of their record.
    pub blobs: &'a [(u32, Bytes)],
}

/// A segment that is being written. After an error it is of no use any more.
#[derive(Debug)]
pub struct SegmentWriter {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    queue: u64,
    number: u64,
    offset: u64,
    /// Until where there is room on the disk.
    reserved: u64,
    chunks: Vec<ChunkEntry>,
    /// Written past the system's cache, because nobody will read it soon.
    past_cache: bool,
    is_linked: bool,
}

impl SegmentWriter {
    /// Makes a segment of a number that this queue never had before.
    ///
    /// # Errors
    /// The disk's.
    pub fn create(disk: Arc<dyn Disk>, queue: u64, number: u64) -> io::Result<Self> {
        disk.create_dir(&folder_of(queue))?;
        let file = disk.create(&path_of(queue, number))?;
        Ok(Self {
            disk,
            file,
            queue,
            number,
            offset: 0,
            reserved: 0,
            chunks: Vec::new(),
            past_cache: false,
            is_linked: false,
        })
    }

    /// What is appended from now on leaves the system's cache alone: it will not be read soon.
    pub fn past_cache(self) -> Self {
        Self {
            past_cache: true,
            ..self
        }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// What it holds, for the catalog's list; counts only what was synced.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// The open file, so that what was written can be read at once.
    pub(super) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(super) fn queue(&self) -> u64 {
        self.queue
    }

    /// Writes a chunk. It is durable after [`SegmentWriter::sync`].
    ///
    /// # Errors
    /// The disk's; `InvalidInput` for a chunk of more than 4 GiB.
    pub fn append(&mut self, chunk: &ChunkParts<'_>) -> io::Result<ChunkEntry> {
        let mut index = Vec::with_capacity(chunk.starts.len() * 4 + chunk.blobs.len() * 8);
        for start in chunk.starts {
            index.extend_from_slice(&start.to_le_bytes());
        }
        for (record, blob) in chunk.blobs {
            index.extend_from_slice(&record.to_le_bytes());
            index.extend_from_slice(&fitting(blob.len() as u64)?.to_le_bytes());
        }
        let blob_bytes: u64 = chunk.blobs.iter().map(|(_, blob)| blob.len() as u64).sum();
        let mut sum = crc32fast::Hasher::new();
        sum.update(chunk.data);
        sum.update(&index);
        for (_, blob) in chunk.blobs {
            sum.update(blob);
        }
        let header = ChunkHeader {
            queue: self.queue,
            first: chunk.first,
            band: chunk.band,
            records: chunk.starts.len() as u32,
            data_bytes: fitting(chunk.data.len() as u64)?,
            blobs: chunk.blobs.len() as u32,
            blob_bytes: fitting(blob_bytes)?,
            payload_crc: sum.finalize(),
        };
        let entry = ChunkEntry {
            offset: self.offset,
            first: chunk.first,
            band: chunk.band,
            records: header.records,
            bytes: fitting(header.total_bytes())?,
        };
        let end = whole_blocks(self.offset + header.total_bytes());
        self.reserve_until(end);
        let fixed = header.encode();
        let parts = [&fixed[..], chunk.data, &index];
        let blobs = chunk.blobs.iter().map(|(_, blob)| &blob[..]);
        let parts = parts.into_iter().chain(blobs).map(IoSlice::new);
        // An empty part would look like a disk that takes no more.
        let mut parts: Vec<IoSlice<'_>> = parts.filter(|part| !part.is_empty()).collect();
        if self.past_cache {
            let mut blocks = Blocks::with_room((end - self.offset) as usize);
            for part in parts {
                blocks.end().extend_from_slice(&part);
            }
            blocks.resize((end - self.offset) as usize);
            self.file.write_blocks_at(&blocks, self.offset)?;
        } else {
            self.file.write_parts_at(&mut parts, self.offset)?;
        }
        self.offset = end;
        self.chunks.push(entry);
        Ok(entry)
    }

    /// A segment that grows gets as much room at a time as it has bytes, so that none gets much more
    /// than it needs.
    fn reserve_until(&mut self, end: u64) {
        if end > self.reserved {
            let bytes = self.offset.min(MOST_RESERVED).max(end - self.offset);
            self.file.reserve(self.offset, bytes);
            self.reserved = self.offset + bytes;
        }
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The disk's; nothing of the segment can be relied on then.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.is_linked {
            self.disk.sync_dir(&folder_of(self.queue))?;
            self.disk.sync_dir(FOLDER)?;
            self.is_linked = true;
        }
        Ok(())
    }

    /// Writes the footer and makes all durable; the segment never changes again.
    ///
    /// # Errors
    /// The disk's; nothing of the segment can be relied on then.
    pub fn seal(mut self) -> io::Result<Vec<ChunkEntry>> {
        let footer = encode_footer(self.queue, &self.chunks, self.offset);
        self.file.write_at(&footer, self.offset)?;
        if self.reserved > 0 {
            self.file.set_len(self.offset + footer.len() as u64)?;
        }
        self.sync()?;
        Ok(self.chunks)
    }
}

fn fitting(bytes: u64) -> io::Result<u32> {
    u32::try_from(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the chunk is too large"))
}
