//! A broker in this process with the queue under test and a queue for its dead letters, and a clock that
//! the test sets.

use std::sync::Arc;

use warren::amqp::properties::Properties;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::auth::Users;
use warren::broker::catalog::Forgetful;
use warren::broker::engine::{Clock, EngineOptions};
use warren::broker::queue::{ConsumerId, ConsumerSpec};
use warren::broker::vhost::QueueDeclare;
use warren::broker::{
    Body, Broker, ConnectionId, Effects, Engine, Facts, Message, Queue, SinkRef, Vhost,
};

use crate::basket::{Basket, name_of};
use crate::kind::{Kind, Policy};

const ME: ConnectionId = ConnectionId(1);
const QUEUE: &str = "tested";
const DEAD: &str = "dead";
const POLICY: &str = "tried";
/// What comes and goes at one time takes no more turns.
const MOST_WAKE_UPS: usize = 1000;

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub name: u64,
    pub priority: Option<u8>,
    pub ttl_ms: Option<u64>,
    /// What a queue that takes no message twice knows it by.
    pub id: Option<u8>,
}

/// A dead letter: which message, and why it died.
pub type Letter = (u64, String);

/// See the module.
pub struct World {
    pub clock: Clock,
    pub queue: Arc<Queue>,
    broker: Arc<Broker>,
    dead: Arc<Queue>,
}

/// Somebody consumes into that basket, and is given nothing yet.
pub fn add_consumer(
    queue: &Arc<Queue>,
    basket: &Arc<Basket>,
    no_ack: bool,
    priority: i32,
) -> ConsumerId {
    let sink = Arc::clone(basket) as SinkRef;
    let spec = ConsumerSpec {
        tag: "c".into(),
        sink,
        slot: 0,
        no_ack,
        exclusive: false,
        priority,
    };
    queue.add_consumer(spec).expect("nobody is exclusive")
}

fn declare(vhost: &Arc<Vhost>, name: &str, arguments: FieldTable) -> Arc<Queue> {
    let declare = QueueDeclare {
        name,
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments,
    };
    vhost.declare_queue(declare, ME).expect("it is declared")
}

fn properties_of(message: &Outgoing) -> Vec<u8> {
    let headers = message.id.map(|id| {
        let mut headers = FieldTable::new();
        headers.push("x-deduplication-header", FieldValue::I32(id.into()));
        headers
    });
    let properties = Properties {
        headers,
        priority: message.priority,
        ..Properties::default()
    };
    let mut encoded = Vec::new();
    properties.encode(&mut encoded);
    encoded
}

impl World {
    pub fn new(kind: &Kind) -> Self {
        let clock = Clock::manual(1_000_000);
        let engine = Engine::with_options(EngineOptions {
            clock: clock.clone(),
            ..EngineOptions::default()
        });
        let broker = Broker::with_engine(Users::default(), engine, Arc::new(Forgetful::default()));
        let vhost = broker.vhost("/").expect("it is there");
        Self {
            clock,
            queue: declare(&vhost, QUEUE, kind.arguments(DEAD)),
            dead: declare(&vhost, DEAD, FieldTable::new()),
            broker,
        }
    }

    /// Publishes a batch; says which were refused.
    pub fn publish(&self, messages: &[Outgoing]) -> Vec<u64> {
        let names = messages.iter().map(|message| message.name);
        let bodies: Vec<[u8; 8]> = names.map(u64::to_le_bytes).collect();
        let properties: Vec<Vec<u8>> = messages.iter().map(properties_of).collect();
        let batch: Vec<Message<'_>> = messages
            .iter()
            .zip(bodies.iter().zip(&properties))
            .map(|(message, (body, properties))| Message {
                exchange: b"",
                routing_key: QUEUE.as_bytes(),
                properties,
                body: Body::Slice(body),
                facts: Facts {
                    priority: message.priority.unwrap_or(0),
                    expiration_ms: message.ttl_ms.unwrap_or(Facts::NEVER),
                    ..Facts::PLAIN
                },
            })
            .collect();
        let mut effects = Effects::new();
        self.queue.publish(&batch, None, &mut effects);
        let refused = std::mem::take(&mut effects.refused);
        effects.complete();
        let refused = refused.into_iter();
        refused.map(|at| messages[at as usize].name).collect()
    }

    pub fn add_consumer(&self, basket: &Arc<Basket>, no_ack: bool, priority: i32) -> ConsumerId {
        add_consumer(&self.queue, basket, no_ack, priority)
    }

    pub fn set_policy(&self, policy: &Policy, kind: &Kind) {
        let mut effects = Effects::new();
        match policy.is_empty(kind) {
            true => {
                let cleared = self
                    .broker
                    .clear_parameter("/", "policy", POLICY, &mut effects);
                cleared.expect("it can be stored");
            }
            false => {
                let document = policy.document(QUEUE, kind);
                self.broker
                    .set_parameter("/", "policy", POLICY, document, &mut effects)
                    .expect("it is a policy");
            }
        }
        effects.complete();
    }

    /// Wakes the queue as often as it wants to be woken by now, as the server's task does.
    pub fn fire_timers(&self) {
        for _ in 0..MOST_WAKE_UPS {
            let due = self.broker.engine.timers.take_due(self.clock.now_ms());
            if due.is_empty() {
                return;
            }
            for queue in due.iter().filter_map(std::sync::Weak::upgrade) {
                let mut effects = Effects::new();
                queue.on_timer(&mut effects);
                effects.complete();
            }
        }
        panic!("it wants to be woken over and over");
    }

    /// The dead letters since the last time, in order.
    pub fn take_letters(&self) -> Vec<Letter> {
        let mut letters = Vec::new();
        let mut effects = Effects::new();
        while self.dead.counts().ready > 0 {
            self.dead.get(true, &mut effects, &mut |delivery, _| {
                let message = &delivery.message;
                let properties = Properties::decode(message.properties).expect("properties");
                let headers = properties.headers.expect("a dead letter's headers");
                let reason = headers.get("x-first-death-reason");
                let reason = reason.and_then(FieldValue::as_bytes).expect("a reason");
                let reason = String::from_utf8_lossy(reason).into_owned();
                letters.push((name_of(message.body.as_slice()), reason));
            });
        }
        effects.complete();
        letters
    }
}
