//! The broker process: started on one folder again and again, and killed.
//!
//! Any broker will do: `WARREN_CRASH_COMMAND` is run by a shell with `$DATA` and `$PORT` set, and
//! everything in its process group is killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::Random;

/// A broker listens within this time, however much it has to recover.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// Where a broker keeps its data, and how it is started.
pub struct Node {
    folder: PathBuf,
    /// Another broker's command, and its port.
    foreign: Option<(String, u16)>,
    log: PathBuf,
}

/// A running broker. It is killed when dropped.
pub struct Running {
    child: Child,
    /// Kills the broker when we are killed ourselves.
    watchdog: Child,
    address: Address,
}

enum Address {
    /// Learnt from its log.
    Logged(Receiver<SocketAddr>),
    Fixed(SocketAddr),
}

impl Node {
    pub fn new(folder: &Path) -> Self {
        let command = std::env::var("WARREN_CRASH_COMMAND").ok();
        let foreign = command.filter(|command| !command.is_empty());
        Node {
            folder: folder.join("data"),
            foreign: foreign.map(|command| (command, free_port())),
            log: folder.join("broker.log"),
        }
    }

    pub fn is_foreign(&self) -> bool {
        self.foreign.is_some()
    }

    /// Starts the broker, with settings of chance, and does not wait for it.
    pub fn start(&self, random: &mut Random) -> Running {
        let settings = settings(random);
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("a log file");
        let _ = writeln!(log, "---- start with {settings:?}");
        let mut command = match &self.foreign {
            None => self.warren(&settings),
            Some((line, port)) => {
                let mut command = Command::new("sh");
                command
                    .args(["-c", line])
                    .env("PORT", port.to_string())
                    .env("DATA", &self.folder)
                    .stderr(log.try_clone().expect("a second handle"));
                command
            }
        };
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .spawn()
            .expect("the broker starts");
        let group = format!("-{}", child.id());
        let watchdog = Command::new("sh")
            .args(["-c", "cat > /dev/null; kill -9 -- $0", &group])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let address = match &self.foreign {
            Some((_, port)) => Address::Fixed(SocketAddr::from(([127, 0, 0, 1], *port))),
            None => Address::Logged(follow(child.stderr.take().expect("piped"), log)),
        };
        Running {
            child,
            watchdog,
            address,
        }
    }

    fn warren(&self, settings: &[(&str, String)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WARREN_") {
                command.env_remove(name);
            }
        }
        command
            .args(["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(&self.folder)
            .env_remove("RUST_LOG")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped());
        command
    }

    /// Has the folder verified, while no broker runs; says what is wrong with it.
    pub fn check_store(&self) -> Option<String> {
        if self.is_foreign() {
            return None;
        }
        let mut check = Command::new(env!("CARGO_BIN_EXE_warren"));
        // What this test is told is no setting of the broker.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WARREN_") {
                check.env_remove(name);
            }
        }
        check.args(["check-store", "--data-dir"]).arg(&self.folder);
        let checked = check.output().expect("the warren binary starts");
        let said = [checked.stdout, checked.stderr].concat();
        (!checked.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
    }

    /// The end of what the broker logged.
    pub fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Small journals come to their end and are used again often; a kill loses nothing however seldom is
/// synced; and it damages nothing, so that a strict start is a start like others.
fn settings(random: &mut Random) -> [(&'static str, String); 5] {
    let mut pick = |from: &[&str]| from[random.below(from.len())].to_string();
    [
        (
            "WARREN_STORAGE_JOURNAL_FILE_BYTES",
            pick(&["1048576", "4194304", "67108864"]),
        ),
        ("WARREN_STORAGE_JOURNAL_SPARE_FILES", pick(&["1", "2", "3"])),
        (
            "WARREN_STORAGE_JOURNAL_BUFFER_BYTES",
            pick(&["65536", "1048576", "8388608"]),
        ),
        (
            "WARREN_STORAGE_FSYNC",
            pick(&["always", "always", "interval", "never"]),
        ),
        ("WARREN_STORAGE_STRICT", pick(&["true", "false"])),
    ]
}

/// Copies a broker's log to the file and reads from it where it listens.
fn follow(stream: impl std::io::Read + Send + 'static, mut log: File) -> Receiver<SocketAddr> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let _ = writeln!(log, "{line}");
            if let Some(address) = listening(&line) {
                let _ = sender.send(address);
            }
        }
    });
    receiver
}

fn listening(line: &str) -> Option<SocketAddr> {
    let word = |key: &str| {
        let word = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key))?;
        Some(word.trim_matches('"'))
    };
    if !line.contains("listening") || word("protocol=")? != "amqp" {
        return None;
    }
    word("address=")?.parse().ok()
}

/// Not one of those that the system gives to clients: looking whether somebody listens there yet
/// might connect to itself.
fn free_port() -> u16 {
    (20_000..32_000)
        .step_by(10)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

impl Running {
    /// Waits until it listens; None if it ended or never does.
    pub fn address(&mut self) -> Option<SocketAddr> {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if self.has_ended() {
                return None;
            }
            match &self.address {
                Address::Fixed(address) => {
                    if TcpStream::connect(address).is_ok() {
                        return Some(*address);
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                Address::Logged(addresses) => {
                    if let Ok(address) = addresses.recv_timeout(Duration::from_millis(50)) {
                        self.address = Address::Fixed(address);
                    }
                }
            }
        }
        None
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and waits until it has; says whether it did.
    pub fn stop(&mut self) -> bool {
        let Some(group) = Pid::from_raw(self.child.id() as i32) else {
            return false;
        };
        let _ = kill_process_group(group, Signal::TERM);
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Kills it, at once and without a word, and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The child is not waited for yet, so its number cannot be anybody else's.
        if let Some(group) = Pid::from_raw(self.child.id() as i32)
            && matches!(self.child.try_wait(), Ok(None))
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.wait();
    }
}
