//! A publisher's thread: large writes of publishes that were encoded once.
//!
//! In come a plan, an open connection and the shared counters; out go messages whose bodies carry
//! their sequence number (and, on a schedule, the time they were due). Per message the loop does
//! one or two stores into a ready buffer; per batch one write.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::clock;
use super::plan::{BODY_HEAD_BYTES, Pace, PublisherPlan, SEQUENCE_BITS};
use super::shared::{Latencies, Shared};
use crate::client::{self, CHANNEL};
use crate::transport::Transport;
use crate::wire::{self, Frame, method};

/// Bytes of one write. More does not make the kernel faster and leaves the second-level cache.
pub const WRITE_BYTES: usize = 128 * 1024;
/// A schedule is kept in bursts at most this often, so that the generator does not spin.
const SHORTEST_TICK: Duration = Duration::from_micros(50);
/// A sleep may end late by so much, which is no latency of the broker's: the last bit of a wait is
/// spent awake...
const WAKE_UP_NS: u64 = 100_000;
/// ... but no more than this part of a tick.
const AWAKE_PART: f64 = 0.1;

/// Publishes encoded once, with the places that change.
#[derive(Debug)]
pub struct Template {
    bytes: Vec<u8>,
    /// Where each message begins; one more entry for the end.
    starts: Vec<usize>,
    /// Where each message's body begins.
    bodies: Vec<usize>,
}

impl Template {
    /// Encodes whole rotations of the plan's shapes, at least one write's worth.
    pub fn new(plan: &PublisherPlan, frame_max_bytes: usize) -> Template {
        let body = vec![b'w'; plan.body_bytes.max(BODY_HEAD_BYTES)];
        let mut template = Template {
            bytes: Vec::new(),
            starts: vec![0],
            bodies: Vec::new(),
        };
        while template.bytes.len() < WRITE_BYTES {
            for shape in &plan.shapes {
                let body_start = wire::put_publish(
                    &mut template.bytes,
                    CHANNEL,
                    &plan.exchange,
                    &shape.routing_key,
                    &shape.properties,
                    &body,
                    frame_max_bytes,
                );
                template.bodies.push(body_start);
                template.starts.push(template.bytes.len());
            }
        }
        template
    }

    fn messages(&self) -> usize {
        self.bodies.len()
    }

    /// The message after the last of a write that begins at `first` and has at most `most` messages.
    fn batch_end(&self, first: usize, most: usize) -> usize {
        let last_start = self.starts[first] + WRITE_BYTES;
        let fitting = self.starts.partition_point(|start| *start <= last_start) - 1;
        fitting
            .max(first + 1)
            .min(first.saturating_add(most))
            .min(self.messages())
    }
}

/// What a publisher leaves behind.
#[derive(Debug)]
pub struct PublisherEnd {
    /// The connection, still open.
    pub stream: Transport,
    /// Bytes read but not used.
    pub input: Vec<u8>,
    /// Messages sent.
    pub published: u64,
    /// Publish to confirm, when confirmed.
    pub confirm_latency: Latencies,
    /// Messages refused by nack.
    pub refused: u64,
}

/// A publisher ready to run.
pub struct Publisher<'s> {
    stream: Transport,
    input: Vec<u8>,
    template: Template,
    plan: PublisherPlan,
    index: usize,
    shared: &'s Shared,
    next_message: usize,
    sequence: u64,
    confirms: Confirms,
}

impl<'s> Publisher<'s> {
    /// Encodes the template.
    pub fn new(
        index: usize,
        plan: PublisherPlan,
        frame_max_bytes: usize,
        (stream, input): (Transport, Vec<u8>),
        shared: &'s Shared,
    ) -> Self {
        let window = if let Pace::Confirmed { window } = plan.pace {
            window
        } else {
            0
        };
        Publisher {
            stream,
            input,
            template: Template::new(&plan, frame_max_bytes),
            plan,
            index,
            shared,
            next_message: 0,
            sequence: 0,
            confirms: Confirms::new(window),
        }
    }

    /// Publishes until told to stop or the limit is reached.
    pub fn run(mut self) -> io::Result<PublisherEnd> {
        let result = match self.plan.pace {
            Pace::FlatOut => self.run_flat_out(),
            Pace::Confirmed { window } => self.run_confirmed(window),
            Pace::Rate { per_second } => self.run_schedule(per_second),
        };
        if let Err(error) = result
            && !self.shared.cut_off_publishers.load(Ordering::Relaxed)
        {
            return Err(self.reason_of_close().unwrap_or(error));
        }
        Ok(PublisherEnd {
            stream: self.stream,
            input: self.input,
            published: self.sequence,
            confirm_latency: self.confirms.latency,
            refused: self.confirms.refused,
        })
    }

    fn run_flat_out(&mut self) -> io::Result<()> {
        while !self.shared.publishers_stop() {
            let left = self.left();
            if left == 0 {
                break;
            }
            self.send(left, 0)?;
        }
        Ok(())
    }

    fn run_confirmed(&mut self, window: usize) -> io::Result<()> {
        loop {
            if !self.shared.publishers_stop() {
                while self.confirms.room(window) > 0 && self.left() > 0 {
                    let most = self.confirms.room(window).min(self.left());
                    let now = clock::now_ns();
                    let sent = self.send(most, now)?;
                    self.confirms.sent(sent, now);
                }
            }
            if self.confirms.outstanding == 0 {
                return Ok(());
            }
            self.read_confirms()?;
        }
    }

    fn run_schedule(&mut self, per_second: f64) -> io::Result<()> {
        clock::sleep_precisely();
        let burst = (per_second * SHORTEST_TICK.as_secs_f64()).ceil().max(1.0);
        let tick_ns = burst / per_second * 1e9;
        let awake_ns = WAKE_UP_NS.min((tick_ns * AWAKE_PART) as u64);
        let start_ns = clock::now_ns();
        let mut ticks = 0u64;
        while !self.shared.publishers_stop() && self.left() > 0 {
            let due_ns = start_ns + (ticks as f64 * tick_ns) as u64;
            let now_ns = clock::now_ns();
            if now_ns < due_ns {
                match (due_ns - now_ns).checked_sub(awake_ns) {
                    Some(sleep_ns) => std::thread::sleep(Duration::from_nanos(sleep_ns)),
                    None => std::hint::spin_loop(),
                }
                continue;
            }
            ticks += 1;
            let mut left = burst as usize;
            while left > 0 {
                left -= self.send(left, due_ns)?;
            }
        }
        Ok(())
    }

    fn left(&self) -> usize {
        let left = self
            .plan
            .limit
            .map_or(u64::MAX, |limit| limit - self.sequence);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Stamps and writes one batch; returns how many messages it had.
    fn send(&mut self, most: usize, time_ns: u64) -> io::Result<usize> {
        let first = self.next_message;
        let end = self.template.batch_end(first, most);
        let first_stamp = (self.index as u64) << SEQUENCE_BITS | self.sequence;
        for (stamp, body) in (first_stamp..).zip(&self.template.bodies[first..end]) {
            let head = &mut self.template.bytes[*body..*body + BODY_HEAD_BYTES];
            head[..8].copy_from_slice(&stamp.to_le_bytes());
            head[8..].copy_from_slice(&time_ns.to_le_bytes());
        }
        let bytes = &self.template.bytes[self.template.starts[first]..self.template.starts[end]];
        self.stream.write_all(bytes)?;
        self.next_message = if end == self.template.messages() {
            0
        } else {
            end
        };
        let sent = end - first;
        self.sequence += sent as u64;
        self.shared.published[self.index].add(sent as u64);
        Ok(sent)
    }

    fn read_confirms(&mut self) -> io::Result<()> {
        const READ_BYTES: usize = 16 * 1024;
        let filled = self.input.len();
        self.input.resize(filled + READ_BYTES, 0);
        let count = self.stream.read(&mut self.input[filled..])?;
        self.input.truncate(filled + count);
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the broker closed the connection",
            ));
        }
        let now_ns = clock::now_ns();
        let record = self.shared.measuring.load(Ordering::Relaxed);
        let mut used = 0;
        let mut confirmed = 0;
        while let Some(frame) = Frame::split(&self.input[used..])? {
            used += frame.whole_bytes();
            confirmed += self.confirms.take(&frame, record.then_some(now_ns))?;
        }
        self.input.drain(..used);
        self.shared.confirmed[self.index].add(confirmed);
        Ok(())
    }

    /// Why the broker closed, if it said so.
    fn reason_of_close(&mut self) -> Option<io::Error> {
        self.stream
            .socket()
            .set_read_timeout(Some(Duration::from_millis(200)))
            .ok()?;
        loop {
            let reply = client::read_reply(&mut self.stream, &mut self.input).ok()?;
            if let Some(method::CONNECTION_CLOSE | method::CHANNEL_CLOSE) =
                reply.frame().method_id()
            {
                return Some(client::unexpected(&reply.frame()));
            }
        }
    }
}

/// What is sent and not confirmed.
struct Confirms {
    /// When each unconfirmed message was sent, from `lowest` on; 0 once confirmed.
    sent_at_ns: VecDeque<u64>,
    lowest: u64,
    outstanding: usize,
    refused: u64,
    latency: Latencies,
}

impl Confirms {
    fn new(window: usize) -> Self {
        Confirms {
            sent_at_ns: VecDeque::with_capacity(window * 2),
            lowest: 1,
            outstanding: 0,
            refused: 0,
            latency: Latencies::default(),
        }
    }

    fn room(&self, window: usize) -> usize {
        window.saturating_sub(self.outstanding)
    }

    fn sent(&mut self, count: usize, now_ns: u64) {
        self.sent_at_ns.extend(std::iter::repeat_n(now_ns, count));
        self.outstanding += count;
    }

    /// Returns how many messages the frame confirms.
    fn take(&mut self, frame: &Frame<'_>, now_ns: Option<u64>) -> io::Result<u64> {
        let (id, mut arguments) = (frame.method_id(), frame.arguments());
        match id {
            Some(method::BASIC_ACK | method::BASIC_NACK) => {
                let tag = arguments.longlong()?;
                let multiple = arguments.octet()? & 1 == 1;
                let count = self.settle(tag, multiple, now_ns)?;
                if id == Some(method::BASIC_NACK) {
                    self.refused += count;
                }
                Ok(count)
            }
            Some(method::CONNECTION_CLOSE | method::CHANNEL_CLOSE) => {
                Err(client::unexpected(frame))
            }
            _ => Ok(0),
        }
    }

    fn settle(&mut self, tag: u64, multiple: bool, now_ns: Option<u64>) -> io::Result<u64> {
        let last = tag
            .checked_sub(self.lowest)
            .map(|offset| offset as usize)
            .filter(|offset| *offset < self.sent_at_ns.len())
            .ok_or_else(|| wire::malformed("a confirm for a message that is not outstanding"))?;
        let first = if multiple { 0 } else { last };
        let mut count = 0;
        for sent_at_ns in self.sent_at_ns.range_mut(first..=last) {
            let sent = std::mem::take(sent_at_ns);
            if sent != 0 {
                count += 1;
                if let Some(now_ns) = now_ns {
                    self.latency.record(now_ns - sent);
                }
            }
        }
        while self.sent_at_ns.front() == Some(&0) {
            self.sent_at_ns.pop_front();
            self.lowest += 1;
        }
        self.outstanding -= count;
        Ok(count as u64)
    }
}
