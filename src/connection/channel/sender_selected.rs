//! Sender-selected distribution: the CC and BCC headers name more routing keys for a message.
//!
//! In: a message's headers. Out: the keys, and the properties without BCC, which receivers must
//! not see.

use bytes::Bytes;

use crate::amqp::properties::Properties;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};

const CC: &str = "CC";
const BCC: &str = "BCC";

/// Whether CC or BCC may be among the headers: a quick look that may err towards true.
pub(super) fn mentioned(headers: &[u8]) -> bool {
    // A name stands behind its length, of which this finds the end: "\x02CC" or "\x03BCC".
    headers
        .windows(3)
        .any(|bytes| matches!(bytes, b"\x02CC" | b"BCC"))
}

/// What CC and BCC say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SenderSelected {
    /// Routing keys beside the message's own.
    pub routing_keys: Vec<Bytes>,
    /// Whether there is a BCC to be taken out.
    pub has_bcc: bool,
}

impl SenderSelected {
    /// Reads the headers; anything but an array is refused, and what in it is no string is passed
    /// over, both as in RabbitMQ.
    pub fn read(headers: &FieldTable) -> Result<Self, Exception> {
        let mut found = Self {
            has_bcc: headers.get(BCC).is_some(),
            ..Self::default()
        };
        for name in [CC, BCC] {
            match headers.get(name) {
                None => {}
                Some(FieldValue::Array(keys)) => {
                    found
                        .routing_keys
                        .extend(keys.iter().filter_map(|key| match key {
                            FieldValue::LongStr(key) => Some(key.clone()),
                            _ => None,
                        }))
                }
                Some(other) => {
                    let kind = other.type_name();
                    return Err(Exception::new(
                        ReplyCode::PreconditionFailed,
                        format!(
                            "invalid message: {{unacceptable_type_in_header,\"{name}\",{kind}}}"
                        ),
                    ));
                }
            }
        }
        Ok(found)
    }
}

/// Takes the BCC out: as RabbitMQ the first of that name, should there be several.
pub(super) fn remove_bcc(properties: &mut Properties) {
    if let Some(headers) = &mut properties.headers {
        let at = headers.iter().position(|(name, _)| name == BCC);
        at.map(|at| headers.0.remove(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(entries: Vec<(&str, FieldValue)>) -> FieldTable {
        entries.into_iter().collect()
    }

    #[test]
    fn keys_come_from_both_headers_and_only_bcc_is_taken_out() {
        let table = headers(vec![
            (
                "CC",
                FieldValue::Array(vec!["a".into(), FieldValue::I32(1)]),
            ),
            ("BCC", FieldValue::Array(vec!["b".into()])),
            ("x", true.into()),
        ]);
        let mut encoded = Vec::new();
        table.encode(&mut encoded);
        assert!(mentioned(&encoded));
        let found = SenderSelected::read(&table).unwrap();
        assert_eq!(found.routing_keys, [&b"a"[..], b"b"]);
        let mut properties = Properties {
            headers: Some(table),
            ..Properties::default()
        };
        remove_bcc(&mut properties);
        let left: Vec<_> = properties
            .headers
            .iter()
            .flat_map(|headers| headers.iter().map(|(name, _)| name))
            .collect();
        assert_eq!(left, ["CC", "x"]);
    }

    #[test]
    fn other_types_are_refused_in_rabbitmqs_words() {
        for (name, value, shown) in [
            ("CC", FieldValue::from("x"), "longstr"),
            ("BCC", FieldValue::I64(4), "long"),
        ] {
            let error = SenderSelected::read(&headers(vec![(name, value)])).unwrap_err();
            assert_eq!(
                error.reply_text(),
                format!(
                    "PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,\"{name}\",{shown}}}"
                )
            );
        }
    }

    #[test]
    fn other_headers_are_not_looked_into() {
        let mut encoded = Vec::new();
        headers(vec![("ACC", "CCC".into()), ("cc", "bcc".into())]).encode(&mut encoded);
        assert!(!mentioned(&encoded));
    }
}
