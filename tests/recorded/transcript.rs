//! How frames are written down: a line each, the same whoever sent it.
//!
//! ```text
//! > 1 queue.declare queue="jobs" durable=true
//! < 1 queue.declare-ok queue="jobs"
//! ```
//!
//! Arguments that are zero, false or empty are left out. Long runs of a byte are counted.

use std::fmt::Write as _;

use crate::support::frame::{BODY, CONTENT_HEADER, Frame, METHOD};
use crate::support::value::Reader;
use crate::support::{Arg, Method, Properties};

/// The line of a frame that is as the protocol has them.
pub fn frame(frame: &Frame) -> String {
    let channel = frame.channel;
    match frame.kind {
        METHOD => format!("{channel} {}", method(&Method::decode(&frame.payload))),
        CONTENT_HEADER => format!("{channel} {}", header(&frame.payload)),
        BODY => format!("{channel} body {}", text(&frame.payload)),
        _ => raw(frame),
    }
}

/// The line of any frame.
pub fn raw(frame: &Frame) -> String {
    let payload = match frame.payload.len() {
        0..64 => hex(&frame.payload),
        _ => text(&frame.payload),
    };
    format!("{} frame {} {payload}", frame.channel, frame.kind)
}

/// The line of bytes that are no frame.
pub fn bytes(bytes: &[u8]) -> String {
    format!("bytes {}", text(bytes))
}

fn method(method: &Method) -> String {
    let mut line = method.name.to_string();
    arguments(&mut line, method.args());
    line
}

fn header(payload: &[u8]) -> String {
    let mut reader = Reader(payload);
    assert_eq!((reader.u16(), reader.u16()), (60, 0), "class and weight");
    let mut line = format!("header {}", reader.u64());
    arguments(&mut line, Properties::decode(reader.0).args());
    line
}

fn arguments(line: &mut String, args: &[(&'static str, Arg)]) {
    for (name, arg) in args {
        let said = match arg {
            Arg::Bit(false) | Arg::Number(0) => continue,
            Arg::Text(bytes) if bytes.is_empty() => continue,
            Arg::Table(table) if table.0.is_empty() => continue,
            Arg::Text(bytes) => text(bytes),
            arg => format!("{arg:?}"),
        };
        write!(line, " {name}={said}").expect("a string");
    }
}

/// Bytes in quotes; runs of one byte from 64 on are counted.
fn text(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.chunk_by(|left, right| left == right) {
        if chunk.len() >= 64 {
            write!(out, "[{} * {}]", chunk.len(), chunk[..1].escape_ascii()).expect("a string");
            continue;
        }
        for byte in chunk {
            match byte {
                b'\'' => out.push('\''),
                byte => write!(out, "{}", byte.escape_ascii()).expect("a string"),
            }
        }
    }
    out.push('"');
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
