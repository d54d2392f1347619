//! What is said of something when it is declared: whether it may be, and, if it is there already,
//! whether it is that. PRECONDITION_FAILED with RabbitMQ's texts otherwise.

use std::fmt;

use super::names::Resource;
use super::term::{self, Pretty};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};

/// Refuses an argument that has to name an exchange and is of another type.
pub fn check_names_exchange(
    resource: Resource<'_>,
    arguments: &FieldTable,
    name: &str,
) -> Result<(), Exception> {
    match arguments.get(name) {
        None | Some(FieldValue::LongStr(_)) => Ok(()),
        Some(other) => {
            let kind = other.type_name();
            let text = format!("invalid type '{kind}' for arg '{name}' in {resource}");
            Err(Exception::new(ReplyCode::PreconditionFailed, text))
        }
    }
}

/// Refuses a property (`durable`, `type`, ...) that is not what it was.
pub fn check_property<T: PartialEq + fmt::Display>(
    resource: Resource<'_>,
    property: &str,
    current: T,
    received: T,
) -> Result<(), Exception> {
    if current == received {
        return Ok(());
    }
    Err(inequivalent(
        resource,
        property,
        format!("'{received}'"),
        format!("'{current}'"),
    ))
}

/// Refuses arguments that are not what they were, looking only at those of these names.
pub fn check_arguments(
    resource: Resource<'_>,
    compared: impl IntoIterator<Item = &'static str>,
    current: &FieldTable,
    received: &FieldTable,
) -> Result<(), Exception> {
    for name in compared {
        let is_default = |value: Option<&FieldValue>| {
            // A queue without a type is a classic queue.
            name == "x-queue-type" && value.is_none_or(|value| value.as_str() == Some("classic"))
        };
        let (current, received) = (current.get(name), received.get(name));
        let texts = match (current, received) {
            (None, None) => continue,
            (Some(current), Some(received)) if term::is_same(current, received) => continue,
            (Some(current), Some(received)) => (beside(received), beside(current)),
            _ if is_default(current) && is_default(received) => continue,
            _ => (with_type(received), with_type(current)),
        };
        return Err(inequivalent(resource, name, texts.0, texts.1));
    }
    Ok(())
}

fn inequivalent(
    resource: Resource<'_>,
    name: &str,
    received: String,
    current: String,
) -> Exception {
    Exception::new(
        ReplyCode::PreconditionFailed,
        format!(
            "inequivalent arg '{name}' for {resource}: received {received} but current is {current}"
        ),
    )
}

/// `'value'`, as where both have one.
fn plain(value: &FieldValue) -> String {
    match value.as_bytes() {
        Some(bytes) => format!("'{}'", String::from_utf8_lossy(bytes)),
        None => format!("'{}'", Pretty(value)),
    }
}

/// The same; to RabbitMQ no value beside another is as none at all.
fn beside(value: &FieldValue) -> String {
    match value {
        FieldValue::Void => "none".into(),
        value => plain(value),
    }
}

/// `the value 'value' of type 'type'`, as where the other has none.
fn with_type(value: Option<&FieldValue>) -> String {
    match value {
        None => "none".into(),
        Some(value) => format!("the value {} of type '{}'", plain(value), value.type_name()),
    }
}
