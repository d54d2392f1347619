//! amqprs as the scenarios want it: what the broker says by itself comes through callbacks.

use std::time::Duration;

use amqprs::callbacks::{ChannelCallback, ConnectionCallback};
use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicGetArguments, BasicNackArguments,
    BasicPublishArguments, BasicQosArguments, BasicRejectArguments, Channel as Amqp,
    ConfirmSelectArguments, ConsumerMessage, ExchangeBindArguments, ExchangeDeclareArguments,
    ExchangeDeleteArguments, QueueBindArguments, QueueDeclareArguments, QueueDeleteArguments,
    QueuePurgeArguments, QueueUnbindArguments,
};
use amqprs::connection::{Connection as AmqpConnection, OpenConnectionArguments};
use amqprs::error::Error;
use amqprs::tls::TlsAdaptor;
use amqprs::{Ack, BasicProperties, Cancel, Close, CloseChannel, Nack, Return};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::place::{Problem, in_time};
use crate::tables_amqprs::{heard, said, written};
use crate::words::{
    Binding, Channel, Client, Connection, Delivery, Flags, How, Properties, Published, Table, To,
};

/// What amqprs says of a refusal comes first, the broker's words right after.
const WORD: Duration = Duration::from_secs(5);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let said = error.to_string();
        // What is refused while a connection opens is only in the text.
        let refused = said.split_once("NOT_ALLOWED");
        match refused.map(|(_, why)| why.split(['\'', '"', ',']).next().unwrap_or(why)) {
            Some(why) => Problem::Refused(530, format!("NOT_ALLOWED{why}")),
            None => Problem::Failed(said),
        }
    }
}

/// See the module.
pub struct Amqprs;

impl Client for Amqprs {
    type Connection = Open;

    const HEARS_LOGIN_REFUSED: bool = false;
    const CONNECT_REMARK: &str =
        "does not hear why a login is refused; leaves the URI's vhost percent-encoded";
    const RECOVERS: bool = false;

    async fn connect(&self, url: &str, how: How) -> Result<Open, Problem> {
        let mut arguments = OpenConnectionArguments::try_from(url)?;
        let encoded = arguments.get_virtual_host();
        let vhost = encoded.replace("%2F", "/").replace("%20", " ");
        arguments.virtual_host(&vhost);
        if let Some(seconds) = how.heartbeat {
            arguments.heartbeat(seconds);
        }
        if let Some(ca) = &how.ca {
            let domain = "localhost".to_string();
            let adaptor = match &how.certificate {
                Some((certificate, key)) => {
                    TlsAdaptor::with_client_auth(Some(ca), certificate, key, domain)
                }
                None => TlsAdaptor::without_client_auth(Some(ca), domain),
            };
            arguments.tls_adaptor(adaptor.map_err(|why| Problem::Failed(why.to_string()))?);
        }
        let connection = AmqpConnection::open(&arguments).await?;
        let (ear, heard) = mpsc::unbounded_channel();
        connection.register_callback(Ear(ear)).await?;
        Ok(Open { connection, heard })
    }
}

/// A connection, and what it hears.
pub struct Open {
    connection: AmqpConnection,
    heard: UnboundedReceiver<Heard>,
}

impl Connection for Open {
    type Channel = Opened;

    async fn channel(&self) -> Result<Opened, Problem> {
        let (ear, heard) = mpsc::unbounded_channel();
        let amqp = self.connection.open_channel(None).await?;
        amqp.register_callback(Ear(ear)).await?;
        amqp.confirm_select(ConfirmSelectArguments::default())
            .await?;
        Ok(Opened {
            amqp,
            heard,
            deliveries: None,
            published: 0,
        })
    }

    async fn closed(&mut self) -> Result<(u16, String), Problem> {
        match in_time("connection.close", self.heard.recv()).await? {
            Heard::Closed(code, text) => Ok((code, text)),
            other => Err(Problem::Failed(format!("heard {other:?}"))),
        }
    }
}

/// What the broker says by itself.
#[derive(Debug)]
enum Heard {
    /// Up to and with this one.
    Ack(u64),
    Nack(u64),
    Returned(u16, String),
    Cancelled(String),
    Closed(u16, String),
}

/// Passes on what a channel or a connection hears.
struct Ear(UnboundedSender<Heard>);

impl Ear {
    fn hear(&self, heard: Heard) {
        let _ = self.0.send(heard);
    }
}

#[async_trait::async_trait]
impl ChannelCallback for Ear {
    async fn close(&mut self, _: &Amqp, close: CloseChannel) -> Result<(), Error> {
        let text = close.reply_text().clone();
        self.hear(Heard::Closed(close.reply_code(), text));
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
        let text = back.reply_text().clone();
        self.hear(Heard::Returned(back.reply_code(), text));
    }
}

#[async_trait::async_trait]
impl ConnectionCallback for Ear {
    async fn close(&mut self, _: &AmqpConnection, close: Close) -> Result<(), Error> {
        let text = close.reply_text().clone();
        self.hear(Heard::Closed(close.reply_code(), text));
        Ok(())
    }

    async fn blocked(&mut self, _: &AmqpConnection, _: String) {}

    async fn unblocked(&mut self, _: &AmqpConnection) {}

    async fn secret_updated(&mut self, _: &AmqpConnection) {}
}

/// A channel, its consumer's deliveries and what it heard.
pub struct Opened {
    amqp: Amqp,
    heard: UnboundedReceiver<Heard>,
    deliveries: Option<UnboundedReceiver<ConsumerMessage>>,
    published: u64,
}

impl Opened {
    /// The broker's words, if it was the broker who refused.
    async fn outcome<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Problem> {
        let error = match outcome {
            Ok(it) => return Ok(it),
            Err(error) => error,
        };
        match tokio::time::timeout(WORD, self.heard.recv()).await {
            Ok(Some(Heard::Closed(code, text))) => Err(Problem::Refused(code, text)),
            _ => Err(error.into()),
        }
    }

    /// What becomes of messages up to the one that was published last.
    async fn published_up_to(&mut self, last: u64) -> Result<Vec<Published>, Problem> {
        let mut outcomes = Vec::new();
        let mut returned = None;
        let first = self.published;
        while self.published < last {
            let (tag, acked) = match in_time("a confirm", self.heard.recv()).await? {
                Heard::Returned(code, text) => {
                    returned = Some(Published::Returned(code, text));
                    continue;
                }
                Heard::Ack(tag) => (tag, true),
                Heard::Nack(tag) => (tag, false),
                other => return Err(Problem::Failed(format!("heard {other:?}"))),
            };
            let before = self.published;
            assert!(
                before < tag && tag <= last,
                "{tag} after {before}, from {first}"
            );
            self.published = tag;
            for _ in before..tag {
                let plain = if acked {
                    Published::Acked
                } else {
                    Published::Nacked
                };
                outcomes.push(returned.take().unwrap_or(plain));
            }
        }
        Ok(outcomes)
    }
}

impl Channel for Opened {
    async fn declare_queue(
        &mut self,
        name: &str,
        flags: Flags,
        arguments: Table,
    ) -> Result<(String, u32), Problem> {
        let declare = QueueDeclareArguments::new(name)
            .passive(flags.passive)
            .durable(flags.durable)
            .exclusive(flags.exclusive)
            .arguments(written(arguments))
            .finish();
        let declared = self.amqp.queue_declare(declare).await;
        let declared = self.outcome(declared).await?;
        let (name, messages, _) =
            declared.ok_or_else(|| Problem::Failed("no declare-ok".into()))?;
        Ok((name, messages))
    }

    async fn declare_exchange(
        &mut self,
        name: &str,
        kind: &str,
        auto_delete: bool,
    ) -> Result<(), Problem> {
        let declare = ExchangeDeclareArguments::new(name, kind)
            .auto_delete(auto_delete)
            .finish();
        let declared = self.amqp.exchange_declare(declare).await;
        self.outcome(declared).await
    }

    async fn bind_queue(&mut self, binding: &Binding<'_>) -> Result<(), Problem> {
        let bind = QueueBindArguments::new(binding.queue, binding.exchange, binding.key)
            .arguments(written(binding.arguments.clone()))
            .finish();
        let bound = self.amqp.queue_bind(bind).await;
        self.outcome(bound).await
    }

    async fn unbind_queue(&mut self, binding: &Binding<'_>) -> Result<(), Problem> {
        let unbind = QueueUnbindArguments::new(binding.queue, binding.exchange, binding.key)
            .arguments(written(binding.arguments.clone()))
            .finish();
        let unbound = self.amqp.queue_unbind(unbind).await;
        self.outcome(unbound).await
    }

    async fn bind_exchange(&mut self, destination: &str, source: &str) -> Result<(), Problem> {
        let bind = ExchangeBindArguments::new(destination, source, "");
        let bound = self.amqp.exchange_bind(bind).await;
        self.outcome(bound).await
    }

    async fn delete_queue(&mut self, name: &str) -> Result<(), Problem> {
        let deleted = self
            .amqp
            .queue_delete(QueueDeleteArguments::new(name))
            .await;
        self.outcome(deleted).await?;
        Ok(())
    }

    async fn delete_exchange(&mut self, name: &str) -> Result<(), Problem> {
        let delete = ExchangeDeleteArguments::new(name);
        let deleted = self.amqp.exchange_delete(delete).await;
        self.outcome(deleted).await
    }

    async fn purge(&mut self, name: &str) -> Result<u32, Problem> {
        let purged = self.amqp.queue_purge(QueuePurgeArguments::new(name)).await;
        let purged = self.outcome(purged).await?;
        purged.ok_or_else(|| Problem::Failed("no purge-ok".into()))
    }

    async fn qos(&mut self, count: u16) -> Result<(), Problem> {
        let limited = self
            .amqp
            .basic_qos(BasicQosArguments::new(0, count, false))
            .await;
        self.outcome(limited).await
    }

    async fn publish_many(
        &mut self,
        to: To<'_>,
        properties: Properties,
        bodies: Vec<Vec<u8>>,
    ) -> Result<Vec<Published>, Problem> {
        let last = self.published + bodies.len() as u64;
        let properties = said(properties);
        for body in bodies {
            let to = BasicPublishArguments::new(to.exchange, to.key)
                .mandatory(to.mandatory)
                .finish();
            self.amqp
                .basic_publish(properties.clone(), body, to)
                .await?;
        }
        self.published_up_to(last).await
    }

    async fn get(&mut self, queue: &str, no_ack: bool) -> Result<Option<Delivery>, Problem> {
        let get = BasicGetArguments::new(queue).no_ack(no_ack).finish();
        let got = self.amqp.basic_get(get).await;
        let got = self.outcome(got).await?;
        Ok(got.map(|(get, properties, body)| Delivery {
            tag: get.delivery_tag(),
            redelivered: get.redelivered(),
            exchange: get.exchange().clone(),
            routing_key: get.routing_key().clone(),
            properties: heard(&properties),
            body,
        }))
    }

    async fn consume(&mut self, queue: &str) -> Result<String, Problem> {
        let consume = BasicConsumeArguments::new(queue, "");
        let (tag, deliveries) = self.amqp.basic_consume_rx(consume).await?;
        self.deliveries = Some(deliveries);
        Ok(tag)
    }

    async fn next(&mut self) -> Result<Delivery, Problem> {
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
            properties: heard(&properties),
            body,
        })
    }

    async fn cancelled(&mut self) -> Result<String, Problem> {
        match in_time("a cancellation", self.heard.recv()).await? {
            Heard::Cancelled(tag) => Ok(tag),
            other => Err(Problem::Failed(format!("heard {other:?}"))),
        }
    }

    async fn ack(&mut self, tag: u64) -> Result<(), Problem> {
        Ok(self
            .amqp
            .basic_ack(BasicAckArguments::new(tag, false))
            .await?)
    }

    async fn nack(&mut self, tag: u64, requeue: bool) -> Result<(), Problem> {
        let nack = BasicNackArguments::new(tag, false, requeue);
        Ok(self.amqp.basic_nack(nack).await?)
    }

    async fn reject(&mut self, tag: u64, requeue: bool) -> Result<(), Problem> {
        let reject = BasicRejectArguments::new(tag, requeue);
        Ok(self.amqp.basic_reject(reject).await?)
    }

    async fn close(&mut self) -> Result<(), Problem> {
        Ok(self.amqp.clone().close().await?)
    }
}
