//! Walks through the records of one file, batch after batch, and says where the expected one is
//! not to be found. Whether that is the end or damage is for others to decide.

use std::io;
use std::sync::Arc;

use super::layout::{
    BATCH_HEAD_BYTES, BatchHead, FileHeader, RECORD_HEADER_BYTES, RecordHeader, is_intact,
};
use super::mend::{ContentAt, mended};
use super::window::Window;
use crate::store::disk::{BLOCK_BYTES, DiskFile, whole_blocks};

/// See the module.
pub(super) struct Walk {
    window: Window,
    header: FileHeader,
    head_seed: u32,
    record_seed: u32,
    run: u64,
    offset: u64,
    batch: Option<InBatch>,
    /// Batches whose head was broken and whose records were found nevertheless.
    pub repaired_heads: u64,
    /// Where batches begin, an index and an offset every so often.
    pub marks: Vec<(u64, u64)>,
}

#[derive(Clone, Copy)]
struct InBatch {
    end: u64,
    /// Records left; unknown if the head is broken.
    left: Option<u32>,
}

/// A record that was found intact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    pub offset: u64,
    pub header: RecordHeader,
}

/// What the walk came to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The expected record.
    Record(Located),
    /// Something else.
    Lost(Lost),
}

/// Where the expected record is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub offset: u64,
    /// Whether a batch was begun, so that there should have been a record.
    pub is_in_batch: bool,
}

/// Every so many bytes a mark is made.
const MARK_BYTES: u64 = 1 << 20;

impl Walk {
    /// Starts at the file's first batch.
    pub fn new(file: Arc<dyn DiskFile>, header: FileHeader) -> io::Result<Self> {
        Ok(Self {
            window: Window::new(file, header.file_bytes)?,
            header,
            head_seed: header.head_seed(),
            record_seed: 0,
            run: 0,
            offset: BLOCK_BYTES,
            batch: None,
            repaired_heads: 0,
            marks: Vec::new(),
        })
    }

    /// Starts at a batch that is known to begin at `offset`.
    pub fn start_at(&mut self, offset: u64) {
        self.offset = offset;
        self.batch = None;
    }

    /// Where the next batch can begin.
    pub fn end_offset(&self) -> u64 {
        whole_blocks(self.offset)
    }

    /// Where the file ends.
    pub fn file_bytes(&self) -> u64 {
        self.window.file_bytes()
    }

    /// Blocks that the disk could not read.
    pub fn unreadable_blocks(&self) -> u64 {
        self.window.unreadable_blocks
    }

    /// The bytes of a located record.
    pub fn bytes(&mut self, located: &Located) -> io::Result<&[u8]> {
        let bytes = self
            .window
            .get(located.offset, located.header.total_bytes())?;
        bytes.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Bytes as they are, wherever the walk is; None past the end of the file.
    pub fn peek(&mut self, offset: u64, bytes: usize) -> io::Result<Option<&[u8]>> {
        self.window.get(offset, bytes)
    }

    /// Goes on to the record with the index `expected`.
    pub fn next(&mut self, expected: u64) -> io::Result<Step> {
        loop {
            let Some(batch) = self.batch else {
                let offset = self.offset;
                if let Some(head) = self.head_at(offset)?
                    && head.first_index == expected
                {
                    self.enter(offset, &head);
                    continue;
                }
                if self.enter_without_head(expected)? {
                    continue;
                }
                return Ok(Step::Lost(Lost {
                    offset,
                    is_in_batch: false,
                }));
            };
            if batch.left == Some(0) {
                self.offset = whole_blocks(batch.end);
                self.batch = None;
                continue;
            }
            if let Some(header) = self.record_at(self.offset, batch.end, expected)? {
                let offset = self.offset;
                self.pass(&header);
                return Ok(Step::Record(Located { offset, header }));
            }
            // A batch may have been cut here by a recovery, and the log gone on behind it; and
            // one without a head ends where its records do.
            let next_block = whole_blocks(self.offset);
            let goes_on = self
                .head_at(next_block)?
                .is_some_and(|head| head.first_index == expected);
            if goes_on || batch.left.is_none() {
                self.offset = next_block;
                self.batch = None;
                continue;
            }
            return Ok(Step::Lost(Lost {
                offset: self.offset,
                is_in_batch: true,
            }));
        }
    }

    /// The record that is expected here and is damaged, if `content_at` makes it whole.
    /// [`Walk::pass`] goes on behind it.
    pub fn mend(
        &mut self,
        expected: u64,
        content_at: &mut ContentAt<'_>,
    ) -> io::Result<Option<(Located, Vec<u8>)>> {
        let Some(batch) = self.batch else {
            return Ok(None);
        };
        let (offset, seed) = (self.offset, self.record_seed);
        let header = self.window.get(offset, RECORD_HEADER_BYTES)?;
        let header = header.and_then(RecordHeader::decode).filter(|header| {
            header.index == expected && offset + header.total_bytes() as u64 <= batch.end
        });
        let Some(header) = header else {
            return Ok(None);
        };
        let bytes = self.window.get(offset, header.total_bytes())?;
        let Some(record) = bytes.and_then(|bytes| mended(bytes, seed, content_at)) else {
            return Ok(None);
        };
        Ok(Some((Located { offset, header }, record)))
    }

    /// Searches the rest of the batch, byte for byte, for a record later than `expected`; goes on
    /// with it, and says how many bytes it stepped over and which index it has.
    pub fn skip_broken(&mut self, expected: u64) -> io::Result<Option<(u64, u64)>> {
        let Some(InBatch {
            end,
            left: Some(left),
        }) = self.batch
        else {
            return Ok(None);
        };
        for offset in self.offset + 1..end {
            let Some(bytes) = self.window.get(offset, RECORD_HEADER_BYTES)? else {
                break;
            };
            let Some(header) = RecordHeader::decode(bytes) else {
                break;
            };
            let skipped = header.index.wrapping_sub(expected);
            if (1..u64::from(left)).contains(&skipped)
                && self.record_at(offset, end, header.index)?.is_some()
            {
                let bytes = offset - self.offset;
                self.offset = offset;
                self.batch = Some(InBatch {
                    end,
                    left: Some(left - skipped as u32),
                });
                return Ok(Some((bytes, header.index)));
            }
        }
        Ok(None)
    }

    /// Finds the next batch at or behind `from` that begins at the index `at_least` or later.
    pub fn find_head(&mut self, from: u64, at_least: u64) -> io::Result<Option<(u64, BatchHead)>> {
        let mut offset = whole_blocks(from);
        while offset + BATCH_HEAD_BYTES as u64 <= self.file_bytes() {
            if let Some(head) = self.head_at(offset)?
                && head.first_index >= at_least
            {
                return Ok(Some((offset, head)));
            }
            offset += BLOCK_BYTES;
        }
        Ok(None)
    }

    /// Goes on with the batch whose head is at `offset`.
    pub fn enter(&mut self, offset: u64, head: &BatchHead) {
        self.set_run(head.run);
        self.offset = offset + BATCH_HEAD_BYTES as u64;
        self.batch = Some(InBatch {
            end: self.offset + u64::from(head.bytes),
            left: Some(head.records),
        });
        if self
            .marks
            .last()
            .is_none_or(|(_, last)| offset >= last + MARK_BYTES)
        {
            self.marks.push((head.first_index, offset));
        }
    }

    fn set_run(&mut self, run: u64) {
        self.run = run;
        self.record_seed = self.header.record_seed(run);
    }

    /// The head is broken, but the record behind it may be one of the run before.
    fn enter_without_head(&mut self, expected: u64) -> io::Result<bool> {
        let first = self.offset + BATCH_HEAD_BYTES as u64;
        let end = self.file_bytes();
        if self.run == 0 || self.record_at(first, end, expected)?.is_none() {
            return Ok(false);
        }
        self.repaired_heads += 1;
        self.offset = first;
        self.batch = Some(InBatch { end, left: None });
        Ok(true)
    }

    fn head_at(&mut self, offset: u64) -> io::Result<Option<BatchHead>> {
        let seed = self.head_seed;
        let end = self.file_bytes();
        let head = self
            .window
            .get(offset, BATCH_HEAD_BYTES)?
            .and_then(|bytes| BatchHead::decode(seed, bytes));
        Ok(head.filter(|head| {
            offset + BATCH_HEAD_BYTES as u64 + u64::from(head.bytes) <= end
                && head.first_index >= self.header.first_index
        }))
    }

    fn record_at(
        &mut self,
        offset: u64,
        end: u64,
        expected: u64,
    ) -> io::Result<Option<RecordHeader>> {
        let seed = self.record_seed;
        let Some(bytes) = self.window.get(offset, RECORD_HEADER_BYTES)? else {
            return Ok(None);
        };
        let Some(header) = RecordHeader::decode(bytes) else {
            return Ok(None);
        };
        let total = header.total_bytes();
        if header.index != expected || offset + total as u64 > end {
            return Ok(None);
        }
        let record = self.window.get(offset, total)?;
        Ok(record
            .is_some_and(|record| is_intact(record, seed))
            .then_some(header))
    }

    /// Goes on behind the record that is here.
    pub fn pass(&mut self, header: &RecordHeader) {
        self.offset += header.total_bytes() as u64;
        if let Some(InBatch {
            left: Some(left), ..
        }) = &mut self.batch
        {
            *left = left.saturating_sub(1);
        }
    }
}
