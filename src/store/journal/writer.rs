//! Writes batches into the log's files, one after the other, and syncs them. It alone knows
//! where the log ends.

use std::io;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use super::Fsync;
use super::files::{JournalFile, LiveFile};
use super::layout::{BATCH_HEAD_BYTES, BatchHead, FileHeader, RecordHeader, seal};
use super::shared::Shared;
use crate::store::disk::{AlignedBuffer, BLOCK_BYTES, whole_blocks};

/// See the module.
pub(super) struct Writer {
    shared: Arc<Shared>,
    dice: StdRng,
    run: u64,
    active: Option<Active>,
    /// Highest index that was written.
    written: u64,
    /// Highest index that is synced, so far as it is known.
    synced: u64,
    /// The synced mark that was written last.
    marked: u64,
    /// Something was written and not synced, in the active file.
    is_dirty: bool,
}

/// The file that is written.
pub(super) struct Active {
    pub file: JournalFile,
    pub header: FileHeader,
    /// Where the next batch begins.
    pub offset: u64,
}

/// At most so many bytes are written and synced in one call: past that, two are as fast.
const MOST_THROUGH_BYTES: u64 = 64 << 10;
/// Every so many bytes it is noted where a batch begins.
const MARK_BYTES: u64 = 1 << 20;

impl Writer {
    /// Goes on after the record `last_index`, which is synced as all before it.
    pub fn new(
        shared: Arc<Shared>,
        mut dice: StdRng,
        active: Option<Active>,
        last_index: u64,
    ) -> Self {
        Self {
            shared,
            run: nonzero(&mut dice),
            dice,
            active,
            written: last_index,
            synced: last_index,
            marked: last_index,
            is_dirty: false,
        }
    }

    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    pub fn synced(&self) -> u64 {
        self.synced
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether what is synced exceeds what was promised in a mark.
    pub fn wants_mark(&self) -> bool {
        self.marked < self.synced && self.active.is_some()
    }

    /// Writes `records` records, which lie in `batch` behind room for a head. Where each batch is to
    /// be synced, few of them are synced along the way; [`Writer::sync`] knows.
    pub fn write(
        &mut self,
        batch: &mut AlignedBuffer,
        mut first_index: u64,
        mut records: u32,
    ) -> io::Result<()> {
        while records > 0 {
            let is_whole = whole_blocks(batch.len() as u64) <= self.room();
            let (bytes, count) = if is_whole && batch.len() <= MOST_BATCH_BYTES {
                (batch.len(), records)
            } else {
                fitting(batch, self.room())
            };
            if count == 0 {
                let first = RecordHeader::decode(&batch[BATCH_HEAD_BYTES..])
                    .map_or(0, |header| header.total_bytes());
                self.start_file(first_index, whole_blocks((BATCH_HEAD_BYTES + first) as u64))?;
                continue;
            }
            self.write_part(batch, bytes, first_index, count)?;
            first_index += u64::from(count);
            records -= count;
            if records > 0 {
                batch.remove(BATCH_HEAD_BYTES, bytes);
            }
        }
        Ok(())
    }

    /// Writes a batch without records, for its synced mark. Where there is no room for one, the
    /// next file's header says the same.
    pub fn write_mark(&mut self) -> io::Result<()> {
        if self.room() < BLOCK_BYTES {
            self.start_file(self.written + 1, BLOCK_BYTES)?;
            self.marked = self.synced;
            return Ok(());
        }
        let mut batch = AlignedBuffer::zeroed(BATCH_HEAD_BYTES);
        self.write_part(&mut batch, BATCH_HEAD_BYTES, self.written + 1, 0)
    }

    /// Goes on in another file with the record of that index.
    pub fn begin_file(&mut self, first_index: u64) -> io::Result<()> {
        self.start_file(first_index, BLOCK_BYTES)
    }

    /// Syncs what was written.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(active) = &self.active
            && self.is_dirty
        {
            active.file.file.sync_data()?;
        }
        self.is_dirty = false;
        self.synced = self.written;
        Ok(())
    }

    /// Takes back everything from `index` on: a new file starts there, and what older ones hold
    /// above counts no more.
    pub fn truncate_from(&mut self, index: u64) -> io::Result<()> {
        self.written = index - 1;
        self.start_file(index, BLOCK_BYTES)?;
        self.synced = self.synced.min(index - 1);
        self.marked = self.synced;
        self.is_dirty = true;
        self.sync()
    }

    /// How many bytes the active file has left.
    fn room(&self) -> u64 {
        self.active
            .as_ref()
            .map_or(0, |active| active.file.bytes.saturating_sub(active.offset))
    }

    /// Writes the first `bytes` of `batch` as a batch of `count` records.
    fn write_part(
        &mut self,
        batch: &mut AlignedBuffer,
        bytes: usize,
        first_index: u64,
        count: u32,
    ) -> io::Result<()> {
        let Some(active) = &mut self.active else {
            return Err(io::Error::other("no journal file is open"));
        };
        let seed = active.header.record_seed(self.run);
        let mut rest = &mut batch[BATCH_HEAD_BYTES..bytes];
        while let Some(header) = RecordHeader::decode(rest) {
            let (record, behind) = rest.split_at_mut(header.total_bytes());
            seal(record, seed);
            rest = behind;
        }
        let head = BatchHead {
            run: self.run,
            first_index,
            synced: self.synced,
            records: count,
            bytes: (bytes - BATCH_HEAD_BYTES) as u32,
        };
        head.encode_into(active.header.head_seed(), batch);
        let padded = whole_blocks(bytes as u64);
        if batch.len() == bytes {
            batch.resize(padded as usize);
            let file = &active.file.file;
            let is_synced = self.shared.options.fsync == Fsync::Always;
            if is_synced && !self.is_dirty && padded <= MOST_THROUGH_BYTES {
                file.write_blocks_through_at(batch, active.offset)?;
            } else {
                file.write_blocks_at(batch, active.offset)?;
                self.is_dirty = true;
            }
        } else {
            active.file.file.write_at(&batch[..bytes], active.offset)?;
            self.is_dirty = true;
        }
        let offset = active.offset;
        active.offset += padded;
        self.marked = self.synced;
        if count > 0 {
            self.written = first_index + u64::from(count) - 1;
            self.note_batch(first_index, offset);
        }
        Ok(())
    }

    /// Notes where a batch begins, for reading by index.
    fn note_batch(&self, first_index: u64, offset: u64) {
        let mut files = self.shared.files.lock();
        if let Some(live) = files.live.back_mut()
            && live
                .marks
                .last()
                .is_none_or(|(_, last)| offset >= last + MARK_BYTES)
        {
            live.marks.push((first_index, offset));
        }
    }

    /// Goes on in another file, with room for a batch of `batch_bytes` at least. The header is
    /// synced together with the first batch: until then, the file is what it was.
    fn start_file(&mut self, first_index: u64, batch_bytes: u64) -> io::Result<()> {
        // Otherwise a later sync would promise what it did not sync.
        self.sync()?;
        let (file, generation) = self.shared.obtain_file(batch_bytes)?;
        let header = FileHeader {
            generation,
            salt: nonzero(&mut self.dice),
            first_index,
            first_live: self.shared.files.lock().first_live(),
            synced: self.synced,
            file_bytes: file.bytes,
        };
        file.file.write_at(&header.encode(), 0)?;
        self.is_dirty = true;
        let mut files = self.shared.files.lock();
        files.live.push_back(LiveFile {
            file: file.clone(),
            header,
            marks: Vec::new(),
        });
        drop(files);
        self.active = Some(Active {
            file,
            header,
            offset: BLOCK_BYTES,
        });
        Ok(())
    }
}

/// How many bytes (with the head) and records of `batch` fit into `room`.
fn fitting(batch: &[u8], room: u64) -> (usize, u32) {
    let mut end = BATCH_HEAD_BYTES;
    let mut count = 0;
    while let Some(header) = RecordHeader::decode(&batch[end..]) {
        let next = end + header.total_bytes();
        if whole_blocks(next as u64) > room || next > MOST_BATCH_BYTES && count > 0 {
            break;
        }
        end = next;
        count += 1;
    }
    (end, count)
}

/// A batch's length must fit its field, whatever gathered; more are written one after the other.
const MOST_BATCH_BYTES: usize = 1 << 30;

/// Zero stands for "unknown".
fn nonzero(dice: &mut impl Rng) -> u64 {
    dice.random::<u64>() | 1
}
