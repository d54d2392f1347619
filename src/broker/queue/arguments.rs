//! A queue's x-arguments: what they may be, in RabbitMQ's words, and what they ask for.
//!
//! Source: RabbitMQ's `rabbit_amqqueue` (declare_args) and the queue types' capabilities. An
//! argument that no queue type knows is kept and means nothing, as in RabbitMQ.

use std::sync::Arc;

use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};

/// What happens when a queue is at its length limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest ready messages go, dead-lettered as `maxlen`.
    #[default]
    DropHead,
    /// New messages are refused: nacked to publishers that asked for confirms.
    RejectPublish,
    /// As [`Overflow::RejectPublish`], and they are dead-lettered as `maxlen`.
    RejectPublishDlx,
}

/// What a queue's x-arguments ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueArguments {
    /// x-message-ttl in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// x-expires in milliseconds: an unused queue is deleted after so long.
    pub expires_ms: Option<u64>,
    /// x-dead-letter-exchange.
    pub dead_letter_exchange: Option<Arc<str>>,
    /// x-dead-letter-routing-key.
    pub dead_letter_routing_key: Option<Arc<str>>,
    /// x-max-length in ready messages.
    pub max_length: Option<u64>,
    /// x-max-length-bytes in bytes of ready bodies.
    pub max_length_bytes: Option<u64>,
    /// x-overflow.
    pub overflow: Overflow,
    /// x-max-priority; 0 for a queue without priorities.
    pub max_priority: u8,
    /// x-single-active-consumer.
    pub single_active_consumer: bool,
    /// How often a message may be given back before it is dead-lettered as `delivery_limit`.
    pub delivery_limit: Option<u32>,
}

/// Longest time-to-live in milliseconds (RabbitMQ's MAX_EXPIRY_TIMER).
const MAX_EXPIRY_MS: i64 = 4_294_967_295;

/// Arguments that only other queue types know, and that a classic queue therefore refuses.
const FOREIGN_ARGUMENTS: [&str; 11] = [
    "x-delivery-limit",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-queue-leader-locator",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
    "x-stream-filter-size-bytes",
    "x-quorum-target-group-size",
];

impl QueueArguments {
    /// Reads and checks the arguments of a queue of that name.
    ///
    /// # Errors
    /// PRECONDITION_FAILED with RabbitMQ's text.
    pub fn parse(table: &FieldTable, queue: &str, vhost: &str) -> Result<Self, Exception> {
        let check = Check {
            table,
            queue,
            vhost,
        };
        check.queue_type()?;
        // In RabbitMQ's order, so that of two mistakes the same one is named.
        let arguments = Self {
            expires_ms: check.milliseconds("x-expires", 1)?,
            message_ttl_ms: check.milliseconds("x-message-ttl", 0)?,
            dead_letter_exchange: check.string("x-dead-letter-exchange")?,
            dead_letter_routing_key: check.dead_letter_routing_key()?,
            max_length: check.count("x-max-length")?,
            max_length_bytes: check.count("x-max-length-bytes")?,
            max_priority: check.max_priority()?,
            overflow: check.overflow()?,
            single_active_consumer: {
                check.queue_mode()?;
                check.queue_version()?;
                check.single_active_consumer()?
            },
            delivery_limit: None,
        };
        check.foreign()?;
        Ok(arguments)
    }
}

struct Check<'a> {
    table: &'a FieldTable,
    queue: &'a str,
    vhost: &'a str,
}

impl Check<'_> {
    fn invalid(&self, argument: &str, why: impl std::fmt::Display) -> Exception {
        Exception::new(
            ReplyCode::PreconditionFailed,
            format!(
                "invalid arg '{argument}' for queue '{}' in vhost '{}': {why}",
                self.queue, self.vhost
            ),
        )
    }

    fn unacceptable(&self, argument: &str, value: &FieldValue) -> Exception {
        self.invalid(
            argument,
            format_args!("{{unacceptable_type,{}}}", value.type_name()),
        )
    }

    fn integer(&self, argument: &str) -> Result<Option<i64>, Exception> {
        let Some(value) = self.table.get(argument) else {
            return Ok(None);
        };
        let number = match *value {
            FieldValue::I8(n) => n.into(),
            FieldValue::U8(n) => n.into(),
            FieldValue::I16(n) => n.into(),
            FieldValue::U16(n) => n.into(),
            FieldValue::I32(n) => n.into(),
            FieldValue::U32(n) => n.into(),
            FieldValue::I64(n) => n,
            _ => {
                return Err(self.invalid(
                    argument,
                    format_args!("\"expected integer, got {}\"", value.type_name()),
                ));
            }
        };
        Ok(Some(number))
    }

    fn count(&self, argument: &str) -> Result<Option<u64>, Exception> {
        match self.integer(argument)? {
            None => Ok(None),
            Some(number) => match u64::try_from(number) {
                Ok(count) => Ok(Some(count)),
                Err(_) => Err(self.invalid(argument, format_args!("{{value_negative,{number}}}"))),
            },
        }
    }

    fn milliseconds(&self, argument: &str, least: i64) -> Result<Option<u64>, Exception> {
        match self.integer(argument)? {
            None => Ok(None),
            Some(0) if least > 0 => Err(self.invalid(argument, "{value_zero,0}")),
            Some(number) if number > MAX_EXPIRY_MS => {
                Err(self.invalid(argument, format_args!("{{value_too_large,{number}}}")))
            }
            Some(number) => match u64::try_from(number) {
                Ok(ms) => Ok(Some(ms)),
                Err(_) => Err(self.invalid(argument, format_args!("{{value_negative,{number}}}"))),
            },
        }
    }

    fn string(&self, argument: &str) -> Result<Option<Arc<str>>, Exception> {
        match self.table.get(argument) {
            None => Ok(None),
            Some(FieldValue::LongStr(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.into())),
                Err(_) => Err(self.invalid(argument, "{unacceptable_type,binary}")),
            },
            Some(other) => Err(self.unacceptable(argument, other)),
        }
    }

    fn dead_letter_routing_key(&self) -> Result<Option<Arc<str>>, Exception> {
        let key = self.string("x-dead-letter-routing-key")?;
        if key.is_some() && self.table.get("x-dead-letter-exchange").is_none() {
            return Err(self.invalid(
                "x-dead-letter-routing-key",
                "routing_key_but_no_dlx_defined",
            ));
        }
        Ok(key)
    }

    fn max_priority(&self) -> Result<u8, Exception> {
        match self.count("x-max-priority")? {
            None => Ok(0),
            Some(number) => u8::try_from(number).map_err(|_| {
                self.invalid(
                    "x-max-priority",
                    format_args!("{{max_value_exceeded,{number}}}"),
                )
            }),
        }
    }

    fn overflow(&self) -> Result<Overflow, Exception> {
        match self.string("x-overflow")?.as_deref() {
            None | Some("drop-head") => Ok(Overflow::DropHead),
            Some("reject-publish") => Ok(Overflow::RejectPublish),
            Some("reject-publish-dlx") => Ok(Overflow::RejectPublishDlx),
            Some(_) => Err(self.invalid("x-overflow", "invalid_overflow")),
        }
    }

    fn queue_mode(&self) -> Result<(), Exception> {
        match self.string("x-queue-mode")?.as_deref() {
            None | Some("default" | "lazy") => Ok(()),
            Some(mode) => Err(self.invalid(
                "x-queue-mode",
                format_args!("\"unsupported queue mode '{mode}'\""),
            )),
        }
    }

    fn queue_version(&self) -> Result<(), Exception> {
        match self.count("x-queue-version")? {
            None | Some(1 | 2) => Ok(()),
            Some(version) => Err(self.invalid(
                "x-queue-version",
                format_args!("\"unsupported queue version '{version}'\""),
            )),
        }
    }

    fn single_active_consumer(&self) -> Result<bool, Exception> {
        match self.table.get("x-single-active-consumer") {
            None => Ok(false),
            Some(FieldValue::Bool(wanted)) => Ok(*wanted),
            Some(other) => Err(self.unacceptable("x-single-active-consumer", other)),
        }
    }

    /// Only classic queues exist so far; others are refused in the words RabbitMQ has for a type
    /// that it does not know.
    fn queue_type(&self) -> Result<(), Exception> {
        match self.string("x-queue-type")?.as_deref() {
            None | Some("classic") => Ok(()),
            Some(kind) => Err(self.invalid(
                "x-queue-type",
                format_args!("\"unsupported queue type '{kind}'\""),
            )),
        }
    }

    fn foreign(&self) -> Result<(), Exception> {
        match FOREIGN_ARGUMENTS
            .iter()
            .find(|argument| self.table.get(argument).is_some())
        {
            None => Ok(()),
            Some(argument) => Err(Exception::new(
                ReplyCode::PreconditionFailed,
                format!(
                    "invalid arg '{argument}' for queue '{}' in vhost '{}' of queue type rabbit_classic_queue",
                    self.queue, self.vhost
                ),
            )),
        }
    }
}
