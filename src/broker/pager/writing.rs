//! The thread that writes chunks to segments, removes segments that nobody needs, and frees the
//! log's files.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::barrier::Barrier;
use super::rest::Rest;
use super::retire::{LogLength, Shortening};
use super::rewrite::{Rewriting, Step};
use super::segments::OpenSegments;
use super::troubles::Troubles;
use super::{QueueRef, Shared, Stored};
use crate::broker::Broker;
use crate::broker::log::Log;
use crate::broker::queue::Queue;
use crate::store::catalog::{CatalogError, Op};
use crate::store::health::SegmentsWait;
use crate::store::segment;

/// Between two tasks the log's files are looked at this often.
const LOOK: Duration = Duration::from_millis(50);
/// So many chunks are written before the queue may let go of them.
const CHUNKS_AT_ONCE: usize = 8;
/// So many segments are taken off the catalog's list in one transaction.
const REMOVED_AT_ONCE: usize = 1024;
/// How often it is looked whether what the log's shortening waits for has come.
const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// What is to be done.
pub(super) enum Task {
    /// A queue is past its window.
    PageOut(QueueRef),
    /// Nobody needs the segment any more.
    Remove {
        queue: u64,
        number: u64,
        is_listed: bool,
    },
    /// End.
    Close,
}

/// A segment that nobody needs any more.
struct Removed {
    queue: u64,
    number: u64,
    is_listed: bool,
}

/// See the module.
pub(super) struct Writing {
    shared: Arc<Shared>,
    broker: Weak<Broker>,
    log: Option<Arc<dyn Log>>,
    segments: OpenSegments,
    log_length: LogLength,
    rest: Rest,
    removed: Vec<Removed>,
    rewriting: Option<Rewriting>,
    looked_at: Instant,
    /// Nothing is rewritten before that.
    rewrites_at: Instant,
    /// Nothing is written before that.
    paused_until: Option<Instant>,
    /// Queues that are tried again then, by their ids. It is told for as long as there are any.
    waiting: BTreeMap<u64, QueueRef>,
    troubles: Troubles,
}

impl Writing {
    pub fn new(shared: Arc<Shared>, broker: Weak<Broker>, log: Option<Arc<dyn Log>>) -> Self {
        Self {
            shared,
            broker,
            log,
            segments: OpenSegments::default(),
            log_length: LogLength::default(),
            rest: Rest::new(),
            removed: Vec::new(),
            rewriting: None,
            looked_at: Instant::now(),
            rewrites_at: Instant::now(),
            paused_until: None,
            waiting: BTreeMap::new(),
            troubles: Troubles::default(),
        }
    }

    /// Works until told to end.
    pub fn run(mut self, tasks: &Receiver<Task>) {
        let mut pause = || std::thread::sleep(LOOK_AGAIN);
        while !self.shared.is_closing() {
            let task = match tasks.try_recv() {
                Ok(task) => Ok(task),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    self.rewrite(&mut pause);
                    tasks.recv_timeout(LOOK)
                }
            };
            match task {
                Ok(Task::Close) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(task) => self.work(task, &mut pause),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.looked_at.elapsed() >= LOOK {
                self.look_after(&mut pause);
                self.looked_at = Instant::now();
            }
        }
    }

    /// Does what is to be done. `pause` is called while others have to do something first.
    pub fn work(&mut self, task: Task, pause: &mut dyn FnMut()) {
        match task {
            Task::PageOut(queue) => {
                if let Some(queue) = queue.upgrade() {
                    self.page_out(&queue, pause);
                }
            }
            Task::Remove {
                queue,
                number,
                is_listed,
            } => {
                let removed = Removed {
                    queue,
                    number,
                    is_listed,
                };
                self.removed.push(removed);
            }
            Task::Close => {}
        }
    }

    /// Writes out what is past the queue's window.
    fn page_out(&mut self, queue: &Arc<Queue>, pause: &mut dyn FnMut()) {
        if self.is_paused() {
            self.waiting.insert(queue.id().0, Arc::downgrade(queue));
            queue.page_later();
            return;
        }
        self.paused_until = None;
        let mut barrier = self.barrier(pause);
        while !self.shared.is_closing() {
            let pages = queue.chunks_to_page(CHUNKS_AT_ONCE);
            if pages.is_empty() {
                if self.waiting.remove(&queue.id().0).is_some() {
                    self.tell_the_end();
                }
                return;
            }
            if let Some(log) = &self.log {
                self.log_length.heed(&self.shared, &**log, queue.engine());
            }
            let reserve_bytes = self.shared.options.reserve_bytes;
            if reserve_bytes > 0
                && let Ok(free_bytes) = self.shared.disk.free_bytes()
                && free_bytes < reserve_bytes
            {
                let error =
                    format!("{free_bytes} bytes are free, {reserve_bytes} are to stay free");
                self.troubles
                    .failed("there is too little room to page out", &error);
                self.wait(queue, SegmentsWait::ForRoom);
                return;
            }
            let mut placed: Vec<(usize, u64, Stored)> = Vec::new();
            let mut written = Ok(());
            for page in &pages {
                match self.segments.write(&self.shared, queue, page, &mut barrier) {
                    Ok(stored) => placed.push((page.band, page.first, stored)),
                    Err(error) => {
                        written = Err(error);
                        break;
                    }
                }
            }
            // Nobody else keeps them in memory from here on.
            drop(pages);
            queue.paged(placed);
            // After a failed write the segment must not be closed.
            let written = written.and_then(|()| {
                let segments = &mut self.segments;
                segments.close_if_full(&self.shared, queue.id().0, &mut barrier)
            });
            if let Err(error) = written {
                // What was not written stays in memory; what was is still there.
                let why = match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        SegmentsWait::ForRoom
                    }
                    _ => SegmentsWait::Failing(error.to_string()),
                };
                let error = format!("{error} (queue '{}')", queue.name());
                self.troubles
                    .failed("messages cannot be written to a segment", &error);
                self.segments.give_up(queue.id().0);
                self.wait(queue, why);
                return;
            }
        }
    }

    /// Nothing is written for a while; then the queue is tried again.
    fn wait(&mut self, queue: &Arc<Queue>, why: SegmentsWait) {
        self.paused_until = Some(Instant::now() + self.shared.options.retry);
        self.waiting.insert(queue.id().0, Arc::downgrade(queue));
        queue.engine().store.set_segments_wait(Some(why));
        queue.page_later();
    }

    fn is_paused(&self) -> bool {
        let until = self.paused_until;
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Tries again what could not be written, if it is time: who would ask for it may be waiting as well.
    fn page_out_again(&mut self, pause: &mut dyn FnMut()) {
        if self.is_paused() || self.waiting.is_empty() {
            return;
        }
        for queue in std::mem::take(&mut self.waiting).into_values() {
            if let Some(queue) = queue.upgrade() {
                self.page_out(&queue, pause);
            }
        }
        self.tell_the_end();
    }

    /// Says that segments are written again, if they are.
    fn tell_the_end(&self) {
        if let (true, Some(broker)) = (self.waiting.is_empty(), self.broker.upgrade()) {
            broker.engine.store.set_segments_wait(None);
        }
    }

    /// Removes segments, closes those that took nothing of late, and shortens the log. `pause` is
    /// called while others have to do something first.
    pub fn look_after(&mut self, pause: &mut dyn FnMut()) {
        self.troubles.look();
        self.page_out_again(pause);
        let removed = self.remove_unneeded(pause);
        self.note(removed, "segments stay that nobody needs");
        let closed = self
            .segments
            .close_idle(&self.shared, &mut self.barrier(pause));
        self.note(closed, "a segment cannot be closed");
        let mut barrier = self.barrier(pause);
        if let (Some(log), Some(broker)) = (&self.log, self.broker.upgrade()) {
            let shared = &self.shared;
            self.log_length.heed(shared, &**log, &broker.engine);
            let mut shortening = Shortening {
                shared,
                log: &**log,
                broker: &broker,
                segments: &mut self.segments,
                length: &mut self.log_length,
                barrier: &mut barrier,
            };
            let retired = shortening.retire();
            let is_idle = retired.is_ok()
                && shared.unproven.is_empty()
                && self.rest.is_due(&**log, shared.options.log_idle);
            let retired = retired.and_then(|()| match is_idle {
                true => shortening.rest(),
                false => Ok(()),
            });
            match &retired {
                Ok(()) if is_idle => self.rest.done(&**log),
                Err(_) if is_idle => self.rest.failed(),
                _ => {}
            }
            self.log_length.heed(shared, &**log, &broker.engine);
            self.note(retired, "the log cannot be shortened");
        }
    }

    /// Rewrites a chunk of a segment of which little is needed, if there is one and it is time; says whether.
    pub fn rewrite(&mut self, pause: &mut dyn FnMut()) -> bool {
        let now = Instant::now();
        let waits_until = self.paused_until.unwrap_or(now).max(self.rewrites_at);
        let may_rewrite = now >= waits_until && self.shared.unproven.is_empty();
        let Some(broker) = self.broker.upgrade().filter(|_| may_rewrite) else {
            return false;
        };
        let rewriting = match self.rewriting.take() {
            Some(rewriting) => Ok(rewriting),
            None => {
                let Some(segment) = self.shared.sparse_segment() else {
                    return false;
                };
                let Some(queue) = broker.queue_of_id(segment.queue) else {
                    // It was deleted, and so will the segment be.
                    return true;
                };
                Rewriting::begin(&self.shared, &queue, segment)
            }
        };
        let barrier = &mut self.barrier(pause);
        let step = rewriting.and_then(|rewriting| rewriting.step(&self.shared, barrier));
        let options = &self.shared.options;
        let (rest, rewritten) = match step {
            Ok(Step { bytes, rest }) => {
                self.rewriting = rest;
                let per_second = options.rewritten_per_second.max(1);
                let rest = Duration::from_secs_f64(bytes as f64 / per_second as f64);
                (rest, Ok(()))
            }
            Err(error) => (options.retry, Err(error)),
        };
        self.rewrites_at = Instant::now() + rest;
        self.note(rewritten, "a segment cannot be rewritten");
        true
    }

    /// Removes segments once the log is safe that says what became of their messages.
    fn remove_unneeded(&mut self, pause: &mut dyn FnMut()) -> io::Result<()> {
        if self.removed.iter().any(|segment| segment.is_listed) {
            self.barrier(pause).wait()?;
        }
        for removed in std::mem::take(&mut self.removed).chunks(REMOVED_AT_ONCE) {
            // If it fails they stay listed, and so the log goes on to say what is settled.
            self.remove(removed).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn barrier<'p>(&self, pause: &'p mut dyn FnMut()) -> Barrier<'p> {
        Barrier {
            broker: self.broker.upgrade(),
            log: self.log.clone(),
            pause,
        }
    }

    /// Takes segments off the catalog's list, then removes their files.
    fn remove(&mut self, removed: &[Removed]) -> Result<(), CatalogError> {
        let listed = || removed.iter().filter(|segment| segment.is_listed);
        let ops: Vec<Op> = listed()
            .map(|segment| Op::DeleteSegment(segment.queue, segment.number))
            .collect();
        if let (Some(catalog), false) = (&self.shared.catalog, ops.is_empty()) {
            catalog.submit(ops).wait()?;
        }
        listed().for_each(|segment| self.shared.unlisted(segment.queue));
        for segment in removed {
            let gone = segment::remove(&*self.shared.disk, segment.queue, segment.number);
            self.note(gone, "a segment that nobody needs cannot be removed");
        }
        Ok(())
    }

    fn note(&mut self, outcome: io::Result<()>, what: &'static str) {
        if let Err(error) = outcome
            && !self.shared.is_closing()
        {
            self.troubles.failed(what, &error);
        }
    }
}
