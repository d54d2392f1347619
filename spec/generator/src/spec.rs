//! The specification as data: what the TOML files say, checked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// The whole specification.
pub struct Spec {
    /// Version and ports.
    pub protocol: Protocol,
    /// Named numbers of the framing layer.
    pub frame: Vec<Constant>,
    /// Reply codes.
    pub reply: Vec<Constant>,
    /// Wire types by domain.
    pub domains: BTreeMap<String, WireType>,
    /// Classes, by id.
    pub classes: Vec<Class>,
}

/// Version and ports.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Protocol {
    pub major: u8,
    pub minor: u8,
    pub revision: u8,
    pub port: u16,
    pub tls_port: u16,
}

/// A number with a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// With dashes.
    pub name: String,
    /// The number.
    pub value: u32,
    /// What an exception of that code closes.
    pub class: Option<Severity>,
    /// What it means.
    pub doc: String,
}

/// What an exception closes.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A channel.
    Soft,
    /// The connection.
    Hard,
}

/// How a value lies on the wire.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum WireType {
    Bit,
    Octet,
    Short,
    Long,
    Longlong,
    Timestamp,
    Shortstr,
    Longstr,
    Table,
}

/// A class of methods.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// With dashes.
    pub name: String,
    /// Its number.
    pub id: u16,
    /// What it is for.
    pub doc: String,
    /// Whether RabbitMQ has it and AMQP 0-9-1 has not.
    #[serde(default)]
    pub extension: bool,
    /// Properties of its contents, in the order of their flags.
    #[serde(default)]
    pub properties: Vec<Field>,
    /// Its methods, by id.
    #[serde(rename = "method")]
    pub methods: Vec<Method>,
}

/// A method.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// With dashes.
    pub name: String,
    /// Its number within its class.
    pub id: u16,
    /// Who sends it.
    pub from: From,
    /// Whether it waits for an answer.
    #[serde(default)]
    pub synchronous: bool,
    /// The answers it waits for.
    #[serde(default)]
    pub replies: Vec<String>,
    /// Whether a content follows.
    #[serde(default)]
    pub content: bool,
    /// Whether RabbitMQ has it and AMQP 0-9-1 has not.
    #[serde(default)]
    pub extension: bool,
    /// What it is for.
    pub doc: String,
    /// Its arguments, in order.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// Who sends a method.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum From {
    Client,
    Server,
    Both,
}

/// An argument or property.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// With dashes.
    pub name: String,
    /// Its name in Rust, where that is another.
    pub rename: Option<String>,
    /// Its wire type, or
    #[serde(rename = "type")]
    pub wire_type: Option<WireType>,
    /// its domain.
    pub domain: Option<String>,
    /// Written as zero and not looked at when read.
    #[serde(default)]
    pub reserved: bool,
    /// What it means.
    #[serde(default)]
    pub doc: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstantsFile {
    protocol: Protocol,
    frame: Vec<Constant>,
    reply: Vec<Constant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainsFile {
    domain: BTreeMap<String, WireType>,
}

impl Spec {
    /// Reads the files in `folder`.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let constants: ConstantsFile = read_toml(&folder.join("constants.toml"))?;
        let domains: DomainsFile = read_toml(&folder.join("domains.toml"))?;
        let mut classes = Vec::new();
        let classes_folder = folder.join("classes");
        let entries = fs::read_dir(&classes_folder)
            .map_err(|error| format!("{}: {error}", classes_folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                classes.push(read_toml::<Class>(&path)?);
            }
        }
        classes.sort_by_key(|class| class.id);
        let spec = Self {
            protocol: constants.protocol,
            frame: constants.frame,
            reply: constants.reply,
            domains: domains.domain,
            classes,
        };
        spec.check()?;
        Ok(spec)
    }

    /// The wire type of a field.
    pub fn wire_type(&self, field: &Field) -> Result<WireType, String> {
        match (&field.wire_type, &field.domain) {
            (Some(wire_type), None) => Ok(*wire_type),
            (None, Some(domain)) => self
                .domains
                .get(domain)
                .copied()
                .ok_or_else(|| format!("unknown domain {domain}")),
            _ => Err(format!(
                "field {} needs either a type or a domain",
                field.name
            )),
        }
    }

    fn check(&self) -> Result<(), String> {
        for class in &self.classes {
            let mut last_id = 0;
            for method in &class.methods {
                let name = format!("{}.{}", class.name, method.name);
                if method.id <= last_id {
                    return Err(format!("{name} is out of order"));
                }
                last_id = method.id;
                if method.synchronous == method.replies.is_empty() {
                    return Err(format!(
                        "{name}: synchronous methods, and no others, have replies"
                    ));
                }
                for reply in &method.replies {
                    if !class.methods.iter().any(|other| other.name == *reply) {
                        return Err(format!("{name}: unknown reply {reply}"));
                    }
                }
                for field in &method.fields {
                    self.wire_type(field)
                        .map_err(|error| format!("{name}: {error}"))?;
                    if field.reserved != field.doc.is_empty() {
                        return Err(format!("{name}: all fields but the reserved need a doc"));
                    }
                }
            }
            if class.properties.len() > 14 {
                return Err(format!("{}: more properties than flags", class.name));
            }
        }
        Ok(())
    }
}

fn read_toml<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}
