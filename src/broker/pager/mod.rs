//! Paging: chunks that do not fit a queue's window in memory, in segments.

use crate::store::segment::ChunkEntry;

/// A chunk's place in a segment.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The segment's number.
    pub segment: u64,
    /// Where in it.
    pub entry: ChunkEntry,
}
