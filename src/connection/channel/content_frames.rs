//! A message as frames on their way to the client: its header and its body.
//!
//! In: a message, wherever its bytes lie. Out: frames in the outgoing buffer, with the body copied
//! in, or, where it is large and shared, spliced in by reference between its frames' ends.

use bytes::Bytes;

use crate::amqp::encode::{self, DeliverTemplate};
use crate::amqp::table::ShortStr;
use crate::broker::{Body, Delivery, Message, blind_copies};
use crate::connection::outgoing::Pending;

/// Writes basic.deliver with the whole content, and says how many bytes that took.
pub(super) fn deliver(
    pending: &mut Pending,
    template: &DeliverTemplate,
    frame_max: u32,
    tag: u64,
    delivery: &Delivery<'_>,
) -> usize {
    let Message {
        exchange,
        routing_key,
        properties,
        body,
        facts,
    } = delivery.message;
    let visible = facts.has_bcc.then(|| blind_copies::without(properties));
    let properties = visible.as_deref().unwrap_or(properties);
    let redelivered = is_redelivered(delivery);
    let out = &mut pending.frames;
    let before = out.len();
    match body {
        Body::Slice(body) => {
            template.deliver(
                out,
                tag,
                redelivered,
                exchange,
                routing_key,
                properties,
                body,
            );
            out.len() - before
        }
        Body::Shared(body) => {
            template.head(
                out,
                tag,
                redelivered,
                exchange,
                routing_key,
                properties,
                body.len() as u64,
            );
            write_shared(pending, template.channel(), frame_max, body);
            pending.frames.len() - before + body.len()
        }
    }
}

/// Writes content header and body frames, after a method that carries content.
pub(super) fn write(pending: &mut Pending, channel: u16, frame_max: u32, message: &Message<'_>) {
    let size = message.body.len() as u64;
    let visible = message.facts.has_bcc;
    let visible = visible.then(|| blind_copies::without(message.properties));
    let properties = visible.as_deref().unwrap_or(message.properties);
    encode::content_header_frame(&mut pending.frames, channel, size, properties);
    match message.body {
        Body::Slice(body) => encode::body_frames(&mut pending.frames, channel, body, frame_max),
        Body::Shared(body) => write_shared(pending, channel, frame_max, body),
    }
}

/// Whether a delivery's redelivered bit is set.
pub(super) fn is_redelivered(delivery: &Delivery<'_>) -> bool {
    delivery.redelivered || delivery.returns > 0
}

/// A name as a method carries it. Names that were read from the wire are never too long for it.
pub(super) fn short_str(bytes: &[u8]) -> ShortStr {
    ShortStr::from_bytes(bytes).unwrap_or_default()
}

fn write_shared(pending: &mut Pending, channel: u16, frame_max: u32, body: &Bytes) {
    let payload_max = encode::payload_max(frame_max);
    let mut start = 0;
    while start < body.len() {
        let end = body.len().min(start + payload_max);
        encode::body_frame_start(&mut pending.frames, channel, (end - start) as u32);
        pending.push_shared(body.slice(start..end));
        encode::body_frame_end(&mut pending.frames);
        start = end;
    }
}
