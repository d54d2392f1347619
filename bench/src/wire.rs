//! AMQP 0-9-1 on the wire, as little of it as a load generator needs.
//!
//! In come field values, out go frames appended to a byte buffer; in come received bytes, out
//! come frames that borrow them and a cursor over their fields. Nothing here allocates per
//! message: hot loops encode a message once and send its bytes many times.

use std::io;

/// A class and a method number.
pub type MethodId = (u16, u16);

/// The bytes that a client opens a connection with.
pub const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
/// Frame type of a method.
pub const FRAME_METHOD: u8 = 1;
/// Frame type of a content header.
pub const FRAME_HEADER: u8 = 2;
/// Frame type of a piece of body.
pub const FRAME_BODY: u8 = 3;
/// Frame type of a heartbeat.
pub const FRAME_HEARTBEAT: u8 = 8;
/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;
/// Bytes of a frame before its payload.
pub const FRAME_HEAD_BYTES: usize = 7;
/// Bytes of a frame that are not payload.
pub const FRAME_OVERHEAD_BYTES: usize = FRAME_HEAD_BYTES + 1;

/// The methods that the bench sends or understands.
#[allow(missing_docs)]
pub mod method {
    use super::MethodId;
    pub const CONNECTION_START: MethodId = (10, 10);
    pub const CONNECTION_START_OK: MethodId = (10, 11);
    pub const CONNECTION_TUNE: MethodId = (10, 30);
    pub const CONNECTION_TUNE_OK: MethodId = (10, 31);
    pub const CONNECTION_OPEN: MethodId = (10, 40);
    pub const CONNECTION_OPEN_OK: MethodId = (10, 41);
    pub const CONNECTION_CLOSE: MethodId = (10, 50);
    pub const CONNECTION_CLOSE_OK: MethodId = (10, 51);
    pub const CHANNEL_OPEN: MethodId = (20, 10);
    pub const CHANNEL_OPEN_OK: MethodId = (20, 11);
    pub const CHANNEL_CLOSE: MethodId = (20, 40);
    pub const CHANNEL_CLOSE_OK: MethodId = (20, 41);
    pub const EXCHANGE_DECLARE: MethodId = (40, 10);
    pub const EXCHANGE_DECLARE_OK: MethodId = (40, 11);
    pub const EXCHANGE_DELETE: MethodId = (40, 20);
    pub const EXCHANGE_DELETE_OK: MethodId = (40, 21);
    pub const QUEUE_DECLARE: MethodId = (50, 10);
    pub const QUEUE_DECLARE_OK: MethodId = (50, 11);
    pub const QUEUE_BIND: MethodId = (50, 20);
    pub const QUEUE_BIND_OK: MethodId = (50, 21);
    pub const QUEUE_DELETE: MethodId = (50, 40);
    pub const QUEUE_DELETE_OK: MethodId = (50, 41);
    pub const BASIC_QOS: MethodId = (60, 10);
    pub const BASIC_QOS_OK: MethodId = (60, 11);
    pub const BASIC_CONSUME: MethodId = (60, 20);
    pub const BASIC_CONSUME_OK: MethodId = (60, 21);
    pub const BASIC_CANCEL: MethodId = (60, 30);
    pub const BASIC_PUBLISH: MethodId = (60, 40);
    pub const BASIC_RETURN: MethodId = (60, 50);
    pub const BASIC_DELIVER: MethodId = (60, 60);
    pub const BASIC_ACK: MethodId = (60, 80);
    pub const BASIC_NACK: MethodId = (60, 120);
    pub const CONFIRM_SELECT: MethodId = (85, 10);
    pub const CONFIRM_SELECT_OK: MethodId = (85, 11);
}

/// A value in a field table.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Tag `t`.
    Bool(bool),
    /// Tag `I`, a signed 32-bit number.
    Int(i32),
    /// Tag `l`, a signed 64-bit number.
    Long(i64),
    /// Tag `S`.
    Text(String),
    /// Tag `F`.
    Table(Table),
}

/// A field table, in the order in which it is sent.
pub type Table = Vec<(String, Value)>;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

/// Appends one method frame to a buffer, argument by argument.
pub struct MethodWriter<'b> {
    buffer: &'b mut Vec<u8>,
    frame_start: usize,
}

impl<'b> MethodWriter<'b> {
    /// Opens the frame.
    pub fn new(buffer: &'b mut Vec<u8>, channel: u16, id: MethodId) -> Self {
        let frame_start = open_frame(buffer, FRAME_METHOD, channel);
        let writer = MethodWriter {
            buffer,
            frame_start,
        };
        writer.short(id.0).short(id.1)
    }

    /// An octet, or up to eight bits packed by the caller.
    pub fn octet(self, value: u8) -> Self {
        self.buffer.push(value);
        self
    }

    /// A 16-bit number.
    pub fn short(self, value: u16) -> Self {
        self.buffer.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A 32-bit number.
    pub fn long(self, value: u32) -> Self {
        self.buffer.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A 64-bit number.
    pub fn longlong(self, value: u64) -> Self {
        self.buffer.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A short string; what is past 255 bytes is cut.
    pub fn short_text(self, text: &str) -> Self {
        put_short_text(self.buffer, text);
        self
    }

    /// A long string.
    pub fn long_text(self, text: &[u8]) -> Self {
        put_long_text(self.buffer, text);
        self
    }

    /// A field table.
    pub fn table(self, table: &Table) -> Self {
        put_table(self.buffer, table);
        self
    }

    /// Closes the frame.
    pub fn end(self) {
        close_frame(self.buffer, self.frame_start);
    }
}

/// The properties that the scenarios use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// Delivery mode 2 when true, 1 when false.
    pub persistent: bool,
    /// Message priority.
    pub priority: Option<u8>,
    /// Per-message TTL in milliseconds, as AMQP wants it: a string.
    pub expiration: Option<String>,
    /// Headers; an empty table is not sent.
    pub headers: Table,
}

/// Appends a whole publish and returns where its body begins in the buffer.
pub fn put_publish(
    buffer: &mut Vec<u8>,
    channel: u16,
    exchange: &str,
    routing_key: &str,
    properties: &Properties,
    body: &[u8],
    frame_max_bytes: usize,
) -> usize {
    MethodWriter::new(buffer, channel, method::BASIC_PUBLISH)
        .short(0)
        .short_text(exchange)
        .short_text(routing_key)
        .octet(0)
        .end();
    put_content_header(buffer, channel, properties, body.len() as u64);
    let body_start = buffer.len() + FRAME_HEAD_BYTES;
    for piece in body.chunks(frame_max_bytes - FRAME_OVERHEAD_BYTES) {
        let start = open_frame(buffer, FRAME_BODY, channel);
        buffer.extend_from_slice(piece);
        close_frame(buffer, start);
    }
    body_start
}

fn put_content_header(
    buffer: &mut Vec<u8>,
    channel: u16,
    properties: &Properties,
    body_bytes: u64,
) {
    const HAS_HEADERS: u16 = 1 << 13;
    const HAS_DELIVERY_MODE: u16 = 1 << 12;
    const HAS_PRIORITY: u16 = 1 << 11;
    const HAS_EXPIRATION: u16 = 1 << 8;
    let mut flags = HAS_DELIVERY_MODE;
    if !properties.headers.is_empty() {
        flags |= HAS_HEADERS;
    }
    if properties.priority.is_some() {
        flags |= HAS_PRIORITY;
    }
    if properties.expiration.is_some() {
        flags |= HAS_EXPIRATION;
    }
    let start = open_frame(buffer, FRAME_HEADER, channel);
    buffer.extend_from_slice(&method::BASIC_PUBLISH.0.to_be_bytes());
    buffer.extend_from_slice(&0u16.to_be_bytes());
    buffer.extend_from_slice(&body_bytes.to_be_bytes());
    buffer.extend_from_slice(&flags.to_be_bytes());
    if !properties.headers.is_empty() {
        put_table(buffer, &properties.headers);
    }
    buffer.push(if properties.persistent { 2 } else { 1 });
    if let Some(priority) = properties.priority {
        buffer.push(priority);
    }
    if let Some(expiration) = &properties.expiration {
        put_short_text(buffer, expiration);
    }
    close_frame(buffer, start);
}

fn open_frame(buffer: &mut Vec<u8>, kind: u8, channel: u16) -> usize {
    let start = buffer.len();
    buffer.push(kind);
    buffer.extend_from_slice(&channel.to_be_bytes());
    buffer.extend_from_slice(&[0; 4]);
    start
}

fn close_frame(buffer: &mut Vec<u8>, start: usize) {
    let payload_bytes = (buffer.len() - start - FRAME_HEAD_BYTES) as u32;
    buffer[start + 3..start + FRAME_HEAD_BYTES].copy_from_slice(&payload_bytes.to_be_bytes());
    buffer.push(FRAME_END);
}

fn put_short_text(buffer: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    buffer.push(bytes.len() as u8);
    buffer.extend_from_slice(bytes);
}

fn put_long_text(buffer: &mut Vec<u8>, text: &[u8]) {
    buffer.extend_from_slice(&(text.len() as u32).to_be_bytes());
    buffer.extend_from_slice(text);
}

fn put_table(buffer: &mut Vec<u8>, table: &Table) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    for (name, value) in table {
        put_short_text(buffer, name);
        match value {
            Value::Bool(flag) => buffer.extend_from_slice(&[b't', u8::from(*flag)]),
            Value::Int(number) => {
                buffer.push(b'I');
                buffer.extend_from_slice(&number.to_be_bytes());
            }
            Value::Long(number) => {
                buffer.push(b'l');
                buffer.extend_from_slice(&number.to_be_bytes());
            }
            Value::Text(text) => {
                buffer.push(b'S');
                put_long_text(buffer, text.as_bytes());
            }
            Value::Table(inner) => {
                buffer.push(b'F');
                put_table(buffer, inner);
            }
        }
    }
    let table_bytes = (buffer.len() - start - 4) as u32;
    buffer[start..start + 4].copy_from_slice(&table_bytes.to_be_bytes());
}

/// One whole frame inside received bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    /// Frame type.
    pub kind: u8,
    /// Channel number.
    pub channel: u16,
    /// What stands between head and end octet.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame that `bytes` begin with; `None` when it is not whole yet.
    pub fn split(bytes: &'a [u8]) -> io::Result<Option<Frame<'a>>> {
        let Some(head) = bytes.first_chunk::<FRAME_HEAD_BYTES>() else {
            return Ok(None);
        };
        let payload_bytes = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let Some(rest) = bytes.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + payload_bytes + 1) else {
            return Ok(None);
        };
        let (payload, end) = rest.split_at(payload_bytes);
        if end != [FRAME_END] {
            return Err(malformed("a frame does not end with 0xCE"));
        }
        let channel = u16::from_be_bytes([head[1], head[2]]);
        Ok(Some(Frame {
            kind: head[0],
            channel,
            payload,
        }))
    }

    /// Bytes of the frame with head and end.
    pub fn whole_bytes(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD_BYTES
    }

    /// Class and method of a method frame.
    pub fn method_id(&self) -> Option<MethodId> {
        match self.payload {
            [a, b, c, d, ..] if self.kind == FRAME_METHOD => {
                Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
            }
            _ => None,
        }
    }

    /// A cursor over the arguments of a method frame.
    pub fn arguments(&self) -> Cursor<'a> {
        Cursor {
            bytes: self.payload.get(4..).unwrap_or_default(),
        }
    }
}

/// Reads fields one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (head, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or_else(|| malformed("a method ends too early"))?;
        self.bytes = rest;
        Ok(head)
    }

    /// An octet.
    pub fn octet(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// A 16-bit number.
    pub fn short(&mut self) -> io::Result<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A 32-bit number.
    pub fn long(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_be_bytes(bytes))
    }

    /// A 64-bit number.
    pub fn longlong(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_be_bytes(bytes))
    }

    /// A short string.
    pub fn short_text(&mut self) -> io::Result<&'a str> {
        let count = usize::from(self.octet()?);
        std::str::from_utf8(self.take(count)?).map_err(|_| malformed("a short string is not UTF-8"))
    }

    /// A long string, or a field table left undecoded.
    pub fn long_text(&mut self) -> io::Result<&'a [u8]> {
        let count = self.long()? as usize;
        self.take(count)
    }
}

/// An error about bytes that are not AMQP.
pub fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
