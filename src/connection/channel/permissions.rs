//! What the user may do, with RabbitMQ's words where it may not.
//!
//! Publishing is the hot case and is asked once per route: the answer lives in the route cache.

use super::Channel;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::auth::Permission;
use crate::broker::ExchangeKind;
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

    /// ACCESS_REFUSED unless the user may use the routing key at that exchange, if it is a topic
    /// exchange.
    pub(super) fn check_topic_permission(
        &self,
        permission: Permission,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), Exception> {
        let (user, vhost) = (&self.shared.user, &self.shared.vhost);
        if user.may_use_key(vhost.name(), exchange, permission, routing_key) {
            return Ok(());
        }
        let is_topic = vhost
            .exchange(exchange)
            .is_some_and(|exchange| exchange.kind() == ExchangeKind::Topic);
        if !is_topic {
            return Ok(());
        }
        let (user, vhost) = (user.name(), vhost.name());
        let text = format!(
            "access to topic '{routing_key}' in exchange '{exchange}' in vhost '{vhost}' refused for \
             user '{user}'"
        );
        Err(Exception::new(ReplyCode::AccessRefused, text))
    }
}
