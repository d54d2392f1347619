//! What a stream lets go of: its oldest segments, when it is too long or they are too old.

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
        let Some(below) = stream.marks.shorten(&retention) else {
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
