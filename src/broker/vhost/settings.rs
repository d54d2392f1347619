//! What is set for a vhost while the broker runs: runtime parameters, of which policies and limits
//! are kinds, and what is said of it for people.
//!
//! A change of policies is made under the topology lock, so that a queue that is declared meanwhile
//! sees the policies before it or after it; what it changes of queues is done without that lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::exchanges::SYSTEM_EXCHANGES;
use super::{QueueDeclare, Vhost};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::FieldValue;
use crate::broker::Effects;
use crate::broker::exchange::{Exchange, ExchangeSpec};
use crate::broker::policy::{Applied, Book, Kind, Policy};
use crate::broker::queue::{Queue, QueueSpec, QueueType};

/// The component of policies.
pub const POLICY: &str = "policy";
/// The component of operator policies.
pub const OPERATOR_POLICY: &str = "operator_policy";
/// The component of a vhost's limits, which are one parameter called `limits`.
pub const VHOST_LIMITS: &str = "vhost-limits";

/// See the module.
pub(super) struct Settings {
    /// By component and name.
    parameters: Mutex<BTreeMap<(String, String), Value>>,
    book: ArcSwap<Book>,
    metadata: Mutex<Metadata>,
    /// Negative: no limit.
    max_connections: AtomicI64,
    max_queues: AtomicI64,
    /// Connections that are open in it.
    connections: AtomicU64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parameters: Mutex::default(),
            book: ArcSwap::default(),
            metadata: Mutex::default(),
            max_connections: AtomicI64::new(-1),
            max_queues: AtomicI64::new(-1),
            connections: AtomicU64::new(0),
        }
    }
}

/// What is said of a vhost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// For people.
    pub description: String,
    /// For people.
    pub tags: Vec<String>,
    /// The type of queues that are declared without one, where it suits them.
    pub default_queue_type: Option<String>,
}

impl Metadata {
    /// Reads `description`, `tags` (a list, or a text with commas) and `default_queue_type` from a
    /// document, or from what it has as `metadata`.
    ///
    /// # Errors
    /// RabbitMQ's word for what is wrong.
    pub fn from_json(document: &Map<String, Value>) -> Result<Self, String> {
        let metadata = document.get("metadata").and_then(Value::as_object);
        let get = |key: &str| {
            let own = document.get(key);
            let found = own.or_else(|| metadata.and_then(|metadata| metadata.get(key)));
            found.filter(|value| !value.is_null() && value.as_str() != Some("undefined"))
        };
        let description = match get("description") {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(_) => return Err("description_not_valid".into()),
        };
        let tags = match get("tags") {
            None => Some(Vec::new()),
            Some(Value::String(text)) => {
                let words = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                Some(words.map(str::to_owned).collect())
            }
            Some(Value::Array(tags)) => {
                let tags = tags
                    .iter()
                    .map(|tag| tag.as_str().map(|tag| tag.trim().into()));
                tags.collect()
            }
            Some(_) => None,
        };
        let default_queue_type = match get("default_queue_type").or_else(|| get("defaultqueuetype"))
        {
            None => None,
            Some(name) => match name
                .as_str()
                .filter(|name| QueueType::from_name(name).is_some())
            {
                Some(name) => Some(name.to_owned()),
                None => return Err("invalid_queue_type".into()),
            },
        };
        Ok(Self {
            description,
            tags: tags.ok_or("tags_not_valid")?,
            default_queue_type,
        })
    }

    /// A document that it can be read from.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut metadata = Map::new();
        metadata.insert("description".into(), self.description.as_str().into());
        metadata.insert("tags".into(), self.tags.clone().into());
        if let Some(queue_type) = &self.default_queue_type {
            metadata.insert("default_queue_type".into(), queue_type.as_str().into());
        }
        let mut document = metadata.clone();
        document.insert("metadata".into(), metadata.into());
        document
    }
}

impl Vhost {
    /// What is said of it.
    pub fn metadata(&self) -> Metadata {
        self.settings.metadata.lock().clone()
    }

    /// Tells of a vhost that is new, and of what is in it from the start.
    pub(in crate::broker) fn tell_made(&self) {
        let notices = &self.engine().notices;
        for (name, ..) in SYSTEM_EXCHANGES {
            if let Some(exchange) = self.exchanges.get(name) {
                notices.exchange_created(&exchange, self.name());
            }
        }
        notices.vhost_created(self.name(), &self.metadata());
    }

    /// Tells of what else is said of it now.
    pub(in crate::broker) fn tell_changed(&self) {
        let notices = &self.engine().notices;
        notices.vhost_updated(self.name(), &self.metadata(), self.tracing());
    }

    pub(in crate::broker) fn set_metadata(&self, metadata: Metadata) {
        *self.settings.metadata.lock() = metadata;
    }

    /// The parameter of that component and name.
    pub fn parameter(&self, component: &str, name: &str) -> Option<Value> {
        let key = (component.to_owned(), name.to_owned());
        self.settings.parameters.lock().get(&key).cloned()
    }

    /// All parameters, by component and name.
    pub fn parameters(&self) -> BTreeMap<(String, String), Value> {
        self.settings.parameters.lock().clone()
    }

    /// Sets a parameter that was checked, or clears it. Gives the one before.
    pub(in crate::broker) fn change_parameter(
        &self,
        component: &str,
        name: &str,
        value: Option<Value>,
    ) -> Option<Value> {
        let key = (component.to_owned(), name.to_owned());
        let mut parameters = self.settings.parameters.lock();
        match value {
            Some(value) => parameters.insert(key, value),
            None => parameters.remove(&key),
        }
    }

    /// Does what a parameter that was set, or, without a value, cleared asks for.
    pub(in crate::broker) fn heed_parameter(
        &self,
        component: &str,
        value: Option<&Value>,
        effects: &mut Effects,
    ) {
        match component {
            POLICY | OPERATOR_POLICY => self.heed_policies(value, effects),
            VHOST_LIMITS => self.heed_limits(),
            _ => {}
        }
    }

    fn heed_limits(&self) {
        let limits = self.parameter(VHOST_LIMITS, "limits").unwrap_or_default();
        let limit = |name: &str| limits.get(name).and_then(Value::as_i64).unwrap_or(-1);
        let settings = &self.settings;
        let store = |place: &AtomicI64, name| place.store(limit(name), Ordering::Relaxed);
        store(&settings.max_connections, "max-connections");
        store(&settings.max_queues, "max-queues");
    }

    /// One of them was set to `changed`, or cleared.
    fn heed_policies(&self, changed: Option<&Value>, effects: &mut Effects) {
        let all = |component: &str| {
            let parameters = self.settings.parameters.lock();
            let those = parameters
                .iter()
                .filter(|((own, _), _)| own == component)
                .filter_map(|((_, name), value)| {
                    let policy = Policy::parse(name, value, component == OPERATOR_POLICY);
                    // It was checked when it was set, perhaps by another version.
                    let warn = |errors: &Vec<String>| {
                        tracing::warn!(?name, vhost = ?self.name(), ?errors, "a policy does not apply");
                    };
                    policy.inspect_err(warn).ok()
                });
            those.collect::<Vec<_>>()
        };
        let topology = self.topology.lock();
        let version = self.settings.book.load().version + 1;
        let book = Arc::new(Book::new(version, all(POLICY), all(OPERATOR_POLICY)));
        self.settings.book.store(Arc::clone(&book));
        let (queues, exchanges) = (self.queues(), self.exchanges());
        drop(topology);

        let mut changes_routes = false;
        for exchange in exchanges {
            let policies = book.find(Kind::Exchange, exchange.name());
            changes_routes |= exchange.apply_policies(policies, version);
        }
        if changes_routes {
            self.bump_epoch();
        }
        for queue in queues {
            let policies = book.find(Kind::Queue(queue.queue_type()), queue.name());
            if queue.apply_policies(policies, version, effects) {
                let notices = &self.engine().notices;
                notices.queue_policy_changed(&queue, self.name(), changed);
            }
            effects.complete();
        }
    }

    /// The policies that apply to something of that kind and name, and their version.
    pub(super) fn policies_of(&self, kind: Kind, name: &str) -> (Applied, u64) {
        let book = self.settings.book.load();
        (book.find(kind, name), book.version)
    }

    /// A new exchange, with the policies that apply to it. Called with the topology locked.
    pub(super) fn make_exchange(
        self: &Arc<Self>,
        spec: ExchangeSpec,
    ) -> Result<Arc<Exchange>, Exception> {
        let exchange = Exchange::new(spec, &Arc::downgrade(self), self.name(), self.engine())?;
        let (policies, version) = self.policies_of(Kind::Exchange, exchange.name());
        exchange.apply_policies(policies, version);
        Ok(exchange)
    }

    /// A new queue, with the policies that apply to it. Called with the topology locked.
    pub(super) fn make_queue(&self, spec: QueueSpec) -> Result<Arc<Queue>, Exception> {
        let name = Arc::clone(&spec.name);
        Queue::under_policies(spec, |queue_type| {
            self.policies_of(Kind::Queue(queue_type), &name)
        })
    }

    /// A queue that is declared without a type has the vhost's, if that can be what is declared.
    pub(super) fn fill_in_queue_type(&self, declare: &mut QueueDeclare<'_>) {
        const ARGUMENT: &str = "x-queue-type";
        if declare.passive || declare.arguments.contains(ARGUMENT) {
            return;
        }
        let metadata = self.settings.metadata.lock();
        let Some(queue_type) = &metadata.default_queue_type else {
            return;
        };
        let stays = declare.durable && !declare.exclusive && !declare.auto_delete;
        if stays || queue_type == "classic" {
            let value = FieldValue::from(queue_type.as_str());
            declare.arguments.insert(ARGUMENT, value);
        }
    }

    /// Refuses one more queue where there are as many as there may be.
    pub(super) fn check_queue_limit(&self, name: &str) -> Result<(), Exception> {
        match self.max_queues() {
            Some(most) if self.queues.len() as u64 >= most => {
                let vhost = self.name();
                let text = format!(
                    "cannot declare queue '{name}': queue limit in vhost '{vhost}' ({most}) is reached"
                );
                Err(Exception::new(ReplyCode::PreconditionFailed, text))
            }
            _ => Ok(()),
        }
    }

    /// How many queues there may be, if there is a limit.
    pub fn max_queues(&self) -> Option<u64> {
        let most = self.settings.max_queues.load(Ordering::Relaxed);
        u64::try_from(most).ok()
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> u64 {
        self.queues.len() as u64
    }

    /// How many connections there may be, if there is a limit.
    pub fn max_connections(&self) -> Option<u64> {
        let most = self.settings.max_connections.load(Ordering::Relaxed);
        u64::try_from(most).ok()
    }

    /// How many connections are open in it.
    pub(in crate::broker) fn connections(&self) -> &AtomicU64 {
        &self.settings.connections
    }
}
