//! What a queue is, said as simply as possible: messages in order, and who holds which.

use std::collections::BTreeMap;

/// A message; its place in the queue is what it is sorted by: priority first, then its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub priority: u8,
    pub number: u64,
    pub redelivered: bool,
}

impl Message {
    pub fn body(&self) -> String {
        format!("{}/{}", self.number, self.priority)
    }

    fn place(&self) -> (u8, u64) {
        (u8::MAX - self.priority, self.number)
    }
}

/// What a queue is declared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kind {
    pub max_length: Option<usize>,
    pub max_length_bytes: Option<usize>,
    pub max_priority: u8,
}

/// Somebody who gets messages as soon as there are some.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub id: u64,
    pub prefetch: usize,
    pub no_ack: bool,
}

/// A channel's deliveries: tag, then who got it (None: basic.get) and what.
#[derive(Default, Debug)]
pub struct Channel {
    last_tag: u64,
    pub unacked: BTreeMap<u64, (Option<u64>, Message)>,
}

impl Channel {
    fn hand_over(&mut self, to: Option<u64>, no_ack: bool, message: Message) -> (u64, Message) {
        self.last_tag += 1;
        if !no_ack {
            self.unacked.insert(self.last_tag, (to, message.clone()));
        }
        (self.last_tag, message)
    }

    /// Takes one delivery, or all up to it (0: all).
    fn settle(&mut self, tag: u64, multiple: bool) -> Vec<Message> {
        let tags: Vec<u64> = match (multiple, tag) {
            (false, _) => vec![tag],
            (true, 0) => self.unacked.keys().copied().collect(),
            (true, _) => self.unacked.range(..=tag).map(|(tag, _)| *tag).collect(),
        };
        tags.iter()
            .filter_map(|tag| self.unacked.remove(tag))
            .map(|(_, message)| message)
            .collect()
    }
}

/// The queue, a channel that gets and a channel that may consume.
pub struct Model {
    kind: Kind,
    ready: BTreeMap<(u8, u64), Message>,
    published: u64,
    pub getting: Channel,
    pub consuming: Channel,
    pub consumer: Option<Consumer>,
    consumers: u64,
}

impl Model {
    pub fn new(kind: Kind) -> Self {
        Model {
            kind,
            ready: BTreeMap::new(),
            published: 0,
            getting: Channel::default(),
            consuming: Channel::default(),
            consumer: None,
            consumers: 0,
        }
    }

    pub fn ready(&self) -> u64 {
        self.ready.len() as u64
    }

    /// Puts a message in; the caller then looks at `deliveries`, and after them at `shorten`.
    pub fn publish(&mut self, priority: u8) -> Message {
        self.published += 1;
        let message = Message {
            priority,
            number: self.published,
            redelivered: false,
        };
        self.insert(message.clone());
        message
    }

    fn insert(&mut self, message: Message) {
        self.ready.insert(message.place(), message);
    }

    /// Drops from the head what is over the limit.
    pub fn shorten(&mut self) {
        while self.is_over_limit() {
            self.ready.pop_first();
        }
    }

    fn is_over_limit(&self) -> bool {
        let bytes = self.ready.values().map(|message| message.body().len());
        let bytes: usize = bytes.sum();
        let Kind {
            max_length,
            max_length_bytes,
            ..
        } = self.kind;
        max_length.is_some_and(|most| self.ready.len() > most)
            || max_length_bytes.is_some_and(|most| bytes > most)
    }

    /// What the consumer is given now.
    pub fn deliveries(&mut self) -> Vec<(u64, Message)> {
        let mut deliveries = Vec::new();
        while let Some(consumer) = &self.consumer {
            let holds = self
                .consuming
                .unacked
                .values()
                .filter(|(to, _)| *to == Some(consumer.id));
            let full =
                !consumer.no_ack && consumer.prefetch > 0 && holds.count() >= consumer.prefetch;
            let Some(message) = (!full).then(|| self.ready.pop_first()).flatten() else {
                break;
            };
            let handed = self
                .consuming
                .hand_over(Some(consumer.id), consumer.no_ack, message.1);
            deliveries.push(handed);
        }
        deliveries
    }

    pub fn get(&mut self, no_ack: bool) -> Option<(u64, Message)> {
        let (_, message) = self.ready.pop_first()?;
        Some(self.getting.hand_over(None, no_ack, message))
    }

    pub fn consume(&mut self, prefetch: usize, no_ack: bool) -> u64 {
        self.consumers += 1;
        self.consumer = Some(Consumer {
            id: self.consumers,
            prefetch,
            no_ack,
        });
        self.consumers
    }

    fn channel(&mut self, consuming: bool) -> &mut Channel {
        if consuming {
            &mut self.consuming
        } else {
            &mut self.getting
        }
    }

    pub fn drop_unacked(&mut self, consuming: bool, tag: u64, multiple: bool) {
        self.channel(consuming).settle(tag, multiple);
    }

    /// Gives back to where it was. What is over the limit then goes before anybody gets it.
    pub fn requeue(&mut self, consuming: bool, tag: u64, multiple: bool) {
        for message in self.channel(consuming).settle(tag, multiple) {
            self.insert(Message {
                redelivered: true,
                ..message
            });
        }
        self.shorten();
    }

    /// A new channel in place of the old one.
    pub fn reopen(&mut self, consuming: bool) {
        if consuming {
            self.consumer = None;
        }
        self.requeue(consuming, 0, true);
        self.channel(consuming).last_tag = 0;
    }

    pub fn purge(&mut self) -> u64 {
        let purged = self.ready();
        self.ready.clear();
        purged
    }
}
