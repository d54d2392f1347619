//! What the catalog hears: durable topology, in the order in which it changes.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use warren::broker::catalog::{Catalog, Change, NotStored, Revision, WhenStored};
use warren::broker::engine::Engine;

use super::*;

/// Writes down what it hears.
#[derive(Default)]
struct Listening {
    heard: Mutex<Vec<String>>,
    revision: AtomicU64,
    id: AtomicU64,
}

impl Listening {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock())
    }
}

impl Catalog for Listening {
    fn submit(&self, changes: Vec<Change>) -> Revision {
        let said = changes.into_iter().map(|change| match change {
            Change::PutVhost(vhost) => format!("+vhost {}", vhost.name()),
            Change::DeleteVhost(name) => format!("-vhost {name}"),
            Change::PutExchange(vhost, exchange) => {
                format!("+exchange {vhost} {} {}", exchange.name(), exchange.id().0)
            }
            Change::DeleteExchange(id) => format!("-exchange {}", id.0),
            Change::PutQueue(vhost, queue) => {
                format!("+queue {vhost} {} {}", queue.name(), queue.id().0)
            }
            Change::DeleteQueue(id) => format!("-queue {}", id.0),
            Change::PutBinding(vhost, binding) => format!(
                "+binding {vhost} {} {} {} {}",
                binding.source.name(),
                binding.destination.name(),
                binding.routing_key,
                binding.id.0
            ),
            Change::DeleteBinding(id) => format!("-binding {}", id.0),
            // Topology alone is what is looked at here.
            Change::PutParameter(..)
            | Change::DeleteParameter(_)
            | Change::PutUser(_)
            | Change::DeleteUser(_)
            | Change::PutPermission(..)
            | Change::DeletePermission(_)
            | Change::PutTopicPermission(..)
            | Change::DeleteTopicPermission(_) => "something else".to_string(),
        });
        self.heard.lock().push(said.collect::<Vec<_>>().join(", "));
        Revision(self.revision.fetch_add(1, Ordering::AcqRel) + 1)
    }

    fn submitted(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    fn stored(&self) -> Revision {
        self.submitted()
    }

    fn when_stored(&self, _revision: Revision, then: WhenStored) {
        then(Ok(()));
    }

    fn next_id(&self) -> Result<u64, NotStored> {
        Ok(self.id.fetch_add(1, Ordering::AcqRel) + 1)
    }

    fn failure(&self) -> Option<NotStored> {
        None
    }
}

#[test]
fn hears_of_what_is_durable_in_order() {
    let catalog = Arc::new(Listening::default());
    let heard_by: Arc<dyn Catalog> = Arc::clone(&catalog) as _;
    let broker = Broker::with_engine(Users::new(), Engine::new(u64::MAX), heard_by);
    let vhost = broker.vhost("/").expect("every broker has it");
    assert_eq!(catalog.take(), ["+vhost /"]);

    let durable_exchange = ExchangeDeclare {
        durable: true,
        auto_delete: true,
        ..exchange("x", "direct")
    };
    vhost.declare_exchange(durable_exchange).expect("declared");
    vhost
        .declare_exchange(exchange("transient", "direct"))
        .expect("declared");
    let durable_queue = QueueDeclare {
        durable: true,
        ..queue("q")
    };
    let q = vhost.declare_queue(durable_queue, ME).expect("declared");
    declare(&vhost, "transient");
    let x = vhost.exchange("x").expect("declared").id().0;
    assert_eq!(
        catalog.take(),
        [
            format!("+exchange / x {x}"),
            format!("+queue / q {}", q.id().0)
        ]
    );

    // A binding is durable if both its ends are.
    for (queue, exchange) in [
        ("transient", "transient"),
        ("q", "transient"),
        ("transient", "x"),
    ] {
        bind(&vhost, queue, exchange, "k");
    }
    assert_eq!(catalog.take(), [""; 0]);
    bind(&vhost, "q", "x", "k");
    bind(&vhost, "q", "x", "k");
    let bindings = vhost.bindings();
    let durable = bindings
        .iter()
        .find(|binding| binding.is_durable())
        .expect("one")
        .id
        .0;
    assert_eq!(catalog.take(), [format!("+binding / x q k {durable}")]);

    // What goes along goes in one transaction.
    vhost
        .unbind_queue("transient", "x", "k", FieldTable::new(), ME)
        .expect("unbound");
    assert_eq!(catalog.take(), [""; 0]);
    let revision = vhost.catalog().submitted();
    delete(&vhost, "q").expect("deleted");
    assert_eq!(
        catalog.take(),
        [format!(
            "-binding {durable}, -exchange {x}, -queue {}",
            q.id().0
        )]
    );
    assert!(vhost.catalog().submitted() > revision);

    let removed = broker.remove_vhost("/", &mut Effects::new());
    assert_eq!(removed, Ok(true));
    assert_eq!(catalog.take(), ["-vhost /"]);
}
