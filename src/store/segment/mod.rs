//! Segments: files of a queue's chunks, for what the journal can't keep: deep queues, and what
//! still lives in a journal file that is to be used again.
//!
//! ```text
//! a chunk in memory ─▶ writer.rs ─▶ segments/QUEUE/NUMBER.segment ─▶ reader.rs ─▶ a chunk again
//!                                     layout.rs: headers, footer
//! buffer.rs: the memory that chunks lie in, used again
//! ```
//!
//! A chunk lies in its segment as it lay in memory. Which segments a queue has, and where their
//! chunks are, is in the catalog, so that a queue of any depth costs memory per segment. What
//! the catalog does not name is not there: it is taken away at start.

mod buffer;
mod layout;
mod reader;
mod writer;

use std::io;

use super::disk::Disk;

pub use self::buffer::{Buffer, let_go_of_unused};
pub use self::layout::{ChunkEntry, FORMAT};
pub use self::reader::{ChunkError, Segment, StoredChunk};
pub use self::writer::{ChunkParts, SegmentWriter};

/// The segments' folder in the data folder.
const FOLDER: &str = "segments";
const SUFFIX: &str = ".segment";

fn folder_of(queue: u64) -> String {
    format!("{FOLDER}/{queue:016x}")
}

fn path_of(queue: u64, number: u64) -> String {
    format!("{FOLDER}/{queue:016x}/{number:016x}{SUFFIX}")
}

/// What a chunk is called where damage is kept.
pub fn place_of(queue: u64, number: u64, chunk: &ChunkEntry) -> String {
    format!("{queue:016x}-{number:016x}-{}", chunk.offset)
}

/// All segments that are there, as (queue, number).
///
/// # Errors
/// The disk's.
pub fn list(disk: &dyn Disk) -> io::Result<Vec<(u64, u64)>> {
    let mut segments = Vec::new();
    for folder in disk.list(FOLDER)? {
        let Ok(queue) = u64::from_str_radix(&folder, 16) else {
            continue;
        };
        for name in disk.list(&format!("{FOLDER}/{folder}"))? {
            let number = name.strip_suffix(SUFFIX);
            if let Some(number) = number.and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
                segments.push((queue, number));
            }
        }
    }
    Ok(segments)
}

/// Removes a segment that the catalog does not name any more.
///
/// # Errors
/// The disk's.
pub fn remove(disk: &dyn Disk, queue: u64, number: u64) -> io::Result<()> {
    match disk.remove(&path_of(queue, number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if disk.list(&folder_of(queue))?.is_empty() {
        // Another segment may just be made there; then the folder stays.
        let _ = disk.remove_dir(&folder_of(queue));
    }
    Ok(())
}
