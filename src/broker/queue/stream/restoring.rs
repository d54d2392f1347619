//! A stream as the last run left it.

use std::collections::BTreeMap;

use super::Stream;
use super::commits::Commits;
use super::marks::Mark;
use crate::broker::Effects;
use crate::broker::queue::band::Band;
use crate::broker::queue::{Queue, State, sequence_of};
use crate::store::catalog::ChunkMark;

impl Stream {
    /// The band is restored; the catalog had these marks of its stored chunks. Whatever is there is
    /// safe.
    pub(in crate::broker::queue) fn restore(
        &mut self,
        band: &Band,
        mut stored: BTreeMap<u64, ChunkMark>,
        now_ms: u64,
    ) {
        self.commits = Commits::starting_at(band.end());
        let mut last = None;
        for slot in &band.slots {
            slot.for_each_live(|number, record| {
                self.marks
                    .appended(slot.first, &record, self.wants.filter_bytes);
                last = Some(number);
            });
            if slot.is_absent() {
                let bytes = slot.stored.as_ref().map_or(0, |stored| stored.entry.bytes);
                let mark = stored
                    .remove(&slot.first)
                    .unwrap_or_else(|| unknown(now_ms));
                self.marks
                    .push(Mark::stored(slot.first, bytes.into(), &mark));
                last = Some(slot.end() - 1);
            }
        }
        // How the last messages were published nobody knows any more: the last one stands for them.
        self.last_publish = last.unwrap_or(band.end());
    }
}

impl Queue {
    /// Has the log hear which offset comes next, where the messages that had the last ones are lost: none is
    /// ever given twice.
    pub(in crate::broker) fn note_end(&self, effects: &mut Effects) {
        self.note_end_of(&mut self.state.lock(), effects);
    }

    /// The same for one that is looked at.
    pub(in crate::broker::queue) fn note_end_of(&self, state: &mut State, effects: &mut Effects) {
        let engine = &self.spec.engine;
        if let (Some(_), Some(band), Some(_)) = (&state.stream, state.bands.first(), engine.log())
            && !band.is_end_known()
        {
            state.paging.is_dirty = true;
            effects.pending.begin(engine);
            let end = sequence_of(0, band.end());
            effects.pending.delivered(self.spec.id.0, end);
        }
    }
}

/// Of a chunk that the catalog says nothing of: it may have any values, and counts as new.
fn unknown(now_ms: u64) -> ChunkMark {
    ChunkMark {
        first_ms: now_ms,
        last_ms: now_ms,
        filter: vec![u8::MAX],
        has_unfiltered: true,
    }
}
