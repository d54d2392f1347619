//! Frames as they lie on the wire, and the messages that are made of them.

use super::value::Reader;
use super::{Method, Properties, Table};

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
