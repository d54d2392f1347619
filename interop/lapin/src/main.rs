//! The lapin interop suite: what a Rust program does with a broker in its daily work.
//!
//! In come URLs of a broker (flags or environment), out goes a line per case, the plain closing line
//! `N passed, N failed, N skipped` and an exit code. The cases state what RabbitMQ 3.10 does.

mod cases;
mod target;
mod world;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::FutureExt;

use cases::{Case, Outcome};
use target::Target;
use world::World;

/// Only a case that fails ever takes so long.
const CASE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a case ended.
enum Verdict {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

#[tokio::main]
async fn main() -> ExitCode {
    let target = match Target::from_arguments(std::env::args().skip(1)) {
        Ok(target) => Arc::new(target),
        Err(problem) => {
            eprintln!("{problem}\n\n{}", target::USAGE);
            return ExitCode::from(2);
        }
    };
    let panicked = note_panics();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for case in cases::all() {
        if !target.filter.is_empty() && !case.name.contains(&target.filter) {
            continue;
        }
        match run(&case, &target, &panicked).await {
            Verdict::Passed => {
                passed += 1;
                println!("{} ... ok", case.name);
            }
            Verdict::Failed(why) => {
                failed += 1;
                println!("{} ... FAILED: {}", case.name, why.replace('\n', " "));
            }
            Verdict::Skipped(why) => {
                skipped += 1;
                println!("{} ... skipped: {why}", case.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs one case with connections of its own and closes them afterwards.
async fn run(case: &Case, target: &Arc<Target>, panicked: &Mutex<Option<String>>) -> Verdict {
    if let Some(missing) = (case.needs)(target) {
        return Verdict::Skipped(missing);
    }
    let world = Arc::new(World::new(Arc::clone(target)));
    let body = AssertUnwindSafe((case.body)(Arc::clone(&world))).catch_unwind();
    let ended = tokio::time::timeout(CASE_TIMEOUT, body).await;
    world.close().await;
    match ended {
        Ok(Ok(Outcome::Ok(()))) => Verdict::Passed,
        Ok(Ok(Outcome::Err(error))) => Verdict::Failed(error.to_string()),
        Ok(Err(_)) => Verdict::Failed(
            panicked
                .lock()
                .ok()
                .and_then(|mut place| place.take())
                .unwrap_or_else(|| "panicked".into()),
        ),
        Err(_) => Verdict::Failed(format!("not done within {} s", CASE_TIMEOUT.as_secs())),
    }
}

/// Keeps what a failed assertion says, in place of printing it amid the lines of the cases.
fn note_panics() -> Arc<Mutex<Option<String>>> {
    let place = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&place);
    std::panic::set_hook(Box::new(move |info| {
        if let Ok(mut place) = noted.lock() {
            *place = Some(info.to_string());
        }
    }));
    place
}
