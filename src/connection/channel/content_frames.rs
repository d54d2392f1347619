//! A message as frames on their way to the client: its header and its body.
//!
//! In: a message, wherever its bytes lie. Out: frames in the outgoing buffer, with the body copied
//! in, or, where it is large and shared, spliced in by reference between its frames' ends.

use std::borrow::Cow;

use bytes::Bytes;

use crate::amqp::encode::{self, DeliverTemplate};
use crate::amqp::table::ShortStr;
use crate::broker::{Body, Delivery, Message, blind_copies};
use crate::connection::interceptors::Interceptors;
use crate::connection::outgoing::Pending;

/// What a content header has in front of its properties: class, weight, the body's size.
const CONTENT_HEADER_BYTES: usize = 12;

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
        body,
        ..
    } = delivery.message;
    let properties = &visible_properties(&delivery.message);
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

/// The same with the header that says when it was sent, unless there is no room for that in a frame.
pub(super) fn deliver_stamped(
    pending: &mut Pending,
    template: &DeliverTemplate,
    frame_max: u32,
    tag: u64,
    delivery: &Delivery<'_>,
    now_ms: u64,
) -> usize {
    let properties = stamped(&delivery.message, frame_max, now_ms);
    let mut delivery = *delivery;
    if let Some(properties) = &properties {
        delivery.message.properties = properties;
        delivery.message.facts.has_bcc = false;
    }
    deliver(pending, template, frame_max, tag, &delivery)
}

/// A message's properties, as they are sent now.
pub(super) fn stamped(message: &Message<'_>, frame_max: u32, now_ms: u64) -> Option<Bytes> {
    let most_bytes = encode::payload_max(frame_max).saturating_sub(CONTENT_HEADER_BYTES);
    Interceptors::sent(&visible_properties(message), now_ms, most_bytes)
}

/// The delivery that was written last, of which the like may follow.
#[derive(Clone, Copy)]
pub(super) struct Like<'a> {
    delivery: &'a Delivery<'a>,
    head_at: usize,
    head_bytes: usize,
}

impl<'a> Like<'a> {
    /// The like of `delivery`, which was written as the last `bytes` bytes of `pending`. None unless
    /// its body lies there in one frame.
    pub fn of(
        delivery: &'a Delivery<'a>,
        pending: &Pending,
        bytes: usize,
        frame_max: u32,
    ) -> Option<Self> {
        let Body::Slice(body) = delivery.message.body else {
            return None;
        };
        let is_one_frame = !body.is_empty() && body.len() <= encode::payload_max(frame_max);
        is_one_frame.then(|| Self {
            delivery,
            head_at: pending.frames.len() - bytes,
            head_bytes: bytes - body.len() - 1,
        })
    }

    /// The body of `other`, if that is all by which it differs. Only those are found to be alike that
    /// have their names and properties at the same place in memory.
    #[inline(always)]
    fn body(&self, other: &Delivery<'a>) -> Option<&'a [u8]> {
        let (one, two) = (&self.delivery.message, &other.message);
        match two.body {
            Body::Slice(body)
                if body.len() == one.body.len()
                    && std::ptr::eq(one.exchange, two.exchange)
                    && std::ptr::eq(one.routing_key, two.routing_key)
                    && std::ptr::eq(one.properties, two.properties)
                    && is_redelivered(self.delivery) == is_redelivered(other) =>
            {
                Some(body)
            }
            _ => None,
        }
    }
}

/// Writes basic.deliver with the whole content, after one that it may be like, and says how many
/// bytes that took.
#[inline]
pub(super) fn deliver_next<'a>(
    pending: &mut Pending,
    template: &DeliverTemplate,
    frame_max: u32,
    tag: u64,
    delivery: &'a Delivery<'a>,
    like: &mut Option<Like<'a>>,
) -> usize {
    if let Some(known) = like
        && let Some(body) = known.body(delivery)
    {
        let (head_at, head_bytes) = (known.head_at, known.head_bytes);
        template.deliver_alike(&mut pending.frames, head_at, head_bytes, tag, body);
        return head_bytes + body.len() + 1;
    }
    let bytes = deliver(pending, template, frame_max, tag, delivery);
    *like = Like::of(delivery, pending, bytes, frame_max);
    bytes
}

/// Writes content header and body frames, after a method that carries content.
pub(super) fn write(pending: &mut Pending, channel: u16, frame_max: u32, message: &Message<'_>) {
    let size = message.body.len() as u64;
    let properties = visible_properties(message);
    encode::content_header_frame(&mut pending.frames, channel, size, &properties);
    match message.body {
        Body::Slice(body) => encode::body_frames(&mut pending.frames, channel, body, frame_max),
        Body::Shared(body) => write_shared(pending, channel, frame_max, body),
    }
}

/// A message's properties as receivers see them.
fn visible_properties<'a>(message: &Message<'a>) -> Cow<'a, [u8]> {
    if message.facts.has_bcc {
        Cow::Owned(blind_copies::without(message.properties))
    } else {
        Cow::Borrowed(message.properties)
    }
}

/// Whether a delivery's redelivered bit is set.
pub(super) fn is_redelivered(delivery: &Delivery<'_>) -> bool {
    delivery.redelivered || delivery.returns.is_any()
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
