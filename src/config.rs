//! Configuration: what can be set, and where it comes from.
//!
//! ```text
//! defaults ◀─ file (TOML) ◀─ environment (WARREN_...) ◀─ command line
//! ```
//!
//! Each layer overrides those to its left. A key that does not exist is refused by name. The
//! values are documented in `warren.example.toml`, which a test holds against these types.

mod address;
mod command_line;
mod layers;
mod service_links;
mod storage;
mod users;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use command_line::{CheckFlags, Command, CommandLine, Flags};
pub use layers::{ConfigError, Sources};
pub use storage::{ByteCount, FsyncMode, StorageSection, StorageSettings};
pub use users::{PermissionSettings, UserSettings};

use address::check_address;

use crate::broker::notices::NoticeSettings;
use crate::broker::queue::TimeoutAction;
use crate::connection::interceptors::{Existing, Interceptors};
use crate::connection::settings::FRAME_MIN_BYTES;
use crate::connection::{Limits, Settings};
use crate::net::{ClientCertificate, NetSettings, TlsFiles};

/// Where AMQP through TLS is spoken if a certificate is given and nothing else said.
const DEFAULT_TLS_ADDRESS: &str = "127.0.0.1:5671";
/// The largest frames that may be agreed on: input of this size is kept for every client that
/// sends such a frame slowly.
const FRAME_MAX_LIMIT_BYTES: u32 = 128 << 20;
/// RabbitMQ's upper bound of what it can be told is the largest message.
const MAX_MESSAGE_LIMIT_BYTES: u64 = 512 << 20;
/// Clients cannot say longer names.
const MAX_NAME_BYTES: usize = 255;
/// More threads are a typing error.
const MAX_WORKER_THREADS: usize = 1024;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder that the broker keeps its data in.
    pub data_dir: PathBuf,
    /// What clients are told the cluster is called; empty: `warren@` and the machine's name.
    pub cluster_name: String,
    /// The vhosts that are made if they are not there.
    pub vhosts: Vec<String>,
    /// Threads that serve connections; 0: one per core.
    pub worker_threads: usize,
    /// Where the broker listens.
    pub listen: ListenSettings,
    /// Certificates.
    pub tls: TlsSettings,
    /// How data are stored.
    pub storage: StorageSection,
    /// Limits.
    pub limits: LimitSettings,
    /// The log.
    pub log: LogSettings,
    /// The firehose.
    pub tracing: TracingSettings,
    /// What happens in the broker.
    pub events: EventSettings,
    /// What is written into every message.
    pub message_interceptors: InterceptorSettings,
    /// Who may log in.
    pub users: Vec<UserSettings>,
    /// A file of definitions in RabbitMQ's format, which are taken over at every start; empty: none.
    pub load_definitions: PathBuf,
}

/// Where the broker listens: `ADDR:PORT`; port 0 picks a free one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenSettings {
    /// For plain AMQP.
    pub plain: Vec<String>,
    /// For AMQP through TLS.
    pub tls: Vec<String>,
    /// For the management pages.
    pub management: Vec<String>,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
}

/// Certificates: PEM files; an empty path is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// Our certificate, followed by those between it and a root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The roots that client certificates are checked against.
    pub ca: PathBuf,
    /// Whether clients show certificates.
    pub client_certificate: ClientCertificate,
}

/// Limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most channels of a connection; 0: no limit.
    pub channel_max: u16,
    /// Largest frame in bytes.
    pub frame_max_bytes: u32,
    /// Heartbeat interval that is proposed to clients; 0: none.
    pub heartbeat_s: u16,
    /// From a socket's accepting to its connection's being open.
    pub handshake_timeout_ms: u64,
    /// Largest body of a message.
    pub max_message_bytes: u64,
    /// How long a delivery may stay unacked; 0: for ever.
    pub consumer_timeout_ms: u64,
    /// What becomes of it then.
    pub consumer_timeout_action: ConsumerTimeoutAction,
    /// Messages take no more memory than this before publishers are blocked; 0: two fifths of the
    /// machine's.
    pub memory_limit_bytes: u64,
    /// A client with so much unsent is sent no more messages and not read.
    pub outgoing_high_water_bytes: usize,
    /// A client that takes nothing of what it is sent for so long is cut off.
    pub write_timeout_ms: u64,
    /// Clients have so long to answer when the broker shuts down.
    pub shutdown_timeout_ms: u64,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// What is logged: a level, or levels by module as `info,warren::net=debug`.
    pub level: String,
    /// How it is logged.
    pub format: LogFormat,
    /// Whether it goes to the exchange `amq.rabbitmq.log` of the vhost `/` as well.
    pub exchange: bool,
    /// What of it, as `level` says it.
    pub exchange_level: String,
}

/// The firehose: what is published and delivered, as messages on the exchange `amq.rabbitmq.trace`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracingSettings {
    /// Vhosts that are traced from the start; others are by the management API, until the next.
    pub vhosts: Vec<String>,
}

/// What happens in the broker, as messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventSettings {
    /// Whether it goes to the exchange `amq.rabbitmq.event` of the vhost `/`.
    pub exchange: bool,
}

/// What is written into every message: by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterceptorSettings {
    /// When it came.
    pub timestamp: Interception,
    /// Which broker took it.
    pub routing_node: Interception,
    /// Whether it is written when it was sent to a client.
    pub sent_timestamp: bool,
}

/// Whether something is written, and what becomes of what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interception {
    /// It is not written.
    #[default]
    Off,
    /// It is where there is none.
    Keep,
    /// It is in any case.
    Overwrite,
}

impl Interception {
    fn existing(self) -> Option<Existing> {
        match self {
            Self::Off => None,
            Self::Keep => Some(Existing::Kept),
            Self::Overwrite => Some(Existing::Overwritten),
        }
    }
}

impl InterceptorSettings {
    fn resolve(&self) -> Interceptors {
        Interceptors {
            received_time: self.timestamp.existing(),
            routing_node: self.routing_node.existing(),
            sent_time: self.sent_timestamp,
            node: node_name().into(),
        }
    }
}

/// What becomes of a delivery that was not acked in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsumerTimeoutAction {
    /// Its channel is closed.
    #[default]
    Close,
    /// It alone goes back to its queue.
    Return,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object.
    Json,
}

fn wrong(key: &str, why: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError::Value(key.to_string(), why.into()))
}

impl ListenSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let lists = [
            ("listen.plain", &self.plain),
            ("listen.tls", &self.tls),
            ("listen.management", &self.management),
        ];
        for (key, addresses) in lists {
            for address in addresses {
                check_address(address).or_else(|why| wrong(key, why))?;
            }
        }
        Ok(())
    }
}

impl LimitSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let ranges = [
            (
                "limits.frame_max_bytes",
                u64::from(self.frame_max_bytes),
                u64::from(FRAME_MIN_BYTES)..=u64::from(FRAME_MAX_LIMIT_BYTES),
            ),
            (
                "limits.max_message_bytes",
                self.max_message_bytes,
                1..=MAX_MESSAGE_LIMIT_BYTES,
            ),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                let (least, most) = range.into_inner();
                return wrong(key, format!("{value} is not between {least} and {most}"));
            }
        }
        if self.outgoing_high_water_bytes < 4096 {
            return wrong("limits.outgoing_high_water_bytes", "less than 4096");
        }
        let positive = [
            ("limits.max_connections", self.max_connections as u64),
            ("limits.handshake_timeout_ms", self.handshake_timeout_ms),
            ("limits.write_timeout_ms", self.write_timeout_ms),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => wrong(key, "must be more than 0"),
            None => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "warren-data".into(),
            cluster_name: String::new(),
            vhosts: vec!["/".into()],
            worker_threads: 0,
            listen: ListenSettings::default(),
            tls: TlsSettings::default(),
            storage: StorageSection::default(),
            limits: LimitSettings::default(),
            log: LogSettings::default(),
            tracing: TracingSettings::default(),
            events: EventSettings::default(),
            message_interceptors: InterceptorSettings::default(),
            users: vec![UserSettings::guest()],
            load_definitions: PathBuf::new(),
        }
    }
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            plain: vec!["127.0.0.1:5672".into()],
            tls: Vec::new(),
            management: vec!["127.0.0.1:15672".into()],
            backlog: 1024,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            channel_max: 2047,
            frame_max_bytes: 131_072,
            heartbeat_s: 60,
            handshake_timeout_ms: 10_000,
            max_message_bytes: 134_217_728,
            consumer_timeout_ms: 1_800_000,
            consumer_timeout_action: ConsumerTimeoutAction::Close,
            memory_limit_bytes: 0,
            outgoing_high_water_bytes: 1 << 20,
            write_timeout_ms: 1_800_000,
            shutdown_timeout_ms: 3_000,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Human,
            exchange: false,
            exchange_level: "info".into(),
        }
    }
}

impl Config {
    /// What no type can say.
    fn check(&self) -> Result<(), ConfigError> {
        if self.data_dir.as_os_str().is_empty() {
            return wrong("data_dir", "must not be empty");
        }
        if self.vhosts.iter().any(String::is_empty) {
            return wrong("vhosts", "a name is empty");
        }
        if let Some(long) = self.vhosts.iter().find(|name| name.len() > MAX_NAME_BYTES) {
            return wrong(
                "vhosts",
                format!("`{long}` is longer than {MAX_NAME_BYTES} bytes"),
            );
        }
        if self.worker_threads > MAX_WORKER_THREADS {
            return wrong("worker_threads", format!("more than {MAX_WORKER_THREADS}"));
        }
        self.listen.check()?;
        self.check_tls()?;
        self.limits.check()?;
        self.storage.check()?;
        users::check(&self.users).or_else(|why| wrong("users", why))
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        let tls = &self.tls;
        let is_given = |path: &PathBuf| !path.as_os_str().is_empty();
        match (is_given(&tls.cert), is_given(&tls.key)) {
            (true, false) => return wrong("tls.cert", "tls.key must be set as well"),
            (false, true) => return wrong("tls.key", "tls.cert must be set as well"),
            _ => {}
        }
        let has_certificate = is_given(&tls.cert);
        if is_given(&tls.ca) && !has_certificate {
            return wrong("tls.ca", "means nothing without tls.cert and tls.key");
        }
        if !self.listen.tls.is_empty() && !has_certificate {
            return wrong("listen.tls", "tls.cert and tls.key must be set as well");
        }
        if tls.client_certificate == ClientCertificate::Required && !is_given(&tls.ca) {
            let why = "clients cannot show certificates without tls.cert, tls.key and tls.ca, \
                       which they are checked against";
            return wrong("tls.client_certificate", why);
        }
        Ok(())
    }

    fn tls_files(&self) -> Option<TlsFiles> {
        let given = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
        Some(TlsFiles {
            certificate: given(&self.tls.cert)?,
            key: given(&self.tls.key)?,
            ca: given(&self.tls.ca),
            client_certificate: self.tls.client_certificate,
        })
    }

    /// What the sockets' floor is told.
    pub fn net(&self) -> NetSettings {
        let limits = &self.limits;
        NetSettings {
            listen: self.listen.plain.clone(),
            listen_tls: self.listen.tls.clone(),
            management: self.listen.management.clone(),
            tls: self.tls_files(),
            backlog: self.listen.backlog,
            max_connections: limits.max_connections,
            high_water_bytes: limits.outgoing_high_water_bytes,
            write_timeout: Duration::from_millis(limits.write_timeout_ms),
            lookouts: self.storage().lookouts(),
            shutdown_timeout: Duration::from_millis(limits.shutdown_timeout_ms),
        }
    }

    /// What the connections' floor is told.
    pub fn connection(&self) -> Settings {
        let limits = &self.limits;
        let consumer_timeout_ms = limits.consumer_timeout_ms;
        let limits = Limits {
            channel_max: limits.channel_max,
            frame_max: limits.frame_max_bytes,
            heartbeat_s: limits.heartbeat_s,
            handshake_timeout: Duration::from_millis(limits.handshake_timeout_ms),
            max_message_bytes: limits.max_message_bytes,
            consumer_timeout_ms: (consumer_timeout_ms > 0).then_some(consumer_timeout_ms),
            consumer_timeout_action: match limits.consumer_timeout_action {
                ConsumerTimeoutAction::Close => TimeoutAction::Close,
                ConsumerTimeoutAction::Return => TimeoutAction::Return,
            },
        };
        let cluster_name = match self.cluster_name.as_str() {
            "" => node_name(),
            name => name.to_string(),
        };
        let mut settings = Settings::new(limits, &cluster_name);
        settings.interceptors = self.message_interceptors.resolve();
        settings
    }

    /// What the broker publishes itself.
    pub fn notices(&self) -> NoticeSettings {
        NoticeSettings {
            node: node_name(),
            traced_vhosts: self.tracing.vhosts.clone(),
            log: self.log.exchange,
            events: self.events.exchange,
        }
    }

    /// What the store is told.
    pub fn storage(&self) -> StorageSettings {
        let data_dir = self.data_dir.clone();
        self.storage.resolve(data_dir, machine_memory_bytes())
    }

    /// How much memory messages may take.
    pub fn memory_limit_bytes(&self) -> u64 {
        match self.limits.memory_limit_bytes {
            0 => machine_memory_bytes() / 5 * 2,
            bytes => bytes,
        }
    }
}

/// What this broker is called among others.
fn node_name() -> String {
    format!("warren@{}", machine_name())
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_string(),
        name => name.to_string(),
    }
}

/// What the machine has, or the control group that we run in allows; a guess where neither says.
fn machine_memory_bytes() -> u64 {
    const GUESS_BYTES: u64 = 4 << 30;
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total_kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    let total_bytes = total_kib.map_or(GUESS_BYTES, |kib| kib.saturating_mul(1024));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    match group.trim().parse::<u64>() {
        Ok(group_bytes) => total_bytes.min(group_bytes),
        Err(_) => total_bytes,
    }
}
