//! What becomes of delivered messages: acked, rejected, given back; and basic.get, which delivers
//! one on demand.

use std::sync::Arc;

use super::delivery_count::with_delivery_count;
use super::{Queue, QueueType, State, band_of, number_of, sequence_of};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::dead_letter::Reason;
use crate::broker::names::Resource;
use crate::broker::{Delivery, Effects};

use super::consumers::ConsumerId;
use super::paging::Then;
use super::retry::Cause;

/// What a get came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// A message was shown.
    Message,
    /// There is none.
    Nothing,
    /// There is one, but it must be read from the disk first.
    NotLoaded,
    /// There is one, but the disk does not give it.
    Unreadable,
}

impl Queue {
    /// Takes the first message, if there is one, and shows it to `take` together with how many
    /// remain ready. `take` is called with the queue's lock held, under the rules of a sink.
    pub fn get(
        self: &Arc<Self>,
        no_ack: bool,
        effects: &mut Effects,
        take: &mut dyn FnMut(&Delivery<'_>, u64),
    ) -> Got {
        let mut state = self.state.lock();
        if state.wants.expires_ms.is_some() {
            state.used_at_ms = self.spec.engine.clock.now_ms();
        }
        if state.may_expire {
            let now_ms = self.spec.engine.clock.now_ms();
            self.drop_expired(&mut state, now_ms, effects);
        }
        let head = state.head();
        let first = head.and_then(|head| Some((head, state.first_of(head)?)));
        let Some((head, (number, back))) = first else {
            self.after(&mut state);
            return Got::Nothing;
        };
        let band = head.band();
        let body_bytes = match state.bands[band].record(number) {
            Ok(record) => record.message.body.len() as u64,
            Err(_) => {
                let is_unreadable = state.is_unreadable(band, number);
                self.after(&mut state);
                return match is_unreadable {
                    true => Got::Unreadable,
                    false => Got::NotLoaded,
                };
            }
        };
        state.note_use();
        state.take(head, 1, body_bytes);
        let cursor = sequence_of(band, state.bands[band].cursor());
        let is_counted = state.counts_deliveries() && back.returns.is_any();
        if !no_ack && let Some(log) = self.log_of(&mut state, effects) {
            log.delivered(self.spec.id.0, cursor);
            if is_counted {
                log.returned(
                    self.spec.id.0,
                    sequence_of(band, number),
                    back.returns.again(true),
                );
            }
        }
        if state.may_expire {
            // What has expired behind it does not count as remaining.
            let now_ms = self.spec.engine.clock.now_ms();
            self.drop_expired(&mut state, now_ms, effects);
        }
        let remaining = state.ready;
        let counted;
        if let Ok(mut record) = state.bands[band].record(number) {
            if state.counts_deliveries() && back.returns.is_any() {
                counted = with_delivery_count(record.message.properties, back.returns);
                record.message.properties = &counted;
            }
            let delivery = Delivery {
                message: record.message,
                sequence: sequence_of(band, number),
                returns: back.returns,
                redelivered: back.redelivered,
            };
            take(&delivery, remaining);
        }
        if no_ack {
            let sequence = sequence_of(band, number);
            self.settle_logged(&mut state, sequence, sequence, effects);
        } else {
            state.unacked += 1;
        }
        self.after(&mut state);
        Got::Message
    }

    /// Calls `then` when the message at the head has come from the disk, or can't be read.
    pub fn when_head_is_loaded(self: &Arc<Self>, then: Then) {
        let mut state = self.state.lock();
        let head = state.head();
        let head = head.and_then(|head| Some((head.band(), state.first_of(head)?.0)));
        let is_there = head.is_none_or(|(band, number)| {
            state.bands[band].record(number).is_ok() || state.is_unreadable(band, number)
        });
        if is_there || self.is_deleted() {
            drop(state);
            then();
        } else {
            self.wait_for_head(&mut state, then);
        }
    }

    /// Whether a client may get messages one by one.
    ///
    /// # Errors
    /// NOT_IMPLEMENTED for a stream, RESOURCE_LOCKED for a quorum queue with a single active consumer, as
    /// in RabbitMQ.
    pub fn check_get(&self) -> Result<(), Exception> {
        self.refuse_for_stream("basic.get")?;
        if self.queue_type != QueueType::Quorum || !self.state.lock().wants.single_active_consumer {
            return Ok(());
        }
        let queue = Resource::queue(&self.spec.name, &self.spec.vhost_name);
        let text = format!(
            "cannot obtain access to locked {queue}. basic.get operations are not supported by quorum \
             queues with single active consumer"
        );
        Err(Exception::new(ReplyCode::ResourceLocked, text))
    }

    /// Whether a client may purge it.
    ///
    /// # Errors
    /// NOT_IMPLEMENTED for a stream, as in RabbitMQ.
    pub fn check_purge(&self) -> Result<(), Exception> {
        self.refuse_for_stream("queue.purge")
    }

    fn refuse_for_stream(&self, method: &str) -> Result<(), Exception> {
        if self.queue_type != QueueType::Stream {
            return Ok(());
        }
        let queue = Resource::queue(&self.spec.name, &self.spec.vhost_name);
        let text = format!("{method} not supported by stream queues {queue}");
        Err(Exception::new(ReplyCode::NotImplemented, text))
    }

    /// Settles messages for good, as ranges `(first, last)` of sequences, all of which this
    /// caller has unacked; then resumes consumers which got room by it.
    pub fn ack(
        self: &Arc<Self>,
        ranges: &[(u64, u64)],
        resume: &[ConsumerId],
        effects: &mut Effects,
    ) {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return;
        }
        if state.stream.is_some() {
            return self.resume_readers(&mut state, resume, effects);
        }
        state.note_use();
        for &(first, last) in ranges {
            state.unacked -= last - first + 1;
            self.settle_logged(&mut state, first, last, effects);
        }
        state.resume(resume);
        self.run(&mut state, effects);
    }

    /// Gives messages back, which this caller has unacked, by their sequences: to their place, or to where
    /// `head.rs` says, at once or after a delay, which depends on the `cause`.
    pub fn requeue(
        self: &Arc<Self>,
        returned: &[u64],
        cause: Cause,
        resume: &[ConsumerId],
        effects: &mut Effects,
    ) {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return;
        }
        if state.stream.is_some() {
            return self.resume_readers(&mut state, resume, effects);
        }
        state.note_use();
        let is_counted = state.counts_deliveries();
        for &sequence in returned {
            let band = state.bands.get(band_of(sequence));
            let mut returns = band.map_or_else(Default::default, |band| {
                band.returns_of(number_of(sequence))
            });
            if is_counted {
                returns = returns.again(cause.is_failure());
            }
            if state.wants.is_too_often(returns) {
                self.give_up(&mut state, sequence, Reason::DeliveryLimit, effects);
                continue;
            }
            // That it failed was said when it was delivered.
            if is_counted
                && !cause.is_failure()
                && let Some(log) = self.log_of(&mut state, effects)
            {
                log.returned(self.spec.id.0, sequence, returns);
            }
            if self.wait_to_retry(&mut state, sequence, returns, cause, effects) {
                continue;
            }
            state.give_back(sequence, returns);
            state.unacked -= 1;
        }
        self.drop_over_length(&mut state, effects);
        if state.may_expire {
            let now_ms = self.spec.engine.clock.now_ms();
            self.drop_expired(&mut state, now_ms, effects);
        }
        state.resume(resume);
        self.run(&mut state, effects);
    }

    /// Rejects messages, by their sequences, without requeue: dead-letters them as `rejected`, or drops them.
    pub fn reject(
        self: &Arc<Self>,
        returned: &[u64],
        resume: &[ConsumerId],
        effects: &mut Effects,
    ) {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return;
        }
        if state.stream.is_some() {
            return self.resume_readers(&mut state, resume, effects);
        }
        state.note_use();
        for sequence in returned {
            self.give_up(&mut state, *sequence, Reason::Rejected, effects);
        }
        state.resume(resume);
        self.run(&mut state, effects);
    }
}

impl State {
    /// Consumers have room (again). Says whether any had none before.
    pub(super) fn resume(&mut self, consumers: &[ConsumerId]) -> bool {
        let all = consumers.iter().map(|id| self.consumers.has_room(*id));
        all.fold(false, |any, one| any | one)
    }
}
