//! BCC: the header whose routing keys the receivers of a message must not see.
//!
//! They are the message's own for as long as it lives: whoever dead-letters it without a key of its
//! own routes it by them once more. So the header stays among the properties that are kept,
//! [`Facts::has_bcc`](super::Facts::has_bcc) says that it is there, and whoever writes the message to a
//! client writes the properties [`without`] it. RabbitMQ keeps the keys beside the message instead.

use bytes::Bytes;

use crate::amqp::properties::Properties;
use crate::amqp::table::{FieldTable, FieldValue};

const BCC: &str = "BCC";

/// Takes the header out: as RabbitMQ the first of that name, should there be several.
pub fn take(headers: &mut FieldTable) -> Option<FieldValue> {
    let at = headers.iter().position(|(name, _)| name == BCC)?;
    Some(headers.0.remove(at).1)
}

/// Puts the header back.
pub fn put(headers: &mut FieldTable, value: FieldValue) {
    headers.push(BCC, value);
}

/// The routing keys in a CC or BCC header; what in it is no string is passed over.
pub fn routing_keys(header: Option<&FieldValue>) -> impl Iterator<Item = &Bytes> {
    let keys = header.and_then(FieldValue::as_array).unwrap_or_default();
    keys.iter().filter_map(|key| match key {
        FieldValue::LongStr(key) => Some(key),
        _ => None,
    })
}

/// Encoded properties without the header. (They were checked when the message was published; what
/// cannot be read has none.)
pub fn without(properties: &[u8]) -> Vec<u8> {
    let Ok(mut decoded) = Properties::decode(properties) else {
        return properties.to_vec();
    };
    decoded.headers.as_mut().map(take);
    let mut encoded = Vec::with_capacity(properties.len());
    decoded.encode(&mut encoded);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_bcc_is_taken_out() {
        let keys = |key: &str| FieldValue::Array(vec![key.into(), FieldValue::I32(1)]);
        let headers: FieldTable = [
            ("CC", keys("a")),
            ("BCC", keys("b")),
            ("x", true.into()),
            ("BCC", keys("c")),
        ]
        .into_iter()
        .collect();
        let properties = Properties {
            headers: Some(headers),
            ..Properties::default()
        };
        let mut encoded = Vec::new();
        properties.encode(&mut encoded);
        let left = Properties::decode(&without(&encoded)).expect("properties");
        let headers = left.headers.expect("headers");
        let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["CC", "x", "BCC"]);
        let keys: Vec<_> = routing_keys(headers.get("BCC")).collect();
        assert_eq!(keys, ["c"]);
        assert_eq!(routing_keys(headers.get("x")).count(), 0);
    }
}
