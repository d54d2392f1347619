//! Reads records that were written, by index.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Entry;
use super::files::LiveFile;
use super::record::{UnknownRecord, kind};
use super::shared::Shared;
use super::walk::{Step, Walk};

/// Why records can't be read.
#[derive(Debug)]
pub enum ReadError {
    /// The disk's error.
    Io(io::Error),
    /// This index is not there: released, never written, or damaged.
    Missing(u64),
    /// A record is not of this format.
    Unknown(UnknownRecord),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the journal can't be read: {error}"),
            Self::Missing(index) => write!(f, "the journal has no record {index}"),
            Self::Unknown(record) => write!(f, "the journal has {record}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) fn read(
    shared: &Shared,
    first: u64,
    last: u64,
    each: &mut dyn FnMut(&Entry<'_>) -> bool,
) -> Result<(), ReadError> {
    let last = last.min(shared.written.load(Ordering::Acquire));
    let mut expected = first;
    while expected <= last {
        let (live, end) = file_with(shared, expected).ok_or(ReadError::Missing(expected))?;
        let (begin, offset) = place_before(&live, expected);
        let mut walk = Walk::new(Arc::clone(&live.file.file), live.header)?;
        if let Some(offset) = offset {
            walk.start_at(offset);
        }
        let mut index = begin;
        while index <= last && index < end {
            let located = match walk.next(index)? {
                Step::Record(located) => located,
                Step::Lost(lost) => {
                    let (bytes, next) = next_behind(&mut walk, lost.offset, index)?;
                    if bytes == 0 || next > expected {
                        return Err(ReadError::Missing(index.max(expected)));
                    }
                    index = next;
                    continue;
                }
            };
            index += 1;
            if located.header.index < expected {
                continue;
            }
            expected = index;
            if located.header.kind == kind::DROP {
                continue;
            }
            let entry = Entry::decode(&located, walk.bytes(&located)?);
            if !each(&entry.map_err(ReadError::Unknown)?) {
                return Ok(());
            }
        }
        if index < end && index <= last {
            return Err(ReadError::Missing(index));
        }
    }
    Ok(())
}

/// The file that has an index, and the index that it ends before.
fn file_with(shared: &Shared, index: u64) -> Option<(LiveFile, u64)> {
    let files = shared.files.lock();
    let at = files
        .live
        .iter()
        .rposition(|live| live.header.first_index <= index)?;
    let end = files
        .live
        .get(at + 1)
        .map_or(u64::MAX, |next| next.header.first_index);
    Some((files.live.get(at)?.clone(), end))
}

/// The nearest batch before an index whose place is known.
fn place_before(live: &LiveFile, index: u64) -> (u64, Option<u64>) {
    let at = live.marks.partition_point(|(first, _)| *first <= index);
    match at.checked_sub(1).and_then(|at| live.marks.get(at)) {
        Some((first, offset)) => (*first, Some(*offset)),
        None => (live.header.first_index, None),
    }
}

/// Steps over damage that recovery has set aside.
fn next_behind(walk: &mut Walk, offset: u64, index: u64) -> io::Result<(u64, u64)> {
    if let Some(skipped) = walk.skip_broken(index)? {
        return Ok(skipped);
    }
    Ok(match walk.find_head(offset + 1, index)? {
        Some((place, head)) => {
            walk.enter(place, &head);
            (place - offset, head.first_index)
        }
        None => (0, index),
    })
}
