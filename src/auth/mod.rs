//! Users, password hashes, permissions (skeleton).

use std::net::IpAddr;
use std::sync::Arc;

/// What a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Declare and delete.
    Configure,
    /// Publish to, bind to.
    Write,
    /// Consume, get, purge, bind from.
    Read,
}

/// Why a login was refused. The text is for the log; clients are told RabbitMQ's one text.
#[derive(Debug)]
pub struct LoginRefused(pub String);

/// Users by name.
pub struct Users {}

/// A user who logged in.
pub struct User {}

#[allow(unused_variables, missing_docs)]
impl Users {
    /// `guest`/`guest`, loopback only, all permissions on `/`, tag administrator.
    pub fn with_guest() -> Self {
        todo!()
    }
    /// Checks name and password; a user that is loopback-only is refused from elsewhere.
    pub fn login(
        &self,
        name: &str,
        password: &[u8],
        peer: Option<IpAddr>,
    ) -> Result<Arc<User>, LoginRefused> {
        todo!()
    }
}

#[allow(unused_variables, missing_docs)]
impl User {
    pub fn name(&self) -> &Arc<str> {
        todo!()
    }
    /// Whether the user has any permissions in the vhost.
    pub fn may_enter(&self, vhost: &str) -> bool {
        todo!()
    }
    /// Whether the user's regular expression for that permission matches the resource's name
    /// (the default exchange's name is `amq.default` here, as in RabbitMQ).
    pub fn may(&self, vhost: &str, permission: Permission, resource: &str) -> bool {
        todo!()
    }
    /// Whether the user has a tag, as `administrator` or `impersonator`.
    pub fn has_tag(&self, tag: &str) -> bool {
        todo!()
    }
}
