//! The amqprs driver of interop/fleet: runs the features it is told, a JSON line for each.
//!
//! In come the broker's URLs and FEATURES from the environment (see ../../README.md).
//! `interop-amqprs frozen QUEUE` is the client that will stand still.

mod place;
mod scenarios;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_lite::FutureExt;
use serde_json::json;

use place::{Place, Problem};

#[tokio::main]
async fn main() {
    // amqprs leaves it to its user which of rustls' providers there is.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, queue] = arguments.as_slice()
        && role == "frozen"
    {
        stand_still(queue).await;
    }
    let panicked = note_panics();
    let features = std::env::var("FEATURES").unwrap_or_default();
    for feature in features.split(',') {
        let place = Place::new();
        let ended = AssertUnwindSafe(scenarios::run(feature, &place))
            .catch_unwind()
            .await;
        let (result, text) = match ended {
            Ok(Ok(remark)) => ("ok", remark),
            Ok(Err(Problem::Skipped(why))) => ("skip", why),
            Ok(Err(Problem::Failed(why))) => ("fail", why),
            Err(_) => (
                "fail",
                panicked
                    .lock()
                    .ok()
                    .and_then(|mut place| place.take())
                    .unwrap_or_else(|| "panicked".into()),
            ),
        };
        println!(
            "{}",
            json!({"feature": feature, "result": result, "text": text})
        );
    }
}

/// Holds a message of the queue, unacked, on a connection that will beat no more: the one who started
/// us stops this process.
async fn stand_still(queue: &str) -> ! {
    let place = Place::new();
    let connection = place.connect_beating(1).await.expect("connects");
    let mut channel = place.channel(&connection).await.expect("opens");
    channel.consume(queue).await.expect("consumes");
    channel.next().await.expect("is delivered");
    println!("{}", json!({"ready": queue}));
    std::future::pending().await
}

/// Keeps what a failed assertion says, in place of printing it.
fn note_panics() -> Arc<Mutex<Option<String>>> {
    let place = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&place);
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("{info}");
        if let Ok(mut place) = noted.lock() {
            *place = Some(info.to_string());
        }
    }));
    place
}
