//! `/api/permissions` and `/api/topic-permissions`, and those of a vhost or a user.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};

use super::{Call, Reply, listing, text};
use crate::auth::User;

const ORDER: [&str; 2] = ["vhost", "user"];

/// All permissions of a user.
fn all_of(user: &Arc<User>) -> Vec<Value> {
    let account = user.account();
    let list = account.vhosts.iter().map(|(vhost, permissions)| {
        let [configure, write, read] = permissions.expressions();
        json!({
            "user": user.name(), "vhost": vhost,
            "configure": configure, "write": write, "read": read,
        })
    });
    list.collect()
}

fn all_topics_of(user: &Arc<User>) -> Vec<Value> {
    let account = user.account();
    let list = account.topics.iter().map(|((vhost, exchange), topic)| {
        json!({
            "user": user.name(), "vhost": vhost, "exchange": exchange,
            "write": topic.write, "read": topic.read,
        })
    });
    list.collect()
}

type Listed = fn(&Arc<User>) -> Vec<Value>;

fn everybodys(call: &Call, list: Listed, vhost: Option<&str>) -> Result<Reply, Reply> {
    if let Some(vhost) = vhost {
        call.vhost(vhost).ok_or_else(Reply::no_object)?;
    }
    let users = call.broker.users.all();
    let list = users.iter().flat_map(list);
    let list = list.filter(|one| vhost.is_none_or(|vhost| one["vhost"] == vhost));
    listing::reply(call, list.collect(), &ORDER)
}

fn somebodys(call: &Call, list: Listed, user: &str) -> Result<Reply, Reply> {
    let user = call.broker.users.get(user).ok_or_else(Reply::no_object)?;
    listing::reply(call, list(&user), &ORDER)
}

pub(super) fn list(call: &Call) -> Result<Reply, Reply> {
    everybodys(call, all_of, None)
}

pub(super) fn list_topics(call: &Call) -> Result<Reply, Reply> {
    everybodys(call, all_topics_of, None)
}

pub(super) fn of_vhost(call: &Call, vhost: &str) -> Result<Reply, Reply> {
    everybodys(call, all_of, Some(vhost))
}

pub(super) fn topics_of_vhost(call: &Call, vhost: &str) -> Result<Reply, Reply> {
    everybodys(call, all_topics_of, Some(vhost))
}

pub(super) fn of_user(call: &Call, user: &str) -> Result<Reply, Reply> {
    somebodys(call, all_of, user)
}

pub(super) fn topics_of_user(call: &Call, user: &str) -> Result<Reply, Reply> {
    somebodys(call, all_topics_of, user)
}

/// The user, if both it and the vhost are there.
fn user_in(call: &Call, vhost: &str, user: &str) -> Option<Arc<User>> {
    call.vhost(vhost)?;
    call.broker.users.get(user)
}

pub(super) fn one(call: &Call, vhost: &str, user: &str) -> Result<Reply, Reply> {
    let there = user_in(call, vhost, user);
    match call.method {
        Method::GET => {
            let list = there.map(|user| all_of(&user)).unwrap_or_default();
            let found = list.into_iter().find(|one| one["vhost"] == vhost);
            found.map(Reply::json).ok_or_else(Reply::no_object)
        }
        Method::DELETE => {
            there.ok_or_else(Reply::no_object)?;
            let cleared = call.broker.clear_permissions(vhost, user);
            cleared.map(Reply::deleted).map_err(Reply::from)
        }
        _ => {
            there.ok_or_else(|| Reply::bad_request("vhost_or_user_not_found"))?;
            let body = call.document(&["configure", "write", "read"])?;
            let expressions = [
                text(&body, "configure")?,
                text(&body, "write")?,
                text(&body, "read")?,
            ];
            let put = call.broker.set_permissions(vhost, user, expressions);
            put.map(Reply::put).map_err(Reply::from)
        }
    }
}

pub(super) fn one_topic(
    call: &Call,
    vhost: &str,
    user: &str,
    exchange: Option<&str>,
) -> Result<Reply, Reply> {
    let there = user_in(call, vhost, user);
    let mut list = there.as_ref().map(all_topics_of).unwrap_or_default();
    list.retain(|one| one["vhost"] == vhost);
    match call.method {
        Method::GET if list.is_empty() => Err(Reply::no_object()),
        Method::GET => {
            list.retain(|one| exchange.is_none_or(|exchange| one["exchange"] == exchange));
            Ok(Reply::json(list))
        }
        Method::DELETE if list.is_empty() => Err(Reply::no_object()),
        Method::DELETE => {
            let cleared = call.broker.clear_topic_permissions(vhost, user, exchange);
            cleared.map(|()| Reply::done()).map_err(Reply::from)
        }
        _ => {
            there.ok_or_else(|| Reply::bad_request("vhost_or_user_not_found"))?;
            let body = call.document(&["exchange", "write", "read"])?;
            let expressions = [text(&body, "write")?, text(&body, "read")?];
            let exchange = text(&body, "exchange")?;
            let put = call
                .broker
                .set_topic_permissions(vhost, user, exchange, expressions);
            put.map_err(Reply::from)?;
            Ok(match list.is_empty() {
                true => Reply::empty(hyper::StatusCode::CREATED),
                false => Reply::done(),
            })
        }
    }
}
