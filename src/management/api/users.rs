//! `/api/users` and `/api/whoami`.

use hyper::Method;
use serde_json::json;

use super::{Call, Reply, listing};
use crate::auth::User;
use crate::definitions;

pub(super) fn who_am_i(call: &Call) -> Reply {
    let user = &call.user;
    Reply::json(json!({"name": user.name(), "tags": user.account().tags}))
}

pub(super) fn list(call: &Call, is_meant: impl Fn(&User) -> bool) -> Result<Reply, Reply> {
    let users = call.broker.users.all();
    let list = users.iter().filter(|user| is_meant(user));
    listing::reply(
        call,
        list.map(|user| definitions::user(user)).collect(),
        &["name"],
    )
}

pub(super) fn one(call: &Call, name: &str) -> Result<Reply, Reply> {
    let there = call.broker.users.get(name);
    match call.method {
        Method::GET => match there {
            Some(user) => Ok(Reply::json(definitions::user(&user))),
            None => Err(Reply::no_object()),
        },
        Method::DELETE => {
            there.ok_or_else(Reply::no_object)?;
            call.broker.delete_user(name)?;
            Ok(Reply::done())
        }
        _ => {
            let put = call.broker.put_user(name, &call.document(&[])?)?;
            Ok(Reply::put(put))
        }
    }
}

pub(super) fn bulk_delete(call: &Call) -> Result<Reply, Reply> {
    let body = call.document(&["users"])?;
    let names = body["users"].as_array();
    let names = names.ok_or_else(|| Reply::bad_request("users is not a list"))?;
    for name in names {
        let Some(name) = name.as_str() else {
            return Err(Reply::bad_request("users has what is no name"));
        };
        call.broker.delete_user(name)?;
    }
    Ok(Reply::done())
}
