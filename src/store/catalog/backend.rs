//! The catalog's file, on whatever disk the store has.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use crate::store::disk::DiskFile;

#[derive(Debug)]
pub(super) struct Backend {
    file: Arc<dyn DiskFile>,
    /// Whether what the library wants synced is.
    syncs: bool,
}

impl Backend {
    /// For a catalog that is in use.
    pub fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, syncs: true }
    }

    /// For a catalog that is being made: it is nobody's until whoever makes it has synced it as a
    /// whole.
    pub fn unsynced(file: Arc<dyn DiskFile>) -> Self {
        Self { file, syncs: false }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.syncs {
            true => self.file.sync_data(),
            false => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(data, offset)
    }
}
