//! The broker under test: our own binary in a fresh data folder, or the one that the environment
//! variable `WARREN_TEST_URL=HOST:PORT` names (RabbitMQ, to see that a test tells the truth).
//!
//! Ports are learnt from what the broker logs: the line with `listening` that has `protocol=...`
//! and `address=IP:PORT`. The process ends with its [`Broker`], at the latest with the tests.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::{Client, Http, Login, Talk};

/// How long anything may take that does happen in the end.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// So many lines of a broker's output are kept.
const KEPT_LINES: usize = 10_000;

/// How a broker of our own is started.
#[derive(Default)]
pub struct Setup {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Where its data are; None: in a new folder.
    pub data: Option<tempfile::TempDir>,
    /// Where they are instead, in a folder that somebody else looks after.
    pub at: Option<std::path::PathBuf>,
    /// No file that it writes may have more bytes.
    pub file_limit: Option<u64>,
}

impl Setup {
    pub fn arg(mut self, flag: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.args.push(flag.to_string());
        self.args
            .push(value.as_ref().to_str().expect("UTF-8").to_string());
        self
    }

    /// A flag without a value.
    pub fn arg_alone(mut self, flag: &str) -> Self {
        self.args.push(flag.to_string());
        self
    }

    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_string(), value.to_string()));
        self
    }

    /// In the folder that a broker left behind.
    pub fn on(mut self, data: tempfile::TempDir) -> Self {
        self.data = Some(data);
        self
    }

    /// In a folder that somebody else looks after.
    pub fn at(mut self, folder: std::path::PathBuf) -> Self {
        self.at = Some(folder);
        self
    }

    /// Writing past so many bytes of a file fails.
    pub fn limited_files(mut self, bytes: u64) -> Self {
        self.file_limit = Some(bytes);
        self
    }

    /// The broker; another one that is under test only if the environment variable says that it is
    /// configured like this one: None otherwise, said aloud.
    pub fn start_or_as(self, variable: &str) -> Option<Broker> {
        let Some(url) = external() else {
            return Some(Broker::spawn(self));
        };
        if std::env::var_os(variable).is_none() {
            skip(&format!("needs another configuration, and {variable}=1"));
            return None;
        }
        Some(Broker::at(&url))
    }

    /// The broker; None, said aloud, where another broker is under test.
    pub fn start(self) -> Option<Broker> {
        if external().is_some() {
            skip("needs a Warren of its own");
            return None;
        }
        Some(Broker::spawn(self))
    }
}

/// A broker to talk to.
pub struct Broker {
    address: SocketAddr,
    process: Option<Process>,
}

struct Process {
    child: Child,
    /// Kills the broker when we are gone: a static is never dropped.
    watchdog: Child,
    output: Arc<Output>,
    data: Option<tempfile::TempDir>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<VecDeque<String>>,
    grown: Condvar,
}

impl Output {
    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let mut lines = output.lines.lock().expect("no panic under this lock");
                if lines.len() == KEPT_LINES {
                    lines.pop_front();
                }
                lines.push_back(without_colours(&String::from_utf8_lossy(&line)));
                output.grown.notify_all();
            }
        });
    }

    /// The first line that `pick` picks something from.
    fn find<T>(&self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().expect("no panic under this lock");
        loop {
            if let Some(found) = lines.iter().find_map(|line| pick(line)) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the broker never said {what}; it said:\n{lines:#?}"
            );
            lines = self
                .grown
                .wait_timeout(lines, left)
                .expect("no panic under this lock")
                .0;
        }
    }
}

fn without_colours(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(char);
        }
    }
    out
}

fn external() -> Option<String> {
    std::env::var("WARREN_TEST_URL")
        .ok()
        .filter(|url| !url.is_empty())
}

/// Says that a test does not apply to the broker under test, past the capture of test output.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// A name that nobody has used before.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static RUN: LazyLock<u128> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.expect("a clock past 1970").as_millis() ^ u128::from(std::process::id()) << 48
    });
    format!("{what}-{:x}-{}", *RUN, NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Broker {
    /// The one broker that all tests of a binary share.
    pub fn shared() -> &'static Broker {
        static SHARED: LazyLock<Broker> = LazyLock::new(|| match external() {
            Some(url) => Broker::at(&url),
            None => Broker::spawn(Setup::default()),
        });
        &SHARED
    }

    /// Another broker.
    fn at(url: &str) -> Self {
        let url = url.trim_start_matches("amqp://").trim_end_matches('/');
        let address = std::net::ToSocketAddrs::to_socket_addrs(url)
            .ok()
            .and_then(|mut addresses| addresses.next())
            .expect("WARREN_TEST_URL is HOST:PORT");
        Broker {
            address,
            process: None,
        }
    }

    fn spawn(setup: Setup) -> Self {
        let data = setup
            .data
            .unwrap_or_else(|| tempfile::tempdir().expect("a temporary folder"));
        let program = env!("CARGO_BIN_EXE_warren");
        let mut command = match setup.file_limit {
            None => Command::new(program),
            Some(bytes) => {
                // In blocks of 512 bytes; who goes past it is to see an error, not to be killed.
                let script = "trap '' XFSZ; ulimit -f $0; exec \"$@\"";
                let mut shell = Command::new("sh");
                shell.args(["-c", script, &(bytes / 512).to_string(), program]);
                shell
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WARREN_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args([
                "--listen",
                "127.0.0.1:0",
                "--management",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(setup.at.as_deref().unwrap_or(data.path()))
            .args(&setup.args)
            .env_remove("RUST_LOG")
            .envs(setup.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the warren binary starts");
        let watchdog = Command::new("sh")
            .args(["-c", "cat > /dev/null; kill -9 $0", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let output = Arc::new(Output::default());
        output.follow(child.stdout.take().expect("piped"));
        output.follow(child.stderr.take().expect("piped"));
        let process = Process {
            child,
            watchdog,
            output,
            data: Some(data),
        };
        let address = process.listening("amqp");
        Broker {
            address,
            process: Some(process),
        }
    }

    pub fn is_warren(&self) -> bool {
        self.process.is_some()
    }

    /// Where plain AMQP is spoken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `amqp`, `amqps` or `http` is spoken.
    pub fn listening(&self, protocol: &str) -> SocketAddr {
        self.process().listening(protocol)
    }

    /// The management API. Another broker's is where `WARREN_TEST_MANAGEMENT=HOST:PORT` says; without
    /// that it is None, said aloud.
    pub fn management(&self) -> Option<Http> {
        if self.is_warren() {
            return Some(Http::new(self.listening("http")));
        }
        let address = std::env::var("WARREN_TEST_MANAGEMENT").ok();
        let address = address.and_then(|address| address.parse().ok());
        if address.is_none() {
            skip("needs the management API: WARREN_TEST_MANAGEMENT=IP:PORT");
        }
        address.map(Http::new)
    }

    /// A client with an open connection and channel 1 open.
    #[track_caller]
    pub fn client(&self) -> Client {
        let mut client = Login::default().open(self.address);
        client.open_channel(1);
        client
    }

    /// A client that has a TCP connection and has said nothing yet.
    #[track_caller]
    pub fn stranger(&self) -> Client {
        Client::plain(self.address)
    }

    /// Does not let in a user of that name, which is logged.
    #[track_caller]
    pub fn refuse(&self, user: &str) {
        let login = Login {
            user: user.into(),
            ..Login::default()
        };
        let mut stranger = self.stranger();
        stranger.send_bytes(b"AMQP\0\0\x09\x01");
        stranger.on(0).expect_name("connection.start");
        stranger.on(0).send(login.start_ok());
        stranger.drain_to_end();
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a broker of our own")
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> &std::path::Path {
        self.process().data.as_ref().expect("it runs").path()
    }

    pub fn pid(&self) -> u32 {
        self.process().child.id()
    }

    /// A number of /proc/PID/status in KiB, as `VmRSS` or `VmHWM`.
    pub fn memory_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the broker lives");
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {field} in {status}"))
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill -s {name} {pid}");
    }

    /// Waits for a line of output that contains `text`.
    pub fn wait_for_line(&self, text: &str) -> String {
        self.process()
            .output
            .find(text, |line| line.contains(text).then(|| line.to_string()))
    }

    /// How many lines so far contain `text`.
    pub fn count_lines(&self, text: &str) -> usize {
        let lines = self
            .process()
            .output
            .lines
            .lock()
            .expect("no panic under this lock");
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Kills the process, as `kill -9` does; gives the folder that it leaves behind.
    pub fn kill(mut self) -> tempfile::TempDir {
        let process = self.process.as_mut().expect("a broker of our own");
        process.child.kill().expect("a child of ours");
        process.child.wait().expect("a child of ours");
        process.data.take().expect("it has a folder")
    }

    /// Shuts the broker down; gives the folder that it leaves behind.
    pub fn stop(mut self) -> tempfile::TempDir {
        self.signal("TERM");
        assert!(self.wait_for_exit().success());
        let process = self.process.as_mut().expect("a broker of our own");
        process.data.take().expect("it has a folder")
    }

    /// Waits for the process to end by itself.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let process = self.process.as_mut().expect("a broker of our own");
        loop {
            if let Some(status) = process.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "the broker did not exit");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Process {
    fn listening(&self, protocol: &str) -> SocketAddr {
        let word = |line: &str, key: &str| {
            let value = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix(key))?;
            Some(value.trim_matches('"').to_string())
        };
        self.output
            .find(&format!("that it is listening for {protocol}"), |line| {
                let ours = line.contains("listening") && word(line, "protocol=")? == protocol;
                ours.then(|| word(line, "address=")?.parse().ok())?
            })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.data.take());
    }
}

/// Waits until `holds`, asking again and again; for what can only be seen by looking.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not {what} in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
