//! Direct exchanges: the binding's key is the message's.

use std::sync::Arc;

use hashbrown::HashMap;

use super::destinations::Destinations;
use super::found::Found;
use crate::broker::binding::Binding;

/// Destinations by key.
#[derive(Default)]
pub(super) struct Direct(HashMap<Arc<str>, Destinations>);

impl Direct {
    pub fn add(&mut self, binding: &Binding) {
        let key = Arc::clone(&binding.routing_key);
        self.0.entry(key).or_default().add(&binding.destination);
    }

    pub fn remove(&mut self, binding: &Binding) {
        if let Some(destinations) = self.0.get_mut(&*binding.routing_key) {
            destinations.remove(&binding.destination);
            if destinations.is_empty() {
                self.0.remove(&*binding.routing_key);
            }
        }
    }

    pub fn find(&self, routing_key: &str, found: &mut Found) {
        if let Some(destinations) = self.0.get(routing_key) {
            found.add_all(destinations.iter());
        }
    }
}
