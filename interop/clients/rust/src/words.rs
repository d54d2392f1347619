//! What the scenarios speak of, whichever the client: values, messages, and what a client has to do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::place::Problem;

/// A value of a table, by its type on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    F32(f32),
    F64(f64),
    /// Digits behind the point, and the number without it.
    Decimal(u8, i32),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    /// Seconds since 1970.
    Time(u64),
    Table(Table),
    Nothing,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Value::I32(number)
    }
}

/// Headers and arguments.
pub type Table = BTreeMap<String, Value>;

/// A table of these.
pub fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.map(|(name, value)| (name.into(), value)).into()
}

/// What a message says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    pub headers: Table,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub timestamp: Option<u64>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
}

/// Delivery mode 1.
pub fn transient() -> Properties {
    Properties {
        delivery_mode: Some(1),
        ..Properties::default()
    }
}

/// A message, however it came.
#[derive(Debug)]
pub struct Delivery {
    pub tag: u64,
    pub redelivered: bool,
    pub exchange: String,
    pub routing_key: String,
    pub properties: Properties,
    pub body: Vec<u8>,
}

/// What became of a message that was published.
#[derive(Debug, PartialEq)]
pub enum Published {
    Acked,
    Nacked,
    /// With this, and acked.
    Returned(u16, String),
}

/// How a connection is made.
#[derive(Default)]
pub struct How {
    /// In seconds; otherwise what the client takes by itself.
    pub heartbeat: Option<u16>,
    /// Whom to trust.
    pub ca: Option<PathBuf>,
    /// Certificate and key to show.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// That it should recover by itself, if it can.
    pub recovers: bool,
}

/// How a queue is declared.
#[derive(Clone, Copy, Default)]
pub struct Flags {
    pub passive: bool,
    pub durable: bool,
    pub exclusive: bool,
}

/// Declared for one connection.
pub const EXCLUSIVE: Flags = Flags {
    passive: false,
    durable: false,
    exclusive: true,
};

/// Asked for only.
pub const PASSIVE: Flags = Flags {
    passive: true,
    durable: false,
    exclusive: false,
};

/// One of the clients. What the broker refuses is `Problem::Refused`.
pub trait Client {
    type Connection: Connection;

    /// Whether it says why a login is refused.
    const HEARS_LOGIN_REFUSED: bool;
    /// What is to be said of how it connects.
    const CONNECT_REMARK: &str;
    /// Whether connections, channels, queues and consumers can come back by themselves.
    const RECOVERS: bool;

    async fn connect(&self, url: &str, how: How) -> Result<Self::Connection, Problem>;
}

/// An open connection.
pub trait Connection {
    type Channel: Channel;

    /// Opens a channel in confirm mode.
    async fn channel(&self) -> Result<Self::Channel, Problem>;

    /// What the broker closed the connection with; to be called after that.
    async fn closed(&mut self) -> Result<(u16, String), Problem>;
}

/// An open channel, with one consumer at most.
pub trait Channel {
    /// Gives the queue's name and how many messages are ready.
    async fn declare_queue(
        &mut self,
        name: &str,
        flags: Flags,
        arguments: Table,
    ) -> Result<(String, u32), Problem>;
    async fn declare_exchange(
        &mut self,
        name: &str,
        kind: &str,
        auto_delete: bool,
    ) -> Result<(), Problem>;
    async fn bind_queue(&mut self, binding: &Binding<'_>) -> Result<(), Problem>;
    async fn unbind_queue(&mut self, binding: &Binding<'_>) -> Result<(), Problem>;
    async fn bind_exchange(&mut self, destination: &str, source: &str) -> Result<(), Problem>;
    async fn delete_queue(&mut self, name: &str) -> Result<(), Problem>;
    async fn delete_exchange(&mut self, name: &str) -> Result<(), Problem>;
    /// Gives how many went.
    async fn purge(&mut self, name: &str) -> Result<u32, Problem>;
    async fn qos(&mut self, count: u16) -> Result<(), Problem>;
    /// Publishes these one after the other and then waits for what becomes of each.
    async fn publish_many(
        &mut self,
        to: To<'_>,
        properties: Properties,
        bodies: Vec<Vec<u8>>,
    ) -> Result<Vec<Published>, Problem>;
    async fn get(&mut self, queue: &str, no_ack: bool) -> Result<Option<Delivery>, Problem>;
    /// Starts the consumer; its tag.
    async fn consume(&mut self, queue: &str) -> Result<String, Problem>;
    /// The consumer's next message.
    async fn next(&mut self) -> Result<Delivery, Problem>;
    /// The tag of the consumer that the broker cancels.
    async fn cancelled(&mut self) -> Result<String, Problem>;
    async fn ack(&mut self, tag: u64) -> Result<(), Problem>;
    async fn nack(&mut self, tag: u64, requeue: bool) -> Result<(), Problem>;
    async fn reject(&mut self, tag: u64, requeue: bool) -> Result<(), Problem>;
    async fn close(&mut self) -> Result<(), Problem>;

    /// Publishes one.
    async fn publish(
        &mut self,
        to: To<'_>,
        properties: Properties,
        body: impl Into<Vec<u8>>,
    ) -> Result<Published, Problem> {
        let outcomes = self.publish_many(to, properties, vec![body.into()]).await?;
        let mut outcomes = outcomes.into_iter();
        outcomes
            .next()
            .ok_or_else(|| Problem::Failed("nothing came of it".into()))
    }

    /// Publishes to a queue, transient; it has to be acked.
    async fn send(&mut self, queue: &str, body: impl Into<Vec<u8>>) -> Result<(), Problem> {
        let outcome = self.publish(to_queue(queue), transient(), body).await?;
        assert_eq!(outcome, Published::Acked);
        Ok(())
    }

    /// How many messages are ready in the queue.
    async fn ready(&mut self, queue: &str) -> Result<u32, Problem> {
        let declared = self.declare_queue(queue, PASSIVE, Table::new()).await?;
        Ok(declared.1)
    }
}

/// Of a queue to an exchange.
pub struct Binding<'a> {
    pub queue: &'a str,
    pub exchange: &'a str,
    pub key: &'a str,
    pub arguments: Table,
}

/// Where a message goes.
#[derive(Clone, Copy)]
pub struct To<'a> {
    pub exchange: &'a str,
    pub key: &'a str,
    pub mandatory: bool,
}

/// By the default exchange.
pub fn to_queue(queue: &str) -> To<'_> {
    To {
        exchange: "",
        key: queue,
        mandatory: false,
    }
}
