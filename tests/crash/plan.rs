//! The queues that are there all the time, where letters are sent, and who reads them.
//!
//! Each queue belongs to a chain: a source alone, a source with the queue that its dead letters go
//! to, or a ring (rejected letters wait a while and come back). A letter is in one queue of a
//! chain at a time.

use std::sync::Arc;

use crate::ledger::Ledger;
use crate::support::{Table, table};
use crate::topology::{Binding, Change, ExchangeSpec, FANOUT_KEY, QueueSpec};

/// The exchange that dead letters go through.
const DEAD_LETTERS: &str = "dead";
/// The exchange that leads to three queues.
const FAN: &str = "fan";

/// One life of a queue from its declaration to its deletion; a successor has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// What a queue is to its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Source,
    Dead,
    /// The part of a ring that is published to and rejects.
    Work,
    /// The part of a ring where letters wait.
    Wait,
}

/// In which order a queue's letters must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    None,
    /// Those of one publisher in the order of publishing.
    Publisher,
    /// Also, what was confirmed comes before what was published later.
    All,
}

/// Where dead letters come from, and how.
#[derive(Clone, Debug)]
pub struct DeadFrom {
    pub queue: String,
    pub reasons: Vec<&'static str>,
    pub exchange: String,
    pub key: String,
}

/// What the checker has to know of a queue.
#[derive(Clone, Debug)]
pub struct QueueInfo {
    pub id: QueueId,
    pub name: String,
    /// The first queue of its chain.
    pub chain: QueueId,
    pub role: Role,
    pub durable: bool,
    /// Whether it keeps transient letters as well, as quorum queues do.
    pub keeps_transient: bool,
    /// How long letters live in the source of the chain.
    pub ttl_ms: Option<u64>,
    pub max_priority: Option<u8>,
    /// Whether anybody but an inspector reads it.
    pub consumed: bool,
    pub rule: Rule,
    pub dead_from: Option<DeadFrom>,
    /// Letters come and go without anybody asking.
    pub moving: bool,
    /// What is given back waits for a while.
    pub waits: bool,
    /// Letters leave it undelivered. Then what is behind one that left looks as if it had been
    /// delivered, after a restart.
    pub drops: bool,
    /// Its letters are large, and not looked at after each restart.
    pub deep: bool,
    /// What is confirmed in it had to be written before: nothing takes it away.
    pub witness: bool,
}

impl QueueInfo {
    /// A durable queue that nobody but inspectors reads.
    /// (The plan decides whether it is a witness.)
    pub fn idle(id: QueueId, name: &str) -> Self {
        QueueInfo {
            id,
            name: name.to_string(),
            chain: id,
            role: Role::Source,
            durable: true,
            keeps_transient: false,
            ttl_ms: None,
            max_priority: None,
            consumed: false,
            rule: Rule::All,
            dead_from: None,
            moving: false,
            waits: false,
            drops: false,
            deep: false,
            witness: false,
        }
    }
}

/// What a consumer does, in percent; what is left over it keeps unsettled.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub prefetch: u16,
    pub ack: usize,
    pub requeue: usize,
    pub reject: usize,
}

/// A queue that is always there.
pub struct Planned {
    pub info: Arc<QueueInfo>,
    pub consumers: Vec<Habits>,
}

/// Where letters are sent.
pub struct Route {
    pub exchange: String,
    pub key: String,
    pub to: Arc<[QueueId]>,
    pub priorities: bool,
    /// From, up to, in milliseconds.
    pub expirations: Option<(u64, u64)>,
    /// Letters are large.
    pub large: bool,
}

#[derive(Default)]
pub struct Plan {
    pub queues: Vec<Planned>,
    pub routes: Vec<Route>,
    pub changes: Vec<Change>,
}

const ACKS: Habits = Habits {
    prefetch: 50,
    ack: 95,
    requeue: 0,
    reject: 0,
};
const SLOW: Habits = Habits {
    prefetch: 2,
    ack: 90,
    requeue: 10,
    reject: 0,
};
const REQUEUES: Habits = Habits {
    prefetch: 20,
    ack: 60,
    requeue: 30,
    reject: 0,
};
const REJECTS: Habits = Habits {
    prefetch: 30,
    ack: 45,
    requeue: 5,
    reject: 40,
};

impl Plan {
    /// With a quorum queue, or without: RabbitMQ's may not answer soon after a restart.
    pub fn new(ledger: &Ledger, with_quorum: bool) -> Self {
        let mut plan = Plan::default();
        for (name, kind) in [(DEAD_LETTERS, "direct"), (FAN, "fanout")] {
            let spec = ExchangeSpec {
                kind,
                durable: true,
            };
            plan.changes.push(Change::Exchange(name.to_string(), spec));
        }
        plan.plain(ledger, "plain.idle", table! {}, vec![]).witness = true;
        plan.plain(ledger, "plain", table! {}, vec![ACKS, ACKS]);
        for (name, consumers) in [("deep.idle", vec![]), ("deep", vec![SLOW])] {
            plan.plain(ledger, name, table! {}, consumers).deep = true;
            plan.last_route().large = true;
        }
        plan.plain(ledger, "requeue", table! {}, vec![REQUEUES, REQUEUES]);
        for (name, consumers) in [
            ("priority.idle", vec![]),
            ("priority", vec![ACKS, REQUEUES]),
        ] {
            let info = plan.plain(ledger, name, table! { "x-max-priority" => 4 }, consumers);
            info.max_priority = Some(4);
            info.witness = !info.consumed;
            plan.last_route().priorities = true;
        }
        if with_quorum {
            let quorum = table! { "x-queue-type" => "quorum" };
            plan.plain(ledger, "quorum", quorum, vec![ACKS])
                .keeps_transient = true;
        }

        let retry = table! {
            "x-delayed-retry-type" => "all",
            "x-delayed-retry-min" => 50,
            "x-delayed-retry-max" => 400,
        };
        let info = plan.plain(ledger, "delayed", retry, vec![REQUEUES, REQUEUES]);
        (info.waits, info.moving, info.rule) = (true, true, Rule::None);

        let ttl = |ms: i32| table! { "x-message-ttl" => ms };
        let short = |count: i32| table! { "x-max-length" => count };
        plan.chain(ledger, "ttl", ttl(400), vec![], vec![], &["expired"]);
        let reasons = ["expired", "rejected"];
        plan.chain(
            ledger,
            "ttl.mixed",
            ttl(300),
            vec![REJECTS],
            vec![ACKS],
            &reasons,
        );
        plan.chain(
            ledger,
            "expiration",
            table! {},
            vec![],
            vec![],
            &["expired"],
        );
        plan.last_route().expirations = Some((100, 900));
        plan.chain(ledger, "short", short(20), vec![], vec![], &["maxlen"]);
        let reasons = ["maxlen", "rejected"];
        plan.chain(
            ledger,
            "short.mixed",
            short(30),
            vec![REJECTS],
            vec![ACKS],
            &reasons,
        );
        let bytes = table! { "x-max-length-bytes" => 100_000 };
        plan.chain(ledger, "short.bytes", bytes, vec![], vec![], &["maxlen"]);
        let rejects = vec![REJECTS, REJECTS];
        plan.chain(ledger, "reject", table! {}, rejects, vec![], &["rejected"]);
        if with_quorum {
            let sure = table! {
                "x-queue-type" => "quorum",
                "x-overflow" => "reject-publish",
                "x-dead-letter-strategy" => "at-least-once",
            };
            let rejects = vec![REJECTS, REJECTS];
            plan.chain(ledger, "sure", sure, rejects, vec![ACKS], &["rejected"]);
        }
        plan.ring(ledger);

        let mut to = Vec::new();
        for (name, consumers) in [
            ("fan.idle", vec![]),
            ("fan.acks", vec![ACKS]),
            ("fan.requeues", vec![REQUEUES]),
        ] {
            let info = plan.plain(ledger, name, table! {}, consumers);
            info.witness = !info.consumed;
            to.push(info.id);
            plan.bind(FAN, name, FANOUT_KEY);
        }
        plan.routes.push(Route {
            exchange: FAN.to_string(),
            key: String::new(),
            to: to.into(),
            priorities: false,
            expirations: None,
            large: false,
        });
        for planned in &plan.queues {
            let queue = crate::ledger::What::Queue(Arc::clone(&planned.info));
            ledger.note(queue);
        }
        plan
    }

    /// A queue with a route of its own through the default exchange.
    fn plain(
        &mut self,
        ledger: &Ledger,
        name: &str,
        arguments: Table,
        consumers: Vec<Habits>,
    ) -> &mut QueueInfo {
        let id = QueueId(ledger.new_id());
        self.routes.push(Route {
            exchange: String::new(),
            key: name.to_string(),
            to: [id].into(),
            priorities: false,
            expirations: None,
            large: false,
        });
        self.queue(QueueInfo::idle(id, name), arguments, consumers)
    }

    fn queue(
        &mut self,
        mut info: QueueInfo,
        arguments: Table,
        consumers: Vec<Habits>,
    ) -> &mut QueueInfo {
        info.consumed = !consumers.is_empty();
        let spec = QueueSpec {
            durable: true,
            arguments,
        };
        self.changes.push(Change::Queue(info.name.clone(), spec));
        self.queues.push(Planned {
            info: Arc::new(info),
            consumers,
        });
        let planned = self.queues.last_mut().expect("just pushed");
        Arc::get_mut(&mut planned.info).expect("nobody else has it yet")
    }

    fn bind(&mut self, exchange: &str, queue: &str, key: &str) {
        self.changes.push(Change::Bind(Binding {
            exchange: exchange.to_string(),
            queue: queue.to_string(),
            key: key.to_string(),
        }));
    }

    fn last_route(&mut self) -> &mut Route {
        self.routes.last_mut().expect("a route")
    }

    /// A source and the queue that its dead letters go to.
    fn chain(
        &mut self,
        ledger: &Ledger,
        name: &str,
        mut arguments: Table,
        consumers: Vec<Habits>,
        dead_consumers: Vec<Habits>,
        reasons: &[&'static str],
    ) {
        let dead_name = format!("{name}.dead");
        dead_letters_to(&mut arguments, &dead_name);
        let ttl_ms = match arguments.get("x-message-ttl") {
            Some(crate::support::Value::I32(ms)) => Some(*ms as u64),
            _ => None,
        };
        let keeps_transient = arguments.get("x-queue-type").is_some();
        let moving = reasons.contains(&"expired");
        let has_consumers = !consumers.is_empty();
        let source = self.plain(ledger, name, arguments, consumers);
        (source.ttl_ms, source.moving, source.drops) = (ttl_ms, moving, true);
        source.keeps_transient = keeps_transient;
        let mut dead = QueueInfo::idle(QueueId(ledger.new_id()), &dead_name);
        (dead.chain, dead.ttl_ms) = (source.id, ttl_ms);
        dead.role = Role::Dead;
        dead.moving = moving;
        // Where each expires at its own time, or comes back, the dead have another order.
        dead.rule = if has_consumers || name == "expiration" {
            Rule::None
        } else {
            Rule::Publisher
        };
        dead.dead_from = Some(DeadFrom {
            queue: name.to_string(),
            reasons: reasons.to_vec(),
            exchange: DEAD_LETTERS.to_string(),
            key: dead_name.clone(),
        });
        dead.keeps_transient = keeps_transient;
        let arguments = match keeps_transient {
            true => table! { "x-queue-type" => "quorum" },
            false => table! {},
        };
        self.queue(dead, arguments, dead_consumers);
        self.bind(DEAD_LETTERS, &dead_name, &dead_name);
    }

    /// What the one rejects waits in the other and comes back.
    fn ring(&mut self, ledger: &Ledger) {
        let (work, wait) = ("retry", "retry.wait");
        let from = |queue: &str, reason, key: &str| {
            Some(DeadFrom {
                queue: queue.to_string(),
                reasons: vec![reason],
                exchange: DEAD_LETTERS.to_string(),
                key: key.to_string(),
            })
        };
        let mut arguments = table! {};
        dead_letters_to(&mut arguments, wait);
        let info = self.plain(ledger, work, arguments, vec![REJECTS]);
        (info.role, info.moving, info.rule) = (Role::Work, true, Rule::None);
        info.dead_from = from(wait, "expired", work);
        let mut waiting = QueueInfo::idle(QueueId(ledger.new_id()), wait);
        waiting.chain = info.id;
        (waiting.role, waiting.moving, waiting.rule) = (Role::Wait, true, Rule::None);
        waiting.drops = true;
        waiting.dead_from = from(work, "rejected", wait);
        let mut arguments = table! { "x-message-ttl" => 150 };
        dead_letters_to(&mut arguments, work);
        self.queue(waiting, arguments, vec![]);
        self.bind(DEAD_LETTERS, work, work);
        self.bind(DEAD_LETTERS, wait, wait);
    }

    /// The queues of each chain, the source first.
    pub fn chains(&self) -> Vec<Vec<Arc<QueueInfo>>> {
        let mut chains: Vec<Vec<Arc<QueueInfo>>> = Vec::new();
        for planned in &self.queues {
            let info = &planned.info;
            match chains.iter_mut().find(|chain| chain[0].id == info.chain) {
                Some(chain) => chain.push(Arc::clone(info)),
                None => chains.push(vec![Arc::clone(info)]),
            }
        }
        chains
    }
}

fn dead_letters_to(arguments: &mut Table, key: &str) {
    let to = table! {
        "x-dead-letter-exchange" => DEAD_LETTERS, "x-dead-letter-routing-key" => key,
    };
    arguments.0.extend(to.0);
}
