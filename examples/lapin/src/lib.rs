//! What the examples share: where the broker is, and waiting for a message no longer than reasonable.

use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::{Connection, ConnectionProperties, Consumer};

/// How an example ends.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Connects to the broker that `AMQP_URL` names, or to one on this machine.
pub async fn connect(name: &str) -> Outcome<Connection> {
    let url = std::env::var("AMQP_URL")
        .unwrap_or_else(|_| "amqp://guest:guest@localhost:5672/%2f".into());
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    Ok(Connection::connect(&url, properties).await?)
}

/// The next message; an error if none comes within ten seconds.
pub async fn next(consumer: &mut Consumer) -> Outcome<Delivery> {
    match tokio::time::timeout(Duration::from_secs(10), consumer.next()).await {
        Ok(Some(delivery)) => Ok(delivery?),
        Ok(None) => Err("the consumer was cancelled".into()),
        Err(_) => Err("nothing came within ten seconds".into()),
    }
}
