//! The management API below `/api/`: the paths, methods, bodies and statuses of RabbitMQ's, as far as
//! they are there.
//!
//! ```text
//! request ─▶ pages.rs (which page, which methods) ─▶ access.rs (who may) ─▶ one of
//!   policies, parameters, vhosts, limits, users, permissions, definitions ─▶ reply.rs, listing.rs
//! ```
//!
//! A page is dealt with on a thread that may block. What changed something is answered once that is
//! stored.
//!
//! Source: RabbitMQ's `rabbit_mgmt_wm_*` and `rabbit_mgmt_util`.

mod access;
mod definitions;
mod limits;
mod listing;
mod pages;
mod parameters;
mod permissions;
mod policies;
mod reply;
mod users;
mod vhosts;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use self::pages::Page;
use crate::auth::User;
use crate::broker::notices::Acting;
use crate::broker::{Broker, Vhost};

pub(super) use self::reply::Reply;

/// A request to a page, by somebody who may see it.
struct Call {
    broker: Arc<Broker>,
    user: Arc<User>,
    method: Method,
    query: HashMap<String, String>,
    body: Bytes,
}

/// Answers a request to a path below `/api/`.
pub(super) async fn answer(broker: &Arc<Broker>, parts: Parts, body: Bytes, peer: IpAddr) -> Reply {
    let path = parts.uri.path();
    let path = path.strip_prefix("/api").unwrap_or(path);
    let Some(page) = Page::find(&segments(path)) else {
        return Reply::no_object();
    };
    let methods = page.methods();
    if parts.method == Method::OPTIONS {
        return Reply::allow(StatusCode::OK, methods);
    }
    // HEAD is GET without its body.
    let method = match parts.method {
        Method::HEAD => Method::GET,
        method => method,
    };
    if !methods.contains(&method) {
        return Reply::allow(StatusCode::METHOD_NOT_ALLOWED, methods);
    }
    let user = match access::log_in(broker, &parts.headers, peer) {
        Ok(user) => user,
        Err(refused) => return refused,
    };
    if let Err(refused) = access::check(broker, &user, &page) {
        return refused;
    }
    let has_body = matches!(method, Method::PUT | Method::POST);
    if has_body && page.takes_json_only() && !is_json(&parts.headers) {
        return Reply::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let call = Call {
        broker: Arc::clone(broker),
        user,
        method: method.clone(),
        query: query(parts.uri.query().unwrap_or_default()),
        body,
    };
    let replied = tokio::task::spawn_blocking(move || {
        let _acting = Acting::on_behalf_of(Some(call.user.name()));
        page.answer(&call)
    });
    let replied = replied.await;
    let Ok(reply) = replied else {
        return Reply::empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    match method == Method::GET || !reply.is_success() || is_stored(broker).await {
        true => reply,
        false => Reply::not_stored(),
    }
}

/// Waits until all that was changed is stored.
async fn is_stored(broker: &Broker) -> bool {
    let catalog = broker.catalog();
    let (stored, waits) = oneshot::channel();
    let then = Box::new(move |outcome: Result<(), _>| {
        // Who is gone need not be told.
        let _ = stored.send(outcome.is_ok());
    });
    catalog.when_stored(catalog.submitted(), then);
    waits.await.unwrap_or(false)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The parts between slashes. A vhost's name may have one itself, as `%2F`.
fn segments(path: &str) -> Vec<String> {
    let path = path.trim_start_matches('/').trim_end_matches('/');
    path.split('/').map(decoded).collect()
}

fn query(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| decoded(&text.replace('+', " "));
            (decode(name), decode(value))
        })
        .collect()
}

fn is_json(headers: &hyper::HeaderMap) -> bool {
    let content_type = headers.get(hyper::header::CONTENT_TYPE);
    let text = content_type.and_then(|value| value.to_str().ok());
    let kind = text.and_then(|text| text.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

impl Call {
    fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.broker.vhost(name)
    }

    /// The names of the vhosts that the user may see things of.
    fn visible_vhosts(&self) -> Vec<Arc<Vhost>> {
        let mut vhosts = self.broker.vhosts_by_name();
        if !access::is_monitor(&self.user) {
            vhosts.retain(|vhost| self.user.may_enter(vhost.name()));
        }
        vhosts
    }

    /// The body's JSON object, with these keys in it.
    fn document(&self, keys: &[&str]) -> Result<Map<String, Value>, Reply> {
        let document = match &self.body[..] {
            b"" | b"null" | b"undefined" => Map::new(),
            body => match serde_json::from_slice(body) {
                Ok(Value::Object(document)) => document,
                Ok(Value::Null | Value::Bool(_)) => Map::new(),
                Ok(Value::String(_)) => {
                    return Err(Reply::bad_request(
                        "invalid payload: the request body JSON-decoded to a string. Is the input \
                         doubly-JSON-encoded?",
                    ));
                }
                Ok(_) | Err(_) => return Err(Reply::bad_request("not_json")),
            },
        };
        let missing: Vec<String> = keys
            .iter()
            .filter(|key| !document.contains_key(**key))
            .map(|key| format!("{{key_missing,{key}}}"))
            .collect();
        match missing.is_empty() {
            true => Ok(document),
            false => Err(Reply::bad_request(format!("[{}]", missing.join(",")))),
        }
    }
}

/// The text of a document's key.
fn text<'a>(document: &'a Map<String, Value>, key: &str) -> Result<&'a str, Reply> {
    let text = document.get(key).and_then(Value::as_str);
    text.ok_or_else(|| Reply::bad_request(json!(["not_a_string", key])))
}
