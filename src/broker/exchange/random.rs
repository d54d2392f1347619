//! x-random and x-local-random: every message goes one way, whichever.
//!
//! On one node every queue is local, so the two differ in what may be bound to them: to
//! x-local-random only classic queues, with an empty key (RabbitMQ 4).

use super::bound::Bound;
use super::found::Found;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::binding::{Binding, Destination};
use crate::broker::queue::QueueType;

/// See the module.
#[derive(Default)]
pub(super) struct Random(Bound);

impl Random {
    pub fn add(&mut self, binding: &Binding) {
        self.0.add(binding);
    }

    pub fn remove(&mut self, binding: &Binding) {
        self.0.remove(binding);
    }

    /// A queue that is being deleted is not chosen while there are others.
    pub fn find(&self, found: &mut Found) {
        let len = self.0.len();
        if len == 0 {
            return;
        }
        let is_alive = |destination: &&Destination| match destination {
            Destination::Queue(queue) => !queue.is_deleted(),
            Destination::Exchange(_) => true,
        };
        let chosen = self.0.get(rand::random_range(0..len)).filter(is_alive);
        let chosen = chosen.or_else(|| {
            let alive = || self.0.destinations().filter(is_alive);
            let count = alive().count();
            (count > 0)
                .then(|| rand::random_range(0..count))
                .and_then(|place| alive().nth(place))
        });
        found.add_all(chosen.into_iter());
    }
}

/// Refuses what cannot be bound to an x-local-random exchange.
pub(super) fn check_local_binding(
    routing_key: &str,
    destination: &Destination,
) -> Result<(), Exception> {
    let text = match destination {
        _ if !routing_key.is_empty() => {
            format!("Non empty binding '{routing_key}' key not permitted")
        }
        Destination::Exchange(_) => "Destination not found".into(),
        Destination::Queue(queue) => match queue.queue_type() {
            QueueType::Classic => return Ok(()),
            other => format!(
                "Queue type {} not valid for this exchange type",
                other.module()
            ),
        },
    };
    Err(Exception::new(ReplyCode::PreconditionFailed, text))
}
