//! From a journal that was read to one that can be written.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;

use super::files::{Files, Found};
use super::gather::Gather;
use super::scan::Scan;
use super::shared::Shared;
use super::writer::{Active, Writer};
use super::{Drive, Journal, Options, threads};
use crate::store::disk::Disk;

/// What a recovery found.
pub(super) struct Parts {
    pub scan: Scan,
    /// How many of the scan's files are part of the log; what is behind them is cut off.
    pub files_in_use: usize,
    /// Where the last of them goes on, if it may.
    pub resumes_at: Option<u64>,
    pub last_index: u64,
}

/// Starts the journal's threads, if it shall have any.
pub(super) fn start(disk: Arc<dyn Disk>, options: Options, parts: Parts) -> io::Result<Journal> {
    let Parts {
        scan,
        files_in_use,
        resumes_at,
        last_index,
    } = parts;
    let mut live: Vec<_> = scan.files.into_iter().map(|(live, _)| live).collect();
    let mut spare = scan.spare;
    spare.extend(live.drain(files_in_use..).map(|live| live.file));
    for live in &live {
        // What was read may be known to the system only, and must not go away any more.
        live.file.file.sync_data()?;
    }
    let active = resumes_at.and_then(|offset| {
        live.last().map(|live| Active {
            file: live.file.clone(),
            header: live.header,
            offset,
        })
    });
    let first_live_file = scan.first_live_file.ok_or(io::ErrorKind::NotFound)?;
    let found = Found {
        live,
        spare,
        next_number: scan.next_number,
        next_generation: scan.next_generation,
        first_live: scan.first_live,
        first_live_file,
    };
    let dice = match options.seed {
        Some(seed) => StdRng::seed_from_u64(seed),
        None => StdRng::from_rng(&mut rand::rng()),
    };
    let (pressure, _) = watch::channel(false);
    let gather = Gather::new(last_index + 1, options.limits, pressure.clone());
    let drive = options.drive;
    let files = Files::new(disk, found);
    let shared = Arc::new(Shared::new(options, gather, files, last_index));
    let writer = Writer::new(Arc::clone(&shared), dice, active, last_index);
    let (threads, writer) = match drive {
        Drive::Threads => (threads::start(&shared, writer)?, None),
        Drive::Manual => (Vec::new(), Some(writer)),
    };
    Ok(Journal {
        shared,
        pressure,
        threads: Mutex::new(threads),
        writer: Mutex::new(writer),
    })
}
