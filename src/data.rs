//! The data folder of the broker that is started: ours alone until the process ends, with its
//! catalog. What can't be read is an error; nothing is ever started afresh over it.

use std::path::Path;
use std::sync::Arc;

use warren::broker::Broker;
use warren::broker::recovery::{NotRecovered, Recovered};
use warren::store::catalog::{Catalog, Contents};
use warren::store::disk::RealDisk;
use warren::store::folder::{Folder, FolderError};
use warren::store::journal::Options;

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

    /// Gives the queues, which are there by now, their messages.
    pub fn recover(
        &self,
        broker: &Arc<Broker>,
        contents: Contents,
        options: Options,
    ) -> Result<Recovered, NotRecovered> {
        let disk = self.folder.disk();
        let recovered = broker.recover(&disk, &self.catalog, contents, options)?;
        let records = recovered.report.records;
        tracing::info!(messages = recovered.messages, records, "restored messages");
        if let Some(cut) = &recovered.report.cut {
            // Nobody was told that it was safe.
            let (file, offset, index) = (&cut.file, cut.offset, cut.first_index);
            let batches = cut.batches_beyond;
            tracing::warn!(
                file,
                offset,
                index,
                batches,
                "cut the journal's torn end off"
            );
        }
        let mended = recovered.report.mended_records;
        if mended > 0 {
            tracing::warn!(
                records = mended,
                "records of the journal were damaged and are whole again, since segments had their messages"
            );
        }
        let pressure = recovered.journal.pressure();
        tokio::spawn(Arc::clone(&broker.engine).heed_log(pressure));
        Ok(recovered)
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
