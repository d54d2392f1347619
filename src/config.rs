//! Configuration: what can be set, and where it comes from.
//!
//! ```text
//! defaults ◀─ file (TOML) ◀─ environment (WARREN_...) ◀─ command line
//! ```
//!
//! Each layer overrides those to its left. A key that does not exist is refused by name. The
//! values are documented in `warren.example.toml`, which a test holds against these types.

mod command_line;
mod layers;
mod storage;
mod users;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use command_line::{CheckFlags, Command, CommandLine, Flags};
pub use layers::{ConfigError, Sources};
pub use storage::{ByteCount, FsyncMode, StorageSection, StorageSettings};
pub use users::{PermissionSettings, UserSettings};

use crate::connection::settings::FRAME_MIN_BYTES;
use crate::connection::{Limits, Settings};
use crate::net::{ClientCertificate, NetSettings, TlsFiles};

/// Where AMQP through TLS is spoken if a certificate is given and nothing else said.
const DEFAULT_TLS_ADDRESS: &str = "127.0.0.1:5671";
/// The largest frames that may be agreed on: input of this size is kept for every client that
/// sends such a frame slowly.
const FRAME_MAX_LIMIT_BYTES: u32 = 128 << 20;

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
    /// Who may log in.
    pub users: Vec<UserSettings>,
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
            users: vec![UserSettings::guest()],
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
        }
    }
}

impl Config {
    /// What no type can say.
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, why: String| Err(ConfigError::Value(key.to_string(), why));
        let frame_max_bytes = self.limits.frame_max_bytes;
        if !(FRAME_MIN_BYTES..=FRAME_MAX_LIMIT_BYTES).contains(&frame_max_bytes) {
            let why = format!(
                "{frame_max_bytes} is not between {FRAME_MIN_BYTES} and {FRAME_MAX_LIMIT_BYTES}"
            );
            return wrong("limits.frame_max_bytes", why);
        }
        if self.limits.outgoing_high_water_bytes < 4096 {
            return wrong(
                "limits.outgoing_high_water_bytes",
                "less than 4096".to_string(),
            );
        }
        let durations = [
            (
                "limits.handshake_timeout_ms",
                self.limits.handshake_timeout_ms,
            ),
            ("limits.write_timeout_ms", self.limits.write_timeout_ms),
        ];
        for (key, ms) in durations {
            if ms == 0 {
                return wrong(key, "must be more than 0".to_string());
            }
        }
        if self.vhosts.iter().any(String::is_empty) {
            return wrong("vhosts", "a name is empty".to_string());
        }
        let tls = &self.tls;
        let is_half = tls.cert.as_os_str().is_empty() != tls.key.as_os_str().is_empty();
        if is_half {
            let why = "tls.cert and tls.key must both be set, or neither".to_string();
            return wrong("tls", why);
        }
        let has_certificate = !tls.cert.as_os_str().is_empty();
        if !tls.ca.as_os_str().is_empty() && !has_certificate {
            let why = "means nothing without tls.cert and tls.key".to_string();
            return wrong("tls.ca", why);
        }
        if !self.listen.tls.is_empty() && self.tls_files().is_none() {
            let why = "tls.cert and tls.key must be set as well".to_string();
            return wrong("listen.tls", why);
        }
        self.storage.check()
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
        };
        let cluster_name = match self.cluster_name.as_str() {
            "" => format!("warren@{}", machine_name()),
            name => name.to_string(),
        };
        Settings::new(limits, &cluster_name)
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
