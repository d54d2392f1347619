//! Where records gather until the storage thread takes them: one buffer under a short lock.
//! Records go in encoded, only their checksums are missing, which depend on the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::layout::{BATCH_HEAD_BYTES, RECORD_HEADER_BYTES, RecordHeader};
use super::record::{NewMessage, Place, SeenId, encode_place, encode_seen, kind, seen_bytes};
use super::{AppendError, Limits, Returns};
use crate::store::disk::{AlignedBuffer, BLOCK_BYTES};

/// See the module.
pub(super) struct Gather {
    /// Room for a batch head, then records.
    bytes: AlignedBuffer,
    records: u32,
    next_index: u64,
    /// What the storage thread took last ends before this index.
    taken_end: u64,
    /// Bytes that the storage thread is writing.
    in_write_bytes: usize,
    truncate_from: Option<u64>,
    /// What gathers next goes to a new file.
    pub begins_file: bool,
    limits: Limits,
    pressure: watch::Sender<bool>,
    /// What the storage thread must be woken for.
    pub awaited: Awaited,
    /// Set for the storage thread when it watches out for what somebody waits for.
    pub call: Arc<AtomicBool>,
    /// Somebody waits for what gathered.
    pub is_urgent: bool,
    /// Somebody waits until it is synced.
    pub wants_sync: bool,
    /// The journal is being closed.
    pub is_closing: bool,
    has_failed: bool,
}

/// What the storage thread, if it sleeps, must be woken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Awaited {
    /// It does not sleep.
    #[default]
    Nothing,
    /// What somebody waits for, and it does not sleep: it watches `call`.
    Call,
    /// What somebody waits for; it wakes up for the rest by itself.
    Urgent,
    /// Any record.
    Anything,
}

/// What the storage thread took.
pub(super) struct Taken {
    pub first_index: u64,
    pub records: u32,
    /// To be done before the records are written.
    pub truncate_from: Option<u64>,
    /// Whether they go to a new file.
    pub begins_file: bool,
}

impl Gather {
    pub fn new(next_index: u64, limits: Limits, pressure: watch::Sender<bool>) -> Self {
        Self {
            bytes: AlignedBuffer::zeroed(BATCH_HEAD_BYTES),
            records: 0,
            next_index,
            taken_end: next_index,
            in_write_bytes: 0,
            truncate_from: None,
            begins_file: false,
            limits,
            pressure,
            awaited: Awaited::Nothing,
            call: Arc::default(),
            is_urgent: false,
            wants_sync: false,
            is_closing: false,
            has_failed: false,
        }
    }

    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    pub fn has_work(&self) -> bool {
        self.records > 0 || self.truncate_from.is_some()
    }

    /// Whether the storage thread must be woken now; it is taken to be awake then.
    pub fn take_wake_up(&mut self) -> bool {
        let wakes = match self.awaited {
            Awaited::Nothing => false,
            Awaited::Call => {
                if self.is_urgent || self.wants_sync {
                    self.awaited = Awaited::Nothing;
                    self.call.store(true, Ordering::Release);
                }
                false
            }
            Awaited::Urgent => self.is_urgent || self.wants_sync,
            Awaited::Anything => self.has_work() || self.wants_sync,
        };
        if wakes {
            self.awaited = Awaited::Nothing;
        }
        wakes
    }

    /// Whether no more should gather.
    pub fn is_full(&self) -> bool {
        self.pending_bytes() >= self.limits.full_bytes
    }

    /// Lets `encode` add records and says the last index.
    pub fn append(&mut self, encode: impl FnOnce(&mut Batch<'_>)) -> u64 {
        encode(&mut Batch(self));
        self.tell_pressure();
        self.next_index - 1
    }

    /// Takes back everything from `index` on. What is still here goes at once.
    pub fn truncate_from(&mut self, index: u64) {
        if index >= self.next_index {
            return;
        }
        if index <= self.taken_end {
            self.bytes.truncate(BATCH_HEAD_BYTES);
            self.records = 0;
            if index < self.taken_end {
                self.truncate_from = Some(index);
                self.taken_end = index;
            }
        } else {
            let mut end = BATCH_HEAD_BYTES;
            self.records = (index - self.taken_end) as u32;
            for _ in 0..self.records {
                let header = RecordHeader::decode(&self.bytes[end..]);
                end += header.map_or(0, |header| header.total_bytes());
            }
            self.bytes.truncate(end);
        }
        self.next_index = index;
        self.is_urgent = true;
    }

    /// Takes what gathered, into `buffer`, whose allocation is used next.
    pub fn take(&mut self, buffer: &mut AlignedBuffer) -> Taken {
        buffer.resize(BATCH_HEAD_BYTES);
        std::mem::swap(buffer, &mut self.bytes);
        self.in_write_bytes = buffer.len();
        let taken = Taken {
            first_index: self.taken_end,
            records: std::mem::take(&mut self.records),
            truncate_from: self.truncate_from.take(),
            begins_file: std::mem::take(&mut self.begins_file),
        };
        self.taken_end = self.next_index;
        self.is_urgent = false;
        taken
    }

    /// The journal has failed: nobody need wait for it any more.
    pub fn fail(&mut self) {
        self.has_failed = true;
        self.pressure.send_replace(false);
    }

    /// How many bytes gathered.
    pub fn gathered_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What was taken is written.
    pub fn written(&mut self) {
        self.in_write_bytes = 0;
        self.tell_pressure();
    }

    /// Gives back what only a burst needs.
    pub fn shrink(&mut self, keep_bytes: usize) {
        self.bytes.shrink_to(keep_bytes);
    }

    fn pending_bytes(&self) -> usize {
        self.bytes.len() + self.in_write_bytes
    }

    /// Rises at the mark, falls at half of it, so that it does not flicker.
    fn tell_pressure(&self) {
        if self.has_failed {
            return;
        }
        let pending = self.pending_bytes();
        let is_high = *self.pressure.borrow();
        if !is_high && pending >= self.limits.pressure_bytes {
            self.pressure.send_replace(true);
        } else if is_high && pending <= self.limits.pressure_bytes / 2 {
            self.pressure.send_replace(false);
        }
    }
}

/// Takes records, in order.
pub struct Batch<'a>(&'a mut Gather);

impl Batch<'_> {
    /// A message with its places, and what it settles. Returns its index (the last one, for a
    /// message with more places than one record can name; what it settles is in that one).
    ///
    /// # Errors
    /// [`AppendError::TooLarge`] if a part is too long for its field; nothing is added then.
    pub fn message(&mut self, message: &NewMessage<'_>) -> Result<u64, AppendError> {
        const MOST: usize = u16::MAX as usize;
        let mut rest = *message;
        while rest.placements.len() > MOST {
            let (now, later) = rest.placements.split_at(MOST);
            let part = NewMessage {
                placements: now,
                settles: &[],
                seen: &[],
                ..rest
            };
            if !part.fits() || rest.settles.len() > MOST {
                return Err(AppendError::TooLarge);
            }
            self.one_message(&part);
            rest.placements = later;
        }
        if !rest.fits() {
            return Err(AppendError::TooLarge);
        }
        Ok(self.one_message(&rest))
    }

    fn one_message(&mut self, message: &NewMessage<'_>) -> u64 {
        // Its publisher waits for it; nobody waits for what becomes of messages.
        self.0.is_urgent = true;
        let index = self.begin(kind::MESSAGE, message.encoded_bytes());
        message.encode(self.0.bytes.end());
        index
    }

    /// Messages of a queue are done with: first and last sequence of each range.
    pub fn settle(&mut self, queue: u64, ranges: &[(u64, u64)]) -> u64 {
        self.pairs(kind::SETTLE, queue, ranges)
    }

    /// Messages of a queue that were given back wait: the sequence of each, and until when in milliseconds
    /// since 1970.
    pub fn waiting(&mut self, queue: u64, waiting: &[(u64, u64)]) -> u64 {
        self.pairs(kind::WAITING, queue, waiting)
    }

    /// Messages of a queue are dead letters that stay until they have arrived: the sequence of each, and a
    /// number that says why it is one.
    pub fn letters(&mut self, queue: u64, letters: &[(u64, u64)]) -> u64 {
        self.pairs(kind::LETTERS, queue, letters)
    }

    fn pairs(&mut self, kind: u8, queue: u64, pairs: &[(u64, u64)]) -> u64 {
        let index = self.begin(kind, 12 + pairs.len() * 16);
        let bytes = self.0.bytes.end();
        bytes.extend_from_slice(&queue.to_le_bytes());
        bytes.extend_from_slice(&(pairs.len() as u32).to_le_bytes());
        for (one, other) in pairs {
            bytes.extend_from_slice(&one.to_le_bytes());
            bytes.extend_from_slice(&other.to_le_bytes());
        }
        index
    }

    /// Everything below `sequence`, in its band, was delivered at least once.
    pub fn cursor(&mut self, queue: u64, sequence: u64) -> u64 {
        let index = self.begin(kind::CURSOR, 16);
        encode_place(self.0.bytes.end(), Place { queue, sequence });
        index
    }

    /// Messages of a queue, from one sequence to another, were delivered so often by now: so often they came back
    /// if that is the last that is said of them.
    pub fn returned(&mut self, queue: u64, range: (u64, u64), returns: Returns) -> u64 {
        let index = self.begin(kind::RETURNED, 8 + returns.encoded_bytes(range));
        let bytes = self.0.bytes.end();
        bytes.extend_from_slice(&queue.to_le_bytes());
        returns.encode(bytes, range);
        index
    }

    /// Exchanges remember messages. Their publishers wait for it.
    pub fn seen(&mut self, seen: &[SeenId]) -> u64 {
        self.0.is_urgent = true;
        let index = self.begin(kind::SEEN, seen_bytes(seen));
        encode_seen(self.0.bytes.end(), seen);
        index
    }

    fn begin(&mut self, kind: u8, payload_bytes: usize) -> u64 {
        let index = self.0.next_index;
        let header = RecordHeader {
            length: payload_bytes as u32,
            group: 0,
            term: 0,
            index,
            kind,
        };
        // With room to fill up the last block.
        let record_bytes = RECORD_HEADER_BYTES + payload_bytes;
        self.0.bytes.reserve(record_bytes + BLOCK_BYTES as usize);
        self.0.bytes.end().extend_from_slice(&header.encode());
        self.0.records += 1;
        self.0.next_index += 1;
        index
    }
}
