//! What a message's properties say to the broker, and whether RabbitMQ would take them.
//!
//! In: property flags and values as they came. Out: the [`Facts`] that the engine needs and what
//! the channel must do itself, or RabbitMQ's error. Most messages have no properties, or a
//! delivery mode alone; those cost nothing here.

use std::borrow::Cow;

use super::reply_to::REPLY_TO;
use super::sender_selected;
use crate::amqp::properties;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::auth::User;
use crate::broker::Facts;

/// RabbitMQ's longest time-to-live: ten years.
const MAX_EXPIRATION_MS: u64 = 315_360_000_000;

/// A user with this tag may publish in anybody's name.
const IMPERSONATOR: &str = "impersonator";

/// What was found in a message's properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub facts: Facts,
    /// The headers have a CC or BCC.
    pub is_sender_selected: bool,
    /// reply-to is to be replaced by this channel's own reply address.
    pub wants_reply_address: bool,
}

impl Checked {
    /// Whether the properties stay as they are and ask for nothing.
    pub fn is_plain(&self) -> bool {
        !self.is_sender_selected && !self.wants_reply_address
    }

    fn of(facts: Facts) -> Self {
        Self {
            facts,
            is_sender_selected: false,
            wants_reply_address: false,
        }
    }
}

/// The facts of the most usual properties, which are none or a delivery mode alone.
#[inline(always)]
pub(super) fn usual(raw: &[u8]) -> Option<Facts> {
    match raw {
        [0, 0] | [0x10, 0, 1] => Some(Facts::PLAIN),
        [0x10, 0, 2] => Some(Facts {
            persistent: true,
            ..Facts::PLAIN
        }),
        _ => None,
    }
}

/// Checks a message's properties in RabbitMQ's order.
pub(super) fn check(
    raw: &[u8],
    user: &User,
    has_reply_consumer: bool,
) -> Result<Checked, Exception> {
    if let Some(facts) = usual(raw) {
        return Ok(Checked::of(facts));
    }
    // RabbitMQ's channel process crashes over these, which ends the connection like so.
    let scan = properties::scan(raw).map_err(|_| Exception::new(ReplyCode::InternalError, ""))?;
    let wants_reply_address = scan.reply_to == Some(REPLY_TO.as_bytes());
    if wants_reply_address && !has_reply_consumer {
        return Err(precondition_failed("fast reply consumer does not exist"));
    }
    check_user_id(scan.user_id, user)?;
    let expiration_ms = scan.expiration.map_or(Ok(Facts::NEVER), expiration_ms)?;
    let persistent = match scan.delivery_mode {
        None | Some(1) => false,
        Some(2) => true,
        Some(other) => {
            return Err(precondition_failed(format!(
                "invalid message: {{delivery_mode_unknown,{other}}}"
            )));
        }
    };
    let facts = Facts {
        persistent,
        priority: scan.priority.unwrap_or(0),
        expiration_ms,
        has_bcc: false,
    };
    let is_sender_selected = scan.headers.is_some_and(sender_selected::mentioned);
    Ok(Checked {
        facts,
        is_sender_selected,
        wants_reply_address,
    })
}

fn check_user_id(claimed: Option<&[u8]>, user: &User) -> Result<(), Exception> {
    let actual = user.name();
    match claimed {
        Some(claimed) if claimed != actual.as_bytes() && !user.has_tag(IMPERSONATOR) => {
            let claimed = String::from_utf8_lossy(claimed);
            Err(precondition_failed(format!(
                "user_id property set to '{claimed}' but authenticated user was '{actual}'"
            )))
        }
        _ => Ok(()),
    }
}

/// The expiration property: decimal digits, after a sign if need be, as Erlang's
/// `string:to_integer` reads them.
fn expiration_ms(text: &[u8]) -> Result<u64, Exception> {
    let invalid = |reason: String| {
        let text = String::from_utf8_lossy(text);
        Err(precondition_failed(format!(
            "invalid expiration '{text}': {reason}"
        )))
    };
    let column = "invalid expiration '': ".len() + text.len();
    let invalid_pair = |name: &str, value: &str| invalid(erlang_pair(column, name, value));
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    let (digits, leftover) = digits.split_at(end);
    if digits.is_empty() {
        return invalid("no_integer".into());
    }
    if !leftover.is_empty() {
        return invalid_pair("leftover_string", &erlang_string(leftover));
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = str::from_utf8(digits.get(zeros..).unwrap_or_default()).unwrap_or_default();
    if digits.is_empty() {
        return Ok(0);
    }
    match digits.parse() {
        _ if negative => invalid_pair("value_negative", &format!("-{digits}")),
        Ok(ms) if ms <= MAX_EXPIRATION_MS => Ok(ms),
        _ => invalid_pair("value_too_large", digits),
    }
}

/// A pair as Erlang's `~p` prints it behind `column` bytes: on a line of its own what does not fit into
/// 80.
fn erlang_pair(column: usize, name: &str, value: &str) -> String {
    let on_one_line = format!("{{{name},{value}}}");
    if column + on_one_line.len() < 79 {
        return on_one_line;
    }
    format!("{{{name},\n{:indent$}{value}}}", "", indent = column + 1)
}

/// A string as Erlang's `~p` prints it: quoted if it is printable, else as numbers.
fn erlang_string(bytes: &[u8]) -> Cow<'static, str> {
    if !bytes
        .iter()
        .all(|byte| matches!(byte, 8..=13 | 27 | 32..=126 | 160..=255))
    {
        let numbers = bytes
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(",");
        return format!("[{numbers}]").into();
    }
    let mut quoted = String::from("\"");
    for char in String::from_utf8_lossy(bytes).chars() {
        match char {
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            '\u{1b}' => quoted.push_str("\\e"),
            '"' | '\\' => quoted.extend(['\\', char]),
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted.into()
}

fn precondition_failed(text: impl Into<String>) -> Exception {
    Exception::new(ReplyCode::PreconditionFailed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_finds_what_the_long_way_finds() {
        let users = crate::auth::Users::with_guest();
        let guest = users.get("guest").expect("guest");
        let found = |raw: &[u8]| check(raw, &guest, false);
        assert_eq!(found(&[0, 0]), found(&[0x08, 0, 0]));
        for mode in 0..=3 {
            assert_eq!(found(&[0x10, 0, mode]), found(&[0x18, 0, mode, 0]));
        }
    }

    /// What RabbitMQ 3.10.8 answers to each.
    #[test]
    fn expirations_are_read_as_rabbitmq_reads_them() {
        for (text, ms) in [
            ("0", 0),
            ("60000", 60_000),
            ("+5", 5),
            ("-0", 0),
            ("007", 7),
            ("315360000000", MAX_EXPIRATION_MS),
        ] {
            assert_eq!(expiration_ms(text.as_bytes()), Ok(ms), "{text}");
        }
        for (text, reason) in [
            ("abc", "no_integer"),
            ("", "no_integer"),
            (" 5", "no_integer"),
            ("-", "no_integer"),
            ("-1", "{value_negative,-1}"),
            ("12x", "{leftover_string,\"x\"}"),
            ("5\n", "{leftover_string,\"\\n\"}"),
            ("1\u{1}", "{leftover_string,[1]}"),
            ("1é", "{leftover_string,\"é\"}"),
            ("9999999999999", "{value_too_large,9999999999999}"),
            ("999999999999999999", "{value_too_large,999999999999999999}"),
            (
                "9999999999999999999",
                "{value_too_large,\n                                           9999999999999999999}",
            ),
            (
                "-9999999999999999999",
                "{value_negative,\n                                            -9999999999999999999}",
            ),
            (
                "1xxxxxxxxxxxxxxxxxx",
                "{leftover_string,\n                                           \"xxxxxxxxxxxxxxxxxx\"}",
            ),
        ] {
            let error = expiration_ms(text.as_bytes()).unwrap_err();
            assert_eq!(
                error.reply_text(),
                format!("PRECONDITION_FAILED - invalid expiration '{text}': {reason}")
            );
        }
    }
}
