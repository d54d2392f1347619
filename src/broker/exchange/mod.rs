//! Exchanges: what a message's exchange makes of its key and headers.
//!
//! ```text
//! Exchange ── Table ─┬─ direct            by the key
//!                    ├─ fanout            all
//!                    ├─ topic             by patterns of words
//!                    ├─ headers           by the headers ── message_headers
//!                    ├─ consistent_hash   who has the key ── rendezvous
//!                    ├─ random            one, by chance ─────┬─ bound
//!                    ├─ modulus_hash      one, by the key ────┘
//!                    ├─ recent_history    all, and what is bound later
//!                    └─ deduplication     all, each message once
//!                          │
//!                          └─▶ destinations ─▶ found
//!          └─ delaying: a store where messages wait, before any of these
//! ```
//!
//! A table changes one binding at a time, under its exchange's own lock, held briefly; messages
//! are routed under that lock shared. How exchanges lead to each other is `routing`'s business.

mod bound;
mod consistent_hash;
mod deduplication;
mod delaying;
mod destinations;
mod direct;
mod fanout;
mod found;
mod headers;
mod message_headers;
mod modulus_hash;
mod random;
mod recent_history;
mod rendezvous;
mod topic;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, RwLock};

pub(crate) use found::Found;
pub(crate) use message_headers::MessageHeaders;
pub(super) use recent_history::KeptMessage;

use self::consistent_hash::ConsistentHash;
use self::deduplication::{Came, Deduplication};
use self::direct::Direct;
use self::fanout::Fanout;
use self::headers::Headers;
use self::modulus_hash::ModulusHash;
use self::random::Random;
use self::recent_history::RecentHistory;
use self::topic::Topic;
use super::binding::{Binding, Destination};
use super::catalog::{Durability, Revision, StoredBy};
use super::deduplication::{Seen, Storing};
use super::delayed_message::{DELAY, delay_ms};
use super::engine::{Engine, Held};
use super::ids::ExchangeId;
use super::names::Resource;
use super::passage::Passage;
use super::policy::Applied;
use super::{Queue, Vhost};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::FieldTable;
use crate::store::journal::SeenId;

/// The types of exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
    ConsistentHash,
    Random,
    LocalRandom,
    ModulusHash,
    RecentHistory,
    MessageDeduplication,
    DelayedMessage,
}

/// All types and their names.
const KINDS: [(ExchangeKind, &str); 11] = [
    (ExchangeKind::Direct, "direct"),
    (ExchangeKind::Fanout, "fanout"),
    (ExchangeKind::Topic, "topic"),
    (ExchangeKind::Headers, "headers"),
    (ExchangeKind::ConsistentHash, "x-consistent-hash"),
    (ExchangeKind::Random, "x-random"),
    (ExchangeKind::LocalRandom, "x-local-random"),
    (ExchangeKind::ModulusHash, "x-modulus-hash"),
    (ExchangeKind::RecentHistory, "x-recent-history"),
    (
        ExchangeKind::MessageDeduplication,
        "x-message-deduplication",
    ),
    (ExchangeKind::DelayedMessage, "x-delayed-message"),
];

impl ExchangeKind {
    /// The type of that name. COMMAND_INVALID, which is hard, if there is none.
    pub fn from_name(name: &str) -> Result<Self, Exception> {
        match KINDS.iter().find(|(_, known)| *known == name) {
            Some((kind, _)) => Ok(*kind),
            None => {
                // RabbitMQ's type names are atoms it knows; the empty one is none at all.
                let fault = if name.is_empty() {
                    "invalid"
                } else {
                    "unknown"
                };
                let text = format!("{fault} exchange type '{name}'");
                Err(Exception::new(ReplyCode::CommandInvalid, text))
            }
        }
    }

    /// The type's name.
    pub fn name(self) -> &'static str {
        let known = KINDS.iter().find(|(kind, _)| *kind == self);
        known.map_or("", |(_, name)| name)
    }
}

/// As RabbitMQ says it in refusals: an Erlang atom, which has quotes where it is no plain word.
impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            name if name.contains('-') => write!(f, "'{name}'"),
            name => f.write_str(name),
        }
    }
}

/// What an exchange is declared with.
pub struct ExchangeSpec {
    /// Its number.
    pub id: ExchangeId,
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with the last binding from it.
    pub auto_delete: bool,
    /// Cannot be published to by clients.
    pub internal: bool,
    /// x-arguments as declared.
    pub arguments: FieldTable,
}

/// An exchange.
pub struct Exchange {
    spec: ExchangeSpec,
    /// By when it is stored, if it is durable.
    stored_by: StoredBy,
    /// The type by which it routes: its own, or what x-delayed-type names.
    routes_as: ExchangeKind,
    /// Where messages wait that are to be routed later (x-delayed-message).
    delays: Option<Arc<Queue>>,
    /// As declared, or as policies say where it was not.
    alternate: ArcSwapOption<Arc<str>>,
    /// Those that apply to it, and as of which version of the vhost's.
    policies: Mutex<(u64, Applied)>,
    varies: bool,
    has_memory: bool,
    keeps_ids: bool,
    /// How many bindings lead from it.
    bindings: Arc<AtomicUsize>,
    table: RwLock<Table>,
}

/// What is bound to an exchange, in the way in which its type looks for it.
enum Table {
    Direct(Direct),
    Fanout(Fanout),
    Topic(Topic),
    Headers(Headers),
    ConsistentHash(ConsistentHash),
    Random(Random),
    ModulusHash(ModulusHash),
    RecentHistory(RecentHistory),
    Deduplication(Box<Deduplication>),
}

impl Exchange {
    /// An exchange to which nothing is bound, in that vhost, which has that name.
    ///
    /// # Errors
    /// PRECONDITION_FAILED, with RabbitMQ's text, for arguments that its type cannot have.
    pub fn new(
        spec: ExchangeSpec,
        vhost: &Weak<Vhost>,
        vhost_name: &Arc<str>,
        engine: &Arc<Engine>,
    ) -> Result<Arc<Self>, Exception> {
        let routes_as = match spec.kind {
            ExchangeKind::DelayedMessage => delaying::routes_as(&spec.arguments)?,
            kind => kind,
        };
        let resource = Resource::exchange(&spec.name, vhost_name);
        let table = Table::new(routes_as, &spec, resource, engine)?;
        let delays = match spec.kind {
            ExchangeKind::DelayedMessage => {
                Some(delaying::store(&spec, vhost, vhost_name, engine)?)
            }
            _ => None,
        };
        let alternate = alternate_of(&spec, &Applied::default());
        Ok(Arc::new(Self {
            alternate: ArcSwapOption::from(alternate),
            policies: Mutex::default(),
            varies: table.varies(),
            has_memory: matches!(table, Table::RecentHistory(_) | Table::Deduplication(_)),
            keeps_ids: matches!(&table, Table::Deduplication(table) if table.is_kept()),
            stored_by: StoredBy::default(),
            bindings: Arc::default(),
            table: RwLock::new(table),
            routes_as,
            delays,
            spec,
        }))
    }

    /// Its number.
    pub fn id(&self) -> ExchangeId {
        self.spec.id
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// Its type.
    pub fn kind(&self) -> ExchangeKind {
        self.spec.kind
    }

    /// Whether it survives a restart.
    pub fn is_durable(&self) -> bool {
        self.spec.durable
    }

    /// Whether it survives a restart, and by when it is stored.
    pub fn durability(&self) -> Durability {
        self.stored_by.durability(self.is_durable())
    }

    /// It was submitted to the catalog with that transaction; nobody knows it yet.
    pub(super) fn submitted(&self, revision: Revision) {
        self.stored_by.set(revision);
        if let Some(delayed) = &self.delays {
            delayed.stored_by().set(revision);
        }
    }

    /// Whether it goes with the last binding from it.
    pub fn is_auto_delete(&self) -> bool {
        self.spec.auto_delete
    }

    /// Whether clients may not publish to it.
    pub fn is_internal(&self) -> bool {
        self.spec.internal
    }

    /// x-arguments as declared.
    pub fn arguments(&self) -> &FieldTable {
        &self.spec.arguments
    }

    /// Where a message goes for which nothing was found here.
    pub fn alternate(&self) -> Option<Arc<str>> {
        let alternate = self.alternate.load();
        alternate.as_deref().map(Arc::clone)
    }

    /// The policies that apply to it, now.
    pub fn policies(&self) -> Applied {
        self.policies.lock().1.clone()
    }

    /// These policies apply to it as of that version of the vhost's. What comes late, after a newer
    /// version, is ignored. Says whether anything changed for routes.
    pub(super) fn apply_policies(&self, policies: Applied, version: u64) -> bool {
        let mut applied = self.policies.lock();
        if applied.0 >= version {
            return false;
        }
        let alternate = alternate_of(&self.spec, &policies);
        let is_other = self.alternate.load().as_ref() != alternate.as_ref();
        self.alternate.store(alternate);
        *applied = (version, policies);
        is_other
    }

    /// The name of the policy that applies to it, if there is one.
    pub(super) fn policy_name(&self) -> Option<String> {
        let applied = self.policies.lock();
        let policy = applied.1.policy.as_ref();
        policy.map(|policy| policy.name.clone())
    }

    /// Whether two messages with one routing key may go different ways from here, though nothing was
    /// bound or unbound. (Of headers the message itself knows whether they were read.)
    pub(super) fn varies(&self) -> bool {
        self.varies
    }

    /// Whether what went through it makes a difference: messages are to pass it one by one, by
    /// [`Exchange::pass`].
    pub(super) fn has_memory(&self) -> bool {
        self.has_memory
    }

    /// Whether it remembers ids that a restart must not make it forget.
    pub(super) fn keeps_ids(&self) -> bool {
        self.keeps_ids
    }

    /// Refuses a binding that an exchange of this type cannot have.
    pub(super) fn check_binding(
        &self,
        routing_key: &str,
        arguments: &FieldTable,
        destination: &Destination,
    ) -> Result<(), Exception> {
        match self.routes_as {
            ExchangeKind::Headers => headers::check_arguments(arguments),
            ExchangeKind::ConsistentHash => consistent_hash::check_binding(routing_key),
            ExchangeKind::LocalRandom => random::check_local_binding(routing_key, destination),
            ExchangeKind::Direct
            | ExchangeKind::Fanout
            | ExchangeKind::Topic
            | ExchangeKind::Random
            | ExchangeKind::ModulusHash
            | ExchangeKind::RecentHistory
            | ExchangeKind::MessageDeduplication
            | ExchangeKind::DelayedMessage => Ok(()),
        }
    }

    /// A binding was made. Each is added once. Gives the messages that went through before, the oldest
    /// first, where those are kept for what is bound.
    pub(super) fn add(&self, binding: &Binding) -> Vec<Arc<KeptMessage>> {
        self.bindings.fetch_add(1, Ordering::Relaxed);
        match &mut *self.table.write() {
            Table::Direct(table) => table.add(binding),
            Table::Fanout(table) => table.add(binding),
            Table::Topic(table) => table.add(binding),
            Table::Headers(table) => table.add(binding),
            Table::ConsistentHash(table) => table.add(binding),
            Table::Random(table) => table.add(binding),
            Table::ModulusHash(table) => table.add(binding),
            Table::RecentHistory(table) => {
                table.add(binding);
                return table.messages();
            }
            Table::Deduplication(table) => table.add(binding),
        }
        Vec::new()
    }

    /// A binding was removed.
    pub(super) fn remove(&self, binding: &Binding) {
        self.bindings.fetch_sub(1, Ordering::Relaxed);
        match &mut *self.table.write() {
            Table::Direct(table) => table.remove(binding),
            Table::Fanout(table) => table.remove(binding),
            Table::Topic(table) => table.remove(binding),
            Table::Headers(table) => table.remove(binding),
            Table::ConsistentHash(table) => table.remove(binding),
            Table::Random(table) => table.remove(binding),
            Table::ModulusHash(table) => table.remove(binding),
            Table::RecentHistory(table) => table.remove(binding),
            Table::Deduplication(table) => table.remove(binding),
        }
    }

    /// Where messages wait that are to be routed later.
    pub(super) fn delays(&self) -> Option<&Arc<Queue>> {
        self.delays.as_ref()
    }

    /// It is deleted: nothing waits any more.
    pub(super) fn drop_delayed(&self) {
        if let Some(store) = &self.delays {
            store.drop_delayed();
        }
    }

    /// Puts a message aside that is to be routed later; says whether it is such a one.
    fn puts_aside(&self, headers: &MessageHeaders<'_>, found: &mut Found) -> bool {
        match &self.delays {
            Some(store) if delay_ms(headers.get(DELAY.as_bytes())).is_some() => {
                found.sets += 1;
                found.queues.push(Arc::clone(store));
                true
            }
            _ => false,
        }
    }

    /// All bindings went. (Exchanges that lead to each other would keep each other for ever.)
    pub(super) fn clear(&self) {
        self.bindings.store(0, Ordering::Relaxed);
        self.table.write().clear();
    }

    /// How many bindings lead from it, for who wants to know at any time.
    pub(super) fn bindings(&self) -> &Arc<AtomicUsize> {
        &self.bindings
    }

    /// Whether anything is bound to it.
    pub(super) fn is_bound(&self) -> bool {
        self.bindings.load(Ordering::Relaxed) > 0
    }

    /// Where a message goes from here. It has more than one routing key if its headers name more.
    pub(super) fn find(
        &self,
        routing_keys: &[&str],
        headers: &MessageHeaders<'_>,
        found: &mut Found,
    ) {
        if self.puts_aside(headers, found) {
            return;
        }
        match &*self.table.read() {
            Table::Direct(table) => {
                for routing_key in routing_keys {
                    table.find(routing_key, found);
                }
            }
            Table::Fanout(table) => table.find(found),
            Table::Topic(table) => {
                for routing_key in routing_keys {
                    table.find(routing_key, found);
                }
            }
            Table::Headers(table) => table.find(headers, found),
            Table::ConsistentHash(table) => table.find(routing_keys, headers, found),
            Table::Random(table) => table.find(found),
            Table::ModulusHash(table) => table.find(routing_keys, found),
            Table::RecentHistory(table) => table.find(found),
            Table::Deduplication(table) => table.find(found),
        }
    }

    /// Where a message goes from here that is published now, and is remembered.
    ///
    /// # Errors
    /// PRECONDITION_FAILED for headers that the exchange cannot use.
    pub(super) fn pass(
        self: &Arc<Self>,
        routing_keys: &[&str],
        headers: &MessageHeaders<'_>,
        passage: &mut Passage<'_>,
        found: &mut Found,
    ) -> Result<(), Exception> {
        if self.puts_aside(headers, found) {
            return Ok(());
        }
        match &mut *self.table.write() {
            Table::RecentHistory(table) => {
                table.keep(passage.message, routing_keys, headers);
                table.find(found);
            }
            Table::Deduplication(table) => {
                match table.take(headers, passage.now_ms, passage.log_end)? {
                    Came::Anonymous => {}
                    Came::New(sequence, id, expires_at_ms) => {
                        let logged = table.is_kept().then_some(SeenId {
                            exchange: self.spec.id.0,
                            sequence,
                            id: id.0,
                            expires_at_ms,
                        });
                        passage.note(self, sequence, logged);
                    }
                    Came::Again(safe_at) => {
                        passage.knew(safe_at);
                        return Ok(());
                    }
                }
                table.find(found);
            }
            _ => {}
        }
        Ok(())
    }

    /// Nobody has the message that has that place among those that are remembered.
    pub(super) fn withdraw(&self, sequence: u64) {
        self.with_seen(|seen| seen.withdraw(sequence));
    }

    /// The message with that place is safe once the log is that far.
    pub(super) fn logged(&self, sequence: u64, index: u64) {
        self.with_seen(|seen| seen.logged(sequence, index));
    }

    /// What the catalog must have before the log may forget what lies below `before`. Nothing may pass
    /// meanwhile.
    pub(super) fn ids_to_store(&self, before: u64) -> Storing {
        self.with_seen(|seen| seen.to_store(before))
            .unwrap_or_default()
    }

    /// The catalog has it.
    pub(super) fn ids_stored(&self, storing: Storing) {
        self.with_seen(|seen| seen.stored(storing));
    }

    /// At start: ids that it remembered.
    pub(super) fn restore_ids(&self, restore: impl FnOnce(&mut Seen)) {
        if self.keeps_ids {
            self.with_seen(restore);
        }
    }

    fn with_seen<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> Option<T> {
        match &mut *self.table.write() {
            Table::Deduplication(table) => {
                let changed = change(&mut table.seen);
                table.account();
                Some(changed)
            }
            _ => None,
        }
    }
}

/// As declared, or else as policies say.
fn alternate_of(spec: &ExchangeSpec, policies: &Applied) -> Option<Arc<Arc<str>>> {
    let declared = spec.arguments.get(ALTERNATE_EXCHANGE);
    let declared = declared.and_then(|name| name.as_str());
    let settings = policies.settings();
    let name = declared.or_else(|| settings.text(ALTERNATE_EXCHANGE))?;
    Some(Arc::new(name.into()))
}

/// The argument, and the policies' key, that names the alternate exchange.
pub(super) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

impl Table {
    fn new(
        kind: ExchangeKind,
        spec: &ExchangeSpec,
        resource: Resource<'_>,
        engine: &Arc<Engine>,
    ) -> Result<Self, Exception> {
        Ok(match kind {
            // It never routes as itself.
            ExchangeKind::DelayedMessage | ExchangeKind::Direct => Self::Direct(Direct::default()),
            ExchangeKind::Fanout => Self::Fanout(Fanout::default()),
            ExchangeKind::Topic => Self::Topic(Topic::default()),
            ExchangeKind::Headers => Self::Headers(Headers::default()),
            ExchangeKind::ConsistentHash => {
                Self::ConsistentHash(ConsistentHash::new(&spec.arguments, resource)?)
            }
            ExchangeKind::Random | ExchangeKind::LocalRandom => Self::Random(Random::default()),
            ExchangeKind::ModulusHash => Self::ModulusHash(ModulusHash::default()),
            ExchangeKind::RecentHistory => {
                let history = RecentHistory::new(&spec.arguments, Held::new(engine))?;
                Self::RecentHistory(history)
            }
            ExchangeKind::MessageDeduplication => {
                let (arguments, is_durable) = (&spec.arguments, spec.durable);
                let table = Deduplication::new(arguments, is_durable, Held::new(engine))?;
                Self::Deduplication(Box::new(table))
            }
        })
    }

    fn varies(&self) -> bool {
        match self {
            Self::Random(_) => true,
            Self::ConsistentHash(table) => table.varies(),
            _ => false,
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Direct(table) => *table = Direct::default(),
            Self::Fanout(table) => *table = Fanout::default(),
            Self::Topic(table) => *table = Topic::default(),
            Self::Headers(table) => *table = Headers::default(),
            Self::ConsistentHash(table) => table.clear(),
            Self::Random(table) => *table = Random::default(),
            Self::ModulusHash(table) => *table = ModulusHash::default(),
            Self::RecentHistory(table) => table.clear(),
            Self::Deduplication(table) => table.clear(),
        }
    }
}
