//! `constants.rs` and `reply_code.rs`.

use std::fmt::Write;

use crate::MARK;
use crate::names::{camel, screaming};
use crate::spec::{Severity, Spec};

/// The named numbers of the framing layer.
pub fn constants(spec: &Spec) -> String {
    let mut out =
        format!("//! The protocol's version, and the numbers of its framing layer.\n\n{MARK}");
    let protocol = &spec.protocol;
    let numbers = [
        (
            "PROTOCOL_MAJOR",
            "u8",
            u32::from(protocol.major),
            "Major version, as in the protocol header.",
        ),
        (
            "PROTOCOL_MINOR",
            "u8",
            u32::from(protocol.minor),
            "Minor version, as in the protocol header.",
        ),
        (
            "PROTOCOL_REVISION",
            "u8",
            u32::from(protocol.revision),
            "Revision, as in the protocol header.",
        ),
        (
            "PORT",
            "u16",
            u32::from(protocol.port),
            "The port of plain connections.",
        ),
        (
            "TLS_PORT",
            "u16",
            u32::from(protocol.tls_port),
            "The port of TLS connections.",
        ),
    ];
    for (name, rust_type, value, doc) in numbers {
        let _ = write!(
            out,
            "\n/// {doc}\npub const {name}: {rust_type} = {value};\n"
        );
    }
    for constant in &spec.frame {
        let rust_type = if constant.value <= u8::MAX.into() {
            "u8"
        } else {
            "u32"
        };
        let name = screaming(&constant.name);
        let _ = write!(
            out,
            "\n/// {}\npub const {name}: {rust_type} = {};\n",
            constant.doc, constant.value
        );
    }
    out
}

/// The reply codes.
pub fn reply_code(spec: &Spec) -> String {
    let variants: Vec<_> = spec
        .reply
        .iter()
        .map(|code| {
            let name = code.name.strip_prefix("reply-").unwrap_or(&code.name);
            (camel(name), screaming(name), code)
        })
        .collect();
    let mut out = format!(
        "//! Reply codes: why something was refused or closed, as a number and a name.\n\n{MARK}"
    );
    out.push_str("\n/// A reply code. Soft ones close a channel, hard ones a connection.\n");
    out.push_str(
        "#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\n#[repr(u16)]\npub enum ReplyCode {\n",
    );
    for (variant, _, code) in &variants {
        let kind = match code.class {
            Some(Severity::Soft) => "Soft. ",
            Some(Severity::Hard) => "Hard. ",
            None => "",
        };
        let _ = write!(
            out,
            "    /// {kind}{}\n    {variant} = {},\n",
            code.doc, code.value
        );
    }
    out.push_str("}\n\nimpl ReplyCode {\n    /// Every code.\n");
    let _ = writeln!(out, "    pub const ALL: [Self; {}] = [", variants.len());
    for (variant, _, _) in &variants {
        let _ = writeln!(out, "        Self::{variant},");
    }
    out.push_str("    ];\n\n    /// The number on the wire.\n    pub fn number(self) -> u16 {\n        self as u16\n    }\n");
    out.push_str("\n    /// The code of that number.\n    pub fn from_number(number: u16) -> Option<Self> {\n");
    out.push_str("        Self::ALL.into_iter().find(|code| code.number() == number)\n    }\n");
    out.push_str("\n    /// The name that RabbitMQ puts in front of a reply text, as in `NOT_FOUND - no queue ...`.\n");
    out.push_str("    pub fn name(self) -> &'static str {\n        match self {\n");
    for (variant, name, _) in &variants {
        let _ = writeln!(out, "            Self::{variant} => \"{name}\",");
    }
    out.push_str("        }\n    }\n\n    /// Whether an exception of that code closes the whole connection and not just a channel.\n");
    out.push_str("    pub fn is_hard(self) -> bool {\n        match self {\n");
    for (variant, _, code) in &variants {
        let _ = writeln!(
            out,
            "            Self::{variant} => {},",
            code.class == Some(Severity::Hard)
        );
    }
    out.push_str("        }\n    }\n}\n");
    out
}
