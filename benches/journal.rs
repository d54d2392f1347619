//! What the journal costs, beside what the disk costs in the same run:
//! `cargo bench --bench journal -- FOLDER` (a folder on the disk that is to be measured).
//!
//! - one record in flight, against a bare loop of `pwrite` (4 KiB) and `fdatasync` on a file of
//!   the same kind, taken in turns so that both see the same weather;
//! - 1-KiB messages with 1,000 in flight from one thread, then with as many as the journal takes;
//! - reading it all back.
//!
//! Everything is done in short rounds. Where others use the machine too, the best of them says what
//! the journal costs, the median what it is like.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use warren::store::disk::{Disk, RealDisk, create_filled};
use warren::store::journal::{
    Journal, NewMessage, Options, Place, Placement, SafeListener, Safety,
};

const ROUNDS: usize = 30;
const ROUND: usize = 100;
const FLOODS: usize = 8;
const FLOOD: Duration = Duration::from_millis(500);
const IN_FLIGHT: u64 = 1000;
/// As many as fit below the journal's mark for pressure.
const MANY_IN_FLIGHT: u64 = 7000;

/// Wakes the publisher.
struct Waker {
    publisher: Thread,
    safe: AtomicU64,
}

impl SafeListener for Waker {
    fn safe(&self, safe_index: u64) {
        self.safe.fetch_max(safe_index, Ordering::Release);
        self.publisher.unpark();
    }

    fn failed(&self) {
        panic!("the journal failed");
    }
}

impl Waker {
    fn wait(self: &Arc<Self>, journal: &Journal, index: u64) {
        if journal.notify_when_safe(index, self.clone()) == Safety::Waiting {
            while self.safe.load(Ordering::Acquire) < index {
                thread::park();
            }
        }
    }
}

fn append(journal: &Journal, sequence: u64, body: &[u8], count: u64) -> u64 {
    let placements = [Placement {
        place: Place { queue: 1, sequence },
        expires_at_ms: Placement::NEVER,
    }];
    let message = NewMessage {
        persistent: true,
        priority: 0,
        has_bcc: false,
        placements: &placements,
        settles: &[],
        seen: &[],
        exchange: b"",
        routing_key: b"queue",
        properties: &[0, 0],
        body,
    };
    journal
        .append(|batch| {
            for _ in 0..count {
                batch.message(&message).expect("it is not too large");
            }
        })
        .expect("it is taken")
}

fn percentile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn latency(disk: &RealDisk, journal: &Journal, waker: &Arc<Waker>) {
    let bare = create_filled(disk, ".", "bare.filling", "bare", 64 << 20).expect("a file");
    let body = vec![1; 1024];
    let (mut bare_took, mut journal_took) = (Vec::new(), Vec::new());
    let mut offset = 0;
    for _ in 0..ROUNDS {
        for _ in 0..ROUND {
            let since = Instant::now();
            bare.write_at(&[2; 4096], offset).expect("it writes");
            bare.sync_data().expect("it syncs");
            bare_took.push(micros(since.elapsed()));
            offset = (offset + 4096) % (64 << 20);
        }
        for _ in 0..ROUND {
            let since = Instant::now();
            let index = append(journal, 1, &body, 1);
            waker.wait(journal, index);
            journal_took.push(micros(since.elapsed()));
        }
    }
    let rounds = |took: &[f64]| -> Vec<Vec<f64>> {
        took.chunks(ROUND)
            .map(|round| sorted(round.to_vec()))
            .collect()
    };
    let (bare_rounds, journal_rounds) = (rounds(&bare_took), rounds(&journal_took));
    for (name, took) in [("bare", bare_took), ("journal", journal_took)] {
        let mean = took.iter().sum::<f64>() / took.len() as f64;
        let took = sorted(took);
        println!(
            "one in flight, {name:>7}: mean {mean:6.1} us, p50 {:6.1}, p99 {:7.1}",
            percentile(&took, 0.5),
            percentile(&took, 0.99)
        );
    }
    let ratio = |part: f64| {
        let ratios = bare_rounds.iter().zip(&journal_rounds);
        let ratios =
            ratios.map(|(bare, journal)| percentile(journal, part) / percentile(bare, part));
        percentile(&sorted(ratios.collect()), 0.5)
    };
    println!(
        "one in flight, journal to bare, median of {ROUNDS} rounds: p50 {:.2}, p90 {:.2}",
        ratio(0.5),
        ratio(0.9)
    );
    disk.remove("bare").expect("it is there");
}

/// Messages a second, with so many of them not yet safe.
fn flood(journal: &Journal, waker: &Arc<Waker>, bytes: usize, in_flight: u64) -> f64 {
    let body = vec![1; bytes];
    let since = Instant::now();
    let first = journal.next_index();
    let mut last = first - 1;
    while since.elapsed() < FLOOD {
        // As a channel does: what one read brought, a few dozen.
        last = append(journal, last, &body, 50);
        if last >= first + in_flight {
            waker.wait(journal, last - in_flight);
        }
        if last % 100_000 < 50 {
            journal.release_below(last.saturating_sub(200_000));
        }
    }
    waker.wait(journal, last);
    (last + 1 - first) as f64 / since.elapsed().as_secs_f64()
}

/// What each thread has spent so far.
fn thread_cpu_ns() -> BTreeMap<String, u64> {
    let mut spent = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").expect("Linux") {
        let path = task.expect("a thread").path();
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
        let ns = read("schedstat").split(' ').next().map(str::parse::<u64>);
        if let Some(Ok(ns)) = ns {
            *spent.entry(read("comm").trim().to_string()).or_default() += ns;
        }
    }
    spent
}

fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"))
        .map_or_else(|| PathBuf::from("target/bench-journal"), PathBuf::from);
    let _ = std::fs::remove_dir_all(&folder);
    let disk = RealDisk::new(&folder).expect("a folder");
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let since = Instant::now();
    let recovery = Journal::open(Arc::clone(&shared), Options::default()).expect("it opens");
    let (journal, _) = recovery.finish().expect("it starts");
    println!("open, empty: {:.1} ms", since.elapsed().as_secs_f64() * 1e3);
    let waker = Arc::new(Waker {
        publisher: thread::current(),
        safe: AtomicU64::new(0),
    });
    let index = append(&journal, 1, b"first", 1);
    waker.wait(&journal, index);
    println!(
        "first record safe: {:.1} ms",
        since.elapsed().as_secs_f64() * 1e3
    );
    thread::sleep(Duration::from_secs(2));
    latency(&disk, &journal, &waker);
    for (bytes, in_flight) in [(1024, IN_FLIGHT), (1024, MANY_IN_FLIGHT), (100, IN_FLIGHT)] {
        let (cpu_ns, first) = (thread_cpu_ns(), journal.next_index());
        let rates = (0..FLOODS).map(|_| flood(&journal, &waker, bytes, in_flight));
        let rates = sorted(rates.collect());
        let messages = journal.next_index() - first;
        for (name, ns) in thread_cpu_ns() {
            let before = cpu_ns.get(&name).copied().unwrap_or(0);
            println!(
                "  CPU, thread {name}: {} ns a message",
                (ns - before) / messages
            );
        }
        let (median, best) = (percentile(&rates, 0.5), percentile(&rates, 1.0));
        println!(
            "{bytes} bytes, {in_flight} in flight: best of {FLOODS} {:.2} million/s, {:.2} GB/s; \
             median {:.2} million/s",
            best / 1e6,
            best * bytes as f64 / 1e9,
            median / 1e6
        );
    }
    let body = vec![1; 1024];
    let mut last = 0;
    for _ in 0..20_000 {
        last = append(&journal, 1, &body, 50);
        if last > IN_FLIGHT {
            waker.wait(&journal, last - IN_FLIGHT);
        }
    }
    waker.wait(&journal, last);
    journal.close();
    drop(journal);
    let since = Instant::now();
    let recovery = Journal::open(shared, Options::default()).expect("it opens");
    let report = recovery.inspect().expect("it can be read");
    let took = since.elapsed().as_secs_f64();
    println!(
        "recovery: {} records, {:.2} GB in {took:.2} s, {:.2} GB/s, {} damaged",
        report.records,
        report.bytes as f64 / 1e9,
        report.bytes as f64 / 1e9 / took,
        report.damage.len()
    );
    let _ = std::fs::remove_dir_all(&folder);
}
