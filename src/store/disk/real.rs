//! The operating system's files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate, fstatvfs, statvfs};
use rustix::io::{Errno, ReadWriteFlags, pwritev, pwritev2};

use super::{BLOCK_BYTES, Disk, DiskFile, DiskLock};

/// What one system call takes (`IOV_MAX`).
const MOST_PARTS: usize = 1024;
/// In such blocks `stat` says what a file takes.
const STAT_BLOCK_BYTES: u64 = 512;

/// A folder of the operating system.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The folder `root`, which is made if it is not there.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.at(path))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.at(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.at(path)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not ours can't be one of the store's files.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.at(path))?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.at(path))?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        File::open(self.at(path))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.at(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealLock(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The lock goes with the open file, however the process ends.
#[derive(Debug)]
struct RealLock(#[allow(dead_code)] File);

impl DiskLock for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: File,
    /// The same file, past the cache; None where that can't be done.
    direct: OnceLock<Option<File>>,
}

impl RealFile {
    fn new(file: File) -> Self {
        Self {
            file,
            direct: OnceLock::new(),
        }
    }

    /// Opened by what is open already, since it may have got another name.
    fn direct(&self) -> Option<&File> {
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(OFlags::DIRECT.bits() as i32)
                .open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
                .ok()
        };
        self.direct.get_or_init(open).as_ref()
    }
}

/// Whether any file system can take it as it is.
fn is_aligned(bytes: &[u8], offset: u64) -> bool {
    let address = bytes.as_ptr().addr() as u64;
    (address | offset | bytes.len() as u64).is_multiple_of(BLOCK_BYTES)
}

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn read_blocks_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut direct = self.direct().filter(|_| is_aligned(buffer, offset));
        let mut read = 0;
        while read < buffer.len() {
            match direct
                .unwrap_or(&self.file)
                .read_at(&mut buffer[read..], offset + read as u64)
            {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file ended within a block, or the file system wants something else.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && direct.is_some() => {
                    direct = None;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn write_parts_at(&self, mut parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        while !parts.is_empty() {
            let some = &parts[..parts.len().min(MOST_PARTS)];
            match pwritev(&self.file, some, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut parts, written);
                    offset += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn reserve(&self, offset: u64, bytes: u64) {
        // Without it writing is slower, or says itself that the disk is full.
        let _ = fallocate(&self.file, FallocateFlags::empty(), offset, bytes);
    }

    fn set_aside(&self, end: u64) -> io::Result<()> {
        // Some file systems take what is left before they say that it is not enough.
        if let (Ok(stat), Ok(metadata)) = (fstatvfs(&self.file), self.file.metadata()) {
            let there = metadata.blocks().saturating_mul(STAT_BLOCK_BYTES);
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            // One without limits has no blocks, either.
            if stat.f_blocks > 0 && end.saturating_sub(there) > free {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, end) {
            Err(full @ (Errno::NOSPC | Errno::DQUOT)) => Err(full.into()),
            // Whatever else is wrong with it, or not known here, is no matter of room.
            _ => Ok(()),
        }
    }

    fn write_blocks_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if is_aligned(bytes, offset)
            && let Some(direct) = self.direct()
        {
            match direct.write_all_at(bytes, offset) {
                // The file system wants something else; nothing of it says what.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                done => return done,
            }
        }
        self.write_at(bytes, offset)
    }

    fn write_blocks_through_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut written = 0;
        while is_aligned(&bytes[written..], offset + written as u64)
            && let Some(direct) = self.direct().filter(|_| written < bytes.len())
        {
            let rest = [IoSlice::new(&bytes[written..])];
            match pwritev2(
                direct,
                &rest,
                offset + written as u64,
                ReadWriteFlags::DSYNC,
            ) {
                Ok(0) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => break,
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if written < bytes.len() {
            self.write_blocks_at(&bytes[written..], offset + written as u64)?;
            self.sync_data()?;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn will_read_all(&self) {
        // Only advice: without it reading is slower, not wrong.
        let _ = fadvise(&self.file, 0, None, Advice::Sequential);
    }
}
