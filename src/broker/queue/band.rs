//! A band: the messages of one priority, as a list of chunks with a cursor. A queue without
//! priorities has one band.
//!
//! Every message has a number, ever growing. What is ready is everything from the cursor on,
//! plus what was given back and lies before it; the rest before the cursor is either delivered
//! and not settled, or settled.

use std::collections::{BTreeMap, VecDeque};

use super::chunk::{Chunk, Record};
use crate::broker::message::Message;

/// How a message came back to its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// How often it was given back in a way that counts.
    pub returns: u32,
    /// Whether a consumer may have seen it.
    pub redelivered: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Band {
    chunks: VecDeque<Chunk>,
    next: u64,
    cursor: u64,
    given_back: BTreeMap<u64, GivenBack>,
    ready_bytes: u64,
    spare: Option<Chunk>,
    /// What all chunks but the tail hold, in bytes.
    closed_bytes: usize,
}

/// An emptied chunk keeps at most this many bytes of buffer when its queue has gone quiet.
const QUIET_CHUNK_BYTES: usize = 1 << 10;

impl Band {
    /// How many messages are ready.
    pub fn ready(&self) -> u64 {
        self.next - self.cursor + self.given_back.len() as u64
    }

    /// How many bytes the ready messages' bodies have.
    pub fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    /// What the band holds in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.closed_bytes
            + self.chunks.back().map_or(0, Chunk::memory_bytes)
            + self.spare.as_ref().map_or(0, Chunk::memory_bytes)
    }

    /// Appends a message to the tail, ready.
    pub fn append(&mut self, message: &Message<'_>, expires_at_ms: u64) {
        if self.chunks.back().is_none_or(Chunk::is_full) {
            let chunk = match self.spare.take() {
                Some(mut spare) => {
                    spare.reset(self.next);
                    spare
                }
                None => Chunk::new(self.next, !self.chunks.is_empty()),
            };
            self.closed_bytes += self.chunks.back().map_or(0, Chunk::memory_bytes);
            self.chunks.push_back(chunk);
        }
        if let Some(tail) = self.chunks.back_mut() {
            tail.append(message, expires_at_ms);
            self.next += 1;
            self.ready_bytes += message.body.len() as u64;
        }
    }

    /// The head of what is ready.
    pub fn head(&self) -> Option<(u64, GivenBack)> {
        match self.given_back.first_key_value() {
            Some((&number, &back)) => Some((number, back)),
            None if self.cursor < self.next => Some((self.cursor, GivenBack::default())),
            None => None,
        }
    }

    /// The record of a message that is not settled.
    pub fn record(&self, number: u64) -> Option<Record<'_>> {
        self.position(number)
            .map(|at| self.chunks[at].record(number))
    }

    /// Reads the records at the head, in order, as long as `each` says so.
    pub fn read_ready<'a>(&'a self, mut each: impl FnMut(u64, GivenBack, Record<'a>) -> bool) {
        for (&number, &back) in &self.given_back {
            let Some(record) = self.record(number) else {
                continue;
            };
            if !each(number, back, record) {
                return;
            }
        }
        let Some(mut at) = self.position(self.cursor) else {
            return;
        };
        let mut number = self.cursor;
        while let Some(chunk) = self.chunks.get(at) {
            while number < chunk.end() {
                if !each(number, GivenBack::default(), chunk.record(number)) {
                    return;
                }
                number += 1;
            }
            at += 1;
        }
    }

    /// Takes the `count` messages at the head, whose bodies have `body_bytes`, out of what is
    /// ready: they are delivered, or about to be settled.
    pub fn take_head(&mut self, count: u64, body_bytes: u64) {
        let mut left = count;
        while left > 0 && self.given_back.pop_first().is_some() {
            left -= 1;
        }
        self.cursor += left;
        self.ready_bytes -= body_bytes;
    }

    /// Puts a message that was taken back among the ready ones.
    pub fn give_back(&mut self, number: u64, back: GivenBack) {
        if let Some(record) = self.record(number) {
            self.ready_bytes += record.message.body.len() as u64;
            self.given_back.insert(number, back);
        }
    }

    /// Settles taken messages from `first` to `last` for good; their chunks are recycled when
    /// nothing else lives in them.
    pub fn settle(&mut self, first: u64, last: u64) {
        let mut from = first;
        while from <= last {
            let Some(at) = self.position(from) else {
                return;
            };
            let chunk = &mut self.chunks[at];
            let to = last.min(chunk.end() - 1);
            let released_bytes = chunk.settle(from, to);
            let unsettled = chunk.unsettled();
            if at + 1 < self.chunks.len() {
                self.closed_bytes -= released_bytes;
            }
            if unsettled == 0 {
                self.recycle(at);
            }
            from = to + 1;
        }
    }

    /// Drops everything that is ready, and says how much it was.
    pub fn clear_ready(&mut self) -> u64 {
        let ready = self.ready();
        for number in std::mem::take(&mut self.given_back).into_keys() {
            self.settle(number, number);
        }
        let (first, end) = (self.cursor, self.next);
        self.cursor = self.next;
        if first < end {
            self.settle(first, end - 1);
        }
        self.ready_bytes = 0;
        ready
    }

    /// Gives back buffers that only a busy queue needs.
    pub fn shrink(&mut self) {
        self.spare = None;
        if self.chunks.len() == 1 && self.chunks[0].unsettled() == 0 {
            self.chunks[0].shrink(QUIET_CHUNK_BYTES);
        }
    }

    fn position(&self, number: u64) -> Option<usize> {
        let after = self.chunks.partition_point(|chunk| chunk.first() <= number);
        let at = after.checked_sub(1)?;
        (number < self.chunks[at].end()).then_some(at)
    }

    fn recycle(&mut self, at: usize) {
        if at + 1 == self.chunks.len() {
            self.chunks[at].reset(self.next);
        } else if let Some(chunk) = self.chunks.remove(at) {
            self.closed_bytes -= chunk.memory_bytes();
            self.spare = Some(chunk);
        }
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
            let mut band = Band::default();
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
                        band.append(&message, next);
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
                        prop_assert_eq!(band.clear_ready(), ready.len() as u64);
                        ready.clear();
                    }
                    Step::Settle(_) | Step::GiveBack(_) => {}
                }
                prop_assert_eq!(band.ready(), ready.len() as u64);
                prop_assert_eq!(band.ready_bytes(), ready.values().map(|body| body.len() as u64).sum::<u64>());
                prop_assert_eq!(band.head().map(|(number, _)| number), ready.keys().next().copied());
                for (&number, body) in ready.iter().chain(&taken) {
                    let record = band.record(number);
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
