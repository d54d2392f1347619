//! The exchanges on which the broker publishes what concerns all of it: they are in the vhost `/`, and
//! there if settings say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use super::log_lines::LOG_EXCHANGE;
use crate::broker::exchange::Exchange;
use crate::broker::{Broker, DEFAULT_VHOST, Vhost};

/// How many bindings lead from an exchange, once that is there.
#[derive(Default)]
pub(super) struct Listeners(ArcSwapOption<AtomicUsize>);

impl Listeners {
    /// Whether there is any.
    pub fn any(&self) -> bool {
        let bindings = self.0.load();
        bindings
            .as_ref()
            .is_some_and(|bindings| bindings.load(Ordering::Relaxed) > 0)
    }

    fn are_of(&self, exchange: &Exchange) {
        self.0.store(Some(Arc::clone(exchange.bindings())));
    }
}

impl Broker {
    /// At start: exchanges that settings want are made, those that they want no longer go, with what is
    /// bound to them.
    pub fn prepare_own_exchanges(&self) {
        let settings = &self.engine.notices.settings;
        if settings.log {
            // Also where it is not there yet.
            self.add_vhost(DEFAULT_VHOST);
        }
        if let Some(vhost) = self.vhost(DEFAULT_VHOST) {
            if !settings.log {
                vhost.delete_own_exchange(LOG_EXCHANGE);
            }
            self.make_own_exchanges(&vhost);
        }
    }

    /// Makes those that settings want, if this is their vhost.
    pub(in crate::broker) fn make_own_exchanges(&self, vhost: &Arc<Vhost>) {
        let notices = &self.engine.notices;
        if **vhost.name() != *DEFAULT_VHOST || !notices.settings.log {
            return;
        }
        match vhost.declare_own_exchange(LOG_EXCHANGE) {
            Ok(exchange) => notices.log_listeners.are_of(&exchange),
            Err(error) => tracing::error!(%error, "the log's exchange cannot be made"),
        }
    }
}
