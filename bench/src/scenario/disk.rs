//! What the disk alone takes: the floor under the latency of a durable confirm.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::load::Latencies;

/// The file is written full of zeros beforehand: on a growing file a sync also writes its metadata.
const FILE_BYTES: usize = 64 * 1024 * 1024;
const ZEROS_BYTES: usize = 1024 * 1024;

/// Writes so many bytes and syncs them, over and over for a while, one after the other.
pub fn bare_sync(bytes: usize, duration: Duration) -> io::Result<Latencies> {
    let path = std::env::temp_dir().join(format!("bench-disk-{}", std::process::id()));
    let result = measure(&path, bytes, duration);
    // Nothing to lose in it, whatever happened.
    let _ = fs::remove_file(&path);
    result
}

fn measure(path: &std::path::Path, bytes: usize, duration: Duration) -> io::Result<Latencies> {
    let file = File::create(path)?;
    for offset in (0..FILE_BYTES).step_by(ZEROS_BYTES) {
        file.write_all_at(&[0; ZEROS_BYTES], offset as u64)?;
    }
    file.sync_all()?;
    let data = vec![b'w'; bytes];
    let mut latencies = Latencies::default();
    let started_at = Instant::now();
    let mut offset = 0;
    while started_at.elapsed() < duration {
        let before = Instant::now();
        file.write_all_at(&data, offset as u64)?;
        file.sync_data()?;
        latencies.record(before.elapsed().as_nanos() as u64);
        offset = (offset + bytes) % (FILE_BYTES - bytes);
    }
    Ok(latencies)
}
