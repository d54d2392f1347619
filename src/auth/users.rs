//! All users: added as configuration names them or at run time, looked up where somebody logs in.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::password::{PasswordHash, PasswordHashError};
use super::permissions::{PermissionError, Permissions};
use super::user::{Account, User};

/// The user that there is before any other is made; it may come from this machine only.
pub const GUEST: &str = "guest";

/// A user's password, as configuration gives it.
#[derive(Clone)]
pub enum Password {
    /// As it is.
    Plain(String),
    /// As RabbitMQ's `password_hash`.
    Hash(String),
    /// None: the user cannot log in with one.
    None,
}

/// What a user may do in one vhost.
#[derive(Clone, Debug)]
pub struct VhostPermissions {
    /// The vhost's name.
    pub vhost: String,
    /// What names may be declared and deleted.
    pub configure: String,
    /// What names may be published and bound to.
    pub write: String,
    /// What names may be consumed and bound from.
    pub read: String,
}

/// A user, as configuration gives it.
#[derive(Clone)]
pub struct UserSpec {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Password,
    /// Tags, such as `administrator`.
    pub tags: Vec<String>,
    /// What may be done where; a vhost that is not named may not be entered.
    pub permissions: Vec<VhostPermissions>,
    /// Whether the user may only come from this machine.
    pub loopback_only: bool,
}

/// Why a user could not be added.
#[derive(Clone, Debug)]
pub enum UserError {
    /// The password is empty, with which nobody may log in.
    BlankPassword(String),
    /// The hash is none.
    PasswordHash(String, PasswordHashError),
    /// A permission is no regular expression.
    Permission(String, PermissionError),
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlankPassword(user) => write!(f, "user '{user}' has an empty password"),
            Self::PasswordHash(user, error) => write!(f, "user '{user}': {error}"),
            Self::Permission(user, error) => write!(f, "user '{user}': {error}"),
        }
    }
}

impl std::error::Error for UserError {}

/// Why a login was refused. The text is for the log; clients are told RabbitMQ's one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRefused(pub String);

impl fmt::Display for LoginRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoginRefused {}

/// See the module.
pub struct Users {
    by_name: DashMap<Arc<str>, Arc<User>>,
    /// Held against the passwords of users that do not exist, so that they take as long to refuse.
    nobody: PasswordHash,
}

impl Default for Users {
    fn default() -> Self {
        Self::new()
    }
}

impl Users {
    /// Nobody.
    pub fn new() -> Self {
        Self {
            by_name: DashMap::new(),
            nobody: PasswordHash::of(&rand::random::<[u8; 16]>()),
        }
    }

    /// `guest`/`guest`, loopback only, all permissions on `/`, tag administrator.
    pub fn with_guest() -> Self {
        let users = Self::new();
        users.put(GUEST, Self::guest());
        users
    }

    /// What [`Users::with_guest`] has.
    pub fn guest() -> Account {
        Account {
            password: Some(PasswordHash::of(GUEST.as_bytes())),
            tags: vec!["administrator".into()],
            loopback_only: true,
            vhosts: [("/".into(), Permissions::all())].into(),
            ..Account::default()
        }
    }

    /// Adds a user that configuration names, or replaces the one of that name.
    pub fn add(&self, spec: UserSpec) -> Result<(), UserError> {
        let password = match &spec.password {
            Password::Plain(password) if password.is_empty() => {
                return Err(UserError::BlankPassword(spec.name));
            }
            Password::Plain(password) => Some(PasswordHash::of(password.as_bytes())),
            Password::Hash(hash) => match PasswordHash::from_base64(hash) {
                Ok(hash) => Some(hash),
                Err(error) => return Err(UserError::PasswordHash(spec.name, error)),
            },
            Password::None => None,
        };
        let mut account = Account {
            password,
            tags: spec.tags,
            loopback_only: spec.loopback_only,
            is_configured: true,
            ..Account::default()
        };
        for VhostPermissions {
            vhost,
            configure,
            write,
            read,
        } in spec.permissions
        {
            match Permissions::new(&configure, &write, &read) {
                Ok(permissions) => {
                    let vhost = Arc::from(vhost);
                    account.configured_vhosts.push(Arc::clone(&vhost));
                    account.vhosts.insert(vhost, permissions)
                }
                Err(error) => return Err(UserError::Permission(spec.name, error)),
            };
        }
        self.put(&spec.name, account);
        Ok(())
    }

    /// Adds a user, or changes the one of that name: for who is logged in as well.
    pub fn put(&self, name: &str, account: Account) -> Arc<User> {
        match self.by_name.entry(name.into()) {
            Entry::Occupied(there) => {
                there.get().set_account(account);
                Arc::clone(there.get())
            }
            Entry::Vacant(place) => Arc::clone(&place.insert(Arc::new(User::new(name, account)))),
        }
    }

    /// Removes a user; says whether there was one. Who is logged in stays.
    pub fn remove(&self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }

    /// The user of that name.
    pub fn get(&self, name: &str) -> Option<Arc<User>> {
        self.by_name.get(name).map(|user| Arc::clone(&user))
    }

    /// All users, by name.
    pub fn all(&self) -> Vec<Arc<User>> {
        let mut all: Vec<_> = self.by_name.iter().map(|user| Arc::clone(&user)).collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
        all
    }

    /// Checks name and password; a user that is loopback-only is refused from elsewhere. `peer` is
    /// None for who comes over something that is no network.
    pub fn login(
        &self,
        name: &str,
        password: &[u8],
        peer: Option<IpAddr>,
    ) -> Result<Arc<User>, LoginRefused> {
        if password.is_empty() {
            let text = format!("user '{name}' attempted to log in with a blank password");
            return Err(LoginRefused(text));
        }
        let user = self.get(name);
        let account = user.as_ref().map(|user| user.account());
        let hash = account
            .as_ref()
            .and_then(|account| account.password.as_ref());
        let is_right = hash.unwrap_or(&self.nobody).is_of(password) && hash.is_some();
        let (Some(user), Some(account), true) = (user, &account, is_right) else {
            return Err(LoginRefused(format!("user '{name}' - invalid credentials")));
        };
        if account.loopback_only && !peer.is_none_or(|peer| peer.to_canonical().is_loopback()) {
            return Err(LoginRefused(format!(
                "user '{name}' can only connect via localhost"
            )));
        }
        Ok(user)
    }
}

#[cfg(test)]
mod tests {
    use super::super::permissions::Permission;
    use super::*;

    const LOOPBACK: &str = "127.0.0.1";

    fn login(users: &Users, name: &str, password: &str, peer: &str) -> Result<Arc<User>, String> {
        let peer = peer.parse().expect("an address");
        users
            .login(name, password.as_bytes(), Some(peer))
            .map_err(|refused| refused.0)
    }

    fn alice() -> UserSpec {
        UserSpec {
            name: "alice".into(),
            password: Password::Plain("wonder".into()),
            tags: vec!["monitoring".into()],
            permissions: vec![VhostPermissions {
                vhost: "land".into(),
                configure: "^alice-".into(),
                write: ".*".into(),
                read: "".into(),
            }],
            loopback_only: false,
        }
    }

    #[test]
    fn guest_comes_from_here_only() {
        let users = Users::with_guest();
        for peer in [LOOPBACK, "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let guest = login(&users, "guest", "guest", peer).expect("welcome");
            assert!(guest.may("/", Permission::Configure, "anything"));
            assert!(guest.has_tag("administrator"));
            assert!(!guest.may_enter("other"));
        }
        for peer in ["10.0.0.1", "::2", "::ffff:10.0.0.1"] {
            let refused = login(&users, "guest", "guest", peer).expect_err("refused");
            assert_eq!(refused, "user 'guest' can only connect via localhost");
        }
    }

    #[test]
    fn who_is_unknown_and_who_is_wrong_hear_the_same() {
        let users = Users::with_guest();
        for name in ["guest", "nobody"] {
            let refused = login(&users, name, "wrong", LOOPBACK).expect_err("refused");
            assert_eq!(refused, format!("user '{name}' - invalid credentials"));
        }
        assert!(login(&users, "guest", "", LOOPBACK).is_err());
    }

    #[test]
    fn permissions_are_by_vhost() {
        let users = Users::new();
        users.add(alice()).expect("added");
        let alice = login(&users, "alice", "wonder", "10.0.0.1").expect("welcome");
        assert!(alice.may_enter("land"));
        assert!(!alice.may_enter("/"));
        assert!(alice.may("land", Permission::Configure, "alice-q"));
        assert!(!alice.may("land", Permission::Configure, "q"));
        assert!(
            alice.may("land", Permission::Write, ""),
            "the default exchange"
        );
        assert!(!alice.may("land", Permission::Read, "alice-q"));
        assert!(!alice.may("/", Permission::Write, "q"));
        assert_eq!(alice.account().tags, ["monitoring"]);
    }

    #[test]
    fn hashes_and_no_password() {
        let users = Users::new();
        let hash = PasswordHash::of(b"wonder").to_base64();
        let with = |password| UserSpec {
            password,
            ..alice()
        };
        users.add(with(Password::Hash(hash))).expect("added");
        assert!(login(&users, "alice", "wonder", LOOPBACK).is_ok());
        users.add(with(Password::None)).expect("replaced");
        assert!(login(&users, "alice", "wonder", LOOPBACK).is_err());
        assert!(users.remove("alice"));
        assert!(!users.remove("alice"));
        assert!(users.get("alice").is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let users = Users::new();
        let with = |password| UserSpec {
            password,
            ..alice()
        };
        let blank = users
            .add(with(Password::Plain(String::new())))
            .expect_err("refused");
        assert_eq!(blank.to_string(), "user 'alice' has an empty password");
        let hash = users
            .add(with(Password::Hash("?".into())))
            .expect_err("refused");
        assert_eq!(
            hash.to_string(),
            "user 'alice': the password hash is not base64"
        );
        let mut spec = alice();
        spec.permissions[0].read = "(".into();
        let expression = users.add(spec).expect_err("refused").to_string();
        assert!(
            expression.starts_with("user 'alice': the permission '(' is no"),
            "{expression}"
        );
        assert!(users.get("alice").is_none());
    }
}
