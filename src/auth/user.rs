//! A user: what is known of who may log in under a name, and what they may do. It changes while
//! they are logged in, and what they may do with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;

use super::password::PasswordHash;
use super::permissions::{Permission, Permissions};
use super::topic_permissions::TopicPermissions;

/// The limit of a user's connections.
pub const MAX_CONNECTIONS: &str = "max-connections";
/// The limit of a user's channels, all connections together.
pub const MAX_CHANNELS: &str = "max-channels";

/// See the module.
#[derive(Debug)]
pub struct User {
    name: Arc<str>,
    account: ArcSwap<Account>,
    usage: Usage,
}

/// What a user has open.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Usage {
    pub connections: AtomicU64,
    pub channels: AtomicU64,
}

/// What is known of a user.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// None: nobody logs in with one.
    pub password: Option<PasswordHash>,
    /// Tags, such as `administrator`.
    pub tags: Vec<String>,
    /// [`MAX_CONNECTIONS`] and [`MAX_CHANNELS`]; a negative one is none.
    pub limits: BTreeMap<String, i64>,
    /// Whether the user may only come from this machine.
    pub loopback_only: bool,
    /// Whether the configuration names the user, so that it is changed there alone.
    pub is_configured: bool,
    /// The vhosts for which configuration says what the user may do.
    pub configured_vhosts: Vec<Arc<str>>,
    /// By vhost. A vhost that is not there may not be entered.
    pub vhosts: BTreeMap<Arc<str>, Permissions>,
    /// By vhost and exchange. Without any, all keys may be used.
    pub topics: BTreeMap<(Arc<str>, String), TopicPermissions>,
}

impl Account {
    /// The password's hash as RabbitMQ's definitions have it; empty if there is none.
    pub fn password_hash(&self) -> String {
        let hash = self.password.as_ref();
        hash.map(PasswordHash::to_base64).unwrap_or_default()
    }

    /// What RabbitMQ calls the way in which the password was hashed.
    pub fn hashing_algorithm(&self) -> &'static str {
        self.password
            .as_ref()
            .map_or(super::password::SHA_256, PasswordHash::algorithm)
    }
}

impl User {
    pub(super) fn new(name: &str, account: Account) -> Self {
        Self {
            name: name.into(),
            account: ArcSwap::from_pointee(account),
            usage: Usage::default(),
        }
    }

    /// The user's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What is known of the user, now.
    pub fn account(&self) -> Arc<Account> {
        self.account.load_full()
    }

    /// From now on this holds, for connections that are open as well.
    pub(super) fn set_account(&self, account: Account) {
        self.account.store(Arc::new(account));
    }

    /// What the user has open.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The limit of that name, if there is one.
    pub fn limit(&self, name: &str) -> Option<u64> {
        let account = self.account.load();
        account
            .limits
            .get(name)
            .and_then(|limit| u64::try_from(*limit).ok())
    }

    /// Whether the user has any permissions in the vhost; be they none at all.
    pub fn may_enter(&self, vhost: &str) -> bool {
        self.account.load().vhosts.contains_key(vhost)
    }

    /// Whether the user's regular expression for that permission matches the resource's name
    /// (the default exchange's name is `amq.default` here, as in RabbitMQ).
    pub fn may(&self, vhost: &str, permission: Permission, resource: &str) -> bool {
        let resource = if resource.is_empty() {
            DEFAULT_EXCHANGE
        } else {
            resource
        };
        let account = self.account.load();
        account
            .vhosts
            .get(vhost)
            .is_some_and(|permissions| permissions.allow(permission, resource))
    }

    /// Whether the user may use a routing key at a topic exchange: yes, unless there are topic
    /// permissions for that exchange.
    pub fn may_use_key(
        &self,
        vhost: &str,
        exchange: &str,
        permission: Permission,
        routing_key: &str,
    ) -> bool {
        let account = self.account.load();
        if account.topics.is_empty() {
            return true;
        }
        let key = (Arc::from(vhost), exchange.to_owned());
        account
            .topics
            .get(&key)
            .is_none_or(|permissions| permissions.allow(permission, routing_key, vhost, &self.name))
    }

    /// Whether the user has a tag, as `administrator` or `impersonator`.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.account.load().tags.iter().any(|own| own == tag)
    }
}

/// What the default exchange is called where permissions are asked for.
const DEFAULT_EXCHANGE: &str = "amq.default";
