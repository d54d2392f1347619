//! Large byte buffers that are used again, whichever thread lets go of them.
//!
//! In: the buffers of chunks that are done with. Out: the same for the next chunks, whether they are
//! filled by publishers or read from a segment. A buffer of this size that is given back to the
//! operating system comes back as pages that must be cleared, which costs more than what is then
//! done with them. Few are kept, and those that nobody wanted for a while are let go.

use std::ops::{Deref, DerefMut};

use parking_lot::Mutex;

/// So many are kept.
const KEPT_BUFFERS: usize = 6;
/// Only those of these sizes are kept: the allocator is as good at smaller ones, and larger ones are rare.
const KEPT_BYTES: std::ops::RangeInclusive<usize> = 256 << 10..=2 << 20;

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    buffers: Vec::new(),
    unused: 0,
});

struct Kept {
    /// With whatever they were filled with, so that a length costs nothing.
    buffers: Vec<Vec<u8>>,
    /// So many of them nobody has wanted since the last [`let_go_of_unused`].
    unused: usize,
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
        if !KEPT_BYTES.contains(&self.0.capacity()) {
            return;
        }
        let mut kept = KEPT.lock();
        if kept.buffers.len() < KEPT_BUFFERS {
            kept.buffers.push(std::mem::take(&mut self.0));
        }
    }
}

/// A kept one with room for so many bytes, the last that was kept: it may still be in a cache.
fn take(bytes: usize) -> Option<Vec<u8>> {
    if !KEPT_BYTES.contains(&bytes) {
        return None;
    }
    let mut kept = KEPT.lock();
    let fitting = kept.buffers.iter().rposition(|it| it.capacity() >= bytes)?;
    let buffer = kept.buffers.remove(fitting);
    kept.unused = kept.unused.min(kept.buffers.len());
    Some(buffer)
}

/// Lets go of the buffers that nobody has wanted since the last time. To be called every few seconds.
pub fn let_go_of_unused() {
    let mut kept = KEPT.lock();
    let unused = kept.unused;
    let going: Vec<Vec<u8>> = kept.buffers.drain(..unused).collect();
    kept.unused = kept.buffers.len();
    drop(kept);
    drop(going);
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
        assert!(KEPT.lock().buffers.len() <= KEPT_BUFFERS);
    }
}
