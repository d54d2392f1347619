//! Reply codes: why something was refused or closed, as a number and a name.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

/// A reply code. Soft ones close a channel, hard ones a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ReplyCode {
    /// Not an error: an orderly close.
    Success = 200,
    /// Soft. The content is larger than the peer takes at this time.
    ContentTooLarge = 311,
    /// Soft. A mandatory message reached no queue; only ever sent in basic.return.
    NoRoute = 312,
    /// Soft. An immediate message found no consumer that was ready for it.
    NoConsumers = 313,
    /// Hard. An operator or a shutdown closed the connection.
    ConnectionForced = 320,
    /// Hard. The client named a virtual host that is unknown.
    InvalidPath = 402,
    /// Soft. The client may not do this, by its permissions or by another's exclusive use.
    AccessRefused = 403,
    /// Soft. What the client named does not exist.
    NotFound = 404,
    /// Soft. Another connection owns the queue exclusively.
    ResourceLocked = 405,
    /// Soft. A condition that the request depends on does not hold.
    PreconditionFailed = 406,
    /// Hard. A frame could not be decoded.
    FrameError = 501,
    /// Hard. A frame held values that are not allowed in its fields.
    SyntaxError = 502,
    /// Hard. Methods came in an order that the protocol does not allow.
    CommandInvalid = 503,
    /// Hard. The channel is not open, or open already.
    ChannelError = 504,
    /// Hard. A frame came where another kind was due, mostly around contents.
    UnexpectedFrame = 505,
    /// Hard. The server lacks the resources for the request.
    ResourceError = 506,
    /// Hard. The request is against what was agreed or configured.
    NotAllowed = 530,
    /// Hard. The server does not have this function.
    NotImplemented = 540,
    /// Hard. Something inside the server went wrong.
    InternalError = 541,
}

impl ReplyCode {
    /// Every code.
    pub const ALL: [Self; 19] = [
        Self::Success,
        Self::ContentTooLarge,
        Self::NoRoute,
        Self::NoConsumers,
        Self::ConnectionForced,
        Self::InvalidPath,
        Self::AccessRefused,
        Self::NotFound,
        Self::ResourceLocked,
        Self::PreconditionFailed,
        Self::FrameError,
        Self::SyntaxError,
        Self::CommandInvalid,
        Self::ChannelError,
        Self::UnexpectedFrame,
        Self::ResourceError,
        Self::NotAllowed,
        Self::NotImplemented,
        Self::InternalError,
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The code of that number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
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

    /// Whether an exception of that code closes the whole connection and not just a channel.
    pub fn is_hard(self) -> bool {
        match self {
            Self::Success => false,
            Self::ContentTooLarge => false,
            Self::NoRoute => false,
            Self::NoConsumers => false,
            Self::ConnectionForced => true,
            Self::InvalidPath => true,
            Self::AccessRefused => false,
            Self::NotFound => false,
            Self::ResourceLocked => false,
            Self::PreconditionFailed => false,
            Self::FrameError => true,
            Self::SyntaxError => true,
            Self::CommandInvalid => true,
            Self::ChannelError => true,
            Self::UnexpectedFrame => true,
            Self::ResourceError => true,
            Self::NotAllowed => true,
            Self::NotImplemented => true,
            Self::InternalError => true,
        }
    }
}
