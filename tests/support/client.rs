//! A blocking client that says exactly what a test tells it to say, and reads exactly what comes.
//!
//! Every read has a deadline. Frames that come for another channel than the one that is being
//! looked at wait in that channel's inbox, so their order is kept per channel, as AMQP has it.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Method;
use super::broker::PATIENCE;
use super::frame::{FRAME_END, Frame, HEARTBEAT, METHOD};
use super::method;
use super::talk::{Channel, Talk};
use super::value::Reader;

enum Stream {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// How a read ended without a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing came in time.
    Deadline,
    /// The broker closed the connection (or reset it).
    Closed,
}

/// See the module.
pub struct Client {
    stream: Stream,
    received: Vec<u8>,
    pub(super) inbox: HashMap<u16, VecDeque<Frame>>,
    heartbeats: u64,
    /// What was negotiated; long bodies are cut by it.
    pub frame_max: usize,
    /// How long a read waits.
    pub patience: Duration,
}

impl Client {
    #[track_caller]
    pub fn plain(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("the broker listens");
        Self::on_stream(Stream::Plain(socket))
    }

    /// A client over TLS; the handshake happens with the first bytes.
    pub fn tls(socket: TcpStream, connection: rustls::ClientConnection) -> Self {
        Self::on_stream(Stream::Tls(Box::new(rustls::StreamOwned::new(
            connection, socket,
        ))))
    }

    fn on_stream(stream: Stream) -> Self {
        let _ = stream.socket().set_nodelay(true);
        stream
            .socket()
            .set_write_timeout(Some(PATIENCE))
            .expect("a timeout");
        Client {
            stream,
            received: Vec::new(),
            inbox: HashMap::new(),
            heartbeats: 0,
            frame_max: 131_072,
            patience: PATIENCE,
        }
    }

    /// The view of one channel. The client itself is its channel 1.
    pub fn on(&mut self, number: u16) -> Channel<'_> {
        Channel {
            client: self,
            number,
        }
    }

    #[track_caller]
    pub fn open_channel(&mut self, number: u16) {
        self.on(number).send(method!("channel.open"));
        self.on(number).expect(method!("channel.open-ok"));
    }

    pub fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }

    pub fn tls_session(&self) -> Option<&rustls::ClientConnection> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => Some(&stream.conn),
        }
    }

    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .expect("the broker takes what is sent");
    }

    /// Sends where the broker may have closed already; says whether it went.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    #[track_caller]
    pub fn send_frame(&mut self, frame: &Frame) {
        self.send_bytes(&frame.encode());
    }

    /// Ends our half of the connection.
    pub fn finish_sending(&mut self) {
        let _ = self.stream.socket().shutdown(Shutdown::Write);
    }

    /// Reads some bytes into `received`.
    fn fill(&mut self, deadline: Instant) -> Result<(), Silence> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Silence::Deadline);
        }
        self.stream
            .socket()
            .set_read_timeout(Some(left))
            .expect("a timeout");
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(Silence::Closed),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(Silence::Deadline),
                ErrorKind::Interrupted => Ok(()),
                _ => Err(Silence::Closed),
            },
        }
    }

    /// The next frame on the wire, heartbeats too.
    pub fn raw_frame(&mut self, deadline: Instant) -> Result<Frame, Silence> {
        loop {
            if let Some(head) = self.received.get(..7) {
                let mut reader = Reader(head);
                let (kind, channel, size) = (reader.u8(), reader.u16(), reader.u32() as usize);
                if self.received.len() >= size + 8 {
                    let frame = Frame::new(kind, channel, &self.received[7..7 + size]);
                    assert_eq!(self.received[7 + size], FRAME_END, "end of {frame:?}");
                    self.received.drain(..size + 8);
                    return Ok(frame);
                }
            }
            self.fill(deadline)?;
        }
    }

    /// Exactly so many bytes, as they come.
    pub fn raw_bytes(&mut self, count: usize) -> Result<Vec<u8>, Silence> {
        let deadline = Instant::now() + self.patience;
        while self.received.len() < count {
            self.fill(deadline)?;
        }
        Ok(self.received.drain(..count).collect())
    }

    /// What has come and is no whole frame.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    /// The next frame of a channel; others' frames are put into their inboxes.
    pub(super) fn frame_of(&mut self, channel: u16, deadline: Instant) -> Result<Frame, Silence> {
        if let Some(frame) = self.inbox.get_mut(&channel).and_then(VecDeque::pop_front) {
            return Ok(frame);
        }
        loop {
            let frame = self.raw_frame(deadline)?;
            if frame.kind == HEARTBEAT {
                assert_eq!(frame, Frame::new(HEARTBEAT, 0, []), "a heartbeat frame");
                self.heartbeats += 1;
            } else if frame.channel == channel {
                return Ok(frame);
            } else {
                self.inbox
                    .entry(frame.channel)
                    .or_default()
                    .push_back(frame);
            }
        }
    }

    /// Waits for so many heartbeat frames, counted from the first byte.
    #[track_caller]
    pub fn expect_heartbeats(&mut self, count: u64) {
        let deadline = Instant::now() + self.patience;
        while self.heartbeats < count {
            match self.raw_frame(deadline) {
                Ok(frame) if frame.kind == HEARTBEAT => self.heartbeats += 1,
                other => panic!("instead of heartbeat {}: {other:?}", self.heartbeats + 1),
            }
        }
    }

    /// The broker closes the connection and says nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.raw_frame(deadline) {
                Err(Silence::Closed) => break,
                Ok(frame) if frame.kind == HEARTBEAT => {}
                Ok(frame) if frame.kind == METHOD => {
                    panic!("instead of the end: {:?}", Method::decode(&frame.payload))
                }
                other => panic!("instead of the end: {other:?}"),
            }
        }
        assert!(
            self.received.is_empty(),
            "half a frame before the end: {:?}",
            self.received
        );
    }

    /// The broker closes the connection, whatever it says before.
    #[track_caller]
    pub fn drain_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.fill(deadline) {
                Ok(()) => {}
                Err(Silence::Closed) => return std::mem::take(&mut self.received),
                Err(Silence::Deadline) => panic!("the connection stays open"),
            }
        }
    }

    /// The broker closes the connection for this reason; it is answered, and that was all.
    #[track_caller]
    pub fn expect_connection_close(&mut self, code: u16, text: &str, method: &str) {
        self.expect_connection_close_ids(code, text, Method::ids(method));
    }

    #[track_caller]
    pub fn expect_connection_close_ids(&mut self, code: u16, text: &str, ids: (u16, u16)) {
        self.on(0).expect(method!("connection.close",
            reply_code: code, reply_text: text, class_id: ids.0, method_id: ids.1));
        self.on(0).send(method!("connection.close-ok"));
        self.expect_end();
    }

    /// The broker closes the connection with a hard error, whichever, or just ends it. Where
    /// RabbitMQ crashes over its input, what it then says is no model.
    #[track_caller]
    pub fn expect_hard_close(&mut self) {
        let deadline = Instant::now() + self.patience;
        let frame = match self.raw_frame(deadline) {
            Ok(frame) => frame,
            Err(Silence::Closed) => return,
            Err(Silence::Deadline) => panic!("the connection stays open"),
        };
        let close = Method::decode(&frame.payload);
        assert_eq!(
            (close.name, frame.channel),
            ("connection.close", 0),
            "{close:?}"
        );
        let code = close.number("reply-code");
        assert!((500..=541).contains(&code), "{close:?}");
        self.on(0).send(method!("connection.close-ok"));
        self.expect_end();
    }

    /// Closes the connection in good order.
    #[track_caller]
    pub fn close(mut self) {
        self.on(0)
            .send(method!("connection.close", reply_code: 200, reply_text: "bye"));
        self.on(0).expect(method!("connection.close-ok"));
    }
}
