//! Where a scenario runs: the broker's URLs, connections and channels with what they hear, fresh
//! names, and whoever can restart the broker.

use std::future::Future;
use std::io::BufRead;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use amqprs::callbacks::{ChannelCallback, ConnectionCallback};
use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicGetArguments, BasicPublishArguments,
    Channel as Amqp, ConfirmSelectArguments, ConsumerMessage, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::error::Error;
use amqprs::tls::TlsAdaptor;
use amqprs::{Ack, BasicProperties, Cancel, Close, CloseChannel, FieldTable, Nack, Return};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How long anything that must come is waited for.
pub const WAIT: Duration = Duration::from_secs(20);

/// Why a scenario did not end well.
#[derive(Debug)]
pub enum Problem {
    /// The client or the broker at hand cannot do it.
    Skipped(String),
    /// It should have.
    Failed(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem::Failed(error.to_string())
    }
}

/// Something that must come, in time.
pub async fn in_time<T>(what: &str, coming: impl Future<Output = Option<T>>) -> Result<T, Problem> {
    match tokio::time::timeout(WAIT, coming).await {
        Ok(Some(it)) => Ok(it),
        Ok(None) => Err(Problem::Failed(format!("{what}: nothing comes any more"))),
        Err(_) => Err(Problem::Failed(format!("{what}: did not come"))),
    }
}

/// Opens connections and hands out names.
pub struct Place {
    /// AMQP_URL.
    pub url: String,
    certs: String,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl Place {
    /// From the environment.
    pub fn new() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self {
            url: variable("AMQP_URL"),
            certs: variable("CERTS"),
        }
    }

    /// A name that nobody else uses.
    pub fn name(&self, what: &str) -> String {
        format!(
            "fleet-{what}-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// A URL that the broker may not have.
    pub fn tls_url(&self, variable: &str) -> Result<String, Problem> {
        std::env::var(variable)
            .ok()
            .filter(|url| !url.is_empty())
            .ok_or_else(|| Problem::Skipped(format!("no {variable}")))
    }

    /// amqprs leaves the vhost of a URI percent-encoded.
    fn arguments(&self, url: &str) -> Result<OpenConnectionArguments, Problem> {
        let mut arguments = OpenConnectionArguments::try_from(url)?;
        let decoded = arguments
            .get_virtual_host()
            .replace("%2F", "/")
            .replace("%20", " ");
        arguments.virtual_host(&decoded);
        Ok(arguments)
    }

    /// Through plain TCP.
    pub async fn connect(&self, url: &str) -> Result<Connection, Problem> {
        Ok(Connection::open(&self.arguments(url)?).await?)
    }

    /// With heartbeats of so many seconds.
    pub async fn connect_beating(&self, seconds: u16) -> Result<Connection, Problem> {
        Ok(Connection::open(self.arguments(&self.url)?.heartbeat(seconds)).await?)
    }

    /// Through TLS, trusting the CA of this file and showing a certificate of ours if asked to.
    pub async fn connect_tls(
        &self,
        url: &str,
        ca: &str,
        certificate: bool,
    ) -> Result<Connection, Problem> {
        let path = |file: &str| Path::new(&self.certs).join(file);
        let (ca, domain) = (path(ca), "localhost".to_string());
        let adaptor = if certificate {
            TlsAdaptor::with_client_auth(
                Some(&ca),
                &path("client.pem"),
                &path("client.key"),
                domain,
            )
        } else {
            TlsAdaptor::without_client_auth(Some(&ca), domain)
        };
        let adaptor = adaptor.map_err(|error| Problem::Failed(error.to_string()))?;
        Ok(Connection::open(self.arguments(url)?.tls_adaptor(adaptor)).await?)
    }

    /// A channel in confirm mode that hears everything.
    pub async fn channel(&self, connection: &Connection) -> Result<Channel, Problem> {
        Channel::open(connection).await
    }

    /// Has the broker killed or stopped and started again, or a second client frozen.
    pub async fn ask(&self, what: &str) -> Result<(), Problem> {
        if std::env::var("FLEET_ASKS").is_err() {
            return Err(Problem::Skipped(
                "nobody here who can restart the broker or freeze a client".into(),
            ));
        }
        println!("{}", serde_json::json!({"ask": what}));
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        match answer.await {
            Ok(Ok(line)) if line.trim() == "done" => Ok(()),
            Ok(Ok(line)) => Err(Problem::Failed(line)),
            _ => Err(Problem::Failed("nobody answered".into())),
        }
    }
}

/// What the broker says by itself.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// Up to and with this one.
    Ack(u64),
    Nack(u64),
    Returned(u16, String),
    Cancelled(String),
    Closed(u16, String),
}

/// Passes on what a channel or a connection hears.
pub struct Ear(pub UnboundedSender<Heard>);

impl Ear {
    fn hear(&self, heard: Heard) {
        let _ = self.0.send(heard);
    }
}

#[async_trait::async_trait]
impl ChannelCallback for Ear {
    async fn close(&mut self, _: &Amqp, close: CloseChannel) -> Result<(), Error> {
        self.hear(Heard::Closed(
            close.reply_code(),
            close.reply_text().clone(),
        ));
        Ok(())
    }

    async fn cancel(&mut self, _: &Amqp, cancel: Cancel) -> Result<(), Error> {
        self.hear(Heard::Cancelled(cancel.consumer_tag().clone()));
        Ok(())
    }

    async fn flow(&mut self, _: &Amqp, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Amqp, ack: Ack) {
        self.hear(Heard::Ack(ack.delivery_tag()));
    }

    async fn publish_nack(&mut self, _: &Amqp, nack: Nack) {
        self.hear(Heard::Nack(nack.delivery_tag()));
    }

    async fn publish_return(&mut self, _: &Amqp, back: Return, _: BasicProperties, _: Vec<u8>) {
        self.hear(Heard::Returned(
            back.reply_code(),
            back.reply_text().clone(),
        ));
    }
}

#[async_trait::async_trait]
impl ConnectionCallback for Ear {
    async fn close(&mut self, _: &Connection, close: Close) -> Result<(), Error> {
        self.hear(Heard::Closed(
            close.reply_code(),
            close.reply_text().clone(),
        ));
        Ok(())
    }

    async fn blocked(&mut self, _: &Connection, _: String) {}

    async fn unblocked(&mut self, _: &Connection) {}

    async fn secret_updated(&mut self, _: &Connection) {}
}

/// A message, however it came.
pub struct Delivery {
    pub tag: u64,
    pub redelivered: bool,
    pub exchange: String,
    pub routing_key: String,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

impl Delivery {
    /// The headers, none if there are none.
    pub fn headers(&self) -> FieldTable {
        self.properties.headers().cloned().unwrap_or_default()
    }
}

/// A channel, its consumer's deliveries and what it heard.
pub struct Channel {
    /// The channel itself, for all that needs no waiting.
    pub amqp: Amqp,
    pub heard: UnboundedReceiver<Heard>,
    deliveries: Option<UnboundedReceiver<ConsumerMessage>>,
    published: u64,
}

impl Channel {
    async fn open(connection: &Connection) -> Result<Self, Problem> {
        let (ear, heard) = mpsc::unbounded_channel();
        let amqp = connection.open_channel(None).await?;
        amqp.register_callback(Ear(ear)).await?;
        amqp.confirm_select(ConfirmSelectArguments::default())
            .await?;
        Ok(Self {
            amqp,
            heard,
            deliveries: None,
            published: 0,
        })
    }

    /// The next that the broker says by itself.
    pub async fn hear(&mut self) -> Result<Heard, Problem> {
        in_time("word of the broker", self.heard.recv()).await
    }

    /// An exclusive queue with arguments.
    pub async fn declare(&self, queue: &str, arguments: FieldTable) -> Result<(), Problem> {
        let declare = QueueDeclareArguments::new(queue)
            .exclusive(true)
            .arguments(arguments)
            .finish();
        self.amqp.queue_declare(declare).await?;
        Ok(())
    }

    /// How many messages are ready in the queue.
    pub async fn ready(&self, queue: &str) -> Result<u32, Problem> {
        let passive = QueueDeclareArguments::new(queue).passive(true).finish();
        Ok(self
            .amqp
            .queue_declare(passive)
            .await?
            .map_or(0, |(_, messages, _)| messages))
    }

    /// Publishes one and waits for what becomes of it.
    pub async fn publish(
        &mut self,
        to: BasicPublishArguments,
        properties: BasicProperties,
        body: impl Into<Vec<u8>>,
    ) -> Result<Vec<Heard>, Problem> {
        self.amqp.basic_publish(properties, body.into(), to).await?;
        self.published += 1;
        let mut outcome = Vec::new();
        loop {
            let heard = self.hear().await?;
            let last = heard == Heard::Ack(self.published) || heard == Heard::Nack(self.published);
            outcome.push(heard);
            if last {
                return Ok(outcome);
            }
        }
    }

    /// Publishes to a queue, transient; it has to be confirmed.
    pub async fn send(&mut self, queue: &str, body: impl Into<Vec<u8>>) -> Result<(), Problem> {
        let outcome = self.publish(to_queue(queue), transient(), body).await?;
        assert_eq!(outcome, [Heard::Ack(self.published)]);
        Ok(())
    }

    /// Gets one without ack.
    pub async fn take(&self, queue: &str) -> Result<Option<Delivery>, Problem> {
        self.get(queue, true).await
    }

    /// Gets one.
    pub async fn get(&self, queue: &str, no_ack: bool) -> Result<Option<Delivery>, Problem> {
        let got = self
            .amqp
            .basic_get(BasicGetArguments::new(queue).no_ack(no_ack).finish())
            .await?;
        Ok(got.map(|(get, properties, body)| Delivery {
            tag: get.delivery_tag(),
            redelivered: get.redelivered(),
            exchange: get.exchange().clone(),
            routing_key: get.routing_key().clone(),
            properties,
            body,
        }))
    }

    /// Starts the channel's consumer; its tag.
    pub async fn consume(&mut self, queue: &str) -> Result<String, Problem> {
        let (tag, deliveries) = self
            .amqp
            .basic_consume_rx(BasicConsumeArguments::new(queue, ""))
            .await?;
        self.deliveries = Some(deliveries);
        Ok(tag)
    }

    /// The consumer's next message.
    pub async fn next(&mut self) -> Result<Delivery, Problem> {
        let deliveries = self.deliveries.as_mut().expect("consume() comes first");
        let message = in_time("delivery", deliveries.recv()).await?;
        let (Some(deliver), Some(properties), Some(body)) =
            (message.deliver, message.basic_properties, message.content)
        else {
            return Err(Problem::Failed("a delivery without its parts".into()));
        };
        Ok(Delivery {
            tag: deliver.delivery_tag(),
            redelivered: deliver.redelivered(),
            exchange: deliver.exchange().clone(),
            routing_key: deliver.routing_key().clone(),
            properties,
            body,
        })
    }

    /// Acks one.
    pub async fn ack(&self, delivery: &Delivery) -> Result<(), Problem> {
        Ok(self
            .amqp
            .basic_ack(BasicAckArguments::new(delivery.tag, false))
            .await?)
    }

    /// What the broker closes the channel with.
    pub async fn refused<T>(
        &mut self,
        outcome: Result<T, Error>,
    ) -> Result<(u16, String), Problem> {
        assert!(outcome.is_err(), "not refused");
        match self.hear().await? {
            Heard::Closed(code, text) => Ok((code, text)),
            other => Err(Problem::Failed(format!("heard {other:?}"))),
        }
    }
}

/// To a queue, by the default exchange.
pub fn to_queue(queue: &str) -> BasicPublishArguments {
    BasicPublishArguments::new("", queue)
}

/// Delivery mode 1.
pub fn transient() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(1).finish()
}
