//! Field tables: names with typed values, as in arguments, headers and peer properties.
//!
//! In: a table's contents, as they came; out: a [`FieldTable`], or a [`TableError`]. Entries keep
//! their order, and names that come twice are kept twice, as RabbitMQ keeps them. How values lie
//! on the wire is `table_codec`'s business.

use std::fmt;

use bytes::Bytes;

pub use super::short_str::{SHORT_STR_MAX_BYTES, ShortStr};
use super::table_codec;

/// How deep tables and arrays may lie in each other. RabbitMQ has no limit, and the deepest that
/// clients and its own features make (x-death in a dead-lettered message's headers) is three; a
/// limit is needed so that no client can exhaust a stack.
pub const MAX_TABLE_DEPTH: usize = 128;

/// What can be wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// It ends too early, or a length in it lies.
    Truncated,
    /// A value's type is none that RabbitMQ knows.
    UnknownType(u8),
    /// Tables and arrays lie deeper in each other than [`MAX_TABLE_DEPTH`].
    TooDeep,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("malformed field table"),
            Self::UnknownType(tag) => write!(f, "field table with a value of unknown type {tag}"),
            Self::TooDeep => {
                write!(f, "field table nested deeper than {MAX_TABLE_DEPTH} levels")
            }
        }
    }
}

impl std::error::Error for TableError {}

/// A field's value, with RabbitMQ's type tags.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l` (and `L` when read, as RabbitMQ does)
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value` / 10^`scale`
    Decimal {
        /// Digits behind the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`: bytes, not necessarily UTF-8
    LongStr(Bytes),
    /// `x`
    Bytes(Bytes),
    /// `A`
    Array(Vec<FieldValue>),
    /// `T`: seconds since 1970
    Timestamp(u64),
    /// `F`
    Table(FieldTable),
    /// `V`
    Void,
}

impl FieldValue {
    /// A long string's text; None for other types and for bytes that are no UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::LongStr(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A long string's or binary's bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::LongStr(bytes) | Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value of any of the integer types (a timestamp or decimal is none).
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::I8(value) => Some(value.into()),
            Self::U8(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::I64(value) => Some(value),
            _ => None,
        }
    }

    /// A boolean's value.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A nested table.
    pub fn as_table(&self) -> Option<&FieldTable> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// An array's values.
    pub fn as_array(&self) -> Option<&[FieldValue]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    /// The type's name in RabbitMQ's error texts.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::I8(_) => "byte",
            Self::U8(_) => "unsignedbyte",
            Self::I16(_) => "short",
            Self::U16(_) => "unsignedshort",
            Self::I32(_) => "signedint",
            Self::U32(_) => "unsignedint",
            Self::I64(_) => "long",
            Self::F32(_) => "float",
            Self::F64(_) => "double",
            Self::Decimal { .. } => "decimal",
            Self::LongStr(_) => "longstr",
            Self::Bytes(_) => "binary",
            Self::Array(_) => "array",
            Self::Timestamp(_) => "timestamp",
            Self::Table(_) => "table",
            Self::Void => "void",
        }
    }
}

impl FieldValue {
    /// Writes the type's tag and the value, as they are in a table.
    pub fn encode(&self, out: &mut Vec<u8>) {
        table_codec::encode_value(self, out);
    }
}

impl From<bool> for FieldValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for FieldValue {
    fn from(value: i32) -> Self {
        Self::I32(value)
    }
}

impl From<i64> for FieldValue {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<&str> for FieldValue {
    fn from(value: &str) -> Self {
        Self::LongStr(Bytes::copy_from_slice(value.as_bytes()))
    }
}

impl From<FieldTable> for FieldValue {
    fn from(value: FieldTable) -> Self {
        Self::Table(value)
    }
}

impl From<Vec<FieldValue>> for FieldValue {
    fn from(value: Vec<FieldValue>) -> Self {
        Self::Array(value)
    }
}

/// A field table, its entries in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldTable(pub Vec<(ShortStr, FieldValue)>);

impl FieldTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a table's contents (what follows its length).
    pub fn decode(contents: &[u8]) -> Result<Self, TableError> {
        table_codec::decode_table(contents)
    }

    /// Checks a table's contents as [`FieldTable::decode`] does, without building anything.
    pub fn validate(contents: &[u8]) -> Result<(), TableError> {
        table_codec::validate_table(contents)
    }

    /// The first long string (`S`) of that name in a table's contents, without building a table. In
    /// contents that are not valid it finds what lies before the mistake.
    pub fn find_long_str<'a>(contents: &'a [u8], name: &str) -> Option<&'a [u8]> {
        match table_codec::find_entry(contents, name.as_bytes()) {
            Some((b'S', text)) => Some(text),
            _ => None,
        }
    }

    /// Whether a table's contents have an entry of that name, without building a table.
    pub fn mentions(contents: &[u8], name: &str) -> bool {
        table_codec::find_entry(contents, name.as_bytes()).is_some()
    }

    /// Writes the table's contents (what follows its length).
    pub fn encode(&self, out: &mut Vec<u8>) {
        table_codec::encode_table(self, out);
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Whether there is a value of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &FieldValue)> + ExactSizeIterator {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces the first value of that name where it stands, or appends one.
    pub fn insert(&mut self, name: impl Into<ShortStr>, value: impl Into<FieldValue>) {
        let name = name.into();
        let value = value.into();
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Appends an entry, whatever is there already.
    pub fn push(&mut self, name: impl Into<ShortStr>, value: impl Into<FieldValue>) {
        self.0.push((name.into(), value.into()));
    }

    /// Removes all values of that name and gives the first one back.
    pub fn remove(&mut self, name: &str) -> Option<FieldValue> {
        let mut removed = None;
        self.0.retain_mut(|(key, value)| {
            let stays = key != name;
            if !stays && removed.is_none() {
                removed = Some(std::mem::replace(value, FieldValue::Void));
            }
            stays
        });
        removed
    }
}

impl<Name: Into<ShortStr>, Value: Into<FieldValue>> FromIterator<(Name, Value)> for FieldTable {
    fn from_iter<Entries: IntoIterator<Item = (Name, Value)>>(entries: Entries) -> Self {
        Self(
            entries
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_come_twice_are_kept_twice() {
        let mut table = FieldTable::new();
        table.push("a", 1);
        table.push("b", 2);
        table.push("a", 3);
        table.insert("a", 4);
        table.insert("c", true);
        assert_eq!(table.get("a"), Some(&FieldValue::I32(4)));
        assert_eq!(table.len(), 4);
        assert_eq!(table.remove("a"), Some(FieldValue::I32(4)));
        assert_eq!(
            table.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["b", "c"]
        );
        assert_eq!(table.remove("a"), None);
    }
}
