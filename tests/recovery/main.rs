//! The engine over its journal, its segments and its catalog, on a disk that stops, forgets, reorders
//! and breaks as told: what clients were promised is there when the broker starts again, whatever
//! happened at the same time.

mod content;
mod copies;
mod counted;
mod deduplication;
mod delayed;
mod disk;
mod history;
mod letters;
mod model;
mod resting;
mod retry;
mod sparse;
mod streams;
mod unreadable;
mod world;

use std::time::Duration;

use warren::broker::pager::PagingOptions;
use warren::store::journal::Fsync;

use crate::history::{Damage, History, Plan};
use crate::world::{Sizes, World};

/// How many histories each test runs; more with `WARREN_HISTORIES`, or one with `WARREN_SEED`.
fn seeds(usually: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("WARREN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WARREN_HISTORIES").unwrap_or(usually),
    }
}

fn run(plan: Plan, usually: u64) {
    let fresh = World::new_disk(&plan.sizes);
    for seed in seeds(usually) {
        History::new(seed, plan, &fresh).run();
    }
}

/// Everything stays in memory and in one file of the log.
fn large() -> Sizes {
    Sizes {
        file_bytes: 256 << 10,
        fsync: Fsync::Always,
        paging: PagingOptions {
            most_log_files: 1000,
            ..PagingOptions::default()
        },
    }
}

#[test]
fn queues_come_back_from_the_log() {
    let plan = Plan {
        sizes: large(),
        pages: false,
        breaks: false,
        reads_fail: false,
        damage: None,
        lives: 3,
        steps: 60,
        body_bytes: 6000,
    };
    run(plan, 600);
}

/// Files of the log are short and few, chunks are small, windows smaller still.
fn small() -> Sizes {
    Sizes {
        file_bytes: 16 << 10,
        fsync: Fsync::Always,
        paging: PagingOptions {
            window_bytes: 2 << 10,
            narrow_window_bytes: 2 << 10,
            past_window_bytes: 512,
            chunk_bytes: 512,
            ahead_chunks: 2,
            near_chunks: 3,
            idle_queue_bytes: 64,
            segment_bytes: 8 << 10,
            segment_idle: Duration::ZERO,
            reserve_bytes: 0,
            sparse_share: 1,
            sparse_bytes: 0,
            rewritten_per_second: u64::MAX,
            most_log_files: 2,
            log_idle: Duration::ZERO,
            few_bytes: 400,
            retry: Duration::ZERO,
            read_retry: Duration::ZERO,
        },
    }
}

#[test]
fn queues_come_back_from_the_log_and_from_segments() {
    let plan = Plan {
        sizes: small(),
        pages: true,
        breaks: false,
        reads_fail: false,
        damage: None,
        lives: 3,
        steps: 120,
        body_bytes: 6000,
    };
    run(plan, 200);
}

/// What was written and not synced may be gone: then all that came after it is, in the log and elsewhere.
#[test]
fn queues_come_back_as_they_were_when_the_log_was_synced() {
    let interval = Fsync::Interval(Duration::from_millis(100));
    for fsync in [interval, Fsync::Never] {
        for breaks in [false, true] {
            let sizes = Sizes { fsync, ..small() };
            let plan = Plan {
                sizes,
                pages: true,
                breaks,
                reads_fail: false,
                damage: None,
                lives: 3,
                steps: 120,
                body_bytes: 6000,
            };
            run(plan, 100);
        }
    }
}

/// Writes and syncs fail, are cut short, or find the disk full.
#[test]
fn what_was_safe_survives_a_failing_disk() {
    let plan = Plan {
        sizes: small(),
        pages: true,
        breaks: true,
        reads_fail: false,
        damage: None,
        lives: 4,
        steps: 100,
        body_bytes: 6000,
    };
    run(plan, 200);
}

/// Reads fail, now and then or until the disk is repaired: queues wait, and forget nothing.
#[test]
fn what_cannot_be_read_is_there_when_it_can() {
    let plan = Plan {
        sizes: small(),
        pages: true,
        breaks: false,
        reads_fail: true,
        damage: None,
        lives: 4,
        steps: 120,
        body_bytes: 6000,
    };
    run(plan, 200);
}

/// A bit of the log is turned over while nothing runs: records that it hit are missing, which is said.
#[test]
fn damage_in_the_log_costs_what_it_hit() {
    let plan = Plan {
        sizes: large(),
        pages: false,
        breaks: false,
        reads_fail: false,
        damage: Some(Damage::Log),
        lives: 1,
        steps: 150,
        body_bytes: 6000,
    };
    run(plan, 300);
}

/// A bit of a segment is turned over while nothing runs.
#[test]
fn damage_in_a_segment_costs_what_it_hit() {
    let plan = Plan {
        sizes: small(),
        pages: true,
        breaks: false,
        reads_fail: false,
        damage: Some(Damage::Segment),
        lives: 1,
        steps: 200,
        body_bytes: 6000,
    };
    run(plan, 300);
}
