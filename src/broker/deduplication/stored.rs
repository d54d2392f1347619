//! How ids outlive the log's files: before a file is freed, those that only it has go to the catalog,
//! in blocks, as their exchange learnt them. A block goes when none of its ids is needed any more, and
//! is written anew, with others, when few are.
//!
//! So an id is written to the log once, with its message, and at most a few times to the catalog,
//! which never has many more than the exchange remembers. Every block says as well what the exchange
//! had forgotten by then, so that nothing of an older block is known again.

use std::collections::BTreeMap;

use super::message_id::MessageId;
use super::seen::{Entry, Seen};
use crate::store::catalog::{Op, SeenRecord};
use crate::store::journal::SeenId;

/// A block has so many ids at most.
const BLOCK_IDS: usize = 4096;
/// A block of which less than one in so many is needed is written anew.
const SPARSE_SHARE: usize = 4;

/// The blocks that the catalog has.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    next: u64,
    /// The catalog knows that everything before this place is forgotten.
    first: u64,
    by_number: BTreeMap<u64, Block>,
}

#[derive(Debug, Default)]
struct Block {
    ids: usize,
    live: usize,
}

impl Blocks {
    /// An entry says that it is in the block.
    pub fn gained(&mut self, block: u64) {
        self.next = self.next.max(block + 1);
        self.by_number.entry(block).or_default().live += 1;
    }

    /// An entry of the block is gone, or elsewhere.
    pub fn lost(&mut self, block: u64) {
        if let Some(block) = self.by_number.get_mut(&block) {
            block.live = block.live.saturating_sub(1);
        }
    }

    fn is_sparse(&self, block: u64) -> bool {
        self.by_number
            .get(&block)
            .is_none_or(|block| block.live * SPARSE_SHARE < block.ids)
    }
}

/// What the catalog is to have of an exchange's ids.
#[derive(Debug, Default)]
pub struct Storing {
    /// New blocks, with their sequences.
    blocks: Vec<StoredBlock>,
    /// Blocks that go.
    gone: Vec<u64>,
    /// Everything before that place is forgotten.
    first: u64,
    /// The log must be synced so far before: an id must not be kept without its message.
    pub synced_at: u64,
}

/// A block of ids.
#[derive(Clone, Debug, Default)]
pub struct StoredBlock {
    number: u64,
    ids: Vec<(u64, u128, u64)>,
}

impl Storing {
    /// Whether there is nothing to be done.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.gone.is_empty()
    }

    /// What the catalog is to change, for the exchange of that number.
    pub fn ops(&self, exchange: u64) -> Vec<Op> {
        let put = self.blocks.iter().map(|block| {
            let ids = block.ids.clone();
            let first = self.first;
            Op::PutSeen(exchange, block.number, SeenRecord { first, ids })
        });
        let delete = self.gone.iter();
        let delete = delete.map(|block| Op::DeleteSeen(exchange, *block));
        put.chain(delete).collect()
    }
}

impl Seen {
    /// What the catalog must have before the log may forget what lies below `before`.
    pub fn to_store(&mut self, before: u64) -> Storing {
        let mut storing = Storing {
            first: self.first(),
            ..Storing::default()
        };
        let needs_block = |entry: &Entry| match entry.block {
            Some(block) => self.blocks.is_sparse(block),
            None => entry.logged_from.is_some_and(|from| from < before),
        };
        let needy = self.entries.iter().filter(|(_, entry)| needs_block(entry));
        for (sequence, entry) in needy {
            if storing
                .blocks
                .last()
                .is_none_or(|block| block.ids.len() >= BLOCK_IDS)
            {
                let number = self.blocks.next + storing.blocks.len() as u64;
                storing.blocks.push(StoredBlock {
                    number,
                    ids: Vec::new(),
                });
            }
            if let Some(block) = storing.blocks.last_mut() {
                block.ids.push((*sequence, entry.id.0, entry.expires_at_ms));
            }
            storing.synced_at = storing.synced_at.max(entry.safe_at);
        }
        let known = self.blocks.by_number.iter();
        let sparse = known.filter(|(block, _)| self.blocks.is_sparse(**block));
        storing.gone = sparse.map(|(block, _)| *block).collect();
        let forgets = storing.first > self.blocks.first && !self.blocks.by_number.is_empty();
        if storing.blocks.is_empty() && (forgets || !storing.gone.is_empty()) {
            // One that says nothing else.
            storing.blocks.push(StoredBlock {
                number: self.blocks.next,
                ids: Vec::new(),
            });
        }
        if !storing.blocks.is_empty() {
            let known = self.blocks.by_number.iter();
            let empty = known.filter(|(_, block)| block.ids == 0);
            storing.gone.extend(empty.map(|(block, _)| *block));
        }
        self.blocks.next += storing.blocks.len() as u64;
        storing
    }

    /// The catalog has it.
    pub fn stored(&mut self, storing: Storing) {
        self.blocks.first = self.blocks.first.max(storing.first);
        for block in &storing.blocks {
            self.blocks.by_number.insert(
                block.number,
                Block {
                    ids: block.ids.len(),
                    live: 0,
                },
            );
            for (sequence, id, _) in &block.ids {
                if let Some(entry) = self.entries.get_mut(sequence)
                    && entry.id.0 == *id
                {
                    let before = entry.block.replace(block.number);
                    before.into_iter().for_each(|block| self.blocks.lost(block));
                    self.blocks.gained(block.number);
                }
            }
        }
        for block in storing.gone {
            self.blocks.by_number.remove(&block);
        }
    }

    /// At start: a block that the catalog has.
    pub fn restore_block(&mut self, number: u64, record: &SeenRecord, now_ms: u64) {
        self.blocks.next = self.blocks.next.max(number + 1);
        self.blocks.by_number.entry(number).or_default().ids = record.ids.len();
        self.blocks.first = self.blocks.first.max(record.first);
        self.forget_before(record.first);
        for (sequence, id, expires_at_ms) in &record.ids {
            let entry = Entry {
                id: MessageId(*id),
                expires_at_ms: *expires_at_ms,
                logged_from: None,
                safe_at: 0,
                block: Some(number),
            };
            self.restore(*sequence, entry, now_ms);
        }
    }

    /// At start: an id that the log has at that index.
    pub fn restore_logged(&mut self, index: u64, id: &SeenId, now_ms: u64) {
        let entry = Entry {
            id: MessageId(id.id),
            expires_at_ms: id.expires_at_ms,
            logged_from: Some(index),
            safe_at: index,
            block: None,
        };
        self.restore(id.sequence, entry, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A catalog and a log, and what they have of an exchange.
    #[derive(Default)]
    struct Disk {
        blocks: BTreeMap<u64, SeenRecord>,
        log: BTreeMap<u64, SeenId>,
    }

    impl Disk {
        fn apply(&mut self, ops: Vec<Op>) {
            for op in ops {
                match op {
                    Op::PutSeen(1, block, record) => {
                        self.blocks.insert(block, record);
                    }
                    Op::DeleteSeen(1, block) => {
                        self.blocks.remove(&block);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }

        fn read(&self, size: usize, now_ms: u64) -> Seen {
            let mut seen = Seen::new(size);
            for (block, record) in &self.blocks {
                seen.restore_block(*block, record, now_ms);
            }
            for (index, id) in &self.log {
                seen.restore_logged(*index, id, now_ms);
            }
            seen
        }
    }

    proptest! {
        /// Whenever it stops, and wherever between the catalog's commit and the log's forgetting, the
        /// next run knows what this one knew (and maybe some that it had forgotten for want of room);
        /// and the catalog does not grow past what is needed.
        #[test]
        fn a_restart_changes_nothing(
            size in 1..20usize,
            steps in prop::collection::vec((0..60u128, prop_oneof![Just(u64::MAX), 1..50u64], 0..8u32), 0..300),
        ) {
            let mut seen = Seen::new(size);
            let mut disk = Disk::default();
            let mut published = BTreeMap::new();
            let (mut index, mut now_ms) = (1, 0);
            for (id, ttl_ms, chance) in steps {
                now_ms += 1;
                let expires_at_ms = ttl_ms.saturating_add(now_ms);
                if seen.find(MessageId(id), now_ms).is_none() {
                    let sequence = seen.insert(MessageId(id), expires_at_ms, now_ms, Some(index));
                    published.insert(id, expires_at_ms);
                    index += 1;
                    seen.logged(sequence, index);
                    disk.log.insert(index, SeenId { exchange: 1, sequence, id, expires_at_ms });
                }
                if chance < 3 {
                    let before = index.saturating_sub(u64::from(chance) * 2);
                    let storing = seen.to_store(before);
                    prop_assert!(storing.synced_at <= index);
                    disk.apply(storing.ops(1));
                    if chance == 0 {
                        // It stops before the log has forgotten.
                        seen = disk.read(size, now_ms);
                    } else {
                        seen.stored(storing);
                        disk.log = disk.log.split_off(&before);
                    }
                    let kept: usize = disk.blocks.values().map(|block| block.ids.len()).sum();
                    prop_assert!(kept <= (SPARSE_SHARE + 2) * size + 2, "{kept} for {size}");
                    prop_assert!(disk.blocks.len() <= size + 1);
                }
                let again = disk.read(size, now_ms);
                prop_assert!(again.len() <= size);
                for id in 0..60 {
                    let knew = seen.find(MessageId(id), now_ms).is_some();
                    let knows = again.find(MessageId(id), now_ms).is_some();
                    let may_know = published.get(&id).is_some_and(|expires| *expires > now_ms);
                    prop_assert!((knows || !knew) && (may_know || !knows), "{} {knew} {knows}", id);
                }
            }
        }
    }
}
