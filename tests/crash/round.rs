//! Rounds: start, look at everything, load, kill; and again.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checker::{Checker, Totals, Violation};
use crate::churn::Churn;
use crate::consumer::{self, Reader};
use crate::inspect;
use crate::ledger::{Kind, Ledger, What};
use crate::node::{Node, Running};
use crate::plan::{Plan, QueueInfo};
use crate::publisher;
use crate::streams::Stream;
use crate::support::Random;
use crate::topology::{self, Known, Shown};
use crate::wire::{End, Result, Wire};

const CONFIRMING_PUBLISHERS: u64 = 4;
const CONSUMER_CONNECTIONS: usize = 3;
const STREAM_PUBLISHERS: u64 = 2;
const STREAM_READERS: u64 = 2;

/// Everything that lives longer than a broker.
pub struct World {
    node: Node,
    ledger: Ledger,
    plan: Plan,
    checker: Checker,
    known: Known,
    churns: Vec<Churn>,
    streams: Vec<Stream>,
    random: Random,
    /// How long the last start took.
    start: Duration,
    /// So often everything was looked at.
    looks: u64,
    /// Dead letters must have come by then.
    look_until: Instant,
}

impl World {
    pub fn new(folder: &Path, seed: u64) -> Self {
        let ledger = Ledger::default();
        let node = Node::new(folder);
        let plan = Plan::new(&ledger, !node.is_foreign());
        // RabbitMQ's may not answer soon after a restart.
        let streams = match node.is_foreign() {
            true => Vec::new(),
            false => Stream::all(),
        };
        World {
            node,
            ledger,
            plan,
            checker: Checker::default(),
            known: Known::default(),
            churns: vec![Churn::new("churn.a"), Churn::new("churn.b")],
            streams,
            random: Random(seed),
            start: Duration::from_millis(50),
            looks: 0,
            look_until: Instant::now(),
        }
    }

    pub fn totals(&self) -> Totals {
        self.checker.totals
    }

    pub fn last_words(&self) -> String {
        self.node.last_words()
    }

    /// The first start, on an empty folder.
    pub fn begin(&mut self) -> (Running, Vec<Violation>) {
        let running = self.node.start(&mut self.random);
        let (running, address) = self.wait_for(running);
        if let Some(address) = address {
            let declared = self.declare(address);
            self.complain("declaring", declared);
            self.look_at_streams(address);
        }
        (running, self.violations())
    }

    fn declare(&mut self, address: SocketAddr) -> Result<()> {
        let mut wire = Wire::open(address)?;
        wire.open_channel(1)?;
        for change in &self.plan.changes {
            wire.call(1, &self.known.answered.request(change))?;
            self.known.answered.apply(change);
        }
        wire.close()
    }

    /// Starts again, now and then killing it while it recovers; looks at what is there.
    pub fn restart(&mut self) -> (Running, Vec<Violation>) {
        let mut kills_while_recovering = match self.random.below(100) {
            0..70 => 0,
            70..90 => 1,
            _ => 2,
        };
        if self.random.chance(10)
            && let Some(wrong) = self.node.check_store()
        {
            self.ledger
                .fault(Kind::Trouble, format!("check-store: {wrong}"));
        }
        let mut running = self.node.start(&mut self.random);
        while kills_while_recovering > 0 {
            kills_while_recovering -= 1;
            let most = self.start.as_micros() as usize * 5 / 4;
            // A random moment is the point of it.
            std::thread::sleep(Duration::from_micros(self.random.below(most) as u64));
            running.kill();
            running = self.node.start(&mut self.random);
        }
        let (running, address) = self.wait_for(running);
        if let Some(address) = address {
            let whole = self.random.chance(60);
            let looked = self.look(address, whole);
            self.complain("looking at what is there", looked);
            self.look_at_streams(address);
        }
        (running, self.violations())
    }

    fn wait_for(&mut self, mut running: Running) -> (Running, Option<SocketAddr>) {
        let started = Instant::now();
        let address = running.address();
        self.start = started.elapsed();
        if address.is_none() {
            self.ledger.fault(Kind::Trouble, "the broker did not start");
        }
        (running, address)
    }

    fn look_at_streams(&self, address: SocketAddr) {
        for stream in &self.streams {
            let looked = stream.look(address, &self.ledger);
            self.complain("reading a stream", looked);
        }
    }

    fn complain(&self, doing: &str, done: Result<()>) {
        if let Err(end) = done {
            self.ledger
                .fault(Kind::Trouble, format!("{doing}: {end:?}"));
        }
    }

    fn violations(&mut self) -> Vec<Violation> {
        self.checker.apply(self.ledger.take());
        self.checker.take_violations()
    }

    /// Looks at everything; or leaves some queues as they are, for another life.
    fn look(&mut self, address: SocketAddr, whole: bool) -> Result<()> {
        self.looks += 1;
        self.look_until = Instant::now() + inspect::UNDER_WAY;
        let mut wire = Wire::open(address)?;
        wire.open_channel(1)?;
        let probes = whole.then_some(self.looks);
        let mut static_shown = topology::look(&mut wire, &self.known, &self.known.names(), probes)?;
        let mut shown = Vec::new();
        for churn in &self.churns {
            let known = &churn.known;
            shown.push(topology::look(
                &mut wire,
                known,
                &known.names(),
                Some(self.looks),
            )?);
        }
        for chain in self.plan.chains() {
            let is_there = |queue: &Arc<QueueInfo>| static_shown.queues.contains(&queue.name);
            // A deep queue is to become deep.
            let skipped = chain[0].deep && self.random.chance(60);
            if chain.iter().all(is_there) && !skipped && (whole || self.random.chance(50)) {
                self.inspect(address, &chain, &mut static_shown);
            }
        }
        let mut churns = std::mem::take(&mut self.churns);
        for (churn, shown) in churns.iter_mut().zip(&mut shown) {
            for name in shown.queues.clone() {
                let chain = [Arc::clone(&churn.queues[&name])];
                self.inspect(address, &chain, shown);
            }
            churn.restarted(shown, &self.ledger);
        }
        self.churns = churns;
        if !whole {
            static_shown
                .bindings
                .clone_from(&self.known.answered.bindings);
        }
        if self.known.settle(&static_shown).is_none() {
            let what = format!("shown {static_shown}; known {}", self.known);
            self.ledger.fault(Kind::Topology, what);
        }
        let otherwise = self.random.chance(20);
        topology::check_specs(&mut wire, &self.known.answered, &self.ledger, otherwise)?;
        for churn in &self.churns {
            topology::check_specs(&mut wire, &churn.known.answered, &self.ledger, true)?;
        }
        wire.close()
    }

    fn inspect(&mut self, address: SocketAddr, chain: &[Arc<QueueInfo>], shown: &mut Shown) {
        let found = inspect::chain(
            address,
            &self.ledger,
            &mut self.checker,
            chain,
            &mut self.random,
            (self.looks, self.look_until),
        );
        let found = found.map(|found| shown.bindings.extend(found));
        self.complain(&format!("reading {}", chain[0].name), found);
    }

    /// Everybody works, and the broker is killed at a random moment, or stopped in good order, which
    /// must not keep less.
    pub fn load(&mut self, mut running: Running) -> Vec<Violation> {
        let Some(address) = running.address() else {
            return self.violations();
        };
        let mut after_ms = match self.random.below(100) {
            0..15 => self.random.below(10),
            15..50 => 10 + self.random.below(200),
            _ => 200 + self.random.below(1_000),
        };
        if self.node.is_foreign() {
            after_ms *= 2;
        }
        let stops = !self.node.is_foreign() && self.random.chance(10);
        let readers = self.readers();
        let World {
            ledger,
            plan,
            churns,
            streams,
            random,
            ..
        } = self;
        let (ledger, plan) = (&*ledger, &*plan);
        let (killed, ends) = std::thread::scope(|scope| {
            let mut actors = Vec::new();
            let mut seed = || Random(random.next());
            for _ in 0..CONFIRMING_PUBLISHERS {
                let random = seed();
                actors.push(scope.spawn(move || {
                    let end = publisher::confirming(address, ledger, plan, random);
                    ("a publisher", end, ledger.now())
                }));
            }
            let random = seed();
            actors.push(scope.spawn(move || {
                let end = publisher::in_transactions(address, ledger, plan, random);
                ("a publisher with transactions", end, ledger.now())
            }));
            for readers in readers {
                let random = seed();
                actors.push(scope.spawn(move || {
                    let end = consumer::run(address, ledger, readers, random);
                    ("a consumer", end, ledger.now())
                }));
            }
            for stream in streams.iter() {
                for _ in 0..STREAM_PUBLISHERS {
                    let random = seed();
                    actors.push(scope.spawn(move || {
                        let end = stream.publish(address, ledger, random);
                        ("a stream's publisher", end, ledger.now())
                    }));
                }
                for _ in 0..STREAM_READERS {
                    let random = seed();
                    actors.push(scope.spawn(move || {
                        let end = stream.follow(address, ledger, random);
                        ("a stream's reader", end, ledger.now())
                    }));
                }
            }
            for churn in churns {
                let random = seed();
                actors.push(scope.spawn(move || {
                    let end = churn.run(address, ledger, random);
                    ("a declaring client", end, ledger.now())
                }));
            }
            // A random moment is the point of it.
            std::thread::sleep(Duration::from_millis(after_ms as u64));
            if running.has_ended() {
                ledger.fault(Kind::Trouble, "the broker ended by itself");
            }
            let killed = ledger.now();
            if stops {
                ledger.note(What::Stopping);
            }
            if stops && !running.stop() {
                ledger.fault(Kind::Trouble, "the broker did not end well");
            }
            running.kill();
            let ends: Vec<_> = actors
                .into_iter()
                .map(|actor| actor.join().expect("the client goes on to the end"))
                .collect();
            (killed, ends)
        });
        for (who, end, at) in ends {
            let expected = match &end {
                End::Closed(close) => stops && close.name == "connection.close",
                end => *end == End::Broken,
            };
            if !expected || at < killed {
                ledger.fault(Kind::Trouble, format!("{who}: {end:?}"));
            }
        }
        ledger.note(What::Killed);
        self.violations()
    }

    /// The consumers, dealt to their connections.
    fn readers(&mut self) -> Vec<Vec<Reader>> {
        let mut connections = vec![Vec::new(); CONSUMER_CONNECTIONS];
        for planned in &self.plan.queues {
            for habits in &planned.consumers {
                connections[self.random.below(CONSUMER_CONNECTIONS)].push(Reader {
                    queue: Arc::clone(&planned.info),
                    habits: *habits,
                });
            }
        }
        connections
    }
}
