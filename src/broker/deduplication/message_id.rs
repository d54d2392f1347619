//! What tells a message from others: the header `x-deduplication-header`, hashed.
//!
//! The hash is XXH3 with 128 bits, so that an id takes 16 bytes however long the header is. It is
//! written to the disk and must stay as it is. Whoever can make two values of one hash could as well
//! use one value twice.

use xxhash_rust::xxh3::xxh3_128;

use crate::amqp::properties;
use crate::amqp::table::{FieldTable, FieldValue};

/// The header.
pub(in crate::broker) const HEADER: &str = "x-deduplication-header";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u128);

impl MessageId {
    /// The id in a message's properties, which were checked; None if it has none.
    pub fn of(properties: &[u8]) -> Option<Self> {
        let headers = properties::scan(properties).ok()?.headers?;
        // Decoding what does not have it would be for nothing.
        let is_mentioned = headers
            .windows(HEADER.len())
            .any(|window| window == HEADER.as_bytes());
        if !is_mentioned {
            return None;
        }
        let headers = FieldTable::decode(headers).ok()?;
        headers.get(HEADER).map(Self::of_value)
    }

    /// The id that a header's value is. Values that RabbitMQ takes for one are one: text is text and
    /// an integer an integer, whatever their types' widths.
    pub fn of_value(value: &FieldValue) -> Self {
        let mut key = Vec::with_capacity(64);
        let integer = match *value {
            FieldValue::Timestamp(seconds) => Some(i128::from(seconds)),
            _ => value.as_i64().map(i128::from),
        };
        if let Some(integer) = integer {
            key.push(b'i');
            key.extend_from_slice(&integer.to_be_bytes());
        } else if let Some(text) = value.as_bytes() {
            key.push(b's');
            key.extend_from_slice(text);
        } else {
            key.push(b'v');
            match *value {
                FieldValue::F32(number) => FieldValue::F64(number.into()).encode(&mut key),
                _ => value.encode(&mut key),
            }
        }
        Self(xxh3_128(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::properties::Properties;

    fn text(text: &str) -> FieldValue {
        FieldValue::LongStr(text.as_bytes().to_vec().into())
    }

    #[test]
    fn types_count_as_rabbitmq_counts_them() {
        let id = |value: FieldValue| MessageId::of_value(&value);
        assert_eq!(id(FieldValue::I32(5)), id(FieldValue::U8(5)));
        assert_eq!(id(FieldValue::I64(5)), id(FieldValue::Timestamp(5)));
        assert_eq!(id(text("a")), id(FieldValue::Bytes("a".into())));
        assert_eq!(id(FieldValue::F32(0.5)), id(FieldValue::F64(0.5)));
        let different = [
            text("5"),
            text(""),
            FieldValue::I32(5),
            FieldValue::F64(5.0),
            FieldValue::Bool(true),
            FieldValue::Bool(false),
            FieldValue::Void,
            FieldValue::Array(vec![FieldValue::I32(5)]),
        ];
        for (at, one) in different.iter().enumerate() {
            for other in &different[at + 1..] {
                assert_ne!(id(one.clone()), id(other.clone()), "{one:?} {other:?}");
            }
        }
    }

    /// These are on the disk.
    #[test]
    fn ids_stay_as_they_are() {
        let order = MessageId::of_value(&text("order-1"));
        assert_eq!(order.0, 311_476_199_239_326_297_218_498_917_428_039_206_701);
        let number = MessageId::of_value(&FieldValue::I32(1));
        assert_eq!(number.0, 11_166_549_404_594_998_039_035_081_300_988_905_452);
    }

    #[test]
    fn is_found_among_other_properties() {
        let mut headers = FieldTable::new();
        headers.push("a", 1);
        headers.push(HEADER, "order-1");
        let mut properties = Properties {
            headers: Some(headers),
            ..Properties::default()
        };
        let encoded = |properties: &Properties| {
            let mut encoded = Vec::new();
            properties.encode(&mut encoded);
            MessageId::of(&encoded)
        };
        let order = MessageId::of_value(&text("order-1"));
        assert_eq!(encoded(&properties), Some(order));
        let mut mentions = FieldTable::new();
        mentions.push("a", HEADER);
        properties.headers = Some(mentions);
        assert_eq!(encoded(&properties), None);
        assert_eq!(encoded(&Properties::default()), None);
    }
}
