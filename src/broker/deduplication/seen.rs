//! The ids that an exchange remembers: as many as it was told to, each for a time; the oldest goes
//! for a new one.
//!
//! Every entry has a sequence, ever growing, and knows the log's index by which its message is safe:
//! a duplicate must not be confirmed before the message that it repeats. One that is to be kept knows
//! as well from what index on the log may have it, and the block of the catalog that has it since
//! the log's files were freed (`stored`).

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::message_id::MessageId;
use super::stored::Blocks;
use crate::broker::message::Facts;

/// What an entry takes in memory, roughly, in bytes.
const ENTRY_BYTES: usize = 128;

/// See the module.
#[derive(Debug)]
pub struct Seen {
    size: usize,
    next: u64,
    /// At start: what comes before it was forgotten.
    first: u64,
    pub(super) entries: BTreeMap<u64, Entry>,
    places: HashMap<MessageId, u64>,
    /// Those that expire: when, sequence.
    expiring: BTreeSet<(u64, u64)>,
    pub(super) blocks: Blocks,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub id: MessageId,
    /// Wall-clock milliseconds, or [`Facts::NEVER`].
    pub expires_at_ms: u64,
    /// The log has it at this index or above; None if it is not to be kept.
    pub logged_from: Option<u64>,
    /// Its message is safe once the log is so far.
    pub safe_at: u64,
    /// The block that has it.
    pub block: Option<u64>,
}

impl Seen {
    /// Remembers `size` ids at most, and at least one.
    pub fn new(size: usize) -> Self {
        Self {
            size: size.max(1),
            next: 1,
            first: 0,
            entries: BTreeMap::new(),
            places: HashMap::new(),
            expiring: BTreeSet::new(),
            blocks: Blocks::default(),
        }
    }

    /// How many ids it remembers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it takes in memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES
    }

    /// Whether the id came before; if so, by what index of the log its message is safe.
    pub fn find(&self, id: MessageId, now_ms: u64) -> Option<u64> {
        let entry = self.entries.get(self.places.get(&id)?)?;
        (entry.expires_at_ms > now_ms).then_some(entry.safe_at)
    }

    /// Remembers an id that it does not have; says the entry's sequence. If the entry is to be kept,
    /// `logged_from` is an index that its record in the log will not be below.
    pub fn insert(
        &mut self,
        id: MessageId,
        expires_at_ms: u64,
        now_ms: u64,
        logged_from: Option<u64>,
    ) -> u64 {
        self.forget_expired(now_ms);
        while self.entries.len() >= self.size
            && let Some((oldest, _)) = self.entries.first_key_value()
        {
            self.remove(*oldest);
        }
        let sequence = self.next;
        self.next += 1;
        self.put(
            sequence,
            Entry {
                id,
                expires_at_ms,
                logged_from,
                safe_at: 0,
                block: None,
            },
        );
        sequence
    }

    /// Takes back an entry, whose message nobody has.
    pub fn withdraw(&mut self, sequence: u64) {
        self.remove(sequence);
    }

    /// The entry's message is safe once the log is that far.
    pub fn logged(&mut self, sequence: u64, index: u64) {
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.safe_at = index;
        }
    }

    /// At start: an entry as the log or a block of the catalog has it. Of those of one id the newer
    /// comes later.
    pub(super) fn restore(&mut self, sequence: u64, entry: Entry, now_ms: u64) {
        self.next = self.next.max(sequence + 1);
        let before = self.places.get(&entry.id).copied();
        if sequence < self.first || before.is_some_and(|before| before >= sequence) {
            return;
        }
        if entry.expires_at_ms <= now_ms {
            // It was not known any more when this one came.
            before.into_iter().for_each(|before| self.remove(before));
            return;
        }
        self.put(sequence, entry);
        while self.entries.len() > self.size
            && let Some((oldest, _)) = self.entries.first_key_value()
        {
            self.remove(*oldest);
        }
    }

    /// At start: everything before that place had been forgotten.
    pub(super) fn forget_before(&mut self, first: u64) {
        self.first = self.first.max(first);
        while let Some((oldest, _)) = self.entries.first_key_value()
            && *oldest < self.first
        {
            self.remove(*oldest);
        }
    }

    /// The place of the first entry, or of the next.
    pub(super) fn first(&self) -> u64 {
        let first = self.entries.first_key_value();
        first.map_or(self.next, |(first, _)| *first)
    }

    /// Forgets ids whose time is over.
    pub fn forget_expired(&mut self, now_ms: u64) {
        while let Some((expires_at_ms, sequence)) = self.expiring.first().copied()
            && expires_at_ms <= now_ms
        {
            self.remove(sequence);
        }
    }

    fn put(&mut self, sequence: u64, entry: Entry) {
        if let Some(before) = self.places.insert(entry.id, sequence) {
            self.take_out(before);
        }
        if entry.expires_at_ms != Facts::NEVER {
            self.expiring.insert((entry.expires_at_ms, sequence));
        }
        if let Some(block) = entry.block {
            self.blocks.gained(block);
        }
        self.entries.insert(sequence, entry);
    }

    fn remove(&mut self, sequence: u64) {
        if let Some(entry) = self.take_out(sequence) {
            self.places.remove(&entry.id);
        }
    }

    fn take_out(&mut self, sequence: u64) -> Option<Entry> {
        let entry = self.entries.remove(&sequence)?;
        self.expiring.remove(&(entry.expires_at_ms, sequence));
        if let Some(block) = entry.block {
            self.blocks.lost(block);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A list of ids and when they expire, oldest first.
    #[derive(Default)]
    struct Model(Vec<(u128, u64)>);

    impl Model {
        fn publish(&mut self, size: usize, id: u128, expires_at_ms: u64, now_ms: u64) -> bool {
            self.0.retain(|(_, expires_at_ms)| *expires_at_ms > now_ms);
            if self.0.iter().any(|(known, _)| *known == id) {
                return true;
            }
            if self.0.len() == size {
                self.0.remove(0);
            }
            self.0.push((id, expires_at_ms));
            false
        }
    }

    proptest! {
        /// A cache finds what a list would find, whatever expires, is pushed out or is withdrawn.
        #[test]
        fn behaves_as_its_model(
            size in 1..6usize,
            steps in prop::collection::vec((0..10u128, prop_oneof![Just(u64::MAX), 0..20u64], 0..4u64, 0..8u32), 0..200),
        ) {
            let (mut seen, mut model) = (Seen::new(size), Model::default());
            let mut now_ms = 0;
            for (id, ttl_ms, passed_ms, chance) in steps {
                now_ms += passed_ms;
                let expires_at_ms = ttl_ms.saturating_add(now_ms);
                let is_known = seen.find(MessageId(id), now_ms).is_some();
                if !is_known && expires_at_ms > now_ms {
                    let sequence = seen.insert(MessageId(id), expires_at_ms, now_ms, None);
                    if chance == 0 {
                        seen.withdraw(sequence);
                    } else {
                        seen.logged(sequence, now_ms);
                    }
                }
                prop_assert!(seen.len() <= size);
                if expires_at_ms > now_ms || is_known {
                    prop_assert_eq!(model.publish(size, id, expires_at_ms, now_ms), is_known);
                    if !is_known && chance == 0 {
                        model.0.pop();
                    }
                }
            }
            for id in 0..10 {
                let is_known = model.0.iter().any(|(known, expires)| *known == id && *expires > now_ms);
                prop_assert_eq!(seen.find(MessageId(id), now_ms).is_some(), is_known);
            }
        }
    }
}
