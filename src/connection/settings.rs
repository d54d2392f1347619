//! What a connection is told about its limits, and what it tells its client about us.

use std::time::Duration;

use bytes::Bytes;

use super::interceptors::Interceptors;
use crate::amqp::encode;
use crate::amqp::method::{Method, connection};
use crate::amqp::table::FieldTable;
use crate::broker::queue::{ConsumerTimeout, TimeoutAction};

/// Frames of at least this size must be allowed, and larger ones are not before tuning.
pub const FRAME_MIN_BYTES: u32 = 4096;

/// Limits of a connection; the same for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most channels of one connection; 0: no limit.
    pub channel_max: u16,
    /// Largest frame in bytes, all of it counted; 0: no limit.
    pub frame_max: u32,
    /// The heartbeat interval that is proposed; 0: none.
    pub heartbeat_s: u16,
    /// From the first byte to connection.open-ok.
    pub handshake_timeout: Duration,
    /// Largest body of a message.
    pub max_message_bytes: u64,
    /// How long a delivery may stay unacked; None: for ever.
    pub consumer_timeout_ms: Option<u64>,
    /// What becomes of it then.
    pub consumer_timeout_action: TimeoutAction,
}

impl Limits {
    /// What holds for a delivery of which nobody says more.
    pub(super) fn consumer_timeout(&self) -> ConsumerTimeout {
        ConsumerTimeout {
            after_ms: self.consumer_timeout_ms,
            action: Some(self.consumer_timeout_action),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat_s: 60,
            handshake_timeout: Duration::from_secs(10),
            max_message_bytes: 134_217_728,
            consumer_timeout_ms: Some(1_800_000),
            consumer_timeout_action: TimeoutAction::Close,
        }
    }
}

/// See the module. One for all connections.
pub struct Settings {
    /// Limits.
    pub limits: Limits,
    /// What is written into every message.
    pub interceptors: Interceptors,
    /// connection.start, encoded: it is the same for everybody.
    pub(super) start_frame: Bytes,
}

impl Settings {
    /// For a broker of that cluster name, which clients are shown.
    pub fn new(limits: Limits, cluster_name: &str) -> Self {
        let start = connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: server_properties(cluster_name),
            mechanisms: Bytes::from_static(b"PLAIN AMQPLAIN"),
            locales: Bytes::from_static(b"en_US"),
        };
        let mut start_frame = Vec::new();
        encode::method_frame(&mut start_frame, 0, &Method::ConnectionStart(start));
        Self {
            limits,
            interceptors: Interceptors::default(),
            start_frame: start_frame.into(),
        }
    }
}

/// In the order and with the capabilities of RabbitMQ 3.10.
fn server_properties(cluster_name: &str) -> FieldTable {
    let capabilities: FieldTable = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ]
    .into_iter()
    .map(|capability| (capability, true))
    .collect();
    let mut properties = FieldTable::new();
    properties.insert("capabilities", capabilities);
    properties.insert("cluster_name", cluster_name);
    properties.insert("copyright", "Copyright (c) 2026 the Warren authors.");
    properties.insert("information", "Licensed under the Apache License 2.0.");
    properties.insert("platform", "Rust");
    properties.insert("product", "Warren");
    properties.insert("version", env!("CARGO_PKG_VERSION"));
    properties
}
