//! The catalog's tables, the changes to them, and reading them all.

use redb::{
    Key, ReadTransaction, ReadableTable, TableDefinition, TableHandle, Value, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CatalogError;
use super::records::{
    BindingRecord, DamageRecord, ExchangeRecord, ParameterRecord, PermissionRecord, QueueRecord,
    SeenRecord, SegmentRecord, TopicPermissionRecord, UserRecord, VhostRecord, decode,
    decode_segment, encode, encode_segment,
};

type Bytes = &'static [u8];
type Name = &'static str;

/// `format`, `next_id`, `revision`, `journal_start`, `journal_end`.
pub(super) const META: TableDefinition<'_, Name, u64> = TableDefinition::new("meta");
const VHOSTS: TableDefinition<'_, Name, Bytes> = TableDefinition::new("vhosts");
const EXCHANGES: TableDefinition<'_, u64, Bytes> = TableDefinition::new("exchanges");
const QUEUES: TableDefinition<'_, u64, Bytes> = TableDefinition::new("queues");
const BINDINGS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("bindings");
const USERS: TableDefinition<'_, Name, Bytes> = TableDefinition::new("users");
const PERMISSIONS: TableDefinition<'_, (Name, Name), Bytes> = TableDefinition::new("permissions");
const TOPIC_PERMISSIONS: TableDefinition<'_, (Name, Name, Name), Bytes> =
    TableDefinition::new("topic_permissions");
const PARAMETERS: TableDefinition<'_, (Name, Name, Name), Bytes> =
    TableDefinition::new("parameters");
const SEGMENTS: TableDefinition<'_, (u64, u64), Bytes> = TableDefinition::new("segments");
const DAMAGE: TableDefinition<'_, (u64, u64), Bytes> = TableDefinition::new("damage");
const SEEN: TableDefinition<'_, (u64, u64), Bytes> = TableDefinition::new("seen");
/// Format 1 had it and used it for nothing.
const CHECKPOINTS: TableDefinition<'_, (u64, u64), Bytes> = TableDefinition::new("checkpoints");

/// One thing that changes. A record that is put replaces the one with the same key; deleting
/// what is not there does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    PutVhost(String, VhostRecord),
    /// The vhost alone: what is in it goes by changes of its own, in the same transaction.
    DeleteVhost(String),
    PutExchange(u64, ExchangeRecord),
    /// The exchange, and what it remembers.
    DeleteExchange(u64),
    PutQueue(u64, QueueRecord),
    /// The queue and its list of segments.
    DeleteQueue(u64),
    PutBinding(u64, BindingRecord),
    DeleteBinding(u64),
    PutUser(String, UserRecord),
    DeleteUser(String),
    /// Vhost, user.
    PutPermission([String; 2], PermissionRecord),
    DeletePermission([String; 2]),
    /// Vhost, user, exchange.
    PutTopicPermission([String; 3], TopicPermissionRecord),
    DeleteTopicPermission([String; 3]),
    /// Vhost, component, name.
    PutParameter([String; 3], ParameterRecord),
    DeleteParameter([String; 3]),
    /// Queue, number.
    /// Of a queue that is not there: nothing.
    PutSegment(u64, u64, SegmentRecord),
    DeleteSegment(u64, u64),
    /// Queue, number, band, first: that chunk of the segment is lost. Of a segment that is not listed:
    /// nothing.
    DropChunk(u64, u64, u32, u64),
    /// First and last index of records that are missing from the journal, which is known.
    PutDamage(u64, u64, DamageRecord),
    DeleteDamage(u64, u64),
    /// Exchange, number.
    /// Of an exchange that is not there: nothing.
    PutSeen(u64, u64, SeenRecord),
    DeleteSeen(u64, u64),
    /// The journal has every record below that index, and has files.
    PutJournalEnd(u64),
    /// Nothing below that index is needed of the journal any more.
    PutJournalStart(u64),
}

impl Op {
    /// What it takes in the catalog, roughly, in bytes: of what may be large.
    pub fn bytes(&self) -> usize {
        /// Any other record and its key.
        const SMALL_BYTES: usize = 256;
        let large = match self {
            Self::PutExchange(_, record) => record.arguments.len(),
            Self::PutQueue(_, record) => record.arguments.len(),
            Self::PutBinding(_, record) => record.arguments.len(),
            Self::PutPermission(_, record) => {
                record.configure.len() + record.write.len() + record.read.len()
            }
            Self::PutTopicPermission(_, record) => record.write.len() + record.read.len(),
            Self::PutParameter(_, record) => record.value.len(),
            Self::PutVhost(_, record) => record.description.len(),
            Self::PutSegment(_, _, record) => {
                let marks = record.marks.iter().map(|mark| 32 + mark.filter.len());
                record.chunks.len() * 32 + record.settled.len() * 16 + marks.sum::<usize>()
            }
            Self::PutSeen(_, _, record) => record.ids.len() * 32,
            _ => 0,
        };
        SMALL_BYTES + large
    }
}

/// Everything the catalog keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// One more with every change.
    pub revision: u64,
    /// Nothing below that index was needed of the journal when this was last noted; 0 if it never was.
    pub journal_start: u64,
    /// The journal had every record below that index when this was last noted; 0 if there never was
    /// one.
    pub journal_end: u64,
    /// By name.
    pub vhosts: Vec<(String, VhostRecord)>,
    /// By id.
    pub exchanges: Vec<(u64, ExchangeRecord)>,
    /// By id.
    pub queues: Vec<(u64, QueueRecord)>,
    /// By id, and so in the order in which they were made.
    pub bindings: Vec<(u64, BindingRecord)>,
    /// By name.
    pub users: Vec<(String, UserRecord)>,
    /// By vhost and user.
    pub permissions: Vec<([String; 2], PermissionRecord)>,
    /// By vhost, user and exchange.
    pub topic_permissions: Vec<([String; 3], TopicPermissionRecord)>,
    /// By vhost, component and name.
    pub parameters: Vec<([String; 3], ParameterRecord)>,
    /// By queue and number.
    pub segments: Vec<((u64, u64), SegmentRecord)>,
    /// By first and last index.
    pub damage: Vec<((u64, u64), DamageRecord)>,
    /// By exchange and number.
    pub seen: Vec<((u64, u64), SeenRecord)>,
}

impl Contents {
    /// What to call the queue of that id, or the exchange that delays messages, in words.
    pub fn name_of_queue(&self, id: u64) -> String {
        let queues = self.queues.iter().find(|(known, _)| *known == id);
        if let Some((_, queue)) = queues {
            return format!("queue {:?} in vhost {:?}", queue.name, queue.vhost);
        }
        match self.exchanges.iter().find(|(known, _)| *known == id) {
            Some((_, exchange)) => {
                format!("exchange {:?} in vhost {:?}", exchange.name, exchange.vhost)
            }
            None => format!("queue {id}"),
        }
    }
}

/// Makes all tables, so that none is ever missing.
pub(super) fn create_all(transaction: &WriteTransaction) -> Result<(), CatalogError> {
    transaction.open_table(META)?;
    transaction.open_table(VHOSTS)?;
    transaction.open_table(EXCHANGES)?;
    transaction.open_table(QUEUES)?;
    transaction.open_table(BINDINGS)?;
    transaction.open_table(USERS)?;
    transaction.open_table(PERMISSIONS)?;
    transaction.open_table(TOPIC_PERMISSIONS)?;
    transaction.open_table(PARAMETERS)?;
    transaction.open_table(SEGMENTS)?;
    transaction.open_table(DAMAGE)?;
    transaction.open_table(SEEN)?;
    Ok(())
}

/// Makes the tables of older formats those of this one.
pub(super) fn upgrade(transaction: &WriteTransaction) -> Result<(), CatalogError> {
    transaction.delete_table(CHECKPOINTS)?;
    create_all(transaction)
}

/// Reads everything.
pub(super) fn read_all(transaction: &ReadTransaction) -> Result<Contents, CatalogError> {
    let meta = transaction.open_table(META)?;
    let one = |name: &str| name.to_owned();
    let two = |(a, b): (&str, &str)| [a.to_owned(), b.to_owned()];
    let three = |(a, b, c): (&str, &str, &str)| [a.to_owned(), b.to_owned(), c.to_owned()];
    Ok(Contents {
        revision: meta.get("revision")?.map_or(0, |value| value.value()),
        journal_start: meta.get("journal_start")?.map_or(0, |value| value.value()),
        journal_end: meta.get("journal_end")?.map_or(0, |value| value.value()),
        vhosts: read_table(transaction, VHOSTS, one)?,
        exchanges: read_table(transaction, EXCHANGES, |id| id)?,
        queues: read_table(transaction, QUEUES, |id| id)?,
        bindings: read_table(transaction, BINDINGS, |id| id)?,
        users: read_table(transaction, USERS, one)?,
        permissions: read_table(transaction, PERMISSIONS, two)?,
        topic_permissions: read_table(transaction, TOPIC_PERMISSIONS, three)?,
        parameters: read_table(transaction, PARAMETERS, three)?,
        segments: read_rows(transaction, SEGMENTS, |key| key, decode_segment)?,
        damage: read_table(transaction, DAMAGE, |key| key)?,
        seen: read_table(transaction, SEEN, |key| key)?,
    })
}

fn read_table<K: Key + 'static, O, R: DeserializeOwned>(
    transaction: &ReadTransaction,
    definition: TableDefinition<'_, K, Bytes>,
    own: impl Fn(<K as Value>::SelfType<'_>) -> O,
) -> Result<Vec<(O, R)>, CatalogError> {
    read_rows(transaction, definition, own, decode)
}

fn read_rows<K: Key + 'static, O, R>(
    transaction: &ReadTransaction,
    definition: TableDefinition<'_, K, Bytes>,
    own: impl Fn(<K as Value>::SelfType<'_>) -> O,
    decode: impl Fn(&[u8]) -> Option<R>,
) -> Result<Vec<(O, R)>, CatalogError> {
    let table = transaction.open_table(definition)?;
    let mut rows = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        let record = decode(value.value()).ok_or_else(|| not_understood(&definition))?;
        rows.push((own(key.value()), record));
    }
    Ok(rows)
}

fn not_understood(table: &impl TableHandle) -> CatalogError {
    let name = table.name();
    CatalogError::Damaged(format!("a record in {name} can't be understood"))
}

/// Lists no segments any more of a queue, or of an exchange that delays messages.
fn delete_segments(transaction: &WriteTransaction, id: u64) -> Result<(), CatalogError> {
    let mut segments = transaction.open_table(SEGMENTS)?;
    segments.retain_in((id, 0)..=(id, u64::MAX), |_, _| false)?;
    Ok(())
}

/// Applies one change.
pub(super) fn apply(transaction: &WriteTransaction, op: &Op) -> Result<(), CatalogError> {
    match op {
        Op::PutVhost(name, record) => put(transaction, VHOSTS, name.as_str(), record),
        Op::DeleteVhost(name) => delete(transaction, VHOSTS, name.as_str()),
        Op::PutExchange(id, record) => put(transaction, EXCHANGES, *id, record),
        Op::DeleteExchange(id) => {
            delete(transaction, EXCHANGES, *id)?;
            let mut seen = transaction.open_table(SEEN)?;
            seen.retain_in((*id, 0)..=(*id, u64::MAX), |_, _| false)?;
            delete_segments(transaction, *id)
        }
        Op::PutQueue(id, record) => put(transaction, QUEUES, *id, record),
        Op::DeleteQueue(id) => {
            delete(transaction, QUEUES, *id)?;
            delete_segments(transaction, *id)
        }
        Op::PutBinding(id, record) => put(transaction, BINDINGS, *id, record),
        Op::DeleteBinding(id) => delete(transaction, BINDINGS, *id),
        Op::PutUser(name, record) => put(transaction, USERS, name.as_str(), record),
        Op::DeleteUser(name) => delete(transaction, USERS, name.as_str()),
        Op::PutPermission(key, record) => put(transaction, PERMISSIONS, two(key), record),
        Op::DeletePermission(key) => delete(transaction, PERMISSIONS, two(key)),
        Op::PutTopicPermission(key, record) => {
            put(transaction, TOPIC_PERMISSIONS, three(key), record)
        }
        Op::DeleteTopicPermission(key) => delete(transaction, TOPIC_PERMISSIONS, three(key)),
        Op::PutParameter(key, record) => put(transaction, PARAMETERS, three(key), record),
        Op::DeleteParameter(key) => delete(transaction, PARAMETERS, three(key)),
        Op::PutSegment(queue, number, record) => {
            // Its queue, or the exchange that delays messages, may have been deleted meanwhile; then nothing
            // would ever take it away.
            if transaction.open_table(QUEUES)?.get(*queue)?.is_none()
                && transaction.open_table(EXCHANGES)?.get(*queue)?.is_none()
            {
                return Ok(());
            }
            let key = (*queue, *number);
            put_encoded(transaction, SEGMENTS, key, encode_segment(record))
        }
        Op::DeleteSegment(queue, number) => delete(transaction, SEGMENTS, (*queue, *number)),
        Op::DropChunk(queue, number, band, first) => {
            let key = (*queue, *number);
            let segments = transaction.open_table(SEGMENTS)?;
            let listed = segments
                .get(key)?
                .map(|value| decode_segment(value.value()));
            drop(segments);
            let Some(record) = listed else {
                return Ok(());
            };
            let mut record = record.ok_or_else(|| not_understood(&SEGMENTS))?;
            record.drop_chunk(*band, *first);
            put_encoded(transaction, SEGMENTS, key, encode_segment(&record))
        }
        Op::PutSeen(exchange, number, record) => {
            if transaction.open_table(EXCHANGES)?.get(*exchange)?.is_none() {
                return Ok(());
            }
            put(transaction, SEEN, (*exchange, *number), record)
        }
        Op::DeleteSeen(exchange, number) => delete(transaction, SEEN, (*exchange, *number)),
        Op::PutJournalEnd(index) => {
            let mut meta = transaction.open_table(META)?;
            meta.insert("journal_end", *index)?;
            Ok(())
        }
        Op::PutJournalStart(index) => {
            let mut meta = transaction.open_table(META)?;
            // What was let go of once is gone.
            let before = meta.get("journal_start")?.map_or(0, |value| value.value());
            meta.insert("journal_start", before.max(*index))?;
            Ok(())
        }
        Op::PutDamage(first, last, record) => put(transaction, DAMAGE, (*first, *last), record),
        Op::DeleteDamage(first, last) => delete(transaction, DAMAGE, (*first, *last)),
    }
}

fn put<'k, K: Key + 'static>(
    transaction: &WriteTransaction,
    definition: TableDefinition<'_, K, Bytes>,
    key: K::SelfType<'k>,
    record: &impl Serialize,
) -> Result<(), CatalogError> {
    put_encoded(transaction, definition, key, encode(record))
}

fn put_encoded<'k, K: Key + 'static>(
    transaction: &WriteTransaction,
    definition: TableDefinition<'_, K, Bytes>,
    key: K::SelfType<'k>,
    encoded: Result<Vec<u8>, postcard::Error>,
) -> Result<(), CatalogError> {
    let bytes = encoded.map_err(|error| CatalogError::Failed(error.to_string()))?;
    transaction
        .open_table(definition)?
        .insert(key, bytes.as_slice())?;
    Ok(())
}

fn delete<'k, K: Key + 'static>(
    transaction: &WriteTransaction,
    definition: TableDefinition<'_, K, Bytes>,
    key: K::SelfType<'k>,
) -> Result<(), CatalogError> {
    transaction.open_table(definition)?.remove(key)?;
    Ok(())
}

fn two([a, b]: &[String; 2]) -> (&str, &str) {
    (a, b)
}

fn three([a, b, c]: &[String; 3]) -> (&str, &str, &str) {
    (a, b, c)
}
