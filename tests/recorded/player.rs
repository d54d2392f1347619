//! Plays a conversation against a broker and writes down what was said and heard.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::script::{Entry, Script, Step, Until};
use crate::support::client::Silence;
use crate::support::frame::{BODY, CONTENT_HEADER, Frame, HEADER, HEARTBEAT, METHOD};
use crate::support::value::Reader;
use crate::support::{Arg, Client, Http, Method, Properties, Talk, method};
use crate::transcript;

/// How long anything may take that the script waits for, and how often that is waited: whoever was
/// stopped in the meantime must not take it for the broker's silence.
const PATIENCE: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 3;

/// What is written where the broker closed the connection.
const END: &str = "end";

/// What is written where something should have come; a recording has none of it.
pub const NOTHING: &str = "nothing comes";

/// Methods that answer nothing: they come when they come.
const NO_REPLIES: [&str; 8] = [
    "basic.deliver",
    "basic.return",
    "basic.ack",
    "basic.nack",
    "basic.cancel",
    "channel.flow",
    "connection.blocked",
    "connection.unblocked",
];

/// The lines of a conversation: `> ` before what was said, `< ` before what was heard, and before
/// both the client's letter if it isn't the first one.
pub fn play(script: &Script, address: SocketAddr, api: &Http) -> Vec<String> {
    let mut seats: Vec<Seat> = Vec::new();
    let mut lines = Vec::new();
    let mut reply_to = String::new();
    for (number, step) in &script.steps {
        if let Step::Api(method, path, body) = step {
            let status = api.send(method, path, body).status;
            lines.push(format!("api {method} {path} {body}"));
            assert!(matches!(status, 200..300), "{method} {path}: {status}");
            continue;
        }
        while seats.len() <= *number {
            let entry = &script.clients[seats.len()];
            seats.push(Seat::new(entry, address, script.polite));
        }
        match step {
            Step::Answer(frames) => seats[*number].say(&frames(&reply_to)),
            step => seats[*number].step(step),
        }
        if let Some(address) = seats[*number].reply_to.take() {
            reply_to = address;
        }
        let letter = match number {
            0 => String::new(),
            n => format!("{} ", char::from(b'A' + *n as u8)),
        };
        let said = seats[*number].lines.drain(..);
        lines.extend(said.map(|line| format!("{letter}{line}")));
    }
    for (number, seat) in seats.iter_mut().enumerate() {
        seat.leave();
        let letter = match number {
            0 => String::new(),
            n => format!("{} ", char::from(b'A' + n as u8)),
        };
        lines.extend(seat.lines.drain(..).map(|line| format!("{letter}{line}")));
    }
    lines
}

/// One client in a conversation.
struct Seat {
    client: Client,
    polite: bool,
    /// The broker, or the script's own way, has brought it to an end.
    ended: bool,
    /// Whether connection.open-ok has come.
    open: bool,
    channels: BTreeSet<u16>,
    /// What came since the client spoke last, for the order between channels is nobody's promise.
    heard: Vec<(u16, String)>,
    lines: Vec<String>,
    /// The reply address of the last message that had one of the broker's making.
    reply_to: Option<String>,
}

impl Seat {
    fn new(entry: &Entry, address: SocketAddr, polite: bool) -> Self {
        let mut channels = BTreeSet::new();
        let mut client = match entry {
            Entry::Stranger => Client::plain(address),
            Entry::Started => {
                let mut client = Client::plain(address);
                client.send_bytes(HEADER);
                client.on(0).expect_name("connection.start");
                client
            }
            Entry::Open(login) => {
                let mut client = login.open(address);
                client.open_channel(1);
                channels.insert(1);
                client
            }
        };
        client.patience = PATIENCE;
        Seat {
            client,
            polite,
            ended: false,
            open: matches!(entry, Entry::Open(_)),
            channels,
            heard: Vec::new(),
            lines: Vec::new(),
            reply_to: None,
        }
    }

    fn say(&mut self, frames: &[Frame]) {
        for frame in frames {
            self.client.try_send_bytes(&frame.encode());
            self.lines.push(format!("> {}", transcript::frame(frame)));
        }
    }

    fn step(&mut self, step: &Step) {
        if self.ended {
            return;
        }
        match step {
            Step::Say { bytes, lines } => {
                self.client.try_send_bytes(bytes);
                self.lines
                    .extend(lines.iter().map(|line| format!("> {line}")));
            }
            Step::Hear(until) => {
                self.hear(until);
                self.write_down();
            }
            Step::Answer(_) | Step::Api(..) => {}
            Step::Quietly { said, answer } => {
                self.client.try_send_bytes(&said.encode());
                if let Some(answer) = answer {
                    self.hear(&Until::Reply(said.channel));
                    let only = match &self.heard[..] {
                        [(channel, only)] if *channel == said.channel => only,
                        _ => return self.odd_after(said),
                    };
                    if only.split(' ').nth(1) != Some(*answer) {
                        return self.odd_after(said);
                    }
                    self.heard.clear();
                }
            }
        }
    }

    /// What was not expected to be worth a line is.
    fn odd_after(&mut self, said: &Frame) {
        self.lines.push(format!("> {}", transcript::frame(said)));
        self.write_down();
    }

    /// In the order of channels, and of the wire for each channel.
    fn write_down(&mut self) {
        self.heard.sort_by_key(|(channel, _)| *channel);
        let heard = self.heard.drain(..).map(|(_, line)| format!("< {line}"));
        self.lines.extend(heard);
        if self.ended {
            self.lines.push(format!("< {END}"));
        }
    }

    fn answer(&mut self, channel: u16, method: Method) {
        self.client
            .try_send_bytes(&Frame::method(channel, &method).encode());
    }

    fn hear(&mut self, until: &Until) {
        if let Until::Bytes(count) = until {
            return match self.client.raw_bytes(*count) {
                Ok(bytes) => self.heard.push((0, transcript::bytes(&bytes))),
                Err(silence) => self.silent(silence),
            };
        }
        let mut events: HashMap<u16, usize> = HashMap::new();
        loop {
            let Some(frame) = self.frame() else { return };
            let channel = frame.channel;
            if frame.kind != METHOD {
                continue;
            }
            let method = Method::decode(&frame.payload);
            let whole = self.content(&method, channel);
            if !whole {
                return;
            }
            if self.closed(&method, channel) && until.concerns(channel) {
                return;
            }
            *events.entry(channel).or_default() += 1;
            let enough = match until {
                Until::Reply(on) => *on == channel && !NO_REPLIES.contains(&method.name),
                Until::Events(due) => {
                    let came = |(on, count): &(u16, usize)| events.get(on) >= Some(count);
                    due.iter().all(came)
                }
                _ => false,
            };
            if enough {
                return;
            }
        }
    }

    /// The content of a method that has some; whether it came.
    fn content(&mut self, method: &Method, channel: u16) -> bool {
        if !["basic.deliver", "basic.return", "basic.get-ok"].contains(&method.name) {
            return true;
        }
        let mut missing = None;
        while missing != Some(0) {
            let Some(frame) = self.frame() else {
                return false;
            };
            match frame.kind {
                CONTENT_HEADER if frame.channel == channel => {
                    let mut reader = Reader(&frame.payload[4..]);
                    let size = reader.u64() as usize;
                    if let Some(Arg::Text(address)) = Properties::decode(reader.0).get("reply-to")
                        && address.starts_with(b"amq.rabbitmq.reply-to.")
                    {
                        self.reply_to = String::from_utf8(address.clone()).ok();
                    }
                    missing = Some(size);
                }
                BODY if frame.channel == channel => {
                    missing = missing.map(|size| size.saturating_sub(frame.payload.len()));
                }
                _ => {}
            }
        }
        true
    }

    /// Keeps account of what is open, and answers where a client must; whether it was a close of
    /// channel or connection, after which nothing more comes there.
    fn closed(&mut self, method: &Method, channel: u16) -> bool {
        match method.name {
            "connection.open-ok" => self.open = true,
            "channel.open-ok" => {
                self.channels.insert(channel);
            }
            "channel.close-ok" => {
                self.channels.remove(&channel);
            }
            "channel.close" => {
                self.channels.remove(&channel);
                if self.polite {
                    self.answer(channel, method!("channel.close-ok"));
                }
                return true;
            }
            "connection.close" | "connection.close-ok" => {
                if method.name == "connection.close" && self.polite {
                    self.answer(0, method!("connection.close-ok"));
                }
                if method.name == "connection.close-ok" {
                    self.client.finish_sending();
                }
                if self.polite {
                    while self.frame().is_some() {}
                }
                return true;
            }
            _ => {}
        }
        false
    }

    /// The next frame, written down; None where there is no more.
    fn frame(&mut self) -> Option<Frame> {
        let mut attempts = ATTEMPTS;
        loop {
            match self.client.raw_frame(Instant::now() + PATIENCE) {
                Ok(frame) if frame.kind == HEARTBEAT => {}
                Err(Silence::Deadline) if attempts > 1 => attempts -= 1,
                Ok(frame) => {
                    self.heard.push((frame.channel, transcript::frame(&frame)));
                    return Some(frame);
                }
                Err(silence) => {
                    self.silent(silence);
                    return None;
                }
            }
        }
    }

    fn silent(&mut self, silence: Silence) {
        let rest = self.client.take_rest();
        if !rest.is_empty() {
            self.heard.push((0, transcript::bytes(&rest)));
        }
        if silence == Silence::Deadline {
            self.heard.push((u16::MAX, NOTHING.to_string()));
        }
        self.ended = true;
    }

    /// Closes in good order what is open. What comes in the meantime was owed and is written down;
    /// what always comes is not.
    fn leave(&mut self) {
        if self.ended {
            return;
        }
        if !self.open || !self.polite {
            self.client.finish_sending();
            while self.frame().is_some() {}
            self.write_down();
            return;
        }
        for channel in self.channels.clone() {
            self.answer(
                channel,
                method!("channel.close", reply_code: 200, reply_text: "bye"),
            );
            self.hear(&Until::Reply(channel));
        }
        if !self.ended {
            self.answer(
                0,
                method!("connection.close", reply_code: 200, reply_text: "bye"),
            );
            self.hear(&Until::End);
        }
        self.heard.retain(|(_, line)| {
            !line.ends_with("channel.close-ok") && line != "0 connection.close-ok"
        });
        if !self.heard.is_empty() {
            self.lines.push("> (leaves)".to_string());
            self.write_down();
        }
    }
}
