//! The sans-IO connection and channel machines.
//!
//! ```text
//! bytes ─▶ Connection ─┬─ handshake (sasl, tuning) ─▶ open ─▶ closing
//!                      │                               │  └─ heartbeat, throttle, pause, late
//!                      │                               └─▶ channel/ ─▶ broker
//!                      │                                      interceptors: what is written into messages
//!                      └─▶ Outgoing ─▶ socket            (exceptions: what is refused)
//! ```
//!
//! No socket is read and no clock is looked at in here; `net` does both. Only [`Outgoing`] writes,
//! when whoever has frames for a client finds its socket ready.

pub mod channel;
mod closing;
#[allow(clippy::module_inception)]
mod connection;
mod exceptions;
mod handshake;
mod heartbeat;
pub mod interceptors;
mod late;
mod link;
mod open;
pub mod outgoing;
pub mod pause;
mod sasl;
pub mod settings;
pub mod shared;
mod throttle;
mod tuning;

pub use connection::{Connection, Received, State};
pub use link::Ends;
pub use outgoing::Outgoing;
pub use settings::{Limits, Settings};
pub use shared::Shared;
