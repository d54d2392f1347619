//! Vhosts come and go; parameters, policies and limits are set and cleared; alarms go off.

use serde_json::{Map, Value};

use super::{BY, by_whom, json_table, json_value, named, push_by_whom};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::amqp::terms::PrettyBinary;
use crate::broker::Queue;
use crate::broker::notices::{Notices, acting};
use crate::broker::vhost::{Metadata, OPERATOR_POLICY, POLICY, VHOST_LIMITS};

/// Of what a global parameter is.
const GLOBAL: &str = "global";

impl Notices {
    pub(in crate::broker) fn vhost_created(&self, name: &str, metadata: &Metadata) {
        self.event("vhost.created", || {
            self.described(name, metadata, /* tracing */ false)
        });
    }

    /// Something else is said of it.
    pub(in crate::broker) fn vhost_updated(&self, name: &str, metadata: &Metadata, tracing: bool) {
        self.event("vhost.updated", || self.described(name, metadata, tracing));
    }

    fn described(&self, name: &str, metadata: &Metadata, tracing: bool) -> FieldTable {
        let mut headers = FieldTable::new();
        let tags = || {
            let tags = metadata.tags.iter();
            tags.map(|tag| FieldValue::from(tag.as_str()))
                .collect::<Vec<_>>()
        };
        let description = metadata.description.as_str();
        headers.push("tags", tags());
        headers.push("description", description);
        push_by_whom(&mut headers);
        let mut state = FieldTable::new();
        state.push(self.settings.node.as_str(), "running");
        headers.push("cluster_state", state);
        headers.push("tracing", tracing);
        headers.push("metadata", metadata_term(metadata).as_str());
        let queue_type = metadata.default_queue_type.as_deref();
        headers.push("default_queue_type", queue_type.unwrap_or("undefined"));
        headers.push("tags", tags());
        headers.push("description", description);
        headers.push("name", name);
        headers
    }

    /// A vhost is gone, with its parameters.
    pub(in crate::broker) fn vhost_deleted<'a>(
        &self,
        name: &str,
        parameters: impl Iterator<Item = &'a (String, String)>,
    ) {
        self.event("vhost.deleted", || {
            let mut headers = by_whom();
            headers.push("name", name);
            headers
        });
        for (component, parameter) in parameters {
            self.parameter_cleared(name, component, parameter);
            self.what_it_is_is_cleared(name, component, parameter);
        }
        self.event("vhost.down", || {
            let mut headers = FieldTable::new();
            headers.push(BY, acting::NOBODY);
            headers.push("node", self.settings.node.as_str());
            headers.push("name", name);
            headers
        });
    }

    /// A parameter of a vhost was set; policies are told of as such.
    pub(in crate::broker) fn parameter_set(
        &self,
        vhost: &str,
        component: &str,
        name: &str,
        value: &Value,
    ) {
        if component == POLICY {
            return;
        }
        self.event("parameter.set", || {
            let mut headers = by_whom();
            let value = match value {
                Value::Object(says) if component == OPERATOR_POLICY => of_document(says).into(),
                Value::Object(says) if component == VHOST_LIMITS && !says.is_empty() => {
                    of_limits(says).into()
                }
                Value::Object(says) => json_table(says),
                value => json_value(value),
            };
            headers.push("value", value);
            headers.push("name", name);
            headers.push("component", component);
            headers.push("vhost", vhost);
            headers
        });
    }

    pub(in crate::broker) fn parameter_cleared(&self, vhost: &str, component: &str, name: &str) {
        if component == POLICY {
            return;
        }
        self.event("parameter.cleared", || {
            let mut headers = by_whom();
            headers.push("name", name);
            headers.push("component", component);
            headers.push("vhost", vhost);
            headers
        });
    }

    /// A global one was set, or, without a value, cleared: as in RabbitMQ both are called the same.
    pub(in crate::broker) fn global_parameter_set(&self, name: &str, value: Option<&Value>) {
        self.event("parameter.set", || {
            let mut headers = by_whom();
            match value {
                Some(Value::Object(says)) => headers.push("value", json_table(says)),
                Some(value) => headers.push("value", json_value(value)),
                None => {}
            }
            headers.push("name", name);
            headers.push("component", GLOBAL);
            headers
        });
    }

    /// A parameter that was set is in effect: told of as the policy, or the limits, that it is.
    pub(in crate::broker) fn what_it_is_is_set(
        &self,
        vhost: &str,
        component: &str,
        name: &str,
        value: &Value,
    ) {
        let Value::Object(says) = value else {
            // RabbitMQ's own list of nothing.
            return self.what_it_is_is_set(vhost, component, name, &Map::new().into());
        };
        match component {
            POLICY | OPERATOR_POLICY => self.event("policy.set", || {
                let mut headers = of_document(says);
                push_by_whom(&mut headers);
                headers.push("vhost", vhost);
                headers.push("name", name);
                headers
            }),
            VHOST_LIMITS => self.event("vhost.limits.set", || {
                let mut headers = of_limits(says);
                push_by_whom(&mut headers);
                headers.push("name", name);
                headers
            }),
            _ => {}
        }
    }

    /// It is in effect no longer.
    pub(in crate::broker) fn what_it_is_is_cleared(
        &self,
        vhost: &str,
        component: &str,
        name: &str,
    ) {
        let key = match component {
            POLICY => "policy.cleared",
            OPERATOR_POLICY => "operator.policy.cleared",
            VHOST_LIMITS => "vhost.limits.cleared",
            _ => return,
        };
        self.event(key, || {
            let mut headers = by_whom();
            if component != VHOST_LIMITS {
                headers.push("vhost", vhost);
            }
            headers.push("name", name);
            headers
        });
    }

    /// Other policies than before apply to a queue, since that one was set; None: since one was cleared.
    pub(in crate::broker) fn queue_policy_changed(
        &self,
        queue: &Queue,
        vhost: &str,
        policy: Option<&Value>,
    ) {
        let key = match policy {
            Some(_) => "queue.policy.updated",
            None => "queue.policy.cleared",
        };
        self.event(key, || {
            let says = policy.and_then(Value::as_object);
            let mut headers = says.map(of_document).unwrap_or_default();
            push_by_whom(&mut headers);
            headers.push("type", queue.queue_type().module());
            headers.push("vhost", vhost);
            named(&mut headers, queue.name(), vhost);
            headers
        });
    }

    /// The alarm over `memory` or `disk` went off, or is over.
    pub(in crate::broker) fn alarm(&self, source: &str, is_set: bool) {
        let key = match is_set {
            true => "alarm.set",
            false => "alarm.cleared",
        };
        self.event(key, || {
            let mut headers = FieldTable::new();
            headers.push("node", self.settings.node.as_str());
            headers.push("source", source);
            headers
        });
    }
}

/// What a policy says, in RabbitMQ's order.
fn of_document(says: &Map<String, Value>) -> FieldTable {
    let mut headers = FieldTable::new();
    for key in ["apply-to", "priority", "definition", "pattern"] {
        match says.get(key) {
            Some(Value::Object(map)) => headers.push(key, json_table(map)),
            Some(value) => headers.push(key, json_value(value)),
            None => {}
        }
    }
    headers
}

fn of_limits(says: &Map<String, Value>) -> FieldTable {
    let mut headers = FieldTable::new();
    for (limit, most) in says {
        headers.push(limit.as_str(), json_value(most));
    }
    headers
}

/// As Erlang prints the map.
fn metadata_term(metadata: &Metadata) -> String {
    let binary = |text: &str| {
        let bytes = text.as_bytes();
        PrettyBinary { bytes, column: 0 }.to_string()
    };
    let queue_type = metadata.default_queue_type.as_deref();
    let queue_type = queue_type.map(|name| format!("default_queue_type => {},", binary(name)));
    let tags: Vec<String> = metadata.tags.iter().map(|tag| atom(tag)).collect();
    format!(
        "#{{{}description => {},tags => [{}]}}",
        queue_type.unwrap_or_default(),
        binary(&metadata.description),
        tags.join(",")
    )
}

/// An atom as Erlang prints it: quoted, unless it looks like one.
fn atom(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '@';
    match begins && text.chars().all(goes_on) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
    }
}
