//! Pauses: replies that wait until what they say is stored, and what else a connection waits for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use warren::amqp::encode;
use warren::amqp::method::{Method, basic, channel, exchange, queue};
use warren::amqp::table::FieldTable;
use warren::auth::Users;
use warren::broker::catalog::{Catalog, Change, NotStored, Revision, WhenStored};
use warren::broker::{Alarms, Broker, Engine};
use warren::connection::{Limits, State};

use super::conversation::*;

/// A catalog that stores when it is told to.
#[derive(Default)]
struct Manual(Mutex<Told>);

#[derive(Default)]
struct Told {
    submitted: u64,
    stored: u64,
    next_id: u64,
    failure: Option<NotStored>,
    waiting: VecDeque<(u64, WhenStored)>,
}

impl Manual {
    /// Stores everything but the last `count` transactions.
    fn store_all_but(&self, count: u64) {
        let mut told = self.0.lock();
        told.stored = told.submitted - count;
        let stored = told.stored;
        let waiting = std::mem::take(&mut told.waiting);
        let (over, lasting): (VecDeque<_>, _) = waiting
            .into_iter()
            .partition(|(revision, _)| *revision <= stored);
        told.waiting = lasting;
        drop(told);
        over.into_iter().for_each(|(_, then)| then(Ok(())));
    }

    fn store(&self) {
        self.store_all_but(0);
    }

    fn fail(&self) {
        let failure = NotStored("the disk is gone".into());
        let mut told = self.0.lock();
        told.failure = Some(failure.clone());
        let waiting = std::mem::take(&mut told.waiting);
        drop(told);
        waiting
            .into_iter()
            .for_each(|(_, then)| then(Err(failure.clone())));
    }
}

impl Catalog for Manual {
    fn submit(&self, _changes: Vec<Change>) -> Revision {
        let mut told = self.0.lock();
        told.submitted += 1;
        Revision(told.submitted)
    }

    fn submitted(&self) -> Revision {
        Revision(self.0.lock().submitted)
    }

    fn stored(&self) -> Revision {
        Revision(self.0.lock().stored)
    }

    fn when_stored(&self, revision: Revision, then: WhenStored) {
        let mut told = self.0.lock();
        let outcome = match &told.failure {
            Some(failure) => Err(failure.clone()),
            None if revision.0 <= told.stored => Ok(()),
            None => return told.waiting.push_back((revision.0, then)),
        };
        drop(told);
        then(outcome);
    }

    fn next_id(&self) -> Result<u64, NotStored> {
        let mut told = self.0.lock();
        told.next_id += 1;
        Ok(told.next_id)
    }

    fn failure(&self) -> Option<NotStored> {
        self.0.lock().failure.clone()
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn by(client: &Conversation) -> Arc<Self> {
        let woken = Arc::new(Self::default());
        client.outgoing.register(&Waker::from(Arc::clone(&woken)));
        woken
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn manual() -> (Arc<Manual>, Arc<Broker>) {
    let catalog = Arc::new(Manual::default());
    let told: Arc<dyn Catalog> = Arc::clone(&catalog) as _;
    let broker = Broker::with_engine(Users::with_guest(), Engine::new(u64::MAX), told);
    catalog.store();
    (catalog, broker)
}

/// A client with channel 1 open.
fn client(broker: &Arc<Broker>) -> Conversation {
    let mut client = Conversation::with(broker, Limits::default(), "127.0.0.1:1");
    client.open();
    client.send(1, open_channel());
    client.hear();
    client
}

fn durable(name: &str) -> queue::Declare {
    queue::Declare {
        durable: true,
        ..declare(name, false, false)
    }
}

fn declared(name: &str) -> Said {
    let ok = queue::DeclareOk {
        queue: name.into(),
        message_count: 0,
        consumer_count: 0,
    };
    Said::Method(1, ok.into())
}

fn exchange(name: &str, durable: bool) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        kind: "direct".into(),
        durable,
        ..exchange::Declare::default()
    }
}

fn bind(queue: &str, exchange: &str) -> queue::Bind {
    queue::Bind {
        queue: queue.into(),
        exchange: exchange.into(),
        ..queue::Bind::default()
    }
}

fn channel_close() -> channel::Close {
    channel::Close {
        reply_code: 200,
        ..channel::Close::default()
    }
}

#[test]
fn a_reply_leaves_when_what_it_says_is_stored_and_the_rest_of_the_input_waits() {
    let (catalog, broker) = manual();
    let mut client = client(&broker);
    let mut input = Vec::new();
    encode::method_frame(&mut input, 1, &durable("first").into());
    let first_bytes = input.len();
    encode::method_frame(&mut input, 1, &durable("second").into());
    encode::method_frame(&mut input, 1, &declare("third", false, false).into());
    client.send_bytes(&input);
    assert_eq!(client.state, State::Held);
    assert_eq!(client.unused.len(), input.len() - first_bytes);
    assert_eq!(client.hear(), []);
    let woken = Woken::by(&client);

    // Held is held, whatever is tried.
    client.send_bytes(&[]);
    assert_eq!(client.state, State::Held);
    assert_eq!(client.hear(), []);
    assert_eq!(woken.count(), 0);

    catalog.store();
    assert_eq!(woken.count(), 1);
    assert_eq!(client.connection.state(), State::Reading);
    client.send_bytes(&[]);
    assert_eq!(client.hear(), [declared("first")]);
    assert_eq!(client.state, State::Held);

    catalog.store();
    client.send_bytes(&[]);
    assert_eq!(client.hear(), [declared("second"), declared("third")]);
    assert_eq!(client.state, State::Reading);
}

#[test]
fn each_change_of_durable_topology_waits() {
    let (catalog, broker) = manual();
    let mut client = client(&broker);
    let unbind = queue::Unbind {
        queue: "q".into(),
        exchange: "x".into(),
        ..queue::Unbind::default()
    };
    let bind_exchange = exchange::Bind {
        destination: "x".into(),
        source: "amq.topic".into(),
        ..exchange::Bind::default()
    };
    let unbind_exchange = exchange::Unbind {
        destination: "x".into(),
        source: "amq.topic".into(),
        ..exchange::Unbind::default()
    };
    let delete = queue::Delete {
        queue: "q".into(),
        ..queue::Delete::default()
    };
    let delete_exchange = exchange::Delete {
        exchange: "x".into(),
        ..exchange::Delete::default()
    };
    let changes: [(Method, Method); 8] = [
        (exchange("x", true).into(), exchange::DeclareOk.into()),
        (
            durable("q").into(),
            queue::DeclareOk {
                queue: "q".into(),
                ..queue::DeclareOk::default()
            }
            .into(),
        ),
        (bind("q", "x").into(), queue::BindOk.into()),
        (bind_exchange.into(), exchange::BindOk.into()),
        (unbind.into(), queue::UnbindOk.into()),
        (unbind_exchange.into(), exchange::UnbindOk.into()),
        (delete.into(), queue::DeleteOk { message_count: 0 }.into()),
        (delete_exchange.into(), exchange::DeleteOk.into()),
    ];
    for (change, answer) in changes {
        let name = change.name();
        client.send(1, change);
        assert_eq!(client.state, State::Held, "{name}");
        assert_eq!(client.hear(), [], "{name}");
        catalog.store();
        client.send_bytes(&[]);
        assert_eq!(client.hear(), [Said::Method(1, answer)], "{name}");
        assert_eq!(client.state, State::Reading, "{name}");
    }
}

#[test]
fn what_another_connection_has_just_declared_waits_too_but_nothing_transient_does() {
    let (catalog, broker) = manual();
    let (mut one, mut other) = (client(&broker), client(&broker));
    one.send(1, durable("q"));
    assert_eq!(one.hear(), []);
    // Not held with the other connection:
    other.send(1, declare("transient", false, false));
    assert_eq!(other.hear().len(), 1);
    other.send(1, exchange("transient", false));
    assert_eq!(other.hear().len(), 1);
    other.send(1, bind("q", "transient"));
    assert_eq!(other.hear().len(), 1);
    other.send(
        1,
        queue::Purge {
            queue: "q".into(),
            ..queue::Purge::default()
        },
    );
    assert_eq!(other.hear().len(), 1);
    // Held with it:
    let again = |passive| queue::Declare {
        passive,
        ..durable("q")
    };
    let late = [false, true].map(|passive| {
        let mut late = client(&broker);
        late.send(1, again(passive));
        assert_eq!((late.hear(), late.state), (vec![], State::Held));
        late
    });
    // What is submitted after it need not be stored.
    other.send(
        1,
        queue::Declare {
            no_wait: true,
            ..durable("later")
        },
    );
    catalog.store_all_but(1);
    for mut late in late {
        late.send_bytes(&[]);
        assert_eq!(late.hear(), [declared("q")]);
        late.send(1, again(true));
        assert_eq!(late.hear(), [declared("q")]);
    }
    one.send_bytes(&[]);
    assert_eq!(one.hear(), [declared("q")]);
}

#[test]
fn who_does_not_wait_for_answers_does_not_wait() {
    let (catalog, broker) = manual();
    let mut client = client(&broker);
    for name in ["a", "b", "c"] {
        client.send(
            1,
            queue::Declare {
                no_wait: true,
                ..durable(name)
            },
        );
        client.send(
            1,
            queue::Bind {
                no_wait: true,
                arguments: FieldTable::new(),
                ..bind(name, "amq.fanout")
            },
        );
        assert_eq!((client.hear(), client.state), (vec![], State::Reading));
    }
    let vhost = broker.vhost("/").expect("there is one");
    assert_eq!(vhost.bindings().len(), 3);
    // The first that waits waits for all of them.
    client.send(1, declare("c", false, true));
    assert_eq!(client.hear(), []);
    catalog.store_all_but(1);
    client.send_bytes(&[]);
    assert_eq!((client.hear(), client.state), (vec![], State::Held));
    catalog.store();
    client.send_bytes(&[]);
    assert_eq!(client.hear(), [declared("c")]);
}

#[test]
fn a_catalog_that_fails_closes_the_connections_that_wait_for_it() {
    let (catalog, broker) = manual();
    let mut waiting = client(&broker);
    waiting.send(1, durable("q"));
    let woken = Woken::by(&waiting);
    catalog.fail();
    assert_eq!(woken.count(), 1);
    waiting.send_bytes(&[]);
    let text = "INTERNAL_ERROR - durable topology can't be stored";
    waiting.hear_close(541, text, (0, 0));

    // So does whatever comes after it; what is not durable is served.
    let mut late = client(&broker);
    late.send(1, declare("transient", false, false));
    assert_eq!(late.hear(), [declared("transient")]);
    late.send(1, durable("late"));
    late.send_bytes(&[]);
    late.hear_close(541, text, (0, 0));
    catalog.store();
    let mut redeclaring = client(&broker);
    catalog.0.lock().stored = 0;
    redeclaring.send(1, durable("late"));
    redeclaring.send_bytes(&[]);
    redeclaring.hear_close(541, text, (0, 0));
}

#[test]
fn heartbeats_are_sent_to_a_paused_client_and_none_is_asked_of_it() {
    let (catalog, broker) = manual();
    let mut client = Conversation::with(&broker, Limits::default(), "127.0.0.1:1");
    client.tune(tune_ok(10));
    client.send(0, open("/"));
    client.send(1, open_channel());
    client.send(1, durable("q"));
    client.hear();
    for _ in 0..10 {
        client.pass(Duration::from_secs(5));
        assert_eq!(client.state, State::Held);
        assert_eq!(client.hear(), [Said::Heartbeat]);
    }
    catalog.store();
    client.send_bytes(&[]);
    assert_eq!(client.hear(), [declared("q")]);
    // And then again.
    let mut halves = 0;
    while client.state == State::Reading {
        client.pass(Duration::from_secs(5));
        halves += 1;
    }
    assert!((4..=6).contains(&halves), "gone after {halves} halves");
}

#[test]
fn a_paused_connection_can_be_shut_down_or_go() {
    let (catalog, broker) = manual();
    let mut client = client(&broker);
    client.send(1, durable("q"));
    let state = client.connection.on_shutdown("shutdown", client.now);
    assert_eq!(state, State::Reading);
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    client.hear_close(320, text, (0, 0));
    // The reply does not come behind that.
    catalog.store();
    client.send(0, warren::amqp::method::connection::CloseOk);
    assert_eq!((client.hear(), client.state), (vec![], State::Over));

    let mut client = self::client(&broker);
    client.send(1, durable("other"));
    client.connection.on_gone("reset", client.now);
    assert_eq!(client.connection.state(), State::Over);
    drop(client);
    catalog.store();
    let metrics = broker.metrics();
    assert_eq!(
        metrics.connections_opened.get(),
        metrics.connections_closed.get()
    );
}

#[test]
fn closing_waits_its_turn_and_an_alarm_does_not_hold_the_reply() {
    let (catalog, broker) = manual();
    let mut client = client(&broker);
    client.send(1, durable("q"));
    client.send(1, channel_close());
    client.send(0, close());
    client.connection.on_alarms(Alarms {
        memory: true,
        disk: false,
    });
    assert_eq!((client.hear(), client.state), (vec![], State::Held));
    catalog.store();
    client.send_bytes(&[]);
    let said = client.hear();
    assert_eq!(
        said,
        [
            declared("q"),
            Said::Method(1, channel::CloseOk.into()),
            Said::Method(0, warren::amqp::method::connection::CloseOk.into()),
        ]
    );
}

/// Publishes until the publisher is to wait; says how many messages that were.
fn publish_until_held(publisher: &mut Conversation) -> usize {
    let batch = published("q", &[0; 1024]).repeat(64);
    for count in 1.. {
        publisher.send_bytes(&batch);
        if publisher.state == State::Held {
            return 64 * count;
        }
        assert!(count < 1_000, "nobody slows the publisher down");
    }
    0
}

#[test]
fn a_publisher_waits_for_consumers_that_are_behind_but_not_for_long() {
    let broker = broker();
    let (mut consumer, mut publisher) = (client(&broker), client(&broker));
    consumer.send(1, declare("q", false, false));
    let qos = basic::Qos {
        prefetch_count: 1_000,
        ..basic::Qos::default()
    };
    consumer.send(1, qos);
    let consume = basic::Consume {
        queue: "q".into(),
        ..basic::Consume::default()
    };
    consumer.send(1, consume);
    consumer.hear();

    // A short queue slows nobody down.
    assert!(publish_until_held(&mut publisher) > 1_000);
    assert!(publisher.connection.deadline().is_some());
    publisher.pass(Duration::from_millis(1));
    assert_eq!(publisher.state, State::Held);
    // The consumer takes nothing: the publisher goes on in any case.
    publisher.pass(Duration::from_millis(1));
    assert_eq!(publisher.state, State::Reading);

    // The consumer takes as much as was published: the publisher goes on at once.
    publish_until_held(&mut publisher);
    let woken = Woken::by(&publisher);
    while woken.count() == 0 {
        let deliveries = consumer.hear().len();
        assert!(deliveries > 0, "everything was taken");
        let ack = basic::Ack {
            delivery_tag: 0,
            multiple: true,
        };
        consumer.send(1, ack);
    }
    assert_eq!(publisher.connection.state(), State::Reading);
}

#[test]
fn a_publisher_does_not_wait_where_nobody_consumes() {
    let broker = broker();
    let mut publisher = client(&broker);
    publisher.send(1, declare("q", false, false));
    for _ in 0..100 {
        publisher.send_bytes(&published("q", &[0; 1024]).repeat(64));
        assert_eq!(publisher.state, State::Reading);
    }
}

#[test]
fn a_publisher_goes_on_when_the_queue_it_waits_for_is_deleted() {
    let broker = broker();
    let (mut consumer, mut publisher) = (client(&broker), client(&broker));
    consumer.send(1, declare("q", false, false));
    let consume = basic::Consume {
        queue: "q".into(),
        ..basic::Consume::default()
    };
    let qos = basic::Qos {
        prefetch_count: 1,
        ..basic::Qos::default()
    };
    consumer.send(1, qos);
    consumer.send(1, consume);
    publish_until_held(&mut publisher);
    let delete = queue::Delete {
        queue: "q".into(),
        ..queue::Delete::default()
    };
    consumer.send(1, delete);
    assert_eq!(publisher.connection.state(), State::Reading);
    publisher.send_bytes(&published("q", b"nowhere"));
    assert_eq!(publisher.state, State::Reading);
}
