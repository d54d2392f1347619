//! Paging: chunks that do not fit a queue's window in memory go to segments and come back when they
//! are needed; the log's files are made free again.
//!
//! ```text
//! a queue past its window ─▶ writing.rs (one thread) ─▶ segments ─▶ reading.rs (two threads) ─▶ the queue
//!                              │  segments.rs: which are written    unreadable.rs: what is tried again
//!                              │                                    proving.rs: what is read after a start
//!                              ├─▶ retire.rs: what still lives in an old file of the log moves on
//!                              │     rest.rs: and in all of them, when nobody writes
//!                              ├─▶ rewrite.rs: what still lives in a sparse segment moves to a small one
//!                              └─▶ troubles.rs: what fails again and again, in the log now and then
//! ```
//!
//! Queues ask under their locks and are called back without; no lock is held over I/O.

mod barrier;
mod options;
mod proving;
mod reading;
mod rest;
mod retire;
mod rewrite;
mod segments;
mod troubles;
mod unreadable;
mod writing;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::Mutex;

pub use self::options::PagingOptions;

use self::proving::Unproven;
use self::reading::{Call, Load, Reading};
use self::writing::{Task, Writing};
use super::engine::Waits;
use super::log::Log;
use super::queue::Queue;
use super::{Broker, Engine};
use crate::store::catalog::Catalog;
use crate::store::disk::Disk;
use crate::store::journal::Drive;
use crate::store::quarantine::DamagedChunks;
use crate::store::segment::{self, ChunkEntry, ChunkError, StoredChunk};

/// While one waits for the disk, another makes a chunk of what it read.
const READERS: usize = 2;
/// So much beyond their windows may queues hold together until publishers wait ...
const MOST_DEBT_BYTES: usize = 16 << 20;
/// ... and so much when they may go on.
const LOW_DEBT_BYTES: usize = 8 << 20;

/// A chunk's place in a segment. The segment's file goes with the last of them.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The segment.
    pub(super) segment: Arc<SegmentFile>,
    /// Where in it.
    pub(super) entry: ChunkEntry,
}

/// A segment that somebody still needs.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub queue: u64,
    pub number: u64,
    /// The catalog names it, or may do.
    pub is_listed: AtomicBool,
    /// The system's cache does not have it: it was not written through there, or by an earlier run.
    is_past_cache: bool,
    /// It could not be closed: it can be read, but the catalog will never be sure to name it.
    is_given_up: AtomicBool,
    /// What its chunks take, once it takes no more of them.
    closed_bytes: AtomicU64,
    /// What their messages take that are not settled, roughly.
    live_bytes: AtomicU64,
    /// It is among those that may be sparse.
    is_noted: AtomicBool,
    shared: Arc<Shared>,
}

impl SegmentFile {
    /// The catalog names it, or may do.
    fn list(&self) {
        self.is_listed.store(true, Ordering::Release);
        *self.shared.listed.lock().entry(self.queue).or_default() += 1;
    }

    /// It is of no use after a restart.
    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    /// It takes no more chunks than these.
    fn closed(self: &Arc<Self>, chunks: &[ChunkEntry]) {
        let bytes = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        self.closed_bytes.store(bytes, Ordering::Release);
        self.note_if_sparse();
    }

    /// Messages in it that are not settled take so much more.
    pub(super) fn weigh(self: &Arc<Self>, bytes: u64) {
        self.live_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.note_if_sparse();
    }

    /// Messages in it that took so much are settled.
    pub(super) fn lighten(self: &Arc<Self>, bytes: u64) {
        self.live_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.note_if_sparse();
    }

    /// Whether it is worth being rewritten.
    fn is_sparse(&self) -> bool {
        let options = &self.shared.options;
        let bytes = self.closed_bytes.load(Ordering::Acquire);
        let live_bytes = self.live_bytes.load(Ordering::Acquire);
        bytes > 0
            && bytes >= options.sparse_bytes
            && live_bytes.saturating_mul(options.sparse_share) < bytes
            && !self.is_given_up.load(Ordering::Acquire)
    }

    fn note_if_sparse(self: &Arc<Self>) {
        if self.is_sparse() && !self.is_noted.swap(true, Ordering::AcqRel) {
            self.shared.sparse.lock().push_back(Arc::downgrade(self));
        }
    }
}

impl Stored {
    /// What its place is called where damage is kept.
    pub(super) fn place(&self) -> String {
        let SegmentFile { queue, number, .. } = &*self.segment;
        segment::place_of(*queue, *number, &self.entry)
    }

    /// The chunk as damage is told of it.
    pub(super) fn damage(&self, error: &ChunkError) -> DamagedChunks {
        let is_copied = matches!(
            error,
            ChunkError::Damaged {
                kept_in: Some(_),
                ..
            }
        );
        let SegmentFile { queue, number, .. } = &*self.segment;
        DamagedChunks::of(*queue, *number, &self.entry, is_copied)
    }

    /// Whether that is the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.segment.number == other.segment.number && self.entry.offset == other.entry.offset
    }

    /// Whether it survives a restart, now or as soon as its segment is closed.
    pub(super) fn is_for_good(&self) -> bool {
        !self.segment.is_given_up.load(Ordering::Acquire)
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if !self.shared.is_closing.load(Ordering::Acquire) {
            self.shared.send(Task::Remove {
                queue: self.queue,
                number: self.number,
                is_listed: *self.is_listed.get_mut(),
            });
        }
    }
}

/// What the pager works with.
pub struct Surroundings {
    /// Where segments lie.
    pub disk: Arc<dyn Disk>,
    /// Where the durable ones are listed.
    pub catalog: Option<Arc<Catalog>>,
    /// How much is written when.
    pub options: PagingOptions,
    /// Who does the work: the pager's threads, or whoever calls [`Pager::turn`].
    pub drive: Drive,
}

/// What is done in one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A chunk is read, or a stream's readers are served.
    Load,
    /// What could not be read is read again, if it is time.
    LoadAgain,
    /// A queue's chunks are written, or a segment is noted as one that nobody needs.
    Write,
    /// Chunks are proven after a start, such segments are removed, those that took nothing of late are closed,
    /// the log is shortened, or brought to rest.
    LookAfter,
    /// A segment of which little is needed is rewritten.
    Rewrite,
}

/// What the threads and everybody else share.
struct Shared {
    disk: Arc<dyn Disk>,
    catalog: Option<Arc<Catalog>>,
    options: PagingOptions,
    tasks: Mutex<Sender<Task>>,
    loads: Mutex<Sender<Call>>,
    next_segment: AtomicU64,
    /// How many segments the catalog names of each queue, those among them that nobody needs.
    listed: Mutex<HashMap<u64, usize>>,
    /// Segments that were seen to be sparse.
    sparse: Mutex<VecDeque<Weak<SegmentFile>>>,
    /// Until they are proven the log is not shortened, and segments are not rewritten.
    unproven: Unproven,
    debt_bytes: AtomicUsize,
    /// The catalog knows by now that there is a journal.
    has_noted_journal: AtomicBool,
    is_closing: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pager").finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether the catalog may name segments of that queue.
    fn has_listed(&self, queue: u64) -> bool {
        self.listed.lock().contains_key(&queue)
    }

    /// The catalog does not name a segment of that queue any more.
    fn unlisted(&self, queue: u64) {
        let mut listed = self.listed.lock();
        if let Entry::Occupied(mut count) = listed.entry(queue) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// A segment that is worth being rewritten.
    fn sparse_segment(&self) -> Option<Arc<SegmentFile>> {
        loop {
            let noted = self.sparse.lock().pop_front()?;
            if let Some(segment) = noted.upgrade() {
                segment.is_noted.store(false, Ordering::Release);
                if segment.is_sparse() {
                    return Some(segment);
                }
            }
        }
    }

    /// Whether the broker stops: what is in the log needs no other place before that.
    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// An error if the broker stops.
    fn check_open(&self) -> io::Result<()> {
        match self.is_closing() {
            true => Err(io::Error::other("the broker stops")),
            false => Ok(()),
        }
    }

    fn send(&self, task: Task) {
        // After the end there is nothing to be done.
        let _ = self.tasks.lock().send(task);
    }
}

/// See the module.
pub struct Pager {
    shared: Arc<Shared>,
    drive: Drive,
    inboxes: Mutex<Option<(Receiver<Task>, Receiver<Call>)>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What the threads do, if there are none.
    manual: Mutex<Option<Manual>>,
}

struct Manual {
    broker: Weak<Broker>,
    writing: Writing,
    reading: Reading,
    tasks: Receiver<Task>,
    loads: Receiver<Call>,
}

impl Pager {
    /// A pager that does nothing yet. New segments get numbers from `next_segment` on, past those
    /// of all that are there.
    pub fn new(surroundings: Surroundings, next_segment: u64) -> Arc<Self> {
        let Surroundings {
            disk,
            catalog,
            options,
            drive,
        } = surroundings;
        let ((tasks, task_inbox), (loads, load_inbox)) = (channel(), channel());
        let shared = Arc::new(Shared {
            disk,
            catalog,
            options,
            tasks: Mutex::new(tasks),
            loads: Mutex::new(loads),
            next_segment: AtomicU64::new(next_segment),
            listed: Mutex::default(),
            sparse: Mutex::default(),
            unproven: Unproven::default(),
            debt_bytes: AtomicUsize::new(0),
            has_noted_journal: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
        });
        Arc::new(Self {
            shared,
            drive,
            inboxes: Mutex::new(Some((task_inbox, load_inbox))),
            threads: Mutex::default(),
            manual: Mutex::default(),
        })
    }

    /// A chunk of a segment that the catalog lists.
    pub fn listed(&self, queue: u64, number: u64, chunks: &[ChunkEntry]) -> Vec<Stored> {
        let segment = self.segment(queue, number);
        segment.list();
        segment.closed(chunks);
        let stored = chunks.iter().map(|entry| Stored {
            segment: Arc::clone(&segment),
            entry: *entry,
        });
        stored.collect()
    }

    /// Reads a chunk before the threads run. If it is damaged, a copy is kept if `sets_aside`.
    ///
    /// # Errors
    /// See [`ChunkError`].
    pub(super) fn read_at_start(
        &self,
        stored: &Stored,
        sets_aside: bool,
    ) -> Result<StoredChunk, ChunkError> {
        reading::read_at_start(&self.shared, stored, sets_aside)
    }

    /// A chunk is to be proven, of which the log has messages as well from that index on.
    pub(super) fn prove_later(&self, stored: &Stored, from: u64) {
        self.shared.unproven.add(stored.clone(), from);
    }

    /// Starts the threads; that log's parts are made free as the broker's queues let go of them.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(&self, broker: &Arc<Broker>, log: Option<Arc<dyn Log>>) -> io::Result<()> {
        let Some((tasks, loads)) = self.inboxes.lock().take() else {
            return Ok(());
        };
        let (shared, broker) = (Arc::clone(&self.shared), Arc::downgrade(broker));
        let writing = Writing::new(Arc::clone(&shared), Weak::clone(&broker), log);
        if self.drive == Drive::Manual {
            *self.manual.lock() = Some(Manual {
                broker,
                writing,
                reading: Reading::new(Arc::clone(&self.shared)),
                tasks,
                loads,
            });
            return Ok(());
        }
        let mut threads = self.threads.lock();
        let writer = std::thread::Builder::new().name("pages-out".to_owned());
        threads.push(writer.spawn(move || writing.run(&tasks))?);
        let loads = Arc::new(Mutex::new(loads));
        for _ in 0..READERS {
            let (reading, loads) = (Reading::new(Arc::clone(&self.shared)), Arc::clone(&loads));
            let reader = std::thread::Builder::new().name("pages-in".to_owned());
            threads.push(reader.spawn(move || reading.run(&loads))?);
        }
        if !shared.unproven.is_empty() {
            let prover = std::thread::Builder::new().name("proves".to_owned());
            threads.push(prover.spawn(move || proving::prove_all(&shared, &broker))?);
        }
        Ok(())
    }

    /// With [`Drive::Manual`], does a piece of work; says whether there was any. `pause` is called
    /// while the log's shortening waits for what others have to do: for what they changed to be
    /// logged, and for the log to be synced.
    pub fn turn(&self, turn: Turn, pause: &mut dyn FnMut()) -> bool {
        let mut manual = self.manual.lock();
        let Some(manual) = manual.as_mut() else {
            return false;
        };
        match turn {
            Turn::Load => match manual.loads.try_recv() {
                Ok(call) => manual.reading.answer(call),
                Err(_) => return false,
            },
            Turn::LoadAgain => return manual.reading.read_again(),
            Turn::Write => match manual.tasks.try_recv() {
                Ok(task) => manual.writing.work(task, pause),
                Err(_) => return false,
            },
            Turn::LookAfter => {
                proving::prove_all(&self.shared, &manual.broker);
                manual.writing.look_after(pause);
            }
            Turn::Rewrite => return manual.writing.rewrite(pause),
        }
        true
    }

    /// The queue holds more than its window.
    pub(super) fn page_out(&self, queue: &Arc<Queue>) {
        self.shared.send(Task::PageOut(Arc::downgrade(queue)));
    }

    /// The queue needs a chunk.
    pub(super) fn load(&self, queue: &Arc<Queue>, stored: Stored) {
        // Nobody else keeps it.
        let kept = queue.is_deleted().then(|| Arc::clone(queue));
        let queue = Arc::downgrade(queue);
        let _ = self.shared.loads.lock().send(Call::Read(Load {
            queue,
            _kept: kept,
            stored,
            tries: 0,
            told: None,
        }));
    }

    /// The stream's readers may be given more; they are, in a thread of the pager.
    pub(super) fn serve(&self, stream: &Arc<Queue>) {
        let stream = Arc::downgrade(stream);
        let _ = self.shared.loads.lock().send(Call::Serve(stream));
    }

    /// Queues hold so much more, or less, beyond their windows.
    pub(super) fn owe(&self, engine: &Engine, before_bytes: usize, now_bytes: usize) {
        let debt = &self.shared.debt_bytes;
        let total_bytes = if now_bytes >= before_bytes {
            let more = now_bytes - before_bytes;
            debt.fetch_add(more, Ordering::AcqRel) + more
        } else {
            let less = before_bytes - now_bytes;
            debt.fetch_sub(less, Ordering::AcqRel) - less
        };
        if total_bytes > MOST_DEBT_BYTES {
            engine.gate.set(Waits::ForPages, true);
            // Somebody may have paid meanwhile.
            if debt.load(Ordering::Acquire) < LOW_DEBT_BYTES {
                engine.gate.set(Waits::ForPages, false);
            }
        } else if total_bytes < LOW_DEBT_BYTES {
            engine.gate.set(Waits::ForPages, false);
        }
    }

    /// Ends the threads. Segments stay as they are.
    pub fn close(&self) {
        self.shared.is_closing.store(true, Ordering::Release);
        self.shared.send(Task::Close);
        let (closed, _) = channel();
        *self.shared.loads.lock() = closed;
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
        // They keep what keeps them.
        self.shared.unproven.clear();
        self.manual.lock().take();
    }

    fn segment(&self, queue: u64, number: u64) -> Arc<SegmentFile> {
        segment_file(&self.shared, queue, number, true)
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.close();
    }
}

fn segment_file(
    shared: &Arc<Shared>,
    queue: u64,
    number: u64,
    is_past_cache: bool,
) -> Arc<SegmentFile> {
    Arc::new(SegmentFile {
        queue,
        number,
        is_listed: AtomicBool::new(false),
        is_past_cache,
        is_given_up: AtomicBool::new(false),
        closed_bytes: AtomicU64::new(0),
        live_bytes: AtomicU64::new(0),
        is_noted: AtomicBool::new(false),
        shared: Arc::clone(shared),
    })
}

/// Who is paged may be gone.
type QueueRef = Weak<Queue>;
