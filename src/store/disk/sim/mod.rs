//! A disk in memory that fails as it is told, for tests and simulations.
//!
//! What is written is read back at once, but counts only when synced: a crash keeps of the rest
//! whatever a seeded choice says, sector by sector. Folders keep their changes in order: a crash
//! keeps the first few of the unsynced ones, as a journalling file system does. A sector may go bad: it
//! can't be read any more, until it is written over or the disk is repaired.

mod contents;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub use self::contents::Keep;

use self::contents::Contents;
use super::{Disk, DiskFile, DiskLock};

/// What goes wrong, and when. Operations are those that change the disk (create, write, sync,
/// rename, remove, lengthen), counted from the start of the simulation, and so are reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// From this operation on everything fails: the machine has stopped.
    pub crash_at: Option<u64>,
    /// These fail, with EIO; a failed sync has lost what it should have kept.
    pub fail_at: BTreeSet<u64>,
    /// These, if they are writes, write only a part and fail with EIO.
    pub short_at: BTreeSet<u64>,
    /// These reads fail, with EIO; the next ones may not.
    pub fail_reads_at: BTreeSet<u64>,
    /// How many bytes all files together may have (ENOSPC).
    pub capacity_bytes: Option<u64>,
}

/// See the module. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    dice: SmallRng,
    faults: Faults,
    operations: u64,
    reads: u64,
    files: BTreeMap<String, Arc<Mutex<Contents>>>,
    /// As it would be after a crash, but for what `changes` may add.
    durable: BTreeMap<String, Arc<Mutex<Contents>>>,
    changes: Vec<Change>,
    locked: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Change {
    Link(String, Arc<Mutex<Contents>>),
    Rename(String, String),
    Remove(String),
}

fn broken() -> io::Error {
    io::Error::other("simulated I/O error (EIO)")
}

impl SimDisk {
    /// An empty disk whose dice start with `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            dice: SmallRng::seed_from_u64(seed),
            faults: Faults::default(),
            operations: 0,
            reads: 0,
            files: BTreeMap::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
            locked: BTreeSet::new(),
        })))
    }

    /// Another disk with the same on it, on which nothing goes wrong, and whose dice start with `seed`.
    pub fn copy(&self, seed: u64) -> Self {
        let copy = Self::new(seed);
        let state = self.0.lock();
        let mut into = copy.0.lock();
        let mut copies: Vec<(*const Mutex<Contents>, Arc<Mutex<Contents>>)> = Vec::new();
        let mut copied = |contents: &Arc<Mutex<Contents>>| {
            let known = copies.iter().find(|(of, _)| *of == Arc::as_ptr(contents));
            if let Some((_, copy)) = known {
                return Arc::clone(copy);
            }
            let copy = Arc::new(Mutex::new(contents.lock().clone()));
            copies.push((Arc::as_ptr(contents), Arc::clone(&copy)));
            copy
        };
        for (path, contents) in &state.files {
            into.files.insert(path.clone(), copied(contents));
        }
        for (path, contents) in &state.durable {
            into.durable.insert(path.clone(), copied(contents));
        }
        for change in &state.changes {
            let change = match change {
                Change::Link(path, contents) => Change::Link(path.clone(), copied(contents)),
                other => other.clone(),
            };
            into.changes.push(change);
        }
        drop(into);
        copy
    }

    /// All files, with their lengths.
    pub fn files(&self) -> Vec<(String, u64)> {
        let state = self.0.lock();
        let files = state.files.iter();
        files
            .map(|(path, contents)| (path.clone(), contents.lock().now.len() as u64))
            .collect()
    }

    /// What shall go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    /// Whether anything shall go wrong.
    pub fn has_faults(&self) -> bool {
        self.0.lock().faults != Faults::default()
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// How many reads there were.
    pub fn reads(&self) -> u64 {
        self.0.lock().reads
    }

    /// The sector with that byte of a file can't be read from now on, not even after the machine has stopped.
    pub fn break_sector(&self, path: &str, at: u64) {
        if let Some(contents) = self.0.lock().files.get(path) {
            contents.lock().break_sector(at);
        }
    }

    /// Whether any sector is bad.
    pub fn has_bad_sectors(&self) -> bool {
        let state = self.0.lock();
        let mut files = state.files.values();
        files.any(|contents| !contents.lock().bad.is_empty())
    }

    /// All sectors can be read again, and hold what they held.
    pub fn repair(&self) {
        for contents in self.0.lock().files.values() {
            contents.lock().bad.clear();
        }
    }

    /// The machine stops and starts again: what was not synced is kept or lost as `keep` says,
    /// nothing is locked, nothing fails any more. Open files go on to exist but are of no use.
    pub fn crash(&self, keep: Keep) {
        let state = &mut *self.0.lock();
        state.faults = Faults::default();
        state.locked.clear();
        let changes = std::mem::take(&mut state.changes);
        let kept = match keep {
            Keep::Nothing => 0,
            Keep::Everything => changes.len(),
            Keep::Sectors(_) => state.dice.random_range(0..=changes.len()),
        };
        for change in &changes[..kept] {
            change.apply(&mut state.durable);
        }
        let mut survivors = BTreeMap::new();
        for (path, contents) in &state.durable {
            let left = contents.lock().after_crash(keep, &mut state.dice);
            survivors.insert(path.clone(), Arc::new(Mutex::new(left)));
        }
        state.files.clone_from(&survivors);
        state.durable = survivors;
    }

    /// Turns one bit of a file over, as it lies on the disk. False if the file has no such byte.
    pub fn flip_bit(&self, path: &str, bit: u64) -> bool {
        let state = self.0.lock();
        let Some(contents) = state.files.get(path) else {
            return false;
        };
        let contents = &mut *contents.lock();
        let at = (bit / 8) as usize;
        for bytes in [&mut contents.now, &mut contents.durable] {
            match bytes.get_mut(at) {
                Some(byte) => *byte ^= 1 << (bit % 8),
                None => return false,
            }
        }
        true
    }

    /// A file's bytes as a reader sees them.
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state
            .files
            .get(path)
            .map(|contents| contents.lock().now.clone())
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let state = &mut *self.0.lock();
        state.operate(false)?;
        change.apply(&mut state.files);
        state.changes.push(change);
        Ok(())
    }
}

impl State {
    /// Counts an operation and says whether it, if it is a write, is cut short.
    fn operate(&mut self, may_be_short: bool) -> io::Result<bool> {
        let operation = self.operations;
        self.operations += 1;
        if self.faults.crash_at.is_some_and(|at| operation >= at) {
            return Err(io::Error::other("simulated crash"));
        }
        if may_be_short && self.faults.short_at.contains(&operation) {
            return Ok(true);
        }
        if self.faults.fail_at.contains(&operation) {
            return Err(broken());
        }
        Ok(false)
    }

    /// Counts a read.
    fn read(&mut self) -> io::Result<()> {
        let read = self.reads;
        self.reads += 1;
        match self.faults.fail_reads_at.contains(&read) {
            true => Err(broken()),
            false => Ok(()),
        }
    }

    fn used_bytes(&self) -> u64 {
        self.files
            .values()
            .map(|contents| contents.lock().used_bytes())
            .sum()
    }
}

impl Change {
    fn apply(&self, files: &mut BTreeMap<String, Arc<Mutex<Contents>>>) {
        match self {
            Change::Link(path, contents) => {
                files.insert(path.clone(), Arc::clone(contents));
            }
            Change::Rename(from, to) => {
                if let Some(contents) = files.remove(from) {
                    files.insert(to.clone(), contents);
                }
            }
            Change::Remove(path) => {
                files.remove(path);
            }
        }
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = format!("{path}/");
        let state = self.0.lock();
        let mut names: Vec<String> = state
            .files
            .keys()
            .filter_map(|file| file.strip_prefix(&folder))
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        names.dedup();
        Ok(names)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let contents = Arc::new(Mutex::new(Contents::default()));
        self.change(Change::Link(path.to_owned(), Arc::clone(&contents)))?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            contents,
        }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let contents = self.0.lock().files.get(path).map(Arc::clone);
        match contents {
            Some(contents) => Ok(Arc::new(SimFile {
                disk: self.clone(),
                contents,
            })),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(Change::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.change(Change::Remove(path.to_owned()))
    }

    /// One folder's sync keeps the changes of all: file systems order them, and the store must
    /// not rely on less being kept.
    fn sync_dir(&self, _path: &str) -> io::Result<()> {
        let state = &mut *self.0.lock();
        state.operate(false)?;
        for change in std::mem::take(&mut state.changes) {
            change.apply(&mut state.durable);
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.0.lock();
        let stops_at = state.faults.crash_at.unwrap_or(u64::MAX);
        if state.operations >= stops_at {
            return Err(io::Error::other("simulated crash"));
        }
        let capacity = state.faults.capacity_bytes.unwrap_or(u64::MAX);
        Ok(capacity.saturating_sub(state.used_bytes()))
    }

    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut state = self.0.lock();
        if !state.locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_owned(),
        })))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: String,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.0.lock().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    contents: Arc<Mutex<Contents>>,
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.0.lock().read()?;
        let contents = self.contents.lock();
        let from = offset as usize;
        if contents.is_bad(offset, buffer.len()) {
            return Err(broken());
        }
        let bytes = contents.now.get(from..from + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let state = &mut *self.disk.0.lock();
        let is_short = state.operate(true)?;
        let mut bytes = bytes;
        if is_short {
            bytes = &bytes[..state.dice.random_range(0..=bytes.len())];
        }
        let growth =
            (offset + bytes.len() as u64).saturating_sub(self.contents.lock().used_bytes());
        if let Some(capacity) = state.faults.capacity_bytes
            && growth > 0
            && state.used_bytes() + growth > capacity
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.contents.lock().write(bytes, offset);
        if is_short { Err(broken()) } else { Ok(()) }
    }

    fn set_aside(&self, end: u64) -> io::Result<()> {
        let state = self.disk.0.lock();
        let growth = end.saturating_sub(self.contents.lock().used_bytes());
        if let Some(capacity) = state.faults.capacity_bytes
            && state.used_bytes() + growth > capacity
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut contents = self.contents.lock();
        contents.set_aside = contents.set_aside.max(end);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let operated = state.operate(false);
        let has_crashed = state.faults.crash_at.is_some();
        drop(state);
        let mut contents = self.contents.lock();
        match operated {
            Ok(_) => contents.sync(),
            // As Linux does: the pages count as clean, a second sync has nothing to write.
            Err(_) if !has_crashed => contents.dirty.clear(),
            Err(_) => {}
        }
        operated.map(|_| ())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.contents.lock().now.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.0.lock().operate(false)?;
        let mut contents = self.contents.lock();
        if (bytes as usize) < contents.now.len() {
            contents.set_aside = 0;
        }
        contents.now.resize(bytes as usize, 0);
        Ok(())
    }
}
