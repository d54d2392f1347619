//! One connection's task: reads the socket, feeds the machine, keeps the time.
//!
//! In: the socket becoming readable or writable, calls of the outgoing buffer's writers, alarms,
//! shutting down, time. All of it comes through one waker; a poll looks at everything. What holds:
//! a task deals with a bounded amount of input before others get their turn; input memory is owned
//! only while a frame is half read; a client that takes nothing is cut off after a time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::connections::{Place, Signals};
use super::lookout::Lookout;
use super::read_buffer::{self, READ_BYTES};
use super::transport::Transport;
use crate::broker::Engine;
use crate::broker::engine::Held;
use crate::connection::{Connection, Outgoing, State};

/// So often in a row a task reads before others get their turn.
const READS_PER_TURN: usize = 2;
/// A half-read frame of this size is read on where it lies, instead of being copied to and fro.
const LARGE_REST_BYTES: usize = 16 << 10;
/// What a large half-read frame is read on with at a time.
const LARGE_REST_READ_BYTES: usize = 64 << 10;
/// The last bytes must be sent within this time.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// After the last byte was sent we wait so long for the client to close as well: closing a socket
/// with unread input would take from the client what it has not read yet.
const LINGER: Duration = Duration::from_secs(1);
/// While a client is not read, it is looked so often whether it is still there: what it made the
/// broker hold may be what keeps it from being read.
const HELD_LOOK: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Task<T> {
    connection: Connection,
    transport: T,
    outgoing: Arc<Outgoing>,
    place: Place,
    seen: Signals,
    phase: Phase,
    /// Input that was not used yet.
    rest: Vec<u8>,
    /// What that takes.
    held: Held,
    write_timeout: Duration,
    /// Since when the client takes nothing, and how much it had taken by then.
    stalled: Option<(Instant, u64)>,
    /// When the timer goes off.
    armed: Option<Instant>,
    lookout: Lookout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    /// Nothing is read for now.
    Held {
        look_at: Instant,
    },
    /// The connection is over; the last bytes are being sent.
    Finishing {
        until: Instant,
    },
    /// All was sent. What still comes is thrown away.
    Lingering {
        until: Instant,
    },
    Done,
}

impl Phase {
    /// When it ends at the latest.
    fn until(self) -> Option<Instant> {
        match self {
            Self::Finishing { until } | Self::Lingering { until } => Some(until),
            Self::Reading | Self::Held { .. } | Self::Done => None,
        }
    }

    fn held(now: Instant) -> Self {
        let look_at = now + HELD_LOOK;
        Self::Held { look_at }
    }

    /// When it is to be looked whether the client is there.
    fn look_at(self) -> Option<Instant> {
        match self {
            Self::Held { look_at } => Some(look_at),
            _ => None,
        }
    }
}

impl<T: Transport> Task<T> {
    pub fn new(
        connection: Connection,
        transport: T,
        outgoing: Arc<Outgoing>,
        mut place: Place,
        write_timeout: Duration,
        engine: &Arc<Engine>,
    ) -> Self {
        place.take(connection.id(), &outgoing);
        let lookout = place.lookout();
        Self {
            connection,
            transport,
            outgoing,
            place,
            seen: Signals::default(),
            phase: Phase::Reading,
            rest: Vec::new(),
            held: Held::new(engine),
            write_timeout,
            stalled: None,
            armed: None,
            lookout,
        }
    }

    /// Serves the connection to its end.
    pub async fn run(mut self) {
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        poll_fn(|cx| self.poll(cx, timer.as_mut())).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        // Before anything is looked at, so that nothing that changes meanwhile is missed.
        self.outgoing.register(cx.waker());
        let now = Instant::now();
        self.heed_signals(now);
        if self.armed.is_some_and(|at| now >= at) {
            self.armed = None;
            self.on_time(now);
        }
        for turn in 1.. {
            self.write(cx, now);
            if self.phase.look_at().is_some() && self.may_read_again() {
                self.phase = Phase::Reading;
                self.use_rest(now);
                continue;
            }
            let progress = match self.phase {
                Phase::Reading => self.read(cx, now),
                Phase::Finishing { .. } => self.finish(cx, now),
                Phase::Lingering { .. } => self.drop_input(cx),
                Phase::Held { .. } => Poll::Pending,
                Phase::Done => return Poll::Ready(()),
            };
            if progress.is_pending() {
                break;
            }
            if turn == READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.count_rest();
        self.arm(cx, timer.as_mut());
        if self.lookout.goes_on(now) {
            // The worker looks at its sockets and its other tasks, then calls again.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }

    /// What a client that is not read has sent is not counted: it is bounded, and does not go before
    /// the client is read again, so that an alarm of which it is a part would never end.
    fn count_rest(&mut self) {
        self.held.set(match self.phase {
            Phase::Held { .. } => 0,
            _ => self.rest.capacity(),
        });
    }

    fn heed_signals(&mut self, now: Instant) {
        if self.outgoing.forced().is_some() {
            self.connection.heed_force(now);
            self.follow(now);
        }
        let signals = self.place.signals();
        if signals == self.seen {
            return;
        }
        if signals.alarms() != self.seen.alarms() {
            self.connection.on_alarms(signals.alarms());
        }
        if signals.shutdown() && !self.seen.shutdown() {
            self.connection.on_shutdown("shutdown", now);
        }
        self.seen = signals;
        self.follow(now);
    }

    /// The machine may be over by now.
    fn follow(&mut self, now: Instant) {
        if self.connection.state() == State::Over
            && matches!(self.phase, Phase::Reading | Phase::Held { .. })
        {
            let until = now + FINISH_TIMEOUT;
            self.phase = Phase::Finishing { until };
            self.rest = Vec::new();
        }
    }

    fn on_time(&mut self, now: Instant) {
        self.connection.on_time(now);
        self.follow(now);
        if self.phase.until().is_some_and(|until| now >= until) {
            self.phase = Phase::Done;
        }
        if let Some((since, _)) = self.stalled
            && now >= since + self.write_timeout
        {
            self.gone("the client takes nothing", now);
        }
        if self.phase.look_at().is_some_and(|at| now >= at) {
            self.phase = Phase::held(now);
            if self.transport.is_cut() {
                self.gone("the client closed the socket", now);
            }
        }
    }

    /// The socket is of no use any more.
    fn gone(&mut self, why: &str, now: Instant) {
        self.connection.on_gone(why, now);
        self.phase = Phase::Done;
    }

    /// Writes what others could not, and lets consumers go on that waited for it.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        if matches!(self.phase, Phase::Lingering { .. } | Phase::Done) {
            return;
        }
        loop {
            match self.transport.poll_write(cx, &self.outgoing) {
                Poll::Ready(Ok(())) => self.stalled = None,
                Poll::Ready(Err(error)) => return self.gone(&error.to_string(), now),
                Poll::Pending => {
                    let sent_bytes = self.outgoing.sent_bytes();
                    if self.stalled.is_none_or(|(_, before)| before != sent_bytes) {
                        self.stalled = Some((now, sent_bytes));
                    }
                }
            }
            if !self.outgoing.resume_waiting() {
                return;
            }
        }
    }

    fn may_read_again(&self) -> bool {
        self.connection.state() != State::Held && self.outgoing.hold_reader_until_low()
    }

    /// Reads once and feeds the machine.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let Self {
            connection,
            transport,
            rest,
            lookout,
            ..
        } = self;
        let read = if rest.len() >= LARGE_REST_BYTES {
            rest.reserve(LARGE_REST_READ_BYTES);
            let read = transport.poll_read(cx, rest);
            if let Poll::Ready(Ok(1..)) = read {
                let consumed = connection.receive(rest, now);
                rest.drain(..consumed.consumed.min(rest.len()));
                self.after(consumed.state, now);
            }
            read
        } else {
            let (read, used) = read_buffer::with(rest, |buffer| {
                let read = transport.poll_read(cx, buffer);
                let Poll::Ready(Ok(1..)) = read else {
                    return (read, None);
                };
                let received = connection.receive(buffer, now);
                if received.is_lone_publish {
                    lookout.published(now);
                }
                let unused = buffer.get(received.consumed..).unwrap_or_default();
                (read, Some((unused.to_vec(), received.state)))
            });
            if let Some((unused, state)) = used {
                *rest = unused;
                self.after(state, now);
            }
            read
        };
        match read {
            Poll::Ready(Ok(0)) => self.gone("the client closed the socket", now),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => self.gone(&error.to_string(), now),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Feeds the machine what it did not use before.
    fn use_rest(&mut self, now: Instant) {
        let received = self.connection.receive(&self.rest, now);
        self.rest.drain(..received.consumed.min(self.rest.len()));
        self.after(received.state, now);
    }

    fn after(&mut self, state: State, now: Instant) {
        if self.rest.is_empty() || self.rest.capacity() > 2 * READ_BYTES {
            self.rest = std::mem::take(&mut self.rest).into_boxed_slice().into_vec();
        }
        if state == State::Held {
            self.phase = Phase::held(now);
        }
        self.follow(now);
    }

    /// Ends our side once everything is sent.
    fn finish(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if self.stalled.is_some() {
            return Poll::Pending;
        }
        match self.transport.poll_shutdown(cx) {
            Poll::Ready(Ok(())) => {
                self.phase = Phase::Lingering {
                    until: now + LINGER,
                }
            }
            Poll::Ready(Err(_)) => self.phase = Phase::Done,
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }

    fn drop_input(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let read = read_buffer::with(&[], |buffer| self.transport.poll_read(cx, buffer));
        match read {
            Poll::Ready(Ok(1..)) => Poll::Ready(()),
            Poll::Ready(_) => {
                self.phase = Phase::Done;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Sets the timer to the next thing that is due. It is only ever moved forward, or set anew
    /// when it has gone off: most of what it waits for is put off again and again.
    fn arm(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) {
        let stalled = self.stalled.map(|(since, _)| since + self.write_timeout);
        let due = [
            self.connection.deadline(),
            self.phase.until(),
            self.phase.look_at(),
            stalled,
        ];
        let Some(at) = due.into_iter().flatten().min() else {
            return;
        };
        if self.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        self.armed = Some(at);
        timer.as_mut().reset(at.into());
        if timer.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
