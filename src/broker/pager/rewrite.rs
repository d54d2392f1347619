//! Rewrites a sparse segment: what still lives in it moves to a new one, so that a message which stays
//! keeps little more on the disk than itself.
//!
//! Chunks keep their numbers, with places that hold nothing for what is settled. The catalog names the
//! new segment instead of the old one in one transaction, once the log is sure to call that settled;
//! the old file goes when nobody reads from it any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::barrier::Barrier;
use super::{SegmentFile, Shared, Stored, segment_file};
use crate::broker::queue::Queue;
use crate::store::catalog::{Op, SegmentRecord};
use crate::store::segment::{ChunkError, Segment, SegmentWriter};

/// Rewrites a segment of that queue; says how many bytes were read and written.
///
/// # Errors
/// The disk's, the log's or the catalog's; then the segment stays as it was, and its turn comes again.
pub(super) fn rewrite(
    shared: &Arc<Shared>,
    queue: &Arc<Queue>,
    old: &Arc<SegmentFile>,
    barrier: &mut Barrier<'_>,
) -> io::Result<u64> {
    match squeeze(shared, queue, old, barrier) {
        Ok(bytes) => Ok(bytes),
        Err(ChunkError::Io(error)) => {
            old.note_if_sparse();
            Err(error)
        }
        Err(damaged) => {
            // As long as nobody reads the messages that are damaged the others may stay.
            old.is_noted.store(true, Ordering::Release);
            Err(io::Error::other(damaged))
        }
    }
}

fn squeeze(
    shared: &Arc<Shared>,
    queue: &Arc<Queue>,
    old: &Arc<SegmentFile>,
    barrier: &mut Barrier<'_>,
) -> Result<u64, ChunkError> {
    let living = queue.living_in(old);
    if living.is_empty() {
        return Ok(0);
    }
    let id = old.queue;
    let file = Segment::open(Arc::clone(&shared.disk), id, old.number)?;
    let number = shared.next_segment.fetch_add(1, Ordering::Relaxed);
    let mut writer = SegmentWriter::create(Arc::clone(&shared.disk), id, number)?;
    let new = segment_file(shared, id, number, false);
    let mut placed = Vec::new();
    let mut settled = Vec::new();
    let mut bytes = 0;
    for lives in living {
        let page = lives.squeezed(|entry| {
            bytes += u64::from(entry.bytes);
            file.read(entry)
        })?;
        let entry = writer.append(&page.chunk.parts(page.band as u32, page.first))?;
        bytes += u64::from(entry.bytes);
        settled.extend(page.passing());
        let segment = Arc::clone(&new);
        placed.push((page.band, page.first, Stored { segment, entry }));
    }
    let file_bytes = writer.bytes();
    let chunks = writer.seal()?;
    if old.is_listed.load(Ordering::Acquire) {
        let record = SegmentRecord {
            bytes: file_bytes,
            sealed: true,
            chunks: chunks.clone(),
            settled,
            marks: queue.marks_of(&chunks),
        };
        replace_in_catalog(shared, old, &new, record, barrier)?;
    }
    queue.moved(old, placed);
    new.closed(&chunks);
    Ok(bytes)
}

/// From here on the catalog names the one and not the other.
fn replace_in_catalog(
    shared: &Shared,
    old: &SegmentFile,
    new: &SegmentFile,
    record: SegmentRecord,
    barrier: &mut Barrier<'_>,
) -> io::Result<()> {
    let Some(catalog) = &shared.catalog else {
        return Ok(());
    };
    // What is settled is missing from the new one.
    barrier.wait()?;
    let stored = catalog.submit(vec![
        Op::PutSegment(new.queue, new.number, record),
        Op::DeleteSegment(old.queue, old.number),
    ]);
    // After a failure it is not known which of them the catalog names.
    new.list();
    stored.wait().map_err(io::Error::other)?;
    old.is_listed.store(false, Ordering::Release);
    shared.unlisted(old.queue);
    Ok(())
}
