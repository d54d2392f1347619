//! What the user may do, with RabbitMQ's words where it may not.
//!
//! Publishing is the hot case and is asked once per route: the answer lives in the route cache.

use crate::amqp::reply::{Exception, ReplyCode};
use crate::auth::Permission;
use crate::connection::Shared;

/// What a permission is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    Exchange(&'a str),
    Queue(&'a str),
}

impl Resource<'_> {
    /// As RabbitMQ prints it: `queue 'x' in vhost '/'`.
    pub fn describe(self, vhost: &str) -> String {
        match self {
            Self::Exchange(name) => format!("exchange '{name}' in vhost '{vhost}'"),
            Self::Queue(name) => format!("queue '{name}' in vhost '{vhost}'"),
        }
    }
}

/// ACCESS_REFUSED unless the user has the permission. The default exchange goes by the name of
/// `amq.default` here.
pub(super) fn check(
    shared: &Shared,
    permission: Permission,
    resource: Resource<'_>,
) -> Result<(), Exception> {
    let resource = match resource {
        Resource::Exchange("") => Resource::Exchange("amq.default"),
        other => other,
    };
    let (Resource::Exchange(name) | Resource::Queue(name)) = resource;
    let vhost = shared.vhost.name();
    if shared.user.may(vhost, permission, name) {
        return Ok(());
    }
    let (resource, user) = (resource.describe(vhost), shared.user.name());
    Err(Exception::new(
        ReplyCode::AccessRefused,
        format!("access to {resource} refused for user '{user}'"),
    ))
}
