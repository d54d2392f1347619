//! What the user may do, with RabbitMQ's words where it may not.
//!
//! Publishing is the hot case and is asked once per route: the answer lives in the route cache.

use super::Channel;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::auth::Permission;
use crate::broker::names::Resource;

/// What the default exchange is called where permissions are asked for.
const DEFAULT_EXCHANGE: &str = "amq.default";

impl Channel {
    /// A queue of this channel's vhost, by name.
    pub(super) fn queue<'a>(&'a self, name: &'a str) -> Resource<'a> {
        Resource::queue(name, self.shared.vhost.name())
    }

    /// An exchange of this channel's vhost, by name.
    pub(super) fn exchange<'a>(&'a self, name: &'a str) -> Resource<'a> {
        Resource::exchange(name, self.shared.vhost.name())
    }

    /// ACCESS_REFUSED unless the user has the permission.
    pub(super) fn check_permission(
        &self,
        permission: Permission,
        mut resource: Resource<'_>,
    ) -> Result<(), Exception> {
        if resource.name.is_empty() && resource.kind == "exchange" {
            resource.name = DEFAULT_EXCHANGE;
        }
        let user = &self.shared.user;
        if user.may(resource.vhost, permission, resource.name) {
            return Ok(());
        }
        let user = user.name();
        let text = format!("access to {resource} refused for user '{user}'");
        Err(Exception::new(ReplyCode::AccessRefused, text))
    }
}
