//! A band: the messages of one priority, as a list of chunks with a cursor. A queue without
//! priorities has one band.
//!
//! Every message has a number, ever growing. What is ready is everything from the cursor on,
//! plus what was given back and lies before it; the rest before the cursor is either delivered
//! and not settled, or settled.
//!
//! ```text
//! append ─▶ the tail's chunk ─▶ slots, oldest first ─▶ read from the cursor on, take, settle
//!           window.rs: which of the chunks are in memory   restored.rs: as the last run left it
//!           ids.rs: which messages are there, where none is to be there twice
//!           runs.rs: which came back, and how often
//! ```

mod ids;
mod restored;
mod runs;
#[cfg(test)]
mod tests;
mod window;

use std::collections::VecDeque;

use self::ids::Ids;
use super::chunk::{Chunk, Record};
use super::slot::{NoRecord, Resident, Slot};
use crate::broker::log::Returns;
use crate::broker::message::Message;

pub(in crate::broker) use self::runs::Runs;

/// How a message came back to its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// How often it was given back in a way that counts.
    pub returns: Returns,
    /// Whether a consumer may have seen it.
    pub redelivered: bool,
}

impl GivenBack {
    /// It came back so often in a way that counts, or once in one that does not.
    fn again(returns: Returns) -> Self {
        Self {
            returns,
            redelivered: true,
        }
    }
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
    /// What was given back and is ready, and how often in a way that counts.
    given_back: Runs,
    /// How often messages that are taken were given back before, in a way that counts, if ever.
    returns: Runs,
    ready_bytes: u64,
    spare: Option<Chunk>,
    /// A chunk of so many bytes takes no more.
    chunk_bytes: usize,
    /// What all chunks that take no more messages hold in memory, in bytes.
    closed_bytes: usize,
    /// How many chunks are not in memory.
    absent: usize,
    /// What is kept of the bodies in these, in bytes.
    bodies_bytes: usize,
    /// What it takes to know which messages were settled out of order, in bytes.
    settled_bytes: usize,
    /// Only where the queue takes no message twice.
    ids: Option<Box<Ids>>,
}

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
            given_back: Runs::default(),
            returns: Runs::default(),
            ready_bytes: 0,
            spare: None,
            chunk_bytes,
            closed_bytes: 0,
            absent: 0,
            bodies_bytes: 0,
            settled_bytes: 0,
            ids: None,
        }
    }

    /// How many messages are ready.
    pub fn ready(&self) -> u64 {
        self.next - self.cursor - self.holes + self.given_back.len()
    }

    /// How many bytes the ready messages' bodies have. Only kept exactly if what is known of bodies is
    /// kept when their chunks leave memory.
    pub fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    /// The first number that was never taken.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The number that comes next.
    pub fn end(&self) -> u64 {
        self.next
    }

    /// Whether a message that is there tells which number comes next.
    pub fn is_end_known(&self) -> bool {
        let last = self.slots.iter().rfind(|slot| slot.len() > 0);
        match (self.next.checked_sub(1), last) {
            (Some(number), Some(slot)) => slot.end() > number && !slot.is_settled(number),
            (number, _) => number.is_none(),
        }
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> usize {
        self.slots.len()
    }

    /// The number of the last chunk's first message.
    pub fn last_chunk(&self) -> u64 {
        self.slots.back().map_or(self.next, |slot| slot.first)
    }

    /// The slots from the one on that has that number, or the next one behind it.
    pub fn slots_from(&self, number: u64) -> impl Iterator<Item = &Slot> {
        let before = self.after(number).saturating_sub(1);
        let from = match self.slots.get(before) {
            Some(slot) if slot.end() <= number => before + 1,
            _ => before,
        };
        self.slots.range(from.min(self.slots.len())..)
    }

    /// Settles everything below that number, at which a chunk begins and of which nothing is taken.
    pub fn forget_below(&mut self, number: u64) {
        let Some(last) = number.checked_sub(1).filter(|last| *last >= self.cursor) else {
            return;
        };
        let going = self.slots.iter().take_while(|slot| slot.first < number);
        let unsettled: u64 = going.map(|slot| u64::from(slot.unsettled())).sum();
        self.holes -= number - self.cursor - unsettled;
        let first = std::mem::replace(&mut self.cursor, number);
        self.settle(first, last);
    }

    /// What was given back and is ready.
    pub fn given_back(&self) -> &Runs {
        &self.given_back
    }

    /// What is taken and was given back before in a way that counts.
    pub fn returns(&self) -> &Runs {
        &self.returns
    }

    /// What it takes in memory, roughly, to know which messages came back and which are settled, in bytes.
    pub fn runs_bytes(&self) -> usize {
        self.given_back.memory_bytes() + self.returns.memory_bytes() + self.settled_bytes
    }

    /// What the band holds in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let tail = self.slots.back().filter(|slot| slot.is_open());
        self.closed_bytes
            + self.bodies_bytes
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
        let is_full = match self.slots.back().map(|slot| &slot.resident) {
            Some(Resident::Open(chunk)) => Some(chunk.is_full(self.chunk_bytes)),
            _ => None,
        };
        if is_full != Some(false) {
            self.new_tail(is_full.is_some());
        }
        let last = self.slots.len() - 1;
        &mut self.slots[last]
    }

    /// Only a queue that has just filled a chunk is likely to fill the next one: room for a whole one is
    /// more than ten thousand small queues may take.
    #[cold]
    fn new_tail(&mut self, has_filled_one: bool) {
        self.close_tail();
        let chunk = self.spare.take();
        let chunk = chunk.unwrap_or_else(|| match has_filled_one {
            false => Chunk::default(),
            true => Chunk::with_room(self.chunk_bytes + self.chunk_bytes / 8),
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

    /// The head of what is ready.
    pub fn head(&self) -> Option<(u64, GivenBack)> {
        match self.given_back.first() {
            Some((number, returns)) => Some((number, GivenBack::again(returns))),
            None => self.new_head().map(|number| (number, GivenBack::default())),
        }
    }

    /// The first message that was never taken.
    pub fn new_head(&self) -> Option<u64> {
        let is_any = self.next - self.cursor > self.holes;
        is_any.then(|| self.first_from_cursor())
    }

    /// How a message came back that is ready again.
    pub fn back(&self, number: u64) -> Option<GivenBack> {
        self.given_back.get(number).map(GivenBack::again)
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
        for (run, returns) in self.given_back.iter() {
            let back = GivenBack::again(returns);
            for number in run {
                match self.record(number) {
                    Ok(record) if each(number, back, record) => {}
                    Ok(_) => return None,
                    Err(NoRecord::Gone) => {}
                    Err(NoRecord::NotLoaded(first)) => return Some(first),
                }
            }
        }
        self.read_new(each)
    }

    /// The same for what came back alone, from one number to another.
    pub fn read_back<'a>(
        &'a self,
        first: u64,
        last: u64,
        mut each: impl FnMut(u64, GivenBack, Record<'a>) -> bool,
    ) -> Option<u64> {
        for number in first..=last {
            let Some(back) = self.back(number) else {
                continue;
            };
            match self.record(number) {
                Ok(record) if each(number, back, record) => {}
                Ok(_) => return None,
                Err(NoRecord::Gone) => {}
                Err(NoRecord::NotLoaded(first)) => return Some(first),
            }
        }
        None
    }

    /// The same for what was never taken alone.
    pub fn read_new<'a>(
        &'a self,
        mut each: impl FnMut(u64, GivenBack, Record<'a>) -> bool,
    ) -> Option<u64> {
        let from = self.after(self.cursor).saturating_sub(1);
        for slot in self.slots.range(from..) {
            let mut before = None;
            for number in self.cursor.max(slot.first)..slot.end() {
                match slot.record_after(number, &mut before) {
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
            && let Some((run, returns)) = self.given_back.pop_first(left)
        {
            let (first, last) = run.into_inner();
            left -= last - first + 1;
            if returns.is_any() {
                self.returns.insert(first, last, returns);
            }
        }
        self.take_new(left, body_bytes);
    }

    /// Takes the same from what came back alone: the `count` from `first` on.
    pub fn take_back(&mut self, first: u64, count: u64, body_bytes: u64) {
        for number in first..first + count {
            let returns = self.given_back.get(number).unwrap_or_default();
            if returns.is_any() {
                self.returns.insert(number, number, returns);
            }
        }
        if let Some(more) = count.checked_sub(1) {
            self.given_back.remove(first, first + more);
        }
        self.ready_bytes = self.ready_bytes.saturating_sub(body_bytes);
    }

    /// Takes the same from what was never taken alone.
    pub fn take_new(&mut self, count: u64, body_bytes: u64) {
        if self.holes == 0 {
            self.cursor += count;
        } else {
            for _ in 0..count {
                let number = self.first_from_cursor();
                self.holes -= number - self.cursor;
                self.cursor = number + 1;
            }
        }
        self.ready_bytes = self.ready_bytes.saturating_sub(body_bytes);
    }

    /// How often a message that is taken was given back, in a way that counts.
    pub fn returns_of(&self, number: u64) -> Returns {
        self.returns.get(number).unwrap_or_default()
    }

    /// A message that is taken was given back so often.
    pub fn note_returns(&mut self, number: u64, returns: Returns) {
        self.returns.remove(number, number);
        if returns.is_any() {
            self.returns.insert(number, number, returns);
        }
    }

    /// Puts a message that was taken back among the ready ones: it came back so often by now, in a way
    /// that counts. Says whether it is there: its chunk may have been found damaged meanwhile.
    #[must_use]
    pub fn give_back(&mut self, number: u64, returns: Returns) -> bool {
        self.returns.remove(number, number);
        let at = self.position(number);
        let Some(at) = at.filter(|at| !self.slots[*at].is_settled(number)) else {
            return false;
        };
        self.ready_bytes += self.slots[at].give_back(number);
        self.given_back.insert(number, number, returns);
        true
    }

    /// Settles taken messages from `first` to `last` for good; their chunks are recycled when
    /// nothing else lives in them.
    pub fn settle(&mut self, first: u64, last: u64) {
        if let Some(ids) = &mut self.ids {
            ids.settle(first, last);
        }
        if !self.returns.is_empty() {
            self.returns.remove(first, last);
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
            let settled_bytes = slot.settled.memory_bytes();
            slot.settle(from, to);
            let after_bytes = slot.memory_bytes();
            self.settled_bytes = self.settled_bytes - settled_bytes + slot.settled.memory_bytes();
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
        for (run, _) in std::mem::take(&mut self.given_back).iter() {
            let (first, last) = run.into_inner();
            settled(first, last);
            self.settle(first, last);
        }
        let (first, end) = (self.cursor, self.next);
        self.cursor = self.next;
        self.holes = 0;
        if first < end {
            settled(first, end - 1);
            self.settle(first, end - 1);
        }
        self.ready_bytes = 0;
        for bodies in self
            .slots
            .iter_mut()
            .filter_map(|slot| slot.bodies.as_mut())
        {
            bodies.ready_bytes = 0;
        }
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
            self.settled_bytes -= slot.settled.memory_bytes();
            *slot = Slot::open(next, chunk);
            return false;
        }
        if let Some(slot) = self.slots.remove(at) {
            self.closed_bytes -= slot.memory_bytes();
            self.absent -= usize::from(slot.is_absent());
            self.bodies_bytes -= slot.bodies_bytes();
            self.settled_bytes -= slot.settled.memory_bytes();
            if let Some(mut chunk) = slot.into_chunk() {
                chunk.reset();
                self.spare = Some(chunk);
            }
        }
        true
    }
}
