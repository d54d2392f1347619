//! Giving readers what they want to see: what is safe, from where they are, as long as they have room
//! and chunks are in memory.
//!
//! A reader that has come to the end of what is safe waits for the log, which calls the [`Committer`];
//! one that needs a chunk from the disk waits for [`Queue::loaded`].

use std::ops::Range;
use std::sync::{Arc, Weak};

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::Stream;
use super::readers::Reader;
use crate::amqp::properties;
use crate::broker::log::{Returns, SafeListener, Safety};
use crate::broker::queue::deliver::SLICE;
use crate::broker::queue::slot::Slot;
use crate::broker::queue::{ConsumerId, Queue, State};
use crate::broker::{Delivery, Effects, Message};

/// The header that says a message's offset.
const OFFSET_HEADER: &str = "x-stream-offset";

/// Hears from the log that something is safe. That comes in the log's own thread, which must not be
/// kept: another one serves the readers.
pub(super) struct Committer(Weak<Queue>);

impl SafeListener for Committer {
    fn safe(&self, _safe_index: u64) {
        let Some(queue) = self.0.upgrade() else {
            return;
        };
        match queue.engine().pager() {
            Some(pager) => pager.serve(&queue),
            None => {
                let mut effects = Effects::new();
                queue.committed(&mut effects);
                effects.complete();
            }
        }
    }

    fn failed(&self) {
        if let Some(queue) = self.0.upgrade()
            && let Some(stream) = &mut queue.state.lock().stream
        {
            stream.commits.fail();
        }
    }
}

impl Queue {
    /// What readers wait for may be safe by now.
    pub(in crate::broker) fn committed(self: &Arc<Self>, effects: &mut Effects) {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return;
        }
        if let Some(stream) = &mut state.stream {
            stream.is_awaited = false;
        }
        self.retain(&mut state, effects);
        self.serve(&mut state, effects);
        self.after(&mut state);
    }

    /// Readers have room again.
    pub(in crate::broker::queue) fn resume_readers(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
        ids: &[ConsumerId],
        effects: &mut Effects,
    ) {
        for id in ids {
            let Some(stream) = &mut state.stream else {
                return;
            };
            let Some(at) = stream.readers.has_room(*id) else {
                continue;
            };
            self.advance(stream);
            if self.serve_reader(state, at, effects) {
                self.await_commits(state);
            }
        }
        self.after(state);
    }

    /// Serves all readers.
    pub(in crate::broker::queue) fn serve(
        self: &Arc<Self>,
        state: &mut State,
        effects: &mut Effects,
    ) {
        let Some(stream) = &mut state.stream else {
            return;
        };
        self.advance(stream);
        let mut anybody_waits = stream.is_too_long;
        for at in 0..stream.readers.len() {
            anybody_waits |= self.serve_reader(state, at, effects);
        }
        if anybody_waits {
            self.await_commits(state);
        }
    }

    /// Learns what is safe by now.
    pub(super) fn advance(&self, stream: &mut Stream) {
        if let Some(log) = self.spec.engine.log() {
            stream.commits.advance(log.safe_index());
        }
    }

    /// Has the committer called once more is safe.
    fn await_commits(self: &Arc<Self>, state: &mut State) {
        let (Some(stream), Some(log)) = (&mut state.stream, self.spec.engine.log()) else {
            return;
        };
        let Some(index) = stream.commits.awaited().filter(|_| !stream.is_awaited) else {
            return;
        };
        let committer = stream
            .committer
            .get_or_insert_with(|| Arc::new(Committer(Arc::downgrade(self))));
        stream.is_awaited = true;
        let listener: Arc<dyn SafeListener> = Arc::clone(committer) as _;
        match log.notify_when_safe(index, listener) {
            Safety::Waiting => {}
            // Between looking and asking: whoever serves the stream is called, as if it had been later.
            Safety::Safe => committer.safe(index),
            Safety::Failed => stream.commits.fail(),
        }
    }

    /// Gives one reader what it can take. Says whether it waits for more to be safe.
    fn serve_reader(self: &Arc<Self>, state: &mut State, at: usize, effects: &mut Effects) -> bool {
        loop {
            let (Some(stream), Some(band)) = (&mut state.stream, state.bands.first()) else {
                return false;
            };
            let committed = stream.commits.committed();
            let Some(reader) = stream.readers.get_mut(at).filter(|reader| reader.has_room) else {
                return false;
            };
            if reader.next >= committed {
                return true;
            }
            let Some(slot) = band.slots_from(reader.next).next() else {
                // What was there is lost.
                reader.next = committed;
                return true;
            };
            reader.next = reader.next.max(slot.first);
            let is_for_it = match (&reader.filter, stream.marks.of(slot.first)) {
                (Some(filter), Some(mark)) => filter.may_match(&mark.values),
                _ => true,
            };
            if !is_for_it {
                reader.next = slot.end().min(committed);
            } else if slot.is_absent() {
                let next = reader.next;
                self.read_ahead(state, next);
                return false;
            } else {
                give(slot, reader, committed, &mut stream.properties, effects);
            }
            if reader.next >= slot.end() {
                let (next, has_room) = (reader.next, reader.has_room);
                if has_room {
                    self.read_ahead(state, next);
                }
                self.evict(state);
            }
        }
    }
}

/// Gives a reader a slice of what comes next in a chunk that is in memory, as far as it is committed.
fn give(
    slot: &Slot,
    reader: &mut Reader,
    committed: u64,
    properties: &mut Vec<u8>,
    effects: &mut Effects,
) {
    let end = slot.end().min(committed);
    let mut picked: SmallVec<[(u64, Message<'_>, Range<usize>); SLICE]> = SmallVec::new();
    let mut next = reader.next;
    properties.clear();
    while next < end && picked.len() < SLICE {
        let number = next;
        next += 1;
        // What is settled was never there: a restart leaves such.
        let Ok(record) = slot.record(number) else {
            continue;
        };
        let message = record.message;
        let came_before = |ms: u64| record.expires_at_ms < ms;
        if reader.since_ms.is_some_and(came_before)
            || matches!(&reader.filter, Some(filter) if !filter.matches(message.properties))
        {
            continue;
        }
        let start = properties.len();
        let offset = number.cast_signed();
        properties::put_with_header(message.properties, OFFSET_HEADER, offset, properties);
        picked.push((number, message, start..properties.len()));
    }
    if !picked.is_empty() {
        let deliveries: SmallVec<[Delivery<'_>; SLICE]> = picked
            .iter()
            .map(|(number, message, range)| Delivery {
                message: Message {
                    properties: properties.get(range.clone()).unwrap_or_default(),
                    ..*message
                },
                sequence: *number,
                returns: Returns::default(),
                redelivered: false,
            })
            .collect();
        let taken = reader.sink.offer(reader.slot, &deliveries);
        if taken.count > 0 {
            effects.touch(&reader.sink);
            reader.since_ms = None;
        }
        if let Some(left) = deliveries.get(taken.count) {
            next = left.sequence;
        }
        reader.has_room = !taken.full && taken.count == deliveries.len();
    }
    reader.next = next;
}
