//! Dead letters: messages that their queue gave up, on their way to its dead-letter exchange.
//!
//! Their headers tell the story (`x-death`, `x-first-death-*`, `x-last-death-*`), as RabbitMQ's
//! `rabbit_dead_letter` and `mc` write it; a message that would go round in a circle without anybody
//! having rejected it is dropped.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::log::{Flight, Place};
use super::message::{Body, Facts, Message};
use super::passage::Passing;
use super::queue::QueueArguments;
use super::{Effects, Queue, QueueId, Route, Vhost, blind_copies};
use crate::amqp::properties::Properties;
use crate::amqp::table::{FieldTable, FieldValue, SHORT_STR_MAX_BYTES};

/// What delivery-mode says of a persistent message.
const PERSISTENT: u8 = 2;

/// Why a queue gave a message up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A consumer rejected it without requeue.
    Rejected,
    /// Its time-to-live ran out.
    Expired,
    /// The queue was full.
    MaxLength,
    /// It was given back too often.
    DeliveryLimit,
    /// Its delay is over: it is no dead letter, and goes where its exchange leads.
    Due,
    /// It is no letter either: it waits in its queue until it is delivered again.
    Retry,
}

impl Reason {
    /// What the log calls those that dead letters have.
    pub(super) fn code(self) -> u64 {
        match self {
            Self::Rejected => 1,
            Self::Expired => 2,
            Self::MaxLength => 3,
            Self::DeliveryLimit => 4,
            Self::Due | Self::Retry => 0,
        }
    }

    /// The reason that the log calls so.
    pub(super) fn of_code(code: u64) -> Option<Self> {
        let reasons = [
            Self::Rejected,
            Self::Expired,
            Self::MaxLength,
            Self::DeliveryLimit,
        ];
        reasons.into_iter().find(|reason| reason.code() == code)
    }

    /// What the `reason` header says.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
            Self::Due => "due",
            Self::Retry => "retry",
        }
    }
}

/// What came of a letter.
#[derive(Debug, Default)]
pub(super) struct Arrival {
    /// The log has heard that it left its queue: in the record that says where it went.
    pub is_logged: bool,
    /// It went somewhere, and nobody refused it.
    pub is_complete: bool,
    /// Who took it.
    pub took: Vec<QueueId>,
}

/// A message that was given up, copied out of its queue.
pub struct DeadLetter {
    pub(super) source: Arc<Queue>,
    /// Where its queue dead-lettered to when it was given up.
    to: Option<Bytes>,
    /// The key that it goes there with, where its queue says so.
    to_key: Option<Bytes>,
    reason: Reason,
    pub(super) exchange: Box<[u8]>,
    pub(super) routing_key: Box<[u8]>,
    pub(super) properties: Box<[u8]>,
    pub(super) body: Bytes,
    pub(super) facts: Facts,
    /// Its sequence in its queue, if the log is to hear that it left.
    left: Option<u64>,
    /// Its sequence, if it stays there until it has arrived, and who has it already.
    stays: Option<(u64, Vec<QueueId>)>,
    /// Until the log has heard that.
    _flight: Option<Flight>,
}

impl DeadLetter {
    /// Copies a message (and shares a large body). `left` is its sequence in its queue, if the log is
    /// to hear that it left.
    pub fn new(
        source: Arc<Queue>,
        wants: &QueueArguments,
        reason: Reason,
        message: &Message<'_>,
        left: Option<u64>,
    ) -> Self {
        Self {
            to: wants.dead_letter_exchange.clone(),
            to_key: wants.dead_letter_routing_key.clone(),
            reason,
            exchange: message.exchange.into(),
            routing_key: message.routing_key.into(),
            properties: message.properties.into(),
            body: message.body.to_bytes(),
            facts: message.facts,
            left,
            stays: None,
            _flight: left.map(|_| source.engine().flights.begin()),
            source,
        }
    }

    /// It stays in its queue, at that place, until it has arrived everywhere; these queues have it.
    pub(super) fn stay(&mut self, sequence: u64, took: &[QueueId]) {
        self.stays = Some((sequence, took.to_vec()));
    }

    /// The queue that gave it up.
    pub(super) fn source(&self) -> &Arc<Queue> {
        &self.source
    }

    /// Publishes it to its queue's dead-letter exchange. It is dropped if there is none, or if
    /// nothing is bound to it, or if it would go round in a circle.
    pub(super) fn publish(self, effects: &mut Effects) {
        let arrival = match self.reason {
            Reason::Due => self.route_on(effects),
            _ => self.publish_to_queues(effects),
        };
        let stays = self.stays.as_ref();
        let is_through = stays.is_none() || arrival.is_complete;
        if let Some(sequence) = self.left.filter(|_| is_through && !arrival.is_logged) {
            let queue = self.source.id().0;
            // Whoever publishes it need not have changed anything that is logged.
            effects.pending.begin(self.source.engine());
            effects.pending.settled(queue, sequence, sequence);
        }
        match stays {
            Some((sequence, _)) if is_through => self.source.letter_arrived(*sequence),
            Some((sequence, _)) => self.source.letter_stays(*sequence, &arrival.took, effects),
            None => {}
        }
    }

    fn publish_to_queues(&self, effects: &mut Effects) -> Arrival {
        let Some(vhost) = self.source.vhost().upgrade() else {
            return Arrival::default();
        };
        let Some(exchange) = &self.to else {
            return Arrival::default();
        };
        let Ok(mut properties) = Properties::decode(&self.properties) else {
            return Arrival::default();
        };

        let mut headers = properties.headers.take().unwrap_or_default();
        let mut bcc = match self.facts.has_bcc {
            true => blind_copies::take(&mut headers),
            false => None,
        };
        let carbon_copies = header_routes(&headers);
        let now_ms = self.source.engine().clock.now_ms();
        let death = self.death(
            &carbon_copies,
            properties.expiration.take().as_deref(),
            now_ms,
        );
        let own_key = self.to_key.as_deref();
        let routing_key = own_key.unwrap_or(&self.routing_key);
        if own_key.is_some() {
            headers.remove("CC");
            bcc = None;
        }
        self.record_death(&mut headers, death);

        let deaths = headers.get("x-death").cloned();
        properties.headers = Some(headers);
        let mut encoded = Vec::with_capacity(self.properties.len() + 256);
        properties.encode(&mut encoded);
        let mut keys = vec![routing_key];
        if own_key.is_none() {
            keys.extend(carbon_copies.iter().map(Bytes::as_ref));
            keys.extend(blind_copies::routing_keys(bcc.as_ref()).map(Bytes::as_ref));
        }
        let keys: Vec<_> = keys
            .iter()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect();
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let Some(route) = route(&vhost, exchange, &keys, &encoded) else {
            return Arrival::default();
        };
        let has_bcc = bcc.is_some();
        if let (Some(headers), Some(bcc)) = (&mut properties.headers, bcc) {
            blind_copies::put(headers, bcc);
            encoded.clear();
            properties.encode(&mut encoded);
        }
        let message = Message {
            exchange,
            // No method can say more of it; RabbitMQ's connections crash over a longer one.
            routing_key: routing_key
                .get(..SHORT_STR_MAX_BYTES)
                .unwrap_or(routing_key),
            properties: &encoded,
            body: Body::of(&self.body),
            facts: Facts {
                expiration_ms: Facts::NEVER,
                // In a quorum queue it was, whatever its publisher wanted.
                persistent: properties.delivery_mode == Some(PERSISTENT),
                has_bcc,
                ..self.facts
            },
        };
        let is_barred = |queue: &Queue| {
            let is_barred =
                self.reason != Reason::Rejected && is_cycle(queue.name(), deaths.as_ref());
            if is_barred {
                tracing::warn!(queue = ?queue.name(), "message dropped: dead-letter queues form a cycle");
            }
            is_barred
        };
        if exchange.is_empty() {
            let keys = keys.iter().map(|key| key.as_bytes());
            let addresses = &self.source.engine().reply_addresses;
            addresses.deliver(keys, &message, effects);
        }
        // Where it led somewhere it is text.
        let exchange = std::str::from_utf8(exchange).unwrap_or_default();
        self.arrive(
            &vhost, exchange, &route, &message, &keys, &is_barred, effects,
        )
    }

    /// Gives the message that became of it to the queues that its route from an exchange leads to.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn arrive(
        &self,
        vhost: &Vhost,
        exchange: &str,
        route: &Route,
        message: &Message<'_>,
        keys: &[&str],
        is_barred: &dyn Fn(&Queue) -> bool,
        effects: &mut Effects,
    ) -> Arrival {
        let mut left = self.left.map(|sequence| Place {
            queue: self.source.id().0,
            sequence,
        });
        let took_before = self.stays.as_ref().map(|(_, took)| took.as_slice());
        let took_before = took_before.unwrap_or_default();
        let is_barred = |queue: &Queue| took_before.contains(&queue.id()) || is_barred(queue);
        let mut arrival = Arrival::default();
        if route.has_memory {
            let passing = Passing {
                message,
                routing_keys: keys,
                left: left.filter(|_| self.stays.is_none()),
                is_barred: &is_barred,
            };
            if let Ok(passed) = vhost.pass_internally(exchange, &passing, effects) {
                arrival.is_logged = passed.is_logged && self.stays.is_none();
                let is_known = passed.is_duplicate || !took_before.is_empty();
                arrival.is_complete = !passed.is_refused && (passed.is_routed || is_known);
            }
            return arrival;
        }
        let refused_before = effects.refused.len();
        for queue in route.queues.iter().filter(|queue| !is_barred(queue)) {
            let refused = effects.refused.len();
            queue.publish(std::slice::from_ref(message), None, effects);
            if effects.refused.len() == refused {
                arrival.took.push(queue.id());
            }
        }
        let is_refused = effects.refused.len() > refused_before;
        effects.refused.truncate(refused_before);
        let is_anywhere = !arrival.took.is_empty() || !took_before.is_empty();
        arrival.is_complete = is_anywhere && !is_refused;
        if self.stays.is_some() && !arrival.is_complete {
            left = None;
        }
        let log = self.source.engine().log();
        let Some(log) = log.filter(|_| effects.pending.has_placements()) else {
            return arrival;
        };
        let batch = std::slice::from_ref(message);
        let appended = effects.append_messages(log, batch, left.as_slice());
        // What can't be logged has not left its queue, as far as the next start is concerned.
        if let Err(error) = appended {
            tracing::error!(%error, queue = ?self.source.name(), "a dead letter is not logged");
        }
        arrival.is_logged = left.is_some();
        arrival
    }

    /// This death's entry in `x-death`, without its count.
    fn death(&self, carbon_copies: &[Bytes], expiration: Option<&str>, now_ms: u64) -> FieldTable {
        let mut keys = vec![long_str(&self.routing_key)];
        keys.extend(carbon_copies.iter().cloned().map(FieldValue::LongStr));
        let mut death = FieldTable::default();
        death.push("reason", long_str(self.reason.name().as_bytes()));
        death.push("queue", long_str(self.source.name().as_bytes()));
        death.push("time", FieldValue::Timestamp(now_ms / 1000));
        death.push("exchange", long_str(&self.exchange));
        death.push("routing-keys", FieldValue::Array(keys));
        if let Some(expiration) = expiration {
            death.push("original-expiration", long_str(expiration.as_bytes()));
        }
        death
    }

    /// Puts a death in front of the others: an old entry of the same queue and reason is counted
    /// up, the first death of all is noted apart.
    fn record_death(&self, headers: &mut FieldTable, death: FieldTable) {
        let is_first = !headers.contains("x-death");
        let mut deaths = match headers.get("x-death") {
            Some(FieldValue::Array(deaths)) => merged(deaths),
            Some(_) => Vec::new(),
            None => {
                headers.insert(
                    "x-first-death-reason",
                    long_str(self.reason.name().as_bytes()),
                );
                headers.insert(
                    "x-first-death-queue",
                    long_str(self.source.name().as_bytes()),
                );
                headers.insert("x-first-death-exchange", long_str(&self.exchange));
                Vec::new()
            }
        };
        let known = deaths.iter().position(|death| {
            let FieldValue::Table(death) = death else {
                return false;
            };
            says(death, "queue", self.source.name()) && says(death, "reason", self.reason.name())
        });
        let newest = match known.map(|at| deaths.remove(at)) {
            Some(FieldValue::Table(mut old)) => {
                let count = old.get("count").and_then(FieldValue::as_i64).unwrap_or(0);
                old.insert("count", FieldValue::I64(count.saturating_add(1)));
                sorted(old)
            }
            _ => {
                let mut counted = FieldTable::default();
                counted.push("count", FieldValue::I64(1));
                for (name, value) in death.iter() {
                    counted.push(name, value.clone());
                }
                if is_first { counted } else { sorted(counted) }
            }
        };
        deaths.insert(0, FieldValue::Table(newest));
        for (name, value) in [
            ("x-last-death-reason", self.reason.name().as_bytes()),
            ("x-last-death-queue", self.source.name().as_bytes()),
            ("x-last-death-exchange", &self.exchange),
        ] {
            headers.insert(name, long_str(value));
        }
        headers.insert("x-death", FieldValue::Array(deaths));
        *headers = sorted(std::mem::take(headers));
    }
}

/// What clients have put into `x-death` may have one queue and reason more than once, or no count: the
/// first stands for all of them, and counts them where it does not say how many it is.
fn merged(deaths: &[FieldValue]) -> Vec<FieldValue> {
    let mut places: HashMap<(&[u8], &[u8]), usize> = HashMap::new();
    let mut merged: Vec<(&FieldValue, i64)> = Vec::with_capacity(deaths.len());
    for death in deaths {
        if let FieldValue::Table(table) = death
            && let Some(queue) = table.get("queue").and_then(FieldValue::as_bytes)
            && let Some(reason) = table.get("reason").and_then(FieldValue::as_bytes)
        {
            let place = *places.entry((queue, reason)).or_insert(merged.len());
            if let Some((_, times)) = merged.get_mut(place) {
                *times += 1;
                continue;
            }
        }
        merged.push((death, 1));
    }
    let counted = merged.into_iter().map(|(death, times)| match death {
        FieldValue::Table(table) if !table.contains("count") => {
            let mut counted = FieldTable::default();
            counted.push("count", FieldValue::I64(times));
            counted.0.extend(table.0.iter().cloned());
            FieldValue::Table(counted)
        }
        death => death.clone(),
    });
    counted.collect()
}

/// Where the keys lead. No exchange has a name that is no text; a key that is none can only match
/// where it does not matter.
fn route(vhost: &Vhost, exchange: &[u8], keys: &[&str], properties: &[u8]) -> Option<Route> {
    let exchange = std::str::from_utf8(exchange).ok()?;
    vhost.route_by(exchange, keys, properties, true).ok()
}

/// Whether the message was in that queue before and nobody has rejected it since.
fn is_cycle(queue: &str, deaths: Option<&FieldValue>) -> bool {
    let Some(FieldValue::Array(deaths)) = deaths else {
        return false;
    };
    for death in deaths {
        let FieldValue::Table(death) = death else {
            return false;
        };
        if says(death, "reason", Reason::Rejected.name()) {
            return false;
        }
        if says(death, "queue", queue) {
            return true;
        }
    }
    false
}

/// The routing keys of the CC header, and of a BCC header that its receivers may see.
pub(super) fn header_routes(headers: &FieldTable) -> Vec<Bytes> {
    let names = ["CC", "BCC"].into_iter();
    let keys = names.flat_map(|name| blind_copies::routing_keys(headers.get(name)));
    keys.cloned().collect()
}

fn says(table: &FieldTable, name: &str, wanted: &str) -> bool {
    matches!(table.get(name), Some(FieldValue::LongStr(value)) if value == wanted.as_bytes())
}

fn long_str(bytes: &[u8]) -> FieldValue {
    FieldValue::LongStr(Bytes::copy_from_slice(bytes))
}

/// RabbitMQ keeps the tables that it has changed sorted by name.
fn sorted(table: FieldTable) -> FieldTable {
    let mut entries = table.0;
    entries.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    FieldTable(entries)
}
