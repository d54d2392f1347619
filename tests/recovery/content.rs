//! A message as it is published, as it becomes when it dies, and as it is seen when it is delivered.

use warren::amqp::properties::Properties;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::Delivery;
use warren::broker::log::Returns;

use crate::world::Kind;

/// A message's number, and where it died.
pub type Way = (u64, Vec<String>);

/// An entry of x-death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    pub queue: String,
    pub reason: String,
    pub exchange: String,
    pub count: i64,
    pub time: u64,
}

/// A message, as it was published or as it became when it died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub id: u64,
    pub body_bytes: usize,
    pub exchange: String,
    pub key: String,
    pub persistent: bool,
    /// What its publisher wanted; a quorum queue keeps it all the same.
    pub wants_persistent: bool,
    pub priority: u8,
    pub expiration_ms: Option<u64>,
    pub deaths: Vec<Death>,
}

impl Content {
    pub fn body(&self) -> Vec<u8> {
        let mut body = self.id.to_le_bytes().to_vec();
        body.resize(self.body_bytes, self.id as u8);
        body
    }

    /// The message as somebody sees it.
    pub fn seen(delivery: &Delivery<'_>) -> Self {
        let message = &delivery.message;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let body = message.body.as_slice();
        let mut id = [0; 8];
        id.copy_from_slice(&body[..8]);
        let id = u64::from_le_bytes(id);
        assert!(
            body[8..].iter().all(|byte| *byte == id as u8),
            "the body of {id} is not what was published"
        );
        let properties = Properties::decode(message.properties).expect("properties");
        let headers = properties.headers.unwrap_or_default();
        let deaths = match headers.get("x-death") {
            Some(FieldValue::Array(deaths)) => deaths.iter().map(death).collect(),
            _ => Vec::new(),
        };
        Self {
            id,
            body_bytes: body.len(),
            exchange: text(message.exchange),
            key: text(message.routing_key),
            persistent: message.facts.persistent,
            wants_persistent: properties.delivery_mode == Some(2),
            priority: message.facts.priority,
            expiration_ms: properties
                .expiration
                .map(|text| text.parse().expect("a number")),
            deaths,
        }
    }

    pub fn dead(&self, kind: &Kind, reason: &str, now_ms: u64) -> Self {
        let mut deaths = self.deaths.clone();
        let is_it = |death: &Death| death.queue == kind.name && death.reason == reason;
        let known = deaths.iter().position(is_it).map(|at| deaths.remove(at));
        let newest = match known {
            Some(old) => Death {
                count: old.count + 1,
                ..old
            },
            None => Death {
                queue: kind.name.to_owned(),
                reason: reason.to_owned(),
                exchange: self.exchange.clone(),
                count: 1,
                time: now_ms / 1000,
            },
        };
        deaths.insert(0, newest);
        Self {
            exchange: String::new(),
            key: kind.dead_letters_to.unwrap_or_default().to_owned(),
            persistent: self.wants_persistent,
            expiration_ms: None,
            deaths,
            ..self.clone()
        }
    }

    /// Which way it came: in one queue there is only one of each message by each way.
    pub fn way(&self) -> Way {
        let deaths = self.deaths.iter();
        (self.id, deaths.map(|death| death.queue.clone()).collect())
    }
}

fn death(value: &FieldValue) -> Death {
    let FieldValue::Table(table) = value else {
        panic!("no table in x-death");
    };
    let text = |name: &str| match table.get(name) {
        Some(FieldValue::LongStr(text)) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("{name} in x-death is {other:?}"),
    };
    let time = match table.get("time") {
        Some(FieldValue::Timestamp(time)) => *time,
        other => panic!("time in x-death is {other:?}"),
    };
    Death {
        queue: text("queue"),
        reason: text("reason"),
        exchange: text("exchange"),
        count: table
            .get("count")
            .and_then(FieldValue::as_i64)
            .expect("a count"),
        time,
    }
}

/// A delivery as the engine made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub content: Content,
    pub sequence: u64,
    pub redelivered: bool,
    pub returns: Returns,
}

impl Delivered {
    pub fn of(delivery: &Delivery<'_>) -> Self {
        Self {
            content: Content::seen(delivery),
            sequence: delivery.sequence,
            redelivered: delivery.redelivered,
            returns: delivery.returns,
        }
    }
}

/// The properties with which a message is published.
pub fn properties(content: &Content) -> Vec<u8> {
    let properties = Properties {
        headers: content.id.is_multiple_of(3).then(|| {
            let mut headers = FieldTable::new();
            headers.push("number", content.id as i64);
            headers
        }),
        delivery_mode: Some(if content.persistent { 2 } else { 1 }),
        priority: (content.priority > 0).then_some(content.priority),
        expiration: content.expiration_ms.map(|ms| ms.to_string().into()),
        ..Properties::default()
    };
    let mut encoded = Vec::new();
    properties.encode(&mut encoded);
    encoded
}
