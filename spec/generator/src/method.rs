//! `method/`: one file per class, and the enum over all methods.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::MARK;
use crate::names::{camel, snake};
use crate::spec::{Class, Field, From, Method, Spec, WireType};

/// The widest list of fields that rustfmt leaves on one line of a struct literal.
const LITERAL_MAX_WIDTH: usize = 18;

/// The enum over all methods.
pub fn all(spec: &Spec) -> String {
    let mut modules: Vec<_> = spec
        .classes
        .iter()
        .map(|class| snake(&class.name))
        .collect();
    modules.sort();
    let methods: Vec<_> = spec
        .classes
        .iter()
        .flat_map(|class| class.methods.iter().map(move |method| (class, method)))
        .map(|(class, method)| {
            let variant = camel(&class.name) + &camel(&method.name);
            let path = format!("{}::{}", snake(&class.name), camel(&method.name));
            (class, method, variant, path)
        })
        .collect();

    let mut out = format!("//! Every method in one enum.\n\n{MARK}\n");
    out.push_str("use super::Facts;\nuse super::{");
    out.push_str(&modules.join(", "));
    out.push_str("};\nuse crate::amqp::wire::{Reader, WireError};\n");
    out.push_str("\n/// Every method.\n#[derive(Clone, Debug, PartialEq)]\npub enum Method {\n");
    for (class, method, variant, path) in &methods {
        let _ = write!(
            out,
            "    /// {}.{}: {}\n    {variant}({path}),\n",
            class.name, method.name, method.doc
        );
    }
    out.push_str("}\n\nimpl Method {\n    /// What the specification says of it.\n");
    out.push_str("    pub fn facts(&self) -> &'static Facts {\n        match self {\n");
    for (_, _, variant, path) in &methods {
        let _ = writeln!(out, "            Self::{variant}(_) => &{path}::FACTS,");
    }
    out.push_str("        }\n    }\n\n    /// Reads the arguments of the method of that number; None if there is no such method.\n");
    out.push_str("    pub(super) fn read(ids: (u16, u16), input: &mut Reader<'_>) -> Option<Result<Self, WireError>> {\n");
    out.push_str("        Some(match ids {\n");
    for (class, method, variant, path) in &methods {
        let line = format!(
            "            ({}, {}) => {path}::read(input).map(Self::{variant}),\n",
            class.id, method.id
        );
        out.push_str(&line);
    }
    out.push_str("            _ => return None,\n        })\n    }\n");
    out.push_str("\n    /// Writes class, method and arguments: a method frame's payload.\n");
    out.push_str("    pub fn encode(&self, out: &mut Vec<u8>) {\n        match self {\n");
    for (_, _, variant, _) in &methods {
        let _ = writeln!(
            out,
            "            Self::{variant}(method) => method.encode(out),"
        );
    }
    out.push_str("        }\n    }\n}\n");
    out.push_str("\nimpl Facts {\n    /// Every method's facts, by class and method number.\n");
    let _ = writeln!(
        out,
        "    pub const ALL: [&'static Self; {}] = [",
        methods.len()
    );
    for (_, _, _, path) in &methods {
        let _ = writeln!(out, "        &{path}::FACTS,");
    }
    out.push_str("    ];\n}\n");
    for (_, _, variant, path) in &methods {
        let _ = write!(
            out,
            "\nimpl From<{path}> for Method {{\n    fn from(method: {path}) -> Self {{\n        Self::{variant}(method)\n    }}\n}}\n"
        );
    }
    out
}

/// A class's methods.
pub fn class(spec: &Spec, class: &Class) -> Result<String, String> {
    let mut out = format!("//! Class {}. {}\n\n{MARK}\n", class.name, class.doc);
    let mut types = BTreeSet::new();
    let mut puts = BTreeSet::from(["put_short".to_owned()]);
    let mut body = String::new();
    for method in &class.methods {
        let fields = method
            .fields
            .iter()
            .map(|field| {
                Ok(Argument {
                    field,
                    wire_type: spec.wire_type(field)?,
                    asserts_utf8: !method.content,
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        for argument in &fields {
            puts.insert(argument.put().to_owned());
            if !argument.field.reserved {
                types.insert(argument.rust_type());
            }
        }
        definition(&mut body, class, method, &fields);
    }
    if types.contains("Bytes") {
        out.push_str("use bytes::Bytes;\n\n");
    }
    out.push_str("use super::Facts;\n");
    let tables: Vec<_> = ["FieldTable", "ShortStr"]
        .into_iter()
        .filter(|name| types.contains(name))
        .collect();
    match tables.as_slice() {
        [] => {}
        [one] => {
            let _ = writeln!(out, "use crate::amqp::table::{one};");
        }
        many => {
            let _ = writeln!(out, "use crate::amqp::table::{{{}}};", many.join(", "));
        }
    }
    import_wire(&mut out, &puts);
    out.push_str(&body);
    Ok(out)
}

/// The import of what reads and writes primitives, broken as rustfmt breaks it.
fn import_wire(out: &mut String, puts: &BTreeSet<String>) {
    let mut names = vec!["Reader".to_owned(), "WireError".to_owned()];
    names.extend(puts.iter().cloned());
    let line = format!("use crate::amqp::wire::{{{}}};\n", names.join(", "));
    if line.trim_end().len() <= 100 {
        out.push_str(&line);
        return;
    }
    out.push_str("use crate::amqp::wire::{\n");
    let mut row = String::from("    ");
    for name in names {
        let item = format!("{name},");
        let space = usize::from(row.trim() != "");
        if row.len() + space + item.len() > 100 {
            out.push_str(&row);
            out.push('\n');
            row = String::from("    ");
        }
        if row.trim() != "" {
            row.push(' ');
        }
        row.push_str(&item);
    }
    out.push_str(&row);
    out.push_str("\n};\n");
}

/// A field with what it takes to read and write it.
struct Argument<'a> {
    field: &'a Field,
    wire_type: WireType,
    /// RabbitMQ checks the text of methods that carry no content.
    asserts_utf8: bool,
}

impl Argument<'_> {
    fn name(&self) -> String {
        snake(self.field.rename.as_ref().unwrap_or(&self.field.name))
    }

    fn rust_type(&self) -> &'static str {
        match self.wire_type {
            WireType::Bit => "bool",
            WireType::Octet => "u8",
            WireType::Short => "u16",
            WireType::Long => "u32",
            WireType::Longlong | WireType::Timestamp => "u64",
            WireType::Shortstr => "ShortStr",
            WireType::Longstr => "Bytes",
            WireType::Table => "FieldTable",
        }
    }

    fn read(&self) -> &'static str {
        match self.wire_type {
            WireType::Bit | WireType::Octet => "octet",
            WireType::Short => "short",
            WireType::Long => "long",
            WireType::Longlong | WireType::Timestamp => "longlong",
            WireType::Shortstr if self.asserts_utf8 => "short_text",
            WireType::Shortstr if self.field.reserved => "short_bytes",
            WireType::Shortstr => "short_str",
            WireType::Longstr if self.field.reserved => "long_bytes",
            WireType::Longstr => "long_str",
            WireType::Table => "table",
        }
    }

    fn put(&self) -> &'static str {
        match self.wire_type {
            WireType::Bit | WireType::Octet => "put_octet",
            WireType::Shortstr if self.field.reserved => "put_octet",
            WireType::Longstr | WireType::Table if self.field.reserved => "put_long",
            WireType::Short => "put_short",
            WireType::Long => "put_long",
            WireType::Longlong | WireType::Timestamp => "put_longlong",
            WireType::Shortstr => "put_short_str",
            WireType::Longstr => "put_long_str",
            WireType::Table => "put_table",
        }
    }

    fn written(&self) -> String {
        if self.field.reserved {
            return "0".to_owned();
        }
        match self.wire_type {
            WireType::Shortstr | WireType::Longstr | WireType::Table => {
                format!("&self.{}", self.name())
            }
            _ => format!("self.{}", self.name()),
        }
    }
}

/// Arguments with the bits that share an octet put together.
fn packed<'a>(arguments: &'a [Argument<'a>]) -> impl Iterator<Item = &'a [Argument<'a>]> {
    arguments
        .chunk_by(|left, right| left.wire_type == WireType::Bit && right.wire_type == WireType::Bit)
        .flat_map(|run| run.chunks(8))
}

fn definition(out: &mut String, class: &Class, method: &Method, arguments: &[Argument<'_>]) {
    let name = camel(&method.name);
    let kept: Vec<_> = arguments
        .iter()
        .filter(|argument| !argument.field.reserved)
        .collect();
    let only_copies = kept
        .iter()
        .all(|argument| !matches!(argument.rust_type(), "ShortStr" | "Bytes" | "FieldTable"));
    let copy = if only_copies { "Copy, " } else { "" };
    let extension = if method.extension {
        " RabbitMQ's extension."
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "\n/// {}.{}: {}{extension}",
        class.name, method.name, method.doc
    );
    let _ = writeln!(out, "#[derive(Clone, {copy}Debug, Default, PartialEq)]");
    if kept.is_empty() {
        let _ = writeln!(out, "pub struct {name};");
    } else {
        let _ = writeln!(out, "pub struct {name} {{");
        for argument in &kept {
            let _ = write!(
                out,
                "    /// {}\n    pub {}: {},\n",
                argument.field.doc,
                argument.name(),
                argument.rust_type()
            );
        }
        out.push_str("}\n");
    }
    let _ = write!(
        out,
        "\nimpl {name} {{\n    /// What the specification says of it.\n    pub const FACTS: Facts = Facts {{\n"
    );
    let _ = writeln!(out, "        class_id: {},", class.id);
    let _ = writeln!(out, "        method_id: {},", method.id);
    let _ = writeln!(out, "        name: \"{}.{}\",", class.name, method.name);
    let _ = writeln!(out, "        has_content: {},", method.content);
    let _ = writeln!(out, "        is_synchronous: {},", method.synchronous);
    let _ = writeln!(out, "        from_client: {},", method.from != From::Server);
    let _ = writeln!(
        out,
        "        from_server: {},\n    }};\n",
        method.from != From::Client
    );
    read(out, arguments, &kept);
    out.push('\n');
    encode(out, class, method, arguments);
    out.push_str("}\n");
}

fn read(out: &mut String, arguments: &[Argument<'_>], kept: &[&Argument<'_>]) {
    let input = if arguments.is_empty() {
        "_input"
    } else {
        "input"
    };
    let _ = writeln!(
        out,
        "    pub(super) fn read({input}: &mut Reader<'_>) -> Result<Self, WireError> {{"
    );
    for group in packed(arguments) {
        let first = &group[0];
        if first.wire_type == WireType::Bit {
            let is_read = group.iter().any(|argument| !argument.field.reserved);
            out.push_str(if is_read {
                "        let bits = input.octet()?;\n"
            } else {
                "        input.octet()?;\n"
            });
            for (index, argument) in group
                .iter()
                .enumerate()
                .filter(|(_, argument)| !argument.field.reserved)
            {
                let _ = writeln!(
                    out,
                    "        let {} = bits & {} != 0;",
                    argument.name(),
                    1 << index
                );
            }
        } else if first.field.reserved {
            let _ = writeln!(out, "        input.{}()?;", first.read());
        } else {
            let _ = writeln!(
                out,
                "        let {} = input.{}()?;",
                first.name(),
                first.read()
            );
        }
    }
    let names: Vec<_> = kept.iter().map(|argument| argument.name()).collect();
    let list = names.join(", ");
    if names.is_empty() {
        out.push_str("        Ok(Self)\n");
    } else if list.len() <= LITERAL_MAX_WIDTH {
        let _ = writeln!(out, "        Ok(Self {{ {list} }})");
    } else {
        out.push_str("        Ok(Self {\n");
        for name in names {
            let _ = writeln!(out, "            {name},");
        }
        out.push_str("        })\n");
    }
    out.push_str("    }\n");
}

fn encode(out: &mut String, class: &Class, method: &Method, arguments: &[Argument<'_>]) {
    out.push_str("    pub(super) fn encode(&self, out: &mut Vec<u8>) {\n");
    let _ = writeln!(
        out,
        "        put_short(out, {});\n        put_short(out, {});",
        class.id, method.id
    );
    for group in packed(arguments) {
        let first = &group[0];
        if first.wire_type != WireType::Bit {
            let _ = writeln!(out, "        {}(out, {});", first.put(), first.written());
            continue;
        }
        let mut bits: Vec<_> = Vec::new();
        for (index, argument) in group
            .iter()
            .enumerate()
            .filter(|(_, argument)| !argument.field.reserved)
        {
            let bit = format!("u8::from(self.{})", argument.name());
            bits.push(if index == 0 {
                bit
            } else {
                format!("{bit} << {index}")
            });
        }
        match bits.as_slice() {
            [] => out.push_str("        put_octet(out, 0);\n"),
            [bit] => {
                let _ = writeln!(out, "        put_octet(out, {bit});");
            }
            [first, others @ ..] => {
                let _ = writeln!(out, "        let mut bits = {first};");
                for bit in others {
                    let _ = writeln!(out, "        bits |= {bit};");
                }
                out.push_str("        put_octet(out, bits);\n");
            }
        }
    }
    out.push_str("    }\n");
}
