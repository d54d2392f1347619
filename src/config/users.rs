//! Users as they are configured.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::auth::{Password, UserError, UserSpec, Users, VhostPermissions};

/// A user.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSettings {
    /// The name.
    pub name: String,
    /// The password; empty: see `password_hash`.
    #[serde(default)]
    pub password: String,
    /// The password's hash, as RabbitMQ writes it; empty: see `password`.
    #[serde(default)]
    pub password_hash: String,
    /// Tags, such as `administrator`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether the user may only come from this machine.
    #[serde(default)]
    pub loopback_only: bool,
    /// What may be done where; a vhost that is not named may not be entered.
    #[serde(default)]
    pub permissions: Vec<PermissionSettings>,
}

/// What a user may do in a vhost, as regular expressions on names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionSettings {
    /// The vhost.
    pub vhost: String,
    /// What may be declared and deleted.
    pub configure: String,
    /// What may be published and bound to.
    pub write: String,
    /// What may be consumed and bound from.
    pub read: String,
}

/// Says nothing of passwords.
impl fmt::Debug for UserSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSettings")
            .field("name", &self.name)
            .field("tags", &self.tags)
            .field("loopback_only", &self.loopback_only)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

impl UserSettings {
    /// The user that there is if no others are configured: `guest`/`guest`, from this machine only.
    pub fn guest() -> Self {
        let all = ".*".to_string();
        Self {
            name: "guest".into(),
            password: "guest".into(),
            password_hash: String::new(),
            tags: vec!["administrator".into()],
            loopback_only: true,
            permissions: vec![PermissionSettings {
                vhost: "/".into(),
                configure: all.clone(),
                write: all.clone(),
                read: all,
            }],
        }
    }

    fn spec(&self) -> UserSpec {
        let permissions = self.permissions.iter().map(|permission| VhostPermissions {
            vhost: permission.vhost.clone(),
            configure: permission.configure.clone(),
            write: permission.write.clone(),
            read: permission.read.clone(),
        });
        UserSpec {
            name: self.name.clone(),
            password: match (self.password.as_str(), self.password_hash.as_str()) {
                ("", "") => Password::None,
                ("", hash) => Password::Hash(hash.to_string()),
                (password, _) => Password::Plain(password.to_string()),
            },
            tags: self.tags.clone(),
            permissions: permissions.collect(),
            loopback_only: self.loopback_only,
        }
    }
}

/// What is wrong with the users, if anything is.
pub(super) fn check(users: &[UserSettings]) -> Result<(), String> {
    let mut names = HashSet::new();
    for user in users {
        let name = &user.name;
        if name.is_empty() {
            return Err("a name is empty".to_string());
        }
        if !names.insert(name) {
            return Err(format!("user '{name}' is there twice"));
        }
        if !user.password.is_empty() && !user.password_hash.is_empty() {
            return Err(format!(
                "user '{name}' has both a password and a password_hash"
            ));
        }
        let mut vhosts = HashSet::new();
        let mut named = user.permissions.iter().map(|permission| &permission.vhost);
        if let Some(vhost) = named.find(|vhost| !vhosts.insert(*vhost)) {
            return Err(format!(
                "user '{name}' has permissions for vhost '{vhost}' twice"
            ));
        }
    }
    made(users).map(drop).map_err(|error| error.to_string())
}

fn made(settings: &[UserSettings]) -> Result<Users, UserError> {
    let users = Users::new();
    for user in settings {
        users.add(user.spec())?;
    }
    Ok(users)
}

impl super::Config {
    /// The users that are configured, ready to log in.
    pub fn users(&self) -> Result<Users, UserError> {
        match self.has_default_users() {
            true => Ok(Users::new()),
            false => made(&self.users),
        }
    }

    /// Whether nobody said who may log in: `guest` is made once, and may be changed and deleted then.
    pub fn has_default_users(&self) -> bool {
        self.users == [UserSettings::guest()]
    }
}
