//! The bounded buffer of encoded frames on their way to one client (skeleton).
//!
//! Anybody may append under the lock; one at a time writes it out (whoever filled it, when the
//! socket is plain and takes it without blocking; else the connection's own task).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::broker::Queue;
use crate::broker::queue::ConsumerId;

/// Past this many unsent bytes a connection's consumers count as full.
pub const HIGH_WATER_BYTES: usize = 1 << 20;
/// Below this many unsent bytes consumers that were full are resumed.
pub const LOW_WATER_BYTES: usize = HIGH_WATER_BYTES / 2;

/// See the module.
pub struct Outgoing {
    pending: Mutex<Pending>,
}

/// Frames that wait to be written: `frames`, with each of `shared` spliced in at its offset.
#[derive(Default)]
pub struct Pending {
    /// Encoded frames. Append to it freely.
    pub frames: Vec<u8>,
    shared: VecDeque<(usize, Bytes)>,
    shared_bytes: usize,
    waiting: Vec<(Arc<Queue>, ConsumerId)>,
}

impl Pending {
    /// Appends a large slice (part of a body) without copying it.
    pub fn push_shared(&mut self, bytes: Bytes) {
        self.shared_bytes += bytes.len();
        self.shared.push_back((self.frames.len(), bytes));
    }

    /// How much more may be appended for consumers, in bytes; 0 when past the high-water mark.
    /// (Replies to the client's own methods may always be appended.)
    pub fn room_bytes(&self) -> usize {
        HIGH_WATER_BYTES.saturating_sub(self.frames.len() + self.shared_bytes)
    }

    /// The consumer found no room: resume it when there is some.
    pub fn wait_for_room(&mut self, queue: Arc<Queue>, consumer: ConsumerId) {
        self.waiting.push((queue, consumer));
    }
}

impl Outgoing {
    /// Takes the lock. Innermost of all locks: hold it briefly, take no other.
    pub fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock()
    }

    /// Writes out what is there if nobody else is writing and the socket takes it, else wakes
    /// the connection's task; resumes consumers that waited for room. Call without any lock.
    pub fn flush(&self) {
        todo!()
    }
}
