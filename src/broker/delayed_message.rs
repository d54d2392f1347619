//! Delayed messages: an exchange of type x-delayed-message keeps them until their delay is over, and routes
//! them then.
//!
//! In: the header `x-delay`, read when a message is published. Out: the message, with the delay in that
//! header negated, so that it is delayed once, wherever it goes from there.

use super::Effects;
use super::dead_letter::{Arrival, DeadLetter, header_routes};
use super::exchange::MessageHeaders;
use super::message::{Body, Facts, Message};
use crate::amqp::properties::Properties;
use crate::amqp::table::FieldValue;

/// The header that says for how many milliseconds.
pub(super) const DELAY: &str = "x-delay";

/// For how many milliseconds a message with that header is to wait, if it is.
pub(super) fn delay_ms(header: Option<&FieldValue>) -> Option<u64> {
    let delay_ms = u64::try_from(whole_number(header?)?).ok()?;
    (delay_ms > 0).then_some(delay_ms)
}

/// The same for a message with these properties.
pub(super) fn delay_ms_of(properties: &[u8]) -> Option<u64> {
    delay_ms(MessageHeaders::new(properties).get(DELAY.as_bytes()))
}

/// As in the plugin texts are read and fractions cut off; what is no number is no delay (the plugin fails
/// over a text that is none).
pub(super) fn whole_number(value: &FieldValue) -> Option<i64> {
    match value {
        FieldValue::F32(number) => Some(*number as i64),
        FieldValue::F64(number) => Some(*number as i64),
        other => {
            let text = || std::str::from_utf8(other.as_bytes()?).ok()?.parse().ok();
            other.as_i64().or_else(text)
        }
    }
}

impl DeadLetter {
    /// A message whose delay is over goes where its exchange leads now.
    pub(super) fn route_on(&self, effects: &mut Effects) -> Arrival {
        let Some(vhost) = self.source.vhost().upgrade() else {
            return Arrival::default();
        };
        let name = self.source.name();
        // Another one may have its name by now.
        let is_it = |id: u64| id == self.source.id().0;
        if !vhost.exchange(name).is_some_and(|it| is_it(it.id().0)) {
            return Arrival::default();
        }
        let Ok(mut properties) = Properties::decode(&self.properties) else {
            return Arrival::default();
        };
        if let Some(headers) = &mut properties.headers
            && let Some(delay) = headers.get(DELAY).and_then(whole_number)
        {
            headers.insert(DELAY, FieldValue::I64(delay.saturating_neg()));
        }
        let mut encoded = Vec::with_capacity(self.properties.len() + 8);
        properties.encode(&mut encoded);
        let more_keys = properties.headers.as_ref().map(header_routes);
        let more_keys = more_keys.unwrap_or_default();
        let keys: Vec<_> = std::iter::once(&*self.routing_key)
            .chain(more_keys.iter().map(AsRef::as_ref))
            .map(String::from_utf8_lossy)
            .collect();
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let Ok(route) = vhost.route_by(name, &keys, &encoded, true) else {
            return Arrival::default();
        };
        let expiration = properties.expiration.as_deref();
        let message = Message {
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            properties: &encoded,
            body: Body::of(&self.body),
            facts: Facts {
                // It was checked when the message came.
                expiration_ms: expiration
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(Facts::NEVER),
                ..self.facts
            },
        };
        self.arrive(&vhost, name, &route, &message, &keys, &|_| false, effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_number_above_zero() {
        let delays = [
            (FieldValue::I32(5), Some(5)),
            (FieldValue::U8(5), Some(5)),
            (FieldValue::I64(1 << 40), Some(1 << 40)),
            (FieldValue::F64(5.9), Some(5)),
            (FieldValue::from("5"), Some(5)),
            (FieldValue::I32(0), None),
            (FieldValue::I32(-5), None),
            (FieldValue::from("-5"), None),
            (FieldValue::from("soon"), None),
            (FieldValue::F64(f64::NAN), None),
            (FieldValue::Bool(true), None),
            (FieldValue::Timestamp(5), None),
        ];
        for (header, delay) in delays {
            assert_eq!(delay_ms(Some(&header)), delay, "{header:?}");
        }
        assert_eq!(delay_ms(None), None);
    }
}
