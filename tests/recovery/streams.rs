//! A stream against a model: publishers, readers at random places with random room, retention, the pager
//! and the journal at work, and a machine that stops in between.
//!
//! Held: a reader gets everything that is there from its place on and that it asked for, in order and
//! once; nobody sees what is not safe; what is safe is there after a stop, at its offset; an offset that
//! anybody has seen means the same message for ever; only what is too much or too old goes, from the
//! head.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use warren::amqp::properties::Properties;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::engine::Clock;
use warren::broker::pager::Turn;
use warren::broker::queue::{ConsumerId, ConsumerSpec, Filter, Start};
use warren::broker::vhost::QueueDeclare;
use warren::broker::{Body, Delivery, Effects, Facts, Message, Queue, Sink, Taken};
use warren::store::disk::sim::Keep;
use warren::store::disk::{Disk, SimDisk};

use crate::world::{ME, Sizes, World};

const NAME: &str = "stream";
const VALUES: [&str; 4] = ["red", "green", "blue", "grey"];
const SEGMENT_BYTES: u64 = 2000;
const CHUNK_BYTES: u64 = 512;
const MOST_BODY_BYTES: usize = 1500;

/// A message as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    id: u64,
    bytes: usize,
    value: Option<&'static str>,
    at_ms: u64,
}

/// Takes what it has room for.
#[derive(Default)]
struct Basket(Mutex<(usize, Vec<(u64, u64)>)>);

impl Sink for Basket {
    fn offer(&self, _slot: u32, deliveries: &[Delivery<'_>]) -> Taken {
        let mut basket = self.0.lock();
        let count = deliveries.len().min(basket.0);
        basket.0 -= count;
        for delivery in &deliveries[..count] {
            let message = &delivery.message;
            let properties = Properties::decode(message.properties).expect("properties");
            let headers = properties.headers.expect("headers");
            let offset = headers.get("x-stream-offset").and_then(FieldValue::as_i64);
            assert_eq!(offset, Some(delivery.sequence as i64));
            assert!(!delivery.redelivered && !delivery.returns.is_any());
            basket
                .1
                .push((delivery.sequence, id_of(message.body.as_slice())));
        }
        Taken {
            count,
            full: basket.0 == 0,
        }
    }

    fn reserve(&self, _slot: u32, _wanted: usize) -> usize {
        unreachable!("readers share nothing")
    }

    fn deliver(&self, _slot: u32, _deliveries: &[Delivery<'_>], _places: &[u16]) {
        unreachable!("readers share nothing")
    }

    fn cancel(&self, _slot: u32) {}

    fn flush(&self) {}
}

fn body_of(known: &Known) -> Bytes {
    let mut body = known.id.to_le_bytes().to_vec();
    body.resize(8 + known.bytes, known.id as u8);
    body.into()
}

fn id_of(body: &[u8]) -> u64 {
    let (id, rest) = body.split_first_chunk().expect("an id");
    let id = u64::from_le_bytes(*id);
    assert!(rest.iter().all(|byte| *byte == id as u8), "{id} is damaged");
    id
}

/// A reader and what it is to get.
struct Reader {
    basket: Arc<Basket>,
    id: ConsumerId,
    /// The lowest offset that may come next.
    next: u64,
    since_ms: Option<u64>,
    values: Option<(Vec<&'static str>, bool)>,
}

impl Reader {
    fn wants(&self, known: &Known) -> bool {
        let is_in_time = self.since_ms.is_none_or(|ms| known.at_ms >= ms);
        is_in_time
            && match &self.values {
                None => true,
                Some((values, unfiltered)) => match known.value {
                    None => *unfiltered,
                    Some(value) => values.contains(&value),
                },
            }
    }
}

/// A publish that the log may not have yet.
struct InFlight {
    /// The number after its last message.
    end: u64,
    messages: Vec<Known>,
    effects: Effects,
}

struct History {
    seed: u64,
    dice: SmallRng,
    disk: SimDisk,
    sizes: Sizes,
    clock: Clock,
    world: Option<World>,
    declared_bytes: Option<u64>,
    /// The same under policies.
    max_bytes: Option<u64>,
    max_age_ms: Option<u64>,
    /// What is there, and what retention took and may be there again after a stop.
    there: BTreeMap<u64, Known>,
    taken: BTreeMap<u64, Known>,
    next: u64,
    /// Up to which index of the log publishes are safe, by the number after their last message.
    indices: BTreeMap<u64, Option<u64>>,
    committed: u64,
    /// What of it there was when retention last had a turn.
    retained: u64,
    in_flight: Vec<InFlight>,
    readers: Vec<Reader>,
    /// What anybody has ever seen.
    seen: BTreeMap<u64, u64>,
    last_id: u64,
    last_ms: u64,
    steps: u64,
}

impl Drop for History {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, after {} steps", self.seed, self.steps);
        }
    }
}

impl History {
    fn new(seed: u64, fresh: &SimDisk, sizes: Sizes) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let max_bytes = dice.random_bool(0.5).then(|| dice.random_range(0..20_000));
        let max_age_ms = dice.random_bool(0.3).then_some(5_000);
        let mut history = Self {
            seed,
            dice,
            disk: fresh.copy(seed),
            sizes,
            clock: Clock::manual(1_000_000),
            world: None,
            declared_bytes: max_bytes,
            max_bytes,
            max_age_ms,
            there: BTreeMap::new(),
            taken: BTreeMap::new(),
            next: 0,
            indices: BTreeMap::new(),
            committed: 0,
            retained: 0,
            in_flight: Vec::new(),
            readers: Vec::new(),
            seen: BTreeMap::new(),
            last_id: 0,
            last_ms: 0,
            steps: 0,
        };
        history.start();
        history.declare();
        history
    }

    fn start(&mut self) {
        let world = World::start(&self.disk, &self.sizes, &self.clock, self.seed, |_| {});
        self.world = Some(world.expect("it starts").0);
    }

    fn declare(&self) {
        let mut arguments = FieldTable::new();
        arguments.push("x-queue-type", text("stream"));
        let segment_bytes = FieldValue::I64(SEGMENT_BYTES as i64);
        arguments.push("x-stream-max-segment-size-bytes", segment_bytes);
        if let Some(bytes) = self.max_bytes {
            arguments.push("x-max-length-bytes", FieldValue::I64(bytes as i64));
        }
        if self.max_age_ms.is_some() {
            arguments.push("x-max-age", text("5s"));
        }
        let declare = QueueDeclare {
            name: NAME,
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments,
        };
        let world = self.world();
        world.vhost.declare_queue(declare, ME).expect("declared");
        world.wait_stored();
    }

    fn world(&self) -> &World {
        self.world.as_ref().expect("it runs")
    }

    fn queue(&self) -> Arc<Queue> {
        self.world().queue(NAME)
    }

    fn random(&mut self, range: std::ops::Range<usize>) -> usize {
        self.dice.random_range(range)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    fn step(&mut self) {
        self.steps += 1;
        match self.random(0..100) {
            0..30 => self.publish(),
            30..38 => self.land_one(),
            38..52 => self.give_room(),
            52..60 => self.attach(),
            60..64 => self.detach(),
            64..74 => self.journal_turn(),
            74..82 => self.pager_turn(Turn::Load),
            82..90 => self.pager_turn(Turn::Write),
            90..93 => self.pager_turn(Turn::LookAfter),
            93..95 => self.pager_turn(Turn::Rewrite),
            95..97 => self.pass_time(),
            97 => self.set_policy(),
            _ => self.tidy(),
        }
        self.check();
    }

    fn publish(&mut self) {
        let count = match self.chance(50) {
            true => 1,
            false => self.random(2..12),
        };
        self.take(count);
        if self.in_flight.len() > 3 || self.chance(70) {
            self.land_one();
        }
    }

    /// The stream takes so many messages, which the log does not have yet.
    fn take(&mut self, count: usize) {
        self.retained = self.committed;
        self.last_ms = self.last_ms.max(self.clock.now_ms());
        let mut messages = Vec::new();
        for _ in 0..count {
            self.last_id += 1;
            let bytes = match self.chance(90) {
                true => self.random(0..100),
                false => self.random(100..MOST_BODY_BYTES),
            };
            let value = match self.chance(40) {
                true => None,
                false => Some(VALUES[self.random(0..VALUES.len())]),
            };
            messages.push(Known {
                id: self.last_id,
                bytes,
                value,
                at_ms: self.last_ms,
            });
        }
        for known in &messages {
            self.there.insert(self.next, known.clone());
            self.next += 1;
        }
        let mut effects = Effects::new();
        let (bodies, properties) = encoded(&messages);
        let batch = batch(&bodies, &properties);
        self.queue().publish(&batch, None, &mut effects);
        self.indices.insert(self.next, None);
        self.in_flight.push(InFlight {
            end: self.next,
            messages,
            effects,
        });
    }

    /// The log gets what was published.
    fn land_one(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = self.random(0..self.in_flight.len());
        let mut landing = self.in_flight.remove(at);
        let (bodies, properties) = encoded(&landing.messages);
        let batch = batch(&bodies, &properties);
        let engine = &self.world().broker.engine;
        let index = landing.effects.log_published(engine, &batch);
        self.indices.insert(landing.end, index.expect("logged"));
        landing.effects.complete();
    }

    fn journal_turn(&mut self) {
        self.world().journal.turn().expect("the disk is sound");
    }

    fn pager_turn(&mut self, turn: Turn) {
        // Who waits for those in flight would wait for ever.
        if turn != Turn::Load {
            while !self.in_flight.is_empty() {
                self.land_one();
            }
        }
        let world = self.world();
        world.pager.turn(turn, &mut || {
            world.journal.turn().expect("the disk is sound");
        });
    }

    fn pass_time(&mut self) {
        let ms = self.random(1..1500) as u64;
        self.clock.advance(ms);
    }

    /// A policy limits the length, or none does any more: of two limits the smaller holds.
    fn set_policy(&mut self) {
        let bytes = self.chance(60).then(|| self.random(0..20_000) as u64);
        self.limit(bytes);
    }

    fn limit(&mut self, bytes: Option<u64>) {
        self.retained = self.committed;
        let world = self.world();
        let (component, name) = ("policy", "short");
        let mut effects = Effects::new();
        if let Some(bytes) = bytes {
            let document = json!({
                "pattern": "", "apply-to": "streams", "priority": 0,
                "definition": {"max-length-bytes": bytes},
            });
            let set = world
                .broker
                .set_parameter("/", component, name, document, &mut effects);
            set.expect("it is a policy");
        } else {
            let cleared = world
                .broker
                .clear_parameter("/", component, name, &mut effects);
            cleared.expect("it can be stored");
        }
        effects.complete();
        world.wait_stored();
        self.max_bytes = [self.declared_bytes, bytes].into_iter().flatten().min();
    }

    fn tidy(&mut self) {
        self.retained = self.committed;
        self.queue().tidy();
    }

    fn attach(&mut self) {
        if self.readers.len() >= 8 {
            return self.detach();
        }
        let first = self.first();
        let (start, next, since_ms) = match self.random(0..5) {
            0 => (Start::First, first, None),
            1 => (Start::Next, self.next, None),
            2 => {
                let offset = self.random(0..self.next as usize + 10) as u64;
                (Start::At(offset), offset.max(first), None)
            }
            3 => {
                let back_ms = self.random(0..8000) as u64;
                let ms = (self.clock.now_ms() + 500).saturating_sub(back_ms);
                match self.there.iter().find(|(_, known)| known.at_ms >= ms) {
                    Some((offset, _)) => (Start::Since(ms), *offset, Some(ms)),
                    None => (Start::Since(ms), self.next, None),
                }
            }
            // Where the last publish began is the engine's business: it is told below.
            _ => (Start::Last, first, None),
        };
        let values = self.chance(40).then(|| {
            let count = self.random(0..3);
            let values = (0..count).map(|_| VALUES[self.random(0..VALUES.len())]);
            (values.collect::<Vec<_>>(), self.chance(30))
        });
        let filter = values.as_ref().and_then(|(values, unfiltered)| {
            let mut arguments = FieldTable::new();
            let wanted = values.iter().map(|value| text(value)).collect();
            arguments.push("x-stream-filter", FieldValue::Array(wanted));
            arguments.push("x-stream-match-unfiltered", FieldValue::Bool(*unfiltered));
            Filter::parse(&arguments)
        });
        let basket = Arc::new(Basket::default());
        let spec = ConsumerSpec {
            tag: "reader".into(),
            sink: basket.clone(),
            slot: 0,
            no_ack: false,
            exclusive: false,
            priority: 0,
        };
        let id = self
            .queue()
            .add_reader(spec, start, filter)
            .expect("a reader");
        let reader = Reader {
            basket,
            id,
            next,
            since_ms,
            values,
        };
        if start == Start::Last {
            // It is looked at by itself, and let go of: within the last publish, or at its beginning.
            return self.look_at_last(&reader);
        }
        self.readers.push(reader);
    }

    fn look_at_last(&mut self, reader: &Reader) {
        self.settle_down();
        let queue = self.queue();
        reader.basket.0.lock().0 = usize::MAX;
        queue.resume(&[reader.id], &mut Effects::new());
        self.settle_down();
        let got = std::mem::take(&mut reader.basket.0.lock().1);
        let wanted: Vec<u64> = self
            .there
            .iter()
            .filter(|(_, known)| reader.wants(known))
            .map(|(offset, _)| *offset)
            .collect();
        let offsets: Vec<u64> = got.iter().map(|(offset, _)| *offset).collect();
        assert!(wanted.ends_with(&offsets), "{offsets:?} of {wanted:?}");
        let last = self.there.last_key_value().map(|(offset, _)| *offset);
        if last.is_some_and(|last| wanted.contains(&last)) {
            assert_eq!(offsets.last().copied(), last);
        }
        queue.remove_consumers(&[reader.id], &mut Effects::new());
    }

    fn detach(&mut self) {
        if !self.readers.is_empty() {
            let at = self.random(0..self.readers.len());
            let reader = self.readers.remove(at);
            self.queue()
                .remove_consumers(&[reader.id], &mut Effects::new());
        }
    }

    fn give_room(&mut self) {
        if self.readers.is_empty() {
            return self.attach();
        }
        let at = self.random(0..self.readers.len());
        let room = self.random(1..150);
        let reader = &self.readers[at];
        reader.basket.0.lock().0 = room;
        let mut effects = Effects::new();
        self.queue().resume(&[reader.id], &mut effects);
        effects.complete();
    }

    fn first(&self) -> u64 {
        self.there
            .first_key_value()
            .map_or(self.next, |(first, _)| *first)
    }

    /// What retention took since the last time, and what readers got.
    fn check(&mut self) {
        self.check_retention();
        let safe_index = self.world().journal.safe_index();
        while let Some((end, Some(index))) = self.indices.first_key_value()
            && *index <= safe_index
        {
            self.committed = *end;
            self.indices.pop_first();
        }
        for reader in &mut self.readers {
            let got = std::mem::take(&mut reader.basket.0.lock().1);
            for (offset, id) in got {
                assert!(offset < self.committed, "{offset} is not safe");
                let known = self.there.get(&offset).or_else(|| self.taken.get(&offset));
                let known = known.expect("it was published");
                assert_eq!(known.id, id, "at {offset}");
                assert!(reader.wants(known), "{offset} was not asked for");
                assert_eq!(self.seen.entry(offset).or_insert(id), &id, "at {offset}");
                assert!(offset >= reader.next, "{offset} comes late");
                let mut skipped = self.there.range(reader.next..offset);
                let skipped = skipped.find(|(_, known)| reader.wants(known));
                assert_eq!(skipped, None, "passed over before {offset}");
                reader.next = offset + 1;
                reader.since_ms = None;
            }
        }
    }

    fn check_retention(&mut self) {
        let ready = self.queue().counts().ready as usize;
        let gone = self
            .there
            .len()
            .checked_sub(ready)
            .expect("nothing too much");
        let before: u64 = self.there.values().map(Self::bytes).sum();
        let mut head_ms = 0;
        for _ in 0..gone {
            let (offset, known) = self.there.pop_first().expect("it was there");
            head_ms = known.at_ms;
            self.taken.insert(offset, known);
        }
        if gone > 0 {
            // A stored chunk has a header as well.
            let at_most = before + before / 6;
            let is_too_much = self.max_bytes.is_some_and(|most| at_most > most);
            let oldest_ms = self.max_age_ms.map(|ms| self.clock.now_ms() - ms);
            let is_too_old = oldest_ms.is_some_and(|oldest_ms| head_ms < oldest_ms);
            assert!(is_too_much || is_too_old, "{gone} went, of {before} bytes");
            assert!(!self.there.is_empty());
        }
        // Some of what was safe then stays whatever is behind it.
        let left = self.there.range(..self.retained);
        let left: u64 = left.map(|(_, known)| Self::bytes(known)).sum();
        let slack = 2 * (SEGMENT_BYTES + CHUNK_BYTES + 12 * MOST_BODY_BYTES as u64);
        if let Some(most) = self.max_bytes {
            assert!(left <= most + slack, "{left} bytes of {most} are there");
        }
    }

    /// At least what it takes.
    fn bytes(known: &Known) -> u64 {
        let header = known.value.map_or(0, |value| 40 + value.len());
        (24 + NAME.len() + header + 10 + known.bytes) as u64
    }

    /// Everything that is under way comes to its end.
    fn settle_down(&mut self) {
        while !self.in_flight.is_empty() {
            self.land_one();
        }
        let world = self.world();
        loop {
            let synced = world.journal.turn().expect("the disk is sound");
            if world.load_all() == 0 && !synced {
                break;
            }
        }
        self.check();
    }

    /// The log has what was taken, and it is safe.
    fn settle_in_log(&mut self) {
        while !self.in_flight.is_empty() {
            self.land_one();
        }
        while self.world().journal.turn().expect("the disk is sound") {}
    }

    /// Readers with all the room they want get everything.
    fn check_all_readers(&mut self) {
        for reader in &self.readers {
            reader.basket.0.lock().0 = usize::MAX;
            self.queue().resume(&[reader.id], &mut Effects::new());
        }
        self.settle_down();
        for reader in &self.readers {
            let mut left = self.there.range(reader.next..);
            let left = left.find(|(_, known)| reader.wants(known));
            assert_eq!(left, None, "a reader was forgotten");
        }
    }

    /// The machine stops and starts again.
    fn stop(&mut self) {
        let is_clean = self.chance(30);
        let keep = match self.random(0..3) {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            _ => Keep::Sectors(512),
        };
        self.stop_so(is_clean, keep);
    }

    fn stop_so(&mut self, is_clean: bool, keep: Keep) {
        let safe_index = self.world().journal.safe_index();
        if is_clean {
            self.settle_down();
            self.check_all_readers();
        }
        self.readers.clear();
        self.in_flight.clear();
        if !is_clean {
            // Nobody does anything any more, whatever is tidied up in here.
            self.disk.set_faults(warren::store::disk::sim::Faults {
                crash_at: Some(0),
                ..Default::default()
            });
        }
        self.world = None;
        self.disk.crash(keep);
        self.start();
        let safe = self.found(is_clean, safe_index);
        self.committed = safe;
        self.retained = safe;
    }

    /// The offsets and ids of all that is there.
    fn read_all(&self) -> Vec<(u64, u64)> {
        let all = Arc::new(Basket::default());
        all.0.lock().0 = usize::MAX;
        let spec = ConsumerSpec {
            tag: "all".into(),
            sink: all.clone(),
            slot: 0,
            no_ack: false,
            exclusive: false,
            priority: 0,
        };
        let queue = self.queue();
        let id = queue
            .add_reader(spec, Start::First, None)
            .expect("a reader");
        queue.resume(&[id], &mut Effects::new());
        self.world().load_all();
        queue.remove_consumers(&[id], &mut Effects::new());
        std::mem::take(&mut all.0.lock().1)
    }

    /// Reads everything that is there and takes it for what there is.
    fn found(&mut self, is_clean: bool, safe_index: u64) -> u64 {
        let queue = self.queue();
        let got = self.read_all();
        let mut before = std::mem::take(&mut self.there);
        before.append(&mut self.taken.clone());
        let mut there = BTreeMap::new();
        for (offset, id) in got {
            let known = before.remove(&offset).expect("it was published");
            assert_eq!(known.id, id, "at {offset}");
            assert_eq!(self.seen.entry(offset).or_insert(id), &id, "at {offset}");
            there.insert(offset, known);
        }
        // What is missing was taken, or was not safe.
        let mut safe_end = self.committed;
        for (end, index) in &self.indices {
            if index.is_none_or(|index| index > safe_index) {
                break;
            }
            safe_end = *end;
        }
        let now_ms = self.clock.now_ms();
        let first = there
            .first_key_value()
            .map_or(u64::MAX, |(first, _)| *first);
        for (offset, known) in &before {
            let is_taken = self.taken.contains_key(offset);
            let may_go = self.max_bytes.is_some()
                || self.max_age_ms.is_some_and(|ms| known.at_ms < now_ms - ms);
            let was_let_go = *offset < first && may_go;
            let is_lost = *offset >= safe_end && !is_clean;
            assert!(is_taken || was_let_go || is_lost, "{offset} is missing");
        }
        assert_eq!(queue.counts().ready, there.len() as u64);
        self.next = there.last_key_value().map_or(0, |(last, _)| *last + 1);
        if there.is_empty() {
            assert!(self.seen.is_empty());
        }
        self.there = there;
        // An offset that nobody can have seen is given once more.
        let (there, next) = (&self.there, self.next);
        self.taken
            .retain(|offset, _| *offset < next && !there.contains_key(offset));
        self.indices.clear();
        self.next
    }
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongStr(Bytes::copy_from_slice(text.as_bytes()))
}

fn encoded(messages: &[Known]) -> (Vec<Bytes>, Vec<Vec<u8>>) {
    let properties = messages.iter().map(|known| {
        let headers = known.value.map(|value| {
            let mut headers = FieldTable::new();
            headers.push("x-stream-filter-value", text(value));
            headers
        });
        let properties = Properties {
            headers,
            ..Properties::default()
        };
        let mut encoded = Vec::new();
        properties.encode(&mut encoded);
        encoded
    });
    (messages.iter().map(body_of).collect(), properties.collect())
}

fn batch<'a>(bodies: &'a [Bytes], properties: &'a [Vec<u8>]) -> Vec<Message<'a>> {
    let parts = bodies.iter().zip(properties);
    let messages = parts.map(|(body, properties)| Message {
        exchange: b"",
        routing_key: NAME.as_bytes(),
        properties,
        body: Body::of(body),
        facts: Facts::PLAIN,
    });
    messages.collect()
}

#[test]
fn a_stream_keeps_what_it_took_for_everybody() {
    let sizes = crate::small();
    let fresh = World::new_disk(&sizes);
    let mut steps = 0;
    for seed in crate::seeds(150) {
        let mut history = History::new(seed, &fresh, sizes);
        for _ in 0..3 {
            for _ in 0..history.random(50..450) {
                history.step();
            }
            if history.chance(50) {
                history.settle_down();
                history.check_all_readers();
            }
            history.stop();
        }
        history.check_all_readers();
        steps += history.steps;
    }
    let is_usual = ["WARREN_SEED", "WARREN_HISTORIES"]
        .iter()
        .all(|name| std::env::var_os(name).is_none());
    assert!(!is_usual || steps >= 100_000, "{steps} steps");
}

/// What is behind it is not safe: if it is lost, the stream would be empty.
#[test]
fn retention_leaves_some_of_what_is_safe() {
    let sizes = crate::small();
    let fresh = World::new_disk(&sizes);
    let mut history = History::new(1, &fresh, sizes);
    for _ in 0..40 {
        history.take(5);
        history.land_one();
        history.journal_turn();
        history.check();
    }
    for _ in 0..10 {
        history.take(5);
    }
    history.limit(Some(0));
    history.journal_turn();
    history.check();
    let next = history.committed;
    history.stop_so(false, Keep::Everything);
    assert!(history.there.contains_key(&(next - 1)));
    assert_eq!(history.next, next);
}

/// What is lost when a stream's last messages are.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The last one, of which a bit is turned over in the log.
    Record,
    /// The log, all of it.
    Log,
    /// That, and all chunks in segments turn out to be damaged when they are read.
    Everything,
}

/// Whatever is lost of a stream: offsets that somebody may have seen are not given again.
#[test]
fn offsets_are_given_once_whatever_is_lost() {
    let sizes = crate::small();
    let fresh = World::new_disk(&sizes);
    for loss in [Loss::Record, Loss::Log, Loss::Everything] {
        let mut history = History::new(1, &fresh, sizes);
        for _ in 0..40 {
            history.take(5);
            history.land_one();
            history.journal_turn();
        }
        if matches!(loss, Loss::Everything) {
            history.queue().tidy();
            for turn in [Turn::Write, Turn::LookAfter, Turn::LookAfter] {
                history.pager_turn(turn);
            }
        }
        history.settle_down();
        let next = history.next;
        let last = history.there.last_key_value().expect("one").1.clone();
        // A start notes how long the log is.
        history.world = None;
        history.start();
        history.world = None;
        lose(&history.disk, loss, &last);
        history.start();
        let left = history.read_all();
        assert!(left.iter().all(|(offset, _)| offset + 1 < next), "{loss:?}");
        if matches!(loss, Loss::Everything) {
            assert_eq!(left, [], "{loss:?}");
        }
        // Nothing but this is left to tell of it.
        for _ in 0..3 {
            history.world = None;
            history.disk.crash(Keep::Everything);
            history.start();
            for _ in 0..20 {
                history.pager_turn(Turn::LookAfter);
                history.journal_turn();
            }
        }
        let before = history.read_all().len();
        history.take(1);
        history.settle_in_log();
        let (offset, _) = history.read_all()[before];
        assert!(
            offset >= next,
            "{loss:?}: {offset} is given again, {next} is next"
        );
    }
}

fn lose(disk: &SimDisk, loss: Loss, last: &Known) {
    for (path, bytes) in disk.files() {
        let contents = disk.contents(&path).expect("it is there");
        match loss {
            Loss::Record if path.ends_with(".journal") => {
                let body = body_of(last);
                let at = contents.windows(body.len()).position(|at| at == body);
                if let Some(at) = at {
                    assert!(disk.flip_bit(&path, at as u64 * 8));
                }
            }
            Loss::Log | Loss::Everything if path.ends_with(".journal") => {
                disk.remove(&path).expect("it is removed");
            }
            Loss::Everything if path.ends_with(".segment") => {
                // In each block, so in each chunk.
                for at in (0..bytes).step_by(4096) {
                    assert!(disk.flip_bit(&path, (at + 70) * 8));
                }
            }
            _ => {}
        }
    }
}
