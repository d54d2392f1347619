//! Runs a load: sets up its connections, starts its threads, measures, ends and verifies.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::consumer::{Consumer, Seen};
use super::plan::{AckMode, ConsumerPlan, Load, Pace, PublisherPlan, Until};
use super::publisher::{Publisher, PublisherEnd};
use super::shared::{Latencies, Shared, total};
use crate::client::Client;
use crate::process::{ProcessGroup, SystemCalls, Usage};
use crate::url::BrokerUrl;

/// How often the engine looks at the counters while it waits.
const LOOK: Duration = Duration::from_millis(2);
/// Publishers must end their last batch in this time, consumers must not stand still this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// A load that ends with a count may stand still this long before it counts as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// What a load measured.
#[derive(Debug, Default)]
pub struct LoadOutcome {
    /// Measured seconds.
    pub seconds: f64,
    /// Published in that time.
    pub published: u64,
    /// Confirmed in that time.
    pub confirmed: u64,
    /// Consumed in that time.
    pub consumed: u64,
    /// CPU seconds of the broker in that time.
    pub broker_cpu_seconds: Option<f64>,
    /// Resident memory of the broker at the end of that time.
    pub broker_resident_bytes: Option<u64>,
    /// Due time to delivery.
    pub delivery_latency: Latencies,
    /// Publish to confirm.
    pub confirm_latency: Latencies,
    /// Published from beginning to end.
    pub published_in_all: u64,
    /// Consumed from beginning to end.
    pub consumed_in_all: u64,
    /// Out of order or missed.
    pub misplaced: u64,
    /// Nacked.
    pub refused: u64,
    /// Publishers that the broker still kept waiting when all should have ended; how many of
    /// their last messages it took is not known.
    pub cut_off: usize,
    /// System calls of the broker per second, where they were asked for.
    pub system_calls_per_second: Option<io::Result<f64>>,
}

/// What to look at beside the counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe {
    /// The broker's processes.
    pub process: Option<ProcessGroup>,
    /// Count its system calls, which costs it a little.
    pub system_calls: bool,
}

/// A broker may take this long to take in what was published.
const SYNC_TIMEOUT: Duration = Duration::from_secs(1800);

/// Counters and the broker's process at one moment.
struct Sample {
    at: Instant,
    published: u64,
    confirmed: u64,
    consumed: u64,
    usage: Option<Usage>,
}

impl Sample {
    fn take(shared: &Shared, probe: Probe) -> Sample {
        Sample {
            at: Instant::now(),
            published: total(&shared.published),
            confirmed: total(&shared.confirmed),
            consumed: total(&shared.consumed),
            usage: probe.process.and_then(|process| process.usage().ok()),
        }
    }
}

/// Runs a load whose queues and exchanges exist already.
pub fn run(url: &BrokerUrl, load: &Load, probe: Probe) -> io::Result<LoadOutcome> {
    let shared = Shared::new(load.publishers.len().max(1), load.consumers.len());
    let mut consumers = load
        .consumers
        .iter()
        .map(|_| Client::open(url))
        .collect::<io::Result<Vec<_>>>()?;
    let publishers = load
        .publishers
        .iter()
        .map(|plan| open_publisher(url, plan))
        .collect::<io::Result<Vec<_>>>()?;
    if let Until::Consumed(_) = load.until {
        shared.measuring.store(true, Ordering::Relaxed);
    }
    let mut start = Sample::take(&shared, probe);
    // Looking at the broker's processes takes a while.
    start.at = Instant::now();
    for (client, plan) in consumers.iter_mut().zip(&load.consumers) {
        consume(client, plan)?;
    }
    thread::scope(|scope| {
        let mut threads = Threads::default();
        let result = threads
            .start(scope, load, &shared, consumers, publishers)
            .and_then(|()| threads.measure(load, &shared, probe, start));
        if result.is_err() {
            threads.abort(&shared);
        }
        result
    })
}

fn consume(client: &mut Client, plan: &ConsumerPlan) -> io::Result<()> {
    if plan.prefetch > 0 {
        client.set_prefetch(plan.prefetch)?;
    }
    client.consume(&plan.queue, plan.ack == AckMode::Automatic, &plan.arguments)
}

fn open_publisher(url: &BrokerUrl, plan: &PublisherPlan) -> io::Result<Client> {
    let mut client = Client::open(url)?;
    if let Pace::Confirmed { .. } = plan.pace {
        client.select_confirms()?;
    }
    Ok(client)
}

/// The running threads, and their sockets to end them by.
#[derive(Default)]
struct Threads<'scope> {
    publishers: Vec<ScopedJoinHandle<'scope, io::Result<PublisherEnd>>>,
    consumers: Vec<ScopedJoinHandle<'scope, io::Result<Seen>>>,
    publisher_sockets: Vec<TcpStream>,
    consumer_sockets: Vec<TcpStream>,
}

impl<'scope> Threads<'scope> {
    fn start(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        load: &Load,
        shared: &'scope Shared,
        consumers: Vec<Client>,
        publishers: Vec<Client>,
    ) -> io::Result<()> {
        for (index, (plan, client)) in load.consumers.iter().zip(consumers).enumerate() {
            let parts = client.into_parts();
            parts.0.socket().set_read_timeout(None)?;
            self.consumer_sockets.push(parts.0.socket().try_clone()?);
            let consumer = Consumer::new(index, plan.ack, load.order, parts, shared);
            self.consumers.push(scope.spawn(move || consumer.run()));
        }
        for (index, (plan, client)) in load.publishers.iter().zip(publishers).enumerate() {
            let frame_max_bytes = client.frame_max_bytes();
            let parts = client.into_parts();
            parts.0.socket().set_read_timeout(None)?;
            self.publisher_sockets.push(parts.0.socket().try_clone()?);
            let publisher = Publisher::new(index, plan.clone(), frame_max_bytes, parts, shared);
            self.publishers.push(scope.spawn(move || publisher.run()));
        }
        Ok(())
    }

    fn measure(
        &mut self,
        load: &Load,
        shared: &Shared,
        probe: Probe,
        start: Sample,
    ) -> io::Result<LoadOutcome> {
        let mut outcome = LoadOutcome::default();
        match load.until {
            Until::Elapsed { warm_up, measured } => {
                self.wait(warm_up)?;
                shared.measuring.store(true, Ordering::Relaxed);
                let first = Sample::take(shared, probe);
                let calls = probe.process.filter(|_| probe.system_calls);
                let calls = calls.map(|process| SystemCalls::count(&process, measured));
                self.wait(measured)?;
                let last = Sample::take(shared, probe);
                shared.measuring.store(false, Ordering::Relaxed);
                outcome.set(&first, &last);
                outcome.system_calls_per_second =
                    calls.map(|calls| calls.and_then(|calls| calls.per_second(measured)));
                // Their connections stay open: a broker may drop what it has not read when they close.
                let _open = self.end_publishers(load, shared, &mut outcome)?;
                let expected = outcome.published_in_all * load.copies;
                self.wait_for_consumed(shared, expected, PATIENCE)?;
            }
            Until::Consumed(expected) => {
                let mut open = self.end_publishers(load, shared, &mut outcome)?;
                if let Some(queue) = &load.sync_queue
                    && let Some((stream, input)) = open.pop()
                {
                    stream.socket().set_read_timeout(Some(SYNC_TIMEOUT))?;
                    Client::from_parts(stream, input).inspect_queue(queue)?;
                }
                if !self.consumers.is_empty() && !self.wait_for_consumed(shared, expected, STUCK)? {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!(
                            "only {} of {expected} messages came",
                            total(&shared.consumed)
                        ),
                    ));
                }
                outcome.set(&start, &Sample::take(shared, probe));
            }
        }
        self.end_consumers(shared, &mut outcome)?;
        Ok(outcome)
    }

    /// Waits, unless a thread ends early, which only an error makes it do.
    fn wait(&self, duration: Duration) -> io::Result<()> {
        let end = Instant::now() + duration;
        while let Some(left) = end
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            thread::sleep(left.min(Duration::from_millis(100)));
            if self.consumers.iter().any(|thread| thread.is_finished()) {
                break;
            }
        }
        Ok(())
    }

    /// Ends timed publishers, waits for counted ones.
    fn end_publishers(
        &mut self,
        load: &Load,
        shared: &Shared,
        outcome: &mut LoadOutcome,
    ) -> io::Result<Vec<(crate::transport::Transport, Vec<u8>)>> {
        if let Until::Elapsed { .. } = load.until {
            shared.stop_publishers.store(true, Ordering::Relaxed);
            let deadline = Instant::now() + PATIENCE;
            while !self.publishers.iter().all(|thread| thread.is_finished())
                && Instant::now() < deadline
            {
                thread::sleep(LOOK);
            }
            for (thread, socket) in self.publishers.iter().zip(&self.publisher_sockets) {
                if !thread.is_finished() {
                    shared.cut_off_publishers.store(true, Ordering::Relaxed);
                    outcome.cut_off += 1;
                    socket.shutdown(Shutdown::Both)?;
                }
            }
        }
        let mut streams = Vec::new();
        for thread in std::mem::take(&mut self.publishers) {
            let end = join(thread)?;
            outcome.published_in_all += end.published;
            outcome.refused += end.refused;
            outcome.confirm_latency.merge(end.confirm_latency);
            streams.push((end.stream, end.input));
        }
        Ok(streams)
    }

    /// Whether everything expected came.
    fn wait_for_consumed(
        &self,
        shared: &Shared,
        expected: u64,
        patience: Duration,
    ) -> io::Result<bool> {
        let mut best = 0;
        let mut moved_at = Instant::now();
        loop {
            let consumed = total(&shared.consumed);
            if consumed >= expected || self.consumers.is_empty() {
                return Ok(true);
            }
            if consumed > best {
                best = consumed;
                moved_at = Instant::now();
            }
            let failed = self.consumers.iter().any(|thread| thread.is_finished());
            if failed || moved_at.elapsed() > patience {
                return Ok(false);
            }
            thread::sleep(LOOK);
        }
    }

    fn end_consumers(&mut self, shared: &Shared, outcome: &mut LoadOutcome) -> io::Result<()> {
        shared.stop_consumers.store(true, Ordering::Relaxed);
        for socket in &self.consumer_sockets {
            // A broker that hung up already is the consumer's error to report.
            let _ = socket.shutdown(Shutdown::Both);
        }
        for thread in std::mem::take(&mut self.consumers) {
            let seen = join(thread)?;
            outcome.consumed_in_all += seen.delivered;
            outcome.misplaced += seen.misplaced;
            outcome.delivery_latency.merge(seen.latency);
        }
        Ok(())
    }

    fn abort(&mut self, shared: &Shared) {
        shared.stop_publishers.store(true, Ordering::Relaxed);
        shared.stop_consumers.store(true, Ordering::Relaxed);
        for socket in self.publisher_sockets.iter().chain(&self.consumer_sockets) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl LoadOutcome {
    fn set(&mut self, first: &Sample, last: &Sample) {
        self.seconds = (last.at - first.at).as_secs_f64();
        self.published = last.published - first.published;
        self.confirmed = last.confirmed - first.confirmed;
        self.consumed = last.consumed - first.consumed;
        if let (Some(first), Some(last)) = (&first.usage, &last.usage) {
            self.broker_cpu_seconds = Some(last.cpu_seconds - first.cpu_seconds);
        }
        self.broker_resident_bytes = last.usage.as_ref().map(|usage| usage.resident_bytes);
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("a thread of the load panicked")))
}
