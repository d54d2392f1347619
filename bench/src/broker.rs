//! Brokers under test: how each is started, found and ended.
//!
//! In comes a broker's kind; out comes a running one with its URL and its processes, in a process
//! group of its own and a temporary folder of its own, both gone when it is dropped.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::client::Client;
use crate::process::ProcessGroup;
use crate::tls::Certificates;
use crate::url::BrokerUrl;

/// A broker that does not answer after this time does not start.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// A broker may take this long to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A broker to be measured.
#[derive(Clone, Debug)]
pub enum BrokerKind {
    /// The bench itself as null broker.
    Null,
    /// Debian's package.
    RabbitMq,
    /// This binary.
    Warren(PathBuf),
    /// Somebody else's, already running.
    Foreign {
        /// Where.
        url: BrokerUrl,
        /// Its process, if it is on this machine.
        process: Option<u32>,
    },
}

/// A broker with the name of its column.
#[derive(Clone, Debug)]
pub struct BrokerUnderTest {
    /// Column.
    pub name: String,
    /// What to start.
    pub kind: BrokerKind,
}

/// A broker that answers.
#[derive(Debug)]
pub struct RunningBroker {
    /// Where.
    pub url: BrokerUrl,
    /// Where it listens for TLS.
    pub tls_url: Option<BrokerUrl>,
    /// Its processes.
    pub process: Option<ProcessGroup>,
    /// From starting the process to the first open connection.
    pub start_seconds: Option<f64>,
    child: Option<Child>,
    watchdog: Option<Child>,
    folder: Option<PathBuf>,
}

impl BrokerUnderTest {
    /// Starts it, also listening for TLS if asked to, and waits until a connection can be opened.
    pub fn start(&self, with_tls: bool) -> io::Result<RunningBroker> {
        if let BrokerKind::Foreign { url, process } = &self.kind {
            Client::open(url)?.close()?;
            let process = process.map(ProcessGroup::Single);
            return Ok(RunningBroker {
                url: url.clone(),
                tls_url: url.tls.then(|| url.clone()),
                process,
                start_seconds: None,
                child: None,
                watchdog: None,
                folder: None,
            });
        }
        let folder =
            std::env::temp_dir().join(format!("bench-{}-{}", self.name, std::process::id()));
        // What an earlier run with the same process number left behind.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let tls = if with_tls {
            Some(TlsListener::prepare(&folder)?)
        } else {
            None
        };
        let log = fs::File::create(folder.join("bench-console.log"))?;
        let started_at = Instant::now();
        let child = self
            .command(&folder, port, tls.as_ref())?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let mut running = RunningBroker {
            url: BrokerUrl::local(port),
            tls_url: tls.as_ref().map(TlsListener::url),
            process: Some(ProcessGroup::Group(child.id())),
            start_seconds: None,
            watchdog: Some(watchdog(&child, &folder)?),
            child: Some(child),
            folder: Some(folder),
        };
        running.wait_until_open(started_at)?;
        running.start_seconds = Some(started_at.elapsed().as_secs_f64());
        Ok(running)
    }

    fn command(&self, folder: &Path, port: u16, tls: Option<&TlsListener>) -> io::Result<Command> {
        let address = format!("127.0.0.1:{port}");
        let mut command;
        match &self.kind {
            BrokerKind::Null => {
                command = Command::new(std::env::current_exe()?);
                command.args(["null", "--listen", &address]);
            }
            BrokerKind::RabbitMq => {
                let script = folder.join("rabbitmq.sh");
                fs::write(&script, include_str!("../rabbitmq.sh"))?;
                command = Command::new("/bin/sh");
                command
                    .arg(script)
                    .arg(folder.join("node"))
                    .arg(port.to_string())
                    .arg(free_port()?.to_string());
                if let Some(tls) = tls {
                    let extra = folder.join("tls.conf");
                    fs::write(&extra, tls.rabbitmq_configuration())?;
                    command.arg(extra);
                }
            }
            BrokerKind::Warren(path) => {
                command = Command::new(path);
                command.args(["serve", "--listen", &address, "--management", "127.0.0.1:0"]);
                command.arg("--data-dir").arg(folder.join("data"));
                if let Some(tls) = tls {
                    command
                        .arg("--listen-tls")
                        .arg(format!("127.0.0.1:{}", tls.port));
                    command.arg("--tls-cert").arg(&tls.certificates.certificate);
                    command.arg("--tls-key").arg(&tls.certificates.key);
                }
            }
            BrokerKind::Foreign { .. } => {
                return Err(io::Error::other("a foreign broker is not ours to start"));
            }
        }
        Ok(command)
    }
}

/// Where a broker listens for TLS, and with what.
struct TlsListener {
    port: u16,
    certificates: Certificates,
}

impl TlsListener {
    fn prepare(folder: &Path) -> io::Result<TlsListener> {
        Ok(TlsListener {
            port: free_port()?,
            certificates: Certificates::make(folder)?,
        })
    }

    fn url(&self) -> BrokerUrl {
        let ca = Some(self.certificates.certificate.clone());
        BrokerUrl {
            tls: true,
            ca,
            ..BrokerUrl::local(self.port)
        }
    }

    fn rabbitmq_configuration(&self) -> String {
        let Certificates { certificate, key } = &self.certificates;
        format!(
            "listeners.ssl.default = 127.0.0.1:{}\nssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\nssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
            self.port,
            certificate.display(),
            certificate.display(),
            key.display()
        )
    }
}

/// Ends a broker whose bench was interrupted: a broker has a process group of its own, so Ctrl-C
/// does not reach it, but the watchdog's standard input ends with the bench.
fn watchdog(broker: &Child, folder: &Path) -> io::Result<Child> {
    const SCRIPT: &str = "read -r _; kill -TERM -$1; sleep 5; kill -KILL -$1; rm -rf -- \"$2\"";
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "watchdog", &broker.id().to_string()])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

impl RunningBroker {
    fn wait_until_open(&mut self, started_at: Instant) -> io::Result<()> {
        loop {
            // The socket alone may listen before the broker serves, so a whole connection is opened.
            let error = match TcpStream::connect((self.url.host.as_str(), self.url.port)) {
                Ok(_) => match Client::open(&self.url).and_then(Client::close) {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().transpose())
                .transpose()?
            {
                return Err(io::Error::other(format!(
                    "the broker ended at once: {status}; {}",
                    self.last_words()
                )));
            }
            if started_at.elapsed() > START_TIMEOUT {
                return Err(io::Error::new(
                    error.kind(),
                    format!("the broker does not answer: {error}"),
                ));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn last_words(&self) -> String {
        let log = self
            .folder
            .as_ref()
            .and_then(|folder| fs::read_to_string(folder.join("bench-console.log")).ok());
        log.unwrap_or_default()
            .lines()
            .rev()
            .take(5)
            .collect::<Vec<_>>()
            .join(" / ")
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self
            .child
            .as_ref()
            .and_then(|child| Pid::from_raw(child.id() as i32))
        {
            // It may have ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for RunningBroker {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        if let Some(child) = &mut self.child {
            let deadline = Instant::now() + STOP_TIMEOUT;
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
        }
        self.signal(Signal::KILL);
        if let Some(watchdog) = &mut self.watchdog {
            // Before the broker is reaped: until then its number belongs to nobody else.
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
