//! Transactions: publishes and acknowledgements that take effect at tx.commit.
//!
//! In: what a transactional channel does. Out, at commit: the publishes, in order, then the
//! acknowledgements. As in RabbitMQ a publish is checked and routed when it is made, and only its
//! delivery waits; and there is no atomicity beyond that: a queue that refuses a publish fails the
//! commit, but undoes nothing.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Channel;
use super::read_batch::Gathering;
use super::settle::{Outcome, Resumable, Settling};
use super::unacked::Unsettled;
use crate::amqp::method::tx;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::engine::Held;
use crate::broker::{Body, Effects, Engine, Facts, Message, Queue};

/// What a transaction may hold in memory. RabbitMQ has no limit; whoever needs more than this
/// would exhaust the machine there.
const MAX_BYTES: usize = 256 << 20;

/// What a publish or an acknowledgement takes beside its bytes.
const ENTRY_BYTES: usize = 256;

/// So many messages go to one queue with one call at commit.
const COMMIT_SLICE: usize = 1024;

/// An open transaction.
pub(super) struct Transaction {
    publishes: Vec<Publish>,
    settlements: Vec<(Outcome, Vec<Unsettled>)>,
    held: Held,
}

/// What a commit makes possible, and so must not come before its commit-ok: what is rejected or goes
/// back, and deliveries to consumers that have room by its acknowledgements.
#[derive(Default)]
pub(super) struct PutOff {
    settlings: Vec<Settling>,
    resumable: Resumable,
}

impl PutOff {
    /// The deliveries in it, which are unsettled again.
    pub fn into_unsettled(self) -> impl Iterator<Item = Unsettled> {
        let settlings = self.settlings.into_iter();
        settlings.flat_map(|settling| settling.deliveries)
    }
}

/// A publish that waits for the commit.
pub(super) struct Publish {
    pub exchange: Bytes,
    pub routing_key: Bytes,
    pub properties: Bytes,
    pub body: Bytes,
    pub facts: Facts,
    pub queues: SmallVec<[Arc<Queue>; 2]>,
    pub mandatory: bool,
    /// It leads through exchanges with a memory, which hear of it at the commit: what it is published
    /// with beside its own routing key.
    pub passage: Option<Vec<Bytes>>,
}

impl Publish {
    /// Copies a message, except a body that is shared.
    pub fn of(message: &Message<'_>, queues: SmallVec<[Arc<Queue>; 2]>, mandatory: bool) -> Self {
        Self {
            exchange: Bytes::copy_from_slice(message.exchange),
            routing_key: Bytes::copy_from_slice(message.routing_key),
            properties: Bytes::copy_from_slice(message.properties),
            body: message.body.to_bytes(),
            facts: message.facts,
            queues,
            mandatory,
            passage: None,
        }
    }

    /// The same of one that leads through exchanges with a memory.
    pub fn through(message: &Message<'_>, routing_keys: Vec<Bytes>, mandatory: bool) -> Self {
        Self {
            passage: Some(routing_keys),
            ..Self::of(message, SmallVec::new(), mandatory)
        }
    }

    fn message(&self) -> Message<'_> {
        Message {
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            properties: &self.properties,
            body: Body::of(&self.body),
            facts: self.facts,
        }
    }
}

impl Transaction {
    /// An empty one.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self {
            publishes: Vec::new(),
            settlements: Vec::new(),
            held: Held::new(engine),
        }
    }

    /// Keeps a publish for the commit.
    pub fn publish(&mut self, publish: Publish) -> Result<(), Exception> {
        let names_bytes = publish.exchange.len() + publish.routing_key.len();
        self.hold(names_bytes + publish.properties.len() + publish.body.len() + ENTRY_BYTES)?;
        self.publishes.push(publish);
        Ok(())
    }

    /// Keeps for the commit what `take` takes.
    pub fn settle(
        &mut self,
        outcome: Outcome,
        take: impl FnOnce(&mut Vec<Unsettled>) -> Result<(), Exception>,
    ) -> Result<(), Exception> {
        if self
            .settlements
            .last()
            .is_none_or(|(last, _)| *last != outcome)
        {
            self.hold(ENTRY_BYTES)?;
            self.settlements.push((outcome, Vec::new()));
        }
        match self.settlements.last_mut() {
            Some((_, deliveries)) => take(deliveries),
            None => Ok(()),
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Exception> {
        self.held.add(bytes);
        if self.held.bytes() <= MAX_BYTES {
            return Ok(());
        }
        Err(Exception::new(
            ReplyCode::ResourceError,
            format!("transaction is larger than {MAX_BYTES} bytes"),
        ))
    }

    /// The deliveries that it has acknowledged, which are unsettled again.
    pub fn into_unsettled(self) -> impl Iterator<Item = Unsettled> {
        self.settlements
            .into_iter()
            .flat_map(|(_, deliveries)| deliveries)
    }
}

impl Channel {
    pub(super) fn tx_select(&mut self) -> Result<(), Exception> {
        if self.confirmer.is_some() {
            return Err(precondition_failed("cannot switch from confirm to tx mode"));
        }
        let engine = &self.shared.broker.engine;
        self.transaction
            .get_or_insert_with(|| Transaction::new(engine));
        self.reply_unless(false, tx::SelectOk);
        Ok(())
    }

    pub(super) fn tx_commit(&mut self, batch: &mut Gathering<'_>) -> Result<(), Exception> {
        let transaction = self
            .transaction
            .replace(Transaction::new(&self.shared.broker.engine))
            .ok_or_else(not_transactional)?;
        let refused = self.deliver_all(&transaction.publishes, &mut batch.effects);
        let mut put_off = PutOff::default();
        for (outcome, deliveries) in transaction.settlements {
            let acknowledged = if outcome == Outcome::Acked {
                deliveries.len() as u64
            } else {
                0
            };
            self.shared
                .broker
                .metrics()
                .messages_acknowledged
                .add(acknowledged);
            let mut settling = Settling::new(outcome);
            settling.deliveries = deliveries;
            if outcome == Outcome::Acked {
                let resumable =
                    settling.settle_without_resuming(&self.deliveries, &mut batch.effects);
                put_off.resumable.extend(resumable);
            } else {
                put_off.settlings.push(settling);
            }
        }
        self.put_off = Some(put_off);
        if refused > 0 {
            self.go_on_after_commit(&mut batch.effects);
            return Err(precondition_failed("partial tx completion"));
        }
        if self.reply_when_safe(&mut batch.effects, tx::CommitOk)? {
            self.go_on_after_commit(&mut batch.effects);
        }
        Ok(())
    }

    /// commit-ok is out: what it made possible may follow. What it leaves to be done is in `effects`.
    fn go_on_after_commit(&mut self, effects: &mut Effects) {
        let Some(put_off) = self.put_off.take() else {
            return;
        };
        for mut settling in put_off.settlings {
            settling.settle(&self.deliveries, effects);
        }
        Queue::resume_all(&put_off.resumable, effects);
    }

    /// The reply that a pause held back is out.
    pub fn replied(&mut self) {
        if self.put_off.is_some() {
            let mut effects = Effects::new();
            self.go_on_after_commit(&mut effects);
            effects.complete();
        }
    }

    pub(super) fn tx_rollback(&mut self) -> Result<(), Exception> {
        let transaction = self
            .transaction
            .replace(Transaction::new(&self.shared.broker.engine))
            .ok_or_else(not_transactional)?;
        self.deliveries
            .lock()
            .unacked
            .put_back(transaction.into_unsettled());
        self.reply_unless(false, tx::RollbackOk);
        Ok(())
    }

    /// Delivers a transaction's publishes and returns those that reach no queue (any more). Says
    /// how many were refused.
    fn deliver_all(&self, publishes: &[Publish], effects: &mut Effects) -> usize {
        let mut refused = 0;
        let is_gathered =
            |one: &Publish, next: &Publish| one.passage.is_none() && next.passage.is_none();
        for run in publishes.chunk_by(is_gathered) {
            refused += match run {
                [publish] if publish.passage.is_some() => self.deliver_through(publish, effects),
                run => self.deliver_gathered(run, effects),
            };
        }
        refused
    }

    /// Delivers one that leads through exchanges with a memory. Whether it is safe is asked in the end.
    fn deliver_through(&self, publish: &Publish, effects: &mut Effects) -> usize {
        let message = publish.message();
        let keys = publish.passage.as_deref().unwrap_or_default();
        match self.pass(&message, keys, effects) {
            Ok(passed) => {
                self.tell_unroutable(&passed, publish.mandatory, &message);
                usize::from(passed.is_refused)
            }
            // The exchange went meanwhile, or cannot use the message.
            Err(_) => {
                self.unroutable(publish.mandatory, &message);
                0
            }
        }
    }

    fn deliver_gathered(&self, publishes: &[Publish], effects: &mut Effects) -> usize {
        let mut refused = 0;
        for slice in publishes.chunks(COMMIT_SLICE) {
            let messages: Vec<Message<'_>> = slice.iter().map(Publish::message).collect();
            let mut queues: Vec<(&Arc<Queue>, Vec<u32>)> = Vec::new();
            for (index, publish) in slice.iter().enumerate() {
                let mut is_routed = false;
                for queue in publish.queues.iter().filter(|queue| !queue.is_deleted()) {
                    is_routed = true;
                    match queues.iter_mut().find(|(seen, _)| seen.id() == queue.id()) {
                        Some((_, picks)) => picks.push(index as u32),
                        None => queues.push((queue, vec![index as u32])),
                    }
                }
                if !is_routed {
                    self.unroutable(publish.mandatory, &publish.message());
                }
            }
            for (queue, picks) in queues {
                queue.publish(&messages, Some(&picks), effects);
                refused += effects.refused.drain(..).count();
            }
            // Whether it is safe is asked in the end.
            let _ = effects.log_published(&self.shared.broker.engine, &messages);
        }
        refused
    }
}

fn not_transactional() -> Exception {
    precondition_failed("channel is not transactional")
}

fn precondition_failed(text: &str) -> Exception {
    Exception::new(ReplyCode::PreconditionFailed, text)
}
