//! Which messages come next: the highest priority that there is, in the order of publishing. In a quorum
//! queue what came back comes before all that, in the order in which it came back, whatever its priority
//! (as in RabbitMQ); elsewhere it is in its old place.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::band::{Band, GivenBack};
use super::chunk::Record;
use super::{QueueType, State, band_of, number_of, sequence_of};
use crate::broker::log::Returns;

/// Messages that come next, all of one band.
#[derive(Clone, Copy, Debug)]
pub(super) enum Head {
    /// All that is ready there.
    Ready(usize),
    /// Of a quorum queue: all that was never taken there.
    New(usize),
    /// Of a quorum queue: what came back, first and last number.
    Back(usize, u64, u64),
}

impl Head {
    /// The band that they are in.
    pub fn band(self) -> usize {
        match self {
            Self::Ready(band) | Self::New(band) | Self::Back(band, _, _) => band,
        }
    }

    /// Reads their records, in order, as long as `each` says so and they are in memory.
    pub fn read<'a>(self, bands: &'a [Band], each: impl FnMut(u64, GivenBack, Record<'a>) -> bool) {
        let Some(band) = bands.get(self.band()) else {
            return;
        };
        match self {
            Self::Ready(_) => band.read_ready(each),
            Self::New(_) => band.read_new(each),
            Self::Back(_, first, last) => band.read_back(first, last, each),
        };
    }
}

/// What came back to a quorum queue and is ready, in that order: first and last sequences of what came back
/// together. The same messages are given back in their bands.
#[derive(Default)]
pub(super) struct CameBack(VecDeque<(u64, u64)>);

impl CameBack {
    fn push(&mut self, first: u64, last: u64) {
        match self.0.back_mut() {
            Some((_, before)) if *before + 1 == first => *before = last,
            _ => self.0.push_back((first, last)),
        }
    }

    fn take(&mut self, count: u64) {
        match self.0.front_mut() {
            Some((first, last)) if *first + count <= *last => *first += count,
            _ => drop(self.0.pop_front()),
        }
    }

    /// All of them are gone.
    pub fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    /// These, first and last sequence, are lost.
    pub fn forget(&mut self, first: u64, last: u64) {
        let runs = std::mem::take(&mut self.0);
        for (from, to) in runs {
            if from < first {
                self.0.push_back((from, to.min(first - 1)));
            }
            if to > last {
                self.0.push_back((from.max(last + 1), to));
            }
        }
    }

    /// What they take in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u64, u64)>()
    }
}

impl State {
    fn is_quorum(&self) -> bool {
        self.wants.queue_type == QueueType::Quorum
    }

    /// What comes next, if anything is ready.
    pub fn head(&self) -> Option<Head> {
        if let Some((first, last)) = self.came_back.0.front() {
            return Some(Head::Back(
                band_of(*first),
                number_of(*first),
                number_of(*last),
            ));
        }
        let mut bands = self.wants.bands_from_top(self.bands.len());
        let top = bands.find(|band| self.bands[*band].ready() > 0)?;
        Some(Head::Ready(top))
    }

    /// Whose first message may expire: what comes next, and in a quorum queue what comes first of each
    /// priority.
    pub fn heads(&self) -> SmallVec<[Head; 2]> {
        let mut heads: SmallVec<[Head; 2]> = self.head().into_iter().collect();
        if self.is_quorum() && (self.bands.len() > 1 || !self.came_back.0.is_empty()) {
            let next = match heads.first() {
                Some(Head::Ready(band)) => Some(*band),
                _ => None,
            };
            let bands = self.wants.bands_from_top(self.bands.len());
            let others = bands.filter(|band| Some(*band) != next);
            heads.extend(
                others
                    .filter(|band| self.bands[*band].new_head().is_some())
                    .map(Head::New),
            );
        }
        heads
    }

    /// The first of some messages: its number, and how it came back.
    pub fn first_of(&self, head: Head) -> Option<(u64, GivenBack)> {
        let band = self.bands.get(head.band())?;
        match head {
            Head::Ready(_) => band.head(),
            Head::New(_) => Some((band.new_head()?, GivenBack::default())),
            Head::Back(_, first, _) => Some((first, band.back(first)?)),
        }
    }

    /// The chunks that some messages begin in, band and first number of each, at most so many.
    pub fn chunks_from(&self, head: Head, most: usize) -> SmallVec<[(usize, u64); 4]> {
        let (at, band) = (head.band(), &self.bands[head.band()]);
        match head {
            Head::Ready(_) => band.ahead(most).map(|first| (at, first)).collect(),
            Head::New(_) => {
                let slots = band.slots_from(band.new_head().unwrap_or(band.end()));
                slots.take(most).map(|slot| (at, slot.first)).collect()
            }
            Head::Back(_, first, last) => {
                let slots = band.slots_from(first).take_while(|slot| slot.first <= last);
                slots.take(most).map(|slot| (at, slot.first)).collect()
            }
        }
    }

    /// The chunk of what came back first, which is needed next wherever it lies: band and first number.
    pub fn chunk_that_came_back(&self) -> Option<(usize, u64)> {
        match self.head()? {
            head @ Head::Back(..) => self.chunks_from(head, 1).first().copied(),
            Head::Ready(_) | Head::New(_) => None,
        }
    }

    /// Takes the first `count` of some messages, whose bodies have `body_bytes`.
    pub fn take(&mut self, head: Head, count: u64, body_bytes: u64) {
        let band = &mut self.bands[head.band()];
        match head {
            Head::Ready(_) => band.take_head(count, body_bytes),
            Head::New(_) => band.take_new(count, body_bytes),
            Head::Back(_, first, _) => {
                band.take_back(first, count, body_bytes);
                self.came_back.take(count);
            }
        }
        self.ready -= count;
    }

    /// Puts a message that was taken back among the ready ones; it came back so often by now, in a way that
    /// counts. It is left out if it was lost meanwhile.
    pub fn give_back(&mut self, sequence: u64, returns: Returns) {
        let Some(band) = self.bands.get_mut(band_of(sequence)) else {
            return;
        };
        if band.give_back(number_of(sequence), returns) {
            self.ready += 1;
            if self.is_quorum() {
                self.came_back.push(sequence, sequence);
            }
        }
    }

    /// At start: what came back is in the order of its priorities and numbers, because nobody knows in which
    /// order it did.
    pub fn order_what_came_back(&mut self) {
        if !self.is_quorum() {
            return;
        }
        self.came_back.clear();
        for at in self.wants.bands_from_top(self.bands.len()) {
            for (run, _) in self.bands[at].given_back().iter() {
                let (first, last) = run.into_inner();
                self.came_back
                    .push(sequence_of(at, first), sequence_of(at, last));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is a list of sequences, each there once.
        #[test]
        fn what_came_back_is_a_list(
            steps in prop::collection::vec((0..4u8, 0..40u64, 0..8u64), 0..100),
        ) {
            let (mut back, mut model) = (CameBack::default(), VecDeque::new());
            for (what, number, more) in steps {
                match what {
                    0 | 1 if !model.contains(&number) => {
                        back.push(number, number);
                        model.push_back(number);
                    }
                    2 => {
                        if let Some((first, last)) = back.0.front() {
                            let count = more.clamp(1, last - first + 1);
                            back.take(count);
                            model.drain(..count as usize);
                        }
                    }
                    3 => {
                        back.forget(number, number + more);
                        model.retain(|one| *one < number || *one > number + more);
                    }
                    _ => {}
                }
                let listed = back.0.iter().flat_map(|(first, last)| *first..=*last);
                prop_assert!(listed.eq(model.iter().copied()));
            }
        }
    }
}
