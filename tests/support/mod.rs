//! What every outside test uses: a broker to talk to and a client to talk with.
//!
//! ```text
//! Broker (our binary, or any broker by WARREN_TEST_URL) ◀── TCP or TLS ── Client ◀── a test's conversation
//! ```
//!
//! The client's codec is its own, apart from the broker's, so that the two cannot share a mistake.
//! Nothing here depends on the crate's library.

// Each test binary uses its own part of this.
#![allow(dead_code, unused_imports, unused_macros, missing_docs)]

pub mod broker;
pub mod client;
pub mod frame;
pub mod http;
pub mod login;
pub mod methods;
pub mod random;
pub mod talk;
pub mod value;

pub use broker::{Broker, Setup, skip, unique};
pub use client::Client;
pub use frame::{Frame, Message};
pub use http::{Answer, Http};
pub use login::Login;
pub use methods::{Arg, Method, Properties};
pub use random::Random;
pub use talk::{Channel, Talk};
pub use value::{Table, Value};

/// A field table: `table! { "x-message-ttl" => 100, "x-queue-type" => "classic" }`.
macro_rules! table {
    ($($key:expr => $value:expr),* $(,)?) => {
        $crate::support::Table(vec![$(($key.to_string(), $crate::support::Value::from($value))),*])
    };
}

/// A method; fields that are not named have their zero value:
/// `method!("queue.declare", queue: "jobs", durable: true)`.
macro_rules! method {
    ($name:expr $(, $field:ident : $value:expr)* $(,)?) => {
        $crate::support::Method::new($name)$(.with(stringify!($field), $value))*
    };
}

/// Content properties: `properties!(delivery_mode: 2, expiration: "100")`.
macro_rules! properties {
    ($($field:ident : $value:expr),* $(,)?) => {
        $crate::support::Properties::default()$(.with(stringify!($field), $value))*
    };
}

pub(crate) use {method, properties, table};
