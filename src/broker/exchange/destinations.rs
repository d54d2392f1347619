//! The destinations of one key, pattern or exchange: each once, however many bindings lead to it.

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::broker::binding::Destination;

/// From so many destinations on, an index finds one among them.
const INDEXED_FROM: usize = 16;

/// See the module. Adding and removing takes constant time.
#[derive(Default)]
pub(super) struct Destinations {
    entries: SmallVec<[Entry; 1]>,
    /// Where each number stands; only where there are many.
    index: Option<Box<HashMap<u64, usize>>>,
}

struct Entry {
    destination: Destination,
    /// How many bindings lead there.
    bindings: u32,
}

impl Destinations {
    /// One more binding leads to `destination`.
    pub fn add(&mut self, destination: &Destination) {
        let number = destination.number();
        if let Some(entry) = self
            .position(number)
            .and_then(|at| self.entries.get_mut(at))
        {
            entry.bindings += 1;
            return;
        }
        let at = self.entries.len();
        self.entries.push(Entry {
            destination: destination.clone(),
            bindings: 1,
        });
        if let Some(index) = &mut self.index {
            index.insert(number, at);
        } else if self.entries.len() >= INDEXED_FROM {
            let entries = self.entries.iter().enumerate();
            let index = entries
                .map(|(at, entry)| (entry.destination.number(), at))
                .collect();
            self.index = Some(Box::new(index));
        }
    }

    /// One binding less leads to `destination`.
    pub fn remove(&mut self, destination: &Destination) {
        let number = destination.number();
        let Some(at) = self.position(number) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        entry.bindings -= 1;
        if entry.bindings > 0 {
            return;
        }
        self.entries.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.remove(&number);
            if let Some(moved) = self.entries.get(at) {
                index.insert(moved.destination.number(), at);
            }
        }
        if self.entries.is_empty() {
            *self = Self::default();
        }
    }

    /// Whether nothing leads anywhere.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Each destination once.
    pub fn iter(&self) -> impl Iterator<Item = &Destination> {
        self.entries.iter().map(|entry| &entry.destination)
    }

    fn position(&self, number: u64) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&number).copied(),
            None => self
                .entries
                .iter()
                .position(|entry| entry.destination.number() == number),
        }
    }
}
