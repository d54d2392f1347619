//! Where a message goes: from its exchange over bindings to queues, each once.
//!
//! In: an exchange's name, a routing key, and the message's properties, which only few
//! exchanges read. Out: a [`Route`]. Exchanges that lead to each other are followed, each once;
//! where an exchange finds nothing, its alternate exchange is asked. No lock is held from one
//! exchange to the next.

use std::sync::Arc;

use smallvec::SmallVec;

use super::exchange::{Exchange, Found, MessageHeaders};
use super::names::Resource;
use super::passage::Passage;
use super::queue::Queue;
use super::vhost::Vhost;
use crate::amqp::reply::{Exception, ReplyCode};

/// Where a message goes.
#[derive(Clone)]
pub struct Route {
    /// Each queue once; empty if it is unroutable.
    pub queues: Arc<[Arc<Queue>]>,
    /// Whether the same exchange and routing key lead to the same queues, whatever else the message
    /// has and whenever it comes, until the [`Vhost::epoch`] changes. Read the epoch before routing.
    pub cacheable: bool,
    /// It leads through an exchange with a memory: there are no queues here, and the message is to be
    /// published by [`Vhost::pass`].
    pub has_memory: bool,
}

impl Vhost {
    /// Where a message goes. `publisher_may_use_internal` is false for clients (ACCESS_REFUSED on
    /// an internal exchange) and true for dead-lettering. `properties` are the encoded property
    /// flags and values, which were checked before; they are read only where a headers exchange
    /// needs them. NOT_FOUND if there is no such exchange. Follows alternate exchanges.
    pub fn route(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: &[u8],
        publisher_may_use_internal: bool,
    ) -> Result<Route, Exception> {
        if exchange.is_empty() {
            return Ok(self.route_by_default(routing_key));
        }
        self.route_by(
            exchange,
            &[routing_key],
            properties,
            publisher_may_use_internal,
        )
    }

    /// The same for a message with several routing keys (CC and BCC name more). They are one
    /// question: an alternate exchange is asked where none of them leads anywhere.
    pub fn route_by(
        &self,
        exchange: &str,
        routing_keys: &[&str],
        properties: &[u8],
        publisher_may_use_internal: bool,
    ) -> Result<Route, Exception> {
        if exchange.is_empty() {
            let mut queues: SmallVec<[Arc<Queue>; 8]> = routing_keys
                .iter()
                .filter_map(|key| self.live_queue(key))
                .collect();
            queues.sort_unstable_by_key(|queue| queue.id());
            queues.dedup_by_key(|queue| queue.id());
            return Ok(Route {
                queues: self.share(&queues),
                cacheable: false,
                has_memory: false,
            });
        }
        let first = self.exchange_to_publish_to(exchange, publisher_may_use_internal)?;
        let headers = MessageHeaders::new(properties);
        let mut found = Found::default();
        self.follow(first, routing_keys, &headers, &mut found, None)?;
        if found.has_memory {
            return Ok(Route {
                queues: Arc::clone(self.nowhere()),
                cacheable: false,
                has_memory: true,
            });
        }
        Ok(Route {
            queues: self.share(&found.live_queues()),
            cacheable: !headers.were_read() && !found.varies,
            has_memory: false,
        })
    }

    /// An exchange that somebody publishes to, by its name.
    pub(super) fn exchange_to_publish_to(
        &self,
        name: &str,
        publisher_may_use_internal: bool,
    ) -> Result<Arc<Exchange>, Exception> {
        let resource = Resource::exchange(name, self.name());
        let exchange = self.exchange(name).ok_or_else(|| resource.not_found())?;
        if exchange.is_internal() && !publisher_may_use_internal {
            let text = format!("cannot publish to internal {resource}");
            return Err(Exception::new(ReplyCode::AccessRefused, text));
        }
        Ok(exchange)
    }

    /// The default exchange leads to the queue of the key's name.
    fn route_by_default(&self, routing_key: &str) -> Route {
        match self.live_queue(routing_key) {
            Some(queue) => Route {
                queues: self.share(&[queue]),
                cacheable: true,
                has_memory: false,
            },
            // A queue that is declared changes nothing that was found before but this.
            None => Route {
                queues: self.share(&[]),
                cacheable: false,
                has_memory: false,
            },
        }
    }

    fn share(&self, queues: &[Arc<Queue>]) -> Arc<[Arc<Queue>]> {
        if queues.is_empty() {
            Arc::clone(self.nowhere())
        } else {
            queues.iter().cloned().collect()
        }
    }

    /// Asks `first`, and every exchange that it leads to, once. Without a passage it stops at the first
    /// exchange with a memory.
    pub(super) fn follow(
        &self,
        first: Arc<Exchange>,
        routing_keys: &[&str],
        headers: &MessageHeaders<'_>,
        found: &mut Found,
        mut passage: Option<&mut Passage<'_>>,
    ) -> Result<(), Exception> {
        let mut asked = Asked::default();
        asked.is_new(&first);
        found.exchanges.push(first);
        while let Some(exchange) = found.exchanges.pop() {
            let before = found.len();
            if !exchange.has_memory() {
                exchange.find(routing_keys, headers, found);
                found.varies |= exchange.varies();
            } else if let Some(passage) = &mut passage {
                exchange.pass(routing_keys, headers, passage, found)?;
            } else {
                found.has_memory = true;
                return Ok(());
            }
            if found.len() == before
                && let Some(alternate) = exchange.alternate()
            {
                // The default exchange has no bindings that could be found this way.
                let alternate = self
                    .exchange(&alternate)
                    .filter(|found| !found.name().is_empty());
                found.exchanges.extend(alternate);
            }
            while found
                .exchanges
                .last()
                .is_some_and(|next| !asked.is_new(next))
            {
                found.exchanges.pop();
            }
        }
        Ok(())
    }
}

/// Exchanges that were asked, in the order of their numbers.
#[derive(Default)]
struct Asked(SmallVec<[u64; 8]>);

impl Asked {
    /// Whether it was not asked before; now it is.
    fn is_new(&mut self, exchange: &Exchange) -> bool {
        match self.0.binary_search(&exchange.id().0) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, exchange.id().0);
                true
            }
        }
    }
}
