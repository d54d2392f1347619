//! The catalog's thread: commits what gathered in one transaction, then tells who waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use redb::{Database, ReadableTable};
use tokio::sync::oneshot;

use super::open::Opened;
use super::room::Room;
use super::tables::{META, apply};
use super::{CatalogError, Change, Contents, Op};

/// Ids are reserved in blocks of so many.
const ID_BLOCK: u64 = 1 << 16;
/// At most so many changes go into one transaction.
const MOST_AT_ONCE: usize = 512;
/// And no more once these have so many bytes: all of it is to fit into the room set aside.
const MOST_BYTES_AT_ONCE: usize = 1 << 20;
/// So often room is looked for where there is none.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(500);

/// The catalog's revision once a change is stored, or why it is not.
pub type Answer = Result<u64, CatalogError>;

/// See the module `catalog`.
#[derive(Debug)]
pub struct Catalog {
    requests: Mutex<Option<Sender<Request>>>,
    ids: Arc<Ids>,
    room: Room,
    is_closing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    journal_end: u64,
}

enum Request {
    Apply(Change, Then),
    ReserveIds,
}

/// What is to be called with the answer. Dropped without one, it was closed.
struct Then(Option<Box<dyn FnOnce(Answer) + Send>>);

impl Then {
    fn answer(mut self, answer: Answer) {
        if let Some(then) = self.0.take() {
            then(answer);
        }
    }
}

impl Drop for Then {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then(Err(closed()));
        }
    }
}

/// Ids that may be given out.
#[derive(Debug)]
struct Ids {
    state: Mutex<IdState>,
    more: Condvar,
}

#[derive(Debug)]
struct IdState {
    next: u64,
    /// Reserved durably, up to before it.
    end: u64,
    is_reserving: bool,
    failure: Option<CatalogError>,
}

/// Resolves when a change is stored, with the catalog's revision, or when it can't be.
#[derive(Debug)]
#[must_use]
pub struct Stored(oneshot::Receiver<Answer>);

impl Stored {
    /// Waits for it. Not to be called from an asynchronous task.
    ///
    /// # Errors
    /// The change was not stored.
    pub fn wait(self) -> Answer {
        self.0.blocking_recv().unwrap_or_else(|_| Err(closed()))
    }
}

impl Future for Stored {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(closed())))
    }
}

fn closed() -> CatalogError {
    CatalogError::Failed("it is closed".to_owned())
}

/// Starts the thread, with a first block of ids.
pub(super) fn start(opened: Opened) -> Result<(Catalog, Contents), CatalogError> {
    let Opened {
        database,
        contents,
        next_id,
        mut room,
    } = opened;
    // It may have grown, or become shorter.
    room.keep();
    let ids = Arc::new(Ids {
        state: Mutex::new(IdState {
            next: next_id,
            end: next_id,
            is_reserving: true,
            failure: None,
        }),
        more: Condvar::new(),
    });
    let (requests, inbox) = channel();
    let for_thread = Arc::clone(&ids);
    let revision = contents.revision;
    let for_clients = room.clone();
    let is_closing = Arc::new(AtomicBool::new(false));
    let closes = Arc::clone(&is_closing);
    requests.send(Request::ReserveIds).map_err(|_| closed())?;
    let thread = thread::Builder::new()
        .name("catalog".to_owned())
        .spawn(move || run(&database, &inbox, &for_thread, room, &closes, revision))?;
    let catalog = Catalog {
        requests: Mutex::new(Some(requests)),
        ids,
        room: for_clients,
        is_closing,
        thread: Mutex::new(Some(thread)),
        journal_end: contents.journal_end,
    };
    Ok((catalog, contents))
}

impl Catalog {
    /// Stores a change.
    pub fn submit(&self, change: Change) -> Stored {
        let (answer, stored) = oneshot::channel();
        self.submit_then(change, |outcome| {
            // Who no longer waits need not be told.
            let _ = answer.send(outcome);
        });
        Stored(stored)
    }

    /// Stores a change, then calls `then` with the catalog's revision, or with why it is not stored:
    /// from the catalog's thread, in the order of the changes, or at once if the catalog is closed.
    /// It must not block.
    pub fn submit_then(&self, change: Change, then: impl FnOnce(Answer) + Send + 'static) {
        self.send(Request::Apply(change, Then(Some(Box::new(then)))));
    }

    /// Whether there is room on the disk for more changes. Where there is none, what is submitted all the
    /// same may still be stored, or end the catalog's work; it is looked for again every half second.
    pub fn has_room(&self) -> bool {
        self.room.is_there()
    }

    /// The journal had every record below that index when that was last noted; 0 if there never was
    /// one. As it was when the catalog was opened.
    pub fn journal_end(&self) -> u64 {
        self.journal_end
    }

    /// An id that was never given out before and never will be again. Waits for the disk only if
    /// tens of thousands were asked for within one transaction's time.
    ///
    /// # Errors
    /// The catalog has failed.
    pub fn next_id(&self) -> Result<u64, CatalogError> {
        let mut state = self.ids.state.lock();
        if state.end - state.next < ID_BLOCK / 2 && !state.is_reserving {
            state.is_reserving = true;
            self.send(Request::ReserveIds);
        }
        while state.next >= state.end {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            self.ids.more.wait(&mut state);
        }
        let id = state.next;
        state.next += 1;
        Ok(id)
    }

    /// From now on what is submitted does not wait for room, because the broker is about to stop.
    pub fn wait_no_more(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// Stores what was submitted, and ends the thread. Dropping does the same.
    pub fn close(&self) {
        self.wait_no_more();
        drop(self.requests.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }

    /// A request that can't be sent is dropped, which tells whoever waits.
    fn send(&self, request: Request) {
        let requests = self.requests.lock();
        let unsent = match &*requests {
            Some(requests) => requests.send(request).err().map(|error| error.0),
            None => Some(request),
        };
        drop(requests);
        drop(unsent);
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Ends ids, however the thread does.
struct FailIds<'a>(&'a Ids);

impl Drop for FailIds<'_> {
    fn drop(&mut self) {
        self.0.state.lock().failure.get_or_insert_with(closed);
        self.0.more.notify_all();
    }
}

/// The next request; until it comes, room is looked for if there is none.
fn next(inbox: &Receiver<Request>, room: &mut Room) -> Option<Request> {
    while !room.is_there() {
        match inbox.recv_timeout(LOOK_FOR_ROOM) {
            Ok(request) => return Some(request),
            Err(RecvTimeoutError::Timeout) => room.keep(),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    inbox.recv().ok()
}

fn run(
    database: &Database,
    inbox: &Receiver<Request>,
    ids: &Ids,
    mut room: Room,
    is_closing: &AtomicBool,
    mut revision: u64,
) {
    let _guard = FailIds(ids);
    let mut failure: Option<CatalogError> = None;
    while let Some(first) = next(inbox, &mut room) {
        let mut changes = Vec::new();
        let mut answers = Vec::new();
        let mut reserves = false;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Apply(change, answer) => {
                    bytes += change.iter().map(Op::bytes).sum::<usize>();
                    changes.push(change);
                    answers.push(answer);
                }
                Request::ReserveIds => reserves = true,
            }
            let is_enough = changes.len() >= MOST_AT_ONCE || bytes >= MOST_BYTES_AT_ONCE;
            next = (!is_enough).then(|| inbox.try_recv().ok()).flatten();
        }
        // What is under way waits: it can't be refused any more, and a write that fails is the last.
        while failure.is_none() && !room.take(bytes) && !is_closing.load(Ordering::Acquire) {
            thread::sleep(LOOK_FOR_ROOM);
            room.keep();
        }
        let first_revision = revision + 1;
        let outcome = match &failure {
            // A failed commit may or may not be on the disk: what follows can't build on it.
            Some(failure) => Err(failure.clone()),
            None => commit(database, &changes, reserves, ids, revision),
        };
        match outcome {
            Ok(()) => {
                revision += changes.len() as u64;
                // Before anybody hears of it, and wants more.
                room.keep();
            }
            Err(ref error) => {
                if failure.is_none() {
                    tracing::error!(%error, "nothing more is stored in the catalog");
                    failure = Some(error.clone());
                    ids.state.lock().failure = Some(error.clone());
                    ids.more.notify_all();
                }
            }
        }
        for (answer, revision) in answers.into_iter().zip(first_revision..) {
            answer.answer(outcome.clone().map(|()| revision));
        }
    }
}

/// One transaction.
fn commit(
    database: &Database,
    changes: &[Change],
    reserves: bool,
    ids: &Ids,
    revision: u64,
) -> Result<(), CatalogError> {
    let transaction = database.begin_write()?;
    for op in changes.iter().flatten() {
        apply(&transaction, op)?;
    }
    let mut reserved_end = None;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("revision", revision + changes.len() as u64)?;
        if reserves {
            let next = meta.get("next_id")?.map_or(1, |value| value.value());
            meta.insert("next_id", next + ID_BLOCK)?;
            reserved_end = Some(next + ID_BLOCK);
        }
    }
    transaction.commit()?;
    if let Some(end) = reserved_end {
        let mut state = ids.state.lock();
        state.end = end;
        state.is_reserving = false;
        ids.more.notify_all();
    }
    Ok(())
}
