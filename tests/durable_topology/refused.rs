//! What can't be read is refused with a clear error, and left as it is.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use warren::store::catalog::{BindingRecord, Catalog, ExchangeRecord, FORMAT, Op, QueueRecord};
use warren::store::disk::RealDisk;
use warren::store::folder::Folder;

use super::*;

/// A format of the catalog that nobody knows yet.
const NEWER: u64 = FORMAT + 1;

/// Starts a broker that is to refuse: gives what it said.
#[track_caller]
fn refusal(data: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data)
        .output()
        .expect("the warren binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&data.display().to_string()), "{said}");
    assert!(!said.contains("listening"), "{said}");
    said
}

/// Refused for that reason, and nothing in the folder is another than before.
#[track_caller]
fn is_refused(data: &Path, why: &str) {
    let before = files(data);
    let said = refusal(data);
    assert!(said.contains(why), "{said}");
    assert_eq!(files(data), before);
}

fn files(data: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(data)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("it can be read"))
        })
        .collect();
    files.sort();
    files
}

/// A folder in which a broker had something, and was stopped.
fn used_folder() -> Option<TempDir> {
    let broker = fresh()?;
    let mut client = broker.client();
    for n in 0..50 {
        client.call(durable_queue(&format!("q{n}"), no_arguments()));
    }
    Some(broker.stop())
}

#[test]
fn two_brokers_on_one_folder() {
    let Some(broker) = fresh() else { return };
    let said = refusal(broker.data_dir());
    assert!(said.contains("in use by another broker"), "{said}");
    // The first one is none the worse for it.
    broker.client().call(durable_queue("q", no_arguments()));
    let broker = killed(broker);
    is_there(&mut broker.client(), "queue", "q");
}

#[test]
fn a_damaged_catalog() {
    let Some(data) = used_folder() else { return };
    let path = data.path().join("catalog.redb");
    let sound = fs::read(&path).expect("it can be read");
    let half = sound.len() / 2;
    let damages: [(&str, Vec<u8>); 4] = [
        ("nothing in it", Vec::new()),
        ("cut in half", sound[..half].to_vec()),
        ("zeros", vec![0; sound.len()]),
        ("something else", b"not a catalog".repeat(1000)),
    ];
    for (what, bytes) in damages {
        fs::write(&path, bytes).expect("written");
        let said = refusal(data.path());
        assert!(
            said.contains("the catalog (catalog.redb) is damaged"),
            "{what}: {said}"
        );
        assert!(path.exists(), "{what}");
    }
    fs::remove_file(&path).expect("removed");
    is_refused(data.path(), "the data folder has no catalog (catalog.redb)");
    fs::write(&path, sound).expect("written");
    is_there(&mut again(data).client(), "queue", "q49");
}

#[test]
fn a_page_of_the_catalog_with_other_bytes_in_it() {
    let Some(data) = used_folder() else { return };
    let path = data.path().join("catalog.redb");
    let sound = fs::read(&path).expect("it can be read");
    // Where a queue's record is: every copy of it that the file has.
    let needle = b"q27";
    let mut damaged = sound.clone();
    let mut copies = 0;
    for at in 0..damaged.len() - needle.len() {
        if &sound[at..at + needle.len()] == needle {
            damaged[at + 2] = b'8';
            copies += 1;
        }
    }
    assert!(copies > 0);
    fs::write(&path, damaged).expect("written");
    let said = refusal(data.path());
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn a_newer_format() {
    let Some(data) = used_folder() else { return };
    let path = data.path().join("FORMAT");
    let format = fs::read_to_string(&path).expect("it can be read");
    fs::write(&path, format.replace("format 1", "format 2")).expect("written");
    is_refused(
        data.path(),
        "the data folder has format 2, which is newer than this program knows",
    );
    fs::write(&path, "what?").expect("written");
    is_refused(data.path(), "its file FORMAT is missing or damaged");
    fs::write(&path, format).expect("written");

    let catalog = data.path().join("catalog.redb");
    let database = redb::Database::open(&catalog).expect("a database");
    let transaction = database.begin_write().expect("a transaction");
    let meta: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    transaction
        .open_table(meta)
        .expect("it is there")
        .insert("format", NEWER)
        .expect("written");
    transaction.commit().expect("stored");
    drop(database);
    let said = refusal(data.path());
    let why = format!("the catalog has format {NEWER}, which is newer than this program knows");
    assert!(said.contains(&why), "{said}");
}

/// What can be read but makes no sense is not left out: it would be lost for good with what is
/// deleted or declared next.
#[test]
fn records_that_make_no_sense() {
    let Some(data) = used_folder() else { return };
    let exchange = ExchangeRecord {
        vhost: "/".into(),
        name: "round".into(),
        kind: "x-roundabout".into(),
        durable: true,
        ..ExchangeRecord::default()
    };
    let nowhere = QueueRecord {
        vhost: "nowhere".into(),
        name: "q".into(),
        kind: "classic".into(),
        durable: true,
        ..QueueRecord::default()
    };
    let garbage = QueueRecord {
        vhost: "/".into(),
        name: "garbage".into(),
        arguments: vec![3, b'a'],
        ..nowhere.clone()
    };
    let twice = QueueRecord {
        vhost: "/".into(),
        name: "q1".into(),
        ..nowhere.clone()
    };
    let stream = QueueRecord {
        name: "stream".into(),
        kind: "stream".into(),
        ..twice.clone()
    };
    let loose = BindingRecord {
        vhost: "/".into(),
        source: "amq.direct".into(),
        destination: "missing".into(),
        ..BindingRecord::default()
    };
    let cases = [
        (
            Op::PutExchange(1 << 40, exchange),
            Op::DeleteExchange(1 << 40),
            "the catalog's exchange 'round' in vhost '/' can't be restored: COMMAND_INVALID - unknown \
             exchange type 'x-roundabout'",
        ),
        (
            Op::PutQueue(1 << 40, nowhere),
            Op::DeleteQueue(1 << 40),
            "queue 'q' in vhost 'nowhere' can't be restored: there is no such vhost",
        ),
        (
            Op::PutQueue(1 << 40, garbage),
            Op::DeleteQueue(1 << 40),
            "queue 'garbage' in vhost '/' can't be restored: malformed field table",
        ),
        (
            Op::PutQueue(1 << 40, twice),
            Op::DeleteQueue(1 << 40),
            "queue 'q1' in vhost '/' can't be restored: it is there twice",
        ),
        (
            Op::PutQueue(1 << 40, stream),
            Op::DeleteQueue(1 << 40),
            "queue 'stream' in vhost '/' can't be restored: its type is stream",
        ),
        (
            Op::PutBinding(1 << 40, loose),
            Op::DeleteBinding(1 << 40),
            "binding of 'missing' to 'amq.direct' in vhost '/' can't be restored: what it is \
             bound to is not there",
        ),
    ];
    for (wrong, undo, why) in cases {
        change(data.path(), wrong);
        let said = refusal(data.path());
        assert!(said.contains(why), "{said}");
        change(data.path(), undo);
    }
    is_there(&mut again(data).client(), "queue", "q49");
}

fn change(data: &Path, op: Op) {
    let disk = Arc::new(RealDisk::new(data).expect("the folder is there"));
    let folder = Folder::open(disk).expect("nobody has it");
    let (catalog, _) = Catalog::open(folder.disk()).expect("it is sound");
    catalog.submit(vec![op]).wait().expect("stored");
}
