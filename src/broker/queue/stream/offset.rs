//! Where a reader of a stream begins: the consume argument x-stream-offset.

use super::max_age::{self, NoSpan};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::names::Resource;
use crate::broker::term::Pretty;

const ARGUMENT: &str = "x-stream-offset";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first message that is there.
    First,
    /// With what was published last.
    Last,
    /// With what is published from now on.
    Next,
    /// At that offset, whether or not it is there yet.
    At(u64),
    /// With the first message that arrived at or after that moment, in milliseconds since 1970.
    Since(u64),
}

impl Start {
    /// Reads the argument; without it a reader begins with what is next. None: it is of a type that says
    /// nothing, which RabbitMQ notices last of all: [`Start::says_nothing`].
    ///
    /// # Errors
    /// PRECONDITION_FAILED for a span of time that is none. RabbitMQ's channel crashes over a span
    /// without a number, which ends the connection with INTERNAL_ERROR.
    pub fn parse(
        arguments: &FieldTable,
        queue: Resource<'_>,
        now_ms: u64,
    ) -> Result<Option<Self>, Exception> {
        let Some(value) = arguments.get(ARGUMENT) else {
            return Ok(Some(Self::Next));
        };
        match value.as_bytes() {
            Some(b"first") => return Ok(Some(Self::First)),
            Some(b"last") => return Ok(Some(Self::Last)),
            Some(b"next") => return Ok(Some(Self::Next)),
            _ => {}
        }
        match value {
            FieldValue::LongStr(text) => match max_age::parse(text) {
                Ok(span_ms) => Ok(Some(Self::Since(now_ms.saturating_sub(span_ms)))),
                Err(NoSpan::NoNumber) => Err(Self::says_nothing()),
                Err(NoSpan::Invalid) => Err(Exception::new(
                    ReplyCode::PreconditionFailed,
                    format!(
                        "invalid arg '{ARGUMENT}' for {queue}: \
                         {{invalid_stream_offset_arg,{{longstr,{}}}}}",
                        Pretty(value)
                    ),
                )),
            },
            FieldValue::Timestamp(seconds) => Ok(Some(Self::Since(seconds.saturating_mul(1000)))),
            other => {
                let offset = other.as_i64();
                Ok(offset.map(|offset| Self::At(u64::try_from(offset).unwrap_or(0))))
            }
        }
    }

    /// RabbitMQ's channel crashes over an argument that says nothing, which ends the connection.
    pub fn says_nothing() -> Exception {
        Exception::new(ReplyCode::InternalError, "")
    }
}
