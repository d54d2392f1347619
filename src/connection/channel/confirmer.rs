//! Sends a channel's publisher confirms, when they are due: at once from the channel itself, later
//! from whoever makes things safe (the log, the catalog).
//!
//! Locks are taken in the order confirms, outgoing buffer.

use std::sync::Arc;

use parking_lot::Mutex;

use super::confirms::{Confirm, Confirms, SafePoint};
use super::content_frames::{self, short_str};
use crate::amqp::encode;
use crate::amqp::method::{Method, basic};
use crate::amqp::reply::ReplyCode;
use crate::broker::Message;
use crate::broker::catalog::{NotStored, Revision};
use crate::broker::log::{SafeListener, Safety};
use crate::connection::Shared;
use crate::connection::outgoing::Pending;

/// See the module.
pub(super) struct Confirmer {
    shared: Arc<Shared>,
    channel: u16,
    state: Mutex<State>,
}

struct State {
    confirms: Confirms,
    is_open: bool,
}

impl Confirmer {
    /// For a channel that was put into confirm mode.
    pub fn new(channel: u16, shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            channel,
            state: Mutex::new(State {
                confirms: Confirms::default(),
                is_open: true,
            }),
        })
    }

    /// The queues have the publishes `first..=last`, except those `refused`. They are safe when the
    /// log is up to `log_index`, if that is given, and the catalog has their queues, all of them by the
    /// revision `queues_stored_by`.
    pub fn handed_over(
        self: &Arc<Self>,
        first: u64,
        last: u64,
        refused: Vec<u64>,
        log_index: Option<u64>,
        queues_stored_by: Revision,
    ) {
        let safe_at = match log_index {
            None => SafePoint::NOW,
            Some(log_index) => SafePoint {
                log_index,
                revision: self
                    .shared
                    .unstored(queues_stored_by)
                    .map_or(0, |revision| revision.0),
            },
        };
        let mut state = self.state.lock();
        state.confirms.handed_over(first, last, refused, safe_at);
        drop(state);
        if safe_at.revision > 0 {
            let confirmer = Arc::clone(self);
            let then = Box::new(move |stored: Result<(), NotStored>| match stored {
                Ok(()) => confirmer.safe(0),
                Err(_) => confirmer.catalog_failed(),
            });
            let catalog = self.shared.vhost.catalog();
            catalog.when_stored(Revision(safe_at.revision), then);
        }
        if let (Some(log_index), Some(log)) = (log_index, self.shared.broker.engine.log()) {
            let listener: Arc<dyn SafeListener> = Arc::clone(self) as _;
            match log.notify_when_safe(log_index, listener) {
                Safety::Safe | Safety::Waiting => {}
                Safety::Failed => self.failed(),
            }
        }
    }

    /// Confirms what is safe. The caller flushes.
    pub fn send(&self) {
        let mut state = self.state.lock();
        if !state.confirms.has_waiting() {
            return;
        }
        let reached = SafePoint {
            log_index: self
                .shared
                .broker
                .engine
                .log()
                .map_or(0, |log| log.safe_index()),
            revision: self.shared.vhost.catalog().stored().0,
        };
        let is_open = state.is_open;
        let mut pending = self.shared.outgoing.lock();
        let confirmed = state.confirms.release(reached, |confirm| {
            if is_open {
                self.write(&mut pending, confirm);
            }
        });
        drop(pending);
        drop(state);
        if confirmed > 0 {
            self.shared
                .broker
                .metrics()
                .messages_confirmed
                .add(confirmed);
        }
    }

    /// Returns a message that reaches no queue and confirms it, with nothing in between: clients take
    /// the confirm that follows a return for the returned message's own, as it is with RabbitMQ.
    pub fn return_and_confirm(&self, tag: u64, message: &Message<'_>) {
        let state = self.state.lock();
        if state.is_open {
            let mut pending = self.shared.outgoing.lock();
            write_return(&mut pending, &self.shared, self.channel, message);
            let ack = Confirm::Ack {
                tag,
                multiple: false,
            };
            self.write(&mut pending, ack);
            self.shared.broker.metrics().messages_confirmed.add(1);
        }
    }

    /// Nothing more will be stored in the catalog: what needs that is refused, all else goes on.
    fn catalog_failed(&self) {
        let stored = self.shared.vhost.catalog().stored();
        self.state.lock().confirms.catalog_failed(stored.0);
        self.send();
        self.shared.outgoing.flush();
    }

    /// The channel is closed: nothing is sent on it any more.
    pub fn close(&self) {
        self.state.lock().is_open = false;
    }

    fn write(&self, pending: &mut Pending, confirm: Confirm) {
        let method = match confirm {
            Confirm::Ack { tag, multiple } => Method::BasicAck(basic::Ack {
                delivery_tag: tag,
                multiple,
            }),
            Confirm::Nack { tag, multiple } => Method::BasicNack(basic::Nack {
                delivery_tag: tag,
                multiple,
                // It means nothing here; RabbitMQ's are sent with it.
                requeue: true,
            }),
        };
        encode::method_frame(&mut pending.frames, self.channel, &method);
    }
}

impl SafeListener for Confirmer {
    fn safe(&self, _safe_index: u64) {
        self.send();
        self.shared.outgoing.flush();
    }

    fn failed(&self) {
        self.send();
        let mut state = self.state.lock();
        let is_open = state.is_open;
        state.confirms.fail(|confirm| {
            if is_open {
                self.write(&mut self.shared.outgoing.lock(), confirm);
            }
        });
        drop(state);
        self.shared.outgoing.flush();
    }
}

/// Writes a basic.return for a message that reaches no queue.
pub(super) fn write_return(
    pending: &mut Pending,
    shared: &Shared,
    channel: u16,
    message: &Message<'_>,
) {
    let method = Method::BasicReturn(basic::Return {
        reply_code: ReplyCode::NoRoute.number(),
        reply_text: ReplyCode::NoRoute.name().into(),
        exchange: short_str(message.exchange),
        routing_key: short_str(message.routing_key),
    });
    encode::method_frame(&mut pending.frames, channel, &method);
    content_frames::write(pending, channel, shared.frame_max, message);
}
