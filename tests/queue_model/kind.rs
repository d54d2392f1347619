//! What a queue under test is declared with, and what policies ask of it.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use warren::amqp::table::{FieldTable, FieldValue};

/// Where a full queue's messages go, or do not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    DropHead,
    Reject,
    RejectDlx,
}

impl Overflow {
    fn name(self) -> &'static str {
        match self {
            Self::DropHead => "drop-head",
            Self::Reject => "reject-publish",
            Self::RejectDlx => "reject-publish-dlx",
        }
    }
}

/// x-delayed-retry-type, x-delayed-retry-min and x-delayed-retry-max.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    pub kind: RetryType,
    pub min_ms: u64,
    pub max_ms: u64,
}

/// What waits.
#[derive(Clone, Copy, Debug)]
pub enum RetryType {
    All,
    Failed,
    Returned,
}

impl Retry {
    /// Whether a message waits that came back so.
    pub fn applies_to(&self, is_failure: bool) -> bool {
        match self.kind {
            RetryType::All => true,
            RetryType::Failed => is_failure,
            RetryType::Returned => !is_failure,
        }
    }
}

/// What a queue is declared with.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub is_quorum: bool,
    pub max_priority: u8,
    pub max_length: Option<u64>,
    pub overflow: Option<Overflow>,
    pub ttl_ms: Option<u64>,
    pub delivery_limit: Option<u32>,
    pub retry: Option<Retry>,
    pub single_active: bool,
    pub takes_once: bool,
}

/// What a policy says, of what a queue may be declared with as well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    pub max_length: Option<u64>,
    pub overflow: Option<Overflow>,
    pub ttl_ms: Option<u64>,
    pub delivery_limit: Option<u32>,
}

/// What holds then.
#[derive(Clone, Copy, Debug)]
pub struct Wants {
    pub max_length: u64,
    pub overflow: Overflow,
    pub ttl_ms: u64,
    pub delivery_limit: u32,
}

impl Kind {
    pub const CLASSIC: Self = Self {
        is_quorum: false,
        max_priority: 0,
        max_length: None,
        overflow: None,
        ttl_ms: None,
        delivery_limit: None,
        retry: None,
        single_active: false,
        takes_once: false,
    };

    /// Any classic queue.
    pub fn classic() -> impl Strategy<Value = Self> {
        let overflow = prop_oneof![
            Just(Overflow::DropHead),
            Just(Overflow::Reject),
            Just(Overflow::RejectDlx)
        ];
        let max_priority = prop_oneof![3 => Just(0), 2 => 1..10u8, 1 => Just(255)];
        (max_priority, Self::of_either(overflow)).prop_map(|(max_priority, kind)| Self {
            max_priority,
            ..kind
        })
    }

    /// Any quorum queue.
    pub fn quorum() -> impl Strategy<Value = Self> {
        let overflow = prop_oneof![Just(Overflow::DropHead), Just(Overflow::Reject)];
        let delivery_limit = prop::option::of(0..4u32);
        (delivery_limit, Self::of_either(overflow)).prop_map(|(delivery_limit, kind)| Self {
            is_quorum: true,
            delivery_limit,
            ..kind
        })
    }

    fn of_either(overflow: impl Strategy<Value = Overflow>) -> impl Strategy<Value = Self> {
        let kind = prop_oneof![
            2 => Just(RetryType::All),
            1 => Just(RetryType::Failed),
            1 => Just(RetryType::Returned)
        ];
        let retry = (kind, 1..60u64, 60..300u64);
        (
            prop::option::weighted(0.4, 0..40u64),
            prop::option::weighted(0.5, overflow),
            prop::option::weighted(0.3, 0..200u64),
            prop::option::weighted(0.3, retry),
            prop::bool::weighted(0.2),
            prop::bool::weighted(0.2),
        )
            .prop_map(
                |(max_length, overflow, ttl_ms, retry, single_active, takes_once)| Self {
                    max_length,
                    overflow,
                    ttl_ms,
                    retry: retry.map(|(kind, min_ms, max_ms)| Retry {
                        kind,
                        min_ms,
                        max_ms,
                    }),
                    single_active,
                    takes_once,
                    ..Self::CLASSIC
                },
            )
    }

    pub fn arguments(&self, dead_letters_to: &'static str) -> FieldTable {
        let text = |text: &'static str| FieldValue::LongStr(text.into());
        let mut table = FieldTable::new();
        table.push("x-dead-letter-exchange", text(""));
        table.push("x-dead-letter-routing-key", text(dead_letters_to));
        if self.is_quorum {
            table.push("x-queue-type", text("quorum"));
        }
        if let Some(overflow) = self.overflow {
            table.push("x-overflow", text(overflow.name()));
        }
        if let Some(retry) = self.retry {
            let name = match retry.kind {
                RetryType::All => "all",
                RetryType::Failed => "failed",
                RetryType::Returned => "returned",
            };
            table.push("x-delayed-retry-type", text(name));
        }
        let max_priority = (self.max_priority > 0).then_some(self.max_priority);
        let numbers = [
            ("x-max-priority", max_priority.map(u64::from)),
            ("x-max-length", self.max_length),
            ("x-message-ttl", self.ttl_ms),
            ("x-delivery-limit", self.delivery_limit.map(u64::from)),
            ("x-delayed-retry-min", self.retry.map(|retry| retry.min_ms)),
            ("x-delayed-retry-max", self.retry.map(|retry| retry.max_ms)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                table.push(name, FieldValue::I64(number as i64));
            }
        }
        for (name, wanted) in [
            ("x-single-active-consumer", self.single_active),
            ("x-message-deduplication", self.takes_once),
        ] {
            if wanted {
                table.push(name, FieldValue::Bool(true));
            }
        }
        table
    }

    /// What holds under a policy: of limits the smaller, of overflow what the argument says in a classic
    /// queue and what the policy says in a quorum queue.
    pub fn under(&self, policy: &Policy) -> Wants {
        fn least<T: Ord + Copy>(one: Option<T>, other: Option<T>) -> Option<T> {
            [one, other].into_iter().flatten().min()
        }
        let overflow = match self.is_quorum {
            true => policy.overflow.or(self.overflow),
            false => self.overflow.or(policy.overflow),
        };
        let delivery_limit = match self.is_quorum {
            true => least(self.delivery_limit, policy.delivery_limit).unwrap_or(20),
            false => u32::MAX,
        };
        Wants {
            max_length: least(self.max_length, policy.max_length).unwrap_or(u64::MAX),
            overflow: overflow.unwrap_or(Overflow::DropHead),
            ttl_ms: least(self.ttl_ms, policy.ttl_ms).unwrap_or(u64::MAX),
            delivery_limit,
        }
    }
}

impl Policy {
    /// Any policy for such a queue.
    pub fn any() -> impl Strategy<Value = Self> {
        let overflow = prop_oneof![Just(Overflow::DropHead), Just(Overflow::Reject)];
        (
            prop::option::of(0..30u64),
            prop::option::weighted(0.3, overflow),
            prop::option::weighted(0.3, 1..200u64),
            prop::option::weighted(0.3, 0..5u32),
        )
            .prop_map(|(max_length, overflow, ttl_ms, delivery_limit)| Self {
                max_length,
                overflow,
                ttl_ms,
                delivery_limit,
            })
    }

    /// The policy for the queue of that name.
    pub fn document(&self, queue: &str, kind: &Kind) -> Value {
        let mut definition = Map::new();
        let delivery_limit = self.delivery_limit.filter(|_| kind.is_quorum);
        let numbers = [
            ("max-length", self.max_length),
            ("message-ttl", self.ttl_ms),
            ("delivery-limit", delivery_limit.map(u64::from)),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                definition.insert(key.to_owned(), json!(number));
            }
        }
        if let Some(overflow) = self.overflow {
            definition.insert("overflow".to_owned(), json!(overflow.name()));
        }
        json!({"pattern": format!("^{queue}$"), "definition": definition, "priority": 0, "apply-to": "queues"})
    }

    pub fn is_empty(&self, kind: &Kind) -> bool {
        let says_limit = kind.is_quorum && self.delivery_limit.is_some();
        !says_limit && self.max_length.is_none() && self.ttl_ms.is_none() && self.overflow.is_none()
    }
}
