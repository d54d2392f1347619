//! A band: the messages of one priority, as a list of chunks with a cursor. A queue without
//! priorities has one band.
//!
//! Every message has a number, ever growing. What is ready is everything from the cursor on,
//! plus what was given back and lies before it; the rest before the cursor is either delivered
//! and not settled, or settled.

use std::collections::{BTreeMap, VecDeque};

use super::chunk::{Chunk, Record};
use super::slot::{NoRecord, Resident, Slot};
use crate::broker::log::Ranges;
use crate::broker::message::Message;
use crate::broker::pager::Stored;

/// How a message came back to its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// How often it was given back in a way that counts.
    pub returns: u32,
    /// Whether a consumer may have seen it.
    pub redelivered: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Band {
    /// In order, not necessarily without gaps: what is in none of them is settled.
    pub(super) slots: VecDeque<Slot>,
    next: u64,
    cursor: u64,
    /// How many from the cursor on are settled nevertheless. Only a restart leaves such.
    holes: u64,
    given_back: BTreeMap<u64, GivenBack>,
    /// How often messages that are taken were given back before, in a way that counts.
    returns: BTreeMap<u64, u32>,
    ready_bytes: u64,
    spare: Option<Chunk>,
    /// A chunk of so many bytes takes no more.
    chunk_bytes: usize,
    /// What all chunks that take no more messages hold in memory, in bytes.
    closed_bytes: usize,
    /// How many chunks are not in memory.
    absent: usize,
}

/// At start: a larger gap between numbers begins a new chunk.
const LARGEST_GAP: u64 = 256;

/// An emptied chunk keeps at most this many bytes of buffer when its queue has gone quiet.
const QUIET_CHUNK_BYTES: usize = 1 << 10;

impl Band {
    /// An empty band, whose chunks take no more messages once they have so many bytes.
    pub fn new(chunk_bytes: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            next: 0,
            cursor: 0,
            holes: 0,
            given_back: BTreeMap::new(),
            returns: BTreeMap::new(),
            ready_bytes: 0,
            spare: None,
            chunk_bytes,
            closed_bytes: 0,
            absent: 0,
        }
    }

    /// How many messages are ready.
    pub fn ready(&self) -> u64 {
        self.next - self.cursor - self.holes + self.given_back.len() as u64
    }

    /// How many bytes the ready messages' bodies have. Only kept exactly while all chunks with
    /// messages that are not settled are in memory.
    pub fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    /// The first number that was never taken.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The messages that are not settled and were given back in a way that counts, and how often.
    pub fn returns(&self) -> impl Iterator<Item = (u64, u32)> {
        let ready = self.given_back.iter();
        let ready = ready.map(|(number, back)| (*number, back.returns));
        let taken = self
            .returns
            .iter()
            .map(|(number, returns)| (*number, *returns));
        ready.filter(|(_, returns)| *returns > 0).chain(taken)
    }

    /// What the band holds in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let tail = self.slots.back().filter(|slot| slot.is_open());
        self.closed_bytes
            + tail.map_or(0, Slot::memory_bytes)
            + self.spare.as_ref().map_or(0, Chunk::memory_bytes)
    }

    /// Appends a message to the tail, ready, and says its number. If it is to be logged,
    /// `logged_from` is an index that its record in the log will not be below.
    #[inline]
    pub fn append(
        &mut self,
        message: &Message<'_>,
        expires_at_ms: u64,
        logged_from: Option<u64>,
    ) -> u64 {
        let number = self.next;
        self.ready_bytes += message.body.len() as u64;
        let slot = self.tail();
        if slot.logged_from.is_none() {
            slot.logged_from = logged_from;
        }
        if let Resident::Open(chunk) = &mut slot.resident {
            chunk.append(message, expires_at_ms);
        }
        self.next += 1;
        number
    }

    /// The slot that takes messages.
    #[inline]
    fn tail(&mut self) -> &mut Slot {
        let full_bytes = self.chunk_bytes;
        let takes = self.slots.back().is_some_and(
            |slot| matches!(&slot.resident, Resident::Open(chunk) if !chunk.is_full(full_bytes)),
        );
        if !takes {
            self.new_tail();
        }
        let last = self.slots.len() - 1;
        &mut self.slots[last]
    }

    #[cold]
    fn new_tail(&mut self) {
        self.close_tail();
        let chunk = self.spare.take();
        let chunk = chunk.unwrap_or_else(|| match self.slots.is_empty() {
            true => Chunk::default(),
            false => Chunk::with_room(self.chunk_bytes + self.chunk_bytes / 8),
        });
        self.slots.push_back(Slot::open(self.next, chunk));
    }

    /// The tail takes no more messages: the next one goes to a new chunk.
    pub fn close_tail(&mut self) {
        let Some(slot) = self.slots.back_mut().filter(|slot| slot.is_open()) else {
            return;
        };
        if slot.len() == 0 {
            let slot = self.slots.pop_back();
            self.spare = slot.and_then(Slot::into_chunk);
            return;
        }
        slot.close();
        self.closed_bytes += slot.memory_bytes();
    }

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

    /// What is settled of what was ever taken, as ranges.
    pub fn settled_ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut add = |first: u64, end: u64| {
            let end = end.min(self.cursor);
            match ranges.last_mut() {
                _ if first >= end => {}
                Some((_, last)) if *last + 1 == first => *last = end - 1,
                _ => ranges.push((first, end - 1)),
            }
        };
        let mut seen = 0;
        for slot in &self.slots {
            add(seen, slot.first);
            for (first, last) in slot.settled.ranges() {
                let last = last.min(slot.len().saturating_sub(1));
                add(
                    slot.first + u64::from(first),
                    slot.first + u64::from(last) + 1,
                );
            }
            seen = slot.end();
        }
        add(seen, self.next);
        ranges
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

    /// The head of what is ready.
    pub fn head(&self) -> Option<(u64, GivenBack)> {
        match self.given_back.first_key_value() {
            Some((&number, &back)) => Some((number, back)),
            None if self.ready() > 0 => Some((self.first_from_cursor(), GivenBack::default())),
            None => None,
        }
    }

    /// The first number from the cursor on that is not settled.
    fn first_from_cursor(&self) -> u64 {
        if self.holes == 0 {
            return self.cursor;
        }
        let from = self.after(self.cursor).saturating_sub(1);
        for slot in self.slots.range(from..) {
            let mut numbers = self.cursor.max(slot.first)..slot.end();
            if let Some(number) = numbers.find(|number| !slot.is_settled(*number)) {
                return number;
            }
        }
        self.next
    }

    /// The record of a message that is not settled.
    pub fn record(&self, number: u64) -> Result<Record<'_>, NoRecord> {
        match self.position(number) {
            Some(at) => self.slots[at].record(number),
            None => Err(NoRecord::Gone),
        }
    }

    /// Reads the records at the head, in order, as long as `each` says so and their chunks are in
    /// memory. Says the first number of the chunk that must be loaded to go on, if that is why it
    /// stopped.
    pub fn read_ready<'a>(
        &'a self,
        mut each: impl FnMut(u64, GivenBack, Record<'a>) -> bool,
    ) -> Option<u64> {
        for (&number, &back) in &self.given_back {
            match self.record(number) {
                Ok(record) if each(number, back, record) => {}
                Ok(_) => return None,
                Err(NoRecord::Gone) => {}
                Err(NoRecord::NotLoaded(first)) => return Some(first),
            }
        }
        let from = self.after(self.cursor).saturating_sub(1);
        for slot in self.slots.range(from..) {
            for number in self.cursor.max(slot.first)..slot.end() {
                match slot.record(number) {
                    Ok(record) if each(number, GivenBack::default(), record) => {}
                    Ok(_) => return None,
                    Err(NoRecord::Gone) => {}
                    Err(NoRecord::NotLoaded(first)) => return Some(first),
                }
            }
        }
        None
    }

    /// Takes the `count` messages at the head, whose bodies have `body_bytes`, out of what is
    /// ready: they are delivered, or about to be settled.
    pub fn take_head(&mut self, count: u64, body_bytes: u64) {
        let mut left = count;
        while left > 0
            && let Some((number, back)) = self.given_back.pop_first()
        {
            left -= 1;
            if back.returns > 0 {
                self.returns.insert(number, back.returns);
            }
        }
        if self.holes == 0 {
            self.cursor += left;
        } else {
            for _ in 0..left {
                let number = self.first_from_cursor();
                self.holes -= number - self.cursor;
                self.cursor = number + 1;
            }
        }
        self.ready_bytes = self.ready_bytes.saturating_sub(body_bytes);
    }

    /// Puts a message that was taken back among the ready ones.
    pub fn give_back(&mut self, number: u64, back: GivenBack) {
        if let Ok(record) = self.record(number) {
            self.ready_bytes += record.message.body.len() as u64;
        }
        self.returns.remove(&number);
        self.given_back.insert(number, back);
    }

    /// Settles taken messages from `first` to `last` for good; their chunks are recycled when
    /// nothing else lives in them.
    pub fn settle(&mut self, first: u64, last: u64) {
        if !self.returns.is_empty() {
            let settled: Vec<u64> = self
                .returns
                .range(first..=last)
                .map(|(at, _)| *at)
                .collect();
            for number in settled {
                self.returns.remove(&number);
            }
        }
        let mut at = self.after(first).saturating_sub(1);
        while let Some(slot) = self.slots.get_mut(at)
            && slot.first <= last
        {
            let (from, to) = (
                first.max(slot.first),
                last.min(slot.end().saturating_sub(1)),
            );
            if from > to || slot.end() == slot.first {
                at += 1;
                continue;
            }
            let before_bytes = slot.memory_bytes();
            slot.settle(from, to);
            let after_bytes = slot.memory_bytes();
            let is_done = slot.unsettled() == 0;
            if !slot.is_open() {
                self.closed_bytes -= before_bytes - after_bytes;
            }
            if !is_done || !self.recycle(at) {
                at += 1;
            }
        }
    }

    /// Drops everything that is ready, and says how much it was; `settled` hears which.
    pub fn clear_ready(&mut self, mut settled: impl FnMut(u64, u64)) -> u64 {
        let ready = self.ready();
        for number in std::mem::take(&mut self.given_back).into_keys() {
            settled(number, number);
            self.settle(number, number);
        }
        let (first, end) = (self.cursor, self.next);
        self.cursor = self.next;
        self.holes = 0;
        if first < end {
            settled(first, end - 1);
            self.settle(first, end - 1);
        }
        self.ready_bytes = 0;
        ready
    }

    /// Gives back buffers that only a busy queue needs.
    pub fn shrink(&mut self) {
        self.spare = None;
        if self.slots.len() == 1
            && let Resident::Open(chunk) = &mut self.slots[0].resident
            && chunk.len() == 0
        {
            chunk.shrink(QUIET_CHUNK_BYTES);
        }
    }

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
                slot.settled.settle(len, len + gap as u32 - 1);
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

    /// At start: the bodies in chunks that are not in memory count as well, as `body_bytes` says for
    /// each of these chunks: how many bytes those of its records have that are not settled.
    pub fn count_stored(&mut self, body_bytes: impl Fn(&Slot, &Stored) -> u64) {
        for slot in self.slots.iter().filter(|slot| slot.is_absent()) {
            if let Some(stored) = &slot.stored {
                self.ready_bytes += body_bytes(slot, stored);
            }
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

    /// At start: how far the band has come.
    pub fn restore_cursor(&mut self, next: u64, cursor: u64, given_back: BTreeMap<u64, GivenBack>) {
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

    /// The index after the last slot that begins at or before a number.
    fn after(&self, number: u64) -> usize {
        self.slots.partition_point(|slot| slot.first <= number)
    }

    fn position(&self, number: u64) -> Option<usize> {
        let at = self.after(number).checked_sub(1)?;
        (number < self.slots[at].end()).then_some(at)
    }

    /// Everything in the slot is settled. Says whether the slot is gone.
    fn recycle(&mut self, at: usize) -> bool {
        let next = self.next;
        if let Some(slot) = self.slots.get_mut(at)
            && let Resident::Open(chunk) = &mut slot.resident
        {
            chunk.reset();
            let chunk = std::mem::take(chunk);
            *slot = Slot::open(next, chunk);
            return false;
        }
        if let Some(slot) = self.slots.remove(at) {
            self.closed_bytes -= slot.memory_bytes();
            self.absent -= usize::from(slot.is_absent());
            if let Some(mut chunk) = slot.into_chunk() {
                chunk.reset();
                self.spare = Some(chunk);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::broker::message::{Body, Facts};

    #[derive(Clone, Debug)]
    enum Step {
        Append(usize),
        Take(u64),
        Settle(prop::sample::Index),
        GiveBack(prop::sample::Index),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => prop_oneof![0..64usize, Just(40_000usize)].prop_map(Step::Append),
            4 => (1..8u64).prop_map(Step::Take),
            4 => any::<prop::sample::Index>().prop_map(Step::Settle),
            3 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
            1 => Just(Step::Clear),
        ]
    }

    fn body_of(number: u64, bytes: usize) -> Vec<u8> {
        let mut body = number.to_le_bytes().to_vec();
        body.resize(8 + bytes, number as u8);
        body
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// A band does what two sorted sets of messages (ready, taken) would do.
        #[test]
        fn behaves_as_its_model(steps in prop::collection::vec(step(), 1..300)) {
            let mut band = Band::new(1 << 20);
            let mut ready: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            let mut taken: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Append(bytes) => {
                        let body = body_of(next, bytes);
                        let shared = Bytes::from(body.clone());
                        let message = Message {
                            exchange: b"x",
                            routing_key: b"key",
                            properties: &[0, 0],
                            body: if bytes > 4096 { Body::Shared(&shared) } else { Body::Slice(&body) },
                            facts: Facts::PLAIN,
                        };
                        band.append(&message, next, None);
                        ready.insert(next, body);
                        next += 1;
                    }
                    Step::Take(count) => {
                        let mut numbers = vec![];
                        let mut bytes = 0;
                        band.read_ready(|number, _, record| {
                            numbers.push(number);
                            bytes += record.message.body.len() as u64;
                            (numbers.len() as u64) < count
                        });
                        let expected: Vec<u64> = ready.keys().copied().take(count as usize).collect();
                        prop_assert_eq!(&numbers, &expected);
                        band.take_head(numbers.len() as u64, bytes);
                        for number in numbers {
                            if let Some(body) = ready.remove(&number) {
                                taken.insert(number, body);
                            }
                        }
                    }
                    Step::Settle(index) if !taken.is_empty() => {
                        let keys: Vec<u64> = taken.keys().copied().collect();
                        let number = keys[index.index(keys.len())];
                        band.settle(number, number);
                        taken.remove(&number);
                    }
                    Step::GiveBack(index) if !taken.is_empty() => {
                        let keys: Vec<u64> = taken.keys().copied().collect();
                        let number = keys[index.index(keys.len())];
                        band.give_back(number, GivenBack { returns: 1, redelivered: true });
                        if let Some(body) = taken.remove(&number) {
                            ready.insert(number, body);
                        }
                    }
                    Step::Clear => {
                        prop_assert_eq!(band.clear_ready(|_, _| {}), ready.len() as u64);
                        ready.clear();
                    }
                    Step::Settle(_) | Step::GiveBack(_) => {}
                }
                prop_assert_eq!(band.ready(), ready.len() as u64);
                prop_assert_eq!(band.ready_bytes(), ready.values().map(|body| body.len() as u64).sum::<u64>());
                prop_assert_eq!(band.head().map(|(number, _)| number), ready.keys().next().copied());
                for (&number, body) in ready.iter().chain(&taken) {
                    let record = band.record(number).ok();
                    prop_assert_eq!(record.map(|record| record.message.body.as_slice()), Some(&body[..]));
                    prop_assert_eq!(record.map(|record| record.expires_at_ms), Some(number));
                }
                if ready.is_empty() && taken.is_empty() {
                    band.shrink();
                    prop_assert!(band.memory_bytes() <= 2 * QUIET_CHUNK_BYTES);
                }
            }
        }
    }

    use bytes::Bytes;
}
