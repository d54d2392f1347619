//! What the threads of a load share: stop flags and counters.
//!
//! Every thread adds to a counter of its own, once per batch; the engine sums them up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hdrhistogram::Histogram;

/// A counter that one thread writes, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Shared by a load's threads.
#[derive(Debug)]
pub struct Shared {
    /// Publishers end after their batch.
    pub stop_publishers: AtomicBool,
    /// Publishers that still hang in a write were cut off, which is no error of theirs.
    pub cut_off_publishers: AtomicBool,
    /// The end of a consumer's stream is no error any more.
    pub stop_consumers: AtomicBool,
    /// Latencies are recorded.
    pub measuring: AtomicBool,
    /// Sent, by publisher.
    pub published: Vec<Counter>,
    /// Confirmed, by publisher.
    pub confirmed: Vec<Counter>,
    /// Received, by consumer.
    pub consumed: Vec<Counter>,
}

impl Shared {
    /// Counters at zero.
    pub fn new(publishers: usize, consumers: usize) -> Self {
        let counters = |count: usize| (0..count).map(|_| Counter::default()).collect();
        Shared {
            stop_publishers: AtomicBool::new(false),
            cut_off_publishers: AtomicBool::new(false),
            stop_consumers: AtomicBool::new(false),
            measuring: AtomicBool::new(false),
            published: counters(publishers),
            confirmed: counters(publishers),
            consumed: counters(consumers),
        }
    }

    /// Whether publishers should end.
    pub fn publishers_stop(&self) -> bool {
        self.stop_publishers.load(Ordering::Relaxed)
    }
}

/// The sum of some counters.
pub fn total(counters: &[Counter]) -> u64 {
    counters.iter().map(Counter::get).sum()
}

/// A histogram of nanoseconds with three digits, made when first used.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Option<Histogram<u64>>);

impl Latencies {
    /// Longer is recorded as this.
    const LONGEST_NS: u64 = 100_000_000_000;

    /// Records one.
    pub fn record(&mut self, ns: u64) {
        let histogram = self.0.get_or_insert_with(|| {
            Histogram::new_with_bounds(1, Self::LONGEST_NS, 3).expect("constant bounds are valid")
        });
        histogram.saturating_record(ns);
    }

    /// Adds another's.
    pub fn merge(&mut self, other: Latencies) {
        match (&mut self.0, other.0) {
            (_, None) => {}
            (empty @ None, other) => *empty = other,
            (Some(mine), Some(other)) => mine.add(other).expect("both have the same bounds"),
        }
    }

    /// The histogram, if anything was recorded.
    pub fn histogram(&self) -> Option<&Histogram<u64>> {
        self.0.as_ref().filter(|histogram| !histogram.is_empty())
    }
}
