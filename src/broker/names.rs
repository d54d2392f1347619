//! What names mean: which are reserved, how made-up ones look, how RabbitMQ's texts name things.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::amqp::reply::{Exception, ReplyCode};

/// Names that clients may not give.
const RESERVED_PREFIX: &str = "amq.";

/// A thing in a vhost, as RabbitMQ's texts name it: `queue 'q' in vhost '/'`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// `queue` or `exchange`.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The vhost's name.
    pub vhost: &'a str,
}

impl<'a> Resource<'a> {
    /// A queue.
    pub fn queue(name: &'a str, vhost: &'a str) -> Self {
        Self {
            kind: "queue",
            name,
            vhost,
        }
    }

    /// An exchange.
    pub fn exchange(name: &'a str, vhost: &'a str) -> Self {
        Self {
            kind: "exchange",
            name,
            vhost,
        }
    }

    /// That there is no such thing.
    pub fn not_found(self) -> Exception {
        Exception::new(ReplyCode::NotFound, format!("no {self}"))
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, vhost } = self;
        write!(f, "{kind} '{name}' in vhost '{vhost}'")
    }
}

/// The name without its carriage returns and line feeds, which RabbitMQ takes out of the names in
/// declare, delete, bind and unbind (and nowhere else).
pub fn without_line_ends(name: &str) -> Cow<'_, str> {
    if name.contains(['\r', '\n']) {
        Cow::Owned(name.replace(['\r', '\n'], ""))
    } else {
        Cow::Borrowed(name)
    }
}

/// Refuses names that start with `amq.`, for something that is to be made; `kind` is `queue` or
/// `exchange`.
pub fn check_not_reserved(kind: &str, name: &str) -> Result<(), Exception> {
    if !name.starts_with(RESERVED_PREFIX) {
        return Ok(());
    }
    let text = format!("{kind} name '{name}' contains reserved prefix 'amq.*'");
    Err(Exception::new(ReplyCode::AccessRefused, text))
}

/// Refuses the default exchange, which can be neither declared, deleted nor bound.
pub fn check_not_default_exchange(name: &str) -> Result<(), Exception> {
    if !name.is_empty() {
        return Ok(());
    }
    let text = "operation not permitted on the default exchange";
    Err(Exception::new(ReplyCode::AccessRefused, text))
}

/// Refuses to delete `amq.*` exchanges.
pub fn check_may_be_deleted(exchange: Resource<'_>) -> Result<(), Exception> {
    if !exchange.name.starts_with(RESERVED_PREFIX) {
        return Ok(());
    }
    let text = format!("deletion of system {exchange} not allowed");
    Err(Exception::new(ReplyCode::AccessRefused, text))
}

/// A name that nobody can guess and nobody has: `amq.gen-` and 22 characters for a queue, as
/// RabbitMQ makes them.
pub fn made_up(prefix: &str) -> String {
    let secret: [u8; 16] = rand::random();
    let mut name = String::with_capacity(prefix.len() + 23);
    name.push_str(prefix);
    name.push('-');
    URL_SAFE_NO_PAD.encode_string(secret, &mut name);
    name
}
