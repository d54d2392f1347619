//! The Rust drivers of interop/fleet: runs the features it is told with one client, a JSON line for each.
//!
//! In come the client's name as the first argument, and the broker's URLs and FEATURES from the environment
//! (see ../../README.md). `interop-rust CLIENT frozen QUEUE` is the client that will stand still.

mod client_amqprs;
mod client_lapin;
mod place;
mod restarts;
mod scenarios;
mod tables_amqprs;
mod words;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use futures_lite::FutureExt;
use serde_json::json;

use place::{Place, Problem};
use words::{Channel, Client, Connection, How};

#[tokio::main]
async fn main() -> ExitCode {
    // amqprs leaves it to its user which of rustls' providers there is.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("lapin") => drive(&client_lapin::Lapin, rest).await,
        Some("amqprs") => drive(&client_amqprs::Amqprs, rest).await,
        _ => {
            eprintln!("interop-rust lapin | amqprs [frozen QUEUE]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

async fn drive<C: Client>(client: &C, arguments: &[String]) {
    if let [role, queue] = arguments
        && role == "frozen"
    {
        stand_still(client, queue).await;
    }
    let panicked = note_panics();
    let features = std::env::var("FEATURES").unwrap_or_default();
    for feature in features.split(',') {
        let place = Place::new(client);
        let ended = AssertUnwindSafe(scenarios::run(feature, &place))
            .catch_unwind()
            .await;
        let (result, text) = match ended {
            Ok(Ok(remark)) => ("ok", remark),
            Ok(Err(Problem::Skipped(why))) => ("skip", why),
            Ok(Err(Problem::Failed(why))) => ("fail", why),
            Ok(Err(Problem::Refused(code, text))) => {
                ("fail", format!("refused with {code} {text}"))
            }
            Err(_) => {
                let said = panicked.lock().ok().and_then(|mut said| said.take());
                ("fail", said.unwrap_or_else(|| "panicked".into()))
            }
        };
        println!(
            "{}",
            json!({"feature": feature, "result": result, "text": text})
        );
    }
}

/// Holds a message of the queue, unacked, on a connection that will beat no more: the one who started
/// us stops this process.
async fn stand_still<C: Client>(client: &C, queue: &str) -> ! {
    let place = Place::new(client);
    let how = How {
        heartbeat: Some(1),
        ..How::default()
    };
    let connection = client.connect(&place.url, how).await.expect("connects");
    let mut channel = connection.channel().await.expect("opens");
    channel.consume(queue).await.expect("consumes");
    channel.next().await.expect("is delivered");
    println!("{}", json!({"ready": queue}));
    std::future::pending().await
}

/// Keeps what a failed assertion says, in place of printing it.
fn note_panics() -> Arc<Mutex<Option<String>>> {
    let said = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&said);
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("{info}");
        if let Ok(mut said) = noted.lock() {
            *said = Some(info.to_string());
        }
    }));
    said
}
