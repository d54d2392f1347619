//! Users and their permissions, changed while the broker runs and kept by the catalog.
//!
//! Whom configuration names is changed there alone, so that what it says holds after every start;
//! only limits, and permissions in vhosts that it does not name, can be added to them.
//!
//! Source: RabbitMQ's `rabbit_auth_backend_internal`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Broker;
use super::catalog::{Change, NotStored};
use super::parameters::{Put, check_limits};
use crate::auth::{
    Account, GUEST, MAX_CHANNELS, MAX_CONNECTIONS, PasswordHash, PermissionError, Permissions,
    TopicPermissions, User, Users,
};

/// What limits of users are called where they are checked.
const USER_LIMITS: &str = "user-limits";

/// What the catalog notes when the user `guest` was made; no parameter of anybody's.
pub(super) const DEFAULT_USER_MADE: [&str; 3] = ["", "internal", "default_user_made"];

/// Why a user is not changed.
#[derive(Clone, Debug)]
pub enum AccountError {
    /// There is no such user.
    NoUser(String),
    /// There is no such vhost.
    NoVhost(String),
    /// Configuration names the user, or what is to be changed of it.
    Configured(String),
    /// What is said of it makes no sense; RabbitMQ's word for it, or text.
    Invalid(String),
    /// The password's hash is not base64.
    NotBase64(String),
    /// A permission is no regular expression.
    Expression(PermissionError),
    /// It could not be stored, so nothing was done.
    NotStored(NotStored),
}

impl AccountError {
    /// As RabbitMQ's management says it.
    pub fn reason(&self) -> Value {
        match self {
            Self::NoUser(name) => json!(["no_such_user", name]),
            Self::NoVhost(name) => json!(["no_such_vhost", name]),
            Self::Configured(name) => json!(format!(
                "user '{name}' is named by the configuration and is changed there"
            )),
            Self::Invalid(text) => json!(text),
            Self::NotBase64(hash) => json!(["not_base64", hash]),
            Self::NotStored(_) => json!(NotStored::TEXT),
            Self::Expression(error) => json!(["invalid_regexp", error.expression, error.why]),
        }
    }
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            Value::String(text) => f.write_str(&text),
            other => write!(f, "{other}"),
        }
    }
}

impl std::error::Error for AccountError {}

impl From<PermissionError> for AccountError {
    fn from(error: PermissionError) -> Self {
        Self::Expression(error)
    }
}

impl From<NotStored> for AccountError {
    fn from(error: NotStored) -> Self {
        Self::NotStored(error)
    }
}

impl Broker {
    /// Makes the user `guest`, with password `guest`, who may do everything in `/`.
    pub fn make_guest(&self) {
        let _changing = self.changing.lock();
        let user = self.users.put(GUEST, Users::guest());
        let made = DEFAULT_USER_MADE.map(Arc::from);
        let mut changes = vec![
            Change::PutUser(Arc::clone(&user)),
            // Once deleted it is not to come back.
            Change::PutParameter(made, "true".into()),
        ];
        for (vhost, permissions) in &user.account().vhosts {
            let key = [Arc::clone(vhost), Arc::clone(user.name())];
            changes.push(Change::PutPermission(
                key,
                permissions.expressions().clone(),
            ));
        }
        self.catalog.submit(changes);
    }

    /// Adds or changes a user as a document says: `tags`, `password` or `password_hash` (or none, for
    /// a user who cannot log in with one), `limits`.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn put_user(&self, name: &str, document: &Map<String, Value>) -> Result<Put, AccountError> {
        let tags = tags(document)?;
        let password = password(document)?;
        let limits = match document.get("limits") {
            None | Some(Value::Null) => None,
            Some(limits) => Some(checked_limits(limits)?),
        };
        let _changing = self.changing.lock();
        let before = self.users.get(name);
        let mut account = before.as_ref().map_or_else(
            || Account {
                // As RabbitMQ's `loopback_users` is by default.
                loopback_only: name == GUEST,
                ..Account::default()
            },
            |user| (*user.account()).clone(),
        );
        if account.is_configured {
            return Err(AccountError::Configured(name.to_owned()));
        }
        self.catalog.check()?;
        account.tags = tags;
        account.password = password;
        let limits_set = limits.clone();
        if let Some(limits) = limits {
            account.limits = limits;
        }
        let user = self.users.put(name, account);
        self.catalog
            .submit(vec![Change::PutUser(Arc::clone(&user))]);
        match &before {
            None => self.tell_user_made(&user, limits_set.as_ref()),
            Some(_) => self.tell_user_changed(&user, document),
        }
        Ok(Put::over(before))
    }

    fn tell_user_made(&self, user: &User, limits: Option<&BTreeMap<String, i64>>) {
        let notices = &self.engine.notices;
        let (name, account) = (user.name(), user.account());
        notices.user_created(name);
        if !account.tags.is_empty() {
            notices.tags_set(name, &account.tags);
        }
        if let Some(limits) = limits {
            notices.user_limits_set(name, limits.iter());
        }
    }

    /// As RabbitMQ does: of a hash that takes the place of another nothing is told.
    fn tell_user_changed(&self, user: &User, document: &Map<String, Value>) {
        let notices = &self.engine.notices;
        let (name, account) = (user.name(), user.account());
        if document.get("password_hash").is_some() {
            return;
        }
        if account.password.is_some() {
            notices.password_changed(name);
            notices.tags_set(name, &account.tags);
        } else {
            notices.tags_set(name, &account.tags);
            notices.password_cleared(name);
        }
    }

    /// Deletes a user, and closes its connections.
    ///
    /// # Errors
    /// [`AccountError::NoUser`], [`AccountError::Configured`], [`AccountError::NotStored`].
    pub fn delete_user(&self, name: &str) -> Result<(), AccountError> {
        let _changing = self.changing.lock();
        let user = self.changeable(name)?;
        self.catalog.check()?;
        self.users.remove(name);
        let account = user.account();
        let mut changes = vec![Change::DeleteUser(Arc::clone(user.name()))];
        for vhost in account.vhosts.keys() {
            let key = [Arc::clone(vhost), Arc::clone(user.name())];
            changes.push(Change::DeletePermission(key));
        }
        for (vhost, exchange) in account.topics.keys() {
            let key = topic_key(vhost, &user, exchange);
            changes.push(Change::DeleteTopicPermission(key));
        }
        self.catalog.submit(changes);
        self.engine.notices.user_deleted(name);
        let reason = format!("user '{name}' is deleted");
        self.close_sessions(&reason, |seated| Arc::ptr_eq(&seated.user, &user));
        Ok(())
    }

    /// Sets limits of a user; a negative one is none. Those that are not named stay.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn set_user_limits(&self, name: &str, limits: &Value) -> Result<(), AccountError> {
        let limits = checked_limits(limits)?;
        self.change_account(name, |account| {
            account.limits.extend(limits.clone());
            Ok(())
        })?;
        self.engine.notices.user_limits_set(name, limits.iter());
        Ok(())
    }

    /// Clears a limit of a user.
    ///
    /// # Errors
    /// [`AccountError::NoUser`], [`AccountError::NotStored`].
    pub fn clear_user_limit(&self, name: &str, limit: &str) -> Result<(), AccountError> {
        self.change_account(name, |account| {
            account.limits.remove(limit);
            Ok(())
        })?;
        self.engine.notices.user_limits_cleared(name);
        Ok(())
    }

    fn change_account(
        &self,
        name: &str,
        change: impl FnOnce(&mut Account) -> Result<(), AccountError>,
    ) -> Result<(), AccountError> {
        let _changing = self.changing.lock();
        let user = self.known(name)?;
        let mut account = (*user.account()).clone();
        change(&mut account)?;
        self.catalog.check()?;
        let user = self.users.put(name, account);
        self.catalog.submit(vec![Change::PutUser(user)]);
        Ok(())
    }

    /// Lets a user into a vhost, with these expressions for `configure`, `write` and `read`.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn set_permissions(
        &self,
        vhost: &str,
        name: &str,
        expressions: [&str; 3],
    ) -> Result<Put, AccountError> {
        let [configure, write, read] = expressions;
        let permissions = Permissions::new(configure, write, read)?;
        let _changing = self.changing.lock();
        let user = self.changeable_in(name, vhost)?;
        let vhost = self
            .vhost(vhost)
            .ok_or_else(|| AccountError::NoVhost(vhost.to_owned()))?;
        self.catalog.check()?;
        let mut account = (*user.account()).clone();
        let before = account.vhosts.insert(Arc::clone(vhost.name()), permissions);
        self.users.put(name, account);
        let key = [Arc::clone(vhost.name()), Arc::clone(user.name())];
        let change = Change::PutPermission(key, expressions.map(str::to_owned));
        self.catalog.submit(vec![change]);
        // Channels remember what they may publish to.
        vhost.bump_epoch();
        let notices = &self.engine.notices;
        notices.permission_created(vhost.name(), name, expressions);
        Ok(Put::over(before))
    }

    /// Shuts a user out of a vhost; says whether it was let in.
    ///
    /// # Errors
    /// [`AccountError::NoUser`], [`AccountError::Configured`], [`AccountError::NotStored`].
    pub fn clear_permissions(&self, vhost: &str, name: &str) -> Result<bool, AccountError> {
        let _changing = self.changing.lock();
        let user = self.changeable_in(name, vhost)?;
        let mut account = (*user.account()).clone();
        if account.vhosts.remove(vhost).is_none() {
            return Ok(false);
        }
        self.catalog.check()?;
        self.users.put(name, account);
        let key = [vhost.into(), Arc::clone(user.name())];
        self.catalog.submit(vec![Change::DeletePermission(key)]);
        self.engine.notices.permission_deleted(vhost, name);
        if let Some(vhost) = self.vhost(vhost) {
            vhost.bump_epoch();
        }
        Ok(true)
    }

    /// Says which keys a user may publish with to a topic exchange, and bind with from it.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn set_topic_permissions(
        &self,
        vhost: &str,
        name: &str,
        exchange: &str,
        [write, read]: [&str; 2],
    ) -> Result<Put, AccountError> {
        let permissions = TopicPermissions::new(write, read)?;
        let _changing = self.changing.lock();
        let user = self.known(name)?;
        let vhost = self
            .vhost(vhost)
            .ok_or_else(|| AccountError::NoVhost(vhost.to_owned()))?;
        self.catalog.check()?;
        let mut account = (*user.account()).clone();
        let key = (Arc::clone(vhost.name()), exchange.to_owned());
        let before = account.topics.insert(key, permissions);
        self.users.put(name, account);
        let key = topic_key(vhost.name(), &user, exchange);
        let change = Change::PutTopicPermission(key, [write, read].map(str::to_owned));
        self.catalog.submit(vec![change]);
        vhost.bump_epoch();
        let notices = &self.engine.notices;
        notices.topic_permission_created(vhost.name(), name, exchange, [write, read]);
        Ok(Put::over(before))
    }

    /// Lets a user use all keys again, at that exchange or at all of the vhost.
    ///
    /// # Errors
    /// [`AccountError::NoUser`], [`AccountError::NotStored`].
    pub fn clear_topic_permissions(
        &self,
        vhost: &str,
        name: &str,
        exchange: Option<&str>,
    ) -> Result<(), AccountError> {
        let _changing = self.changing.lock();
        let user = self.known(name)?;
        let mut account = (*user.account()).clone();
        let mut changes = Vec::new();
        account.topics.retain(|(own, at), _| {
            let goes = **own == *vhost && exchange.is_none_or(|exchange| exchange == at);
            if goes {
                changes.push(Change::DeleteTopicPermission(topic_key(own, &user, at)));
            }
            !goes
        });
        self.catalog.check()?;
        self.users.put(name, account);
        self.catalog.submit(changes);
        if let Some(vhost) = self.vhost(vhost) {
            vhost.bump_epoch();
        }
        match exchange {
            None => self.engine.notices.topic_permission_deleted(vhost, name),
            // RabbitMQ's own word for it.
            Some(_) => self.engine.notices.permission_deleted(vhost, name),
        }
        Ok(())
    }

    /// The vhost is removed: nobody may do anything in it any more.
    pub(super) fn forget_permissions_in(&self, vhost: &Arc<str>, changes: &mut Vec<Change>) {
        let notices = &self.engine.notices;
        let mut had_topics = Vec::new();
        for user in self.users.all() {
            let mut account = (*user.account()).clone();
            let is_named = account.configured_vhosts.contains(vhost);
            if !is_named && account.vhosts.remove(vhost).is_some() {
                let key = [Arc::clone(vhost), Arc::clone(user.name())];
                changes.push(Change::DeletePermission(key));
                notices.permission_deleted(vhost, user.name());
            }
            let topics = account.topics.len();
            account.topics.retain(|(own, exchange), _| {
                let goes = own == vhost;
                if goes {
                    changes.push(Change::DeleteTopicPermission(topic_key(
                        own, &user, exchange,
                    )));
                }
                !goes
            });
            if account.topics.len() < topics {
                had_topics.push(Arc::clone(user.name()));
            }
            self.users.put(user.name(), account);
        }
        for user in had_topics {
            notices.topic_permission_deleted(vhost, &user);
        }
    }

    fn known(&self, name: &str) -> Result<Arc<User>, AccountError> {
        let user = self.users.get(name);
        user.ok_or_else(|| AccountError::NoUser(name.to_owned()))
    }

    fn changeable(&self, name: &str) -> Result<Arc<User>, AccountError> {
        let user = self.known(name)?;
        match user.account().is_configured {
            true => Err(AccountError::Configured(name.to_owned())),
            false => Ok(user),
        }
    }

    fn changeable_in(&self, name: &str, vhost: &str) -> Result<Arc<User>, AccountError> {
        let user = self.known(name)?;
        let account = user.account();
        match account.configured_vhosts.iter().any(|own| **own == *vhost) {
            true => Err(AccountError::Configured(name.to_owned())),
            false => Ok(user),
        }
    }
}

fn topic_key(vhost: &Arc<str>, user: &User, exchange: &str) -> [Arc<str>; 3] {
    [Arc::clone(vhost), Arc::clone(user.name()), exchange.into()]
}

fn invalid(text: &str) -> AccountError {
    AccountError::Invalid(text.to_owned())
}

/// A list of texts, or a text with commas.
fn tags(document: &Map<String, Value>) -> Result<Vec<String>, AccountError> {
    let split = |text: &str| -> Vec<String> {
        let words = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        words.map(str::to_owned).collect()
    };
    match document.get("tags") {
        Some(Value::String(text)) => Ok(split(text)),
        Some(Value::Array(tags)) => {
            let tags = tags
                .iter()
                .map(|tag| tag.as_str().map(|tag| tag.trim().to_owned()));
            tags.collect::<Option<_>>()
                .ok_or_else(|| invalid("tags_not_valid"))
        }
        Some(_) => Err(invalid("tags_not_valid")),
        None => match document.get("administrator") {
            Some(Value::Bool(true)) => Ok(split("administrator")),
            Some(Value::String(text)) if text == "true" => Ok(split("administrator")),
            Some(_) => Ok(Vec::new()),
            None => Err(invalid("tags_not_present")),
        },
    }
}

fn password(document: &Map<String, Value>) -> Result<Option<PasswordHash>, AccountError> {
    let text = |key: &str| match document.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(AccountError::Invalid(format!("{key} is not a string"))),
    };
    match (text("password")?, text("password_hash")?) {
        (Some(_), Some(_)) => Err(invalid("both_password_and_password_hash_are_provided")),
        // With an empty password nobody logs in.
        (None | Some(""), None) | (None, Some("")) => Ok(None),
        (Some(password), None) => Ok(Some(PasswordHash::of(password.as_bytes()))),
        (None, Some(hash)) => match PasswordHash::from_base64(hash) {
            Ok(hash) => Ok(Some(hash)),
            Err(crate::auth::PasswordHashError::NotBase64) => {
                Err(AccountError::NotBase64(hash.to_owned()))
            }
            Err(error) => Err(AccountError::Invalid(error.to_string())),
        },
    }
}

fn checked_limits(limits: &Value) -> Result<BTreeMap<String, i64>, AccountError> {
    let known = [MAX_CONNECTIONS, MAX_CHANNELS];
    check_limits(USER_LIMITS, limits, &known)
        .map_err(|errors| AccountError::Invalid(errors.join("\n")))?;
    let limits = limits.as_object().into_iter().flatten();
    Ok(limits
        .filter_map(|(name, value)| Some((name.clone(), value.as_i64()?)))
        .collect())
}
