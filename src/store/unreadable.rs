//! What the disk does not give at the moment: told for as long as somebody goes on trying to read it.
//!
//! Nothing of it is noted on the disk, because nothing is known to be lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::quarantine::Concerned;

/// See the module. By place, with what is told of it.
#[derive(Clone, Debug, Default)]
pub struct UnreadableChunks(Arc<Mutex<BTreeMap<String, UnreadableChunk>>>);

/// A part of a segment that can't be read.
#[derive(Clone, Debug)]
pub struct UnreadableChunk {
    /// For people.
    pub what: String,
    /// Whose it is.
    pub queue: Concerned,
}

/// A chunk is told of for as long as this lives.
#[derive(Debug)]
#[must_use]
pub struct Telling {
    chunks: UnreadableChunks,
    place: String,
}

impl UnreadableChunks {
    /// Tells of a chunk.
    pub fn tell(&self, place: String, chunk: UnreadableChunk) -> Telling {
        tracing::error!(what = chunk.what, "stored data can't be read");
        self.0.lock().insert(place.clone(), chunk);
        Telling {
            chunks: self.clone(),
            place,
        }
    }

    /// Shows them all.
    pub fn for_each(&self, mut each: impl FnMut(&UnreadableChunk)) {
        self.0.lock().values().for_each(&mut each);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.chunks.0.lock().remove(&self.place);
    }
}
