//! Names that clients give: what RabbitMQ takes out of them, refuses, and makes up itself.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::amqp::reply::{Exception, ReplyCode};

/// The name without carriage returns and line feeds, which RabbitMQ takes out of the names in
/// declare, delete, bind and unbind (and nowhere else).
pub(super) fn without_line_ends(name: &str) -> Cow<'_, str> {
    if name.contains(['\r', '\n']) {
        Cow::Owned(name.replace(['\r', '\n'], ""))
    } else {
        Cow::Borrowed(name)
    }
}

/// Refuses names that only the broker may give; `kind` is `queue` or `exchange`.
pub(super) fn check_not_reserved(kind: &str, name: &str) -> Result<(), Exception> {
    if !name.starts_with("amq.") {
        return Ok(());
    }
    let text = format!("{kind} name '{name}' contains reserved prefix 'amq.*'");
    Err(Exception::new(ReplyCode::AccessRefused, text))
}

/// Refuses the default exchange, which can be neither declared, deleted nor bound.
pub(super) fn check_not_default_exchange(name: &str) -> Result<(), Exception> {
    if !name.is_empty() {
        return Ok(());
    }
    Err(Exception::new(
        ReplyCode::AccessRefused,
        "operation not permitted on the default exchange",
    ))
}

/// A name that nobody guesses: 128 random bits in URL-safe letters behind a prefix, as RabbitMQ's
/// `amq.gen-` and `amq.ctag-` names.
pub(super) fn random_name(prefix: &str) -> String {
    let bits: [u8; 16] = rand::random();
    let mut name = String::from(prefix);
    URL_SAFE_NO_PAD.encode_string(bits, &mut name);
    name
}
