//! What the store asks of a disk, so thin that a simulated one can stand in for it.
//!
//! Paths are relative to the data folder, with `/` between their parts. A created, renamed or
//! removed file stays so after a power cut once [`Disk::sync_dir`] was called for its folder;
//! written bytes once [`DiskFile::sync_data`] was. [`real`] is the operating system's,
//! [`sim`] forgets, reorders and breaks as told.

mod aligned;
pub mod real;
pub mod sim;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::Arc;

pub use aligned::AlignedBuffer;
pub use real::RealDisk;
pub use sim::SimDisk;

/// What synced data is a multiple of: nothing shares a block with what was synced before.
pub const BLOCK_BYTES: u64 = 4096;

/// Rounds up to whole blocks.
pub const fn whole_blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

/// A folder on a disk.
pub trait Disk: Debug + Send + Sync {
    /// Makes a folder and those above it, if they are not there.
    ///
    /// # Errors
    /// The operating system's.
    fn create_dir(&self, path: &str) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// The operating system's.
    fn remove_dir(&self, path: &str) -> io::Result<()>;

    /// The names in a folder, sorted; none if it is not there.
    ///
    /// # Errors
    /// The operating system's.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Makes a new, empty file, or empties an old one.
    ///
    /// # Errors
    /// The operating system's.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// The operating system's; `NotFound` if it is not there.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The operating system's.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes durable which files a folder has.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_dir(&self, path: &str) -> io::Result<()>;

    /// How many bytes are free.
    ///
    /// # Errors
    /// The operating system's.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Locks a file, which is made if need be, until the guard is dropped; None if another
    /// process has it.
    ///
    /// # Errors
    /// The operating system's.
    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// Keeps a file locked while it lives.
pub trait DiskLock: Debug + Send + Sync {}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// The operating system's; `UnexpectedEof` if the file is too short.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// The same, tried again if it fails: a disk that does not give something once may give it the next time.
    ///
    /// # Errors
    /// The operating system's, at the last try.
    fn read_patiently_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        for _ in 1..MOST_READS {
            match self.read_at(buffer, offset) {
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {}
                read => return read,
            }
        }
        self.read_at(buffer, offset)
    }

    /// Fills `buffer` from `offset` on as far as the file goes, and says how far: whole blocks from the
    /// start of a block. They are read past the system's cache if it can be done and `buffer` lies in
    /// memory as the bytes of an [`AlignedBuffer`] do.
    ///
    /// # Errors
    /// The operating system's.
    fn read_blocks_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let there = self.len()?.saturating_sub(offset);
        let bytes = buffer
            .len()
            .min(usize::try_from(there).unwrap_or(usize::MAX));
        self.read_at(&mut buffer[..bytes], offset)?;
        Ok(bytes)
    }

    /// Writes all of `bytes` at `offset`; the file grows if it has to.
    ///
    /// # Errors
    /// The operating system's. Part of the bytes may have been written then.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// The same for bytes that lie in several places, in one go where that can be done.
    ///
    /// # Errors
    /// As of [`DiskFile::write_at`].
    fn write_parts_at(&self, parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        for part in parts {
            self.write_at(part, offset)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    /// Sets room on the disk aside for what will be written from `offset` on, where the file system
    /// knows of such a thing: writing there then costs half of the time of a processor. The file may
    /// have that length then; [`DiskFile::set_len`] gives back what was not needed.
    fn reserve(&self, _offset: u64, _bytes: u64) {}

    /// Sets room aside for everything below `end`, without a change of the length, where the file system
    /// knows of such a thing: what is written there later does not find the disk full.
    /// [`DiskFile::set_len`] to less gives back what lies behind.
    ///
    /// # Errors
    /// `StorageFull` or `QuotaExceeded`: the room is not there.
    fn set_aside(&self, _end: u64) -> io::Result<()> {
        Ok(())
    }

    /// Like [`DiskFile::write_at`] for whole blocks at the start of a block: past the system's cache, if
    /// it can be done, which costs a third of the time of a processor. For that, `bytes` must lie in memory as those
    /// of an [`AlignedBuffer`] do.
    ///
    /// # Errors
    /// The operating system's. Part of the bytes may have been written then.
    fn write_blocks_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }

    /// The same, and they are durable afterwards; of what else was written nothing is said. One
    /// call for both, and with a disk that takes such writes one trip to it instead of two.
    ///
    /// # Errors
    /// The operating system's, with the meaning of those of [`DiskFile::sync_data`].
    fn write_blocks_through_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_blocks_at(bytes, offset)?;
        self.sync_data()
    }

    /// Makes durable what was written, and the length. After an error nothing is known of what
    /// was written since the last success, and a later success says nothing about it.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or lengthens it with zeros.
    ///
    /// # Errors
    /// The operating system's.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Says that the file is about to be read from start to end.
    fn will_read_all(&self) {}
}

/// So often what must not be missed is read until it counts as unreadable.
pub const MOST_READS: u32 = 4;

/// How much of zeros is written at a time.
const FILL_BYTES: usize = 1 << 20;
/// After how much it is synced, so that the disk's queue stays short for others.
const FILL_SYNC_BYTES: u64 = 8 << 20;

/// Makes a file of `bytes` zeros that are really on the disk, so that writing over them later
/// changes no metadata. `temporary` is its name until then.
///
/// # Errors
/// The disk's.
pub fn create_filled(
    disk: &dyn Disk,
    folder: &str,
    temporary: &str,
    name: &str,
    bytes: u64,
) -> io::Result<Arc<dyn DiskFile>> {
    let temporary = format!("{folder}/{temporary}");
    let file = disk.create(&temporary)?;
    let zeros = AlignedBuffer::zeroed(FILL_BYTES.min(bytes as usize));
    let filled = (|| {
        let mut at = 0;
        while at < bytes {
            let step = (zeros.len() as u64).min(bytes - at);
            file.write_blocks_at(&zeros[..step as usize], at)?;
            at += step;
            if at % FILL_SYNC_BYTES == 0 {
                file.sync_data()?;
            }
        }
        file.sync_data()?;
        disk.rename(&temporary, &format!("{folder}/{name}"))?;
        disk.sync_dir(folder)
    })();
    match filled {
        Ok(()) => Ok(file),
        Err(error) => {
            // The space may be what others need; what remains is removed at the next start.
            let _ = disk.remove(&temporary);
            Err(error)
        }
    }
}
