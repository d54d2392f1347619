//! A buffer that grows like a vector and whose bytes begin at a multiple of a block in memory, so
//! that a disk can take them from there without copying them.

use std::ops::{Deref, DerefMut};

use super::BLOCK_BYTES;

const ALIGNMENT: usize = BLOCK_BYTES as usize;

/// See the module.
#[derive(Debug, Default)]
pub struct AlignedBuffer {
    /// The first few bytes are there to be stepped over.
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedBuffer {
    /// So many zeros.
    pub fn zeroed(bytes: usize) -> Self {
        let mut buffer = Self::default();
        buffer.resize(bytes);
        buffer
    }

    /// Makes room for so many more bytes. Whoever appends more than there is room for still gets it
    /// right, but may lose the alignment.
    pub fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            let wanted = self.len() + more;
            self.move_to(wanted.max(self.capacity() * 2));
        }
    }

    /// Gives back what is beyond both `keep` and what is in it.
    pub fn shrink_to(&mut self, keep: usize) {
        if self.capacity() > keep.max(self.len()) {
            self.move_to(keep.max(self.len()));
        }
    }

    /// Where to append, after [`AlignedBuffer::reserve`].
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Keeps the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start + len);
    }

    /// Cuts it, or appends zeros.
    pub fn resize(&mut self, len: usize) {
        self.reserve(len.saturating_sub(self.len()));
        self.bytes.resize(self.start + len, 0);
    }

    /// Takes the bytes from `from` up to `to` out; what follows moves up.
    pub fn remove(&mut self, from: usize, to: usize) {
        self.bytes.drain(self.start + from..self.start + to);
    }

    /// How many bytes it has room for.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() - self.start
    }

    fn move_to(&mut self, capacity: usize) {
        let mut bytes: Vec<u8> = Vec::with_capacity(capacity + ALIGNMENT);
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        bytes.resize(start, 0);
        bytes.extend_from_slice(self);
        *self = Self { bytes, start };
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_aligned_and_keeps_its_bytes() {
        let mut buffer = AlignedBuffer::zeroed(48);
        let mut expected = vec![0; 48];
        for step in 0..2000 {
            let more = vec![step as u8; step % 700];
            buffer.reserve(more.len());
            buffer.end().extend_from_slice(&more);
            expected.extend_from_slice(&more);
            if step % 400 == 399 {
                buffer.remove(48, 1000);
                expected.drain(48..1000);
            }
            if step % 1000 == 999 {
                buffer.truncate(5000);
                expected.truncate(5000);
                buffer.shrink_to(6000);
                assert!(buffer.capacity() < 20_000);
            }
            assert_eq!(*buffer, *expected);
            assert_eq!(buffer.as_ptr().addr() % ALIGNMENT, 0);
        }
        buffer.resize(9000);
        expected.resize(9000, 0);
        assert_eq!(*buffer, *expected);
        buffer.resize(10);
        assert_eq!(*buffer, expected[..10]);
    }
}
