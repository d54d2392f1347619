//! Direct reply-to: answers that go from one channel straight to another, through no queue.
//!
//! A client consumes from the pseudo-queue [`REPLY_TO`] and publishes requests with that as their
//! reply-to, which its channel replaces by an address of its own. Whoever answers publishes to
//! that address by way of the default exchange; the answer goes into the requester's outgoing
//! buffer, or nowhere.

use bytes::Bytes;

use super::Channel;
use crate::amqp::encode::DeliverTemplate;
use crate::amqp::method::basic;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::ShortStr;
use crate::broker::names::made_up;
use crate::broker::reply_addresses::ADDRESS_PREFIX;
use crate::broker::{Broker, SinkRef};

/// The pseudo-queue.
pub(super) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Slots with this bit are of reply consumers; the rest counts a channel's reply consumers, so
/// that an answer on its way to an earlier one does not reach the next.
const REPLY_SLOT: u32 = 1 << 31;

/// Whether a slot is a reply consumer's.
pub(super) fn is_reply_slot(slot: u32) -> bool {
    slot & REPLY_SLOT != 0
}

/// A channel's consumer of direct replies.
pub(super) struct ReplyConsumer {
    pub tag: ShortStr,
    pub template: DeliverTemplate,
    pub slot: u32,
    /// What stands behind [`ADDRESS_PREFIX`] in its address.
    key: Bytes,
}

impl ReplyConsumer {
    /// What a request's reply-to is replaced by.
    pub fn address(&self) -> ShortStr {
        ShortStr::from(format!(
            "{ADDRESS_PREFIX}{}",
            String::from_utf8_lossy(&self.key)
        ))
    }
}

/// A declare of the pseudo-queue or of an address, which is always a passive one.
pub(super) fn exists(broker: &Broker, name: &str) -> bool {
    name == REPLY_TO || broker.engine.reply_addresses.contains(name)
}

impl Channel {
    /// basic.consume on the pseudo-queue.
    pub(super) fn consume_replies(&mut self, consume: basic::Consume) -> Result<(), Exception> {
        if !consume.no_ack {
            return Err(precondition_failed("reply consumer cannot acknowledge"));
        }
        if self.has_reply_consumer {
            return Err(precondition_failed("reply consumer already set"));
        }
        let tag = match consume.consumer_tag.is_empty() {
            true => super::consume::made_up_tag(),
            false => consume.consumer_tag,
        };
        let key = Bytes::from(made_up("key").into_bytes());
        self.reply_consumers = self.reply_consumers.wrapping_add(1);
        let slot = REPLY_SLOT | (self.reply_consumers & !REPLY_SLOT);
        let template = DeliverTemplate::new(self.number, tag.as_bytes(), self.shared.frame_max);
        let consumer = ReplyConsumer {
            tag: tag.clone(),
            template,
            slot,
            key: key.clone(),
        };
        self.deliveries.lock().reply_consumer = Some(consumer);
        self.has_reply_consumer = true;
        if !consume.no_wait {
            self.reply_unless(false, basic::ConsumeOk { consumer_tag: tag });
        }
        let sink: SinkRef = self.deliveries.clone();
        let addresses = &self.shared.broker.engine.reply_addresses;
        addresses.insert(key, sink, slot);
        Ok(())
    }

    /// The reply consumer goes, if there is one.
    pub(super) fn stop_replies(&mut self) {
        if std::mem::take(&mut self.has_reply_consumer) {
            let consumer = self.deliveries.lock().reply_consumer.take();
            if let Some(consumer) = consumer {
                let addresses = &self.shared.broker.engine.reply_addresses;
                addresses.remove(&consumer.key);
            }
        }
    }
}

fn precondition_failed(text: &str) -> Exception {
    Exception::new(ReplyCode::PreconditionFailed, text)
}
