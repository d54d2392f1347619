//! A broker in this process, as the server runs it but without sockets and threads of its own: over
//! a journal, segments and a catalog on a simulated disk. Topology as it is declared once.

use std::sync::Arc;
use std::sync::mpsc::channel;

use rand::RngExt;
use rand::rngs::SmallRng;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::auth::Users;
use warren::broker::catalog::StoredCatalog;
use warren::broker::engine::{Clock, Engine, EngineOptions};
use warren::broker::pager::{Pager, PagingOptions, Turn};
use warren::broker::recovery::Recovered;
use warren::broker::restore;
use warren::broker::vhost::{ExchangeDeclare, QueueDeclare};
use warren::broker::{Broker, ConnectionId, Effects, Queue, Vhost};
use warren::store::catalog::{Catalog, Contents};
use warren::store::disk::{Disk, SimDisk};
use warren::store::folder::Folder;
use warren::store::journal::{Drive, Fsync, Journal, Limits, OnDamage, Options};

use crate::disk::BusyDisk;

/// Whose connection it is does not matter.
pub const ME: ConnectionId = ConnectionId(1);

/// The fanout exchange.
pub const FAN: &str = "fan";
/// Where dead letters go in the end.
pub const DEAD: &str = "dead";

/// How a queue is declared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kind {
    pub name: &'static str,
    pub dead_letters_to: Option<&'static str>,
    pub max_priority: u8,
    pub max_length: Option<u64>,
    pub max_length_bytes: Option<u64>,
    pub message_ttl_ms: Option<u64>,
    pub delivery_limit: Option<u32>,
    pub is_bound_to_fan: bool,
}

impl Kind {
    pub const PLAIN: Self = Self {
        name: "plain",
        dead_letters_to: None,
        max_priority: 0,
        max_length: None,
        max_length_bytes: None,
        message_ttl_ms: None,
        delivery_limit: None,
        is_bound_to_fan: false,
    };

    /// Whether what comes back to it comes before all else, and it has priorities without asking for them.
    pub fn is_quorum(&self) -> bool {
        self.delivery_limit.is_some()
    }

    /// What a message's priority, 0 if it has none, counts as.
    pub fn level(&self, priority: u8) -> u8 {
        match (self.is_quorum(), priority) {
            (true, 0) => 4,
            (true, _) => priority.min(31),
            (false, _) => priority.min(self.max_priority),
        }
    }

    /// Whether it gives messages up by itself.
    pub fn gives_up(&self) -> bool {
        self.max_length.is_some()
            || self.max_length_bytes.is_some()
            || self.message_ttl_ms.is_some()
    }

    pub fn arguments(&self) -> FieldTable {
        let mut table = FieldTable::new();
        if let Some(queue) = self.dead_letters_to {
            table.push("x-dead-letter-exchange", text(""));
            table.push("x-dead-letter-routing-key", text(queue));
        }
        if self.max_priority > 0 {
            table.push("x-max-priority", FieldValue::I32(self.max_priority.into()));
        }
        let numbers = [
            ("x-max-length", self.max_length),
            ("x-max-length-bytes", self.max_length_bytes),
            ("x-message-ttl", self.message_ttl_ms),
            ("x-delivery-limit", self.delivery_limit.map(u64::from)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                table.push(name, FieldValue::I64(number as i64));
            }
        }
        if self.delivery_limit.is_some() {
            table.push("x-queue-type", text("quorum"));
        }
        table
    }
}

fn text(text: &'static str) -> FieldValue {
    FieldValue::LongStr(text.into())
}

/// All queues that there are.
pub const KINDS: [Kind; 11] = [
    Kind::PLAIN,
    Kind {
        name: "levels",
        max_priority: 4,
        ..Kind::PLAIN
    },
    Kind {
        name: "work",
        dead_letters_to: Some(DEAD),
        ..Kind::PLAIN
    },
    Kind {
        name: DEAD,
        ..Kind::PLAIN
    },
    Kind {
        name: "short",
        max_length: Some(7),
        dead_letters_to: Some(DEAD),
        ..Kind::PLAIN
    },
    Kind {
        name: "timed",
        message_ttl_ms: Some(100),
        dead_letters_to: Some("short"),
        ..Kind::PLAIN
    },
    Kind {
        name: "fan-1",
        is_bound_to_fan: true,
        ..Kind::PLAIN
    },
    Kind {
        name: "fan-2",
        is_bound_to_fan: true,
        dead_letters_to: Some(DEAD),
        ..Kind::PLAIN
    },
    Kind {
        name: "fan-3",
        is_bound_to_fan: true,
        max_priority: 2,
        ..Kind::PLAIN
    },
    Kind {
        name: "counted",
        delivery_limit: Some(2),
        dead_letters_to: Some(DEAD),
        ..Kind::PLAIN
    },
    Kind {
        name: "narrow",
        max_length_bytes: Some(12_000),
        dead_letters_to: Some(DEAD),
        ..Kind::PLAIN
    },
];

/// How much is kept where.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub file_bytes: u64,
    /// When the log is synced.
    pub fsync: Fsync,
    pub paging: PagingOptions,
}

impl Sizes {
    pub fn options(&self, seed: u64) -> Options {
        Options {
            file_bytes: self.file_bytes,
            first_file_bytes: self.file_bytes / 2,
            reserve_bytes: 0,
            spare_files: 2,
            fsync: self.fsync,
            busy_wait: false,
            limits: Limits {
                pressure_bytes: 64 << 20,
                full_bytes: 128 << 20,
            },
            on_damage: OnDamage::SetAside,
            known_damage: Vec::new(),
            needed_from: 0,
            drive: Drive::Manual,
            seed: Some(seed),
        }
    }
}

/// See the module.
pub struct World {
    pub broker: Arc<Broker>,
    pub vhost: Arc<Vhost>,
    pub journal: Arc<Journal>,
    pub pager: Arc<Pager>,
    store: Arc<Catalog>,
    _folder: Folder,
}

impl World {
    /// Starts a broker on what the disk has. `prepare` may change what the catalog says first.
    pub fn start(
        disk: &SimDisk,
        sizes: &Sizes,
        clock: &Clock,
        seed: u64,
        prepare: impl FnOnce(&mut Contents),
    ) -> Result<(Self, Recovered), String> {
        let options = sizes.options(seed);
        Self::start_with(disk, sizes.paging, clock, options, prepare)
    }

    /// The same with other options of the log.
    pub fn start_with(
        disk: &SimDisk,
        paging: PagingOptions,
        clock: &Clock,
        options: Options,
        prepare: impl FnOnce(&mut Contents),
    ) -> Result<(Self, Recovered), String> {
        let disk: Arc<dyn Disk> = Arc::new(BusyDisk(disk.clone()));
        let folder = Folder::open(disk).map_err(|error| error.to_string())?;
        let (store, mut contents) =
            Catalog::open(folder.disk()).map_err(|error| error.to_string())?;
        // It reserves ids by itself; after that nothing happens on the disk that nobody asked for.
        store.next_id().map_err(|error| error.to_string())?;
        prepare(&mut contents);
        let store = Arc::new(store);
        let engine = Engine::with_options(EngineOptions {
            clock: clock.clone(),
            paging,
            ..EngineOptions::default()
        });
        let catalog = Arc::new(StoredCatalog::new(Arc::clone(&store)));
        let broker = Broker::without_vhosts(Users::new(), engine, catalog);
        restore::topology(&broker, &contents).map_err(|error| error.to_string())?;
        let vhost = broker.add_vhost("/");
        let recovered = broker
            .recover(&folder.disk(), &store, contents, options)
            .map_err(|error| error.to_string())?;
        let world = Self {
            vhost,
            journal: Arc::clone(&recovered.journal),
            pager: Arc::clone(&recovered.pager),
            broker,
            store,
            _folder: folder,
        };
        world.wait_stored();
        Ok((world, recovered))
    }

    /// An empty disk with the topology declared on it.
    pub fn new_disk(sizes: &Sizes) -> SimDisk {
        let disk = SimDisk::new(1);
        let (world, _) =
            World::start(&disk, sizes, &Clock::manual(0), 1, |_| {}).expect("it starts");
        world
            .vhost
            .declare_exchange(ExchangeDeclare {
                name: FAN,
                kind: "fanout",
                passive: false,
                durable: true,
                auto_delete: false,
                internal: false,
                arguments: FieldTable::new(),
            })
            .expect("declared");
        for kind in &KINDS {
            world.declare(kind);
        }
        world.wait_stored();
        drop(world);
        disk
    }

    pub fn declare(&self, kind: &Kind) -> Arc<Queue> {
        let queue = self
            .vhost
            .declare_queue(
                QueueDeclare {
                    name: kind.name,
                    passive: false,
                    durable: true,
                    exclusive: false,
                    auto_delete: false,
                    arguments: kind.arguments(),
                },
                ME,
            )
            .expect("declared");
        if kind.is_bound_to_fan {
            self.vhost
                .bind_queue(kind.name, FAN, "", FieldTable::new(), ME)
                .expect("bound");
        }
        queue
    }

    pub fn delete(&self, name: &str, effects: &mut Effects) {
        self.vhost
            .delete_queue(name, false, false, ME, effects)
            .expect("deleted");
    }

    /// Waits until the topology is stored, or cannot be.
    pub fn wait_stored(&self) {
        let (told, tells) = channel();
        let catalog = self.vhost.catalog();
        let revision = catalog.submitted();
        catalog.when_stored(
            revision,
            Box::new(move |_| {
                let _ = told.send(());
            }),
        );
        tells.recv().expect("it says so");
    }

    pub fn queue(&self, name: &str) -> Arc<Queue> {
        self.vhost.queue(name, ME).expect("it is there")
    }

    pub fn has_failed(&self) -> bool {
        self.journal.health().failure.is_some()
    }

    /// Loads what queues wait for, and tries so often that it is told what can't be read; says how many
    /// chunks queues have asked for.
    pub fn load_all(&self) -> u64 {
        let mut loads = 0;
        for _ in 0..12 {
            while self.pager.turn(Turn::Load, &mut || {}) {
                loads += 1;
                assert!(loads < 100_000, "loading comes to no end");
            }
            if !self.pager.turn(Turn::LoadAgain, &mut || {}) {
                break;
            }
        }
        loads
    }

    /// Wakes whoever is due, until nobody is; reads what has to be read.
    pub fn let_come(&self, clock: &Clock) {
        loop {
            let due = self.broker.engine.timers.take_due(clock.now_ms());
            for queue in due.iter().filter_map(std::sync::Weak::upgrade) {
                let mut effects = Effects::new();
                queue.on_timer(&mut effects);
                effects.complete();
            }
            if self.load_all() == 0 && due.is_empty() {
                return;
            }
        }
    }

    /// The journal may write, and the pager does one thing of all that it does.
    pub fn work_a_little(&self, dice: &mut SmallRng) {
        let mut turn_journal = || {
            self.journal.turn().expect("it works");
        };
        if dice.random_bool(0.6) {
            turn_journal();
        }
        let turns = [Turn::Write, Turn::LookAfter, Turn::Rewrite, Turn::Load];
        let turn = turns[dice.random_range(0..turns.len())];
        self.pager.turn(turn, &mut turn_journal);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.pager.close();
        self.journal.close();
        self.store.close();
    }
}
