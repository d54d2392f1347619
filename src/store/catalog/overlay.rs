//! The catalog's file for looking only: what the library writes when it opens one, and where it
//! repairs what a killed broker left, stays in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::store::disk::{BLOCK_BYTES, DiskFile};

/// See the module.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Arc<dyn DiskFile>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// Behind it the file's bytes count no more: it was cut there, and may have grown again.
    file_end: u64,
    /// Blocks that were written, by number.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        let state = State {
            len,
            file_end: len,
            blocks: BTreeMap::new(),
        };
        Ok(Self {
            file,
            state: Mutex::new(state),
        })
    }

    /// A block as it is on the disk, zeros where there is nothing.
    fn stored_block(&self, state: &State, number: u64) -> io::Result<Vec<u8>> {
        let mut block = vec![0; BLOCK_BYTES as usize];
        let offset = number * BLOCK_BYTES;
        let bytes = state.file_end.saturating_sub(offset).min(BLOCK_BYTES);
        if bytes > 0 {
            self.file.read_at(&mut block[..bytes as usize], offset)?;
        }
        Ok(block)
    }
}

/// The parts of `offset..offset + bytes` by block: number, where in it, how much.
fn by_block(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + bytes as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        let within = at % BLOCK_BYTES;
        let step = (BLOCK_BYTES - within).min(end.saturating_sub(at));
        let part = (at / BLOCK_BYTES, within as usize, step as usize);
        at += step;
        (step > 0).then_some(part)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.lock();
        let is_inside = offset
            .checked_add(out.len() as u64)
            .is_some_and(|end| end <= state.len);
        if !is_inside {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (number, within, bytes) in by_block(offset, rest.len()) {
            let (part, behind) = rest.split_at_mut(bytes);
            match state.blocks.get(&number) {
                Some(block) => part.copy_from_slice(&block[within..within + bytes]),
                None => {
                    let block = self.stored_block(&state, number)?;
                    part.copy_from_slice(&block[within..within + bytes]);
                }
            }
            rest = behind;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if len < state.len {
            state.blocks.split_off(&len.div_ceil(BLOCK_BYTES));
            state.file_end = state.file_end.min(len);
            let cut = (len % BLOCK_BYTES) as usize;
            if let Some(block) = state.blocks.get_mut(&(len / BLOCK_BYTES)) {
                block[cut..].fill(0);
            }
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.len = state.len.max(offset.saturating_add(data.len() as u64));
        let mut rest = data;
        for (number, within, bytes) in by_block(offset, data.len()) {
            let (part, behind) = rest.split_at(bytes);
            if !state.blocks.contains_key(&number) {
                let block = self.stored_block(&state, number)?;
                state.blocks.insert(number, block);
            }
            if let Some(block) = state.blocks.get_mut(&number) {
                block[within..within + bytes].copy_from_slice(part);
            }
            rest = behind;
        }
        Ok(())
    }
}
