//! A queue as the last run left it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::band::{Band, GivenBack};
use super::{Queue, State};
use crate::broker::log::BandReplay;
use crate::broker::message::Facts;

/// A band as the last run left it.
pub struct RestoredBand {
    band: Band,
    may_expire: bool,
}

impl RestoredBand {
    /// Puts together what is known of it. What was delivered and not settled is ready again, in its
    /// old place.
    pub(in crate::broker) fn of(replay: BandReplay, chunk_bytes: usize) -> Self {
        let BandReplay {
            stored,
            logged,
            settled,
            cursor,
            returns,
            next,
        } = replay;
        let mut band = Band::new(chunk_bytes);
        let mut may_expire = !stored.is_empty();
        let mut stored = stored.into_values().peekable();
        for (number, logged) in logged {
            while let Some(chunk) = stored.next_if(|chunk| chunk.entry.first <= number) {
                band.restore_stored(chunk, &settled);
            }
            may_expire |= logged.expires_at_ms != Facts::NEVER;
            let message = logged.message();
            band.restore_message(number, &message, logged.expires_at_ms, logged.index);
        }
        stored.for_each(|chunk| band.restore_stored(chunk, &settled));
        // What is settled was taken before, and so was everything below it.
        let behind_settled = settled.last().map_or(0, |last| last + 1);
        let cursor = cursor.max(behind_settled);
        let mut given_back = BTreeMap::new();
        for number in band.unsettled_below(cursor) {
            let back = GivenBack {
                returns: returns.get(&number).copied().unwrap_or(0),
                redelivered: true,
            };
            given_back.insert(number, back);
        }
        band.restore_cursor(next.max(cursor), cursor, given_back);
        Self { band, may_expire }
    }
}

impl Queue {
    /// Fills the queue, which is new, with what the last run left; says how many messages that are.
    pub(in crate::broker) fn restore(self: &Arc<Self>, bands: Vec<(usize, RestoredBand)>) -> u64 {
        let mut state = self.state.lock();
        for (at, restored) in bands {
            while state.bands.len() <= at {
                state.bands.push(self.new_band());
            }
            state.restore_band(at, restored);
        }
        state.is_logged = state.ready > 0;
        self.after(&mut state);
        state.ready
    }
}

impl State {
    fn restore_band(&mut self, at: usize, restored: RestoredBand) {
        self.ready += restored.band.ready();
        self.may_expire |= restored.may_expire;
        self.bands[at] = restored.band;
    }
}
