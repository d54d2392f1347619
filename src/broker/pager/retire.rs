//! Makes old files of the log free again: whatever still lives in them moves on.
//!
//! In: the log's files. Out: "nothing below this index is needed". Before that is said, for every
//! durable queue: messages whose only durable copy lies below are in a listed segment, or at the
//! end of the log once more, if they are few; and the end of the log says once more what is settled,
//! delivered and given back. So whatever lies below says nothing that is not said above.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::barrier::Barrier;
use super::segments::OpenSegments;
use super::{Shared, reading};
use crate::broker::Broker;
use crate::broker::log::{AppendError, Log, NewMessage, Records};
use crate::broker::queue::{Checkpoint, Moving, PageOut, Queue};
use crate::store::catalog::Op;

/// The log is given so much at once.
const BATCH_BYTES: usize = 1 << 20;

/// Notes how far the log has come, so that the next start misses what is gone. Nothing waits for
/// it: it is noted again with the next file.
fn note_end(shared: &Shared, log: &dyn Log) {
    if let Some(catalog) = &shared.catalog {
        let end = log.synced_index() + 1;
        drop(catalog.submit(vec![Op::PutJournalEnd(end)]));
    }
}

/// Shortens the log if it is too long.
pub(super) fn retire(
    shared: &Arc<Shared>,
    log: &dyn Log,
    broker: &Broker,
    segments: &mut OpenSegments,
    barrier: &mut Barrier<'_>,
) -> io::Result<()> {
    if log.synced_index() > 0 && !shared.has_noted_journal.swap(true, Ordering::AcqRel) {
        note_end(shared, log);
    }
    let starts = log.starts();
    let Some(surplus) = starts
        .len()
        .checked_sub(shared.options.most_log_files)
        .filter(|surplus| *surplus > 0)
    else {
        return Ok(());
    };
    let before = starts[surplus];
    let queues = broker.durable_queues();
    for queue in &queues {
        move_on(shared, segments, queue, before, barrier)?;
    }
    let mut checkpoints: Vec<(u64, Checkpoint)> = Vec::new();
    for queue in &queues {
        // A segment that the catalog names comes back at the next start, with all that the log does not
        // call settled.
        let has_segments = shared.has_listed(queue.id().0);
        if let Some(checkpoint) = queue.checkpoint(before, has_segments) {
            checkpoints.push((queue.id().0, checkpoint));
        }
    }
    store_ids(shared, log, broker, before, barrier.pause)?;
    // What a checkpoint calls settled may be a dead letter that the log does not have yet.
    broker.engine.flights.wait(barrier.pause);
    let appended = append_all(log, &checkpoints, barrier.pause);
    match &appended {
        Ok(()) => {
            log.release_below(before);
            note_end(shared, log);
        }
        Err(_) => queues.iter().for_each(|queue| queue.checkpoint_again()),
    }
    appended
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

/// Waits until the log is synced so far.
fn await_synced(log: &dyn Log, index: u64, pause: &mut dyn FnMut()) -> io::Result<()> {
    log.sync_soon();
    while log.synced_index() < index {
        if let Some(reason) = log.failure() {
            return Err(io::Error::other(reason));
        }
        pause();
    }
    Ok(())
}

/// Appends the checkpoints and waits until they are synced.
fn append_all(
    log: &dyn Log,
    checkpoints: &[(u64, Checkpoint)],
    pause: &mut dyn FnMut(),
) -> io::Result<()> {
    let mut last_index = 0;
    for (queue, checkpoint) in checkpoints {
        last_index = append(log, *queue, checkpoint)?.max(last_index);
    }
    await_synced(log, last_index, pause)
}

/// Large leftovers go to the queue's segment, which is then listed.
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
    if !checkpoint.settled.is_empty() {
        records.settle(queue, &checkpoint.settled);
    }
    for sequence in &checkpoint.cursors {
        records.cursor(queue, *sequence);
    }
    for (place, returns) in &checkpoint.returned {
        records.returned(*place, *returns);
    }
    if !checkpoint.waiting.is_empty() {
        records.waiting(queue, &checkpoint.waiting);
    }
}
