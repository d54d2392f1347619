//! Lines of the broker's log, as messages on `amq.rabbitmq.log`, with the key and the headers that
//! RabbitMQ gives them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::publishing::Publication;
use crate::amqp::properties::Properties;
use crate::amqp::table::FieldTable;
use crate::broker::Vhost;

/// Where the log goes, if it does.
pub(in crate::broker) const LOG_EXCHANGE: &str = "amq.rabbitmq.log";

/// A notice's own size, about.
const OWN_BYTES: usize = 64;

/// A line of the log.
pub struct LogLine {
    /// How bad it is: the routing key.
    pub level: &'static str,
    /// How it is written.
    pub content_type: &'static str,
    /// All of it, its end included.
    pub text: Box<[u8]>,
}

impl LogLine {
    pub(super) fn bytes(&self) -> usize {
        OWN_BYTES + self.text.len()
    }

    pub(super) fn into_publication(self, vhost: Arc<Vhost>, node: &str) -> Publication {
        let mut headers = FieldTable::new();
        headers.push("node", node);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Publication {
            vhost,
            exchange: LOG_EXCHANGE,
            routing_key: self.level.into(),
            properties: Properties {
                content_type: Some(self.content_type.into()),
                headers: Some(headers),
                timestamp: now.ok().map(|now| now.as_secs()),
                ..Properties::default()
            },
            body: self.text.into_vec().into(),
        }
    }
}
