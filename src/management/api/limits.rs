//! `/api/vhost-limits` and `/api/user-limits`.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::{Call, Reply, listing, parameters};

const COMPONENT: &str = "vhost-limits";
/// The one parameter of that component.
const NAME: &str = "limits";

pub(super) fn of_vhosts(call: &Call, vhost: Option<&str>) -> Result<Reply, Reply> {
    let list = parameters::seen(call, vhost, Some(COMPONENT))?.into_iter();
    let list = list.map(|one| json!({"vhost": one.vhost, "value": one.value}));
    listing::reply(call, list.collect(), &[])
}

pub(super) fn of_vhost(call: &Call, vhost: &str, name: &str) -> Result<Reply, Reply> {
    let there = call.vhost(vhost).ok_or_else(Reply::no_vhost)?;
    let mut limits = match there.parameter(COMPONENT, NAME) {
        Some(Value::Object(limits)) => limits,
        _ => Map::new(),
    };
    match call.method {
        Method::DELETE => drop(limits.remove(name)),
        _ => {
            let body = call.document(&["value"])?;
            limits.insert(name.to_owned(), body["value"].clone());
        }
    }
    let set = parameters::set(call, COMPONENT, vhost, NAME, Value::Object(limits));
    set.map(|_| Reply::done()).map_err(Reply::bad_request)
}

pub(super) fn of_users(call: &Call, user: Option<&str>) -> Result<Reply, Reply> {
    let users = match user {
        None => call.broker.users.all(),
        Some(name) => vec![call.broker.users.get(name).ok_or_else(Reply::no_object)?],
    };
    let list = users.iter().filter_map(|user| {
        let limits = user.account().limits.clone();
        (!limits.is_empty()).then(|| json!({"user": user.name(), "value": limits}))
    });
    listing::reply(call, list.collect(), &[])
}

pub(super) fn of_user(call: &Call, user: &str, name: &str) -> Result<Reply, Reply> {
    match call.method {
        Method::DELETE => {
            // RabbitMQ's own name for all of them.
            let names = match name {
                "all" => vec!["max-connections", "max-channels"],
                name => vec![name],
            };
            for name in names {
                call.broker.clear_user_limit(user, name)?;
            }
        }
        _ => {
            let body = call.document(&["value"])?;
            let limits = json!({name: body["value"]});
            call.broker.set_user_limits(user, &limits)?;
        }
    }
    Ok(Reply::done())
}
