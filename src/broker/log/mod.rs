//! What the engine asks of durability, and nothing else: append a batch of records, learn when it is
//! safe, read what was appended, and let go of the oldest part once all that is needed of it was said
//! again. A journal stands behind it; tests use [`MemoryLog`]; a replicated log may stand there one day.
//!
//! ```text
//! queues ─▶ effects ─▶ pending.rs (gathered under queue locks) ─▶ Log::append ─▶ journal
//!                        flights.rs: what is gathered and not yet appended
//! journal ─▶ replay.rs ─▶ queues, at start
//!              copies.rs: what it has of a chunk that its segment does not give
//! ```

mod copies;
mod flights;
mod memory;
mod pending;
mod ranges;
mod replay;

use std::io;
use std::sync::Arc;

pub(super) use self::copies::Copies;
pub use self::flights::{Flight, Flights};
pub use self::memory::{MemoryLog, OwnedRecord};
pub(super) use self::pending::Pending;
pub(super) use self::ranges::Ranges;
pub(super) use self::replay::{BandReplay, Replay};
pub use crate::store::journal::{
    AppendError, Entry, NewMessage, Place, Placement, ReadError, Returns, SafeListener, Safety,
};
use crate::store::journal::{Batch, Journal, SeenId};

/// Takes the records of one batch, in order.
pub trait Records {
    /// A message with its places, and what it settles.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`]; nothing of it is taken then.
    fn message(&mut self, message: &NewMessage<'_>) -> Result<(), AppendError>;

    /// Messages of a queue are done with: first and last sequence of each range.
    fn settle(&mut self, queue: u64, ranges: &[(u64, u64)]);

    /// Everything below `sequence`, in its band, was delivered at least once.
    fn cursor(&mut self, queue: u64, sequence: u64);

    /// Messages of a queue, from one sequence to another, were delivered so often by now: so often they
    /// came back if that is the last that the log hears of them.
    fn returned(&mut self, queue: u64, range: (u64, u64), returns: Returns);

    /// Messages of a queue that were given back wait: sequence, and until when in milliseconds since 1970.
    fn waiting(&mut self, queue: u64, waiting: &[(u64, u64)]);

    /// Messages of a queue are dead letters that stay until they have arrived: sequence, and why.
    fn letters(&mut self, queue: u64, letters: &[(u64, u64)]);

    /// Exchanges remember messages that no record of a message names.
    fn seen(&mut self, seen: &[SeenId]);
}

/// See the module. Indices of records grow without gaps.
pub trait Log: Send + Sync {
    /// Appends the records that `encode` gives, and says the index of the last one. Never waits for
    /// the disk.
    ///
    /// # Errors
    /// See [`AppendError`]; none of the records will ever be safe then.
    fn append(&self, encode: &mut dyn FnMut(&mut dyn Records)) -> Result<u64, AppendError>;

    /// What was appended is to be made safe at once: somebody waits for it.
    fn hurry(&self);

    /// Everything up to it is safe.
    fn safe_index(&self) -> u64;

    /// Calls `listener` once everything up to `index` is safe, or can't be any more.
    fn notify_when_safe(&self, index: u64, listener: Arc<dyn SafeListener>) -> Safety;

    /// The index that the next record will have.
    fn next_index(&self) -> u64;

    /// Why nothing becomes safe any more, if that is so.
    fn failure(&self) -> Option<String>;

    /// Reads the records from `first` to `last` that are there, as long as `each` says so.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn read(
        &self,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Result<(), ReadError>;

    /// What was appended is to be synced at once, whatever "safe" means.
    fn sync_soon(&self);

    /// Everything up to it is synced, whatever "safe" means.
    fn synced_index(&self) -> u64;

    /// The first index of each part of the log, oldest first: it lets go of whole parts only.
    fn starts(&self) -> Vec<u64>;

    /// How many bytes a part takes, roughly.
    fn part_bytes(&self) -> u64;

    /// Nothing below `index` is needed any more.
    fn release_below(&self, index: u64);

    /// What is appended next begins a new part, a small one if there are such. May wait for the disk.
    ///
    /// # Errors
    /// No part can be begun for now.
    fn begin_part(&self) -> io::Result<()>;

    /// Nobody appends for now: what only bursts need is given back.
    fn rest(&self);
}

impl Records for Batch<'_> {
    fn message(&mut self, message: &NewMessage<'_>) -> Result<(), AppendError> {
        Batch::message(self, message).map(|_| ())
    }

    fn settle(&mut self, queue: u64, ranges: &[(u64, u64)]) {
        Batch::settle(self, queue, ranges);
    }

    fn cursor(&mut self, queue: u64, sequence: u64) {
        Batch::cursor(self, queue, sequence);
    }

    fn returned(&mut self, queue: u64, range: (u64, u64), returns: Returns) {
        Batch::returned(self, queue, range, returns);
    }

    fn waiting(&mut self, queue: u64, waiting: &[(u64, u64)]) {
        Batch::waiting(self, queue, waiting);
    }

    fn letters(&mut self, queue: u64, letters: &[(u64, u64)]) {
        Batch::letters(self, queue, letters);
    }

    fn seen(&mut self, seen: &[SeenId]) {
        Batch::seen(self, seen);
    }
}

impl Log for Journal {
    fn append(&self, encode: &mut dyn FnMut(&mut dyn Records)) -> Result<u64, AppendError> {
        // Publishers are stopped by the pressure. What is settled or moves on must not be forgotten
        // because much is under way.
        Journal::append_always(self, |batch| encode(batch))
    }

    fn hurry(&self) {
        Journal::hurry(self);
    }

    fn safe_index(&self) -> u64 {
        Journal::safe_index(self)
    }

    fn notify_when_safe(&self, index: u64, listener: Arc<dyn SafeListener>) -> Safety {
        Journal::notify_when_safe(self, index, listener)
    }

    fn next_index(&self) -> u64 {
        Journal::next_index(self)
    }

    fn failure(&self) -> Option<String> {
        Journal::failure(self)
    }

    fn read(
        &self,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Result<(), ReadError> {
        Journal::read(self, first, last, each)
    }

    fn sync_soon(&self) {
        Journal::sync_soon(self);
    }

    fn synced_index(&self) -> u64 {
        Journal::synced_index(self)
    }

    fn starts(&self) -> Vec<u64> {
        Journal::file_starts(self)
    }

    fn part_bytes(&self) -> u64 {
        Journal::file_bytes(self)
    }

    fn release_below(&self, index: u64) {
        Journal::release_below(self, index);
    }

    fn begin_part(&self) -> io::Result<()> {
        Journal::begin_file(self)
    }

    fn rest(&self) {
        Journal::rest(self);
    }
}
