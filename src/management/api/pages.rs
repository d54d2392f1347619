//! Which pages there are: their paths, methods, and whom they are for.

use hyper::Method;

use super::access::For;
use super::{Call, Reply, definitions, limits, parameters, permissions, policies, users, vhosts};

/// A page, with the names that its path has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    WhoAmI,
    Policies(Kind, Option<String>),
    Policy(Kind, String, String),
    Parameters(Option<String>, Option<String>),
    Parameter(String, String, String),
    GlobalParameters,
    GlobalParameter(String),
    Vhosts,
    Vhost(String),
    VhostPermissions(String),
    VhostTopicPermissions(String),
    VhostLimits(Option<String>),
    VhostLimit(String, String),
    UserLimits(Option<String>),
    UserLimit(String, String),
    Users,
    UsersWithoutPermissions,
    UsersBulkDelete,
    User(String),
    UserPermissions(String),
    UserTopicPermissions(String),
    Permissions,
    /// Vhost, user.
    Permission(String, String),
    TopicPermissions,
    /// Vhost, user, exchange.
    TopicPermission(String, String, Option<String>),
    Definitions(Option<String>),
}

/// The two kinds of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Users,
    Operators,
}

const GET: &[Method] = &[Method::GET];
const PUT_DELETE: &[Method] = &[Method::PUT, Method::DELETE];
const GET_PUT_DELETE: &[Method] = &[Method::GET, Method::PUT, Method::DELETE];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const POST: &[Method] = &[Method::POST];

impl Page {
    /// The page of that path, whose parts these are.
    pub fn find(path: &[String]) -> Option<Self> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let own = |name: &str| name.to_owned();
        let some = |name: &str| Some(name.to_owned());
        Some(match path[..] {
            ["whoami"] => Self::WhoAmI,
            ["policies"] => Self::Policies(Kind::Users, None),
            ["policies", vhost] => Self::Policies(Kind::Users, some(vhost)),
            ["policies", vhost, name] => Self::Policy(Kind::Users, own(vhost), own(name)),
            ["operator-policies"] => Self::Policies(Kind::Operators, None),
            ["operator-policies", vhost] => Self::Policies(Kind::Operators, some(vhost)),
            ["operator-policies", vhost, name] => {
                Self::Policy(Kind::Operators, own(vhost), own(name))
            }
            ["parameters"] => Self::Parameters(None, None),
            ["parameters", component] => Self::Parameters(some(component), None),
            ["parameters", component, vhost] => Self::Parameters(some(component), some(vhost)),
            ["parameters", component, vhost, name] => {
                Self::Parameter(own(component), own(vhost), own(name))
            }
            ["global-parameters"] => Self::GlobalParameters,
            ["global-parameters", name] => Self::GlobalParameter(own(name)),
            ["vhosts"] => Self::Vhosts,
            ["vhosts", vhost] => Self::Vhost(own(vhost)),
            ["vhosts", vhost, "permissions"] => Self::VhostPermissions(own(vhost)),
            ["vhosts", vhost, "topic-permissions"] => Self::VhostTopicPermissions(own(vhost)),
            ["vhost-limits"] => Self::VhostLimits(None),
            ["vhost-limits", vhost] => Self::VhostLimits(some(vhost)),
            ["vhost-limits", vhost, name] => Self::VhostLimit(own(vhost), own(name)),
            ["user-limits"] => Self::UserLimits(None),
            ["user-limits", user] => Self::UserLimits(some(user)),
            ["user-limits", user, name] => Self::UserLimit(own(user), own(name)),
            ["users"] => Self::Users,
            ["users", "without-permissions"] => Self::UsersWithoutPermissions,
            ["users", "bulk-delete"] => Self::UsersBulkDelete,
            ["users", user] => Self::User(own(user)),
            ["users", user, "permissions"] => Self::UserPermissions(own(user)),
            ["users", user, "topic-permissions"] => Self::UserTopicPermissions(own(user)),
            ["permissions"] => Self::Permissions,
            ["permissions", vhost, user] => Self::Permission(own(vhost), own(user)),
            ["topic-permissions"] => Self::TopicPermissions,
            ["topic-permissions", vhost, user] => {
                Self::TopicPermission(own(vhost), own(user), None)
            }
            ["topic-permissions", vhost, user, exchange] => {
                Self::TopicPermission(own(vhost), own(user), some(exchange))
            }
            ["definitions" | "all-configuration"] => Self::Definitions(None),
            ["definitions", vhost] => Self::Definitions(some(vhost)),
            _ => return None,
        })
    }

    /// What can be done with it, besides HEAD and OPTIONS.
    pub fn methods(&self) -> &'static [Method] {
        match self {
            Self::Policy(..)
            | Self::Parameter(..)
            | Self::GlobalParameter(_)
            | Self::Vhost(_)
            | Self::User(_)
            | Self::Permission(..)
            | Self::TopicPermission(..) => GET_PUT_DELETE,
            Self::VhostLimit(..) | Self::UserLimit(..) => PUT_DELETE,
            Self::UsersBulkDelete => POST,
            Self::Definitions(_) => GET_POST,
            Self::WhoAmI
            | Self::Policies(..)
            | Self::Parameters(..)
            | Self::GlobalParameters
            | Self::Vhosts
            | Self::VhostPermissions(_)
            | Self::VhostTopicPermissions(_)
            | Self::VhostLimits(_)
            | Self::UserLimits(_)
            | Self::Users
            | Self::UsersWithoutPermissions
            | Self::UserPermissions(_)
            | Self::UserTopicPermissions(_)
            | Self::Permissions
            | Self::TopicPermissions => GET,
        }
    }

    /// Whether a body must be announced as JSON.
    pub fn takes_json_only(&self) -> bool {
        matches!(
            self,
            Self::Policy(Kind::Operators, ..)
                | Self::VhostLimit(..)
                | Self::UserLimit(..)
                | Self::Definitions(_)
        )
    }

    pub fn is_for(&self) -> For<'_> {
        match self {
            Self::WhoAmI | Self::Vhosts => For::All,
            Self::Policies(_, vhost) | Self::VhostLimits(vhost) => For::Users(vhost.as_deref()),
            Self::UserLimits(_) => For::Users(None),
            Self::Policy(Kind::Users, vhost, _) | Self::Parameter(_, vhost, _) => {
                For::PolicyMakers(Some(vhost))
            }
            Self::Parameters(_, vhost) => For::PolicyMakers(vhost.as_deref()),
            Self::GlobalParameters | Self::GlobalParameter(_) => For::AnyPolicyMakers,
            Self::Policy(Kind::Operators, ..)
            | Self::Vhost(_)
            | Self::VhostPermissions(_)
            | Self::VhostTopicPermissions(_)
            | Self::VhostLimit(..)
            | Self::UserLimit(..)
            | Self::Users
            | Self::UsersWithoutPermissions
            | Self::UsersBulkDelete
            | Self::User(_)
            | Self::UserPermissions(_)
            | Self::UserTopicPermissions(_)
            | Self::Permissions
            | Self::Permission(..)
            | Self::TopicPermissions
            | Self::TopicPermission(..)
            | Self::Definitions(_) => For::Administrators,
        }
    }

    /// Does what the call asks of it. Its method is one of [`Page::methods`].
    pub fn answer(&self, call: &Call) -> Reply {
        let answered = match self {
            Self::WhoAmI => Ok(users::who_am_i(call)),
            Self::Policies(kind, vhost) => policies::list(call, *kind, vhost.as_deref()),
            Self::Policy(kind, vhost, name) => policies::one(call, *kind, vhost, name),
            Self::Parameters(component, vhost) => {
                parameters::list(call, component.as_deref(), vhost.as_deref())
            }
            Self::Parameter(component, vhost, name) => {
                parameters::one(call, component, vhost, name)
            }
            Self::GlobalParameters => parameters::list_global(call),
            Self::GlobalParameter(name) => parameters::one_global(call, name),
            Self::Vhosts => vhosts::list(call),
            Self::Vhost(name) => vhosts::one(call, name),
            Self::VhostPermissions(vhost) => permissions::of_vhost(call, vhost),
            Self::VhostTopicPermissions(vhost) => permissions::topics_of_vhost(call, vhost),
            Self::VhostLimits(vhost) => limits::of_vhosts(call, vhost.as_deref()),
            Self::VhostLimit(vhost, name) => limits::of_vhost(call, vhost, name),
            Self::UserLimits(user) => limits::of_users(call, user.as_deref()),
            Self::UserLimit(user, name) => limits::of_user(call, user, name),
            Self::Users => users::list(call, |_| true),
            Self::UsersWithoutPermissions => {
                users::list(call, |user| user.account().vhosts.is_empty())
            }
            Self::UsersBulkDelete => users::bulk_delete(call),
            Self::User(name) => users::one(call, name),
            Self::UserPermissions(user) => permissions::of_user(call, user),
            Self::UserTopicPermissions(user) => permissions::topics_of_user(call, user),
            Self::Permissions => permissions::list(call),
            Self::Permission(vhost, user) => permissions::one(call, vhost, user),
            Self::TopicPermissions => permissions::list_topics(call),
            Self::TopicPermission(vhost, user, exchange) => {
                permissions::one_topic(call, vhost, user, exchange.as_deref())
            }
            Self::Definitions(vhost) => definitions::page(call, vhost.as_deref()),
        };
        answered.unwrap_or_else(|refused| refused)
    }
}
