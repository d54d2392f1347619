//! The end of a connection: after connection.close, in either direction.
//!
//! Nothing counts any more but close and close-ok. We wait for the client to close the socket (or
//! to answer our close), but not for ever.

use std::time::{Duration, Instant};

use super::link::Link;
use crate::amqp::frame::{self, FrameKind};
use crate::amqp::method::{Method, connection};

/// Longest wait for the client.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait before a client that did wrong in a way that it is not told of is cut off, so that it does
/// not try again at once; also after an error that leaves us out of step with the client, so that
/// it can read what we told it.
pub(super) const SILENT_CLOSE_DELAY: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(super) struct Closing {
    deadline: Instant,
    /// What comes is not looked at.
    deaf: bool,
    frame_max: u32,
}

/// How closing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Wait for more.
    NotYet,
    /// The socket may be closed.
    Now,
}

impl Closing {
    /// Either close was sent, or close-ok. The wait is the heartbeat interval, if there is one and
    /// it is short enough.
    pub fn after_close(heartbeat_s: u16, frame_max: u32, now: Instant) -> Self {
        let heartbeat = Duration::from_secs(heartbeat_s.into());
        let timeout = if heartbeat_s > 0 && heartbeat < CLOSING_TIMEOUT {
            heartbeat
        } else {
            CLOSING_TIMEOUT
        };
        Self {
            deadline: now + timeout,
            deaf: false,
            frame_max,
        }
    }

    /// As [`Closing::after_close`], but what the client sends cannot be understood any more.
    pub fn out_of_step(now: Instant) -> Self {
        Self {
            deadline: now + SILENT_CLOSE_DELAY,
            deaf: true,
            frame_max: 0,
        }
    }

    /// The same, but with little patience.
    pub fn soon(self, now: Instant) -> Self {
        Self {
            deadline: self.deadline.min(now + SILENT_CLOSE_DELAY),
            ..self
        }
    }

    /// close was sent to a client that was about to log in.
    pub fn refused(frame_max: u32, now: Instant) -> Self {
        Self {
            deadline: now + SILENT_CLOSE_DELAY,
            deaf: false,
            frame_max,
        }
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes input. Says how much of it was used and whether that was the end.
    pub fn receive(&mut self, link: &Link, input: &[u8], now: Instant) -> (usize, Ending) {
        let mut at = 0;
        while !self.deaf {
            let rest = input.get(at..).unwrap_or_default();
            match frame::frame(rest, self.frame_max) {
                Ok(None) => return (at, Ending::NotYet),
                Ok(Some((frame, used))) => {
                    at += used;
                    if frame.channel == 0
                        && frame.kind == FrameKind::Method
                        && self.method(link, frame.payload) == Ending::Now
                    {
                        return (at, Ending::Now);
                    }
                }
                Err(frame::FrameError::UnknownKind { size, .. }) => {
                    at += size as usize + frame::FRAME_OVERHEAD_BYTES;
                }
                Err(_) => {
                    self.deaf = true;
                    self.deadline = self.deadline.min(now + SILENT_CLOSE_DELAY);
                }
            }
        }
        (input.len(), Ending::NotYet)
    }

    fn method(&self, link: &Link, payload: &[u8]) -> Ending {
        match Method::decode(payload) {
            Ok(Method::ConnectionClose(_)) => {
                link.send(0, &Method::ConnectionCloseOk(connection::CloseOk));
                Ending::NotYet
            }
            Ok(Method::ConnectionCloseOk(_)) => Ending::Now,
            _ => Ending::NotYet,
        }
    }
}
