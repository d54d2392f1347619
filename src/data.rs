//! The data folder of the broker that is started: ours alone until the process ends, with its
//! catalog. What can't be read is an error; nothing is ever started afresh over it.

use std::path::Path;
use std::sync::Arc;

use warren::store::catalog::{Catalog, Contents};
use warren::store::disk::RealDisk;
use warren::store::folder::{Folder, FolderError};

/// See the module.
pub struct Data {
    pub catalog: Arc<Catalog>,
    /// Locked while it lives.
    pub folder: Folder,
}

impl Data {
    /// Makes the folder if need be, and opens it. Gives what the catalog holds.
    pub fn open(data_dir: &Path) -> Result<(Self, Contents), String> {
        let opened = open(data_dir);
        opened.map_err(|error| format!("{}: {error}", data_dir.display()))
    }

    /// Stores what was submitted. Nothing is stored any more after it.
    pub fn close(&self) {
        self.catalog.close();
    }
}

fn open(data_dir: &Path) -> Result<(Data, Contents), FolderError> {
    let folder = Folder::open(Arc::new(RealDisk::new(data_dir)?))?;
    let (catalog, contents) = Catalog::open(folder.disk())?;
    let catalog = Arc::new(catalog);
    let data = Data { catalog, folder };
    Ok((data, contents))
}
