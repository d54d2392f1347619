//! Chunks that the disk does not give. Nothing of them is settled and nothing passes them: deliveries in
//! order, what limits take from the head, and dead letters wait until they can be read, or are purged, or the
//! queue goes. Whatever needs no message from them goes on.

use super::paging::Then;
use super::{Queue, State};
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::names::Resource;
use crate::broker::pager::Stored;

/// A chunk: its band, and the number of its first record.
type Key = (usize, u64);

fn key_of(stored: &Stored) -> Key {
    (stored.entry.band as usize, stored.entry.first)
}

impl Queue {
    /// A chunk could not be read, and may not be for long. Gives whoever waits for the head: they are to
    /// look again.
    pub(in crate::broker) fn cannot_read(&self, stored: &Stored) -> Vec<Then> {
        let mut state = self.state.lock();
        let key = key_of(stored);
        if state.chunk_at(key).is_some() && !state.paging.unreadable.contains(&key) {
            state.paging.unreadable.push(key);
        }
        std::mem::take(&mut state.paging.waiting)
    }

    /// Where a chunk is by now that could not be read; None if nobody needs it any more.
    pub(in crate::broker) fn still_needs(&self, stored: &Stored) -> Option<Stored> {
        let mut state = self.state.lock();
        let key = key_of(stored);
        let chunk = state.chunk_at(key).cloned();
        if chunk.is_none() {
            state.paging.loading.retain(|loading| *loading != key);
            state.paging.can_read(key);
        }
        chunk
    }

    /// A chunk that was asked for is not needed any more. Gives whoever waits for the head: they are to look
    /// again.
    pub(in crate::broker) fn needs_no_more(&self, stored: &Stored) -> Vec<Then> {
        let mut state = self.state.lock();
        let key = key_of(stored);
        state.paging.loading.retain(|loading| *loading != key);
        state.paging.can_read(key);
        std::mem::take(&mut state.paging.waiting)
    }

    /// Refuses a message to whoever does not want to wait for what can't be read.
    pub fn refuse_unreadable(&self) -> Exception {
        let queue = Resource::queue(&self.spec.name, &self.spec.vhost_name);
        let text = format!("failed to perform operation on {queue} due to timeout");
        Exception::new(ReplyCode::NotFound, text)
    }
}

impl State {
    /// Where that chunk is, if it is not in memory.
    fn chunk_at(&self, (at, first): Key) -> Option<&Stored> {
        let slot = self.bands.get(at)?.slot(first)?;
        let is_it = slot.first == first && slot.is_absent();
        slot.stored.as_ref().filter(|_| is_it)
    }

    /// Whether the message, which is not in memory, can't be read.
    pub(super) fn is_unreadable(&self, at: usize, number: u64) -> bool {
        let unreadable = &self.paging.unreadable;
        let slot = self.bands.get(at).and_then(|band| band.slot(number));
        !unreadable.is_empty() && slot.is_some_and(|slot| unreadable.contains(&(at, slot.first)))
    }
}
