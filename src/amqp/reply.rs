//! What a peer is told when it is refused: a reply code and a text.
//!
//! RabbitMQ's layout of the text is `NAME - text`, the name alone where there is no text, and at
//! most 255 bytes: of a longer one the first 252 and three dots.

use std::fmt;

pub use super::reply_code::ReplyCode;
use super::short_str::{SHORT_STR_MAX_BYTES, ShortStr};

/// What a text that was cut ends in.
const CUT_MARK: &str = "...";

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

    /// The reply text as it goes on the wire. Where RabbitMQ would cut a character in two, it is
    /// left out.
    pub fn reply_text(&self) -> String {
        if self.text.is_empty() {
            return self.code.name().to_owned();
        }
        let mut text = format!("{} - {}", self.code.name(), self.text);
        if text.len() > SHORT_STR_MAX_BYTES {
            text.truncate(text.floor_char_boundary(SHORT_STR_MAX_BYTES - CUT_MARK.len()));
            text.push_str(CUT_MARK);
        }
        text
    }

    /// The reply text as a field of a method.
    pub fn reply_str(&self) -> ShortStr {
        ShortStr::from(self.reply_text())
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reply_text())
    }
}

impl std::error::Error for Exception {}
