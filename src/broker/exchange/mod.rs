//! Exchanges: what a message's exchange makes of its key and headers.
//!
//! ```text
//! Exchange ── Table ─┬─ direct    by the key
//!                    ├─ fanout    all
//!                    ├─ topic     by patterns of words
//!                    └─ headers   by the headers ── message_headers
//!                          │
//!                          └─▶ destinations ─▶ found
//! ```
//!
//! A table changes one binding at a time, under its exchange's own lock, held briefly; messages
//! are routed under that lock shared. How exchanges lead to each other is `routing`'s business.

mod destinations;
mod direct;
mod fanout;
mod found;
mod headers;
mod message_headers;
mod topic;

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

pub(crate) use found::Found;
pub(crate) use message_headers::MessageHeaders;

use self::direct::Direct;
use self::fanout::Fanout;
use self::headers::Headers;
use self::topic::Topic;
use super::binding::Binding;
use super::ids::ExchangeId;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::FieldTable;

/// The types of exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
}

impl ExchangeKind {
    /// The type of that name. COMMAND_INVALID, which is hard, if there is none.
    pub fn from_name(name: &str) -> Result<Self, Exception> {
        match name {
            "direct" => Ok(Self::Direct),
            "fanout" => Ok(Self::Fanout),
            "topic" => Ok(Self::Topic),
            "headers" => Ok(Self::Headers),
            _ => {
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
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
    alternate: Option<Arc<str>>,
    table: RwLock<Table>,
}

/// What is bound to an exchange, in the way in which its type looks for it.
enum Table {
    Direct(Direct),
    Fanout(Fanout),
    Topic(Topic),
    Headers(Headers),
}

impl Exchange {
    /// An exchange to which nothing is bound.
    pub fn new(spec: ExchangeSpec) -> Arc<Self> {
        let alternate = spec
            .arguments
            .get(ALTERNATE_EXCHANGE)
            .and_then(|name| name.as_str());
        Arc::new(Self {
            alternate: alternate.map(Arc::from),
            table: RwLock::new(Table::new(spec.kind)),
            spec,
        })
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
    pub fn alternate(&self) -> Option<&Arc<str>> {
        self.alternate.as_ref()
    }

    /// Refuses arguments that a binding to an exchange of this type cannot have.
    pub(super) fn check_binding_arguments(&self, arguments: &FieldTable) -> Result<(), Exception> {
        match self.spec.kind {
            ExchangeKind::Headers => headers::check_arguments(arguments),
            ExchangeKind::Direct | ExchangeKind::Fanout | ExchangeKind::Topic => Ok(()),
        }
    }

    /// A binding was made. Each is added once.
    pub(super) fn add(&self, binding: &Binding) {
        match &mut *self.table.write() {
            Table::Direct(table) => table.add(binding),
            Table::Fanout(table) => table.add(binding),
            Table::Topic(table) => table.add(binding),
            Table::Headers(table) => table.add(binding),
        }
    }

    /// A binding was removed.
    pub(super) fn remove(&self, binding: &Binding) {
        match &mut *self.table.write() {
            Table::Direct(table) => table.remove(binding),
            Table::Fanout(table) => table.remove(binding),
            Table::Topic(table) => table.remove(binding),
            Table::Headers(table) => table.remove(binding),
        }
    }

    /// All bindings went. (Exchanges that lead to each other would keep each other for ever.)
    pub(super) fn clear(&self) {
        *self.table.write() = Table::new(self.spec.kind);
    }

    /// Where a message goes from here.
    pub(super) fn find(&self, routing_key: &str, headers: &MessageHeaders<'_>, found: &mut Found) {
        match &*self.table.read() {
            Table::Direct(table) => table.find(routing_key, found),
            Table::Fanout(table) => table.find(found),
            Table::Topic(table) => table.find(routing_key, found),
            Table::Headers(table) => table.find(headers, found),
        }
    }
}

/// The argument that names the alternate exchange.
pub(super) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

impl Table {
    fn new(kind: ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(Direct::default()),
            ExchangeKind::Fanout => Self::Fanout(Fanout::default()),
            ExchangeKind::Topic => Self::Topic(Topic::default()),
            ExchangeKind::Headers => Self::Headers(Headers::default()),
        }
    }
}
