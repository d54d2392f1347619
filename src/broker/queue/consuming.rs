//! Consumers come, have room again, and go.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{ConsumerId, ConsumerSpec, Queue};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::Effects;

impl Queue {
    /// Adds a consumer, which gets nothing until [`Queue::resume`] is called for it.
    ///
    /// # Errors
    /// ACCESS_REFUSED if a consumer has the queue for itself, or wants to have it while others are
    /// there or where only a single one is active anyway; NOT_FOUND if the queue was deleted meanwhile.
    pub fn add_consumer(self: &Arc<Self>, spec: ConsumerSpec) -> Result<ConsumerId, Exception> {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return Err(self.not_found());
        }
        let is_alone = state.consumers.is_empty() && !state.wants.single_active_consumer;
        if state.consumers.is_exclusive() || (spec.exclusive && !is_alone) {
            return Err(Exception::new(
                ReplyCode::AccessRefused,
                format!(
                    "queue '{}' in vhost '{}' in exclusive use",
                    self.spec.name, self.spec.vhost_name
                ),
            ));
        }
        Ok(state.consumers.add(spec))
    }

    /// Consumers have room (again): delivers to them, in that order in turn.
    pub fn resume(self: &Arc<Self>, consumers: &[ConsumerId], effects: &mut Effects) {
        let mut state = self.state.lock();
        if state.stream.is_some() {
            self.resume_readers(&mut state, consumers, effects);
        } else if state.resume(consumers) {
            self.run(&mut state, effects);
        }
    }

    /// The same for consumers of several queues; those of one stand together.
    pub fn resume_all(consumers: &[(Arc<Self>, ConsumerId)], effects: &mut Effects) {
        for of_one in consumers.chunk_by(|(one, _), (other, _)| one.id() == other.id()) {
            let ids: SmallVec<[ConsumerId; 4]> = of_one.iter().map(|(_, id)| *id).collect();
            if let Some((queue, _)) = of_one.first() {
                queue.resume(&ids, effects);
            }
        }
    }

    /// Removes consumers, named in the order of their coming. What they have unacked stays with their
    /// channel. An auto-delete queue whose last consumer is among them is put into `effects`. Says
    /// whether the single active one is: then nobody is given anything until
    /// [`Queue::activate_next`] is called, after what is to come first (what goes back, or a reply).
    pub fn remove_consumers(
        self: &Arc<Self>,
        consumers: &[ConsumerId],
        effects: &mut Effects,
    ) -> bool {
        let mut state = self.state.lock();
        let was_yielding = state.consumers.is_yielding();
        let removed = consumers.iter().map(|id| state.consumers.remove(*id));
        let Some(was_active) = removed.flatten().reduce(|one, other| one | other) else {
            return false;
        };
        if let Some(stream) = &mut state.stream {
            stream.remove_readers(consumers);
            self.evict(&mut state);
            self.after(&mut state);
            return was_active;
        }
        if state.consumers.is_empty() {
            if self.spec.auto_delete {
                effects.abandon(Arc::clone(self));
            }
            state.used_at_ms = self.spec.engine.clock.now_ms();
            self.set_timer(&mut state);
        } else if was_yielding && !was_active {
            // Whom the active one was to make way for may be gone.
            self.run(&mut state, effects);
        }
        was_active
    }

    /// The next consumer follows the single active one that was removed.
    pub fn activate_next(self: &Arc<Self>, effects: &mut Effects) {
        let mut state = self.state.lock();
        state.consumers.activate_next();
        if state.stream.is_none() {
            self.run(&mut state, effects);
        }
    }

    /// The tags of its consumers, for listings.
    pub fn consumer_tags(&self) -> Vec<Arc<str>> {
        self.state.lock().consumers.tags().cloned().collect()
    }

    pub(super) fn not_found(&self) -> Exception {
        let text = format!(
            "no queue '{}' in vhost '{}'",
            self.spec.name, self.spec.vhost_name
        );
        Exception::new(ReplyCode::NotFound, text)
    }
}
