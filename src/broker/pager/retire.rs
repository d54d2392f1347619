//! Makes old files of the log free again: whatever still lives in them moves on.
//!
//! In: the log's files. Out: "nothing below this index is needed". Before that is said, for every
//! durable queue: messages whose only durable copy lies below are in a listed segment, or at the
//! end of the log once more, if they are few; and the log says somewhere above, if need be once more,
//! what is settled, delivered and given back. So whatever lies below says nothing that is not said above.
//!
//! What is put at the end is always less than what goes: a log into which nobody writes comes to rest.
//! Then it is shortened once more, to a new part alone: so that it takes as little room, and a start as
//! little time, as if nothing had ever been in it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::barrier::{Barrier, await_synced};
use super::segments::OpenSegments;
use super::{Shared, reading};
use crate::broker::engine::Waits;
use crate::broker::log::{AppendError, Log, NewMessage, Records};
use crate::broker::queue::{Checkpoint, Leftover, Moving, PageOut, Queue};
use crate::broker::{Broker, Engine};
use crate::store::catalog::Op;

/// The log is given so much at once.
const BATCH_BYTES: usize = 1 << 20;
/// One record says of so many ranges that they are settled, or of so many messages that they wait.
const RANGES_AT_ONCE: usize = 4096;
/// So much of what queues have to say is kept in memory until it is synced.
const SPEECH_BYTES: u64 = 8 << 20;
/// Of what goes with a part of the log, no more messages than one part in so many are put at its end
/// again: however many queues have few, in the end there is room.
const CARRIED_SHARE: u64 = 4;
/// Publishers wait when the log is so many times as long as it may be ...
const FAR_TOO_LONG: usize = 4;
/// ... until it is only so many times as long.
const LONG_NO_MORE: usize = 3;

/// From where on the log is needed, and how far it has come, for the catalog: so that the next start misses
/// what is gone, and knows what was let go of even if the log has forgotten.
fn extent(log: &dyn Log, needed_from: u64) -> Vec<Op> {
    let end = log.synced_index() + 1;
    vec![Op::PutJournalStart(needed_from), Op::PutJournalEnd(end)]
}

/// How long the log may be.
#[derive(Default)]
pub(super) struct LogLength {
    /// What queues say that the log must keep takes so many bytes there.
    said_bytes: u64,
}

impl LogLength {
    /// So many parts: twice what is needed at least, so that what is said again is less than what goes.
    pub fn most_parts(&self, shared: &Shared, log: &dyn Log) -> usize {
        shared.options.most_log_files.max(2 * self.said_parts(log))
    }

    fn said_parts(&self, log: &dyn Log) -> usize {
        self.said_bytes.div_ceil(log.part_bytes().max(1)) as usize
    }

    /// Publishers wait while the log is so much longer than it may be that it is not shortened as fast
    /// as it grows.
    pub fn heed(&self, shared: &Shared, log: &dyn Log, engine: &Engine) {
        let (parts, most) = (log.starts().len(), self.most_parts(shared, log));
        if parts > most * FAR_TOO_LONG && log.failure().is_none() {
            engine.gate.set(Waits::ForRoom, true);
        } else if parts <= most * LONG_NO_MORE || log.failure().is_some() {
            engine.gate.set(Waits::ForRoom, false);
        }
    }
}

/// What shortening the log takes.
pub(super) struct Shortening<'a, 'p> {
    pub shared: &'a Arc<Shared>,
    pub log: &'a dyn Log,
    pub broker: &'a Broker,
    pub segments: &'a mut OpenSegments,
    pub length: &'a mut LogLength,
    pub barrier: &'a mut Barrier<'p>,
}

impl Shortening<'_, '_> {
    /// Shortens the log if it is too long.
    pub fn retire(&mut self) -> io::Result<()> {
        let (shared, log) = (self.shared, self.log);
        if !shared.unproven.is_empty() {
            return Ok(());
        }
        if log.synced_index() > 0
            && !shared.has_noted_journal.swap(true, Ordering::AcqRel)
            && let Some(catalog) = &shared.catalog
        {
            // Nothing waits for it: it is noted again with the next file.
            let start = log.starts().first().copied().unwrap_or(1);
            drop(catalog.submit(extent(log, start)));
        }
        let starts = log.starts();
        let surplus = starts
            .len()
            .checked_sub(self.length.most_parts(shared, log));
        match surplus {
            Some(surplus) if surplus > 0 => self.shorten(starts[surplus]),
            _ => Ok(()),
        }
    }

    /// Nobody appends: the log has a new part alone from now on, and gives back what only bursts need.
    pub fn rest(&mut self) -> io::Result<()> {
        let log = self.log;
        // What queues have to say is said again in the new part, and must be less than what goes.
        let is_worth_it = log.starts().len() > 1 + 2 * self.length.said_parts(log);
        if is_worth_it {
            log.begin_part()?;
            // Of no queue, so it says nothing; but a part is only there once something in it is synced.
            let begun = log.append(&mut |records| records.settle(0, &[]));
            let begun = begun.map_err(io::Error::other)?;
            await_synced(log, begun, self.barrier.pause)?;
            let starts = log.starts();
            if let Some(before) = starts.last().filter(|_| starts.len() > 1) {
                self.shorten(*before)?;
            }
        }
        log.rest();
        Ok(())
    }

    /// Moves on what is needed of the log below that index, and lets it go.
    fn shorten(&mut self, before: u64) -> io::Result<()> {
        let Self {
            shared,
            log,
            broker,
            segments,
            length,
            barrier,
        } = self;
        let queues = broker.durable_queues();
        for queue in too_many(&queues, before, log.part_bytes() / CARRIED_SHARE) {
            shared.check_open()?;
            move_on(shared, segments, queue, before, barrier)?;
            length.heed(shared, *log, &broker.engine);
        }
        for queue in &queues {
            shared.check_open()?;
            list(shared, segments, queue, before, barrier)?;
        }
        store_ids(shared, *log, broker, before, barrier.pause)?;
        let mut speech = Speech::new(*log, broker, before);
        for queue in &queues {
            shared.check_open()?;
            // A segment that the catalog names comes back at the next start, with all that the log does not
            // call settled. It is about to name those that are open.
            let id = queue.id().0;
            let has_segments = shared.has_listed(id) || segments.has(id);
            if let Some(checkpoint) = queue.checkpoint(before, has_segments) {
                speech.add(queue, checkpoint, barrier.pause)?;
            }
        }
        speech.say(barrier.pause)?;
        // What has become of messages below may be all that the log says of them above.
        barrier.wait()?;
        length.said_bytes = queues.iter().map(|queue| queue.said_bytes()).sum();
        if let Some(catalog) = &shared.catalog {
            let noted = catalog.submit(extent(*log, before)).wait();
            noted.map_err(io::Error::other)?;
        }
        log.release_below(before);
        Ok(())
    }
}

/// The queues whose leftovers go to segments: those that have many, and the larger ones of the others,
/// so that what is put at the log's end again is no more than so many bytes.
fn too_many(queues: &[Arc<Queue>], before: u64, most_bytes: u64) -> Vec<&Arc<Queue>> {
    let mut moving = Vec::new();
    let mut few = Vec::new();
    for queue in queues {
        match queue.leftover(before) {
            Some(Leftover::Many) => moving.push(queue),
            Some(Leftover::Few(bytes)) => few.push((bytes as u64, queue)),
            None => {}
        }
    }
    few.sort_by_key(|(bytes, _)| *bytes);
    let mut carried_bytes = 0;
    for (bytes, queue) in few {
        carried_bytes += bytes;
        if carried_bytes > most_bytes {
            moving.push(queue);
        }
    }
    moving
}

/// What queues have to say, some of them at a time.
struct Speech<'a> {
    log: &'a dyn Log,
    broker: &'a Broker,
    before: u64,
    checkpoints: Vec<(&'a Queue, Checkpoint)>,
    bytes: u64,
}

impl<'a> Speech<'a> {
    fn new(log: &'a dyn Log, broker: &'a Broker, before: u64) -> Self {
        Self {
            log,
            broker,
            before,
            checkpoints: Vec::new(),
            bytes: 0,
        }
    }

    fn add(
        &mut self,
        queue: &'a Queue,
        checkpoint: Checkpoint,
        pause: &mut dyn FnMut(),
    ) -> io::Result<()> {
        self.bytes += checkpoint.bytes();
        self.checkpoints.push((queue, checkpoint));
        match self.bytes >= SPEECH_BYTES {
            true => self.say(pause),
            false => Ok(()),
        }
    }

    /// Has the log hear it, and waits until that is synced.
    fn say(&mut self, pause: &mut dyn FnMut()) -> io::Result<()> {
        self.bytes = 0;
        let checkpoints = std::mem::take(&mut self.checkpoints);
        if checkpoints.is_empty() {
            return Ok(());
        }
        // What a checkpoint calls settled may be a dead letter that the log does not have yet.
        self.broker.engine.flights.wait(pause);
        let appended = append_all(self.log, &checkpoints, pause);
        for (queue, checkpoint) in &checkpoints {
            match appended {
                Ok(()) => queue.said(self.before, checkpoint),
                Err(_) => queue.not_said(checkpoint),
            }
        }
        appended
    }
}

/// Ids that exchanges must not forget, and that only old records have, go to the catalog: once the
/// messages are synced that they belong to.
fn store_ids(
    shared: &Shared,
    log: &dyn Log,
    broker: &Broker,
    before: u64,
    pause: &mut dyn FnMut(),
) -> io::Result<()> {
    let Some(catalog) = &shared.catalog else {
        return Ok(());
    };
    for (vhost, exchange) in broker.exchanges_with_ids() {
        let storing = {
            let _turn = vhost.passing().lock();
            exchange.ids_to_store(before)
        };
        if storing.is_empty() {
            continue;
        }
        await_synced(log, storing.synced_at, pause)?;
        let stored = catalog.submit(storing.ops(exchange.id().0));
        stored.wait().map_err(io::Error::other)?;
        exchange.ids_stored(storing);
    }
    Ok(())
}

/// Appends the checkpoints and waits until they are synced.
fn append_all(
    log: &dyn Log,
    checkpoints: &[(&Queue, Checkpoint)],
    pause: &mut dyn FnMut(),
) -> io::Result<()> {
    let mut last_index = 0;
    for (queue, checkpoint) in checkpoints {
        last_index = append(log, queue.id().0, checkpoint)?.max(last_index);
    }
    await_synced(log, last_index, pause)
}

/// A queue's leftovers go to its segment.
fn move_on(
    shared: &Arc<Shared>,
    segments: &mut OpenSegments,
    queue: &Arc<Queue>,
    before: u64,
    barrier: &mut Barrier<'_>,
) -> io::Result<()> {
    loop {
        let moving = queue.chunks_logged_before(before);
        if moving.is_empty() {
            break;
        }
        let mut placed = Vec::new();
        for moves in moving {
            let page = match moves {
                Moving::Held(page) => page,
                Moving::Stored(stored) => {
                    let chunk = reading::read(shared, &stored).map_err(io::Error::other)?;
                    PageOut::of(&stored, chunk)
                }
            };
            let stored = segments.write(shared, queue, &page, barrier);
            let stored = stored.inspect_err(|_| segments.give_up(queue.id().0))?;
            placed.push((page.band, page.first, stored));
        }
        queue.kept(placed);
        segments.close_if_full(shared, queue.id().0, barrier)?;
    }
    Ok(())
}

/// A segment with messages that the log is about to forget is listed.
fn list(
    shared: &Arc<Shared>,
    segments: &mut OpenSegments,
    queue: &Arc<Queue>,
    before: u64,
    barrier: &mut Barrier<'_>,
) -> io::Result<()> {
    if queue.waits_for_catalog(before) {
        segments.close(shared, queue.id().0, barrier)?;
    }
    if queue.waits_for_catalog(before) {
        return Err(io::Error::other("messages are not where they should be"));
    }
    Ok(())
}

fn append(log: &dyn Log, queue: u64, checkpoint: &Checkpoint) -> io::Result<u64> {
    let full = |error: AppendError| io::Error::other(error.to_string());
    let mut last_index = log
        .append(&mut |records| encode_state(records, queue, checkpoint))
        .map_err(full)?;
    let mut rest = checkpoint.messages.as_slice();
    while !rest.is_empty() {
        let (mut count, mut bytes) = (0, 0);
        while count < rest.len() && bytes < BATCH_BYTES {
            bytes += rest[count].bytes();
            count += 1;
        }
        let (now, later) = rest.split_at(count);
        rest = later;
        last_index = log
            .append(&mut |records| {
                for kept in now {
                    let message = kept.message();
                    let record = NewMessage {
                        persistent: message.facts.persistent,
                        priority: message.facts.priority,
                        has_bcc: message.facts.has_bcc,
                        placements: &[kept.placement],
                        settles: &[],
                        seen: &[],
                        exchange: message.exchange,
                        routing_key: message.routing_key,
                        properties: message.properties,
                        body: message.body.as_slice(),
                    };
                    // It was taken once before.
                    let _ = records.message(&record);
                }
            })
            .map_err(full)?;
    }
    Ok(last_index)
}

fn encode_state(records: &mut dyn Records, queue: u64, checkpoint: &Checkpoint) {
    for ranges in checkpoint.settled.chunks(RANGES_AT_ONCE) {
        records.settle(queue, ranges);
    }
    for sequence in &checkpoint.cursors {
        records.cursor(queue, *sequence);
    }
    for (range, returns) in &checkpoint.returned {
        records.returned(queue, *range, *returns);
    }
    for waiting in checkpoint.waiting.chunks(RANGES_AT_ONCE) {
        records.waiting(queue, waiting);
    }
    for letters in checkpoint.letters.chunks(RANGES_AT_ONCE) {
        records.letters(queue, letters);
    }
}
