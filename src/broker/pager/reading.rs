//! The thread that reads chunks back. Whoever waits for one is served from here.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::{QueueRef, Shared, Stored};
use crate::broker::Effects;
use crate::store::segment::{ChunkError, Segment, StoredChunk};

/// A chunk that a queue needs.
pub(super) struct Load {
    pub queue: QueueRef,
    pub stored: Stored,
}

/// Reads until nobody can ask any more.
pub(super) fn run(shared: &Shared, loads: &Receiver<Load>) {
    let mut effects = Effects::new();
    for Load { queue, stored } in loads {
        let Some(queue) = queue.upgrade() else {
            continue;
        };
        let read = read(shared, &stored);
        if let Err(error) = &read {
            tracing::error!(%error, queue = ?queue.name(), "messages cannot be read and are passed over");
        }
        let waiting = queue.loaded(&stored, read.ok(), &mut effects);
        effects.complete();
        waiting.into_iter().for_each(|then| then());
    }
}

fn read(shared: &Shared, stored: &Stored) -> Result<StoredChunk, ChunkError> {
    let (queue, number) = (stored.segment.queue, stored.segment.number);
    Segment::open(Arc::clone(&shared.disk), queue, number)?.read(&stored.entry)
}
