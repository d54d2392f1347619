//! Where damage is kept for people to look at: `quarantine/` in the data folder.
//!
//! ```text
//! a damaged range of bytes, an unreadable file ─▶ a copy
//! what is known of it ─▶ note.rs: a text beside the copy, told until somebody deletes it
//!                         chunks.rs: of a segment's damaged chunks together
//! ```

mod chunks;
mod note;

use std::io;

use super::disk::{Disk, DiskFile};

pub use self::chunks::DamagedChunks;
pub use self::note::{Concerned, Note, Part};
pub(super) use self::note::{is_there, notes, places, put_note, write_note};

const FOLDER: &str = "quarantine";
const COPY_BYTES: u64 = 1 << 20;

/// Copies a part of a file there, as far as the file goes, with zeros for what can't be read, and says where
/// to; None if the file ends before it. What was copied before is not copied again.
pub(super) fn copy(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    offset: u64,
    bytes: u64,
    name: &str,
) -> io::Result<Option<String>> {
    let path = format!("{FOLDER}/{name}");
    if disk.list(FOLDER)?.iter().any(|known| known == name) {
        return Ok(Some(path));
    }
    let bytes = bytes.min(file.len()?.saturating_sub(offset));
    if bytes == 0 {
        return Ok(None);
    }
    disk.create_dir(FOLDER)?;
    let copy = disk.create(&path)?;
    let mut buffer = vec![0; COPY_BYTES.min(bytes) as usize];
    let mut at = 0;
    while at < bytes {
        let step = COPY_BYTES.min(bytes - at) as usize;
        if file.read_at(&mut buffer[..step], offset + at).is_err() {
            buffer[..step].fill(0);
        }
        copy.write_at(&buffer[..step], at)?;
        at += step as u64;
    }
    copy.sync_data()?;
    disk.sync_dir(FOLDER)?;
    Ok(Some(path))
}

/// Moves a whole file there.
pub(super) fn move_file(disk: &dyn Disk, path: &str, name: &str) -> io::Result<String> {
    disk.create_dir(FOLDER)?;
    let known = disk.list(FOLDER)?;
    let mut free = name.to_owned();
    let mut number = 1;
    while known.contains(&free) {
        number += 1;
        free = format!("{name}.{number}");
    }
    let to = format!("{FOLDER}/{free}");
    disk.rename(path, &to)?;
    disk.sync_dir(FOLDER)?;
    Ok(to)
}
