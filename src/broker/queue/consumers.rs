//! A queue's consumers: who may be given the next message.
//!
//! Among the consumers with room, those of the highest priority come first, in turn. With a
//! single active consumer only that one is ever given anything; of a quorum queue it makes way for one of a
//! higher priority, once nothing is out any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ConsumerSpec;
use crate::broker::sink::SinkRef;

/// Names a consumer within its queue; never used again. Who came later has a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u64);

/// A consumer.
pub struct Consumer {
    tag: Arc<str>,
    /// Where its deliveries go.
    pub sink: SinkRef,
    /// What the sink knows it as.
    pub slot: u32,
    /// Whether what it is given counts as settled at once.
    pub no_ack: bool,
    exclusive: bool,
    priority: i32,
    /// Its place in its turn, if it has room.
    ticket: Option<u64>,
}

/// The consumers of one priority that have room, in the order in which they are served.
struct Turn {
    priority: i32,
    /// By their tickets.
    waiting: BTreeMap<u64, ConsumerId>,
}

/// See the module. Any of them goes, and gets or loses room, at a cost that grows with the logarithm of
/// their number: all of a channel's go when its client does.
pub struct Consumers {
    /// In the order of their coming; who follows when the single active consumer goes.
    all: BTreeMap<ConsumerId, Consumer>,
    turns: Vec<Turn>,
    single_active: bool,
    active: Option<ConsumerId>,
    /// The active one went and nobody may follow it yet.
    is_vacant: bool,
    /// Whether the active one makes way for another of a higher priority.
    makes_way: bool,
    /// There is such a one: the active one is given nothing more.
    is_yielding: bool,
    exclusive: bool,
    next_id: u64,
    next_ticket: u64,
}

impl Consumers {
    /// No consumers. `makes_way` says whether a single active one does, for one of a higher priority.
    pub fn new(single_active: bool, makes_way: bool) -> Self {
        Self {
            all: BTreeMap::new(),
            turns: Vec::new(),
            single_active,
            active: None,
            is_vacant: false,
            makes_way,
            is_yielding: false,
            exclusive: false,
            next_id: 1,
            next_ticket: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a consumer has the queue for itself.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// Adds a consumer, without room as yet.
    pub fn add(&mut self, spec: ConsumerSpec) -> ConsumerId {
        let id = ConsumerId(self.next_id);
        self.next_id += 1;
        let consumer = Consumer {
            tag: spec.tag,
            sink: spec.sink,
            slot: spec.slot,
            no_ack: spec.no_ack,
            exclusive: spec.exclusive,
            priority: spec.priority,
            ticket: None,
        };
        self.all.insert(id, consumer);
        self.exclusive |= spec.exclusive;
        match self.active.and_then(|active| self.get(active)) {
            Some(active) => self.is_yielding |= self.makes_way && spec.priority > active.priority,
            None if self.single_active && !self.is_vacant => self.active = Some(id),
            None => {}
        }
        id
    }

    /// Removes a consumer; if it was the single active one, nobody is until
    /// [`Consumers::activate_next`] is called. Says whether that is to be done; None if it is not there.
    pub fn remove(&mut self, id: ConsumerId) -> Option<bool> {
        self.leave_turn(id);
        let consumer = self.all.remove(&id)?;
        self.exclusive &= !consumer.exclusive;
        let was_active = self.active == Some(id);
        if was_active {
            self.active = None;
            self.is_vacant = true;
            self.is_yielding = false;
        } else if self.is_yielding {
            let highest = self.successor().and_then(|id| self.get(id));
            let active = self.active.and_then(|id| self.get(id));
            self.is_yielding = highest.map(|one| one.priority) > active.map(|one| one.priority);
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

    /// Whether the active one waits for what it has to be settled, to make way for another.
    pub fn is_yielding(&self) -> bool {
        self.is_yielding
    }

    /// It has nothing any more: the other one becomes the active one.
    pub fn make_way(&mut self) {
        self.is_yielding = false;
        self.active = self.successor();
    }

    /// All of them, in the order of their coming, removed.
    pub fn drain(&mut self) -> impl Iterator<Item = Consumer> + use<> {
        self.turns.clear();
        self.active = None;
        self.is_yielding = false;
        self.exclusive = false;
        std::mem::take(&mut self.all).into_values()
    }

    /// The consumer of that id.
    pub fn get(&self, id: ConsumerId) -> Option<&Consumer> {
        self.all.get(&id)
    }

    /// Their tags, in the order of their coming.
    pub fn tags(&self) -> impl Iterator<Item = &Arc<str>> {
        self.all.values().map(|consumer| &consumer.tag)
    }

    /// The consumer has room (again). False if it is not there or had room anyway.
    pub fn has_room(&mut self, id: ConsumerId) -> bool {
        let Some(consumer) = self.all.get_mut(&id) else {
            return false;
        };
        if consumer.ticket.is_some() {
            return false;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        consumer.ticket = Some(ticket);
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
                    waiting: BTreeMap::new(),
                },
            );
        }
        self.turns[at].waiting.insert(ticket, id);
        true
    }

    /// The consumer has no more room.
    pub fn is_full(&mut self, id: ConsumerId) {
        self.leave_turn(id);
    }

    /// Whether anybody could be given a message.
    pub fn any_with_room(&self) -> bool {
        if self.single_active {
            let active = self.active.filter(|_| !self.is_yielding);
            return active
                .and_then(|id| self.get(id))
                .is_some_and(|consumer| consumer.ticket.is_some());
        }
        !self.turns.is_empty()
    }

    /// Whose turn it is: at most `limit` consumers, in the order in which they get one message
    /// each. Empty if nobody has room.
    pub fn next_in_turn(&self, limit: usize, into: &mut Vec<ConsumerId>) {
        into.clear();
        if self.single_active {
            into.extend(self.active.filter(|_| self.any_with_room()));
        } else if let Some(turn) = self.turns.first() {
            into.extend(turn.waiting.values().take(limit));
        }
    }

    /// `served` messages were dealt out in turn: the next one is for whoever comes after.
    pub fn advance_turn(&mut self, served: usize) {
        if self.single_active {
            return;
        }
        let Some(turn) = self.turns.first_mut() else {
            return;
        };
        for _ in 0..served % turn.waiting.len() {
            let Some((_, id)) = turn.waiting.pop_first() else {
                return;
            };
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            turn.waiting.insert(ticket, id);
            if let Some(consumer) = self.all.get_mut(&id) {
                consumer.ticket = Some(ticket);
            }
        }
    }

    fn successor(&self) -> Option<ConsumerId> {
        let highest = self.all.values().map(|consumer| consumer.priority).max()?;
        let mut all = self.all.iter();
        all.find(|(_, consumer)| consumer.priority == highest)
            .map(|(id, _)| *id)
    }

    fn leave_turn(&mut self, id: ConsumerId) {
        let Some(consumer) = self.all.get_mut(&id) else {
            return;
        };
        let (Some(ticket), priority) = (consumer.ticket.take(), consumer.priority) else {
            return;
        };
        let at = self.turns.partition_point(|turn| turn.priority > priority);
        if let Some(turn) = self.turns.get_mut(at) {
            turn.waiting.remove(&ticket);
            if turn.waiting.is_empty() {
                self.turns.remove(at);
            }
        }
    }
}
