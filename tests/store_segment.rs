//! Segments: chunks come back as they were, damage is noticed, what is not listed goes. And the
//! check of a stopped folder, and a folder of this format that must open for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use redb::{ReadableDatabase, TableDefinition, TableHandle};
use warren::store::catalog::{Catalog, FORMAT, Op, QueueRecord, SegmentRecord};
use warren::store::check::check;
use warren::store::disk::sim::Keep;
use warren::store::disk::{Disk, RealDisk, SimDisk};
use warren::store::folder::Folder;
use warren::store::journal::{
    Journal, MessageView, NewMessage, Options, Place, Placement, Record, Returns,
};
use warren::store::segment::{self, ChunkError, ChunkParts, Segment, SegmentWriter, StoredChunk};

fn any_chunk(dice: &mut SmallRng, first: u64) -> StoredChunk {
    let records = dice.random_range(1..50u32);
    let mut data = Vec::new();
    let mut starts = Vec::new();
    let mut blobs = Vec::new();
    for record in 0..records {
        starts.push(data.len() as u32);
        data.extend(std::iter::repeat_n(record as u8, dice.random_range(0..300)));
        if dice.random_range(0..5) == 0 {
            let bytes = vec![9; dice.random_range(0..9000)];
            blobs.push((record, Bytes::from(bytes)));
        }
    }
    StoredChunk {
        band: dice.random_range(0..3),
        first,
        data: data.into(),
        starts,
        blobs,
    }
}

/// A chunk that depends on nothing but `first`, for the fixture.
fn certain_chunk(first: u64) -> StoredChunk {
    let mut data = Vec::new();
    let mut starts = Vec::new();
    for record in 0..20u32 {
        starts.push(data.len() as u32);
        data.extend((0..record * 7).map(|at| (first as u32 + record + at) as u8));
    }
    StoredChunk {
        band: first as u32 % 3,
        first,
        data: data.into(),
        starts,
        blobs: vec![(3, Bytes::from(vec![3; 5000])), (19, Bytes::new())],
    }
}

fn parts(chunk: &StoredChunk) -> ChunkParts<'_> {
    ChunkParts {
        band: chunk.band,
        first: chunk.first,
        data: &chunk.data,
        starts: &chunk.starts,
        blobs: &chunk.blobs,
    }
}

#[test]
fn chunks_come_back_as_they_were() {
    for seed in 0..40 {
        let mut dice = SmallRng::seed_from_u64(seed);
        let sim = SimDisk::new(seed);
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let mut writer = SegmentWriter::create(Arc::clone(&disk), 7, 3).expect("it is made");
        let mut chunks = Vec::new();
        for at in 0..dice.random_range(1..8) {
            let chunk = any_chunk(&mut dice, at * 1000);
            if dice.random_range(0..4) == 0 {
                writer = writer.past_cache();
            }
            let entry = writer.append(&parts(&chunk)).expect("it is written");
            let at_once = Segment::of(&writer).read(&entry).expect("it is there");
            assert_eq!(at_once, chunk);
            chunks.push((entry, chunk));
        }
        let is_sealed = dice.random();
        if is_sealed {
            let table = writer.seal().expect("it is sealed");
            assert_eq!(table.len(), chunks.len());
        } else {
            writer.sync().expect("it is synced");
            drop(writer);
        }
        sim.crash(Keep::Nothing);
        let segment = Segment::open(Arc::clone(&disk), 7, 3).expect("it is there");
        let segment = segment.past_cache(dice.random());
        let table: Vec<_> = chunks.iter().map(|(entry, _)| *entry).collect();
        let found = segment.table().expect("it can be read");
        assert_eq!(found, is_sealed.then_some(table));
        for (entry, chunk) in &chunks {
            assert_eq!(&segment.read(entry).expect("it can be read"), chunk);
        }
        // One bit of one chunk: that chunk is refused and kept, the others are not harmed.
        let (broken, _) = &chunks[dice.random_range(0..chunks.len())];
        let bit =
            dice.random_range(broken.offset * 8..(broken.offset + u64::from(broken.bytes)) * 8);
        let path = "segments/0000000000000007/0000000000000003.segment";
        assert!(sim.flip_bit(path, bit));
        for (entry, chunk) in &chunks {
            match segment.read(entry) {
                Ok(read) => assert!(entry != broken && &read == chunk, "seed {seed}"),
                Err(ChunkError::Damaged { kept_in, .. }) => {
                    assert_eq!(entry, broken);
                    let kept = kept_in.and_then(|path| sim.contents(&path));
                    assert_eq!(kept.map(|bytes| bytes.len()), Some(entry.bytes as usize));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Nothing is copied of a chunk that lies beyond the end of its file, and of one that is cut what is there.
#[test]
fn a_copy_has_what_is_left_of_a_chunk() {
    let dice = &mut SmallRng::seed_from_u64(5);
    for past_cache in [false, true] {
        let sim = SimDisk::new(5);
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let mut writer = SegmentWriter::create(Arc::clone(&disk), 7, 3).expect("it is made");
        let mut append = |at: u64| {
            let chunk = any_chunk(dice, at * 1000);
            writer.append(&parts(&chunk)).expect("it is written")
        };
        let (cut, beyond) = (append(0), append(1));
        let left = u64::from(cut.bytes) - 1;
        let file = disk.open("segments/0000000000000007/0000000000000003.segment");
        let file = file.expect("it is there");
        file.set_len(cut.offset + left).expect("it is cut");
        let segment = Segment::open(disk, 7, 3).expect("it is there");
        let segment = segment.past_cache(past_cache);
        let kept = |entry| match segment.read(entry) {
            Err(ChunkError::Damaged { kept_in, .. }) => kept_in,
            other => panic!("{other:?}"),
        };
        let copy = kept(&cut).and_then(|path| sim.contents(&path));
        assert_eq!(copy.map(|bytes| bytes.len() as u64), Some(left));
        assert_eq!(kept(&beyond), None);
    }
}

/// Files of the operating system, written and read through its cache and past it, on a file system that
/// has such a thing, and in memory.
#[test]
fn chunks_come_back_from_real_files() {
    for root in [
        Path::new(env!("CARGO_TARGET_TMPDIR")),
        Path::new("/dev/shm"),
    ] {
        let folder = tempfile::tempdir_in(root).expect("a folder");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.path()).expect("a disk"));
        let dice = &mut SmallRng::seed_from_u64(3);
        for number in 0..6 {
            let mut writer = SegmentWriter::create(Arc::clone(&disk), 7, number).expect("made");
            let mut chunks = Vec::new();
            for at in 0..20 {
                if at == number * 4 {
                    writer = writer.past_cache();
                }
                let mut chunk = any_chunk(dice, at * 1000);
                if at == 11 {
                    // More parts than one system call takes.
                    let blob = |record| (record, Bytes::from(vec![record as u8; 700]));
                    chunk.starts = vec![0; 3000];
                    chunk.blobs = (0..3000).map(blob).collect();
                }
                let entry = writer.append(&parts(&chunk)).expect("it is written");
                let at_once = Segment::of(&writer).past_cache(dice.random());
                assert_eq!(at_once.read(&entry).expect("it is there"), chunk);
                chunks.push((entry, chunk));
            }
            let end = chunks
                .last()
                .map(|(entry, _)| entry.offset + u64::from(entry.bytes));
            let table = writer.seal().expect("it is sealed");
            let path = format!("segments/0000000000000007/{number:016x}.segment");
            let bytes = disk
                .open(&path)
                .and_then(|file| file.len())
                .expect("it is there");
            assert!(
                bytes < end.expect("there are chunks") + 8192,
                "nothing is set aside any more"
            );
            let segment = Segment::open(Arc::clone(&disk), 7, number).expect("it is there");
            assert_eq!(segment.table().expect("it can be read"), Some(table));
            for (entry, chunk) in &chunks {
                for past_cache in [false, true] {
                    let segment = segment.clone().past_cache(past_cache);
                    assert_eq!(&segment.read(entry).expect("it is there"), chunk);
                }
            }
        }
    }
}

#[test]
fn a_removed_segment_leaves_those_of_its_queue() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    for (queue, number) in [(1, 0), (1, 1), (2, 0)] {
        SegmentWriter::create(Arc::clone(&disk), queue, number).expect("it is made");
    }
    for (queue, number) in [(1, 0), (2, 0)] {
        segment::remove(&*disk, queue, number).expect("it can");
    }
    assert_eq!(segment::list(&*disk).expect("it lists"), [(1, 1)]);
}

fn message<'a>(
    placements: &'a [Placement],
    settles: &'a [Place],
    body: &'a [u8],
) -> NewMessage<'a> {
    NewMessage {
        persistent: true,
        priority: 5,
        has_bcc: false,
        placements,
        settles,
        seen: &[],
        exchange: b"amq.direct",
        routing_key: b"key",
        properties: &[0x10, 0, 2],
        body,
    }
}

/// What the fixture holds; any later version writes and finds the same.
fn fill(disk: Arc<dyn Disk>) {
    let folder = Folder::open(disk).expect("the folder opens");
    let (catalog, _) = Catalog::open(folder.disk()).expect("the catalog opens");
    let mut writer = SegmentWriter::create(folder.disk(), 5, 0).expect("it is made");
    for at in 0..3 {
        let chunk = certain_chunk(at * 100);
        writer.append(&parts(&chunk)).expect("it is written");
    }
    let bytes = writer.bytes();
    let chunks = writer.seal().expect("it is sealed");
    let queue = QueueRecord {
        vhost: "/".to_owned(),
        name: "orders".to_owned(),
        kind: "classic".to_owned(),
        durable: true,
        ..QueueRecord::default()
    };
    let record = SegmentRecord {
        bytes,
        sealed: true,
        chunks,
        settled: vec![(0, 7)],
        marks: Vec::new(),
    };
    let change = vec![Op::PutQueue(5, queue), Op::PutSegment(5, 0, record)];
    catalog.submit(change).wait().expect("it is stored");
    let small = Options {
        file_bytes: 32 << 10,
        first_file_bytes: 16 << 10,
        spare_files: 1,
        ..Options::default()
    };
    let recovery = Journal::open(folder.disk(), small).expect("it opens");
    let (journal, _) = recovery.finish().expect("it starts");
    let place = |sequence| Place { queue: 5, sequence };
    let placements = [Placement {
        place: place(1 << 56 | 300),
        expires_at_ms: 1_700_000_000_000,
    }];
    journal
        .append(|batch| {
            batch
                .message(&message(&placements, &[place(8)], b"hello"))
                .expect("it is not too large");
            batch.settle(5, &[(10, 20)]);
            batch.cursor(5, 30);
            let twice = Returns {
                all: 2,
                failures: 2,
            };
            batch.returned(5, (31, 31), twice);
        })
        .expect("it is taken");
    journal.close();
}

/// `records`: how many the journal has, those among them that are read over.
fn verify(disk: Arc<dyn Disk>, records: u64) {
    let report = check(Arc::clone(&disk)).expect("it can be checked");
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.catalog.get("queues"), Some(&1));
    assert_eq!((report.segments, report.unlisted_segments), (1, 0));
    assert_eq!(report.journal.records, records);
    assert!(report.to_string().contains("1 messages"), "{report}");
    let folder = Folder::open(disk).expect("the folder opens");
    let (catalog, contents) = Catalog::open(folder.disk()).expect("the catalog opens");
    assert_eq!(contents.queues[0].1.name, "orders");
    assert!(catalog.next_id().expect("there is one") > 5);
    let record = &contents.segments[0].1;
    assert_eq!(record.settled, [(0, 7)]);
    let segment = Segment::open(folder.disk(), 5, 0).expect("it is there");
    for (at, entry) in record.chunks.iter().enumerate() {
        let read = segment.read(entry).expect("it can be read");
        assert_eq!(read, certain_chunk(at as u64 * 100));
    }
    let mut recovery = Journal::open(folder.disk(), Options::default()).expect("it opens");
    let mut seen = Vec::new();
    while let Some(entry) = recovery.next().expect("it can be read") {
        seen.push(match entry.record {
            Record::Message(MessageView {
                placements,
                settles,
                exchange: b"amq.direct",
                routing_key: b"key",
                properties: &[0x10, 0, 2],
                body: b"hello",
                persistent: true,
                priority: 5,
                has_bcc: false,
                seen: _,
            }) => {
                let places: Vec<_> = placements
                    .map(|at| (at.place.queue, at.place.sequence, at.expires_at_ms))
                    .collect();
                let settled: Vec<_> = settles.map(|place| place.sequence).collect();
                format!("message {places:?} {settled:?}")
            }
            Record::Settle { queue, ranges } => {
                format!("settle {queue} {:?}", ranges.collect::<Vec<_>>())
            }
            Record::Cursor { queue, sequence } => format!("cursor {queue} {sequence}"),
            Record::Returned {
                queue,
                range,
                returns,
            } => {
                assert_eq!(returns.failures, returns.all, "of old they are the same");
                format!("returned {queue} {range:?} {}", returns.all)
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(
        seen,
        [
            "message [(5, 72057594037928236, 1700000000000)] [8]",
            "settle 5 [(10, 20)]",
            "cursor 5 30",
            "returned 5 (31, 31) 2",
        ]
    );
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-format-1")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("it lists") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("it is copied");
        }
    }
}

#[test]
fn a_folder_of_format_1_opens() {
    let root = tempfile::tempdir().expect("a folder");
    // Its journal has a record of a kind that is not written any more.
    copy(&fixture(), root.path());
    let catalog = || {
        let database = redb::Database::open(root.path().join("catalog.redb")).expect("it opens");
        let transaction = database.begin_read().expect("it is read");
        let meta = TableDefinition::<&str, u64>::new("meta");
        let meta = transaction.open_table(meta).expect("it is there");
        let format = meta
            .get("format")
            .expect("it is read")
            .map(|format| format.value());
        let tables = transaction.list_tables().expect("they are listed");
        let tables: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
        (format, tables.iter().any(|table| table == "checkpoints"))
    };
    assert_eq!(catalog(), (Some(1), true));
    verify(Arc::new(RealDisk::new(root.path()).expect("a disk")), 5);
    // From now on an older program would miss something, and refuses it.
    assert_eq!(catalog(), (Some(FORMAT), false));
    verify(Arc::new(RealDisk::new(root.path()).expect("a disk")), 5);
}

#[test]
fn a_folder_written_now_opens() {
    let root = tempfile::tempdir().expect("a folder");
    fill(Arc::new(RealDisk::new(root.path()).expect("a disk")));
    verify(Arc::new(RealDisk::new(root.path()).expect("a disk")), 4);
}

/// Makes the fixture anew, for a format with a new number only:
/// `cargo test --test store_segment -- --ignored write_fixture`.
#[test]
#[ignore = "writes into the source tree"]
fn write_fixture() {
    assert!(!fixture().exists(), "a fixture never changes");
    fill(Arc::new(RealDisk::new(fixture()).expect("a disk")));
}

#[test]
fn check_finds_what_is_wrong() {
    let sim = SimDisk::new(9);
    fill(Arc::new(sim.clone()));
    sim.crash(Keep::Nothing);
    let path = "segments/0000000000000005/0000000000000000.segment";
    assert!(sim.flip_bit(path, 100 * 8));
    assert!(sim.flip_bit("journal/00000001.journal", (4096 + 48 + 40) * 8));
    let disk: Arc<dyn Disk> = Arc::new(sim);
    SegmentWriter::create(Arc::clone(&disk), 6, 0).expect("it is made");
    let report = check(disk).expect("it can be checked");
    assert_eq!(report.problems.len(), 2, "{report}");
    assert_eq!(report.unlisted_segments, 1);
    assert!(
        report
            .to_string()
            .contains("PROBLEM: journal: records 1 to 1")
    );
}
