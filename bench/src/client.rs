//! A blocking AMQP connection for everything that is not hot.
//!
//! In come a broker's URL and requests, one at a time; out come their replies. A connection that
//! is set up is taken apart by the load engine, which then moves messages over its transport.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::time::Duration;

use crate::transport::Transport;
use crate::url::BrokerUrl;
use crate::wire::{self, Frame, MethodId, MethodWriter, Table, Value, method};

/// The channel that every connection of the bench uses.
pub const CHANNEL: u16 = 1;
/// The frame size asked for: RabbitMQ's default, so that both brokers split bodies alike.
pub const FRAME_MAX_BYTES: u32 = 131_072;
/// So many requests are sent before their replies are read.
const PIPELINED: usize = 100;
/// No reply may take longer than this.
const REPLY_TIMEOUT: Duration = Duration::from_secs(120);

/// An open connection, usually with channel 1 open.
pub struct Client {
    stream: Transport,
    input: Vec<u8>,
    output: Vec<u8>,
    frame_max_bytes: usize,
}

/// What `queue.declare-ok` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Messages ready.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

/// How to declare a queue.
#[derive(Clone, Debug, Default)]
pub struct QueueOptions {
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its connection.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// Arguments.
    pub arguments: Table,
}

impl QueueOptions {
    fn bits(&self) -> u8 {
        u8::from(self.durable) << 1
            | u8::from(self.exclusive) << 2
            | u8::from(self.auto_delete) << 3
    }
}

impl Client {
    /// Connects, authenticates, opens the virtual host and channel 1.
    pub fn open(url: &BrokerUrl) -> io::Result<Client> {
        let mut client = Client::connect(url)?;
        client.open_channel(CHANNEL)?;
        Ok(client)
    }

    /// Connects, authenticates and opens the virtual host.
    pub fn connect(url: &BrokerUrl) -> io::Result<Client> {
        let stream = Transport::connect(url)?;
        stream.socket().set_read_timeout(Some(REPLY_TIMEOUT))?;
        let mut client = Client {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            frame_max_bytes: 0,
        };
        client.stream.write_all(wire::PROTOCOL_HEADER)?;
        client.wait_for(method::CONNECTION_START)?;
        put_start_ok(&mut client.output, url);
        client.flush()?;
        let tune = client.wait_for(method::CONNECTION_TUNE)?;
        let frame_max = put_tune_ok_and_open(&mut client.output, &tune, url)?;
        client.frame_max_bytes = frame_max as usize;
        client.flush()?;
        client.wait_for(method::CONNECTION_OPEN_OK)?;
        Ok(client)
    }

    /// The largest frame, head and end included.
    pub fn frame_max_bytes(&self) -> usize {
        self.frame_max_bytes
    }

    /// Opens a channel.
    pub fn open_channel(&mut self, channel: u16) -> io::Result<()> {
        put_channel_open(&mut self.output, channel);
        self.call(method::CHANNEL_OPEN_OK).map(drop)
    }

    /// Opens channels, all before waiting for the replies.
    pub fn open_channels(&mut self, channels: Range<u16>) -> io::Result<()> {
        for channel in channels.clone() {
            put_channel_open(&mut self.output, channel);
        }
        self.calls(method::CHANNEL_OPEN_OK, channels.len())
    }

    /// Closes channels, all before waiting for the replies.
    pub fn close_channels(&mut self, channels: Range<u16>) -> io::Result<()> {
        for channel in channels.clone() {
            MethodWriter::new(&mut self.output, channel, method::CHANNEL_CLOSE)
                .short(200)
                .short_text("done")
                .short(0)
                .short(0)
                .end();
        }
        self.calls(method::CHANNEL_CLOSE_OK, channels.len())
    }

    /// Closes the connection and waits for the broker to agree.
    pub fn close(mut self) -> io::Result<()> {
        put_connection_close(&mut self.output);
        self.call(method::CONNECTION_CLOSE_OK).map(drop)
    }

    /// Declares a queue.
    pub fn declare_queue(&mut self, queue: &str, options: &QueueOptions) -> io::Result<QueueState> {
        self.put_queue_declare(queue, options.bits(), &options.arguments);
        self.queue_state()
    }

    /// Declares queues, many before waiting for the replies.
    pub fn declare_queues(&mut self, queues: &[(String, QueueOptions)]) -> io::Result<()> {
        for some in queues.chunks(PIPELINED) {
            for (queue, options) in some {
                self.put_queue_declare(queue, options.bits(), &options.arguments);
            }
            self.calls(method::QUEUE_DECLARE_OK, some.len())?;
        }
        Ok(())
    }

    /// Asks how a queue is.
    pub fn inspect_queue(&mut self, queue: &str) -> io::Result<QueueState> {
        const PASSIVE: u8 = 1;
        self.put_queue_declare(queue, PASSIVE, &Table::new());
        self.queue_state()
    }

    fn put_queue_declare(&mut self, queue: &str, bits: u8, arguments: &Table) {
        MethodWriter::new(&mut self.output, CHANNEL, method::QUEUE_DECLARE)
            .short(0)
            .short_text(queue)
            .octet(bits)
            .table(arguments)
            .end();
    }

    fn queue_state(&mut self) -> io::Result<QueueState> {
        let reply = self.call(method::QUEUE_DECLARE_OK)?;
        let mut arguments = reply.frame().arguments();
        arguments.short_text()?;
        Ok(QueueState {
            messages: arguments.long()?,
            consumers: arguments.long()?,
        })
    }

    /// Deletes queues, many before waiting for the replies; one that is not there is fine.
    pub fn delete_queues(&mut self, queues: &[(String, QueueOptions)]) -> io::Result<()> {
        for some in queues.chunks(PIPELINED) {
            for (queue, _) in some {
                self.put_queue_delete(queue);
            }
            self.calls(method::QUEUE_DELETE_OK, some.len())?;
        }
        Ok(())
    }

    fn put_queue_delete(&mut self, queue: &str) {
        MethodWriter::new(&mut self.output, CHANNEL, method::QUEUE_DELETE)
            .short(0)
            .short_text(queue)
            .octet(0)
            .end();
    }

    /// Declares a transient exchange.
    pub fn declare_exchange(&mut self, exchange: &str, kind: &str) -> io::Result<()> {
        MethodWriter::new(&mut self.output, CHANNEL, method::EXCHANGE_DECLARE)
            .short(0)
            .short_text(exchange)
            .short_text(kind)
            .octet(0)
            .table(&Table::new())
            .end();
        self.call(method::EXCHANGE_DECLARE_OK).map(drop)
    }

    /// Deletes an exchange; one that is not there is fine.
    pub fn delete_exchange(&mut self, exchange: &str) -> io::Result<()> {
        MethodWriter::new(&mut self.output, CHANNEL, method::EXCHANGE_DELETE)
            .short(0)
            .short_text(exchange)
            .octet(0)
            .end();
        self.call(method::EXCHANGE_DELETE_OK).map(drop)
    }

    /// Makes bindings, asking for no reply but the last, so that 100,000 do not take 100,000 round trips.
    pub fn bind_queues<'a>(
        &mut self,
        exchange: &str,
        bindings: impl IntoIterator<Item = (&'a str, &'a str, &'a Table)>,
    ) -> io::Result<()> {
        const FLUSH_BYTES: usize = 64 * 1024;
        const NO_WAIT: u8 = 1;
        let mut bindings = bindings.into_iter().peekable();
        let mut any = false;
        while let Some((queue, key, arguments)) = bindings.next() {
            any = true;
            MethodWriter::new(&mut self.output, CHANNEL, method::QUEUE_BIND)
                .short(0)
                .short_text(queue)
                .short_text(exchange)
                .short_text(key)
                .octet(if bindings.peek().is_some() {
                    NO_WAIT
                } else {
                    0
                })
                .table(arguments)
                .end();
            if self.output.len() > FLUSH_BYTES {
                self.flush()?;
            }
        }
        if any {
            self.call(method::QUEUE_BIND_OK).map(drop)
        } else {
            Ok(())
        }
    }

    /// Sets the prefetch count of the consumers that follow.
    pub fn set_prefetch(&mut self, prefetch: u16) -> io::Result<()> {
        MethodWriter::new(&mut self.output, CHANNEL, method::BASIC_QOS)
            .long(0)
            .short(prefetch)
            .octet(0)
            .end();
        self.call(method::BASIC_QOS_OK).map(drop)
    }

    /// Puts the channel into confirm mode.
    pub fn select_confirms(&mut self) -> io::Result<()> {
        MethodWriter::new(&mut self.output, CHANNEL, method::CONFIRM_SELECT)
            .octet(0)
            .end();
        self.call(method::CONFIRM_SELECT_OK).map(drop)
    }

    /// Starts a consumer with a short tag.
    pub fn consume(&mut self, queue: &str, auto_ack: bool, arguments: &Table) -> io::Result<()> {
        MethodWriter::new(&mut self.output, CHANNEL, method::BASIC_CONSUME)
            .short(0)
            .short_text(queue)
            .short_text("c")
            .octet(u8::from(auto_ack) << 1)
            .table(arguments)
            .end();
        self.call(method::BASIC_CONSUME_OK).map(drop)
    }

    /// The stream and what was read from it but not used.
    pub fn into_parts(self) -> (Transport, Vec<u8>) {
        (self.stream, self.input)
    }

    /// A client again, once a load is done with the stream.
    pub fn from_parts(stream: Transport, input: Vec<u8>) -> Client {
        Client {
            stream,
            input,
            output: Vec::new(),
            frame_max_bytes: FRAME_MAX_BYTES as usize,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    fn calls(&mut self, reply: MethodId, count: usize) -> io::Result<()> {
        self.flush()?;
        (0..count).try_for_each(|_| self.wait_for(reply).map(drop))
    }

    fn call(&mut self, reply: MethodId) -> io::Result<Reply> {
        self.flush()?;
        self.wait_for(reply)
    }

    fn wait_for(&mut self, wanted: MethodId) -> io::Result<Reply> {
        let reply = read_reply(&mut self.stream, &mut self.input)?;
        match reply.frame().method_id() {
            Some(id) if id == wanted => Ok(reply),
            _ => Err(unexpected(&reply.frame())),
        }
    }
}

/// A whole received frame.
pub struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    /// The frame.
    pub fn frame(&self) -> Frame<'_> {
        let payload_end = self.bytes.len() - 1;
        Frame {
            kind: self.bytes[0],
            channel: u16::from_be_bytes([self.bytes[1], self.bytes[2]]),
            payload: &self.bytes[wire::FRAME_HEAD_BYTES..payload_end],
        }
    }
}

/// Reads until `input` begins with a whole frame that is no heartbeat, and takes it out.
pub fn read_reply(stream: &mut impl Read, input: &mut Vec<u8>) -> io::Result<Reply> {
    loop {
        if input.starts_with(b"AMQP") {
            return Err(wire::malformed("the broker refused the protocol header"));
        }
        if let Some(frame) = Frame::split(input)? {
            let (kind, whole_bytes) = (frame.kind, frame.whole_bytes());
            let rest = input.split_off(whole_bytes);
            let bytes = std::mem::replace(input, rest);
            if kind != wire::FRAME_HEARTBEAT {
                return Ok(Reply { bytes });
            }
            continue;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the broker closed the connection",
                ));
            }
            count => input.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Describes a frame that nobody asked for, with the broker's own words where it closed something.
pub fn unexpected(frame: &Frame<'_>) -> io::Error {
    let text = match frame.method_id() {
        Some(method::CONNECTION_CLOSE | method::CHANNEL_CLOSE) => {
            let mut arguments = frame.arguments();
            let code = arguments.short().unwrap_or_default();
            format!(
                "the broker closed: {code} {}",
                arguments.short_text().unwrap_or_default()
            )
        }
        Some(method::BASIC_CANCEL) => "the broker cancelled the consumer".to_owned(),
        Some((class, number)) => format!("unexpected method {class}.{number}"),
        None => format!("unexpected frame of type {}", frame.kind),
    };
    io::Error::other(text)
}

/// Appends `channel.open`.
pub fn put_channel_open(output: &mut Vec<u8>, channel: u16) {
    MethodWriter::new(output, channel, method::CHANNEL_OPEN)
        .short_text("")
        .end();
}

/// Appends `connection.close`.
pub fn put_connection_close(output: &mut Vec<u8>) {
    MethodWriter::new(output, 0, method::CONNECTION_CLOSE)
        .short(200)
        .short_text("done")
        .short(0)
        .short(0)
        .end();
}

/// Appends `connection.start-ok` with PLAIN and the capabilities of a modern client.
pub fn put_start_ok(output: &mut Vec<u8>, url: &BrokerUrl) {
    let capabilities = [
        "publisher_confirms",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
    ]
    .map(|name| (name.to_owned(), Value::Bool(true)))
    .to_vec();
    let properties = vec![
        ("product".to_owned(), Value::from("warren-bench")),
        ("capabilities".to_owned(), Value::Table(capabilities)),
    ];
    MethodWriter::new(output, 0, method::CONNECTION_START_OK)
        .table(&properties)
        .short_text("PLAIN")
        .long_text(format!("\0{}\0{}", url.user, url.password).as_bytes())
        .short_text("en_US")
        .end();
}

/// Appends `connection.tune-ok` (no heartbeats) and `connection.open`; returns the agreed frame size.
pub fn put_tune_ok_and_open(
    output: &mut Vec<u8>,
    tune: &Reply,
    url: &BrokerUrl,
) -> io::Result<u32> {
    let mut arguments = tune.frame().arguments();
    let channel_max = arguments.short()?;
    let frame_max = match arguments.long()? {
        0 => FRAME_MAX_BYTES,
        offered => offered.min(FRAME_MAX_BYTES),
    };
    MethodWriter::new(output, 0, method::CONNECTION_TUNE_OK)
        .short(channel_max)
        .long(frame_max)
        .short(0)
        .end();
    MethodWriter::new(output, 0, method::CONNECTION_OPEN)
        .short_text(&url.vhost)
        .short_text("")
        .octet(0)
        .end();
    Ok(frame_max)
}
