//! Chunks of which the log had messages as well when the broker started. Each is read once, while the broker
//! works already, to be sure of it. If it is not what was written, or the disk does not give it, it is put
//! together from the log, which is not shortened before all are proven.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Shared, Stored, reading};
use crate::broker::log::Copies;
use crate::broker::missing;
use crate::broker::queue::{CameBy, Queue, Then};
use crate::broker::{Broker, Effects};
use crate::store::segment::ChunkError;

/// Queue, segment, and where in it.
type Key = (u64, u64, u64);

fn key_of(stored: &Stored) -> Key {
    let segment = &stored.segment;
    (segment.queue, segment.number, stored.entry.offset)
}

/// See the module.
#[derive(Default)]
pub(super) struct Unproven {
    /// The chunks, and from which index on the log has messages of them.
    chunks: Mutex<BTreeMap<Key, (Stored, u64)>>,
    /// One at a time is put together.
    turn: Mutex<()>,
}

impl Unproven {
    /// That chunk, of which the log has messages from that index on.
    pub fn add(&self, stored: Stored, from: u64) {
        self.chunks.lock().insert(key_of(&stored), (stored, from));
    }

    /// Whether nothing is left to be done.
    pub fn is_empty(&self) -> bool {
        self.chunks.lock().is_empty()
    }

    /// Nothing is to be done any more.
    pub fn clear(&self) {
        let chunks = std::mem::take(&mut *self.chunks.lock());
        drop(chunks);
    }

    fn first(&self) -> Option<Stored> {
        let chunks = self.chunks.lock();
        chunks.values().next().map(|(stored, _)| stored.clone())
    }

    fn from(&self, stored: &Stored) -> Option<u64> {
        let chunks = self.chunks.lock();
        chunks.get(&key_of(stored)).map(|(_, from)| *from)
    }

    fn remove(&self, stored: &Stored) {
        self.chunks.lock().remove(&key_of(stored));
    }
}

/// Proves all chunks. Ends early if the pager is closed.
pub(super) fn prove_all(shared: &Arc<Shared>, broker: &Weak<Broker>) {
    let mut effects = Effects::new();
    while let Some(stored) = shared.unproven.first() {
        let Some(broker) = broker.upgrade() else {
            return;
        };
        if shared.is_closing.load(Ordering::Acquire) {
            return;
        }
        let queue = broker.queue_of_id(stored.segment.queue);
        if let Some(queue) = queue.filter(|queue| queue.needs(&stored)) {
            match reading::verify(shared, &stored) {
                Err(error) if reading::is_shortage_of(&error) => {
                    std::thread::sleep(shared.options.retry);
                    continue;
                }
                Err(error) => {
                    let outcome = put_together(shared, &queue, &stored, &error, &mut effects);
                    if let Outcome::Replaced(waiting) = outcome {
                        effects.complete();
                        waiting.into_iter().for_each(|then| then());
                    }
                }
                Ok(()) => {}
            }
        }
        // Whoever needs what cannot be read and is not in the log waits for it.
        shared.unproven.remove(&stored);
    }
}

/// What became of a chunk that its segment does not give.
pub(super) enum Outcome {
    /// It is in memory, as the log has it; who waited for it.
    Replaced(Vec<Then>),
    /// Nobody needs it there any more.
    NotNeeded,
    /// The log does not have it.
    NotThere,
}

/// Puts a chunk together from what the log has of it, if it does, and tells what is lost.
pub(super) fn put_together(
    shared: &Arc<Shared>,
    queue: &Arc<Queue>,
    stored: &Stored,
    error: &ChunkError,
    effects: &mut Effects,
) -> Outcome {
    let _turn = shared.unproven.turn.lock();
    let Some(wanted) = queue.wanted_of(stored) else {
        return Outcome::NotNeeded;
    };
    let Some((log, from)) = queue.engine().log().zip(shared.unproven.from(stored)) else {
        return Outcome::NotThere;
    };
    let copies = Copies::read(&**log, stored, from, &wanted);
    let lost = (wanted.len() - copies.len()) as u64;
    // What the disk does not give now it may give later.
    if lost > 0 && matches!(error, ChunkError::Unreadable { .. }) {
        return Outcome::NotThere;
    }
    missing::give_up_chunk(queue, stored, error, (copies.len() as u64, lost));
    let waiting = queue.loaded(stored, CameBy::Log(copies), effects);
    reading::forget(shared, stored);
    shared.unproven.remove(stored);
    Outcome::Replaced(waiting)
}
