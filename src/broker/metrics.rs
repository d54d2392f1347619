//! Counters of what went through the broker; added to once per batch, read by the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        if count > 0 {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module. Gauges are pairs of counters that only grow.
#[derive(Default)]
#[allow(missing_docs)]
pub struct Metrics {
    pub connections_opened: Counter,
    pub connections_closed: Counter,
    pub channels_opened: Counter,
    pub channels_closed: Counter,
    pub consumers_added: Counter,
    pub consumers_removed: Counter,
    pub queues_declared: Counter,
    pub queues_deleted: Counter,
    pub messages_published: Counter,
    pub messages_confirmed: Counter,
    pub messages_unroutable_returned: Counter,
    pub messages_unroutable_dropped: Counter,
    pub messages_delivered: Counter,
    pub messages_redelivered: Counter,
    pub messages_acknowledged: Counter,
    pub messages_got: Counter,
    pub messages_dead_lettered: Counter,
    pub messages_lost: Counter,
    pub messages_deduplicated: Counter,
    pub auth_failures: Counter,
    pub bytes_received: Counter,
    pub bytes_sent: Counter,
}
