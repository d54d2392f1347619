//! The journal with its own threads: who waits is called, nothing is called too early, a full
//! disk is waited for, a broken one ends everything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use warren::store::disk::sim::{Faults, Keep};
use warren::store::disk::{Disk, RealDisk, SimDisk};
use warren::store::journal::{
    AppendError, Fsync, Journal, Limits, NewMessage, OnDamage, Options, Place, Placement, Record,
    SafeListener, Safety,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Passes on what it is told.
struct Ear {
    told: Sender<Option<u64>>,
    calls: AtomicU64,
}

impl SafeListener for Ear {
    fn safe(&self, safe_index: u64) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let _ = self.told.send(Some(safe_index));
    }

    fn failed(&self) {
        let _ = self.told.send(None);
    }
}

fn ear() -> (Arc<Ear>, Receiver<Option<u64>>) {
    let (told, hears) = channel();
    let calls = AtomicU64::new(0);
    (Arc::new(Ear { told, calls }), hears)
}

fn options() -> Options {
    Options {
        file_bytes: 256 << 10,
        first_file_bytes: 64 << 10,
        spare_files: 2,
        ..Options::default()
    }
}

fn open(disk: Arc<dyn Disk>, options: Options) -> Journal {
    let recovery = Journal::open(disk, options).expect("it opens");
    recovery.finish().expect("it can be written").0
}

fn append(journal: &Journal, queue: u64, body: &[u8]) -> Result<u64, AppendError> {
    let placements = [Placement {
        place: Place { queue, sequence: 1 },
        expires_at_ms: Placement::NEVER,
    }];
    let message = NewMessage {
        persistent: true,
        priority: 0,
        has_bcc: false,
        placements: &placements,
        settles: &[],
        seen: &[],
        exchange: b"",
        routing_key: b"q",
        properties: &[0, 0],
        body,
    };
    journal.append(|batch| {
        batch.message(&message).expect("it is not too large");
    })
}

#[test]
fn many_publishers_hear_when_it_is_safe() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(RealDisk::new(folder.path()).expect("a disk"));
    let journal = Arc::new(open(disk.clone(), options()));
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let journal = Arc::clone(&journal);
            thread::spawn(move || {
                let (ear, hears) = ear();
                for number in 0..300u64 {
                    let body = vec![7; (number % 50 * 40) as usize];
                    let index = append(&journal, publisher, &body).expect("it is taken");
                    match journal.notify_when_safe(index, ear.clone()) {
                        Safety::Safe => {}
                        Safety::Waiting => {
                            let told = hears.recv_timeout(PATIENCE).expect("it is told");
                            assert!(told.is_some_and(|safe| safe >= index));
                        }
                        Safety::Failed => panic!("it failed"),
                    }
                    assert!(journal.safe_index() >= index);
                    journal.release_below(index.saturating_sub(200));
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.join().expect("it ends well");
    }
    assert_eq!(journal.safe_index(), 1200);
    let mut read = 0;
    journal
        .read(1100, 1200, &mut |entry| {
            assert_eq!(entry.index, 1100 + read);
            read += 1;
            true
        })
        .expect("it can be read");
    assert_eq!(read, 101);
    assert!(journal.health().failure.is_none());
    drop(journal);

    let mut recovery = Journal::open(disk, options()).expect("it opens again");
    let mut last = 0;
    while let Some(entry) = recovery.next().expect("it can be read") {
        assert!(matches!(entry.record, Record::Message(_)));
        assert!(last == 0 || entry.index == last + 1);
        last = entry.index;
    }
    assert_eq!(last, 1200);
}

#[test]
fn a_listener_is_called_once_for_all_it_waits_for() {
    let journal = open(Arc::new(SimDisk::new(1)), options());
    let (ear, hears) = ear();
    // Both may become safe with one sync or with two, but never with more calls than syncs.
    let mut last = 0;
    for _ in 0..50 {
        last = append(&journal, 1, b"body").expect("it is taken");
        let _ = journal.notify_when_safe(last, ear.clone());
    }
    let mut heard = 0;
    while journal.safe_index() < last {
        if let Ok(Some(safe)) = hears.recv_timeout(PATIENCE) {
            assert!(safe > heard, "called twice for the same");
            heard = safe;
        }
    }
    journal.close();
    assert!(ear.calls.load(Ordering::Relaxed) <= 50);
}

#[test]
fn a_full_disk_is_waited_for() {
    let disk = SimDisk::new(2);
    disk.set_faults(Faults {
        capacity_bytes: Some(9000),
        ..Faults::default()
    });
    let journal = open(Arc::new(disk.clone()), options());
    let index = append(&journal, 1, b"body").expect("it is taken");
    let (ear, hears) = ear();
    assert_eq!(journal.notify_when_safe(index, ear), Safety::Waiting);
    let since = Instant::now();
    while journal.health().stalled.is_none() {
        assert!(since.elapsed() < PATIENCE);
        thread::yield_now();
    }
    assert_eq!(journal.safe_index(), 0);
    disk.set_faults(Faults::default());
    assert_eq!(hears.recv_timeout(PATIENCE), Ok(Some(index)));
    assert_eq!(journal.health().failure, None);
}

#[test]
fn after_a_failed_sync_nothing_is_safe_any_more() {
    let disk = SimDisk::new(3);
    let journal = open(Arc::new(disk.clone()), options());
    let (ear, hears) = ear();
    let first = append(&journal, 1, b"first").expect("it is taken");
    if journal.notify_when_safe(first, ear.clone()) == Safety::Waiting {
        assert_eq!(hears.recv_timeout(PATIENCE), Ok(Some(first)));
    }
    let now = disk.operations();
    disk.set_faults(Faults {
        fail_at: BTreeSet::from_iter(now..now + 1000),
        ..Faults::default()
    });
    let second = append(&journal, 1, b"second").expect("it is taken");
    match journal.notify_when_safe(second, ear.clone()) {
        Safety::Waiting => assert_eq!(hears.recv_timeout(PATIENCE), Ok(None)),
        safety => assert_eq!(safety, Safety::Failed),
    }
    disk.set_faults(Faults::default());
    assert_eq!(append(&journal, 1, b"third"), Err(AppendError::Failed));
    assert_eq!(journal.notify_when_safe(second, ear), Safety::Failed);
    assert_eq!(journal.safe_index(), first);
    assert!(journal.health().failure.is_some());
    drop(journal);
    disk.crash(Keep::Nothing);
    let journal = open(Arc::new(disk), options());
    assert!(journal.next_index() > first);
}

/// Whoever waits for the pressure to fall would wait for ever.
#[test]
fn a_failed_journal_has_no_pressure() {
    let disk = SimDisk::new(5);
    disk.set_faults(Faults {
        capacity_bytes: Some(9000),
        ..Faults::default()
    });
    let limits = Limits {
        pressure_bytes: 10_000,
        full_bytes: 20_000,
    };
    let journal = open(
        Arc::new(disk.clone()),
        Options {
            limits,
            ..options()
        },
    );
    let mut last = 0;
    while let Ok(index) = append(&journal, 1, &[0; 900]) {
        last = index;
    }
    assert!(journal.has_pressure());
    let mut pressure = journal.pressure();
    let (ear, hears) = ear();
    assert_eq!(journal.notify_when_safe(last, ear), Safety::Waiting);
    let now = disk.operations();
    disk.set_faults(Faults {
        fail_at: BTreeSet::from_iter(now..now + 1000),
        ..Faults::default()
    });
    while hears.recv_timeout(PATIENCE).expect("it goes on").is_some() {}
    journal.close();
    assert!(!*pressure.borrow_and_update());
    assert!(!journal.has_pressure());
}

#[test]
fn pressure_rises_and_falls() {
    let disk = SimDisk::new(4);
    // Nothing can be written at first, so what gathers is certain.
    disk.set_faults(Faults {
        capacity_bytes: Some(9000),
        ..Faults::default()
    });
    let limits = Limits {
        pressure_bytes: 10_000,
        full_bytes: 20_000,
    };
    let journal = open(
        Arc::new(disk.clone()),
        Options {
            limits,
            ..options()
        },
    );
    let mut last = 0;
    assert!(!journal.has_pressure());
    while let Ok(index) = append(&journal, 1, &[0; 900]) {
        last = index;
        assert!(index < 40, "it never was full");
    }
    assert!(journal.has_pressure());
    assert_eq!(append(&journal, 1, b""), Err(AppendError::Full));
    let (ear, hears) = ear();
    assert_eq!(journal.notify_when_safe(last, ear), Safety::Waiting);
    disk.set_faults(Faults::default());
    while hears.recv_timeout(PATIENCE).expect("it goes on") < Some(last) {}
    journal.close();
    assert!(!journal.has_pressure());
}

#[test]
fn a_suffix_can_be_taken_back() {
    let disk = SimDisk::new(5);
    let journal = open(Arc::new(disk.clone()), options());
    let (ear, hears) = ear();
    for queue in 1..=20 {
        append(&journal, queue, &[1; 100]).expect("it is taken");
    }
    if journal.notify_when_safe(20, ear.clone()) == Safety::Waiting {
        while hears.recv_timeout(PATIENCE).expect("it is told") < Some(20) {}
    }
    journal.truncate_from(11);
    assert_eq!(append(&journal, 111, &[2; 10]), Ok(11));
    assert_eq!(append(&journal, 112, &[2; 10]), Ok(12));
    journal.truncate_from(12);
    assert_eq!(append(&journal, 212, &[2; 10]), Ok(12));
    journal.close();
    assert_eq!(journal.safe_index(), 12);
    drop(journal);
    disk.crash(Keep::Nothing);
    let mut recovery = Journal::open(Arc::new(disk), options()).expect("it opens");
    let mut queues = Vec::new();
    while let Some(entry) = recovery.next().expect("it can be read") {
        if let Record::Message(message) = entry.record {
            queues.extend(message.placements.map(|placement| placement.place.queue));
        }
    }
    assert_eq!(queues, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 111, 212]);
}

#[test]
fn damage_can_be_refused() {
    let disk = SimDisk::new(6);
    let journal = open(Arc::new(disk.clone()), options());
    for queue in 1..=20 {
        append(&journal, queue, &[1; 100]).expect("it is taken");
    }
    journal.close();
    drop(journal);
    disk.crash(Keep::Nothing);
    // Some record's body, in the first file's first batch.
    assert!(disk.flip_bit("journal/00000001.journal", (4096 + 48 + 200) * 8));
    let refusing = Options {
        on_damage: OnDamage::Refuse,
        fsync: Fsync::Always,
        ..options()
    };
    let refused = Journal::open(Arc::new(disk.clone()), refusing)
        .and_then(|recovery| recovery.finish().map(|_| ()));
    let text = refused.expect_err("it is refused").to_string();
    assert!(text.contains("damaged"), "{text}");
    let recovery = Journal::open(Arc::new(disk.clone()), options()).expect("it opens");
    let (_, report) = recovery.finish().expect("it goes on");
    assert_eq!(report.records, 19);
    let kept = report.damage[0].kept_in.clone().expect("it is kept");
    assert!(disk.contents(&kept).is_some_and(|bytes| !bytes.is_empty()));
}
