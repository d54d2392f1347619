//! A band put together again at start: chunks in segments and messages from the log, in the order of
//! their numbers, then how far the band had come.

use super::{Band, Runs};
use crate::broker::log::Ranges;
use crate::broker::message::Message;
use crate::broker::pager::Stored;
use crate::broker::queue::chunk::Chunk;
use crate::broker::queue::slot::{Resident, Slot};

/// A larger gap between numbers begins a new chunk.
const LARGEST_GAP: u64 = 256;

impl Band {
    /// At start: a chunk in a segment comes next.
    /// Of it, `empty` was settled before it was written.
    pub fn restore_stored(&mut self, stored: Stored, settled: &Ranges, empty: &Ranges) {
        self.close_tail();
        let mut slot = Slot::absent(stored.entry.first, stored.entry.records);
        let (first, end) = (slot.first, slot.end());
        for (first, last) in empty.within(first, end - 1) {
            slot.settle(first, last);
        }
        let bytes = u64::from(stored.entry.bytes);
        slot.store(stored, bytes);
        for (first, last) in settled.within(first, end - 1) {
            slot.settle(first, last);
        }
        self.next = self.next.max(end);
        if slot.unsettled() > 0 {
            self.absent += 1;
            self.settled_bytes += slot.settled.memory_bytes();
            self.slots.push_back(slot);
        }
    }

    /// At start: a message from the log comes next, unless a chunk in a segment has it already.
    pub fn restore_message(
        &mut self,
        number: u64,
        message: &Message<'_>,
        expires_at_ms: u64,
        logged_from: u64,
    ) {
        if number < self.next {
            return;
        }
        let gap = number - self.next;
        let is_open = self.slots.back().is_some_and(Slot::is_open);
        if gap > LARGEST_GAP || !is_open {
            self.close_tail();
            self.next = number;
        } else if gap > 0 {
            let slot = self.tail();
            if let Resident::Open(chunk) = &mut slot.resident {
                let len = chunk.len();
                chunk.append_settled(gap as u32);
                let settled_bytes = slot.settled.memory_bytes();
                slot.settled.settle(len, len + gap as u32 - 1);
                let more_bytes = slot.settled.memory_bytes() - settled_bytes;
                self.settled_bytes += more_bytes;
            }
            self.next = number;
            // The tail may be full, so that the message goes to a chunk of its own.
        }
        let tail = self.tail();
        let logged_from = tail
            .logged_from
            .map_or(logged_from, |from| from.min(logged_from));
        tail.logged_from = Some(logged_from);
        self.append(message, expires_at_ms, Some(logged_from));
    }

    /// At start: a message below the cursor that is not given back is not ready.
    pub fn hold_back(&mut self, number: u64) {
        if let Ok(record) = self.record(number) {
            let bytes = record.message.body.len() as u64;
            self.ready_bytes = self.ready_bytes.saturating_sub(bytes);
        }
    }

    /// The numbers below `cursor` that are not settled.
    pub fn unsettled_below(&self, cursor: u64) -> impl Iterator<Item = u64> {
        let slots = self
            .slots
            .iter()
            .take_while(move |slot| slot.first < cursor);
        slots.flat_map(move |slot| {
            (slot.first..slot.end().min(cursor)).filter(|number| !slot.is_settled(*number))
        })
    }

    /// At start: everything is taken, to wait for the time that is kept as when it expires. Gives these
    /// times and the messages' numbers. What can't be read, if need be with `read`, is due at once: then it
    /// will be found to be damaged, or when it is due.
    pub fn take_all_waiting(&mut self, read: impl Fn(&Stored) -> Option<Chunk>) -> Vec<(u64, u64)> {
        let mut due = Vec::new();
        for slot in &self.slots {
            let loaded;
            let chunk = match slot.chunk() {
                Some(chunk) => Some(chunk),
                None => {
                    loaded = slot.stored.as_ref().and_then(&read);
                    loaded.as_ref()
                }
            };
            let indices = (0..slot.len()).filter(|index| !slot.settled.contains(*index));
            due.extend(indices.map(|index| {
                let chunk = chunk.filter(|chunk| index < chunk.len());
                let due_ms = chunk.map_or(0, |chunk| chunk.record(index).expires_at_ms);
                (due_ms, slot.first + u64::from(index))
            }));
        }
        self.given_back = Runs::default();
        self.cursor = self.next;
        self.holes = 0;
        self.ready_bytes = 0;
        due
    }

    /// At start: how far the band has come.
    pub fn restore_cursor(&mut self, next: u64, cursor: u64, given_back: Runs) {
        self.next = next.max(self.next);
        self.cursor = cursor;
        self.given_back = given_back;
        let slots = self.slots.iter().filter(|slot| slot.end() > cursor);
        let unsettled: u64 = slots
            .map(|slot| {
                if slot.first >= cursor {
                    return u64::from(slot.unsettled());
                }
                let numbers = cursor..slot.end();
                numbers.filter(|number| !slot.is_settled(*number)).count() as u64
            })
            .sum();
        self.holes = self.next - cursor - unsettled;
        let is_tail_last = self
            .slots
            .back()
            .is_some_and(|slot| slot.end() == self.next);
        if !is_tail_last {
            // What is appended next must follow the last record of its chunk.
            self.close_tail();
        }
    }
}
