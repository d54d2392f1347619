//! What a queue is, said as simply as possible: which messages it has, in order, who has which, and what
//! has become of the others.

use std::cmp::Reverse;
use std::collections::BTreeMap;

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
    pub returns: u32,
}

/// Ready messages come by priority, then by age.
type Place = (Reverse<u8>, u64);

/// See the module.
pub struct Model {
    kind: Kind,
    pub wants: Wants,
    pub now_ms: u64,
    pub ready: BTreeMap<Place, Message>,
    /// By when they are due.
    pub waiting: BTreeMap<(u64, Place), Message>,
    pub unacked: BTreeMap<u64, Message>,
    /// What was given to consumers since the last look.
    pub delivered: Vec<Message>,
    pub letters: Vec<Letter>,
    pub refused: Vec<u64>,
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
            room: 0,
        }
    }

    fn place(&self, message: &Message) -> Place {
        (Reverse(message.level), message.name)
    }

    fn counts_returns(&self) -> bool {
        self.kind.is_quorum || self.kind.retry.is_some()
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
                level: outgoing.priority.min(self.kind.max_priority),
                id: outgoing.id,
                expires_ms: self.now_ms.saturating_add(ttl_ms),
                redelivered: false,
                returns: 0,
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

    /// Drops what has expired from the head.
    pub fn expire(&mut self, by_ms: u64) {
        while let Some(first) = self.ready.first_entry()
            && first.get().expires_ms <= by_ms
        {
            let message = first.remove();
            self.die(&message, "expired");
        }
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

    /// Somebody gives messages back, and has room for `more` then.
    pub fn give_back(&mut self, names: &[u64], more: usize) {
        for name in names {
            let mut message = self.unacked.remove(name).expect("somebody has it");
            message.redelivered = true;
            message.returns += u32::from(self.counts_returns());
            if message.returns > self.wants.delivery_limit {
                self.die(&message, "delivery_limit");
            } else if let Some(retry) = self.kind.retry {
                let delay_ms = (retry.min_ms * u64::from(message.returns)).min(retry.max_ms);
                let due = (self.now_ms + delay_ms, self.place(&message));
                self.waiting.insert(due, message);
            } else {
                self.ready.insert(self.place(&message), message);
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
            self.ready.insert(self.place(&message), message);
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
