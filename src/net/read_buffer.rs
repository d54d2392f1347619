//! The buffer that sockets are read into: one per worker thread, shared by all its connections.
//!
//! A connection owns memory for input only while a frame of its is half read.

use std::cell::Cell;

/// So much is read at once. Measured with 16-byte messages: from 64 KiB on the CPU time of a message
/// stays the same, so what is left to gain is that nobody waits long for a queue's lock.
pub(super) const READ_BYTES: usize = 128 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's buffer, empty but for `start`, to `read`.
pub(super) fn with<T>(start: &[u8], read: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    // Taken out, so that nothing is borrowed should somebody else on this thread come here.
    let mut scratch = SCRATCH.take();
    scratch.clear();
    scratch.reserve_exact(READ_BYTES);
    scratch.extend_from_slice(start);
    let result = read(&mut scratch);
    SCRATCH.set(scratch);
    result
}
