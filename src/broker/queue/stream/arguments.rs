//! What a stream's x-arguments ask for beyond what all queues know.

use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::FieldTable;

/// The largest x-stream-max-segment-size-bytes, as in RabbitMQ.
const MOST_SEGMENT_BYTES: u64 = 3_000_000_000;
/// The argument for the size of a chunk's filter, and what it may be, as in RabbitMQ since 3.13.
const FILTER_ARGUMENT: &str = "x-stream-filter-size-bytes";
const LEAST_FILTER_BYTES: i64 = 16;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamArguments {
    /// x-max-age in milliseconds.
    pub max_age_ms: Option<u64>,
    /// x-max-length-bytes: about how many bytes are kept.
    pub max_bytes: Option<u64>,
    /// x-stream-max-segment-size-bytes: so much goes at once when something goes.
    pub segment_bytes: Option<u64>,
    /// x-stream-filter-size-bytes: what the filter of a chunk has.
    pub filter_bytes: u8,
}

impl Default for StreamArguments {
    fn default() -> Self {
        Self {
            max_age_ms: None,
            max_bytes: None,
            segment_bytes: None,
            filter_bytes: LEAST_FILTER_BYTES as u8,
        }
    }
}

impl StreamArguments {
    /// Checks what RabbitMQ checks last, after the queue's properties, and reads the filter's size.
    ///
    /// # Errors
    /// PRECONDITION_FAILED with RabbitMQ's text.
    pub fn check_sizes(&mut self, table: &FieldTable) -> Result<(), Exception> {
        if self
            .segment_bytes
            .is_some_and(|bytes| bytes > MOST_SEGMENT_BYTES)
        {
            return Err(Exception::new(
                ReplyCode::PreconditionFailed,
                "Exceeded max value for x-stream-max-segment-size-bytes",
            ));
        }
        let Some(value) = table.get(FILTER_ARGUMENT) else {
            return Ok(());
        };
        match value.as_i64().map(u8::try_from) {
            Some(Ok(bytes)) if i64::from(bytes) >= LEAST_FILTER_BYTES => {
                self.filter_bytes = bytes;
                Ok(())
            }
            _ => Err(Exception::new(
                ReplyCode::PreconditionFailed,
                format!("Invalid value for  {FILTER_ARGUMENT}"),
            )),
        }
    }
}
