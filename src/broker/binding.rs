//! Bindings: what leads from an exchange to a queue or to another exchange, and the book of all
//! of a vhost's.
//!
//! A binding is named by its source, its destination, its routing key and its arguments; the
//! same once more is the same binding. The book knows the bindings by source and by destination,
//! which is what deletion needs; how an exchange finds its destinations for a message is the
//! business of its own table.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap, HashSet};

use super::catalog::{Durability, StoredBy};
use super::exchange::Exchange;
use super::ids::BindingId;
use super::queue::Queue;
use crate::amqp::table::FieldTable;

/// Where a binding leads.
#[derive(Clone)]
pub enum Destination {
    /// To a queue.
    Queue(Arc<Queue>),
    /// To another exchange (or to the same one).
    Exchange(Arc<Exchange>),
}

impl Destination {
    /// Its number: no exchange has that of a queue.
    pub fn number(&self) -> u64 {
        match self {
            Self::Queue(queue) => queue.id().0,
            Self::Exchange(exchange) => exchange.id().0,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Queue(queue) => queue.name(),
            Self::Exchange(exchange) => exchange.name(),
        }
    }

    /// Whether it survives a restart.
    pub fn is_durable(&self) -> bool {
        match self {
            Self::Queue(queue) => queue.is_durable(),
            Self::Exchange(exchange) => exchange.is_durable(),
        }
    }
}

/// A binding. The default exchange's are implied and never made.
pub struct Binding {
    /// Its number.
    pub id: BindingId,
    /// The exchange that it leads from.
    pub source: Arc<Exchange>,
    /// What it leads to.
    pub destination: Destination,
    /// What it is bound with.
    pub routing_key: Arc<str>,
    /// Its arguments, sorted by name.
    pub arguments: FieldTable,
    /// By when it is stored, if it is durable.
    pub stored_by: StoredBy,
    encoded_arguments: Box<[u8]>,
}

/// Whether a binding between these survives a restart: where both of its ends do.
fn survives(source: &Exchange, destination: &Destination) -> bool {
    source.is_durable() && destination.is_durable()
}

impl Binding {
    /// Whether it survives a restart, and by when it is stored.
    pub fn durability(&self) -> Durability {
        self.stored_by.durability(self.is_durable())
    }

    /// Whether it survives a restart: where both of its ends do.
    pub fn is_durable(&self) -> bool {
        survives(&self.source, &self.destination)
    }

    fn identity(&self) -> Identity<'_> {
        Identity {
            source: self.source.id().0,
            destination: self.destination.number(),
            routing_key: &self.routing_key,
            arguments: &self.encoded_arguments,
        }
    }
}

/// What makes two bindings the same.
#[derive(PartialEq, Eq, Hash)]
struct Identity<'a> {
    source: u64,
    destination: u64,
    routing_key: &'a str,
    arguments: &'a [u8],
}

/// A binding as a set's entry, by its identity.
struct Entry(Arc<Binding>);

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.identity().hash(state);
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0.identity() == other.0.identity()
    }
}

impl Eq for Entry {}

impl Equivalent<Entry> for Identity<'_> {
    fn equivalent(&self, entry: &Entry) -> bool {
        *self == entry.0.identity()
    }
}

/// A binding that is asked for: to be made, or to be removed.
pub struct BindingRequest {
    source: Arc<Exchange>,
    destination: Destination,
    routing_key: Arc<str>,
    arguments: FieldTable,
    encoded_arguments: Box<[u8]>,
}

impl BindingRequest {
    /// Whether it would survive a restart.
    pub fn is_durable(&self) -> bool {
        survives(&self.source, &self.destination)
    }

    /// A request; the arguments' order does not matter.
    pub fn new(
        source: Arc<Exchange>,
        destination: Destination,
        routing_key: &str,
        mut arguments: FieldTable,
    ) -> Self {
        arguments
            .0
            .sort_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
        let mut encoded_arguments = Vec::new();
        arguments.encode(&mut encoded_arguments);
        Self {
            source,
            destination,
            routing_key: routing_key.into(),
            arguments,
            encoded_arguments: encoded_arguments.into(),
        }
    }

    /// The binding that was asked for, under its number.
    pub fn into_binding(self, id: BindingId) -> Arc<Binding> {
        Arc::new(Binding {
            id,
            source: self.source,
            destination: self.destination,
            routing_key: self.routing_key,
            arguments: self.arguments,
            stored_by: StoredBy::default(),
            encoded_arguments: self.encoded_arguments,
        })
    }

    fn identity(&self) -> Identity<'_> {
        Identity {
            source: self.source.id().0,
            destination: self.destination.number(),
            routing_key: &self.routing_key,
            arguments: &self.encoded_arguments,
        }
    }
}

/// The book of a vhost's bindings.
#[derive(Default)]
pub struct Bindings {
    by_source: HashMap<u64, HashSet<Entry>>,
    by_destination: HashMap<u64, HashSet<Entry>>,
}

impl Bindings {
    /// The binding that is asked for, if there is one.
    pub fn find(&self, request: &BindingRequest) -> Option<&Arc<Binding>> {
        let of_source = self.by_source.get(&request.source.id().0)?;
        of_source.get(&request.identity()).map(|entry| &entry.0)
    }

    /// Whether anything is bound to that exchange.
    pub fn has_source(&self, source: &Exchange) -> bool {
        self.by_source.contains_key(&source.id().0)
    }

    /// Adds a binding that is not there yet.
    pub fn insert(&mut self, binding: &Arc<Binding>) {
        let (source, destination) = (binding.source.id().0, binding.destination.number());
        self.by_source
            .entry(source)
            .or_default()
            .insert(Entry(Arc::clone(binding)));
        self.by_destination
            .entry(destination)
            .or_default()
            .insert(Entry(Arc::clone(binding)));
    }

    /// Removes a binding.
    pub fn remove(&mut self, binding: &Binding) {
        remove_from(&mut self.by_source, binding.source.id().0, binding);
        remove_from(
            &mut self.by_destination,
            binding.destination.number(),
            binding,
        );
    }

    /// Removes all bindings that lead from that exchange.
    pub fn remove_source(&mut self, source: &Exchange) -> Vec<Arc<Binding>> {
        let entries = self.by_source.remove(&source.id().0).unwrap_or_default();
        for Entry(binding) in &entries {
            remove_from(
                &mut self.by_destination,
                binding.destination.number(),
                binding,
            );
        }
        entries.into_iter().map(|entry| entry.0).collect()
    }

    /// Removes all bindings that lead to the queue or exchange of that number.
    pub fn remove_destination(&mut self, destination: u64) -> Vec<Arc<Binding>> {
        let entries = self.by_destination.remove(&destination).unwrap_or_default();
        for Entry(binding) in &entries {
            remove_from(&mut self.by_source, binding.source.id().0, binding);
        }
        entries.into_iter().map(|entry| entry.0).collect()
    }

    /// All bindings, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.by_source.values().flatten().map(|entry| &entry.0)
    }
}

fn remove_from(book: &mut HashMap<u64, HashSet<Entry>>, number: u64, binding: &Binding) {
    if let Some(entries) = book.get_mut(&number) {
        entries.remove(&binding.identity());
        if entries.is_empty() {
            book.remove(&number);
        }
    }
}
