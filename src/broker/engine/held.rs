//! Memory that a client makes the broker hold outside of queues: bodies that arrive in pieces, open
//! transactions. It counts against the memory limit until it is let go.

use std::fmt;
use std::sync::Arc;

use super::Engine;

/// Smaller amounts are not worth counting at once.
const STEP_BYTES: usize = 64 << 10;

/// See the module.
pub struct Held {
    engine: Arc<Engine>,
    bytes: usize,
    counted_bytes: usize,
}

impl Held {
    /// Nothing yet.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self {
            engine: Arc::clone(engine),
            bytes: 0,
            counted_bytes: 0,
        }
    }

    /// So many bytes more.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes - self.counted_bytes >= STEP_BYTES {
            let more = self.bytes - self.counted_bytes;
            self.counted_bytes = self.bytes;
            self.engine.account_memory(more as i64);
        }
    }

    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes held", self.bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.counted_bytes > 0 {
            self.engine.account_memory(-(self.counted_bytes as i64));
        }
    }
}
