//! Reply codes, soft (they close a channel) and hard (they close a connection).

use std::fmt;

/// A reply code of the specification's section 1.2 ("Constants").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ReplyCode {
    /// Not an error: an orderly close.
    Success = 200,
    /// Soft.
    ContentTooLarge = 311,
    /// Soft; only as basic.return.
    NoRoute = 312,
    /// Soft.
    NoConsumers = 313,
    /// Hard: an operator closed the connection.
    ConnectionForced = 320,
    /// Hard.
    InvalidPath = 402,
    /// Soft.
    AccessRefused = 403,
    /// Soft.
    NotFound = 404,
    /// Soft.
    ResourceLocked = 405,
    /// Soft.
    PreconditionFailed = 406,
    /// Hard.
    FrameError = 501,
    /// Hard.
    SyntaxError = 502,
    /// Hard.
    CommandInvalid = 503,
    /// Hard.
    ChannelError = 504,
    /// Hard.
    UnexpectedFrame = 505,
    /// Hard.
    ResourceError = 506,
    /// Hard.
    NotAllowed = 530,
    /// Hard.
    NotImplemented = 540,
    /// Hard.
    InternalError = 541,
}

impl ReplyCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The name that RabbitMQ puts in front of a reply text, as in `NOT_FOUND - no queue ...`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::ContentTooLarge => "CONTENT_TOO_LARGE",
            Self::NoRoute => "NO_ROUTE",
            Self::NoConsumers => "NO_CONSUMERS",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::InvalidPath => "INVALID_PATH",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// Whether the error closes the whole connection and not just the channel.
    pub fn is_hard(self) -> bool {
        matches!(
            self,
            Self::ConnectionForced
                | Self::InvalidPath
                | Self::FrameError
                | Self::SyntaxError
                | Self::CommandInvalid
                | Self::ChannelError
                | Self::UnexpectedFrame
                | Self::ResourceError
                | Self::NotAllowed
                | Self::NotImplemented
                | Self::InternalError
        )
    }
}

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
        Self { code, text: text.into() }
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
