//! A stream: what was published stays, for any number of readers, each at a place of its own.
//!
//! ```text
//! publishing.rs ─▶ the band's chunks ─▶ serving.rs ─▶ a reader's sink
//!   │                ▲   marks.rs: their sizes, times, filter values (bloom.rs)
//!   │                └── retention.rs: old segments go
//!   └─▶ commits.rs: readers see what is safe      readers.rs: where they are; filter.rs, offset.rs:
//! residence.rs: which chunks are in memory          what they asked for
//! restoring.rs: as the last run left it            arguments.rs, max_age.rs: what it was declared with
//! ```
//!
//! It is kept as any queue is: one band of chunks, the log, the pager's segments. Nothing is ever taken
//! from that band, so that all of it is "ready"; what retention lets go of is settled. A message's
//! number is its offset. Where other queues keep when a message expires, a stream keeps when it came.

mod arguments;
mod bloom;
mod commits;
mod filter;
mod marks;
pub(super) mod max_age;
mod offset;
mod publishing;
mod readers;
mod residence;
mod restoring;
mod retention;
mod serving;

use std::sync::Arc;

pub use self::arguments::StreamArguments;
pub use self::filter::Filter;
pub use self::offset::Start;

use self::commits::Commits;
use self::marks::Marks;
use self::readers::{Reader, Readers};
use self::serving::Committer;
use super::{ConsumerId, ConsumerSpec, Queue};
use crate::amqp::reply::Exception;

/// What a stream has beside what every queue has.
#[derive(Default)]
pub(super) struct Stream {
    wants: StreamArguments,
    marks: Marks,
    commits: Commits,
    readers: Readers,
    /// The first numbers of chunks that are in a segment and in memory as well.
    resident: Vec<u64>,
    /// The number of the first message of the last publish.
    last_publish: u64,
    /// Hears when what readers wait for is safe.
    committer: Option<Arc<Committer>>,
    /// It waits to hear.
    is_awaited: bool,
    /// Some of it is to go once more is safe.
    is_too_long: bool,
    /// Properties with their offsets in, on their way; kept to reuse its allocation.
    properties: Vec<u8>,
}

impl Stream {
    /// An empty stream.
    pub fn new(wants: StreamArguments) -> Self {
        Self {
            wants,
            ..Self::default()
        }
    }

    /// Policies ask for something else from now on. As in RabbitMQ the sizes of segments and filters stay
    /// what they were when the stream was declared.
    pub fn apply(&mut self, wants: &StreamArguments) {
        self.wants.max_age_ms = wants.max_age_ms;
        self.wants.max_bytes = wants.max_bytes;
    }

    /// Readers are gone; their ids are sorted.
    pub fn remove_readers(&mut self, ids: &[ConsumerId]) {
        self.readers.remove(ids);
    }

    /// Nobody reads any more.
    pub fn close(&mut self) {
        self.readers.clear();
    }
}

impl Queue {
    /// Adds a reader, which gets nothing until [`Queue::resume`] is called for it. Only for a stream.
    ///
    /// # Errors
    /// NOT_FOUND if the queue was deleted meanwhile.
    pub fn add_reader(
        &self,
        spec: ConsumerSpec,
        start: Start,
        filter: Option<Filter>,
    ) -> Result<ConsumerId, Exception> {
        let state = &mut *self.state.lock();
        let (Some(stream), false) = (&mut state.stream, self.is_deleted()) else {
            return Err(self.not_found());
        };
        let (first, end) = state
            .bands
            .first()
            .map_or((0, 0), |band| (band.cursor(), band.end()));
        let since = |ms: u64| {
            stream
                .marks
                .since(ms)
                .map(|chunk| (chunk.max(first), Some(ms)))
        };
        let (next, since_ms) = match start {
            Start::First => (first, None),
            Start::Next => (end, None),
            Start::Last => (stream.last_publish.clamp(first, end), None),
            Start::At(offset) => (offset.max(first), None),
            Start::Since(ms) => since(ms).unwrap_or((end, None)),
        };
        let (sink, slot) = (Arc::clone(&spec.sink), spec.slot);
        let id = state.consumers.add(spec);
        stream.readers.add(Reader {
            id,
            sink,
            slot,
            next,
            since_ms,
            filter,
            has_room: false,
        });
        Ok(id)
    }
}
