//! The outgoing buffer while it is locked: a buffer in which nothing was left is given back.

use std::ops::{Deref, DerefMut};

use parking_lot::MutexGuard;

use super::{Pending, buffers};

/// The locked buffer. Whoever appends flushes after it was dropped.
pub struct PendingGuard<'a>(pub(super) MutexGuard<'a, Pending>);

impl Deref for PendingGuard<'_> {
    type Target = Pending;

    fn deref(&self) -> &Pending {
        &self.0
    }
}

impl DerefMut for PendingGuard<'_> {
    fn deref_mut(&mut self) -> &mut Pending {
        &mut self.0
    }
}

impl Drop for PendingGuard<'_> {
    fn drop(&mut self) {
        if self.0.frames.is_empty() && self.0.shared.is_empty() {
            buffers::give(std::mem::take(&mut self.0.frames));
        }
    }
}
