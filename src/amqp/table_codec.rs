//! How field tables lie on the wire: type tags, lengths, nesting.
//!
//! In: a table's contents; out: a table, a verdict without a table (for headers that are only
//! handed on), or the contents of a table that was built here. Reading recurses, but never deeper
//! than [`MAX_TABLE_DEPTH`], and never allocates more entries than the input has bytes.
//! The tags are those that RabbitMQ reads and writes, not those of the specification: `l` and `L`
//! are both signed, `s` is 16 bits wide, `u` and `i` and `B` are the unsigned ones.

use bytes::Bytes;

use super::short_str::ShortStr;
use super::table::{FieldTable, FieldValue, MAX_TABLE_DEPTH, TableError};
use super::wire::{
    Reader, WireError, put_long, put_long_str, put_longlong, put_octet, put_short, put_short_str,
    put_with_length,
};

impl From<WireError> for TableError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Table(error) => error,
            WireError::Truncated | WireError::Trailing | WireError::NotUtf8 => Self::Truncated,
        }
    }
}

pub(super) fn decode_table(contents: &[u8]) -> Result<FieldTable, TableError> {
    decode_table_at(contents, 1)
}

fn decode_table_at(contents: &[u8], depth: usize) -> Result<FieldTable, TableError> {
    if depth > MAX_TABLE_DEPTH {
        return Err(TableError::TooDeep);
    }
    let mut input = Reader::new(contents);
    let mut entries = Vec::new();
    while !input.is_empty() {
        let name = input.short_str()?;
        entries.push((name, decode_value(&mut input, depth)?));
    }
    Ok(FieldTable(entries))
}

fn decode_array_at(contents: &[u8], depth: usize) -> Result<Vec<FieldValue>, TableError> {
    if depth > MAX_TABLE_DEPTH {
        return Err(TableError::TooDeep);
    }
    let mut input = Reader::new(contents);
    let mut values = Vec::new();
    while !input.is_empty() {
        values.push(decode_value(&mut input, depth)?);
    }
    Ok(values)
}

fn decode_value(input: &mut Reader<'_>, depth: usize) -> Result<FieldValue, TableError> {
    Ok(match input.octet()? {
        b't' => FieldValue::Bool(input.octet()? != 0),
        b'b' => FieldValue::I8(input.octet()?.cast_signed()),
        b'B' => FieldValue::U8(input.octet()?),
        b's' => FieldValue::I16(input.short()?.cast_signed()),
        b'u' => FieldValue::U16(input.short()?),
        b'I' => FieldValue::I32(input.long()?.cast_signed()),
        b'i' => FieldValue::U32(input.long()?),
        b'l' | b'L' => FieldValue::I64(input.longlong()?.cast_signed()),
        // RabbitMQ's crash on NaN and the infinities is no behaviour to keep.
        b'f' => FieldValue::F32(f32::from_bits(input.long()?)),
        b'd' => FieldValue::F64(f64::from_bits(input.longlong()?)),
        b'D' => FieldValue::Decimal {
            scale: input.octet()?,
            value: input.long()?,
        },
        b'S' => FieldValue::LongStr(input.long_str()?),
        b'x' => FieldValue::Bytes(input.long_str()?),
        b'A' => FieldValue::Array(decode_array_at(input.long_bytes()?, depth + 1)?),
        b'T' => FieldValue::Timestamp(input.longlong()?),
        b'F' => FieldValue::Table(decode_table_at(input.long_bytes()?, depth + 1)?),
        b'V' => FieldValue::Void,
        tag => return Err(TableError::UnknownType(tag)),
    })
}

pub(super) fn validate_table(contents: &[u8]) -> Result<(), TableError> {
    validate_at(contents, 1, true)
}

fn validate_at(contents: &[u8], depth: usize, named: bool) -> Result<(), TableError> {
    if depth > MAX_TABLE_DEPTH {
        return Err(TableError::TooDeep);
    }
    let mut input = Reader::new(contents);
    while !input.is_empty() {
        if named {
            input.short_bytes()?;
        }
        let tag = input.octet()?;
        let value = value_bytes(tag, &mut input)?;
        if let b'A' | b'F' = tag {
            validate_at(value, depth + 1, tag == b'F')?;
        }
    }
    Ok(())
}

/// The bytes of the value of that type that comes next; those of strings, tables and arrays without
/// their length.
fn value_bytes<'a>(tag: u8, input: &mut Reader<'a>) -> Result<&'a [u8], TableError> {
    let length = match tag {
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'V' => 0,
        b'S' | b'x' | b'A' | b'F' => return Ok(input.long_bytes()?),
        tag => return Err(TableError::UnknownType(tag)),
    };
    Ok(input.bytes(length)?)
}

/// The first entry of that name in a table's contents: its type's tag and its value's bytes.
pub(super) fn find_entry<'a>(contents: &'a [u8], wanted: &[u8]) -> Option<(u8, &'a [u8])> {
    let mut input = Reader::new(contents);
    while !input.is_empty() {
        let name = input.short_bytes().ok()?;
        let tag = input.octet().ok()?;
        let value = value_bytes(tag, &mut input).ok()?;
        if name == wanted {
            return Some((tag, value));
        }
    }
    None
}

pub(super) fn encode_table(table: &FieldTable, out: &mut Vec<u8>) {
    for (name, value) in &table.0 {
        encode_entry(name, value, out);
    }
}

fn encode_entry(name: &ShortStr, value: &FieldValue, out: &mut Vec<u8>) {
    put_short_str(out, name);
    encode_value(value, out);
}

pub(super) fn encode_value(value: &FieldValue, out: &mut Vec<u8>) {
    match value {
        FieldValue::Bool(value) => tagged(out, b't', &[u8::from(*value)]),
        FieldValue::I8(value) => tagged(out, b'b', &value.to_be_bytes()),
        FieldValue::U8(value) => tagged(out, b'B', &value.to_be_bytes()),
        FieldValue::I16(value) => tagged(out, b's', &value.to_be_bytes()),
        FieldValue::U16(value) => {
            put_octet(out, b'u');
            put_short(out, *value);
        }
        FieldValue::I32(value) => tagged(out, b'I', &value.to_be_bytes()),
        FieldValue::U32(value) => {
            put_octet(out, b'i');
            put_long(out, *value);
        }
        FieldValue::I64(value) => tagged(out, b'l', &value.to_be_bytes()),
        FieldValue::F32(value) => tagged(out, b'f', &value.to_be_bytes()),
        FieldValue::F64(value) => tagged(out, b'd', &value.to_be_bytes()),
        FieldValue::Decimal { scale, value } => {
            tagged(out, b'D', &[*scale]);
            put_long(out, *value);
        }
        FieldValue::LongStr(bytes) => tagged_bytes(out, b'S', bytes),
        FieldValue::Bytes(bytes) => tagged_bytes(out, b'x', bytes),
        FieldValue::Array(values) => {
            put_octet(out, b'A');
            put_with_length(out, |out| {
                values.iter().for_each(|value| encode_value(value, out))
            });
        }
        FieldValue::Timestamp(value) => {
            put_octet(out, b'T');
            put_longlong(out, *value);
        }
        FieldValue::Table(table) => {
            put_octet(out, b'F');
            put_with_length(out, |out| encode_table(table, out));
        }
        FieldValue::Void => put_octet(out, b'V'),
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    put_octet(out, tag);
    out.extend_from_slice(bytes);
}

fn tagged_bytes(out: &mut Vec<u8>, tag: u8, bytes: &Bytes) {
    put_octet(out, tag);
    put_long_str(out, bytes);
}
