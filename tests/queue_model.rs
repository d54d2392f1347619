//! The queue against a simple model, thousands of random steps: what is delivered is always the
//! head of what is ready, in order, and something waits only if nobody has room.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::sample::Index;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::engine::Engine;
use warren::broker::queue::{Cause, ConsumerId, ConsumerSpec, Queue, QueueId, QueueSpec, Returned};
use warren::broker::{Body, Delivery, Effects, Facts, Message, Sink, SinkRef, Taken};

/// A message as a consumer saw it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    sequence: u64,
    name: u64,
    redelivered: bool,
    returns: u32,
}

impl Seen {
    fn of(delivery: &Delivery<'_>) -> Self {
        let mut name = [0; 8];
        name.copy_from_slice(&delivery.message.body.as_slice()[..8]);
        let Delivery {
            sequence,
            redelivered,
            returns,
            ..
        } = *delivery;
        Self {
            sequence,
            name: u64::from_le_bytes(name),
            redelivered,
            returns,
        }
    }

    fn returned(&self) -> Returned {
        Returned {
            sequence: self.sequence,
            returns: self.returns,
        }
    }
}

/// A consumer with credit, that remembers what it was given.
#[derive(Default)]
struct Basket(Mutex<Contents>);

#[derive(Default)]
struct Contents {
    credit: usize,
    promised: usize,
    new: Vec<Seen>,
    cancelled: bool,
}

impl Basket {
    fn new(credit: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Contents {
            credit,
            ..Contents::default()
        })))
    }

    fn take_new(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().new)
    }

    fn take_names(&self) -> Vec<u64> {
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

fn queue(arguments: &[(&str, FieldValue)]) -> Arc<Queue> {
    queue_of(&Engine::new(u64::MAX), arguments)
}

fn queue_of(engine: &Arc<Engine>, arguments: &[(&str, FieldValue)]) -> Arc<Queue> {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.push(*name, value.clone());
    }
    let spec = QueueSpec {
        id: QueueId(1),
        engine: Arc::clone(engine),
        vhost: Weak::new(),
        vhost_name: "/".into(),
        name: "q".into(),
        durable: false,
        auto_delete: false,
        exclusive_owner: None,
        arguments: table,
    };
    Queue::new(spec).expect("the arguments are valid")
}

fn publish(
    queue: &Arc<Queue>,
    names: std::ops::Range<u64>,
    priority: impl Fn(u64) -> u8,
) -> Effects {
    let bodies: Vec<[u8; 8]> = names.clone().map(u64::to_le_bytes).collect();
    let message = |(name, body)| Message {
        exchange: b"",
        routing_key: b"q",
        properties: &[0, 0],
        body: Body::Slice(body),
        facts: Facts {
            priority: priority(name),
            ..Facts::PLAIN
        },
    };
    let batch: Vec<Message<'_>> = names
        .zip(bodies.iter().map(|body| &body[..]))
        .map(message)
        .collect();
    let mut effects = Effects::new();
    queue.publish(&batch, None, &mut effects);
    effects
}

fn consume(queue: &Arc<Queue>, basket: &Arc<Basket>, no_ack: bool, priority: i32) -> ConsumerId {
    let sink = Arc::clone(basket) as SinkRef;
    let spec = ConsumerSpec {
        tag: "c".into(),
        sink,
        slot: 0,
        no_ack,
        exclusive: false,
        priority,
    };
    let id = queue.add_consumer(spec).expect("nobody is exclusive");
    queue.resume(&[id], &mut Effects::new());
    id
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u64),
    Consume {
        credit: usize,
        no_ack: bool,
        priority: i32,
    },
    Cancel(Index),
    Ack(Index, Index),
    Requeue(Index, Index),
    Reject(Index, Index),
    Get,
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    let two = || (any::<Index>(), any::<Index>());
    let credit = prop_oneof![1..10usize, Just(100_000)];
    prop_oneof![
        24 => prop_oneof![1..5u64, 60..200u64].prop_map(Step::Publish),
        8 => (credit, prop::bool::weighted(0.3), 0..2i32)
            .prop_map(|(credit, no_ack, priority)| Step::Consume { credit, no_ack, priority }),
        4 => any::<Index>().prop_map(Step::Cancel),
        16 => two().prop_map(|(consumer, upto)| Step::Ack(consumer, upto)),
        12 => two().prop_map(|(consumer, message)| Step::Requeue(consumer, message)),
        8 => two().prop_map(|(consumer, message)| Step::Reject(consumer, message)),
        8 => Just(Step::Get),
        1 => Just(Step::Purge),
    ]
}

struct Client {
    id: ConsumerId,
    basket: Arc<Basket>,
    no_ack: bool,
    unacked: Vec<Seen>,
}

/// Ready messages come by priority, then by age.
type Place = (std::cmp::Reverse<u8>, u64);
/// How a ready message must be seen: redelivered, returns.
type Marks = (bool, u32);

struct Model {
    queue: Arc<Queue>,
    levels: u64,
    published: u64,
    ready: BTreeMap<Place, Marks>,
    clients: Vec<Client>,
}

impl Model {
    fn priority(&self, name: u64) -> u8 {
        if self.levels == 0 {
            0
        } else {
            (name % (self.levels + 1)) as u8
        }
    }

    fn place(&self, name: u64) -> Place {
        (std::cmp::Reverse(self.priority(name)), name)
    }

    /// A client that has something unacked, if the one that was drawn has.
    fn client_with_unacked(&self, index: &Index) -> Option<usize> {
        let at = (!self.clients.is_empty()).then(|| index.index(self.clients.len()))?;
        (!self.clients[at].unacked.is_empty()).then_some(at)
    }

    fn take_one(&mut self, client: usize, message: &Index) -> (ConsumerId, Seen) {
        let client = &mut self.clients[client];
        let seen = client.unacked.remove(message.index(client.unacked.len()));
        client.basket.0.lock().credit += 1;
        (client.id, seen)
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let effects = &mut Effects::new();
        let is_publish = matches!(step, Step::Publish(_));
        match step {
            Step::Publish(count) => {
                let names = self.published..self.published + count;
                self.published += count;
                for name in names.clone() {
                    self.ready.insert(self.place(name), (false, 0));
                }
                publish(&self.queue, names, |name| self.priority(name));
            }
            Step::Consume {
                credit,
                no_ack,
                priority,
            } => {
                let basket = Basket::new(credit);
                let id = consume(&self.queue, &basket, no_ack, priority);
                self.clients.push(Client {
                    id,
                    basket,
                    no_ack,
                    unacked: vec![],
                });
            }
            Step::Cancel(index) => {
                if !self.clients.is_empty() {
                    let client = self.clients.remove(index.index(self.clients.len()));
                    if self.queue.remove_consumers(&[client.id], effects) {
                        self.queue.activate_next(effects);
                    }
                    for seen in &client.unacked {
                        self.ready
                            .insert(self.place(seen.name), (true, seen.returns));
                    }
                    let returned: Vec<Returned> =
                        client.unacked.iter().map(Seen::returned).collect();
                    self.queue
                        .requeue(&returned, Cause::Recovered, &[], effects);
                }
            }
            Step::Ack(consumer, upto) => {
                if let Some(at) = self.client_with_unacked(&consumer) {
                    let client = &mut self.clients[at];
                    let count = 1 + upto.index(client.unacked.len());
                    let acked: Vec<_> = client
                        .unacked
                        .drain(..count)
                        .map(|seen| (seen.sequence, seen.sequence))
                        .collect();
                    client.basket.0.lock().credit += count;
                    self.queue.ack(&acked, &[client.id], effects);
                }
            }
            Step::Requeue(consumer, message) => {
                if let Some(at) = self.client_with_unacked(&consumer) {
                    let (id, seen) = self.take_one(at, &message);
                    self.ready
                        .insert(self.place(seen.name), (true, seen.returns));
                    self.queue
                        .requeue(&[seen.returned()], Cause::Nacked, &[id], effects);
                }
            }
            Step::Reject(consumer, message) => {
                if let Some(at) = self.client_with_unacked(&consumer) {
                    let (id, seen) = self.take_one(at, &message);
                    self.queue.reject(&[seen.returned()], &[id], effects);
                }
            }
            Step::Get => {
                let mut got = None;
                self.queue.get(true, effects, &mut |delivery, remaining| {
                    got = Some((Seen::of(delivery).name, remaining));
                });
                let expected = self
                    .ready
                    .pop_first()
                    .map(|((_, name), _)| (name, self.ready.len() as u64));
                prop_assert_eq!(got, expected);
            }
            Step::Purge => {
                prop_assert_eq!(self.queue.purge(effects), self.ready.len() as u64);
                self.ready.clear();
            }
        }
        self.check_deliveries(is_publish)?;
        self.check_counts()
    }

    /// What one step delivered is, taken together, the head of what was ready; each consumer saw
    /// its share in order. What is published while somebody has room, and so nothing waits, is
    /// delivered as it comes, whatever its priority.
    fn check_deliveries(&mut self, as_it_comes: bool) -> Result<(), TestCaseError> {
        let turn = |(priority, name): Place| match as_it_comes {
            true => (std::cmp::Reverse(0), name),
            false => (priority, name),
        };
        let mut delivered: Vec<Place> = vec![];
        let news: Vec<Vec<Seen>> = self
            .clients
            .iter()
            .map(|client| client.basket.take_new())
            .collect();
        for (at, new) in news.into_iter().enumerate() {
            prop_assert!(
                new.is_sorted_by_key(|seen| turn(self.place(seen.name))),
                "out of order: {:?}",
                new
            );
            for seen in &new {
                let marks = self.ready.get(&self.place(seen.name)).copied();
                prop_assert_eq!(marks, Some((seen.redelivered, seen.returns)));
                delivered.push(self.place(seen.name));
            }
            if !self.clients[at].no_ack {
                self.clients[at].unacked.extend(new);
            }
        }
        delivered.sort_by_key(|place| turn(*place));
        let mut head: Vec<Place> = self.ready.keys().copied().collect();
        head.sort_by_key(|place| turn(*place));
        head.truncate(delivered.len());
        prop_assert_eq!(&delivered, &head);
        for place in delivered {
            self.ready.remove(&place);
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), TestCaseError> {
        let counts = self.queue.counts();
        let unacked: usize = self.clients.iter().map(|client| client.unacked.len()).sum();
        prop_assert_eq!(counts.ready, self.ready.len() as u64);
        prop_assert_eq!(counts.unacked, unacked as u64);
        prop_assert_eq!(counts.consumers as usize, self.clients.len());
        let room = self
            .clients
            .iter()
            .any(|client| client.basket.0.lock().credit > 0);
        prop_assert!(
            !room || counts.ready == 0,
            "something waits although somebody has room"
        );
        Ok(())
    }
}

fn run(levels: u8, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let queue = match levels {
        0 => queue(&[]),
        _ => queue(&[("x-max-priority", FieldValue::I32(levels.into()))]),
    };
    let (ready, clients) = (BTreeMap::new(), vec![]);
    let mut model = Model {
        queue,
        levels: levels.into(),
        published: 0,
        ready,
        clients,
    };
    steps.into_iter().try_for_each(|step| model.step(step))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_behaves_as_its_model(steps in prop::collection::vec(step(), 1..250)) {
        run(0, steps)?;
    }

    #[test]
    fn a_priority_queue_behaves_as_its_model(
        levels in prop_oneof![1..10u8, Just(255)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(levels, steps)?;
    }
}

#[test]
fn consumers_of_one_priority_are_served_in_turn() {
    let queue = queue(&[]);
    let baskets = [1_000; 3].map(Basket::new);
    for basket in &baskets {
        consume(&queue, basket, true, 0);
    }
    publish(&queue, 0..1, |_| 0);
    publish(&queue, 1..8, |_| 0);
    publish(&queue, 8..9, |_| 0);
    assert_eq!(
        baskets.map(|basket| basket.take_names()),
        [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    );
}

#[test]
fn a_large_batch_is_dealt_one_each_in_turn_to_many() {
    let plain = queue(&[]);
    // Here everything is stored before it is dealt.
    let stored = queue(&[("x-max-priority", FieldValue::I32(1))]);
    for (queue, no_ack) in [(&plain, true), (&plain, false), (&stored, true)] {
        let baskets: Vec<_> = (0..40).map(|_| Basket::new(usize::MAX)).collect();
        let consumers = baskets
            .iter()
            .map(|basket| consume(queue, basket, no_ack, 0));
        let consumers: Vec<_> = consumers.collect();
        publish(queue, 0..5_000, |_| 0);
        for (at, basket) in (0..).zip(&baskets) {
            let expected: Vec<_> = (at..5_000).step_by(40).collect();
            assert_eq!(basket.take_names(), expected);
        }
        assert_eq!(queue.counts().unacked, if no_ack { 0 } else { 5_000 });
        queue.remove_consumers(&consumers, &mut Effects::new());
    }
}

#[test]
fn some_of_a_large_batch_is_settled_at_once_and_some_is_not() {
    let queue = queue(&[("x-max-priority", FieldValue::I32(1))]);
    let baskets = [usize::MAX; 3].map(Basket::new);
    for (basket, no_ack) in baskets.iter().zip([true, false, true]) {
        consume(&queue, basket, no_ack, 0);
    }
    publish(&queue, 0..3_000, |_| 0);
    assert_eq!(queue.counts().unacked, 1_000);
    let expected: Vec<_> = (1..3_000).step_by(3).collect();
    assert_eq!(baskets[1].take_names(), expected);
}

#[test]
fn a_higher_priority_consumer_is_served_first_while_it_has_room() {
    let queue = queue(&[]);
    let (low, high) = (Basket::new(10), Basket::new(2));
    consume(&queue, &low, false, 0);
    consume(&queue, &high, false, 5);
    publish(&queue, 0..5, |_| 0);
    assert_eq!(high.take_names(), [0, 1]);
    assert_eq!(low.take_names(), [2, 3, 4]);
}

#[test]
fn a_single_active_consumer_is_followed_by_the_next() {
    let queue = queue(&[("x-single-active-consumer", FieldValue::Bool(true))]);
    let (first, second) = (Basket::new(10), Basket::new(10));
    let active = consume(&queue, &first, false, 0);
    consume(&queue, &second, false, 0);
    publish(&queue, 0..3, |_| 0);
    assert_eq!(
        (first.take_names(), second.take_names()),
        (vec![0, 1, 2], vec![])
    );
    assert!(queue.remove_consumers(&[active], &mut Effects::new()));
    queue.activate_next(&mut Effects::new());
    publish(&queue, 3..5, |_| 0);
    assert_eq!(second.take_names(), [3, 4]);
}

#[test]
fn a_full_queue_refuses_what_is_over_its_length() {
    let overflow = FieldValue::LongStr("reject-publish".into());
    let queue = queue(&[
        ("x-max-length", FieldValue::I32(3)),
        ("x-overflow", overflow),
    ]);
    let effects = publish(&queue, 0..5, |_| 0);
    assert_eq!(effects.refused, [3, 4]);
    assert_eq!(queue.counts().ready, 3);
}

#[test]
fn a_full_queue_drops_its_head() {
    let queue = queue(&[("x-max-length", FieldValue::I32(3))]);
    publish(&queue, 0..500, |_| 0);
    let basket = Basket::new(10);
    consume(&queue, &basket, false, 0);
    assert_eq!(basket.take_names(), [497, 498, 499]);
}

#[test]
fn a_deleted_queue_cancels_its_consumers() {
    let queue = queue(&[]);
    let basket = Basket::new(0);
    consume(&queue, &basket, false, 0);
    publish(&queue, 0..5, |_| 0);
    assert_eq!(queue.close(false, false, &mut Effects::new()), Ok(Some(5)));
    assert!(basket.0.lock().cancelled);
    assert_eq!(queue.close(false, false, &mut Effects::new()), Ok(None));
}

#[test]
fn a_burst_leaves_no_memory_behind() {
    let engine = Engine::new(u64::MAX);
    let queue = queue_of(&engine, &[]);
    publish(&queue, 0..100_000, |_| 0);
    assert!(engine.memory.used_bytes() > 2_000_000);
    let basket = Basket::new(usize::MAX);
    consume(&queue, &basket, true, 0);
    assert_eq!(basket.take_new().len(), 100_000);
    // What was published into since the last time keeps its buffers for once.
    queue.tidy();
    queue.tidy();
    assert!(engine.memory.used_bytes() < 100_000);
}

#[test]
fn messages_past_the_limit_raise_the_alarm_until_they_are_gone() {
    let engine = Engine::new(1_000_000);
    let queue = queue_of(&engine, &[]);
    publish(&queue, 0..100_000, |_| 0);
    assert!(engine.alarms.borrow().memory);
    queue.purge(&mut Effects::new());
    queue.tidy();
    queue.tidy();
    assert!(!engine.alarms.borrow().memory);
}

/// What came back in one piece takes next to nothing; where it lies between what did not, it counts.
#[test]
fn which_messages_came_back_counts_as_memory() {
    const MESSAGES: u64 = 20_000;
    let engine = Engine::new(u64::MAX);
    let queue = queue_of(&engine, &[]);
    let mut effects = publish(&queue, 0..MESSAGES, |_| 0);
    let mut taken = Vec::new();
    while (taken.len() as u64) < MESSAGES {
        queue.get(false, &mut effects, &mut |delivery, _| {
            taken.push(Returned {
                sequence: delivery.sequence,
                returns: delivery.returns,
            });
        });
    }
    let used = || engine.memory.used_bytes() as i64;
    let before = used();
    let mut give_back = |number: usize| {
        let returned = &taken[number..=number];
        queue.requeue(returned, Cause::Nacked, &[], &mut effects);
    };
    (0..taken.len()).step_by(2).for_each(&mut give_back);
    let scattered = used() - before;
    assert!(scattered > MESSAGES as i64 * 10, "{scattered} bytes");
    (1..taken.len()).step_by(2).for_each(&mut give_back);
    let whole = used() - before;
    assert!(whole < 128 << 10, "{whole} bytes");
}
