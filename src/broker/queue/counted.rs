//! Bytes in a queue that begins to limit them while it has messages: by a policy, or at the broker's start.
//!
//! A queue without such a limit does not know what lies in chunks that are not in memory, so these are read
//! once, a few at a time, each counted as it comes. Until then it counts too little, and drops too little.

use super::{Queue, State};

impl Queue {
    /// It limits its bytes from now on.
    pub(super) fn begin_to_count(&self, state: &mut State) {
        state.paging.uncounted.clear();
        for (at, band) in state.bands.iter_mut().enumerate() {
            band.recount();
            let uncounted = band.uncounted().map(|first| (at, first));
            state.paging.uncounted.extend(uncounted);
        }
    }

    /// The next chunks that are to be counted.
    pub(super) fn uncounted_ahead(&self, state: &mut State) -> Vec<(usize, u64)> {
        let State { bands, paging, .. } = state;
        let is_done = |(at, first): &(usize, u64)| {
            let slot = bands.get(*at).and_then(|band| band.slot(*first));
            slot.is_none_or(|slot| slot.first != *first || slot.is_counted())
        };
        while paging.uncounted.front().is_some_and(is_done) {
            paging.uncounted.pop_front();
        }
        let chunks = self.spec.engine.paging.ahead_chunks;
        paging.uncounted.iter().take(chunks).copied().collect()
    }
}
