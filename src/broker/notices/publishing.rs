//! The one task that publishes what the broker itself has to say.
//!
//! In: notices. Out: messages that are routed and given to queues, and logged where that is due, as a
//! client's are. It publishes no faster than the disk takes what it publishes.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Notice;
use crate::amqp::properties::Properties;
use crate::amqp::table::SHORT_STR_MAX_BYTES;
use crate::broker::message::{Body, Facts, Message};
use crate::broker::passage::Passing;
use crate::broker::{Broker, DEFAULT_VHOST, Effects, Vhost};

/// So many are published before what they leave to be done is done.
const SLICE: usize = 64;

/// It is logged no more often than this that something was dropped.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What delivery-mode says of a persistent message.
const PERSISTENT: u8 = 2;

/// A message of the broker's own.
pub(super) struct Publication {
    pub vhost: Arc<Vhost>,
    pub exchange: &'static str,
    pub routing_key: Bytes,
    pub properties: Properties,
    pub body: Bytes,
}

thread_local! {
    static IS_PUBLISHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread publishes for the broker itself, now.
pub(super) fn is_publishing() -> bool {
    IS_PUBLISHING.try_with(Cell::get).unwrap_or(false)
}

/// While it is there, this thread publishes for the broker itself.
struct OnOwnBehalf;

impl OnOwnBehalf {
    fn within(publish: impl FnOnce()) {
        IS_PUBLISHING.set(true);
        let _ends = Self;
        publish();
    }
}

impl Drop for OnOwnBehalf {
    fn drop(&mut self) {
        IS_PUBLISHING.set(false);
    }
}

impl Broker {
    /// Publishes what the broker itself has to say, for ever. The server runs it as one task.
    pub async fn publish_notices(self: Arc<Self>) {
        let mut told = Told::default();
        loop {
            let notices = self.engine.notices.take(SLICE);
            if notices.is_empty() {
                let woken = self.engine.notices.wake.notified();
                match told.is_behind(self.engine.notices.dropped.get()) {
                    true => _ = tokio::time::timeout(LOG_INTERVAL, woken).await,
                    false => woken.await,
                }
            }
            OnOwnBehalf::within(|| {
                self.publish_slice(notices);
                told.tell(self.engine.notices.dropped.get());
            });
            self.wait_for_disk().await;
            tokio::task::yield_now().await;
        }
    }

    fn publish_slice(&self, notices: Vec<Notice>) {
        let mut effects = Effects::new();
        for notice in notices {
            if let Some(publication) = self.publication_of(notice) {
                publication.publish(&mut effects);
            }
        }
        effects.complete();
    }

    fn publication_of(&self, notice: Notice) -> Option<Publication> {
        let notices = &self.engine.notices;
        match notice {
            Notice::Traced(traced) => traced.into_publication(&notices.settings.node),
            Notice::Logged(line) => {
                let vhost = self.vhost(DEFAULT_VHOST)?;
                Some(line.into_publication(vhost, &notices.settings.node))
            }
            Notice::Event(event) => Some(event.into_publication(self.vhost(DEFAULT_VHOST)?)),
        }
    }

    async fn wait_for_disk(&self) {
        if !self.engine.gate.is_closed() {
            return;
        }
        let (opened, opens) = tokio::sync::oneshot::channel();
        let then = move || _ = opened.send(());
        self.engine.gate.when_open(Box::new(then));
        // If it is forgotten it opened as well.
        let _ = opens.await;
    }
}

impl Publication {
    /// Gives it to the queues that its exchange leads to, if that is there.
    fn publish(&self, effects: &mut Effects) {
        let key = String::from_utf8_lossy(&self.routing_key);
        let mut encoded = Vec::new();
        self.properties.encode(&mut encoded);
        let message = Message {
            exchange: self.exchange.as_bytes(),
            // No method can say more of it.
            routing_key: self
                .routing_key
                .get(..SHORT_STR_MAX_BYTES)
                .unwrap_or(&self.routing_key),
            properties: &encoded,
            body: Body::of(&self.body),
            facts: Facts {
                persistent: self.properties.delivery_mode == Some(PERSISTENT),
                ..Facts::PLAIN
            },
        };
        let Ok(route) = self.vhost.route_by(self.exchange, &[&key], &encoded, true) else {
            return;
        };
        // What a queue refuses, or the log, nobody waits for.
        if route.has_memory {
            let passing = Passing {
                message: &message,
                routing_keys: &[&key],
                left: None,
                is_barred: &|_| false,
            };
            let _ = self.vhost.pass_internally(self.exchange, &passing, effects);
            return;
        }
        for queue in route.queues.iter() {
            queue.publish(std::slice::from_ref(&message), None, effects);
        }
        let _ = effects.log_published(self.vhost.engine(), std::slice::from_ref(&message));
        effects.refused.clear();
        effects.behind = None;
    }
}

/// What was said in the log of what was dropped.
#[derive(Default)]
struct Told {
    dropped: u64,
    at: Option<Instant>,
}

impl Told {
    fn is_behind(&self, dropped: u64) -> bool {
        dropped > self.dropped
    }

    fn tell(&mut self, dropped: u64) {
        let is_due = self.at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if self.is_behind(dropped) && is_due {
            let count = dropped - self.dropped;
            tracing::warn!(
                count,
                "too much to tell on the broker's own exchanges: dropped"
            );
            *self = Self {
                dropped,
                at: Some(Instant::now()),
            };
        }
    }
}
