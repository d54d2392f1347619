//! How many clients may be at the management pages, and who makes room when all places are taken.
//!
//! A client that has not said what it wants yet gives its place to whoever comes: the one that has been
//! silent for longest. So sockets that are opened and left alone, however many, keep nobody from the
//! pages. If all are being answered, whoever comes is turned away.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// See the module.
pub(super) struct Seats {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// In the order in which they came.
    taken: BTreeMap<u64, Guest>,
}

#[derive(Default)]
struct Guest {
    task: Option<AbortHandle>,
    has_asked: bool,
}

/// A place; free again when it is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

impl Seats {
    /// So many places.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            state: Mutex::default(),
        })
    }

    /// Runs what `serve` makes of a place as a task, if there is one or somebody gives it up. Must be
    /// called within a tokio runtime.
    pub fn seat<Served>(self: &Arc<Self>, serve: impl FnOnce(Seat) -> Served)
    where
        Served: Future<Output = ()> + Send + 'static,
    {
        let Some(number) = self.take() else { return };
        let seats = Arc::clone(self);
        // Without the lock: a runtime that ends drops the task at once, and its seat.
        let task = tokio::spawn(serve(Seat { seats, number }));
        if let Some(guest) = self.state.lock().taken.get_mut(&number) {
            guest.task = Some(task.abort_handle());
        }
    }

    fn take(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.taken.len() >= self.most {
            let mut guests = state.taken.iter();
            let silent = guests.find(|(_, guest)| !guest.has_asked && guest.task.is_some());
            let number = silent.map(|(number, _)| *number)?;
            let task = state.taken.remove(&number).and_then(|guest| guest.task);
            task.inspect(AbortHandle::abort);
        }
        let number = state.next;
        state.next += 1;
        state.taken.insert(number, Guest::default());
        Some(number)
    }
}

impl Seat {
    /// The client has said what it wants: it keeps its place.
    pub fn has_asked(&self) {
        if let Some(guest) = self.seats.state.lock().taken.get_mut(&self.number) {
            guest.has_asked = true;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.state.lock().taken.remove(&self.number);
    }
}
