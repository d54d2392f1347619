//! What a call into a queue leaves to be done once the queue's lock is released: sinks to
//! flush, dead letters to publish, queues to delete.
//!
//! Whoever calls queues owns one `Effects`, passes it along for a whole batch, and calls
//! [`Effects::complete`] at its end, holding no lock.

use std::sync::Arc;

use super::{Queue, SinkRef};

/// See the module.
#[derive(Default)]
pub struct Effects {
    flush: Vec<SinkRef>,
    abandoned: Vec<Arc<Queue>>,
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

    /// The last consumer of an auto-delete queue went, or the queue expired: delete it.
    pub fn abandon(&mut self, queue: Arc<Queue>) {
        self.abandoned.push(queue);
    }

    /// Does what is to be done: publishes dead letters, deletes queues, flushes sinks.
    pub fn complete(&mut self) {
        todo!()
    }
}
