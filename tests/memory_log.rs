//! The engine over a log that is no journal: what it needs of a log is what the trait says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use warren::amqp::table::FieldTable;
use warren::auth::Users;
use warren::broker::catalog::StoredCatalog;
use warren::broker::engine::{Clock, Engine, EngineOptions};
use warren::broker::log::{
    AppendError, Entry, Log, MemoryLog, ReadError, Records, SafeListener, Safety,
};
use warren::broker::pager::{Pager, PagingOptions, Surroundings, Turn};
use warren::broker::queue::Got;
use warren::broker::vhost::QueueDeclare;
use warren::broker::{Body, Broker, ConnectionId, Effects, Facts, Message, Queue};
use warren::store::catalog::Catalog;
use warren::store::disk::SimDisk;
use warren::store::folder::Folder;
use warren::store::journal::{Drive, Record};

/// The log lets go of so many records at a time.
const PART: u64 = 300;
const MESSAGES: u64 = 5000;
/// One of so many stays.
const STAYS: u64 = 7;

/// A log that takes nothing for a while.
struct Moody {
    log: Arc<MemoryLog>,
    refuses: AtomicBool,
}

impl Log for Moody {
    fn append(&self, encode: &mut dyn FnMut(&mut dyn Records)) -> Result<u64, AppendError> {
        match self.refuses.load(Ordering::SeqCst) {
            true => Err(AppendError::Full),
            false => self.log.append(encode),
        }
    }

    fn hurry(&self) {
        self.log.hurry();
    }

    fn safe_index(&self) -> u64 {
        self.log.safe_index()
    }

    fn notify_when_safe(&self, index: u64, listener: Arc<dyn SafeListener>) -> Safety {
        self.log.notify_when_safe(index, listener)
    }

    fn next_index(&self) -> u64 {
        self.log.next_index()
    }

    fn failure(&self) -> Option<String> {
        self.log.failure()
    }

    fn read(
        &self,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Result<(), ReadError> {
        self.log.read(first, last, each)
    }

    fn sync_soon(&self) {
        self.log.sync_soon();
    }

    fn synced_index(&self) -> u64 {
        self.log.synced_index()
    }

    fn starts(&self) -> Vec<u64> {
        self.log.starts()
    }

    fn part_bytes(&self) -> u64 {
        self.log.part_bytes()
    }

    fn release_below(&self, index: u64) {
        self.log.release_below(index);
    }

    fn begin_part(&self) -> std::io::Result<()> {
        self.log.begin_part()
    }

    fn rest(&self) {
        self.log.rest();
    }
}

struct Site {
    disk: SimDisk,
    broker: Arc<Broker>,
    log: Arc<MemoryLog>,
    moody: Arc<Moody>,
    pager: Arc<Pager>,
    queue: Arc<Queue>,
    _folder: Folder,
}

impl Site {
    fn new() -> Self {
        let paging = PagingOptions {
            chunk_bytes: 4 << 10,
            window_bytes: 16 << 10,
            narrow_window_bytes: 16 << 10,
            past_window_bytes: 4 << 10,
            segment_bytes: 64 << 10,
            segment_idle: Duration::from_secs(3600),
            most_log_files: 3,
            few_bytes: 2 << 10,
            ..PagingOptions::default()
        };
        let disk = SimDisk::new(1);
        let folder = Folder::open(Arc::new(disk.clone())).expect("the folder opens");
        let (store, _) = Catalog::open(folder.disk()).expect("the catalog opens");
        let store = Arc::new(store);
        let engine = Engine::with_options(EngineOptions {
            clock: Clock::manual(0),
            paging,
            ..EngineOptions::default()
        });
        let catalog = Arc::new(StoredCatalog::new(Arc::clone(&store)));
        let broker = Broker::without_vhosts(Users::new(), engine, catalog);
        let vhost = broker.add_vhost("/");
        let log = MemoryLog::in_parts_of(PART);
        let surroundings = Surroundings {
            disk: folder.disk(),
            catalog: Some(store),
            options: paging,
            drive: Drive::Manual,
        };
        let pager = Pager::new(surroundings, 1);
        let moody = Arc::new(Moody {
            log: Arc::clone(&log),
            refuses: AtomicBool::new(false),
        });
        broker.engine.set_log(Arc::clone(&moody) as _);
        broker.engine.set_pager(Arc::clone(&pager));
        let started = pager.start(&broker, Some(Arc::clone(&moody) as _));
        started.expect("it starts");
        let declare = QueueDeclare {
            name: "q",
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: FieldTable::new(),
        };
        let queue = vhost.declare_queue(declare, ConnectionId(1));
        Self {
            disk,
            log,
            moody,
            pager,
            queue: queue.expect("declared"),
            broker,
            _folder: folder,
        }
    }

    fn publish(&self, number: u64) {
        let mut body = number.to_le_bytes().to_vec();
        body.resize(100, b'.');
        let body = Bytes::from(body);
        let message = Message {
            exchange: b"",
            routing_key: b"q",
            properties: &[0, 0],
            body: Body::of(&body),
            facts: Facts {
                persistent: true,
                ..Facts::PLAIN
            },
        };
        let mut effects = Effects::new();
        self.queue.publish(&[message], None, &mut effects);
        let logged = effects.log_published(&self.broker.engine, &[message]);
        assert!(logged.expect("it is taken").is_some());
        effects.complete();
    }

    /// The next message's sequence and number.
    fn take(&self) -> Option<(u64, u64)> {
        let mut taken = None;
        loop {
            let mut effects = Effects::new();
            let got = self.queue.get(false, &mut effects, &mut |delivery, _| {
                let mut number = [0; 8];
                number.copy_from_slice(&delivery.message.body.as_slice()[..8]);
                taken = Some((delivery.sequence, u64::from_le_bytes(number)));
            });
            effects.complete();
            match got {
                Got::Message | Got::Nothing | Got::Unreadable => return taken,
                Got::NotLoaded => {
                    self.queue.when_head_is_loaded(Box::new(|| {}));
                    assert!(self.turn(Turn::Load), "it never loads");
                }
            }
        }
    }

    fn ack(&self, sequence: u64) {
        let mut effects = Effects::new();
        self.queue.ack(&[(sequence, sequence)], &[], &mut effects);
        effects.complete();
    }

    fn turn(&self, turn: Turn) -> bool {
        self.pager.turn(turn, &mut || self.log.sync())
    }

    fn work(&self) {
        self.log.sync();
        while self.turn(Turn::Write) || self.turn(Turn::Load) {}
        self.turn(Turn::LookAfter);
    }

    /// The sequences that would come back: those in the log or in a listed segment that nothing calls
    /// settled.
    fn would_come_back(&self) -> BTreeSet<u64> {
        let (mut there, mut settled) = (BTreeSet::new(), BTreeSet::new());
        let contents = Catalog::inspect(&self.disk.copy(1)).expect("it can be read");
        for (_, segment) in contents.segments {
            for chunk in segment.chunks {
                there.extend(chunk.first..chunk.first + u64::from(chunk.records));
            }
            settled.extend(
                segment
                    .settled
                    .iter()
                    .flat_map(|(first, last)| *first..=*last),
            );
        }
        let first = self.log.starts()[0];
        let read = self.log.read(first, u64::MAX, &mut |entry| {
            match entry.record {
                Record::Message(message) => {
                    there.extend(message.placements.map(|placement| placement.place.sequence));
                }
                Record::Settle { ranges, .. } => {
                    settled.extend(ranges.flat_map(|(first, last)| first..=last));
                }
                _ => {}
            }
            true
        });
        read.expect("it is there");
        there.difference(&settled).copied().collect()
    }
}

#[test]
fn any_log_can_be_kept_short() {
    let site = Site::new();
    let mut stay = BTreeSet::new();
    let (mut taken, mut next) = (0, 0);
    while taken < MESSAGES {
        // Far behind, now and then close up, and always some that stay.
        let behind = if taken % 2000 < 1000 { 800 } else { 10 };
        while next < (taken + behind).min(MESSAGES) {
            site.publish(next);
            next += 1;
        }
        for _ in 0..100.min(next - taken) {
            let (sequence, number) = site.take().expect("it is there");
            assert_eq!(number, taken);
            taken += 1;
            if number.is_multiple_of(STAYS) {
                stay.insert(sequence);
            } else {
                site.ack(sequence);
            }
        }
        site.work();
        let ready = next - taken;
        let mut expected = stay.clone();
        expected.extend(taken..taken + ready);
        assert_eq!(site.would_come_back(), expected);
        let parts = site.log.starts().len();
        assert!(parts <= 4, "{parts} parts of the log are left");
    }
    let first = site.log.starts()[0];
    assert!(first > MESSAGES, "nothing before {first} was let go of");
    site.pager.close();
}

#[test]
fn a_log_that_has_failed_is_not_kept_short() {
    let site = Site::new();
    for number in 0..3 * PART {
        site.publish(number);
    }
    site.log.sync();
    let starts = site.log.starts();
    site.log.fail();
    site.turn(Turn::LookAfter);
    assert_eq!(site.log.starts(), starts);
    assert!(site.log.read(1, u64::MAX, &mut |_| true).is_ok());
    site.pager.close();
}

/// What should have been put at the log's end and was not is put there the next time.
#[test]
fn what_the_log_refuses_is_not_forgotten() {
    let site = Site::new();
    let mut stay = BTreeSet::new();
    for number in 0..10 {
        site.publish(number);
    }
    stay.extend((0..10).map(|_| site.take().expect("it is there").0));
    for number in 10..4 * PART {
        site.publish(number);
        let (sequence, _) = site.take().expect("it is there");
        site.ack(sequence);
    }
    site.log.sync();
    let starts = site.log.starts();
    assert!(starts.len() > 4, "{starts:?}");
    site.moody.refuses.store(true, Ordering::SeqCst);
    site.turn(Turn::LookAfter);
    assert_eq!(site.log.starts(), starts);
    site.moody.refuses.store(false, Ordering::SeqCst);
    site.turn(Turn::LookAfter);
    assert!(site.log.starts().len() < starts.len());
    assert_eq!(site.would_come_back(), stay);
    site.pager.close();
}
