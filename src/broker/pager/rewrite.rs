//! Rewrites a sparse segment: what still lives in it moves to a new one, so that a message which stays
//! keeps little more on the disk than itself.
//!
//! Chunks keep their numbers, with places that hold nothing for what is settled. The catalog names the
//! new segment instead of the old one in one transaction, once the log is sure to call that settled;
//! the old file goes when nobody reads from it any more.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::barrier::Barrier;
use super::{QueueRef, SegmentFile, Shared, Stored, segment_file};
use crate::broker::queue::{Living, PageOut, Queue};
use crate::store::catalog::{Op, SegmentRecord};
use crate::store::segment::{Segment, SegmentWriter};

/// A segment that is being rewritten, one chunk at a time, so that others have the disk in between.
pub(super) struct Rewriting {
    queue: QueueRef,
    old: Arc<SegmentFile>,
    file: Segment,
    new: Arc<SegmentFile>,
    writer: SegmentWriter,
    /// Chunks that are still to be looked at: band, first number.
    left: VecDeque<(usize, u64)>,
    placed: Vec<(usize, u64, Stored)>,
    /// What has no bytes in the new one.
    settled: Vec<(u64, u64)>,
}

/// What a step came to.
pub(super) struct Step {
    /// So many bytes were read and written.
    pub bytes: u64,
    /// The segment, if there is more to be done.
    pub rest: Option<Rewriting>,
}

impl Rewriting {
    /// Begins with a segment of that queue.
    ///
    /// # Errors
    /// The disk's; the segment's turn comes again.
    pub fn begin(
        shared: &Arc<Shared>,
        queue: &Arc<Queue>,
        old: Arc<SegmentFile>,
    ) -> io::Result<Self> {
        let id = old.queue;
        let opened = || {
            let file = Segment::open(Arc::clone(&shared.disk), id, old.number)?;
            let number = shared.next_segment.fetch_add(1, Ordering::Relaxed);
            let writer = SegmentWriter::create(Arc::clone(&shared.disk), id, number)?;
            io::Result::Ok((file, writer))
        };
        let (file, writer) = opened().inspect_err(|_| old.note_if_sparse())?;
        Ok(Self {
            queue: Arc::downgrade(queue),
            left: queue.living_in(&old).into(),
            file,
            new: segment_file(shared, id, writer.number(), false),
            writer,
            old,
            placed: Vec::new(),
            settled: Vec::new(),
        })
    }

    /// Moves the next chunk; after the last one, the new segment takes the old one's place.
    ///
    /// # Errors
    /// The disk's, the log's or the catalog's; then the segment stays as it was. Its turn comes again,
    /// unless what lives in it can't be read: then the next start tries.
    pub fn step(mut self, shared: &Shared, barrier: &mut Barrier<'_>) -> io::Result<Step> {
        let Some(queue) = self.queue.upgrade().filter(|queue| !queue.is_deleted()) else {
            // What was written goes, and so will the old one.
            return Ok(Step {
                bytes: 0,
                rest: None,
            });
        };
        let old = Arc::clone(&self.old);
        let mut bytes = 0;
        if let Some(lives) = self.next_living(&queue) {
            let file = &self.file;
            let page = lives.squeezed(|entry| {
                bytes += u64::from(entry.bytes);
                file.read(entry)
            });
            let page = page.map_err(|error| {
                old.is_noted.store(true, Ordering::Release);
                io::Error::other(error)
            })?;
            bytes += self.put(&page).inspect_err(|_| old.note_if_sparse())?;
        }
        if !self.left.is_empty() {
            let rest = Some(self);
            return Ok(Step { bytes, rest });
        }
        self.finish(shared, &queue, barrier)
            .inspect_err(|_| old.note_if_sparse())?;
        Ok(Step { bytes, rest: None })
    }

    /// The next chunk of which something lives still.
    fn next_living(&mut self, queue: &Queue) -> Option<Living> {
        std::iter::from_fn(|| self.left.pop_front())
            .find_map(|(band, first)| queue.living_at(&self.old, band, first))
    }

    /// Writes a chunk; says how many bytes.
    fn put(&mut self, page: &PageOut) -> io::Result<u64> {
        let entry = self
            .writer
            .append(&page.chunk.parts(page.band as u32, page.first))?;
        self.settled.extend(page.passing());
        let segment = Arc::clone(&self.new);
        self.placed
            .push((page.band, page.first, Stored { segment, entry }));
        Ok(entry.bytes.into())
    }

    fn finish(
        self,
        shared: &Shared,
        queue: &Arc<Queue>,
        barrier: &mut Barrier<'_>,
    ) -> io::Result<()> {
        if self.placed.is_empty() {
            // Nothing lives any more: the old one goes by itself.
            return Ok(());
        }
        let bytes = self.writer.bytes();
        let chunks = self.writer.seal()?;
        if self.old.is_listed.load(Ordering::Acquire) {
            let record = SegmentRecord {
                bytes,
                sealed: true,
                chunks: chunks.clone(),
                settled: self.settled,
                marks: queue.marks_of(&chunks),
            };
            replace_in_catalog(shared, &self.old, &self.new, record, barrier)?;
        }
        queue.moved(&self.old, self.placed);
        self.new.closed(&chunks);
        Ok(())
    }
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
