//! Putting the layers of configuration on top of each other.
//!
//! In: the text of a file, environment variables, flags. Out: a [`Config`], or an error that names
//! the key, and the variable or flag that it came from. Each key of the file has an environment
//! variable: `limits.frame_max_bytes` is `WARREN_LIMITS_FRAME_MAX_BYTES`. Lists are given there
//! separated by commas, or as in TOML.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::service_links::is_service_link;
use super::{Config, DEFAULT_TLS_ADDRESS, Flags};

const PREFIX: &str = "WARREN_";
/// What has that prefix and is no setting.
const OTHERS: [&str; 1] = ["WARREN_CONFIG"];

/// Where settings come from.
pub struct Sources {
    /// The environment's variables.
    pub environment: Vec<(String, OsString)>,
    /// The command line.
    pub flags: Flags,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// The file is no TOML, or has a key that there is not, or a value of another type.
    File(PathBuf, toml::de::Error),
    /// A variable, or a flag, is of another type than its setting, or none of any: its name and why.
    Variable(String, String),
    /// A value is out of the question: key and reason.
    Value(String, String),
    /// What came of all layers is no configuration.
    Merged(toml::de::Error),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Variable(name, why) | Self::Value(name, why) => write!(f, "{name}: {why}"),
            Self::Merged(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Sources {
    /// The process's own environment, and these flags.
    pub fn of_process(flags: Flags) -> Self {
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
            .collect();
        Self { environment, flags }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// Something is not to be read, does not exist, or is out of the question.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut table = match &self.flags.config {
            Some(path) => read_file(path)?,
            None => Table::new(),
        };
        self.add_environment(&mut table)?;
        for Flag { name, key, value } in flag_values(&self.flags)? {
            check_alone(name, key, &value)?;
            set(&mut table, key, value);
        }
        let mut config: Config = Value::Table(table.clone())
            .try_into()
            .map_err(ConfigError::Merged)?;
        let says_where = table
            .get("listen")
            .is_some_and(|listen| listen.get("tls").is_some());
        if config.tls_files().is_some() && !says_where {
            config.listen.tls = vec![DEFAULT_TLS_ADDRESS.to_string()];
        }
        config.check().map_err(|error| self.with_origin(error))?;
        Ok(config)
    }

    fn add_environment(&self, table: &mut Table) -> Result<(), ConfigError> {
        let settings = settings();
        for (name, value) in &self.environment {
            if !name.starts_with(PREFIX) || OTHERS.contains(&name.as_str()) {
                continue;
            }
            let refused = |why: String| ConfigError::Variable(name.clone(), why);
            let text = value
                .to_str()
                .ok_or_else(|| refused("is no UTF-8".to_string()))?;
            match settings.iter().find(|(path, _)| variable(path) == *name) {
                Some((path, like)) => {
                    let value = read_value(text, like).map_err(refused)?;
                    check_alone(name, path, &value)?;
                    set(table, path, value);
                }
                None if is_service_link(name, text) => {}
                None => return Err(refused("there is no such setting".to_string())),
            }
        }
        Ok(())
    }

    /// Says of a wrong value which flag or variable it was given by. In a file one finds it by its key.
    fn with_origin(&self, error: ConfigError) -> ConfigError {
        let ConfigError::Value(key, why) = error else {
            return error;
        };
        let flags = flag_values(&self.flags).unwrap_or_default();
        let flag = flags.iter().find(|flag| flag.key == key);
        let variable = variable(&key);
        let mut variables = self.environment.iter().map(|(name, _)| name);
        let origin = match flag {
            Some(flag) => Some(flag.name.to_string()),
            None => variables.any(|name| *name == variable).then_some(variable),
        };
        let key = match origin {
            Some(origin) => given_by(&key, &origin),
            None => key,
        };
        ConfigError::Value(key, why)
    }
}

/// A key, and what gave it its value.
fn given_by(key: &str, origin: &str) -> String {
    format!("{key} ({origin})")
}

/// Whether a value is of its setting's type. On its own, since only then an error can tell what it was
/// given by.
fn check_alone(origin: &str, key: &str, value: &Value) -> Result<(), ConfigError> {
    let mut table = Table::new();
    set(&mut table, key, value.clone());
    let alone: Result<Config, _> = Value::Table(table).try_into();
    let why = |error: toml::de::Error| error.message().to_string();
    let refused = |error| ConfigError::Value(given_by(key, origin), why(error));
    alone.map(|_| ()).map_err(refused)
}

/// What a flag sets.
struct Flag {
    name: &'static str,
    key: &'static str,
    value: Value,
}

/// What the command line sets.
fn flag_values(flags: &Flags) -> Result<Vec<Flag>, ConfigError> {
    let mut values = Vec::new();
    let mut add = |name, key, value| values.push(Flag { name, key, value });
    let paths = [
        ("--data-dir", "data_dir", &flags.data_dir),
        ("--definitions", "load_definitions", &flags.definitions),
        ("--tls-cert", "tls.cert", &flags.tls_cert),
        ("--tls-key", "tls.key", &flags.tls_key),
        ("--tls-ca", "tls.ca", &flags.tls_ca),
    ];
    for (name, key, path) in paths {
        if let Some(path) = path {
            let refused = || ConfigError::Variable(name.to_string(), "is no UTF-8".to_string());
            add(name, key, path.to_str().ok_or_else(refused)?.into());
        }
    }
    let limit = &flags.disk_free_limit;
    let texts = [
        ("--fsync", "storage.fsync", &flags.fsync),
        ("--disk-free-limit", "storage.disk_free_limit", limit),
    ];
    for (name, key, text) in texts {
        if let Some(text) = text {
            add(name, key, text.clone().into());
        }
    }
    if flags.strict {
        add("--strict", "storage.strict", true.into());
    }
    if limit.is_some() {
        // Whoever asks for so many bytes does not want the file's relative limit.
        let key = "storage.disk_free_limit_relative";
        add("--disk-free-limit", key, 0.0.into());
    }
    let lists = [
        ("--listen", "listen.plain", &flags.listen),
        ("--listen-tls", "listen.tls", &flags.listen_tls),
        ("--management", "listen.management", &flags.management),
    ];
    for (name, key, list) in lists {
        if !list.is_empty() {
            add(name, key, list.clone().into());
        }
    }
    Ok(values)
}

/// Read on its own first, since only then an error can tell the line.
fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable(path.to_path_buf(), error))?;
    let failed = |error| ConfigError::File(path.to_path_buf(), error);
    toml::from_str::<Config>(&text).map_err(failed)?;
    toml::from_str(&text).map_err(failed)
}

/// The environment variable of a key.
fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_uppercase())
}

/// All keys, sections and names joined by a dot, with their defaults.
fn settings() -> Vec<(String, Value)> {
    let mut settings = Vec::new();
    let defaults = Table::try_from(Config::default()).unwrap_or_default();
    for (key, value) in defaults {
        match value {
            Value::Table(section) => settings.extend(
                section
                    .into_iter()
                    .map(|(name, value)| (format!("{key}.{name}"), value)),
            ),
            value => settings.push((key, value)),
        }
    }
    settings
}

/// Reads a variable's text as a value of the same type as `like`.
fn read_value(text: &str, like: &Value) -> Result<Value, String> {
    match like {
        Value::Integer(_) => match text.trim().parse::<i64>() {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => Err(format!("`{text}` is no whole number")),
        },
        Value::Float(_) => match text.trim().parse::<f64>() {
            Ok(number) => Ok(Value::Float(number)),
            Err(_) => Err(format!("`{text}` is no number")),
        },
        Value::Boolean(_) => match text.trim().parse::<bool>() {
            Ok(switch) => Ok(Value::Boolean(switch)),
            Err(_) => Err(format!("`{text}` is neither true nor false")),
        },
        Value::Array(_) if text.trim_start().starts_with('[') => {
            let mut table: Table = format!("value = {text}")
                .parse()
                .map_err(|error: toml::de::Error| error.message().to_string())?;
            table
                .remove("value")
                .ok_or_else(|| format!("`{text}` is no list"))
        }
        Value::Array(_) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(Value::from).collect()))
        }
        _ => Ok(Value::String(text.to_string())),
    }
}

fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_string(), value);
        }
        Some((section, name)) => {
            let section = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            // The file was checked: what is a section in the settings is one in it.
            if let Value::Table(section) = section {
                section.insert(name.to_string(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let variables: Vec<String> = settings().iter().map(|(path, _)| variable(path)).collect();
        for name in [
            "WARREN_DATA_DIR",
            "WARREN_LISTEN_PLAIN",
            "WARREN_LIMITS_MAX_MESSAGE_BYTES",
            "WARREN_TLS_CLIENT_CERTIFICATE",
            "WARREN_USERS",
        ] {
            assert!(variables.iter().any(|variable| variable == name), "{name}");
        }
        let mut unique = variables.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), variables.len());
        for variable in variables {
            for value in ["10.0.0.1", "5672", "tcp://10.0.0.1:5672", "tcp"] {
                assert!(!is_service_link(&variable, value), "{variable}");
            }
        }
    }
}
