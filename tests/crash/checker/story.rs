//! Made-up histories for the checker's own tests: what a broker might do, right or wrong.

use std::sync::Arc;

use super::{Checker, Violation};
use crate::ledger::{ConsumerId, Event, Kind, Settling, What};
use crate::letter::Letter;
use crate::plan::{DeadFrom, QueueId, QueueInfo, Role, Rule};

/// A history that is being told. Orders and times go up by themselves.
pub struct Story {
    checker: Checker,
    order: u64,
    pub now_ms: u64,
    next_id: u64,
    witness: Arc<QueueInfo>,
}

impl Story {
    pub fn new() -> Self {
        let mut story = Story {
            checker: Checker::default(),
            order: 0,
            now_ms: 1_000_000,
            next_id: 0,
            witness: Arc::new(QueueInfo::idle(QueueId(u64::MAX), "witness")),
        };
        let mut witness = QueueInfo::idle(story.queue_id(), "witness");
        witness.witness = true;
        story.witness = story.register(witness);
        story
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn queue_id(&mut self) -> QueueId {
        QueueId(self.id())
    }

    pub fn tell(&mut self, what: What) -> u64 {
        self.order += 1;
        self.now_ms += 1;
        self.checker.apply(vec![Event {
            order: self.order,
            at_ms: self.now_ms,
            what,
        }]);
        self.order
    }

    fn register(&mut self, info: QueueInfo) -> Arc<QueueInfo> {
        let info = Arc::new(info);
        self.tell(What::Queue(Arc::clone(&info)));
        info
    }

    /// A durable queue that others read.
    pub fn queue(&mut self, name: &str) -> Arc<QueueInfo> {
        self.queue_with(name, |info| info.consumed = true)
    }

    pub fn queue_with(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut QueueInfo),
    ) -> Arc<QueueInfo> {
        let mut info = QueueInfo::idle(self.queue_id(), name);
        change(&mut info);
        self.register(info)
    }

    /// A queue and the one that its dead letters go to.
    pub fn chain(&mut self, reason: &'static str) -> [Arc<QueueInfo>; 2] {
        let source = self.queue_with("source", |info| {
            info.consumed = true;
            info.drops = true;
            info.ttl_ms = (reason == "expired").then_some(1_000);
        });
        let (chain, ttl_ms) = (source.id, source.ttl_ms);
        let dead = self.queue_with("dead", |info| {
            (info.chain, info.ttl_ms) = (chain, ttl_ms);
            (info.role, info.rule) = (Role::Dead, Rule::None);
            info.dead_from = Some(DeadFrom {
                queue: "source".to_string(),
                reasons: vec![reason],
                exchange: "dead".to_string(),
                key: "dead".to_string(),
            });
        });
        [source, dead]
    }

    pub fn letter(&mut self, publisher: u64) -> Letter {
        let id = self.id();
        Letter {
            id,
            publisher,
            number: id,
            exchange: String::new(),
            key: "key".to_string(),
            persistent: true,
            priority: None,
            expiration_ms: None,
            body_bytes: 10,
        }
    }

    /// A persistent letter, published and not confirmed.
    pub fn published(&mut self, queue: &QueueInfo) -> Letter {
        let letter = self.letter(1);
        self.publish(&letter, queue);
        letter
    }

    pub fn publish(&mut self, letter: &Letter, queue: &QueueInfo) {
        self.tell(What::Published {
            letter: Arc::new(letter.clone()),
            to: [queue.id].into(),
        });
    }

    /// A persistent letter, published and confirmed.
    pub fn confirmed(&mut self, queue: &QueueInfo) -> Letter {
        let letter = self.published(queue);
        self.tell(What::Confirmed(letter.id));
        letter
    }

    /// Whatever was done before this is on the disk.
    pub fn horizon(&mut self) {
        let witness = Arc::clone(&self.witness);
        self.confirmed(&witness);
    }

    pub fn consumer(&mut self, inspects: bool) -> ConsumerId {
        let consumer = ConsumerId(self.id());
        self.tell(What::Asked { consumer, inspects });
        consumer
    }

    pub fn deliver(
        &mut self,
        consumer: ConsumerId,
        queue: &QueueInfo,
        letter: &Letter,
        redelivered: bool,
    ) {
        self.tell(What::Delivered {
            consumer,
            queue: queue.id,
            letter: Box::new(letter.clone()),
            redelivered,
            faults: Vec::new(),
        });
    }

    /// A consumer gets a letter for the first time and does that with it.
    pub fn handled(&mut self, queue: &QueueInfo, letter: &Letter, how: Settling) -> ConsumerId {
        let consumer = self.consumer(false);
        self.deliver(consumer, queue, letter, false);
        let ids = vec![letter.id];
        self.tell(What::Settled { consumer, ids, how });
        consumer
    }

    /// The same, and the broker has processed it.
    pub fn handled_for_good(&mut self, queue: &QueueInfo, letter: &Letter, how: Settling) {
        let consumer = self.handled(queue, letter, how);
        let before = self.order + 1;
        self.tell(What::Processed { consumer, before });
    }

    pub fn kill(&mut self) {
        self.tell(What::Killed);
    }

    /// After a restart these are there, each with what it says of having been delivered before.
    pub fn inspect(&mut self, queues: &[&QueueInfo], found: &[(&QueueInfo, &Letter, bool)]) {
        let inspector = self.consumer(true);
        for (queue, letter, redelivered) in found {
            self.deliver(inspector, queue, letter, *redelivered);
        }
        self.tell(What::Inspected(queues[0].chain));
    }

    /// What the checker found.
    pub fn violations(&mut self) -> Vec<Violation> {
        self.checker.take_violations()
    }

    #[track_caller]
    pub fn expect(mut self, kinds: &[Kind]) {
        let violations = self.violations();
        let found: Vec<Kind> = violations.iter().map(|violation| violation.kind).collect();
        assert_eq!(found, kinds, "{violations:#?}");
    }
}
