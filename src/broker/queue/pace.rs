//! Publishers that are faster than a queue's consumers wait for these, a little: what would only be
//! stored, and perhaps written out and read back, had better stay with the publisher, and the time
//! is the consumers'.
//!
//! In: how much was published and delivered. Out: when a publisher may go on. As much may be
//! published as is delivered meanwhile; whoever waits sees to it that it does not wait for long,
//! because consumers may be slow for good.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::band::Band;
use super::{Queue, State, Then};
use crate::broker::Effects;

/// A queue that holds less is short.
const SHORT_BYTES: usize = 2 << 20;
/// So many publishers wait at most; the one that waited longest goes on.
const MOST_WAITING: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Pace {
    /// Messages that were delivered.
    delivered: u64,
    /// The publisher who waits last may go on when so many were delivered.
    promised: u64,
    /// By what they wait for.
    waiting: VecDeque<(u64, Then)>,
}

impl Queue {
    /// After a publish: notes that the publisher should wait if consumers are behind.
    pub(super) fn note_pace(
        self: &Arc<Self>,
        state: &MutexGuard<'_, State>,
        published: usize,
        effects: &mut Effects,
    ) {
        if state.consumers.is_empty() {
            return;
        }
        let closed_bytes: usize = state.bands.iter().map(Band::closed_bytes).sum();
        if closed_bytes > SHORT_BYTES {
            effects.fall_behind(self, published as u64);
        }
    }

    /// Calls `then` when the consumers have taken as much as was `published`, or before.
    pub fn when_taken(&self, published: u64, then: Then) {
        let mut state = self.state.lock();
        let pace = &mut state.pace;
        pace.promised = pace.promised.max(pace.delivered) + published;
        pace.waiting.push_back((pace.promised, then));
        let longest = match pace.waiting.len() > MOST_WAITING || self.is_deleted() {
            true => pace.waiting.pop_front(),
            false => None,
        };
        drop(state);
        if let Some((_, then)) = longest {
            then();
        }
    }
}

impl State {
    /// Messages were delivered: some publishers may go on.
    pub(super) fn pace(&mut self, delivered: usize, effects: &mut Effects) {
        self.pace.delivered += delivered as u64;
        while let Some((target, _)) = self.pace.waiting.front()
            && *target <= self.pace.delivered
            && let Some((_, then)) = self.pace.waiting.pop_front()
        {
            effects.resume(then);
        }
    }

    /// The queue is gone: nobody waits for it any more.
    pub(super) fn end_waits(&mut self, effects: &mut Effects) {
        let publishers = self.pace.waiting.drain(..).map(|(_, then)| then);
        for then in publishers.chain(self.paging.waiting.drain(..)) {
            effects.resume(then);
        }
    }
}
