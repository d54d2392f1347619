//! Things that come and go: connections, channels, queues.
//!
//! A few threads make and remove things again and again. Connections are opened with one write each,
//! several at a time (`visits.rs`), or as most client libraries do it, waiting for each reply. Channels
//! and transient queues are asked for several at a time before the replies are awaited: one at a time,
//! the load generator's and the kernel's switching to and fro costs more than what the broker does.
//! Durable queues, where the broker waits for the disk, get many connections instead.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::visits::Visits;
use super::{Bench, Scenario};
use crate::client::{Client, QueueOptions};
use crate::figures::{Figures, Unit};
use crate::url::BrokerUrl;

/// The first channel that comes and goes.
const CHURNED_CHANNEL: u16 = 2;

/// What comes and goes.
#[derive(Clone, Copy, Debug)]
enum Churned {
    /// Opened with one write, several at a time.
    Connections,
    /// By a client that waits for each reply.
    WaitingConnections,
    Channels,
    Queues {
        durable: bool,
    },
}

impl Churned {
    /// How many connections at a time.
    fn connections(self) -> usize {
        match self {
            // Each is a thread with many in flight: more would only take turns.
            Self::Connections => 2,
            Self::WaitingConnections | Self::Channels | Self::Queues { durable: false } => 8,
            Self::Queues { durable: true } => 64,
        }
    }

    /// How many are asked for before the replies are awaited.
    fn in_flight(self) -> u16 {
        match self {
            Self::Connections => 32,
            Self::WaitingConnections | Self::Queues { durable: true } => 1,
            Self::Channels | Self::Queues { durable: false } => 16,
        }
    }
}

fn measure(bench: &Bench, churned: Churned) -> io::Result<Figures> {
    let (stop, turns) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let churn = |index| {
            let (url, stop, turns) = (&bench.url, &stop, &turns);
            move || churn(url, churned, index, stop, turns)
        };
        let threads: Vec<_> = (0..churned.connections())
            .map(|index| scope.spawn(churn(index)))
            .collect();
        let usage = || bench.probe.process.and_then(|process| process.usage().ok());
        wait(bench.warm_up, &threads);
        let (from, first, before) = (Instant::now(), turns.load(Ordering::Relaxed), usage());
        wait(bench.measured, &threads);
        let (seconds, last) = (from.elapsed().as_secs_f64(), turns.load(Ordering::Relaxed));
        let after = usage();
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a churning thread panicked")))?;
        }
        let mut figures = Figures::default();
        figures.add(
            "made and removed",
            Unit::PerSecond,
            (last - first) as f64 / seconds,
        );
        if let (Some(before), Some(after)) = (before, after) {
            let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
            figures.add(
                "CPU s per million",
                Unit::Count,
                cpu_seconds / ((last - first).max(1) as f64 / 1e6),
            );
            figures.add("resident", Unit::Bytes, after.resident_bytes as f64);
        }
        Ok(figures)
    })
}

/// Waits, unless a thread has ended, which only an error makes it do.
fn wait<T>(duration: Duration, threads: &[thread::ScopedJoinHandle<'_, T>]) {
    let end = Instant::now() + duration;
    while Instant::now() < end && threads.iter().all(|thread| !thread.is_finished()) {
        thread::sleep(Duration::from_millis(10).min(end.saturating_duration_since(Instant::now())));
    }
}

fn churn(
    url: &BrokerUrl,
    churned: Churned,
    index: usize,
    stop: &AtomicBool,
    turns: &AtomicU64,
) -> io::Result<()> {
    if matches!(churned, Churned::Connections) {
        let mut visits = Visits::to(url, index as u8 + 1)?;
        while !stop.load(Ordering::Relaxed) {
            visits.round(usize::from(churned.in_flight()))?;
            turns.fetch_add(u64::from(churned.in_flight()), Ordering::Relaxed);
        }
        return Ok(());
    }
    let mut client = Client::open(url)?;
    let channels = CHURNED_CHANNEL..CHURNED_CHANNEL + churned.in_flight();
    let queues = |durable| {
        let options = QueueOptions {
            durable,
            ..Default::default()
        };
        let name = |at| (format!("churn{index}-{at}"), options.clone());
        (0..churned.in_flight()).map(name).collect()
    };
    let queues: Vec<_> = match churned {
        Churned::Queues { durable } => queues(durable),
        _ => Vec::new(),
    };
    while !stop.load(Ordering::Relaxed) {
        match churned {
            Churned::Connections | Churned::WaitingConnections => Client::open(url)?.close()?,
            Churned::Channels => {
                client.open_channels(channels.clone())?;
                client.close_channels(channels.clone())?;
            }
            Churned::Queues { .. } => {
                client.declare_queues(&queues)?;
                client.delete_queues(&queues)?;
            }
        }
        turns.fetch_add(u64::from(churned.in_flight()), Ordering::Relaxed);
    }
    client.close()
}

/// The table.
pub fn scenarios() -> Vec<Scenario> {
    [
        (
            "connections",
            "connections opened with a channel by one write, and closed",
            Churned::Connections,
        ),
        (
            "connections-waiting",
            "connections opened with a channel and closed by clients that wait for each reply",
            Churned::WaitingConnections,
        ),
        ("channels", "channels opened and closed", Churned::Channels),
        (
            "queues-transient",
            "transient queues declared and deleted",
            Churned::Queues { durable: false },
        ),
        (
            "queues-durable",
            "durable queues declared and deleted",
            Churned::Queues { durable: true },
        ),
    ]
    .map(|(name, about, churned)| {
        let about = match (churned.connections(), churned.in_flight()) {
            (threads, each) if matches!(churned, Churned::Connections) => {
                format!("{about}, {} at a time", threads * usize::from(each))
            }
            (connections, 1) => format!("{about}, {connections} connections at a time"),
            (connections, each) => format!("{about}, {connections} connections, {each} at a time"),
        };
        Scenario::new(&format!("churn-{name}"), &about, move |bench| {
            measure(bench, churned)
        })
    })
    .into()
}
