//! What a call into a queue leaves to be done once the queue's lock is released: sinks to
//! flush, dead letters to publish, queues to delete.
//!
//! Whoever calls queues owns one `Effects`, passes it along for a whole batch, and calls
//! [`Effects::complete`] at its end, holding no lock.

use std::sync::Arc;

use super::catalog::Revision;
use super::dead_letter::DeadLetter;
use super::log::{AppendError, Log, Pending, Place};
use super::queue::Then;
use super::{Engine, Message, Queue, SinkRef};
use crate::store::journal::SeenId;

/// With so many sinks to flush, those that were given little may wait for more.
const MANY_SINKS: usize = 4;

/// See the module.
#[derive(Default)]
pub struct Effects {
    flush: Vec<SinkRef>,
    /// Queues with dead letters that this caller made leave.
    dead_lettering: Vec<Arc<Queue>>,
    abandoned: Vec<Arc<Queue>>,
    /// Who waited for what has happened.
    resumed: Vec<Then>,
    /// Streams that took messages which the log does not have yet, and up to before which number.
    streams: Vec<(Arc<Queue>, u64)>,
    /// A queue whose consumers are behind, and how much it was given: the publisher is to wait.
    pub behind: Option<(Arc<Queue>, u64)>,
    /// What the log is to hear.
    pub(super) pending: Pending,
    /// Indices, within the batch given to [`Queue::publish`], of messages that the queue refused
    /// because of its length limit (overflow reject-publish). The publisher takes them out
    /// (`drain`) after each call and nacks them.
    pub refused: Vec<u32>,
}

impl Effects {
    /// Nothing to do.
    pub fn new() -> Self {
        Self::default()
    }

    /// `sink` has taken something and is to be flushed.
    pub fn touch(&mut self, sink: &SinkRef) {
        if !self.flush.iter().any(|seen| Arc::ptr_eq(seen, sink)) {
            self.flush.push(Arc::clone(sink));
        }
    }

    /// A message was given up and is to be dead-lettered. Called with its queue's lock held.
    pub(super) fn dead_letter(&mut self, letter: DeadLetter) {
        let source = letter.source();
        if !self
            .dead_lettering
            .iter()
            .any(|seen| Arc::ptr_eq(seen, source))
        {
            self.dead_lettering.push(Arc::clone(source));
        }
        let source = Arc::clone(source);
        source.outbox.put(letter);
    }

    /// The consumers of `queue` are behind, and it was given so many messages more.
    pub(super) fn fall_behind(&mut self, queue: &Arc<Queue>, published: u64) {
        match &mut self.behind {
            Some((behind, before)) if Arc::ptr_eq(behind, queue) => *before += published,
            _ => self.behind = Some((Arc::clone(queue), published)),
        }
    }

    /// A stream took messages up to before `end`, which the log is to have.
    pub(super) fn stream_took(&mut self, stream: &Arc<Queue>, end: u64) {
        self.streams.push((Arc::clone(stream), end));
    }

    /// Appends the messages of `batch` that got places, each once, with what they settle; says the index
    /// by which they are safe.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub(super) fn append_messages(
        &mut self,
        log: &Arc<dyn Log>,
        batch: &[Message<'_>],
        settles: &[Place],
    ) -> Result<u64, AppendError> {
        let appended = self.pending.append_messages(log, batch, settles);
        self.streams_logged(appended.as_ref().ok().copied());
        appended
    }

    /// Somebody waited for this.
    pub(super) fn resume(&mut self, then: Then) {
        self.resumed.push(then);
    }

    /// The last consumer of an auto-delete queue went, or the queue expired: delete it.
    pub fn abandon(&mut self, queue: Arc<Queue>) {
        self.abandoned.push(queue);
    }

    /// Does what is to be done: publishes dead letters, deletes queues, flushes sinks. What that
    /// leaves to be done in turn is done as well; it comes to an end because dead letters that
    /// go round in a circle are dropped.
    pub fn complete(&mut self) {
        while !self.is_empty() {
            for queue in std::mem::take(&mut self.dead_lettering) {
                queue.outbox.publish_all(self);
            }
            for queue in std::mem::take(&mut self.abandoned) {
                if let Some(vhost) = queue.vhost().upgrade() {
                    vhost.delete_abandoned(&queue, self);
                }
            }
            // Before anybody outside hears of it.
            self.pending.append_rest();
            let are_many = self.flush.len() >= MANY_SINKS;
            for sink in self.flush.drain(..) {
                match are_many {
                    true => sink.flush_among_many(),
                    false => sink.flush(),
                }
            }
        }
        self.resumed.drain(..).for_each(|then| then());
        self.pending.append_rest();
        self.pending.land();
        // Nobody is there to be told that a dead letter was refused.
        self.refused.clear();
    }

    /// The log is to have the messages of `batch` that were given to durable queues since the last
    /// time. Says the index by which they are safe; None if none of them needs to be.
    ///
    /// # Errors
    /// See [`AppendError`]: nothing can be promised of the batch.
    pub fn log_published(
        &mut self,
        engine: &Engine,
        batch: &[Message<'_>],
    ) -> Result<Option<u64>, AppendError> {
        if !self.pending.has_placements() {
            return Ok(None);
        }
        let Some(log) = engine.log() else {
            return Ok(None);
        };
        self.append_messages(log, batch, &[]).map(Some)
    }

    /// Whether a durable queue got a message that the log is still to have.
    pub(super) fn has_placements(&self) -> bool {
        self.pending.has_placements()
    }

    /// The log is to have one message that was given to queues, as it may be from the place `left`, and
    /// what exchanges remember of it. Says the index by which that is safe; None if there is nothing.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub(super) fn log_passed(
        &mut self,
        engine: &Engine,
        message: &Message<'_>,
        left: Option<Place>,
        seen: &[SeenId],
    ) -> Result<Option<u64>, AppendError> {
        let Some(log) = engine.log() else {
            return Ok(None);
        };
        let appended = self
            .pending
            .append_passed(log, message, left.as_slice(), seen);
        self.streams_logged(appended.as_ref().ok().copied().flatten());
        appended
    }

    /// The log has what streams took since the last time, up to that index; or never will.
    fn streams_logged(&mut self, index: Option<u64>) {
        for (stream, end) in std::mem::take(&mut self.streams) {
            stream.logged(end, index, self);
        }
    }

    /// The index by which everything is safe that durable queues were told since the last time, after
    /// [`Effects::complete`]; None if that is nothing.
    ///
    /// # Errors
    /// See [`AppendError`]: some of it will never be safe.
    pub fn take_logged(&mut self) -> Result<Option<u64>, AppendError> {
        self.pending.take_logged()
    }

    /// By which revision of the catalog all durable queues are stored that were given messages since the
    /// last time: until then those are not safe either. 0 if there are none.
    pub fn take_queues_stored_by(&mut self) -> Revision {
        self.pending.take_queues_stored_by()
    }

    fn is_empty(&self) -> bool {
        self.flush.is_empty() && self.dead_lettering.is_empty() && self.abandoned.is_empty()
    }
}
