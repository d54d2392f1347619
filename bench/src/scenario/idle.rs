//! Connections that do nothing: how fast they open and what they cost.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::{Bench, Scenario};
use crate::client::{CHANNEL, Client, put_start_ok, put_tune_ok_and_open, read_reply};
use crate::figures::{Figures, Unit};
use crate::transport::Transport;
use crate::url::BrokerUrl;
use crate::wire::{self, MethodWriter, method};

/// So many shake hands at the same time.
const TOGETHER: usize = 50;
/// Memory is read once it has not grown for this long.
const SETTLED: Duration = Duration::from_millis(500);
/// Or after this time at the latest.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

fn measure(bench: &Bench, connections: usize) -> io::Result<Figures> {
    let admin = Client::open(&bench.url)?;
    let before = settled_resident_bytes(bench);
    let started_at = Instant::now();
    let mut open = Vec::with_capacity(connections);
    while open.len() < connections {
        open_together(
            &bench.url,
            TOGETHER.min(connections - open.len()),
            &mut open,
        )?;
    }
    let seconds = started_at.elapsed().as_secs_f64();
    let mut figures = Figures::default();
    if let (Some(before), Some(after)) = (before, settled_resident_bytes(bench)) {
        let each = after.saturating_sub(before) as f64 / connections as f64;
        figures.add("memory of each", Unit::Bytes, each);
    }
    figures.add("time to open all", Unit::Seconds, seconds);
    for (mut stream, _) in open {
        let mut close = Vec::new();
        MethodWriter::new(&mut close, 0, method::CONNECTION_CLOSE)
            .short(200)
            .short_text("")
            .short(0)
            .short(0)
            .end();
        stream.write_all(&close)?;
    }
    admin.close()?;
    Ok(figures)
}

/// Opens connections with a channel each, all in step, so that the client's round trips overlap.
fn open_together(
    url: &BrokerUrl,
    count: usize,
    open: &mut Vec<(Transport, Vec<u8>)>,
) -> io::Result<()> {
    let first = open.len();
    for _ in 0..count {
        let mut stream = Transport::connect(url)?;
        stream.write_all(wire::PROTOCOL_HEADER)?;
        open.push((stream, Vec::new()));
    }
    let batch = &mut open[first..];
    let mut output = Vec::new();
    for (stream, input) in batch.iter_mut() {
        read_reply(stream, input)?;
        output.clear();
        put_start_ok(&mut output, url);
        stream.write_all(&output)?;
    }
    for (stream, input) in batch.iter_mut() {
        let tune = read_reply(stream, input)?;
        output.clear();
        put_tune_ok_and_open(&mut output, &tune, url)?;
        stream.write_all(&output)?;
    }
    for (stream, input) in batch.iter_mut() {
        read_reply(stream, input)?;
        output.clear();
        MethodWriter::new(&mut output, CHANNEL, method::CHANNEL_OPEN)
            .short_text("")
            .end();
        stream.write_all(&output)?;
    }
    for (stream, input) in batch.iter_mut() {
        let reply = read_reply(stream, input)?;
        if reply.frame().method_id() != Some(method::CHANNEL_OPEN_OK) {
            return Err(crate::client::unexpected(&reply.frame()));
        }
    }
    Ok(())
}

fn settled_resident_bytes(bench: &Bench) -> Option<u64> {
    let process = bench.probe.process?;
    let mut last = process.usage().ok()?.resident_bytes;
    let started_at = Instant::now();
    loop {
        thread::sleep(SETTLED);
        let now = process.usage().ok()?.resident_bytes;
        if now.abs_diff(last) < last / 200 || started_at.elapsed() > SETTLE_TIMEOUT {
            return Some(now);
        }
        last = now;
    }
}

/// The table.
pub fn scenarios() -> Vec<Scenario> {
    [1_000, 10_000]
        .map(|connections| {
            let scenario = Scenario::new(
                &format!("idle-{connections}"),
                &format!("{connections} idle connections with a channel each"),
                move |bench| measure(bench, connections),
            );
            if connections > 1_000 {
                scenario.long()
            } else {
                scenario
            }
        })
        .into()
}
