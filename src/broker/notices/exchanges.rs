//! The exchanges on which the broker publishes what concerns all of it: they are in the vhost `/`, and
//! there if settings say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use super::Notices;
use super::events::EVENT_EXCHANGE;
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

impl Notices {
    /// Each with its name, whether settings want it, and who listens to it.
    fn exchanges(&self) -> [(&'static str, bool, &Listeners); 2] {
        [
            (LOG_EXCHANGE, self.settings.log, &self.log_listeners),
            (EVENT_EXCHANGE, self.settings.events, &self.event_listeners),
        ]
    }
}

impl Broker {
    /// At start: exchanges that settings want are made, those that they want no longer go, with what is
    /// bound to them.
    pub fn prepare_own_exchanges(&self) {
        let exchanges = self.engine.notices.exchanges();
        if exchanges.iter().any(|(_, is_wanted, _)| *is_wanted) {
            // Also where it is not there yet.
            self.add_vhost(DEFAULT_VHOST);
        }
        let Some(vhost) = self.vhost(DEFAULT_VHOST) else {
            return;
        };
        for (name, is_wanted, _) in exchanges {
            if !is_wanted {
                vhost.delete_own_exchange(name);
            }
        }
        self.make_own_exchanges(&vhost);
    }

    /// Makes those that settings want, if this is their vhost.
    pub(in crate::broker) fn make_own_exchanges(&self, vhost: &Arc<Vhost>) {
        if **vhost.name() != *DEFAULT_VHOST {
            return;
        }
        for (name, is_wanted, listeners) in self.engine.notices.exchanges() {
            if !is_wanted {
                continue;
            }
            match vhost.declare_own_exchange(name) {
                Ok(exchange) => listeners.are_of(&exchange),
                Err(error) => tracing::error!(name, %error, "an exchange cannot be made"),
            }
        }
    }
}
