//! Fanout exchanges: every binding matches.

use super::destinations::Destinations;
use super::found::Found;
use crate::broker::binding::Binding;

/// All destinations.
#[derive(Default)]
pub(super) struct Fanout(Destinations);

impl Fanout {
    pub fn add(&mut self, binding: &Binding) {
        self.0.add(&binding.destination);
    }

    pub fn remove(&mut self, binding: &Binding) {
        self.0.remove(&binding.destination);
    }

    pub fn find(&self, found: &mut Found) {
        found.add_all(self.0.iter());
    }
}
