//! Who is bound where and who consumes what, as far as a null broker needs it.
//!
//! In come declarations, bindings and consumers; out come, for an exchange and a key, the queues
//! that it reaches. Routes may be cached until `epoch` moves.

use std::collections::HashMap;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A mutex whose poisoning means nothing: a session that panicked only loses its own connection.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writing half of a connection, whole frames at a time.
#[derive(Debug)]
pub struct Outgoing {
    stream: Arc<TcpStream>,
    writing: Mutex<()>,
}

/// The right to write some frames.
pub struct Writing<'o> {
    stream: &'o TcpStream,
    _alone: MutexGuard<'o, ()>,
}

impl Outgoing {
    /// Takes the writing half.
    pub fn new(stream: Arc<TcpStream>) -> Self {
        Outgoing {
            stream,
            writing: Mutex::new(()),
        }
    }

    /// Waits for the right to write some frames.
    pub fn lock(&self) -> Writing<'_> {
        Writing {
            _alone: lock(&self.writing),
            stream: &self.stream,
        }
    }

    /// Writes whole frames.
    pub fn write(&self, frames: &[u8]) -> io::Result<()> {
        self.lock().write_all(frames)
    }
}

impl Write for Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A consumer.
#[derive(Debug)]
pub struct NullConsumer {
    /// Where its deliveries go.
    pub outgoing: Arc<Outgoing>,
    /// Its channel.
    pub channel: u16,
    /// Its tag.
    pub tag: String,
    /// Deliveries so far, counted under the lock of `outgoing`.
    pub delivered: AtomicU64,
}

/// A queue, which holds nothing but its consumers.
#[derive(Debug, Default)]
pub struct NullQueue {
    consumers: Mutex<Vec<Arc<NullConsumer>>>,
    turn: AtomicUsize,
}

impl NullQueue {
    /// The consumer whose turn it is.
    pub fn next_consumer(&self) -> Option<Arc<NullConsumer>> {
        let consumers = lock(&self.consumers);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % consumers.len().max(1);
        consumers.get(turn).cloned()
    }

    /// How many consumers there are.
    pub fn consumer_count(&self) -> u32 {
        lock(&self.consumers).len() as u32
    }

    /// Adds one.
    pub fn add_consumer(&self, consumer: Arc<NullConsumer>) {
        lock(&self.consumers).push(consumer);
    }

    /// Forgets those of a connection that ended.
    pub fn remove_consumers(&self, outgoing: &Arc<Outgoing>) {
        lock(&self.consumers).retain(|consumer| !Arc::ptr_eq(&consumer.outgoing, outgoing));
    }
}

#[derive(Debug, Default)]
struct Exchange {
    is_fanout: bool,
    bindings: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Names {
    queues: HashMap<String, Arc<NullQueue>>,
    exchanges: HashMap<String, Exchange>,
}

/// Queues and exchanges by name.
#[derive(Debug, Default)]
pub struct Topology {
    names: Mutex<Names>,
    epoch: AtomicU64,
}

impl Topology {
    /// Moves whenever a route may have changed.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn change(&self) -> MutexGuard<'_, Names> {
        self.epoch.fetch_add(1, Ordering::Release);
        lock(&self.names)
    }

    /// The queue of this name, made if need be.
    pub fn queue(&self, name: &str) -> Arc<NullQueue> {
        if let Some(queue) = lock(&self.names).queues.get(name) {
            return Arc::clone(queue);
        }
        Arc::clone(self.change().queues.entry(name.to_owned()).or_default())
    }

    /// Forgets a queue and its bindings.
    pub fn delete_queue(&self, name: &str) {
        let mut names = self.change();
        if names.queues.remove(name).is_some() {
            for exchange in names.exchanges.values_mut() {
                exchange.bindings.retain(|(_, queue)| queue != name);
            }
        }
    }

    /// Makes an exchange.
    pub fn declare_exchange(&self, name: &str, kind: &str) {
        let exchange = Exchange {
            is_fanout: matches!(kind, "fanout" | "headers"),
            bindings: Vec::new(),
        };
        self.change()
            .exchanges
            .entry(name.to_owned())
            .or_insert(exchange);
    }

    /// Forgets an exchange.
    pub fn delete_exchange(&self, name: &str) {
        self.change().exchanges.remove(name);
    }

    /// Binds a queue.
    pub fn bind(&self, queue: &str, exchange: &str, key: &str) {
        let binding = (key.to_owned(), queue.to_owned());
        self.change()
            .exchanges
            .entry(exchange.to_owned())
            .or_default()
            .bindings
            .push(binding);
    }

    /// The queues that a key reaches, each once.
    pub fn route(&self, exchange: &str, key: &str) -> Vec<Arc<NullQueue>> {
        let names = lock(&self.names);
        if exchange.is_empty() {
            return names.queues.get(key).cloned().into_iter().collect();
        }
        let Some(exchange) = names.exchanges.get(exchange) else {
            return Vec::new();
        };
        let mut reached: Vec<&String> = exchange
            .bindings
            .iter()
            .filter(|(pattern, _)| exchange.is_fanout || matches_pattern(pattern, key))
            .map(|(_, queue)| queue)
            .collect();
        reached.sort_unstable();
        reached.dedup();
        reached
            .into_iter()
            .filter_map(|name| names.queues.get(name).cloned())
            .collect()
    }
}

/// Topic matching, which for keys without wildcards is equality and so serves direct exchanges too.
fn matches_pattern(pattern: &str, key: &str) -> bool {
    fn matches(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), _) => {
                (0..=key.len()).any(|skipped| matches(rest, &key[skipped..]))
            }
            (Some((word, rest)), Some((first, others))) => {
                (*word == "*" || word == first) && matches(rest, others)
            }
            _ => false,
        }
    }
    let pattern: Vec<&str> = pattern.split('.').collect();
    let key: Vec<&str> = key.split('.').collect();
    matches(&pattern, &key)
}
