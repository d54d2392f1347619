//! The threads that read chunks back, and serve those who read streams. Whoever waits for one is served
//! from here.
//!
//! A chunk that is not what was written is lost. One that cannot be read at all is not: `unreadable.rs`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::proving::{Outcome, put_together};
use super::unreadable::{MOST_TRIES, Unreadable};
use super::{QueueRef, Shared, Stored};
use crate::broker::Effects;
use crate::broker::queue::{CameBy, Queue, Then};
use crate::store::catalog::Op;
use crate::store::disk::MOST_READS;
use crate::store::segment::{ChunkEntry, ChunkError, Segment, StoredChunk};
use crate::store::unreadable::Telling;

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
    /// That it cannot be read is told for as long as this lives.
    pub told: Option<Telling>,
}

/// See the module.
pub(super) struct Reading {
    shared: Arc<Shared>,
    effects: Effects,
    unreadable: Unreadable,
}

impl Reading {
    pub fn new(shared: Arc<Shared>) -> Self {
        let unreadable = Unreadable::new(shared.options.read_retry);
        Self {
            shared,
            effects: Effects::new(),
            unreadable,
        }
    }

    /// Reads until nobody can ask any more, or the broker stops.
    pub fn run(mut self, calls: &Mutex<Receiver<Call>>) {
        while !self.shared.is_closing() {
            // Who waits for a call keeps the others from waiting for the same one.
            let call = match self.unreadable.due_at() {
                None => calls.lock().recv().map_err(RecvTimeoutError::from),
                Some(at) => match calls.try_lock_until(at) {
                    Some(calls) => calls.recv_timeout(at.saturating_duration_since(Instant::now())),
                    None => Err(RecvTimeoutError::Timeout),
                },
            };
            match call {
                Ok(call) => self.answer(call),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.read_again();
        }
    }

    /// Does one thing.
    pub fn answer(&mut self, call: Call) {
        match call {
            Call::Read(load) => self.serve(load),
            Call::Serve(queue) => {
                if let Some(queue) = queue.upgrade() {
                    queue.committed(&mut self.effects);
                    self.effects.complete();
                }
            }
        }
    }

    /// Reads what could not be read before, if it is time; says whether there was any.
    pub fn read_again(&mut self) -> bool {
        let due = self.unreadable.take_due(Instant::now());
        let any = !due.is_empty();
        for load in due {
            let queue = load.queue.upgrade();
            // It may be settled by now, or elsewhere.
            if let Some(stored) = queue.and_then(|queue| queue.still_needs(&load.stored)) {
                self.serve(Load { stored, ..load });
            }
        }
        any
    }

    /// Reads one chunk.
    fn serve(&mut self, load: Load) {
        let Some(queue) = load.queue.upgrade() else {
            return;
        };
        let read = match read(&self.shared, &load.stored) {
            Err(error) if !is_shortage_of(&error) => {
                let (shared, effects) = (&self.shared, &mut self.effects);
                match put_together(shared, &queue, &load.stored, &error, effects) {
                    Outcome::NotThere => Err(error),
                    Outcome::NotNeeded => return self.look_elsewhere(load, &queue),
                    Outcome::Replaced(waiting) => return self.served(waiting),
                }
            }
            read => read,
        };
        let read = match read {
            Err(ChunkError::Unreadable { error, .. }) => {
                let waiting = self.unreadable.add(load, &queue, &error);
                return waiting.into_iter().for_each(|then| then());
            }
            read => read,
        };
        if load.told.is_some() {
            tracing::warn!(queue = ?queue.name(), "messages can be read again");
        }
        drop(load.told);
        let stored = load.stored;
        if let Err(error) = &read {
            let store = &queue.engine().store;
            store.damaged_chunks(stored.damage(error), Some(queue.concerned()));
            forget(&self.shared, &stored);
        }
        let came_by = read.map_or(CameBy::Nothing, CameBy::Segment);
        let waiting = queue.loaded(&stored, came_by, &mut self.effects);
        self.served(waiting);
    }

    /// A chunk that could not be read is not needed where it was: it has moved, or is settled.
    fn look_elsewhere(&mut self, load: Load, queue: &Arc<Queue>) {
        let moved = queue.still_needs(&load.stored);
        match moved.filter(|moved| !moved.is_same(&load.stored)) {
            Some(stored) => self.serve(Load { stored, ..load }),
            None => {
                let waiting = queue.needs_no_more(&load.stored);
                self.served(waiting);
            }
        }
    }

    /// A queue has what it needs.
    fn served(&mut self, waiting: Vec<Then>) {
        self.effects.complete();
        // Nobody publishes here who could wait.
        self.effects.behind = None;
        waiting.into_iter().for_each(|then| then());
    }
}

/// The next start is not to find the chunk again.
pub(super) fn forget(shared: &Shared, stored: &Stored) {
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

/// Whether there was only too little of something, which says nothing of what is stored.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    const TOO_LITTLE: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| TOO_LITTLE.contains(&errno))
}

/// The same of a chunk that could not be read.
pub(super) fn is_shortage_of(error: &ChunkError) -> bool {
    matches!(error, ChunkError::Unreadable { error, .. } if is_shortage(error))
}

/// Reads a chunk. If it is damaged, a copy is kept.
pub(super) fn read(shared: &Shared, stored: &Stored) -> Result<StoredChunk, ChunkError> {
    open(shared, stored)?.read(&stored.entry)
}

/// Reads a chunk at start, tried again a few times. A start does not wait for a disk, which may have many
/// bad places, but for too little of something, without which it is refused. If the chunk is damaged, a copy is
/// kept if `sets_aside`.
pub(super) fn read_at_start(
    shared: &Shared,
    stored: &Stored,
    sets_aside: bool,
) -> Result<StoredChunk, ChunkError> {
    patiently(shared, || match sets_aside {
        true => read(shared, stored),
        false => open(shared, stored)?.look(&stored.entry),
    })
}

/// The same, if nothing is wanted but to know whether the chunk is what was written. If it is damaged, a copy
/// is kept.
pub(super) fn verify(shared: &Shared, stored: &Stored) -> Result<(), ChunkError> {
    patiently(shared, || open(shared, stored)?.verify(&stored.entry))
}

fn patiently<T>(
    shared: &Shared,
    once: impl Fn() -> Result<T, ChunkError>,
) -> Result<T, ChunkError> {
    let mut tries = 1;
    loop {
        match once() {
            Err(ChunkError::Unreadable { error, .. })
                if is_shortage(&error) && tries < MOST_TRIES =>
            {
                std::thread::sleep(shared.options.read_retry);
            }
            Err(ChunkError::Unreadable { error, .. })
                if error.kind() != io::ErrorKind::NotFound && tries < MOST_READS => {}
            read => return read,
        }
        tries += 1;
    }
}

fn open(shared: &Shared, stored: &Stored) -> Result<Segment, ChunkError> {
    let segment = &*stored.segment;
    let opened = Segment::open(Arc::clone(&shared.disk), segment.queue, segment.number);
    let opened = opened.map_err(|error| ChunkError::Unreadable {
        queue: segment.queue,
        segment: segment.number,
        chunk: stored.entry,
        error,
    })?;
    Ok(opened.past_cache(segment.is_past_cache))
}
