//! What a user may do in a vhost: three regular expressions, as RabbitMQ's.
//!
//! They are searched for in a resource's name, anywhere in it unless they are anchored; an empty
//! one matches only the empty name, which nothing has. `expression.rs` says what they may consist of.

use std::fmt;

use super::expression::Expression;

/// What a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Declare and delete.
    Configure,
    /// Publish to, bind to.
    Write,
    /// Consume, get, purge, bind from.
    Read,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Permissions {
    /// As they were given.
    expressions: [String; 3],
    configure: Names,
    write: Names,
    read: Names,
}

/// An expression that is none.
#[derive(Clone, Debug)]
pub struct PermissionError {
    /// The expression.
    pub expression: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for PermissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expression, why } = self;
        write!(
            f,
            "the permission '{expression}' is no regular expression that Warren knows: {why}"
        )
    }
}

impl std::error::Error for PermissionError {}

impl Permissions {
    /// Compiles the expressions.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Self, PermissionError> {
        Ok(Self {
            expressions: [configure, write, read].map(str::to_owned),
            configure: Names::new(configure)?,
            write: Names::new(write)?,
            read: Names::new(read)?,
        })
    }

    /// Everything.
    pub fn all() -> Self {
        Self {
            expressions: [".*", ".*", ".*"].map(str::to_owned),
            configure: Names::All,
            write: Names::All,
            read: Names::All,
        }
    }

    /// The expressions: configure, write, read.
    pub fn expressions(&self) -> &[String; 3] {
        &self.expressions
    }

    /// Whether a resource of that name may be used so.
    pub fn allow(&self, permission: Permission, resource: &str) -> bool {
        let names = match permission {
            Permission::Configure => &self.configure,
            Permission::Write => &self.write,
            Permission::Read => &self.read,
        };
        match names {
            Names::All => true,
            Names::OnlyEmpty => resource.is_empty(),
            Names::Matching(expression) => expression.is_match(resource),
        }
    }
}

/// The names that an expression matches.
#[derive(Clone, Debug)]
enum Names {
    All,
    OnlyEmpty,
    Matching(Expression),
}

impl Names {
    fn new(expression: &str) -> Result<Self, PermissionError> {
        match expression {
            "" | "^$" => Ok(Self::OnlyEmpty),
            ".*" | "^.*$" => Ok(Self::All),
            _ => checked(expression).map(Self::Matching),
        }
    }
}

/// The expression, if it is one.
pub(super) fn checked(expression: &str) -> Result<Expression, PermissionError> {
    Expression::new(expression).map_err(|error| PermissionError {
        expression: expression.to_owned(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(expression: &str, name: &str) -> bool {
        let permissions = Permissions::new(expression, "", "").expect("an expression");
        permissions.allow(Permission::Configure, name)
    }

    #[test]
    fn are_searched_for_as_rabbitmq_does() {
        assert!(may(".*", "anything"));
        assert!(may("foo", "a foo somewhere"));
        assert!(!may("^foo$", "a foo somewhere"));
        assert!(may("^foo$", "foo"));
        assert!(may("^(amq\\.gen.*|amq\\.default)$", "amq.gen-abc"));
        assert!(may("^(amq\\.gen.*|amq\\.default)$", "amq.default"));
        assert!(!may("^(amq\\.gen.*|amq\\.default)$", "mine"));
        assert!(may("", ""));
        assert!(!may("", "anything"));
        assert!(may("x|", "anything"), "an empty branch is found everywhere");
        assert!(may("^(?!secret)", "open"));
        assert!(!may("^(?!secret)", "secret.a"));
    }

    #[test]
    fn are_three() {
        let permissions = Permissions::new("^c", "^w", "^r").expect("expressions");
        assert!(permissions.allow(Permission::Configure, "c"));
        assert!(permissions.allow(Permission::Write, "w"));
        assert!(permissions.allow(Permission::Read, "r"));
        assert!(!permissions.allow(Permission::Read, "w"));
        assert!(!permissions.allow(Permission::Write, "c"));
        assert!(!permissions.allow(Permission::Configure, "r"));
    }

    #[test]
    fn that_are_not_understood_are_refused() {
        for expression in ["(", "[z-a]"] {
            let error = Permissions::new(expression, "", "").expect_err("refused");
            assert_eq!(error.expression, expression);
        }
    }
}
