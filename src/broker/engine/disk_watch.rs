//! Watches how much is free on the data folder's file system, and raises the disk alarm before it
//! is full.
//!
//! In: a disk to ask, a limit. Out: the alarm, and the numbers for the metrics. As with RabbitMQ,
//! the nearer the limit, the more often it looks, and while the alarm holds it takes its time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Engine;
use crate::store::disk::Disk;

/// So fast the disk may be filled, by us or by others.
const FASTEST_BYTES_PER_MS: u64 = 2_000_000;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(10);
/// What [`DiskGauge::free_bytes`] holds before anybody looked.
const UNKNOWN: u64 = u64::MAX;

/// What the watch saw last.
#[derive(Debug)]
pub struct DiskGauge {
    free_bytes: AtomicU64,
    limit_bytes: AtomicU64,
}

impl Default for DiskGauge {
    fn default() -> Self {
        Self {
            free_bytes: AtomicU64::new(UNKNOWN),
            limit_bytes: AtomicU64::new(0),
        }
    }
}

impl DiskGauge {
    /// Free bytes; None if nobody watches.
    pub fn free_bytes(&self) -> Option<u64> {
        let bytes = self.free_bytes.load(Ordering::Relaxed);
        (bytes != UNKNOWN).then_some(bytes)
    }

    /// With less free publishers are blocked.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes.load(Ordering::Relaxed)
    }
}

/// See the module.
pub struct DiskWatch {
    engine: Arc<Engine>,
    disk: Arc<dyn Disk>,
    limit_bytes: u64,
    is_alarmed: bool,
    /// The disk did not say how much is free when it was asked last.
    is_blind: bool,
}

impl DiskWatch {
    /// A watch over that disk.
    pub fn new(engine: &Arc<Engine>, disk: Arc<dyn Disk>, limit_bytes: u64) -> Self {
        let gauge = &engine.disk;
        gauge.limit_bytes.store(limit_bytes, Ordering::Relaxed);
        Self {
            engine: Arc::clone(engine),
            disk,
            limit_bytes,
            is_alarmed: false,
            is_blind: false,
        }
    }

    /// Looks, and sets the alarm accordingly. Says when to look again.
    pub fn look(&mut self) -> Duration {
        match self.disk.free_bytes() {
            Ok(free_bytes) => {
                self.is_blind = false;
                self.saw(free_bytes);
                self.next_look(free_bytes)
            }
            Err(error) => {
                self.saw_nothing(&error);
                LONGEST
            }
        }
    }

    fn saw(&mut self, free_bytes: u64) {
        let limit_bytes = self.limit_bytes;
        let gauge = &self.engine.disk;
        gauge.free_bytes.store(free_bytes, Ordering::Relaxed);
        // The journal's next file may need more than that, and so may a segment.
        let is_short = free_bytes < limit_bytes || self.engine.store.is_stalled();
        if is_short == std::mem::replace(&mut self.is_alarmed, is_short) {
            return;
        }
        if is_short {
            tracing::warn!(
                free_bytes,
                limit_bytes,
                "free disk space is insufficient: publishers are blocked until there is more"
            );
        } else {
            tracing::info!(free_bytes, limit_bytes, "free disk space is sufficient");
        }
        self.engine.set_disk_alarm(is_short);
    }

    /// The alarm stays as it is.
    fn saw_nothing(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_blind, true) {
            tracing::error!(%error, "cannot tell how much disk space is free");
        }
    }

    /// Before half of what is left could be filled.
    fn next_look(&self, free_bytes: u64) -> Duration {
        if self.is_alarmed {
            return LONGEST;
        }
        let left_bytes = free_bytes.saturating_sub(self.limit_bytes);
        Duration::from_millis(left_bytes / 2 / FASTEST_BYTES_PER_MS).clamp(SHORTEST, LONGEST)
    }

    /// Looks again and again, for ever. To be run as one task.
    pub async fn run(mut self) {
        loop {
            // A network's file system may keep whoever asks waiting.
            let looked = tokio::task::spawn_blocking(move || {
                let next = self.look();
                (self, next)
            });
            let Ok((watch, next)) = looked.await else {
                return;
            };
            self = watch;
            tokio::time::sleep(next).await;
        }
    }
}
