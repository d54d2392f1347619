//! Which files the log has: those in use, oldest first, and the spare ones that wait to be
//! written over. Also which records are still needed.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::layout::{FileHeader, FirstLive};
use crate::store::disk::{BLOCK_BYTES, Disk, DiskFile, create_filled};

/// The journal's folder in the data folder.
pub(super) const FOLDER: &str = "journal";
/// The file with the first-live slots.
pub(super) const FIRST_LIVE: &str = "first-live";
/// What the log's files end with.
pub(super) const SUFFIX: &str = ".journal";
/// What a file ends with while it is filled with zeros.
pub(super) const FILLING: &str = ".filling";

/// A path in the journal's folder.
pub(super) fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// A file that is there, filled.
#[derive(Clone, Debug)]
pub(super) struct JournalFile {
    pub name: String,
    pub file: Arc<dyn DiskFile>,
    pub bytes: u64,
}

/// A file in use.
#[derive(Clone, Debug)]
pub(super) struct LiveFile {
    pub file: JournalFile,
    pub header: FileHeader,
    /// Where some batches begin: index and offset, for reading by index.
    pub marks: Vec<(u64, u64)>,
}

/// See the module.
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    pub live: VecDeque<LiveFile>,
    spare: Vec<JournalFile>,
    next_number: u64,
    next_generation: u64,
    first_live: FirstLive,
    first_live_file: Arc<dyn DiskFile>,
    /// Everything below it is not needed any more, as the journal's owner said.
    pub release_below: u64,
    /// Of the spare files only so many are to be kept as are made ahead.
    pub is_to_trim: bool,
    /// Why no spare file could be made, while that is so.
    pub stalled: Option<String>,
}

/// What the names on the disk allow and the records say.
pub(super) struct Found {
    pub live: Vec<LiveFile>,
    pub spare: Vec<JournalFile>,
    pub next_number: u64,
    pub next_generation: u64,
    pub first_live: FirstLive,
    pub first_live_file: Arc<dyn DiskFile>,
}

impl Files {
    pub fn new(disk: Arc<dyn Disk>, found: Found) -> Self {
        Self {
            disk,
            live: found.live.into(),
            spare: found.spare,
            next_number: found.next_number,
            next_generation: found.next_generation,
            release_below: found.first_live.index,
            first_live: found.first_live,
            first_live_file: found.first_live_file,
            is_to_trim: false,
            stalled: None,
        }
    }

    /// First index that is still needed, as far as it is durable.
    pub fn first_live(&self) -> u64 {
        self.first_live.index
    }

    pub fn spare_count(&self) -> usize {
        self.spare.len()
    }

    /// Whether nothing was ever made here.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.spare.is_empty()
    }

    /// All files' bytes.
    pub fn disk_bytes(&self) -> u64 {
        let live: u64 = self.live.iter().map(|live| live.file.bytes).sum();
        let spare: u64 = self.spare.iter().map(|spare| spare.bytes).sum();
        live + spare
    }

    /// Takes a spare file with room for `batch_bytes` and numbers its new life.
    pub fn take_spare(&mut self, batch_bytes: u64) -> Option<(JournalFile, u64)> {
        let at = self
            .spare
            .iter()
            .position(|spare| spare.bytes >= BLOCK_BYTES + batch_bytes)?;
        let generation = self.next_generation;
        self.next_generation += 1;
        Some((self.spare.remove(at), generation))
    }

    pub fn add_spare(&mut self, file: JournalFile) {
        self.spare.push(file);
    }

    /// The same for one that is to be taken next.
    pub fn add_next(&mut self, file: JournalFile) {
        self.spare.insert(0, file);
    }

    /// Takes out a spare file of that size.
    pub fn take_spare_of(&mut self, bytes: u64) -> Option<JournalFile> {
        let at = self.spare.iter().position(|spare| spare.bytes == bytes)?;
        Some(self.spare.remove(at))
    }

    /// Takes out all spare files but so many, to be removed.
    pub fn trim(&mut self, spare_files: usize) -> Vec<JournalFile> {
        self.is_to_trim = false;
        self.spare.split_off(spare_files.min(self.spare.len()))
    }

    /// A name for a new file.
    pub fn next_name(&mut self) -> String {
        let number = self.next_number;
        self.next_number += 1;
        format!("{number:08}")
    }

    /// The slot that says what may be released now, if that frees a file. The file behind it
    /// must have something that is synced: only then it is sure to be there, and with it what
    /// makes older files void.
    pub fn next_first_live(&self, synced: u64) -> Option<(FirstLive, Arc<dyn DiskFile>)> {
        let index = self.release_below.min(synced);
        let second = self.live.get(1)?;
        (second.header.first_index <= index).then(|| {
            let next = FirstLive {
                counter: self.first_live.counter + 1,
                index,
            };
            (next, Arc::clone(&self.first_live_file))
        })
    }

    /// `first_live` is durable: takes out the files below it. Those of the usual size become
    /// spare, up to `spare_files` of them; the others are returned, to be removed.
    pub fn release(
        &mut self,
        first_live: FirstLive,
        file_bytes: u64,
        spare_files: usize,
    ) -> Vec<JournalFile> {
        self.first_live = first_live;
        let mut surplus = Vec::new();
        while self
            .live
            .get(1)
            .is_some_and(|second| second.header.first_index <= first_live.index)
        {
            let Some(dead) = self.live.pop_front() else {
                break;
            };
            if dead.file.bytes == file_bytes && self.spare.len() < spare_files {
                self.spare.push(dead.file);
            } else {
                surplus.push(dead.file);
            }
        }
        surplus
    }

    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }
}

/// Makes a file of zeros.
pub(super) fn make_file(disk: &dyn Disk, name: &str, bytes: u64) -> io::Result<JournalFile> {
    let final_name = format!("{name}{SUFFIX}");
    let file = create_filled(
        disk,
        FOLDER,
        &format!("{name}{FILLING}"),
        &final_name,
        bytes,
    )?;
    Ok(JournalFile {
        name: final_name,
        file,
        bytes,
    })
}

/// Makes both slots' blocks, so that the file never grows again.
pub(super) fn make_slots(file: &dyn DiskFile) -> io::Result<()> {
    file.write_at(&vec![0; 2 * BLOCK_BYTES as usize], 0)
}

/// Makes a first-live slot durable.
pub(super) fn write_first_live(file: &dyn DiskFile, slot: FirstLive) -> io::Result<()> {
    file.write_at(&slot.encode(), slot.counter % 2 * BLOCK_BYTES)?;
    file.sync_data()
}
