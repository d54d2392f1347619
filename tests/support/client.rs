//! A blocking client that says exactly what a test tells it to say, and reads exactly what comes.
//!
//! Every read has a deadline. Frames that come for another channel than the one that is being
//! looked at wait in that channel's inbox, so their order is kept per channel, as AMQP has it.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::broker::PATIENCE;
use super::value::Reader;
use super::{Arg, Method, Properties, Table, Value};
use super::{method, table};

pub const HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";
pub const METHOD: u8 = 1;
pub const CONTENT_HEADER: u8 = 2;
pub const BODY: u8 = 3;
pub const HEARTBEAT: u8 = 8;
pub const FRAME_END: u8 = 0xCE;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub kind: u8,
    pub channel: u16,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, channel: u16, payload: impl Into<Vec<u8>>) -> Self {
        Frame {
            kind,
            channel,
            payload: payload.into(),
        }
    }

    pub fn method(channel: u16, method: &Method) -> Self {
        Frame::new(METHOD, channel, method.encode())
    }

    pub fn content_header(channel: u16, body_size: u64, properties: &Properties) -> Self {
        let mut payload = vec![0, 60, 0, 0];
        payload.extend(body_size.to_be_bytes());
        payload.extend(properties.encode());
        Frame::new(CONTENT_HEADER, channel, payload)
    }

    pub fn body(channel: u16, body: &[u8]) -> Self {
        Frame::new(BODY, channel, body)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.kind];
        out.extend(self.channel.to_be_bytes());
        out.extend((self.payload.len() as u32).to_be_bytes());
        out.extend(&self.payload);
        out.push(FRAME_END);
        out
    }
}

/// A message as it came by basic.deliver, basic.get-ok or basic.return.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub method: Method,
    pub properties: Properties,
    pub body: Vec<u8>,
}

impl Message {
    pub fn tag(&self) -> u64 {
        self.method.number("delivery-tag")
    }

    pub fn redelivered(&self) -> bool {
        self.method.bit("redelivered")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn headers(&self) -> Table {
        self.properties.headers()
    }
}

/// What a client says on its way in.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
    pub vhost: String,
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat: u16,
    pub capabilities: Table,
}

impl Default for Login {
    fn default() -> Self {
        let capabilities = table! {
            "publisher_confirms" => true, "exchange_exchange_bindings" => true,
            "basic.nack" => true, "consumer_cancel_notify" => true,
            "connection.blocked" => true, "authentication_failure_close" => true,
        };
        Login {
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 0,
            capabilities,
        }
    }
}

impl Login {
    pub fn start_ok(&self) -> Method {
        method!("connection.start-ok",
            client_properties: table! {
                "product" => "warren tests", "capabilities" => self.capabilities.clone(),
            },
            mechanism: "PLAIN",
            response: format!("\0{}\0{}", self.user, self.password),
            locale: "en_US")
    }

    pub fn tune_ok(&self) -> Method {
        method!("connection.tune-ok",
            channel_max: self.channel_max, frame_max: self.frame_max, heartbeat: self.heartbeat)
    }

    /// Connects and goes all the way to connection.open-ok.
    #[track_caller]
    pub fn open(&self, address: SocketAddr) -> Client {
        self.open_on(Client::plain(address))
    }

    /// The same over a connection that is there already.
    #[track_caller]
    pub fn open_on(&self, mut client: Client) -> Client {
        self.tuned(&mut client);
        client
            .on(0)
            .send(method!("connection.open", virtual_host: &self.vhost));
        client.on(0).expect(method!("connection.open-ok"));
        client
    }

    /// Goes as far as tune-ok.
    #[track_caller]
    pub fn tuned(&self, client: &mut Client) {
        client.send_bytes(HEADER);
        client.on(0).expect_name("connection.start");
        client.on(0).send(self.start_ok());
        client.on(0).expect_name("connection.tune");
        client.on(0).send(self.tune_ok());
        client.frame_max = self.frame_max as usize;
    }
}

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
    inbox: HashMap<u16, VecDeque<Frame>>,
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

    /// The next frame of a channel; others' frames are put into their inboxes.
    fn frame_of(&mut self, channel: u16, deadline: Instant) -> Result<Frame, Silence> {
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

/// One channel of a client.
pub struct Channel<'a> {
    client: &'a mut Client,
    number: u16,
}

impl Talk for Channel<'_> {
    fn client(&mut self) -> &mut Client {
        self.client
    }

    fn number(&self) -> u16 {
        self.number
    }
}

impl Talk for Client {
    fn client(&mut self) -> &mut Client {
        self
    }

    fn number(&self) -> u16 {
        1
    }
}

/// What can be said and heard on a channel.
pub trait Talk {
    fn client(&mut self) -> &mut Client;
    fn number(&self) -> u16;

    #[track_caller]
    fn send(&mut self, method: Method) {
        let frame = Frame::method(self.number(), &method);
        self.client().send_frame(&frame);
    }

    /// Sends a method with its content, the body cut by frame-max.
    #[track_caller]
    fn send_content(&mut self, method: Method, properties: &Properties, body: &[u8]) {
        let number = self.number();
        let mut bytes = Frame::method(number, &method).encode();
        bytes.extend(Frame::content_header(number, body.len() as u64, properties).encode());
        for part in body.chunks(self.client().frame_max - 8) {
            bytes.extend(Frame::body(number, part).encode());
        }
        self.client().send_bytes(&bytes);
    }

    #[track_caller]
    fn publish(&mut self, exchange: &str, routing_key: &str, body: &str) {
        self.publish_with(exchange, routing_key, &Properties::default(), body);
    }

    #[track_caller]
    fn publish_with(&mut self, exchange: &str, key: &str, properties: &Properties, body: &str) {
        let method = method!("basic.publish", exchange: exchange, routing_key: key);
        self.send_content(method, properties, body.as_bytes());
    }

    /// The next frame of this channel.
    #[track_caller]
    fn frame(&mut self) -> Frame {
        let number = self.number();
        let client = self.client();
        let deadline = Instant::now() + client.patience;
        match client.frame_of(number, deadline) {
            Ok(frame) => frame,
            Err(silence) => {
                let on_0 = client.inbox.remove(&0).unwrap_or_default();
                let on_0: Vec<Method> = on_0.iter().map(|f| Method::decode(&f.payload)).collect();
                panic!("no frame on channel {number}: {silence:?}; on channel 0: {on_0:?}")
            }
        }
    }

    #[track_caller]
    fn receive(&mut self) -> Method {
        let frame = self.frame();
        assert_eq!(frame.kind, METHOD, "a method is due: {frame:?}");
        Method::decode(&frame.payload)
    }

    #[track_caller]
    fn expect(&mut self, method: Method) {
        assert_eq!(self.receive(), method);
    }

    #[track_caller]
    fn expect_name(&mut self, name: &str) -> Method {
        let method = self.receive();
        assert_eq!(method.name, name, "{method:?}");
        method
    }

    /// Sends a method and takes its `-ok`.
    #[track_caller]
    fn call(&mut self, method: Method) -> Method {
        let answer = format!("{}-ok", method.name);
        self.send(method);
        self.expect_name(&answer)
    }

    /// The content that follows a method that has been received.
    #[track_caller]
    fn content(&mut self, method: Method) -> Message {
        let frame = self.frame();
        assert_eq!(
            frame.kind, CONTENT_HEADER,
            "a content header is due: {frame:?}"
        );
        let mut reader = Reader(&frame.payload);
        assert_eq!((reader.u16(), reader.u16()), (60, 0), "class and weight");
        let size = reader.u64() as usize;
        let properties = Properties::decode(reader.0);
        let mut body = Vec::new();
        while body.len() < size {
            let frame = self.frame();
            assert_eq!(frame.kind, BODY, "a body is due: {frame:?}");
            assert!(!frame.payload.is_empty(), "an empty body frame");
            body.extend(frame.payload);
        }
        assert_eq!(body.len(), size, "body size");
        Message {
            method,
            properties,
            body,
        }
    }

    #[track_caller]
    fn message(&mut self, name: &str) -> Message {
        let method = self.expect_name(name);
        self.content(method)
    }

    #[track_caller]
    fn delivery(&mut self) -> Message {
        self.message("basic.deliver")
    }

    /// Deliveries with these bodies, in this order.
    #[track_caller]
    fn expect_bodies(&mut self, bodies: &[&str]) -> Vec<Message> {
        let messages: Vec<Message> = bodies.iter().map(|_| self.delivery()).collect();
        let came: Vec<String> = messages.iter().map(Message::text).collect();
        assert_eq!(came, bodies);
        messages
    }

    #[track_caller]
    fn get(&mut self, queue: &str, no_ack: bool) -> Option<Message> {
        self.send(method!("basic.get", queue: queue, no_ack: no_ack));
        let method = self.receive();
        match method.name {
            "basic.get-ok" => Some(self.content(method)),
            "basic.get-empty" => None,
            _ => panic!("{method:?}"),
        }
    }

    /// The text of the first message, which is gone then.
    #[track_caller]
    fn take(&mut self, queue: &str) -> Option<String> {
        self.get(queue, true).map(|message| message.text())
    }

    /// Everything that is in the queue, which is empty then.
    #[track_caller]
    fn take_all(&mut self, queue: &str) -> Vec<String> {
        std::iter::from_fn(|| self.take(queue)).collect()
    }

    #[track_caller]
    fn consume(&mut self, queue: &str, tag: &str) {
        self.call(method!("basic.consume", queue: queue, consumer_tag: tag));
    }

    #[track_caller]
    fn ack(&mut self, tag: u64) {
        self.send(method!("basic.ack", delivery_tag: tag));
    }

    #[track_caller]
    fn nack(&mut self, tag: u64, multiple: bool, requeue: bool) {
        let nack = method!("basic.nack", delivery_tag: tag, multiple: multiple, requeue: requeue);
        self.send(nack);
    }

    /// The broker refuses a publish. (`multiple` may be set where nothing before it is open.)
    #[track_caller]
    fn expect_nack(&mut self, tag: u64) {
        assert_eq!(self.expect_name("basic.nack").number("delivery-tag"), tag);
    }

    #[track_caller]
    fn prefetch(&mut self, count: u16) {
        self.call(method!("basic.qos", prefetch_count: count));
    }

    /// An exclusive queue of the broker's naming.
    #[track_caller]
    fn queue(&mut self) -> String {
        self.queue_with(Table::default())
    }

    #[track_caller]
    fn queue_with(&mut self, arguments: Table) -> String {
        let declare = method!("queue.declare", exclusive: true, arguments: arguments);
        self.call(declare).text("queue")
    }

    /// An auto-delete exchange of a new name.
    #[track_caller]
    fn exchange(&mut self, kind: &str) -> String {
        let name = super::unique(kind);
        self.call(method!("exchange.declare", exchange: &name, type: kind, auto_delete: true));
        name
    }

    #[track_caller]
    fn bind(&mut self, queue: &str, exchange: &str, key: &str) {
        self.call(method!("queue.bind", queue: queue, exchange: exchange, routing_key: key));
    }

    /// Ready messages and consumers. The queue answers after what it did before, so that by then
    /// anything it had to say to this channel has been said.
    #[track_caller]
    fn counts(&mut self, queue: &str) -> (u64, u64) {
        let ok = self.call(method!("queue.declare", queue: queue, passive: true));
        (ok.number("message-count"), ok.number("consumer-count"))
    }

    /// Waits until the queue has so many ready messages; what others do reaches it in its time.
    #[track_caller]
    fn await_ready(&mut self, queue: &str, ready: u64) {
        super::broker::eventually(&format!("{ready} messages ready"), || {
            self.counts(queue).0 == ready
        });
    }

    /// Nothing has come, and nothing of what the broker has been told so far makes it come.
    #[track_caller]
    fn expect_nothing(&mut self, queue: &str) {
        self.counts(queue);
    }

    /// The broker closes this channel for this reason, and takes our answer.
    #[track_caller]
    fn expect_close(&mut self, code: u16, text: &str, method: &str) {
        let (class, id) = Method::ids(method);
        self.expect(method!("channel.close",
            reply_code: code, reply_text: text, class_id: class, method_id: id));
        self.send(method!("channel.close-ok"));
    }

    /// The broker closes this channel for what is sent here; the channel is opened again.
    #[track_caller]
    fn refused(&mut self, sent: Method, code: u16, text: &str) {
        let name = sent.name;
        self.send(sent);
        self.expect_close(code, text, name);
        let number = self.number();
        self.client().open_channel(number);
    }
}
