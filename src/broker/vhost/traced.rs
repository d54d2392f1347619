//! Whether a vhost's messages are traced. Routes of a vhost that is are not remembered, so that publishes
//! of others need not ask; switching it is a change of the epoch.

use std::sync::atomic::Ordering;

use super::Vhost;
use crate::broker::notices::TRACE_EXCHANGE;

impl Vhost {
    /// Whether its messages are to be traced: as it was set last, or by the settings.
    pub fn tracing(&self) -> bool {
        self.tracing.load(Ordering::Relaxed)
    }

    /// Has its messages traced from now on, or no longer.
    pub fn set_tracing(&self, tracing: bool) {
        if self.tracing.swap(tracing, Ordering::Relaxed) != tracing {
            tracing::info!(vhost = ?self.name(), tracing, "tracing is switched");
            self.bump_epoch();
        }
    }

    /// Whether its messages are traced and anybody listens.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.tracing() && self.has_trace_listeners()
    }

    #[cold]
    fn has_trace_listeners(&self) -> bool {
        self.exchange(TRACE_EXCHANGE)
            .is_some_and(|exchange| exchange.is_bound())
    }
}
