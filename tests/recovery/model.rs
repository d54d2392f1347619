//! What queues should hold, message by message, with what happened to each and which records of the
//! log said so. After a crash it says what of that must have survived, what may have, and what must
//! not be there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::rc::Rc;

use warren::broker::log::Returns;

use crate::content::{Content, Delivered, Way};
use crate::world::{KINDS, Kind};

pub type OpId = usize;
pub type InstanceId = usize;

/// Everything that is known to have survived happened in this one.
pub const BEFORE: OpId = 0;

/// Which records something that clients or the broker did has in the log: none before `start`, all of
/// them before `end`.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: u64,
    /// Not known yet, or never.
    pub end: Option<u64>,
}

impl Span {
    /// All of it is in a log that ends with the record `last`.
    fn is_certain(self, survived: &Survived<'_>) -> bool {
        self.end.is_some_and(|end| {
            let mut missing = survived.missing.iter();
            end <= survived.last + 1
                && !missing.any(|(first, last)| *first < end && self.start <= *last)
        })
    }

    /// Some of it may be.
    fn is_possible(self, survived: &Survived<'_>) -> bool {
        self.start <= survived.last
    }
}

/// What there is of the log.
#[derive(Clone, Copy, Debug)]
pub struct Survived<'a> {
    /// The last record.
    pub last: u64,
    /// First and last of what is missing before it.
    pub missing: &'a [(u64, u64)],
}

/// Something that happened to a message in a queue.
#[derive(Clone, Debug)]
pub enum Event {
    Delivered,
    /// It came back, and no consumer failed on it.
    GivenBack,
    /// It left the queue; what it became elsewhere.
    Left(Vec<InstanceId>),
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub struct Instance {
    pub queue: u64,
    pub kind: &'static Kind,
    pub place: Place,
    pub content: Rc<Content>,
    pub expires_at_ms: u64,
    pub appeared: OpId,
    pub events: Vec<(OpId, Event)>,
    pub redelivered: bool,
    pub returns: Returns,
    /// The same when the broker started.
    returns_before: Returns,
}

/// Ready messages come by priority, then by age; in a quorum queue those that came back come before.
pub type Place = (Reverse<u8>, u64);

/// No message has such a priority.
const BEFORE_ALL: Reverse<u8> = Reverse(u8::MAX);

/// A queue, as long as it is not deleted.
#[derive(Debug)]
pub struct QueueModel {
    pub kind: &'static Kind,
    pub ready: BTreeMap<Place, InstanceId>,
    /// With the engine's names for them.
    pub unacked: BTreeMap<InstanceId, u64>,
}

/// A message that was given up, on its way.
#[derive(Debug)]
pub struct Letter {
    op: OpId,
    from: InstanceId,
    reason: &'static str,
}

/// A message as it was found after a crash.
#[derive(Debug)]
pub struct Found {
    pub content: Content,
    pub redelivered: bool,
    pub returns: Returns,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Model {
    pub ops: Vec<Span>,
    pub instances: Vec<Instance>,
    /// By id.
    pub queues: BTreeMap<u64, QueueModel>,
    /// Dead letters on their way, by the queue that gave them up.
    outboxes: BTreeMap<u64, VecDeque<Letter>>,
    next_place: u64,
    /// What the broker did by itself when it started.
    start: Option<OpId>,
    pub now_ms: u64,
}

impl Model {
    pub fn new(queues: impl IntoIterator<Item = (u64, &'static str)>) -> Self {
        let mut model = Self {
            ops: vec![Span {
                start: 0,
                end: Some(0),
            }],
            ..Self::default()
        };
        for (id, name) in queues {
            model.declare(id, name);
        }
        model
    }

    pub fn declare(&mut self, id: u64, name: &str) {
        let kind = KINDS.iter().find(|kind| kind.name == name);
        let queue = QueueModel {
            kind: kind.expect("one of them"),
            ready: BTreeMap::new(),
            unacked: BTreeMap::new(),
        };
        self.queues.insert(id, queue);
    }

    pub fn id_of(&self, name: &str) -> Option<u64> {
        let mut queues = self.queues.iter();
        queues
            .find(|(_, queue)| queue.kind.name == name)
            .map(|(id, _)| *id)
    }

    pub fn queue(&mut self, name: &str) -> &mut QueueModel {
        let id = self.id_of(name).expect("it is declared");
        self.queues.get_mut(&id).expect("it is declared")
    }

    pub fn begin(&mut self, next_index: u64) -> OpId {
        self.ops.push(Span {
            start: next_index,
            end: None,
        });
        self.ops.len() - 1
    }

    /// The same for what the broker does by itself when it starts.
    pub fn begin_start(&mut self, next_index: u64) -> OpId {
        let op = self.begin(next_index);
        self.start = Some(op);
        op
    }

    pub fn end(&mut self, op: OpId, next_index: u64) {
        self.ops[op].end = Some(next_index);
    }

    /// A queue takes a message.
    pub fn arrive(&mut self, op: OpId, queue: u64, content: &Rc<Content>) -> InstanceId {
        let id = self.instances.len();
        let Some(model) = self.queues.get_mut(&queue) else {
            panic!("no queue {queue}");
        };
        let kept = Content {
            persistent: content.persistent || model.kind.delivery_limit.is_some(),
            ..(**content).clone()
        };
        let content = &Rc::new(kept);
        self.next_place += 1;
        let level = model.kind.level(content.priority);
        let place = (Reverse(level), self.next_place);
        let ttl_ms = [model.kind.message_ttl_ms, content.expiration_ms];
        let ttl_ms = ttl_ms.into_iter().flatten().min();
        model.ready.insert(place, id);
        self.instances.push(Instance {
            queue,
            kind: model.kind,
            place,
            content: Rc::clone(content),
            expires_at_ms: ttl_ms.map_or(u64::MAX, |ttl_ms| self.now_ms + ttl_ms),
            appeared: op,
            events: Vec::new(),
            redelivered: false,
            returns: Returns::default(),
            returns_before: Returns::default(),
        });
        id
    }

    /// What length limits and times-to-live take away from a queue.
    pub fn limit(&mut self, op: OpId, queue: u64) -> Vec<Letter> {
        let mut letters = Vec::new();
        loop {
            let model = &self.queues[&queue];
            let Some((place, id)) = model.ready.first_key_value().map(|(at, id)| (*at, *id)) else {
                break;
            };
            let bytes = |id: &InstanceId| self.instances[*id].content.body_bytes as u64;
            let is_over = model
                .kind
                .max_length
                .is_some_and(|most| model.ready.len() as u64 > most)
                || model
                    .kind
                    .max_length_bytes
                    .is_some_and(|most| model.ready.values().map(bytes).sum::<u64>() > most);
            let reason = if is_over {
                "maxlen"
            } else if self.instances[id].expires_at_ms <= self.now_ms {
                "expired"
            } else {
                break;
            };
            self.queues
                .get_mut(&queue)
                .expect("it is there")
                .ready
                .remove(&place);
            letters.extend(self.give_up(op, id, reason));
        }
        letters
    }

    /// What had come back too often when the broker ended goes when it starts.
    pub fn count_at_start(&mut self, op: OpId, queue: u64) -> Vec<Letter> {
        let mut letters = Vec::new();
        let model = &self.queues[&queue];
        let Some(limit) = model.kind.delivery_limit else {
            return letters;
        };
        let ready: Vec<(Place, InstanceId)> =
            model.ready.iter().map(|(at, id)| (*at, *id)).collect();
        for (place, id) in ready {
            if self.instances[id].returns.failures > limit {
                self.queues
                    .get_mut(&queue)
                    .expect("it is there")
                    .ready
                    .remove(&place);
                letters.extend(self.give_up(op, id, "delivery_limit"));
            }
        }
        letters
    }

    /// What has expired before a message that was delivered goes.
    pub fn expire_before(&mut self, op: OpId, queue: u64, delivered: &Delivered) -> Vec<Letter> {
        let mut letters = Vec::new();
        while let Some((place, id)) = self.queues[&queue].ready.first_key_value() {
            let (place, id) = (*place, *id);
            let instance = &self.instances[id];
            if instance.content.way() == delivered.content.way()
                || instance.expires_at_ms > self.now_ms
            {
                break;
            }
            self.queues
                .get_mut(&queue)
                .expect("it is there")
                .ready
                .remove(&place);
            letters.extend(self.give_up(op, id, "expired"));
        }
        letters
    }

    /// A message leaves its queue for good, or for its dead-letter queue.
    pub fn give_up(&mut self, op: OpId, id: InstanceId, reason: &'static str) -> Option<Letter> {
        self.instances[id]
            .events
            .push((op, Event::Left(Vec::new())));
        self.instances[id].kind.dead_letters_to?;
        Some(Letter {
            op,
            from: id,
            reason,
        })
    }

    /// Dead letters are on their way; says from which queues.
    pub fn post(&mut self, letters: Vec<Letter>) -> Vec<u64> {
        let mut sources = Vec::new();
        for letter in letters {
            let source = self.instances[letter.from].queue;
            if !sources.contains(&source) {
                sources.push(source);
            }
            self.outboxes.entry(source).or_default().push_back(letter);
        }
        sources
    }

    /// All dead letters of these queues, whoever made them leave, come to where they go; what that makes
    /// others give up comes next.
    pub fn publish(&mut self, sources: Vec<u64>) {
        let mut sources = sources;
        while !sources.is_empty() {
            let mut next = Vec::new();
            let mut letters = Vec::new();
            for source in sources {
                letters.extend(self.outboxes.remove(&source).unwrap_or_default());
            }
            for Letter { op, from, reason } in letters {
                let instance = &self.instances[from];
                let kind = instance.kind;
                let target = kind.dead_letters_to.and_then(|name| self.id_of(name));
                let content = Rc::new(instance.content.dead(kind, reason, self.now_ms));
                let Some(target) = target else { continue };
                let became = self.arrive(op, target, &content);
                if let Some((_, Event::Left(all))) = self.instances[from].events.last_mut() {
                    all.push(became);
                }
                next.extend(self.limit(op, target));
            }
            sources = self.post(next);
        }
    }

    /// The head of a queue was delivered, which the engine calls `sequence`.
    pub fn deliver(&mut self, op: OpId, queue: u64, delivery: &Delivered, no_ack: bool) {
        self.expect_as_head(queue, &delivery.content);
        let model = self.queues.get_mut(&queue).expect("it is there");
        let name = model.kind.name;
        let Some((_, id)) = model.ready.pop_first() else {
            panic!("{name} delivered {delivery:?}, but nothing is ready");
        };
        let instance = &mut self.instances[id];
        assert_eq!(
            (&*instance.content, instance.redelivered, instance.returns),
            (&delivery.content, delivery.redelivered, delivery.returns),
            "the head of {name}"
        );
        instance.events.push((op, Event::Delivered));
        instance.redelivered = true;
        if no_ack {
            instance.events.push((op, Event::Left(Vec::new())));
        } else {
            model.unacked.insert(id, delivery.sequence);
        }
    }

    pub fn give_back(&mut self, op: OpId, id: InstanceId, is_failure: bool) {
        let instance = &mut self.instances[id];
        if instance.kind.delivery_limit.is_some() {
            instance.returns = instance.returns.again(is_failure);
            if !is_failure {
                instance.events.push((op, Event::GivenBack));
            }
        }
        let mut place = instance.place;
        if instance.kind.is_quorum() {
            self.next_place += 1;
            place = (BEFORE_ALL, self.next_place);
        }
        let queue = self.queues.get_mut(&instance.queue).expect("it is there");
        queue.unacked.remove(&id);
        queue.ready.insert(place, id);
    }

    pub fn ack(&mut self, op: OpId, id: InstanceId) {
        let instance = &mut self.instances[id];
        instance.events.push((op, Event::Left(Vec::new())));
        let queue = self.queues.get_mut(&instance.queue).expect("it is there");
        queue.unacked.remove(&id);
    }

    pub fn purge(&mut self, op: OpId, queue: u64) -> u64 {
        let model = self.queues.get_mut(&queue).expect("it is there");
        let all = std::mem::take(&mut model.ready);
        for id in all.values() {
            self.instances[*id]
                .events
                .push((op, Event::Left(Vec::new())));
        }
        all.len() as u64
    }

    /// Holds what was found after a crash against what should be there, and goes on from what was
    /// found.
    pub fn after_crash(
        &mut self,
        found: &BTreeMap<u64, Vec<Found>>,
        survived: &Survived<'_>,
    ) -> Result<(), String> {
        for (queue, messages) in found {
            if self.queues.contains_key(queue) {
                let seen: Vec<Way> = messages.iter().map(|one| one.content.way()).collect();
                self.learn_order_at_start(*queue, &seen);
            }
        }
        let there = self.identify(found)?;
        for id in 0..self.instances.len() {
            if self.is_current(id) {
                self.check(id, there.get(&id), survived)
                    .map_err(|what| format!("message {id}: {what}: {}", self.explain(id)))?;
                self.check_not_in_neither(id, &there, survived)
                    .map_err(|what| format!("message {id}: {what}: {}", self.explain(id)))?;
            }
        }
        self.go_on_with(&there);
        Ok(())
    }

    /// The messages that should be there and are not: their queues, and what they are.
    pub fn lost(
        &self,
        found: &BTreeMap<u64, Vec<Found>>,
        survived: &Survived<'_>,
    ) -> Vec<(u64, Rc<Content>)> {
        let there = self.identify(found).expect("what is there was there");
        let ids = (0..self.instances.len()).filter(|id| self.is_current(*id));
        let lost = ids.filter(|id| self.check(*id, there.get(id), survived).is_err());
        lost.map(|id| &self.instances[id])
            .map(|instance| (instance.queue, Rc::clone(&instance.content)))
            .collect()
    }

    /// How many messages are ready.
    pub fn ready(&self) -> u64 {
        let queues = self.queues.values();
        queues.map(|queue| queue.ready.len() as u64).sum()
    }

    fn is_current(&self, id: InstanceId) -> bool {
        self.queues.contains_key(&self.instances[id].queue)
    }

    /// Which messages were found, and with what marks.
    fn identify(
        &self,
        found: &BTreeMap<u64, Vec<Found>>,
    ) -> Result<BTreeMap<InstanceId, (bool, Returns)>, String> {
        let mut there: BTreeMap<InstanceId, (bool, Returns)> = BTreeMap::new();
        for (queue, messages) in found {
            let Some(model) = self.queues.get(queue) else {
                return Err(format!("a queue {queue} that should not be there"));
            };
            let name = model.kind.name;
            // A message that was found in both queues may die once more.
            let mut by_way: BTreeMap<_, BTreeMap<Place, InstanceId>> = BTreeMap::new();
            for (id, instance) in self.instances.iter().enumerate() {
                if instance.queue == *queue {
                    let same = by_way.entry(instance.content.way()).or_default();
                    same.insert(instance.place, id);
                }
            }
            let mut last_place = (BEFORE_ALL, 0);
            let mut came_back = true;
            for message in messages {
                // What came back is in the order of priorities then, as the rest is.
                if model.kind.is_quorum() && came_back != message.redelivered {
                    if message.redelivered {
                        return Err(format!(
                            "{name} has {message:?} behind what did not come back"
                        ));
                    }
                    (came_back, last_place) = (false, (BEFORE_ALL, 0));
                }
                let Some(same) = by_way.get(&message.content.way()) else {
                    return Err(format!("{name} has {message:?}, which was never there"));
                };
                let above = (Excluded(last_place), Unbounded);
                let Some((place, id)) = same.range(above).next() else {
                    let all: Vec<u64> = messages.iter().map(|one| one.content.id).collect();
                    let expected = self.instances.iter().filter(|one| one.queue == *queue);
                    let mut expected: Vec<_> =
                        expected.map(|one| (one.place.1, one.content.id)).collect();
                    expected.sort_unstable();
                    return Err(format!(
                        "{name} has {message:?} out of order, or twice: {all:?} of {expected:?}"
                    ));
                };
                let instance = &self.instances[*id];
                if *instance.content != message.content {
                    return Err(format!("{name} has {message:?} for {instance:?}"));
                }
                last_place = *place;
                there.insert(*id, (message.redelivered, message.returns));
            }
        }
        Ok(there)
    }

    fn check(
        &self,
        id: InstanceId,
        there: Option<&(bool, Returns)>,
        survived: &Survived<'_>,
    ) -> Result<(), String> {
        let instance = &self.instances[id];
        let certain = |op: &OpId| self.ops[*op].is_certain(survived);
        let possible = |op: &OpId| self.ops[*op].is_possible(survived);
        let left = || {
            let events = instance.events.iter();
            events
                .filter(|(_, event)| matches!(event, Event::Left(_)))
                .map(|(op, _)| op)
        };
        let Some((redelivered, returns)) = there else {
            let must_be_there =
                instance.content.persistent && certain(&instance.appeared) && !left().any(possible);
            return match must_be_there {
                true => Err("it is lost".to_owned()),
                false => Ok(()),
            };
        };
        if !instance.content.persistent {
            return Err("it is not persistent and came back".to_owned());
        }
        if left().any(certain) {
            return Err("it came back".to_owned());
        }
        if !possible(&instance.appeared) {
            return Err("it survived, but not in the log".to_owned());
        }
        let delivered = || {
            let events = instance.events.iter();
            events
                .filter(|(_, event)| matches!(event, Event::Delivered))
                .map(|(op, _)| op)
        };
        if !redelivered && delivered().any(certain) {
            return Err("it was delivered before, and nothing says so".to_owned());
        }
        // What was purged or dropped was taken as well.
        if *redelivered && !delivered().chain(left()).any(possible) {
            return Err("it is said to have been delivered before".to_owned());
        }
        let mut may_be = self.may_have_come_back(instance, survived);
        if instance.kind.delivery_limit.is_some() && left().any(possible) {
            // What was purged was taken as well.
            may_be.push(Returns::LOST_ONCE);
        }
        if !may_be.contains(returns) {
            return Err(format!("it came back {returns:?}, not one of {may_be:?}"));
        }
        Ok(())
    }

    /// How often it may be said to have come back, by what survived. Each delivery came to an end with the
    /// broker, as a failure, if not before.
    fn may_have_come_back(&self, instance: &Instance, survived: &Survived<'_>) -> Vec<Returns> {
        let mut now = instance.returns_before;
        let mut all = vec![now];
        if instance.kind.delivery_limit.is_none() {
            return all;
        }
        let mut before = now;
        for (op, event) in instance.events.iter().filter(|(op, _)| *op != BEFORE) {
            now = match event {
                Event::Delivered => {
                    before = now;
                    now.again(true)
                }
                Event::GivenBack => before.again(false),
                Event::Left(_) => continue,
            };
            if self.ops[*op].is_certain(survived) {
                all.clear();
            } else if !self.ops[*op].is_possible(survived) {
                break;
            }
            all.push(now);
        }
        all
    }

    /// A dead letter may be in both queues, but never in neither.
    fn check_not_in_neither(
        &self,
        id: InstanceId,
        there: &BTreeMap<InstanceId, (bool, Returns)>,
        survived: &Survived<'_>,
    ) -> Result<(), String> {
        let instance = &self.instances[id];
        let is_expected = instance.content.persistent
            && self.ops[instance.appeared].is_certain(survived)
            && !there.contains_key(&id);
        let Some((_, Event::Left(became))) = instance.events.last().filter(|_| is_expected) else {
            return Ok(());
        };
        for next in became {
            let next_instance = &self.instances[*next];
            let mut left = next_instance.events.iter();
            let may_have_left = left.any(|(op, event)| {
                matches!(event, Event::Left(_)) && self.ops[*op].is_possible(survived)
            });
            let is_kept =
                next_instance.content.persistent && self.queues.contains_key(&next_instance.queue);
            if is_kept && !there.contains_key(next) && !may_have_left {
                return Err(format!("it is in neither queue (it became {next})"));
            }
        }
        Ok(())
    }

    fn go_on_with(&mut self, there: &BTreeMap<InstanceId, (bool, Returns)>) {
        for queue in self.queues.values_mut() {
            queue.ready.clear();
            queue.unacked.clear();
        }
        let old = std::mem::take(&mut self.instances);
        // Those that came back in the order in which they do now.
        let mut order: Vec<InstanceId> = (0..old.len()).collect();
        order.sort_by_key(|id| old[*id].place);
        let mut places: Vec<Place> = old.iter().map(|instance| instance.place).collect();
        for id in order {
            if old[id].kind.is_quorum()
                && there.get(&id).is_some_and(|(redelivered, _)| *redelivered)
            {
                self.next_place += 1;
                places[id] = (BEFORE_ALL, self.next_place);
            }
        }
        for (id, mut instance) in old.into_iter().enumerate() {
            let Some((redelivered, returns)) = there.get(&id) else {
                continue;
            };
            instance.appeared = BEFORE;
            instance.events.clear();
            if *redelivered {
                instance.events.push((BEFORE, Event::Delivered));
            }
            instance.returns_before = *returns;
            instance.redelivered = *redelivered;
            instance.returns = *returns;
            let queue = self.queues.get_mut(&instance.queue).expect("it is there");
            queue.ready.insert(places[id], self.instances.len());
            self.instances.push(instance);
        }
        self.ops.truncate(1);
        self.outboxes.clear();
        self.start = None;
    }

    /// Letters that queues give up at start come in the order of each queue and priority, but whose come first
    /// is open: some have to be read from segments. These are the ones in `queue`.
    fn letters_of_start(&self, queue: u64) -> Vec<InstanceId> {
        let is_one = |instance: &Instance| {
            instance.queue == queue
                && Some(instance.appeared) == self.start
                && !instance.content.deaths.is_empty()
        };
        let all = self.instances.iter().enumerate();
        let mut letters: Vec<InstanceId> = all
            .filter(|(_, instance)| is_one(instance))
            .map(|(id, _)| id)
            .collect();
        letters.sort_by_key(|id| self.instances[*id].place);
        letters
    }

    /// `content` is at the head of `queue`: if that can be, it is as well in here.
    fn expect_as_head(&mut self, queue: u64, content: &Content) {
        let ready = &self.queues[&queue].ready;
        let head = ready.first_key_value().map(|(_, id)| *id);
        if head.is_some_and(|id| self.instances[id].content.way() == content.way()) {
            return;
        }
        let letters = self.letters_of_start(queue).into_iter();
        let taken = letters.filter(|id| !ready.contains_key(&self.instances[*id].place));
        let mut seen: Vec<Way> = taken.map(|id| self.instances[id].content.way()).collect();
        seen.push(content.way());
        self.learn_order_at_start(queue, &seen);
    }

    /// The letters of a start were seen in this order; others may lie between them.
    fn learn_order_at_start(&mut self, queue: u64, seen: &[Way]) {
        let letters = self.letters_of_start(queue);
        let mut by_source: BTreeMap<(&str, u8), VecDeque<InstanceId>> = BTreeMap::new();
        for id in &letters {
            let content = &self.instances[*id].content;
            let source = (content.deaths[0].queue.as_str(), content.priority);
            by_source.entry(source).or_default().push_back(*id);
        }
        let mut learnt = Vec::new();
        for way in seen {
            for letters in by_source.values_mut() {
                let is_seen = |id: &InstanceId| self.instances[*id].content.way() == *way;
                if let Some(at) = letters.iter().position(is_seen) {
                    learnt.extend(letters.drain(..=at));
                }
            }
        }
        for id in &letters {
            if !learnt.contains(id) {
                learnt.push(*id);
            }
        }
        let places: Vec<Place> = letters.iter().map(|id| self.instances[*id].place).collect();
        let ready = &mut self.queues.get_mut(&queue).expect("it is there").ready;
        let were_ready: Vec<InstanceId> = places.iter().filter_map(|at| ready.remove(at)).collect();
        for (id, place) in learnt.into_iter().zip(places) {
            self.instances[id].place = place;
            if were_ready.contains(&id) {
                ready.insert(place, id);
            }
        }
    }

    fn explain(&self, id: InstanceId) -> String {
        let instance = &self.instances[id];
        let name = instance.kind.name;
        let mut text = format!(
            "{:?} in {name}, which appeared in {} {:?}",
            instance.content, instance.appeared, self.ops[instance.appeared]
        );
        for (op, event) in &instance.events {
            text += &format!("; {event:?} in {op} {:?}", self.ops[*op]);
        }
        text
    }
}
