//! A broker in memory and clients that talk to it through one channel each.
//!
//! A client writes into its input buffer; [`Client::read`] is one read of that by the broker, as
//! a connection does it. What the broker wrote is taken out with [`Client::received`].

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use warren::amqp::encode;
use warren::amqp::frame::{self, FrameKind};
use warren::amqp::method::{Method, basic, queue};
use warren::amqp::properties::{NO_PROPERTIES, Properties};
use warren::amqp::reply::Exception;
use warren::amqp::table::FieldTable;
use warren::auth::Users;
use warren::broker::{Broker, Effects};
use warren::connection::channel::{Channel, ReadBatch};
use warren::connection::outgoing::HIGH_WATER_BYTES;
use warren::connection::shared::ClientCapabilities;
use warren::connection::{Ends, Outgoing, Shared};

pub const FRAME_MAX: u32 = 4096;
pub const MAX_MESSAGE_BYTES: u64 = 1 << 20;
const CHANNEL: u16 = 1;

/// A broker with the user `guest`.
pub fn broker() -> Arc<Broker> {
    Broker::new(Users::with_guest())
}

/// See the module.
pub struct Client {
    pub shared: Arc<Shared>,
    pub channel: Channel,
    input: Vec<u8>,
}

/// What a client receives.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    Method(Method),
    Content {
        method: Method,
        properties: Properties,
        body: Vec<u8>,
    },
}

/// A delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    pub consumer: String,
    pub tag: u64,
    pub redelivered: bool,
    pub body: String,
}

impl Client {
    pub fn new(broker: &Arc<Broker>) -> Self {
        Self::with_room(broker, HIGH_WATER_BYTES)
    }

    /// A client whose consumers count as full past so many unsent bytes.
    pub fn with_room(broker: &Arc<Broker>, high_water_bytes: usize) -> Self {
        let localhost = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let user = broker
            .users
            .login("guest", b"guest", localhost)
            .expect("guest may log in");
        let shared = Arc::new(Shared {
            id: broker.next_connection_id(),
            broker: Arc::clone(broker),
            vhost: broker.vhost("/").expect("vhost /"),
            user,
            outgoing: Outgoing::detached(high_water_bytes),
            frame_max: FRAME_MAX,
            max_message_bytes: MAX_MESSAGE_BYTES,
            consumer_timeout: Default::default(),
            shortest_timeout_ms: u64::MAX.into(),
            pauses: Default::default(),
            ends: Ends {
                peer: ([127, 0, 0, 1], 1).into(),
                local: ([127, 0, 0, 1], 5672).into(),
            },
            name: Default::default(),
            interceptors: Default::default(),
            capabilities: ClientCapabilities {
                consumer_cancel_notify: true,
                ..Default::default()
            },
        });
        let channel = Channel::open(CHANNEL, &shared);
        Self {
            shared,
            channel,
            input: Vec::new(),
        }
    }

    /// Writes a method.
    pub fn write(&mut self, method: impl Into<Method>) -> &mut Self {
        encode::method_frame(&mut self.input, CHANNEL, &method.into());
        self
    }

    /// Writes a publish without properties.
    pub fn publish(
        &mut self,
        exchange: &str,
        routing_key: &str,
        body: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.publish_with(to(exchange, routing_key), &Properties::default(), body)
    }

    /// Writes a publish.
    pub fn publish_with(
        &mut self,
        publish: basic::Publish,
        properties: &Properties,
        body: impl AsRef<[u8]>,
    ) -> &mut Self {
        let body = body.as_ref();
        let mut encoded = Vec::new();
        properties.encode(&mut encoded);
        self.write(publish);
        encode::content_header_frame(&mut self.input, CHANNEL, body.len() as u64, &encoded);
        encode::body_frames(&mut self.input, CHANNEL, body, FRAME_MAX);
        self
    }

    /// How many bytes were written and not read.
    pub fn written(&self) -> usize {
        self.input.len()
    }

    /// The broker reads everything that was written.
    pub fn read(&mut self) {
        self.try_read(usize::MAX).expect("no exception");
        assert!(self.input.is_empty(), "half a frame was written");
    }

    /// The broker reads everything that was written, and refuses something.
    pub fn refused(&mut self) -> String {
        self.try_read(usize::MAX)
            .expect_err("an exception")
            .reply_text()
    }

    /// The broker reads so many bytes at most, as far as there are whole frames in them.
    pub fn try_read(&mut self, bytes: usize) -> Result<(), Exception> {
        let taken = std::mem::take(&mut self.input);
        let input = &taken[..taken.len().min(bytes)];
        let mut batch = ReadBatch::new();
        let mut at = 0;
        let mut result = Ok(());
        while result.is_ok() {
            let rest = &input[at..];
            let (used, published) = self.channel.publishes(rest, FRAME_MAX, &mut batch);
            if used > 0 {
                at += used;
                result = published;
                continue;
            }
            let Some((frame, used)) = frame::frame(rest, FRAME_MAX).expect("frames") else {
                break;
            };
            at += used;
            result = match frame.kind {
                FrameKind::Method => {
                    let method = Method::decode(frame.payload).expect("a method");
                    self.channel.method(method, &mut batch)
                }
                FrameKind::Header => self.channel.content_header(frame.payload, &mut batch),
                FrameKind::Body => self.channel.content_body(frame.payload, &mut batch),
                FrameKind::Heartbeat => panic!("nobody sends heartbeats here"),
            };
        }
        let finished = self.channel.finish(&mut batch);
        self.input = taken[at..].to_vec();
        result.and(finished)
    }

    /// What the broker wrote since the last time.
    pub fn received(&mut self) -> Vec<Received> {
        parse(&self.shared.outgoing.drain())
    }

    /// The one thing that the broker wrote, a method.
    pub fn answer(&mut self) -> Method {
        match self.received().as_slice() {
            [Received::Method(method)] => method.clone(),
            other => panic!("not one method but {other:?}"),
        }
    }

    /// The deliveries that the broker wrote, and nothing else.
    pub fn deliveries(&mut self) -> Vec<Delivered> {
        self.received()
            .into_iter()
            .map(|received| match received {
                Received::Content {
                    method: Method::BasicDeliver(deliver),
                    body,
                    ..
                } => Delivered {
                    consumer: deliver.consumer_tag.to_string(),
                    tag: deliver.delivery_tag,
                    redelivered: deliver.redelivered,
                    body: String::from_utf8(body).expect("text"),
                },
                other => panic!("not a delivery but {other:?}"),
            })
            .collect()
    }

    /// The bodies of the deliveries that the broker wrote.
    pub fn bodies(&mut self) -> Vec<String> {
        self.deliveries()
            .into_iter()
            .map(|delivered| delivered.body)
            .collect()
    }

    /// Sends a method that has an answer, and gives that.
    pub fn ask(&mut self, method: impl Into<Method>) -> Method {
        self.write(method).read();
        self.answer()
    }

    /// Declares a queue.
    pub fn declare(&mut self, name: &str) {
        self.declare_with(name, FieldTable::new());
    }

    /// Declares a queue with arguments.
    pub fn declare_with(&mut self, name: &str, arguments: FieldTable) {
        let declare = queue::Declare {
            queue: name.into(),
            arguments,
            ..Default::default()
        };
        assert!(matches!(self.ask(declare), Method::QueueDeclareOk(_)));
    }

    /// Begins to consume; what is delivered at once is not taken out yet.
    pub fn consume(&mut self, queue: &str, tag: &str, no_ack: bool) {
        let consume = basic::Consume {
            queue: queue.into(),
            consumer_tag: tag.into(),
            no_ack,
            no_wait: true,
            ..Default::default()
        };
        self.write(consume).read();
    }

    /// All messages that are ready in a queue, taken by basic.get.
    pub fn drain_queue(&mut self, queue: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            self.write(basic::Get {
                queue: queue.into(),
                no_ack: true,
            })
            .read();
            match self.received().as_slice() {
                [
                    Received::Content {
                        method: Method::BasicGetOk(_),
                        body,
                        ..
                    },
                ] => {
                    bodies.push(String::from_utf8(body.clone()).expect("text"));
                }
                [Received::Method(Method::BasicGetEmpty(_))] => return bodies,
                other => panic!("no answer to a get: {other:?}"),
            }
        }
    }

    /// Ready messages and consumers of a queue.
    pub fn counts(&self, queue: &str) -> (u64, u64, u32) {
        let queue = self
            .shared
            .vhost
            .queue(queue, self.shared.id)
            .expect("the queue");
        let counts = queue.counts();
        (counts.ready, counts.unacked, counts.consumers)
    }

    /// The connection goes.
    pub fn leave(mut self) {
        self.channel.close();
        let mut effects = Effects::new();
        self.shared
            .vhost
            .connection_closed(self.shared.id, &mut effects);
        effects.complete();
    }
}

/// A publish.
pub fn to(exchange: &str, routing_key: &str) -> basic::Publish {
    basic::Publish {
        exchange: exchange.into(),
        routing_key: routing_key.into(),
        ..Default::default()
    }
}

/// Numbered bodies.
pub fn numbered(what: &str, range: impl IntoIterator<Item = usize>) -> Vec<String> {
    range
        .into_iter()
        .map(|number| format!("{what} {number}"))
        .collect()
}

pub fn ack(delivery_tag: u64) -> basic::Ack {
    basic::Ack {
        delivery_tag,
        multiple: false,
    }
}

pub fn ack_up_to(delivery_tag: u64) -> basic::Ack {
    basic::Ack {
        delivery_tag,
        multiple: true,
    }
}

fn parse(mut input: &[u8]) -> Vec<Received> {
    let mut received = Vec::new();
    let mut next = || {
        let found = frame::frame(input, FRAME_MAX).expect("well-formed frames");
        let (frame, used) = found?;
        input = &input[used..];
        assert_eq!(frame.channel, CHANNEL);
        Some(frame)
    };
    while let Some(frame) = next() {
        assert_eq!(frame.kind, FrameKind::Method);
        let method = Method::decode(frame.payload).expect("a method");
        if !method.has_content() {
            received.push(Received::Method(method));
            continue;
        }
        let header = frame::content_header(next().expect("a header").payload).expect("a header");
        let properties = match header.properties {
            NO_PROPERTIES => Properties::default(),
            properties => Properties::decode(properties).expect("properties"),
        };
        let mut body = Vec::new();
        while (body.len() as u64) < header.body_size {
            let piece = next().expect("a body frame");
            assert_eq!(piece.kind, FrameKind::Body);
            body.extend_from_slice(piece.payload);
        }
        received.push(Received::Content {
            method,
            properties,
            body,
        });
    }
    received
}

/// A long string.
pub fn text(text: &str) -> warren::amqp::table::FieldValue {
    warren::amqp::table::FieldValue::LongStr(Bytes::copy_from_slice(text.as_bytes()))
}
