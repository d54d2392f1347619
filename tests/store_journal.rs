//! The journal on a disk that fails: thousands of random histories, each of which ends in a
//! crash. What recovery yields is held against what was appended and what was said to be safe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use warren::store::disk::sim::{Faults, Keep};
use warren::store::disk::{Disk, SimDisk};
use warren::store::journal::{
    Batch, Drive, Fsync, Journal, Limits, NewMessage, OnDamage, Options, Place, Placement, Record,
    Report, Returns, SeenId, SeenViews,
};

const FILE_BYTES: u64 = 32 << 10;

/// How many histories each test runs; more with `WARREN_HISTORIES`.
fn histories(usually: u64) -> u64 {
    std::env::var("WARREN_HISTORIES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usually)
}

fn options(fsync: Fsync, seed: u64) -> Options {
    Options {
        file_bytes: FILE_BYTES,
        first_file_bytes: FILE_BYTES / 2,
        reserve_bytes: 0,
        spare_files: 2,
        fsync,
        busy_wait: false,
        limits: Limits {
            pressure_bytes: 64 << 10,
            full_bytes: 1 << 20,
        },
        on_damage: OnDamage::SetAside,
        known_damage: Vec::new(),
        needed_from: 0,
        drive: Drive::Manual,
        seed: Some(seed),
    }
}

/// What a record said, so that it can be compared.
type Said = (u8, u64, usize);

/// What should be in the journal.
#[derive(Default)]
struct Model {
    records: BTreeMap<u64, Said>,
    /// Said to be safe, by whatever the options promise.
    safe: u64,
    /// Really synced.
    synced: u64,
    /// Synced, and known to be so by a mark on the disk.
    marked: u64,
    released: u64,
    count: u64,
}

struct World {
    dice: SmallRng,
    disk: SimDisk,
    fsync: Fsync,
    model: Model,
    /// Damage that was reported before.
    known: Vec<(u64, u64)>,
    /// What somebody else remembers of what was released.
    needed_from: u64,
    /// Whether somebody else has what messages consist of, or something that is like it.
    have_contents: bool,
}

impl World {
    fn new(seed: u64, fsync: Fsync) -> Self {
        Self {
            dice: SmallRng::seed_from_u64(seed),
            disk: SimDisk::new(seed ^ 0xd15c),
            fsync,
            model: Model::default(),
            known: Vec::new(),
            needed_from: 0,
            have_contents: false,
        }
    }

    fn append(&mut self, journal: &Journal) {
        let count = self.dice.random_range(1..12);
        let mut said = Vec::new();
        let dice = &mut self.dice;
        let next = &mut self.model.count;
        let last = journal.append(|batch| {
            for _ in 0..count {
                *next += 1;
                said.push(append_one(batch, dice, *next));
            }
        });
        if let Ok(last) = last {
            let first = last + 1 - said.len() as u64;
            self.model.records.extend((first..).zip(said));
        }
    }

    /// One step of a life; false once the journal has failed.
    fn step(&mut self, journal: &Journal) -> bool {
        let before = journal.synced_index();
        match self.dice.random_range(0..12) {
            0..5 => self.append(journal),
            5..8 => {
                let worked = journal.turn().is_ok();
                self.note(journal, before);
                return worked;
            }
            8 => {
                let synced = self.fsync == Fsync::Always || journal.sync_now().is_ok();
                self.note(journal, 0);
                return synced;
            }
            // Where it cannot, everything goes on as before.
            9 => drop(journal.begin_file()),
            10 => journal.rest(),
            _ => {
                let synced = journal.synced_index();
                let up_to = self.dice.random_range(0..=synced + 1);
                self.model.released = self.model.released.max(up_to);
                journal.release_below(up_to);
            }
        }
        true
    }

    fn note(&mut self, journal: &Journal, synced_before: u64) {
        self.model.safe = journal.safe_index();
        self.model.synced = journal.synced_index();
        self.model.marked = self.model.marked.max(synced_before);
    }

    /// Lives until something fails or nothing is left to do; then the machine crashes.
    fn live(&mut self, journal: Journal, steps: u64, keep: Keep) {
        for _ in 0..steps {
            if !self.step(&journal) {
                break;
            }
        }
        assert_eq!(journal.safe_index(), self.model.safe, "safe without a turn");
        // Nothing more reaches the disk, not even by closing.
        self.disk.set_faults(Faults {
            crash_at: Some(0),
            ..Faults::default()
        });
        drop(journal);
        self.disk.crash(keep);
    }

    /// Opens the journal and reads everything.
    fn recover(&mut self) -> (Journal, Report, BTreeMap<u64, Said>) {
        let seed = self.dice.random();
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let mut options = options(self.fsync, seed);
        options.known_damage.clone_from(&self.known);
        options.needed_from = std::mem::take(&mut self.needed_from);
        let mut recovery = Journal::open(disk, options).expect("it opens");
        let mut found = BTreeMap::new();
        let mut last = 0;
        let mut contents = self.contents(seed);
        while let Some(entry) = recovery.next_mended(&mut contents).expect("it can be read") {
            assert!(entry.index > last, "out of order");
            last = entry.index;
            found.insert(entry.index, said_by(&entry.record));
        }
        let (journal, report) = recovery.finish().expect("it can be written");
        assert_eq!(report.records, found.len() as u64);
        (journal, report, found)
    }

    /// What somebody else has: the content of some messages, and what is not quite that of others.
    fn contents(&self, seed: u64) -> impl FnMut(Place) -> Option<Vec<u8>> + use<> {
        let records = self.model.records.values();
        let messages = records.filter(|(kind, ..)| self.have_contents && *kind == 1);
        let lengths: BTreeMap<u64, usize> = messages
            .map(|(_, unique, bytes)| (*unique, *bytes))
            .collect();
        let mut dice = SmallRng::seed_from_u64(seed);
        move |place| {
            let bytes = *lengths.get(&place.queue)?;
            let body = vec![place.queue as u8; bytes];
            let mut content = [b"exchangekey\0\0", &body[..]].concat();
            match dice.random_range(0..4) {
                0 => return None,
                1 => {
                    let at = dice.random_range(0..content.len());
                    content[at] ^= 1 << dice.random_range(0..8);
                }
                _ => {}
            }
            Some(content)
        }
    }

    /// After a crash without damage: a prefix, with everything that had been promised.
    fn check(&mut self, keep: Keep) -> Journal {
        let (journal, report, found) = self.recover();
        assert_eq!(report.damage, [], "damage was found where none is");
        let last = journal.next_index() - 1;
        let promised = match keep {
            Keep::Everything => self.model.safe,
            _ => self.model.synced,
        };
        assert!(last >= promised, "{last} is left of {promised}: {report:?}");
        let first = found.keys().next().copied().unwrap_or(last + 1);
        assert!(first <= self.model.released.max(1), "{first} is too late");
        let expected: BTreeMap<u64, Said> = self
            .model
            .records
            .range(first..last + 1)
            .map(|(index, said)| (*index, *said))
            .collect();
        assert_eq!(found, expected);
        if let Some(cut) = &report.cut {
            assert_eq!(cut.first_index, last + 1);
        }
        self.settle_on(&journal, last);
        journal
    }

    fn settle_on(&mut self, journal: &Journal, last: u64) {
        self.model.records.retain(|index, _| *index <= last);
        self.model.safe = last;
        self.model.synced = last;
        assert_eq!(journal.safe_index(), last);
    }
}

fn append_one(batch: &mut Batch<'_>, dice: &mut SmallRng, unique: u64) -> Said {
    let seen_id = |exchange: u64| SeenId {
        exchange,
        sequence: unique,
        id: u128::MAX - u128::from(unique),
        expires_at_ms: unique + exchange,
    };
    match dice.random_range(0..7) {
        0 => {
            batch.settle(unique, &[(1, 2), (5, 9)]);
            (2, unique, 2)
        }
        1 => {
            batch.cursor(unique, 7);
            (3, unique, 0)
        }
        2 => {
            let last = 3 + unique % 2 * 6;
            let returns = Returns {
                all: 4,
                failures: (unique % 5) as u32,
            };
            batch.returned(unique, (3, last), returns);
            (4, unique, 4 + last as usize)
        }
        3 => {
            batch.seen(&[seen_id(1), seen_id(2)]);
            (6, unique, 2)
        }
        _ => {
            let bytes = match dice.random_range(0..40) {
                0 => 40_000,
                1..6 => dice.random_range(1000..6000),
                _ => dice.random_range(0..300),
            };
            let body = vec![unique as u8; bytes];
            let placements = [Placement {
                place: Place {
                    queue: unique,
                    sequence: 1 << 56 | 5,
                },
                expires_at_ms: if unique.is_multiple_of(2) {
                    unique
                } else {
                    Placement::NEVER
                },
            }];
            let seen = [seen_id(1), seen_id(2)];
            let message = NewMessage {
                persistent: true,
                priority: 3,
                has_bcc: false,
                placements: &placements,
                settles: &[Place {
                    queue: 8,
                    sequence: unique,
                }],
                seen: &seen[..(unique % 3) as usize],
                exchange: b"exchange",
                routing_key: b"key",
                properties: &[0, 0],
                body: &body,
            };
            batch.message(&message).expect("it is not too large");
            (1, unique, bytes)
        }
    }
}

/// Checks ids, and says what `unique` they were made with.
fn unique_of(seen: SeenViews<'_>) -> Option<u64> {
    let mut unique = None;
    for (id, exchange) in seen.zip(1..) {
        assert_eq!(id.exchange, exchange);
        assert_eq!(id.id, u128::MAX - u128::from(id.sequence));
        assert_eq!(id.expires_at_ms, id.sequence + exchange);
        unique = Some(id.sequence);
    }
    unique
}

fn said_by(record: &Record<'_>) -> Said {
    match *record {
        Record::Message(message) => {
            let placements: Vec<_> = message.placements.collect();
            assert_eq!(placements.len(), 1);
            let unique = placements[0].place.queue;
            let never = placements[0].expires_at_ms == Placement::NEVER;
            assert_eq!(never, !unique.is_multiple_of(2));
            assert!(message.body.iter().all(|byte| *byte == unique as u8));
            let settles: Vec<_> = message.settles.map(|place| place.sequence).collect();
            assert_eq!(settles, [unique]);
            assert_eq!(message.seen.count() as u64, unique % 3);
            assert!(unique_of(message.seen).is_none_or(|seen| seen == unique));
            assert!(message.persistent && message.priority == 3);
            (1, unique, message.body.len())
        }
        Record::Settle { queue, ranges } => (2, queue, ranges.count()),
        Record::Cursor { queue, .. } => (3, queue, 0),
        Record::Returned {
            queue,
            range: (_, last),
            returns,
        } => {
            assert_eq!(u64::from(returns.failures), queue % 5);
            (4, queue, returns.all as usize + last as usize)
        }
        Record::Waiting { queue, waiting } => (7, queue, waiting.count()),
        Record::Letters { queue, letters } => (8, queue, letters.count()),
        Record::Seen(seen) => (6, unique_of(seen).expect("it has ids"), seen.count()),
    }
}

fn any_keep(dice: &mut SmallRng) -> Keep {
    match dice.random_range(0..4) {
        0 => Keep::Nothing,
        1 => Keep::Everything,
        2 => Keep::Sectors(512),
        _ => Keep::Sectors(4096),
    }
}

/// Several lives, each of which ends at a random operation, or in a failed one.
fn crash_again_and_again(seed: u64, fsync: Fsync) {
    let mut world = World::new(seed, fsync);
    let (mut journal, _, _) = world.recover();
    for _ in 0..world.dice.random_range(1..6) {
        let now = world.disk.operations();
        let at = now + world.dice.random_range(1..60);
        let mut faults = Faults::default();
        match world.dice.random_range(0..5) {
            0..2 => faults.crash_at = Some(at),
            2 => faults.fail_at = BTreeSet::from([at]),
            3 => faults.short_at = (at..at + 4).collect(),
            _ => {}
        }
        world.disk.set_faults(faults);
        let keep = any_keep(&mut world.dice);
        let steps = world.dice.random_range(1..80);
        world.live(journal, steps, keep);
        if world.dice.random_bool(0.2) {
            // What it said is remembered elsewhere.
            let _ = world.disk.remove("journal/first-live");
            world.needed_from = world.model.released.max(1);
        }
        journal = world.check(keep);
    }
}

#[test]
fn recovers_what_was_synced_after_any_crash() {
    for seed in 0..histories(250) {
        let run = std::panic::AssertUnwindSafe(|| crash_again_and_again(seed, Fsync::Always));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("history {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn recovers_a_prefix_when_it_syncs_rarely() {
    for seed in 0..histories(250) {
        let fsync = match seed % 2 {
            0 => Fsync::Interval(Duration::from_millis(100)),
            _ => Fsync::Never,
        };
        let run = std::panic::AssertUnwindSafe(|| crash_again_and_again(seed, fsync));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("history {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The same short history, crashed at every single operation, including those of recovery.
#[test]
fn recovers_from_a_crash_at_every_operation() {
    for seed in 0..histories(4) {
        for at in 1..400 {
            let mut world = World::new(seed, Fsync::Always);
            world.disk.set_faults(Faults {
                crash_at: Some(at),
                ..Faults::default()
            });
            let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
            let opened = Journal::open(disk, options(Fsync::Always, seed));
            let keep = any_keep(&mut SmallRng::seed_from_u64(seed ^ at));
            let finished = match opened.and_then(|recovery| recovery.finish()) {
                Ok((journal, _)) => {
                    world.live(journal, 60, keep);
                    world.disk.operations() < at
                }
                Err(_) => {
                    world.disk.crash(keep);
                    false
                }
            };
            drop(world.check(keep));
            if finished {
                break;
            }
        }
    }
}

/// Bits turn over on the disk: what comes back is what was written, and what had been promised
/// and does not come back is reported. What somebody else has as well is whole again.
#[test]
fn reports_what_is_damaged() {
    let (mut harmed, mut mended) = (0, 0);
    for seed in 0..histories(250) {
        let mut world = World::new(seed, Fsync::Always);
        let (journal, _, _) = world.recover();
        let keep = any_keep(&mut world.dice);
        let steps = world.dice.random_range(10..120);
        world.live(journal, steps, keep);
        let names = world.disk.list("journal").expect("it lists");
        for _ in 0..world.dice.random_range(1..4) {
            let name = &names[world.dice.random_range(0..names.len())];
            let bit = world.dice.random_range(0..FILE_BYTES * 8);
            world.disk.flip_bit(&format!("journal/{name}"), bit);
        }
        world.have_contents = seed % 2 == 0;
        let (journal, report, found) = world.recover();
        mended += report.mended_records;
        for (index, said) in &found {
            assert_eq!(
                world.model.records.get(index),
                Some(said),
                "history {seed}: {index} is made up"
            );
        }
        let first_live = world.model.released.max(1);
        let mut reported: BTreeSet<u64> = BTreeSet::new();
        for damage in &report.damage {
            if let Some((first, last)) = damage.missing {
                reported.extend(first..=last);
            }
        }
        for index in first_live..=world.model.marked {
            if !found.contains_key(&index) {
                harmed += 1;
                assert!(
                    reported.contains(&index),
                    "history {seed}: {index} is missing without a word: {report:?}"
                );
            }
        }
        let indexes: Vec<u64> = found.keys().copied().collect();
        for pair in indexes.windows(2) {
            assert!(
                (pair[0] + 1..pair[1]).all(|index| reported.contains(&index)),
                "history {seed}: a gap that is not reported"
            );
        }
        // And the log goes on.
        let next = journal.next_index();
        world.model.records.retain(|index, _| *index < next);
        world.append(&journal);
        while journal.turn().expect("it works") {}
        drop(journal);
        let told = report.damage.iter().filter_map(|damage| damage.missing);
        world.known = told.collect();
        let (_, again, found) = world.recover();
        assert_eq!(again.cut, None, "history {seed}");
        for damage in &again.damage {
            assert!(
                damage.is_known,
                "history {seed}: {damage} is told twice: {report:?}"
            );
        }
        for index in next..=again.last_index {
            assert_eq!(found.get(&index), world.model.records.get(&index));
        }
    }
    assert!(harmed > 10, "hardly anything was harmed: {harmed}");
    assert!(mended > 5, "hardly anything is whole again: {mended}");
}
