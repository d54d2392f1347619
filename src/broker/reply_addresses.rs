//! Direct reply-to: the addresses to which answers go that pass no queue.
//!
//! In: routing keys by which a message goes to the default exchange, whether a client publishes it or a
//! queue gives it up. Out: offers to the consumers whose addresses they are. An address that nobody
//! has (any more) leads nowhere.

use bytes::Bytes;
use dashmap::DashMap;
use smallvec::SmallVec;

use super::log::Returns;
use super::{Delivery, Effects, Message, SinkRef};

/// How addresses begin. No queue can be declared with such a name.
pub const ADDRESS_PREFIX: &str = "amq.rabbitmq.reply-to.";

/// Whether a routing key is such an address.
pub(super) fn is_address(key: &[u8]) -> bool {
    key.starts_with(ADDRESS_PREFIX.as_bytes())
}

/// See the module.
#[derive(Default)]
pub struct ReplyAddresses {
    /// By what follows the prefix: a consumer's sink and slot.
    consumers: DashMap<Bytes, (SinkRef, u32)>,
}

impl ReplyAddresses {
    /// A consumer waits at the address that ends in `key`.
    pub fn insert(&self, key: Bytes, sink: SinkRef, slot: u32) {
        self.consumers.insert(key, (sink, slot));
    }

    /// It waits no longer.
    pub fn remove(&self, key: &[u8]) {
        self.consumers.remove(key);
    }

    /// Whether somebody waits at that address.
    pub fn contains(&self, address: &str) -> bool {
        let key = address.strip_prefix(ADDRESS_PREFIX);
        key.is_some_and(|key| self.consumers.contains_key(key.as_bytes()))
    }

    /// Sends a message to those of `routing_keys` that are addresses, once to each.
    pub fn deliver<'k>(
        &self,
        routing_keys: impl Iterator<Item = &'k [u8]>,
        message: &Message<'_>,
        effects: &mut Effects,
    ) {
        let keys = routing_keys.filter_map(|key| key.strip_prefix(ADDRESS_PREFIX.as_bytes()));
        let mut keys: SmallVec<[&[u8]; 4]> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            // Out of the map before the sink is called: it has locks of its own.
            let consumer = self.consumers.get(key).map(|consumer| consumer.clone());
            if let Some((sink, slot)) = consumer {
                let delivery = Delivery {
                    message: *message,
                    sequence: 0,
                    returns: Returns::default(),
                    redelivered: false,
                };
                sink.offer(slot, &[delivery]);
                effects.touch(&sink);
            }
        }
    }
}
