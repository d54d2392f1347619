//! What a case works with: connections of its own, names nobody else uses, and the few steps that
//! every case takes (declare, publish, get, wait for a delivery, expect a refusal).

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_lite::{Stream, StreamExt};
use lapin::message::Delivery;
use lapin::options::*;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer,
    DefaultConnectionBuilder, ErrorKind, Event, ExchangeKind,
};

use crate::cases::Outcome;
use crate::target::Target;

/// How long a case waits for one message before it fails.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);

/// Which client certificate to show.
#[derive(Clone, Copy)]
pub enum Certificate {
    None,
    Client,
    Stranger,
}

/// One case's connections.
pub struct World {
    pub target: Arc<Target>,
    connections: Mutex<Vec<Arc<Connection>>>,
}

impl World {
    pub fn new(target: Arc<Target>) -> Self {
        Self {
            target,
            connections: Mutex::default(),
        }
    }

    /// The vhost that the URL names.
    pub fn vhost(&self) -> Outcome<String> {
        Ok(self.target.amqp_url.parse::<AMQPUri>()?.vhost)
    }

    /// A new plain connection, closed when the case ends.
    pub async fn connect(&self) -> Outcome<Arc<Connection>> {
        let uri = self.target.amqp_url.parse()?;
        self.connect_to(uri, OwnedTLSConfig::default()).await
    }

    /// A new connection to that URI, closed when the case ends.
    pub async fn connect_to(&self, uri: AMQPUri, tls: OwnedTLSConfig) -> Outcome<Arc<Connection>> {
        let connection = DefaultConnectionBuilder::new()?
            .with_uri(uri)
            .with_properties(ConnectionProperties::default().with_connection_name("interop".into()))
            .with_tls_config(tls)
            .connect()
            .await?;
        let connection = Arc::new(connection);
        self.connections
            .lock()
            .map_err(|_| "poisoned")?
            .push(Arc::clone(&connection));
        Ok(connection)
    }

    /// A channel of a new connection.
    pub async fn channel(&self) -> Outcome<Channel> {
        Ok(self.connect().await?.create_channel().await?)
    }

    /// TLS settings that trust the development CA and show that certificate.
    pub fn tls(&self, certificate: Certificate) -> Outcome<OwnedTLSConfig> {
        let read = |name: &str| std::fs::read(self.target.certs.join(name));
        let identity = match certificate {
            Certificate::None => None,
            Certificate::Client => Some("client"),
            Certificate::Stranger => Some("stranger"),
        };
        let identity = match identity {
            None => None,
            Some(name) => Some(OwnedIdentity::PKCS8 {
                pem: read(&format!("{name}.pem"))?,
                key: read(&format!("{name}.key"))?,
            }),
        };
        Ok(OwnedTLSConfig {
            identity,
            cert_chain: Some(String::from_utf8(read("ca.pem")?)?),
        })
    }

    /// Closes what is still open.
    pub async fn close(&self) {
        let connections = self
            .connections
            .lock()
            .map(|mut all| std::mem::take(&mut *all))
            .unwrap_or_default();
        for connection in connections {
            if connection.status().connected() {
                // A case may have left it half way to closing; then there is nothing to do. Once in
                // hundreds of times lapin closes the socket itself and never ends its close.
                let close = connection.close(200, "OK".into());
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
            }
        }
    }
}

/// Longer than any broker takes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A name that nobody else uses, short enough for a text that names it to fit into a reply.
pub fn fresh(kind: &str) -> ShortString {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{kind}.{:x}.{count}", since.as_micros()).into()
}

/// A table from pairs.
pub fn table<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert(key.into(), value);
    }
    table
}

/// A long string value.
pub fn string(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// A 32-bit value.
pub fn int(value: i32) -> AMQPValue {
    AMQPValue::LongInt(value)
}

/// Exclusive, so that it goes with its connection.
pub const EXCLUSIVE: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: false,
    exclusive: true,
    auto_delete: false,
    nowait: false,
};

/// Asks only.
pub const PASSIVE: QueueDeclareOptions = QueueDeclareOptions {
    passive: true,
    durable: false,
    exclusive: false,
    auto_delete: false,
    nowait: false,
};

/// Goes when its last binding goes.
pub const AUTO_DELETE: ExchangeDeclareOptions = ExchangeDeclareOptions {
    passive: false,
    durable: false,
    auto_delete: true,
    internal: false,
    nowait: false,
};

/// An exclusive queue with a fresh name.
pub async fn queue(channel: &Channel, arguments: FieldTable) -> Outcome<ShortString> {
    let name = fresh("queue");
    channel
        .queue_declare(name.clone(), EXCLUSIVE, arguments)
        .await?;
    Ok(name)
}

/// An auto-delete exchange with a fresh name.
pub async fn exchange(
    channel: &Channel,
    kind: ExchangeKind,
    arguments: FieldTable,
) -> Outcome<ShortString> {
    let name = fresh("exchange");
    channel
        .exchange_declare(name.clone(), kind, AUTO_DELETE, arguments)
        .await?;
    Ok(name)
}

/// Binds a queue.
pub async fn bind(
    channel: &Channel,
    queue: &ShortString,
    exchange: &ShortString,
    key: &str,
) -> Outcome {
    bind_with(channel, queue, exchange, key, FieldTable::default()).await
}

/// Binds a queue with arguments.
pub async fn bind_with(
    channel: &Channel,
    queue: &ShortString,
    exchange: &ShortString,
    key: &str,
    arguments: FieldTable,
) -> Outcome {
    channel
        .queue_bind(
            queue.clone(),
            exchange.clone(),
            key.into(),
            QueueBindOptions::default(),
            arguments,
        )
        .await?;
    Ok(())
}

/// Publishes without waiting for anything.
pub async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8]) -> Outcome {
    publish_with(channel, exchange, key, body, BasicProperties::default()).await
}

/// Publishes with properties, without waiting for anything.
pub async fn publish_with(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Outcome {
    channel
        .basic_publish(
            exchange.into(),
            key.into(),
            BasicPublishOptions::default(),
            body,
            properties,
        )
        .await?;
    Ok(())
}

/// Publishes and waits for the confirm: afterwards the message is in the queue. The channel is in
/// confirm mode from then on.
pub async fn enqueue(channel: &Channel, queue: &ShortString, body: &[u8]) -> Outcome<Confirmation> {
    enqueue_with(channel, queue, body, BasicProperties::default()).await
}

/// The same with properties.
pub async fn enqueue_with(
    channel: &Channel,
    queue: &ShortString,
    body: &[u8],
    properties: BasicProperties,
) -> Outcome<Confirmation> {
    if !channel.status().confirm() {
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
    }
    let mandatory = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    Ok(channel
        .basic_publish("".into(), queue.clone(), mandatory, body, properties)
        .await?
        .await?)
}

/// basic.get with auto-ack.
pub async fn get(channel: &Channel, queue: &ShortString) -> Outcome<Option<Delivery>> {
    let got = channel
        .basic_get(queue.clone(), BasicGetOptions { no_ack: true })
        .await?;
    Ok(got.map(|message| message.delivery))
}

/// basic.get of a message that is to be settled later.
pub async fn hold(channel: &Channel, queue: &ShortString) -> Outcome<Delivery> {
    let got = channel
        .basic_get(queue.clone(), BasicGetOptions { no_ack: false })
        .await?;
    Ok(got.ok_or("the queue is empty")?.delivery)
}

/// Takes all that is in the queue now.
pub async fn bodies(channel: &Channel, queue: &ShortString) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    while let Some(delivery) = get(channel, queue).await? {
        bodies.push(String::from_utf8(delivery.data)?);
    }
    Ok(bodies)
}

/// Starts a consumer.
pub async fn consume(channel: &Channel, queue: &ShortString, no_ack: bool) -> Outcome<Consumer> {
    let options = BasicConsumeOptions {
        no_ack,
        ..BasicConsumeOptions::default()
    };
    Ok(channel
        .basic_consume(queue.clone(), "".into(), options, FieldTable::default())
        .await?)
}

/// Waits for the next delivery.
pub async fn next(consumer: &mut Consumer) -> Outcome<Delivery> {
    match tokio::time::timeout(DELIVERY_TIMEOUT, consumer.next()).await {
        Ok(Some(delivery)) => Ok(delivery?),
        Ok(None) => Err("the consumer was cancelled".into()),
        Err(_) => Err("no delivery in time".into()),
    }
}

/// Waits for that many deliveries; gives their bodies.
pub async fn next_bodies(consumer: &mut Consumer, count: usize) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        bodies.push(String::from_utf8(next(consumer).await?.data)?);
    }
    Ok(bodies)
}

/// How many messages are ready.
pub async fn ready(channel: &Channel, queue: &ShortString) -> Outcome<u32> {
    Ok(channel
        .queue_declare(queue.clone(), PASSIVE, FieldTable::default())
        .await?
        .message_count())
}

/// Asks until that many messages are ready.
pub async fn wait_ready(channel: &Channel, queue: &ShortString, count: u32) -> Outcome {
    let deadline = tokio::time::Instant::now() + DELIVERY_TIMEOUT;
    loop {
        let now = ready(channel, queue).await?;
        if now == count {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(format!("{now} messages ready, not {count}").into());
        }
    }
}

/// The headers of a delivery.
pub fn headers(delivery: &Delivery) -> FieldTable {
    delivery.properties.headers().clone().unwrap_or_default()
}

/// The broker refused with that code and exactly that text.
pub fn refused<T: Debug>(result: Result<T, lapin::Error>, code: u16, text: &str) -> Outcome {
    match result {
        Ok(value) => Err(format!("not refused: {value:?}").into()),
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(error) => {
                assert_eq!((error.get_id(), error.get_message().as_str()), (code, text));
                Ok(())
            }
            _ => Err(format!("not refused by the broker but: {error}").into()),
        },
    }
}

/// Errors that the broker sends on its own, as for a publish or an ack, which have no answer.
pub struct Refusals(Pin<Box<dyn Stream<Item = Event> + Send>>);

impl Refusals {
    /// Listens to a connection; to be called before what is going to be refused.
    pub fn of(connection: &Connection) -> Self {
        Self(Box::pin(connection.events_listener()))
    }

    /// The next error has that code and exactly that text.
    pub async fn next(&mut self, code: u16, text: &str) -> Outcome {
        loop {
            match tokio::time::timeout(DELIVERY_TIMEOUT, self.0.next()).await {
                Ok(Some(Event::Error(error))) => return refused::<()>(Err(error), code, text),
                Ok(Some(_)) => continue,
                Ok(None) => return Err("the connection is gone".into()),
                Err(_) => return Err("not refused".into()),
            }
        }
    }
}
