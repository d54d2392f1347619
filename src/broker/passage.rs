//! Publishing through exchanges that have a memory: they keep what goes through them
//! (x-recent-history), or know what went through before (x-message-deduplication).
//!
//! In: one message, which a route was found for that leads through such an exchange. Out: what became
//! of it. What such exchanges remember and what queues and the log get is one step: whoever publishes
//! the same message at the same time waits for its turn and then finds both done, or neither. So
//! messages pass one by one, under a lock that only they take. It is taken before a queue's, never
//! the other way round; nothing under it waits for a client or the disk.

use std::sync::Arc;

use super::binding::Destination;
use super::effects::Effects;
use super::exchange::{Exchange, Found, KeptMessage, MessageHeaders};
use super::log::{AppendError, Place};
use super::message::Message;
use super::queue::Queue;
use super::vhost::Vhost;
use crate::amqp::reply::Exception;
use crate::store::journal::SeenId;

/// A message on its way through exchanges with a memory, and what they have noted of it.
pub(super) struct Passage<'m> {
    pub message: &'m Message<'m>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
    /// What is appended to the log from now on has this index at least.
    pub log_end: u64,
    /// Exchanges that know it now, and the place that it has there.
    noted: Vec<(Arc<Exchange>, u64)>,
    /// What of that the log is to have.
    to_log: Vec<SeenId>,
    /// How many exchanges knew it.
    duplicates: u64,
    /// Where one did, the message that it knew is safe once the log is that far.
    safe_at: u64,
}

impl Passage<'_> {
    /// An exchange knows the message now, and if it is to be kept the log is to have it.
    pub fn note(&mut self, exchange: &Arc<Exchange>, sequence: u64, to_log: Option<SeenId>) {
        self.noted.push((Arc::clone(exchange), sequence));
        self.to_log.extend(to_log);
    }

    /// An exchange knew it, from a message that is safe once the log is that far.
    pub fn knew(&mut self, safe_at: u64) {
        self.duplicates += 1;
        self.safe_at = self.safe_at.max(safe_at);
    }

    /// It went nowhere: nobody knows it.
    fn withdraw(&mut self) {
        self.to_log.clear();
        for (exchange, sequence) in self.noted.drain(..) {
            exchange.withdraw(sequence);
        }
    }

    fn logged(&self, index: u64) {
        for (exchange, sequence) in &self.noted {
            exchange.logged(*sequence, index);
        }
    }
}

/// A message to be published.
pub(super) struct Passing<'m> {
    pub message: &'m Message<'m>,
    pub routing_keys: &'m [&'m str],
    /// The place in a queue that it leaves by this.
    pub left: Option<Place>,
    /// Queues that do not take it.
    pub is_barred: &'m dyn Fn(&Queue) -> bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// It went to a queue.
    pub is_routed: bool,
    /// An exchange knew it, and let it go no further.
    pub is_duplicate: bool,
    /// A queue refused it because of its length limit. Nobody knows it then.
    pub is_refused: bool,
    /// The log has it, or knows where it went.
    pub is_logged: bool,
    /// The log's index by which it is safe, or the message is that it repeats; None if neither has to
    /// be logged.
    pub safe_at: Result<Option<u64>, AppendError>,
}

impl Vhost {
    /// Publishes a client's message that leads through exchanges with a memory, to queues of which
    /// each is shown to `sees`. Afterwards `effects` are to be completed; what was published before must
    /// have been handed over.
    ///
    /// # Errors
    /// As [`Vhost::route`], and PRECONDITION_FAILED for headers that an exchange cannot use.
    pub fn pass(
        &self,
        message: &Message<'_>,
        routing_keys: &[&str],
        sees: &dyn Fn(&Queue),
        effects: &mut Effects,
    ) -> Result<Passed, Exception> {
        let exchange = String::from_utf8_lossy(message.exchange);
        let first = self.exchange_to_publish_to(&exchange, false)?;
        let passing = Passing {
            message,
            routing_keys,
            left: None,
            is_barred: &|queue| {
                sees(queue);
                false
            },
        };
        self.pass_from(first, &passing, effects)
    }

    /// The same for the broker itself, from an exchange on that has this name.
    pub(super) fn pass_internally(
        &self,
        exchange: &str,
        passing: &Passing<'_>,
        effects: &mut Effects,
    ) -> Result<Passed, Exception> {
        let first = self.exchange_to_publish_to(exchange, true)?;
        self.pass_from(first, passing, effects)
    }

    /// The same from an exchange on, whoever publishes.
    pub(super) fn pass_from(
        &self,
        first: Arc<Exchange>,
        passing: &Passing<'_>,
        effects: &mut Effects,
    ) -> Result<Passed, Exception> {
        let engine = self.engine();
        let _turn = self.passing().lock();
        let mut passage = Passage {
            message: passing.message,
            now_ms: engine.clock.now_ms(),
            log_end: engine.log().map_or(1, |log| log.safe_index() + 1),
            noted: Vec::new(),
            to_log: Vec::new(),
            duplicates: 0,
            safe_at: 0,
        };
        let headers = MessageHeaders::new(passing.message.properties);
        let mut found = Found::default();
        let followed = self.follow(
            first,
            passing.routing_keys,
            &headers,
            &mut found,
            Some(&mut passage),
        );
        if let Err(exception) = followed {
            passage.withdraw();
            return Err(exception);
        }
        let mut passed = Passed {
            is_routed: false,
            is_duplicate: passage.duplicates > 0,
            is_refused: false,
            is_logged: false,
            safe_at: Ok(None),
        };
        let refused_before = effects.refused.len();
        for queue in found.live_queues() {
            if (passing.is_barred)(&queue) {
                continue;
            }
            passed.is_routed = true;
            queue.publish(std::slice::from_ref(passing.message), None, effects);
        }
        passed.is_refused = effects.refused.len() > refused_before;
        effects.refused.truncate(refused_before);
        if passed.is_refused {
            // Whoever publishes it again must be heard.
            passage.withdraw();
        }
        passed.is_logged = effects.has_placements();
        let logged = effects.log_passed(engine, passing.message, passing.left, &passage.to_log);
        match logged {
            Ok(index) => {
                passage.logged(index.unwrap_or(0));
                let safe_at = index.unwrap_or(0).max(passage.safe_at);
                passed.safe_at = Ok((safe_at > 0).then_some(safe_at));
            }
            Err(error) => {
                passage.withdraw();
                passed.safe_at = Err(error);
            }
        }
        if passage.safe_at > 0 {
            effects.pending.waits_for(passage.safe_at);
        }
        if passed.is_duplicate {
            engine.metrics.messages_deduplicated.add(passage.duplicates);
        }
        Ok(passed)
    }

    /// Something was bound to an exchange that keeps what went through it.
    pub(super) fn send_history(&self, to: &Destination, history: &[Arc<KeptMessage>]) {
        let mut effects = Effects::new();
        match to {
            Destination::Queue(queue) => {
                let messages: Vec<_> = history.iter().map(|kept| kept.message()).collect();
                queue.publish(&messages, None, &mut effects);
                // Nobody waits for it.
                let _ = effects.log_published(self.engine(), &messages);
            }
            // The newest first, as in RabbitMQ.
            Destination::Exchange(exchange) => {
                for kept in history.iter().rev() {
                    let keys: Vec<&str> = kept.routing_keys.iter().map(AsRef::as_ref).collect();
                    let passing = Passing {
                        message: &kept.message(),
                        routing_keys: &keys,
                        left: None,
                        is_barred: &|_| false,
                    };
                    // A message that the exchange cannot use goes nowhere.
                    let _ = self.pass_from(Arc::clone(exchange), &passing, &mut effects);
                }
            }
        }
        effects.complete();
    }
}
