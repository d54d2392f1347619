//! What exchanges found for one message, while it is being routed.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Exchange;
use crate::broker::binding::Destination;
use crate::broker::queue::Queue;

/// So many queues and exchanges need no allocation.
const USUAL: usize = 8;

/// See the module.
#[derive(Default)]
pub(crate) struct Found {
    /// The queues; the same one may be there more than once unless `sets` is at most 1.
    pub queues: SmallVec<[Arc<Queue>; USUAL]>,
    /// Exchanges to be asked next, maybe more than once.
    pub exchanges: SmallVec<[Arc<Exchange>; USUAL]>,
    /// How many sets of destinations, each without repetition, this was gathered from.
    pub sets: usize,
    /// Another message with the same routing key may go elsewhere.
    pub varies: bool,
    /// There is an exchange on the way that has a memory. The rest was not looked for.
    pub has_memory: bool,
}

impl Found {
    /// Adds destinations, each of which comes once.
    pub fn add_all<'a>(&mut self, destinations: impl Iterator<Item = &'a Destination>) {
        self.sets += 1;
        for destination in destinations {
            match destination {
                Destination::Queue(queue) => self.queues.push(Arc::clone(queue)),
                Destination::Exchange(exchange) => self.exchanges.push(Arc::clone(exchange)),
            }
        }
    }

    /// The queues that are not deleted, each once.
    pub fn live_queues(&mut self) -> SmallVec<[Arc<Queue>; USUAL]> {
        let mut queues = std::mem::take(&mut self.queues);
        if self.sets > 1 {
            queues.sort_unstable_by_key(|queue| queue.id());
            queues.dedup_by_key(|queue| queue.id());
        }
        queues.retain(|queue| !queue.is_deleted());
        queues
    }

    /// How much there is.
    pub fn len(&self) -> usize {
        self.queues.len() + self.exchanges.len()
    }
}
