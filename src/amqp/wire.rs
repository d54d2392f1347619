//! The primitive types of methods and properties: big-endian numbers, strings with their length
//! in front, tables.
//!
//! In: the payload of a frame, through a [`Reader`]; out: a value or a [`WireError`]. The `put_`
//! functions are the reverse. Nothing here trusts a length: a read past the end is an error, and
//! nothing is allocated that the input's own bytes do not pay for.

use bytes::Bytes;

use super::short_str::ShortStr;
use super::table::{FieldTable, TableError};

/// What can be wrong with a sequence of primitives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// It ends too early, or a length in it lies.
    Truncated,
    /// Something follows that does not belong to it.
    Trailing,
    /// A short string is no UTF-8 where RabbitMQ asserts it.
    NotUtf8,
    /// A field table in it is none.
    Table(TableError),
}

/// Reads primitives one after another.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// All must have been read.
    pub fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing)
        }
    }

    /// So many bytes.
    #[inline]
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// An octet; also up to eight bits.
    #[inline]
    pub fn octet(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    /// A short: 16 bits.
    #[inline]
    pub fn short(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A long: 32 bits.
    #[inline]
    pub fn long(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A longlong or timestamp: 64 bits.
    #[inline]
    pub fn longlong(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// The bytes of a short string.
    #[inline]
    pub fn short_bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.octet()?;
        self.bytes(length.into())
    }

    /// The bytes of a long string, or the contents of a table or an array.
    #[inline]
    pub fn long_bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.long()?;
        // On a machine with 16-bit sizes no input is that long.
        self.bytes(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A short string that must be UTF-8.
    pub fn short_text(&mut self) -> Result<ShortStr, WireError> {
        ShortStr::from_utf8(self.short_bytes()?).ok_or(WireError::NotUtf8)
    }

    /// A short string of any bytes.
    pub fn short_str(&mut self) -> Result<ShortStr, WireError> {
        ShortStr::from_bytes(self.short_bytes()?).ok_or(WireError::Truncated)
    }

    /// A long string.
    pub fn long_str(&mut self) -> Result<Bytes, WireError> {
        self.long_bytes().map(Bytes::copy_from_slice)
    }

    /// A field table.
    pub fn table(&mut self) -> Result<FieldTable, WireError> {
        FieldTable::decode(self.long_bytes()?).map_err(WireError::Table)
    }
}

/// Writes an octet.
pub fn put_octet(out: &mut Vec<u8>, value: u8) {
    out.push(value);
}

/// Writes a short.
pub fn put_short(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes a long.
pub fn put_long(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes a longlong or timestamp.
pub fn put_longlong(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes a short string.
pub fn put_short_str(out: &mut Vec<u8>, value: &ShortStr) {
    let bytes = value.as_bytes();
    // Whoever makes a ShortStr keeps to 255 bytes.
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// Writes a long string.
pub fn put_long_str(out: &mut Vec<u8>, value: &[u8]) {
    put_long(out, value.len() as u32);
    out.extend_from_slice(value);
}

/// Writes a field table.
pub fn put_table(out: &mut Vec<u8>, value: &FieldTable) {
    put_with_length(out, |out| value.encode(out));
}

/// Writes what `write` writes, with its length in 32 bits in front.
pub(super) fn put_with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let length_at = out.len();
    put_long(out, 0);
    write(out);
    let length = (out.len() - length_at - 4) as u32;
    if let Some(place) = out.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
