//! A client that declares, binds, fills, purges and deletes queues and exchanges of its own all the
//! time, under a few names, with some requests under way at once.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::{Kind, Ledger, What};
use crate::plan::{QueueId, QueueInfo, Route};
use crate::publisher::{Pen, Unconfirmed, send};
use crate::support::{Method, Random, method, table};
use crate::topology::{Binding, Change, ExchangeSpec, FANOUT_KEY, Known, QueueSpec, Shown};
use crate::wire::{End, Heard, PATIENCE, Result, Wire};

const CHANNEL: u16 = 1;
const QUEUES: usize = 4;
const KINDS: [&str; 4] = ["direct", "topic", "headers", "fanout"];
const KEYS: [&str; 3] = ["k0", "k1", "k2"];

/// What such a client knows. It lives longer than its connections.
pub struct Churn {
    prefix: String,
    pub known: Known,
    /// The present life of each queue.
    pub queues: HashMap<String, Arc<QueueInfo>>,
}

impl Churn {
    pub fn new(prefix: &str) -> Self {
        Churn {
            prefix: prefix.to_string(),
            known: Known::default(),
            queues: HashMap::new(),
        }
    }

    /// Goes on until the broker is gone.
    pub fn run(&mut self, address: SocketAddr, ledger: &Ledger, mut random: Random) -> End {
        let mut run = || -> Result<()> {
            let mut wire = Wire::open(address)?;
            wire.open_channel(CHANNEL)?;
            wire.call(CHANNEL, &method!("confirm.select"))?;
            let mut pen = Pen::new(ledger);
            let (mut unconfirmed, mut tag) = (Unconfirmed::default(), 0);
            loop {
                if random.chance(50) {
                    if let Some(route) = self.any_queue(&mut random) {
                        let letter = pen.write(&route, &mut random);
                        tag += 1;
                        unconfirmed.add(tag, letter.id);
                        send(&wire.mouth()?, CHANNEL, &letter)?;
                    }
                } else {
                    self.change(ledger, &wire, &mut random)?;
                }
                let (changes, letters) = (random.below(4), random.below(60));
                while self.known.asked.len() > changes || unconfirmed.len() > letters {
                    match wire.hear(PATIENCE)? {
                        Some((_, Heard::Method(answer))) => match answer.name {
                            "basic.ack" | "basic.nack" => unconfirmed.answered(&answer, ledger),
                            "connection.blocked" | "connection.unblocked" => {}
                            _ => self.answered(&answer, ledger),
                        },
                        Some(other) => panic!("a declaring client hears {other:?}"),
                        None => return Err(End::Silent),
                    }
                }
                if random.chance(30) {
                    // Not to wait for anything: so as not to drown the other clients.
                    std::thread::sleep(Duration::from_micros(random.below(2_000) as u64));
                }
            }
        };
        match run() {
            Ok(()) => End::Silent,
            Err(end) => end,
        }
    }

    /// A queue that will be there once everything is answered.
    fn any_queue(&self, random: &mut Random) -> Option<Route> {
        let hoped = self.known.hoped();
        let names: Vec<&String> = hoped.queues.keys().collect();
        let name = random.pick(&names)?;
        let info = &self.queues[name];
        Some(Route {
            exchange: String::new(),
            key: name.clone(),
            to: [info.id].into(),
            priorities: info.max_priority.is_some(),
            expirations: None,
            large: false,
        })
    }

    /// Asks for a change that makes sense once everything before it is done.
    fn change(&mut self, ledger: &Ledger, wire: &Wire, random: &mut Random) -> Result<()> {
        let hoped = self.known.hoped();
        let name = format!("{}.{}", self.prefix, random.below(QUEUES));
        let kind = KINDS[random.below(KINDS.len())];
        let exchange = format!("{}.{kind}", self.prefix);
        // A name's requests one after the other, so that it is known which life of it is meant.
        let is_quiet = self.known.asked.iter().all(|change| match change {
            Change::Queue(at, _) | Change::DropQueue(at) | Change::Purge(at) => *at != name,
            _ => true,
        });
        let binding = Binding {
            exchange: exchange.clone(),
            queue: name.clone(),
            key: match kind {
                "fanout" => FANOUT_KEY.to_string(),
                _ => KEYS[random.below(KEYS.len())].to_string(),
            },
        };
        let has_queue = hoped.queues.contains_key(&name);
        let has_exchange = hoped.exchanges.contains_key(&exchange);
        let change = match random.below(100) {
            0..40 if !has_queue && is_quiet => self.declare(&name, ledger, random),
            0..10 if has_queue && is_quiet => {
                ledger.note(What::Deleting(self.queues[&name].id));
                Change::DropQueue(name)
            }
            40..50 if has_queue && is_quiet => {
                ledger.note(What::Purging(self.queues[&name].id));
                Change::Purge(name)
            }
            50..60 if !has_exchange => Change::Exchange(
                exchange,
                ExchangeSpec {
                    kind,
                    durable: random.chance(85),
                },
            ),
            50..53 if has_exchange => Change::DropExchange(exchange),
            60..90 if has_queue && has_exchange && !hoped.bindings.contains(&binding) => {
                Change::Bind(binding)
            }
            90..100 if hoped.bindings.contains(&binding) => Change::Unbind(binding),
            _ => return Ok(()),
        };
        let request = hoped.request(&change);
        self.known.asked.push_back(change);
        wire.send(CHANNEL, &request)
    }

    fn declare(&mut self, name: &str, ledger: &Ledger, random: &mut Random) -> Change {
        let mut info = QueueInfo::idle(QueueId(ledger.new_id()), name);
        info.durable = random.chance(85);
        let arguments = match random.below(4) {
            0 => {
                info.max_priority = Some(3);
                table! { "x-max-priority" => 3 }
            }
            1 => table! { "x-message-ttl" => 3_600_000, "x-max-length" => 1_000_000 },
            _ => table! {},
        };
        let spec = QueueSpec {
            durable: info.durable,
            arguments,
        };
        let info = Arc::new(info);
        ledger.note(What::Queue(Arc::clone(&info)));
        self.queues.insert(name.to_string(), info);
        Change::Queue(name.to_string(), spec)
    }

    /// The broker answers the oldest request.
    fn answered(&mut self, answer: &Method, ledger: &Ledger) {
        let change = self.known.asked.pop_front().expect("something was asked");
        let count = || answer.number("message-count");
        match &change {
            Change::DropQueue(name) => {
                let queue = self.queues.remove(name).expect("it was there").id;
                let count = Some(count());
                ledger.note(What::Deleted { queue, count });
            }
            Change::Purge(name) => {
                let queue = self.queues[name].id;
                let count = count();
                ledger.note(What::Purged { queue, count });
            }
            _ => {}
        }
        self.known.answered.apply(&change);
    }

    /// After a restart: learns from what the broker shows what it had done.
    pub fn restarted(&mut self, shown: &Shown, ledger: &Ledger) {
        let before = self.known.clone();
        if self.known.settle(shown).is_none() {
            let what = format!("shown {shown}; known {before}");
            ledger.fault(Kind::Topology, what);
            self.known.give_in(shown);
        }
        let there: BTreeSet<&String> = self.known.answered.queues.keys().collect();
        self.queues.retain(|name, info| {
            let is_there = there.contains(name);
            if !is_there {
                let (queue, count) = (info.id, None);
                ledger.note(What::Deleted { queue, count });
            }
            is_there
        });
    }
}
