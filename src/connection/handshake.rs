//! From the first byte to connection.open-ok.
//!
//! ```text
//! protocol header ─▶ start ─▶ start-ok ─▶ tune ─▶ tune-ok ─▶ open ─▶ open-ok
//! ```
//!
//! In: bytes. Out: replies, and in the end an [`Entrance`], with which the connection is open. As
//! RabbitMQ does, a client that is wrong before it has logged in is not told what was wrong (only
//! that its login was refused, if it asked to be told); it is cut off after a pause.

use std::sync::Arc;
use std::time::Instant;

use super::closing::Closing;
use super::exceptions::{CONNECTION_OPEN, CausedBy, Fault, NO_METHOD};
use super::link::Link;
use super::sasl::{Credentials, Mechanism};
use super::settings::FRAME_MIN_BYTES;
use super::shared::ClientCapabilities;
use super::tuning::{self, Tuned};
use crate::amqp::encode::PROTOCOL_HEADER;
use crate::amqp::frame::{self, Frame, FrameKind};
use crate::amqp::method::{Method, connection};
use crate::amqp::reply::ReplyCode;
use crate::amqp::table::{FieldTable, FieldValue};
use crate::auth::User;
use crate::broker::sessions::{NoSeat, Seat, Session};
use crate::broker::{Vhost, notices};

/// The header of AMQP 0-9, which is near enough.
const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

/// See the module.
pub(super) struct Handshake {
    step: Step,
    deadline: Instant,
    client: Client,
}

/// What the client is to send next.
enum Step {
    Header,
    StartOk,
    TuneOk { user: Arc<User> },
    Open { user: Arc<User>, tuned: Tuned },
}

/// What the client said of itself.
#[derive(Default)]
pub(super) struct Client {
    pub capabilities: ClientCapabilities,
    /// Its own name for the connection.
    pub name: Option<String>,
    /// What is told of it, if anything is.
    pub told: Option<Box<notices::Client>>,
}

/// The client has entered a vhost.
pub(super) struct Entrance {
    pub user: Arc<User>,
    pub vhost: Arc<Vhost>,
    pub seat: Seat,
    pub tuned: Tuned,
    pub client: Client,
}

/// What comes of some input.
pub(super) enum Outcome {
    /// Read more.
    More,
    /// open-ok was sent.
    Opened(Box<Entrance>),
    /// The client was told, or not, that it is not let in.
    Refused(Closing),
    /// The client speaks another protocol, and was told which one we speak.
    Mistaken,
}

/// Why a client is not let in.
enum Refusal {
    /// It is told if it has logged in already.
    Fault(Fault),
    /// It is not told; the text is for the log.
    Silent(String),
    /// Its login was refused; the text is for the log.
    Login(Mechanism, String),
    /// It speaks another protocol.
    Protocol,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a frame led to.
enum Turn {
    Next(Step),
    Stay,
    Opened {
        user: Arc<User>,
        vhost: Arc<Vhost>,
        seat: Seat,
        tuned: Tuned,
    },
}

impl Handshake {
    pub fn start(link: &Link, now: Instant) -> Self {
        Self {
            step: Step::Header,
            deadline: now + link.settings.limits.handshake_timeout,
            client: Client::default(),
        }
    }

    /// When the client has taken too long.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the client is to send next, for the log.
    pub fn state(&self) -> &'static str {
        match self.step {
            Step::Header => "pre_init",
            Step::StartOk => "starting",
            Step::TuneOk { .. } => "tuning",
            Step::Open { .. } => "opening",
        }
    }

    /// Takes the protocol header or one frame, if it is there. Says how much of the input was used.
    pub fn receive(&mut self, link: &Link, input: &[u8], now: Instant) -> (usize, Outcome) {
        let (used, turn) = if let Step::Header = self.step {
            let Some((header, _)) = input.split_first_chunk::<8>() else {
                return (0, Outcome::More);
            };
            (header.len(), self.header(link, *header))
        } else {
            match frame::frame(input, self.frame_max()) {
                Ok(None) => return (0, Outcome::More),
                Ok(Some((frame, used))) => (used, self.frame(link, frame)),
                Err(error) => {
                    // What is not for channel 0 has no place here, whatever it is.
                    let elsewhere = error.unexpected().filter(|_| error.channel() != 0);
                    let exception = elsewhere.unwrap_or_else(|| error.exception());
                    let fault = exception.caused_by(NO_METHOD);
                    return (
                        input.len(),
                        Outcome::Refused(self.out_of_step(link, &fault, now)),
                    );
                }
            }
        };
        let outcome = match turn {
            Ok(Turn::Stay) => Outcome::More,
            Ok(Turn::Next(step)) => {
                self.step = step;
                Outcome::More
            }
            Ok(Turn::Opened {
                user,
                vhost,
                seat,
                tuned,
            }) => Outcome::Opened(Box::new(Entrance {
                user,
                vhost,
                seat,
                tuned,
                client: std::mem::take(&mut self.client),
            })),
            Err(refusal) => self.refuse(link, refusal, now),
        };
        (used, outcome)
    }

    fn frame_max(&self) -> u32 {
        match &self.step {
            Step::Open { tuned, .. } => tuned.frame_max,
            _ => FRAME_MIN_BYTES,
        }
    }

    fn header(&self, link: &Link, header: [u8; 8]) -> Result<Turn, Refusal> {
        if header != PROTOCOL_HEADER && header != PROTOCOL_HEADER_0_9 {
            return Err(Refusal::Protocol);
        }
        link.send_encoded(&link.settings.start_frame);
        Ok(Turn::Next(Step::StartOk))
    }

    fn frame(&mut self, link: &Link, frame: Frame<'_>) -> Result<Turn, Refusal> {
        if frame.channel != 0 {
            return Err(frame.unexpected().caused_by(NO_METHOD).into());
        }
        match frame.kind {
            FrameKind::Heartbeat if frame.payload.is_empty() => Ok(Turn::Stay),
            FrameKind::Heartbeat => Err(frame.unknown().caused_by(NO_METHOD).into()),
            FrameKind::Header if frame::content_header(frame.payload).is_none() => {
                Err(frame.unknown().caused_by(NO_METHOD).into())
            }
            FrameKind::Header | FrameKind::Body => {
                Err(frame.unexpected().caused_by(NO_METHOD).into())
            }
            FrameKind::Method if frame.payload.len() < 4 => {
                Err(frame.unknown().caused_by(NO_METHOD).into())
            }
            FrameKind::Method => match Method::decode(frame.payload) {
                Ok(method) => self.method(link, method),
                Err(error) => {
                    let fault = Fault::undecodable(&error, frame.payload);
                    // RabbitMQ does not tell of trouble inside of it before the connection is open.
                    Err(match fault.exception.code {
                        ReplyCode::InternalError => Refusal::Silent(format!("{error:?}")),
                        _ => Refusal::Fault(fault),
                    })
                }
            },
        }
    }

    fn method(&mut self, link: &Link, method: Method) -> Result<Turn, Refusal> {
        let ids = method.ids();
        match (&self.step, method) {
            (Step::StartOk, Method::ConnectionStartOk(answer)) => {
                self.client = Client::describing_itself(&answer.client_properties);
                let turn = log_in(link, &answer)?;
                if link.broker.engine.notices.tells_events() {
                    self.client.told = Some(Box::new(notices::Client {
                        name: self.client.name.clone(),
                        mechanism: Mechanism::named(&answer.mechanism).map_or("", Mechanism::name),
                        connected_at_ms: link.connected_at_ms,
                        properties: answer.client_properties,
                    }));
                }
                Ok(turn)
            }
            (Step::TuneOk { user }, Method::ConnectionTuneOk(answer)) => {
                let tuned =
                    tuning::agree(&link.settings.limits, answer).map_err(Refusal::Silent)?;
                let user = Arc::clone(user);
                Ok(Turn::Next(Step::Open { user, tuned }))
            }
            (Step::Open { user, tuned }, Method::ConnectionOpen(open)) => {
                let (vhost, seat) = enter(link, user, &open.virtual_host)?;
                link.send(0, &Method::ConnectionOpenOk(connection::OpenOk));
                let (user, tuned) = (Arc::clone(user), *tuned);
                Ok(Turn::Opened {
                    user,
                    vhost,
                    seat,
                    tuned,
                })
            }
            _ => Err(Fault::unexpected_method(self.state(), ids).into()),
        }
    }

    fn refuse(&self, link: &Link, refusal: Refusal, now: Instant) -> Outcome {
        let ends = link.ends;
        let state = self.state();
        Outcome::Refused(match (refusal, &self.step) {
            (Refusal::Protocol, _) => {
                tracing::warn!(%ends, "refused a connection that speaks another protocol");
                link.send_encoded(&PROTOCOL_HEADER);
                return Outcome::Mistaken;
            }
            (Refusal::Fault(fault), Step::Open { user, tuned }) => {
                let user = user.name();
                tracing::error!(%ends, ?user, state, error = ?fault.exception.reply_text(), "refused a connection");
                fault.close_connection(link);
                let closing = Closing::after_close(tuned.heartbeat_s, tuned.frame_max, now);
                if fault.is_fatal {
                    closing.soon(now)
                } else {
                    closing
                }
            }
            (Refusal::Fault(fault), _) => {
                tracing::error!(%ends, state, error = ?fault.exception.reply_text(), "refused a connection");
                Closing::out_of_step(now)
            }
            (Refusal::Silent(why), _) => {
                tracing::error!(%ends, state, error = why, "refused a connection");
                Closing::out_of_step(now)
            }
            (Refusal::Login(mechanism, why), _) => {
                let mechanism = mechanism.name();
                tracing::error!(%ends, mechanism, error = why, "refused a login");
                link.broker.metrics().auth_failures.add(1);
                if !self.client.capabilities.authentication_failure_close {
                    return Outcome::Refused(Closing::out_of_step(now));
                }
                let text = format!(
                    "Login was refused using authentication mechanism {mechanism}. \
                     For details see the broker logfile."
                );
                Fault::new(ReplyCode::AccessRefused, text, NO_METHOD).close_connection(link);
                Closing::refused(FRAME_MIN_BYTES, now)
            }
        })
    }

    /// What comes is no frame: nothing more can be understood.
    fn out_of_step(&self, link: &Link, fault: &Fault, now: Instant) -> Closing {
        tracing::error!(ends = %link.ends, state = self.state(), error = ?fault.exception.reply_text(), "refused a connection");
        if let Step::Open { .. } = self.step {
            fault.close_connection(link);
        }
        Closing::out_of_step(now)
    }
}

fn log_in(link: &Link, answer: &connection::StartOk) -> Result<Turn, Refusal> {
    let Some(mechanism) = Mechanism::named(&answer.mechanism) else {
        let text = format!("unknown authentication mechanism '{}'", answer.mechanism);
        return Err(Refusal::Silent(text));
    };
    let Some(Credentials { user, password }) = mechanism.credentials(&answer.response) else {
        link.broker.metrics().auth_failures.add(1);
        return Err(Refusal::Silent(format!(
            "invalid response to {}",
            mechanism.name()
        )));
    };
    let login = link
        .broker
        .users
        .login(&user, &password, Some(link.ends.peer_ip()));
    let refused = login.as_ref().err().map(|refused| refused.0.as_str());
    tell_login(link, &user, mechanism, refused);
    let user = login.map_err(|refused| Refusal::Login(mechanism, refused.0))?;
    let tune = tuning::proposal(&link.settings.limits);
    link.send(0, &Method::ConnectionTune(tune));
    Ok(Turn::Next(Step::TuneOk { user }))
}

fn tell_login(link: &Link, user: &str, mechanism: Mechanism, refused: Option<&str>) {
    let notices = &link.broker.engine.notices;
    if notices.wants_events() {
        let name = link.ends.to_string();
        notices.authenticated(&link.connected(&name), user, mechanism.name(), refused);
    }
}

fn enter(link: &Link, user: &Arc<User>, name: &str) -> Result<(Arc<Vhost>, Seat), Fault> {
    let refused = |text| Fault::new(ReplyCode::NotAllowed, text, CONNECTION_OPEN);
    let not_found = || refused(format!("vhost {name} not found"));
    let vhost = link.broker.vhost(name).ok_or_else(not_found)?;
    let session: Arc<dyn Session> = Arc::clone(&link.outgoing) as _;
    let seat = link.broker.take_seat(link.id, &vhost, user, session);
    let seat = seat.map_err(|no_seat| {
        let user = user.name();
        match no_seat {
            NoSeat::VhostFull(most) => refused(format!(
                "access to vhost '{name}' refused for user '{user}': connection limit ({most}) is \
                 reached"
            )),
            NoSeat::UserFull(most) => refused(format!(
                "connection refused for user '{user}': user connection limit ({most}) is reached"
            )),
            NoSeat::Gone => not_found(),
        }
    })?;
    if !user.may_enter(name) {
        let user = user.name();
        return Err(refused(format!(
            "access to vhost '{name}' refused for user '{user}'"
        )));
    }
    Ok((vhost, seat))
}

impl Client {
    fn describing_itself(properties: &FieldTable) -> Self {
        let capabilities = match properties.get("capabilities") {
            Some(FieldValue::Table(capabilities)) => Some(capabilities),
            _ => None,
        };
        let can = |name| {
            capabilities
                .is_some_and(|table| matches!(table.get(name), Some(FieldValue::Bool(true))))
        };
        let name = properties
            .get("connection_name")
            .and_then(FieldValue::as_str);
        Self {
            capabilities: ClientCapabilities {
                publisher_confirms: can("publisher_confirms"),
                exchange_exchange_bindings: can("exchange_exchange_bindings"),
                basic_nack: can("basic.nack"),
                consumer_cancel_notify: can("consumer_cancel_notify"),
                connection_blocked: can("connection.blocked"),
                authentication_failure_close: can("authentication_failure_close"),
            },
            name: name.map(str::to_string),
            told: None,
        }
    }
}
