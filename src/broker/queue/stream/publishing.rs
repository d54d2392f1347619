//! Taking messages into a stream.

use std::sync::Arc;

use crate::broker::Effects;
use crate::broker::log::{Place, Placement};
use crate::broker::queue::chunk::Record;
use crate::broker::queue::publish::{Picked, as_persistent};
use crate::broker::queue::{Queue, State, sequence_of};

impl Queue {
    /// Takes messages, and gives readers what is safe by now.
    pub(in crate::broker::queue) fn publish_to_stream(
        self: &Arc<Self>,
        state: &mut State,
        picked: Picked<'_>,
        effects: &mut Effects,
    ) {
        let (Some(stream), Some(band)) = (&mut state.stream, state.bands.first_mut()) else {
            return;
        };
        let log = self.spec.engine.log();
        let logged_from = log.map(|log| log.safe_index() + 1);
        // Clocks are set back now and then; the times in a stream never are.
        let now_ms = self.spec.engine.clock.now_ms().max(stream.marks.last_ms());
        stream.last_publish = band.end();
        if logged_from.is_some() {
            effects.pending.begin(&self.spec.engine);
        }
        let chunks = band.chunks();
        for at in 0..picked.len() {
            let message = as_persistent(picked.get(at));
            let number = band.append(&message, now_ms, logged_from);
            let record = Record {
                message,
                expires_at_ms: now_ms,
            };
            let filter_bytes = stream.wants.filter_bytes;
            stream
                .marks
                .appended(band.last_chunk(), &record, filter_bytes);
            if logged_from.is_some() {
                let place = Place {
                    queue: self.spec.id.0,
                    sequence: sequence_of(0, number),
                };
                let placement = Placement {
                    place,
                    expires_at_ms: now_ms,
                };
                effects
                    .pending
                    .placed(picked.index(at), placement, self.stored_by().revision());
            }
        }
        let end = band.end();
        let has_new_chunk = band.chunks() > chunks;
        state.ready = band.ready();
        if logged_from.is_some() {
            stream.commits.published(end);
            state.is_logged = true;
            state.paging.is_dirty = true;
            effects.stream_took(self, end);
        } else {
            stream.commits.published_at_once(end);
        }
        if has_new_chunk {
            self.retain(state, effects);
        }
        self.serve(state, effects);
    }

    /// The log has what was published up to before `end`, as far as `index`; or never will.
    pub(in crate::broker) fn logged(
        self: &Arc<Self>,
        end: u64,
        index: Option<u64>,
        effects: &mut Effects,
    ) {
        let mut state = self.state.lock();
        if let Some(stream) = &mut state.stream {
            stream.commits.logged(end, index);
            self.serve(&mut state, effects);
        }
    }
}
