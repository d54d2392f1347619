//! Who may see which page: HTTP basic authentication and RabbitMQ's tags for users.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::{HeaderMap, StatusCode, header};

use super::Reply;
use super::pages::Page;
use crate::auth::User;
use crate::broker::Broker;

/// What browsers show where they ask for a password.
const REALM: &str = "Basic realm=\"Warren Management\"";

/// Who a page is for.
pub(super) enum For<'a> {
    /// Everybody with one of the tags for management.
    All,
    Administrators,
    /// Administrators, and users of the vhost, if the page is about one.
    Users(Option<&'a str>),
    /// Administrators, and those users of the vhost who make policies.
    PolicyMakers(Option<&'a str>),
    /// Who makes policies, of whatever vhost.
    AnyPolicyMakers,
}

/// Whether the user may see everything.
pub(super) fn is_monitor(user: &User) -> bool {
    is_administrator(user) || user.has_tag("monitoring")
}

pub(super) fn is_administrator(user: &User) -> bool {
    user.has_tag("administrator")
}

fn is_policy_maker(user: &User) -> bool {
    is_administrator(user) || user.has_tag("policymaker")
}

/// The user whose name and password the headers have.
pub(super) fn log_in(
    broker: &Broker,
    headers: &HeaderMap,
    peer: IpAddr,
) -> Result<Arc<User>, Reply> {
    let Some((name, password)) = credentials(headers) else {
        let mut reply = Reply::empty(StatusCode::UNAUTHORIZED);
        reply.headers.push(("www-authenticate", REALM.into()));
        return Err(reply);
    };
    let user = broker
        .users
        .login(&name, &password, None)
        .map_err(|refused| {
            tracing::warn!(%peer, error = %refused, "HTTP access denied");
            let mut reply =
                Reply::error(StatusCode::UNAUTHORIZED, "not_authorized", "Login failed");
            reply.headers.push(("www-authenticate", REALM.into()));
            reply
        })?;
    let denied = |reason: &str| {
        tracing::warn!(%peer, user = ?user.name(), reason, "HTTP access denied");
        Reply::not_authorised(reason)
    };
    if user.account().loopback_only && !peer.to_canonical().is_loopback() {
        return Err(denied("User can only log in via localhost"));
    }
    let is_any = is_monitor(&user) || is_policy_maker(&user) || user.has_tag("management");
    match is_any {
        true => Ok(user),
        false => Err(denied("Not management user")),
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(decoded.get(..colon)?.to_vec()).ok()?;
    Some((name, decoded.get(colon + 1..)?.to_vec()))
}

/// Refuses a page that is not for the user.
pub(super) fn check(broker: &Broker, user: &User, page: &Page) -> Result<(), Reply> {
    // Of a vhost that is not there the page itself tells.
    let is_in = |vhost: Option<&str>| {
        vhost.is_none_or(|vhost| broker.vhost(vhost).is_none() || user.may_enter(vhost))
    };
    let (may, reason) = match page.is_for() {
        For::All => (true, ""),
        For::Administrators => (is_administrator(user), "Not administrator user"),
        For::Users(vhost) => (
            is_administrator(user) || is_in(vhost),
            "User not authorised to access virtual host",
        ),
        For::PolicyMakers(vhost) => (
            is_administrator(user) || (is_policy_maker(user) && is_in(vhost)),
            "User not authorised to access object",
        ),
        For::AnyPolicyMakers => (
            is_policy_maker(user),
            "User not authorised to access object",
        ),
    };
    match may {
        true => Ok(()),
        false => {
            tracing::warn!(user = ?user.name(), reason, "HTTP access denied");
            Err(Reply::not_authorised(reason))
        }
    }
}
