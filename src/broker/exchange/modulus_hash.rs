//! x-modulus-hash: the routing key's hash chooses one of the bindings, whatever they are bound with.
//!
//! The hash is XXH3 with 64 bits, and the bindings are counted in the order in which they were made:
//! while nothing is bound or unbound, a key's messages go one way, also after a restart.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::bound::Bound;
use super::found::Found;
use crate::broker::binding::Binding;

/// See the module.
#[derive(Default)]
pub(super) struct ModulusHash(Bound);

impl ModulusHash {
    pub fn add(&mut self, binding: &Binding) {
        self.0.add(binding);
    }

    pub fn remove(&mut self, binding: &Binding) {
        self.0.remove(binding);
    }

    /// Several keys (CC and BCC name more) are hashed together.
    pub fn find(&self, routing_keys: &[&str], found: &mut Found) {
        let hash = routing_keys
            .iter()
            .fold(0, |seed, key| xxh3_64_with_seed(key.as_bytes(), seed));
        if let Some(place) = hash.checked_rem(self.0.len() as u64) {
            found.add_all(self.0.get(place as usize).into_iter());
        }
    }
}
