//! Large byte buffers that are used again, whichever thread lets go of them.
//!
//! In: the buffers of chunks that are done with. Out: the same for the next chunks, whether they are
//! filled by publishers or read from a segment. A buffer of this size that is given back to the
//! operating system comes back as pages that must be cleared, which costs more than what is then
//! done with them. Few are kept, and those that nobody wanted for a while are let go.

use std::ops::{Deref, DerefMut};

use parking_lot::Mutex;

use crate::store::disk::AlignedBuffer;

/// So many are kept.
const KEPT_BUFFERS: usize = 6;
/// Only those of these sizes are kept: the allocator is as good at smaller ones, and larger ones are rare.
const KEPT_BYTES: std::ops::RangeInclusive<usize> = 256 << 10..=2 << 20;

/// So many blocks are kept: one for who writes, two for those who read.
const KEPT_BLOCKS: usize = 3;

static BUFFERS: Mutex<Kept<Vec<u8>>> = Mutex::new(Kept::none());
static BLOCKS: Mutex<Kept<AlignedBuffer>> = Mutex::new(Kept::none());

struct Kept<T> {
    /// With whatever they were filled with, so that a length costs nothing.
    buffers: Vec<T>,
    /// So many of them nobody has wanted since the last [`let_go_of_unused`].
    unused: usize,
}

impl<T> Kept<T> {
    const fn none() -> Self {
        Self {
            buffers: Vec::new(),
            unused: 0,
        }
    }

    /// One that fits, the last that was kept: it may still be in a cache.
    fn take(&mut self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let fitting = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.remove(fitting);
        self.unused = self.unused.min(self.buffers.len());
        Some(buffer)
    }

    fn keep(&mut self, buffer: T, most: usize) {
        if self.buffers.len() < most {
            self.buffers.push(buffer);
        }
    }

    #[must_use]
    fn let_go(&mut self) -> Vec<T> {
        let going = self.buffers.drain(..self.unused).collect();
        self.unused = self.buffers.len();
        going
    }
}

/// A vector of bytes whose memory is used again. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty one with room for so many bytes.
    pub fn with_room(bytes: usize) -> Self {
        let mut buffer = take(bytes).unwrap_or_default();
        buffer.clear();
        buffer.reserve_exact(bytes);
        Self(buffer)
    }

    /// One of so many bytes, whatever they are: they are to be written over.
    pub fn with_len(bytes: usize) -> Self {
        let mut buffer = take(bytes).unwrap_or_default();
        if buffer.capacity() < bytes {
            // Fresh memory is zero already.
            return Self(vec![0; bytes]);
        }
        buffer.resize(bytes, 0);
        Self(buffer)
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if KEPT_BYTES.contains(&self.0.capacity()) {
            let buffer = std::mem::take(&mut self.0);
            BUFFERS.lock().keep(buffer, KEPT_BUFFERS);
        }
    }
}

/// A kept one with room for so many bytes.
fn take(bytes: usize) -> Option<Vec<u8>> {
    let is_usual = KEPT_BYTES.contains(&bytes);
    is_usual.then(|| BUFFERS.lock().take(|it| it.capacity() >= bytes))?
}

/// Blocks on their way to a disk or from it, in memory that is used again.
#[derive(Debug, Default)]
pub struct Blocks(AlignedBuffer);

impl Blocks {
    /// None, with room for so many bytes.
    pub fn with_room(bytes: usize) -> Self {
        let mut blocks = Self::any(bytes);
        blocks.0.truncate(0);
        blocks.0.reserve(bytes);
        blocks
    }

    /// So many bytes, whatever they are: they are to be written over.
    pub fn with_len(bytes: usize) -> Self {
        let mut blocks = Self::any(bytes);
        blocks.0.resize(bytes);
        blocks
    }

    fn any(bytes: usize) -> Self {
        let kept = BLOCKS.lock().take(|it| it.capacity() >= bytes);
        Self(kept.unwrap_or_default())
    }
}

impl Deref for Blocks {
    type Target = AlignedBuffer;

    fn deref(&self) -> &AlignedBuffer {
        &self.0
    }
}

impl DerefMut for Blocks {
    fn deref_mut(&mut self) -> &mut AlignedBuffer {
        &mut self.0
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if self.0.capacity() <= *KEPT_BYTES.end() {
            let blocks = std::mem::take(&mut self.0);
            BLOCKS.lock().keep(blocks, KEPT_BLOCKS);
        }
    }
}

/// Lets go of the buffers that nobody has wanted since the last time. To be called every few seconds.
pub fn let_go_of_unused() {
    let buffers = BUFFERS.lock().let_go();
    let blocks = BLOCKS.lock().let_go();
    drop((buffers, blocks));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_have_the_length_that_was_asked_for_whoever_had_them_before() {
        for bytes in [0, 1, 300 << 10, 1 << 20, 700 << 10, 3 << 20, 256 << 10] {
            let mut buffer = Buffer::with_len(bytes);
            assert_eq!(buffer.len(), bytes);
            buffer.fill(7);
            drop(buffer);
            let buffer = Buffer::with_room(bytes);
            assert!(buffer.is_empty() && buffer.capacity() >= bytes);
        }
        let many: Vec<_> = (0..20).map(|_| Buffer::with_len(1 << 20)).collect();
        drop(many);
        assert!(BUFFERS.lock().buffers.len() <= KEPT_BUFFERS);
    }
}
