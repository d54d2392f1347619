//! Field tables that are none, and numbers that Erlang has none for.

use crate::script::Script;
use crate::support::frame::{CONTENT_HEADER, Frame, METHOD};
use crate::support::{Method, Properties, Value, method, properties, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (name, table) in malformed() {
        let said = with_table(method!("queue.declare", queue: "q"), &table);
        let script = Script::new(format!("malformed-{name}"));
        scripts.push(script.frame(METHOD, &said).end());
    }
    for method in [
        method!("exchange.declare", exchange: "x", type: "direct"),
        method!("exchange.bind", destination: "amq.direct", source: "amq.topic"),
        method!("queue.bind", queue: "q", exchange: "amq.direct"),
        method!("queue.unbind", queue: "q", exchange: "amq.direct"),
        method!("basic.consume", queue: "q"),
    ] {
        let script = Script::new(format!("malformed-in-{}", method.name));
        let said = with_table(method, &UNKNOWN_TYPE);
        scripts.push(script.frame(METHOD, &said).end());
    }
    malformed_headers(&mut scripts);
    no_numbers(&mut scripts);
    scripts
}

/// A key, and a value of a type that there is none of.
const UNKNOWN_TYPE: [u8; 7] = [0, 0, 0, 3, 1, b'a', b'Z'];

/// Tables with their lengths, each wrong in another way.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let table = |body: &[u8]| [&(body.len() as u32).to_be_bytes()[..], body].concat();
    vec![
        ("unknown-type", UNKNOWN_TYPE.to_vec()),
        ("value-cut", table(b"\x01aI\0\0")),
        ("value-missing", table(b"\x01a")),
        ("key-cut", table(b"\x05a")),
        ("text-too-long", table(b"\x01aS\0\0\0\xffx")),
        ("array-of-unknown-type", table(b"\x01aA\0\0\0\x01Z")),
        ("table-of-unknown-type", table(b"\x01aF\0\0\0\x03\x01bZ")),
        ("longer-than-its-frame", vec![0, 0, 1, 0]),
        ("shorter-than-its-frame", vec![0, 0, 0, 0, 1, b'a', b't', 1]),
    ]
}

/// The payload of a method whose last field is a table, with this one instead.
fn with_table(method: Method, table: &[u8]) -> Vec<u8> {
    let mut payload = method.encode();
    assert!(payload.ends_with(&[0; 4]), "an empty table comes last");
    payload.truncate(payload.len() - 4);
    payload.extend(table);
    payload
}

/// Such a table as headers: they are read only where somebody needs them.
fn malformed_headers(scripts: &mut Vec<Script>) {
    for exchange in ["", "amq.direct", "amq.headers"] {
        let name = match exchange {
            "" => "default",
            name => name,
        };
        let script = Script::new(format!("malformed-headers-{name}"));
        let queue = script.own("q");
        let publish = method!("basic.publish", exchange: exchange, routing_key: &queue);
        let none = Frame::content_header(1, 0, &Properties::default());
        let mut payload = none.payload[..none.payload.len() - 2].to_vec();
        payload.extend(0x2000_u16.to_be_bytes());
        payload.extend(UNKNOWN_TYPE);
        let script = script
            .call(method!("queue.declare", queue: &queue, exclusive: true))
            .send(publish)
            .frame(CONTENT_HEADER, &payload);
        scripts.push(script.call(method!("queue.purge", queue: &queue)));
    }
}

/// What a float or double may hold and is no number, wherever a table is.
fn no_numbers(scripts: &mut Vec<Script>) {
    for (name, value) in [
        ("nan-float", Value::F32(f32::NAN)),
        ("nan-double", Value::F64(f64::NAN)),
        ("infinite-float", Value::F32(f32::INFINITY)),
        ("infinite-double", Value::F64(f64::NEG_INFINITY)),
    ] {
        let arguments = table! { "x-nobody-knows" => value.clone() };
        let script = Script::new(format!("{name}-declare"));
        let declare =
            method!("queue.declare", queue: script.own("q"), arguments: arguments.clone());
        scripts.push(script.send(declare).reply());
        let script = Script::new(format!("{name}-consume"));
        let queue = script.own("q");
        let consume =
            method!("basic.consume", queue: &queue, consumer_tag: "c", arguments: arguments);
        scripts.push(
            script
                .call(method!("queue.declare", queue: &queue, exclusive: true))
                .call(consume),
        );
        for exchange in ["", "amq.headers"] {
            let way = match exchange {
                "" => "publish",
                _ => "publish-to-headers",
            };
            let script = Script::new(format!("{name}-{way}"));
            let queue = script.own("q");
            let headers = properties!(headers: table! { "a" => value.clone() });
            scripts.push(
                script
                    .call(method!("queue.declare", queue: &queue, exclusive: true))
                    .publish_with(exchange, &queue, &headers, "x")
                    .call(method!("basic.get", queue: &queue)),
            );
        }
    }
}
