//! The load engine against the null broker, with few messages.

use std::thread;

use bench::client::{Client, QueueOptions};
use bench::load::{
    self, AckMode, ConsumerPlan, Load, LoadOutcome, MessageShape, Order, Pace, Probe,
    PublisherPlan, Until,
};
use bench::null::NullBroker;
use bench::url::BrokerUrl;
use bench::wire::Table;

fn null_broker() -> BrokerUrl {
    let broker = NullBroker::bind("127.0.0.1:0").unwrap();
    let port = broker.address().unwrap().port();
    thread::spawn(move || broker.serve());
    BrokerUrl::local(port)
}

fn one_to_one(publisher: PublisherPlan, consumer: ConsumerPlan, count: u64) -> LoadOutcome {
    let url = null_broker();
    let mut admin = Client::open(&url).unwrap();
    admin.declare_queue("q0", &QueueOptions::default()).unwrap();
    let load = Load {
        publishers: vec![PublisherPlan {
            limit: Some(count),
            ..publisher
        }],
        consumers: vec![consumer],
        copies: 1,
        order: Order::Complete,
        until: Until::Consumed(count),
        sync_queue: None,
    };
    load::run(&url, &load, Probe::default()).unwrap()
}

fn assert_complete(outcome: &LoadOutcome, count: u64) {
    assert_eq!(outcome.published_in_all, count);
    assert_eq!(outcome.consumed_in_all, count);
    assert_eq!(outcome.misplaced, 0);
    assert_eq!(outcome.refused, 0);
}

#[test]
fn small_and_large_bodies_arrive_complete_and_in_order() {
    for (body_bytes, count) in [(16, 20_000), (1000, 2_000), (70_000, 50), (1 << 20, 5)] {
        let publisher = PublisherPlan::to_queue("q0", body_bytes);
        let outcome = one_to_one(publisher, ConsumerPlan::automatic("q0"), count);
        assert_complete(&outcome, count);
    }
}

#[test]
fn every_message_is_confirmed() {
    for window in [1, 7, 1000] {
        let publisher = PublisherPlan::to_queue("q0", 16).persistent(window);
        let outcome = one_to_one(publisher, ConsumerPlan::automatic("q0"), 500);
        assert_complete(&outcome, 500);
        assert_eq!(outcome.confirmed, 500);
        assert_eq!(outcome.confirm_latency.histogram().unwrap().len(), 500);
    }
}

#[test]
fn acks_do_not_stop_the_flow() {
    for ack in [AckMode::Each, AckMode::Multiple(10)] {
        let publisher = PublisherPlan::to_queue("q0", 16);
        let outcome = one_to_one(publisher, ConsumerPlan::acking("q0", ack, 200), 5_000);
        assert_complete(&outcome, 5_000);
    }
}

#[test]
fn a_schedule_measures_every_message() {
    let pace = Pace::Rate {
        per_second: 100_000.0,
    };
    let publisher = PublisherPlan {
        pace,
        ..PublisherPlan::to_queue("q0", 16)
    };
    let outcome = one_to_one(publisher, ConsumerPlan::automatic("q0"), 1_000);
    assert_complete(&outcome, 1_000);
    assert_eq!(outcome.delivery_latency.histogram().unwrap().len(), 1_000);
}

#[test]
fn a_fanout_copies_and_a_topic_matches() {
    for (exchange, key, copies) in [
        ("all", "", 3),
        ("some", "a.b", 2),
        ("some", "b", 2),
        ("some", "c", 1),
    ] {
        // A broker each: one that still knows the consumers of the load before would serve them too.
        let url = null_broker();
        let mut admin = Client::open(&url).unwrap();
        admin.declare_exchange("all", "fanout").unwrap();
        admin.declare_exchange("some", "topic").unwrap();
        for queue in ["q0", "q1", "q2"] {
            admin
                .declare_queue(queue, &QueueOptions::default())
                .unwrap();
        }
        let nothing = Table::new();
        admin
            .bind_queues("all", ["q0", "q1", "q2"].map(|queue| (queue, "", &nothing)))
            .unwrap();
        let patterns = [
            ("q0", "a.*", &nothing),
            ("q1", "#", &nothing),
            ("q2", "b.#", &nothing),
        ];
        admin.bind_queues("some", patterns).unwrap();
        let shape = MessageShape {
            routing_key: key.to_owned(),
            ..Default::default()
        };
        let publisher = PublisherPlan {
            exchange: exchange.to_owned(),
            shapes: vec![shape],
            limit: Some(1_000),
            ..PublisherPlan::to_queue("", 16)
        };
        let load = Load {
            publishers: vec![publisher],
            consumers: ["q0", "q1", "q2"].map(ConsumerPlan::automatic).to_vec(),
            copies,
            order: Order::Complete,
            until: Until::Consumed(1_000 * copies),
            sync_queue: None,
        };
        let outcome = load::run(&url, &load, Probe::default()).unwrap();
        assert_eq!(outcome.consumed_in_all, 1_000 * copies, "{exchange} {key}");
        assert_eq!(outcome.misplaced, 0);
    }
}

#[test]
fn two_publishers_keep_their_own_order() {
    let url = null_broker();
    let mut admin = Client::open(&url).unwrap();
    admin.declare_queue("q0", &QueueOptions::default()).unwrap();
    let publisher = PublisherPlan {
        limit: Some(5_000),
        ..PublisherPlan::to_queue("q0", 16)
    };
    let load = Load {
        publishers: vec![publisher.clone(), publisher],
        consumers: vec![ConsumerPlan::automatic("q0")],
        copies: 1,
        order: Order::Complete,
        until: Until::Consumed(10_000),
        sync_queue: None,
    };
    let outcome = load::run(&url, &load, Probe::default()).unwrap();
    assert_complete(&outcome, 10_000);
}
