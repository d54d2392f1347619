//! Warren: a message broker that speaks AMQP 0-9-1 as RabbitMQ does.
//!
//! The way of a message, one floor per stage; a lower floor never names a higher one:
//!
//! ```text
//! socket bytes ─▶ frames ─▶ methods ─▶ channel ─▶ route ─▶ queue ─▶ consumer ─▶ frames ─▶ socket bytes
//!    net           amqp      amqp    connection   broker   broker   connection   amqp       net
//! ```

pub mod amqp;
pub mod auth;
pub mod broker;
pub mod config;
pub mod connection;
pub mod definitions;
pub mod management;
pub mod net;
pub mod store;
