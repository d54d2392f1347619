//! How a queue goes: somebody deletes it, nobody uses it for too long, or its broker ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Queue, QueueType};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::Effects;

impl Queue {
    /// The queue was declared again, which counts as use (x-expires), but for quorum queues, as in RabbitMQ.
    pub fn touch(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.wants.expires_ms.is_some() && self.queue_type != QueueType::Quorum {
            state.used_at_ms = self.spec.engine.clock.now_ms();
            self.set_timer(&mut state);
        }
    }

    /// Whether a client may delete it with such flags.
    ///
    /// # Errors
    /// NOT_IMPLEMENTED for a quorum queue, as in RabbitMQ.
    pub fn check_delete_flags(&self, if_unused: bool, if_empty: bool) -> Result<(), Exception> {
        if self.queue_type == QueueType::Quorum && (if_unused || if_empty) {
            let flag = if if_unused { "if-unused" } else { "if-empty" };
            return Err(Exception::new(
                ReplyCode::NotImplemented,
                format!(
                    "cannot delete queue '{}' in vhost '{}'. queue.delete operations with {flag} flag \
                     set are not supported by quorum queues",
                    self.spec.name, self.spec.vhost_name
                ),
            ));
        }
        Ok(())
    }

    /// Marks the queue as deleted, cancels its consumers, drops its messages and says how many
    /// were ready; None if it was deleted before. The vhost calls it and then forgets the queue.
    ///
    /// # Errors
    /// PRECONDITION_FAILED if a condition does not hold.
    pub fn close(
        self: &Arc<Self>,
        if_unused: bool,
        if_empty: bool,
        effects: &mut Effects,
    ) -> Result<Option<u64>, Exception> {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return Ok(None);
        }
        let refusal = |why: &str| {
            let text = format!(
                "queue '{}' in vhost '{}' {why}",
                self.spec.name, self.spec.vhost_name
            );
            Err(Exception::new(ReplyCode::PreconditionFailed, text))
        };
        // For streams RabbitMQ looks at no condition, and counts nothing.
        let is_stream = state.stream.is_some();
        if if_unused && !state.consumers.is_empty() && !is_stream {
            return refusal("in use");
        }
        if if_empty && state.ready > 0 && !is_stream {
            return refusal("not empty");
        }
        self.deleted.store(true, Ordering::Release);
        // The catalog forgets the queue, and so do all who read the log.
        let dropped = state.clear_ready(|_, _| {});
        state.waiting.clear();
        state.letters.clear();
        self.keep_last_letters(&mut state);
        for consumer in state.consumers.drain() {
            consumer.sink.cancel(consumer.slot);
            effects.touch(&consumer.sink);
        }
        if let Some(stream) = &mut state.stream {
            stream.close();
        }
        state.end_waits(effects);
        if let Some(timer_ms) = state.timer_ms.take() {
            self.spec.engine.timers.cancel(timer_ms, self.spec.id.0);
        }
        self.account(&mut state);
        self.page(&mut state);
        Ok(Some(if is_stream { 0 } else { dropped }))
    }

    /// Its time has come: expires messages, or the queue itself, and looks after those that wait.
    pub fn on_timer(self: &Arc<Self>, effects: &mut Effects) {
        let mut state = self.state.lock();
        state.timer_ms = None;
        if self.is_deleted() {
            return;
        }
        let now_ms = self.spec.engine.clock.now_ms();
        match self.is_for_delayed {
            true => self.send_due(&mut state, now_ms, effects),
            false => self.bring_back(&mut state, now_ms, effects),
        }
        self.drop_over_length(&mut state, effects);
        self.drop_expired(&mut state, now_ms, effects);
        if self
            .expires_at_ms(&state)
            .is_some_and(|at_ms| at_ms <= now_ms)
        {
            effects.abandon(Arc::clone(self));
        }
        self.run(&mut state, effects);
    }

    /// Whether the queue, unused for as long as x-expires says, is to go now.
    pub fn is_expired(&self) -> bool {
        let state = self.state.lock();
        self.expires_at_ms(&state)
            .is_some_and(|at_ms| at_ms <= self.spec.engine.clock.now_ms())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.accounted_bytes > 0 {
            let accounted_bytes = state.accounted_bytes as i64;
            self.spec.engine.account_memory(-accounted_bytes);
        }
        // It owes nothing any more.
        if let Some(pager) = self.spec.engine.pager() {
            pager.owe(&self.spec.engine, state.paging.owed_bytes, 0);
        }
    }
}
