//! A queue's consumers: who may be given the next message.
//!
//! Among the consumers with room, those of the highest priority come first, in turn. With a
//! single active consumer only that one is ever given anything.

use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;

use super::ConsumerSpec;
use crate::broker::sink::SinkRef;

/// Names a consumer within its queue; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u64);

impl ConsumerId {
    fn new(generation: u32, index: usize) -> Self {
        Self(u64::from(generation) << 32 | index as u64)
    }

    fn index(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// A consumer.
pub struct Consumer {
    id: ConsumerId,
    tag: Arc<str>,
    /// Where its deliveries go.
    pub sink: SinkRef,
    /// What the sink knows it as.
    pub slot: u32,
    /// Whether what it is given counts as settled at once.
    pub no_ack: bool,
    exclusive: bool,
    priority: i32,
    has_room: bool,
}

/// The consumers of one priority that have room, in the order in which they are served.
struct Turn {
    priority: i32,
    waiting: VecDeque<ConsumerId>,
}

/// See the module.
pub struct Consumers {
    all: Slab<Consumer>,
    /// In the order of their coming; who follows when the single active consumer goes.
    order: Vec<ConsumerId>,
    turns: Vec<Turn>,
    single_active: bool,
    active: Option<ConsumerId>,
    /// The active one went and nobody may follow it yet.
    is_vacant: bool,
    exclusive: bool,
    generation: u32,
}

impl Consumers {
    /// No consumers.
    pub fn new(single_active: bool) -> Self {
        Self {
            all: Slab::new(),
            order: Vec::new(),
            turns: Vec::new(),
            single_active,
            active: None,
            is_vacant: false,
            exclusive: false,
            generation: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether a consumer has the queue for itself.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// Adds a consumer, without room as yet.
    pub fn add(&mut self, spec: ConsumerSpec) -> ConsumerId {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.all.vacant_entry();
        let id = ConsumerId::new(self.generation, entry.key());
        entry.insert(Consumer {
            id,
            tag: spec.tag,
            sink: spec.sink,
            slot: spec.slot,
            no_ack: spec.no_ack,
            exclusive: spec.exclusive,
            priority: spec.priority,
            has_room: false,
        });
        self.order.push(id);
        self.exclusive |= spec.exclusive;
        if self.single_active && self.active.is_none() && !self.is_vacant {
            self.active = Some(id);
        }
        id
    }

    /// Removes a consumer; if it was the single active one, nobody is until
    /// [`Consumers::activate_next`] is called. Says whether that is to be done; None if it is not there.
    pub fn remove(&mut self, id: ConsumerId) -> Option<bool> {
        self.take_out(id)?;
        let was_active = self.active == Some(id);
        if was_active {
            self.active = None;
            self.is_vacant = true;
        }
        Some(was_active)
    }

    /// The next one becomes the active one.
    pub fn activate_next(&mut self) {
        self.is_vacant = false;
        if self.active.is_none() {
            self.active = self.successor();
        }
    }

    fn take_out(&mut self, id: ConsumerId) -> Option<Consumer> {
        self.get(id)?;
        self.leave_turn(id);
        self.order.retain(|other| *other != id);
        let consumer = self.all.remove(id.index());
        self.exclusive &= !consumer.exclusive;
        Some(consumer)
    }

    /// All of them, in the order of their coming, removed.
    pub fn drain(&mut self) -> Vec<Consumer> {
        self.turns.clear();
        self.active = None;
        self.exclusive = false;
        std::mem::take(&mut self.order)
            .into_iter()
            .filter_map(|id| self.all.try_remove(id.index()))
            .collect()
    }

    /// The consumer of that id.
    pub fn get(&self, id: ConsumerId) -> Option<&Consumer> {
        self.all
            .get(id.index())
            .filter(|consumer| consumer.id == id)
    }

    /// Their tags, in the order of their coming.
    pub fn tags(&self) -> impl Iterator<Item = &Arc<str>> {
        self.iter().map(|consumer| &consumer.tag)
    }

    fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.order.iter().filter_map(|id| self.get(*id))
    }

    /// The consumer has room (again). False if it is not there or had room anyway.
    pub fn has_room(&mut self, id: ConsumerId) -> bool {
        let Some(consumer) = self
            .all
            .get_mut(id.index())
            .filter(|consumer| consumer.id == id)
        else {
            return false;
        };
        if std::mem::replace(&mut consumer.has_room, true) {
            return false;
        }
        let priority = consumer.priority;
        let at = self.turns.partition_point(|turn| turn.priority > priority);
        if self
            .turns
            .get(at)
            .is_none_or(|turn| turn.priority != priority)
        {
            self.turns.insert(
                at,
                Turn {
                    priority,
                    waiting: VecDeque::new(),
                },
            );
        }
        self.turns[at].waiting.push_back(id);
        true
    }

    /// The consumer has no more room.
    pub fn is_full(&mut self, id: ConsumerId) {
        self.leave_turn(id);
        if let Some(consumer) = self.all.get_mut(id.index()) {
            consumer.has_room = false;
        }
    }

    /// Whether anybody could be given a message.
    pub fn any_with_room(&self) -> bool {
        if self.single_active {
            return self
                .active
                .and_then(|id| self.get(id))
                .is_some_and(|consumer| consumer.has_room);
        }
        self.turns.iter().any(|turn| !turn.waiting.is_empty())
    }

    /// Whose turn it is: at most `limit` consumers, in the order in which they get one message
    /// each. Empty if nobody has room.
    pub fn next_in_turn(&self, limit: usize, into: &mut Vec<ConsumerId>) {
        into.clear();
        if self.single_active {
            into.extend(self.active.filter(|_| self.any_with_room()));
        } else if let Some(turn) = self.turns.iter().find(|turn| !turn.waiting.is_empty()) {
            into.extend(turn.waiting.iter().take(limit));
        }
    }

    /// `served` messages were dealt out in turn: the next one is for whoever comes after.
    pub fn advance_turn(&mut self, served: usize) {
        if self.single_active {
            return;
        }
        if let Some(turn) = self.turns.iter_mut().find(|turn| !turn.waiting.is_empty()) {
            let steps = served % turn.waiting.len();
            turn.waiting.rotate_left(steps);
        }
    }

    fn successor(&self) -> Option<ConsumerId> {
        let first_of_highest = self
            .iter()
            .fold(None::<&Consumer>, |best, consumer| match best {
                Some(best) if best.priority >= consumer.priority => Some(best),
                _ => Some(consumer),
            });
        first_of_highest.map(|consumer| consumer.id)
    }

    fn leave_turn(&mut self, id: ConsumerId) {
        let Some(priority) = self
            .get(id)
            .filter(|consumer| consumer.has_room)
            .map(|consumer| consumer.priority)
        else {
            return;
        };
        let at = self.turns.partition_point(|turn| turn.priority > priority);
        if let Some(turn) = self
            .turns
            .get_mut(at)
            .filter(|turn| turn.priority == priority)
        {
            turn.waiting.retain(|other| *other != id);
            if turn.waiting.is_empty() {
                self.turns.remove(at);
            }
        }
    }
}
