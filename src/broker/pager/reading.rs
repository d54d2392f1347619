//! The thread that reads chunks back, and serves those who read streams. Whoever waits for one is served from here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use rustix::io::Errno;

use super::{QueueRef, Shared, Stored};
use crate::broker::Effects;
use crate::broker::queue::Queue;
use crate::store::catalog::Op;
use crate::store::quarantine::{Note, Part};
use crate::store::segment::{ChunkEntry, ChunkError, Segment, StoredChunk};

/// A chunk that cannot be read is tried so often before it counts as lost.
const MOST_TRIES: u32 = 10;

/// What is to be done for a queue.
pub(super) enum Call {
    /// A chunk is to be read.
    Read(Load),
    /// Readers of a stream may be given more.
    Serve(QueueRef),
}

/// A chunk that a queue needs.
pub(super) struct Load {
    pub queue: QueueRef,
    /// The queue, if it is deleted and needs the chunk all the same.
    pub _kept: Option<Arc<Queue>>,
    pub stored: Stored,
    /// How often it was tried to read it.
    pub tries: u32,
}

/// Reads until nobody can ask any more.
pub(super) fn run(shared: &Shared, calls: &Receiver<Call>) {
    let mut effects = Effects::new();
    for call in calls {
        answer(shared, call, &mut effects);
    }
}

/// Does one thing.
pub(super) fn answer(shared: &Shared, call: Call, effects: &mut Effects) {
    match call {
        Call::Read(load) => serve(shared, load, effects),
        Call::Serve(queue) => {
            if let Some(queue) = queue.upgrade() {
                queue.committed(effects);
                effects.complete();
            }
        }
    }
}

/// Reads one chunk.
fn serve(shared: &Shared, load: Load, effects: &mut Effects) {
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
        let _ = shared.loads.lock().send(Call::Read(Load { tries, ..load }));
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
        if let ChunkError::Damaged { .. } = error {
            forget(shared, &stored);
        }
    }
    let waiting = queue.loaded(&stored, read.ok(), effects);
    effects.complete();
    // Nobody publishes here who could wait.
    effects.behind = None;
    waiting.into_iter().for_each(|then| then());
}

/// The next start is not to find the chunk again.
fn forget(shared: &Shared, stored: &Stored) {
    let segment = &stored.segment;
    if let Some(catalog) = &shared.catalog
        && segment.is_listed.load(Ordering::Acquire)
    {
        let ChunkEntry { band, first, .. } = stored.entry;
        let forgotten = Op::DropChunk(segment.queue, segment.number, band, first);
        // Nothing waits for it: without it, it is found again.
        drop(catalog.submit(vec![forgotten]));
    }
}

/// Whether it is worth trying again: always, if there was only too little of something.
fn may_pass(error: &io::Error, tries: u32) -> bool {
    is_shortage(error) || tries < MOST_TRIES && error.kind() != io::ErrorKind::NotFound
}

/// Whether there was only too little of something, which says nothing of what is stored.
pub(in crate::broker) fn is_shortage(error: &io::Error) -> bool {
    const TOO_LITTLE: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| TOO_LITTLE.contains(&errno))
}

/// Reads a chunk. If it is damaged, a copy is kept.
pub(super) fn read(shared: &Shared, stored: &Stored) -> Result<StoredChunk, ChunkError> {
    open(shared, stored)?.read(&stored.entry)
}

/// Reads a chunk at start, as often as it may help. If it is damaged, a copy is kept if `sets_aside`.
pub(super) fn read_at_start(
    shared: &Shared,
    stored: &Stored,
    sets_aside: bool,
) -> Result<StoredChunk, ChunkError> {
    let once = || match sets_aside {
        true => read(shared, stored),
        false => look(shared, stored),
    };
    for _ in 1..MOST_TRIES {
        match once() {
            Err(ChunkError::Io(error)) if error.kind() != io::ErrorKind::NotFound => {
                std::thread::sleep(shared.options.read_retry);
            }
            read => return read,
        }
    }
    once()
}

/// Reads a chunk, and leaves it alone if it is damaged.
fn look(shared: &Shared, stored: &Stored) -> Result<StoredChunk, ChunkError> {
    open(shared, stored)?.look(&stored.entry)
}

fn open(shared: &Shared, stored: &Stored) -> io::Result<Segment> {
    let (queue, number) = (stored.segment.queue, stored.segment.number);
    Segment::open(Arc::clone(&shared.disk), queue, number)
}
