//! The keys that a policy may have: what values they take, how policy and operator policy are
//! merged, and how both with what a queue was declared with.
//!
//! A setting that a queue has as an argument `x-KEY` as well gets its row here and nothing more: see
//! [`Settings::over`](super::Settings::over).
//!
//! Source: RabbitMQ's `rabbit_policies` and the queue types' policy validators.

use serde_json::{Map, Value};

use crate::broker::json_term::{PrettyJson, PrettyPairs};
use crate::broker::queue::QueueType;

/// A key.
pub(super) struct Key {
    pub name: &'static str,
    takes: Takes,
    /// What RabbitMQ says that a wrong value is none of.
    what: &'static str,
    /// Whether an operator policy may have it; how its value is merged with the policy's.
    pub operator: Option<Merge>,
    /// Which of policy and argument holds, where a queue has both.
    argument: Merge,
}

enum Takes {
    Text,
    OneOf(&'static [&'static str]),
    AnyInteger,
    AtLeast(u64),
    Between(u64, u64),
    /// With a fraction, if need be.
    From(f64, f64),
    Age,
}

/// What becomes of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    /// The first one: the operator policy's, or the queue's own argument.
    First,
    /// The second one: the policy's.
    Second,
    /// The smaller one.
    Least,
    /// The larger one.
    Most,
    /// The smaller one, unless one is negative, which is no limit.
    LeastLimit,
}

const fn key(name: &'static str, takes: Takes, what: &'static str) -> Key {
    Key {
        name,
        takes,
        what,
        operator: None,
        argument: Merge::First,
    }
}

impl Key {
    const fn operator(mut self, merge: Merge) -> Self {
        self.operator = Some(merge);
        self
    }

    const fn argument(mut self, merge: Merge) -> Self {
        self.argument = merge;
        self
    }

    /// Which of policy and argument holds for a queue of that type that has both.
    pub fn argument_of(&self, queue_type: QueueType) -> Merge {
        match (self.name, queue_type) {
            ("overflow", QueueType::Quorum) => Merge::Second,
            ("consumer-timeout" | "consumer-timeout-action", _) => self.argument,
            // A stream does what the policy says.
            (_, QueueType::Stream) => Merge::Second,
            _ => self.argument,
        }
    }

    /// What is wrong with a value, in RabbitMQ's words.
    fn check(&self, value: &Value) -> Result<(), String> {
        let is_right = match &self.takes {
            Takes::Text => value.is_string(),
            Takes::OneOf(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
            Takes::AnyInteger => value.is_i64() || value.is_u64(),
            Takes::AtLeast(least) => value.as_u64().is_some_and(|number| number >= *least),
            Takes::Between(least, most) => value
                .as_u64()
                .is_some_and(|number| (*least..=*most).contains(&number)),
            Takes::From(least, most) => value
                .as_f64()
                .is_some_and(|number| (*least..=*most).contains(&number)),
            Takes::Age => value.as_str().is_some_and(is_age),
        };
        match is_right {
            true => Ok(()),
            false if self.name == "queue-master-locator" => {
                Err(format!("{} invalid {} value", PrettyJson(value), self.name))
            }
            false => Err(format!(
                "{} is not a valid {}",
                PrettyJson(value),
                self.what
            )),
        }
    }
}

/// `2h` and the like.
fn is_age(text: &str) -> bool {
    let Some(number) = text.strip_suffix(['Y', 'M', 'D', 'h', 'm', 's']) else {
        return false;
    };
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The largest stream segment that RabbitMQ makes.
const MAX_SEGMENT_BYTES: u64 = 3_000_000_000;

static KEYS: [Key; 30] = [
    key("alternate-exchange", Takes::Text, "alternate exchange name"),
    key(
        "consumer-disconnected-timeout",
        Takes::AtLeast(0),
        "consumer disconnected timeout",
    ),
    key("consumer-timeout", Takes::AtLeast(0), "consumer timeout").argument(Merge::Least),
    // Warren's own.
    key(
        "consumer-timeout-action",
        Takes::OneOf(&["close", "return"]),
        "consumer timeout action. Must be one of: close, return",
    ),
    key(
        "dead-letter-exchange",
        Takes::Text,
        "dead letter exchange name",
    ),
    key(
        "dead-letter-routing-key",
        Takes::Text,
        "dead letter routing key",
    ),
    key(
        "dead-letter-strategy",
        Takes::OneOf(&["at-most-once", "at-least-once"]),
        "dead letter strategy",
    ),
    // Three that are Warren's own.
    key(
        "delayed-retry-jitter",
        Takes::From(0.0, 1.0),
        "delayed retry jitter. Valid range is 0-1",
    ),
    key(
        "delayed-retry-max-attempts",
        Takes::AtLeast(1),
        "delayed retry number of attempts. Must be a positive integer",
    )
    .argument(Merge::Least),
    key(
        "delayed-retry-multiplier",
        Takes::From(1.0, f64::MAX),
        "delayed retry multiplier. Must be at least 1",
    ),
    key(
        "delayed-retry-max",
        Takes::AtLeast(1),
        "delayed retry maximum delay. Must be a positive integer",
    )
    .operator(Merge::Least)
    .argument(Merge::Least),
    key(
        "delayed-retry-min",
        Takes::AtLeast(1),
        "delayed retry minimum delay. Must be a positive integer",
    )
    .operator(Merge::Most)
    .argument(Merge::Least),
    key(
        "delayed-retry-type",
        Takes::OneOf(&["all", "failed", "returned", "disabled"]),
        "delayed retry type. Must be one of: all, failed, returned, disabled",
    )
    .operator(Merge::First)
    .argument(Merge::Second),
    key("delivery-limit", Takes::AnyInteger, "delivery limit")
        .operator(Merge::LeastLimit)
        .argument(Merge::LeastLimit),
    key("expires", Takes::AtLeast(1), "queue expiry")
        .operator(Merge::Least)
        .argument(Merge::Least),
    key("initial-cluster-size", Takes::AtLeast(0), "cluster size"),
    key("max-age", Takes::Age, "max age").argument(Merge::Second),
    key(
        "max-in-memory-bytes",
        Takes::AtLeast(0),
        "maximum memory in bytes",
    )
    .operator(Merge::Least)
    .argument(Merge::Least),
    key(
        "max-in-memory-length",
        Takes::AtLeast(0),
        "maximum memory in bytes",
    )
    .operator(Merge::Least)
    .argument(Merge::Least),
    key("max-length", Takes::AtLeast(0), "maximum length")
        .operator(Merge::Least)
        .argument(Merge::Least),
    key(
        "max-length-bytes",
        Takes::AtLeast(0),
        "maximum length in bytes",
    )
    .operator(Merge::Least)
    .argument(Merge::Least),
    key("message-ttl", Takes::AtLeast(0), "message TTL")
        .operator(Merge::Least)
        .argument(Merge::Least),
    key(
        "overflow",
        Takes::OneOf(&["drop-head", "reject-publish", "reject-publish-dlx"]),
        "overflow value",
    )
    .operator(Merge::First),
    key(
        "queue-leader-locator",
        Takes::OneOf(&["client-local", "balanced", "random", "least-leaders"]),
        "queue leader locator value",
    ),
    key(
        "queue-master-locator",
        Takes::OneOf(&["min-masters", "client-local", "random", "balanced"]),
        "master locator",
    )
    .operator(Merge::First),
    key(
        "queue-mode",
        Takes::OneOf(&["default", "lazy"]),
        "queue-mode value",
    ),
    key("queue-version", Takes::Between(1, 2), "queue-version value").operator(Merge::First),
    key(
        "stream-filter-size-bytes",
        Takes::Between(16, 255),
        "filter size. Valid range is 16-255",
    )
    .argument(Merge::Second),
    key(
        "stream-max-segment-size-bytes",
        Takes::Between(0, MAX_SEGMENT_BYTES),
        "segment size",
    )
    .argument(Merge::Second),
    key(
        "target-group-size",
        Takes::AtLeast(1),
        "qq target count value",
    )
    .operator(Merge::Most),
];

/// The key of that name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Checks a definition; RabbitMQ's text for the first thing that is wrong with it.
pub(super) fn check(definition: &Map<String, Value>, is_operator: bool) -> Result<(), String> {
    if definition.is_empty() {
        return Err("no policy provided".into());
    }
    let mut unknown = Map::new();
    for (name, value) in definition {
        match find(name).filter(|key| !is_operator || key.operator.is_some()) {
            Some(key) => key.check(value)?,
            None => drop(unknown.insert(name.clone(), value.clone())),
        }
    }
    check_delayed_retry(definition)?;
    if !unknown.is_empty() {
        let unknown = PrettyPairs(&unknown);
        return Err(format!("{unknown} are not recognised policy settings"));
    }
    Ok(())
}

fn check_delayed_retry(definition: &Map<String, Value>) -> Result<(), String> {
    let integer = |name: &str| definition.get(name).and_then(Value::as_u64);
    let (least, most) = (integer("delayed-retry-min"), integer("delayed-retry-max"));
    match definition.get("delayed-retry-type").and_then(Value::as_str) {
        Some(kind) if kind != "disabled" && least.is_none() => Err(format!(
            "delayed-retry-min is required when delayed-retry-type is {kind}"
        )),
        _ => match (least, most) {
            (Some(least), Some(most)) if most < least => Err(format!(
                "delayed-retry-max ({most}) must not be smaller than delayed-retry-min ({least})"
            )),
            _ => Ok(()),
        },
    }
}

impl Merge {
    /// Of two values that were checked.
    pub fn of<'a>(self, first: &'a Value, second: &'a Value) -> &'a Value {
        let is_less = || number(first) < number(second);
        match self {
            Self::First => first,
            Self::Second => second,
            Self::Least if is_less() => first,
            Self::Least => second,
            Self::Most if is_less() => second,
            Self::Most => first,
            Self::LeastLimit if number(first) < 0 || number(second) < 0 => {
                Self::Most.of(first, second)
            }
            Self::LeastLimit => Self::Least.of(first, second),
        }
    }
}

fn number(value: &Value) -> i128 {
    let signed = value.as_i64().map(i128::from);
    let number = signed.or_else(|| value.as_u64().map(i128::from));
    number.unwrap_or_default()
}
