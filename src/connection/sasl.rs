//! The SASL mechanisms PLAIN and AMQPLAIN: what a client's response says.
//!
//! Neither has a second round: as with RabbitMQ, a response that is missing is an invalid one.

use crate::amqp::table::{FieldTable, FieldValue};

/// A mechanism that clients may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    AmqPlain,
}

/// A name and a password, as the client sent them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub user: String,
    pub password: Vec<u8>,
}

impl Mechanism {
    /// The mechanism of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "PLAIN" => Some(Self::Plain),
            "AMQPLAIN" => Some(Self::AmqPlain),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
        }
    }

    /// What the response says; None if it is none of this mechanism.
    pub fn credentials(self, response: &[u8]) -> Option<Credentials> {
        match self {
            Self::Plain => plain(response),
            Self::AmqPlain => amqplain(response),
        }
    }
}

/// NUL user NUL password. RabbitMQ takes no authorization identity in front.
fn plain(response: &[u8]) -> Option<Credentials> {
    let mut parts = response.strip_prefix(&[0])?.split(|byte| *byte == 0);
    let (user, password) = (parts.next()?, parts.next()?);
    match parts.next() {
        None => credentials(user, password),
        Some(_) => None,
    }
}

/// The contents of a field table with LOGIN and PASSWORD, the first of each name. As in RabbitMQ one of
/// them has to be a string, and the other one may be bytes; a password that is neither is a wrong one.
fn amqplain(response: &[u8]) -> Option<Credentials> {
    let table = FieldTable::decode(response).ok()?;
    let (user, password) = (table.get("LOGIN")?, table.get("PASSWORD")?);
    let is_string = |value: &FieldValue| matches!(value, FieldValue::LongStr(_));
    if !is_string(user) && !is_string(password) {
        return None;
    }
    credentials(user.as_bytes()?, password.as_bytes().unwrap_or_default())
}

fn credentials(user: &[u8], password: &[u8]) -> Option<Credentials> {
    Some(Credentials {
        // A name that is no text is nobody's, and refused as such.
        user: String::from_utf8_lossy(user).into_owned(),
        password: password.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mechanism: &str, response: &[u8]) -> Option<(String, Vec<u8>)> {
        let found = Mechanism::named(mechanism)?.credentials(response)?;
        Some((found.user, found.password))
    }

    #[test]
    fn plain_takes_exactly_user_and_password() {
        let guest = Some(("guest".to_string(), b"guest".to_vec()));
        assert_eq!(found("PLAIN", b"\0guest\0guest"), guest);
        assert_eq!(found("PLAIN", b"\0\0"), Some((String::new(), Vec::new())));
        for wrong in [
            &b""[..],
            b"\0guest",
            b"guest\0guest",
            b"x\0guest\0guest",
            b"\0guest\0guest\0",
        ] {
            assert_eq!(found("PLAIN", wrong), None, "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn amqplain_wants_both_as_strings() {
        let response = |entries: Vec<(&str, FieldValue)>| {
            let mut response = Vec::new();
            entries
                .into_iter()
                .collect::<FieldTable>()
                .encode(&mut response);
            response
        };
        let right = response(vec![("PASSWORD", "b".into()), ("LOGIN", "a".into())]);
        let found = |response: &[u8]| found("AMQPLAIN", response);
        assert_eq!(found(&right), Some(("a".to_string(), b"b".to_vec())));
        assert_eq!(found(&response(vec![("LOGIN", "a".into())])), None);
        let number = response(vec![("PASSWORD", "b".into()), ("LOGIN", 1.into())]);
        assert_eq!(found(&number), None);
        let no_password = response(vec![("PASSWORD", 1.into()), ("LOGIN", "a".into())]);
        assert_eq!(found(&no_password), Some(("a".to_string(), Vec::new())));
        let bytes = |bytes: &'static [u8]| FieldValue::Bytes(bytes.into());
        let one = response(vec![("PASSWORD", bytes(b"b")), ("LOGIN", "a".into())]);
        assert_eq!(found(&one), Some(("a".to_string(), b"b".to_vec())));
        let both = response(vec![("PASSWORD", bytes(b"b")), ("LOGIN", bytes(b"a"))]);
        assert_eq!(found(&both), None);
        assert_eq!(found(b"\xffnonsense"), None);
        assert_eq!(Mechanism::named("EXTERNAL"), None);
    }
}
