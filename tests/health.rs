//! `/health` and `/metrics` when something is wrong with the store.

mod support;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use support::Setup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use warren::auth::Users;
use warren::broker::catalog::{Catalog as _, StoredCatalog};
use warren::broker::{Broker, Engine};
use warren::connection::{Limits, Settings};
use warren::net::{NetSettings, Protocol, Server};
use warren::store::catalog::Catalog;
use warren::store::disk::SimDisk;
use warren::store::disk::sim::Faults;
use warren::store::folder::Folder;
use warren::store::journal::{Drive, Journal, Options};
use warren::store::quarantine::{Concerned, Note, Part};

const PATIENCE: Duration = Duration::from_secs(20);

struct Site {
    broker: Arc<Broker>,
    server: Server,
}

impl Site {
    fn start() -> Self {
        Self::of(Broker::new(Users::with_guest()))
    }

    fn of(broker: Arc<Broker>) -> Self {
        let net = NetSettings {
            listen: Vec::new(),
            listen_tls: Vec::new(),
            management: vec!["127.0.0.1:0".into()],
            tls: None,
            backlog: 16,
            max_connections: 10,
            high_water_bytes: 1 << 20,
            write_timeout: PATIENCE,
            lookouts: 1,
            shutdown_timeout: PATIENCE,
        };
        let settings = Settings::new(Limits::default(), "test");
        let server = Server::start(&broker, settings, net).expect("it starts");
        Self { broker, server }
    }

    async fn get(&self, path: &str) -> String {
        let address = self.server.address(Protocol::Http).expect("it listens");
        let mut socket = TcpStream::connect(address).await.expect("accepted");
        let request = format!("GET {path} HTTP/1.1\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = timeout(PATIENCE, socket.read_to_string(&mut answer)).await;
        read.expect("an answer").expect("text");
        answer
    }

    /// The status is well, or failed with these problems.
    async fn expect_health(&self, problems: &[&str]) {
        let health = self.get("/health").await;
        if problems.is_empty() {
            assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
            assert!(health.contains("{\"status\":\"ok\","), "{health}");
            assert!(!health.contains("problems"), "{health}");
        } else {
            let status = "HTTP/1.1 503 Service Unavailable\r\n";
            assert!(health.starts_with(status), "{health}");
            assert!(health.contains("{\"status\":\"failed\","), "{health}");
        }
        for problem in problems {
            assert!(health.contains(problem), "{problem} is not in {health}");
        }
    }

    async fn expect_metrics(&self, lines: &[&str]) {
        let metrics = self.get("/metrics").await;
        for line in lines {
            let is_there = metrics.lines().any(|found| found == *line);
            assert!(is_there, "no {line} in {metrics}");
        }
    }

    /// Has a journal on that disk, whose turns the test makes.
    fn journal(&self, disk: &SimDisk) -> Arc<Journal> {
        let options = Options {
            file_bytes: 64 << 10,
            first_file_bytes: 64 << 10,
            drive: Drive::Manual,
            ..Options::default()
        };
        let recovery = Journal::open(Arc::new(disk.clone()), options).expect("it opens");
        let (journal, report) = recovery.finish().expect("it starts");
        let journal = Arc::new(journal);
        self.broker.engine.store.watch(&journal);
        let name_of = |id: u64| {
            let (vhost, name) = ("/".to_owned(), format!("\"{id}\""));
            Some(Concerned { vhost, name })
        };
        self.broker.engine.store.recovered(&report, name_of);
        journal
    }
}

fn append(journal: &Journal) {
    journal
        .append(|batch| {
            batch.settle(1, &[(1, 2)]);
        })
        .expect("it is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_failed_is_not_well() {
    let site = Site::start();
    site.expect_metrics(&["warren_journal_failed 0"]).await;
    let disk = SimDisk::new(1);
    let journal = site.journal(&disk);
    append(&journal);
    while journal.turn().expect("it works") {}
    site.expect_health(&[]).await;
    site.expect_metrics(&["warren_journal_failed 0", "warren_journal_disk_bytes 65536"])
        .await;
    disk.set_faults(Faults {
        crash_at: Some(0),
        ..Faults::default()
    });
    append(&journal);
    journal.turn().expect_err("the disk is gone");
    site.expect_health(&["the journal has failed: simulated crash"])
        .await;
    site.expect_metrics(&["warren_journal_failed 1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_recovery_found_damaged_is_told() {
    let disk = SimDisk::new(1);
    let before = Site::start();
    let journal = before.journal(&disk);
    append(&journal);
    append(&journal);
    while journal.turn().expect("it works") {}
    journal.close();
    drop((before, journal));
    // Behind the file's header, a batch's and a record's, and the record's queue.
    assert!(disk.flip_bit("journal/00000001.journal", (4096 + 48 + 32 + 8) * 8));

    let site = Site::start();
    let _journal = site.journal(&disk);
    site.expect_health(&["records 1 to 1 are missing", "quarantine/"])
        .await;
    site.expect_metrics(&[
        "warren_journal_failed 0",
        "warren_journal_damaged_places 1",
        "warren_journal_missing_records 1",
        "warren_segments_damaged 0",
        "warren_unknown_queue_damaged_places 0",
        "warren_queue_damaged_places{vhost=\"/\",queue=\"\\\"1\\\"\"} 1",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_damage_is_counted_and_some_of_it_told() {
    let site = Site::start();
    let store = &site.broker.engine.store;
    for number in 1..=1000 {
        let note = Note {
            part: Part::Segments,
            what: format!("segment {number} of \"q\" is bad"),
            missing_records: 0,
            unknown_queue: true,
            queues: Vec::new(),
            chunks: None,
        };
        // Nobody keeps notes here. What is known is not counted again.
        for _ in 0..2 {
            assert!(!store.damaged(&number.to_string(), note.clone()));
        }
    }
    site.expect_health(&["segment 1 of \\\"q\\\" is bad"]).await;
    let health = site.get("/health").await;
    assert!(health.len() < 10_000, "{}", health.len());
    site.expect_metrics(&[
        "warren_segments_damaged 1000",
        "warren_unknown_queue_damaged_places 1000",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_failed_is_not_well() {
    let disk = SimDisk::new(1);
    let folder = Folder::open(Arc::new(disk.clone())).expect("the folder opens");
    let (store, _) = Catalog::open(folder.disk()).expect("the catalog opens");
    let catalog = Arc::new(StoredCatalog::new(Arc::new(store)));
    let engine = Engine::new(1 << 30);
    let broker = Broker::with_engine(Users::with_guest(), engine, Arc::clone(&catalog) as _);
    let site = Site::of(broker);
    site.expect_health(&[]).await;
    site.expect_metrics(&["warren_catalog_failed 0"]).await;
    disk.set_faults(Faults {
        crash_at: Some(0),
        ..Faults::default()
    });
    let (tell, told) = tokio::sync::oneshot::channel();
    site.broker.add_vhost("new");
    let then = move |stored: Result<(), _>| tell.send(stored.is_ok()).expect("awaited");
    catalog.when_stored(catalog.submitted(), Box::new(then));
    let stored = timeout(PATIENCE, told).await.expect("it is told");
    assert_eq!(stored, Ok(false));
    site.expect_health(&["the catalog has failed"]).await;
    site.expect_metrics(&["warren_catalog_failed 1"]).await;
}

/// However many open sockets and say nothing: who asks is answered, and the silent make room.
#[test]
fn idle_sockets_keep_nobody_from_the_pages() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let address = broker.listening("http");
    let connect = || {
        let socket = std::net::TcpStream::connect(address).expect("accepted");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        socket
    };
    let ask = |mut socket: std::net::TcpStream| {
        write!(socket, "GET /health HTTP/1.1\r\n\r\n").expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("text");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    };
    let mut idle: Vec<_> = (0..700).map(|_| connect()).collect();
    ask(connect());
    let mut byte = [0];
    let gone = idle[0].read(&mut byte);
    assert!(matches!(gone, Ok(0)), "{gone:?}");
}

#[test]
fn the_disk_alarm_is_told() {
    let setup = Setup::default().arg("--disk-free-limit", "10000000TB");
    let Some(broker) = setup.start() else { return };
    let get = |path: &str| {
        let address = broker.listening("http");
        let mut socket = std::net::TcpStream::connect(address).expect("accepted");
        write!(socket, "GET {path} HTTP/1.1\r\n\r\n").expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("text");
        answer
    };
    let health = get("/health");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
    assert!(health.contains("\"alarms\":[\"disk\"]"), "{health}");
    let metrics = get("/metrics");
    let value = |name: &str| {
        let mut lines = metrics.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
        line.parse::<u64>().expect("a number")
    };
    assert_eq!(value("warren_alarm_disk"), 1);
    assert_eq!(
        value("warren_disk_free_limit_bytes"),
        10_000_000_000_000_000_000
    );
    assert!(value("warren_disk_free_bytes") > 0);
}
