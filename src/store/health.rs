//! The store's condition: what has failed, and what was found damaged. Whoever notices says so
//! here; the management pages read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::journal::{self, Journal, Report};

/// So many problems are told in words; all are counted.
const MOST_TOLD: usize = 50;

/// A part of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The journal.
    Journal,
    /// The queues' segments.
    Segments,
}

/// See the module. One per broker.
#[derive(Debug, Default)]
pub struct StoreHealth {
    journal: OnceLock<Weak<Journal>>,
    journal_damage: AtomicU64,
    missing_records: AtomicU64,
    segment_damage: AtomicU64,
    told: Mutex<Vec<String>>,
}

/// How the store is, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The journal's own word; None if there is none.
    pub journal: Option<journal::Health>,
    /// Damaged places that were found in the journal.
    pub journal_damage: u64,
    /// Records that are missing from it.
    pub missing_records: u64,
    /// Damaged or missing chunks and segments.
    pub segment_damage: u64,
    /// What is damaged, for people; the first few.
    pub damage: Vec<String>,
}

impl StoreHealth {
    /// From now on the journal is asked how it is.
    pub fn watch(&self, journal: &Arc<Journal>) {
        let _ = self.journal.set(Arc::downgrade(journal));
    }

    /// What a recovery of the journal found.
    pub fn recovered(&self, report: &Report) {
        for damage in &report.damage {
            let missing = damage.missing.map_or(0, |(first, last)| last - first + 1);
            self.missing_records.fetch_add(missing, Ordering::Relaxed);
            self.damaged(Part::Journal, format!("journal: {damage}"));
        }
    }

    /// Something that was stored is missing, or not as it was. Logs it.
    pub fn damaged(&self, part: Part, what: String) {
        let count = match part {
            Part::Journal => &self.journal_damage,
            Part::Segments => &self.segment_damage,
        };
        count.fetch_add(1, Ordering::Relaxed);
        tracing::error!(what, "stored data are damaged");
        let mut told = self.told.lock();
        if told.len() < MOST_TOLD {
            told.push(what);
        }
    }

    /// Whether the journal waits for room on the disk.
    pub fn is_stalled(&self) -> bool {
        let journal = self.journal.get().and_then(Weak::upgrade);
        journal.is_some_and(|journal| journal.health().stalled.is_some())
    }

    /// How it is now.
    pub fn condition(&self) -> Condition {
        let journal = self.journal.get().and_then(Weak::upgrade);
        Condition {
            journal: journal.map(|journal| journal.health()),
            journal_damage: self.journal_damage.load(Ordering::Relaxed),
            missing_records: self.missing_records.load(Ordering::Relaxed),
            segment_damage: self.segment_damage.load(Ordering::Relaxed),
            damage: self.told.lock().clone(),
        }
    }
}
