//! From a publisher's read buffer straight into the consumers' sockets.
//!
//! `collect` finds the whole publishes in a read buffer, method, header and body in one step, and
//! sorts them by queue; `deliver` then encodes a queue's share and sends it with one write. The
//! bytes are copied once, large bodies not at all.

use std::collections::HashMap;
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::topology::{NullConsumer, NullQueue, Topology, Writing};
use crate::wire::{
    self, Cursor, FRAME_BODY, FRAME_END, FRAME_HEAD_BYTES, FRAME_HEADER, FRAME_METHOD,
    FRAME_OVERHEAD_BYTES, Frame, MethodWriter, method,
};

/// From here on a content is sent from where it lies instead of being copied.
const SHARED_CONTENT_BYTES: usize = 8 * 1024;

/// A whole publish in the read buffer.
#[derive(Clone, Copy, Debug)]
struct Publish {
    channel: u16,
    /// Where the method frame begins.
    start: usize,
    /// Where the method frame ends and the content begins.
    content: usize,
    /// Where the content ends.
    end: usize,
}

/// A queue and its share of the batch.
struct Target {
    queue: Arc<NullQueue>,
    publishes: Vec<Publish>,
}

/// What a confirming channel was told.
#[derive(Clone, Copy, Debug)]
struct Confirming {
    channel: u16,
    published: u64,
    confirmed: u64,
}

/// The handoff of one publishing connection.
pub struct Handoff {
    topology: Arc<Topology>,
    epoch: u64,
    targets: Vec<Target>,
    /// From a publish method's payload to indices of targets.
    routes: HashMap<Vec<u8>, Arc<[usize]>>,
    last_method: Vec<u8>,
    last_route: Arc<[usize]>,
    confirming: Option<Confirming>,
    output: Vec<u8>,
}

impl Handoff {
    /// Nothing routed yet.
    pub fn new(topology: Arc<Topology>) -> Self {
        Handoff {
            epoch: topology.epoch(),
            topology,
            targets: Vec::new(),
            routes: HashMap::new(),
            last_method: Vec::new(),
            last_route: Arc::default(),
            confirming: None,
            output: Vec::new(),
        }
    }

    /// Confirms what this channel publishes. One such channel a connection is all that the bench needs.
    pub fn confirm(&mut self, channel: u16) {
        self.confirming = Some(Confirming {
            channel,
            published: 0,
            confirmed: 0,
        });
    }

    /// Takes the whole publishes from `from` on; returns how many bytes they had.
    pub fn collect(&mut self, bytes: &[u8], from: usize) -> io::Result<usize> {
        self.forget_stale_routes();
        let mut at = from;
        while let Some(publish) = whole_publish(bytes, at)? {
            let method = &bytes[publish.start..publish.content];
            if method != self.last_method {
                self.route(method)?;
            }
            for target in self.last_route.iter() {
                self.targets[*target].publishes.push(publish);
            }
            if let Some(confirming) = &mut self.confirming {
                confirming.published += u64::from(confirming.channel == publish.channel);
            }
            at = publish.end;
        }
        Ok(at - from)
    }

    /// Sends what was collected, a write a queue.
    pub fn deliver(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        for target in &mut self.targets {
            if target.publishes.is_empty() {
                continue;
            }
            if let Some(consumer) = target.queue.next_consumer() {
                // A consumer that went away takes its share with it: nothing is kept.
                let _ = send(&consumer, &target.publishes, bytes, &mut self.output);
            }
            target.publishes.clear();
        }
        Ok(())
    }

    /// One ack for all that the batch brought.
    pub fn put_confirm(&mut self, replies: &mut Vec<u8>) {
        if let Some(confirming) = &mut self.confirming
            && confirming.published > confirming.confirmed
        {
            MethodWriter::new(replies, confirming.channel, method::BASIC_ACK)
                .longlong(confirming.published)
                .octet(1)
                .end();
            confirming.confirmed = confirming.published;
        }
    }

    fn forget_stale_routes(&mut self) {
        let epoch = self.topology.epoch();
        let idle = self
            .targets
            .iter()
            .all(|target| target.publishes.is_empty());
        if epoch != self.epoch && idle {
            self.epoch = epoch;
            self.targets.clear();
            self.routes.clear();
            self.last_method.clear();
        }
    }

    fn route(&mut self, method_frame: &[u8]) -> io::Result<()> {
        self.last_method.clear();
        self.last_method.extend_from_slice(method_frame);
        if let Some(route) = self.routes.get(method_frame) {
            self.last_route = Arc::clone(route);
            return Ok(());
        }
        let mut names = names(method_frame)?;
        let (exchange, key) = (names.short_text()?, names.short_text()?);
        let mut route = Vec::new();
        for queue in self.topology.route(exchange, key) {
            let known = self
                .targets
                .iter()
                .position(|target| Arc::ptr_eq(&target.queue, &queue));
            route.push(known.unwrap_or_else(|| {
                self.targets.push(Target {
                    queue,
                    publishes: Vec::new(),
                });
                self.targets.len() - 1
            }));
        }
        self.last_route = route.into();
        self.routes
            .insert(method_frame.to_vec(), Arc::clone(&self.last_route));
        Ok(())
    }
}

/// A cursor at exchange and key of a publish method's frame.
fn names(method_frame: &[u8]) -> io::Result<Cursor<'_>> {
    let frame = Frame::split(method_frame)?.ok_or_else(|| wire::malformed("half a method"))?;
    let mut arguments = frame.arguments();
    arguments.short()?;
    Ok(arguments)
}

/// The publish that begins at `start`, if it is whole.
fn whole_publish(bytes: &[u8], start: usize) -> io::Result<Option<Publish>> {
    const PUBLISH: [u8; 4] = [0, 60, 0, 40];
    const CONTENT_SIZE: Range<usize> = FRAME_HEAD_BYTES + 4..FRAME_HEAD_BYTES + 12;
    let bytes = &bytes[start..];
    if bytes.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + 4) != Some(&PUBLISH)
        || bytes[0] != FRAME_METHOD
    {
        return Ok(None);
    }
    let Some(content) = frame_bytes(bytes)? else {
        return Ok(None);
    };
    let Some(header_bytes) = frame_bytes(&bytes[content..])? else {
        return Ok(None);
    };
    let header = &bytes[content..content + header_bytes];
    let Some(size) = header
        .get(CONTENT_SIZE)
        .filter(|_| header[0] == FRAME_HEADER)
    else {
        return Err(wire::malformed("a publish without a content header"));
    };
    let mut left = size
        .iter()
        .fold(0u64, |size, byte| size << 8 | u64::from(*byte));
    let mut end = content + header_bytes;
    while left > 0 {
        let Some(body_bytes) = frame_bytes(&bytes[end..])? else {
            return Ok(None);
        };
        let payload_bytes = (body_bytes - FRAME_OVERHEAD_BYTES) as u64;
        if bytes[end] != FRAME_BODY || payload_bytes > left {
            return Err(wire::malformed("a publish without its body"));
        }
        left -= payload_bytes;
        end += body_bytes;
    }
    let channel = u16::from_be_bytes([bytes[1], bytes[2]]);
    Ok(Some(Publish {
        channel,
        start,
        content: start + content,
        end: start + end,
    }))
}

/// Bytes of the frame at the front, if it is whole.
#[inline]
fn frame_bytes(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(head) = bytes.first_chunk::<FRAME_HEAD_BYTES>() else {
        return Ok(None);
    };
    let whole_bytes =
        u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + FRAME_OVERHEAD_BYTES;
    match bytes.get(whole_bytes - 1) {
        None => Ok(None),
        Some(&FRAME_END) => Ok(Some(whole_bytes)),
        Some(_) => Err(wire::malformed("a frame does not end with 0xCE")),
    }
}

fn send(
    consumer: &NullConsumer,
    publishes: &[Publish],
    bytes: &mut [u8],
    output: &mut Vec<u8>,
) -> io::Result<()> {
    let mut stream = consumer.outgoing.lock();
    let mut prefix = Vec::new();
    let mut delivery_tag = consumer.delivered.load(Ordering::Relaxed);
    for publish in publishes {
        if publish.channel != consumer.channel {
            set_channel(&mut bytes[publish.content..publish.end], consumer.channel);
        }
        delivery_tag += 1;
        put_deliver(
            output,
            &mut prefix,
            consumer,
            &bytes[publish.start..publish.content],
            delivery_tag,
        );
        let content = &bytes[publish.content..publish.end];
        if content.len() < SHARED_CONTENT_BYTES {
            output.extend_from_slice(content);
        } else {
            write_both(&mut stream, output, content)?;
            output.clear();
        }
    }
    consumer.delivered.store(delivery_tag, Ordering::Relaxed);
    let result = stream.write_all(output);
    output.clear();
    result
}

/// The deliver method for a publish method's frame, whose exchange and key are copied as they stand.
#[inline]
fn put_deliver(
    output: &mut Vec<u8>,
    prefix: &mut Vec<u8>,
    consumer: &NullConsumer,
    publish: &[u8],
    tag: u64,
) {
    // Class, method and a reserved short before the names, flags and end octet after them.
    let names = &publish[FRAME_HEAD_BYTES + 6..publish.len() - 2];
    if prefix.is_empty() {
        MethodWriter::new(prefix, consumer.channel, method::BASIC_DELIVER)
            .short_text(&consumer.tag)
            .end();
        prefix.pop();
    }
    let payload_bytes = (prefix.len() - FRAME_HEAD_BYTES + 8 + 1 + names.len()) as u32;
    prefix[3..FRAME_HEAD_BYTES].copy_from_slice(&payload_bytes.to_be_bytes());
    output.extend_from_slice(prefix);
    let mut tag_and_redelivered = [0; 9];
    tag_and_redelivered[..8].copy_from_slice(&tag.to_be_bytes());
    output.extend_from_slice(&tag_and_redelivered);
    output.extend_from_slice(names);
    output.push(FRAME_END);
}

fn set_channel(mut content: &mut [u8], channel: u16) {
    while let Ok(Some(whole_bytes)) = frame_bytes(content) {
        content[1..3].copy_from_slice(&channel.to_be_bytes());
        content = &mut content[whole_bytes..];
    }
}

fn write_both(stream: &mut Writing<'_>, first: &[u8], second: &[u8]) -> io::Result<()> {
    let mut pieces = [IoSlice::new(first), IoSlice::new(second)];
    let mut left = pieces.as_mut_slice();
    while !left.is_empty() {
        match stream.write_vectored(left)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
    }
    Ok(())
}
