//! Field tables (skeleton).

use std::sync::Arc;

/// A short string: at most 255 bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortStr(Arc<str>);

/// A field's value, with RabbitMQ's type tags.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
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
    /// `D`
    Decimal { scale: u8, value: u32 },
    /// `S`: bytes, not necessarily UTF-8
    LongStr(bytes::Bytes),
    /// `x`
    Bytes(bytes::Bytes),
    /// `A`
    Array(Vec<FieldValue>),
    /// `T`: seconds
    Timestamp(u64),
    /// `F`
    Table(FieldTable),
    /// `V`
    Void,
}

/// A field table, its entries in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldTable(Vec<(ShortStr, FieldValue)>);

impl FieldTable {
    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.0.iter().find(|(key, _)| &*key.0 == name).map(|(_, value)| value)
    }
    /// The entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.0.iter().map(|(key, value)| (&*key.0, value))
    }
}
