//! One policy, as it is set: checked as RabbitMQ checks it, with its words where it is refused.

use serde_json::{Map, Number, Value, json};

use super::{Kind, keys};
use crate::auth::expression::Expression;
use crate::broker::json_term::{PrettyJson, PrettyPairs};
use crate::broker::queue::QueueType;

/// What a policy applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ApplyTo {
    All,
    Exchanges,
    Queues,
    ClassicQueues,
    QuorumQueues,
    Streams,
}

impl ApplyTo {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "exchanges" => Self::Exchanges,
            "queues" => Self::Queues,
            "classic_queues" => Self::ClassicQueues,
            "quorum_queues" => Self::QuorumQueues,
            "streams" => Self::Streams,
            _ => return None,
        })
    }

    /// What policies call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exchanges => "exchanges",
            Self::Queues => "queues",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
        }
    }

    fn takes(self, kind: Kind) -> bool {
        match (self, kind) {
            (Self::All, _) | (Self::Exchanges, Kind::Exchange) => true,
            (_, Kind::Exchange) | (Self::Exchanges, Kind::Queue(_)) => false,
            (Self::Queues, Kind::Queue(_)) => true,
            (_, Kind::Queue(queue_type)) => self == Self::of(queue_type),
        }
    }

    /// What applies to queues of that type alone.
    fn of(queue_type: QueueType) -> Self {
        match queue_type {
            QueueType::Classic => Self::ClassicQueues,
            QueueType::Quorum => Self::QuorumQueues,
            QueueType::Stream => Self::Streams,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The regular expression that names are matched with.
    pub pattern: String,
    expression: Expression,
    /// What it applies to.
    pub apply_to: ApplyTo,
    /// What it says.
    pub definition: Map<String, Value>,
    /// Which one holds where several match: the one with the highest.
    pub priority: Number,
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        let fields = |policy: &Self| {
            let Self {
                name,
                pattern,
                apply_to,
                definition,
                priority,
                ..
            } = policy.clone();
            (name, pattern, apply_to, definition, priority)
        };
        fields(self) == fields(other)
    }
}

impl Policy {
    /// Reads a policy from its document: `pattern`, `definition`, `priority`, and `apply-to`, which
    /// is `all` if it is not there.
    ///
    /// # Errors
    /// All that is wrong with it, in RabbitMQ's words.
    pub fn parse(name: &str, document: &Value, is_operator: bool) -> Result<Self, Vec<String>> {
        let Some(document) = document.as_object() else {
            return Err(vec![format!("{name} not a list {}", PrettyJson(document))]);
        };
        // RabbitMQ puts each further error in front of the ones before.
        let mut errors = Vec::new();
        let mut note = |error: String| errors.insert(0, error);
        let missing = |key: &str| format!("Key \"{key}\" not found in {name}");

        let mut priority = None;
        match document.get("priority") {
            Some(Value::Number(number)) => priority = Some(number.clone()),
            Some(other) => note(format!(
                "priority should be a number, actually was {}",
                PrettyJson(other)
            )),
            None => note(missing("priority")),
        }
        let mut pattern = None;
        match document.get("pattern") {
            Some(Value::String(text)) => match Expression::new(text) {
                Ok(expression) => pattern = Some((text.clone(), expression)),
                Err(error) => note(format!(
                    "pattern should be regular expression but is invalid: {}",
                    PrettyJson(&error.to_string().into())
                )),
            },
            Some(other) => note(format!(
                "pattern should be a binary but was {}",
                PrettyJson(other)
            )),
            None => note(missing("pattern")),
        }
        let mut apply_to = Some(ApplyTo::All);
        if let Some(value) = document.get("apply-to") {
            apply_to = value.as_str().and_then(ApplyTo::from_name);
            if apply_to.is_none() {
                let text = match value.as_str() {
                    Some(text) => text.to_owned(),
                    None => PrettyJson(value).to_string(),
                };
                note(format!(
                    "apply-to '{text}' unrecognised; should be one of: 'queues', \
                     'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'"
                ));
            }
        }
        let mut definition = None;
        match document.get("definition") {
            Some(Value::Object(map)) => match keys::check(map, is_operator) {
                Ok(()) => definition = Some(map.clone()),
                Err(error) => note(error),
            },
            Some(other) => note(format!(
                "definition must be a dictionary: {}",
                PrettyJson(other)
            )),
            None => note(missing("definition")),
        }
        let known = ["priority", "pattern", "apply-to", "definition"];
        let unknown: Map<String, Value> = document
            .iter()
            .filter(|(key, _)| !known.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !unknown.is_empty() {
            note(format!(
                "Unrecognised terms {} in {name}",
                PrettyPairs(&unknown)
            ));
        }
        match (priority, pattern, apply_to, definition) {
            (Some(priority), Some((pattern, expression)), Some(apply_to), Some(definition))
                if errors.is_empty() =>
            {
                Ok(Self {
                    name: name.to_owned(),
                    pattern,
                    expression,
                    apply_to,
                    definition,
                    priority,
                })
            }
            _ => Err(errors),
        }
    }

    /// The document that it can be read from.
    pub fn document(&self) -> Value {
        json!({
            "pattern": self.pattern,
            "definition": self.definition,
            "priority": self.priority,
            "apply-to": self.apply_to.name(),
        })
    }

    /// Whether it applies to something of that kind and name.
    pub fn matches(&self, kind: Kind, name: &str) -> bool {
        self.apply_to.takes(kind) && self.suits(kind) && self.expression.is_match(name)
    }

    /// A policy with any key that a type of queue does not have is none for it at all.
    fn suits(&self, kind: Kind) -> bool {
        match kind {
            Kind::Exchange => true,
            Kind::Queue(queue_type) => {
                let foreign = foreign_keys(queue_type);
                !self
                    .definition
                    .keys()
                    .any(|key| foreign.contains(&key.as_str()))
            }
        }
    }
}

/// The keys that keep a policy from applying to a queue of that type. Source: the queue types'
/// `unsupported_policies`.
fn foreign_keys(queue_type: QueueType) -> &'static [&'static str] {
    match queue_type {
        QueueType::Classic => &[
            "max-age",
            "stream-max-segment-size-bytes",
            "initial-cluster-size",
            "delivery-limit",
            "dead-letter-strategy",
            "max-in-memory-length",
            "max-in-memory-bytes",
            "target-group-size",
        ],
        QueueType::Quorum => &[
            "queue-mode",
            "queue-master-locator",
            "max-age",
            "stream-max-segment-size-bytes",
            "initial-cluster-size",
        ],
        QueueType::Stream => &[
            "expires",
            "message-ttl",
            "dead-letter-exchange",
            "dead-letter-routing-key",
            "max-length",
            "max-in-memory-length",
            "max-in-memory-bytes",
            "max-priority",
            "overflow",
            "queue-mode",
            "single-active-consumer",
            "delivery-limit",
            "queue-master-locator",
            "dead-letter-strategy",
            "target-group-size",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(document: Value) -> Vec<String> {
        Policy::parse("p", &document, false).expect_err("refused")
    }

    #[test]
    fn everything_that_is_wrong_is_said_in_rabbitmqs_order() {
        let document = json!({
            "pattern": "a",
            "definition": {"max-length": -1, "message-ttl": -1},
            "priority": "a",
        });
        assert_eq!(
            errors(document),
            [
                "-1 is not a valid maximum length",
                "priority should be a number, actually was <<\"a\">>"
            ]
        );
        assert_eq!(
            errors(json!({"pattern": "a"})),
            [
                "Key \"definition\" not found in p",
                "Key \"priority\" not found in p"
            ]
        );
    }

    #[test]
    fn a_foreign_key_makes_it_none_for_that_type() {
        let policy = |definition: Value| {
            let document = json!({"pattern": "^q", "definition": definition, "priority": 0});
            Policy::parse("p", &document, false).expect("a policy")
        };
        let limit = policy(json!({"delivery-limit": 3, "max-length": 1}));
        assert!(limit.matches(Kind::Queue(QueueType::Quorum), "q"));
        assert!(!limit.matches(Kind::Queue(QueueType::Classic), "q"));
        assert!(!limit.matches(Kind::Queue(QueueType::Quorum), "aq"));
        assert!(limit.matches(Kind::Exchange, "q"));
        let mode = policy(json!({"queue-mode": "lazy"}));
        assert!(!mode.matches(Kind::Queue(QueueType::Quorum), "q"));
        assert!(mode.matches(Kind::Queue(QueueType::Classic), "q"));
    }
}
