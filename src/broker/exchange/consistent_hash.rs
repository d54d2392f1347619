//! x-consistent-hash: each key belongs to one destination; a binding's key is its weight.
//!
//! In RabbitMQ several bindings to one destination count as the first of them, and any that goes
//! takes the destination along. Here the oldest that is still there counts.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::found::Found;
use super::message_headers::MessageHeaders;
use super::rendezvous::{Rendezvous, seed_of};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::binding::{Binding, Destination};
use crate::broker::ids::BindingId;
use crate::broker::names::Resource;
use crate::broker::term::Pretty;

/// See the module.
pub(super) struct ConsistentHash {
    hash_on: HashOn,
    members: Rendezvous<Destination>,
    /// By the destination's number.
    bindings: HashMap<u64, SmallVec<[(BindingId, f64); 1]>>,
}

/// What of a message is hashed. What it does not have counts as empty.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HashOn {
    /// The routing key; where there are several, the one that it was published with.
    RoutingKey,
    /// The header of that name: its value and the value's type.
    Header(Box<[u8]>),
    MessageId,
    CorrelationId,
    /// In decimal digits.
    Timestamp,
}

impl HashOn {
    fn parse(arguments: &FieldTable, resource: Resource<'_>) -> Result<Self, Exception> {
        let text = |name: &str| match arguments.get(name) {
            None => Ok(None),
            Some(FieldValue::LongStr(value)) => Ok(Some(value)),
            // RabbitMQ's channel crashes over these.
            Some(other) => {
                let kind = other.type_name();
                Err(precondition_failed(format!(
                    "invalid type '{kind}' for arg '{name}' in {resource}"
                )))
            }
        };
        match (text("hash-header")?, text("hash-property")?) {
            (None, None) => Ok(Self::RoutingKey),
            (Some(header), None) => Ok(Self::Header(header[..].into())),
            (None, Some(property)) => match &property[..] {
                b"message_id" => Ok(Self::MessageId),
                b"correlation_id" => Ok(Self::CorrelationId),
                b"timestamp" => Ok(Self::Timestamp),
                other => Err(precondition_failed(format!(
                    "Unsupported property: {}",
                    String::from_utf8_lossy(other)
                ))),
            },
            (Some(_), Some(_)) => Err(precondition_failed(
                "hash-header and hash-property are mutually exclusive".into(),
            )),
        }
    }
}

/// A binding's weight, from its key: an integer in decimal digits, maybe after a sign.
fn weight(routing_key: &str) -> Result<f64, Exception> {
    let digits = routing_key.strip_prefix(['+', '-']).unwrap_or(routing_key);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let key = FieldValue::LongStr(routing_key.as_bytes().to_vec().into());
        let key = Pretty(&key);
        return Err(precondition_failed(format!(
            "The binding key must be an integer: {key}"
        )));
    }
    // A key has at most 255 digits, which a float has room for.
    match routing_key.parse::<f64>() {
        Ok(weight) if weight >= 1.0 && weight.is_finite() => Ok(weight),
        _ => Err(precondition_failed(
            "The binding key must be greater than 0".into(),
        )),
    }
}

/// Refuses a binding whose key is no weight.
pub(super) fn check_binding(routing_key: &str) -> Result<(), Exception> {
    weight(routing_key).map(|_| ())
}

impl ConsistentHash {
    /// An exchange with those arguments.
    ///
    /// # Errors
    /// PRECONDITION_FAILED, with RabbitMQ's texts.
    pub fn new(arguments: &FieldTable, resource: Resource<'_>) -> Result<Self, Exception> {
        Ok(Self {
            hash_on: HashOn::parse(arguments, resource)?,
            members: Rendezvous::default(),
            bindings: HashMap::new(),
        })
    }

    /// Whether two messages with one routing key may go different ways.
    pub fn varies(&self) -> bool {
        self.hash_on != HashOn::RoutingKey
    }

    pub fn add(&mut self, binding: &Binding) {
        let Ok(weight) = weight(&binding.routing_key) else {
            return;
        };
        let number = binding.destination.number();
        let bindings = self.bindings.entry(number).or_default();
        let place = bindings.partition_point(|(id, _)| *id < binding.id);
        bindings.insert(place, (binding.id, weight));
        self.weigh(&binding.destination);
    }

    pub fn remove(&mut self, binding: &Binding) {
        let number = binding.destination.number();
        if let Some(bindings) = self.bindings.get_mut(&number) {
            bindings.retain(|(id, _)| *id != binding.id);
            if bindings.is_empty() {
                self.bindings.remove(&number);
            }
            self.weigh(&binding.destination);
        }
    }

    pub fn clear(&mut self) {
        self.members = Rendezvous::default();
        self.bindings = HashMap::new();
    }

    /// The destination's weight is that of its oldest binding.
    fn weigh(&mut self, destination: &Destination) {
        let number = destination.number();
        self.members.retain(|member| member.number() != number);
        let oldest = self.bindings.get(&number).and_then(|all| all.first());
        if let Some((_, weight)) = oldest {
            let seed = seed_of_destination(destination);
            self.members.add(seed, *weight, destination.clone());
        }
    }

    pub fn find(&self, routing_keys: &[&str], message: &MessageHeaders<'_>, found: &mut Found) {
        let mut encoded = Vec::new();
        let key: &[u8] = match &self.hash_on {
            HashOn::RoutingKey => routing_keys.first().map_or(&[], |key| key.as_bytes()),
            HashOn::Header(name) => {
                if let Some(value) = message.get(name) {
                    value.encode(&mut encoded);
                }
                &encoded
            }
            HashOn::MessageId => message.scan().message_id.unwrap_or_default(),
            HashOn::CorrelationId => message.scan().correlation_id.unwrap_or_default(),
            HashOn::Timestamp => {
                if let Some(seconds) = message.scan().timestamp {
                    encoded.extend_from_slice(seconds.to_string().as_bytes());
                }
                &encoded
            }
        };
        found.add_all(self.members.find(key).into_iter());
    }
}

/// By its name, so that a queue that is declared again has the keys that it had.
fn seed_of_destination(destination: &Destination) -> u64 {
    let kind: &[u8] = match destination {
        Destination::Queue(_) => b"queue ",
        Destination::Exchange(_) => b"exchange ",
    };
    seed_of(&[kind, destination.name().as_bytes()].concat())
}

fn precondition_failed(text: String) -> Exception {
    Exception::new(ReplyCode::PreconditionFailed, text)
}
