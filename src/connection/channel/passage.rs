//! Publishing through exchanges that have a memory: one message at a time, after what was gathered
//! before it, since what such exchanges remember and what queues get is one step.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

use super::Channel;
use super::read_batch::Gathering;
use super::tx::Publish;
use crate::amqp::reply::Exception;
use crate::broker::{Effects, Message, Passed, Queue};

impl Channel {
    /// A message that leads through such exchanges, with what it is published with beside its own
    /// routing key. In a transaction they hear of it at the commit.
    #[cold]
    pub(super) fn publish_through(
        &mut self,
        message: &Message<'_>,
        routing_keys: Vec<Bytes>,
        mandatory: bool,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        if let Some(transaction) = &mut self.transaction {
            batch.published += 1;
            let publish = Publish::through(message, routing_keys, mandatory);
            return transaction.publish(publish);
        }
        self.hand_over(batch);
        // They may lead to a queue that takes no message twice.
        self.settle_gathered(batch);
        if self.confirmer.is_some() {
            batch.effects.take_queues_stored_by();
        }
        let passed = self.pass(message, &routing_keys, &mut batch.effects)?;
        if !passed.is_routed && !passed.is_duplicate && passed.safe_at == Ok(None) {
            self.publish_unroutable(mandatory, message, batch);
            return Ok(());
        }
        batch.published += 1;
        self.tell_unroutable(&passed, mandatory, message);
        let Some(confirmer) = self.confirmer.clone() else {
            batch.is_unsafe |= passed.safe_at.is_err();
            return Ok(());
        };
        let queues_stored_by = batch.effects.take_queues_stored_by();
        let tag = self.take_publish_tag();
        let refused = match passed.is_refused || passed.safe_at.is_err() {
            true => vec![tag],
            false => Vec::new(),
        };
        confirmer.handed_over(
            tag,
            tag,
            refused,
            passed.safe_at.ok().flatten(),
            queues_stored_by,
        );
        batch.has_published = true;
        Ok(())
    }

    /// Publishes a message through such exchanges, now.
    pub(super) fn pass(
        &self,
        message: &Message<'_>,
        routing_keys: &[Bytes],
        effects: &mut Effects,
    ) -> Result<Passed, Exception> {
        let own = std::iter::once(message.routing_key);
        let keys: Vec<_> = own
            .chain(routing_keys.iter().map(AsRef::as_ref))
            .map(String::from_utf8_lossy)
            .collect();
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let vhost = &self.shared.vhost;
        if !vhost.is_traced() {
            return vhost.pass(message, &keys, &|_| (), effects);
        }
        let went_to = RefCell::new(Vec::new());
        let sees = |queue: &Queue| went_to.borrow_mut().push(Arc::clone(queue.name()));
        let passed = vhost.pass(message, &keys, &sees, effects)?;
        self.trace_publish_to(message, went_to.take());
        Ok(passed)
    }

    /// What reaches no queue is returned if it is mandatory, a duplicate as well, as with RabbitMQ's
    /// plugin; but that is why a duplicate goes nowhere, so that it does not count as dropped.
    pub(super) fn tell_unroutable(&self, passed: &Passed, mandatory: bool, message: &Message<'_>) {
        if !passed.is_routed && (mandatory || !passed.is_duplicate) {
            self.unroutable(mandatory, message);
        }
    }
}
