//! The broker's topology over the store's catalog, on a disk that fails and forgets: what comes back
//! after any crash is the topology as it was at one of its revisions, at least the one that was
//! reported stored; and what can't be stored is never reported as if it were.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use warren::amqp::reply::{Exception, ReplyCode};
use warren::amqp::table::{FieldTable, FieldValue};
use warren::auth::Users;
use warren::broker::accounts::AccountError;
use warren::broker::binding::Destination;
use warren::broker::catalog::{Catalog, NotStored, Revision, StoredCatalog};
use warren::broker::parameters::ParameterError;
use warren::broker::vhost::{ExchangeDeclare, Metadata, QueueDeclare};
use warren::broker::{Broker, ConnectionId, Effects, Engine, Vhost, restore};
use warren::store::catalog::Catalog as Store;
use warren::store::disk::SimDisk;
use warren::store::disk::sim::{Faults, Keep};
use warren::store::folder::Folder;

const ME: ConnectionId = ConnectionId(1);

/// A broker on a simulated disk.
struct Run {
    broker: Arc<Broker>,
    catalog: Arc<dyn Catalog>,
    store: Arc<Store>,
    _folder: Folder,
}

impl Run {
    fn on(disk: &SimDisk) -> Self {
        let folder = Folder::open(Arc::new(disk.clone())).expect("the folder opens");
        let (store, contents) = Store::open(folder.disk()).expect("the catalog opens");
        let store = Arc::new(store);
        let catalog: Arc<dyn Catalog> = Arc::new(StoredCatalog::new(Arc::clone(&store)));
        let engine = Engine::new(u64::MAX);
        let broker = Broker::without_vhosts(Users::new(), engine, Arc::clone(&catalog));
        restore::topology(&broker, &contents).expect("everything makes sense");
        Self {
            broker,
            catalog,
            store,
            _folder: folder,
        }
    }

    fn with_vhost(disk: &SimDisk) -> Self {
        let run = Self::on(disk);
        run.broker.add_vhost("/");
        run.wait_for_all().expect("stored");
        run
    }

    fn vhost(&self) -> Arc<Vhost> {
        self.broker.vhost("/").expect("it was added")
    }

    /// Waits until everything is stored.
    fn wait_for_all(&self) -> Result<Revision, NotStored> {
        let revision = self.catalog.submitted();
        self.wait_for(revision).map(|()| revision)
    }

    fn wait_for(&self, revision: Revision) -> Result<(), NotStored> {
        let (tell, told) = channel();
        let then = Box::new(move |outcome| tell.send(outcome).expect("we listen"));
        self.catalog.when_stored(revision, then);
        told.recv().expect("it is told in the end")
    }
}

/// What can be changed of users, vhosts and parameters, each time something else; whether it was refused because
/// it can't be stored.
fn are_refused(broker: &Broker) -> [bool; 13] {
    let mut effects = Effects::new();
    let user = serde_json::json!({"tags": "", "password": "secret"});
    let user = user.as_object().expect("it is one");
    let is_not_stored = |error: &AccountError| matches!(error, AccountError::NotStored(_));
    let policy = serde_json::json!({
        "pattern": "", "apply-to": "all", "priority": 0, "definition": {"max-length": 5},
    });
    let limits = serde_json::json!({"max-channels": 5});
    let refused = [
        broker
            .put_user("new", user)
            .is_err_and(|error| is_not_stored(&error)),
        broker
            .set_user_limits("ann", &limits)
            .is_err_and(|error| is_not_stored(&error)),
        broker
            .clear_user_limit("ann", "max-channels")
            .is_err_and(|error| is_not_stored(&error)),
        broker
            .set_permissions("/", "ann", [".*", ".*", ""])
            .is_err_and(|error| is_not_stored(&error)),
        broker
            .set_topic_permissions("/", "ann", "amq.topic", ["a", "b"])
            .is_err_and(|error| is_not_stored(&error)),
        broker
            .clear_topic_permissions("/", "ann", None)
            .is_err_and(|error| is_not_stored(&error)),
        broker
            .clear_permissions("/", "ann")
            .is_err_and(|error| is_not_stored(&error)),
        broker
            .set_parameter("/", "policy", "short", policy, &mut effects)
            .is_err_and(|error| matches!(error, ParameterError::NotStored(_))),
        broker
            .clear_parameter("/", "policy", "old", &mut effects)
            .is_err(),
        broker.set_global_parameter("name", 5.into()).is_err(),
        broker.put_vhost("new", Metadata::default()).is_err(),
        broker.remove_vhost("old", &mut effects).is_err(),
        broker
            .delete_user("ann")
            .is_err_and(|error| is_not_stored(&error)),
    ];
    effects.complete();
    refused
}

/// What [`are_refused`] needs.
fn prepare(broker: &Broker) {
    let mut effects = Effects::new();
    let user = serde_json::json!({"tags": "", "password": "secret"});
    let put = broker.put_user("ann", user.as_object().expect("it is one"));
    put.expect("stored");
    let granted = broker.set_permissions("/", "ann", ["", "", ""]);
    granted.expect("stored");
    let policy = serde_json::json!({
        "pattern": "", "apply-to": "all", "priority": 0, "definition": {"max-length": 5},
    });
    let set = broker.set_parameter("/", "policy", "old", policy, &mut effects);
    set.expect("stored");
    broker
        .put_vhost("old", Metadata::default())
        .expect("stored");
    effects.complete();
}

/// Users, vhosts and parameters, as clients of the management API see them.
fn settings(broker: &Broker) -> serde_json::Value {
    let mut all = warren::definitions::export(broker);
    all["queues"].take();
    all
}

fn durable_queue(name: &str) -> QueueDeclare<'_> {
    QueueDeclare {
        name,
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::new(),
    }
}

fn durable_exchange(name: &str, auto_delete: bool) -> ExchangeDeclare<'_> {
    ExchangeDeclare {
        name,
        kind: "direct",
        passive: false,
        durable: true,
        auto_delete,
        internal: false,
        arguments: FieldTable::new(),
    }
}

/// Everything durable of a broker, numbers included.
fn durable(broker: &Broker) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for vhost in &broker.vhosts {
        let name = vhost.name();
        all.insert(format!("vhost {name}"));
        for exchange in vhost.exchanges() {
            let is_system = exchange.name().is_empty() || exchange.name().starts_with("amq.");
            if exchange.is_durable() && !is_system {
                let (id, auto_delete) = (exchange.id().0, exchange.is_auto_delete());
                all.insert(format!(
                    "exchange {name} {} {id} {auto_delete}",
                    exchange.name()
                ));
            }
        }
        for queue in vhost.queues().iter().filter(|queue| queue.is_durable()) {
            let arguments = queue.arguments();
            all.insert(format!(
                "queue {name} {} {} {arguments:?}",
                queue.name(),
                queue.id().0
            ));
        }
        for binding in vhost
            .bindings()
            .iter()
            .filter(|binding| binding.is_durable())
        {
            let kind = match binding.destination {
                Destination::Queue(_) => "queue",
                Destination::Exchange(_) => "exchange",
            };
            all.insert(format!(
                "binding {name} {} {kind} {} {} {:?} {}",
                binding.source.name(),
                binding.destination.name(),
                binding.routing_key,
                binding.arguments,
                binding.id.0
            ));
        }
    }
    all
}

/// Does something to the topology that may or may not be possible.
fn change_something(broker: &Broker, dice: &mut SmallRng) {
    let vhost_name = ["/", "other"][dice.random_range(0..2)];
    let Some(vhost) = broker.vhost(vhost_name) else {
        broker.add_vhost(vhost_name);
        return;
    };
    let queue = ["a", "b", "c"][dice.random_range(0..3)];
    let exchange = ["x", "y", "z"][dice.random_range(0..3)];
    let other = ["x", "y", "amq.topic"][dice.random_range(0..3)];
    let key = ["k", "l"][dice.random_range(0..2)];
    let mut effects = Effects::new();
    // Whether it is possible does not matter.
    let _ = match dice.random_range(0..20) {
        0..4 => {
            let declare = QueueDeclare {
                durable: dice.random_range(0..4) > 0,
                arguments: [("x-max-length", FieldValue::I32(dice.random_range(1..3)))]
                    .into_iter()
                    .collect(),
                ..durable_queue(queue)
            };
            vhost.declare_queue(declare, ME).map(drop)
        }
        4..8 => {
            let declare = ExchangeDeclare {
                durable: dice.random_range(0..4) > 0,
                ..durable_exchange(exchange, dice.random())
            };
            vhost.declare_exchange(declare).map(drop)
        }
        8..12 => vhost
            .bind_queue(queue, exchange, key, FieldTable::new(), ME)
            .map(drop),
        12..14 => vhost
            .bind_exchange(exchange, other, key, FieldTable::new())
            .map(drop),
        14..15 => vhost
            .unbind_queue(queue, exchange, key, FieldTable::new(), ME)
            .map(drop),
        15..16 => vhost
            .unbind_exchange(exchange, other, key, FieldTable::new())
            .map(drop),
        16..18 => vhost
            .delete_queue(queue, false, false, ME, &mut effects)
            .map(drop),
        18..19 => vhost.delete_exchange(exchange, false).map(drop),
        _ if dice.random_range(0..5) == 0 => {
            let _ = broker.remove_vhost(vhost_name, &mut effects);
            Ok(())
        }
        _ => Ok(()),
    };
    effects.complete();
}

#[test]
fn after_any_crash_the_topology_is_that_of_one_of_its_revisions() {
    for seed in 0..150 {
        let mut dice = SmallRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let mut run = Run::on(&disk);
        for life in 0..4 {
            let mut states = vec![durable(&run.broker)];
            disk.set_faults(Faults {
                crash_at: Some(disk.operations() + dice.random_range(1..120)),
                ..Faults::default()
            });
            for _ in 0..dice.random_range(1..60) {
                let before = run.catalog.submitted();
                change_something(&run.broker, &mut dice);
                let after = run.catalog.submitted();
                assert!(
                    after.0 <= before.0 + 1,
                    "seed {seed}: one change, one transaction"
                );
                if after > before {
                    states.push(durable(&run.broker));
                } else {
                    assert_eq!(states.last(), Some(&durable(&run.broker)), "seed {seed}");
                }
                if dice.random_range(0..8) == 0 {
                    let _ = run.wait_for_all();
                }
            }
            let stored = run.catalog.stored();
            disk.set_faults(Faults {
                crash_at: Some(0),
                ..Faults::default()
            });
            run.store.close();
            // It may have come a little further meanwhile.
            assert!(run.catalog.stored() >= stored);
            let stored = run.catalog.stored().0 as usize;
            drop(run);
            disk.crash(match dice.random_range(0..4) {
                0 => Keep::Nothing,
                1 => Keep::Everything,
                2 => Keep::Sectors(512),
                _ => Keep::Sectors(4096),
            });
            run = Run::on(&disk);
            let restored = durable(&run.broker);
            assert!(
                states[stored..].contains(&restored),
                "seed {seed}, life {life}: {stored} were stored of {}; restored is {restored:#?}",
                states.len() - 1
            );
        }
    }
}

#[test]
fn what_can_not_be_stored_is_never_reported_stored() {
    let disk = SimDisk::new(1);
    let run = Run::with_vhost(&disk);
    let catalog = &run.catalog;
    let vhost = run.vhost();
    vhost
        .declare_queue(durable_queue("before"), ME)
        .expect("declared");
    prepare(&run.broker);
    let set = settings(&run.broker);
    let before = run.wait_for_all().expect("stored");
    // The next operation fails and all others would succeed: that proves nothing any more.
    let from = disk.operations();
    disk.set_faults(Faults {
        fail_at: (from..from + 3).collect(),
        ..Faults::default()
    });
    vhost
        .declare_queue(durable_queue("failed"), ME)
        .expect("declared");
    let failed = catalog.submitted();
    let error = run.wait_for(failed).expect_err("the disk fails");
    assert!(
        error.to_string().contains("the catalog has failed"),
        "{error}"
    );
    disk.set_faults(Faults::default());
    let after = vhost.declare_queue(durable_queue("after"), ME);
    let after = after.err().map(|error| error.code);
    assert_eq!(after, Some(ReplyCode::InternalError), "refused at once");
    assert_eq!(
        vhost.queue("after", ME).err().map(|error| error.code),
        Some(ReplyCode::NotFound)
    );
    assert_eq!(run.wait_for_all(), Err(error.clone()));
    assert_eq!(run.wait_for(before), Ok(()), "it was and is");
    assert_eq!(catalog.stored(), before);
    assert_eq!(catalog.failure(), Some(error));

    assert_eq!(are_refused(&run.broker), [true; 13]);
    assert_eq!(settings(&run.broker), set);

    // Numbers that were reserved before can still be given out, but no others.
    let mut last = 0;
    let refused: Exception = loop {
        match catalog.next_id() {
            Ok(id) => {
                assert!(id > last);
                last = id;
            }
            Err(error) => break error.into(),
        }
    };
    assert_eq!(refused.code, ReplyCode::InternalError);
    let declared = vhost.declare_queue(durable_queue("late"), ME);
    assert_eq!(declared.err(), Some(refused));

    run.store.close();
    drop((vhost, run));
    disk.crash(Keep::Nothing);
    let run = Run::on(&disk);
    let names: Vec<_> = run.vhost().queues();
    let names: BTreeSet<_> = names.iter().map(|queue| queue.name().to_string()).collect();
    assert!(
        names.contains("before") && !names.contains("after"),
        "{names:?}"
    );
}

#[test]
fn who_waits_when_the_catalog_is_closed_is_told() {
    let disk = SimDisk::new(1);
    let run = Run::with_vhost(&disk);
    let vhost = run.vhost();
    vhost
        .declare_queue(durable_queue("in time"), ME)
        .expect("declared");
    run.store.close();
    assert!(
        run.wait_for_all().is_ok(),
        "closing stores what was submitted"
    );
    vhost
        .declare_queue(durable_queue("too late"), ME)
        .expect("declared");
    let error = run.wait_for_all().expect_err("it is closed");
    assert_eq!(run.catalog.failure(), Some(error));
}

#[test]
fn from_many_threads_each_waits_for_its_own_and_all_of_it_is_there() {
    let disk = SimDisk::new(1);
    let run = Run::with_vhost(&disk);
    run.broker.add_vhost("other");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let run = &run;
            scope.spawn(move || {
                let vhost = ["/", "other"][thread % 2];
                let vhost = run.broker.vhost(vhost).expect("it was added");
                for n in 0..50 {
                    let name = format!("{thread}-{n}");
                    vhost
                        .declare_queue(durable_queue(&name), ME)
                        .expect("declared");
                    vhost
                        .bind_queue(&name, "amq.direct", "k", FieldTable::new(), ME)
                        .expect("bound");
                    let submitted = run.catalog.submitted();
                    run.wait_for(submitted).expect("stored");
                    assert!(run.catalog.stored() >= submitted);
                }
            });
        }
    });
    let before = durable(&run.broker);
    assert_eq!(before.len(), 2 + 4 * 50 * 2);
    run.store.close();
    drop(run);
    disk.crash(Keep::Nothing);
    assert_eq!(durable(&Run::on(&disk).broker), before);
}

/// A disk that is full ends nothing: what would need room is refused, what was under way waits for it, and
/// where there is room again all goes on.
#[test]
fn what_has_no_room_is_refused_and_nothing_fails() {
    let disk = SimDisk::new(1);
    let run = Run::with_vhost(&disk);
    let vhost = run.vhost();
    let used: u64 = disk.files().iter().map(|(_, bytes)| bytes).sum();
    disk.set_faults(Faults {
        capacity_bytes: Some(used + (10 << 20)),
        ..Faults::default()
    });
    let declare = |number: usize, waits: bool| {
        let note = FieldValue::LongStr(vec![b'x'; 100 << 10].into());
        let name = number.to_string();
        let declare = QueueDeclare {
            arguments: [("x-note", note)].into_iter().collect(),
            ..durable_queue(&name)
        };
        let declared = vhost.declare_queue(declare, ME);
        if declared.is_ok() && waits {
            run.wait_for_all().expect("stored");
        }
        declared.map(drop)
    };
    // At first one after the other, then more at once than there is room for.
    let mut declared = 0;
    let refused = loop {
        match declare(declared, declared < 20) {
            Ok(()) => declared += 1,
            Err(refused) => break refused,
        }
        assert!(declared < 10_000, "it never was full");
    };
    assert_eq!(refused.code, ReplyCode::InternalError);
    assert_eq!(run.catalog.failure(), None);
    assert!(run.catalog.is_stalled());
    assert!(vhost.queue(&format!("{declared}"), ME).is_err());
    no_user_is_made(&run.broker);

    disk.set_faults(Faults::default());
    run.wait_for_all().expect("stored");
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(refused) = declare(declared, true) {
        assert_eq!(refused.code, ReplyCode::InternalError);
        assert!(Instant::now() < deadline, "it is still refused");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!run.catalog.is_stalled());
    let before = durable(&run.broker);
    run.store.close();
    drop((vhost, run));
    disk.crash(Keep::Nothing);
    assert_eq!(durable(&Run::on(&disk).broker), before);
}

fn no_user_is_made(broker: &Broker) {
    let user = serde_json::json!({"tags": "", "password": "secret"});
    let put = broker.put_user("ann", user.as_object().expect("it is one"));
    assert!(matches!(put, Err(AccountError::NotStored(_))));
    assert!(broker.users.get("ann").is_none());
}
