//! `/api/vhosts`.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};

use super::{Call, Reply, listing};
use crate::broker::accounts::AccountError;
use crate::broker::parameters::Put;
use crate::broker::vhost::Metadata;
use crate::broker::{Effects, Vhost};

fn json_of(vhost: &Arc<Vhost>) -> Value {
    let metadata = vhost.metadata();
    let mut document = metadata.to_json();
    document.insert("name".into(), json!(vhost.name()));
    document.insert("tracing".into(), json!(vhost.tracing()));
    let queue_type = metadata.default_queue_type.unwrap_or("undefined".into());
    document.insert("default_queue_type".into(), json!(queue_type));
    Value::Object(document)
}

pub(super) fn list(call: &Call) -> Result<Reply, Reply> {
    let list = call.visible_vhosts().iter().map(json_of).collect();
    listing::paged(call, list, &["name"])
}

pub(super) fn one(call: &Call, name: &str) -> Result<Reply, Reply> {
    match call.method {
        Method::GET => match call.vhost(name) {
            Some(vhost) => Ok(Reply::json(json_of(&vhost))),
            None => Err(Reply::no_object()),
        },
        Method::DELETE => {
            let mut effects = Effects::new();
            let was_there = call.broker.remove_vhost(name, &mut effects);
            effects.complete();
            Ok(Reply::deleted(was_there?))
        }
        _ => put(call, name),
    }
}

fn put(call: &Call, name: &str) -> Result<Reply, Reply> {
    let body = call.document(&[])?;
    let tracing = match body.get("tracing") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(tracing)) => Some(*tracing),
        Some(Value::String(text)) if text == "true" => Some(true),
        Some(Value::String(text)) if text == "false" => Some(false),
        Some(other) => return Err(Reply::bad_request(json!(["not_boolean", other]))),
    };
    if name.is_empty() {
        return Err(Reply::bad_request("a vhost's name is empty"));
    }
    let metadata = Metadata::from_json(&body).map_err(Reply::bad_request)?;
    let put = call.broker.put_vhost(name, metadata)?;
    if let Some(tracing) = tracing
        && let Some(vhost) = call.broker.vhost(name)
    {
        vhost.set_tracing(tracing);
    }
    if put == Put::Created {
        // Who makes a vhost may use it.
        let granted = call
            .broker
            .set_permissions(name, call.user.name(), [".*", ".*", ".*"]);
        match granted {
            Ok(_) | Err(AccountError::Configured(_) | AccountError::NoUser(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Reply::put(put))
}
