//! The script of a conversation: what clients say, and what they wait for in between.
//!
//! A script says nothing of what the broker should answer: that is what the recording says. It says
//! only how to know that the answer has come: a reply on a channel, so many messages, the end.

use crate::support::frame::{FRAME_END, Frame};
use crate::support::{Login, Method, Properties, method};
use crate::transcript;

/// How one client of a conversation comes in.
#[derive(Clone)]
pub enum Entry {
    /// It has a TCP connection and has said nothing yet.
    Stranger,
    /// It has said the protocol header and heard connection.start.
    Started,
    /// It has an open connection.
    Open(Login),
}

/// What is waited for.
#[derive(Clone, Debug)]
pub enum Until {
    /// A reply on this channel: a method that isn't a delivery, a return, a confirm, a cancellation
    /// or the like, with its content; or the end of the channel or connection.
    Reply(u16),
    /// So many methods on each of these channels, with their content, whichever they are.
    Events(Vec<(u16, usize)>),
    /// The broker's end of the connection.
    End,
    /// So many bytes that are no frame, or the end.
    Bytes(usize),
}

impl Until {
    /// Whether nothing of it comes any more once this channel is closed; 0 is the connection.
    pub fn concerns(&self, channel: u16) -> bool {
        match self {
            Until::Reply(on) => channel == 0 || *on == channel,
            Until::Events(due) => channel == 0 || due.iter().any(|(on, _)| *on == channel),
            Until::End | Until::Bytes(_) => channel == 0,
        }
    }
}

/// One step of one client.
#[derive(Clone)]
pub enum Step {
    /// Bytes to send in one write, and the lines that say what they are.
    Say { bytes: Vec<u8>, lines: Vec<String> },
    /// Reads until this has come.
    Hear(Until),
    /// What is said once a message has come with a reply address of the broker's making: frames for that
    /// address.
    Answer(fn(&str) -> Vec<Frame>),
    /// A request of the management API, which is not this client's: method, path below /api, body.
    Api(&'static str, String, String),
    /// What is not worth a line if this is the answer, or if there is none to wait for.
    Quietly {
        said: Frame,
        answer: Option<&'static str>,
    },
}

/// See the module.
#[derive(Clone)]
pub struct Script {
    /// The name within its family.
    pub name: String,
    pub clients: Vec<Entry>,
    /// Which client does what.
    pub steps: Vec<(usize, Step)>,
    /// Whether the player answers channel.close and connection.close as a client should.
    pub polite: bool,
    /// Who speaks, until somebody else does.
    speaker: usize,
    /// Where it speaks.
    channel: u16,
}

impl Script {
    /// One client with an open connection and channel 1 open.
    pub fn new(name: impl Into<String>) -> Self {
        Self::with(name, Entry::Open(Login::default()))
    }

    /// One client that has said nothing yet.
    pub fn stranger(name: impl Into<String>) -> Self {
        Self::with(name, Entry::Stranger)
    }

    /// One client that has heard connection.start, and speaks on channel 0.
    pub fn started(name: impl Into<String>) -> Self {
        Self::with(name, Entry::Started).on(0)
    }

    /// One client that comes in like this; channel 1 is open if the connection is.
    pub fn with(name: impl Into<String>, entry: Entry) -> Self {
        Script {
            name: name.into(),
            clients: vec![entry],
            steps: Vec::new(),
            polite: true,
            speaker: 0,
            channel: 1,
        }
    }

    /// A name of this conversation's own.
    pub fn own(&self, what: &str) -> String {
        format!("{what}.{}", self.name)
    }

    /// Nothing is answered but by the script: channel.close and connection.close are not.
    pub fn impolite(mut self) -> Self {
        self.polite = false;
        self
    }

    /// Another client comes in and speaks.
    pub fn enters(mut self, entry: Entry) -> Self {
        self.clients.push(entry);
        self.speaker = self.clients.len() - 1;
        self.channel = 1;
        self
    }

    /// This client speaks from now on.
    pub fn client(mut self, number: usize) -> Self {
        self.speaker = number;
        self.channel = 1;
        self
    }

    /// On this channel from now on.
    pub fn on(mut self, channel: u16) -> Self {
        self.channel = channel;
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push((self.speaker, step));
        self
    }

    /// Sends frames in one write.
    pub fn frames(self, frames: &[Frame]) -> Self {
        let bytes = frames.iter().flat_map(Frame::encode).collect();
        let lines = frames.iter().map(transcript::frame).collect();
        self.step(Step::Say { bytes, lines })
    }

    /// Sends bytes as they are.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let lines = vec![transcript::bytes(bytes)];
        let bytes = bytes.to_vec();
        self.step(Step::Say { bytes, lines })
    }

    /// Sends a frame of any kind on the channel.
    pub fn frame(self, kind: u8, payload: &[u8]) -> Self {
        let frame = Frame::new(kind, self.channel, payload);
        let (bytes, lines) = (frame.encode(), vec![transcript::raw(&frame)]);
        self.step(Step::Say { bytes, lines })
    }

    /// Sends a frame whose end is another byte.
    pub fn frame_with_end(self, frame: &Frame, end: u8) -> Self {
        let mut bytes = frame.encode();
        assert_eq!(bytes.pop(), Some(FRAME_END));
        bytes.push(end);
        let lines = vec![format!("{} end={end:#04x}", transcript::raw(frame))];
        self.step(Step::Say { bytes, lines })
    }

    /// Sends a method and waits for nothing.
    pub fn send(self, method: Method) -> Self {
        let frame = Frame::method(self.channel, &method);
        self.frames(&[frame])
    }

    /// Sends a method and waits for the reply.
    pub fn call(self, method: Method) -> Self {
        self.send(method).reply()
    }

    /// Answers the last message that came to anybody with a reply address.
    pub fn answer(self, frames: fn(&str) -> Vec<Frame>) -> Self {
        self.step(Step::Answer(frames))
    }

    /// Somebody asks the management API for something, and that is done.
    pub fn api(self, method: &'static str, path: &str, body: serde_json::Value) -> Self {
        let body = match body {
            serde_json::Value::Null => String::new(),
            body => body.to_string(),
        };
        self.step(Step::Api(method, path.to_string(), body))
    }

    /// Opens a channel and speaks there.
    pub fn open(self, channel: u16) -> Self {
        let open = method!("channel.open");
        self.on(channel).quietly(open, Some("channel.open-ok"))
    }

    /// Sends a method and waits for an answer, if there is one, neither of which is written down.
    pub fn quietly(self, method: Method, answer: Option<&'static str>) -> Self {
        let said = Frame::method(self.channel, &method);
        self.step(Step::Quietly { said, answer })
    }

    pub fn hear(self, until: Until) -> Self {
        self.step(Step::Hear(until))
    }

    pub fn reply(self) -> Self {
        let channel = self.channel;
        self.hear(Until::Reply(channel))
    }

    /// Waits for so many methods on the channel.
    pub fn events(self, count: usize) -> Self {
        let channel = self.channel;
        self.hear(Until::Events(vec![(channel, count)]))
    }

    /// Sends a method here and waits for the reply, and for one method on another channel.
    pub fn call_and_hear(self, method: Method, other: u16) -> Self {
        let channel = self.channel;
        self.send(method)
            .hear(Until::Events(vec![(channel, 1), (other, 1)]))
    }

    pub fn end(self) -> Self {
        self.hear(Until::End)
    }

    /// A reply that changes nothing, after which everything that this channel alone does has happened.
    pub fn settled(self) -> Self {
        self.call(method!("channel.flow", active: true))
    }

    /// A method with its content in one write, and no waiting.
    pub fn content(self, method: Method, properties: &Properties, body: &[u8]) -> Self {
        let channel = self.channel;
        let mut frames = vec![
            Frame::method(channel, &method),
            Frame::content_header(channel, body.len() as u64, properties),
        ];
        if !body.is_empty() {
            frames.push(Frame::body(channel, body));
        }
        self.frames(&frames)
    }

    pub fn publish(self, exchange: &str, key: &str, body: &str) -> Self {
        self.publish_with(exchange, key, &Properties::default(), body)
    }

    pub fn publish_with(self, exchange: &str, key: &str, with: &Properties, body: &str) -> Self {
        let publish = method!("basic.publish", exchange: exchange, routing_key: key);
        self.content(publish, with, body.as_bytes())
    }
}
