//! Wire types of AMQP 0-9-1: no I/O, no async (skeleton).

pub mod frame;
pub mod method;
pub mod properties;
pub mod reply;
pub mod table;
