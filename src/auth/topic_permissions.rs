//! Which routing keys a user may use at a topic exchange: two regular expressions, in which
//! `{username}` and `{vhost}` stand for what they say.
//!
//! Source: RabbitMQ's `rabbit_auth_backend_internal`.

use super::expression::Expression;
use super::permissions::{Permission, PermissionError, checked};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissions {
    /// For publishing.
    pub write: String,
    /// For binding.
    pub read: String,
}

impl TopicPermissions {
    /// Checks the expressions.
    ///
    /// # Errors
    /// The first one that is none.
    pub fn new(write: &str, read: &str) -> Result<Self, PermissionError> {
        for expression in [write, read] {
            checked(&expanded(expression, "x", "x"))?;
        }
        Ok(Self {
            write: write.to_owned(),
            read: read.to_owned(),
        })
    }

    /// Whether a key may be used. What names and vhosts put into an expression may make it none; it
    /// allows nothing then.
    pub(super) fn allow(
        &self,
        permission: Permission,
        routing_key: &str,
        vhost: &str,
        user: &str,
    ) -> bool {
        let expression = match permission {
            Permission::Write => &self.write,
            Permission::Read => &self.read,
            Permission::Configure => return true,
        };
        let expression = match expression.as_str() {
            "" => "^$",
            expression => expression,
        };
        let expanded = expanded(expression, vhost, user);
        Expression::new(&expanded).is_ok_and(|expression| expression.is_match(routing_key))
    }
}

fn expanded(expression: &str, vhost: &str, user: &str) -> String {
    let expression = expression.replace("{username}", user);
    expression.replace("{vhost}", vhost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_in() {
        let permissions = TopicPermissions::new("^{username}\\.", "").expect("expressions");
        let may = |permission, key| permissions.allow(permission, key, "/", "alice");
        assert!(may(Permission::Write, "alice.x"));
        assert!(!may(Permission::Write, "bob.x"));
        assert!(may(Permission::Read, ""));
        assert!(!may(Permission::Read, "alice.x"));
        assert!(TopicPermissions::new("(", "").is_err());
    }
}
