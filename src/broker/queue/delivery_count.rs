//! The `x-delivery-count` header, by which a quorum queue tells how often a message came back.

use crate::amqp::properties::Properties;
use crate::amqp::table::FieldValue;

/// The properties of a message that came back `returns` times, with the header put in. (They were
/// checked when the message was published; what cannot be read stays as it is.)
pub(super) fn with_delivery_count(properties: &[u8], returns: u32) -> Vec<u8> {
    let Ok(mut decoded) = Properties::decode(properties) else {
        return properties.to_vec();
    };
    let count = FieldValue::I64(returns.into());
    decoded
        .headers
        .get_or_insert_default()
        .insert("x-delivery-count", count);
    let mut encoded = Vec::with_capacity(properties.len() + 32);
    decoded.encode(&mut encoded);
    encoded
}
