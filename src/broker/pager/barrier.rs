//! Waiting for the log: until it is synced in it what queues show by now.
//!
//! A chunk is written without what was settled in it, and a segment goes once all of it is settled.
//! Both must not be before the log is sure to say so after a crash, or a message would come back
//! without its body, or not at all. What the catalog says is synced, so the log must be, whatever it
//! calls safe.

use std::io;
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::log::Log;

/// See the module. Without a log there is nothing to wait for.
pub(super) struct Barrier<'a> {
    pub broker: Option<Arc<Broker>>,
    pub log: Option<Arc<dyn Log>>,
    /// Called between two looks.
    pub pause: &'a mut dyn FnMut(),
}

impl Barrier<'_> {
    /// Waits until all changes to queues that show are synced in the log.
    ///
    /// # Errors
    /// The log has failed.
    pub fn wait(&mut self) -> io::Result<()> {
        let (Some(broker), Some(log)) = (&self.broker, &self.log) else {
            return Ok(());
        };
        broker.engine.flights.wait(self.pause);
        await_synced(&**log, log.next_index() - 1, self.pause)
    }
}

/// Waits until the log is synced so far. `pause` is called between two looks.
///
/// # Errors
/// The log has failed.
pub(super) fn await_synced(log: &dyn Log, index: u64, pause: &mut dyn FnMut()) -> io::Result<()> {
    if log.synced_index() < index {
        log.sync_soon();
    }
    while log.synced_index() < index {
        if let Some(reason) = log.failure() {
            return Err(io::Error::other(reason));
        }
        pause();
    }
    Ok(())
}
