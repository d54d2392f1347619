//! The data folder: one broker at a time, of a format that is known, and never made afresh where
//! something was before.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::catalog::{Catalog, CatalogError};
use super::disk::{Disk, DiskLock};

/// The format that is written, and the newest that can be read.
pub const FORMAT: u32 = 1;

const LOCK: &str = "warren.lock";
const FORMAT_FILE: &str = "FORMAT";
const FORMAT_NEW: &str = "FORMAT.new";
const FORMAT_TEXT: &str = "warren data folder, format ";
const MOST_FORMAT_BYTES: u64 = 256;

/// A data folder that nobody else can open while this lives.
#[derive(Debug)]
pub struct Folder {
    disk: Arc<dyn Disk>,
    is_new: bool,
    _lock: Box<dyn DiskLock>,
}

/// Why a data folder can't be opened.
#[derive(Debug)]
pub enum FolderError {
    /// The disk's error.
    Io(io::Error),
    /// Another broker runs on it.
    InUse,
    /// It was written by a newer program.
    NewerFormat(u32),
    /// It has data, but does not say of which format.
    NoFormat,
    /// There is nothing in it.
    Empty,
    /// Its catalog can't be made.
    Catalog(CatalogError),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the data folder can't be used: {error}"),
            Self::InUse => f.write_str("the data folder is in use by another broker"),
            Self::NewerFormat(format) => write!(
                f,
                "the data folder has format {format}, which is newer than this program knows"
            ),
            Self::NoFormat => {
                f.write_str("the data folder has data, but its file FORMAT is missing or damaged")
            }
            Self::Empty => f.write_str("the data folder is empty"),
            Self::Catalog(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FolderError {}

impl From<io::Error> for FolderError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<CatalogError> for FolderError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl Folder {
    /// Locks the folder and sees to it that it is one; a new one gets an empty catalog.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self, FolderError> {
        let lock = lock(&*disk)?;
        let is_new = match format(&*disk)? {
            Some(format) if format > FORMAT => return Err(FolderError::NewerFormat(format)),
            Some(_) => false,
            None => {
                create(&*disk)?;
                true
            }
        };
        Ok(Self {
            disk,
            is_new,
            _lock: lock,
        })
    }

    /// Locks a folder that must be there already, to look at it.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn inspect(disk: Arc<dyn Disk>) -> Result<Self, FolderError> {
        let is_empty = !exists(&*disk, FORMAT_FILE)? && !has_data(&*disk)?;
        // Nothing is left in a folder that is none of ours; but one that has a lock may be in use.
        if is_empty && !exists(&*disk, LOCK)? {
            return Err(FolderError::Empty);
        }
        let lock = lock(&*disk)?;
        match format(&*disk)? {
            Some(format) if format > FORMAT => return Err(FolderError::NewerFormat(format)),
            Some(_) => {}
            None if is_empty => return Err(FolderError::Empty),
            None => return Err(FolderError::NoFormat),
        }
        Ok(Self {
            disk,
            is_new: false,
            _lock: lock,
        })
    }

    /// Its disk.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// Whether it was made just now.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

fn lock(disk: &dyn Disk) -> Result<Box<dyn DiskLock>, FolderError> {
    disk.try_lock(LOCK)?.ok_or(FolderError::InUse)
}

/// Makes the catalog, then says which format this is. A crash in between leaves an empty catalog,
/// which is then used. The folder is synced once, at the end: it keeps its changes in order.
fn create(disk: &dyn Disk) -> Result<(), FolderError> {
    if has_data(disk)? {
        return Err(FolderError::NoFormat);
    }
    if !Catalog::exists(disk)? {
        Catalog::create(disk)?;
    }
    let file = disk.create(FORMAT_NEW)?;
    file.write_at(format!("{FORMAT_TEXT}{FORMAT}\n").as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(FORMAT_NEW, FORMAT_FILE)?;
    disk.sync_dir("")?;
    Ok(())
}

/// Whether there is anything that is only made once the format is noted.
fn has_data(disk: &dyn Disk) -> io::Result<bool> {
    Ok(!disk.list("journal")?.is_empty() || !disk.list("segments")?.is_empty())
}

fn exists(disk: &dyn Disk, path: &str) -> io::Result<bool> {
    match disk.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The format that the folder says it has; None if it says nothing.
fn format(disk: &dyn Disk) -> Result<Option<u32>, FolderError> {
    if !exists(disk, FORMAT_FILE)? {
        return Ok(None);
    }
    let file = disk.open(FORMAT_FILE)?;
    let mut bytes = vec![0; file.len()?.min(MOST_FORMAT_BYTES) as usize];
    file.read_at(&mut bytes, 0)?;
    let text = String::from_utf8_lossy(&bytes);
    let number = text.trim().strip_prefix(FORMAT_TEXT);
    number
        .and_then(|number| number.parse().ok())
        .map(Some)
        .ok_or(FolderError::NoFormat)
}
