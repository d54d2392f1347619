//! Frames: how methods, content headers and bodies lie on a connection.
//!
//! ```text
//! kind (1) | channel (2) | size (4) | payload (size) | 0xCE
//! ```
//!
//! In: the bytes at the front of a read buffer; out: one [`Frame`] that borrows them, or the news
//! that more must be read, or a [`FrameError`] after which the connection is out of step.
//! [`whole_publish`] is the same for the three frames of a small message in one step; whatever it
//! takes, [`frame`] would have taken too, in the same way.

use std::fmt::Write;

use nom::bytes::complete as whole;
use nom::bytes::streaming as partial;
use nom::number::complete::{be_u8 as octet, be_u16 as short, be_u32 as long, be_u64 as longlong};
use nom::number::streaming as partial_number;
use nom::{IResult, Parser};

use super::constants::{FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD};
use super::reply::{Exception, ReplyCode};
use super::terms::{PrettyBinary, push_pair};

/// The bytes of a frame that are not its payload.
pub const FRAME_OVERHEAD_BYTES: usize = 8;

/// RabbitMQ lets payloads exceed the agreed size by as much as an empty frame, because many
/// clients count wrong.
const FRAME_SIZE_FUDGE_BYTES: u32 = 8;

/// A frame's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A method.
    Method = FRAME_METHOD,
    /// A content header.
    Header = FRAME_HEADER,
    /// A piece of a content body.
    Body = FRAME_BODY,
    /// A sign of life.
    Heartbeat = FRAME_HEARTBEAT,
}

impl FrameKind {
    fn of(kind: u8) -> Option<Self> {
        match kind {
            FRAME_METHOD => Some(Self::Method),
            FRAME_HEADER => Some(Self::Header),
            FRAME_BODY => Some(Self::Body),
            FRAME_HEARTBEAT => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

/// A frame, borrowed from the read buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: FrameKind,
    /// Its channel; 0 is the connection's own.
    pub channel: u16,
    /// What it carries.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// RabbitMQ's exception for a frame that has no meaning at all: too short for what it carries,
    /// or a heartbeat that carries something.
    pub fn unknown(&self) -> Exception {
        FrameError::UnknownKind {
            kind: self.kind as u8,
            channel: self.channel,
            size: self.payload.len() as u32,
            start: Snippet::of(self.payload),
        }
        .exception()
    }

    /// RabbitMQ's exception for a frame that has no place here, as one that is no method on
    /// channel 0, a heartbeat on another channel, or any on another channel during the handshake.
    pub fn unexpected(&self) -> Exception {
        let start = Snippet::of(self.payload);
        Exception::new(
            ReplyCode::UnexpectedFrame,
            start.describe(self.kind as u8, self.payload.len() as u32),
        )
    }
}

/// The first bytes of a payload, for an error's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    bytes: [u8; Self::MAX_BYTES],
    length: u8,
}

impl Snippet {
    const MAX_BYTES: usize = 16;

    fn of(payload: &[u8]) -> Self {
        let shown = &payload[..payload.len().min(Self::MAX_BYTES)];
        let mut bytes = [0; Self::MAX_BYTES];
        bytes[..shown.len()].copy_from_slice(shown);
        Self {
            bytes,
            length: shown.len() as u8,
        }
    }

    fn describe(&self, kind: u8, size: u32) -> String {
        let extent = if size as usize <= Self::MAX_BYTES {
            "all"
        } else {
            "first 16"
        };
        let shown = self.bytes.get(..self.length.into()).unwrap_or_default();
        let mut text = format!("type {kind}, {extent} octets = ");
        let binary = PrettyBinary {
            bytes: shown,
            column: text.len(),
        };
        let _ = write!(text, "{binary}");
        text
    }
}

/// A frame that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A type that is not known.
    UnknownKind {
        /// The type.
        kind: u8,
        /// The channel.
        channel: u16,
        /// The payload's size.
        size: u32,
        /// How the payload begins.
        start: Snippet,
    },
    /// A size that was not agreed on. The payload need not be there yet.
    TooLarge {
        /// The type.
        kind: u8,
        /// The channel.
        channel: u16,
        /// The payload's size.
        size: u32,
        /// The largest payload agreed on.
        max: u32,
    },
    /// Something else where the frame's end should be.
    BadEnd {
        /// The type.
        kind: u8,
        /// The channel.
        channel: u16,
        /// The payload's size.
        size: u32,
        /// What is there instead.
        end: u8,
        /// How the payload begins.
        start: Snippet,
    },
}

impl FrameError {
    /// The channel that the frame was for.
    pub fn channel(&self) -> u16 {
        match *self {
            Self::UnknownKind { channel, .. }
            | Self::TooLarge { channel, .. }
            | Self::BadEnd { channel, .. } => channel,
        }
    }

    /// RabbitMQ's exception where not even a frame of a known type would have a place; None if what came
    /// is out of step.
    pub fn unexpected(&self) -> Option<Exception> {
        match self {
            Self::UnknownKind {
                kind, size, start, ..
            } => Some(Exception::new(
                ReplyCode::UnexpectedFrame,
                start.describe(*kind, *size),
            )),
            Self::TooLarge { .. } | Self::BadEnd { .. } => None,
        }
    }

    /// The exception with RabbitMQ's text.
    pub fn exception(&self) -> Exception {
        let text = match self {
            Self::UnknownKind {
                kind, size, start, ..
            } => {
                format!("{}: unknown_frame", start.describe(*kind, *size))
            }
            Self::TooLarge {
                kind, size, max, ..
            } => {
                let nothing = Snippet::default().describe(*kind, 0);
                format!("{nothing}: {{frame_too_large,{size},{max}}}")
            }
            Self::BadEnd {
                kind,
                size,
                end,
                start,
                ..
            } => {
                let mut text = start.describe(*kind, *size);
                text.push_str(": ");
                push_pair(&mut text, "invalid_frame_end_marker", (*end).into());
                text
            }
        };
        Exception::new(ReplyCode::FrameError, text)
    }
}

/// The largest payload that is let in where frames of `frame_max` bytes were agreed on; 0 is no
/// limit, in `frame_max` only.
fn payload_limit(frame_max: u32) -> u32 {
    match frame_max {
        0 => u32::MAX,
        _ => frame_max
            .saturating_sub(FRAME_OVERHEAD_BYTES as u32)
            .saturating_add(FRAME_SIZE_FUDGE_BYTES),
    }
}

/// The first frame of `input` and how many bytes it took; None if it is not all there yet.
/// `frame_max` includes the 8 bytes around the payload; 0 is no limit.
pub fn frame(input: &[u8], frame_max: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let head: IResult<&[u8], (u8, u16, u32), ()> = (
        partial_number::be_u8,
        partial_number::be_u16,
        partial_number::be_u32,
    )
        .parse(input);
    let Ok((rest, (kind, channel, size))) = head else {
        return Ok(None);
    };
    if size > payload_limit(frame_max) {
        let max = frame_max.saturating_sub(FRAME_OVERHEAD_BYTES as u32);
        return Err(FrameError::TooLarge {
            kind,
            channel,
            size,
            max,
        });
    }
    let tail: IResult<&[u8], (&[u8], u8), ()> =
        (partial::take(size), partial_number::be_u8).parse(rest);
    let Ok((rest, (payload, end))) = tail else {
        return Ok(None);
    };
    if end != FRAME_END {
        return Err(FrameError::BadEnd {
            kind,
            channel,
            size,
            end,
            start: Snippet::of(payload),
        });
    }
    match FrameKind::of(kind) {
        Some(kind) => Ok(Some((
            Frame {
                kind,
                channel,
                payload,
            },
            input.len() - rest.len(),
        ))),
        None => Err(FrameError::UnknownKind {
            kind,
            channel,
            size,
            start: Snippet::of(payload),
        }),
    }
}

/// What a content header frame's payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class of the method that it belongs to.
    pub class_id: u16,
    /// Unused; RabbitMQ takes nothing but 0.
    pub weight: u16,
    /// How many bytes of body follow, in all body frames together.
    pub body_size: u64,
    /// Property flags and values, not checked.
    pub properties: &'a [u8],
}

/// Reads a content header frame's payload; None if it is too short, for which
/// [`Frame::unknown`] is RabbitMQ's exception.
#[inline(always)]
pub fn content_header(payload: &[u8]) -> Option<ContentHeader<'_>> {
    let head: IResult<&[u8], (u16, u16, u64), ()> = (short, short, longlong).parse(payload);
    let (properties, (class_id, weight, body_size)) = head.ok()?;
    Some(ContentHeader {
        class_id,
        weight,
        body_size,
        properties,
    })
}

/// A basic.publish whose method, header and (at most one) body frame lie whole in one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholePublish<'a> {
    /// Its channel; never 0.
    pub channel: u16,
    /// Where it goes. RabbitMQ does not insist on UTF-8 here.
    pub exchange: &'a [u8],
    /// What it is routed by. RabbitMQ does not insist on UTF-8 here.
    pub routing_key: &'a [u8],
    /// To be returned if it reaches no queue.
    pub mandatory: bool,
    /// To be returned if no consumer is ready.
    pub immediate: bool,
    /// Property flags and values, as they came, not yet checked.
    pub properties: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

const BASIC: u16 = 60;
const BASIC_PUBLISH: u16 = 40;

/// The channel of the basic.publish that `input` begins with; None if it begins with anything else,
/// or with less than its ids. It need not be whole.
#[inline]
pub fn publish_channel(input: &[u8]) -> Option<u16> {
    let (rest, head) = frame_head(input)?;
    let ids: IResult<&[u8], (u16, u16), ()> = (short, short).parse(rest);
    let (_, ids) = ids.ok()?;
    (head.kind == FRAME_METHOD && ids == (BASIC, BASIC_PUBLISH)).then_some(head.channel)
}

/// Such a publish at the start of `input`, and how many bytes it took. None for anything else,
/// which then goes the slow way through [`frame`] (that also finds the error, if it is one).
#[inline(always)]
pub fn whole_publish(input: &[u8], frame_max: u32) -> Option<(WholePublish<'_>, usize)> {
    let limit = payload_limit(frame_max);

    let (rest, head) = frame_head(input)?;
    let channel = head.channel;
    if head.kind != FRAME_METHOD || channel == 0 || head.size > limit {
        return None;
    }
    let (rest, method) = frame_payload(rest, head.size)?;
    let (exchange, routing_key, bits) = publish_arguments(method)?;

    let (rest, head) = frame_head(rest)?;
    if head.kind != FRAME_HEADER || head.channel != channel || head.size > limit {
        return None;
    }
    let (rest, header) = frame_payload(rest, head.size)?;
    let ContentHeader {
        class_id,
        weight,
        body_size,
        properties,
    } = content_header(header)?;
    if class_id != BASIC || weight != 0 {
        return None;
    }

    let (rest, body) = if body_size == 0 {
        (rest, &[][..])
    } else {
        let (rest, head) = frame_head(rest)?;
        if head.kind != FRAME_BODY || head.channel != channel || head.size > limit {
            return None;
        }
        if u64::from(head.size) != body_size {
            return None;
        }
        frame_payload(rest, head.size)?
    };
    let publish = WholePublish {
        channel,
        exchange,
        routing_key,
        mandatory: bits & 1 != 0,
        immediate: bits & 2 != 0,
        properties,
        body,
    };
    Some((publish, input.len() - rest.len()))
}

/// A publish whose like may follow: most publishers send many that differ in their bodies' bytes
/// alone. Those are recognised by comparing what stands before the body, without parsing it.
#[derive(Clone, Copy, Debug)]
pub struct Like<'a> {
    publish: WholePublish<'a>,
    head: &'a [u8],
}

impl<'a> Like<'a> {
    /// The like of `publish`, which took `used` bytes at the start of `input`. None where its body
    /// is empty, and so has no frame.
    #[inline(always)]
    pub fn of(publish: WholePublish<'a>, input: &'a [u8], used: usize) -> Option<Self> {
        let head_bytes = used.checked_sub(publish.body.len() + 1)?;
        let head = input.get(..head_bytes)?;
        (!publish.body.is_empty()).then_some(Self { publish, head })
    }

    /// Such a publish at the start of `input`, and how many bytes it took. Of what it says all but
    /// the body is the first one's own.
    #[inline(always)]
    pub fn next(&self, input: &'a [u8]) -> Option<(WholePublish<'a>, usize)> {
        let (head, rest) = input.split_at_checked(self.head.len())?;
        let (body, rest) = rest.split_at_checked(self.publish.body.len())?;
        if rest.first() != Some(&FRAME_END) || head != self.head {
            return None;
        }
        let publish = WholePublish {
            body,
            ..self.publish
        };
        Some((publish, head.len() + body.len() + 1))
    }
}

/// What stands before a payload.
struct Head {
    kind: u8,
    channel: u16,
    size: u32,
}

#[inline(always)]
fn frame_head(input: &[u8]) -> Option<(&[u8], Head)> {
    let head: IResult<&[u8], (u8, u16, u32), ()> = (octet, short, long).parse(input);
    let (rest, (kind, channel, size)) = head.ok()?;
    Some((
        rest,
        Head {
            kind,
            channel,
            size,
        },
    ))
}

#[inline(always)]
fn frame_payload(input: &[u8], size: u32) -> Option<(&[u8], &[u8])> {
    let tail: IResult<&[u8], (&[u8], u8), ()> = (whole::take(size), octet).parse(input);
    match tail {
        Ok((rest, (payload, FRAME_END))) => Some((rest, payload)),
        _ => None,
    }
}

/// A method frame's payload, if it is a well-formed basic.publish: exchange, routing key and bits.
#[inline(always)]
fn publish_arguments(payload: &[u8]) -> Option<(&[u8], &[u8], u8)> {
    let ids: IResult<&[u8], (u16, u16, u16), ()> = (short, short, short).parse(payload);
    let (rest, (class_id, method_id, _reserved)) = ids.ok()?;
    if (class_id, method_id) != (BASIC, BASIC_PUBLISH) {
        return None;
    }
    let (rest, exchange) = short_bytes(rest)?;
    let (rest, routing_key) = short_bytes(rest)?;
    match rest {
        &[bits] => Some((exchange, routing_key, bits)),
        _ => None,
    }
}

#[inline(always)]
fn short_bytes(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = input.split_first()?;
    let (bytes, rest) = rest.split_at_checked(length.into())?;
    Some((rest, bytes))
}
