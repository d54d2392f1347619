//! Who consumes from a queue comes and goes.

use super::{BY, push_by_whom, terms};
use crate::amqp::table::FieldTable;
use crate::broker::notices::{Notices, acting};
use crate::broker::queue::QueueType;
use crate::broker::{ConnectionId, Queue};

/// A consumer, for what is told of it.
pub struct Consumed<'a> {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its channel there.
    pub channel: u16,
    /// Its tag.
    pub tag: &'a str,
    /// From what.
    pub queue: &'a Queue,
    /// The queue's vhost.
    pub vhost: &'a str,
}

impl Notices {
    /// Somebody consumes from a queue: with these arguments, and so many deliveries unacked at most (0: any
    /// number).
    pub fn consumer_created(
        &self,
        consumed: &Consumed<'_>,
        arguments: &FieldTable,
        prefetch: u16,
        (exclusive, no_ack): (bool, bool),
    ) {
        self.event("consumer.created", || {
            let mut headers = FieldTable::new();
            push_by_whom(&mut headers);
            headers.push("arguments", terms(arguments));
            headers.push("prefetch_count", i64::from(prefetch));
            named_queue(&mut headers, consumed);
            let pid = self.channel_pid(consumed.connection, consumed.channel);
            headers.push("channel", pid.as_str());
            headers.push("ack_required", !no_ack);
            headers.push("exclusive", exclusive);
            headers.push("consumer_tag", consumed.tag);
            headers
        });
    }

    /// Nobody does under that tag any more. Quorum queues do not know who ended it.
    pub fn consumer_deleted(&self, consumed: &Consumed<'_>) {
        let is_unknown = consumed.queue.queue_type() == QueueType::Quorum;
        let by = (!is_unknown).then(acting::name);
        self.consumer_gone(consumed, Some(by.as_deref().unwrap_or(acting::NOBODY)));
    }

    /// The same, because the queue is gone: queues but classic ones leave that to its channel, which does not
    /// know who deleted them.
    pub fn consumer_bereft(&self, consumed: &Consumed<'_>) {
        let is_known = consumed.queue.queue_type() == QueueType::Classic;
        let by = is_known.then(acting::name);
        self.consumer_gone(consumed, by.as_deref());
    }

    fn consumer_gone(&self, consumed: &Consumed<'_>, by: Option<&str>) {
        self.event("consumer.deleted", || {
            let mut headers = FieldTable::new();
            if let Some(by) = by {
                headers.push(BY, by);
            }
            named_queue(&mut headers, consumed);
            let pid = self.channel_pid(consumed.connection, consumed.channel);
            headers.push("channel", pid.as_str());
            headers.push("consumer_tag", consumed.tag);
            headers
        });
    }
}

fn named_queue(headers: &mut FieldTable, consumed: &Consumed<'_>) {
    headers.push("queue", &**consumed.queue.name());
    headers.push("vhost", consumed.vhost);
}
