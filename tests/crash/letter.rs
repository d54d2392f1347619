//! A letter is a message of this test: everything about it follows from a few numbers, so that
//! whoever receives one can tell whether it is whole, and which one it is.

use std::fmt;

use crate::ledger::{Fault, Kind};
use crate::plan::{QueueInfo, Role};
use crate::support::{Arg, Message, Properties, Random, Value, properties, table};

/// A quorum queue counts returns here.
pub const COUNTS: [&str; 2] = ["x-acquired-count", "x-delivery-count"];

/// What was published.
#[derive(Clone, PartialEq)]
pub struct Letter {
    /// Names it, in the whole run.
    pub id: u64,
    /// The channel that published it, in the whole run.
    pub publisher: u64,
    /// Its place among those of its publisher.
    pub number: u64,
    pub exchange: String,
    pub key: String,
    pub persistent: bool,
    pub priority: Option<u8>,
    pub expiration_ms: Option<u64>,
    pub body_bytes: usize,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let persistent = if self.persistent {
            "persistent"
        } else {
            "transient"
        };
        write!(
            f,
            "letter {:x}, the {}th of publisher {}, {persistent}, {} bytes, to {:?} with key {:?}",
            self.id, self.number, self.publisher, self.body_bytes, self.exchange, self.key
        )?;
        if let Some(priority) = self.priority {
            write!(f, ", priority {priority}")?;
        }
        if let Some(expiration_ms) = self.expiration_ms {
            write!(f, ", expires after {expiration_ms} ms")?;
        }
        Ok(())
    }
}

impl Letter {
    pub fn properties(&self) -> Properties {
        let mut headers = table! {
            "publisher" => self.publisher as i64,
            "number" => self.number as i64,
            "exchange" => self.exchange.as_str(),
            "key" => self.key.as_str(),
            "bytes" => self.body_bytes as i64,
            "nested" => table! { "text" => format!("{:x}", self.id), "true" => true },
            "list" => vec![Value::from(1i32), Value::from("two"), Value::Void],
        };
        if let Some(expiration_ms) = self.expiration_ms {
            headers
                .0
                .push(("expires".into(), Value::I64(expiration_ms as i64)));
        }
        let mut properties = properties!(
            content_type: "application/octet-stream",
            headers: headers,
            delivery_mode: if self.persistent { 2 } else { 1 },
            correlation_id: format!("{}/{}", self.publisher, self.number),
            message_id: format!("{:x}", self.id),
            timestamp: self.id,
            type: "letter",
            app_id: "crash",
        );
        if let Some(priority) = self.priority {
            properties = properties.with("priority", u16::from(priority));
        }
        if let Some(expiration_ms) = self.expiration_ms {
            properties = properties.with("expiration", expiration_ms.to_string());
        }
        properties
    }

    pub fn body(&self) -> Vec<u8> {
        let mut random = Random(self.id);
        let mut body = Vec::with_capacity(self.body_bytes + 8);
        while body.len() < self.body_bytes {
            body.extend(random.next().to_be_bytes());
        }
        body.truncate(self.body_bytes);
        body
    }

    /// What the properties of a message say that it is.
    fn read(properties: &Properties) -> Option<Letter> {
        let headers = properties.headers();
        let number = |name: &str| match headers.get(name) {
            Some(Value::I64(number)) => Some(*number as u64),
            _ => None,
        };
        let text = |name: &str| match headers.get(name) {
            Some(Value::Text(text)) => String::from_utf8(text.clone()).ok(),
            _ => None,
        };
        let Some(Arg::Text(id)) = properties.get("message-id") else {
            return None;
        };
        Some(Letter {
            id: u64::from_str_radix(std::str::from_utf8(id).ok()?, 16).ok()?,
            publisher: number("publisher")?,
            number: number("number")?,
            exchange: text("exchange")?,
            key: text("key")?,
            persistent: properties.get("delivery-mode") == Some(&Arg::Number(2)),
            priority: match properties.get("priority") {
                Some(Arg::Number(priority)) => Some(*priority as u8),
                _ => None,
            },
            expiration_ms: number("expires"),
            body_bytes: number("bytes")? as usize,
        })
    }

    /// What a message that came from a queue is, and what is wrong with it.
    pub fn receive(message: &Message, queue: &QueueInfo) -> (Option<Letter>, Vec<Fault>) {
        let Some(letter) = Letter::read(&message.properties) else {
            let what = format!("not a letter: {:?}", message.properties);
            return (None, vec![Fault::new(Kind::Corrupt, what)]);
        };
        let mut faults = Vec::new();
        letter.check_body(message, &mut faults);
        let deaths = message.headers().get("x-death").cloned();
        match (queue.role, &deaths) {
            (Role::Source, _) | (Role::Work, None) => {
                letter.check_untouched(message, &mut faults);
            }
            (Role::Dead | Role::Wait, None) => {
                faults.push(Fault::new(Kind::Deaths, "no x-death"));
            }
            (_, Some(deaths)) => {
                letter.check_carried(message, &mut faults);
                letter.check_deaths(message, deaths, queue, &mut faults);
            }
        }
        (Some(letter), faults)
    }

    fn check_body(&self, message: &Message, faults: &mut Vec<Fault>) {
        let whole = self.body();
        if message.body == whole {
            return;
        }
        let same = message
            .body
            .iter()
            .zip(&whole)
            .take_while(|(came, sent)| came == sent)
            .count();
        let what = format!(
            "body of {} bytes instead of {}, right up to {same}",
            message.body.len(),
            whole.len()
        );
        faults.push(Fault::new(Kind::Corrupt, what));
    }

    /// It came from where it was published to.
    fn check_untouched(&self, message: &Message, faults: &mut Vec<Fault>) {
        let sent = sorted(self.properties());
        let came = sorted(message.properties.clone());
        if came != sent {
            let what = format!("properties {came:?} instead of {sent:?}");
            faults.push(Fault::new(Kind::Corrupt, what));
        }
        self.check_address(message, &self.exchange, &self.key, Kind::Corrupt, faults);
    }

    pub fn check_address(
        &self,
        message: &Message,
        exchange: &str,
        key: &str,
        kind: Kind,
        faults: &mut Vec<Fault>,
    ) {
        let came = (
            message.method.text("exchange"),
            message.method.text("routing-key"),
        );
        if came != (exchange.to_string(), key.to_string()) {
            let what = format!("exchange and key {came:?} instead of {:?}", (exchange, key));
            faults.push(Fault::new(kind, what));
        }
    }
}

/// The same with the headers in alphabetical order: brokers keep them in any order; and without
/// what a queue adds.
fn sorted(properties: Properties) -> Properties {
    let mut headers = properties.headers();
    headers
        .0
        .retain(|(name, _)| !COUNTS.contains(&name.as_str()));
    headers.0.sort_by(|(one, _), (other, _)| one.cmp(other));
    properties.with("headers", headers)
}
