//! lapin as the scenarios want it.

use std::pin::Pin;

use futures_lite::{Stream, StreamExt};
use lapin::options::*;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{
    BasicProperties, Confirmation, ConnectionProperties, DefaultConnectionBuilder, ErrorKind,
    Event, ExchangeKind,
};

use crate::place::{Problem, in_time};
use crate::words::{
    Binding, Channel, Client, Connection, Delivery, Flags, How, Properties, Published, Table, To,
    Value,
};

impl From<lapin::Error> for Problem {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(said) => {
                Problem::Refused(said.get_id(), said.get_message().to_string())
            }
            _ => Problem::Failed(error.to_string()),
        }
    }
}

/// See the module.
pub struct Lapin;

impl Client for Lapin {
    type Connection = Open;

    const HEARS_LOGIN_REFUSED: bool = true;
    const CONNECT_REMARK: &str = "";
    const RECOVERS: bool = true;

    async fn connect(&self, url: &str, how: How) -> Result<Open, Problem> {
        let mut uri: AMQPUri = url.parse().map_err(Problem::Failed)?;
        uri.query.heartbeat = how.heartbeat.or(uri.query.heartbeat);
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|why| Problem::Failed(format!("{}: {why}", path.display())))
        };
        let mut tls = OwnedTLSConfig::default();
        if let Some(ca) = &how.ca {
            tls.cert_chain = Some(String::from_utf8_lossy(&read(ca)?).into_owned());
        }
        if let Some((certificate, key)) = &how.certificate {
            let (pem, key) = (read(certificate)?, read(key)?);
            tls.identity = Some(OwnedIdentity::PKCS8 { pem, key });
        }
        let mut properties = ConnectionProperties::default();
        if how.recovers {
            properties = properties.enable_auto_recover();
        }
        let connection = DefaultConnectionBuilder::new()?
            .with_uri(uri)
            .with_properties(properties)
            .with_tls_config(tls)
            .connect()
            .await?;
        let events = Box::pin(connection.events_listener());
        Ok(Open { connection, events })
    }
}

/// A connection, and what it hears.
pub struct Open {
    connection: lapin::Connection,
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
}

impl Connection for Open {
    type Channel = Opened;

    async fn channel(&self) -> Result<Opened, Problem> {
        let channel = self.connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Opened {
            channel,
            consumer: None,
        })
    }

    async fn closed(&mut self) -> Result<(u16, String), Problem> {
        loop {
            let event = in_time("connection.close", self.events.next()).await?;
            if let Event::Error(error) = event
                && let Problem::Refused(code, text) = error.into()
            {
                return Ok((code, text));
            }
        }
    }
}

/// A channel and its consumer.
pub struct Opened {
    channel: lapin::Channel,
    consumer: Option<lapin::Consumer>,
}

impl Opened {
    fn consumer(&mut self) -> &mut lapin::Consumer {
        self.consumer.as_mut().expect("consume() comes first")
    }
}

impl Channel for Opened {
    async fn declare_queue(
        &mut self,
        name: &str,
        flags: Flags,
        arguments: Table,
    ) -> Result<(String, u32), Problem> {
        let options = QueueDeclareOptions {
            passive: flags.passive,
            durable: flags.durable,
            exclusive: flags.exclusive,
            auto_delete: false,
            nowait: false,
        };
        let declared = self
            .channel
            .queue_declare(name.into(), options, written(arguments))
            .await?;
        Ok((declared.name().to_string(), declared.message_count()))
    }

    async fn declare_exchange(
        &mut self,
        name: &str,
        kind: &str,
        auto_delete: bool,
    ) -> Result<(), Problem> {
        let kind = match kind {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            "headers" => ExchangeKind::Headers,
            other => ExchangeKind::Custom(other.into()),
        };
        let options = ExchangeDeclareOptions {
            auto_delete,
            ..ExchangeDeclareOptions::default()
        };
        let declared =
            self.channel
                .exchange_declare(name.into(), kind, options, FieldTable::default());
        Ok(declared.await?)
    }

    async fn bind_queue(&mut self, binding: &Binding<'_>) -> Result<(), Problem> {
        let (queue, exchange) = (binding.queue.into(), binding.exchange.into());
        let arguments = written(binding.arguments.clone());
        let options = QueueBindOptions::default();
        let bound =
            self.channel
                .queue_bind(queue, exchange, binding.key.into(), options, arguments);
        Ok(bound.await?)
    }

    async fn unbind_queue(&mut self, binding: &Binding<'_>) -> Result<(), Problem> {
        let (queue, exchange) = (binding.queue.into(), binding.exchange.into());
        let arguments = written(binding.arguments.clone());
        let unbound = self
            .channel
            .queue_unbind(queue, exchange, binding.key.into(), arguments);
        Ok(unbound.await?)
    }

    async fn bind_exchange(&mut self, destination: &str, source: &str) -> Result<(), Problem> {
        let bound = self.channel.exchange_bind(
            destination.into(),
            source.into(),
            "".into(),
            ExchangeBindOptions::default(),
            FieldTable::default(),
        );
        Ok(bound.await?)
    }

    async fn delete_queue(&mut self, name: &str) -> Result<(), Problem> {
        let options = QueueDeleteOptions::default();
        self.channel.queue_delete(name.into(), options).await?;
        Ok(())
    }

    async fn delete_exchange(&mut self, name: &str) -> Result<(), Problem> {
        let options = ExchangeDeleteOptions::default();
        Ok(self.channel.exchange_delete(name.into(), options).await?)
    }

    async fn purge(&mut self, name: &str) -> Result<u32, Problem> {
        let options = QueuePurgeOptions::default();
        Ok(self.channel.queue_purge(name.into(), options).await?)
    }

    async fn qos(&mut self, count: u16) -> Result<(), Problem> {
        Ok(self
            .channel
            .basic_qos(count, BasicQosOptions::default())
            .await?)
    }

    async fn publish_many(
        &mut self,
        to: To<'_>,
        properties: Properties,
        bodies: Vec<Vec<u8>>,
    ) -> Result<Vec<Published>, Problem> {
        let options = BasicPublishOptions {
            mandatory: to.mandatory,
            immediate: false,
        };
        let properties = said(properties);
        let mut confirms = Vec::new();
        for body in bodies {
            let (exchange, key) = (to.exchange.into(), to.key.into());
            let publishing =
                self.channel
                    .basic_publish(exchange, key, options, &body, properties.clone());
            confirms.push(publishing.await?);
        }
        let mut outcomes = Vec::new();
        for confirm in confirms {
            outcomes.push(
                match in_time("a confirm", async { Some(confirm.await) }).await?? {
                    Confirmation::Ack(Some(back)) => {
                        Published::Returned(back.reply_code, back.reply_text.to_string())
                    }
                    Confirmation::Ack(None) => Published::Acked,
                    Confirmation::Nack(_) => Published::Nacked,
                    Confirmation::NotRequested => {
                        return Err(Problem::Failed("nobody confirms".into()));
                    }
                },
            );
        }
        Ok(outcomes)
    }

    async fn get(&mut self, queue: &str, no_ack: bool) -> Result<Option<Delivery>, Problem> {
        let options = BasicGetOptions { no_ack };
        let got = self.channel.basic_get(queue.into(), options).await?;
        Ok(got.map(|message| delivery(message.delivery)))
    }

    async fn consume(&mut self, queue: &str) -> Result<String, Problem> {
        let consuming = self.channel.basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = consuming.await?;
        let tag = consumer.tag().to_string();
        self.consumer = Some(consumer);
        Ok(tag)
    }

    async fn next(&mut self) -> Result<Delivery, Problem> {
        loop {
            match in_time("delivery", self.consumer().next()).await? {
                Ok(message) => return Ok(delivery(message)),
                // The consumer goes on once the channel is there again.
                Err(error) => self.channel.wait_for_recovery(error).await?,
            }
        }
    }

    /// The consumer's stream ends.
    async fn cancelled(&mut self) -> Result<String, Problem> {
        let consumer = self.consumer();
        let tag = consumer.tag().to_string();
        let ends = async { Some(consumer.next().await.is_none()) };
        match in_time("a cancellation", ends).await? {
            true => Ok(tag),
            false => Err(Problem::Failed("something was delivered".into())),
        }
    }

    async fn ack(&mut self, tag: u64) -> Result<(), Problem> {
        Ok(self
            .channel
            .basic_ack(tag, BasicAckOptions::default())
            .await?)
    }

    async fn nack(&mut self, tag: u64, requeue: bool) -> Result<(), Problem> {
        let options = BasicNackOptions {
            requeue,
            multiple: false,
        };
        Ok(self.channel.basic_nack(tag, options).await?)
    }

    async fn reject(&mut self, tag: u64, requeue: bool) -> Result<(), Problem> {
        let options = BasicRejectOptions { requeue };
        Ok(self.channel.basic_reject(tag, options).await?)
    }

    async fn close(&mut self) -> Result<(), Problem> {
        Ok(self.channel.close(200, "done".into()).await?)
    }
}

fn delivery(message: lapin::message::Delivery) -> Delivery {
    Delivery {
        tag: message.delivery_tag,
        redelivered: message.redelivered,
        exchange: message.exchange.to_string(),
        routing_key: message.routing_key.to_string(),
        properties: heard(&message.properties),
        body: message.data,
    }
}

fn said(properties: Properties) -> BasicProperties {
    let mut all = BasicProperties::default();
    if !properties.headers.is_empty() {
        all = all.with_headers(written(properties.headers));
    }
    macro_rules! set {
        ($($field:ident $with:ident),*) => {
            $(if let Some(value) = properties.$field { all = all.$with(value.into()); })*
        };
    }
    set!(
        delivery_mode with_delivery_mode, priority with_priority, timestamp with_timestamp,
        content_type with_content_type, content_encoding with_content_encoding,
        correlation_id with_correlation_id, reply_to with_reply_to, expiration with_expiration,
        message_id with_message_id, kind with_type, user_id with_user_id, app_id with_app_id
    );
    all
}

fn heard(properties: &BasicProperties) -> Properties {
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    Properties {
        headers: properties.headers().as_ref().map(read).unwrap_or_default(),
        delivery_mode: *properties.delivery_mode(),
        priority: *properties.priority(),
        timestamp: *properties.timestamp(),
        content_type: text(properties.content_type()),
        content_encoding: text(properties.content_encoding()),
        correlation_id: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        expiration: text(properties.expiration()),
        message_id: text(properties.message_id()),
        kind: text(properties.kind()),
        user_id: text(properties.user_id()),
        app_id: text(properties.app_id()),
    }
}

fn written(table: Table) -> FieldTable {
    let mut fields = FieldTable::default();
    for (name, value) in table {
        fields.insert(name.into(), written_value(value));
    }
    fields
}

fn written_value(value: Value) -> AMQPValue {
    match value {
        Value::Bool(is) => AMQPValue::Boolean(is),
        Value::I8(number) => AMQPValue::ShortShortInt(number),
        Value::U8(number) => AMQPValue::ShortShortUInt(number),
        Value::I16(number) => AMQPValue::ShortInt(number),
        Value::U16(number) => AMQPValue::ShortUInt(number),
        Value::I32(number) => AMQPValue::LongInt(number),
        Value::U32(number) => AMQPValue::LongUInt(number),
        Value::I64(number) => AMQPValue::LongLongInt(number),
        Value::F32(number) => AMQPValue::Float(number),
        Value::F64(number) => AMQPValue::Double(number),
        // Signed, as RabbitMQ has them.
        Value::Decimal(scale, value) => AMQPValue::DecimalValue(DecimalValue {
            scale,
            value: value.cast_unsigned(),
        }),
        Value::Text(text) => AMQPValue::LongString(text.into()),
        Value::Bytes(bytes) => AMQPValue::ByteArray(bytes.into()),
        Value::List(list) => {
            let values: Vec<_> = list.into_iter().map(written_value).collect();
            AMQPValue::FieldArray(values.into())
        }
        Value::Time(seconds) => AMQPValue::Timestamp(seconds),
        Value::Table(table) => AMQPValue::FieldTable(written(table)),
        Value::Nothing => AMQPValue::Void,
    }
}

fn read(table: &FieldTable) -> Table {
    let entries = table.inner().iter();
    entries
        .map(|(name, value)| (name.to_string(), read_value(value)))
        .collect()
}

fn read_value(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(is) => Value::Bool(*is),
        AMQPValue::ShortShortInt(number) => Value::I8(*number),
        AMQPValue::ShortShortUInt(number) => Value::U8(*number),
        AMQPValue::ShortInt(number) => Value::I16(*number),
        AMQPValue::ShortUInt(number) => Value::U16(*number),
        AMQPValue::LongInt(number) => Value::I32(*number),
        AMQPValue::LongUInt(number) => Value::U32(*number),
        AMQPValue::LongLongInt(number) => Value::I64(*number),
        AMQPValue::Float(number) => Value::F32(*number),
        AMQPValue::Double(number) => Value::F64(*number),
        AMQPValue::DecimalValue(number) => Value::Decimal(number.scale, number.value.cast_signed()),
        AMQPValue::ShortString(text) => Value::Text(text.to_string()),
        AMQPValue::LongString(text) => Value::Text(text.to_string()),
        AMQPValue::ByteArray(bytes) => Value::Bytes(bytes.as_slice().to_vec()),
        AMQPValue::FieldArray(list) => {
            Value::List(list.as_slice().iter().map(read_value).collect())
        }
        AMQPValue::Timestamp(seconds) => Value::Time(*seconds),
        AMQPValue::FieldTable(table) => Value::Table(read(table)),
        AMQPValue::Void => Value::Nothing,
    }
}
