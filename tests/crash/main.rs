//! Kills the broker at random moments while clients work, starts it on the same folder, and checks
//! that it kept what it had promised.
//!
//! ```text
//! publishers, consumers, declaring clients ─▶ ledger ─▶ checker ─▶ violations
//!        ▲ │                                    ▲
//!        │ ▼                                    │
//!       broker ── killed, started again ─▶ inspectors
//! ```
//!
//! The normal tests kill it a few times. For a long run:
//!
//! ```text
//! WARREN_CRASH_KILLS=200 cargo test --release -p warren --test crash -- --nocapture survives
//! ```
//!
//! `WARREN_CRASH_SEED` makes the same choices again (not the same moments: clients and broker run
//! freely). `WARREN_CRASH_TOLERATE=InBoth,Order/short` counts such violations (the latter only where
//! they speak of "short") and goes on;
//! `WARREN_CRASH_COMMAND` runs another broker. If something is wrong, the broker's folder and log
//! stay where the test says.

#[path = "../support/mod.rs"]
mod support;

mod checker;
mod churn;
mod consumer;
mod deaths;
mod inspect;
mod ledger;
mod letter;
mod letter_checks;
mod node;
mod plan;
mod publisher;
mod round;
mod streams;
mod tolerance;
mod topology;
mod topology_checks;
mod wire;

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use checker::Violation;
use round::World;
use tolerance::Tolerance;

/// So often it is killed in the normal tests.
const KILLS: u64 = 6;
/// So many violations of a kind are printed in full.
const SHOWN: usize = 4;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock past 1970").as_nanos() as u64 % 1_000_000_007
}

#[test]
fn survives_kills() {
    let kills = number("WARREN_CRASH_KILLS").unwrap_or(KILLS);
    let seed = number("WARREN_CRASH_SEED").unwrap_or_else(random_seed);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut world = World::new(folder.path(), seed);
    let mut tolerance = Tolerance::new();
    println!("WARREN_CRASH_SEED={seed}");
    let (mut running, mut violations) = world.begin();
    let (mut kill, begun) = (0, Instant::now());
    while violations.is_empty() && kill < kills {
        kill += 1;
        violations = world.load(running);
        let (next, found) = world.restart();
        running = next;
        violations.extend(found);
        violations = tolerance.sift(violations, kill);
        if kill % 10 == 0 {
            let totals = world.totals();
            println!("{kill} kills in {:?}: {totals:?}", begun.elapsed());
        }
    }
    running.kill();
    println!(
        "{kill} kills in {:?}: {:?}",
        begun.elapsed(),
        world.totals()
    );
    if !tolerance.counts.is_empty() {
        println!("tolerated: {:?}", tolerance.counts);
    }
    if violations.is_empty() {
        return;
    }
    let folder = folder.keep();
    let all: Vec<String> = violations.iter().map(Violation::to_string).collect();
    let _ = std::fs::write(folder.join("violations"), all.join("\n"));
    println!("{} violations after kill {kill}:", violations.len());
    let mut by_kind: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for violation in &violations {
        by_kind.entry(violation.kind).or_default().push(violation);
    }
    for (kind, violations) in by_kind {
        println!("{kind:?}: {} times", violations.len());
        for violation in violations.iter().take(SHOWN) {
            println!("    {violation}");
        }
    }
    println!("the broker's last words:\n{}", world.last_words());
    panic!(
        "{} violations after kill {kill}, WARREN_CRASH_SEED={seed}, everything is in {}",
        violations.len(),
        folder.display()
    );
}
