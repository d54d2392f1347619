//! Taking definitions over: what they have and the broker has not is made, users, policies and
//! parameters are changed, nothing is deleted.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::arguments;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::FieldTable;
use crate::broker::accounts::AccountError;
use crate::broker::catalog::NotStored;
use crate::broker::parameters::{ParameterError, Put};
use crate::broker::vhost::{ExchangeDeclare, Metadata, QueueDeclare};
use crate::broker::{Broker, ConnectionId, Effects, Vhost};

/// No client's: such a queue is nobody's alone.
const NOBODY: ConnectionId = ConnectionId(0);

/// Why definitions are refused.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportError {
    /// As RabbitMQ's management says it.
    pub reason: Value,
    /// There is nothing wrong with it, but it can't be stored.
    pub is_not_stored: bool,
}

impl ImportError {
    fn new(reason: impl Into<Value>) -> Self {
        Self {
            reason: reason.into(),
            is_not_stored: false,
        }
    }

    fn no_vhost(name: &str) -> Self {
        Self::new(json!(["no_such_vhost", name]))
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Value::String(text) => f.write_str(text),
            other => write!(f, "{other}"),
        }
    }
}

impl std::error::Error for ImportError {}

impl From<AccountError> for ImportError {
    fn from(error: AccountError) -> Self {
        Self {
            is_not_stored: matches!(error, AccountError::NotStored(_)),
            ..Self::new(error.reason())
        }
    }
}

impl From<NotStored> for ImportError {
    fn from(_: NotStored) -> Self {
        Self {
            is_not_stored: true,
            ..Self::new(NotStored::TEXT)
        }
    }
}

impl From<Exception> for ImportError {
    fn from(exception: Exception) -> Self {
        Self {
            is_not_stored: exception.code == ReplyCode::InternalError,
            ..Self::new(exception.text)
        }
    }
}

/// How many of each kind were in the definitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub users: usize,
    pub vhosts: usize,
    pub permissions: usize,
    pub parameters: usize,
    pub policies: usize,
    pub exchanges: usize,
    pub queues: usize,
    pub bindings: usize,
}

type Document = Map<String, Value>;

/// Takes over definitions of a whole broker. `user` is who wants that, and may use the vhosts that are
/// made.
///
/// # Errors
/// The first thing that is refused. What came before it was taken over.
pub fn import(
    broker: &Arc<Broker>,
    document: &Document,
    user: Option<&str>,
) -> Result<Counts, ImportError> {
    let into = Import {
        broker,
        vhost: None,
        user,
    };
    let mut counts = Counts {
        users: each(document, "users", |user| into.user(user))?,
        vhosts: each(document, "vhosts", |vhost| into.add_vhost(vhost))?,
        ..Counts::default()
    };
    into.check_limits(document)?;
    counts.permissions = each(document, "permissions", |one| into.permission(one))?
        + each(document, "topic_permissions", |one| {
            into.topic_permission(one)
        })?;
    counts.exchanges = each(document, "exchanges", |one| into.exchange(one))?;
    counts.parameters = each(document, "global_parameters", |one| {
        let value = one.get("value").cloned().unwrap_or_default();
        broker.set_global_parameter(text(one, "name")?, value)?;
        Ok(())
    })?;
    into.rest(document, &mut counts)?;
    Ok(counts)
}

/// Takes over definitions of one vhost, whatever vhosts they name.
///
/// # Errors
/// As [`import`].
pub fn import_vhost(
    broker: &Arc<Broker>,
    vhost: &Arc<Vhost>,
    document: &Document,
) -> Result<Counts, ImportError> {
    let into = Import {
        broker,
        vhost: Some(vhost),
        user: None,
    };
    into.check_limits(document)?;
    let mut counts = Counts {
        exchanges: each(document, "exchanges", |one| into.exchange(one))?,
        ..Counts::default()
    };
    into.rest(document, &mut counts)?;
    Ok(counts)
}

struct Import<'a> {
    broker: &'a Arc<Broker>,
    /// The only one, if it is said.
    vhost: Option<&'a Arc<Vhost>>,
    user: Option<&'a str>,
}

/// Calls `take` with each object below a key; says how many there are.
fn each(
    document: &Document,
    key: &str,
    mut take: impl FnMut(&Document) -> Result<(), ImportError>,
) -> Result<usize, ImportError> {
    let list = match document.get(key) {
        None | Some(Value::Null) => return Ok(0),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ImportError::new(format!("{key} is not a list"))),
    };
    for one in list {
        match one {
            Value::Object(one) => take(one)?,
            _ => return Err(ImportError::new(format!("{key} has what is no object"))),
        }
    }
    Ok(list.len())
}

fn text<'a>(one: &'a Document, key: &str) -> Result<&'a str, ImportError> {
    match one.get(key) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(ImportError::new(format!(
            "{key} is missing or not a string"
        ))),
    }
}

fn flag(one: &Document, key: &str, default: bool) -> Result<bool, ImportError> {
    match one.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(ImportError::new(format!("{key} is neither true nor false"))),
    }
}

fn arguments(one: &Document) -> Result<FieldTable, ImportError> {
    match one.get("arguments") {
        None | Some(Value::Null) => Ok(FieldTable::new()),
        Some(Value::Array(none)) if none.is_empty() => Ok(FieldTable::new()),
        Some(Value::Object(map)) => arguments::from_json(map).map_err(ImportError::new),
        Some(_) => Err(ImportError::new("arguments is not an object")),
    }
}

impl Import<'_> {
    fn vhost_of(&self, one: &Document) -> Result<Arc<Vhost>, ImportError> {
        if let Some(vhost) = self.vhost {
            return Ok(Arc::clone(vhost));
        }
        let name = text(one, "vhost")?;
        let vhost = self.broker.vhost(name);
        vhost.ok_or_else(|| ImportError::no_vhost(name))
    }

    /// What both kinds of definitions have, behind what they need.
    fn rest(&self, document: &Document, counts: &mut Counts) -> Result<(), ImportError> {
        counts.policies = each(document, "policies", |one| self.policy(one))?;
        counts.parameters += each(document, "parameters", |one| self.parameter(one))?;
        counts.queues = each(document, "queues", |one| self.queue(one))?;
        counts.bindings = each(document, "bindings", |one| self.binding(one))?;
        Ok(())
    }

    fn user(&self, one: &Document) -> Result<(), ImportError> {
        let name = text(one, "name")?;
        skip_configured(self.broker.put_user(name, one), name)
    }

    fn add_vhost(&self, one: &Document) -> Result<(), ImportError> {
        let name = text(one, "name")?;
        if name.is_empty() {
            return Err(ImportError::new("a vhost's name is empty"));
        }
        let metadata = Metadata::from_json(one).map_err(ImportError::new)?;
        if self.broker.put_vhost(name, metadata)? == Put::Created
            && let Some(user) = self.user
        {
            let granted = self.broker.set_permissions(name, user, [".*", ".*", ".*"]);
            return skip_configured(granted, user);
        }
        Ok(())
    }

    fn permission(&self, one: &Document) -> Result<(), ImportError> {
        let (user, vhost) = (text(one, "user")?, text(one, "vhost")?);
        let expressions = [
            text(one, "configure")?,
            text(one, "write")?,
            text(one, "read")?,
        ];
        let put = self.broker.set_permissions(vhost, user, expressions);
        skip_configured(put, user)
    }

    fn topic_permission(&self, one: &Document) -> Result<(), ImportError> {
        let (user, vhost) = (text(one, "user")?, text(one, "vhost")?);
        let expressions = [text(one, "write")?, text(one, "read")?];
        let exchange = text(one, "exchange")?;
        let put = self
            .broker
            .set_topic_permissions(vhost, user, exchange, expressions);
        skip_configured(put, user)
    }

    fn policy(&self, one: &Document) -> Result<(), ImportError> {
        let vhost = self.vhost_of(one)?;
        let document = json!({
            "pattern": one.get("pattern"),
            "definition": one.get("definition"),
            "priority": one.get("priority").filter(|value| !value.is_null()).unwrap_or(&json!(0)),
            "apply-to": one.get("apply-to").unwrap_or(&json!("all")),
        });
        let name = text(one, "name")?;
        let place = format!(" ({}/{name})", vhost.name());
        self.set(&vhost, "policy", name, document, &place)
    }

    fn parameter(&self, one: &Document) -> Result<(), ImportError> {
        let vhost = self.vhost_of(one)?;
        let (component, name) = (text(one, "component")?, text(one, "name")?);
        if component == "policy" {
            let text = "policies may not be set using this method";
            return Err(ImportError::new(text));
        }
        let value = one.get("value").cloned().unwrap_or_default();
        let place = format!(" ({}/{component}/{name})", vhost.name());
        self.set(&vhost, component, name, value, &place)
    }

    fn set(
        &self,
        vhost: &Vhost,
        component: &str,
        name: &str,
        value: Value,
        place: &str,
    ) -> Result<(), ImportError> {
        let mut effects = Effects::new();
        let set = self
            .broker
            .set_parameter(vhost.name(), component, name, value, &mut effects);
        effects.complete();
        match set {
            Ok(_) => Ok(()),
            Err(ParameterError::NoVhost(vhost)) => Err(ImportError::no_vhost(&vhost)),
            Err(ParameterError::NotStored(error)) => Err(error.into()),
            Err(ParameterError::Invalid(text)) => Err(ImportError::new(text + place)),
        }
    }

    fn exchange(&self, one: &Document) -> Result<(), ImportError> {
        let vhost = self.vhost_of(one)?;
        let name = text(one, "name")?;
        if name.is_empty() || name.starts_with("amq.") {
            tracing::warn!(exchange = ?name, "not taken over: every vhost has its own");
            return Ok(());
        }
        if vhost.has_exchange(name) {
            return Ok(());
        }
        vhost.declare_exchange(ExchangeDeclare {
            name,
            kind: text(one, "type")?,
            passive: false,
            durable: flag(one, "durable", true)?,
            auto_delete: flag(one, "auto_delete", false)?,
            internal: flag(one, "internal", false)?,
            arguments: arguments(one)?,
        })?;
        Ok(())
    }

    fn queue(&self, one: &Document) -> Result<(), ImportError> {
        let vhost = self.vhost_of(one)?;
        let name = text(one, "name")?;
        if name.starts_with("amq.") {
            tracing::warn!(queue = ?name, "not taken over: its name begins with amq.");
            return Ok(());
        }
        if vhost.has_queue(name) {
            return Ok(());
        }
        let mut arguments = arguments(one)?;
        if let Some(queue_type) = one.get("type").and_then(Value::as_str)
            && queue_type != "classic"
            && !arguments.contains("x-queue-type")
        {
            arguments.insert("x-queue-type", queue_type);
        }
        let declare = QueueDeclare {
            name,
            passive: false,
            durable: flag(one, "durable", true)?,
            exclusive: false,
            auto_delete: flag(one, "auto_delete", false)?,
            arguments,
        };
        vhost.declare_queue(declare, NOBODY)?;
        Ok(())
    }

    /// RabbitMQ says nothing of a binding that can't be made; the log does here.
    fn binding(&self, one: &Document) -> Result<(), ImportError> {
        let vhost = self.vhost_of(one)?;
        let (source, destination) = (text(one, "source")?, text(one, "destination")?);
        let routing_key = text(one, "routing_key")?;
        let arguments = arguments(one)?;
        let bound = match text(one, "destination_type")? {
            "queue" => vhost.bind_queue(destination, source, routing_key, arguments, NOBODY),
            "exchange" => vhost.bind_exchange(destination, source, routing_key, arguments),
            other => {
                let text = format!("destination_type '{other}' is neither queue nor exchange");
                return Err(ImportError::new(text));
            }
        };
        if let Err(error) = bound {
            if error.code == ReplyCode::InternalError {
                return Err(error.into());
            }
            tracing::warn!(?source, ?destination, %error, "a binding is not taken over");
        }
        Ok(())
    }

    /// Nothing is taken over if there would be more queues in a vhost than there may be.
    fn check_limits(&self, document: &Document) -> Result<(), ImportError> {
        let mut new: HashMap<Arc<str>, u64> = HashMap::new();
        each(document, "queues", |one| {
            // A vhost that is not there is found out later.
            if let Ok(vhost) = self.vhost_of(one)
                && !vhost.has_queue(text(one, "name")?)
            {
                *new.entry(Arc::clone(vhost.name())).or_default() += 1;
            }
            Ok(())
        })?;
        for (name, added) in new {
            let Some(vhost) = self.broker.vhost(&name) else {
                continue;
            };
            let count = vhost.queue_count();
            if let Some(most) = vhost.max_queues().filter(|most| count + added > *most) {
                return Err(ImportError::new(format!(
                    "Adding {added} queue(s) to virtual host \"{name}\" would exceed the limit of \
                     {most} queue(s).\n\nThis virtual host currently has {count} queue(s) \
                     defined.\n\nImport aborted!"
                )));
            }
        }
        Ok(())
    }
}

/// Every export of RabbitMQ's has the user `guest`, whom configuration may name as well.
fn skip_configured<T>(put: Result<T, AccountError>, user: &str) -> Result<(), ImportError> {
    match put {
        Ok(_) => Ok(()),
        Err(AccountError::Configured(_)) => {
            tracing::warn!(?user, "not taken over: configuration names the user");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
