//! x-message-deduplication: a fanout that lets each message through once.
//!
//! What a message is told by is its header `x-deduplication-header`; one without it is let through.
//! The exchange remembers `x-cache-size` ids, each for `x-cache-ttl` milliseconds, or for as long as
//! the message's own header `x-cache-ttl` says. With `x-cache-persistence` `disk` a durable exchange
//! remembers them after a restart as well.
//!
//! Source: the plugin rabbitmq-message-deduplication.

use super::fanout::Fanout;
use super::found::Found;
use super::message_headers::MessageHeaders;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::binding::Binding;
use crate::broker::deduplication::{HEADER, MessageId, Seen};
use crate::broker::engine::Held;
use crate::broker::message::Facts;

/// See the module.
pub(super) struct Deduplication {
    bound: Fanout,
    ttl_ms: Option<u64>,
    is_kept: bool,
    pub seen: Seen,
    held: Held,
}

/// What became of a message.
pub(super) enum Came {
    /// It has no id.
    Anonymous,
    /// It is new, and has this place among what is remembered.
    New(u64, MessageId, u64),
    /// It came before, in a message that is safe once the log is at this index.
    Again(u64),
}

impl Deduplication {
    /// An exchange with those arguments.
    ///
    /// # Errors
    /// PRECONDITION_FAILED, with the plugin's texts.
    pub fn new(arguments: &FieldTable, is_durable: bool, held: Held) -> Result<Self, Exception> {
        let above_zero = |name| match arguments.get(name) {
            None => Ok(None),
            Some(value) => whole_number(value)
                .filter(|number| *number > 0)
                .map(Some)
                .ok_or(()),
        };
        let size = above_zero("x-cache-size").ok().flatten().ok_or_else(|| {
            refusal("Missing or invalid argument, 'x-cache-size' must be an integer greater than 0")
        })?;
        let ttl_ms = above_zero("x-cache-ttl").map_err(|()| {
            refusal("Invalid argument, 'x-cache-ttl' must be an integer greater than 0")
        })?;
        let is_on_disk = match arguments.get("x-cache-persistence") {
            None => false,
            Some(FieldValue::LongStr(value)) if value == "memory" => false,
            Some(FieldValue::LongStr(value)) if value == "disk" => true,
            Some(_) => {
                let text =
                    "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'";
                return Err(refusal(text));
            }
        };
        Ok(Self {
            bound: Fanout::default(),
            ttl_ms: ttl_ms.map(i64::unsigned_abs),
            is_kept: is_on_disk && is_durable,
            seen: Seen::new(usize::try_from(size).unwrap_or(usize::MAX)),
            held,
        })
    }

    /// Whether a restart must not make it forget.
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub fn add(&mut self, binding: &Binding) {
        self.bound.add(binding);
    }

    pub fn remove(&mut self, binding: &Binding) {
        self.bound.remove(binding);
    }

    pub fn clear(&mut self) {
        self.bound = Fanout::default();
    }

    /// Where messages go.
    pub fn find(&self, found: &mut Found) {
        self.bound.find(found);
    }

    /// A message comes, at a time at which the log's records from `log_end` on are still to be
    /// written: whether it came before. Now it has.
    ///
    /// # Errors
    /// PRECONDITION_FAILED if its time-to-live is none.
    pub fn take(
        &mut self,
        message: &MessageHeaders<'_>,
        now_ms: u64,
        log_end: u64,
    ) -> Result<Came, Exception> {
        let Some(id) = message.get(HEADER.as_bytes()).map(MessageId::of_value) else {
            return Ok(Came::Anonymous);
        };
        let ttl_ms = match message.get(b"x-cache-ttl") {
            None => self.ttl_ms,
            Some(value) => {
                let number = whole_number(value);
                let number = number
                    .ok_or_else(|| refusal("Invalid header, 'x-cache-ttl' must be an integer"))?;
                Some(u64::try_from(number).unwrap_or(0))
            }
        };
        if let Some(safe_at) = self.seen.find(id, now_ms) {
            return Ok(Came::Again(safe_at));
        }
        if ttl_ms == Some(0) {
            // It would be forgotten at once.
            return Ok(Came::Anonymous);
        }
        let expires_at_ms = ttl_ms.map_or(Facts::NEVER, |ttl_ms| now_ms.saturating_add(ttl_ms));
        let logged_from = self.is_kept.then_some(log_end);
        let sequence = self.seen.insert(id, expires_at_ms, now_ms, logged_from);
        self.account();
        Ok(Came::New(sequence, id, expires_at_ms))
    }

    /// Tells the engine's memory gauge how much is remembered.
    pub fn account(&mut self) {
        self.held.set(self.seen.memory_bytes());
    }
}

/// An integer of any type, or its decimal digits: the plugin takes both.
fn whole_number(value: &FieldValue) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn refusal(text: &str) -> Exception {
    Exception::new(ReplyCode::PreconditionFailed, text)
}
