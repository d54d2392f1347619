//! Exceptions on their way to the client: connection.close and channel.close.

use super::link::Link;
use crate::amqp::method::{Facts, Method, MethodError, basic, channel, connection};
use crate::amqp::reply::{Exception, ReplyCode};

/// Class and method number of what caused an exception; [`NO_METHOD`] if it was none.
pub(super) type MethodIds = (u16, u16);

/// No method in particular.
pub(super) const NO_METHOD: MethodIds = (0, 0);
/// basic.publish, to which content belongs.
pub(super) const BASIC_PUBLISH: MethodIds = ids(basic::Publish::FACTS);
/// basic.ack.
pub(super) const BASIC_ACK: MethodIds = ids(basic::Ack::FACTS);
/// channel.open.
pub(super) const CHANNEL_OPEN: MethodIds = ids(channel::Open::FACTS);
/// channel.close.
pub(super) const CHANNEL_CLOSE: MethodIds = ids(channel::Close::FACTS);
/// connection.open.
pub(super) const CONNECTION_OPEN: MethodIds = ids(connection::Open::FACTS);

const fn ids(facts: Facts) -> MethodIds {
    (facts.class_id, facts.method_id)
}

/// An exception and what caused it.
#[derive(Debug)]
pub(super) struct Fault {
    pub exception: Exception,
    pub ids: MethodIds,
    /// RabbitMQ's reader crashes over this and closes the socket at once. We say what was wrong,
    /// but do not wait for long either.
    pub is_fatal: bool,
}

impl Fault {
    pub fn new(code: ReplyCode, text: impl Into<String>, ids: MethodIds) -> Self {
        Exception::new(code, text).caused_by(ids)
    }

    /// The method cannot be sent in that state of the connection.
    pub fn unexpected_method(state: &str, ids: MethodIds) -> Self {
        let text = format!("unexpected method in connection state {state}");
        Self::new(ReplyCode::ChannelError, text, ids)
    }

    /// The method is none that a client sends on a channel.
    pub fn unimplemented(ids: MethodIds) -> Self {
        Self::new(ReplyCode::CommandInvalid, "unimplemented method", ids)
    }

    /// What was sent on channel 0 as a method is none. RabbitMQ tells the client nothing but that
    /// something went wrong inside of it; see [`MethodError::exception`] for the rest.
    pub fn undecodable(error: &MethodError, payload: &[u8]) -> Self {
        match error {
            MethodError::Malformed(_) | MethodError::Table(..) => {
                Self::new(ReplyCode::InternalError, "", NO_METHOD)
            }
            MethodError::Unknown { .. } => error.exception(payload).caused_by(error.ids()).fatal(),
            MethodError::NoIds | MethodError::NotUtf8(_) => {
                error.exception(payload).caused_by(error.ids())
            }
        }
    }

    /// What was sent on a channel as a method is none.
    pub fn undecodable_on_channel(error: &MethodError, payload: &[u8]) -> Self {
        let exception = error.exception(payload);
        match error {
            MethodError::NotUtf8(_) => exception.caused_by(NO_METHOD),
            MethodError::Unknown { .. } | MethodError::Table(..) => {
                exception.caused_by(error.ids()).fatal()
            }
            MethodError::NoIds | MethodError::Malformed(_) => exception.caused_by(error.ids()),
        }
    }

    fn fatal(self) -> Self {
        Self {
            is_fatal: true,
            ..self
        }
    }

    fn reply_text(&self) -> String {
        if self.exception.text.is_empty() {
            self.exception.code.name().to_string()
        } else {
            self.exception.reply_text()
        }
    }

    /// Sends connection.close.
    pub fn close_connection(&self, link: &Link) {
        let close = connection::Close {
            reply_code: self.exception.code.number(),
            reply_text: self.reply_text().into(),
            class_id: self.ids.0,
            method_id: self.ids.1,
        };
        link.send(0, &Method::ConnectionClose(close));
    }

    /// Sends channel.close.
    pub fn close_channel(&self, link: &Link, channel: u16) {
        let close = channel::Close {
            reply_code: self.exception.code.number(),
            reply_text: self.reply_text().into(),
            class_id: self.ids.0,
            method_id: self.ids.1,
        };
        link.send(channel, &Method::ChannelClose(close));
    }
}

/// Adds what caused it.
pub(super) trait CausedBy {
    fn caused_by(self, ids: MethodIds) -> Fault;
}

impl CausedBy for Exception {
    fn caused_by(self, ids: MethodIds) -> Fault {
        // RabbitMQ's process has crashed then, and nobody knows over what.
        let is_known = self.code != ReplyCode::InternalError;
        Fault {
            ids: if is_known { ids } else { NO_METHOD },
            exception: self,
            is_fatal: false,
        }
    }
}
