//! Regular expressions over names, as RabbitMQ's: of users' permissions and of policies' patterns.
//!
//! The dialect is nearly that of PCRE, with look-around and back-references. What uses neither takes time
//! in proportion to the name's length. What does may try so many ways at most: past that it matches nothing,
//! as PCRE's own limit has it in RabbitMQ.

use std::fmt;

use fancy_regex::{Regex, RegexBuilder};

/// So many steps may a match take that has to go back.
const MOST_STEPS: usize = 100_000;

/// See the module.
#[derive(Clone, Debug)]
pub struct Expression(Regex);

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoExpression(String);

impl fmt::Display for NoExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NoExpression {}

impl Expression {
    /// Compiles it.
    ///
    /// # Errors
    /// It is none.
    pub fn new(text: &str) -> Result<Self, NoExpression> {
        Self::build(&mut RegexBuilder::new(text))
    }

    /// The same, for which upper and lower case are one.
    ///
    /// # Errors
    /// It is none.
    pub fn in_any_case(text: &str) -> Result<Self, NoExpression> {
        Self::build(RegexBuilder::new(text).case_insensitive(true))
    }

    fn build(builder: &mut RegexBuilder) -> Result<Self, NoExpression> {
        let built = builder.backtrack_limit(MOST_STEPS).build();
        built
            .map(Self)
            .map_err(|error| NoExpression(error.to_string()))
    }

    /// Whether it is found anywhere in a name.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name).unwrap_or(false)
    }
}

/// An expression that matches that text alone.
pub fn literal(text: &str) -> String {
    fancy_regex::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, name: &str) -> bool {
        Expression::new(expression)
            .expect("an expression")
            .is_match(name)
    }

    #[test]
    fn they_look_around_and_back() {
        assert!(matches("^(?!amq\\.).*", "mine"));
        assert!(!matches("^(?!amq\\.).*", "amq.gen-1"));
        assert!(matches("(?<=a)b", "xab"));
        assert!(!matches("(?<=a)b", "xb"));
        assert!(matches("(a)\\1", "xaay"));
        assert!(!matches("(a)\\1", "aba"));
        assert!(matches("\\Aa.c\\z", "abc"));
        for none in ["(", "[z-a]", "(?<name", "*a"] {
            assert!(Expression::new(none).is_err(), "{none}");
        }
    }

    /// One that goes back again and again ends, and matches nothing.
    #[test]
    fn none_stalls() {
        let name = "a".repeat(200);
        assert!(!matches("^(?=(a+)+$)(a|aa)+\\1b", &name));
        assert!(!matches("(x+x+)+y", &"x".repeat(10_000)));
    }

    #[test]
    fn a_literal_is_nothing_but_itself() {
        assert!(matches(&literal("a.b(c"), "xa.b(cx"));
        assert!(!matches(&literal("a.b"), "axb"));
        assert!(
            Expression::in_any_case("aB")
                .expect("an expression")
                .is_match("xAby")
        );
    }
}
