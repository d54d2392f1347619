//! Room on the disk that the catalog has before it needs it.
//!
//! The library cannot be used any more once a write has failed, be it for want of room alone. So its file
//! owns the blocks of what it is going to write: all of its length, and as much beyond it as changes take
//! that are under way. As soon as that cannot be had, [`Room::is_there`] says so, and whoever would change
//! something is refused before anything is done. What was under way by then is stored in what is left, as far
//! as that goes, and waits behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::disk::DiskFile;

/// So much is set aside beyond the file's length.
const AHEAD_BYTES: u64 = 8 << 20;
/// Of that, changes of so many bytes are stored when no more can be set aside: pages are copied that are
/// changed in part.
const LAST_BYTES: usize = 2 << 20;

/// See the module. Clones are of the same room.
#[derive(Clone, Debug)]
pub(super) struct Room {
    file: Arc<dyn DiskFile>,
    /// The length for which it was set aside.
    length: u64,
    /// What was stored since more was wanted than there was.
    spent_bytes: usize,
    is_there: Arc<AtomicBool>,
}

impl Room {
    /// Of that file, for which nothing is set aside yet.
    pub fn new(file: Arc<dyn DiskFile>) -> Self {
        Self {
            file,
            length: 0,
            spent_bytes: 0,
            is_there: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Whether there is as much as there should be.
    pub fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    /// Takes so much for changes that are about to be stored; says whether it was there.
    pub fn take(&mut self, bytes: usize) -> bool {
        let is_enough = self.is_there() || self.spent_bytes + bytes <= LAST_BYTES;
        if is_enough {
            self.spent_bytes += bytes;
        }
        is_enough
    }

    /// Sets aside what is missing. Asks the disk, but waits for nothing.
    pub fn keep(&mut self) {
        // Where that fails, so does whatever is written next, which tells of it.
        let Ok(length) = self.file.len() else {
            return;
        };
        if self.is_there() && length == self.length {
            self.spent_bytes = 0;
            return;
        }
        let kept = self.file.set_aside(length + AHEAD_BYTES);
        match (&kept, self.is_there()) {
            (Err(error), true) => {
                tracing::warn!(%error, "no room for the catalog: changes of durable topology are refused");
            }
            (Ok(()), false) => tracing::info!("there is room for the catalog again"),
            _ => {}
        }
        if kept.is_ok() {
            self.length = length;
            self.spent_bytes = 0;
        }
        self.is_there.store(kept.is_ok(), Ordering::Release);
    }
}
