//! The writer: frames appended to an outgoing buffer.
//!
//! In: methods, or a message's parts as they lie somewhere; out: whole frames at the end of a
//! `Vec<u8>`. The delivery of a message is the hot part: one reservation, then copies. Of a large
//! body only the frames around it are written here ([`body_frame_start`], [`body_frame_end`]), so
//! that its bytes can be sent as shared slices.
//!
//! Lengths must fit what they are written into: short strings 255 bytes, properties a frame.
//! Everything that was read from the wire does.

use super::constants::{FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD};
use super::frame::FRAME_OVERHEAD_BYTES;
use super::method::{Method, basic};
use super::wire::put_with_length;

/// What a client opens a connection with, and what a server answers to any other opening.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// The heartbeat frame.
pub const HEARTBEAT_FRAME: [u8; 8] = [FRAME_HEARTBEAT, 0, 0, 0, 0, 0, 0, FRAME_END];

const BASIC: u16 = basic::Deliver::FACTS.class_id;

/// Writes a method frame.
pub fn method_frame(out: &mut Vec<u8>, channel: u16, method: &Method) {
    let [high, low] = channel.to_be_bytes();
    out.extend_from_slice(&[FRAME_METHOD, high, low]);
    put_with_length(out, |out| method.encode(out));
    out.push(FRAME_END);
}

/// Writes a heartbeat frame.
pub fn heartbeat_frame(out: &mut Vec<u8>) {
    out.extend_from_slice(&HEARTBEAT_FRAME);
}

/// Writes a content header frame of class basic. `properties` are flags and values.
pub fn content_header_frame(out: &mut Vec<u8>, channel: u16, body_size: u64, properties: &[u8]) {
    out.extend_from_slice(&header_start(channel, body_size, properties.len()));
    out.extend_from_slice(properties);
    out.push(FRAME_END);
}

/// Writes a body in as many frames as it takes; an empty one takes none. `frame_max` includes the
/// 8 bytes around a payload; 0 is no limit.
pub fn body_frames(out: &mut Vec<u8>, channel: u16, body: &[u8], frame_max: u32) {
    out.reserve(body_frames_bytes(body.len(), frame_max));
    for piece in body.chunks(payload_max(frame_max)) {
        out.extend_from_slice(&frame_start(FRAME_BODY, channel, piece.len() as u32));
        out.extend_from_slice(piece);
        out.push(FRAME_END);
    }
}

/// The largest payload of frames that may have `frame_max` bytes; 0 is no limit.
pub fn payload_max(frame_max: u32) -> usize {
    match frame_max {
        0 => u32::MAX as usize,
        _ => (frame_max as usize)
            .saturating_sub(FRAME_OVERHEAD_BYTES)
            .max(1),
    }
}

/// Writes what stands before a body frame's payload of `size` bytes.
pub fn body_frame_start(out: &mut Vec<u8>, channel: u16, size: u32) {
    out.extend_from_slice(&frame_start(FRAME_BODY, channel, size));
}

/// Writes what stands behind a body frame's payload.
pub fn body_frame_end(out: &mut Vec<u8>) {
    out.push(FRAME_END);
}

fn body_frames_bytes(body_bytes: usize, frame_max: u32) -> usize {
    body_bytes + body_bytes.div_ceil(payload_max(frame_max)) * FRAME_OVERHEAD_BYTES
}

#[inline]
fn frame_start(kind: u8, channel: u16, size: u32) -> [u8; 7] {
    let [channel_high, channel_low] = channel.to_be_bytes();
    let [size_0, size_1, size_2, size_3] = size.to_be_bytes();
    [
        kind,
        channel_high,
        channel_low,
        size_0,
        size_1,
        size_2,
        size_3,
    ]
}

const HEADER_START_BYTES: usize = 19;

#[inline]
fn header_start(channel: u16, body_size: u64, properties_bytes: usize) -> [u8; HEADER_START_BYTES] {
    let mut start = [0; HEADER_START_BYTES];
    start[..7].copy_from_slice(&frame_start(
        FRAME_HEADER,
        channel,
        properties_bytes as u32 + 12,
    ));
    start[7..9].copy_from_slice(&BASIC.to_be_bytes());
    start[11..].copy_from_slice(&body_size.to_be_bytes());
    start
}

/// What all deliveries to one consumer have in common, encoded once.
#[derive(Clone, Debug)]
pub struct DeliverTemplate {
    channel: u16,
    frame_max: u32,
    /// The method frame up to the consumer tag's end; its size is filled in for each delivery.
    prefix: Box<[u8]>,
}

/// Frame start, class and method, length of the consumer tag.
const DELIVER_PREFIX_BYTES: usize = 12;
/// Delivery tag, redelivered, length of the exchange's name.
const DELIVER_MIDDLE_BYTES: usize = 10;

impl DeliverTemplate {
    /// For a consumer's deliveries. A tag is cut to 255 bytes, but there is none that long.
    pub fn new(channel: u16, consumer_tag: &[u8], frame_max: u32) -> Self {
        let consumer_tag = short(consumer_tag);
        let mut prefix = Vec::with_capacity(DELIVER_PREFIX_BYTES + consumer_tag.len());
        prefix.extend_from_slice(&frame_start(FRAME_METHOD, channel, 0));
        prefix.extend_from_slice(&BASIC.to_be_bytes());
        prefix.extend_from_slice(&basic::Deliver::FACTS.method_id.to_be_bytes());
        prefix.push(consumer_tag.len() as u8);
        prefix.extend_from_slice(consumer_tag);
        Self {
            channel,
            frame_max,
            prefix: prefix.into(),
        }
    }

    /// The consumer's channel.
    pub fn channel(&self) -> u16 {
        self.channel
    }

    /// How many bytes [`DeliverTemplate::deliver`] writes.
    pub fn delivery_bytes(
        &self,
        exchange: &[u8],
        routing_key: &[u8],
        properties: &[u8],
        body_bytes: usize,
    ) -> usize {
        self.head_bytes(exchange, routing_key, properties)
            + body_frames_bytes(body_bytes, self.frame_max)
    }

    fn head_bytes(&self, exchange: &[u8], routing_key: &[u8], properties: &[u8]) -> usize {
        let method =
            self.prefix.len() + DELIVER_MIDDLE_BYTES + exchange.len() + 1 + routing_key.len() + 1;
        method + HEADER_START_BYTES + properties.len() + 1
    }

    /// Writes basic.deliver, content header and body. `properties` are flags and values.
    #[inline]
    #[allow(clippy::too_many_arguments)]
    pub fn deliver(
        &self,
        out: &mut Vec<u8>,
        delivery_tag: u64,
        redelivered: bool,
        exchange: &[u8],
        routing_key: &[u8],
        properties: &[u8],
        body: &[u8],
    ) {
        out.reserve(self.delivery_bytes(exchange, routing_key, properties, body.len()));
        self.head(
            out,
            delivery_tag,
            redelivered,
            exchange,
            routing_key,
            properties,
            body.len() as u64,
        );
        for piece in body.chunks(payload_max(self.frame_max)) {
            out.extend_from_slice(&frame_start(FRAME_BODY, self.channel, piece.len() as u32));
            out.extend_from_slice(piece);
            out.push(FRAME_END);
        }
    }

    /// Writes a delivery that differs in its tag and its body's bytes alone from the one of which
    /// `head_bytes` bytes, up to its only body frame's payload, lie at `head_at` in `out`.
    #[inline]
    pub fn deliver_alike(
        &self,
        out: &mut Vec<u8>,
        head_at: usize,
        head_bytes: usize,
        delivery_tag: u64,
        body: &[u8],
    ) {
        out.reserve(head_bytes + body.len() + 1);
        let tag_at = out.len() + self.prefix.len();
        out.extend_from_within(head_at..head_at + head_bytes);
        if let Some(place) = out.get_mut(tag_at..tag_at + 8) {
            place.copy_from_slice(&delivery_tag.to_be_bytes());
        }
        out.extend_from_slice(body);
        out.push(FRAME_END);
    }

    /// Writes basic.deliver and content header; `body_size` bytes in body frames are to follow.
    #[inline]
    #[allow(clippy::too_many_arguments)]
    pub fn head(
        &self,
        out: &mut Vec<u8>,
        delivery_tag: u64,
        redelivered: bool,
        exchange: &[u8],
        routing_key: &[u8],
        properties: &[u8],
        body_size: u64,
    ) {
        let exchange = short(exchange);
        let routing_key = short(routing_key);
        let size =
            self.prefix.len() - 7 + DELIVER_MIDDLE_BYTES + exchange.len() + 1 + routing_key.len();

        let frame_at = out.len();
        out.extend_from_slice(&self.prefix);
        if let Some(place) = out.get_mut(frame_at + 3..frame_at + 7) {
            place.copy_from_slice(&(size as u32).to_be_bytes());
        }
        let mut middle = [0; DELIVER_MIDDLE_BYTES];
        middle[..8].copy_from_slice(&delivery_tag.to_be_bytes());
        middle[8] = u8::from(redelivered);
        middle[9] = exchange.len() as u8;
        out.extend_from_slice(&middle);
        out.extend_from_slice(exchange);
        out.push(routing_key.len() as u8);
        out.extend_from_slice(routing_key);

        let mut seam = [FRAME_END; HEADER_START_BYTES + 1];
        seam[1..].copy_from_slice(&header_start(self.channel, body_size, properties.len()));
        out.extend_from_slice(&seam);
        out.extend_from_slice(properties);
        out.push(FRAME_END);
    }
}

/// What fits into a short string.
fn short(bytes: &[u8]) -> &[u8] {
    bytes.get(..255).unwrap_or(bytes)
}

/// Writes one delivery where no template is at hand; see [`DeliverTemplate::deliver`].
#[allow(clippy::too_many_arguments)]
pub fn deliver(
    out: &mut Vec<u8>,
    channel: u16,
    consumer_tag: &[u8],
    delivery_tag: u64,
    redelivered: bool,
    exchange: &[u8],
    routing_key: &[u8],
    properties: &[u8],
    body: &[u8],
    frame_max: u32,
) {
    DeliverTemplate::new(channel, consumer_tag, frame_max).deliver(
        out,
        delivery_tag,
        redelivered,
        exchange,
        routing_key,
        properties,
        body,
    );
}
