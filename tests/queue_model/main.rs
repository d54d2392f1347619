//! Queues against a model that says what they are as simply as possible: more than 100,000 random steps
//! (publish, consume, ack, nack, reject, get, purge, times that pass, limits, policies, priorities, delayed
//! retry, a single active consumer, no message twice) for classic queues and as many for quorum queues.
//! (Streams have theirs in `tests/recovery/streams.rs`.)
//!
//! ```text
//! kind.rs: which queue ─▶ steps.rs: what is done ─┬▶ world.rs: a broker, basket.rs: its consumers
//!                                                 └▶ model.rs
//! examples.rs: small ones
//! ```

mod basket;
mod examples;
mod kind;
mod model;
mod steps;
mod world;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRunner};

use crate::kind::Kind;
use crate::steps::{Step, any_step, run};

/// So many steps a type of queue is held against its model in all.
const STEPS: usize = 100_000;
/// So many a queue lives through, at most.
const STEPS_OF_ONE: usize = 400;

/// Runs queues of some kinds until there were enough steps.
fn hold_against_model(kinds: impl Strategy<Value = Kind>) {
    let steps_done = Cell::new(0);
    let histories = (kinds, prop::collection::vec(any_step(), 1..STEPS_OF_ONE));
    while steps_done.get() < STEPS {
        let mut runner = TestRunner::new(Config {
            cases: 50,
            failure_persistence: None,
            max_shrink_iters: 2_000,
            // Each step asks for a generator of its own several times; the usual one took a third of all time.
            rng_algorithm: RngAlgorithm::XorShift,
            ..Config::default()
        });
        let result = runner.run(&histories, |(kind, steps)| {
            steps_done.set(steps_done.get() + steps.len());
            run(kind, &steps)
        });
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }
    assert!(steps_done.get() >= STEPS);
}

#[test]
fn a_classic_queue_behaves_as_its_model() {
    hold_against_model(Kind::classic());
}

#[test]
fn a_quorum_queue_behaves_as_its_model() {
    hold_against_model(Kind::quorum());
}

/// Of several messages that wait and came while a consumer had room, the priority says which is first.
#[test]
fn a_priority_queue_serves_who_comes_after_another() {
    let kind = Kind {
        max_priority: 1,
        ..Kind::CLASSIC
    };
    let consume = |credit, no_ack| Step::Consume {
        credit,
        no_ack,
        priority: 0,
    };
    let publish = |count| Step::Publish {
        count,
        ttl_ms: None,
    };
    let steps = [
        consume(1, false),
        publish(1),
        Step::Abandon(0),
        consume(3, true),
        publish(3),
    ];
    run(kind, &steps).expect("as its model");
}
