//! What a queue is, said as simply as possible: which messages it has, in order, who has which, and what
//! has become of the others.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use warren::broker::log::Returns;

use crate::kind::{Kind, Overflow, Policy, Wants};
use crate::world::{Letter, Outgoing};

/// A message in the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub name: u64,
    pub level: u8,
    pub id: Option<u8>,
    pub expires_ms: u64,
    pub redelivered: bool,
    pub returns: Returns,
}

/// Ready messages come by priority, then by age; in a quorum queue those that came back come before, in that
/// order.
type Place = (Reverse<u8>, u64);

/// No message has such a priority there.
const BEFORE_ALL: Reverse<u8> = Reverse(u8::MAX);

/// See the module.
pub struct Model {
    kind: Kind,
    pub wants: Wants,
    pub now_ms: u64,
    pub ready: BTreeMap<Place, Message>,
    /// By when they are due.
    pub waiting: BTreeMap<(u64, u8, u64), Message>,
    pub unacked: BTreeMap<u64, Message>,
    /// What was given to consumers since the last look.
    pub delivered: Vec<Message>,
    pub letters: Vec<Letter>,
    pub refused: Vec<u64>,
    came_back: u64,
    /// How much more consumers take.
    pub room: usize,
}

impl Model {
    pub fn new(kind: Kind, now_ms: u64) -> Self {
        Self {
            kind,
            wants: kind.under(&Policy::default()),
            now_ms,
            ready: BTreeMap::new(),
            waiting: BTreeMap::new(),
            unacked: BTreeMap::new(),
            delivered: Vec::new(),
            letters: Vec::new(),
            refused: Vec::new(),
            came_back: 0,
            room: 0,
        }
    }

    fn place(&self, message: &Message) -> Place {
        (Reverse(message.level), message.name)
    }

    fn level(&self, priority: Option<u8>) -> u8 {
        match self.kind.is_quorum {
            true => priority.unwrap_or(4).min(31),
            false => priority.unwrap_or(0).min(self.kind.max_priority),
        }
    }

    fn put_back(&mut self, message: Message) {
        let mut place = self.place(&message);
        if self.kind.is_quorum {
            self.came_back += 1;
            place = (BEFORE_ALL, self.came_back);
        }
        self.ready.insert(place, message);
    }

    fn counts_returns(&self) -> bool {
        self.kind.is_quorum || self.kind.retry.is_some()
    }

    /// Of those that are due at the same time, who comes first: in a quorum queue those of the usual priority.
    fn band(&self, message: &Message) -> u8 {
        match self.kind.is_quorum {
            true if message.level == 4 => 0,
            _ => message.level.saturating_add(1),
        }
    }

    fn held(&self) -> u64 {
        (self.ready.len() + self.waiting.len()) as u64
    }

    fn die(&mut self, message: &Message, reason: &str) {
        self.letters.push((message.name, reason.to_owned()));
    }

    /// What has expired is not there, wherever it still is.
    fn has_id(&self, id: u8) -> bool {
        let ready = self.ready.values().chain(self.waiting.values());
        let mut all = ready.chain(self.unacked.values()).chain(&self.delivered);
        all.any(|message| message.id == Some(id) && message.expires_ms > self.now_ms)
    }

    pub fn publish(&mut self, batch: &[Outgoing]) {
        for outgoing in batch {
            if self.kind.takes_once && outgoing.id.is_some_and(|id| self.has_id(id)) {
                continue;
            }
            let ttl_ms = outgoing.ttl_ms.unwrap_or(u64::MAX).min(self.wants.ttl_ms);
            let message = Message {
                name: outgoing.name,
                level: self.level(outgoing.priority),
                id: outgoing.id,
                expires_ms: self.now_ms.saturating_add(ttl_ms),
                redelivered: false,
                returns: Returns::default(),
            };
            if self.wants.overflow != Overflow::DropHead && self.held() + 1 > self.wants.max_length
            {
                self.refused.push(message.name);
                if self.wants.overflow == Overflow::RejectDlx {
                    self.die(&message, "maxlen");
                }
                continue;
            }
            self.ready.insert(self.place(&message), message);
            self.deliver();
            self.shorten();
        }
        self.expire(self.now_ms);
    }

    /// Gives out the head as long as somebody has room. What expires at this very moment may still be
    /// given out.
    pub fn deliver(&mut self) {
        while self.room > 0 {
            self.expire(self.now_ms - 1);
            let Some((_, message)) = self.ready.pop_first() else {
                return;
            };
            self.room -= 1;
            self.delivered.push(message);
        }
    }

    /// Drops what is over the limit from the head.
    pub fn shorten(&mut self) {
        while self.wants.overflow == Overflow::DropHead
            && self.held() > self.wants.max_length
            && let Some((_, message)) = self.ready.pop_first()
        {
            self.die(&message, "maxlen");
        }
    }

    /// Drops what has expired from the head; in a quorum queue from the head of each priority.
    pub fn expire(&mut self, by_ms: u64) {
        if !self.kind.is_quorum {
            while let Some((place, _)) = self.ready.first_key_value()
                && self.expires_by(*place, by_ms)
            {}
            return;
        }
        let mut levels: Vec<Reverse<u8>> = self.ready.keys().map(|(level, _)| *level).collect();
        levels.dedup();
        for level in levels {
            while let Some((place, _)) = self.ready.range((level, 0)..=(level, u64::MAX)).next()
                && self.expires_by(*place, by_ms)
            {}
        }
    }

    /// Drops a message if it has expired, and says whether it has.
    fn expires_by(&mut self, place: Place, by_ms: u64) -> bool {
        if self.ready[&place].expires_ms > by_ms {
            return false;
        }
        let message = self.ready.remove(&place).expect("it is there");
        self.die(&message, "expired");
        true
    }

    /// The head, for basic.get.
    pub fn get(&mut self) -> Option<Message> {
        self.expire(self.now_ms);
        let head = self.ready.pop_first().map(|(_, message)| message);
        self.expire(self.now_ms);
        head
    }

    pub fn settle(&mut self, name: u64) {
        self.unacked.remove(&name).expect("somebody has it");
    }

    pub fn reject(&mut self, name: u64) {
        let message = self.unacked.remove(&name).expect("somebody has it");
        self.die(&message, "rejected");
    }

    /// Somebody gives messages back, having failed on them or not, and has room for `more` then.
    pub fn give_back(&mut self, names: &[u64], is_failure: bool, more: usize) {
        for name in names {
            let mut message = self.unacked.remove(name).expect("somebody has it");
            message.redelivered = true;
            if self.counts_returns() {
                message.returns.all += 1;
                message.returns.failures += u32::from(is_failure);
            }
            if message.returns.failures > self.wants.delivery_limit {
                self.die(&message, "delivery_limit");
            } else if let Some(retry) = self.kind.retry
                && retry.applies_to(is_failure)
            {
                let failures = u64::from(message.returns.failures.max(1));
                let delay_ms = (retry.min_ms * failures).min(retry.max_ms);
                let due = (self.now_ms + delay_ms, self.band(&message), message.name);
                self.waiting.insert(due, message);
            } else {
                self.put_back(message);
            }
        }
        self.shorten();
        self.expire(self.now_ms);
        self.room += more;
        self.deliver();
    }

    /// What is due by now happens.
    pub fn come_to_rest(&mut self) {
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= self.now_ms
        {
            let message = first.remove();
            self.put_back(message);
        }
        self.shorten();
        self.expire(self.now_ms);
        self.deliver();
        // What was behind has its turn now.
        self.expire(self.now_ms);
    }

    pub fn set_policy(&mut self, policy: &Policy) {
        self.wants = self.kind.under(policy);
        self.come_to_rest();
    }

    pub fn purge(&mut self) -> u64 {
        let purged = self.held();
        self.ready.clear();
        self.waiting.clear();
        purged
    }
}
