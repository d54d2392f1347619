//! A user who logged in.

use std::collections::HashMap;
use std::sync::Arc;

use super::permissions::{Permission, Permissions};

/// See the module.
#[derive(Clone, Debug)]
pub struct User {
    pub(super) name: Arc<str>,
    pub(super) tags: Vec<String>,
    pub(super) vhosts: HashMap<Arc<str>, Permissions>,
}

impl User {
    /// The user's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the user has any permissions in the vhost; be they none at all.
    pub fn may_enter(&self, vhost: &str) -> bool {
        self.vhosts.contains_key(vhost)
    }

    /// Whether the user's regular expression for that permission matches the resource's name
    /// (the default exchange's name is `amq.default` here, as in RabbitMQ).
    pub fn may(&self, vhost: &str, permission: Permission, resource: &str) -> bool {
        let resource = if resource.is_empty() {
            DEFAULT_EXCHANGE
        } else {
            resource
        };
        self.vhosts
            .get(vhost)
            .is_some_and(|permissions| permissions.allow(permission, resource))
    }

    /// Whether the user has a tag, as `administrator` or `impersonator`.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// The user's tags.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }
}

/// What the default exchange is called where permissions are asked for.
const DEFAULT_EXCHANGE: &str = "amq.default";
