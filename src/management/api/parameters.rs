//! `/api/parameters` and `/api/global-parameters`.

use hyper::Method;
use serde_json::{Value, json};

use super::reply::escaped;
use super::{Call, Reply, listing};
use crate::broker::Effects;
use crate::broker::parameters::{Parameter, ParameterError};

/// What RabbitMQ sets as policies alone.
const POLICY: &str = "policy";
const NOT_THIS_WAY: &str = "policies may not be set using this method";

/// The parameters that the user may see, of a vhost and component or of all.
pub(super) fn seen(
    call: &Call,
    vhost: Option<&str>,
    component: Option<&str>,
) -> Result<Vec<Parameter>, Reply> {
    if let Some(vhost) = vhost {
        call.vhost(vhost).ok_or_else(Reply::no_object)?;
    }
    let visible = call.visible_vhosts();
    let mut list = call.broker.parameters(vhost, component);
    list.retain(|one| visible.iter().any(|vhost| *vhost.name() == one.vhost));
    Ok(list)
}

/// Sets a parameter of a vhost that is there; why not, otherwise.
pub(super) fn set(
    call: &Call,
    component: &str,
    vhost: &str,
    name: &str,
    value: Value,
) -> Result<Reply, String> {
    let mut effects = Effects::new();
    let set = call
        .broker
        .set_parameter(vhost, component, name, value, &mut effects);
    effects.complete();
    match set {
        Ok(put) => Ok(Reply::put(put)),
        // It was deleted just now.
        Err(ParameterError::NoVhost(_)) => Ok(Reply::no_vhost()),
        Err(ParameterError::NotStored(error)) => Ok(error.into()),
        Err(ParameterError::Invalid(text)) => Err(text),
    }
}

pub(super) fn clear(call: &Call, component: &str, vhost: &str, name: &str) -> Result<Reply, Reply> {
    let mut effects = Effects::new();
    let broker = &call.broker;
    let was_there = broker.clear_parameter(vhost, component, name, &mut effects);
    effects.complete();
    Ok(Reply::deleted(was_there?))
}

fn json_of(one: Parameter) -> Value {
    json!({
        "value": one.value, "vhost": one.vhost, "component": one.component, "name": one.name,
    })
}

pub(super) fn list(
    call: &Call,
    component: Option<&str>,
    vhost: Option<&str>,
) -> Result<Reply, Reply> {
    let mut list = seen(call, vhost, component)?;
    // Policies are not among all.
    list.retain(|one| component.is_some() || one.component != POLICY);
    listing::reply(
        call,
        list.into_iter().map(json_of).collect(),
        &["vhost", "name"],
    )
}

pub(super) fn one(call: &Call, component: &str, vhost: &str, name: &str) -> Result<Reply, Reply> {
    match call.method {
        Method::GET => {
            let list = call.broker.parameters(Some(vhost), Some(component));
            let found = list.into_iter().find(|one| one.name == name);
            found
                .map(json_of)
                .map(Reply::json)
                .ok_or_else(Reply::no_object)
        }
        Method::DELETE if component == POLICY => Err(Reply::bad_request(
            "policies may not be cleared using this method",
        )),
        Method::DELETE => clear(call, component, vhost, name),
        _ => {
            call.vhost(vhost).ok_or_else(Reply::no_vhost)?;
            let body = call.document(&["value"])?;
            if component == POLICY {
                return Err(Reply::bad_request(NOT_THIS_WAY));
            }
            set(call, component, vhost, name, body["value"].clone())
                .map_err(|text| Reply::bad_request(escaped(&text)))
        }
    }
}

pub(super) fn list_global(call: &Call) -> Result<Reply, Reply> {
    let list = call.broker.global_parameters().into_iter();
    let list = list.map(|(name, value)| json!({"name": name, "value": value}));
    listing::reply(call, list.collect(), &["name"])
}

pub(super) fn one_global(call: &Call, name: &str) -> Result<Reply, Reply> {
    match call.method {
        Method::GET => match call.broker.global_parameters().get(name) {
            Some(value) => Ok(Reply::json(json!({"name": name, "value": value}))),
            None => Err(Reply::no_object()),
        },
        Method::DELETE => Ok(Reply::deleted(call.broker.clear_global_parameter(name)?)),
        _ => {
            let body = call.document(&["value"])?;
            let put = call
                .broker
                .set_global_parameter(name, body["value"].clone())?;
            Ok(Reply::put(put))
        }
    }
}
