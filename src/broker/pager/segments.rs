//! The segments that are being written, one for each queue that pages out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::barrier::Barrier;
use super::{QueueRef, SegmentFile, Shared, Stored, segment_file};
use crate::broker::queue::{PageOut, Queue};
use crate::store::catalog::{Op, SegmentRecord};
use crate::store::segment::SegmentWriter;

/// So many are open at most.
const MOST_OPEN: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct OpenSegments(BTreeMap<u64, OpenSegment>);

struct OpenSegment {
    writer: SegmentWriter,
    segment: Arc<SegmentFile>,
    queue: QueueRef,
    is_durable: bool,
    /// Messages in it that do not survive a restart.
    passing: Vec<(u64, u64)>,
    used_at: Instant,
}

impl OpenSegments {
    /// Writes a chunk to its queue's segment.
    pub fn write(
        &mut self,
        shared: &Arc<Shared>,
        queue: &Arc<Queue>,
        page: &PageOut,
        barrier: &mut Barrier<'_>,
    ) -> io::Result<Stored> {
        let open = self.of(shared, queue, page.is_far, barrier)?;
        open.used_at = Instant::now();
        let entry = open
            .writer
            .append(&page.chunk.parts(page.band as u32, page.first))?;
        if open.is_durable {
            open.passing.extend(page.passing());
        }
        Ok(Stored {
            segment: Arc::clone(&open.segment),
            entry,
        })
    }

    fn of(
        &mut self,
        shared: &Arc<Shared>,
        queue: &Arc<Queue>,
        is_far: bool,
        barrier: &mut Barrier<'_>,
    ) -> io::Result<&mut OpenSegment> {
        let id = queue.id().0;
        if !self.0.contains_key(&id) {
            if self.0.len() >= MOST_OPEN {
                self.close_oldest(shared, barrier)?;
            }
            let number = shared.next_segment.fetch_add(1, Ordering::Relaxed);
            let is_durable = queue.is_durable() && shared.catalog.is_some();
            let mut writer = SegmentWriter::create(Arc::clone(&shared.disk), id, number)?;
            // What is not durable may never have to go to the disk.
            let past_cache = is_far && is_durable;
            if past_cache {
                writer = writer.past_cache();
            }
            let open = OpenSegment {
                writer,
                segment: segment_file(shared, id, number, past_cache),
                queue: Arc::downgrade(queue),
                is_durable,
                passing: Vec::new(),
                used_at: Instant::now(),
            };
            self.0.insert(id, open);
        }
        self.0
            .get_mut(&id)
            .ok_or_else(|| io::Error::other("no segment is open"))
    }

    /// Whether one of that queue is open.
    pub fn has(&self, queue: u64) -> bool {
        self.0.contains_key(&queue)
    }

    /// Closes a queue's segment if it is full.
    pub fn close_if_full(
        &mut self,
        shared: &Shared,
        queue: u64,
        barrier: &mut Barrier<'_>,
    ) -> io::Result<()> {
        let is_full = |open: &OpenSegment| {
            let most = shared.options.segment_bytes;
            let queue = open.queue.upgrade();
            open.writer.bytes() >= queue.map_or(most, |queue| queue.most_segment_bytes(most))
        };
        match self.0.get(&queue) {
            Some(open) if is_full(open) => self.close(shared, queue, barrier),
            _ => Ok(()),
        }
    }

    /// Closes a queue's segment: if it is durable, its messages need nothing else any more.
    pub fn close(
        &mut self,
        shared: &Shared,
        queue: u64,
        barrier: &mut Barrier<'_>,
    ) -> io::Result<()> {
        match self.0.remove(&queue) {
            Some(open) => {
                let segment = Arc::clone(&open.segment);
                open.close(shared, barrier)
                    .inspect_err(|_| segment.give_up())
            }
            None => Ok(()),
        }
    }

    /// Closes those that took nothing of late.
    pub fn close_idle(&mut self, shared: &Shared, barrier: &mut Barrier<'_>) -> io::Result<()> {
        let idle = self
            .0
            .iter()
            .filter(|(_, open)| open.used_at.elapsed() >= shared.options.segment_idle);
        let idle: Vec<u64> = idle.map(|(queue, _)| *queue).collect();
        idle.into_iter().try_for_each(|queue| {
            shared.check_open()?;
            self.close(shared, queue, barrier)
        })
    }

    /// Writing has failed: what comes goes to another segment. What is in this one can still be read.
    pub fn give_up(&mut self, queue: u64) {
        if let Some(open) = self.0.remove(&queue) {
            open.segment.give_up();
        }
    }

    fn close_oldest(&mut self, shared: &Shared, barrier: &mut Barrier<'_>) -> io::Result<()> {
        let oldest = self.0.iter().min_by_key(|(_, open)| open.used_at);
        match oldest.map(|(queue, _)| *queue) {
            Some(queue) => self.close(shared, queue, barrier),
            None => Ok(()),
        }
    }
}

impl OpenSegment {
    fn close(self, shared: &Shared, barrier: &mut Barrier<'_>) -> io::Result<()> {
        let Some(catalog) = shared.catalog.as_ref().filter(|_| self.is_durable) else {
            self.segment.closed(self.writer.chunks());
            return Ok(());
        };
        let (queue, number, bytes) = (self.segment.queue, self.segment.number, self.writer.bytes());
        let chunks = self.writer.seal()?;
        let record = SegmentRecord {
            bytes,
            sealed: true,
            chunks: chunks.clone(),
            settled: self.passing,
            marks: self
                .queue
                .upgrade()
                .map_or_else(Vec::new, |queue| queue.marks_of(&chunks)),
        };
        // What was settled in a chunk when it was written may be missing from it.
        barrier.wait()?;
        if self.queue.upgrade().is_none_or(|queue| queue.is_deleted()) {
            return Ok(());
        }
        let stored = catalog.submit(vec![Op::PutSegment(queue, number, record)]);
        // After a failure it is not known whether the catalog names it.
        self.segment.list();
        stored.wait().map_err(io::Error::other)?;
        if let Some(queue) = self.queue.upgrade() {
            queue.catalogued(number);
        }
        self.segment.closed(&chunks);
        Ok(())
    }
}
