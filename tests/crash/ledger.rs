//! The ledger: everything that clients know, in one order.
//!
//! Who sends something writes it down before; who receives something writes it down after. So an
//! entry that stands before another one is never later in truth, and what the broker was told and
//! what it said bracket what it knew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::letter::Letter;
use crate::plan::{QueueId, QueueInfo};

/// What may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Confirmed, or found after a restart, never acked, and not there.
    Lost,
    /// It was acked, purged, or seen to be gone, and came back.
    CameBack,
    /// The same letter twice in one queue.
    Twice,
    /// In a queue and in the one it was dead-lettered to.
    InBoth,
    /// In a queue that it was never sent to, or to a predecessor of it.
    Stranger,
    /// Body, properties, exchange or routing key are not what was published.
    Corrupt,
    /// What `x-death` and its like tell is not whole or not true.
    Deaths,
    /// Not in the order of publishing.
    Order,
    /// A lower priority before a higher one.
    Priority,
    /// It was given back and does not say that it was delivered before.
    NotRedelivered,
    /// It was delivered before a kill and does not say so.
    ForgotDelivery,
    /// It says that it was delivered before, and cannot have been.
    NeverDelivered,
    /// In its queue past its time to live.
    PastDeadline,
    /// Expired before its time.
    TooEarly,
    /// A transient letter after a restart.
    Transient,
    /// The broker's count is not what there is.
    Count,
    /// A queue, exchange or binding is missing, is still there, or is not what was declared.
    Topology,
    /// The broker or a connection ended, or was silent, when nobody had killed it.
    Trouble,
}

/// Something wrong with a message by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub kind: Kind,
    pub what: String,
}

impl Fault {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Fault {
            kind,
            what: what.into(),
        }
    }
}

/// Who receives letters: a channel that consumes from one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerId(pub u64);

/// What a consumer does with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    Ack,
    Requeue,
    Reject,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A queue is about to be declared that letters may be sent to.
    Queue(Arc<QueueInfo>),
    /// A letter is about to be sent, and this is where it has to go.
    Published {
        letter: Arc<Letter>,
        to: Arc<[QueueId]>,
    },
    Confirmed(u64),
    /// A consumer is about to ask for letters; an inspector reads all there is.
    Asked {
        consumer: ConsumerId,
        inspects: bool,
    },
    Delivered {
        consumer: ConsumerId,
        queue: QueueId,
        letter: Box<Letter>,
        redelivered: bool,
        faults: Vec<Fault>,
    },
    /// Something came that is no letter.
    Garbled {
        queue: QueueId,
        faults: Vec<Fault>,
    },
    /// A consumer is about to settle these.
    Settled {
        consumer: ConsumerId,
        ids: Vec<u64>,
        how: Settling,
    },
    /// The broker has processed what the consumer had said up to that order.
    Processed {
        consumer: ConsumerId,
        before: u64,
    },
    /// The consumer's channel is about to be closed; what it holds goes back.
    Released(ConsumerId),
    /// So many letters were ready before the inspector got them, the broker says.
    Counted {
        consumer: ConsumerId,
        queue: QueueId,
        ready: u64,
    },
    /// Everything in the queues of this chain has been delivered.
    Inspected(QueueId),
    Purging(QueueId),
    Purged {
        queue: QueueId,
        count: u64,
    },
    Deleting(QueueId),
    /// With the broker's count, or found to be gone after a restart.
    Deleted {
        queue: QueueId,
        count: Option<u64>,
    },
    /// The broker is about to be asked to end: it closes one connection after the other, and gives
    /// what the one held to the next.
    Stopping,
    /// The broker was killed; everybody who talked to it has stopped.
    Killed,
    Fault(Fault),
}

/// What happened, when.
#[derive(Clone, Debug)]
pub struct Event {
    pub order: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    pub what: What,
}

/// See the module.
#[derive(Default)]
pub struct Ledger {
    pages: Mutex<Pages>,
    names: AtomicU64,
}

#[derive(Default)]
struct Pages {
    next_order: u64,
    events: Vec<Event>,
}

impl Ledger {
    /// Writes something down; says its order.
    pub fn note(&self, what: What) -> u64 {
        let mut pages = self.pages.lock().expect("no panic under this lock");
        let order = pages.next_order;
        pages.next_order += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        pages.events.push(Event {
            order,
            at_ms: now.expect("a clock past 1970").as_millis() as u64,
            what,
        });
        order
    }

    pub fn fault(&self, kind: Kind, what: impl Into<String>) {
        self.note(What::Fault(Fault::new(kind, what)));
    }

    /// The order of what is written down next, or a later one.
    pub fn now(&self) -> u64 {
        self.pages
            .lock()
            .expect("no panic under this lock")
            .next_order
    }

    /// What was written down since this was last asked.
    pub fn take(&self) -> Vec<Event> {
        let mut pages = self.pages.lock().expect("no panic under this lock");
        std::mem::take(&mut pages.events)
    }

    /// A number that nobody has had before: of a letter, a publisher, a consumer or a queue.
    pub fn new_id(&self) -> u64 {
        self.names.fetch_add(1, Ordering::Relaxed)
    }
}
