//! A log in memory, for tests: it keeps what was appended, and is safe as far as it is told.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    AppendError, Entry, Log, NewMessage, Place, Placement, ReadError, Records, Returns,
    SafeListener, Safety,
};
use crate::store::journal::{
    MessageView, PlaceViews, PlacementViews, RangeViews, Record, SeenId, SeenViews,
};

/// What a record takes, roughly, in bytes.
const RECORD_BYTES: u64 = 128;

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
        seen: Vec<SeenId>,
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
        queue: u64,
        range: (u64, u64),
        returns: Returns,
    },
    Waiting {
        queue: u64,
        waiting: Vec<(u64, u64)>,
    },
    Letters {
        queue: u64,
        letters: Vec<(u64, u64)>,
    },
    Seen(Vec<SeenId>),
}

/// See the module.
#[derive(Default)]
pub struct MemoryLog {
    state: Mutex<State>,
}

struct State {
    records: VecDeque<OwnedRecord>,
    /// The index of the first of them.
    first: u64,
    /// A part of the log begins after so many records ...
    part_records: u64,
    /// ... and at these indices.
    begun: Vec<u64>,
    safe: u64,
    /// Everything is safe at once.
    is_instant: bool,
    has_failed: bool,
    waiting: Vec<(u64, Arc<dyn SafeListener>)>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            records: VecDeque::new(),
            first: 1,
            part_records: u64::MAX,
            begun: Vec::new(),
            safe: 0,
            is_instant: false,
            has_failed: false,
            waiting: Vec::new(),
        }
    }
}

impl State {
    /// The last record's index.
    fn last(&self) -> u64 {
        self.first + self.records.len() as u64 - 1
    }
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

    /// The same; it lets go of so many records at a time.
    pub fn in_parts_of(records: u64) -> Arc<Self> {
        let log = Self::new();
        log.state.lock().part_records = records.max(1);
        log
    }

    /// Everything appended so far is safe.
    pub fn sync(&self) {
        let mut state = self.state.lock();
        let safe = state.last();
        state.safe = safe;
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

    /// What was appended so far, and not let go of.
    pub fn records(&self) -> Vec<OwnedRecord> {
        self.state.lock().records.iter().cloned().collect()
    }
}

impl Records for State {
    fn message(&mut self, message: &NewMessage<'_>) -> Result<(), AppendError> {
        self.records.push_back(OwnedRecord::Message {
            persistent: message.persistent,
            priority: message.priority,
            has_bcc: message.has_bcc,
            placements: message.placements.to_vec(),
            settles: message.settles.to_vec(),
            seen: message.seen.to_vec(),
            exchange: message.exchange.to_vec(),
            routing_key: message.routing_key.to_vec(),
            properties: message.properties.to_vec(),
            body: message.body.to_vec(),
        });
        Ok(())
    }

    fn settle(&mut self, queue: u64, ranges: &[(u64, u64)]) {
        let ranges = ranges.to_vec();
        self.records
            .push_back(OwnedRecord::Settle { queue, ranges });
    }

    fn cursor(&mut self, queue: u64, sequence: u64) {
        self.records
            .push_back(OwnedRecord::Cursor { queue, sequence });
    }

    fn returned(&mut self, queue: u64, range: (u64, u64), returns: Returns) {
        self.records.push_back(OwnedRecord::Returned {
            queue,
            range,
            returns,
        });
    }

    fn waiting(&mut self, queue: u64, waiting: &[(u64, u64)]) {
        self.records.push_back(OwnedRecord::Waiting {
            queue,
            waiting: waiting.to_vec(),
        });
    }

    fn letters(&mut self, queue: u64, letters: &[(u64, u64)]) {
        self.records.push_back(OwnedRecord::Letters {
            queue,
            letters: letters.to_vec(),
        });
    }

    fn seen(&mut self, seen: &[SeenId]) {
        self.records.push_back(OwnedRecord::Seen(seen.to_vec()));
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
            state.safe = state.last();
        }
        Ok(state.last())
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

    fn next_index(&self) -> u64 {
        self.state.lock().last() + 1
    }

    fn failure(&self) -> Option<String> {
        let has_failed = self.state.lock().has_failed;
        has_failed.then(|| "it was told to fail".to_owned())
    }

    fn read(
        &self,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Result<(), ReadError> {
        // `each` may use the log.
        let (records, last) = {
            let state = self.state.lock();
            if first < state.first {
                return Err(ReadError::Missing(first));
            }
            let skipped = (first - state.first) as usize;
            let records = state.records.iter().skip(skipped).cloned();
            (records.collect::<Vec<_>>(), last.min(state.last()))
        };
        for (index, record) in (first..=last).zip(&records) {
            if !record.show(index, each) {
                break;
            }
        }
        Ok(())
    }

    fn sync_soon(&self) {}

    fn synced_index(&self) -> u64 {
        self.safe_index()
    }

    fn starts(&self) -> Vec<u64> {
        let state = self.state.lock();
        let (first, end) = (state.first, state.last() + 1);
        let part = |index: u64| (index - 1) / state.part_records;
        let parts = part(first) + 1..=part(end);
        let later = parts.map(|part| part.saturating_mul(state.part_records) + 1);
        let begun = state.begun.iter().copied().filter(|begun| *begun > first);
        let mut starts: Vec<u64> = std::iter::once(first).chain(later).chain(begun).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    fn part_bytes(&self) -> u64 {
        self.state.lock().part_records.saturating_mul(RECORD_BYTES)
    }

    fn release_below(&self, index: u64) {
        let start = self.starts().into_iter().rfind(|start| *start <= index);
        let mut state = self.state.lock();
        let released = start.map_or(0, |start| {
            start.min(state.safe + 1).saturating_sub(state.first)
        });
        state.records.drain(..released as usize);
        state.first += released;
    }

    fn begin_part(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let (first, next) = (state.first, state.last() + 1);
        state.begun.retain(|begun| *begun > first);
        state.begun.push(next);
        Ok(())
    }

    fn rest(&self) {}
}

impl OwnedRecord {
    /// Shows it as a journal would.
    fn show(&self, index: u64, each: &mut dyn FnMut(&Entry<'_>) -> bool) -> bool {
        let (mut placed, mut settled, mut known) = (Vec::new(), Vec::new(), Vec::new());
        let record = match self {
            Self::Message {
                persistent,
                priority,
                has_bcc,
                placements,
                settles,
                seen,
                exchange,
                routing_key,
                properties,
                body,
            } => Record::Message(MessageView {
                persistent: *persistent,
                priority: *priority,
                has_bcc: *has_bcc,
                placements: PlacementViews::of(placements, &mut placed),
                settles: PlaceViews::of(settles, &mut settled),
                seen: SeenViews::of(seen, &mut known),
                exchange,
                routing_key,
                properties,
                body,
            }),
            Self::Settle { queue, ranges } => Record::Settle {
                queue: *queue,
                ranges: RangeViews::of(ranges, &mut settled),
            },
            Self::Cursor { queue, sequence } => Record::Cursor {
                queue: *queue,
                sequence: *sequence,
            },
            Self::Returned {
                queue,
                range,
                returns,
            } => Record::Returned {
                queue: *queue,
                range: *range,
                returns: *returns,
            },
            Self::Waiting { queue, waiting } => Record::Waiting {
                queue: *queue,
                waiting: RangeViews::of(waiting, &mut known),
            },
            Self::Letters { queue, letters } => Record::Letters {
                queue: *queue,
                letters: RangeViews::of(letters, &mut known),
            },
            Self::Seen(seen) => Record::Seen(SeenViews::of(seen, &mut known)),
        };
        each(&Entry {
            index,
            group: 0,
            term: 0,
            record,
        })
    }
}
