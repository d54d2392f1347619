//! A queue: a lock around lists of chunks and the consumers who wait for them.
//!
//! ```text
//! publish.rs ─▶ band.rs (one list of chunks a priority) ─▶ deliver.rs ─▶ a consumer's sink
//!                 ▲   chunk.rs: the records                    │
//!                 └────────────── settle.rs: ack, requeue, reject
//! limits.rs: what length limits and times-to-live take away    consumers.rs: whose turn it is
//! pace.rs: publishers who are too fast    outbox.rs: dead letters on their way
//! paging.rs: which chunks are in memory (slot.rs)   restored.rs: what the last run left
//! arguments.rs: what the queue was declared with
//! ```
//!
//! Every call takes the lock once, works in bounded slices and does no I/O. What is left to do
//! afterwards (flush sinks, publish dead letters, delete queues) goes into the caller's
//! [`Effects`]. A message is named by its sequence: the band in the top byte, its number in the
//! band below.

mod arguments;
mod band;
mod chunk;
mod consumers;
mod deliver;
mod delivery_count;
mod limits;
mod outbox;
mod pace;
mod paging;
mod publish;
mod restored;
mod settle;
mod settled;
mod slot;
mod sparse;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use self::band::Band;
use self::consumers::Consumers;
use self::outbox::Outbox;
use self::pace::Pace;
use self::paging::Paging;

pub use self::arguments::{Overflow, QueueArguments, QueueType};
pub use self::consumers::ConsumerId;
pub use self::paging::Then;
pub(super) use self::paging::{Checkpoint, Moving, PageOut};
pub(super) use self::restored::RestoredBand;
pub use self::settle::Got;

use super::log::Pending;
use super::sink::SinkRef;
use super::{ConnectionId, Effects, Engine, Vhost};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::amqp::table::FieldTable;

/// Names a queue for as long as the data folder lives; never used again, not even for a new
/// queue of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// What a queue is declared with.
pub struct QueueSpec {
    /// Its id.
    pub id: QueueId,
    /// What all queues share.
    pub engine: Arc<Engine>,
    /// Its vhost, where it dead-letters to.
    pub vhost: Weak<Vhost>,
    /// The vhost's name, for error texts.
    pub vhost_name: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Survives a restart.
    pub durable: bool,
    /// Is deleted when its last consumer goes.
    pub auto_delete: bool,
    /// The connection that alone may use it, and with which it goes.
    pub exclusive_owner: Option<ConnectionId>,
    /// x-arguments as declared.
    pub arguments: FieldTable,
}

impl QueueSpec {
    /// A quorum queue is durable, for everybody, and stays.
    fn check_properties(&self, queue_type: QueueType) -> Result<(), Exception> {
        let wrong = match queue_type {
            QueueType::Quorum if self.auto_delete => "auto-delete",
            QueueType::Quorum if self.exclusive_owner.is_some() => "exclusive-owner",
            QueueType::Quorum if !self.durable => "non-durable",
            QueueType::Quorum | QueueType::Classic => return Ok(()),
        };
        Err(Exception::new(
            ReplyCode::PreconditionFailed,
            format!(
                "invalid property '{wrong}' for queue '{}' in vhost '{}'",
                self.name, self.vhost_name
            ),
        ))
    }
}

/// A consumer to be added.
pub struct ConsumerSpec {
    /// The consumer tag, for listings.
    pub tag: Arc<str>,
    /// Where its deliveries go.
    pub sink: SinkRef,
    /// What the sink knows the consumer as.
    pub slot: u32,
    /// Whether what it is given counts as settled at once.
    pub no_ack: bool,
    /// Whether it wants to be the only one.
    pub exclusive: bool,
    /// x-priority; higher goes first.
    pub priority: i32,
}

/// A message given back.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    /// Its place in the queue.
    pub sequence: u64,
    /// [`Delivery::returns`](super::Delivery::returns) as it was delivered with.
    pub returns: u32,
}

/// Message and consumer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages waiting.
    pub ready: u64,
    /// Messages delivered and not yet settled.
    pub unacked: u64,
    /// Consumers.
    pub consumers: u32,
}

/// See the module.
pub struct Queue {
    spec: QueueSpec,
    wants: QueueArguments,
    deleted: AtomicBool,
    /// Dead letters on their way.
    pub(super) outbox: Outbox,
    state: Mutex<State>,
}

/// What the lock guards.
struct State {
    /// Whether consumers are told how often a message came back.
    counts_deliveries: bool,
    /// One band a priority in use; the last is the highest.
    bands: Vec<Band>,
    /// Ready messages of all bands.
    ready: u64,
    unacked: u64,
    consumers: Consumers,
    /// Whose turn it is, kept to reuse its allocation.
    turn: Vec<ConsumerId>,
    /// Whether anything was published since the queue was last tidied.
    busy: bool,
    /// Whether any message that is here may expire.
    may_expire: bool,
    /// Whether any message that is here was logged: what becomes of it is logged as well.
    is_logged: bool,
    /// When the queue was last used, for x-expires.
    used_at_ms: u64,
    /// When the engine's timers wake this queue.
    timer_ms: Option<u64>,
    accounted_bytes: usize,
    paging: Paging,
    pace: Pace,
}

/// Where a sequence keeps its band.
const BAND_SHIFT: u32 = 56;

pub(super) fn sequence_of(band: usize, number: u64) -> u64 {
    (band as u64) << BAND_SHIFT | number
}

pub(super) fn band_of(sequence: u64) -> usize {
    (sequence >> BAND_SHIFT) as usize
}

pub(super) fn number_of(sequence: u64) -> u64 {
    sequence & ((1 << BAND_SHIFT) - 1)
}

/// Memory is accounted for in steps of this many bytes.
const ACCOUNT_STEP_BYTES: usize = 64 << 10;

impl Queue {
    /// Checks the x-arguments and makes the queue.
    ///
    /// # Errors
    /// PRECONDITION_FAILED with RabbitMQ's text for an argument of a wrong type or range.
    pub fn new(spec: QueueSpec) -> Result<Arc<Self>, Exception> {
        let wants = QueueArguments::parse(&spec.arguments, &spec.name, &spec.vhost_name)?;
        spec.check_properties(wants.queue_type)?;
        let state = State {
            counts_deliveries: wants.queue_type == QueueType::Quorum,
            bands: vec![Band::new(spec.engine.paging.chunk_bytes)],
            ready: 0,
            unacked: 0,
            consumers: Consumers::new(wants.single_active_consumer),
            turn: Vec::new(),
            busy: false,
            may_expire: false,
            is_logged: false,
            used_at_ms: spec.engine.clock.now_ms(),
            timer_ms: None,
            accounted_bytes: 0,
            paging: Paging::default(),
            pace: Pace::default(),
        };
        let queue = Arc::new(Self {
            spec,
            wants,
            deleted: AtomicBool::new(false),
            outbox: Outbox::default(),
            state: Mutex::new(state),
        });
        queue.set_timer(&mut queue.state.lock());
        Ok(queue)
    }

    /// Its id.
    pub fn id(&self) -> QueueId {
        self.spec.id
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// Its vhost.
    pub fn vhost(&self) -> &Weak<Vhost> {
        &self.spec.vhost
    }

    /// What all queues share.
    pub(super) fn engine(&self) -> &Engine {
        &self.spec.engine
    }

    /// Whether it survives a restart.
    pub fn is_durable(&self) -> bool {
        self.spec.durable
    }

    /// Whether it goes with its last consumer.
    pub fn is_auto_delete(&self) -> bool {
        self.spec.auto_delete
    }

    /// The connection that alone may use it.
    pub fn exclusive_owner(&self) -> Option<ConnectionId> {
        self.spec.exclusive_owner
    }

    /// x-arguments as declared.
    pub fn arguments(&self) -> &FieldTable {
        &self.spec.arguments
    }

    /// What the arguments ask for.
    pub fn wants(&self) -> &QueueArguments {
        &self.wants
    }

    /// Messages and consumers, now.
    pub fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts {
            ready: state.ready,
            unacked: state.unacked,
            consumers: state.consumers.len() as u32,
        }
    }

    /// Whether [`Queue::close`] has happened.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// The queue was declared again, which counts as use (x-expires).
    pub fn touch(self: &Arc<Self>) {
        if self.wants.expires_ms.is_some() {
            let mut state = self.state.lock();
            state.used_at_ms = self.spec.engine.clock.now_ms();
            self.set_timer(&mut state);
        }
    }

    /// Adds a consumer, which gets nothing until [`Queue::resume`] is called for it.
    ///
    /// # Errors
    /// ACCESS_REFUSED if a consumer has the queue for itself, or wants to have it while others are
    /// there or where only a single one is active anyway; NOT_FOUND if the queue was deleted meanwhile.
    pub fn add_consumer(self: &Arc<Self>, spec: ConsumerSpec) -> Result<ConsumerId, Exception> {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return Err(self.not_found());
        }
        let is_alone = state.consumers.is_empty() && !self.wants.single_active_consumer;
        if state.consumers.is_exclusive() || (spec.exclusive && !is_alone) {
            return Err(Exception::new(
                ReplyCode::AccessRefused,
                format!(
                    "queue '{}' in vhost '{}' in exclusive use",
                    self.spec.name, self.spec.vhost_name
                ),
            ));
        }
        Ok(state.consumers.add(spec))
    }

    /// The consumer has room (again): delivers to it.
    pub fn resume(self: &Arc<Self>, consumer: ConsumerId, effects: &mut Effects) {
        let mut state = self.state.lock();
        if state.consumers.has_room(consumer) {
            self.run(&mut state, effects);
        }
    }

    /// Removes a consumer. What it has unacked stays with its channel. An auto-delete queue whose
    /// last consumer this was is put into `effects`.
    pub fn remove_consumer(self: &Arc<Self>, consumer: ConsumerId, effects: &mut Effects) {
        let mut state = self.state.lock();
        if state.consumers.remove(consumer).is_none() {
            return;
        }
        if state.consumers.is_empty() {
            if self.spec.auto_delete {
                effects.abandon(Arc::clone(self));
            }
            state.used_at_ms = self.spec.engine.clock.now_ms();
            self.set_timer(&mut state);
        } else if self.wants.single_active_consumer {
            self.run(&mut state, effects);
        }
    }

    /// Drops all ready messages and says how many.
    pub fn purge(self: &Arc<Self>, effects: &mut Effects) -> u64 {
        let mut state = self.state.lock();
        let mut log = self.log_of(&mut state, effects);
        let purged = state.clear_ready(|first, last| {
            if let Some(log) = &mut log {
                log.settled(self.spec.id.0, first, last);
            }
        });
        self.after(&mut state);
        purged
    }

    /// Whether a client may delete it with such flags.
    ///
    /// # Errors
    /// NOT_IMPLEMENTED for a quorum queue, as in RabbitMQ.
    pub fn check_delete_flags(&self, if_unused: bool, if_empty: bool) -> Result<(), Exception> {
        if self.wants.queue_type == QueueType::Quorum && (if_unused || if_empty) {
            let flag = if if_unused { "if-unused" } else { "if-empty" };
            return Err(Exception::new(
                ReplyCode::NotImplemented,
                format!(
                    "cannot delete queue '{}' in vhost '{}'. queue.delete operations with {flag} flag \
                     set are not supported by quorum queues",
                    self.spec.name, self.spec.vhost_name
                ),
            ));
        }
        Ok(())
    }

    /// Marks the queue as deleted, cancels its consumers, drops its messages and says how many
    /// were ready; None if it was deleted before. The vhost calls it and then forgets the queue.
    ///
    /// # Errors
    /// PRECONDITION_FAILED if a condition does not hold.
    pub fn close(
        self: &Arc<Self>,
        if_unused: bool,
        if_empty: bool,
        effects: &mut Effects,
    ) -> Result<Option<u64>, Exception> {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return Ok(None);
        }
        let refusal = |why: &str| {
            let text = format!(
                "queue '{}' in vhost '{}' {why}",
                self.spec.name, self.spec.vhost_name
            );
            Err(Exception::new(ReplyCode::PreconditionFailed, text))
        };
        if if_unused && !state.consumers.is_empty() {
            return refusal("in use");
        }
        if if_empty && state.ready > 0 {
            return refusal("not empty");
        }
        self.deleted.store(true, Ordering::Release);
        // The catalog forgets the queue, and so do all who read the log.
        let dropped = state.clear_ready(|_, _| {});
        self.keep_last_letters(&mut state);
        state.bands = vec![self.new_band()];
        state.unacked = 0;
        for consumer in state.consumers.drain() {
            consumer.sink.cancel(consumer.slot);
            effects.touch(&consumer.sink);
        }
        state.end_waits(effects);
        if let Some(timer_ms) = state.timer_ms.take() {
            self.spec.engine.timers.cancel(timer_ms, self.spec.id.0);
        }
        self.account(&mut state);
        self.page(&mut state);
        Ok(Some(dropped))
    }

    /// Its time has come: expires messages, or the queue itself.
    pub fn on_timer(self: &Arc<Self>, effects: &mut Effects) {
        let mut state = self.state.lock();
        state.timer_ms = None;
        if self.is_deleted() {
            return;
        }
        let now_ms = self.spec.engine.clock.now_ms();
        self.drop_expired(&mut state, now_ms, effects);
        if self
            .expires_at_ms(&state)
            .is_some_and(|at_ms| at_ms <= now_ms)
        {
            effects.abandon(Arc::clone(self));
        }
        self.after(&mut state);
    }

    /// Whether the queue, unused for as long as x-expires says, is to go now.
    pub fn is_expired(&self) -> bool {
        let state = self.state.lock();
        self.expires_at_ms(&state)
            .is_some_and(|at_ms| at_ms <= self.spec.engine.clock.now_ms())
    }

    /// Gives back buffers that a burst has left, if nothing was published since the last time.
    /// The server calls it every few seconds.
    pub fn tidy(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.busy) {
            state.bands.iter_mut().for_each(Band::shrink);
            self.account(&mut state);
            self.page_when_idle(&mut state);
        }
    }

    /// The tags of its consumers, for listings.
    pub fn consumer_tags(&self) -> Vec<Arc<str>> {
        self.state.lock().consumers.tags().cloned().collect()
    }

    fn new_band(&self) -> Band {
        Band::new(self.spec.engine.paging.chunk_bytes)
    }

    fn not_found(&self) -> Exception {
        let text = format!(
            "no queue '{}' in vhost '{}'",
            self.spec.name, self.spec.vhost_name
        );
        Exception::new(ReplyCode::NotFound, text)
    }

    /// Where to note what becomes of messages here; None if no message here was logged.
    fn log_of<'e>(&self, state: &mut State, effects: &'e mut Effects) -> Option<&'e mut Pending> {
        state.is_logged.then(|| {
            state.paging.is_dirty = true;
            effects.pending.begin(&self.spec.engine);
            &mut effects.pending
        })
    }

    /// Settles messages that nobody has unacked any more, one after the other in one band.
    fn settle_logged(&self, state: &mut State, first: u64, last: u64, effects: &mut Effects) {
        if let Some(log) = self.log_of(state, effects) {
            log.settled(self.spec.id.0, first, last);
        }
        if let Some(band) = state.bands.get_mut(band_of(first)) {
            band.settle(number_of(first), number_of(last));
        }
    }

    /// Delivers what can be delivered, then does what has to follow any change.
    fn run(self: &Arc<Self>, state: &mut MutexGuard<'_, State>, effects: &mut Effects) {
        self.deliver(state, effects);
        self.after(state);
    }

    /// What has to follow any change.
    fn after(self: &Arc<Self>, state: &mut MutexGuard<'_, State>) {
        if state.ready == 0 && state.unacked == 0 {
            state.may_expire = false;
            state.is_logged = false;
        }
        self.set_timer(state);
        self.account(state);
        self.page(state);
    }

    /// Tells the engine's memory gauge how much is kept here, in coarse steps.
    fn account(&self, state: &mut MutexGuard<'_, State>) {
        let bytes: usize = state.bands.iter().map(Band::memory_bytes).sum();
        if bytes.abs_diff(state.accounted_bytes) >= ACCOUNT_STEP_BYTES
            || (bytes == 0 && state.accounted_bytes > 0)
        {
            self.spec
                .engine
                .account_memory(bytes as i64 - state.accounted_bytes as i64);
            state.accounted_bytes = bytes;
        }
    }
}

impl State {
    /// The highest band in which something is ready.
    fn top_band(&self) -> Option<usize> {
        self.bands.iter().rposition(|band| band.ready() > 0)
    }

    fn ready_bytes(&self) -> u64 {
        self.bands.iter().map(Band::ready_bytes).sum()
    }

    /// Drops what is ready; `settled` hears of which sequences.
    fn clear_ready(&mut self, mut settled: impl FnMut(u64, u64)) -> u64 {
        let dropped = self.ready;
        for (at, band) in self.bands.iter_mut().enumerate() {
            band.clear_ready(|first, last| {
                settled(sequence_of(at, first), sequence_of(at, last));
            });
        }
        self.ready = 0;
        dropped
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.accounted_bytes > 0 {
            let accounted_bytes = state.accounted_bytes as i64;
            self.spec.engine.account_memory(-accounted_bytes);
        }
        // It owes nothing any more.
        if let Some(pager) = self.spec.engine.pager() {
            pager.owe(&self.spec.engine, state.paging.owed_bytes, 0);
        }
    }
}
