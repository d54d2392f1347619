//! Transactions: publishes and acknowledgements that take effect at tx.commit.
//!
//! In: what a transactional channel does. Out, at commit: the publishes, in order, then the
//! acknowledgements. As in RabbitMQ a publish is checked and routed when it is made, and only its
//! delivery waits; and there is no atomicity beyond that: a queue that refuses a publish fails the
//! commit, but undoes nothing.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::Channel;
use super::read_batch::Gathering;
use super::settle::{Outcome, Settling};
use super::unacked::Unsettled;
use crate::amqp::method::{Method, tx};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::catalog::NotStored;
use crate::broker::engine::Held;
use crate::broker::log::{SafeListener, Safety};
use crate::broker::{Body, Effects, Engine, Facts, Message, Queue};
use crate::connection::pause::{Resume, Then};

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

/// A publish that waits for the commit.
pub(super) struct Publish {
    pub exchange: Bytes,
    pub routing_key: Bytes,
    pub properties: Bytes,
    pub body: Bytes,
    pub facts: Facts,
    pub queues: SmallVec<[Arc<Queue>; 2]>,
    pub mandatory: bool,
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
        let Delivered { refused, log_index } =
            self.deliver_all(&transaction.publishes, &mut batch.effects)?;
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
            settling.settle(&self.deliveries, &mut batch.effects);
        }
        if refused > 0 {
            return Err(precondition_failed("partial tx completion"));
        }
        // Before anything is promised of it.
        batch.effects.complete();
        self.reply_when_safe(log_index, tx::CommitOk);
        Ok(())
    }

    /// Answers when the log is up to `log_index`, if that is given; the connection is paused until
    /// then.
    fn reply_when_safe(&self, log_index: Option<u64>, answer: impl Into<Method>) {
        let engine = &self.shared.broker.engine;
        let waits_for = log_index.and_then(|index| Some((index, engine.log()?)));
        let Some((index, log)) = waits_for else {
            return self.reply_unless(false, answer);
        };
        if let Some(revision) = self.shared.unstored_revision() {
            let resume = self.shared.pause(self.number, Then::GoOn);
            let then = Box::new(move |stored: Result<(), NotStored>| match stored {
                Ok(()) => resume.go_on(),
                Err(error) => resume.fail(error.into()),
            });
            self.shared.vhost.catalog().when_stored(revision, then);
        }
        let reply = Then::Reply(Box::new(answer.into()));
        let commit = Arc::new(Commit(Mutex::new(Some(
            self.shared.pause(self.number, reply),
        ))));
        let listener: Arc<dyn SafeListener> = Arc::clone(&commit) as _;
        match log.notify_when_safe(index, listener) {
            Safety::Safe => commit.safe(index),
            Safety::Waiting => {}
            Safety::Failed => commit.failed(),
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

    /// Delivers a transaction's publishes and returns those that reach no queue (any more).
    fn deliver_all(
        &mut self,
        publishes: &[Publish],
        effects: &mut Effects,
    ) -> Result<Delivered, Exception> {
        let mut delivered = Delivered::default();
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
                delivered.refused += effects.refused.drain(..).count();
            }
            let logged = effects.log_published(&self.shared.broker.engine, &messages);
            let log_index = logged.map_err(|_| not_safe())?;
            delivered.log_index = log_index.or(delivered.log_index);
        }
        Ok(delivered)
    }
}

/// What became of a transaction's publishes.
#[derive(Default)]
struct Delivered {
    refused: usize,
    /// The log's index by which they are safe, if any has to be logged.
    log_index: Option<u64>,
}

/// A commit that waits for the log.
struct Commit(Mutex<Option<Resume>>);

impl SafeListener for Commit {
    fn safe(&self, _safe_index: u64) {
        if let Some(resume) = self.0.lock().take() {
            resume.go_on();
        }
    }

    fn failed(&self) {
        if let Some(resume) = self.0.lock().take() {
            resume.fail(not_safe());
        }
    }
}

fn not_safe() -> Exception {
    Exception::new(ReplyCode::InternalError, "messages can't be stored")
}

fn not_transactional() -> Exception {
    precondition_failed("channel is not transactional")
}

fn precondition_failed(text: &str) -> Exception {
    Exception::new(ReplyCode::PreconditionFailed, text)
}
