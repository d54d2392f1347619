//! Recorded conversations: raw frames, good and bad, as RabbitMQ answered them once, played against
//! Warren and compared line by line.
//!
//! ```text
//! families ─▶ Script ─▶ player ─▶ lines ─┬─▶ compared with recordings/*.txt, but for differences.toml
//!                        ▲               └─▶ or written there (interop/record)
//!            a fresh Warren or RabbitMQ
//! ```
//!
//! `texts.toml` lists every text with which RabbitMQ refuses something to a client, and which recording
//! has it.
//!
//! `WARREN_TEST_URL` plays against another broker, as everywhere; with `WARREN_TEST_RECORD=1` what it
//! says is recorded. A RabbitMQ must agree with its own recordings to the letter.

#[path = "../support/mod.rs"]
mod support;

mod differences;
mod families;
mod player;
mod recording;
mod script;
mod setting;
mod texts;
mod transcript;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use differences::Differences;
use script::Script;
use support::Broker;
use support::{Client, Http, Talk, Value};

/// So many conversations are held at once.
const AT_ONCE: usize = 64;

#[test]
fn what_rabbitmq_said_is_what_is_said() {
    let broker = Broker::shared();
    let Some(api) = broker.management() else {
        return;
    };
    setting::prepare(&api);
    let record = std::env::var_os("WARREN_TEST_RECORD").is_some();
    assert!(!(record && broker.is_warren()), "Warren is not the model");
    let families = families::all();
    let differences = Differences::read();
    let played = play(broker, &api, &families, &differences);
    match record {
        true => write(broker, &families, &played),
        false => compare(broker, &families, &played, &differences),
    }
}

/// All conversations of all families, some at a time: the lines of each, in order.
fn play(
    broker: &Broker,
    api: &Http,
    families: &[(&str, Vec<Script>)],
    differences: &Differences,
) -> Vec<Vec<String>> {
    let scripts: Vec<&Script> = families.iter().flat_map(|(_, scripts)| scripts).collect();
    let next = AtomicUsize::new(0);
    let played = Mutex::new(vec![Vec::new(); scripts.len()]);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(script) = scripts.get(at) else {
                return;
            };
            let lines = catch_unwind(AssertUnwindSafe(|| {
                player::play(script, broker.address(), api)
            }));
            let mut lines = lines.unwrap_or_else(|_| vec![player::NOTHING.to_string()]);
            differences.masked(&mut lines);
            played.lock().expect("no panic under this lock")[at] = lines;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    played.into_inner().expect("no panic under this lock")
}

fn write(broker: &Broker, families: &[(&str, Vec<Script>)], played: &[Vec<String>]) {
    let version = version(broker);
    let mut played = played.iter();
    let mut stuck = Vec::new();
    let mut recordings = Vec::new();
    for (family, scripts) in families {
        let named = |script: &Script| (script.name.clone(), played.next().expect("all").clone());
        let conversations: Vec<_> = scripts.iter().map(named).collect();
        for (name, lines) in &conversations {
            if lines.iter().any(|line| line.ends_with(player::NOTHING)) {
                stuck.push(format!("{family}/{name}\n{}", lines.join("\n")));
            }
        }
        recordings.push((family, conversations));
    }
    let (count, stuck) = (stuck.len(), stuck.join("\n\n"));
    assert!(
        count == 0,
        "{count} wait for what does not come:\n\n{stuck}"
    );
    for (family, conversations) in recordings {
        recording::write(family, &version, &conversations);
    }
}

/// Who the broker says it is.
fn version(broker: &Broker) -> String {
    let mut client: Client = broker.stranger();
    client.send_bytes(support::frame::HEADER);
    let start = client.on(0).expect_name("connection.start");
    let property = |name: &str| match start.table("server-properties").at(name) {
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("{name} is {other:?}"),
    };
    format!("{} {}", property("product"), property("version"))
}

fn compare(
    broker: &Broker,
    families: &[(&str, Vec<Script>)],
    played: &[Vec<String>],
    differences: &Differences,
) {
    let mut played = played.iter();
    let mut wrong = Vec::new();
    for (family, scripts) in families {
        let recorded = recording::read(family);
        let names: BTreeSet<&String> = scripts.iter().map(|script| &script.name).collect();
        assert_eq!(names.len(), scripts.len(), "names of {family} are unique");
        for name in recorded.keys().filter(|name| !names.contains(name)) {
            wrong.push(format!(
                "{family}/{name} is recorded, and no script: interop/record"
            ));
        }
        for script in scripts {
            let (played, name) = (
                played.next().expect("all"),
                format!("{family}/{}", script.name),
            );
            let Some(recorded) = recorded.get(&script.name) else {
                wrong.push(format!("{name} is not recorded: interop/record"));
                continue;
            };
            let expected = match broker.is_warren() {
                true => differences.expected(&name, recorded),
                false => recorded.clone(),
            };
            if expected != *played {
                wrong.push(format!("{name}\n{}", side_by_side(&expected, played)));
            }
        }
    }
    if broker.is_warren() {
        let unused = differences.unused().into_iter();
        wrong.extend(unused.map(|entry| format!("differences.toml: nothing differs by {entry:?}")));
    }
    wrong.extend(texts::check(recording::read));
    assert!(
        wrong.is_empty(),
        "{} conversations differ:\n\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What was expected (`-`) and what came (`+`), without what they begin and end with alike but for a line.
fn side_by_side(expected: &[String], played: &[String]) -> String {
    let same = |(left, right): &(&String, &String)| left == right;
    let before = expected.iter().zip(played).take_while(same).count();
    let (left, right) = (&expected[before..], &played[before..]);
    let after = left
        .iter()
        .rev()
        .zip(right.iter().rev())
        .take_while(same)
        .count();
    let (left, right) = (&left[..left.len() - after], &right[..right.len() - after]);
    let mut out = String::new();
    let mut add = |mark: &str, line: &String| out.push_str(&format!("  {mark} {line}\n"));
    expected[before.saturating_sub(2)..before]
        .iter()
        .for_each(|line| add(" ", line));
    if left.len() == right.len() {
        for (left, right) in left.iter().zip(right).filter(|(left, right)| left != right) {
            add("-", left);
            add("+", right);
        }
    } else {
        left.iter().for_each(|line| add("-", line));
        right.iter().for_each(|line| add("+", line));
    }
    out
}
