//! Memory that a client makes the broker hold outside of queues: half-read frames, bodies that arrive
//! in pieces, open transactions, what it was sent and does not take. It counts against the memory limit
//! until it is let go; in steps, since the limit's count is shared by everybody.

use std::fmt;
use std::sync::Arc;

use super::Engine;

/// What of an amount is counted: all of it, but for less than a step.
#[derive(Debug, Default)]
pub struct Steps {
    counted_bytes: usize,
}

impl Steps {
    /// Smaller changes are not worth counting.
    const BYTES: usize = 16 << 10;

    /// The amount is this now; says how much more, or less, is to be counted, or 0. What is nothing
    /// any more is not counted at all.
    #[inline]
    pub fn to(&mut self, bytes: usize) -> i64 {
        if bytes.abs_diff(self.counted_bytes) < Self::BYTES
            && (bytes > 0 || self.counted_bytes == 0)
        {
            return 0;
        }
        let before_bytes = std::mem::replace(&mut self.counted_bytes, bytes);
        bytes as i64 - before_bytes as i64
    }
}

/// See the module.
pub struct Held {
    engine: Arc<Engine>,
    bytes: usize,
    counted: Steps,
}

impl Held {
    /// Nothing yet.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self {
            engine: Arc::clone(engine),
            bytes: 0,
            counted: Steps::default(),
        }
    }

    /// So many bytes more.
    pub fn add(&mut self, bytes: usize) {
        self.set(self.bytes + bytes);
    }

    /// So many bytes now.
    #[inline]
    pub fn set(&mut self, bytes: usize) {
        self.bytes = bytes;
        let more_bytes = self.counted.to(bytes);
        if more_bytes != 0 {
            self.engine.account_memory(more_bytes);
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
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_but_for_a_step() {
        let engine = Engine::new(1 << 30);
        let mut held = Held::new(&engine);
        for bytes in [
            1, 5_000, 20_000, 30_000, 100_000, 90_000, 70_000, 1_000_000, 3, 0,
        ] {
            held.set(bytes);
            let counted_bytes = engine.memory.used_bytes() as usize;
            assert!(counted_bytes.abs_diff(bytes) < Steps::BYTES, "{bytes}");
        }
        assert_eq!(engine.memory.used_bytes(), 0);
        held.add(50_000);
        held.add(50_000);
        assert_eq!(engine.memory.used_bytes(), 100_000);
        drop(held);
        assert_eq!(engine.memory.used_bytes(), 0);
    }
}
