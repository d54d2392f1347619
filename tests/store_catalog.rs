//! The catalog and the data folder: what was said to be stored is there after any crash, ids are
//! never given twice, and what can't be read is refused.

use std::collections::HashSet;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use warren::store::catalog::{
    BindingRecord, Catalog, CatalogError, ChunkMark, Contents, DamageRecord, ExchangeRecord, Op,
    ParameterRecord, PermissionRecord, QueueRecord, SeenRecord, SegmentRecord,
    TopicPermissionRecord, UserRecord, VhostRecord,
};
use warren::store::disk::sim::{Faults, Keep};
use warren::store::disk::{Disk, RealDisk, SimDisk};
use warren::store::folder::{Folder, FolderError};
use warren::store::segment::ChunkEntry;

fn open(disk: &SimDisk) -> (Folder, Catalog, Contents) {
    let folder = Folder::open(Arc::new(disk.clone())).expect("the folder opens");
    let (catalog, contents) = Catalog::open(folder.disk()).expect("the catalog opens");
    (folder, catalog, contents)
}

fn queue(name: &str) -> QueueRecord {
    QueueRecord {
        vhost: "/".to_owned(),
        name: name.to_owned(),
        kind: "classic".to_owned(),
        durable: true,
        arguments: vec![1, 2, 255],
        ..QueueRecord::default()
    }
}

#[test]
fn everything_comes_back() {
    let disk = SimDisk::new(1);
    let (folder, catalog, contents) = open(&disk);
    assert!(folder.is_new());
    assert_eq!(contents, Contents::default());
    let two = || ["/".to_owned(), "guest".to_owned()];
    let three = || ["/".to_owned(), "policy".to_owned(), "p".to_owned()];
    let mut expected = Contents {
        journal_start: 5,
        journal_end: 7,
        revision: 3,
        vhosts: vec![("/".to_owned(), VhostRecord::default())],
        exchanges: vec![(
            1,
            ExchangeRecord {
                name: "x".to_owned(),
                ..ExchangeRecord::default()
            },
        )],
        queues: vec![(2, queue("q"))],
        bindings: vec![(
            3,
            BindingRecord {
                routing_key: vec![0, 0xff],
                ..BindingRecord::default()
            },
        )],
        users: vec![("guest".to_owned(), UserRecord::default())],
        permissions: vec![(two(), PermissionRecord::default())],
        topic_permissions: vec![(three(), TopicPermissionRecord::default())],
        parameters: vec![(three(), ParameterRecord::default())],
        segments: vec![(
            (2, 0),
            SegmentRecord {
                settled: vec![(1, 5)],
                ..SegmentRecord::default()
            },
        )],
        damage: vec![((5, 9), DamageRecord::default())],
        seen: vec![(
            (1, 3),
            SeenRecord {
                first: 2,
                ids: vec![(4, u128::MAX, 5)],
            },
        )],
    };
    let mut change = Vec::new();
    for (name, record) in &expected.vhosts {
        change.push(Op::PutVhost(name.clone(), record.clone()));
    }
    for (id, record) in &expected.exchanges {
        change.push(Op::PutExchange(*id, record.clone()));
    }
    for (id, record) in &expected.queues {
        change.push(Op::PutQueue(*id, record.clone()));
    }
    for (id, record) in &expected.bindings {
        change.push(Op::PutBinding(*id, record.clone()));
    }
    change.push(Op::PutUser("guest".to_owned(), UserRecord::default()));
    change.push(Op::PutPermission(two(), PermissionRecord::default()));
    change.push(Op::PutTopicPermission(
        three(),
        TopicPermissionRecord::default(),
    ));
    change.push(Op::PutParameter(three(), ParameterRecord::default()));
    change.push(Op::PutSegment(2, 0, expected.segments[0].1.clone()));
    change.push(Op::PutDamage(5, 9, DamageRecord::default()));
    change.push(Op::PutSeen(1, 3, expected.seen[0].1.clone()));
    // Nothing would ever take this away.
    change.push(Op::PutSeen(77, 1, SeenRecord::default()));
    change.push(Op::PutSeen(1, 4, SeenRecord::default()));
    change.push(Op::DeleteSeen(1, 4));
    change.push(Op::PutJournalEnd(7));
    change.push(Op::PutJournalStart(5));
    change.push(Op::PutJournalStart(3));
    assert_eq!(catalog.submit(change).wait(), Ok(1));
    assert_eq!(catalog.submit(vec![]).wait(), Ok(2));
    let deletes = vec![Op::DeleteExchange(77), Op::DeleteUser("none".to_owned())];
    assert_eq!(catalog.submit(deletes).wait(), Ok(3));
    drop((catalog, folder));
    disk.crash(Keep::Nothing);
    let (folder, catalog, contents) = open(&disk);
    assert!(!folder.is_new());
    assert_eq!(contents, expected);
    // A queue takes with it what is kept for it, and so does an exchange.
    let deletes = vec![
        Op::DeleteQueue(2),
        Op::DeleteExchange(1),
        Op::DeleteDamage(5, 9),
    ];
    assert_eq!(catalog.submit(deletes).wait(), Ok(4));
    drop((catalog, folder));
    expected.revision = 4;
    expected.queues.clear();
    expected.segments.clear();
    expected.exchanges.clear();
    expected.seen.clear();
    expected.damage.clear();
    assert_eq!(open(&disk).2, expected);
}

/// A chunk is forgotten, with what a stream knows of it, and all others stay.
#[test]
fn a_chunk_goes_alone() {
    let chunk = |band, first| ChunkEntry {
        band,
        first,
        ..ChunkEntry::default()
    };
    let mark = |first_ms| ChunkMark {
        first_ms,
        filter: vec![1, 2],
        ..ChunkMark::default()
    };
    let chunks = vec![chunk(0, 0), chunk(0, 9), chunk(1, 9)];
    for marks in [vec![], vec![mark(1), mark(2), mark(3)]] {
        let disk = SimDisk::new(1);
        let (folder, catalog, _) = open(&disk);
        let record = SegmentRecord {
            chunks: chunks.clone(),
            settled: vec![(1, 5)],
            marks: marks.clone(),
            ..SegmentRecord::default()
        };
        let change = vec![
            Op::PutQueue(2, queue("q")),
            Op::PutSegment(2, 7, record.clone()),
            Op::DropChunk(2, 7, 0, 9),
            // What is not there goes as well.
            Op::DropChunk(2, 7, 2, 9),
            Op::DropChunk(2, 8, 0, 9),
        ];
        assert_eq!(catalog.submit(change).wait(), Ok(1));
        drop((catalog, folder));
        let mut expected = record;
        expected.chunks.remove(1);
        if !marks.is_empty() {
            expected.marks.remove(1);
        }
        assert_eq!(open(&disk).2.segments, [((2, 7), expected)]);
    }
}

#[test]
fn ids_are_never_given_twice() {
    let disk = SimDisk::new(2);
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let (folder, catalog, _) = open(&disk);
        for _ in 0..100_000 {
            assert!(seen.insert(catalog.next_id().expect("there is one")));
        }
        drop((catalog, folder));
        disk.crash(Keep::Nothing);
    }
}

#[test]
fn what_was_stored_survives_any_crash() {
    for seed in 0..150 {
        let mut dice = SmallRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let mut states: Vec<Vec<(u64, QueueRecord)>> = vec![vec![]];
        let mut stored = 0;
        for _ in 0..dice.random_range(1..4) {
            let (folder, catalog, contents) = open(&disk);
            // Nothing is lost, nothing is made up, no change is there in part.
            let revision = contents.revision as usize;
            assert!(revision >= stored, "seed {seed}");
            assert_eq!(contents.queues, states[revision], "seed {seed}");
            states.truncate(revision + 1);
            stored = revision;
            disk.set_faults(Faults {
                crash_at: Some(disk.operations() + dice.random_range(1..150)),
                ..Faults::default()
            });
            for _ in 0..dice.random_range(1..40) {
                let mut state = states.last().cloned().unwrap_or_default();
                let id = dice.random_range(0..20);
                let mut change = vec![Op::DeleteQueue(id)];
                state.retain(|(known, _)| *known != id);
                if dice.random() {
                    let record = queue(&"q".repeat(dice.random_range(1..400)));
                    change.push(Op::PutQueue(id, record.clone()));
                    state.push((id, record));
                    state.sort_by_key(|(id, _)| *id);
                }
                states.push(state);
                match catalog.submit(change).wait() {
                    Ok(revision) => stored = revision as usize,
                    Err(_) => break,
                }
            }
            disk.set_faults(Faults {
                crash_at: Some(0),
                ..Faults::default()
            });
            drop((catalog, folder));
            disk.crash(match dice.random_range(0..4) {
                0 => Keep::Nothing,
                1 => Keep::Everything,
                2 => Keep::Sectors(512),
                _ => Keep::Sectors(4096),
            });
        }
    }
}

#[test]
fn a_new_folder_survives_a_crash_at_every_operation() {
    for at in 0..80 {
        for keep in [Keep::Nothing, Keep::Everything, Keep::Sectors(512)] {
            let disk = SimDisk::new(at);
            disk.set_faults(Faults {
                crash_at: Some(at),
                ..Faults::default()
            });
            let _ = Folder::open(Arc::new(disk.clone()));
            disk.crash(keep);
            let (_, _, contents) = open(&disk);
            assert_eq!(contents, Contents::default());
        }
    }
}

#[test]
fn a_damaged_catalog_is_an_error_and_not_a_fresh_start() {
    let mut refused = 0;
    for seed in 0..60 {
        let mut dice = SmallRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let (folder, catalog, _) = open(&disk);
        let change = (0..50).map(|id| Op::PutQueue(id, queue("some"))).collect();
        catalog.submit(change).wait().expect("it is stored");
        drop((catalog, folder));
        disk.crash(Keep::Nothing);
        let bytes = disk.contents("catalog.redb").expect("it is there").len() as u64;
        for _ in 0..40 {
            disk.flip_bit("catalog.redb", dice.random_range(0..bytes * 8));
        }
        let folder = Folder::open(Arc::new(disk.clone())).expect("the folder is known");
        match Catalog::open(folder.disk()) {
            Ok((_, contents)) => assert_eq!(contents.queues.len(), 50),
            Err(CatalogError::Damaged(_) | CatalogError::Failed(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_catalog_that_ends_too_early_is_damaged() {
    let disk = SimDisk::new(3);
    drop(open(&disk));
    let file = disk.open("catalog.redb").expect("it is there");
    let bytes = file.len().expect("a length");
    for kept in [bytes - 4096, bytes / 2, 4096, 100] {
        file.set_len(kept).expect("it is cut");
        let folder = Folder::open(Arc::new(disk.clone())).expect("the folder is known");
        let refused = Catalog::open(folder.disk()).err();
        let is_said = matches!(refused, Some(CatalogError::Damaged(_)));
        assert!(is_said, "{kept} of {bytes}: {refused:?}");
    }
}

#[test]
fn a_missing_or_empty_catalog_is_an_error() {
    let disk = SimDisk::new(3);
    drop(open(&disk));
    disk.create("catalog.redb").expect("it is emptied");
    let folder = Folder::open(Arc::new(disk.clone())).expect("the folder is known");
    let refused = Catalog::open(folder.disk()).err();
    assert!(matches!(refused, Some(CatalogError::Damaged(_))));
    disk.remove("catalog.redb").expect("it is removed");
    let refused = Catalog::open(folder.disk()).err();
    assert_eq!(refused, Some(CatalogError::Missing));
}

#[test]
fn a_folder_is_for_one_broker_of_its_time() {
    let root = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(root.path()).expect("a disk"));
    let folder = Folder::open(Arc::clone(&disk)).expect("it opens");
    let other: Arc<dyn Disk> = Arc::new(RealDisk::new(root.path()).expect("a disk"));
    assert!(matches!(
        Folder::open(Arc::clone(&other)),
        Err(FolderError::InUse)
    ));
    drop(folder);
    drop(Folder::open(Arc::clone(&other)).expect("it opens now"));
    let format = root.path().join("FORMAT");
    std::fs::write(&format, "warren data folder, format 2\n").expect("it is written");
    assert!(matches!(
        Folder::open(Arc::clone(&other)),
        Err(FolderError::NewerFormat(2))
    ));
    std::fs::write(&format, "something else").expect("it is written");
    assert!(matches!(Folder::open(other), Err(FolderError::NoFormat)));
}
