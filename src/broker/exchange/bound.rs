//! All bindings of an exchange, in the order in which they were made: for types that choose one.

use crate::broker::binding::{Binding, Destination};
use crate::broker::ids::BindingId;

/// See the module. A destination is there once for each binding that leads to it.
#[derive(Default)]
pub(super) struct Bound(Vec<(BindingId, Destination)>);

impl Bound {
    pub fn add(&mut self, binding: &Binding) {
        let place = self.0.partition_point(|(id, _)| *id < binding.id);
        let entry = (binding.id, binding.destination.clone());
        self.0.insert(place, entry);
    }

    pub fn remove(&mut self, binding: &Binding) {
        if let Ok(place) = self.0.binary_search_by_key(&binding.id, |(id, _)| *id) {
            self.0.remove(place);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Where one of them leads.
    pub fn get(&self, place: usize) -> Option<&Destination> {
        self.0.get(place).map(|(_, destination)| destination)
    }

    /// Where they lead.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.0.iter().map(|(_, destination)| destination)
    }
}
