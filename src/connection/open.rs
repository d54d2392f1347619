//! An open connection: its channels, and the frames that go to them.
//!
//! In: the bytes of a read. Out: calls of the channels, replies, and in the end why the connection
//! closes. Whole publishes, the hot path, are parsed in place and handed to their channel in runs;
//! everything else goes frame by frame. What a channel gathered is handed on at the latest when
//! another channel's frames follow or the input is used up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::channel::{Channel, ReadBatch};
use super::exceptions::{BASIC_ACK, BASIC_PUBLISH, CONNECTION_OPEN, CausedBy, Fault, NO_METHOD};
use super::handshake::Entrance;
use super::heartbeat::Heartbeat;
use super::late::{Ended, Late};
use super::link::Link;
use super::pause::{Over, Pauses, Then};
use super::shared::Shared;
use super::throttle::Throttle;
use crate::amqp::frame::{self, Frame, FrameError, FrameKind};
use crate::amqp::method::{Method, channel, connection, peek_ids};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::auth::{MAX_CHANNELS, User};
use crate::broker::notices::Client;
use crate::broker::sessions::{Seat, count_below};
use crate::broker::{Alarms, Effects};

/// How often channels are asked whether a delivery has been unacked for too long.
const CONSUMER_TIMEOUT_CHECK: Duration = Duration::from_secs(60);

const CLOSE_OK: Method = Method::ChannelCloseOk(channel::CloseOk);

/// See the module.
pub(super) struct Open {
    pub shared: Arc<Shared>,
    pub heartbeat: Option<Heartbeat>,
    pub throttle: Throttle,
    pub heartbeat_s: u16,
    /// As negotiated: 0 is no limit.
    pub frame_max: u32,
    pub name: Option<String>,
    /// What is told of it at its end, if anything is.
    told: Option<Box<Client>>,
    /// Of the input of last time: one publish, which waits for the log before it is confirmed.
    pub is_lone_publish: bool,
    channel_max: u16,
    channels: HashMap<u16, Slot, foldhash::fast::FixedState>,
    /// Channels that the client has just closed.
    ended: Ended,
    /// When it was last looked whether deliveries are overdue.
    timeouts_checked_at: Instant,
    _seat: Seat,
}

/// A channel number in use.
struct Slot {
    channel: Box<Channel>,
    state: State,
    awaits: Awaits,
    _counted: CountedChannel,
}

/// One of the channels that the user has open.
struct CountedChannel(Arc<User>);

impl CountedChannel {
    /// One more, unless the user has as many as it may have.
    fn of(user: &Arc<User>) -> Result<Self, Fault> {
        let most = user.limit(MAX_CHANNELS).unwrap_or(u64::MAX);
        if count_below(&user.usage().channels, most) {
            return Ok(Self(Arc::clone(user)));
        }
        let name = user.name();
        let text = format!(
            "number of channels opened for user '{name}' has reached the maximum allowed user limit \
             of ({most})"
        );
        Err(Fault::new(ReplyCode::NotAllowed, text, NO_METHOD))
    }
}

impl Drop for CountedChannel {
    fn drop(&mut self) {
        self.0.usage().channels.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// We sent channel.close: what comes is ignored until close-ok, and only then the channel is gone.
    Closing,
}

/// What kind of frame a channel must send next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    Method,
    Header,
    Body {
        left_bytes: u64,
    },
    /// What was announced is refused; whether it still comes or not does not matter.
    RefusedBody,
}

/// What comes of some input.
pub(super) enum Outcome {
    /// Read more.
    More,
    /// What is left of the input must wait.
    Held,
    /// The client sent connection.close.
    Closed,
    /// The connection is to be closed.
    Failed(Fault),
    /// As `Failed`, and nothing more can be understood.
    OutOfStep(Fault),
}

impl Open {
    pub fn new(link: &Link, entrance: Entrance, alarms: Alarms, now: Instant) -> Self {
        let limits = &link.settings.limits;
        let Entrance {
            user,
            vhost,
            seat,
            tuned,
            client,
        } = entrance;
        link.broker.metrics().connections_opened.add(1);
        let shared = Arc::new(Shared {
            id: link.id,
            broker: Arc::clone(&link.broker),
            vhost,
            user,
            outgoing: Arc::clone(&link.outgoing),
            frame_max: match tuned.frame_max {
                0 => u32::MAX,
                frame_max => frame_max,
            },
            max_message_bytes: limits.max_message_bytes,
            consumer_timeout: limits.consumer_timeout(),
            shortest_timeout_ms: AtomicU64::new(limits.consumer_timeout().limit_ms()),
            interceptors: link.settings.interceptors.clone(),
            capabilities: client.capabilities,
            pauses: Pauses::default(),
            ends: link.ends,
            name: OnceLock::new(),
        });
        let notices = &link.broker.engine.notices;
        if notices.wants_events() {
            let (user, vhost) = (shared.user.name(), shared.vhost.name());
            let agreed = (tuned.channel_max, tuned.frame_max, tuned.heartbeat_s);
            if let Some(told) = &client.told {
                let connected = link.connected(shared.name());
                notices.connection_created(&connected, user, vhost, agreed, told);
            }
        }
        Self {
            shared,
            heartbeat: Heartbeat::start(tuned.heartbeat_s, now),
            throttle: Throttle::new(alarms, client.capabilities.connection_blocked),
            heartbeat_s: tuned.heartbeat_s,
            frame_max: tuned.frame_max,
            name: client.name,
            told: client.told,
            is_lone_publish: false,
            channel_max: tuned.channel_max,
            channels: HashMap::default(),
            ended: Ended::default(),
            timeouts_checked_at: now,
            _seat: seat,
        }
    }

    /// How many channels are in use.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Whether no input is to be used for now.
    pub fn is_held(&self) -> bool {
        self.throttle.is_blocked() || self.shared.pauses.is_lasting()
    }

    /// Takes input. Says how much of it was used.
    pub fn receive(&mut self, link: &Link, input: &[u8], now: Instant) -> (usize, Outcome) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.resume(now);
        }
        if let Err(fault) = self.end_pauses(link) {
            return (0, Outcome::Failed(fault));
        }
        let mut batch = ReadBatch::new();
        let mut run = Run {
            open: self,
            link,
            batch: &mut batch,
            gathering: None,
        };
        let mut at = 0;
        let outcome = loop {
            let (used, outcome) = run.step(input.get(at..).unwrap_or_default());
            at += used;
            if let Some(outcome) = outcome {
                break outcome;
            }
        };
        // What was gathered before an error is handed on all the same.
        let outcome = match (run.finish(), outcome) {
            (Err(fault), Outcome::More | Outcome::Held | Outcome::Closed) => Outcome::Failed(fault),
            (_, outcome) => outcome,
        };
        self.is_lone_publish = batch.is_lone_publish();
        let outcome = match outcome {
            Outcome::More if self.shared.pauses.any() => Outcome::Held,
            outcome => outcome,
        };
        match outcome {
            // The rest of the input is still to come.
            Outcome::Held => self.shared.pauses.begin(now),
            _ => self.ended.end_of_read(),
        }
        if let (Outcome::Held, Some(heartbeat)) = (&outcome, &mut self.heartbeat) {
            heartbeat.pause();
        }
        (at, outcome)
    }

    /// Does what is to be done at the end of pauses, if all of them are over.
    fn end_pauses(&mut self, link: &Link) -> Result<(), Fault> {
        for Over {
            channel: number,
            then,
            outcome,
        } in self.shared.pauses.take_over()
        {
            let Some(slot) = self.channels.get_mut(&number) else {
                continue;
            };
            match (outcome, then) {
                (Err(exception), _) if exception.code.is_hard() => {
                    return Err(exception.caused_by(NO_METHOD));
                }
                // It may have been closed meanwhile.
                _ if slot.state == State::Closing => {}
                (Err(exception), _) => slot.close(link, number, &exception.caused_by(NO_METHOD)),
                (Ok(()), Then::Reply(reply)) => {
                    link.send(number, &reply);
                    slot.channel.replied();
                }
                (Ok(()), Then::GoOn | Then::Again) => {}
            }
        }
        Ok(())
    }

    /// That channel if it is open.
    fn channel(&mut self, number: u16) -> Option<&mut Channel> {
        self.channels.get_mut(&number).and_then(Slot::open)
    }

    /// When to call [`Open::on_time`].
    pub fn deadline(&self) -> Option<Instant> {
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
        let deadlines = [
            heartbeat,
            Some(self.next_timeout_check()),
            self.shared.pauses.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Closes channels whose consumers have not acked for too long, or takes from them what is overdue.
    pub fn check_consumer_timeouts(&mut self, link: &Link, now: Instant) {
        if now < self.next_timeout_check() {
            return;
        }
        self.timeouts_checked_at = now;
        let mut shortest_ms = u64::MAX;
        for (number, slot) in &mut self.channels {
            let Some(channel) = slot.open() else {
                continue;
            };
            let looked = channel.look_for_timeouts();
            shortest_ms = shortest_ms.min(looked.shortest_ms);
            if let Some(timeout_ms) = looked.closes {
                let text = format!(
                    "delivery acknowledgement on channel {number} timed out. Timeout value used: \
                     {timeout_ms} ms. This timeout value can be configured, see consumers doc guide \
                     to learn more"
                );
                let fault = Fault::new(ReplyCode::PreconditionFailed, text, NO_METHOD);
                // Who is stuck may never answer: nobody else waits for that.
                channel.close();
                slot.close(link, *number, &fault);
            }
        }
        // Only this task makes it shorter.
        self.shared
            .shortest_timeout_ms
            .store(shortest_ms, Ordering::Relaxed);
    }

    /// It is looked after as long as the shortest timeout takes, and every minute: policies may have made
    /// one shorter.
    fn next_timeout_check(&self) -> Instant {
        let shortest_ms = self.shared.shortest_timeout_ms.load(Ordering::Relaxed);
        let wait = Duration::from_millis(shortest_ms.max(1));
        self.timeouts_checked_at + wait.min(CONSUMER_TIMEOUT_CHECK)
    }

    /// Closes all channels and deletes what was exclusive to the connection.
    pub fn tear_down(&mut self, link: &Link) {
        for (_, mut slot) in self.channels.drain() {
            slot.channel.close();
        }
        let mut effects = Effects::new();
        self.shared.vhost.connection_closed(link.id, &mut effects);
        effects.complete();
        link.broker.metrics().connections_closed.add(1);
        let notices = &link.broker.engine.notices;
        if notices.wants_events()
            && let Some(told) = &self.told
        {
            notices.connection_closed(&link.connected(self.shared.name()), told);
        }
    }
}

impl Slot {
    /// The channel if it is open.
    fn open(&mut self) -> Option<&mut Channel> {
        (self.state == State::Open).then_some(&mut *self.channel)
    }

    /// Closes the channel because of an exception.
    fn close(&mut self, link: &Link, number: u16, fault: &Fault) {
        if let Some(channel) = self.open() {
            channel.fail();
        }
        tracing::error!(ends = %link.ends, channel = number, error = ?fault.exception.reply_text(), "closed a channel");
        fault.close_channel(link, number);
        self.state = State::Closing;
    }
}

/// How much input a step used, and why no step follows, if none does.
type Stepped = (usize, Option<Outcome>);

/// Going through the input of one read.
struct Run<'a, 'r> {
    open: &'r mut Open,
    link: &'r Link,
    batch: &'r mut ReadBatch<'a>,
    /// The channel that may have gathered something.
    gathering: Option<u16>,
}

impl<'a> Run<'a, '_> {
    /// Deals with what is at the front of `input`: a run of publishes on one channel, or a frame.
    fn step(&mut self, input: &'a [u8]) -> Stepped {
        let (used, outcome) = self.take(input);
        if !self.open.shared.pauses.any() {
            return (used, outcome);
        }
        match outcome {
            None | Some(Outcome::Held) if self.open.shared.pauses.again() => {
                (0, Some(Outcome::Held))
            }
            None | Some(Outcome::More) => (used, Some(Outcome::Held)),
            ended => (used, ended),
        }
    }

    fn take(&mut self, input: &'a [u8]) -> Stepped {
        // During an alarm the header of a message already blocks its publisher.
        if !self.open.throttle.is_alarmed()
            && let Some(number) = frame::publish_channel(input)
            && let Some(stepped) = self.publishes(number, input)
        {
            return stepped;
        }
        let (frame, used) = match frame::frame(input, self.open.frame_max) {
            Ok(Some(found)) => found,
            Ok(None) => return (0, Some(Outcome::More)),
            Err(error) => return no_frame(&error),
        };
        let outcome = if frame.channel == 0 {
            self.connection_frame(frame)
        } else {
            self.channel_frame(frame)
        };
        (
            used,
            outcome.unwrap_or_else(|fault| Some(Outcome::Failed(fault))),
        )
    }

    /// As many whole publishes as follow each other on one channel. None if there are none, or
    /// that channel is not open.
    fn publishes(&mut self, number: u16, input: &'a [u8]) -> Option<Stepped> {
        if let Err(fault) = self.turn_to(number) {
            return Some((0, Some(Outcome::Failed(fault))));
        }
        let frame_max = self.open.frame_max;
        let Some(Slot {
            channel,
            state: State::Open,
            awaits: Awaits::Method,
            ..
        }) = self.open.channels.get_mut(&number)
        else {
            return None;
        };
        let (used, published) = channel.publishes(input, frame_max, self.batch);
        if let Err(exception) = published {
            let failed = self.fail(number, exception.caused_by(BASIC_PUBLISH));
            return Some((used, failed.err().map(Outcome::Failed)));
        }
        (used > 0).then_some((used, None))
    }

    /// Frames of that channel follow: hands on what another one gathered.
    fn turn_to(&mut self, number: u16) -> Result<(), Fault> {
        if self.gathering != Some(number) {
            self.finish()?;
            self.gathering = (number != 0).then_some(number);
        }
        Ok(())
    }

    /// Hands on what was gathered.
    fn finish(&mut self) -> Result<(), Fault> {
        let Some(number) = self.gathering.take() else {
            return Ok(());
        };
        if let Some(channel) = self.open.channel(number)
            && let Err(exception) = channel.finish(self.batch)
        {
            return self.fail_channel(number, exception.caused_by(BASIC_PUBLISH));
        }
        Ok(())
    }

    /// A channel refused something: hands on what it had gathered, then closes the channel, or
    /// gives the exception back if it closes the connection.
    fn fail(&mut self, number: u16, fault: Fault) -> Result<(), Fault> {
        // A further error behind the first one is of no interest.
        if let Some(channel) = self.open.channel(number)
            && let Err(error) = channel.finish(self.batch)
        {
            tracing::debug!(%error, "also refused");
        }
        self.fail_channel(number, fault)
    }

    fn fail_channel(&mut self, number: u16, fault: Fault) -> Result<(), Fault> {
        if fault.exception.code.is_hard() {
            return Err(fault);
        }
        if let Some(slot) = self.open.channels.get_mut(&number) {
            slot.close(self.link, number, &fault);
        }
        Ok(())
    }

    /// A frame of the connection itself.
    fn connection_frame(&mut self, frame: Frame<'a>) -> Result<Option<Outcome>, Fault> {
        match frame.kind {
            FrameKind::Heartbeat if frame.payload.is_empty() => return Ok(None),
            FrameKind::Body => return Err(frame.unexpected().caused_by(NO_METHOD)),
            FrameKind::Header if frame::content_header(frame.payload).is_some() => {
                return Err(frame.unexpected().caused_by(NO_METHOD));
            }
            FrameKind::Method if frame.payload.len() >= 4 => {}
            _ => return Err(frame.unknown().caused_by(NO_METHOD)),
        }
        self.finish()?;
        let method = Method::decode(frame.payload)
            .map_err(|error| Fault::undecodable(&error, frame.payload))?;
        match method {
            Method::ConnectionClose(_) => Ok(Some(Outcome::Closed)),
            Method::ConnectionUpdateSecret(update) => {
                let reason = update.reason;
                tracing::info!(ends = %self.link.ends, ?reason, "secret updated");
                // No login here expires, so there is nothing to extend.
                let answer = Method::ConnectionUpdateSecretOk(connection::UpdateSecretOk);
                self.link.send(0, &answer);
                Ok(None)
            }
            other => Err(Fault::unexpected_method("running", other.ids())),
        }
    }

    /// A frame of a channel.
    fn channel_frame(&mut self, frame: Frame<'a>) -> Result<Option<Outcome>, Fault> {
        match frame.kind {
            FrameKind::Heartbeat if frame.payload.is_empty() => {
                return Err(frame.unexpected().caused_by(NO_METHOD));
            }
            FrameKind::Body => {}
            FrameKind::Header if frame::content_header(frame.payload).is_some() => {}
            FrameKind::Method if frame.payload.len() >= 4 => {}
            _ => return Err(frame.unknown().caused_by(NO_METHOD)),
        }
        let number = frame.channel;
        self.turn_to(number)?;
        if !self.open.channels.contains_key(&number) {
            match self.open.ended.take(frame) {
                Late::No => self.first_frame(frame)?,
                Late::Closes => self.link.send(number, &CLOSE_OK),
                Late::Ignored => {}
            }
            return Ok(None);
        }
        match frame.kind {
            FrameKind::Method => self.channel_method(number, frame.payload)?,
            FrameKind::Header => self.content_header(number, frame.payload)?,
            _ => self.content_body(number, frame.payload)?,
        }
        let is_content = frame.kind != FrameKind::Method;
        let asks = !is_content && peek_ids(frame.payload) != Some(BASIC_ACK);
        let held = (is_content && self.open.throttle.published(self.link))
            || (asks && self.link.outgoing.is_past_mark());
        Ok(held.then_some(Outcome::Held))
    }

    /// A frame on a channel number that is not in use: it must open the channel.
    fn first_frame(&mut self, frame: Frame<'a>) -> Result<(), Fault> {
        let (count, max) = (self.open.channels.len(), self.open.channel_max);
        if max != 0 && count >= max.into() {
            let text = format!(
                "number of channels opened ({count}) has reached the negotiated channel_max ({max})"
            );
            return Err(Fault::new(ReplyCode::NotAllowed, text, NO_METHOD));
        }
        // As in RabbitMQ a frame of any kind makes it a channel, if there may be one.
        let counted = CountedChannel::of(&self.open.shared.user)?;
        if frame.kind != FrameKind::Method {
            return Err(no_method_frame());
        }
        match decode(frame.payload)? {
            Method::ChannelOpen(_) => {
                let channel = Channel::open(frame.channel, &self.open.shared);
                let slot = Slot {
                    channel: Box::new(channel),
                    state: State::Open,
                    awaits: Awaits::Method,
                    _counted: counted,
                };
                self.open.channels.insert(frame.channel, slot);
                let answer = Method::ChannelOpenOk(channel::OpenOk);
                self.link.send(frame.channel, &answer);
                Ok(())
            }
            other => {
                let text = "expected 'channel.open'";
                Err(Fault::new(ReplyCode::ChannelError, text, other.ids()))
            }
        }
    }

    fn channel_method(&mut self, number: u16, payload: &'a [u8]) -> Result<(), Fault> {
        let Some(slot) = self.open.channels.get_mut(&number) else {
            return Ok(());
        };
        slot.awaits.method()?;
        let method = decode(payload)?;
        let ids = method.ids();
        match (slot.state, method) {
            (_, Method::ChannelOpen(_)) => {
                let text = "second 'channel.open' seen";
                return Err(Fault::new(ReplyCode::ChannelError, text, ids));
            }
            (State::Closing, Method::ChannelCloseOk(_)) => {
                slot.channel.close();
                self.open.channels.remove(&number);
            }
            (State::Closing, Method::ChannelClose(_)) => self.link.send(number, &CLOSE_OK),
            (State::Closing, method) => {
                if method.has_content() {
                    slot.awaits = Awaits::Header;
                }
            }
            (State::Open, Method::ChannelClose(_)) => self.close_channel(number)?,
            (State::Open, Method::ChannelCloseOk(_)) => return Err(Fault::unimplemented(ids)),
            (State::Open, method) if ids.0 == CONNECTION_OPEN.0 => {
                tracing::debug!(method = method.name(), "a connection's method on a channel");
                return Err(Fault::unimplemented(ids));
            }
            (State::Open, method) => {
                if method.has_content() {
                    slot.awaits = Awaits::Header;
                }
                if let Err(exception) = slot.channel.method(method, self.batch) {
                    self.fail(number, exception.caused_by(ids))?;
                }
            }
        }
        Ok(())
    }

    /// The client closes a channel.
    fn close_channel(&mut self, number: u16) -> Result<(), Fault> {
        self.finish()?;
        // It may just have failed with what it had gathered.
        if let Some(channel) = self.open.channel(number) {
            channel.close();
            self.open.channels.remove(&number);
            self.open.ended.closed(number);
        }
        self.link.send(number, &CLOSE_OK);
        Ok(())
    }

    fn content_header(&mut self, number: u16, payload: &'a [u8]) -> Result<(), Fault> {
        let Some(slot) = self.open.channels.get_mut(&number) else {
            return Ok(());
        };
        slot.awaits = slot.awaits.header(payload)?;
        if let Some(channel) = slot.open()
            && let Err(exception) = channel.content_header(payload, self.batch)
        {
            if slot.awaits != Awaits::Method {
                slot.awaits = Awaits::RefusedBody;
            }
            self.fail(number, exception.caused_by(BASIC_PUBLISH))?;
        }
        Ok(())
    }

    fn content_body(&mut self, number: u16, payload: &'a [u8]) -> Result<(), Fault> {
        let Some(slot) = self.open.channels.get_mut(&number) else {
            return Ok(());
        };
        slot.awaits = slot.awaits.body(payload)?;
        if let Some(channel) = slot.open()
            && let Err(exception) = channel.content_body(payload, self.batch)
        {
            self.fail(number, exception.caused_by(BASIC_PUBLISH))?;
        }
        Ok(())
    }
}

fn decode(payload: &[u8]) -> Result<Method, Fault> {
    Method::decode(payload).map_err(|error| Fault::undecodable_on_channel(&error, payload))
}

fn no_frame(error: &FrameError) -> Stepped {
    let fault = error.exception().caused_by(NO_METHOD);
    match error {
        FrameError::UnknownKind { size, .. } => {
            let used = *size as usize + frame::FRAME_OVERHEAD_BYTES;
            (used, Some(Outcome::Failed(fault)))
        }
        FrameError::TooLarge { .. } | FrameError::BadEnd { .. } => {
            (0, Some(Outcome::OutOfStep(fault)))
        }
    }
}

fn no_method_frame() -> Fault {
    let text = "expected method frame, got non method frame instead";
    Fault::new(ReplyCode::UnexpectedFrame, text, NO_METHOD)
}

/// The order of frames. All content that clients send is basic.publish's.
impl Awaits {
    /// A method comes.
    fn method(self) -> Result<(), Fault> {
        match self {
            Self::Method | Self::RefusedBody => Ok(()),
            Self::Header => Err(Self::no_header()),
            Self::Body { .. } => Err(Self::no_body()),
        }
    }

    /// A content header comes.
    pub(super) fn header(self, payload: &[u8]) -> Result<Self, Fault> {
        match self {
            Self::Method | Self::RefusedBody => return Err(no_method_frame()),
            Self::Header => {}
            Self::Body { .. } => return Err(Self::no_body()),
        }
        let class = BASIC_PUBLISH.0;
        match frame::content_header(payload) {
            Some(header) if header.weight != 0 => Err(Self::no_header()),
            Some(header) if header.class_id != class => {
                let text = format!(
                    "expected content header for class {class}, got one for class {} instead",
                    header.class_id
                );
                Err(Fault::new(ReplyCode::UnexpectedFrame, text, BASIC_PUBLISH))
            }
            Some(header) if header.body_size > 0 => Ok(Self::Body {
                left_bytes: header.body_size,
            }),
            Some(_) => Ok(Self::Method),
            None => Err(Self::no_header()),
        }
    }

    /// A piece of a body comes.
    pub(super) fn body(self, payload: &[u8]) -> Result<Self, Fault> {
        let left_bytes = match self {
            Self::Method => return Err(no_method_frame()),
            Self::Header => return Err(Self::no_header()),
            Self::RefusedBody => return Ok(self),
            Self::Body { left_bytes } => left_bytes,
        };
        match left_bytes.checked_sub(payload.len() as u64) {
            Some(0) => Ok(Self::Method),
            Some(left_bytes) => Ok(Self::Body { left_bytes }),
            // RabbitMQ 3.10 waits for ever for the end of such a body; later ones have this error.
            None => {
                let text = "content body frame exceeds remaining content size";
                Err(Exception::new(ReplyCode::FrameError, text).caused_by(BASIC_PUBLISH))
            }
        }
    }

    fn no_header() -> Fault {
        let text = "expected content header for class 60, got non content header frame instead";
        Fault::new(ReplyCode::UnexpectedFrame, text, BASIC_PUBLISH)
    }

    fn no_body() -> Fault {
        let text = "expected content body, got non content body frame instead";
        Fault::new(ReplyCode::UnexpectedFrame, text, BASIC_PUBLISH)
    }
}
