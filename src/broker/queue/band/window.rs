//! Which of a band's chunks are in memory, which need not be, and which are lost.

use std::sync::Arc;

use super::Band;
use crate::broker::queue::chunk::Chunk;
use crate::broker::queue::slot::{Bodies, Slot};

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
    /// do not cover. Chunks whose messages are all taken count as past it.
    pub fn past_window(&self, left_bytes: &mut usize) -> Vec<u64> {
        let head = self.head_slot();
        let mut past = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            if slot.is_open() || slot.is_absent() {
                continue;
            }
            if at < head {
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
            true => (0, 0, 0),
            false => {
                let is_absent = usize::from(slot.is_absent());
                (slot.memory_bytes(), is_absent, slot.bodies_bytes())
            }
        };
        let (bytes_before, absent_before, bodies_before) = held(slot);
        let changed = change(slot);
        let (bytes, absent, bodies) = held(slot);
        self.closed_bytes = self.closed_bytes + bytes - bytes_before;
        self.absent = self.absent + absent - absent_before;
        self.bodies_bytes = self.bodies_bytes + bodies - bodies_before;
        Some(changed)
    }

    /// Lets go of the chunk that begins there, if it is in a segment. If the queue `counts_bytes`, what it
    /// must know of its bodies stays.
    pub fn evict(&mut self, first: u64, counts_bytes: bool) {
        let bodies = self.slot(first).filter(|_| counts_bytes);
        let bodies = bodies.map(|slot| Box::new(self.bodies_of(slot)));
        self.with_slot(first, |slot| {
            slot.evict();
            if slot.is_absent() {
                slot.bodies = bodies;
            }
        });
    }

    /// The chunk that begins there was read from its segment. If the queue `counts_bytes`, what was not
    /// known of it counts from now on.
    pub fn load(&mut self, first: u64, chunk: Arc<Chunk>, counts_bytes: bool) {
        let was_counted = self.slot(first).is_none_or(Slot::is_counted);
        self.with_slot(first, |slot| slot.load(chunk));
        if counts_bytes
            && !was_counted
            && let Some(slot) = self.slot(first)
        {
            self.ready_bytes += self.bodies_of(slot).ready_bytes;
        }
    }

    /// Counts the bytes of what is ready again, as far as they are known.
    pub fn recount(&mut self) {
        let counts = self.slots.iter().map(|slot| match &slot.bodies {
            Some(bodies) => bodies.ready_bytes,
            None => self.bodies_of(slot).ready_bytes,
        });
        self.ready_bytes = counts.sum();
    }

    /// The first numbers of the chunks of which they are not known.
    pub fn uncounted(&self) -> impl Iterator<Item = u64> {
        let slots = self.slots.iter().filter(|slot| !slot.is_counted());
        slots.map(|slot| slot.first)
    }

    fn bodies_of(&self, slot: &Slot) -> Bodies {
        let (mut ready_bytes, mut taken) = (0, Vec::new());
        slot.for_each_live(|number, record| {
            let bytes = record.message.body.len();
            if number >= self.cursor || self.given_back.contains(number) {
                ready_bytes += bytes as u64;
            } else {
                taken.push(((number - slot.first) as u32, bytes as u32));
            }
        });
        Bodies {
            ready_bytes,
            taken: taken.into(),
        }
    }

    /// The log has the chunk that begins there, from that index on, and its segment does not give it. If the
    /// queue `counts_bytes`, it is counted.
    pub fn load_copies(&mut self, first: u64, chunk: Arc<Chunk>, from: u64, counts_bytes: bool) {
        self.forget_bodies(first);
        self.load(first, chunk, counts_bytes);
        self.with_slot(first, |slot| slot.forget_stored(from));
    }

    /// What is known of the bodies of a chunk that is not in memory does not hold any more.
    fn forget_bodies(&mut self, first: u64) {
        let bodies = self.with_slot(first, |slot| slot.bodies.take()).flatten();
        let ready_bytes = bodies.map_or(0, |bodies| bodies.ready_bytes);
        self.ready_bytes = self.ready_bytes.saturating_sub(ready_bytes);
    }

    /// Messages of one chunk, which is not in memory, are gone.
    pub fn lose(&mut self, first: u64, last: u64) {
        let Some(slot) = self.slot(first) else {
            return;
        };
        let slot_first = slot.first;
        let numbers = self.cursor.max(first)..last + 1;
        let unsettled = numbers.filter(|number| !slot.is_settled(*number)).count();
        self.holes += unsettled as u64;
        self.forget_bodies(slot_first);
        self.given_back.remove(first, last);
        self.settle(first, last);
        if self.ready() == 0 {
            self.ready_bytes = 0;
        }
    }
}
