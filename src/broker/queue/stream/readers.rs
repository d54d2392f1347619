//! Who reads a stream: each at a place of its own.

use super::filter::Filter;
use crate::broker::queue::ConsumerId;
use crate::broker::sink::SinkRef;

/// A reader.
pub struct Reader {
    /// The consumer that it is.
    pub id: ConsumerId,
    /// Where its deliveries go.
    pub sink: SinkRef,
    /// What the sink knows it as.
    pub slot: u32,
    /// The number of the message that comes next, or of one that is there no more or not yet.
    pub next: u64,
    /// What came before that moment is passed over, until something is delivered.
    pub since_ms: Option<u64>,
    /// What it wants to see; None: everything.
    pub filter: Option<Filter>,
    /// Whether it takes anything now.
    pub has_room: bool,
}

/// See the module. Sorted by their ids.
#[derive(Default)]
pub struct Readers(Vec<Reader>);

impl Readers {
    /// Adds one.
    pub fn add(&mut self, reader: Reader) {
        let at = self.0.partition_point(|other| other.id < reader.id);
        self.0.insert(at, reader);
    }

    /// Removes some; their ids are sorted.
    pub fn remove(&mut self, ids: &[ConsumerId]) {
        self.0
            .retain(|reader| ids.binary_search(&reader.id).is_err());
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The one at that place.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut Reader> {
        self.0.get_mut(at)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Reader> {
        self.0.iter()
    }

    /// The place of a reader that has room (again); None if it is not there.
    pub fn has_room(&mut self, id: ConsumerId) -> Option<usize> {
        let at = self.0.binary_search_by_key(&id, |reader| reader.id).ok()?;
        self.0[at].has_room = true;
        Some(at)
    }
}
