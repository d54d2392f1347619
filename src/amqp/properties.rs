//! The properties of a message: flags and values in its content header.
//!
//! In: what follows class, weight and body size in a header frame; out: [`Properties`] for
//! whoever needs or changes them, or a [`Scan`], which allocates nothing, checks everything and
//! shows where the values lie, for messages that are handed on as they came.
//! As in RabbitMQ there is one word of flags; its lowest two bits, one of which the specification
//! means to announce a second word, are not looked at.

use std::fmt;

use super::reply::{Exception, ReplyCode};
use super::table::{FieldTable, FieldValue, ShortStr, TableError};
use super::wire::{
    Reader, WireError, put_long, put_longlong, put_octet, put_short, put_short_str, put_table,
};

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const KIND: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;
const ALL: u16 = !0b11;

/// Flags and values of a message without properties.
pub const NO_PROPERTIES: &[u8] = &[0, 0];

/// What can be wrong with properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyError {
    /// They end too early, or a length in them lies.
    Truncated,
    /// Something follows that no flag announced.
    Trailing,
    /// The headers are no field table.
    Headers(TableError),
}

impl PropertyError {
    /// The exception that RabbitMQ closes the connection with, class and method 0: its channel
    /// crashes over properties that it cannot read, which gives no text.
    pub fn exception(&self) -> Exception {
        Exception::new(ReplyCode::InternalError, "")
    }
}

impl fmt::Display for PropertyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("properties end too early"),
            Self::Trailing => f.write_str("properties are followed by something else"),
            Self::Headers(error) => write!(f, "headers: {error}"),
        }
    }
}

impl std::error::Error for PropertyError {}

impl From<WireError> for PropertyError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Truncated | WireError::NotUtf8 => Self::Truncated,
            WireError::Trailing => Self::Trailing,
            WireError::Table(error) => Self::Headers(error),
        }
    }
}

/// A message's properties. Their text may be any bytes, see [`ShortStr`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// MIME type of the body.
    pub content_type: Option<ShortStr>,
    /// MIME encoding of the body.
    pub content_encoding: Option<ShortStr>,
    /// Headers, for applications and headers exchanges.
    pub headers: Option<FieldTable>,
    /// 1 is transient, 2 is persistent.
    pub delivery_mode: Option<u8>,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// What request this answers.
    pub correlation_id: Option<ShortStr>,
    /// Where an answer should go.
    pub reply_to: Option<ShortStr>,
    /// Time to live in milliseconds, as decimal text.
    pub expiration: Option<ShortStr>,
    /// The application's name for the message.
    pub message_id: Option<ShortStr>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// The application's type of the message; `type` in the specification.
    pub kind: Option<ShortStr>,
    /// Who published it.
    pub user_id: Option<ShortStr>,
    /// What application published it.
    pub app_id: Option<ShortStr>,
    /// Reserved; carried, not looked at.
    pub cluster_id: Option<ShortStr>,
}

impl Properties {
    /// Reads property flags and values, all of them.
    pub fn decode(raw: &[u8]) -> Result<Self, PropertyError> {
        let mut input = Reader::new(raw);
        let flags = input.short()?;
        if flags & ALL == 0 {
            input.end()?;
            return Ok(Self::default());
        }
        let has = |flag: u16| flags & flag != 0;
        let text = |flag: u16, input: &mut Reader<'_>| {
            if has(flag) {
                input.short_str().map(Some)
            } else {
                Ok(None)
            }
        };
        let properties = Self {
            content_type: text(CONTENT_TYPE, &mut input)?,
            content_encoding: text(CONTENT_ENCODING, &mut input)?,
            headers: if has(HEADERS) {
                Some(input.table()?)
            } else {
                None
            },
            delivery_mode: if has(DELIVERY_MODE) {
                Some(input.octet()?)
            } else {
                None
            },
            priority: if has(PRIORITY) {
                Some(input.octet()?)
            } else {
                None
            },
            correlation_id: text(CORRELATION_ID, &mut input)?,
            reply_to: text(REPLY_TO, &mut input)?,
            expiration: text(EXPIRATION, &mut input)?,
            message_id: text(MESSAGE_ID, &mut input)?,
            timestamp: if has(TIMESTAMP) {
                Some(input.longlong()?)
            } else {
                None
            },
            kind: text(KIND, &mut input)?,
            user_id: text(USER_ID, &mut input)?,
            app_id: text(APP_ID, &mut input)?,
            cluster_id: text(CLUSTER_ID, &mut input)?,
        };
        input.end()?;
        Ok(properties)
    }

    /// Writes property flags and values.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags_at = out.len();
        put_short(out, 0);
        let mut flags = 0;
        let mut text = |flag: u16, value: &Option<ShortStr>, out: &mut Vec<u8>| {
            if let Some(value) = value {
                flags |= flag;
                put_short_str(out, value);
            }
        };
        text(CONTENT_TYPE, &self.content_type, out);
        text(CONTENT_ENCODING, &self.content_encoding, out);
        if let Some(headers) = &self.headers {
            put_table(out, headers);
        }
        if let Some(delivery_mode) = self.delivery_mode {
            put_octet(out, delivery_mode);
        }
        if let Some(priority) = self.priority {
            put_octet(out, priority);
        }
        text(CORRELATION_ID, &self.correlation_id, out);
        text(REPLY_TO, &self.reply_to, out);
        text(EXPIRATION, &self.expiration, out);
        text(MESSAGE_ID, &self.message_id, out);
        if let Some(timestamp) = self.timestamp {
            put_longlong(out, timestamp);
        }
        text(KIND, &self.kind, out);
        text(USER_ID, &self.user_id, out);
        text(APP_ID, &self.app_id, out);
        text(CLUSTER_ID, &self.cluster_id, out);
        for (flag, is_there) in [
            (HEADERS, self.headers.is_some()),
            (DELIVERY_MODE, self.delivery_mode.is_some()),
            (PRIORITY, self.priority.is_some()),
            (TIMESTAMP, self.timestamp.is_some()),
        ] {
            if is_there {
                flags |= flag;
            }
        }
        if let Some(place) = out.get_mut(flags_at..flags_at + 2) {
            place.copy_from_slice(&flags.to_be_bytes());
        }
    }
}

/// Where the values of a property set lie. That there is one means that the set is well-formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan<'a> {
    /// MIME type of the body.
    pub content_type: Option<&'a [u8]>,
    /// MIME encoding of the body.
    pub content_encoding: Option<&'a [u8]>,
    /// The headers' contents, without their length: for [`FieldTable::decode`], which will not fail.
    pub headers: Option<&'a [u8]>,
    /// 1 is transient, 2 is persistent.
    pub delivery_mode: Option<u8>,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// What request this answers.
    pub correlation_id: Option<&'a [u8]>,
    /// Where an answer should go.
    pub reply_to: Option<&'a [u8]>,
    /// Time to live in milliseconds, as decimal text, unchecked.
    pub expiration: Option<&'a [u8]>,
    /// The application's name for the message.
    pub message_id: Option<&'a [u8]>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// The application's type of the message.
    pub kind: Option<&'a [u8]>,
    /// Who published it, unchecked.
    pub user_id: Option<&'a [u8]>,
    /// What application published it.
    pub app_id: Option<&'a [u8]>,
    /// Reserved; carried, not looked at.
    pub cluster_id: Option<&'a [u8]>,
}

/// Whether there is a priority among properties that were checked before, be it 0.
#[inline]
pub fn has_priority(raw: &[u8]) -> bool {
    let flags = raw.first_chunk().copied().map_or(0, u16::from_be_bytes);
    flags & PRIORITY != 0
}

/// Checks property flags and values, all of them, and finds where the values lie.
#[inline]
pub fn scan(raw: &[u8]) -> Result<Scan<'_>, PropertyError> {
    if raw == NO_PROPERTIES {
        Ok(Scan::default())
    } else {
        scan_values(raw)
    }
}

/// The headers' contents, without their length, in properties that were checked before; None if there
/// are none.
pub fn headers(raw: &[u8]) -> Option<&[u8]> {
    let (flags, mut input) = up_to_headers(raw).ok()?;
    if flags & HEADERS == 0 {
        return None;
    }
    input.long_bytes().ok()
}

/// The flags, and what follows the values that come before the headers.
fn up_to_headers(raw: &[u8]) -> Result<(u16, Reader<'_>), WireError> {
    let mut input = Reader::new(raw);
    let flags = input.short()?;
    for flag in [CONTENT_TYPE, CONTENT_ENCODING] {
        if flags & flag != 0 {
            input.short_bytes()?;
        }
    }
    Ok((flags, input))
}

/// Appends the properties `raw`, which were checked before, to `out`, with one more header: an
/// integer of 64 bits (`l`). One of that name that is there already is replaced.
pub fn put_with_header(raw: &[u8], name: &str, value: i64, out: &mut Vec<u8>) {
    let mentioned = headers(raw).is_some_and(|headers| FieldTable::mentions(headers, name));
    if mentioned && let Ok(mut properties) = Properties::decode(raw) {
        let headers = properties.headers.get_or_insert_default();
        headers.insert(name, FieldValue::I64(value));
        return properties.encode(out);
    }
    if append_header(raw, name, value, out).is_err() {
        // It was checked when it came in; what cannot be read stays as it is.
        out.extend_from_slice(raw);
    }
}

/// Nothing is appended if an error is returned.
fn append_header(raw: &[u8], name: &str, value: i64, out: &mut Vec<u8>) -> Result<(), WireError> {
    let (flags, mut input) = up_to_headers(raw)?;
    let before = raw.len() - input.rest().len();
    let headers = match flags & HEADERS {
        0 => &[],
        _ => input.long_bytes()?,
    };
    let entry_bytes = 1 + name.len() + 1 + 8;
    put_short(out, flags | HEADERS);
    out.extend_from_slice(raw.get(2..before).unwrap_or_default());
    put_long(out, (headers.len() + entry_bytes) as u32);
    out.extend_from_slice(headers);
    put_octet(out, name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    put_octet(out, b'l');
    put_longlong(out, value.cast_unsigned());
    out.extend_from_slice(input.rest());
    Ok(())
}

fn scan_values(raw: &[u8]) -> Result<Scan<'_>, PropertyError> {
    let mut input = Reader::new(raw);
    let flags = input.short()?;
    let has = |flag: u16| flags & flag != 0;
    let mut scan = Scan::default();
    if has(CONTENT_TYPE) {
        scan.content_type = Some(input.short_bytes()?);
    }
    if has(CONTENT_ENCODING) {
        scan.content_encoding = Some(input.short_bytes()?);
    }
    if has(HEADERS) {
        let contents = input.long_bytes()?;
        FieldTable::validate(contents).map_err(PropertyError::Headers)?;
        scan.headers = Some(contents);
    }
    if has(DELIVERY_MODE) {
        scan.delivery_mode = Some(input.octet()?);
    }
    if has(PRIORITY) {
        scan.priority = Some(input.octet()?);
    }
    if has(CORRELATION_ID) {
        scan.correlation_id = Some(input.short_bytes()?);
    }
    if has(REPLY_TO) {
        scan.reply_to = Some(input.short_bytes()?);
    }
    if has(EXPIRATION) {
        scan.expiration = Some(input.short_bytes()?);
    }
    if has(MESSAGE_ID) {
        scan.message_id = Some(input.short_bytes()?);
    }
    if has(TIMESTAMP) {
        scan.timestamp = Some(input.longlong()?);
    }
    if has(KIND) {
        scan.kind = Some(input.short_bytes()?);
    }
    if has(USER_ID) {
        scan.user_id = Some(input.short_bytes()?);
    }
    if has(APP_ID) {
        scan.app_id = Some(input.short_bytes()?);
    }
    if has(CLUSTER_ID) {
        scan.cluster_id = Some(input.short_bytes()?);
    }
    input.end()?;
    Ok(scan)
}
