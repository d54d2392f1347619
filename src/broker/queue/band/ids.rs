//! The ids of the messages in a band, where its queue takes no message twice.
//!
//! They are in memory even where their messages are not: about a hundred bytes for each message that
//! has one.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::Band;
use crate::broker::deduplication::MessageId;
use crate::broker::pager::Stored;
use crate::broker::queue::chunk::Chunk;

/// What an id takes in memory, roughly, in bytes.
const ID_BYTES: usize = 96;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// The number of the last message with that id.
    by_id: HashMap<MessageId, u64>,
    /// The id of each message that has one, and when the message expires.
    by_number: BTreeMap<u64, (MessageId, u64)>,
}

impl Ids {
    fn add(&mut self, number: u64, id: MessageId, expires_at_ms: u64) {
        self.by_id.insert(id, number);
        self.by_number.insert(number, (id, expires_at_ms));
    }

    /// The message with that id, if it is there and has not expired; and when it will.
    fn find(&self, id: MessageId, now_ms: u64) -> Option<(u64, u64)> {
        let number = *self.by_id.get(&id)?;
        let (_, expires_at_ms) = self.by_number.get(&number)?;
        (*expires_at_ms > now_ms).then_some((number, *expires_at_ms))
    }

    /// Messages are gone.
    pub fn settle(&mut self, first: u64, last: u64) {
        while let Some((number, (id, _))) = self.by_number.range(first..=last).next() {
            let (number, id) = (*number, *id);
            self.by_number.remove(&number);
            // A later one may have it, where this one had expired.
            if self.by_id.get(&id) == Some(&number) {
                self.by_id.remove(&id);
            }
        }
    }
}

impl Band {
    /// From now on it knows the ids of its messages. Those that are there are read, if need be with
    /// `read`; what can't be read has none.
    pub fn know_ids(&mut self, read: impl Fn(&Stored) -> Option<Chunk>) {
        let mut ids = Ids::default();
        for slot in &self.slots {
            let loaded;
            let chunk = match slot.chunk() {
                Some(chunk) => chunk,
                None => {
                    loaded = slot.stored.as_ref().and_then(&read);
                    let Some(chunk) = &loaded else { continue };
                    chunk
                }
            };
            for index in 0..chunk.len().min(slot.len()) {
                if slot.settled.contains(index) {
                    continue;
                }
                let record = chunk.record(index);
                if let Some(id) = MessageId::of(record.message.properties) {
                    ids.add(slot.first + u64::from(index), id, record.expires_at_ms);
                }
            }
        }
        self.ids = Some(Box::new(ids));
    }

    /// The message of that number, which was appended, has that id.
    pub fn note_id(&mut self, number: u64, id: MessageId, expires_at_ms: u64) {
        if let Some(ids) = &mut self.ids {
            ids.add(number, id, expires_at_ms);
        }
    }

    /// The number of the message with that id, if it is there and has not expired; and when it will.
    pub fn find_id(&self, id: MessageId, now_ms: u64) -> Option<(u64, u64)> {
        self.ids.as_ref()?.find(id, now_ms)
    }

    /// What ids take in memory, roughly, in bytes.
    pub fn ids_bytes(&self) -> usize {
        let ids = self.ids.as_ref();
        ids.map_or(0, |ids| ids.by_number.len() * ID_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// They are what is known of a list of messages, of which ranges go.
        #[test]
        fn behave_as_a_list(
            steps in prop::collection::vec((0..6u128, 1..20u64, any::<prop::sample::Index>(), 0..4u64), 0..100),
        ) {
            let mut ids = Ids::default();
            let mut model: Vec<(u64, u128, u64)> = Vec::new();
            let (mut next, mut now_ms) = (0, 0);
            for (id, ttl_ms, first, length) in steps {
                now_ms += 1;
                let there = model.iter().find(|(_, there, expires)| *there == id && *expires > now_ms);
                let found = ids.find(MessageId(id), now_ms);
                prop_assert_eq!(found, there.map(|(number, _, expires)| (*number, *expires)));
                if found.is_none() {
                    ids.add(next, MessageId(id), now_ms + ttl_ms);
                    model.push((next, id, now_ms + ttl_ms));
                    next += 1;
                }
                let first = first.index(next as usize) as u64;
                if length > 0 {
                    let last = first + length - 1;
                    ids.settle(first, last);
                    model.retain(|(number, _, _)| *number < first || *number > last);
                }
                prop_assert_eq!(ids.by_number.len(), model.len());
                prop_assert!(ids.by_id.len() <= model.len());
            }
        }
    }
}
