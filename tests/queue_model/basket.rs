//! A consumer with credit that remembers what it was given.

use std::sync::Arc;

use parking_lot::Mutex;
use warren::amqp::properties::Properties;
use warren::amqp::table::FieldValue;
use warren::broker::log::Returns;
use warren::broker::{Delivery, Sink, Taken};

/// A message as a consumer saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub sequence: u64,
    pub name: u64,
    pub redelivered: bool,
    pub returns: Returns,
    /// The header `x-acquired-count`.
    pub acquired_count: Option<i64>,
    /// The header `x-delivery-count`.
    pub delivery_count: Option<i64>,
}

impl Seen {
    pub fn of(delivery: &Delivery<'_>) -> Self {
        let properties = delivery.message.properties;
        // Most have none, which needs no decoding.
        let headers = (properties != [0, 0])
            .then(|| Properties::decode(properties).expect("properties"))
            .and_then(|properties| properties.headers);
        let count = |name| {
            let count = headers.as_ref().and_then(|headers| headers.get(name));
            count.and_then(FieldValue::as_i64)
        };
        Self {
            sequence: delivery.sequence,
            name: name_of(delivery.message.body.as_slice()),
            redelivered: delivery.redelivered,
            returns: delivery.returns,
            acquired_count: count("x-acquired-count"),
            delivery_count: count("x-delivery-count"),
        }
    }
}

/// A message is known by the number in its body.
pub fn name_of(body: &[u8]) -> u64 {
    let (name, _) = body.split_first_chunk().expect("a name");
    u64::from_le_bytes(*name)
}

/// See the module.
#[derive(Default)]
pub struct Basket(Mutex<Contents>);

#[derive(Default)]
struct Contents {
    credit: usize,
    promised: usize,
    new: Vec<Seen>,
    cancelled: bool,
}

impl Basket {
    pub fn new(credit: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Contents {
            credit,
            ..Contents::default()
        })))
    }

    pub fn credit(&self) -> usize {
        self.0.lock().credit
    }

    pub fn give_room(&self, more: usize) {
        let mut contents = self.0.lock();
        contents.credit = contents.credit.saturating_add(more);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    pub fn take_new(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().new)
    }

    pub fn take_names(&self) -> Vec<u64> {
        self.take_new().iter().map(|seen| seen.name).collect()
    }
}

impl Sink for Basket {
    fn offer(&self, _slot: u32, deliveries: &[Delivery<'_>]) -> Taken {
        let mut contents = self.0.lock();
        let count = deliveries.len().min(contents.credit);
        contents.credit -= count;
        contents
            .new
            .extend(deliveries[..count].iter().map(Seen::of));
        Taken {
            count,
            full: contents.credit == 0,
        }
    }

    fn reserve(&self, _slot: u32, wanted: usize) -> usize {
        let mut contents = self.0.lock();
        let granted = wanted.min(contents.credit);
        contents.credit -= granted;
        contents.promised = granted;
        granted
    }

    fn deliver(&self, _slot: u32, deliveries: &[Delivery<'_>], places: &[u16]) {
        let mut contents = self.0.lock();
        assert_eq!(
            places.len(),
            contents.promised,
            "a promise is used up whole"
        );
        contents.promised = 0;
        let dealt = places.iter().map(|at| &deliveries[usize::from(*at)]);
        contents.new.extend(dealt.map(Seen::of));
    }

    fn cancel(&self, _slot: u32) {
        self.0.lock().cancelled = true;
    }

    fn flush(&self) {}
}
