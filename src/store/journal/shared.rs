//! What the journal's threads and its users share.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

use super::files::{Files, JournalFile, make_file, path, write_first_live};
use super::gather::Gather;
use super::safety::Safeties;
use super::{Drive, Options};
use crate::store::disk::{BLOCK_BYTES, Disk};

/// See the module. Locks are taken one at a time, but for `files` inside nothing else.
pub(super) struct Shared {
    pub options: Options,
    pub gather: Mutex<Gather>,
    /// The storage thread waits here for work.
    pub work: Condvar,
    pub safeties: Safeties,
    /// Highest index that is written, and can be read.
    pub written: AtomicU64,
    pub synced: AtomicU64,
    pub files: Mutex<Files>,
    /// The upkeep thread waits here; the storage thread, when it needs a file.
    pub upkeep: Condvar,
    pub spare_ready: Condvar,
    /// What gathered is written, then nothing more.
    pub is_closing: AtomicBool,
    /// The storage thread has ended, the upkeep thread shall.
    pub is_closed: AtomicBool,
    failure: OnceLock<String>,
}

/// How long it takes until a full disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl Shared {
    pub fn new(options: Options, gather: Gather, files: Files, last_index: u64) -> Self {
        Self {
            options,
            gather: Mutex::new(gather),
            work: Condvar::new(),
            safeties: Safeties::new(last_index),
            written: AtomicU64::new(last_index),
            synced: AtomicU64::new(last_index),
            files: Mutex::new(files),
            upkeep: Condvar::new(),
            spare_ready: Condvar::new(),
            is_closing: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    /// Why the journal has failed, if it has.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Nothing becomes safe any more, for good. Only the first reason counts.
    pub fn fail(&self, reason: &str) {
        if self.failure.set(reason.to_owned()).is_ok() {
            tracing::error!(
                reason,
                "the journal has failed: nothing is confirmed until the broker is started again"
            );
            self.safeties.fail();
            self.gather.lock().fail();
            self.spare_ready.notify_all();
            self.upkeep.notify_all();
        }
    }

    /// A file to be written over, with room for a batch of `batch_bytes`. Waits for the upkeep
    /// thread, if there is one and the size is usual.
    pub fn obtain_file(&self, batch_bytes: u64) -> io::Result<(JournalFile, u64)> {
        let mut files = self.files.lock();
        loop {
            if let Some(taken) = files.take_spare(batch_bytes) {
                self.upkeep.notify_all();
                return Ok(taken);
            }
            if let Some(reason) = self.failure() {
                return Err(io::Error::other(reason.to_owned()));
            }
            let measure = BLOCK_BYTES + batch_bytes;
            let is_usual = measure <= self.options.first_file_bytes.min(self.options.file_bytes);
            if self.options.drive == Drive::Manual || !is_usual {
                let bytes = measure.max(self.next_file_bytes(&files));
                let name = files.next_name();
                let disk = files.disk();
                drop(files);
                let file = make_file(&*disk, &name, bytes)?;
                files = self.files.lock();
                files.add_spare(file);
                continue;
            }
            if self.is_closing.load(Ordering::Acquire) && files.stalled.is_some() {
                return Err(io::Error::other("closed while the disk was full"));
            }
            self.upkeep.notify_all();
            self.spare_ready.wait(&mut files);
        }
    }

    /// Does one piece of upkeep, if there is one: releases files, or makes a spare one. With
    /// `Drive::Manual` no files are made ahead.
    pub fn upkeep_once(&self) -> io::Result<bool> {
        let mut files = self.files.lock();
        if let Some((slot, file)) = files.next_first_live(self.synced.load(Ordering::Acquire)) {
            drop(files);
            write_first_live(&*file, slot)?;
            let mut files = self.files.lock();
            let surplus = files.release(slot, self.options.file_bytes, self.most_spare());
            let disk = files.disk();
            drop(files);
            self.spare_ready.notify_all();
            for file in surplus {
                disk.remove(&path(&file.name))?;
            }
            return Ok(true);
        }
        if files.is_to_trim {
            let surplus = files.trim(self.options.spare_files.max(1));
            let disk = files.disk();
            drop(files);
            for file in surplus {
                disk.remove(&path(&file.name))?;
            }
            return Ok(true);
        }
        if self.options.drive == Drive::Threads && files.spare_count() < self.options.spare_files {
            let bytes = self.next_file_bytes(&files);
            let name = files.next_name();
            let disk = files.disk();
            drop(files);
            self.check_room(&*disk, bytes)?;
            let file = make_file(&*disk, &name, bytes)?;
            self.files.lock().add_spare(file);
            self.spare_ready.notify_all();
            return Ok(true);
        }
        Ok(false)
    }

    /// The file that is taken next is as small as the first one was, if that is less than others have.
    pub fn make_small_spare(&self) -> io::Result<()> {
        let bytes = self.options.first_file_bytes;
        if bytes >= self.options.file_bytes {
            return Ok(());
        }
        let mut files = self.files.lock();
        let file = match files.take_spare_of(bytes) {
            Some(file) => file,
            None => {
                let name = files.next_name();
                let disk = files.disk();
                drop(files);
                self.check_room(&*disk, bytes)?;
                let file = make_file(&*disk, &name, bytes)?;
                files = self.files.lock();
                file
            }
        };
        files.add_next(file);
        Ok(())
    }

    /// Others need the last bit of room more: the catalog, to name what can be let go of.
    fn check_room(&self, disk: &dyn Disk, bytes: u64) -> io::Result<()> {
        if disk.free_bytes()? < bytes.saturating_add(self.options.reserve_bytes) {
            let text = "it would leave too little room on the disk";
            return Err(io::Error::new(io::ErrorKind::StorageFull, text));
        }
        Ok(())
    }

    /// More than are made ahead, so that a burst's files are used again, but not all of them.
    fn most_spare(&self) -> usize {
        self.options.spare_files.max(1) * 2
    }

    /// The very first file is small, so that it is there at once.
    fn next_file_bytes(&self, files: &Files) -> u64 {
        if files.is_empty() {
            self.options.first_file_bytes.min(self.options.file_bytes)
        } else {
            self.options.file_bytes
        }
    }

    /// The upkeep thread.
    pub fn run_upkeep(self: &Arc<Self>) {
        while !self.is_closed.load(Ordering::Acquire) && self.failure().is_none() {
            match self.upkeep_once() {
                Ok(true) => self.files.lock().stalled = None,
                Ok(false) => {
                    let mut files = self.files.lock();
                    let has_work = files
                        .next_first_live(self.synced.load(Ordering::Acquire))
                        .is_some()
                        || files.is_to_trim
                        || files.spare_count() < self.options.spare_files
                        || self.is_closed.load(Ordering::Acquire)
                        || self.failure().is_some();
                    if !has_work {
                        self.upkeep.wait(&mut files);
                    }
                }
                // Nothing that was promised is touched by that: it can wait.
                Err(error) if is_passing(&error) => {
                    let mut files = self.files.lock();
                    if files.stalled.is_none() {
                        tracing::error!(%error, "no journal file can be made for now");
                    }
                    files.stalled = Some(error.to_string());
                    self.spare_ready.notify_all();
                    self.upkeep.wait_for(&mut files, RETRY);
                }
                Err(error) => self.fail(&format!("journal upkeep: {error}")),
            }
        }
        self.spare_ready.notify_all();
    }
}

/// Whether there is too little of something that may be there later: room, files, memory.
fn is_passing(error: &io::Error) -> bool {
    let too_many_files = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory
    ) || too_many_files.contains(&error.raw_os_error())
}
