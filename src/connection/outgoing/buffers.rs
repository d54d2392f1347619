//! Empty buffers for outgoing frames, kept per thread.
//!
//! A connection with nothing to say owns no buffer; when it has something to say, it takes one
//! here that is grown already and still in the processor's cache, and gives it back when the
//! client has been sent all of it.

use std::cell::RefCell;

/// So many buffers a thread keeps.
const KEPT_BUFFERS: usize = 4;
/// Larger buffers are given back to the allocator.
const KEPT_BYTES: usize = 2 << 20;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer. Allocates nothing if none is kept.
pub(super) fn take() -> Vec<u8> {
    KEPT.try_with(|kept| kept.borrow_mut().pop())
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Gives a buffer back.
pub(super) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > KEPT_BYTES {
        return;
    }
    buffer.clear();
    // A thread that ends keeps nothing.
    let _ = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.len() < KEPT_BUFFERS {
            kept.push(buffer);
        }
    });
}
