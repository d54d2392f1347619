//! Sender-selected distribution: the CC and BCC headers name more routing keys for a message.
//!
//! In: a message's headers. Out: the keys, or RabbitMQ's complaint. What becomes of BCC, which receivers
//! must not see: `broker::blind_copies`.

use bytes::Bytes;

use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::blind_copies;

const CC: &str = "CC";
const BCC: &str = "BCC";

/// Whether CC or BCC may be among the headers: a quick look that may err towards true.
pub(super) fn mentioned(headers: &[u8]) -> bool {
    // A name stands behind its length, of which this finds the end: "\x02CC" or "\x03BCC".
    headers
        .windows(3)
        .any(|bytes| matches!(bytes, b"\x02CC" | b"BCC"))
}

/// The routing keys that CC and BCC name beside the message's own. Anything but an array is refused,
/// and what in it is no string is passed over, both as in RabbitMQ.
pub(super) fn routing_keys(headers: &FieldTable) -> Result<Vec<Bytes>, Exception> {
    let mut found = Vec::new();
    for name in [CC, BCC] {
        match headers.get(name) {
            None => {}
            Some(keys @ FieldValue::Array(_)) => {
                found.extend(blind_copies::routing_keys(Some(keys)).cloned());
            }
            Some(other) => {
                let kind = other.type_name();
                return Err(Exception::new(
                    ReplyCode::PreconditionFailed,
                    format!("invalid message: {{unacceptable_type_in_header,\"{name}\",{kind}}}"),
                ));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(entries: Vec<(&str, FieldValue)>) -> FieldTable {
        entries.into_iter().collect()
    }

    #[test]
    fn keys_come_from_both_headers() {
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
        let found = routing_keys(&table).unwrap();
        assert_eq!(found, [&b"a"[..], b"b"]);
    }

    #[test]
    fn other_types_are_refused_in_rabbitmqs_words() {
        for (name, value, shown) in [
            ("CC", FieldValue::from("x"), "longstr"),
            ("BCC", FieldValue::I64(4), "long"),
        ] {
            let error = routing_keys(&headers(vec![(name, value)])).unwrap_err();
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
