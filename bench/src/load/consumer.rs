//! A consumer's thread: large reads, deliveries counted in place, the acks of a read in one write.
//!
//! In comes an open connection that consumes; out come counts, order and latencies. Deliveries
//! that look like the one before are recognised by comparing their fixed bytes; everything else
//! takes the careful way.

use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;

use super::clock;
use super::plan::{AckMode, BODY_HEAD_BYTES, Order, SEQUENCE_BITS};
use super::shared::{Latencies, Shared};
use crate::client::{self, CHANNEL};
use crate::transport::Transport;
use crate::wire::{
    self, FRAME_BODY, FRAME_END, FRAME_HEAD_BYTES, FRAME_HEADER, Frame, MethodWriter, method,
};

/// Bytes asked for in one read.
const READ_BYTES: usize = 256 * 1024;

/// What a consumer saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Deliveries.
    pub delivered: u64,
    /// Messages that came out of order, or, where order is complete, that were missed.
    pub misplaced: u64,
    /// Due time to delivery, for publishers on a schedule.
    pub latency: Latencies,
}

/// A consumer ready to run.
pub struct Consumer<'s> {
    stream: Transport,
    input: Vec<u8>,
    walker: Walker,
    ack: AckMode,
    index: usize,
    shared: &'s Shared,
    acked: u64,
    acks: Vec<u8>,
}

impl<'s> Consumer<'s> {
    /// Takes over a connection that consumes.
    pub fn new(
        index: usize,
        ack: AckMode,
        order: Order,
        (stream, input): (Transport, Vec<u8>),
        shared: &'s Shared,
    ) -> Self {
        let walker = Walker::new(order, shared.published.len());
        Consumer {
            stream,
            input,
            walker,
            ack,
            index,
            shared,
            acked: 0,
            acks: Vec::new(),
        }
    }

    /// Consumes until the stream ends.
    pub fn run(mut self) -> io::Result<Seen> {
        let mut filled = self.input.len();
        self.input.resize(filled.max(READ_BYTES), 0);
        loop {
            let recording = self.shared.measuring.load(Ordering::Relaxed);
            let now_ns = if recording { clock::now_ns() } else { 0 };
            let before = self.walker.seen.delivered;
            let used = self.walker.walk(&self.input[..filled], now_ns)?;
            self.input.copy_within(used..filled, 0);
            filled -= used;
            if self.walker.seen.delivered > before {
                self.shared.consumed[self.index].add(self.walker.seen.delivered - before);
                match self.write_acks() {
                    Err(_) if self.shared.stop_consumers.load(Ordering::Relaxed) => {
                        return Ok(self.walker.seen);
                    }
                    written => written?,
                }
            }
            match self.stream.read(&mut self.input[filled..]) {
                Ok(count) if count > 0 => filled += count,
                _ if self.shared.stop_consumers.load(Ordering::Relaxed) => {
                    return Ok(self.walker.seen);
                }
                Ok(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the broker closed the connection",
                    ));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn write_acks(&mut self) -> io::Result<()> {
        let delivered = self.walker.seen.delivered;
        match self.ack {
            AckMode::Automatic => return Ok(()),
            AckMode::Each => {
                for tag in self.acked + 1..=delivered {
                    put_ack(&mut self.acks, tag, false);
                }
                self.acked = delivered;
            }
            AckMode::Multiple(every) => {
                let due = delivered - delivered % every;
                if due == self.acked {
                    return Ok(());
                }
                put_ack(&mut self.acks, due, true);
                self.acked = due;
            }
        }
        self.stream.write_all(&self.acks)?;
        self.acks.clear();
        Ok(())
    }
}

fn put_ack(acks: &mut Vec<u8>, tag: u64, multiple: bool) {
    MethodWriter::new(acks, CHANNEL, method::BASIC_ACK)
        .longlong(tag)
        .octet(u8::from(multiple))
        .end();
}

/// What the next frame must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Method,
    Header,
    Body { left: u64, first: bool },
}

/// The fixed bytes of the delivery before: three frames of these sizes.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    method_bytes: usize,
    header_bytes: usize,
    whole_bytes: usize,
    method_head: [u8; 11],
    header_head: [u8; 7],
    body_head: [u8; 7],
}

/// Walks deliveries in received bytes.
pub struct Walker {
    seen: Seen,
    order: Order,
    /// The next sequence number of each publisher.
    next: Vec<u64>,
    expect: Expect,
    /// Bytes of a body frame that are still to come and of no interest.
    skip: usize,
    layout: Layout,
    method_bytes: usize,
    header_bytes: usize,
}

impl Walker {
    /// Nothing seen.
    pub fn new(order: Order, publishers: usize) -> Self {
        Walker {
            seen: Seen::default(),
            order,
            next: vec![0; publishers],
            expect: Expect::Method,
            skip: 0,
            layout: Layout::default(),
            method_bytes: 0,
            header_bytes: 0,
        }
    }

    /// What was seen.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Takes in `bytes`, received at `now_ns` (0: latencies are of no interest); returns how many were used.
    pub fn walk(&mut self, bytes: &[u8], now_ns: u64) -> io::Result<usize> {
        let mut at = self.skip.min(bytes.len());
        self.skip -= at;
        if self.skip > 0 {
            return Ok(at);
        }
        loop {
            if self.expect == Expect::Method {
                at += self.walk_alike(&bytes[at..], now_ns);
            }
            let used = self.walk_frame(&bytes[at..], now_ns)?;
            if used == 0 {
                return Ok(at);
            }
            at += used;
            if at > bytes.len() {
                self.skip = at - bytes.len();
                return Ok(bytes.len());
            }
        }
    }

    /// Deliveries of one body frame with the layout of the last one.
    fn walk_alike(&mut self, bytes: &[u8], now_ns: u64) -> usize {
        let Layout {
            method_bytes,
            header_bytes,
            whole_bytes,
            ..
        } = self.layout;
        if whole_bytes == 0 {
            return 0;
        }
        let mut used = 0;
        for delivery in bytes.chunks_exact(whole_bytes) {
            let (frame, rest) = delivery.split_at(method_bytes);
            let (header, body) = rest.split_at(header_bytes);
            let alike = frame[..11] == self.layout.method_head
                && header[..7] == self.layout.header_head
                && body[..7] == self.layout.body_head
                && frame[method_bytes - 1] == FRAME_END
                && header[header_bytes - 1] == FRAME_END
                && body[body.len() - 1] == FRAME_END;
            if !alike {
                break;
            }
            self.seen.delivered += 1;
            self.take_body_head(&body[FRAME_HEAD_BYTES..], now_ns);
            used += whole_bytes;
        }
        used
    }

    /// One frame, whole unless it is a body; returns its length or 0 when too little of it is here.
    fn walk_frame(&mut self, bytes: &[u8], now_ns: u64) -> io::Result<usize> {
        if let Expect::Body { left, first } = self.expect {
            return self.walk_body(bytes, left, first, now_ns);
        }
        let Some(frame) = Frame::split(bytes)? else {
            return Ok(0);
        };
        match (self.expect, frame.kind) {
            (Expect::Method, wire::FRAME_HEARTBEAT) => {}
            (Expect::Method, _) if frame.method_id() == Some(method::BASIC_DELIVER) => {
                self.seen.delivered += 1;
                self.method_bytes = frame.whole_bytes();
                self.layout.method_head.copy_from_slice(&bytes[..11]);
                self.expect = Expect::Header;
            }
            (Expect::Header, FRAME_HEADER) => {
                let mut fields = frame.arguments();
                let body_bytes = fields.longlong()?;
                self.header_bytes = frame.whole_bytes();
                self.layout.header_head.copy_from_slice(&bytes[..7]);
                self.expect = if body_bytes == 0 {
                    Expect::Method
                } else {
                    Expect::Body {
                        left: body_bytes,
                        first: true,
                    }
                };
            }
            _ => return Err(client::unexpected(&frame)),
        }
        Ok(frame.whole_bytes())
    }

    fn walk_body(
        &mut self,
        bytes: &[u8],
        left: u64,
        first: bool,
        now_ns: u64,
    ) -> io::Result<usize> {
        let Some(head) = bytes.first_chunk::<FRAME_HEAD_BYTES>() else {
            return Ok(0);
        };
        let payload_bytes = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        if head[0] != FRAME_BODY || payload_bytes as u64 > left {
            return Err(wire::malformed("a body frame was expected"));
        }
        let whole_bytes = payload_bytes + wire::FRAME_OVERHEAD_BYTES;
        self.layout.whole_bytes = 0;
        if first {
            let Some(body) =
                bytes.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + BODY_HEAD_BYTES.min(payload_bytes))
            else {
                return Ok(0);
            };
            self.take_body_head(body, now_ns);
            if payload_bytes as u64 == left && payload_bytes >= BODY_HEAD_BYTES {
                self.layout.method_bytes = self.method_bytes;
                self.layout.header_bytes = self.header_bytes;
                self.layout.body_head = *head;
                self.layout.whole_bytes = self.method_bytes + self.header_bytes + whole_bytes;
            }
        }
        if bytes
            .get(whole_bytes - 1)
            .is_some_and(|end| *end != FRAME_END)
        {
            return Err(wire::malformed("a frame does not end with 0xCE"));
        }
        let left = left - payload_bytes as u64;
        self.expect = if left == 0 {
            Expect::Method
        } else {
            Expect::Body { left, first: false }
        };
        Ok(whole_bytes)
    }

    fn take_body_head(&mut self, body: &[u8], now_ns: u64) {
        let Some(head) = body.first_chunk::<BODY_HEAD_BYTES>() else {
            return;
        };
        let [a, b, c, d, e, f, g, h, time @ ..] = *head;
        let stamp = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let sequence = stamp & ((1 << SEQUENCE_BITS) - 1);
        if let Some(next) = self.next.get_mut((stamp >> SEQUENCE_BITS) as usize) {
            let placed = match self.order {
                Order::Complete => sequence == *next,
                Order::Rising => sequence >= *next,
                Order::Any => true,
            };
            self.seen.misplaced += u64::from(!placed);
            *next = sequence + 1;
        }
        let due_ns = u64::from_le_bytes(time);
        if now_ns != 0 && due_ns != 0 {
            self.seen.latency.record(now_ns.saturating_sub(due_ns));
        }
    }
}
