//! `warren check-store`: what it says of sound and damaged folders, and that it changes nothing.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use support::Setup;
use warren::store::catalog::{Catalog, Op, QueueRecord};
use warren::store::disk::RealDisk;
use warren::store::folder::Folder;

const SEGMENT: &str = "segments/0000000000000005/0000000000000000.segment";

/// A folder with a queue, a sealed segment and a few journal records.
fn sound_folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-format-1");
    copy(&fixture, root.path());
    root
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

/// Every file but the lock, with its bytes.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(root).expect("it lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "warren.lock") {
            let bytes = std::fs::read(&path).expect("it is read");
            files.insert(path, bytes);
        }
    }
    files
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    command.arg("check-store");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WARREN_") {
            command.env_remove(name);
        }
    }
    command
}

/// The exit code, standard output, standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn check(root: &Path) -> (Option<i32>, String, String) {
    run(command().arg("--data-dir").arg(root))
}

/// It has exactly this one problem.
#[track_caller]
fn has_problem(root: &Path, texts: &[&str]) {
    let (code, said, _) = check(root);
    assert_eq!(code, Some(1), "{said}");
    let problems: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("PROBLEM: "))
        .collect();
    assert_eq!(problems.len(), 1, "{said}");
    for text in texts {
        assert!(problems[0].contains(text), "{text} is not in {said}");
    }
}

/// It can't be checked.
#[track_caller]
fn is_refused(root: &Path, text: &str) {
    let (code, _, said) = check(root);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(text), "{text} is not in {said}");
    assert!(said.contains(&root.display().to_string()), "{said}");
}

fn flip_bit(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("it is read");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("it is written");
}

#[test]
fn a_sound_folder_is_described_and_left_alone() {
    let root = sound_folder();
    let before = contents(root.path());
    let (code, said, _) = check(root.path());
    assert_eq!(code, Some(0), "{said}");
    for text in ["1 queues", "1 messages", "1 settlements", "segments: 1, 60"] {
        assert!(said.contains(text), "{text} is not in {said}");
    }
    assert!(
        said.ends_with("sound\n") && !said.contains("PROBLEM"),
        "{said}"
    );
    assert_eq!(contents(root.path()), before);
}

#[test]
fn the_folder_may_come_from_configuration() {
    let root = sound_folder();
    let (code, said, _) = run(command().env("WARREN_DATA_DIR", root.path()));
    assert_eq!(code, Some(0), "{said}");
    let config = root.path().join("warren.toml");
    let text = format!("data_dir = {:?}\n", root.path().display().to_string());
    std::fs::write(&config, text).expect("it is written");
    let (code, said, _) = run(command().arg("--config").arg(&config));
    assert_eq!(code, Some(0), "{said}");
    std::fs::write(&config, "data_dirr = \"x\"\n").expect("it is written");
    let (code, _, said) = run(command().arg("--config").arg(&config));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("data_dirr"), "{said}");
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let root = sound_folder();
    flip_bit(&root.path().join(SEGMENT), 100);
    has_problem(root.path(), &["20 records from 0 on", "segment 0"]);

    let root = sound_folder();
    let journal = root.path().join("journal/00000001.journal");
    // Behind the file's header, a batch's and a record's.
    flip_bit(&journal, 4096 + 48 + 40);
    has_problem(
        root.path(),
        &["records 1 to 1 are missing", "00000001.journal"],
    );

    let root = sound_folder();
    let catalog = root.path().join("catalog.redb");
    let bytes = std::fs::read(&catalog).expect("it is read");
    let name = bytes.windows(6).rposition(|found| found == b"orders");
    flip_bit(&catalog, name.expect("the queue's name is there"));
    let before = contents(root.path());
    has_problem(root.path(), &["catalog.redb", "damaged"]);
    assert_eq!(contents(root.path()), before);
    assert!(!root.path().join("quarantine").exists());
}

/// The catalog has the same table.
#[test]
fn a_damaged_end_of_a_segment_is_noted_and_harmless() {
    let root = sound_folder();
    let segment = root.path().join(SEGMENT);
    let bytes = std::fs::metadata(&segment).expect("it is there").len();
    flip_bit(&segment, bytes as usize - 20);
    let (code, said, _) = check(root.path());
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("NOTE: segment 0 of queue \"orders\""),
        "{said}"
    );
    assert!(
        said.contains("harmless") && said.ends_with("sound\n"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_gone_is_a_problem() {
    for (path, texts) in [
        (
            SEGMENT,
            &[
                "segment 0 of queue \"orders\" in vhost",
                "is missing, in which were 52 messages",
            ][..],
        ),
        ("catalog.redb", &["no catalog"]),
        ("FORMAT", &["FORMAT"]),
    ] {
        let root = sound_folder();
        std::fs::remove_file(root.path().join(path)).expect("it was there");
        has_problem(root.path(), texts);
    }
}

#[test]
fn what_cannot_be_checked_is_said() {
    let root = tempfile::tempdir().expect("a folder");
    let absent = root.path().join("absent");
    is_refused(&absent, "not found");
    assert!(!absent.exists());
    is_refused(root.path(), "empty");
    assert!(contents(root.path()).is_empty());
    assert!(!root.path().join("warren.lock").exists());

    let root = sound_folder();
    let format = root.path().join("FORMAT");
    std::fs::write(format, "warren data folder, format 2\n").expect("it is written");
    is_refused(root.path(), "format 2, which is newer");
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let Some(mut broker) = Setup::default().start() else {
        return;
    };
    is_refused(broker.data_dir(), "in use by another broker");
    broker.client().close();
    broker.signal("TERM");
    broker.wait_for_exit();
}

#[test]
fn a_folder_without_messages_is_described() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(Arc::new(RealDisk::new(root.path()).expect("a disk")));
    let folder = folder.expect("the folder opens");
    drop(Catalog::open(folder.disk()).expect("the catalog opens"));
    drop(folder);
    let (code, said, _) = check(root.path());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("journal: 0 files, nothing\n"), "{said}");
}

/// The library repairs such a file when it is opened, which is not for a check to do.
#[test]
fn the_catalog_of_a_killed_broker_is_sound_and_left_alone() {
    let root = sound_folder();
    let folder = Folder::open(Arc::new(RealDisk::new(root.path()).expect("a disk")));
    let folder = folder.expect("the folder opens");
    let (catalog, _) = Catalog::open(folder.disk()).expect("the catalog opens");
    let change = (10..500)
        .map(|id| Op::PutQueue(id, QueueRecord::default()))
        .collect();
    catalog.submit(change).wait().expect("it is stored");
    let left = tempfile::tempdir().expect("a folder");
    copy(root.path(), left.path());
    drop((catalog, folder));

    let before = contents(left.path());
    let (code, said, _) = check(left.path());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("491 queues"), "{said}");
    assert_eq!(contents(left.path()), before);

    // It would not have stayed so if a broker had opened it.
    let folder = Folder::open(Arc::new(RealDisk::new(left.path()).expect("a disk")));
    let folder = folder.expect("the folder opens");
    drop(Catalog::open(folder.disk()).expect("the catalog opens"));
    assert_ne!(contents(left.path()), before);
}
