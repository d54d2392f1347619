//! A client and a connection machine that talk to each other in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use warren::amqp::encode;
use warren::amqp::frame::{self, FrameKind};
use warren::amqp::method::{Method, basic, channel, connection, queue};
use warren::amqp::table::FieldTable;
use warren::auth::Users;
use warren::broker::{Broker, ConnectionId};
use warren::connection::{Connection, Ends, Limits, Outgoing, Settings, State};

pub const HEADER: &[u8] = b"AMQP\0\0\x09\x01";

/// A client and a connection machine, with time standing still until it is moved.
pub struct Conversation {
    pub connection: Connection,
    pub outgoing: Arc<Outgoing>,
    pub now: Instant,
    pub unused: Vec<u8>,
    pub state: State,
}

#[derive(Debug, PartialEq)]
pub enum Said {
    Method(u16, Method),
    Heartbeat,
    Content(FrameKind, u16),
    Header,
}

impl Conversation {
    pub fn with(broker: &Arc<Broker>, limits: Limits, peer: &str) -> Self {
        let outgoing = Outgoing::detached(1 << 20);
        let ends = Ends {
            peer: peer.parse().expect("an address"),
            local: "127.0.0.1:5672".parse().expect("an address"),
        };
        let settings = Arc::new(Settings::new(limits, "test"));
        let now = Instant::now();
        let connection = Connection::new(
            Arc::clone(broker),
            settings,
            ends,
            Arc::clone(&outgoing),
            now,
        );
        Self {
            connection,
            outgoing,
            now,
            unused: Vec::new(),
            state: State::Reading,
        }
    }

    pub fn start() -> Self {
        Self::with(&broker(), Limits::default(), "127.0.0.1:1234")
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.unused.extend_from_slice(bytes);
        let received = self.connection.receive(&self.unused, self.now);
        self.unused.drain(..received.consumed);
        self.state = received.state;
    }

    pub fn send(&mut self, channel: u16, method: impl Into<Method>) {
        let mut bytes = Vec::new();
        encode::method_frame(&mut bytes, channel, &method.into());
        self.send_bytes(&bytes);
    }

    /// Everything that was said since the last time.
    pub fn hear(&mut self) -> Vec<Said> {
        let bytes = self.outgoing.drain();
        let mut said = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at..].starts_with(HEADER) {
                said.push(Said::Header);
                at += HEADER.len();
                continue;
            }
            let (frame, used) = frame::frame(&bytes[at..], 0)
                .expect("a frame")
                .expect("a whole one");
            at += used;
            said.push(match frame.kind {
                FrameKind::Method => {
                    let method = Method::decode(frame.payload).expect("a method");
                    Said::Method(frame.channel, method)
                }
                FrameKind::Heartbeat => Said::Heartbeat,
                kind => Said::Content(kind, frame.channel),
            });
        }
        said
    }

    #[track_caller]
    pub fn hear_one(&mut self) -> Method {
        let mut said = self.hear();
        assert_eq!(said.len(), 1, "{said:?}");
        match said.remove(0) {
            Said::Method(_, method) => method,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn hear_close(&mut self, code: u16, text: &str, ids: (u16, u16)) {
        match self.hear_one() {
            Method::ConnectionClose(close) => {
                assert_eq!((close.reply_code, &*close.reply_text), (code, text));
                assert_eq!((close.class_id, close.method_id), ids);
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.state = self.connection.on_time(self.now);
    }

    pub fn log_in(&mut self) {
        self.send_bytes(HEADER);
        self.send(0, start_ok(b"\0guest\0guest"));
        self.hear();
    }

    pub fn tune(&mut self, tune_ok: connection::TuneOk) {
        self.log_in();
        self.send(0, tune_ok);
    }

    pub fn open(&mut self) {
        self.tune(tune_ok(0));
        self.send(0, open("/"));
        assert_eq!(
            self.hear_one(),
            Method::ConnectionOpenOk(connection::OpenOk)
        );
    }
}

pub fn broker() -> Arc<Broker> {
    Broker::new(Users::with_guest())
}

pub fn start_ok(response: &'static [u8]) -> connection::StartOk {
    let capabilities: FieldTable = [
        ("authentication_failure_close", true),
        ("connection.blocked", true),
    ]
    .into_iter()
    .collect();
    connection::StartOk {
        client_properties: [("capabilities", capabilities)].into_iter().collect(),
        mechanism: "PLAIN".into(),
        response: response.into(),
        locale: "en_US".into(),
    }
}

pub fn tune_ok(heartbeat: u16) -> connection::TuneOk {
    connection::TuneOk {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat,
    }
}

pub fn open(vhost: &str) -> connection::Open {
    connection::Open {
        virtual_host: vhost.into(),
    }
}

pub fn open_channel() -> channel::Open {
    channel::Open
}

pub fn close() -> connection::Close {
    connection::Close {
        reply_code: 200,
        reply_text: "bye".into(),
        class_id: 0,
        method_id: 0,
    }
}

pub fn declare(name: &str, exclusive: bool, passive: bool) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        exclusive,
        passive,
        ..queue::Declare::default()
    }
}

pub fn publish(key: &str) -> basic::Publish {
    basic::Publish {
        routing_key: key.into(),
        ..basic::Publish::default()
    }
}

/// A publish to the default exchange: method, header, body.
pub fn published(key: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::method_frame(&mut bytes, 1, &publish(key).into());
    encode::content_header_frame(&mut bytes, 1, body.len() as u64, &[0, 0]);
    encode::body_frames(&mut bytes, 1, body, 131_072);
    bytes
}

pub fn ready(broker: &Broker, queue: &str) -> u64 {
    let vhost = broker.vhost("/").expect("there is one");
    let queue = vhost.queue(queue, ConnectionId(u64::MAX));
    queue.expect("there is one").counts().ready
}
