//! Who is connected, and what concerns everybody: alarms and shutting down.
//!
//! A change is put into one word that every connection's task compares with what it saw last, and
//! all tasks are woken. So a task waits for one thing only, its own waker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use dashmap::DashMap;
use tokio::sync::Notify;

use super::lookout::{Lookout, Lookouts};
use crate::broker::{Alarms, ConnectionId};
use crate::connection::Outgoing;

const MEMORY: u8 = 1;
const DISK: u8 = 2;
const SHUTDOWN: u8 = 4;

/// See the module.
pub struct Connections {
    open: DashMap<ConnectionId, Arc<Outgoing>>,
    count: AtomicUsize,
    signals: AtomicU8,
    all_gone: Notify,
    lookouts: Arc<Lookouts>,
}

/// What concerns everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signals(u8);

impl Signals {
    pub fn alarms(self) -> Alarms {
        Alarms {
            memory: self.0 & MEMORY != 0,
            disk: self.0 & DISK != 0,
        }
    }

    pub fn shutdown(self) -> bool {
        self.0 & SHUTDOWN != 0
    }
}

/// A connection's place here; gone when it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    id: Option<ConnectionId>,
}

impl Connections {
    /// Nobody yet. So many may look out at a time.
    pub(super) fn new(lookouts: usize) -> Arc<Self> {
        Arc::new(Self {
            open: DashMap::new(),
            count: AtomicUsize::new(0),
            signals: AtomicU8::new(0),
            all_gone: Notify::new(),
            lookouts: Lookouts::new(lookouts),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A place for a new connection; None if there are `max` already.
    pub(super) fn admit(self: &Arc<Self>, max: usize) -> Option<Place> {
        let admitted = self
            .count
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < max).then_some(count + 1)
            });
        admitted.ok().map(|_| Place {
            connections: Arc::clone(self),
            id: None,
        })
    }

    pub(super) fn signals(&self) -> Signals {
        Signals(self.signals.load(Ordering::Acquire))
    }

    /// Tells everybody of the alarms that there are now.
    pub(super) fn set_alarms(&self, alarms: Alarms) {
        let bits = (u8::from(alarms.memory) * MEMORY) | (u8::from(alarms.disk) * DISK);
        self.signals
            .update(Ordering::AcqRel, Ordering::Acquire, |signals| {
                (signals & SHUTDOWN) | bits
            });
        self.wake_all();
    }

    /// Tells everybody to close.
    pub(super) fn shut_down(&self) {
        self.signals.fetch_or(SHUTDOWN, Ordering::AcqRel);
        self.wake_all();
    }

    fn wake_all(&self) {
        self.open.iter().for_each(|entry| entry.wake_owner());
    }

    /// Waits until nobody is left.
    pub(super) async fn all_gone(&self) {
        loop {
            let notified = self.all_gone.notified();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Place {
    /// Does not look out yet.
    pub fn lookout(&self) -> Lookout {
        Lookout::new(&self.connections.lookouts)
    }

    /// The connection has a task to be woken from now on.
    pub fn take(&mut self, id: ConnectionId, outgoing: &Arc<Outgoing>) {
        self.connections.open.insert(id, Arc::clone(outgoing));
        self.id = Some(id);
    }

    pub fn signals(&self) -> Signals {
        self.connections.signals()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.connections.open.remove(&id);
        }
        if self.connections.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.connections.all_gone.notify_waiters();
        }
    }
}
