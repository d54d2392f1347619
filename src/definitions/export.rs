//! Definitions of what there is: all that an import makes again.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::arguments::to_json;
use crate::auth::User;
use crate::broker::binding::Destination;
use crate::broker::parameters::Parameter;
use crate::broker::{Broker, Vhost};

/// The version of RabbitMQ whose definitions these are like.
const RABBITMQ_VERSION: &str = "3.10.8";

/// Definitions of the whole broker.
pub fn export(broker: &Broker) -> Value {
    let vhosts = broker.vhosts_by_name();
    let all = |list: fn(&Arc<Vhost>) -> Vec<Map<String, Value>>| -> Value {
        let lists = vhosts.iter().flat_map(|vhost| {
            list(vhost).into_iter().map(|mut one| {
                one.insert("vhost".into(), json!(vhost.name()));
                Value::Object(one)
            })
        });
        lists.collect()
    };
    let users = broker.users.all();
    let topics: Vec<Value> = users
        .iter()
        .flat_map(|user| {
            let account = user.account();
            let topics = account.topics.iter().map(|((vhost, exchange), topic)| {
                json!({
                    "user": user.name(), "vhost": vhost, "exchange": exchange,
                    "write": topic.write, "read": topic.read,
                })
            });
            topics.collect::<Vec<_>>()
        })
        .collect();
    let permissions: Vec<Value> = users
        .iter()
        .flat_map(|user| {
            let account = user.account();
            let permissions = account.vhosts.iter().map(|(vhost, permissions)| {
                let [configure, write, read] = permissions.expressions();
                json!({
                    "user": user.name(), "vhost": vhost,
                    "configure": configure, "write": write, "read": read,
                })
            });
            permissions.collect::<Vec<_>>()
        })
        .collect();
    json!({
        "rabbit_version": RABBITMQ_VERSION,
        "rabbitmq_version": RABBITMQ_VERSION,
        "product_name": "Warren",
        "product_version": env!("CARGO_PKG_VERSION"),
        "users": users.iter().map(|one| user(one)).collect::<Vec<_>>(),
        "vhosts": vhosts.iter().map(|vhost| {
            let mut one = vhost.metadata().to_json();
            one.insert("name".into(), json!(vhost.name()));
            one
        }).collect::<Vec<_>>(),
        "permissions": permissions,
        "topic_permissions": topics,
        "parameters": parameters(broker, None),
        "global_parameters": broker.global_parameters().into_iter().map(|(name, value)| {
            json!({"name": name, "value": value})
        }).collect::<Vec<_>>(),
        "policies": policies(broker, None),
        "queues": all(queues),
        "exchanges": all(exchanges),
        "bindings": all(bindings),
    })
}

/// Definitions of one vhost, which do not name it.
pub fn export_vhost(broker: &Broker, vhost: &Arc<Vhost>) -> Value {
    json!({
        "rabbit_version": RABBITMQ_VERSION,
        "parameters": parameters(broker, Some(vhost.name())),
        "policies": policies(broker, Some(vhost.name())),
        "queues": queues(vhost),
        "exchanges": exchanges(vhost),
        "bindings": bindings(vhost),
    })
}

/// A user as RabbitMQ lists it.
pub(crate) fn user(user: &User) -> Value {
    let account = user.account();
    json!({
        "name": user.name(),
        "password_hash": account.password_hash(),
        "hashing_algorithm": account.hashing_algorithm(),
        "tags": account.tags,
        "limits": account.limits,
    })
}

fn parameters(broker: &Broker, vhost: Option<&str>) -> Vec<Value> {
    let all = broker.parameters(vhost, None).into_iter();
    all.filter(|one| one.component != "policy")
        .map(|one| {
            json!({
                "vhost": one.vhost, "component": one.component, "name": one.name,
                "value": one.value,
            })
        })
        .collect()
}

fn policies(broker: &Broker, vhost: Option<&str>) -> Vec<Value> {
    let all = broker.parameters(vhost, Some("policy")).into_iter();
    all.map(policy).collect()
}

/// A policy as RabbitMQ lists it.
pub(crate) fn policy(one: Parameter) -> Value {
    json!({
        "vhost": one.vhost,
        "name": one.name,
        "pattern": one.value["pattern"],
        "apply-to": one.value["apply-to"],
        "definition": one.value["definition"],
        "priority": one.value["priority"],
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Without exclusive ones, which could not be made again.
fn queues(vhost: &Arc<Vhost>) -> Vec<Map<String, Value>> {
    let mut queues = vhost.queues();
    queues.retain(|queue| queue.exclusive_owner().is_none());
    queues.sort_by(|one, other| one.name().cmp(other.name()));
    let definitions = queues.iter().map(|queue| {
        object(json!({
            "name": queue.name(),
            "durable": queue.is_durable(),
            "auto_delete": queue.is_auto_delete(),
            "arguments": to_json(queue.arguments()),
        }))
    });
    definitions.collect()
}

/// Without those that every vhost has.
fn exchanges(vhost: &Arc<Vhost>) -> Vec<Map<String, Value>> {
    let mut exchanges = vhost.exchanges();
    exchanges.retain(|exchange| !exchange.name().is_empty());
    exchanges.retain(|exchange| !exchange.name().starts_with("amq."));
    exchanges.sort_by(|one, other| one.name().cmp(other.name()));
    let definitions = exchanges.iter().map(|exchange| {
        object(json!({
            "name": exchange.name(),
            "type": exchange.kind().name(),
            "durable": exchange.is_durable(),
            "auto_delete": exchange.is_auto_delete(),
            "internal": exchange.is_internal(),
            "arguments": to_json(exchange.arguments()),
        }))
    });
    definitions.collect()
}

fn bindings(vhost: &Arc<Vhost>) -> Vec<Map<String, Value>> {
    let mut bindings = vhost.bindings();
    bindings.sort_by_key(|binding| binding.id.0);
    bindings
        .iter()
        .filter(|binding| match &binding.destination {
            Destination::Queue(queue) => queue.exclusive_owner().is_none(),
            Destination::Exchange(_) => true,
        })
        .map(|binding| {
            let destination_type = match &binding.destination {
                Destination::Queue(_) => "queue",
                Destination::Exchange(_) => "exchange",
            };
            object(json!({
                "source": binding.source.name(),
                "destination": binding.destination.name(),
                "destination_type": destination_type,
                "routing_key": &*binding.routing_key,
                "arguments": to_json(&binding.arguments),
            }))
        })
        .collect()
}
