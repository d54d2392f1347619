//! What a reader wants to see of a stream: messages with certain filter values, and perhaps those
//! without one. Chunks that cannot have any are passed over unread.

use smallvec::SmallVec;

use super::bloom::{self, ChunkValues};
use crate::amqp::properties;
use crate::amqp::table::{FieldTable, FieldValue};

/// The header by which a publisher gives a message its value.
const VALUE_HEADER: &str = "x-stream-filter-value";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    values: SmallVec<[(u64, Box<[u8]>); 2]>,
    match_unfiltered: bool,
}

impl Filter {
    /// What a consumer's x-stream-filter and x-stream-match-unfiltered ask for; None if it wants
    /// everything. As in RabbitMQ (3.13 and later) what is no text is passed over.
    pub fn parse(arguments: &FieldTable) -> Option<Self> {
        let texts: Vec<&[u8]> = match arguments.get("x-stream-filter")? {
            FieldValue::LongStr(text) => vec![text],
            FieldValue::Array(values) => values
                .iter()
                .filter_map(|value| match value {
                    FieldValue::LongStr(text) => Some(text.as_ref()),
                    _ => None,
                })
                .collect(),
            _ => return None,
        };
        let match_unfiltered = arguments.get("x-stream-match-unfiltered");
        Some(Self {
            values: texts
                .into_iter()
                .map(|text| (bloom::hash(text), text.into()))
                .collect(),
            match_unfiltered: match_unfiltered == Some(&FieldValue::Bool(true)),
        })
    }

    /// Whether a chunk may have messages for the reader.
    pub fn may_match(&self, chunk: &ChunkValues) -> bool {
        self.match_unfiltered && chunk.has_unfiltered()
            || self.values.iter().any(|(hash, _)| chunk.may_have(*hash))
    }

    /// Whether a message with these properties is for the reader.
    pub fn matches(&self, properties: &[u8]) -> bool {
        match value_of(properties) {
            None => self.match_unfiltered,
            Some(value) => self.values.iter().any(|(_, wanted)| **wanted == *value),
        }
    }
}

/// A message's filter value, if it has one.
pub fn value_of(properties: &[u8]) -> Option<&[u8]> {
    FieldTable::find_long_str(properties::headers(properties)?, VALUE_HEADER)
}
