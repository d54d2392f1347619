//! What the journal's folder holds, before any record is read: which files have which part of
//! the log, which are spare, which can't be read.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::files::{
    FILLING, FIRST_LIVE, FOLDER, JournalFile, LiveFile, SUFFIX, make_slots, path, write_first_live,
};
use super::layout::{FIRST_LIVE_BYTES, FileHeader, FileStart, FirstLive};
use super::recovery::RecoveryError;
use crate::store::disk::{BLOCK_BYTES, Disk, DiskFile};

/// See the module.
pub(super) struct Scan {
    /// Files with a part of the log that may be needed, oldest first, and the index that each
    /// ends before, because the next one begins there.
    pub files: Vec<(LiveFile, u64)>,
    pub spare: Vec<JournalFile>,
    pub unreadable: Vec<JournalFile>,
    /// Of all files that can be read, whether or not they are needed.
    generations: BTreeSet<u64>,
    pub next_number: u64,
    pub next_generation: u64,
    pub first_live: FirstLive,
    /// None if it is not there and may not be made.
    pub first_live_file: Option<Arc<dyn DiskFile>>,
    /// There are files, but what says which of them are still needed is not there or broken.
    pub first_live_is_lost: bool,
}

impl Scan {
    /// Looks at the folder; makes it if it is not there and `may_write`. Others know that nothing below
    /// `needed_from` is needed.
    pub fn new(disk: &dyn Disk, may_write: bool, needed_from: u64) -> Result<Self, RecoveryError> {
        if may_write {
            disk.create_dir(FOLDER)?;
        }
        let mut used = Vec::new();
        let mut spare = Vec::new();
        let mut unreadable = Vec::new();
        let mut next_number = 1;
        for name in disk.list(FOLDER)? {
            if let Some(number) = number_of(&name) {
                next_number = next_number.max(number + 1);
            }
            if name.ends_with(FILLING) {
                if may_write {
                    disk.remove(&path(&name))?;
                }
                continue;
            }
            if !name.ends_with(SUFFIX) {
                continue;
            }
            let file = disk.open(&path(&name))?;
            let bytes = file.len()?;
            let file = JournalFile { name, file, bytes };
            match start_of(&file) {
                FileStart::Unused => spare.push(file),
                FileStart::Used(header) => used.push(LiveFile {
                    file,
                    header,
                    marks: Vec::new(),
                }),
                FileStart::Newer(format) => return Err(RecoveryError::NewerFormat { format }),
                FileStart::Broken => unreadable.push(file),
            }
        }
        let is_fresh = used.is_empty() && unreadable.is_empty();
        let (first_live_file, slot) = first_live(disk, is_fresh, may_write)?;
        let first_live_is_lost = slot.is_none();
        // The headers of files started since know it too, should a slot be broken.
        let known = used.iter().map(|live| live.header.first_live).max();
        let slot = slot.unwrap_or_default();
        let first_live = FirstLive {
            index: slot.index.max(known.unwrap_or(1)).max(needed_from),
            ..slot
        };
        used.sort_by_key(|live| live.header.generation);
        let next_generation = used.last().map_or(1, |live| live.header.generation + 1);
        let generations = used.iter().map(|live| live.header.generation).collect();
        let (files, dead) = with_limits(used, first_live.index);
        spare.extend(dead);
        Ok(Self {
            files,
            spare,
            unreadable,
            generations,
            next_number,
            next_generation,
            first_live,
            first_live_file,
            first_live_is_lost,
        })
    }
}

impl Scan {
    /// Whether a file that was begun between that one and the next is not there: each has a generation that is
    /// one more than that of the one before.
    pub fn is_next_gone(&self, at: usize) -> bool {
        let (Some((live, _)), Some((next, _))) = (self.files.get(at), self.files.get(at + 1))
        else {
            return false;
        };
        let mut between = live.header.generation + 1..next.header.generation;
        between.any(|generation| !self.generations.contains(&generation))
    }
}

/// Finds what part of the log counts in each file: a newer file takes back what older ones have
/// at or above its first index. Files of which nothing counts or is needed are spare.
fn with_limits(used: Vec<LiveFile>, first_live: u64) -> (Vec<(LiveFile, u64)>, Vec<JournalFile>) {
    let mut files = Vec::new();
    let mut spare = Vec::new();
    let mut limit = u64::MAX;
    for live in used.into_iter().rev() {
        let first_index = live.header.first_index;
        if first_index >= limit || limit <= first_live {
            spare.push(live.file);
        } else {
            files.push((live, limit));
            limit = first_index;
        }
    }
    files.reverse();
    (files, spare)
}

fn start_of(file: &JournalFile) -> FileStart {
    let mut block = vec![0; BLOCK_BYTES as usize];
    match file.file.read_patiently_at(&mut block, 0) {
        Ok(()) => FileHeader::decode(&block),
        Err(_) => FileStart::Broken,
    }
}

fn number_of(name: &str) -> Option<u64> {
    name.split('.').next()?.parse().ok()
}

/// The file with the slots, if there is one, and the slot that holds, if any does.
type FoundSlot = (Option<Arc<dyn DiskFile>>, Option<FirstLive>);

/// Reads what is still needed; in a fresh folder, says that everything is.
fn first_live(disk: &dyn Disk, is_fresh: bool, may_write: bool) -> io::Result<FoundSlot> {
    let file = match disk.open(&path(FIRST_LIVE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_write => {
            disk.create(&path(FIRST_LIVE))?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, None)),
        Err(error) => return Err(error),
    };
    let mut slot = None;
    for place in [0, BLOCK_BYTES] {
        let mut bytes = [0; FIRST_LIVE_BYTES];
        if file.read_patiently_at(&mut bytes, place).is_ok()
            && let Some(read) = FirstLive::decode(&bytes)
            && slot.is_none_or(|slot: FirstLive| slot.counter < read.counter)
        {
            slot = Some(read);
        }
    }
    if slot.is_none() && is_fresh && may_write {
        make_slots(&*file)?;
        let first = FirstLive {
            counter: 1,
            index: 1,
        };
        write_first_live(&*file, first)?;
        disk.sync_dir(FOLDER)?;
        slot = Some(first);
    }
    Ok((Some(file), slot))
}
