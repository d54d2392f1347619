//! Reply codes, soft (they close a channel) and hard (they close a connection).

use std::fmt;

pub use super::reply_code::ReplyCode;

/// What a peer is told when something it asked for is refused. The connection adds the class
/// and method that caused it and decides by [`ReplyCode::is_hard`] what is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The code.
    pub code: ReplyCode,
    /// RabbitMQ's text *without* the leading `NAME - `, which is added when it is sent.
    pub text: String,
}

impl Exception {
    /// An exception with RabbitMQ's text (without the code's name).
    pub fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// The reply text as it goes on the wire: `NAME - text`, cut to a short string's 255 bytes
    /// as RabbitMQ does.
    pub fn reply_text(&self) -> String {
        let mut text = format!("{} - {}", self.code.name(), self.text);
        if text.len() > 255 {
            let mut end = 252;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str("...");
        }
        text
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reply_text())
    }
}

impl std::error::Error for Exception {}
