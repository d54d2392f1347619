//! The bounded buffer of encoded frames on their way to one client.
//!
//! In: frames, appended by anybody under the lock. Out: the socket. One at a time writes: whoever
//! flushes, when the socket is plain and takes the bytes without blocking; otherwise the
//! connection's own task. What always holds:
//!
//! - No lock is held over I/O: the writer takes the pending bytes out, and appends go on meanwhile.
//! - No wake-up is lost: whether there is more to write is decided under the same lock as "nobody
//!   is writing any more", and the task registers its waker under it before it looks.
//! - What a client has not taken stays below the high-water mark plus one reply, and once the socket
//!   takes no more it counts against the memory limit.

mod buffers;
mod guard;
mod in_flight;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::tcp::OwnedWriteHalf;

use crate::broker::engine::Steps;
use crate::broker::queue::ConsumerId;
use crate::broker::sessions::Session;
use crate::broker::{Effects, Engine, Queue};
pub use guard::PendingGuard;
use in_flight::{InFlight, Written};

/// Past this many unsent bytes a connection's consumers count as full, unless configured otherwise.
pub const HIGH_WATER_BYTES: usize = 1 << 20;
/// Below this many unsent bytes consumers that were full are resumed, unless configured otherwise.
pub const LOW_WATER_BYTES: usize = HIGH_WATER_BYTES / 2;

/// Buffers grow step by step up to this size.
const SMALL_BUFFER_BYTES: usize = 64 << 10;

/// Less than this is worth gathering some more.
const LITTLE_BYTES: usize = 16 << 10;

/// So often in a row a writer takes out what was appended meanwhile; then the connection's own
/// task goes on, so that a busy consumer does not keep a publisher's task for itself.
const WRITE_ROUNDS: usize = 8;

/// See the module.
pub struct Outgoing {
    pending: Mutex<Pending>,
    route: Route,
    /// Where sent bytes are counted.
    engine: Option<Arc<Engine>>,
    /// Why the connection is to be closed, once somebody wants that.
    forced: OnceLock<Box<str>>,
}

impl Session for Outgoing {
    fn force_close(&self, reason: &str) {
        // Who comes second is not heard.
        let _ = self.forced.set(reason.into());
        self.wake_owner();
    }
}

/// Who writes to the client.
enum Route {
    /// Anybody, directly to the socket.
    Direct(OwnedWriteHalf),
    /// Only the connection's task (TLS), or a test that drains.
    Owner,
}

/// Frames that wait to be written: `frames`, with each of `shared` spliced in at its offset.
pub struct Pending {
    /// Encoded frames. Append to it freely.
    pub frames: Vec<u8>,
    shared: VecDeque<(usize, Bytes)>,
    shared_bytes: usize,
    waiting: Vec<(Arc<Queue>, ConsumerId)>,
    writer: Writer,
    in_flight_bytes: usize,
    /// What of it counts against the memory limit.
    counted: Steps,
    high_water_bytes: usize,
    /// The task wants to be woken by the writer below the low-water mark: it stopped reading, or
    /// waits for the end of the writing.
    owner_waits: bool,
    owner: Option<Waker>,
    attention: bool,
    sent_bytes: u64,
}

enum Writer {
    Nobody,
    Somebody,
    /// The socket took no more; the connection's task goes on once it does.
    Stalled(InFlight),
    /// The connection is over; whatever is appended is dropped.
    Closed,
}

/// How writing stands, as the connection's task sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteState {
    /// All was written.
    Empty,
    /// There is something to write, and nobody is at it.
    Ready,
    /// Somebody is writing.
    Busy,
    /// The socket takes no more for now.
    Stalled,
    /// Writing failed, or the connection was closed.
    Closed,
}

impl Pending {
    fn new(high_water_bytes: usize) -> Self {
        Self {
            frames: Vec::new(),
            shared: VecDeque::new(),
            shared_bytes: 0,
            waiting: Vec::new(),
            writer: Writer::Nobody,
            in_flight_bytes: 0,
            counted: Steps::default(),
            high_water_bytes,
            owner_waits: false,
            owner: None,
            attention: false,
            sent_bytes: 0,
        }
    }

    /// Appends a large slice (part of a body) without copying it.
    pub fn push_shared(&mut self, bytes: Bytes) {
        self.shared_bytes += bytes.len();
        self.shared.push_back((self.frames.len(), bytes));
    }

    /// So many bytes are about to be appended for a consumer: a buffer that leaves the small sizes grows
    /// to its largest at once, instead of being moved, to fresh memory, each time it has doubled.
    pub fn make_room(&mut self, bytes: usize) {
        let wanted_bytes = self.frames.len() + bytes;
        let capacity_bytes = self.frames.capacity();
        let mark_bytes = self.high_water_bytes.min(HIGH_WATER_BYTES);
        let most_bytes = mark_bytes + mark_bytes / 8;
        if wanted_bytes > SMALL_BUFFER_BYTES.max(capacity_bytes) && capacity_bytes < most_bytes {
            self.frames.reserve_exact(most_bytes - self.frames.len());
        }
    }

    /// How much more may be appended for consumers, in bytes; 0 when past the high-water mark.
    /// (Replies to the client's own methods may always be appended.)
    pub fn room_bytes(&self) -> usize {
        if matches!(self.writer, Writer::Closed) {
            return 0;
        }
        self.high_water_bytes.saturating_sub(self.unsent_bytes())
    }

    /// The consumer found no room: resume it when there is some.
    pub fn wait_for_room(&mut self, queue: Arc<Queue>, consumer: ConsumerId) {
        if !matches!(self.writer, Writer::Closed) {
            self.waiting.push((queue, consumer));
        }
    }

    /// Bytes that the client has not been sent yet.
    pub fn unsent_bytes(&self) -> usize {
        self.appended_bytes() + self.in_flight_bytes
    }

    fn appended_bytes(&self) -> usize {
        self.frames.len() + self.shared_bytes
    }

    fn is_low(&self) -> bool {
        self.unsent_bytes() < self.high_water_bytes / 2
    }

    /// Takes out what was appended, to be written.
    fn take(&mut self) -> InFlight {
        self.in_flight_bytes = self.appended_bytes();
        self.shared_bytes = 0;
        InFlight::new(
            std::mem::take(&mut self.frames),
            std::mem::take(&mut self.shared),
        )
    }

    /// How much more, or less, counts against the memory limit: what waits for a socket that takes
    /// no more. What is on its way is not worth it.
    fn recount(&mut self) -> i64 {
        let bytes = match self.writer {
            Writer::Stalled(_) => self.unsent_bytes(),
            Writer::Nobody | Writer::Somebody | Writer::Closed => 0,
        };
        self.counted.to(bytes)
    }

    /// Whether the connection's task has something to do now that a writer is done.
    fn needs_owner(&self) -> bool {
        self.appended_bytes() > 0
            || (self.is_low() && (self.owner_waits || !self.waiting.is_empty()))
    }

    /// Notes that the task is to look here, and gives its waker.
    fn call_owner(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.attention, true) {
            None
        } else {
            self.owner.clone()
        }
    }

    fn close(&mut self) {
        self.writer = Writer::Closed;
        self.frames = Vec::new();
        self.shared = VecDeque::new();
        self.shared_bytes = 0;
        self.in_flight_bytes = 0;
        self.waiting = Vec::new();
    }
}

fn wake(owner: Option<Waker>) {
    if let Some(owner) = owner {
        owner.wake();
    }
}

impl Outgoing {
    /// For a plain socket: whoever flushes writes.
    pub fn direct(
        socket: OwnedWriteHalf,
        high_water_bytes: usize,
        engine: &Arc<Engine>,
    ) -> Arc<Self> {
        let engine = Some(Arc::clone(engine));
        Self::new(Route::Direct(socket), high_water_bytes, engine)
    }

    /// For a connection whose own task does the writing.
    pub fn owned(high_water_bytes: usize, engine: &Arc<Engine>) -> Arc<Self> {
        Self::new(Route::Owner, high_water_bytes, Some(Arc::clone(engine)))
    }

    /// For nobody: whoever holds it drains it. See [`Outgoing::drain`].
    pub fn detached(high_water_bytes: usize) -> Arc<Self> {
        Self::new(Route::Owner, high_water_bytes, None)
    }

    fn new(route: Route, high_water_bytes: usize, engine: Option<Arc<Engine>>) -> Arc<Self> {
        Arc::new(Self {
            pending: Mutex::new(Pending::new(high_water_bytes)),
            route,
            engine,
            forced: OnceLock::new(),
        })
    }

    /// Takes the lock. Innermost of all locks: hold it briefly, take no other.
    pub fn lock(&self) -> PendingGuard<'_> {
        let mut pending = self.pending.lock();
        if matches!(pending.writer, Writer::Closed) {
            // Nobody will ever take it; so that it does not grow.
            pending.frames.clear();
            pending.shared.clear();
            pending.shared_bytes = 0;
        } else if pending.frames.capacity() == 0 {
            pending.frames = buffers::take();
        }
        PendingGuard(pending)
    }

    /// Writes out what is there if nobody else is writing and the socket takes it, else sees to
    /// it that the connection's task does; has that task resume consumers that wait although there is
    /// room. Call without any lock.
    pub fn flush(&self) {
        let mut pending = self.pending.lock();
        if pending.appended_bytes() == 0 {
            // Whoever writes looks after it.
            let is_deferred =
                matches!(pending.writer, Writer::Nobody) && !pending.waiting.is_empty();
            let owner = is_deferred.then(|| pending.call_owner());
            drop(pending);
            return wake(owner.flatten());
        }
        match (&self.route, &pending.writer) {
            (Route::Direct(socket), Writer::Nobody) => {
                pending.writer = Writer::Somebody;
                let batch = pending.take();
                drop(pending);
                self.write(batch, |slices| match slices {
                    [slice] => socket.try_write(slice),
                    slices => socket.try_write_vectored(slices),
                });
            }
            (Route::Owner, Writer::Nobody) => {
                let owner = pending.call_owner();
                drop(pending);
                wake(owner);
            }
            // The task goes on when the socket is ready.
            (_, Writer::Stalled(_)) => {
                let more_bytes = pending.recount();
                drop(pending);
                self.account(more_bytes);
            }
            // The writer looks again before it goes.
            (_, Writer::Somebody | Writer::Closed) => {}
        }
    }

    /// The same, but if there is little to write, the connection's own task writes it: a task waits behind
    /// others that are ready, and those may append more. A write, and waking the client, costs many times
    /// what a task does.
    pub fn flush_or_wake_owner(&self) {
        let mut pending = self.pending.lock();
        let appended_bytes = pending.appended_bytes();
        if matches!(pending.writer, Writer::Nobody) && (1..LITTLE_BYTES).contains(&appended_bytes) {
            let owner = pending.call_owner();
            drop(pending);
            return wake(owner);
        }
        drop(pending);
        self.flush();
    }

    /// Writes from the connection's own task: what stalled, then what was appended since.
    /// `write` gives `WouldBlock` when the socket takes no more.
    pub fn write_from_owner(
        &self,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> WriteState {
        let mut pending = self.pending.lock();
        let batch = match std::mem::replace(&mut pending.writer, Writer::Somebody) {
            Writer::Stalled(batch) => batch,
            Writer::Nobody if pending.appended_bytes() > 0 => pending.take(),
            other => {
                pending.writer = other;
                return pending.state();
            }
        };
        drop(pending);
        self.write(batch, write)
    }

    /// Writes `batch` and what was appended meanwhile. The caller has made itself the writer.
    fn write(
        &self,
        mut batch: InFlight,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> WriteState {
        for round in 1.. {
            let before_bytes = batch.len();
            let written = batch.write(&mut write);
            let sent_bytes = (before_bytes - batch.len()) as u64;
            if let Some(engine) = &self.engine {
                engine.metrics.bytes_sent.add(sent_bytes);
            }
            let mut pending = self.pending.lock();
            pending.sent_bytes += sent_bytes;
            if matches!(pending.writer, Writer::Closed) {
                return WriteState::Closed;
            }
            let owner = match written {
                Written::All => {
                    pending.in_flight_bytes = 0;
                    if pending.appended_bytes() > 0 && round < WRITE_ROUNDS {
                        let next = pending.take();
                        drop(pending);
                        std::mem::replace(&mut batch, next).recycle();
                        continue;
                    }
                    pending.writer = Writer::Nobody;
                    if pending.needs_owner() {
                        pending.call_owner()
                    } else {
                        None
                    }
                }
                Written::Part => {
                    batch.shrink();
                    pending.in_flight_bytes = batch.len();
                    pending.writer = Writer::Stalled(std::mem::take(&mut batch));
                    pending.call_owner()
                }
                Written::Failed => {
                    pending.close();
                    pending.call_owner()
                }
            };
            let (state, more_bytes) = (pending.state(), pending.recount());
            drop(pending);
            self.account(more_bytes);
            batch.recycle();
            wake(owner);
            return state;
        }
        unreachable!("the loop only ends by returning")
    }

    /// Registers the connection's task as the one to be woken; call it before looking at anything
    /// else here.
    pub fn register(&self, waker: &Waker) {
        let mut pending = self.pending.lock();
        pending.attention = false;
        pending.owner_waits = false;
        if !pending
            .owner
            .as_ref()
            .is_some_and(|owner| owner.will_wake(waker))
        {
            pending.owner = Some(waker.clone());
        }
    }

    /// Why the connection is to be closed, if somebody wants that.
    pub fn forced(&self) -> Option<&str> {
        self.forced.get().map(|reason| &**reason)
    }

    /// Wakes the connection's task.
    pub fn wake_owner(&self) {
        let owner = self.pending.lock().call_owner();
        wake(owner);
    }

    /// How writing stands. If somebody else is writing, the task is woken when it is done.
    pub fn state(&self) -> WriteState {
        let mut pending = self.pending.lock();
        let state = pending.state();
        if state == WriteState::Busy {
            pending.owner_waits = true;
        }
        state
    }

    /// Bytes sent so far.
    pub fn sent_bytes(&self) -> u64 {
        self.pending.lock().sent_bytes
    }

    /// Bytes that were ever appended, sent or not.
    pub fn total_bytes(&self) -> u64 {
        let pending = self.pending.lock();
        pending.sent_bytes + pending.unsent_bytes() as u64
    }

    /// Bytes that the client has not been sent yet.
    pub fn unsent_bytes(&self) -> usize {
        self.pending.lock().unsent_bytes()
    }

    /// Whether replies have piled up past the high-water mark, so that no more is to be read from
    /// the client for now.
    pub fn is_past_mark(&self) -> bool {
        let pending = self.pending.lock();
        pending.unsent_bytes() > pending.high_water_bytes
    }

    /// Whether the client may be read again after [`Outgoing::is_past_mark`]; if not, the task is
    /// woken as soon as it may.
    pub fn hold_reader_until_low(&self) -> bool {
        let mut pending = self.pending.lock();
        let is_low = pending.is_low();
        pending.owner_waits = !is_low;
        is_low
    }

    /// Resumes the consumers that waited for room, if there is some now. Says whether there were
    /// any. Call without any lock, from the connection's task.
    pub fn resume_waiting(&self) -> bool {
        let waiting = {
            let mut pending = self.pending.lock();
            if pending.waiting.is_empty() || !pending.is_low() {
                return false;
            }
            std::mem::take(&mut pending.waiting)
        };
        let mut effects = Effects::new();
        for (queue, consumer) in waiting {
            queue.resume(&[consumer], &mut effects);
        }
        effects.complete();
        true
    }

    /// Takes everything out that was appended, as a client would read it, and resumes consumers
    /// that waited for room; for a detached buffer.
    pub fn drain(&self) -> Vec<u8> {
        let mut drained = Vec::new();
        self.write_from_owner(|slices| {
            slices
                .iter()
                .for_each(|slice| drained.extend_from_slice(slice));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        self.resume_waiting();
        drained
    }

    /// The connection is over: drops what was not sent and takes nothing any more.
    pub fn close(&self) {
        let mut pending = self.pending.lock();
        pending.close();
        let more_bytes = pending.recount();
        drop(pending);
        self.account(more_bytes);
    }

    /// So much more, or less, counts against the memory limit. Call without any lock.
    fn account(&self, more_bytes: i64) {
        if let Some(engine) = self.engine.as_ref().filter(|_| more_bytes != 0) {
            engine.account_memory(more_bytes);
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.close();
        if let Route::Direct(socket) = std::mem::replace(&mut self.route, Route::Owner) {
            // The socket is closed with its other half: saying first that nothing more will be written
            // would be one more call of the system.
            socket.forget();
        }
    }
}

impl Pending {
    fn state(&self) -> WriteState {
        match self.writer {
            Writer::Nobody if self.appended_bytes() == 0 => WriteState::Empty,
            Writer::Nobody => WriteState::Ready,
            Writer::Somebody => WriteState::Busy,
            Writer::Stalled(_) => WriteState::Stalled,
            Writer::Closed => WriteState::Closed,
        }
    }
}
