//! Definitions: everything that is declared and set, as one JSON document in RabbitMQ's format.
//!
//! ```text
//! file, management ─▶ import.rs ─▶ broker ─▶ export.rs ─▶ management
//!                          arguments.rs: JSON and field tables
//! ```
//!
//! Source: RabbitMQ's `rabbit_definitions`.

mod arguments;
mod export;
mod import;

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

pub use self::arguments::{from_json, to_json};
pub use self::export::{export, export_vhost};
pub(crate) use self::export::{policy, user};
pub use self::import::{Counts, ImportError, import, import_vhost};

/// Why a file has no definitions.
#[derive(Debug)]
pub enum ReadError {
    /// It can't be read.
    Unreadable(std::io::Error),
    /// It is no JSON object.
    NotJson(serde_json::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::NotJson(error) => write!(f, "no definitions: {error}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads definitions from a file.
///
/// # Errors
/// See [`ReadError`].
pub fn read(file: &Path) -> Result<Map<String, Value>, ReadError> {
    let text = std::fs::read_to_string(file).map_err(ReadError::Unreadable)?;
    serde_json::from_str(&text).map_err(ReadError::NotJson)
}
