//! The storage thread: takes what gathered, writes it, syncs it once, says that it is safe. It
//! waits for nothing but work: a lone message is written at once, and while a batch is being
//! synced, the next one gathers. Records that nobody waits for go along with the next message, or
//! after a moment: a sync for them alone would hold up the message behind them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::Fsync;
use super::gather::{Awaited, Taken};
use super::shared::Shared;
use super::writer::Writer;
use crate::store::disk::AlignedBuffer;

/// When nothing was written for so long, what was synced last is promised in a mark.
const IDLE: Duration = Duration::from_millis(20);
/// Records that nobody waits for are written after so long ...
const LAZY: Duration = Duration::from_millis(5);
/// ... or once they are so many bytes.
const LAZY_BYTES: usize = 256 << 10;
/// A message that comes so soon after the last sync is worth looking out for.
const WATCH: Duration = Duration::from_micros(100);
/// An idle journal keeps buffers of at most so many bytes.
const IDLE_BUFFER_BYTES: usize = 256 << 10;

/// Starts the storage thread and the upkeep thread.
pub(super) fn start(shared: &Arc<Shared>, mut writer: Writer) -> io::Result<Vec<JoinHandle<()>>> {
    let (storing, keeping) = (Arc::clone(shared), Arc::clone(shared));
    let storage = thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            let _guard = FailOnPanic(&storing);
            if let Err(error) = run(&storing, &mut writer) {
                storing.fail(&error.to_string());
            }
        })?;
    let upkeep = thread::Builder::new()
        .name("journal-upkeep".to_owned())
        .spawn(move || {
            let _guard = FailOnPanic(&keeping);
            keeping.run_upkeep();
        })?;
    Ok(vec![storage, upkeep])
}

/// A bug must not leave publishers waiting for ever.
struct FailOnPanic<'a>(&'a Shared);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("a thread of the journal has panicked");
        }
    }
}

/// Looking out for the next message instead of sleeping, for a moment, if the last one came as
/// quickly. A lone publisher that waits for each confirm is spared the thread's waking up, which
/// takes a fifth of the time that the disk does.
struct Watch {
    is_worth_it: bool,
    call: Arc<AtomicBool>,
}

impl Watch {
    fn new(shared: &Shared) -> Self {
        Self {
            is_worth_it: false,
            call: Arc::clone(&shared.gather.lock().call),
        }
    }

    /// Until somebody calls or the time is over. Whoever else wants the processor has it.
    fn out(&self, until: Instant) {
        while !self.call.load(Ordering::Acquire) && Instant::now() < until {
            thread::yield_now();
        }
    }
}

enum Work {
    Write(Taken),
    Sync,
    Mark,
    Close,
}

fn run(shared: &Shared, writer: &mut Writer) -> io::Result<()> {
    let mut buffer = AlignedBuffer::default();
    let mut synced_at = Instant::now();
    let mut watch = Watch::new(shared);
    loop {
        let due = match shared.options.fsync {
            Fsync::Interval(interval) if writer.is_dirty() => Some(synced_at + interval),
            _ => None,
        };
        match wait(shared, writer, &mut buffer, &mut watch, due) {
            Work::Write(taken) => {
                store(shared, writer, &mut buffer, &taken)?;
                if due.is_some_and(|due| due <= Instant::now()) {
                    sync(shared, writer)?;
                    synced_at = Instant::now();
                }
            }
            Work::Sync => {
                sync(shared, writer)?;
                synced_at = Instant::now();
            }
            Work::Mark => {
                mark(shared, writer)?;
                buffer.shrink_to(IDLE_BUFFER_BYTES);
                shared.gather.lock().shrink(IDLE_BUFFER_BYTES);
            }
            Work::Close => return close(shared, writer),
        }
    }
}

/// Waits for what is to be done next. What gathered comes first.
fn wait(
    shared: &Shared,
    writer: &Writer,
    buffer: &mut AlignedBuffer,
    watch: &mut Watch,
    sync_due: Option<Instant>,
) -> Work {
    let began = Instant::now();
    let mut mark_due = writer.wants_mark().then(|| Instant::now() + IDLE);
    let mut lazy_due: Option<Instant> = None;
    let mut gather = shared.gather.lock();
    loop {
        let has_work = gather.has_work();
        let is_lazy = has_work
            && !gather.is_urgent
            && !gather.wants_sync
            && !gather.is_closing
            && gather.gathered_bytes() < LAZY_BYTES;
        if is_lazy {
            lazy_due.get_or_insert_with(|| Instant::now() + LAZY);
        }
        if has_work && (!is_lazy || lazy_due.is_some_and(|due| due <= Instant::now())) {
            watch.is_worth_it =
                shared.options.busy_wait && gather.is_urgent && began.elapsed() < WATCH;
            return Work::Write(gather.take(buffer));
        }
        if std::mem::take(&mut watch.is_worth_it) && !gather.is_closing && !gather.wants_sync {
            gather.awaited = Awaited::Call;
            MutexGuard::unlocked(&mut gather, || watch.out(began + WATCH));
            gather.awaited = Awaited::Nothing;
            watch.call.store(false, Ordering::Relaxed);
            continue;
        }
        if gather.is_closing {
            return Work::Close;
        }
        if std::mem::take(&mut gather.wants_sync) {
            return Work::Sync;
        }
        gather.awaited = if is_lazy {
            Awaited::Urgent
        } else {
            Awaited::Anything
        };
        // A batch is a mark as well.
        let mark = mark_due.filter(|_| !has_work);
        let due = [sync_due, mark, lazy_due].into_iter().flatten().min();
        match due {
            Some(due) => {
                shared.work.wait_until(&mut gather, due);
            }
            None => shared.work.wait(&mut gather),
        }
        gather.awaited = Awaited::Nothing;
        let now = Instant::now();
        if sync_due.is_some_and(|due| due <= now) {
            return Work::Sync;
        }
        if !gather.has_work() && mark_due.take_if(|due| *due <= now).is_some() {
            return Work::Mark;
        }
    }
}

/// Writes what was taken and makes it as safe as the options want.
pub(super) fn store(
    shared: &Shared,
    writer: &mut Writer,
    buffer: &mut AlignedBuffer,
    taken: &Taken,
) -> io::Result<()> {
    if let Some(index) = taken.truncate_from {
        writer.truncate_from(index)?;
        shared.synced.store(writer.synced(), Ordering::Release);
        shared.safeties.truncate(index - 1);
    }
    if taken.begins_file {
        writer.begin_file(taken.first_index)?;
    }
    writer.write(buffer, taken.first_index, taken.records)?;
    shared.written.store(writer.written(), Ordering::Release);
    if shared.options.fsync == Fsync::Always {
        sync(shared, writer)?;
    } else {
        shared.synced.store(writer.synced(), Ordering::Release);
        shared.safeties.advance(writer.written());
    }
    shared.gather.lock().written();
    Ok(())
}

/// Syncs what was written.
pub(super) fn sync(shared: &Shared, writer: &mut Writer) -> io::Result<()> {
    writer.sync()?;
    shared.synced.store(writer.synced(), Ordering::Release);
    shared.safeties.advance(writer.written());
    Ok(())
}

/// Promises what was synced last.
pub(super) fn mark(shared: &Shared, writer: &mut Writer) -> io::Result<()> {
    writer.write_mark()?;
    if shared.options.fsync == Fsync::Always {
        writer.sync()?;
    }
    Ok(())
}

/// Everything is synced and promised.
pub(super) fn close(shared: &Shared, writer: &mut Writer) -> io::Result<()> {
    sync(shared, writer)?;
    if writer.wants_mark() {
        writer.write_mark()?;
        writer.sync()?;
    }
    Ok(())
}
