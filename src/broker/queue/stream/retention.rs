//! What a stream lets go of: its oldest segments, when it is too long or they are too old. What must wait until
//! more is safe goes then: `serving.rs` waits for that as readers do.

use std::sync::Arc;

use super::marks::Retention;
use crate::broker::Effects;
use crate::broker::queue::{Queue, State};

impl Queue {
    /// Lets go of what need not be kept.
    pub(in crate::broker::queue) fn retain(
        self: &Arc<Self>,
        state: &mut State,
        effects: &mut Effects,
    ) {
        let (Some(stream), Some(band)) = (&mut state.stream, state.bands.first_mut()) else {
            return;
        };
        let wants = stream.wants;
        stream.is_too_long = false;
        if wants.max_age_ms.is_none() && wants.max_bytes.is_none() {
            return;
        }
        self.advance(stream);
        let now_ms = self.spec.engine.clock.now_ms();
        let segment_bytes = self.spec.engine.paging.segment_bytes;
        let retention = Retention {
            max_bytes: wants.max_bytes,
            since_ms: wants.max_age_ms.map(|age_ms| now_ms.saturating_sub(age_ms)),
            segment_bytes: wants.segment_bytes.unwrap_or(segment_bytes),
            committed: stream.commits.committed(),
        };
        let shortened = stream.marks.shorten(&retention);
        stream.is_too_long = shortened.waits;
        let Some(below) = shortened.below else {
            return;
        };
        let first = band.cursor();
        band.forget_below(below);
        state.ready = band.ready();
        if let Some(log) = self.log_of(state, effects) {
            log.settled(self.spec.id.0, first, below - 1);
        }
    }
}
