//! How the store is configured: `[storage]`, and what the store is told.
//!
//! In: the section as it is written. Out: [`StorageSettings`], in which sizes are bytes, what is
//! relative to the machine's memory is resolved, and `fsync` is one value.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::ConfigError;
use crate::store::journal::{Fsync, Limits, OnDamage, Options};

/// RabbitMQ's own.
const DISK_FREE_LIMIT_BYTES: u64 = 50_000_000;
/// A longer interval is a typing error.
const MOST_INTERVAL_MS: u64 = 3_600_000;
const JOURNAL_FILE_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(4 << 30);
const JOURNAL_SPARE_FILES: std::ops::RangeInclusive<usize> = 1..=64;
const JOURNAL_BUFFER_BYTES: std::ops::RangeInclusive<usize> = (64 << 10)..=(1 << 30);
/// Publishers that are asked to wait have sent what they have sent: the journal takes that too, and
/// refuses only when this many times as much has gathered.
const FULL_TO_PRESSURE: usize = 32;

/// The section `[storage]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSection {
    /// When what was written is synced, and so what a confirm promises.
    pub fsync: FsyncMode,
    /// How often it is synced if `fsync` is `interval`.
    pub fsync_interval_ms: u64,
    /// Whether the broker refuses to start on damage, instead of setting it aside.
    pub strict: bool,
    /// With less free on the data folder's file system publishers are blocked.
    pub disk_free_limit: ByteCount,
    /// The same as a multiple of the machine's memory; 0: `disk_free_limit` holds.
    pub disk_free_limit_relative: f64,
    /// The size of the journal's files.
    pub journal_file_bytes: u64,
    /// How many of them are kept ready.
    pub journal_spare_files: usize,
    /// Publishers wait while so much is not written yet.
    pub journal_buffer_bytes: usize,
    /// Whether threads stay awake for a moment for a publisher that waits for each confirm.
    pub busy_wait: bool,
}

/// When the journal syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsyncMode {
    /// Before each confirm.
    #[default]
    Always,
    /// Now and then.
    Interval,
    /// When the operating system likes.
    Never,
}

/// A number of bytes; in a file a number, or a number with RabbitMQ's units: `"50MB"`, `"2GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteCount(pub u64);

/// What the store is told.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageSettings {
    /// The data folder.
    pub data_dir: PathBuf,
    /// When the journal syncs.
    pub fsync: Fsync,
    /// Whether the start is refused on damage.
    pub strict: bool,
    /// With less free on the data folder's file system publishers are blocked.
    pub disk_free_limit_bytes: u64,
    /// The size of the journal's files.
    pub journal_file_bytes: u64,
    /// How many of them are kept ready.
    pub journal_spare_files: usize,
    /// Publishers wait while so much is not written yet.
    pub journal_buffer_bytes: usize,
    /// Whether the storage thread stays awake for a moment after a message that came alone.
    pub busy_wait: bool,
}

impl Default for StorageSection {
    fn default() -> Self {
        let journal = Options::default();
        Self {
            fsync: FsyncMode::Always,
            fsync_interval_ms: 200,
            strict: false,
            disk_free_limit: ByteCount(DISK_FREE_LIMIT_BYTES),
            disk_free_limit_relative: 0.0,
            journal_file_bytes: journal.file_bytes,
            journal_spare_files: journal.spare_files,
            journal_buffer_bytes: journal.limits.pressure_bytes,
            busy_wait: true,
        }
    }
}

impl StorageSection {
    /// What no type can say.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let relative = self.disk_free_limit_relative;
        if !relative.is_finite() || relative < 0.0 {
            let why = format!("{relative} is no multiple of the memory");
            let key = "storage.disk_free_limit_relative".to_string();
            return Err(ConfigError::Value(key, why));
        }
        within(
            "fsync_interval_ms",
            self.fsync_interval_ms,
            1..=MOST_INTERVAL_MS,
        )?;
        within(
            "journal_file_bytes",
            self.journal_file_bytes,
            JOURNAL_FILE_BYTES,
        )?;
        within(
            "journal_spare_files",
            self.journal_spare_files,
            JOURNAL_SPARE_FILES,
        )?;
        within(
            "journal_buffer_bytes",
            self.journal_buffer_bytes,
            JOURNAL_BUFFER_BYTES,
        )
    }

    pub(super) fn resolve(&self, data_dir: PathBuf, memory_bytes: u64) -> StorageSettings {
        let fsync = match self.fsync {
            FsyncMode::Always => Fsync::Always,
            FsyncMode::Interval => Fsync::Interval(Duration::from_millis(self.fsync_interval_ms)),
            FsyncMode::Never => Fsync::Never,
        };
        let relative = self.disk_free_limit_relative;
        let disk_free_limit_bytes = if relative > 0.0 {
            (memory_bytes as f64 * relative) as u64
        } else {
            self.disk_free_limit.0
        };
        StorageSettings {
            data_dir,
            fsync,
            strict: self.strict,
            disk_free_limit_bytes,
            journal_file_bytes: self.journal_file_bytes,
            journal_spare_files: self.journal_spare_files,
            journal_buffer_bytes: self.journal_buffer_bytes,
            busy_wait: self.busy_wait && processors() > 1,
        }
    }
}

/// How many threads can run at a time.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn within<T: PartialOrd + fmt::Display>(
    name: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    let why = format!("{value} is not between {least} and {most}");
    Err(ConfigError::Value(format!("storage.{name}"), why))
}

/// The catalog needs no more than this, however early publishers are blocked.
const MOST_RESERVE_BYTES: u64 = 256 << 20;

impl StorageSettings {
    /// What is never filled of the disk, neither by the journal nor by queues that page out.
    pub fn reserve_bytes(&self) -> u64 {
        (self.disk_free_limit_bytes / 2).min(MOST_RESERVE_BYTES)
    }

    /// How many connections may keep a worker awake: on every second processor one.
    pub(super) fn lookouts(&self) -> usize {
        match self.busy_wait {
            true => processors() / 2,
            false => 0,
        }
    }

    /// What the journal is opened with.
    pub fn journal_options(&self) -> Options {
        Options {
            file_bytes: self.journal_file_bytes,
            spare_files: self.journal_spare_files,
            reserve_bytes: self.reserve_bytes(),
            fsync: self.fsync,
            busy_wait: self.busy_wait,
            limits: Limits {
                pressure_bytes: self.journal_buffer_bytes,
                full_bytes: self.journal_buffer_bytes * FULL_TO_PRESSURE,
            },
            on_damage: if self.strict {
                OnDamage::Refuse
            } else {
                OnDamage::SetAside
            },
            ..Options::default()
        }
    }
}

impl ByteCount {
    /// As RabbitMQ reads it: `k`, `m`, `g` and `kib`, `mib`, `gib` count in 1024s; `kb`, `mb`, `gb`
    /// in 1000s.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return None,
        };
        Some(Self(number.parse::<u64>().ok()?.checked_mul(factor)?))
    }
}

/// As text, since that is what an environment variable may hold.
impl Serialize for ByteCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteCountVisitor)
    }
}

struct ByteCountVisitor;

impl Visitor<'_> for ByteCountVisitor {
    type Value = ByteCount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or one with a unit as in \"50MB\" or \"2GiB\"")
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteCount, E> {
        u64::try_from(bytes)
            .map(ByteCount)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteCount, E> {
        Ok(ByteCount(bytes))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteCount, E> {
        ByteCount::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}
