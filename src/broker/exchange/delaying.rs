//! x-delayed-message: an exchange that routes as one of another type, and keeps messages with a delay in a
//! store of its own until it does.
//!
//! The store is a queue that no client sees, under the exchange's number. How it waits is its own business.

use std::sync::{Arc, Weak};

use super::{ExchangeKind, ExchangeSpec};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::{FieldTable, FieldValue};
use crate::broker::queue::{QueueId, QueueSpec};
use crate::broker::{Engine, Queue, Vhost};

/// The argument that names the type by which such an exchange routes.
const ROUTES_AS: &str = "x-delayed-type";

/// The type by which an exchange with these arguments routes.
///
/// # Errors
/// With the plugin's texts: PRECONDITION_FAILED if none is named, or its own; COMMAND_INVALID, which is
/// hard, for a type that there is none of.
pub fn routes_as(arguments: &FieldTable) -> Result<ExchangeKind, Exception> {
    let refusal = |text: &str| Exception::new(ReplyCode::PreconditionFailed, text);
    let name = arguments.get(ROUTES_AS).and_then(FieldValue::as_bytes);
    let Some(name) = name else {
        return Err(refusal(
            "Invalid argument, 'x-delayed-type' must be an existing exchange type",
        ));
    };
    match ExchangeKind::from_name(&String::from_utf8_lossy(name))? {
        ExchangeKind::DelayedMessage => Err(refusal(
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        )),
        kind => Ok(kind),
    }
}

/// Where the exchange keeps messages until their delay is over.
pub fn store(
    spec: &ExchangeSpec,
    vhost: &Weak<Vhost>,
    vhost_name: &Arc<str>,
    engine: &Arc<Engine>,
) -> Result<Arc<Queue>, Exception> {
    Queue::for_delayed(QueueSpec {
        id: QueueId(spec.id.0),
        engine: Arc::clone(engine),
        vhost: Weak::clone(vhost),
        vhost_name: Arc::clone(vhost_name),
        name: Arc::clone(&spec.name),
        durable: spec.durable,
        auto_delete: false,
        exclusive_owner: None,
        arguments: FieldTable::new(),
    })
}
