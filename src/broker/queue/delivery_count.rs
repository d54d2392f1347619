//! The headers by which a quorum queue tells how often a message came back: `x-acquired-count` in whatever
//! way, `x-delivery-count` because consumers failed on it. As in RabbitMQ since 4.3.

use crate::amqp::properties::Properties;
use crate::amqp::table::FieldValue;
use crate::broker::log::Returns;

/// The properties of a message that came back so often, with the headers put in. (They were checked when the
/// message was published; what cannot be read stays as it is.)
pub(super) fn with_delivery_count(properties: &[u8], returns: Returns) -> Vec<u8> {
    let Ok(mut decoded) = Properties::decode(properties) else {
        return properties.to_vec();
    };
    let headers = decoded.headers.get_or_insert_default();
    headers.insert("x-acquired-count", FieldValue::I64(returns.all.into()));
    if returns.failures > 0 {
        headers.insert("x-delivery-count", FieldValue::I64(returns.failures.into()));
    }
    let mut encoded = Vec::with_capacity(properties.len() + 64);
    decoded.encode(&mut encoded);
    encoded
}
