//! Consumers: basic.consume, basic.cancel, basic.qos.
//!
//! A consumer is made in three steps, so that its consume-ok is written before its first delivery:
//! it is added to the queue, consume-ok is written, and then the queue may deliver to it.

use std::sync::Arc;

use super::Channel;
use super::read_batch::Gathering;
use super::reply_to::REPLY_TO;
use super::slots::{Consumer, ConsumerState, Waits};
use crate::amqp::encode::DeliverTemplate;
use crate::amqp::method::basic;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue, ShortStr};
use crate::auth::Permission;
use crate::broker::names::{Resource, made_up};
use crate::broker::queue::{
    ConsumerSpec, ConsumerTimeout, Filter, QueueType, Start, TimeoutAction,
};
use crate::broker::{Queue, SinkRef};

/// A channel has no more consumers than this. (RabbitMQ has a setting for it since 4.0.)
const MAX_CONSUMERS: usize = 1 << 16;

impl Channel {
    pub(super) fn consume(
        &mut self,
        mut consume: basic::Consume,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        consume.queue = self.or_last_declared(consume.queue)?;
        if !consume.consumer_tag.is_empty()
            && self
                .deliveries
                .lock()
                .slots
                .of_tag(&consume.consumer_tag)
                .is_some()
        {
            let tag = &consume.consumer_tag;
            return Err(Exception::new(
                ReplyCode::NotAllowed,
                format!("attempt to reuse consumer tag '{tag}'"),
            ));
        }
        if consume.queue == REPLY_TO {
            return self.consume_replies(consume);
        }
        if self.deliveries.lock().slots.consumers() >= MAX_CONSUMERS {
            let text = format!("reached maximum ({MAX_CONSUMERS}) of consumers per channel");
            return Err(Exception::new(ReplyCode::NotAllowed, text));
        }
        self.check_permission(Permission::Read, self.queue(&consume.queue))?;
        let queue = self.shared.vhost.queue(&consume.queue, self.shared.id)?;
        let queue_type = queue.queue_type();
        let resource = Resource::queue(&consume.queue, self.shared.vhost.name());
        let is_stream = queue_type == QueueType::Stream;
        let (mut reading, mut priority) = (None, 0);
        if is_stream {
            let now_ms = self.shared.broker.engine.clock.now_ms();
            let start = Start::parse(&consume.arguments, resource, now_ms)?;
            reading = Some((start, Filter::parse(&consume.arguments)));
        } else {
            priority = check_arguments(queue_type, &consume.arguments, resource)?;
        }
        let timeout = check_timeout(&consume.arguments, resource)?;
        check_takes(queue_type, &consume.arguments, resource)?;
        if is_stream {
            self.check_stream_consumer(consume.no_ack, resource)?;
        }
        let is_limited = || self.deliveries.lock().channel_prefetch.is_limited();
        if queue_type != QueueType::Classic && is_limited() {
            let text = format!("{resource} does not support global qos");
            return Err(Exception::new(ReplyCode::NotImplemented, text));
        }
        let reading = match reading {
            Some((start, filter)) => Some((start.ok_or_else(Start::says_nothing)?, filter)),
            None => None,
        };
        let tag = match consume.consumer_tag.is_empty() {
            true => made_up_tag(),
            false => consume.consumer_tag,
        };

        let consumer = Consumer {
            tag: tag.clone(),
            template: DeliverTemplate::new(self.number, tag.as_bytes(), self.shared.frame_max),
            id: None,
            no_ack: consume.no_ack,
            prefetch: self.prefetch.into(),
            timeout,
            waits: Waits::Not,
            waits_since: 0,
            state: ConsumerState::Starting,
        };
        let slot = self
            .deliveries
            .lock()
            .slots
            .add_consumer(Arc::clone(&queue), consumer);
        let sink: SinkRef = self.deliveries.clone();
        let spec = ConsumerSpec {
            tag: Arc::clone(tag.as_arc()),
            sink,
            slot,
            no_ack: consume.no_ack,
            // To quorum queues and streams RabbitMQ lets everybody, whatever they ask for.
            exclusive: consume.exclusive && queue_type == QueueType::Classic,
            priority,
        };
        let added = match reading {
            None => queue.add_consumer(spec),
            Some((start, filter)) => queue.add_reader(spec, start, filter),
        };
        if !consume.no_ack {
            self.shared.watch_timeouts(timeout, &queue);
        }
        let id = added.inspect_err(|_| {
            let slots = &mut self.deliveries.lock().slots;
            slots.cancel(slot);
            slots.free_if_done(slot);
        })?;
        self.shared.broker.metrics().consumers_added.add(1);
        let (notices, switches) = (
            &self.shared.broker.engine.notices,
            (consume.exclusive, consume.no_ack),
        );
        let consumed = self.deliveries.consumed(&queue, &tag);
        notices.consumer_created(&consumed, &consume.arguments, self.prefetch, switches);
        if !consume.no_wait {
            self.reply_unless(
                false,
                basic::ConsumeOk {
                    consumer_tag: tag.clone(),
                },
            );
        }
        if self.deliveries.lock().slots.start(slot, id) {
            queue.resume(&[id], &mut batch.effects);
        } else {
            // The queue was deleted in between.
            let notices = &self.shared.broker.engine.notices;
            notices.consumer_bereft(&self.deliveries.consumed(&queue, &tag));
            self.deliveries.write_cancel(tag);
            self.deliveries.lock().slots.free_if_done(slot);
            self.shared.broker.metrics().consumers_removed.add(1);
        }
        Ok(())
    }

    /// A stream gives credit by acks alone.
    fn check_stream_consumer(&self, no_ack: bool, queue: Resource<'_>) -> Result<(), Exception> {
        if self.prefetch == 0 {
            let text = format!("consumer prefetch count is not set for '{queue}'");
            return Err(Exception::new(ReplyCode::PreconditionFailed, text));
        }
        if no_ack {
            let text = format!("automatic acknowledgement not supported by stream queues {queue}");
            return Err(Exception::new(ReplyCode::NotImplemented, text));
        }
        Ok(())
    }

    pub(super) fn cancel(
        &mut self,
        cancel: basic::Cancel,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        let tag = cancel.consumer_tag;
        let replies = self.has_reply_consumer
            && self
                .deliveries
                .lock()
                .reply_consumer
                .as_ref()
                .is_some_and(|consumer| consumer.tag == tag);
        let vacant = match replies {
            true => {
                self.stop_replies();
                None
            }
            false => self.cancel_consumer(&tag, batch),
        };
        if !cancel.no_wait {
            self.reply_unless(false, basic::CancelOk { consumer_tag: tag });
        }
        if let Some(queue) = vacant {
            queue.activate_next(&mut batch.effects);
        }
        Ok(())
    }

    /// Ends a consumer; one that is not there is no error. Once this is done nothing more is
    /// delivered to it. Says which queue's single active consumer it was: the next one is to follow.
    fn cancel_consumer(&mut self, tag: &ShortStr, batch: &mut Gathering<'_>) -> Option<Arc<Queue>> {
        let mut state = self.deliveries.lock();
        let slot = state.slots.of_tag(tag)?;
        state.slots.cancel(slot);
        let in_queue = state.slots.get_mut(slot).and_then(|slot| {
            let id = slot.consumer.as_ref()?.id?;
            Some((Arc::clone(&slot.queue), id))
        });
        drop(state);
        let vacant = in_queue.and_then(|(queue, id)| {
            let notices = &self.shared.broker.engine.notices;
            notices.consumer_deleted(&self.deliveries.consumed(&queue, tag));
            let was_active = queue.remove_consumers(&[id], &mut batch.effects);
            was_active.then_some(queue)
        });
        self.deliveries.lock().slots.free_if_done(slot);
        self.shared.broker.metrics().consumers_removed.add(1);
        vacant
    }

    /// basic.qos: global=false is about consumers yet to come, global=true about the whole
    /// channel; and as in RabbitMQ the former also lifts the latter.
    pub(super) fn qos(
        &mut self,
        qos: basic::Qos,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(Exception::new(ReplyCode::NotImplemented, text));
        }
        let mut state = self.deliveries.lock();
        let unsettled = state.unacked.len();
        match qos.global {
            true => state
                .channel_prefetch
                .set(qos.prefetch_count.into(), unsettled),
            false => {
                self.prefetch = qos.prefetch_count;
                state.channel_prefetch.set(0, unsettled);
            }
        }
        let resumable = state.take_waiting_for_channel();
        drop(state);
        self.reply_unless(false, basic::QosOk);
        Queue::resume_all(&resumable, &mut batch.effects);
        Ok(())
    }
}

/// A consumer tag where the client named none.
pub(super) fn made_up_tag() -> ShortStr {
    ShortStr::from(made_up("amq.ctag"))
}

/// Checks that arguments which some types of queue know are given only to those; what none knows is let
/// pass, as in RabbitMQ (3.13, as far as filters are concerned).
fn check_takes(
    queue_type: QueueType,
    arguments: &FieldTable,
    queue: Resource<'_>,
) -> Result<(), Exception> {
    let is_foreign = |argument: &str| match argument {
        "x-priority" => queue_type == QueueType::Stream,
        "x-cancel-on-ha-failover" => queue_type != QueueType::Classic,
        "x-stream-offset" | "x-stream-filter" | "x-stream-match-unfiltered" => {
            queue_type != QueueType::Stream
        }
        // x-credit was for the AMQP 1.0 clients of RabbitMQ before 4.0, which does not look at it.
        _ => false,
    };
    let mut given = arguments.iter().map(|(argument, _)| argument);
    match given.find(|argument| is_foreign(argument)) {
        None => Ok(()),
        Some(argument) => Err(Exception::new(
            ReplyCode::PreconditionFailed,
            format!(
                "invalid arg '{argument}' for {queue} of queue type {}",
                queue_type.module()
            ),
        )),
    }
}

/// What a consumer asks for itself of deliveries that take too long.
fn check_timeout(
    arguments: &FieldTable,
    queue: Resource<'_>,
) -> Result<ConsumerTimeout, Exception> {
    let invalid = |name: &str, reason: String| {
        Err(Exception::new(
            ReplyCode::PreconditionFailed,
            format!("invalid arg '{name}' for {queue}: {reason}"),
        ))
    };
    const AFTER: &str = "x-consumer-timeout";
    let after_ms = match arguments.get(AFTER) {
        None => None,
        Some(value) => match value.as_i64().map(|number| (number, u64::try_from(number))) {
            Some((_, Ok(after_ms))) => Some(after_ms),
            Some((number, Err(_))) => {
                return invalid(AFTER, format!("{{value_negative,{number}}}"));
            }
            None => {
                let kind = value.type_name();
                return invalid(AFTER, format!("\"expected integer, got {kind}\""));
            }
        },
    };
    const ACTION: &str = "x-consumer-timeout-action";
    let action = match arguments.get(ACTION) {
        None => None,
        Some(value) => match value.as_bytes().and_then(TimeoutAction::from_name) {
            Some(action) => Some(action),
            None => return invalid(ACTION, "\"expected close or return\"".into()),
        },
    };
    Ok(ConsumerTimeout::said(after_ms, action))
}

/// Checks the arguments that classic and quorum queues know, and says the consumer's priority.
fn check_arguments(
    queue_type: QueueType,
    arguments: &FieldTable,
    queue: Resource<'_>,
) -> Result<i32, Exception> {
    let invalid = |name: &str, reason: String| {
        Err(Exception::new(
            ReplyCode::PreconditionFailed,
            format!("invalid arg '{name}' for {queue}: {reason}"),
        ))
    };
    let priority = match arguments.get("x-priority") {
        None => 0,
        Some(value) => match value.as_i64() {
            Some(priority) => priority.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
            None => {
                let kind = value.type_name();
                return invalid("x-priority", format!("\"expected integer, got {kind}\""));
            }
        },
    };
    let unacceptable = |name: &str, value: &FieldValue| {
        invalid(name, format!("{{unacceptable_type,{}}}", value.type_name()))
    };
    match arguments.get("x-cancel-on-ha-failover") {
        Some(other)
            if queue_type == QueueType::Classic && !matches!(other, FieldValue::Bool(_)) =>
        {
            unacceptable("x-cancel-on-ha-failover", other)
        }
        _ => Ok(priority),
    }
}
