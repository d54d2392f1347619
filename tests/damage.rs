//! Damage to a stopped broker's data: nothing else is lost, and nobody can miss that it was there.

mod support;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use support::*;
use tempfile::TempDir;
use warren::store::catalog::{Catalog, Op, VhostRecord};
use warren::store::disk::RealDisk;
use warren::store::folder::Folder;

const MESSAGES: usize = 10;

/// The folder of a killed broker with two queues of confirmed messages.
fn left_behind() -> Option<TempDir> {
    let broker = Setup::default().start()?;
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    for queue in ["alpha", "beta"] {
        client.call(method!("queue.declare", queue: queue, durable: true));
    }
    for number in 0..MESSAGES {
        for queue in ["alpha", "beta"] {
            let persistent = properties!(delivery_mode: 2);
            client.publish_with("", queue, &persistent, &format!("{queue}-{number}"));
            client.expect_name("basic.ack");
        }
    }
    Some(broker.kill())
}

/// Flips a bit in the journal's copy of a body.
fn damage(data: &Path, body: &str) {
    let mut damaged = 0;
    for path in files(&data.join("journal")) {
        let mut bytes = std::fs::read(&path).expect("it is read");
        let found = bytes
            .windows(body.len())
            .position(|at| at == body.as_bytes());
        if let Some(at) = found {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).expect("it is written");
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1, "{body} is in the journal once");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

/// Our program, without settings that are meant for the tests.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WARREN_") {
            command.env_remove(name);
        }
    }
    command
}

/// A broker that does not start: its exit code, and what it said.
fn refused(data: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let output = command()
        .args(["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data)
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

fn get(broker: &Broker, path: &str) -> String {
    let mut socket = std::net::TcpStream::connect(broker.listening("http")).expect("accepted");
    write!(socket, "GET {path} HTTP/1.1\r\n\r\n").expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("text");
    answer
}

#[track_caller]
fn is_not_well(broker: &Broker, problem: &str, metrics: &[&str]) {
    let health = get(broker, "/health");
    let status = "HTTP/1.1 503 Service Unavailable\r\n";
    assert!(health.starts_with(status), "{health}");
    assert!(health.contains(problem), "{health}");
    let page = get(broker, "/metrics");
    for line in metrics {
        assert!(page.lines().any(|found| found == *line), "{line}: {page}");
    }
}

fn all_of(broker: &Broker, queue: &str) -> Vec<String> {
    let mut client = broker.client();
    std::iter::from_fn(|| client.take(queue)).collect()
}

fn numbered(queue: &str, without: Option<usize>) -> Vec<String> {
    let numbers = (0..MESSAGES).filter(|number| Some(*number) != without);
    numbers.map(|number| format!("{queue}-{number}")).collect()
}

#[test]
fn a_damaged_record_is_set_aside_and_the_rest_is_there() {
    let Some(data) = left_behind() else { return };
    damage(data.path(), "alpha-4");
    let broker = Setup::default().on(data).start().expect("ours");
    broker.wait_for_line("stored data are damaged");
    is_not_well(
        &broker,
        "are missing",
        &[
            "warren_journal_damaged_places 1",
            "warren_journal_missing_records 1",
            "warren_journal_failed 0",
        ],
    );
    assert_eq!(all_of(&broker, "alpha"), numbered("alpha", Some(4)));
    assert_eq!(all_of(&broker, "beta"), numbered("beta", None));
    let kept = kept(&broker);
    assert_eq!(kept.len(), 2, "{kept:?}");
    let bytes = std::fs::read(&kept[0]).expect("it is read");
    assert!(bytes.windows(6).any(|at| at == b"lpha-4"), "it is kept");
    let note = std::fs::read_to_string(&kept[1]).expect("it is read");
    assert!(note.contains("alpha") && !note.contains("beta"), "{note}");
}

/// What lies in quarantine: copies, and their notes behind them.
fn kept(broker: &Broker) -> Vec<PathBuf> {
    let folder = broker.data_dir().join("quarantine");
    let mut kept = if folder.exists() {
        files(&folder)
    } else {
        Vec::new()
    };
    kept.sort();
    kept
}

/// Says which queues damage concerns, and is not well.
fn concerns(broker: &Broker, queues: &[&str], unknown: u64) {
    let page = get(broker, "/metrics");
    let named: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("warren_queue_damaged_places{"))
        .collect();
    let expected: Vec<String> = queues
        .iter()
        .map(|queue| format!("warren_queue_damaged_places{{vhost=\"/\",queue=\"{queue}\"}} 1"))
        .collect();
    assert_eq!(named, expected);
    let unknown = format!("warren_unknown_queue_damaged_places {unknown}");
    is_not_well(broker, "are missing", &[&unknown]);
}

#[test]
fn damage_is_reported_once_and_told_until_its_note_is_deleted() {
    let Some(data) = left_behind() else { return };
    damage(data.path(), "alpha-4");
    let broker = Setup::default().on(data).start().expect("ours");
    concerns(&broker, &["alpha"], 0);
    let health = get(&broker, "/health");
    assert!(
        health.contains("concerned: queue \\\"alpha\\\" in vhost \\\"/\\\"\""),
        "{health}"
    );
    let found = kept(&broker);
    settled_in_catalog(&broker);

    // The journal's file still has it, and every start reads past it.
    let mut data = broker.kill();
    for _ in 0..2 {
        let broker = Setup::default().on(data).start().expect("ours");
        concerns(&broker, &["alpha"], 0);
        assert_eq!(kept(&broker), found);
        assert_eq!(broker.count_lines("stored data are damaged"), 0);
        assert_eq!(
            broker.count_lines("stored data were found damaged before"),
            1
        );
        data = broker.kill();
    }
    let checked = checked(data.path());
    assert!(
        checked.contains("PROBLEM: found before, and noted in quarantine/"),
        "{checked}"
    );
    assert_eq!(checked.matches("PROBLEM").count(), 1, "{checked}");

    // Whoever accepts it deletes what was set aside; the broker need not be started again for that.
    let broker = Setup::default()
        .on(data)
        .arg_alone("--strict")
        .start()
        .expect("it is known");
    concerns(&broker, &["alpha"], 0);
    std::fs::remove_dir_all(broker.data_dir().join("quarantine")).expect("it is deleted");
    is_well(&broker);
    let broker = Setup::default()
        .on(broker.kill())
        .arg_alone("--strict")
        .start()
        .expect("ours");
    is_well(&broker);
    assert!(kept(&broker).is_empty());
    assert_eq!(all_of(&broker, "alpha"), numbered("alpha", Some(4)));
    let data = broker.kill();
    let checked = self::checked(data.path());
    assert!(checked.ends_with("\nsound\n"), "{checked}");
}

#[test]
fn whom_unreadable_damage_concerns_is_unknown() {
    let Some(data) = left_behind() else { return };
    // Nothing of the record can be made out, whose header stands before its places and its texts.
    for path in files(&data.path().join("journal")) {
        let mut bytes = std::fs::read(&path).expect("it is read");
        let found = bytes.windows(6).position(|at| at == b"beta-7");
        if let Some(at) = found {
            bytes[at - 80..at + 6].fill(0xee);
            std::fs::write(&path, bytes).expect("it is written");
        }
    }
    let broker = Setup::default().on(data).start().expect("ours");
    concerns(&broker, &[], 1);
    let health = get(&broker, "/health");
    assert!(health.contains("concerned: an unknown queue"), "{health}");
    assert_eq!(all_of(&broker, "alpha"), numbered("alpha", None));
}

fn is_well(broker: &Broker) {
    let health = get(broker, "/health");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
    let page = get(broker, "/metrics");
    for line in [
        "warren_journal_damaged_places 0",
        "warren_segments_damaged 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}: {page}");
    }
}

/// What the broker noted at its start is stored: what is answered as stored was submitted after it.
fn settled_in_catalog(broker: &Broker) {
    let mut client = broker.client();
    client.call(method!("queue.declare", queue: "later", durable: true));
}

fn checked(data: &Path) -> String {
    let output = command()
        .args(["check-store", "--data-dir"])
        .arg(data)
        .output()
        .expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_strict_broker_does_not_start_on_a_damaged_record() {
    let Some(data) = left_behind() else { return };
    damage(data.path(), "beta-7");
    for _ in 0..2 {
        let (code, said) = refused(data.path(), &["--strict"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the journal is damaged"), "{said}");
    }
    assert!(!data.path().join("quarantine").exists());
    let broker = Setup::default().on(data).start().expect("ours");
    assert_eq!(all_of(&broker, "beta"), numbered("beta", Some(7)));
}

#[test]
fn what_was_not_damaged_is_well() {
    let Some(data) = left_behind() else { return };
    let setup = Setup::default().env("WARREN_STORAGE_STRICT", true);
    let broker = setup.on(data).start().expect("ours");
    is_well(&broker);
    for queue in ["alpha", "beta"] {
        assert_eq!(all_of(&broker, queue), numbered(queue, None));
    }
}

/// A folder whose queue `orders` has lost a segment.
fn without_a_segment() -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-format-1");
    for part in ["", "journal"] {
        std::fs::create_dir_all(root.path().join(part)).expect("a folder");
        for path in files(&fixture.join(part)) {
            if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                let to = root.path().join(part).join(name);
                std::fs::copy(&path, to).expect("it is copied");
            }
        }
    }
    let disk = Arc::new(RealDisk::new(root.path()).expect("a disk"));
    let folder = Folder::open(disk).expect("the folder opens");
    let (catalog, _) = Catalog::open(folder.disk()).expect("the catalog opens");
    let vhost = Op::PutVhost("/".to_owned(), VhostRecord::default());
    catalog.submit(vec![vhost]).wait().expect("it is stored");
    root
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    let data = without_a_segment();
    let (code, said) = refused(data.path(), &["--strict"]);
    assert_eq!(code, Some(1), "{said}");
    let name = "segment 0 of queue \"orders\" in vhost \"/\" is missing";
    let missing = format!("{name}, in which were 52 messages");
    assert!(said.contains(&missing), "{said}");
    let Some(broker) = Setup::default().on(data).start() else {
        return;
    };
    let in_json = format!(
        "{}; 0 of its messages are in the journal as well, 41 are lost",
        name.replace('"', "\\\"")
    );
    let counted = ["warren_segments_damaged 1", "warren_messages_lost_total 41"];
    is_not_well(&broker, &in_json, &counted);
    // The queue works all the same.
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    client.publish_with("", "orders", &properties!(delivery_mode: 2), "new");
    client.expect_name("basic.ack");
    assert_eq!(all_of(&broker, "orders"), ["new"]);

    // It is reported once, and told until it is known.
    settled_in_catalog(&broker);
    let broker = Setup::default().on(broker.kill()).start().expect("ours");
    assert_eq!(broker.count_lines("stored data are damaged"), 0);
    is_not_well(
        &broker,
        &in_json,
        &[
            "warren_segments_damaged 1",
            "warren_queue_damaged_places{vhost=\"/\",queue=\"orders\"} 1",
        ],
    );
    for path in kept(&broker) {
        std::fs::remove_file(path).expect("it is deleted");
    }
    is_well(&broker);
}

/// What was let go of is known to the catalog as well.
#[test]
fn what_is_still_needed_of_the_journal_is_known_without_its_word() {
    let small = || Setup::default().env("WARREN_STORAGE_JOURNAL_FILE_BYTES", 1 << 20);
    let Some(broker) = small().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    client.call(method!("queue.declare", queue: "alpha", durable: true));
    let persistent = properties!(delivery_mode: 2);
    client.publish_with("", "alpha", &persistent, "stays");
    client.expect_name("basic.ack");
    let body = "x".repeat(256 << 10);
    let released = || {
        let marks = std::fs::read(broker.data_dir().join("journal/first-live")).expect("there");
        // Each slot's counter, behind its magic, its checksum and its format.
        let counter = |at: usize| marks[at + 16..at + 24].to_vec();
        [counter(0), counter(4096)]
    };
    let before = released();
    // Until files were released that held what is not there any more.
    support::broker::eventually("released", || {
        for _ in 0..16 {
            client.publish_with("", "alpha", &persistent, &body);
            client.expect_name("basic.ack");
            client.get("alpha", false);
            let message = client.get("alpha", true).expect("the next one");
            assert_eq!(message.text().len(), body.len());
            client.send(method!("basic.recover", requeue: true));
            client.expect(method!("basic.recover-ok"));
        }
        released()
            .iter()
            .zip(&before)
            .all(|(now, then)| now != then)
    });
    let mut data = broker.kill();
    for _ in 0..2 {
        std::fs::remove_file(data.path().join("journal/first-live")).expect("it was there");
        let said = checked(data.path());
        assert!(said.ends_with("\nsound\n"), "{said}");
        let broker = small()
            .arg_alone("--strict")
            .on(data)
            .start()
            .expect("ours");
        is_well(&broker);
        assert_eq!(broker.count_lines("stored data"), 0);
        let found = broker.client().get("alpha", false).expect("it is there");
        assert_eq!(found.text(), "stays");
        data = broker.kill();
    }
}

/// What is missing is told as it is, and no other file is suspected.
#[test]
fn a_file_of_the_journal_that_is_gone_is_missed() {
    let small = || Setup::default().env("WARREN_STORAGE_JOURNAL_FILE_BYTES", 1 << 20);
    let Some(broker) = small().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    client.call(method!("queue.declare", queue: "alpha", durable: true));
    const LARGE: usize = 9;
    for number in 0..LARGE {
        // Three fit into a file.
        let body = format!("{number} {}", "x".repeat(300 << 10));
        client.publish_with("", "alpha", &properties!(delivery_mode: 2), &body);
        client.expect_name("basic.ack");
    }
    let data = broker.kill();
    let journal = data.path().join("journal");
    let in_use = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("it is read");
        let first = bytes.get(32..40)?.try_into().ok().map(u64::from_le_bytes)?;
        (bytes.starts_with(b"WARRENJ1")).then(|| (first, path.clone()))
    };
    let mut used: Vec<(u64, PathBuf)> = files(&journal).iter().filter_map(in_use).collect();
    used.sort();
    assert!(used.len() >= 3, "{used:?}");
    let (first, gone) = &used[1];
    let last = used[2].0 - 1;
    std::fs::remove_file(gone).expect("it was there");

    let broker = small().on(data).start().expect("ours");
    let before = used[0].1.file_name().and_then(|name| name.to_str());
    let before = before.expect("a name");
    let what =
        format!("records {first} to {last} are missing (the file is gone that followed {before})");
    is_not_well(&broker, &what, &["warren_journal_damaged_places 1"]);
    let kept = kept(&broker);
    assert_eq!(kept.len(), 1, "a note and no copy: {kept:?}");
    let found = all_of(&broker, "alpha").len() as u64;
    assert!(
        found < LARGE as u64 && found + (last - first + 1) >= LARGE as u64,
        "{found}"
    );
}

#[test]
fn a_journal_that_is_gone_is_missed() {
    let Some(data) = left_behind() else { return };
    // Once more, so that the catalog surely knows of it.
    let broker = Setup::default().on(data).start().expect("ours");
    let data = broker.stop();
    std::fs::remove_dir_all(data.path().join("journal")).expect("it is removed");
    let checked = command()
        .args(["check-store", "--data-dir"])
        .arg(data.path())
        .output()
        .expect("it runs");
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let (code, said) = refused(data.path(), &["--strict"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the journal had records up to"), "{said}");
    let broker = Setup::default().on(data).start().expect("ours");
    is_not_well(
        &broker,
        "the journal had records up to",
        &["warren_journal_damaged_places 1"],
    );
    assert!(all_of(&broker, "alpha").is_empty());
}

/// The first segment that there is.
fn a_segment(broker: &Broker) -> Option<PathBuf> {
    let folder = broker.data_dir().join("segments");
    let queues = folder.exists().then(|| files(&folder));
    let segments = queues.into_iter().flatten().flat_map(|queue| files(&queue));
    segments.min()
}

/// The disk gives an error where a segment is, for as long as something else has its name.
#[test]
fn a_queue_waits_for_what_the_disk_does_not_give() {
    const LARGE: usize = 60_000;
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let body = |number: usize| format!("{number:0LARGE$}");
    let persistent = properties!(delivery_mode: 2);
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    for queue in ["deep", "other"] {
        client.call(method!("queue.declare", queue: queue, durable: true));
    }
    for number in 0..400 {
        client.publish_with("", "deep", &persistent, &body(number));
        client.expect_name("basic.ack");
    }
    let mut path = PathBuf::new();
    support::broker::eventually("paged out", || {
        path = a_segment(&broker).unwrap_or_default();
        path.is_file()
    });
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).expect("it is moved");
    std::fs::create_dir(&path).expect("something else is there");

    let mut next = 0;
    let refusal = loop {
        client.send(method!("basic.get", queue: "deep", no_ack: true));
        let answer = client.receive();
        if answer.name != "basic.get-ok" {
            break answer;
        }
        assert_eq!(client.content(answer).text(), body(next));
        next += 1;
    };
    assert!(next > 0 && next < 400, "{next}");
    let text =
        "NOT_FOUND - failed to perform operation on queue 'deep' in vhost '/' due to timeout";
    let (class, id) = Method::ids("basic.get");
    let close = method!("channel.close",
        reply_code: 404, reply_text: text, class_id: class, method_id: id);
    assert_eq!(refusal, close);
    let waits = "queue \\\"deep\\\" in vhost \\\"/\\\" waits: ";
    is_not_well(&broker, waits, &["warren_segments_damaged 0"]);
    // It, and perhaps what is read ahead.
    let waiting = "warren_queue_unreadable_parts{vhost=\"/\",queue=\"deep\"} ";
    assert!(get(&broker, "/metrics").contains(waiting));
    assert_eq!(kept(&broker), Vec::<PathBuf>::new());

    // Others go on, and so does who publishes.
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    for queue in ["other", "deep"] {
        client.publish_with("", queue, &persistent, "new");
        client.expect_name("basic.ack");
    }
    assert_eq!(all_of(&broker, "other"), ["new"]);

    client.call(method!("basic.consume", queue: "deep", no_ack: true));
    std::fs::remove_dir(&path).expect("it is removed");
    std::fs::rename(&aside, &path).expect("it is moved back");
    for number in next..400 {
        assert_eq!(client.delivery().text(), body(number));
    }
    assert_eq!(client.delivery().text(), "new");
    broker.wait_for_line("messages can be read again");
    is_well(&broker);
}

/// A segment is cut while the broker runs: hundreds of chunks are gone, and one note tells of them.
#[test]
fn a_segment_that_was_cut_has_one_note() {
    const LARGE: usize = 60_000;
    const LAST: usize = 500;
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    client.call(method!("queue.declare", queue: "deep", durable: true));
    for number in 0..=LAST {
        let body = format!("{number:0LARGE$}");
        client.publish_with("", "deep", &properties!(delivery_mode: 2), &body);
        client.expect_name("basic.ack");
    }
    let segment = || {
        let path = a_segment(&broker)?;
        let bytes = std::fs::metadata(&path).ok()?.len();
        Some((path, bytes))
    };
    support::broker::eventually("paged out", || {
        segment().is_some_and(|(_, bytes)| bytes > 10 << 20)
    });
    let (path, bytes) = segment().expect("it is there");
    let file = std::fs::File::options().write(true).open(path);
    file.and_then(|file| file.set_len(bytes / 4))
        .expect("it is cut");

    client.call(method!("basic.consume", queue: "deep", no_ack: true));
    let mut came = 0;
    loop {
        let number: usize = client.delivery().text().parse().expect("a number");
        came += 1;
        if number == LAST {
            break;
        }
    }
    assert!(came < LAST, "{came}");
    let kept = kept(&broker);
    let is_note = |path: &&PathBuf| path.extension().is_some_and(|end| end == "note");
    let notes: Vec<&PathBuf> = kept.iter().filter(is_note).collect();
    assert_eq!(notes.len(), 1, "{kept:?}");
    let note = std::fs::read_to_string(notes[0]).expect("it is read");
    let told: Vec<&str> = note
        .lines()
        .filter(|line| line.contains(" chunks of segment "))
        .collect();
    assert_eq!(told.len(), 1, "{note}");
    let lost = format!(" with {} records are damaged", LAST + 1 - came);
    assert!(told[0].contains(&lost), "{note}");
    assert_eq!(broker.count_lines("stored data are damaged"), 1);
    is_not_well(&broker, " chunks of segment ", &[]);
    let page = get(&broker, "/metrics");
    let places = page
        .lines()
        .find_map(|line| line.strip_prefix("warren_segments_damaged "));
    let places: u64 = places.and_then(|text| text.parse().ok()).expect("a number");
    assert!(places > 1, "{places}");
    // It is told after a restart as well, and no more than that.
    let broker = Setup::default().on(broker.kill()).start().expect("ours");
    assert_eq!(broker.count_lines("stored data are damaged"), 0);
    is_not_well(
        &broker,
        &lost,
        &[&format!("warren_segments_damaged {places}")],
    );
}
