//! The policies of a vhost, in the order in which they are asked.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Number;

use super::{Applied, Kind, Policy};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Higher with every change.
    pub version: u64,
    policies: Vec<Arc<Policy>>,
    operators: Vec<Arc<Policy>>,
}

impl Book {
    /// A book of these, policies and operator policies.
    pub fn new(version: u64, mut policies: Vec<Policy>, mut operators: Vec<Policy>) -> Self {
        for list in [&mut policies, &mut operators] {
            // RabbitMQ leaves open which of two with one priority holds.
            list.sort_by(|one, other| {
                compare(&other.priority, &one.priority).then_with(|| one.name.cmp(&other.name))
            });
        }
        let shared = |list: Vec<Policy>| list.into_iter().map(Arc::new).collect();
        Self {
            version,
            policies: shared(policies),
            operators: shared(operators),
        }
    }

    /// What applies to something of that kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Applied {
        let first = |list: &[Arc<Policy>]| {
            let found = list.iter().find(|policy| policy.matches(kind, name));
            found.map(Arc::clone)
        };
        Applied {
            policy: first(&self.policies),
            operator: first(&self.operators),
        }
    }
}

fn compare(one: &Number, other: &Number) -> Ordering {
    match (one.as_i64(), other.as_i64()) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => {
            let float = |number: &Number| number.as_f64().unwrap_or_default();
            float(one).total_cmp(&float(other))
        }
    }
}
