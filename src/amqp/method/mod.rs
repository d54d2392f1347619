//! Methods: what peers ask of each other and answer.
//!
//! In: the payload of a method frame; out: a [`Method`], or a [`MethodError`] that still knows
//! which method it was. The types and their codec are generated from `spec/` by
//! `cargo run -p spec-generator`: one file per class, and [`Method`] over all of them.

mod all;

pub mod access;
pub mod basic;
pub mod channel;
pub mod confirm;
pub mod connection;
pub mod exchange;
pub mod queue;
pub mod tx;

pub use all::Method;

use super::frame::{Frame, FrameKind};
use super::reply::{Exception, ReplyCode};
use super::table::TableError;
use super::terms::Binary;
use super::wire::{Reader, WireError};

/// What the specification says of a method as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The class's number.
    pub class_id: u16,
    /// The method's number within its class.
    pub method_id: u16,
    /// Class and method, as in `queue.declare`.
    pub name: &'static str,
    /// Whether a content header follows.
    pub has_content: bool,
    /// Whether it waits for an answer (unless it says no-wait).
    pub is_synchronous: bool,
    /// Whether clients send it.
    pub from_client: bool,
    /// Whether servers send it.
    pub from_server: bool,
}

impl Facts {
    /// The facts of the method of that number.
    pub fn of(class_id: u16, method_id: u16) -> Option<&'static Self> {
        Self::ALL
            .into_iter()
            .find(|facts| (facts.class_id, facts.method_id) == (class_id, method_id))
    }
}

/// A payload that is no method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodError {
    /// It does not even have a class and a method number.
    NoIds,
    /// There is no such class or method.
    Unknown {
        /// The class's number.
        class_id: u16,
        /// The method's number.
        method_id: u16,
    },
    /// The arguments end too early, or something follows them.
    Malformed(&'static Facts),
    /// A short string is no UTF-8.
    NotUtf8(&'static Facts),
    /// A field table is none.
    Table(&'static Facts, TableError),
}

impl MethodError {
    #[cold]
    fn of(class_id: u16, method_id: u16, error: WireError) -> Self {
        let Some(facts) = Facts::of(class_id, method_id) else {
            return Self::Unknown {
                class_id,
                method_id,
            };
        };
        match error {
            WireError::Truncated | WireError::Trailing => Self::Malformed(facts),
            WireError::NotUtf8 => Self::NotUtf8(facts),
            WireError::Table(error) => Self::Table(facts, error),
        }
    }

    /// The numbers of class and method; 0 where unknown.
    pub fn ids(&self) -> (u16, u16) {
        match *self {
            Self::NoIds => (0, 0),
            Self::Unknown {
                class_id,
                method_id,
            } => (class_id, method_id),
            Self::Malformed(facts) | Self::NotUtf8(facts) | Self::Table(facts, _) => {
                (facts.class_id, facts.method_id)
            }
        }
    }

    /// The numbers of class and method that RabbitMQ blames in the connection.close that follows.
    /// For text that is no UTF-8 it knows them on channel 0 only.
    pub fn blamed_ids(&self, channel: u16) -> (u16, u16) {
        match self {
            Self::NotUtf8(_) if channel != 0 => (0, 0),
            _ => self.ids(),
        }
    }

    /// The exception that RabbitMQ answers with; `payload` is what was to be decoded.
    ///
    /// Unknown methods and bad tables have none there: RabbitMQ's reader crashes over them, and
    /// the client sees its connection reset. Here they are answered as the specification has it.
    pub fn exception(&self, payload: &[u8]) -> Exception {
        let arguments = payload.get(4..).unwrap_or_default();
        match self {
            Self::NoIds => Frame {
                kind: FrameKind::Method,
                channel: 0,
                payload,
            }
            .unknown(),
            Self::Unknown {
                class_id,
                method_id,
            } => Exception::new(
                ReplyCode::NotImplemented,
                format!("unknown method {{{class_id},{method_id}}}"),
            ),
            Self::Malformed(_) => Exception::new(
                ReplyCode::FrameError,
                format!("cannot decode {}", Binary(arguments)),
            ),
            Self::NotUtf8(_) => {
                Exception::new(ReplyCode::FrameError, "Malformed UTF-8 in shortstr")
            }
            Self::Table(_, error) => Exception::new(ReplyCode::SyntaxError, error.to_string()),
        }
    }
}

/// The numbers of class and method at the start of a method frame's payload.
pub fn peek_ids(payload: &[u8]) -> Option<(u16, u16)> {
    let mut input = Reader::new(payload);
    Some((input.short().ok()?, input.short().ok()?))
}

impl Method {
    /// Reads a method frame's payload, all of it.
    pub fn decode(payload: &[u8]) -> Result<Self, MethodError> {
        let (class_id, method_id) = peek_ids(payload).ok_or(MethodError::NoIds)?;
        let mut input = Reader::new(payload.get(4..).unwrap_or_default());
        let read = Self::read((class_id, method_id), &mut input).ok_or(MethodError::Unknown {
            class_id,
            method_id,
        })?;
        read.and_then(|method| input.end().map(|()| method))
            .map_err(|error| MethodError::of(class_id, method_id, error))
    }

    /// The numbers of class and method.
    pub fn ids(&self) -> (u16, u16) {
        let facts = self.facts();
        (facts.class_id, facts.method_id)
    }

    /// Class and method, as in `queue.declare`.
    pub fn name(&self) -> &'static str {
        self.facts().name
    }

    /// Whether a content header follows.
    pub fn has_content(&self) -> bool {
        self.facts().has_content
    }
}
