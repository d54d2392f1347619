//! A queue's x-arguments: what they may be, in RabbitMQ's words, and what they ask for.
//!
//! Source: RabbitMQ's `rabbit_amqqueue` (declare_args) and the queue types' capabilities. An
//! argument that no queue type knows is kept and means nothing, as in RabbitMQ.

use bytes::Bytes;

use super::consumer_timeout::{ConsumerTimeout, TimeoutAction};
use super::retry::{Retry, RetryType};
use super::stream::StreamArguments;
use super::stream::max_age::{self, NoSpan};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::amqp::terms::PrettyList;
use crate::broker::log::Returns;
use crate::broker::pager::PagingOptions;
use crate::broker::policy::Settings;

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

/// x-queue-type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// What a queue is unless it asks for something else.
    #[default]
    Classic,
    /// Counts how often a message is given back, and gives it up at a limit.
    Quorum,
    /// Keeps what was published for any number of readers.
    Stream,
}

impl QueueType {
    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "classic" => Some(Self::Classic),
            "quorum" => Some(Self::Quorum),
            "stream" => Some(Self::Stream),
            _ => None,
        }
    }

    /// What x-queue-type calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }

    /// The name of RabbitMQ's module for it, which its error texts show.
    pub fn module(self) -> &'static str {
        match self {
            Self::Classic => "rabbit_classic_queue",
            Self::Quorum => "rabbit_quorum_queue",
            Self::Stream => "rabbit_stream_queue",
        }
    }

    /// The arguments that it takes, in the order in which RabbitMQ compares them.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Classic => &CLASSIC_ARGUMENTS,
            Self::Quorum => &QUORUM_ARGUMENTS,
            Self::Stream => &STREAM_ARGUMENTS,
        }
    }

    /// Those of them that must be what they were when such a queue is declared again. A timeout need not:
    /// RabbitMQ 3.10 does not look at it at all, 4.3 in quorum queues alone.
    pub fn compared(self) -> impl Iterator<Item = &'static str> {
        let arguments = self.arguments().iter().copied();
        arguments.filter(move |name| *name != TIMEOUT || self == Self::Quorum)
    }
}

/// What a queue's x-arguments ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueArguments {
    /// x-queue-type.
    pub queue_type: QueueType,
    /// x-message-ttl in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// x-expires in milliseconds: an unused queue is deleted after so long.
    pub expires_ms: Option<u64>,
    /// x-dead-letter-exchange: any bytes, though no exchange has a name that is no UTF-8.
    pub dead_letter_exchange: Option<Bytes>,
    /// x-dead-letter-routing-key: any bytes, any number of them.
    pub dead_letter_routing_key: Option<Bytes>,
    /// x-dead-letter-strategy is at-least-once, and all that it needs is there.
    pub dead_letters_at_least_once: bool,
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
    /// x-message-deduplication: a message is not taken while one with its id is there.
    pub takes_once: bool,
    /// x-delivery-limit: how often a message may be given back before it is dead-lettered as
    /// `delivery_limit`.
    pub delivery_limit: Option<u32>,
    /// x-consumer-timeout, x-consumer-timeout-action.
    pub consumer_timeout: ConsumerTimeout,
    /// x-delayed-retry-*: what comes back waits.
    pub retry: Option<Retry>,
    /// What only a stream has; its defaults for other queues.
    pub stream: StreamArguments,
}

/// Longest time-to-live in milliseconds: ten years, as in RabbitMQ.
const MAX_EXPIRY_MS: i64 = 315_360_000_000;

/// Quorum queues give a message up after it came back so often, unless they are told otherwise
/// (RabbitMQ since 4.0).
const DEFAULT_DELIVERY_LIMIT: u32 = 20;

const CLASSIC_ARGUMENTS: [&str; 22] = [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-queue-master-locator",
    // RabbitMQ's since 4.0.
    "x-queue-leader-locator",
    // Its quorum queues' since 4.3.
    TIMEOUT,
    RETRY_TYPE,
    RETRY_MIN,
    RETRY_MAX,
    // Warren's own.
    TIMEOUT_ACTION,
    RETRY_MULTIPLIER,
    RETRY_JITTER,
    RETRY_MAX_ATTEMPTS,
];

const QUORUM_ARGUMENTS: [&str; 24] = [
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
    "x-consumer-disconnected-timeout",
    TIMEOUT,
    RETRY_TYPE,
    RETRY_MIN,
    RETRY_MAX,
    TIMEOUT_ACTION,
    RETRY_MULTIPLIER,
    RETRY_JITTER,
    RETRY_MAX_ATTEMPTS,
];

const TIMEOUT: &str = "x-consumer-timeout";
const TIMEOUT_ACTION: &str = "x-consumer-timeout-action";
const RETRY_TYPE: &str = "x-delayed-retry-type";
const RETRY_MIN: &str = "x-delayed-retry-min";
const RETRY_MAX: &str = "x-delayed-retry-max";
const RETRY_MULTIPLIER: &str = "x-delayed-retry-multiplier";
const RETRY_JITTER: &str = "x-delayed-retry-jitter";
const RETRY_MAX_ATTEMPTS: &str = "x-delayed-retry-max-attempts";

/// (`x-quorum-target-group-size` is none that RabbitMQ checks.)
const STREAM_ARGUMENTS: [&str; 8] = [
    "x-max-length-bytes",
    "x-queue-type",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
    TIMEOUT,
    TIMEOUT_ACTION,
];

/// What RabbitMQ looks at in streams alone, but does not name among what they take: it may be another
/// when a stream is declared again.
const STREAM_FILTER_SIZE: &str = "x-stream-filter-size-bytes";
const TAKES_ONCE: &str = "x-message-deduplication";

impl QueueArguments {
    /// Whether every return counts, and consumers are told how often a message came back.
    pub(super) fn counts_deliveries(&self) -> bool {
        self.queue_type == QueueType::Quorum || self.retry.is_some()
    }

    /// Whether a message that came back so often is not delivered any more: of the delivery limit failures
    /// alone count, as in RabbitMQ since 4.3.
    pub(super) fn is_too_often(&self, returns: Returns) -> bool {
        let attempts = self.retry.and_then(|retry| retry.max_attempts);
        self.delivery_limit
            .is_some_and(|limit| returns.failures > limit)
            || attempts.is_some_and(|attempts| returns.all >= attempts)
    }

    /// A chunk of the queue takes no more messages once it has so many bytes. What goes of a stream at
    /// once goes in whole chunks.
    pub(super) fn chunk_bytes(&self, paging: &PagingOptions) -> usize {
        match self.stream.segment_bytes.map(usize::try_from) {
            Some(Ok(segment_bytes)) => paging.chunk_bytes.min(segment_bytes.max(1)),
            _ => paging.chunk_bytes,
        }
    }

    /// Whether messages have to go, or are refused, past some length.
    pub fn limits_length(&self) -> bool {
        self.max_length.is_some() || self.max_length_bytes.is_some()
    }

    /// What a client may declare beyond what a queue can be made with: where its master is to be, which
    /// RabbitMQ only asks when the queue is not exclusive.
    ///
    /// # Errors
    /// PRECONDITION_FAILED for a place that there is none of, where RabbitMQ fails.
    pub fn check_master_locator(
        table: &FieldTable,
        queue: &str,
        vhost: &str,
    ) -> Result<(), Exception> {
        let check = Check {
            table,
            queue,
            vhost,
        };
        check.locator("x-queue-master-locator")
    }

    /// What holds for a queue that was declared with `declared`, which these are, under these
    /// policies' settings. The one place where what policies say becomes what a queue does.
    ///
    /// # Errors
    /// As [`QueueArguments::parse`]; none for settings that were checked.
    pub fn under(
        self,
        settings: &Settings,
        declared: &FieldTable,
        queue: &str,
        vhost: &str,
    ) -> Result<Self, Exception> {
        if settings.is_empty() {
            return Ok(self);
        }
        let arguments = settings.over(declared, self.queue_type);
        Self::parse(&arguments, queue, vhost)
    }

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
        let queue_type = check.queue_type()?;
        if queue_type == QueueType::Stream {
            let stream = check.stream()?;
            let consumer_timeout = check.consumer_timeout()?;
            check.foreign(queue_type)?;
            return Ok(Self {
                queue_type,
                stream,
                consumer_timeout,
                ..Self::default()
            });
        }
        // In RabbitMQ's order, so that of two mistakes the same one is named; an argument of
        // another type of queue is named last.
        let takes = |argument: &str| queue_type.arguments().contains(&argument);
        let mut arguments = Self {
            queue_type,
            expires_ms: check.milliseconds("x-expires", 1)?,
            message_ttl_ms: check.milliseconds("x-message-ttl", 0)?,
            dead_letter_exchange: check.string("x-dead-letter-exchange")?.cloned(),
            dead_letter_routing_key: check.dead_letter_routing_key()?,
            ..Self::default()
        };
        let at_least_once = queue_type == QueueType::Quorum && check.dead_letter_strategy()?;
        arguments.max_length = check.count("x-max-length")?;
        arguments.max_length_bytes = check.count("x-max-length-bytes")?;
        if takes("x-max-priority") {
            arguments.max_priority = check.max_priority()?;
        }
        arguments.overflow = check.overflow()?;
        if queue_type == QueueType::Classic {
            check.queue_mode()?;
            check.queue_version()?;
        }
        arguments.single_active_consumer = check.boolean("x-single-active-consumer")?;
        if queue_type == QueueType::Quorum {
            check.quorum(&mut arguments)?;
        }
        // Otherwise it falls back to at-most-once, as in RabbitMQ.
        arguments.dead_letters_at_least_once = at_least_once
            && arguments.overflow == Overflow::RejectPublish
            && arguments.dead_letter_exchange.is_some();
        check.locator("x-queue-leader-locator")?;
        arguments.consumer_timeout = check.consumer_timeout()?;
        arguments.retry = check.retry()?;
        check.foreign(queue_type)?;
        arguments.takes_once = check.boolean(TAKES_ONCE)?;
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

    fn string(&self, argument: &str) -> Result<Option<&Bytes>, Exception> {
        match self.table.get(argument) {
            None => Ok(None),
            Some(FieldValue::LongStr(bytes)) => Ok(Some(bytes)),
            Some(other) => Err(self.unacceptable(argument, other)),
        }
    }

    /// A value that RabbitMQ's text shows.
    fn unsupported(&self, argument: &str, what: &str, value: &[u8]) -> Exception {
        let text = [b"unsupported ", what.as_bytes(), b" '", value, b"'"].concat();
        self.invalid(argument, PrettyList(&text))
    }

    fn dead_letter_routing_key(&self) -> Result<Option<Bytes>, Exception> {
        let key = self.string("x-dead-letter-routing-key")?;
        if key.is_some() && self.table.get("x-dead-letter-exchange").is_none() {
            return Err(self.invalid(
                "x-dead-letter-routing-key",
                "routing_key_but_no_dlx_defined",
            ));
        }
        Ok(key.cloned())
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
        match self.string("x-overflow")?.map(Bytes::as_ref) {
            None | Some(b"drop-head") => Ok(Overflow::DropHead),
            Some(b"reject-publish") => Ok(Overflow::RejectPublish),
            Some(b"reject-publish-dlx") => Ok(Overflow::RejectPublishDlx),
            Some(_) => Err(self.invalid("x-overflow", "invalid_overflow")),
        }
    }

    fn queue_mode(&self) -> Result<(), Exception> {
        match self.string("x-queue-mode")?.map(Bytes::as_ref) {
            None | Some(b"default" | b"lazy") => Ok(()),
            Some(mode) => Err(self.unsupported("x-queue-mode", "queue mode", mode)),
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

    fn consumer_timeout(&self) -> Result<ConsumerTimeout, Exception> {
        let after_ms = self.count(TIMEOUT)?;
        let action = match self.string(TIMEOUT_ACTION)? {
            None => None,
            Some(name) => match TimeoutAction::from_name(name) {
                Some(action) => Some(action),
                None => return Err(self.unsupported(TIMEOUT_ACTION, "timeout action", name)),
            },
        };
        Ok(ConsumerTimeout::said(after_ms, action))
    }

    /// RabbitMQ takes any value and does nothing where one makes no sense.
    fn retry(&self) -> Result<Option<Retry>, Exception> {
        let kind = match self.string(RETRY_TYPE)?.map(Bytes::as_ref) {
            None | Some(b"disabled") => None,
            Some(name) => match RetryType::from_name(name) {
                Some(kind) => Some(kind),
                None => return Err(self.unsupported(RETRY_TYPE, "delayed retry type", name)),
            },
        };
        let positive = |argument: &str| match self.count(argument)? {
            Some(0) => Err(self.invalid(argument, "{value_zero,0}")),
            number => Ok(number),
        };
        let (min_ms, max_ms) = (positive(RETRY_MIN)?, positive(RETRY_MAX)?);
        let multiplier = self.number(RETRY_MULTIPLIER, 1.0, f64::MAX)?;
        let jitter = self.number(RETRY_JITTER, 0.0, 1.0)?;
        let max_attempts = positive(RETRY_MAX_ATTEMPTS)?;
        let (kind, min_ms) = match (kind, min_ms) {
            (None, _) => return Ok(None),
            (Some(_), None) => {
                let why = format_args!("\"{RETRY_MIN} is required\"");
                return Err(self.invalid(RETRY_TYPE, why));
            }
            (Some(kind), Some(min_ms)) => (kind, min_ms),
        };
        Ok(Some(Retry {
            kind,
            min_ms,
            max_ms,
            multiplier,
            jitter: jitter.unwrap_or(0.0),
            max_attempts: max_attempts.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        }))
    }

    /// A number of any type between two.
    fn number(&self, argument: &str, least: f64, most: f64) -> Result<Option<f64>, Exception> {
        let Some(value) = self.table.get(argument) else {
            return Ok(None);
        };
        let number = match *value {
            FieldValue::F32(number) => number.into(),
            FieldValue::F64(number) => number,
            _ => match value.as_i64() {
                Some(number) => number as f64,
                None => return Err(self.unacceptable(argument, value)),
            },
        };
        match (least..=most).contains(&number) {
            true => Ok(Some(number)),
            false if most == f64::MAX => {
                Err(self.invalid(argument, format_args!("\"expected {least} or more\"")))
            }
            false => {
                let why = format_args!("\"expected {least} to {most}\"");
                Err(self.invalid(argument, why))
            }
        }
    }

    fn boolean(&self, argument: &str) -> Result<bool, Exception> {
        match self.table.get(argument) {
            None => Ok(false),
            Some(FieldValue::Bool(wanted)) => Ok(*wanted),
            Some(other) => Err(self.unacceptable(argument, other)),
        }
    }

    fn queue_type(&self) -> Result<QueueType, Exception> {
        match self.string("x-queue-type")? {
            None => Ok(QueueType::Classic),
            Some(kind) => std::str::from_utf8(kind)
                .ok()
                .and_then(QueueType::from_name)
                .ok_or_else(|| self.unsupported("x-queue-type", "queue type", kind)),
        }
    }

    /// What concerns a cluster is checked and means nothing on one node.
    fn stream(&self) -> Result<StreamArguments, Exception> {
        let arguments = StreamArguments {
            max_bytes: self.count("x-max-length-bytes")?,
            max_age_ms: self.max_age()?,
            segment_bytes: self.count("x-stream-max-segment-size-bytes")?,
            ..StreamArguments::default()
        };
        if self.count("x-initial-cluster-size")? == Some(0) {
            return Err(self.invalid("x-initial-cluster-size", "{value_zero,0}"));
        }
        self.locator("x-queue-leader-locator")?;
        Ok(arguments)
    }

    /// RabbitMQ's channel crashes over a text that does not begin with a number.
    fn max_age(&self) -> Result<Option<u64>, Exception> {
        match self.table.get("x-max-age") {
            None => Ok(None),
            Some(FieldValue::LongStr(text)) => match max_age::parse(text) {
                Ok(ms) => Ok(Some(ms)),
                Err(NoSpan::Invalid) => Err(self.invalid("x-max-age", "invalid_max_age")),
                Err(NoSpan::NoNumber) => Err(Exception::new(ReplyCode::InternalError, "")),
            },
            Some(other) => Err(self.unacceptable("x-max-age", other)),
        }
    }

    /// What concerns a cluster is checked and means nothing on one node.
    fn quorum(&self, arguments: &mut QueueArguments) -> Result<(), Exception> {
        self.count("x-max-in-memory-length")?;
        self.count("x-max-in-memory-bytes")?;
        // There is no other node that could be out of reach.
        self.count("x-consumer-disconnected-timeout")?;
        if self.count("x-quorum-initial-group-size")? == Some(0) {
            return Err(self.invalid("x-quorum-initial-group-size", "{value_zero,0}"));
        }
        // RabbitMQ does not check it, and what is no number counts as none.
        let limit = self.table.get("x-delivery-limit");
        arguments.delivery_limit = match limit.and_then(FieldValue::as_i64) {
            None => Some(DEFAULT_DELIVERY_LIMIT),
            Some(limit) if limit < 0 => None,
            Some(limit) => Some(u32::try_from(limit).unwrap_or(u32::MAX)),
        };
        // RabbitMQ's quorum queues know no such overflow, and fall back.
        if arguments.overflow == Overflow::RejectPublishDlx {
            arguments.overflow = Overflow::DropHead;
        }
        Ok(())
    }

    /// Where the queue's leader is to be, which on one node is no question.
    fn locator(&self, argument: &str) -> Result<(), Exception> {
        match self.string(argument)?.map(Bytes::as_ref) {
            None
            | Some(b"client-local" | b"balanced" | b"random" | b"least-leaders" | b"min-masters") => {
                Ok(())
            }
            Some(_) => Err(self.invalid(argument, "invalid_queue_locator_arg")),
        }
    }

    /// Whether dead letters are to stay until they have arrived.
    fn dead_letter_strategy(&self) -> Result<bool, Exception> {
        match self.string("x-dead-letter-strategy")?.map(Bytes::as_ref) {
            None | Some(b"at-most-once") => Ok(false),
            Some(b"at-least-once") => Ok(true),
            Some(_) => Err(self.invalid("x-dead-letter-strategy", "invalid_dlx_strategy")),
        }
    }

    /// As in RabbitMQ the first in the table is named.
    fn foreign(&self, queue_type: QueueType) -> Result<(), Exception> {
        let is_known = |name: &str| {
            let mut known = [&CLASSIC_ARGUMENTS[..], &QUORUM_ARGUMENTS, &STREAM_ARGUMENTS]
                .into_iter()
                .flatten();
            let is_of_streams = name == STREAM_FILTER_SIZE && queue_type != QueueType::Stream;
            // RabbitMQ lets pass what only a plugin knows.
            let is_of_others = name == TAKES_ONCE && queue_type == QueueType::Stream;
            is_of_streams || is_of_others || known.any(|known| *known == name)
        };
        let mut names = self.table.iter().map(|(name, _)| name);
        match names.find(|name| is_known(name) && !queue_type.arguments().contains(name)) {
            None => Ok(()),
            Some(argument) => Err(Exception::new(
                ReplyCode::PreconditionFailed,
                format!(
                    "invalid arg '{argument}' for queue '{}' in vhost '{}' of queue type {}",
                    self.queue,
                    self.vhost,
                    queue_type.module()
                ),
            )),
        }
    }
}
