//! Deliveries that nobody settles in time.
//!
//! In: what is unsettled, by slot, and how long it may be so. Out: either the whole channel is to be
//! closed, as in RabbitMQ, or what is overdue goes back to its queue. What went back stays in the list,
//! marked, until its client settles it after all: then that is taken without a word, and only then there is
//! room for another delivery in its place. So a consumer that is stuck is not given the same message again.

use std::sync::Arc;

use hashbrown::HashMap;

use super::Channel;
use super::unacked::Unsettled;
use crate::broker::queue::{Cause, ConsumerTimeout, TimeoutAction};
use crate::broker::{Effects, Queue};
use crate::connection::Shared;

/// What came of a look at a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connection) struct Looked {
    /// The channel is to be closed, for a delivery that had so many milliseconds.
    pub closes: Option<u64>,
    /// The shortest timeout of anything here; `u64::MAX`: there is none.
    pub shortest_ms: u64,
}

impl Shared {
    /// What holds for deliveries from that queue to somebody who asks for `own`. The connection looks
    /// after them from now on.
    pub(super) fn watch_timeouts(&self, own: ConsumerTimeout, queue: &Queue) -> ConsumerTimeout {
        let timeout = own.or(queue.consumer_timeout()).or(self.consumer_timeout);
        self.note_timeout(timeout.limit_ms());
        timeout
    }
}

impl Channel {
    /// Gives back what is overdue and is to go back alone, or says that the channel is to be closed.
    pub(in crate::connection) fn look_for_timeouts(&mut self) -> Looked {
        // A queue is not asked under the lock.
        let slots = self.deliveries.lock().slots.timeouts();
        let mut timeouts: HashMap<u32, (Arc<Queue>, ConsumerTimeout)> = HashMap::new();
        let mut shortest_ms = u64::MAX;
        for (slot, queue, own) in slots {
            let mut timeout = self.shared.watch_timeouts(own, &queue);
            if !queue.can_turn_to_others() {
                // Nobody else would get it: the channel has to go all the same.
                timeout.action = Some(TimeoutAction::Close);
            }
            shortest_ms = shortest_ms.min(timeout.limit_ms());
            timeouts.insert(slot, (queue, timeout));
        }
        let mut looked = Looked {
            closes: None,
            shortest_ms,
        };
        let now_ms = self.shared.broker.engine.clock.now_ms();
        let mut returning = Vec::new();
        let mut state = self.deliveries.lock();
        if !state.unacked.is_overdue(shortest_ms, now_ms) {
            return looked;
        }
        for delivery in state.unacked.iter() {
            let Some((_, timeout)) = timeouts.get(&delivery.slot) else {
                continue;
            };
            if delivery.is_given_back() || !delivery.is_overdue(timeout.limit_ms(), now_ms) {
                continue;
            }
            if timeout.action != Some(TimeoutAction::Return) {
                looked.closes = Some(timeout.limit_ms());
                return looked;
            }
            returning.push(*delivery);
        }
        for delivery in &returning {
            state.unacked.mark_given_back(delivery.tag);
        }
        drop(state);
        self.return_overdue(returning, &timeouts);
        looked
    }

    fn return_overdue(
        &self,
        mut returning: Vec<Unsettled>,
        timeouts: &HashMap<u32, (Arc<Queue>, ConsumerTimeout)>,
    ) {
        returning.sort_unstable_by_key(|delivery| (delivery.slot, delivery.sequence));
        let mut effects = Effects::new();
        for run in returning.chunk_by(|one, next| one.slot == next.slot) {
            let found = run.first().and_then(|first| timeouts.get(&first.slot));
            let Some((queue, timeout)) = found else {
                continue;
            };
            let returned: Vec<u64> = run.iter().map(|delivery| delivery.sequence).collect();
            let (count, timeout_ms) = (returned.len(), timeout.limit_ms());
            let (queue_name, channel) = (queue.name(), self.number);
            tracing::warn!(queue = ?queue_name, channel, count, timeout_ms, "a consumer took too long");
            queue.requeue(&returned, Cause::TimedOut, &[], &mut effects);
        }
        effects.complete();
    }
}
