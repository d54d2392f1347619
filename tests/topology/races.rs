//! What many connections do at once.

use std::sync::Barrier;
use std::thread;

use super::*;

/// Runs `work` in several threads at once, each with its connection.
fn at_once(work: impl Fn(ConnectionId) + Sync) {
    const THREADS: u64 = 4;
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(ConnectionId(number));
            });
        }
    });
}

#[test]
fn of_many_that_declare_it_one_makes_it() {
    for _ in 0..200 {
        let vhost = vhost();
        let made = parking_lot::Mutex::new(BTreeSet::new());
        at_once(|me| {
            let declared = vhost
                .declare_queue(queue("q"), me)
                .expect("all declare the same");
            made.lock().insert(declared.id());
            vhost
                .declare_exchange(exchange("x", "topic"))
                .expect("all declare the same");
            vhost
                .bind_queue("q", "x", "#", FieldTable::new(), me)
                .expect("bound");
        });
        assert_eq!(made.lock().len(), 1);
        assert_eq!(vhost.bindings().len(), 1);
        assert_eq!(routed(&vhost, "x", "k"), names(&["q"]));
    }
}

#[test]
fn of_many_that_want_it_for_themselves_one_gets_it() {
    for _ in 0..200 {
        let vhost = vhost();
        let got = parking_lot::Mutex::new(Vec::new());
        at_once(|me| {
            let exclusive = QueueDeclare {
                exclusive: true,
                ..queue("q")
            };
            match vhost.declare_queue(exclusive, me) {
                Ok(_) => got.lock().push(me),
                Err(refused) => assert_eq!(refused.code.name(), "RESOURCE_LOCKED"),
            }
        });
        assert_eq!(got.lock().len(), 1);
    }
}

#[test]
fn who_declares_has_it_whoever_deletes() {
    let vhost = vhost();
    let rounds = if cfg!(debug_assertions) { 300 } else { 3_000 };
    at_once(|me| {
        let mut effects = Effects::new();
        for round in 0..rounds {
            let declared = vhost
                .declare_queue(queue("q"), me)
                .expect("it is there or it is made");
            // It may be deleted by now, but what was bound to it must go with it.
            let bound = vhost.bind_queue("q", "amq.topic", "k.#", FieldTable::new(), me);
            if let Err(refused) = bound {
                assert_eq!(refused.code.name(), "NOT_FOUND");
            }
            let route = vhost
                .route("amq.topic", "k.1", &PLAIN, false)
                .expect("it is there");
            assert!(route.queues.len() <= 1, "never an old one beside a new one");
            if round % 2 == me.0 % 2 {
                vhost
                    .delete_queue("q", false, false, me, &mut effects)
                    .expect("deleted");
                assert!(declared.is_deleted());
            }
        }
        effects.complete();
    });
    delete(&vhost, "q").expect("deleted");
    assert_eq!(vhost.bindings().len(), 0);
    assert_eq!(vhost.totals().queues, 0);
    assert_eq!(routed(&vhost, "amq.topic", "k.1"), names(&[]));
}

#[test]
fn auto_delete_exchanges_come_and_go_whole() {
    let vhost = vhost();
    at_once(|me| {
        let name = format!("q{}", me.0);
        let auto_delete = || ExchangeDeclare {
            auto_delete: true,
            ..exchange("x", "fanout")
        };
        for _ in 0..300 {
            vhost.declare_queue(queue(&name), me).expect("declared");
            vhost.declare_exchange(auto_delete()).expect("declared");
            let bound = vhost.bind_queue(&name, "x", "", FieldTable::new(), me);
            if let Err(refused) = bound {
                assert_eq!(
                    refused.code.name(),
                    "NOT_FOUND",
                    "another's last binding went"
                );
            }
            delete(&vhost, &name).expect("deleted");
        }
    });
    vhost.delete_exchange("x", false).expect("deleted");
    assert_eq!(vhost.bindings().len(), 0);
}
