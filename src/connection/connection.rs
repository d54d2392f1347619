//! A connection, from its first byte to its last.
//!
//! ```text
//! Handshake ─▶ Open ─▶ Closing ─▶ over
//!     └───────────────────▲
//! ```
//!
//! In: bytes, the time, alarms, the news that the client is gone or that we shut down. Out: frames
//! in the outgoing buffer, and what is to be done with the socket. No socket and no clock is in
//! here. Whatever happens, also a panic: when a `Connection` is dropped, its channels are closed
//! and what was exclusive to it is deleted.

use std::sync::Arc;
use std::time::Instant;

use super::closing::{Closing, Ending};
use super::exceptions::{Fault, NO_METHOD};
use super::handshake::{self, Handshake};
use super::link::{Ends, Link};
use super::open::{self, Open};
use super::{Outgoing, Settings};
use crate::amqp::encode::HEARTBEAT_FRAME;
use crate::amqp::method::{Method, connection};
use crate::amqp::reply::ReplyCode;
use crate::broker::notices::Secured;
use crate::broker::{Alarms, Broker, ConnectionId};

/// See the module.
pub struct Connection {
    link: Link,
    stage: Stage,
    alarms: Alarms,
    /// Bytes that were used so far.
    used_bytes: u64,
    /// Bytes that came so far.
    received_bytes: u64,
}

enum Stage {
    Handshake(Box<Handshake>),
    Open(Box<Open>),
    Closing(Closing),
    Over,
}

/// What comes of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How much of it was used. The rest is to be given again, with what follows it.
    pub consumed: usize,
    /// What is to be done with the socket.
    pub state: State,
    /// Its one publish waits for the log before it is confirmed, and probably the client for that.
    pub is_lone_publish: bool,
}

/// What is to be done with the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Read it.
    Reading,
    /// Do not read it: its publisher is blocked, its client does not take our replies, or it is
    /// paused.
    Held,
    /// Send what is in the outgoing buffer, then close it.
    Over,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(
        broker: Arc<Broker>,
        settings: Arc<Settings>,
        ends: Ends,
        outgoing: Arc<Outgoing>,
        now: Instant,
    ) -> Self {
        let link = Link {
            id: broker.next_connection_id(),
            connected_at_ms: broker.engine.clock.now_ms(),
            broker,
            settings,
            ends,
            secured: None,
            outgoing,
        };
        let handshake = Handshake::start(&link, now);
        Self {
            link,
            stage: Stage::Handshake(Box::new(handshake)),
            alarms: Alarms::default(),
            used_bytes: 0,
            received_bytes: 0,
        }
    }

    /// It is kept secret in that way.
    pub fn over_tls(mut self, secured: Secured) -> Self {
        self.link.secured = Some(Arc::new(secured));
        self
    }

    /// Its id.
    pub fn id(&self) -> ConnectionId {
        self.link.id
    }

    /// What is to be done with the socket.
    pub fn state(&self) -> State {
        match &self.stage {
            Stage::Over => State::Over,
            Stage::Open(open) if open.is_held() => State::Held,
            _ => State::Reading,
        }
    }

    /// Takes input: what was not used before, and what was read since.
    pub fn receive(&mut self, input: &[u8], now: Instant) -> Received {
        self.received_bytes = self.used_bytes + input.len() as u64;
        let mut consumed = 0;
        let mut held = self.state() == State::Held;
        let mut is_lone_publish = false;
        while !held {
            let rest = input.get(consumed..).unwrap_or_default();
            let used = match &mut self.stage {
                Stage::Handshake(handshake) => {
                    let (used, outcome) = handshake.receive(&self.link, rest, now);
                    if let handshake::Outcome::More = outcome
                        && used == 0
                    {
                        break;
                    }
                    self.after_handshake(outcome, now);
                    used
                }
                Stage::Open(open) => {
                    let (used, outcome) = open.receive(&self.link, rest, now);
                    is_lone_publish = open.is_lone_publish;
                    match outcome {
                        open::Outcome::More => {
                            consumed += used;
                            break;
                        }
                        open::Outcome::Held => held = true,
                        ended => self.after_open(ended, now),
                    }
                    used
                }
                Stage::Closing(closing) => {
                    let (used, ending) = closing.receive(&self.link, rest, now);
                    consumed += used;
                    if ending == Ending::Now {
                        self.stage = Stage::Over;
                    }
                    break;
                }
                Stage::Over => {
                    consumed = input.len();
                    break;
                }
            };
            consumed += used;
        }
        self.used_bytes += consumed as u64;
        let metrics = self.link.broker.metrics();
        metrics.bytes_received.add(consumed as u64);
        self.link.outgoing.flush();
        let state = if held { State::Held } else { self.state() };
        Received {
            consumed,
            state,
            is_lone_publish,
        }
    }

    fn after_handshake(&mut self, outcome: handshake::Outcome, now: Instant) {
        match outcome {
            handshake::Outcome::More => {}
            handshake::Outcome::Opened(entrance) => {
                let (user, vhost) = (entrance.user.name(), entrance.vhost.name());
                let name = entrance.client.name.as_deref().unwrap_or_default();
                tracing::info!(ends = %self.link.ends, %user, %vhost, name, "opened a connection");
                let open = Open::new(&self.link, *entrance, self.alarms, now);
                self.stage = Stage::Open(Box::new(open));
            }
            handshake::Outcome::Refused(closing) => self.stage = Stage::Closing(closing),
            handshake::Outcome::Mistaken => self.stage = Stage::Over,
        }
    }

    fn after_open(&mut self, outcome: open::Outcome, now: Instant) {
        match outcome {
            open::Outcome::More | open::Outcome::Held => {}
            open::Outcome::Closed => {
                tracing::info!(ends = %self.link.ends, "closing a connection, as its client asked");
                if let Some(closing) = self.leave(now) {
                    let answer = Method::ConnectionCloseOk(connection::CloseOk);
                    self.link.send(0, &answer);
                    self.stage = Stage::Closing(closing);
                }
            }
            open::Outcome::Failed(fault) => self.fail(&fault, now),
            open::Outcome::OutOfStep(fault) => {
                self.fail(&fault, now);
                self.stage = Stage::Closing(Closing::out_of_step(now));
            }
        }
    }

    /// Closes the open connection because of an exception.
    fn fail(&mut self, fault: &Fault, now: Instant) {
        tracing::error!(ends = %self.link.ends, error = ?fault.exception.reply_text(), method = ?fault.ids, "closing a connection");
        self.close_over(fault, now);
    }

    /// Says to the client why, and waits for its answer.
    fn close_over(&mut self, fault: &Fault, now: Instant) {
        if let Some(closing) = self.leave(now) {
            fault.close_connection(&self.link);
            self.stage = Stage::Closing(if fault.is_fatal {
                closing.soon(now)
            } else {
                closing
            });
        }
    }

    /// Ends what the connection was open for, before anybody is told that it is closed.
    fn leave(&mut self, now: Instant) -> Option<Closing> {
        let Stage::Open(open) = &mut self.stage else {
            return None;
        };
        open.tear_down(&self.link);
        let closing = Closing::after_close(open.heartbeat_s, open.frame_max, now);
        self.stage = Stage::Over;
        Some(closing)
    }

    /// When to call [`Connection::on_time`].
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Handshake(handshake) => Some(handshake.deadline()),
            Stage::Open(open) => open.deadline(),
            Stage::Closing(closing) => Some(closing.deadline()),
            Stage::Over => None,
        }
    }

    /// Does what is due by now.
    pub fn on_time(&mut self, now: Instant) -> State {
        match &mut self.stage {
            Stage::Handshake(handshake) if now >= handshake.deadline() => {
                let state = handshake.state();
                tracing::error!(ends = %self.link.ends, state, "cut off a client: handshake timeout");
                self.stage = Stage::Over;
            }
            Stage::Open(open) => {
                open.shared.pauses.expire(now);
                open.check_consumer_timeouts(&self.link, now);
                self.beat(now);
                self.link.outgoing.flush();
            }
            Stage::Closing(closing) if now >= closing.deadline() => self.stage = Stage::Over,
            _ => {}
        }
        self.state()
    }

    fn beat(&mut self, now: Instant) {
        let outgoing = &self.link.outgoing;
        let Stage::Open(open) = &mut self.stage else {
            return;
        };
        let Some(heartbeat) = &mut open.heartbeat else {
            return;
        };
        let beat = heartbeat.beat(now, outgoing.total_bytes(), self.received_bytes);
        // A client that does not take what it has been sent is not sent more.
        if beat.send && outgoing.unsent_bytes() == 0 {
            self.link.send_encoded(&HEARTBEAT_FRAME);
            heartbeat.sent(outgoing.total_bytes());
        }
        if beat.gone {
            let timeout_s = open.heartbeat_s;
            tracing::error!(ends = %self.link.ends, timeout_s, "cut off a client: missed heartbeats");
            self.leave(now);
        }
    }

    /// Alarms changed. Says whether the socket is to be read.
    pub fn on_alarms(&mut self, alarms: Alarms) -> State {
        self.alarms = alarms;
        if let Stage::Open(open) = &mut self.stage
            && open.throttle.alarms(alarms, &self.link)
        {
            self.link.outgoing.flush();
        }
        self.state()
    }

    /// We shut down: an open connection is told why, and has a moment to answer.
    pub fn on_shutdown(&mut self, reason: &str, now: Instant) -> State {
        match &self.stage {
            Stage::Handshake(_) => self.stage = Stage::Over,
            Stage::Open(_) => {
                let text = format!("broker forced connection closure with reason '{reason}'");
                let fault = Fault::new(ReplyCode::ConnectionForced, text, NO_METHOD);
                tracing::debug!(ends = %self.link.ends, "closing a connection: shutting down");
                self.close_over(&fault, now);
                self.link.outgoing.flush();
            }
            Stage::Closing(_) | Stage::Over => {}
        }
        self.state()
    }

    /// Somebody may want the connection closed: its client is told why, and has a moment to answer.
    pub fn heed_force(&mut self, now: Instant) -> State {
        if let (Stage::Open(_), Some(reason)) = (&self.stage, self.link.outgoing.forced()) {
            let fault = Fault::new(ReplyCode::ConnectionForced, reason, NO_METHOD);
            self.fail(&fault, now);
            self.link.outgoing.flush();
        }
        self.state()
    }

    /// The client closed the socket, or it broke.
    pub fn on_gone(&mut self, why: &str, now: Instant) {
        let ends = self.link.ends;
        match &self.stage {
            Stage::Open(open) => {
                let (user, vhost) = (open.shared.user.name(), open.shared.vhost.name());
                let channels = open.channel_count();
                let name = open.name.as_deref().unwrap_or_default();
                tracing::warn!(%ends, %user, %vhost, name, channels, why, "a client left without closing its connection");
            }
            // As a load balancer's health check does.
            Stage::Handshake(_) if self.received_bytes == 0 => {
                tracing::debug!(%ends, why, "a client left without a word");
            }
            Stage::Handshake(handshake) => {
                let state = handshake.state();
                tracing::warn!(%ends, state, why, "a client left during the handshake");
            }
            Stage::Closing(_) | Stage::Over => {}
        }
        self.leave(now);
        self.stage = Stage::Over;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Stage::Open(open) = &mut self.stage {
            open.tear_down(&self.link);
        }
        self.link.outgoing.close();
    }
}
