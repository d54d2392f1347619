//! What a channel tells of its messages where its vhost is traced.

use std::sync::Arc;

use super::Channel;
use super::content_frames::is_redelivered;
use super::delivery::Deliveries;
use crate::broker::notices::{Happened, Traced};
use crate::broker::{Delivery, Message, Queue};

impl Channel {
    /// A message was published and goes to these queues. (The default exchange's are its keys.)
    pub(super) fn trace_publish<'q>(
        &self,
        message: &Message<'_>,
        queues: impl Iterator<Item = &'q Arc<Queue>>,
    ) {
        if self.shared.vhost.is_traced() {
            // Messages that are routed later go to no queue yet.
            let queues = queues.filter(|queue| !queue.is_for_delayed());
            let names = queues.map(|queue| Arc::clone(queue.name())).collect();
            self.trace_publish_to(message, names);
        }
    }

    /// The same where it is known that the vhost is traced, with the names of the queues.
    #[cold]
    pub(super) fn trace_publish_to(&self, message: &Message<'_>, queues: Vec<Arc<str>>) {
        let via = self.shared.via(self.number);
        if let Some(traced) = Traced::of(message, &via, Happened::Published(queues)) {
            self.shared.broker.engine.notices.trace(traced);
        }
    }
}

impl Deliveries {
    /// Messages of a queue were delivered. Called with its lock held.
    #[cold]
    pub(super) fn trace<'d>(
        &self,
        queue: &Arc<Queue>,
        deliveries: impl Iterator<Item = &'d Delivery<'d>>,
    ) {
        let (shared, channel) = self.whose();
        let via = shared.via(channel);
        for delivery in deliveries {
            let happened = Happened::Delivered(Arc::clone(queue), is_redelivered(delivery));
            if let Some(traced) = Traced::of(&delivery.message, &via, happened) {
                shared.broker.engine.notices.trace(traced);
            }
        }
    }
}
