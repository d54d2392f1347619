//! What a queue's lock guards.

use smallvec::SmallVec;

use super::band::Band;
use super::consumers::{ConsumerId, Consumers};
use super::head::CameBack;
use super::letters::Letters;
use super::pace::Pace;
use super::paging::Paging;
use super::stream::Stream;
use super::waiting::Waiting;
use super::{QueueArguments, sequence_of};
use crate::broker::deduplication::MessageId;
use crate::broker::policy::Applied;

/// See the module.
pub(super) struct State {
    /// What arguments and policies ask for together.
    pub(super) wants: QueueArguments,
    pub(super) policies: Applied,
    /// As of which version of the vhost's policies.
    pub(super) policies_version: u64,
    /// What a stream has more; None for other queues.
    pub(super) stream: Option<Box<Stream>>,
    /// One band a priority, in the order of `levels.rs`, as far as they were used.
    pub(super) bands: Vec<Band>,
    /// Ready messages of all bands.
    pub(super) ready: u64,
    pub(super) unacked: u64,
    pub(super) consumers: Consumers,
    /// Whose turn it is, kept to reuse its allocation.
    pub(super) turn: Vec<ConsumerId>,
    /// Whether anything was published, delivered or settled since the queue was last tidied.
    pub(super) busy: bool,
    /// Whether any message that is here may expire.
    pub(super) may_expire: bool,
    /// The messages that were at the head when those were last seen in memory, and when they expire: their
    /// sequences, milliseconds since 1970.
    pub(super) seen_heads: SmallVec<[(u64, u64); 1]>,
    /// Whether any message that is here was logged: what becomes of it is logged as well.
    pub(super) is_logged: bool,
    /// When the queue was last used, for x-expires.
    pub(super) used_at_ms: u64,
    /// When the engine's timers wake this queue.
    pub(super) timer_ms: Option<u64>,
    pub(super) accounted_bytes: usize,
    pub(super) paging: Paging,
    pub(super) pace: Pace,
    /// The id of the message that is being taken in, where the queue takes none twice.
    pub(super) arriving: Option<MessageId>,
    /// What came back to a quorum queue, in that order.
    pub(super) came_back: CameBack,
    /// Messages that wait until a time. They count as unacked.
    pub(super) waiting: Waiting,
    /// Dead letters that stay until they have arrived. They count as unacked.
    pub(super) letters: Letters,
}

impl State {
    /// Whether every return counts, and consumers are told how often a message came back.
    pub(super) fn counts_deliveries(&self) -> bool {
        self.wants.counts_deliveries()
    }

    /// Something was published, delivered or settled: what is in memory may be needed again soon.
    pub(super) fn note_use(&mut self) {
        self.busy = true;
        self.paging.is_idle = false;
    }

    /// How many messages are with consumers.
    pub(super) fn out(&self) -> u64 {
        self.unacked - self.waiting.len() as u64 - self.paging.given_up.len()
    }

    pub(super) fn ready_bytes(&self) -> u64 {
        self.bands.iter().map(Band::ready_bytes).sum()
    }

    /// Drops what is ready; `settled` hears of which sequences.
    pub(super) fn clear_ready(&mut self, mut settled: impl FnMut(u64, u64)) -> u64 {
        let dropped = self.ready;
        for (at, band) in self.bands.iter_mut().enumerate() {
            band.clear_ready(|first, last| {
                settled(sequence_of(at, first), sequence_of(at, last));
            });
        }
        self.came_back.clear();
        self.ready = 0;
        dropped
    }
}
