//! The journal: one append-only log of records for all durable queues, in files that are
//! preallocated, zero-filled and recycled.
//!
//! ```text
//! append ─▶ gather.rs (one buffer) ─▶ threads.rs (the storage thread) ─▶ writer.rs ─▶ files
//!            record.rs, layout.rs          │                               files.rs, shared.rs:
//!                                          └─▶ safety.rs: "safe up to"     spare and used files
//! scan.rs ─▶ walk.rs (window.rs) ─▶ recovery.rs ─▶ report.rs, resume.rs    reader.rs: by index
//!                                  ├─▶ mend.rs: what segments have as well is made whole
//!                                  └─▶ salvage.rs: whom damage concerns
//! ```
//!
//! What always holds: a block with synced data is never written again, unless to make damage whole; nothing is said to be
//! safe before it is; after a failed write or sync nothing becomes safe any more; recovery yields
//! a prefix of what was written that has all that was safe, or says what is missing.

mod files;
mod gather;
mod layout;
mod mend;
mod reader;
mod record;
mod recovery;
mod report;
mod resume;
mod returns;
mod safety;
mod salvage;
mod scan;
mod shared;
mod threads;
mod walk;
mod window;
mod writer;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use self::gather::Gather;
use self::shared::Shared;
use self::writer::Writer;
use super::disk::{AlignedBuffer, Disk};

pub use self::gather::Batch;
pub use self::layout::FORMAT;
pub use self::mend::ContentAt;
pub use self::reader::ReadError;
pub use self::record::{
    MessageView, NewMessage, Place, PlaceViews, Placement, PlacementViews, RangeViews, Record,
    SeenId, SeenViews, UnknownRecord,
};
pub use self::recovery::{Entry, OnDamage, Recovery, RecoveryError};
pub use self::report::{Cut, Damage, Report};
pub use self::returns::Returns;
pub use self::safety::{SafeListener, Safety};

/// When what was written is synced, and so what "safe" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Safe means synced: it survives a power cut.
    Always,
    /// Safe means handed to the operating system, which survives the broker's death; it is
    /// synced at least so often, and a power cut loses what came in between.
    Interval(Duration),
    /// Safe means handed to the operating system, which writes it when it likes. A file that is
    /// full is synced nevertheless, and so is everything on closing.
    Never,
}

/// How much may gather.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From here on [`Journal::has_pressure`] asks publishers to wait.
    pub pressure_bytes: usize,
    /// From here on [`Journal::append`] refuses.
    pub full_bytes: usize,
}

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// The journal's own threads.
    Threads,
    /// Whoever calls [`Journal::turn`]: for simulations, in which everything happens in order.
    Manual,
}

/// What a journal is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The size of its files.
    pub file_bytes: u64,
    /// The size of the first file in a new folder, which has to be there at once.
    pub first_file_bytes: u64,
    /// How many files are kept ready.
    pub spare_files: usize,
    /// No file is made that leaves less than this free on the disk.
    pub reserve_bytes: u64,
    /// When it syncs.
    pub fsync: Fsync,
    /// Whether the storage thread looks out for the next message for a moment before it sleeps.
    pub busy_wait: bool,
    /// How much may gather.
    pub limits: Limits,
    /// What is done with damage.
    pub on_damage: OnDamage,
    /// First and last index of what earlier recoveries reported missing and set aside: it is read past,
    /// and not refused.
    pub known_damage: Vec<(u64, u64)>,
    /// Nothing below that index is needed any more, as somebody else remembers it; 0 if nobody does. Only of
    /// use where the journal's own word is lost.
    pub needed_from: u64,
    /// Who does the work.
    pub drive: Drive,
    /// Makes random numbers repeatable, for simulations. Never set it otherwise: a client that
    /// knows them can write messages that look like records.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            first_file_bytes: 4 << 20,
            spare_files: 3,
            reserve_bytes: 0,
            fsync: Fsync::Always,
            busy_wait: false,
            limits: Limits {
                pressure_bytes: 8 << 20,
                full_bytes: 256 << 20,
            },
            on_damage: OnDamage::SetAside,
            known_damage: Vec::new(),
            needed_from: 0,
            drive: Drive::Threads,
            seed: None,
        }
    }
}

/// Why nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The journal has failed; nothing can be promised any more.
    Failed,
    /// Too much has gathered.
    Full,
    /// A part of the message is too long.
    TooLarge,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "the journal has failed",
            Self::Full => "the journal can't keep up",
            Self::TooLarge => "a part of the message is too long",
        })
    }
}

impl std::error::Error for AppendError {}

/// How a journal is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Why it has failed, for good.
    pub failure: Option<String>,
    /// Why it waits for room on the disk.
    pub stalled: Option<String>,
    /// What its files take on the disk.
    pub disk_bytes: u64,
}

/// See the module.
pub struct Journal {
    shared: Arc<Shared>,
    pressure: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The writer, if no thread has it.
    writer: Mutex<Option<Writer>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("safe_index", &self.safe_index())
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the journal in the data folder, or makes it: the records that are needed are to be
    /// read first, then [`Recovery::finish`] gives the journal.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Recovery, RecoveryError> {
        Recovery::new(disk, options)
    }

    /// Appends the records that `encode` puts into the batch and says the index of the last one.
    /// Never waits for the disk. Messages are written at once; what becomes of messages goes with
    /// the next of them, or within milliseconds, unless [`Journal::hurry`] asks for it.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(&self, encode: impl FnOnce(&mut Batch<'_>)) -> Result<u64, AppendError> {
        if self.shared.failure().is_some() {
            return Err(AppendError::Failed);
        }
        let gather = self.shared.gather.lock();
        if gather.is_full() {
            return Err(AppendError::Full);
        }
        Ok(self.append_to(gather, encode))
    }

    /// The same however much has gathered, for who must not be refused and knows a bound by itself.
    ///
    /// # Errors
    /// [`AppendError::Failed`].
    pub fn append_always(&self, encode: impl FnOnce(&mut Batch<'_>)) -> Result<u64, AppendError> {
        if self.shared.failure().is_some() {
            return Err(AppendError::Failed);
        }
        Ok(self.append_to(self.shared.gather.lock(), encode))
    }

    fn append_to(
        &self,
        mut gather: MutexGuard<'_, Gather>,
        encode: impl FnOnce(&mut Batch<'_>),
    ) -> u64 {
        let last_index = gather.append(encode);
        let wakes = gather.take_wake_up();
        drop(gather);
        if wakes {
            self.shared.work.notify_one();
        }
        last_index
    }

    /// What gathered is to be written at once: somebody waits for it.
    pub fn hurry(&self) {
        let mut gather = self.shared.gather.lock();
        gather.is_urgent |= gather.has_work();
        let wakes = gather.take_wake_up();
        drop(gather);
        if wakes {
            self.shared.work.notify_one();
        }
    }

    /// What gathered is to be written and synced at once, whatever "safe" means.
    pub fn sync_soon(&self) {
        let mut gather = self.shared.gather.lock();
        gather.wants_sync = true;
        let wakes = gather.take_wake_up();
        drop(gather);
        if wakes {
            self.shared.work.notify_one();
        }
    }

    /// Calls `listener` once everything up to `index` is safe, if it is not yet. A listener that
    /// waits for several indexes is called once for all that became safe together.
    pub fn notify_when_safe(&self, index: u64, listener: Arc<dyn SafeListener>) -> Safety {
        self.shared.safeties.register(index, listener)
    }

    /// Everything up to it is safe.
    pub fn safe_index(&self) -> u64 {
        self.shared.safeties.safe_index()
    }

    /// Everything up to it is synced, whatever "safe" means.
    pub fn synced_index(&self) -> u64 {
        self.shared.synced.load(Ordering::Acquire)
    }

    /// The index that the next record will have.
    pub fn next_index(&self) -> u64 {
        self.shared.gather.lock().next_index()
    }

    /// Whether publishers should not be read for now.
    pub fn has_pressure(&self) -> bool {
        *self.pressure.borrow()
    }

    /// Tells when that changes.
    pub fn pressure(&self) -> watch::Receiver<bool> {
        self.pressure.subscribe()
    }

    /// Why it has failed, if it has.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure().map(str::to_owned)
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        let files = self.shared.files.lock();
        Health {
            failure: self.failure(),
            // As long as there are some ahead, nothing waits.
            stalled: files.stalled.clone().filter(|_| files.spare_count() == 0),
            disk_bytes: files.disk_bytes(),
        }
    }

    /// The first index of each file in use, oldest first: what has to be released to free it.
    pub fn file_starts(&self) -> Vec<u64> {
        let files = self.shared.files.lock();
        files
            .live
            .iter()
            .map(|live| live.header.first_index)
            .collect()
    }

    /// What a file of the usual size takes.
    pub fn file_bytes(&self) -> u64 {
        self.shared.options.file_bytes
    }

    /// Nothing below `index` is needed any more. Files that hold nothing else, and behind which
    /// something is synced, are written over again, once it is durable that they may be.
    pub fn release_below(&self, index: u64) {
        let mut files = self.shared.files.lock();
        files.release_below = files.release_below.max(index);
        drop(files);
        self.shared.upkeep.notify_all();
    }

    /// What is appended next goes to a new file, one as small as the first of a new folder. Waits for the
    /// disk, on which it makes that.
    ///
    /// # Errors
    /// The disk's, or there is no room for one; everything goes on as before then.
    pub fn begin_file(&self) -> io::Result<()> {
        if let Some(reason) = self.shared.failure() {
            return Err(io::Error::other(reason.to_owned()));
        }
        self.shared.make_small_spare()?;
        self.shared.gather.lock().begins_file = true;
        Ok(())
    }

    /// Nobody appends for now: of the files that wait to be written over only those are kept that are made
    /// ahead in any case.
    pub fn rest(&self) {
        self.shared.files.lock().is_to_trim = true;
        self.shared.upkeep.notify_all();
    }

    /// Takes back every record from `index` on, which was not to be relied on yet; the next one
    /// has this index again. For a replicated log; nobody may append meanwhile.
    pub fn truncate_from(&self, index: u64) {
        let mut gather = self.shared.gather.lock();
        gather.truncate_from(index.max(1));
        drop(gather);
        self.shared.work.notify_one();
    }

    /// Reads the written records from `first` to `last`, as long as `each` says so.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(
        &self,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Result<(), ReadError> {
        reader::read(&self.shared, first, last, each)
    }

    /// Does the work that is to be done now: writes and syncs what gathered, or promises what was
    /// synced last; then releases files. Says whether there was any. With [`Drive::Threads`]
    /// there never is.
    ///
    /// # Errors
    /// What made the journal fail.
    pub fn turn(&self) -> io::Result<bool> {
        let mut writer = self.writer.lock();
        let Some(writer) = writer.as_mut() else {
            return Ok(false);
        };
        if let Some(reason) = self.shared.failure() {
            return Err(io::Error::other(reason.to_owned()));
        }
        let done = self.turn_with(writer);
        if let Err(error) = &done {
            self.shared.fail(&error.to_string());
        }
        done
    }

    fn turn_with(&self, writer: &mut Writer) -> io::Result<bool> {
        let mut gather = self.shared.gather.lock();
        let mut has_worked = gather.has_work();
        let wants_sync = std::mem::take(&mut gather.wants_sync);
        if has_worked {
            let mut buffer = AlignedBuffer::default();
            let taken = gather.take(&mut buffer);
            drop(gather);
            threads::store(&self.shared, writer, &mut buffer, &taken)?;
        } else {
            drop(gather);
            has_worked = writer.wants_mark();
            if has_worked {
                threads::mark(&self.shared, writer)?;
            }
        }
        if wants_sync {
            threads::sync(&self.shared, writer)?;
        }
        Ok(self.shared.upkeep_once()? || has_worked)
    }

    /// With [`Drive::Manual`], syncs what was written, as [`Fsync::Interval`] does now and then.
    ///
    /// # Errors
    /// What made the journal fail.
    pub fn sync_now(&self) -> io::Result<()> {
        let mut writer = self.writer.lock();
        let Some(writer) = writer.as_mut() else {
            return Ok(());
        };
        if let Some(reason) = self.shared.failure() {
            return Err(io::Error::other(reason.to_owned()));
        }
        threads::sync(&self.shared, writer).inspect_err(|error| {
            self.shared.fail(&error.to_string());
        })
    }

    /// Writes and syncs what gathered, and ends the threads. Dropping does the same.
    pub fn close(&self) {
        self.shared.is_closing.store(true, Ordering::Release);
        self.shared.gather.lock().is_closing = true;
        self.shared.work.notify_all();
        let mut threads = std::mem::take(&mut *self.threads.lock()).into_iter();
        // The upkeep thread may still have to make a file for what gathered.
        if let Some(storage) = threads.next() {
            let _ = storage.join();
        }
        {
            let _files = self.shared.files.lock();
            self.shared.is_closed.store(true, Ordering::Release);
        }
        self.shared.upkeep.notify_all();
        for thread in threads {
            let _ = thread.join();
        }
        self.close_manual();
    }

    fn close_manual(&self) {
        if let Some(mut writer) = self.writer.lock().take()
            && self.shared.failure().is_none()
        {
            let closed = self
                .turn_with(&mut writer)
                .and_then(|_| threads::close(&self.shared, &mut writer));
            if let Err(error) = closed {
                self.shared.fail(&error.to_string());
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}
