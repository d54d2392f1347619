//! x-recent-history: a fanout that keeps the last messages, for whatever is bound later.
//!
//! It keeps `x-recent-history-length` messages, or 20, but for those with the header
//! `x-recent-history-no-store`, and until the broker ends, as in RabbitMQ 3.10.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::fanout::Fanout;
use super::found::Found;
use super::message_headers::MessageHeaders;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::binding::Binding;
use crate::broker::engine::Held;
use crate::broker::message::{Body, Facts, Message};
use crate::broker::term::Pretty;

/// So many are kept unless it is told otherwise.
const USUAL_LENGTH: usize = 20;
/// What a message takes beside its bytes, roughly.
const MESSAGE_BYTES: usize = 256;

/// See the module.
pub(super) struct RecentHistory {
    bound: Fanout,
    length: usize,
    /// The oldest first.
    messages: VecDeque<Arc<KeptMessage>>,
    bytes: usize,
    held: Held,
}

/// A message that went through, to be sent again.
pub(in crate::broker) struct KeptMessage {
    exchange: Box<[u8]>,
    routing_key: Box<[u8]>,
    /// All that it was published with, as far as they are text.
    pub routing_keys: Vec<Box<str>>,
    properties: Box<[u8]>,
    body: Bytes,
    facts: Facts,
}

impl KeptMessage {
    fn of(message: &Message<'_>, routing_keys: &[&str]) -> Self {
        Self {
            exchange: message.exchange.into(),
            routing_key: message.routing_key.into(),
            routing_keys: routing_keys.iter().map(|key| (*key).into()).collect(),
            properties: message.properties.into(),
            body: message.body.to_bytes(),
            facts: message.facts,
        }
    }

    /// The message.
    pub fn message(&self) -> Message<'_> {
        Message {
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            properties: &self.properties,
            body: Body::of(&self.body),
            facts: self.facts,
        }
    }

    fn bytes(&self) -> usize {
        MESSAGE_BYTES + self.properties.len() + self.body.len()
    }
}

impl RecentHistory {
    /// An exchange with those arguments.
    ///
    /// # Errors
    /// PRECONDITION_FAILED, with RabbitMQ's text.
    pub fn new(arguments: &FieldTable, held: Held) -> Result<Self, Exception> {
        let length = match arguments.get("x-recent-history-length") {
            None => USUAL_LENGTH,
            // No unsigned ones, as in RabbitMQ.
            Some(
                FieldValue::I8(1..)
                | FieldValue::I16(1..)
                | FieldValue::I32(1..)
                | FieldValue::I64(1..),
            ) => {
                let length = arguments.get("x-recent-history-length");
                let length = length.and_then(FieldValue::as_i64).unwrap_or(1);
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            Some(value) => {
                let text = format!(
                    "Invalid argument {}, 'x-recent-history-length' must be a positive integer",
                    Pretty(value)
                );
                return Err(Exception::new(ReplyCode::PreconditionFailed, text));
            }
        };
        Ok(Self {
            bound: Fanout::default(),
            length,
            messages: VecDeque::new(),
            bytes: 0,
            held,
        })
    }

    pub fn add(&mut self, binding: &Binding) {
        self.bound.add(binding);
    }

    pub fn remove(&mut self, binding: &Binding) {
        self.bound.remove(binding);
    }

    pub fn clear(&mut self) {
        self.bound = Fanout::default();
        self.messages = VecDeque::new();
        self.bytes = 0;
        self.held.set(0);
    }

    /// What is kept, the oldest first.
    pub fn messages(&self) -> Vec<Arc<KeptMessage>> {
        self.messages.iter().map(Arc::clone).collect()
    }

    /// Where messages go.
    pub fn find(&self, found: &mut Found) {
        self.bound.find(found);
    }

    /// A message comes.
    pub fn keep(&mut self, message: &Message<'_>, keys: &[&str], headers: &MessageHeaders<'_>) {
        if headers.get(b"x-recent-history-no-store") == Some(&FieldValue::Bool(true)) {
            return;
        }
        while self.messages.len() >= self.length
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
        let kept = KeptMessage::of(message, keys);
        self.bytes += kept.bytes();
        self.messages.push_back(Arc::new(kept));
        self.held.set(self.bytes);
    }
}
