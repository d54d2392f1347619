//! Which of a band's chunks are in memory, which need not be, and which are lost.

use super::Band;
use crate::broker::queue::slot::Slot;

impl Band {
    /// What all chunks that take no more messages hold in memory, in bytes.
    pub fn closed_bytes(&self) -> usize {
        self.closed_bytes
    }

    /// How many chunks are not in memory.
    pub fn absent(&self) -> usize {
        self.absent
    }

    /// The slot with that number.
    pub fn slot(&self, number: u64) -> Option<&Slot> {
        self.position(number).map(|at| &self.slots[at])
    }

    /// The index of the slot with the head of what is ready.
    fn head_slot(&self) -> usize {
        let head = self.head().map_or(self.cursor, |(number, _)| number);
        self.after(head).saturating_sub(1)
    }

    /// The first numbers of so many slots from the head on.
    pub fn ahead(&self, slots: usize) -> impl Iterator<Item = u64> {
        let from = self.head_slot().min(self.slots.len());
        self.slots.range(from..).take(slots).map(|slot| slot.first)
    }

    /// The first numbers of closed chunks in memory that `left_bytes` of window, from the head on,
    /// do not cover. Chunks whose messages are all taken count as past it, unless chunks with messages
    /// that were taken are kept.
    pub fn past_window(&self, left_bytes: &mut usize, keeps_taken: bool) -> Vec<u64> {
        let head = self.head_slot();
        let mut past = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            if slot.is_open() || slot.is_absent() {
                continue;
            }
            if keeps_taken && slot.first < self.cursor {
                continue;
            } else if at < head {
                past.push(slot.first);
            } else if at == head && *left_bytes > 0 || slot.memory_bytes() <= *left_bytes {
                *left_bytes = left_bytes.saturating_sub(slot.memory_bytes());
            } else {
                past.push(slot.first);
            }
        }
        past
    }

    /// Changes a slot, and keeps account of what it holds.
    pub fn with_slot<T>(&mut self, first: u64, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let at = self.position(first)?;
        let slot = self.slots.get_mut(at).filter(|slot| slot.first == first)?;
        let held = |slot: &Slot| match slot.is_open() {
            true => (0, 0),
            false => (slot.memory_bytes(), usize::from(slot.is_absent())),
        };
        let (bytes_before, absent_before) = held(slot);
        let changed = change(slot);
        let (bytes, absent) = held(slot);
        self.closed_bytes = self.closed_bytes + bytes - bytes_before;
        self.absent = self.absent + absent - absent_before;
        Some(changed)
    }

    /// The chunk that begins there is damaged: its messages are gone.
    pub fn lose(&mut self, first: u64) {
        let Some(slot) = self.slot(first).filter(|slot| slot.first == first) else {
            return;
        };
        let end = slot.end();
        let numbers = self.cursor.max(first)..end;
        let unsettled = numbers.filter(|number| !slot.is_settled(*number)).count();
        self.holes += unsettled as u64;
        let behind = self.given_back.split_off(&end);
        self.given_back.split_off(&first);
        self.given_back.extend(behind);
        self.settle(first, end - 1);
        if self.ready() == 0 {
            self.ready_bytes = 0;
        }
    }
}
