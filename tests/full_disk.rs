//! The real broker on a disk that is really full: nothing that was confirmed is lost, publishers are told,
//! and it goes on when there is room again.
//!
//! The disk is a small tmpfs in a mount namespace of its own, which root may make, and where the system
//! allows for it anybody. Where not even that is so, these tests are skipped, aloud; the last of them,
//! with a limit for the size of files, runs everywhere.

#[macro_use]
mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::broker::eventually;
use support::{Broker, Client, Http, Method, Setup, Talk, skip};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// A file system of so many bytes, which goes with the process that mounted it.
struct SmallDisk {
    holder: Child,
    /// Seen from outside of its namespace.
    root: PathBuf,
    _mount_point: TempDir,
}

impl SmallDisk {
    /// None, said aloud, where it cannot be mounted.
    fn new(bytes: u64) -> Option<Self> {
        let made = Self::mount(&["--mount"], bytes)
            .or_else(|| Self::mount(&["--user", "--map-root-user", "--mount"], bytes));
        if made.is_none() {
            skip("no small file system can be mounted here");
        }
        made
    }

    fn mount(namespaces: &[&str], bytes: u64) -> Option<Self> {
        let mount_point = tempfile::tempdir().expect("a temporary folder");
        let script = "mount -t tmpfs -o size=$0 none $1 && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(namespaces)
            .args(["sh", "-c", script, &bytes.to_string()])
            .arg(mount_point.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = String::new();
        let stdout = holder.stdout.take().expect("piped");
        let _ = BufReader::new(stdout).read_line(&mut said);
        let inside = mount_point.path().strip_prefix("/").expect("absolute");
        let root = Path::new("/proc")
            .join(holder.id().to_string())
            .join("root")
            .join(inside);
        let disk = Self {
            holder,
            root,
            _mount_point: mount_point,
        };
        let can_write = || std::fs::write(disk.root.join("try"), "").is_ok();
        (said == "mounted\n" && can_write()).then_some(disk)
    }

    fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.root).expect("it is there");
        stat.f_bavail * stat.f_frsize
    }

    /// Takes so much of it.
    fn take(&self, bytes: u64) {
        let mut file = File::create(self.ballast()).expect("it is made");
        std::io::copy(&mut std::io::repeat(7).take(bytes), &mut file).expect("there is room");
    }

    /// Takes what is left of it.
    fn take_rest(&self) {
        let mut file = File::create(self.root.join("rest")).expect("it is made");
        let zeros = [0; 4096];
        while file.write_all(&zeros).is_ok() {}
    }

    fn give_back(&self) {
        for file in [self.ballast(), self.root.join("rest")] {
            // Not every test takes both.
            let _ = std::fs::remove_file(file);
        }
    }

    fn ballast(&self) -> PathBuf {
        self.root.join("ballast")
    }

    fn setup(&self, free_limit: &str) -> Setup {
        Setup::default()
            .at(self.root.join("data"))
            .arg("--disk-free-limit", free_limit)
            .env("WARREN_STORAGE_JOURNAL_FILE_BYTES", 4 * MIB)
            .env("WARREN_STORAGE_JOURNAL_SPARE_FILES", 1)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

const BODY_BYTES: usize = 64 << 10;

fn publish(client: &mut Client, number: u64) {
    let body = format!("{number} {}", "x".repeat(BODY_BYTES));
    client.publish_with("", "q", &properties!(delivery_mode: 2), &body);
}

fn publisher(broker: &Broker) -> Client {
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    client.call(method!("queue.declare", queue: "q", durable: true));
    client
}

/// How far a publisher came; its messages are numbered from 1 on.
struct Filled {
    confirmed: u64,
    published: u64,
}

/// Publishes until the broker says that it is too much.
fn fill(client: &mut Client) -> Filled {
    let mut filled = Filled {
        confirmed: 0,
        published: 0,
    };
    while filled.published < 10_000 {
        filled.published += 1;
        publish(client, filled.published);
        // Whoever is blocked is told so when it publishes. If this one was not, and waits for the disk,
        // the next one will be.
        let deadline = Instant::now() + Duration::from_millis(500);
        let Ok(frame) = client.raw_frame(deadline) else {
            continue;
        };
        let method = Method::decode(&frame.payload);
        if method.name == "connection.blocked" {
            assert_eq!(method, method!("connection.blocked", reason: "low on disk"));
            return filled;
        }
        filled.confirmed = confirmed(&method);
    }
    panic!("it never was full");
}

/// Sends a method, and gives whatever comes then.
fn ask(client: &mut Client, method: Method) -> Method {
    client.send(method);
    let deadline = Instant::now() + Duration::from_secs(10);
    Method::decode(&client.raw_frame(deadline).expect("an answer").payload)
}

fn confirmed(method: &Method) -> u64 {
    assert_eq!(method.name, "basic.ack");
    method.number("delivery-tag")
}

/// There is room again: everything is confirmed.
fn expect_unblocked(client: &mut Client, filled: &mut Filled) {
    client.on(0).expect(method!("connection.unblocked"));
    while filled.confirmed < filled.published {
        filled.confirmed = confirmed(&client.expect_name("basic.ack"));
    }
}

/// The numbers of all messages, which are whole.
fn all_of(broker: &Broker) -> Vec<u64> {
    let mut client = broker.client();
    let bodies = std::iter::from_fn(|| client.take("q"));
    let numbers = bodies.map(|body| {
        let (number, rest) = body.split_once(' ').expect("a number");
        assert_eq!(rest.len(), BODY_BYTES);
        number.parse().expect("a number")
    });
    numbers.collect()
}

/// What was confirmed is there; what was not may be.
fn expect_confirmed(broker: &Broker, filled: &Filled) {
    let found = all_of(broker);
    let all: Vec<u64> = (1..=filled.published).collect();
    let is_enough = found.len() as u64 >= filled.confirmed;
    assert!(all.starts_with(&found) && is_enough, "{found:?}");
}

fn get(broker: &Broker, path: &str) -> String {
    let mut socket = std::net::TcpStream::connect(broker.listening("http")).expect("accepted");
    write!(socket, "GET {path} HTTP/1.1\r\n\r\n").expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn publishers_are_blocked_before_the_disk_is_full() {
    let Some(disk) = SmallDisk::new(96 * MIB) else {
        return;
    };
    disk.take(40 * MIB);
    let Some(broker) = disk.setup("24MiB").start() else {
        return;
    };
    let mut client = publisher(&broker);
    let mut filled = fill(&mut client);
    assert!(disk.free_bytes() > 0);
    // Whoever changes topology needs room as well, and has it.
    let mut other = broker.client();
    other.call(method!("queue.declare", queue: "other", durable: true));

    disk.give_back();
    expect_unblocked(&mut client, &mut filled);
    drop(broker.kill());
    let broker = disk.setup("24MiB").start().expect("ours");
    expect_confirmed(&broker, &filled);
}

#[test]
fn a_full_disk_is_waited_for() {
    let Some(disk) = SmallDisk::new(64 * MIB) else {
        return;
    };
    disk.take(24 * MIB);
    let Some(broker) = disk.setup("0").start() else {
        return;
    };
    let mut client = publisher(&broker);
    let mut filled = fill(&mut client);
    disk.take_rest();
    // Now and then it looks whether there is room by now.
    eventually("waiting", || {
        let health = get(&broker, "/health");
        assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
        // Whichever came first: then the other need not write.
        health.contains("journal waits for disk space")
            || health.contains("segments wait for disk space")
    });
    disk.give_back();
    // What it waited for goes on, and so does everything else.
    expect_unblocked(&mut client, &mut filled);
    filled.published += 1;
    publish(&mut client, filled.published);
    client.expect(method!("basic.ack", delivery_tag: filled.published));
    filled.confirmed = filled.published;
    drop(broker.kill());
    let broker = disk.setup("0").start().expect("ours");
    expect_confirmed(&broker, &filled);
}

/// Transient messages do not need the journal; what is past the queue's window needs segments.
#[test]
fn segments_that_wait_for_room_are_told_and_written_later() {
    let Some(disk) = SmallDisk::new(64 * MIB) else {
        return;
    };
    let Some(broker) = disk.setup("0").start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("queue.declare", queue: "q", durable: true));
    disk.take_rest();
    const MESSAGES: u64 = 200;
    for number in 1..=MESSAGES {
        let body = format!("{number} {}", "x".repeat(BODY_BYTES));
        client.publish("", "q", &body);
    }
    eventually("waiting", || {
        let health = get(&broker, "/health");
        assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
        health.contains("\"disk\",") && health.contains("\"segments wait for disk space\"")
    });
    assert!(get(&broker, "/metrics").contains("\nwarren_segments_stalled 1\n"));
    disk.give_back();
    // Nobody publishes, and it is written all the same.
    eventually("written", || {
        get(&broker, "/health").contains("\"alarms\":[]")
    });
    let segments = disk.root.join("data/segments");
    assert!(std::fs::read_dir(segments).is_ok_and(|mut folders| folders.next().is_some()));
    assert_eq!(all_of(&broker), (1..=MESSAGES).collect::<Vec<_>>());
}

#[test]
fn what_was_confirmed_survives_a_kill_on_a_full_disk() {
    let Some(disk) = SmallDisk::new(64 * MIB) else {
        return;
    };
    disk.take(24 * MIB);
    let Some(broker) = disk.setup("0").start() else {
        return;
    };
    let mut client = publisher(&broker);
    let filled = fill(&mut client);
    disk.take_rest();
    drop(broker.kill());
    disk.give_back();
    let broker = disk.setup("0").start().expect("ours");
    let mut client = publisher(&broker);
    expect_confirmed(&broker, &filled);
    publish(&mut client, 1);
    client.expect(method!("basic.ack", delivery_tag: 1));
    assert_eq!(all_of(&broker), [1]);
    let health = get(&broker, "/health");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
}

/// Writes do not only wait for room but fail: nothing is confirmed any more, which is said.
#[test]
fn a_write_that_fails_is_a_nack() {
    let setup = |spare_files: u64| {
        Setup::default()
            .env("WARREN_STORAGE_JOURNAL_FILE_BYTES", 4 * MIB)
            .env("WARREN_STORAGE_JOURNAL_SPARE_FILES", spare_files)
    };
    let Some(broker) = setup(1).start() else {
        return;
    };
    let mut client = publisher(&broker);
    for number in 1..=10 {
        publish(&mut client, number);
        client.expect(method!("basic.ack", delivery_tag: number));
    }
    let data = broker.kill();
    // No file may be longer than that, and the journal wants more of its own, which are.
    let limited = setup(8).on(data).limited_files(2 * MIB);
    let broker = limited.start().expect("ours");
    eventually("failed", || {
        get(&broker, "/health").starts_with("HTTP/1.1 503 ")
    });
    let health = get(&broker, "/health");
    assert!(health.contains("the journal has failed"), "{health}");
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    for number in 1..=3 {
        publish(&mut client, 100 + number);
        client.expect(method!("basic.nack", delivery_tag: number, multiple: true, requeue: true));
    }
    // What promises nothing goes on, and so does what is kept elsewhere than in the journal.
    client.publish("", "q", "transient");
    client.expect(method!("basic.ack", delivery_tag: 4));
    client.call(method!("queue.declare", queue: "after", durable: true));
    client.call(method!("queue.bind", queue: "after", exchange: "amq.fanout", routing_key: ""));
    let broker = setup(1).on(broker.kill()).start().expect("ours");
    let found = all_of(&broker);
    assert_eq!(found, (1..=10).collect::<Vec<u64>>());
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    client.publish_with("amq.fanout", "", &properties!(delivery_mode: 2), "bound");
    client.expect_name("basic.ack");
    assert_eq!(client.take("after").as_deref(), Some("bound"));
    let mut client = publisher(&broker);
    publish(&mut client, 11);
    client.expect(method!("basic.ack", delivery_tag: 1));
}

/// The catalog has room of its own: who finds none is refused, and the next one is not.
#[test]
fn topology_can_be_changed_when_there_is_room_again() {
    let Some(disk) = SmallDisk::new(64 * MIB) else {
        return;
    };
    let Some(broker) = disk.setup("0").start() else {
        return;
    };
    let mut client = publisher(&broker);
    publish(&mut client, 1);
    client.expect(method!("basic.ack", delivery_tag: 1));
    disk.take_rest();
    let declare = |number: usize| {
        let arguments = table!("x-note" => "x".repeat(30 << 10));
        let queue = format!("queue {number}");
        method!("queue.declare", queue: queue, durable: true, arguments: arguments)
    };
    let mut other = broker.client();
    let mut declared = 0;
    let refused = loop {
        let reply = ask(&mut other, declare(declared));
        if reply.name == "connection.close" {
            break reply;
        }
        declared += 1;
        assert!(declared < 10_000, "it never was full");
    };
    assert_eq!(refused.number("reply-code"), 541);
    let health = get(&broker, "/health");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
    assert!(
        health.contains("\"catalog waits for disk space\""),
        "{health}"
    );
    assert!(get(&broker, "/metrics").contains("\nwarren_catalog_stalled 1\n"));
    let http = Http::new(broker.listening("http"));
    let user = || serde_json::json!({"tags": "", "password": "secret"});
    assert_eq!(http.put("/users/ann", user()), 500);
    assert_eq!(http.send("GET", "/users/ann", "").status, 404);
    // What is there is there.
    let mut other = broker.client();
    other.call(method!("queue.declare", queue: "q", durable: true));
    other.call(method!("queue.declare", queue: "mine", exclusive: true));

    disk.give_back();
    eventually("declared", || {
        let reply = ask(&mut broker.client(), declare(declared));
        reply.name == "queue.declare-ok"
    });
    assert!(!get(&broker, "/health").contains("catalog"));
    assert_eq!(http.put("/users/ann", user()), 201);
    publish(&mut client, 2);
    client.expect(method!("basic.ack", delivery_tag: 2));
    let broker = disk.setup("0").on(broker.kill()).start().expect("ours");
    assert_eq!(all_of(&broker), [1, 2]);
    let mut client = broker.client();
    for number in 0..=declared {
        let reply = client.call(declare(number));
        assert_eq!(reply.name, "queue.declare-ok");
    }
}

/// A commit of the catalog fails, for good: what changes no durable topology goes on, messages too.
#[test]
fn without_the_catalog_messages_go_on() {
    let setup = || {
        Setup::default()
            .env("WARREN_STORAGE_JOURNAL_FILE_BYTES", 4 * MIB)
            .env("WARREN_STORAGE_JOURNAL_SPARE_FILES", 1)
    };
    let Some(broker) = setup().start() else {
        return;
    };
    let mut client = publisher(&broker);
    let bind = || method!("queue.bind", queue: "q", exchange: "amq.fanout", routing_key: "");
    let exchange = || method!("exchange.declare", exchange: "x", type: "topic", durable: true);
    client.call(bind());
    client.call(exchange());
    publish(&mut client, 1);
    client.expect(method!("basic.ack", delivery_tag: 1));
    // The catalog can't grow beyond that.
    let limited = setup().on(broker.kill()).limited_files(4 * MIB);
    let broker = limited.start().expect("ours");
    let mut declared = 0;
    let refused = loop {
        let mut client = broker.client();
        let queue = format!("{declared}");
        let long = "x".repeat(100 << 10);
        let arguments = table!("x-note" => long);
        let reply = ask(
            &mut client,
            method!("queue.declare", queue: queue, durable: true, arguments: arguments),
        );
        if reply.name == "connection.close" {
            break reply;
        }
        declared += 1;
        assert!(declared < 1_000, "it never failed");
    };
    assert_eq!(refused.number("reply-code"), 541);
    let health = get(&broker, "/health");
    assert!(health.contains("the catalog has failed"), "{health}");

    let mut client = broker.client();
    client.call(method!("confirm.select"));
    for number in 1..=3 {
        publish(&mut client, 1 + number);
        client.expect(method!("basic.ack", delivery_tag: number));
    }
    let publish_to = |client: &mut Client, queue: &str| {
        client.publish_with(
            "",
            queue,
            &properties!(delivery_mode: 2),
            "gone with its queue",
        );
    };
    // What may be in a queue that is gone after a restart is not confirmed.
    publish_to(&mut client, &format!("{declared}"));
    client.expect_name("basic.nack");
    // A client that connects declares what it uses.
    client.call(method!("queue.declare", queue: "q", passive: true));
    client.call(method!("queue.declare", queue: "q", durable: true));
    client.call(exchange());
    client.call(bind());
    client.call(method!("queue.declare", queue: "mine", exclusive: true));
    client.call(method!("queue.bind", queue: "mine", exchange: "x", routing_key: "#"));
    client.call(method!("queue.delete", queue: "mine"));
    assert_eq!(
        client
            .call(method!("queue.purge", queue: "q"))
            .number("message-count"),
        4
    );
    publish(&mut client, 5);
    client.expect(method!("basic.ack", delivery_tag: 5));
    // What can't be kept is not changed, either.
    let mut refused = broker.client();
    let reply = ask(&mut refused, method!("queue.delete", queue: "q"));
    assert_eq!(reply.number("reply-code"), 541);

    let broker = setup().on(broker.kill()).start().expect("ours");
    assert_eq!(all_of(&broker), [5]);
}
