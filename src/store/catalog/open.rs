//! Making a catalog, and opening one: whole, of a known format, or not at all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::{Builder, Database, ReadableDatabase};

use super::CatalogError;
use super::backend::Backend;
use super::overlay::Overlay;
use super::room::Room;
use super::tables::{self, Contents, META};
use crate::store::disk::{Disk, DiskFile};

/// The catalog's file in the data folder.
const FILE: &str = "catalog.redb";
/// Its name until it is complete.
const NEW: &str = "catalog.new";
/// The format that is written, and the newest that can be read. Older ones become this one when they are
/// opened: 1 had no table of known damage, 2 none of what exchanges remember.
pub const FORMAT: u64 = 3;
/// What redb may keep in memory; everything is read once and kept by the broker.
const CACHE_BYTES: usize = 8 << 20;

/// A catalog that is open.
pub(super) struct Opened {
    pub database: Database,
    pub contents: Contents,
    pub next_id: u64,
    pub room: Room,
}

/// What a catalog is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// To be changed.
    Write,
    /// To be looked at: the file stays as it is.
    Look,
}

/// Makes an empty catalog. It gets its name when it is complete and durable; the name is durable once
/// the folder is synced.
pub(super) fn create(disk: &dyn Disk) -> Result<(), CatalogError> {
    let file = disk.create(NEW)?;
    let database = builder().create_with_backend(Backend::unsynced(Arc::clone(&file)))?;
    let transaction = database.begin_write()?;
    tables::create_all(&transaction)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("next_id", 1)?;
        meta.insert("revision", 0)?;
    }
    transaction.commit()?;
    drop(database);
    file.sync_data()?;
    disk.rename(NEW, FILE)?;
    Ok(())
}

/// Whether there is a catalog.
pub(super) fn exists(disk: &dyn Disk) -> Result<bool, CatalogError> {
    match disk.open(FILE) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens the catalog, verifies every page of it, and reads it.
pub(super) fn open(disk: &dyn Disk, purpose: Use) -> Result<Opened, CatalogError> {
    let file = disk.open(FILE)?;
    if file.is_empty()? {
        return Err(CatalogError::Damaged("its file is empty".to_owned()));
    }
    // A file that is not what the library wrote may make it panic instead of saying so.
    match catch_unwind(AssertUnwindSafe(|| open_file(file, purpose))) {
        Ok(opened) => opened,
        Err(_) => Err(CatalogError::Damaged("its pages make no sense".to_owned())),
    }
}

fn open_file(file: Arc<dyn DiskFile>, purpose: Use) -> Result<Opened, CatalogError> {
    let mut room = Room::new(Arc::clone(&file));
    if purpose == Use::Write {
        // What a killed broker left is mended when it is opened.
        room.keep();
    }
    let database = match purpose {
        Use::Write => builder().create_with_backend(Backend::new(file))?,
        Use::Look => builder().create_with_backend(Overlay::new(file)?)?,
    };
    let transaction = database.begin_read()?;
    let missing = |name: &str| CatalogError::Damaged(format!("it has no {name}"));
    let (format, next_id) = {
        let meta = transaction
            .open_table(META)
            .map_err(|_| missing("table meta"))?;
        let value = |name| Ok::<_, CatalogError>(meta.get(name)?.map(|value| value.value()));
        let format = value("format")?.ok_or_else(|| missing("format"))?;
        (format, value("next_id")?.ok_or_else(|| missing("next id"))?)
    };
    if format > FORMAT {
        return Err(CatalogError::NewerFormat(format));
    }
    drop(transaction);
    if format < FORMAT {
        upgrade(&database)?;
    }
    let transaction = database.begin_read()?;
    let contents = tables::read_all(&transaction)?;
    drop(transaction);
    Ok(Opened {
        database,
        contents,
        next_id,
        room,
    })
}

fn upgrade(database: &Database) -> Result<(), CatalogError> {
    let transaction = database.begin_write()?;
    tables::upgrade(&transaction)?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_check_integrity_on_open(true);
    builder
}
