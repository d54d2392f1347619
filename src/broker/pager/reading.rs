//! The thread that reads chunks back. Whoever waits for one is served from here.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rustix::io::Errno;

use super::{QueueRef, Shared, Stored};
use crate::broker::Effects;
use crate::store::quarantine::{Note, Part};
use crate::store::segment::{ChunkError, Segment, StoredChunk};

/// A chunk that cannot be read is tried so often before it counts as lost.
const MOST_TRIES: u32 = 10;

/// A chunk that a queue needs.
pub(super) struct Load {
    pub queue: QueueRef,
    pub stored: Stored,
    /// How often it was tried to read it.
    pub tries: u32,
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
    let Some(queue) = load.queue.upgrade() else {
        return;
    };
    let read = read(shared, &load.stored);
    if let Err(ChunkError::Io(error)) = &read
        && may_pass(error, load.tries)
    {
        tracing::warn!(%error, queue = ?queue.name(), "messages cannot be read; trying again");
        std::thread::sleep(shared.options.read_retry);
        let tries = load.tries + 1;
        // After the end nobody waits for it.
        let _ = shared.loads.lock().send(Load { tries, ..load });
        return;
    }
    let stored = load.stored;
    if let Err(error) = &read {
        let note = Note {
            part: Part::Segments,
            what: format!("{error}; queue {:?} goes on without them", queue.name()),
            missing_records: 0,
            unknown_queue: false,
            queues: vec![queue.concerned()],
        };
        queue.engine().store.damaged(&stored.place(), note);
    }
    let waiting = queue.loaded(&stored, read.ok(), effects);
    effects.complete();
    // Nobody publishes here who could wait.
    effects.behind = None;
    waiting.into_iter().for_each(|then| then());
}

/// Whether it is worth trying again: always, if there was only too little of something.
fn may_pass(error: &io::Error, tries: u32) -> bool {
    const TOO_LITTLE: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| TOO_LITTLE.contains(&errno))
        || tries < MOST_TRIES && error.kind() != io::ErrorKind::NotFound
}

pub(super) fn read(shared: &Shared, stored: &Stored) -> Result<StoredChunk, ChunkError> {
    let (queue, number) = (stored.segment.queue, stored.segment.number);
    Segment::open(Arc::clone(&shared.disk), queue, number)?.read(&stored.entry)
}
