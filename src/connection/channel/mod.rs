//! The channel machine: what a client does on one channel, sans-IO.
//!
//! ```text
//! publishes ──▶ publish.rs ──▶ read_batch.rs ──▶ queues        (content.rs: those in pieces;
//!                   │              │                            message_checks.rs, sender_selected.rs,
//!               route_cache.rs     └─▶ confirmer.rs ──▶ client  tx.rs: special ones)
//!                                    (confirms.rs)   passage.rs: past exchanges with a memory
//!
//! consume.rs ──▶ slots.rs ◀── delivery.rs ◀── queues (and get.rs, reply_to.rs)
//!                                 │
//!                                 └─▶ content_frames.rs ──▶ client
//! acks ──▶ settle.rs ──▶ unacked.rs ──▶ queues   timeouts.rs: what nobody settles in time
//! exchanges.rs, queues.rs: declare, bind, delete   permissions.rs: what they check
//! safe_replies.rs: replies that wait for the log   firehose.rs: what it tells where that is wanted
//! ```
//!
//! In: methods and contents, in the order in which the client sent them. Out: calls of the engine
//! and frames in the outgoing buffer. Publishes and acknowledgements of one read are gathered and
//! done together; everything else comes after what was gathered before it. The checks, their
//! order and their texts are RabbitMQ's.

mod confirmer;
mod confirms;
mod consume;
mod content;
mod content_frames;
mod delivery;
mod exchanges;
mod firehose;
mod get;
mod message_checks;
mod passage;
mod permissions;
mod publish;
mod queues;
mod read_batch;
mod reply_to;
mod route_cache;
mod safe_replies;
mod sender_selected;
mod settle;
mod slots;
mod timeouts;
mod tx;
mod unacked;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

pub use self::read_batch::ReadBatch;

use self::confirmer::Confirmer;
use self::content::Assembly;
use self::delivery::Deliveries;
use self::read_batch::Gathering;
use self::route_cache::RouteCache;
use self::settle::{Outcome, Settling};
use self::tx::{PutOff, Transaction};
use self::unacked::Unsettled;
use super::Shared;
use super::pause::Then;
use crate::amqp::encode;
use crate::amqp::method::{Method, access, channel};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::ShortStr;
use crate::broker::catalog::{Durability, Revision};
use crate::broker::notices::Acting;
use crate::broker::queue::{Cause, QueueType};
use crate::broker::{Effects, Queue};

/// A publisher waits for slower consumers no longer than this after each read.
const LONGEST_PACE: Duration = Duration::from_millis(2);

/// What a channel lets go of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// Its consumers of classic queues, and all that it took from those queues.
    ConsumedClassicQueues,
    All,
}

/// One channel.
pub struct Channel {
    number: u16,
    shared: Arc<Shared>,
    /// Consumers and what was delivered: shared with the queues.
    deliveries: Arc<Deliveries>,
    /// The publish that is arriving in pieces.
    assembly: Assembly,
    routes: RouteCache,
    /// Publishes with shorter bodies than this may take the short way.
    usual_body_bytes: usize,
    /// In confirm mode.
    confirmer: Option<Arc<Confirmer>>,
    next_publish_tag: u64,
    /// In tx mode.
    transaction: Option<Transaction>,
    /// What waits until tx.commit-ok is out.
    put_off: Option<PutOff>,
    /// For consumers yet to come; 0 is no limit.
    prefetch: u16,
    /// The queue that is meant where a name is empty.
    last_declared: ShortStr,
    has_reply_consumer: bool,
    /// By when that is stored which the client changed here and wanted no answer to.
    unanswered: Cell<Revision>,
    /// How many reply consumers there have been.
    reply_consumers: u32,
    is_open: bool,
}

impl Channel {
    /// A channel that the client has just opened.
    pub fn open(number: u16, shared: &Arc<Shared>) -> Self {
        shared.broker.metrics().channels_opened.add(1);
        shared.tell_channel_created(number);
        Self {
            number,
            shared: Arc::clone(shared),
            deliveries: Deliveries::new(number, shared),
            assembly: Assembly::default(),
            routes: RouteCache::default(),
            usual_body_bytes: publish::usual_body_bytes(shared),
            confirmer: None,
            next_publish_tag: 1,
            transaction: None,
            put_off: None,
            prefetch: 0,
            last_declared: ShortStr::default(),
            has_reply_consumer: false,
            unanswered: Cell::default(),
            reply_consumers: 0,
            is_open: true,
        }
    }

    /// A method other than those of class connection and channel.open/close/close-ok. An error's
    /// code decides what the connection closes; the connection knows class and method ids. What
    /// was gathered before is to be handed over all the same, by [`Channel::finish`].
    pub fn method<'a>(
        &mut self,
        method: Method,
        batch: &mut ReadBatch<'a>,
    ) -> Result<(), Exception> {
        let batch = &mut batch.0;
        self.assembly.method()?;
        match method {
            Method::BasicPublish(publish) => {
                self.assembly.publish(publish);
                Ok(())
            }
            Method::BasicAck(ack) => self.ack(ack, batch),
            Method::BasicNack(nack) => self.nack(nack, batch),
            Method::BasicReject(reject) => self.reject(reject, batch),
            other => {
                self.finish_gathered(batch);
                let _acting = Acting::on_behalf_of(Some(self.shared.user.name()));
                self.dispatch(other, batch)
            }
        }
    }

    /// A method that comes after everything before it.
    fn dispatch(&mut self, method: Method, batch: &mut Gathering<'_>) -> Result<(), Exception> {
        match method {
            Method::BasicConsume(consume) => self.consume(consume, batch),
            Method::BasicCancel(cancel) => self.cancel(cancel, batch),
            Method::BasicGet(get) => self.get(get, batch),
            Method::BasicQos(qos) => self.qos(qos, batch),
            Method::BasicRecoverAsync(recover) => self.recover(recover.requeue, false, batch),
            Method::BasicRecover(recover) => self.recover(recover.requeue, true, batch),
            Method::QueueDeclare(declare) => self.declare_queue(declare),
            Method::QueueBind(bind) => self.bind_queue(bind),
            Method::QueueUnbind(unbind) => self.unbind_queue(unbind),
            Method::QueuePurge(purge) => self.purge_queue(purge, batch),
            Method::QueueDelete(delete) => self.delete_queue(delete, batch),
            Method::ExchangeDeclare(declare) => self.declare_exchange(declare),
            Method::ExchangeDelete(delete) => self.delete_exchange(delete),
            Method::ExchangeBind(bind) => self.bind_exchange(bind),
            Method::ExchangeUnbind(unbind) => self.unbind_exchange(unbind),
            Method::ConfirmSelect(select) => self.confirm_select(select),
            Method::TxSelect(_) => self.tx_select(),
            Method::TxCommit(_) => self.tx_commit(batch),
            Method::TxRollback(_) => self.tx_rollback(),
            Method::ChannelFlow(flow) => self.flow(flow),
            Method::AccessRequest(_) => {
                self.reply_unless(false, access::RequestOk { ticket: 1 });
                Ok(())
            }
            _ => Err(Exception::new(
                ReplyCode::CommandInvalid,
                "unimplemented method",
            )),
        }
    }

    /// A content header frame's payload.
    pub fn content_header<'a>(
        &mut self,
        payload: &'a [u8],
        batch: &mut ReadBatch<'a>,
    ) -> Result<(), Exception> {
        match self
            .assembly
            .header(payload, self.shared.max_message_bytes)?
        {
            Some(assembled) => self.publish_assembled(assembled, &mut batch.0),
            None => Ok(()),
        }
    }

    /// A content body frame's payload.
    pub fn content_body<'a>(
        &mut self,
        payload: &'a [u8],
        batch: &mut ReadBatch<'a>,
    ) -> Result<(), Exception> {
        match self.assembly.body(payload)? {
            Some(assembled) => self.publish_assembled(assembled, &mut batch.0),
            None => {
                let engine = &self.shared.broker.engine;
                self.assembly.hold(payload.len(), engine);
                Ok(())
            }
        }
    }

    /// The read is used up (or another channel's frames follow): hand over what was gathered.
    /// Also before [`Channel::close`] and [`Channel::fail`].
    pub fn finish(&mut self, batch: &mut ReadBatch<'_>) -> Result<(), Exception> {
        self.finish_gathered(&mut batch.0);
        // Who has no confirms is told in another way that its messages may be lost.
        match std::mem::take(&mut batch.0.is_unsafe) {
            true => Err(safe_replies::not_safe()),
            false => Ok(()),
        }
    }

    fn finish_gathered(&mut self, batch: &mut Gathering<'_>) {
        self.hand_over(batch);
        self.settle_gathered(batch);
        batch.effects.complete();
        self.send_confirms();
        if std::mem::take(&mut batch.has_published) {
            self.heed_gate();
        }
        if let Some((queue, published)) = batch.effects.behind.take() {
            let resume = self.shared.pause_at_most(self.number, LONGEST_PACE);
            queue.when_taken(published, Box::new(move || resume.go_on()));
        }
    }

    /// A publisher waits where it is faster than the disk.
    fn heed_gate(&self) {
        let gate = &self.shared.broker.engine.gate;
        if gate.is_closed() && !self.shared.pauses.any() {
            let resume = self.shared.pause(self.number, Then::GoOn);
            gate.when_open(Box::new(move || resume.go_on()));
        }
    }

    /// An exception: nothing is delivered, confirmed or answered any more, and an open transaction is
    /// dropped. Classic queues that are consumed from here get back all that was taken from them,
    /// whichever way. Everything else stays as it is until the client has answered and
    /// [`Channel::close`] is called: RabbitMQ's channel, too, is there until then.
    pub fn fail(&mut self) {
        self.fall_silent();
        self.assembly = Assembly::default();
        self.routes = RouteCache::default();
        self.leave(Leaving::ConsumedClassicQueues);
    }

    /// The channel closes, for whatever reason: consumers go, what is unacked is requeued, an
    /// open transaction is dropped.
    pub fn close(&mut self) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        self.fall_silent();
        self.leave(Leaving::All);
        self.shared.broker.metrics().channels_closed.add(1);
        let (id, user) = (self.shared.id, self.shared.user.name());
        let notices = &self.shared.broker.engine.notices;
        notices.channel_closed(id, self.number, user);
    }

    fn fall_silent(&mut self) {
        if let Some(confirmer) = &self.confirmer {
            confirmer.close();
        }
        self.stop_replies();
        self.deliveries.lock().close();
    }

    /// Consumers go, and what was taken goes back.
    fn leave(&mut self, leaving: Leaving) {
        let mut effects = Effects::new();
        let goes =
            |queue: &Queue| leaving == Leaving::All || queue.queue_type() == QueueType::Classic;
        let mut consumers = self.deliveries.lock().slots.cancel_those(goes);
        let metrics = self.shared.broker.metrics();
        metrics.consumers_removed.add(consumers.len() as u64);
        // First the consumers, so that nothing comes back to them.
        let mut vacant = Vec::new();
        consumers.sort_unstable_by_key(|(queue, id, _)| (queue.id(), *id));
        let notices = &self.shared.broker.engine.notices;
        let internally = Acting::on_behalf_of(None);
        for (queue, _, tag) in &consumers {
            notices.consumer_deleted(&self.deliveries.consumed(queue, tag));
        }
        drop(internally);
        for of_one_queue in consumers.chunk_by(|one, other| one.0.id() == other.0.id()) {
            let ids: Vec<_> = of_one_queue.iter().map(|(_, id, _)| *id).collect();
            if let Some((queue, ..)) = of_one_queue.first()
                && queue.remove_consumers(&ids, &mut effects)
            {
                vacant.push(Arc::clone(queue));
            }
        }
        let consumed = |queue: &Queue| {
            let place = consumers.binary_search_by_key(&queue.id(), |(queue, ..)| queue.id());
            place.is_ok()
        };
        let mut settling = Settling::new(Outcome::Returned(Cause::Abandoned));
        settling.deliveries =
            self.take_unsettled(|queue| leaving == Leaving::All || consumed(queue));
        settling.settle(&self.deliveries, &mut effects);
        for queue in vacant {
            queue.activate_next(&mut effects);
        }
        effects.complete();
    }

    /// Takes what these queues gave and nobody settled, or not for good.
    fn take_unsettled(&mut self, gave: impl Fn(&Queue) -> bool) -> Vec<Unsettled> {
        let transaction = self.transaction.take().into_iter();
        let put_off = self.put_off.take().into_iter();
        let mut all: Vec<Unsettled> = transaction
            .flat_map(Transaction::into_unsettled)
            .chain(put_off.flat_map(PutOff::into_unsettled))
            .collect();
        let state = &mut *self.deliveries.lock();
        state.unacked.take_all(|delivery| all.push(delivery));
        let goes = |delivery: &Unsettled| {
            let slot = state.slots.get_mut(delivery.slot);
            slot.is_none_or(|slot| gave(&slot.queue))
        };
        let (taken, stays): (Vec<_>, Vec<_>) = all.into_iter().partition(goes);
        state.unacked.put_back(stays);
        taken
    }

    fn flow(&mut self, flow: channel::Flow) -> Result<(), Exception> {
        if !flow.active {
            return Err(Exception::new(ReplyCode::NotImplemented, "active=false"));
        }
        self.reply_unless(false, channel::FlowOk { active: true });
        Ok(())
    }

    /// Answers a change of the topology, unless its client does not wait for that, once the catalog
    /// has stored it; the connection is paused until then.
    fn reply_when_stored(&self, no_wait: bool, durability: Durability, answer: impl Into<Method>) {
        let catalog = self.shared.vhost.catalog();
        let revision = match durability {
            Durability::Transient => Revision::default(),
            // Also what another connection has just changed and may not have been told of yet.
            Durability::Durable => catalog.submitted(),
            // And what this client did before without waiting for it.
            Durability::StoredBy(revision) => revision.max(self.unanswered.get()),
        };
        if no_wait {
            self.unanswered.set(revision.max(self.unanswered.get()));
        }
        if no_wait || catalog.stored() >= revision {
            return self.reply_unless(no_wait, answer);
        }
        let reply = Then::Reply(Box::new(answer.into()));
        let resume = self.shared.pause(self.number, reply);
        catalog.when_stored(
            revision,
            Box::new(move |stored| match stored {
                Ok(()) => resume.go_on(),
                Err(error) => resume.fail(error.into()),
            }),
        );
    }

    /// Sends a method once all replies that wait are out.
    fn send_behind_replies(&self, method: Method) {
        if self.shared.pauses.any() {
            let reply = Then::Reply(Box::new(method));
            self.shared.pause(self.number, reply).go_on();
        } else {
            self.reply_unless(false, method);
        }
    }

    /// Answers a method, unless its client does not wait for that.
    fn reply_unless(&self, no_wait: bool, answer: impl Into<Method>) {
        if !no_wait {
            encode::method_frame(
                &mut self.shared.outgoing.lock().frames,
                self.number,
                &answer.into(),
            );
        }
    }
}

impl Drop for Channel {
    /// Should the connection fail to close it: deliveries must not be lost with it.
    fn drop(&mut self) {
        self.close();
    }
}
