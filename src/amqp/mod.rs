//! Wire types of AMQP 0-9-1, as RabbitMQ reads and writes them: no I/O, no async, no broker.
//!
//! ```text
//! bytes ─▶ frame ─┬─▶ method ──────┐                            ┌── method ◀── what the broker says
//!                 ├─▶ properties ──┼─▶ connection … connection ─┤
//!                 └─▶ body bytes ──┘                            └── encode ─▶ bytes
//!
//! wire, short_str, table, table_codec   what methods and properties are made of
//! reply, terms                          what a peer is told when it was wrong
//! constants, method/, reply_code        generated from spec/
//! ```
//!
//! Everything here reads bytes of strangers: no length is believed, nothing panics, nothing
//! recurses or allocates without a bound.

pub mod constants;
pub mod encode;
pub mod frame;
pub mod method;
pub mod properties;
pub mod reply;
mod reply_code;
mod short_str;
pub mod table;
mod table_codec;
pub(crate) mod terms;
mod wire;
