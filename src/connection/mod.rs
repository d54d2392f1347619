//! The sans-IO connection and channel machines (skeleton).

pub mod channel;
pub mod outgoing;
pub mod shared;

pub use outgoing::Outgoing;
pub use shared::Shared;
