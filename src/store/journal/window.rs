//! Reads a file from start to end in large blocks and lends out what was asked for.

use std::io;
use std::sync::Arc;

use crate::store::disk::{BLOCK_BYTES, DiskFile};

/// How much is read at a time.
const WINDOW_BYTES: u64 = 2 << 20;

/// See the module.
pub(super) struct Window {
    file: Arc<dyn DiskFile>,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Blocks that the disk could not read; they count as zeros.
    pub unreadable_blocks: u64,
}

impl Window {
    /// Of a file that should have `file_bytes`, as far as it has.
    pub fn new(file: Arc<dyn DiskFile>, file_bytes: u64) -> io::Result<Self> {
        let file_bytes = file_bytes.min(file.len()?);
        file.will_read_all();
        Ok(Self {
            file,
            file_bytes,
            start: 0,
            bytes: Vec::new(),
            unreadable_blocks: 0,
        })
    }

    /// Where the file ends.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The bytes at `offset`, or None past the end.
    pub fn get(&mut self, offset: u64, bytes: usize) -> io::Result<Option<&[u8]>> {
        let end = offset.saturating_add(bytes as u64);
        if end > self.file_bytes {
            return Ok(None);
        }
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            self.load(offset, bytes as u64);
        }
        let from = (offset - self.start) as usize;
        Ok(Some(&self.bytes[from..from + bytes]))
    }

    fn load(&mut self, offset: u64, bytes: u64) {
        let bytes = bytes.max(WINDOW_BYTES).min(self.file_bytes - offset);
        self.start = offset;
        self.bytes.resize(bytes as usize, 0);
        if bytes > WINDOW_BYTES {
            self.bytes.shrink_to(bytes as usize);
        }
        if self.file.read_at(&mut self.bytes, offset).is_err() {
            self.load_by_block();
        }
    }

    /// A broken sector must not take its neighbours with it.
    fn load_by_block(&mut self) {
        let mut at = 0;
        while at < self.bytes.len() {
            let offset = self.start + at as u64;
            let step = (BLOCK_BYTES - offset % BLOCK_BYTES) as usize;
            let end = (at + step).min(self.bytes.len());
            let block = &mut self.bytes[at..end];
            if self.file.read_patiently_at(block, offset).is_err() {
                self.bytes[at..end].fill(0);
                self.unreadable_blocks += 1;
            }
            at = end;
        }
    }
}
