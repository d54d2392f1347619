//! What one read of the socket brought for one channel and the engine does not have yet.
//!
//! In: messages with the numbers of the queues they go to, and settled deliveries. Out: each queue
//! gets its messages with one call, in the order in which they were published. The messages borrow
//! the read buffer; the few that do not lie in it, or not as they are to be stored, have those
//! parts kept beside them.
//!
//! Allocations outlive the read that they were made for: a batch takes them from its thread and
//! gives them back, so that neither a read nor an idle connection pays for them.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;

use super::settle::Settling;
use crate::amqp::table::ShortStr;
use crate::broker::log::AppendError;
use crate::broker::{Body, Effects, Engine, Message, Queue};

/// So many messages are handed over at the latest...
const MAX_MESSAGES: usize = 1024;

/// ... or so many bytes of bodies ...
const MAX_BYTES: usize = 1 << 20;

/// ... or so many picks, where messages go to many queues.
const MAX_PICKS: usize = 1 << 16;

/// What was gathered from one read of the socket and not yet handed to the engine. Borrows the
/// read buffer; made anew for each read from recycled allocations.
pub struct ReadBatch<'a>(pub(super) Gathering<'a>);

/// What a batch is made of.
#[derive(Default)]
pub(super) struct Gathering<'a> {
    messages: Vec<Message<'a>>,
    /// Which of them have parts that do not lie in the read buffer, in order.
    kept: Vec<(u32, Kept)>,
    /// Their publish tags, on a channel with confirms.
    tags: Vec<u64>,
    gathered: Gathered,
    /// The message that was pushed last had nothing special, and went where all others did: one that
    /// is like it needs no look at anything.
    is_usual: bool,
    /// Which messages go to which queue (by number), where not all go to one.
    picks: Vec<Vec<u32>>,
    /// The queues that have picks.
    touched: Vec<u32>,
    picked: usize,
    body_bytes: usize,
    /// How many publishes there were.
    pub published: u64,
    /// Whether there was any since the last time somebody looked.
    pub has_published: bool,
    /// Something that had to be logged could not be, and nobody has told the publisher.
    pub is_unsafe: bool,
    /// How many publishes are confirmed once the log is safe.
    pub awaiting_log: u64,
    /// The publish tags that they used, first and last.
    pub confirms: Option<(u64, u64)>,
    pub settling: Settling,
    /// What calls into queues left to be done.
    pub effects: Effects,
}

/// What became of the messages that were handed over.
pub(super) struct HandedOver {
    /// The publish tags of messages that a full queue refused, once per queue that did.
    pub refused: Vec<u64>,
    /// The log's index by which the others are safe; None if nothing has to be logged.
    pub logged: Result<Option<u64>, AppendError>,
}

/// Parts of a message that do not lie in the read buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Exchange and routing key.
    pub names: Option<(ShortStr, ShortStr)>,
    pub properties: Option<Bytes>,
    pub body: Option<Bytes>,
}

/// Where the gathered messages go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gathered {
    #[default]
    Nothing,
    /// All of them to this queue and no other.
    ToOne(u32),
    /// As the picks say.
    ToMany,
}

thread_local! {
    static SPARE: Cell<Option<Gathering<'static>>> = const { Cell::new(None) };
}

impl ReadBatch<'_> {
    /// An empty batch, with the allocations of an earlier one of this thread.
    pub fn new() -> Self {
        Self(
            SPARE
                .try_with(Cell::take)
                .ok()
                .flatten()
                .unwrap_or_default(),
        )
    }

    /// Whether one publish and no other is confirmed once the log is safe.
    pub fn is_lone_publish(&self) -> bool {
        self.0.awaiting_log == 1
    }
}

impl Default for ReadBatch<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ReadBatch<'_> {
    fn drop(&mut self) {
        let spare = std::mem::take(&mut self.0).emptied();
        // Where the thread ends, so do its allocations.
        let _ = SPARE.try_with(|place| place.set(Some(spare)));
    }
}

impl<'a> Gathering<'a> {
    /// Without what it gathered, for another read.
    fn emptied<'b>(mut self) -> Gathering<'b> {
        self.messages.clear();
        self.forget();
        Gathering {
            // Collecting an emptied vector in place keeps its allocation and sheds the lifetime.
            messages: self
                .messages
                .into_iter()
                .map(|_| unreachable!("it was emptied"))
                .collect(),
            kept: self.kept,
            tags: self.tags,
            gathered: Gathered::Nothing,
            is_usual: false,
            picks: self.picks,
            touched: self.touched,
            picked: 0,
            body_bytes: 0,
            published: 0,
            has_published: false,
            is_unsafe: false,
            awaiting_log: 0,
            confirms: None,
            settling: Settling::default(),
            effects: self.effects,
        }
    }

    /// Whether there are no messages.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether it is time to hand the messages over.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.messages.len() >= MAX_MESSAGES
            || self.body_bytes >= MAX_BYTES
            || self.picked >= MAX_PICKS
    }

    /// Adds a message with nothing special, whose like may follow.
    #[inline]
    pub fn push_usual(&mut self, message: Message<'a>, targets: &[u32]) {
        self.push(message, targets);
        self.is_usual = matches!(self.gathered, Gathered::ToOne(_));
    }

    /// Adds a message that is like the last one but for its body's bytes, if that one was usual.
    #[inline(always)]
    pub fn push_alike(&mut self, body: &'a [u8]) -> bool {
        let last = self.messages.last().filter(|_| self.is_usual);
        let Some(&last) = last else {
            return false;
        };
        self.body_bytes += body.len();
        self.messages.push(Message {
            body: Body::Slice(body),
            ..last
        });
        true
    }

    /// Adds a message for some queues, at least one.
    #[inline]
    pub fn push(&mut self, message: Message<'a>, targets: &[u32]) {
        self.is_usual = false;
        let index = self.messages.len() as u32;
        self.body_bytes += message.body.len();
        self.messages.push(message);
        match (self.gathered, targets) {
            (Gathered::ToOne(queue), [target]) if queue == *target => {}
            (Gathered::ToMany, _) => targets.iter().for_each(|target| self.pick(index, *target)),
            _ => self.turn(index, targets),
        }
    }

    /// Adds a message of which some parts are kept; `message` has the rest.
    pub fn push_kept(&mut self, message: Message<'a>, kept: Kept, targets: &[u32]) {
        self.body_bytes += kept.body.as_ref().map_or(0, Bytes::len);
        self.kept.push((self.messages.len() as u32, kept));
        self.push(message, targets);
    }

    /// A publish tag was used, for the message that was pushed last if there is one.
    #[inline]
    pub fn used_tag(&mut self, tag: u64, is_pushed: bool) {
        if is_pushed {
            self.tags.push(tag);
        }
        let first = self.confirms.map_or(tag, |(first, _)| first);
        self.confirms = Some((first, tag));
    }

    /// Gives all messages to their queues, of which `queues` are those that have numbers, and to the
    /// log what has to survive.
    pub fn hand_over(&mut self, queues: &[Arc<Queue>], engine: &Engine) -> HandedOver {
        let mut refused = Vec::new();
        let logged;
        if self.kept.is_empty() {
            let messages = std::mem::take(&mut self.messages);
            self.publish(&messages, queues, &mut refused);
            logged = self.effects.log_published(engine, &messages);
            self.messages = messages;
        } else {
            let kept = std::mem::take(&mut self.kept);
            let mut whole: Vec<Message<'_>> = self.messages.clone();
            for (index, kept) in &kept {
                if let Some(message) = whole.get_mut(*index as usize) {
                    kept.complete(message);
                }
            }
            self.publish(&whole, queues, &mut refused);
            logged = self.effects.log_published(engine, &whole);
            drop(whole);
            self.kept = kept;
        }
        self.messages.clear();
        self.forget();
        HandedOver { refused, logged }
    }

    fn publish(&mut self, messages: &[Message<'_>], queues: &[Arc<Queue>], refused: &mut Vec<u64>) {
        let mut publish = |queue: u32, picks: Option<&[u32]>| {
            let Some(queue) = queues.get(queue as usize) else {
                return;
            };
            queue.publish(messages, picks, &mut self.effects);
            refused.extend(
                self.effects
                    .refused
                    .drain(..)
                    .filter_map(|index| self.tags.get(index as usize)),
            );
        };
        match self.gathered {
            Gathered::Nothing => {}
            Gathered::ToOne(queue) => publish(queue, None),
            Gathered::ToMany => {
                for &queue in &self.touched {
                    let picks = self
                        .picks
                        .get(queue as usize)
                        .map_or(&[][..], Vec::as_slice);
                    publish(queue, Some(picks));
                }
            }
        }
    }

    /// The first message, or the first that goes elsewhere than all before.
    #[cold]
    fn turn(&mut self, index: u32, targets: &[u32]) {
        if let (Gathered::Nothing, [target]) = (self.gathered, targets) {
            self.gathered = Gathered::ToOne(*target);
            return;
        }
        if let Gathered::ToOne(queue) = self.gathered {
            (0..index).for_each(|earlier| self.pick(earlier, queue));
        }
        self.gathered = Gathered::ToMany;
        targets.iter().for_each(|target| self.pick(index, *target));
    }

    fn pick(&mut self, index: u32, queue: u32) {
        let at = queue as usize;
        if self.picks.len() <= at {
            self.picks.resize_with(at + 1, Vec::new);
        }
        if let Some(picks) = self.picks.get_mut(at) {
            if picks.is_empty() {
                self.touched.push(queue);
            }
            picks.push(index);
            self.picked += 1;
        }
    }

    fn forget(&mut self) {
        self.kept.clear();
        self.tags.clear();
        for queue in self.touched.drain(..) {
            if let Some(picks) = self.picks.get_mut(queue as usize) {
                picks.clear();
            }
        }
        self.gathered = Gathered::Nothing;
        self.is_usual = false;
        self.picked = 0;
        self.body_bytes = 0;
    }
}

impl Kept {
    /// Puts the kept parts into the message.
    pub fn complete<'k>(&'k self, message: &mut Message<'k>) {
        if let Some((exchange, routing_key)) = &self.names {
            message.exchange = exchange.as_bytes();
            message.routing_key = routing_key.as_bytes();
        }
        if let Some(properties) = &self.properties {
            message.properties = properties;
        }
        if let Some(body) = &self.body {
            message.body = Body::of(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use parking_lot::Mutex;
    use proptest::prelude::*;

    use super::*;
    use crate::amqp::table::FieldTable;
    use crate::broker::message::SHARED_BODY_BYTES;
    use crate::broker::queue::{ConsumerSpec, QueueSpec};
    use crate::broker::{Delivery, Facts, QueueId, Sink, Taken};

    /// What was seen of a message: names, properties, body.
    type Seen = (String, String, Vec<u8>, Vec<u8>);

    /// Takes everything.
    #[derive(Default)]
    struct Collector(Mutex<Vec<Seen>>);

    impl Collector {
        fn take<'d>(&self, deliveries: impl Iterator<Item = &'d Delivery<'d>>) {
            self.0.lock().extend(deliveries.map(|delivery| {
                let Message {
                    exchange,
                    routing_key,
                    properties,
                    body,
                    ..
                } = delivery.message;
                let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
                (
                    text(exchange),
                    text(routing_key),
                    properties.to_vec(),
                    body.as_slice().to_vec(),
                )
            }));
        }
    }

    impl Sink for Collector {
        fn offer(&self, _: u32, deliveries: &[Delivery<'_>]) -> Taken {
            self.take(deliveries.iter());
            Taken {
                count: deliveries.len(),
                full: false,
            }
        }

        fn reserve(&self, _: u32, wanted: usize) -> usize {
            wanted
        }

        fn deliver(&self, _: u32, deliveries: &[Delivery<'_>], places: &[u16]) {
            self.take(places.iter().map(|at| &deliveries[usize::from(*at)]));
        }

        fn cancel(&self, _: u32) {}

        fn flush(&self) {}
    }

    fn queue(engine: &Arc<Engine>, number: u64, arguments: FieldTable) -> Arc<Queue> {
        Queue::new(QueueSpec {
            id: QueueId(number),
            engine: Arc::clone(engine),
            vhost: Weak::new(),
            vhost_name: "/".into(),
            name: format!("queue {number}").into(),
            durable: false,
            auto_delete: false,
            exclusive_owner: None,
            arguments,
        })
        .expect("a queue")
    }

    fn collect(queue: &Arc<Queue>) -> Arc<Collector> {
        let collector = Arc::new(Collector::default());
        let consumer = ConsumerSpec {
            tag: "tag".into(),
            sink: collector.clone(),
            slot: 0,
            no_ack: true,
            exclusive: false,
            priority: 0,
        };
        let consumer = queue.add_consumer(consumer).expect("a consumer");
        queue.resume(&[consumer], &mut Effects::new());
        collector
    }

    fn message<'a>(routing_key: &'a str, body: &'a [u8]) -> Message<'a> {
        Message {
            exchange: b"exchange",
            routing_key: routing_key.as_bytes(),
            properties: &[0, 0],
            body: Body::Slice(body),
            facts: Facts::PLAIN,
        }
    }

    const QUEUES: u32 = 4;

    proptest! {
        /// Whatever goes where, and whatever of it is kept: each queue gets its messages, whole
        /// and in order.
        #[test]
        fn every_queue_gets_its_messages_in_order(
            publishes in prop::collection::vec(
                (prop::collection::btree_set(0..QUEUES, 1..3), any::<bool>(), 0..2usize),
                0..60,
            ),
            same_queue_until in 0..60usize,
            rounds in 1..3usize,
        ) {
            let engine = Engine::new(u64::MAX);
            let queues: Vec<_> =
                (0..QUEUES.into()).map(|number| queue(&engine, number, FieldTable::new())).collect();
            let collectors: Vec<_> = queues.iter().map(collect).collect();
            let mut expected: Vec<Vec<Seen>> = vec![Vec::new(); queues.len()];
            let keys: Vec<String> = (0..publishes.len()).map(|index| format!("key {index}")).collect();
            for _ in 0..rounds {
                let mut batch = ReadBatch::new();
                for (index, (targets, is_kept, large)) in publishes.iter().enumerate() {
                    let key = &keys[index];
                    let targets: Vec<u32> = match index < same_queue_until {
                        true => vec![0],
                        false => targets.iter().copied().collect(),
                    };
                    let body = vec![index as u8; 1 + large * SHARED_BODY_BYTES];
                    if *is_kept {
                        let kept = Kept {
                            names: Some(("kept".into(), key.as_str().into())),
                            properties: None,
                            body: Some(body.clone().into()),
                        };
                        batch.0.push_kept(message("", &[]), kept, &targets);
                    } else {
                        batch.0.push(message(key, b"short"), &targets);
                    }
                    let exchange = if *is_kept { "kept" } else { "exchange" };
                    let body = if *is_kept { body } else { b"short".to_vec() };
                    for target in targets {
                        expected[target as usize].push((exchange.into(), key.clone(), vec![0, 0], body.clone()));
                    }
                }
                prop_assert!(batch.0.hand_over(&queues, &engine).refused.is_empty());
                prop_assert!(batch.0.is_empty());
                prop_assert!(batch.0.hand_over(&queues, &engine).refused.is_empty());
            }
            for (collector, expected) in collectors.iter().zip(expected) {
                prop_assert_eq!(&*collector.0.lock(), &expected);
            }
        }
    }

    #[test]
    fn refused_messages_are_named_by_their_tags() {
        let engine = Engine::new(u64::MAX);
        let short = [("x-max-length", 1)].into_iter().collect::<FieldTable>();
        let mut short: FieldTable = short;
        short.push("x-overflow", "reject-publish");
        let queues = [
            queue(&engine, 0, short),
            queue(&engine, 1, FieldTable::new()),
        ];
        let mut batch = ReadBatch::new();
        for (tag, targets) in [(5, &[1][..]), (6, &[]), (7, &[0]), (8, &[0, 1]), (9, &[0])] {
            if !targets.is_empty() {
                batch.0.push(message("key", b"body"), targets);
            }
            batch.0.used_tag(tag, !targets.is_empty());
        }
        assert_eq!(batch.0.confirms, Some((5, 9)));
        assert_eq!(batch.0.hand_over(&queues, &engine).refused, [8, 9]);
        assert_eq!(queues[1].counts().ready, 2);
    }

    #[test]
    fn asks_to_be_handed_over_before_it_grows_without_bound() {
        let mut batch = ReadBatch::new();
        for _ in 0..MAX_MESSAGES {
            assert!(!batch.0.is_full());
            batch.0.push(message("key", b""), &[0]);
        }
        assert!(batch.0.is_full());
        drop(batch);

        let body = vec![0; MAX_BYTES];
        let mut batch = ReadBatch::new();
        batch.0.push(message("key", &body), &[0]);
        assert!(batch.0.is_full());
        drop(batch);

        let mut batch = ReadBatch::new();
        let everybody: Vec<u32> = (0..MAX_PICKS as u32).collect();
        batch.0.push(message("key", b""), &everybody);
        assert!(batch.0.is_full());
    }
}
