//! What a load consists of: who publishes what and how fast, who consumes and how it acks.

use std::time::Duration;

use crate::wire::{Properties, Table};

/// The bytes at the front of every body: publisher and sequence number, then a time.
pub const BODY_HEAD_BYTES: usize = 16;
/// Sequence numbers take this many bits of the first eight bytes, the publisher's index the rest.
pub const SEQUENCE_BITS: u32 = 48;

/// One message of a publisher's rotation.
#[derive(Clone, Debug, Default)]
pub struct MessageShape {
    /// Routing key.
    pub routing_key: String,
    /// Properties.
    pub properties: Properties,
}

/// How fast a publisher goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the socket takes it.
    FlatOut,
    /// In confirm mode, at most this many unconfirmed.
    Confirmed {
        /// Messages in flight.
        window: usize,
    },
    /// A fixed schedule, kept whatever the broker does.
    Rate {
        /// Messages per second.
        per_second: f64,
    },
}

/// A publisher: one connection, one thread.
#[derive(Clone, Debug)]
pub struct PublisherPlan {
    /// Exchange.
    pub exchange: String,
    /// Sent in turn.
    pub shapes: Vec<MessageShape>,
    /// Bytes of every body.
    pub body_bytes: usize,
    /// Speed.
    pub pace: Pace,
    /// Ends after this many messages; for ever without.
    pub limit: Option<u64>,
}

impl PublisherPlan {
    /// A transient, flat-out publisher to one queue through the default exchange.
    pub fn to_queue(queue: &str, body_bytes: usize) -> Self {
        let shape = MessageShape {
            routing_key: queue.to_owned(),
            ..Default::default()
        };
        PublisherPlan {
            exchange: String::new(),
            shapes: vec![shape],
            body_bytes,
            pace: Pace::FlatOut,
            limit: None,
        }
    }

    /// The same with persistent messages and confirms.
    pub fn persistent(mut self, window: usize) -> Self {
        for shape in &mut self.shapes {
            shape.properties.persistent = true;
        }
        self.pace = Pace::Confirmed { window };
        self
    }
}

/// How a consumer acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    /// The broker does not wait for acks.
    Automatic,
    /// One ack a message; those of one read leave in one write.
    Each,
    /// One ack for so many messages.
    Multiple(u64),
}

/// A consumer: one connection, one thread.
#[derive(Clone, Debug)]
pub struct ConsumerPlan {
    /// Queue.
    pub queue: String,
    /// Acks.
    pub ack: AckMode,
    /// Prefetch count; 0 is unlimited.
    pub prefetch: u16,
    /// Arguments of `basic.consume`.
    pub arguments: Table,
}

impl ConsumerPlan {
    /// An auto-ack consumer.
    pub fn automatic(queue: &str) -> Self {
        ConsumerPlan {
            queue: queue.to_owned(),
            ack: AckMode::Automatic,
            prefetch: 0,
            arguments: Table::new(),
        }
    }

    /// A consumer that acks.
    pub fn acking(queue: &str, ack: AckMode, prefetch: u16) -> Self {
        ConsumerPlan {
            queue: queue.to_owned(),
            ack,
            prefetch,
            arguments: Table::new(),
        }
    }
}

/// What order a consumer must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Every message of every publisher, none missing.
    Complete,
    /// Rising sequence numbers, gaps allowed: several consumers share a queue, or it drops.
    Rising,
    /// None: priorities reorder.
    Any,
}

/// When a load is over.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Runs for a warm-up, then is measured for a while.
    Elapsed {
        /// Not measured.
        warm_up: Duration,
        /// Measured.
        measured: Duration,
    },
    /// Runs until this many messages have been consumed (or, without consumers, until all
    /// publishers reached their limits), and is measured from its first to its last.
    Consumed(u64),
}

/// A whole load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Publishers.
    pub publishers: Vec<PublisherPlan>,
    /// Consumers.
    pub consumers: Vec<ConsumerPlan>,
    /// Queues that each message reaches; what must be consumed is published times this.
    pub copies: u64,
    /// Order at each consumer.
    pub order: Order,
    /// End.
    pub until: Until,
    /// A queue to ask, once publishers are done, whether the broker has taken everything in.
    pub sync_queue: Option<String>,
}
