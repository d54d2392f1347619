//! A connection that may end at any moment: the broker on its other side is going to be killed.
//!
//! Nothing here is buffered that the ledger does not know of: a write is a write to the socket.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::frame::{BODY, CONTENT_HEADER, FRAME_END, HEADER, HEARTBEAT, METHOD};
use crate::support::value::Reader;
use crate::support::{Frame, Login, Message, Method, Properties, method};

/// How long anything may take that does happen in the end. Disks that others use may stand still for
/// a while.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The connection is no more.
#[derive(Debug, PartialEq)]
pub enum End {
    /// It broke, as it does when the broker is killed.
    Broken,
    /// The broker closed it or a channel, for this reason.
    Closed(Box<Method>),
    /// Nothing came for a long time.
    Silent,
}

pub type Result<T> = std::result::Result<T, End>;

/// What comes.
#[derive(Debug)]
pub enum Heard {
    Method(Method),
    Message(Message),
}

struct Partial {
    method: Method,
    header: Option<(usize, Properties)>,
    body: Vec<u8>,
}

/// The writing half. Many may have one, one at a time may write.
pub struct Mouth {
    socket: TcpStream,
    frame_max: usize,
}

/// A connection. Dropping it breaks it off.
pub struct Wire {
    mouth: Mouth,
    received: Vec<u8>,
    read: usize,
    partial: HashMap<u16, Partial>,
}

impl Mouth {
    pub fn send(&self, channel: u16, method: &Method) -> Result<()> {
        self.write(&Frame::method(channel, method).encode())
    }

    pub fn publish(
        &self,
        channel: u16,
        method: &Method,
        properties: &Properties,
        body: &[u8],
    ) -> Result<()> {
        let mut bytes = Frame::method(channel, method).encode();
        bytes.extend(Frame::content_header(channel, body.len() as u64, properties).encode());
        for part in body.chunks(self.frame_max - 8) {
            bytes.extend(Frame::body(channel, part).encode());
        }
        self.write(&bytes)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        (&self.socket).write_all(bytes).map_err(|_| End::Broken)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.mouth.socket.shutdown(Shutdown::Both);
    }
}

impl Wire {
    /// Connects and logs in.
    pub fn open(address: SocketAddr) -> Result<Wire> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).map_err(|_| End::Broken)?;
        let _ = socket.set_nodelay(true);
        let login = Login::default();
        let mut wire = Wire {
            mouth: Mouth {
                socket,
                frame_max: login.frame_max as usize,
            },
            received: Vec::new(),
            read: 0,
            partial: HashMap::new(),
        };
        wire.mouth.write(HEADER)?;
        wire.expect(0, "connection.start")?;
        wire.send(0, &login.start_ok())?;
        wire.expect(0, "connection.tune")?;
        wire.send(0, &login.tune_ok())?;
        wire.call(0, &method!("connection.open", virtual_host: &login.vhost))?;
        Ok(wire)
    }

    /// The same with an open channel in the mode that this method selects, and a handle for publishing.
    pub fn open_publishing(
        address: SocketAddr,
        channel: u16,
        select: &Method,
    ) -> Result<(Wire, Mouth)> {
        let mut wire = Wire::open(address)?;
        wire.open_channel(channel)?;
        wire.call(channel, select)?;
        let mouth = wire.mouth()?;
        Ok((wire, mouth))
    }

    /// A second handle for writing.
    pub fn mouth(&self) -> Result<Mouth> {
        Ok(Mouth {
            socket: self.mouth.socket.try_clone().map_err(|_| End::Broken)?,
            frame_max: self.mouth.frame_max,
        })
    }

    pub fn open_channel(&mut self, channel: u16) -> Result<()> {
        self.call(channel, &method!("channel.open")).map(|_| ())
    }

    pub fn send(&self, channel: u16, method: &Method) -> Result<()> {
        self.mouth.send(channel, method)
    }

    pub fn publish(
        &self,
        channel: u16,
        method: &Method,
        properties: &Properties,
        body: &[u8],
    ) -> Result<()> {
        self.mouth.publish(channel, method, properties, body)
    }

    /// Sends a method and takes its `-ok`, on a connection where nothing else comes meanwhile.
    pub fn call(&mut self, channel: u16, method: &Method) -> Result<Method> {
        self.send(channel, method)?;
        self.expect(channel, &format!("{}-ok", method.name))
    }

    fn expect(&mut self, channel: u16, name: &str) -> Result<Method> {
        match self.hear(PATIENCE)? {
            Some((on, Heard::Method(method))) if on == channel && method.name == name => Ok(method),
            Some(other) => panic!("instead of {name} on channel {channel}: {other:?}"),
            None => Err(End::Silent),
        }
    }

    /// Ends in good order.
    pub fn close(mut self) -> Result<()> {
        let bye = method!("connection.close", reply_code: 200, reply_text: "bye");
        self.call(0, &bye).map(|_| ())
    }

    /// What comes next, and on which channel; None if nothing comes for so long.
    pub fn hear(&mut self, patience: Duration) -> Result<Option<(u16, Heard)>> {
        let deadline = Instant::now() + patience;
        loop {
            while let Some(frame) = self.buffered() {
                let channel = frame.channel;
                if let Some(heard) = self.assemble(frame) {
                    return self.pass_on(channel, heard).map(Some);
                }
            }
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    fn pass_on(&mut self, channel: u16, heard: Heard) -> Result<(u16, Heard)> {
        match heard {
            Heard::Method(method)
                if matches!(method.name, "connection.close" | "channel.close") =>
            {
                let _ = self.send(channel, &Method::new(&format!("{}-ok", method.name)));
                Err(End::Closed(Box::new(method)))
            }
            heard => Ok((channel, heard)),
        }
    }

    fn frame_end(&self) -> Option<usize> {
        let waiting = &self.received[self.read..];
        let size = Reader(waiting.get(3..7)?).u32() as usize;
        (waiting.len() >= size + 8).then_some(self.read + size + 8)
    }

    fn buffered(&mut self) -> Option<Frame> {
        let end = self.frame_end()?;
        let bytes = &self.received[self.read..end];
        let mut reader = Reader(bytes);
        let (kind, channel, size) = (reader.u8(), reader.u16(), reader.u32() as usize);
        let frame = Frame::new(kind, channel, reader.bytes(size));
        assert_eq!(reader.u8(), FRAME_END, "end of {frame:?}");
        self.read = end;
        Some(frame)
    }

    fn fill(&mut self, deadline: Instant) -> Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        self.received.drain(..self.read);
        self.read = 0;
        let mut socket = &self.mouth.socket;
        socket
            .set_read_timeout(Some(left))
            .map_err(|_| End::Broken)?;
        let mut buffer = [0; 64 * 1024];
        match socket.read(&mut buffer) {
            Ok(0) => Err(End::Broken),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(false),
                ErrorKind::Interrupted => Ok(true),
                _ => Err(End::Broken),
            },
        }
    }

    fn assemble(&mut self, frame: Frame) -> Option<Heard> {
        let channel = frame.channel;
        match frame.kind {
            HEARTBEAT => return None,
            METHOD => {
                let method = Method::decode(&frame.payload);
                let has_content = matches!(
                    method.name,
                    "basic.deliver" | "basic.return" | "basic.get-ok"
                );
                if !has_content {
                    return Some(Heard::Method(method));
                }
                let partial = Partial {
                    method,
                    header: None,
                    body: Vec::new(),
                };
                self.partial.insert(channel, partial);
            }
            CONTENT_HEADER => {
                let mut reader = Reader(&frame.payload);
                assert_eq!((reader.u16(), reader.u16()), (60, 0), "class and weight");
                let size = reader.u64() as usize;
                let properties = Properties::decode(reader.0);
                let partial = self.partial.get_mut(&channel).expect("a method before");
                partial.header = Some((size, properties));
            }
            BODY => {
                let partial = self.partial.get_mut(&channel).expect("a header before");
                partial.body.extend(frame.payload);
            }
            kind => panic!("a frame of kind {kind}"),
        }
        let partial = self.partial.get(&channel)?;
        let (size, _) = partial.header.as_ref()?;
        if partial.body.len() < *size {
            return None;
        }
        let Partial {
            method,
            header,
            body,
        } = self.partial.remove(&channel)?;
        let (_, properties) = header?;
        Some(Heard::Message(Message {
            method,
            properties,
            body,
        }))
    }
}
