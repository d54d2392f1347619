//! A log in memory, for tests: it keeps what was appended, and is safe as far as it is told.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{AppendError, Log, NewMessage, Place, Placement, Records, SafeListener, Safety};

/// A record, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OwnedRecord {
    Message {
        persistent: bool,
        priority: u8,
        has_bcc: bool,
        placements: Vec<Placement>,
        settles: Vec<Place>,
        exchange: Vec<u8>,
        routing_key: Vec<u8>,
        properties: Vec<u8>,
        body: Vec<u8>,
    },
    Settle {
        queue: u64,
        ranges: Vec<(u64, u64)>,
    },
    Cursor {
        queue: u64,
        sequence: u64,
    },
    Returned {
        place: Place,
        returns: u32,
    },
}

/// See the module.
#[derive(Default)]
pub struct MemoryLog {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: Vec<OwnedRecord>,
    safe: u64,
    /// Everything is safe at once.
    is_instant: bool,
    has_failed: bool,
    waiting: Vec<(u64, Arc<dyn SafeListener>)>,
}

impl MemoryLog {
    /// A log whose records become safe when [`MemoryLog::sync`] says so.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A log whose records are safe at once.
    pub fn instant() -> Arc<Self> {
        let log = Self::new();
        log.state.lock().is_instant = true;
        log
    }

    /// Everything appended so far is safe.
    pub fn sync(&self) {
        let mut state = self.state.lock();
        state.safe = state.records.len() as u64;
        let safe = state.safe;
        let (ready, waiting) = std::mem::take(&mut state.waiting)
            .into_iter()
            .partition(|(index, _)| *index <= safe);
        state.waiting = waiting;
        drop(state);
        let ready: Vec<(u64, Arc<dyn SafeListener>)> = ready;
        ready.iter().for_each(|(_, listener)| listener.safe(safe));
    }

    /// Nothing more becomes safe.
    pub fn fail(&self) {
        let mut state = self.state.lock();
        state.has_failed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.iter().for_each(|(_, listener)| listener.failed());
    }

    /// What was appended so far.
    pub fn records(&self) -> Vec<OwnedRecord> {
        self.state.lock().records.clone()
    }
}

impl Records for State {
    fn message(&mut self, message: &NewMessage<'_>) -> Result<(), AppendError> {
        self.records.push(OwnedRecord::Message {
            persistent: message.persistent,
            priority: message.priority,
            has_bcc: message.has_bcc,
            placements: message.placements.to_vec(),
            settles: message.settles.to_vec(),
            exchange: message.exchange.to_vec(),
            routing_key: message.routing_key.to_vec(),
            properties: message.properties.to_vec(),
            body: message.body.to_vec(),
        });
        Ok(())
    }

    fn settle(&mut self, queue: u64, ranges: &[(u64, u64)]) {
        let ranges = ranges.to_vec();
        self.records.push(OwnedRecord::Settle { queue, ranges });
    }

    fn cursor(&mut self, queue: u64, sequence: u64) {
        self.records.push(OwnedRecord::Cursor { queue, sequence });
    }

    fn returned(&mut self, place: Place, returns: u32) {
        self.records.push(OwnedRecord::Returned { place, returns });
    }
}

impl Log for MemoryLog {
    fn append(&self, encode: &mut dyn FnMut(&mut dyn Records)) -> Result<u64, AppendError> {
        let mut state = self.state.lock();
        if state.has_failed {
            return Err(AppendError::Failed);
        }
        encode(&mut *state);
        if state.is_instant {
            state.safe = state.records.len() as u64;
        }
        Ok(state.records.len() as u64)
    }

    fn hurry(&self) {}

    fn safe_index(&self) -> u64 {
        self.state.lock().safe
    }

    fn notify_when_safe(&self, index: u64, listener: Arc<dyn SafeListener>) -> Safety {
        let mut state = self.state.lock();
        if index <= state.safe {
            return Safety::Safe;
        }
        if state.has_failed {
            return Safety::Failed;
        }
        state.waiting.push((index, listener));
        Safety::Waiting
    }
}
