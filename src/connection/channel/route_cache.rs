//! Where a channel's messages go, remembered.
//!
//! In: exchange and routing key as they lie in the read buffer. Out: the numbers of the queues
//! behind them. Looking a route up in the vhost, and asking for the permission to publish, happens
//! once per route and topology; afterwards one comparison with the last route, or one look into a
//! table, does. Queues have small numbers here, so that gathering messages for them is indexing.
//!
//! Holds always: everything in here was found under one [epoch](crate::broker::Vhost::epoch) of
//! the vhost, and no more than [`MAX_ROUTES`] routes and about [`MAX_QUEUES`] queues are in here.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use smallvec::SmallVec;

use crate::broker::{Queue, QueueId};

/// How many routes are remembered. A full cache starts anew.
const MAX_ROUTES: usize = 1024;

/// With so many queues numbered, the cache starts anew.
const MAX_QUEUES: usize = 4096;

/// The queues of a route, by number.
pub(super) type Targets = SmallVec<[u32; 4]>;

/// See the module.
pub(super) struct RouteCache<Q = Arc<Queue>> {
    epoch: Option<u64>,
    routes: Vec<Route>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// The route that was used last.
    last: usize,
    queues: Vec<Q>,
    numbers: HashMap<QueueId, u32>,
}

struct Route {
    /// Exchange and routing key, one behind the other.
    names: Box<[u8]>,
    exchange_bytes: usize,
    targets: Targets,
}

impl Route {
    #[inline]
    fn is(&self, exchange: &[u8], routing_key: &[u8]) -> bool {
        self.names.split_at_checked(self.exchange_bytes) == Some((exchange, routing_key))
    }
}

impl<Q> Default for RouteCache<Q> {
    fn default() -> Self {
        Self {
            epoch: None,
            routes: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            last: 0,
            queues: Vec::new(),
            numbers: HashMap::default(),
        }
    }
}

impl<Q> RouteCache<Q> {
    /// Forgets everything that was found under another epoch.
    #[inline]
    pub fn renew(&mut self, epoch: u64) {
        if self.epoch != Some(epoch) {
            self.clear();
            self.epoch = Some(epoch);
        }
    }

    /// Whether it must be cleared before more is remembered. (Numbers given out before are void
    /// then.)
    pub fn is_full(&self) -> bool {
        self.routes.len() >= MAX_ROUTES || self.queues.len() >= MAX_QUEUES
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.routes.clear();
        self.index.clear();
        self.queues.clear();
        self.numbers.clear();
        self.last = 0;
    }

    /// The queues of a remembered route that leads to some.
    #[inline(always)]
    pub fn known(&mut self, exchange: &[u8], routing_key: &[u8]) -> Option<&[u32]> {
        let route = self.find(exchange, routing_key)?;
        Some(self.targets(route)).filter(|targets| !targets.is_empty())
    }

    /// A remembered route, to be given to [`RouteCache::targets`].
    #[inline]
    pub fn find(&mut self, exchange: &[u8], routing_key: &[u8]) -> Option<usize> {
        match self.routes.get(self.last) {
            Some(route) if route.is(exchange, routing_key) => Some(self.last),
            _ => self.search(exchange, routing_key),
        }
    }

    /// A route's queues.
    #[inline]
    pub fn targets(&self, route: usize) -> &[u32] {
        self.routes.get(route).map_or(&[], |route| &route.targets)
    }

    /// Remembers a route.
    pub fn insert(&mut self, exchange: &[u8], routing_key: &[u8], targets: Targets) -> usize {
        let route = self.routes.len();
        let hash = self.hash(exchange, routing_key);
        let names = [exchange, routing_key].concat().into_boxed_slice();
        self.routes.push(Route {
            names,
            exchange_bytes: exchange.len(),
            targets,
        });
        let Self {
            routes,
            index,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, route as u32, |route| {
            routes.get(*route as usize).map_or(0, |route| {
                let (exchange, routing_key) = route.names.split_at(route.exchange_bytes);
                hasher.hash_one((exchange, routing_key))
            })
        });
        self.last = route;
        route
    }

    /// The queues that have a number, in the order of their numbers.
    pub fn queues(&self) -> &[Q] {
        &self.queues
    }

    /// A queue's number.
    pub fn number(&mut self, id: QueueId, queue: impl FnOnce() -> Q) -> u32 {
        let queues = &mut self.queues;
        *self.numbers.entry(id).or_insert_with(|| {
            queues.push(queue());
            queues.len() as u32 - 1
        })
    }

    fn search(&mut self, exchange: &[u8], routing_key: &[u8]) -> Option<usize> {
        let hash = self.hash(exchange, routing_key);
        let routes = &self.routes;
        let is_it = |route: &u32| {
            routes
                .get(*route as usize)
                .is_some_and(|route| route.is(exchange, routing_key))
        };
        self.last = *self.index.find(hash, is_it)? as usize;
        Some(self.last)
    }

    fn hash(&self, exchange: &[u8], routing_key: &[u8]) -> u64 {
        self.hasher.hash_one((exchange, routing_key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn remembers_what_was_put_in_until_the_epoch_changes(
            steps in prop::collection::vec(("[ab]{0,3}", "[ab]{0,3}", prop::collection::vec(0..9u64, 0..6), 0..40u64), 1..300),
        ) {
            let mut cache = RouteCache::<u64>::default();
            let mut model: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
            let mut epoch = 0;
            for (exchange, key, queues, chance) in steps {
                epoch += u64::from(chance == 0);
                if chance == 0 {
                    model.clear();
                }
                cache.renew(epoch);
                let found = cache.find(exchange.as_bytes(), key.as_bytes());
                let named = (exchange.clone(), key.clone());
                prop_assert_eq!(found.is_some(), model.contains_key(&named));
                let route = match found {
                    Some(route) => route,
                    None => {
                        let targets = queues.iter().map(|queue| cache.number(QueueId(*queue), || *queue)).collect();
                        model.insert(named.clone(), queues);
                        cache.insert(exchange.as_bytes(), key.as_bytes(), targets)
                    }
                };
                let queues: Vec<u64> = cache.targets(route).iter().map(|number| cache.queues()[*number as usize]).collect();
                prop_assert_eq!(&queues, &model[&named]);
            }
        }
    }

    #[test]
    fn names_are_not_confused_across_their_seam() {
        let mut cache = RouteCache::<u64>::default();
        cache.insert(b"ab", b"c", Targets::new());
        assert_eq!(cache.find(b"a", b"bc"), None);
        assert_eq!(cache.find(b"abc", b""), None);
        assert!(cache.find(b"ab", b"c").is_some());
    }

    #[test]
    fn says_when_it_is_full() {
        let mut cache = RouteCache::<u64>::default();
        for route in 0..MAX_ROUTES {
            assert!(!cache.is_full());
            cache.insert(b"", route.to_string().as_bytes(), Targets::new());
        }
        assert!(cache.is_full());
        cache.clear();
        assert_eq!(cache.find(b"", b"0"), None);
    }
}
