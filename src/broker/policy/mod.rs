//! Policies: settings for all queues and exchanges whose names match, from outside of the programs
//! that declare them.
//!
//! ```text
//! JSON ─▶ document.rs (checked: keys.rs) ─▶ book.rs ─▶ Applied ─▶ Settings ─▶ a queue's, an exchange's
//! ```
//!
//! To each queue and exchange at most one policy applies, and one operator policy: of those that
//! match the one with the highest priority. Together they are [`Settings`], and [`Settings::over`]
//! is the one place where they meet what a queue was declared with.
//!
//! Source: RabbitMQ's `rabbit_policy`.

mod book;
mod document;
mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use self::keys::Merge;
use super::queue::QueueType;
use crate::amqp::table::{FieldTable, FieldValue};

pub use self::book::Book;
pub use self::document::{ApplyTo, Policy};

/// Longest time in milliseconds that a queue is told: ten years, the most that it takes as an argument.
const MAX_EXPIRY_MS: i64 = 315_360_000_000;

/// What a policy may apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An exchange.
    Exchange,
    /// A queue of that type.
    Queue(QueueType),
}

/// The policies that apply to a queue or an exchange.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The one that users make.
    pub policy: Option<Arc<Policy>>,
    /// The one that operators make, to keep users within bounds.
    pub operator: Option<Arc<Policy>>,
}

impl PartialEq for Applied {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |one: &Option<Arc<Policy>>, other: &Option<Arc<Policy>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
            (None, None) => true,
            _ => false,
        };
        is_same(&self.policy, &other.policy) && is_same(&self.operator, &other.operator)
    }
}

impl Applied {
    /// Policy and operator policy as one.
    pub fn settings(&self) -> Settings {
        let none = Map::new();
        let definition = |policy: &Option<Arc<Policy>>| match policy {
            Some(policy) => policy.definition.clone(),
            None => none.clone(),
        };
        let mut settings: BTreeMap<String, Value> = definition(&self.policy).into_iter().collect();
        for (name, value) in definition(&self.operator) {
            let merge = keys::find(&name).and_then(|key| key.operator);
            let value = match settings.get(&name) {
                Some(policys) => merge.unwrap_or(Merge::First).of(&value, policys).clone(),
                None => value,
            };
            settings.insert(name, value);
        }
        Settings(settings)
    }
}

/// What policies say, by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(BTreeMap<String, Value>);

impl Settings {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    /// The settings as JSON, for listings.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone().into_iter().collect())
    }

    /// What a queue of that type was declared with, and what is said here of those arguments that it
    /// takes: for each the argument, the policy's value, or the smaller of both, as its key says.
    pub fn over(&self, declared: &FieldTable, queue_type: QueueType) -> FieldTable {
        let taken = queue_type.arguments();
        let mut arguments = declared.clone();
        for (name, said) in &self.0 {
            let argument = format!("x-{name}");
            let Some(key) = keys::find(name).filter(|_| taken.contains(&argument.as_str())) else {
                continue;
            };
            let own = arguments.get(&argument).and_then(json);
            let value = match &own {
                Some(own) => key.argument_of(queue_type).of(own, said),
                None => said,
            };
            if let Some(value) = field(name, value) {
                arguments.insert(argument.as_str(), value);
            }
        }
        // Queues are not declared with a key and no exchange, but policies may leave it at that.
        if !arguments.contains("x-dead-letter-exchange") {
            arguments.remove("x-dead-letter-routing-key");
        }
        arguments
    }
}

/// An argument as a policy would have it. Only texts and numbers are asked for.
fn json(value: &FieldValue) -> Option<Value> {
    let fraction = || match *value {
        FieldValue::F32(number) => Some(Value::from(number)),
        FieldValue::F64(number) => Some(Value::from(number)),
        _ => None,
    };
    let number = value.as_i64().map(Value::from).or_else(fraction);
    number.or_else(|| value.as_str().map(Value::from))
}

fn field(name: &str, value: &Value) -> Option<FieldValue> {
    match value {
        Value::String(text) => Some(FieldValue::from(text.as_str())),
        Value::Bool(switch) => Some(FieldValue::Bool(*switch)),
        Value::Number(number) if number.is_f64() => number.as_f64().map(FieldValue::F64),
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(i64::MAX);
            let most = match name {
                "expires" | "message-ttl" => MAX_EXPIRY_MS,
                _ => i64::MAX,
            };
            Some(FieldValue::I64(number.min(most)))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
