//! One connection of the null broker.
//!
//! In come a client's bytes; methods are answered at once, publishes go to the handoff many at a
//! time. A read buffer is small until a client proves to be busy, so that idle ones cost little.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::handoff::Handoff;
use super::topology::{NullConsumer, NullQueue, Outgoing, Topology};
use crate::wire::{self, Cursor, FRAME_METHOD, Frame, MethodWriter, Table, method};

const FIRST_READ_BYTES: usize = 4 * 1024;
const BUSY_READ_BYTES: usize = 256 * 1024;
/// A message must fit here, frames and all.
const LARGEST_MESSAGE_BYTES: usize = 160 * 1024 * 1024;
const FRAME_MAX_BYTES: u32 = 131_072;

/// A connection being served.
pub struct Session {
    stream: Arc<TcpStream>,
    outgoing: Arc<Outgoing>,
    topology: Arc<Topology>,
    handoff: Handoff,
    consumes: Vec<Arc<NullQueue>>,
    replies: Vec<u8>,
    closing: bool,
}

impl Session {
    /// Takes a fresh connection.
    pub fn new(stream: TcpStream, topology: Arc<Topology>) -> io::Result<Session> {
        stream.set_nodelay(true)?;
        let stream = Arc::new(stream);
        let outgoing = Arc::new(Outgoing::new(Arc::clone(&stream)));
        let handoff = Handoff::new(Arc::clone(&topology));
        Ok(Session {
            stream,
            outgoing,
            topology,
            handoff,
            consumes: Vec::new(),
            replies: Vec::new(),
            closing: false,
        })
    }

    /// Serves it to its end.
    pub fn run(mut self) -> io::Result<()> {
        let result = self.serve();
        for queue in &self.consumes {
            queue.remove_consumers(&self.outgoing);
        }
        result
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut header = [0; 8];
        (&*self.stream).read_exact(&mut header)?;
        if header != *wire::PROTOCOL_HEADER {
            return self.outgoing.write(wire::PROTOCOL_HEADER);
        }
        MethodWriter::new(&mut self.replies, 0, method::CONNECTION_START)
            .octet(0)
            .octet(9)
            .table(&Table::new())
            .long_text(b"PLAIN")
            .long_text(b"en_US")
            .end();
        self.send_replies()?;
        let mut buffer = vec![0; FIRST_READ_BYTES];
        let mut filled = 0;
        while !self.closing {
            let count = (&*self.stream).read(&mut buffer[filled..])?;
            if count == 0 {
                return Ok(());
            }
            filled += count;
            let used = self.take(&mut buffer[..filled])?;
            let was_full = filled == buffer.len();
            buffer.copy_within(used..filled, 0);
            filled -= used;
            if was_full && (buffer.len() < BUSY_READ_BYTES || filled == buffer.len()) {
                if buffer.len() >= LARGEST_MESSAGE_BYTES {
                    return Err(wire::malformed("the message is too large"));
                }
                buffer.resize(buffer.len() * 2, 0);
            }
        }
        Ok(())
    }

    /// Takes in what is whole; returns how many bytes that was.
    fn take(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut used = 0;
        loop {
            used += self.handoff.collect(bytes, used)?;
            let Some(frame) = Frame::split(&bytes[used..])? else {
                break;
            };
            match frame.method_id() {
                // A publish that is not whole yet.
                Some(method::BASIC_PUBLISH) => break,
                Some(method::BASIC_ACK | method::BASIC_NACK) => {}
                Some(_) => self.answer(&frame)?,
                None if frame.kind == wire::FRAME_HEARTBEAT => {}
                None => return Err(wire::malformed("a content frame without its method")),
            }
            used += frame.whole_bytes();
        }
        self.handoff.deliver(bytes)?;
        self.handoff.put_confirm(&mut self.replies);
        self.send_replies()?;
        Ok(used)
    }

    fn send_replies(&mut self) -> io::Result<()> {
        if !self.replies.is_empty() {
            self.outgoing.write(&self.replies)?;
            self.replies.clear();
        }
        Ok(())
    }

    fn answer(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        debug_assert_eq!(frame.kind, FRAME_METHOD);
        let channel = frame.channel;
        let mut arguments = frame.arguments();
        match frame.method_id().unwrap_or_default() {
            method::CONNECTION_START_OK => {
                MethodWriter::new(&mut self.replies, 0, method::CONNECTION_TUNE)
                    .short(2047)
                    .long(FRAME_MAX_BYTES)
                    .short(0)
                    .end();
            }
            method::CONNECTION_TUNE_OK => {}
            method::CONNECTION_OPEN => {
                MethodWriter::new(&mut self.replies, 0, method::CONNECTION_OPEN_OK)
                    .short_text("")
                    .end();
            }
            method::CONNECTION_CLOSE => {
                MethodWriter::new(&mut self.replies, 0, method::CONNECTION_CLOSE_OK).end();
                self.closing = true;
            }
            method::CHANNEL_OPEN => {
                MethodWriter::new(&mut self.replies, channel, method::CHANNEL_OPEN_OK)
                    .long_text(b"")
                    .end();
            }
            method::CHANNEL_CLOSE => {
                MethodWriter::new(&mut self.replies, channel, method::CHANNEL_CLOSE_OK).end();
            }
            method::BASIC_QOS => {
                MethodWriter::new(&mut self.replies, channel, method::BASIC_QOS_OK).end()
            }
            method::BASIC_CONSUME => self.consume(channel, &mut arguments)?,
            method::CONFIRM_SELECT => {
                self.handoff.confirm(channel);
                MethodWriter::new(&mut self.replies, channel, method::CONFIRM_SELECT_OK).end();
            }
            method::EXCHANGE_DECLARE => {
                arguments.short()?;
                let exchange = arguments.short_text()?;
                self.topology
                    .declare_exchange(exchange, arguments.short_text()?);
                MethodWriter::new(&mut self.replies, channel, method::EXCHANGE_DECLARE_OK).end();
            }
            method::EXCHANGE_DELETE => {
                arguments.short()?;
                self.topology.delete_exchange(arguments.short_text()?);
                MethodWriter::new(&mut self.replies, channel, method::EXCHANGE_DELETE_OK).end();
            }
            method::QUEUE_DECLARE => {
                arguments.short()?;
                let queue = arguments.short_text()?;
                let consumers = self.topology.queue(queue).consumer_count();
                MethodWriter::new(&mut self.replies, channel, method::QUEUE_DECLARE_OK)
                    .short_text(queue)
                    .long(0)
                    .long(consumers)
                    .end();
            }
            method::QUEUE_BIND => {
                arguments.short()?;
                let (queue, exchange, key) = (
                    arguments.short_text()?,
                    arguments.short_text()?,
                    arguments.short_text()?,
                );
                self.topology.bind(queue, exchange, key);
                let no_wait = arguments.octet()? & 1 == 1;
                if !no_wait {
                    MethodWriter::new(&mut self.replies, channel, method::QUEUE_BIND_OK).end();
                }
            }
            method::QUEUE_DELETE => {
                arguments.short()?;
                self.topology.delete_queue(arguments.short_text()?);
                MethodWriter::new(&mut self.replies, channel, method::QUEUE_DELETE_OK)
                    .long(0)
                    .end();
            }
            (class, number) => {
                return Err(io::Error::other(format!(
                    "the null broker does not know method {class}.{number}"
                )));
            }
        }
        Ok(())
    }

    fn consume(&mut self, channel: u16, arguments: &mut Cursor<'_>) -> io::Result<()> {
        arguments.short()?;
        let queue = self.topology.queue(arguments.short_text()?);
        let tag = arguments.short_text()?.to_owned();
        MethodWriter::new(&mut self.replies, channel, method::BASIC_CONSUME_OK)
            .short_text(&tag)
            .end();
        let outgoing = Arc::clone(&self.outgoing);
        // A publisher may use the consumer as soon as its client has the reply, and no delivery may
        // come before that: so it is added before the reply is out and held back until then.
        let mut writing = outgoing.lock();
        queue.add_consumer(Arc::new(NullConsumer {
            outgoing: Arc::clone(&outgoing),
            channel,
            tag,
            delivered: AtomicU64::new(0),
        }));
        self.consumes.push(queue);
        writing.write_all(&self.replies)?;
        self.replies.clear();
        Ok(())
    }
}
