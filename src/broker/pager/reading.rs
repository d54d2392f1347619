//! The thread that reads chunks back. Whoever waits for one is served from here.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::{QueueRef, Shared, Stored};
use crate::broker::Effects;
use crate::store::health::Part;
use crate::store::segment::{ChunkError, Segment, StoredChunk};

/// A chunk that a queue needs.
pub(super) struct Load {
    pub queue: QueueRef,
    pub stored: Stored,
}

/// Reads until nobody can ask any more.
pub(super) fn run(shared: &Shared, loads: &Receiver<Load>) {
    let mut effects = Effects::new();
    for load in loads {
        serve(shared, load, &mut effects);
    }
}

/// Reads one chunk.
pub(super) fn serve(shared: &Shared, load: Load, effects: &mut Effects) {
    let Load { queue, stored } = load;
    let Some(queue) = queue.upgrade() else {
        return;
    };
    let read = read(shared, &stored);
    if let Err(error) = &read {
        let what = format!("{error}; queue {:?} goes on without them", queue.name());
        queue.engine().store.damaged(Part::Segments, what);
    }
    let waiting = queue.loaded(&stored, read.ok(), effects);
    effects.complete();
    waiting.into_iter().for_each(|then| then());
}

pub(super) fn read(shared: &Shared, stored: &Stored) -> Result<StoredChunk, ChunkError> {
    let (queue, number) = (stored.segment.queue, stored.segment.number);
    Segment::open(Arc::clone(&shared.disk), queue, number)?.read(&stored.entry)
}
