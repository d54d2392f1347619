//! What still comes on channels that the client has closed: a client whose threads share a channel may ack or
//! publish while another one closes it.
//!
//! As in RabbitMQ, where a channel takes a moment to end, what comes together with the client's
//! `channel.close` is ignored, and a second one is answered. What comes later finds no channel.

use smallvec::SmallVec;

use super::exceptions::{BASIC_PUBLISH, CHANNEL_CLOSE, CHANNEL_OPEN};
use super::open::Awaits;
use crate::amqp::frame::{Frame, FrameKind};
use crate::amqp::method::peek_ids;

/// What is done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// It is ignored.
    Ignored,
    /// It closes the channel once more.
    Closes,
    /// It is not late.
    No,
}

/// See the module. Numbers that were closed in the read that is gone through, and what their next frame is.
#[derive(Default)]
pub(super) struct Ended(SmallVec<[(u16, Awaits); 1]>);

impl Ended {
    /// The client closed that channel.
    pub fn closed(&mut self, number: u16) {
        self.0.push((number, Awaits::Method));
    }

    /// A frame for a number that is not in use.
    pub fn take(&mut self, frame: Frame<'_>) -> Late {
        let Some(at) = self
            .0
            .iter()
            .position(|(number, _)| *number == frame.channel)
        else {
            return Late::No;
        };
        let awaits = &mut self.0[at].1;
        if frame.kind != FrameKind::Method {
            let next = match frame.kind {
                FrameKind::Header => awaits.header(frame.payload),
                _ => awaits.body(frame.payload),
            };
            *awaits = next.unwrap_or(Awaits::Method);
            return Late::Ignored;
        }
        match peek_ids(frame.payload) {
            Some(CHANNEL_OPEN) => {
                self.0.remove(at);
                Late::No
            }
            Some(CHANNEL_CLOSE) => Late::Closes,
            ids => {
                *awaits = match ids {
                    Some(BASIC_PUBLISH) => Awaits::Header,
                    _ => Awaits::Method,
                };
                Late::Ignored
            }
        }
    }

    /// The read is gone through: all that may still be late is the rest of a message.
    pub fn end_of_read(&mut self) {
        self.0.retain(|(_, awaits)| *awaits != Awaits::Method);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(channel: u16, ids: (u16, u16)) -> (FrameKind, u16, Vec<u8>) {
        let payload = [ids.0.to_be_bytes(), ids.1.to_be_bytes()].concat();
        (FrameKind::Method, channel, payload)
    }

    fn header(channel: u16, body_bytes: u64) -> (FrameKind, u16, Vec<u8>) {
        let mut payload = vec![0, 60, 0, 0];
        payload.extend(body_bytes.to_be_bytes());
        payload.extend([0, 0]);
        (FrameKind::Header, channel, payload)
    }

    fn take(ended: &mut Ended, (kind, channel, payload): (FrameKind, u16, Vec<u8>)) -> Late {
        ended.take(Frame {
            kind,
            channel,
            payload: &payload,
        })
    }

    #[test]
    fn a_read_is_late_as_a_whole() {
        let mut ended = Ended::default();
        let ack = || method(3, (60, 80));
        assert_eq!(take(&mut ended, ack()), Late::No);
        ended.closed(3);
        assert_eq!(take(&mut ended, ack()), Late::Ignored);
        assert_eq!(take(&mut ended, method(4, (60, 80))), Late::No);
        assert_eq!(take(&mut ended, method(3, CHANNEL_CLOSE)), Late::Closes);
        assert_eq!(take(&mut ended, ack()), Late::Ignored);
        assert_eq!(take(&mut ended, method(3, CHANNEL_OPEN)), Late::No);
        assert_eq!(take(&mut ended, ack()), Late::No, "it is another channel");
        ended.closed(3);
        ended.end_of_read();
        assert_eq!(take(&mut ended, ack()), Late::No);
    }

    #[test]
    fn so_is_the_rest_of_a_message() {
        let mut ended = Ended::default();
        ended.closed(3);
        assert_eq!(take(&mut ended, method(3, BASIC_PUBLISH)), Late::Ignored);
        ended.end_of_read();
        assert_eq!(take(&mut ended, header(3, 5)), Late::Ignored);
        ended.end_of_read();
        let body = |bytes: usize| (FrameKind::Body, 3, vec![0; bytes]);
        assert_eq!(take(&mut ended, body(2)), Late::Ignored);
        ended.end_of_read();
        assert_eq!(take(&mut ended, body(3)), Late::Ignored);
        ended.end_of_read();
        assert_eq!(take(&mut ended, body(1)), Late::No);
        assert_eq!(take(&mut ended, method(3, (60, 80))), Late::No);
    }
}
