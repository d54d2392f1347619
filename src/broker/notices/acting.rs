//! On whose behalf this thread changes the topology, for what is told of it: a user, or, where nobody says
//! so, the broker itself.

use std::cell::RefCell;
use std::sync::Arc;

/// What RabbitMQ calls the broker itself.
pub(super) const NOBODY: &str = "rmq-internal";

thread_local! {
    static ACTING: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// While it is there, this thread acts for somebody else than before.
pub struct Acting {
    before: Option<Arc<str>>,
}

impl Acting {
    /// For that user; None: for the broker itself.
    pub fn on_behalf_of(user: Option<&Arc<str>>) -> Self {
        Self {
            before: ACTING.replace(user.cloned()),
        }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        ACTING.set(self.before.take());
    }
}

/// Who acts.
pub(super) fn name() -> Arc<str> {
    ACTING.with_borrow(|acting| acting.clone().unwrap_or_else(|| NOBODY.into()))
}
