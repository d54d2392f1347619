//! A queue: a lock around lists of chunks and the consumers who wait for them.
//!
//! ```text
//! publish.rs ─▶ band/ (one list of chunks a priority) ─▶ deliver.rs ─▶ a consumer's sink
//!                 ▲   chunk.rs: the records                  │
//!                 └────────────── settle.rs: ack, requeue, reject
//! levels.rs: priorities as bands   head.rs: which messages come next
//! limits.rs: what length limits and times-to-live take away
//! given_up.rs: what must be read before it is dead-lettered   letters.rs: what stays until it has arrived
//! consuming.rs: consumers come and go   consumers.rs: whose turn it is
//! pace.rs: publishers who are too fast   outbox.rs: dead letters on their way
//! paging.rs: which chunks are in memory (slot.rs)   counted.rs: the bytes in those that are not
//! unreadable.rs: which of those the disk does not give   copied.rs: and what the log has of them
//! checkpoint.rs: what the log must hear again
//! restored.rs: what the last run left
//! consumer_timeout.rs: how long a delivery may stay unacked
//! spec.rs, arguments.rs: what it was declared with   policies.rs: what policies change of it
//! ending.rs: how it goes
//! state.rs: what the lock guards   sequence.rs: how messages are named
//! waiting.rs: what comes back, or leaves, at a time   retry.rs: what was returned comes back later
//! delaying.rs: the queue behind a delaying exchange
//! stream/: queues from which nothing is taken
//! ```
//!
//! Every call takes the lock once, works in bounded slices and does no I/O. What is left to do
//! afterwards (flush sinks, publish dead letters, delete queues) goes into the caller's
//! [`Effects`].

mod arguments;
mod band;
mod checkpoint;
mod chunk;
mod consumer_timeout;
mod consumers;
mod consuming;
mod copied;
mod counted;
mod deduplicate;
mod delaying;
mod deliver;
mod delivery_count;
mod ending;
mod given_up;
mod head;
mod letters;
mod levels;
mod limits;
mod outbox;
mod pace;
mod paging;
mod policies;
mod publish;
mod restored;
mod retry;
mod sequence;
mod settle;
mod settled;
mod slot;
mod sparse;
mod spec;
mod state;
mod stream;
mod unreadable;
mod waiting;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use self::band::Band;
use self::consumers::Consumers;
use self::head::CameBack;
use self::letters::Letters;
use self::outbox::Outbox;
use self::pace::Pace;
use self::paging::Paging;
use self::state::State;
use self::stream::Stream;
use self::waiting::Waiting;

pub(super) use self::band::Runs;
pub(super) use self::checkpoint::{Checkpoint, Leftover, Moving};
pub(super) use self::chunk::Chunk;

pub use self::arguments::{Overflow, QueueArguments, QueueType};
pub use self::consumer_timeout::{ConsumerTimeout, TimeoutAction};
pub use self::consumers::ConsumerId;
pub use self::paging::Then;
pub(super) use self::paging::{CameBy, PageOut};
pub(super) use self::restored::RestoredBand;
pub use self::retry::{Cause, Retry, RetryType};
pub(super) use self::sequence::{band_of, number_of, sequence_of};
pub use self::settle::Got;
pub(super) use self::sparse::Living;
pub use self::spec::{ConsumerSpec, QueueId, QueueSpec};
pub use self::stream::{Filter, Start, StreamArguments};

use super::log::Pending;
use super::policy::Applied;
use super::{ConnectionId, Effects, Engine, Vhost};
use crate::amqp::reply::Exception;
use crate::amqp::table::FieldTable;
use crate::broker::catalog::{Durability, StoredBy};
use crate::store::quarantine::Concerned;

/// Message and consumer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages waiting.
    pub ready: u64,
    /// Messages delivered and not yet settled.
    pub unacked: u64,
    /// Messages that wait for a time.
    pub waiting: u64,
    /// Consumers.
    pub consumers: u32,
}

/// See the module.
pub struct Queue {
    spec: QueueSpec,
    /// By when it is stored, if it is durable.
    stored_by: StoredBy,
    queue_type: QueueType,
    takes_once: bool,
    /// Messages wait here for an exchange that delays them.
    is_for_delayed: bool,
    /// A chunk takes no more messages once it has so many bytes.
    chunk_bytes: usize,
    deleted: AtomicBool,
    /// Dead letters on their way.
    pub(super) outbox: Outbox,
    state: Mutex<State>,
}

/// Memory is accounted for in steps of this many bytes.
const ACCOUNT_STEP_BYTES: usize = 64 << 10;

fn new_band(chunk_bytes: usize, takes_once: bool) -> Band {
    let mut band = Band::new(chunk_bytes);
    if takes_once {
        band.know_ids(|_| None);
    }
    band
}

impl Queue {
    /// Checks the x-arguments and makes the queue, to which no policies apply.
    ///
    /// # Errors
    /// PRECONDITION_FAILED with RabbitMQ's text for an argument of a wrong type or range.
    pub fn new(spec: QueueSpec) -> Result<Arc<Self>, Exception> {
        Self::under_policies(spec, |_| (Applied::default(), 0))
    }

    /// The same, with the policies that apply to it and their version, which `find` says for its type.
    ///
    /// # Errors
    /// As [`Queue::new`].
    pub fn under_policies(
        spec: QueueSpec,
        find: impl FnOnce(QueueType) -> (Applied, u64),
    ) -> Result<Arc<Self>, Exception> {
        Self::make(spec, false, find)
    }

    fn make(
        spec: QueueSpec,
        is_for_delayed: bool,
        find: impl FnOnce(QueueType) -> (Applied, u64),
    ) -> Result<Arc<Self>, Exception> {
        let (name, vhost) = (&spec.name, &spec.vhost_name);
        let own = QueueArguments::parse(&spec.arguments, name, vhost)?;
        let (queue_type, takes_once) = (own.queue_type, own.takes_once);
        let (policies, policies_version) = find(queue_type);
        let mut wants = own.under(&policies.settings(), &spec.arguments, name, vhost)?;
        spec.check_properties(queue_type)?;
        let is_stream = queue_type == QueueType::Stream;
        if is_stream {
            wants.stream.check_sizes(&spec.arguments)?;
        }
        let mut chunk_bytes = wants.chunk_bytes(&spec.engine.paging);
        if is_for_delayed {
            chunk_bytes = chunk_bytes.min(delaying::CHUNK_BYTES);
        }
        let state = State {
            stream: is_stream.then(|| Box::new(Stream::new(wants.stream))),
            bands: vec![new_band(chunk_bytes, takes_once)],
            ready: 0,
            unacked: 0,
            consumers: Consumers::new(
                wants.single_active_consumer,
                wants.queue_type == QueueType::Quorum,
            ),
            wants,
            policies,
            policies_version,
            turn: Vec::new(),
            busy: false,
            may_expire: false,
            seen_heads: SmallVec::new(),
            is_logged: false,
            used_at_ms: spec.engine.clock.now_ms(),
            timer_ms: None,
            accounted_bytes: 0,
            paging: Paging::default(),
            pace: Pace::default(),
            arriving: None,
            came_back: CameBack::default(),
            waiting: Waiting::default(),
            letters: Letters::default(),
        };
        let queue = Arc::new(Self {
            spec,
            stored_by: StoredBy::default(),
            queue_type,
            takes_once,
            is_for_delayed,
            chunk_bytes,
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

    /// By when it is stored, if it is durable. (A store for delayed messages is with its exchange.)
    pub(in crate::broker) fn stored_by(&self) -> &StoredBy {
        &self.stored_by
    }

    /// Whether it survives a restart, and by when it is stored.
    pub fn durability(&self) -> Durability {
        self.stored_by.durability(self.is_durable())
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// How damage is told of that concerns it.
    pub(super) fn concerned(&self) -> Concerned {
        Concerned {
            vhost: self.spec.vhost_name.to_string(),
            name: self.spec.name.to_string(),
        }
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

    /// Its type.
    pub fn queue_type(&self) -> QueueType {
        self.queue_type
    }

    /// What arguments and policies ask for together, now.
    pub fn wants(&self) -> QueueArguments {
        self.state.lock().wants.clone()
    }

    /// Whether a delivery that is given back can go to another consumer than the one that had it: from a
    /// stream nothing is taken, and a single active consumer stays the one.
    pub fn can_turn_to_others(&self) -> bool {
        let state = self.state.lock();
        state.stream.is_none() && !state.wants.single_active_consumer
    }

    /// What is said here of deliveries that nobody settles, now.
    pub fn consumer_timeout(&self) -> ConsumerTimeout {
        self.state.lock().wants.consumer_timeout
    }

    /// Messages and consumers, now.
    pub fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts {
            ready: state.ready,
            unacked: state.unacked - state.waiting.len() as u64,
            waiting: state.waiting.len() as u64,
            consumers: state.consumers.len() as u32,
        }
    }

    /// Whether [`Queue::close`] has happened.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Drops all ready messages, and those that wait to be ready again, and says how many.
    pub fn purge(self: &Arc<Self>, effects: &mut Effects) -> u64 {
        let mut state = self.state.lock();
        let mut log = self.log_of(&mut state, effects);
        let purged = state.clear_ready(|first, last| {
            if let Some(log) = &mut log {
                log.settled(self.spec.id.0, first, last);
            }
        });
        let purged = purged + self.drop_waiting(&mut state, effects);
        self.after(&mut state);
        purged
    }

    /// Gives back buffers that a burst has left, and has everything paged out, if the queue was not used
    /// since the last time. The server calls it every few seconds.
    pub fn tidy(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.stream.is_some() {
            let mut effects = Effects::new();
            self.retain(&mut state, &mut effects);
            drop(state);
            effects.complete();
            state = self.state.lock();
        }
        if !std::mem::take(&mut state.busy) {
            state.bands.iter_mut().for_each(Band::shrink);
            self.account(&mut state);
            self.page_when_idle(&mut state);
        }
    }

    fn new_band(&self) -> Band {
        new_band(self.chunk_bytes, self.takes_once)
    }

    /// A chunk takes no more messages once it has so many bytes.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Whether it takes no message while one with its id is there.
    pub fn takes_once(&self) -> bool {
        self.takes_once
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
        match state.stream.is_some() {
            true => self.serve(state, effects),
            false => self.deliver(state, effects),
        }
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
        let bytes = |band: &Band| band.memory_bytes() + band.runs_bytes();
        let mut bytes: usize = state.bands.iter().map(bytes).sum();
        if self.takes_once {
            bytes += state.bands.iter().map(Band::ids_bytes).sum::<usize>();
        }
        bytes += state.came_back.memory_bytes()
            + state.waiting.memory_bytes()
            + letters::memory_bytes(&state.letters);
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
