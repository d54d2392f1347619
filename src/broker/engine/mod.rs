//! What all queues of a broker share: the time, the timers, the memory gauge, the counters; and
//! what watches over the disk.

mod clock;
mod disk_watch;
mod gate;
mod held;
mod memory;
mod timers;

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

pub use clock::Clock;
pub use disk_watch::{DiskGauge, DiskWatch};
pub use gate::{Gate, Waits};
pub use held::{Held, Steps};
pub use memory::MemoryGauge;
pub use timers::Timers;

use super::Metrics;
use super::log::{Flights, Log};
use super::notices::Notices;
use super::pager::{Pager, PagingOptions};
use super::reply_addresses::ReplyAddresses;
use crate::store::health::StoreHealth;

/// What stops publishers. Each change is seen by every connection's task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Messages in memory passed the memory limit.
    pub memory: bool,
    /// The data folder's file system has less free than the limit.
    pub disk: bool,
}

impl Alarms {
    /// Whether publishers are to be blocked.
    pub fn any(self) -> bool {
        self.memory || self.disk
    }
}

/// What an engine is made with.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Messages may take so much memory before publishers are blocked.
    pub memory_limit_bytes: u64,
    /// The time.
    pub clock: Clock,
    /// How queues page.
    pub paging: PagingOptions,
    /// What the broker publishes itself.
    pub notices: Arc<Notices>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            memory_limit_bytes: u64::MAX,
            clock: Clock::system(),
            paging: PagingOptions::default(),
            notices: Arc::default(),
        }
    }
}

/// See the module. One per broker.
pub struct Engine {
    /// The time.
    pub clock: Clock,
    /// When queues want to be woken.
    pub timers: Timers,
    /// How much memory messages take.
    pub memory: MemoryGauge,
    /// How much is free on the disk.
    pub disk: DiskGauge,
    /// What has failed of the store, and what was found damaged.
    pub store: StoreHealth,
    /// Alarms, to be watched.
    pub alarms: watch::Sender<Alarms>,
    /// What went through.
    pub metrics: Metrics,
    /// Who has changed a durable queue and not yet told the log.
    pub flights: Arc<Flights>,
    /// Where publishers wait for the disk.
    pub gate: Gate,
    /// How queues page.
    pub paging: PagingOptions,
    /// Who waits for direct replies.
    pub reply_addresses: ReplyAddresses,
    /// What the broker publishes itself.
    pub notices: Arc<Notices>,
    log: OnceLock<Arc<dyn Log>>,
    pager: OnceLock<Arc<Pager>>,
}

impl Engine {
    /// An engine whose messages may take `memory_limit_bytes` before publishers are blocked.
    pub fn new(memory_limit_bytes: u64) -> Arc<Self> {
        Self::with_options(EngineOptions {
            memory_limit_bytes,
            ..EngineOptions::default()
        })
    }

    /// An engine as the options want it.
    pub fn with_options(options: EngineOptions) -> Arc<Self> {
        Arc::new(Self {
            clock: options.clock,
            timers: Timers::default(),
            memory: MemoryGauge::new(options.memory_limit_bytes),
            disk: DiskGauge::default(),
            store: StoreHealth::default(),
            alarms: watch::Sender::new(Alarms::default()),
            metrics: Metrics::default(),
            flights: Arc::default(),
            gate: Gate::default(),
            paging: options.paging,
            reply_addresses: ReplyAddresses::default(),
            notices: options.notices,
            log: OnceLock::new(),
            pager: OnceLock::new(),
        })
    }

    /// From now on persistent messages in durable queues go to that log. Called at most once, before
    /// clients come; without it nothing outlives the broker.
    pub fn set_log(&self, log: Arc<dyn Log>) {
        let _ = self.log.set(log);
    }

    /// Where persistent messages in durable queues go.
    #[inline]
    pub fn log(&self) -> Option<&Arc<dyn Log>> {
        self.log.get()
    }

    /// From now on queues have chunks past their windows written out by that pager. Called at most
    /// once; without it everything stays in memory.
    pub fn set_pager(&self, pager: Arc<Pager>) {
        let _ = self.pager.set(pager);
    }

    /// Has publishers wait while the log has gathered too much, for ever. The server runs it as one
    /// task.
    pub async fn heed_log(self: Arc<Self>, mut pressure: watch::Receiver<bool>) {
        loop {
            let holds = *pressure.borrow_and_update();
            self.gate.set(Waits::ForLog, holds);
            if pressure.changed().await.is_err() {
                return self.gate.set(Waits::ForLog, false);
            }
        }
    }

    /// Who writes chunks out.
    #[inline]
    pub fn pager(&self) -> Option<&Arc<Pager>> {
        self.pager.get()
    }

    /// Messages now take `bytes` more (or less) memory. Raises or clears the memory alarm.
    pub fn account_memory(&self, bytes: i64) {
        self.memory.add(bytes, |alarm| {
            let is_news = self
                .alarms
                .send_if_modified(|alarms| std::mem::replace(&mut alarms.memory, alarm) != alarm);
            if is_news {
                self.notices.alarm("memory", alarm);
            }
        });
    }

    /// There is too little space on the disk, or enough again.
    fn set_disk_alarm(&self, alarm: bool) {
        let is_news = self
            .alarms
            .send_if_modified(|alarms| std::mem::replace(&mut alarms.disk, alarm) != alarm);
        if is_news {
            self.notices.alarm("disk", alarm);
        }
    }

    /// Wakes queues whose time has come, for ever. The server runs it as one task.
    pub async fn run_timers(self: Arc<Self>) {
        loop {
            let due = self.timers.wait_due(&self.clock).await;
            let mut effects = super::Effects::new();
            for queue in due {
                if let Some(queue) = queue.upgrade() {
                    queue.on_timer(&mut effects);
                    effects.complete();
                }
            }
            // Whatever is due again at once, others get their turn.
            tokio::task::yield_now().await;
        }
    }
}
