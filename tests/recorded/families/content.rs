//! Every frame in every state of a message's assembly.

use crate::script::Script;
use crate::support::frame::{BODY, CONTENT_HEADER, Frame, HEARTBEAT, METHOD};
use crate::support::{Method, Properties, Table, Value, method, properties, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for method in Method::every() {
        let name = method.name;
        scripts.push(
            header_due(format!("header-due-{name}"))
                .send(method.clone())
                .end(),
        );
        scripts.push(
            body_due(format!("body-due-{name}"))
                .send(method.clone())
                .end(),
        );
    }
    between(&mut scripts);
    headers(&mut scripts);
    bodies(&mut scripts);
    properties_as_bytes(&mut scripts);
    scripts
}

fn publish() -> Method {
    method!("basic.publish", exchange: "amq.fanout")
}

/// The method has come, the header has not.
fn header_due(name: impl Into<String>) -> Script {
    Script::new(name).send(publish())
}

/// The header of ten octets has come, and four of them.
fn body_due(name: impl Into<String>) -> Script {
    let frames = [
        Frame::method(1, &publish()),
        Frame::content_header(1, 10, &Properties::default()),
        Frame::body(1, b"body"),
    ];
    Script::new(name).frames(&frames)
}

fn between(scripts: &mut Vec<Script>) {
    let header = Frame::content_header(1, 10, &Properties::default()).payload;
    for (name, kind, payload) in [
        ("body", BODY, &b"hello"[..]),
        ("header-short", CONTENT_HEADER, &header[..6]),
        ("heartbeat", HEARTBEAT, b""),
        ("type-9", 9, b"hello"),
        ("unknown-method", METHOD, &[0, 99, 0, 99]),
        ("empty-method", METHOD, b""),
    ] {
        scripts.push(
            header_due(format!("header-due-frame-{name}"))
                .frame(kind, payload)
                .end(),
        );
    }
    for (name, kind, payload) in [
        ("header", CONTENT_HEADER, &header[..]),
        ("header-short", CONTENT_HEADER, &header[..6]),
        ("heartbeat", HEARTBEAT, b""),
        ("type-9", 9, b"hello"),
        ("unknown-method", METHOD, &[0, 99, 0, 99]),
    ] {
        scripts.push(
            body_due(format!("body-due-frame-{name}"))
                .frame(kind, payload)
                .end(),
        );
    }
    for (name, kind, payload) in [
        ("header", CONTENT_HEADER, &header[..]),
        ("body", BODY, b"hello"),
    ] {
        scripts.push(
            Script::new(format!("nothing-due-{name}"))
                .frame(kind, payload)
                .end(),
        );
        scripts.push(
            Script::new(format!("unopened-{name}"))
                .on(5)
                .frame(kind, payload)
                .end(),
        );
    }
    // Others speak in between.
    let script = body_due("other-channel-between").open(2).settled();
    scripts.push(script.on(1).frame(BODY, b"second").settled());
    let script = header_due("heartbeat-on-0-between")
        .on(0)
        .frame(HEARTBEAT, b"");
    let rest = [
        Frame::content_header(1, 2, &Properties::default()),
        Frame::body(1, b"ab"),
    ];
    scripts.push(script.frames(&rest).on(1).settled());
    // A refusal waits for the content to be there.
    let unknown = method!("basic.publish", exchange: "none.at.all");
    let script = Script::new("refused-when-complete")
        .send(unknown)
        .open(2)
        .settled();
    scripts.push(script.frames(&rest).on(1).reply());
}

/// Content headers of other classes, weights and sizes.
fn headers(scripts: &mut Vec<Script>) {
    let header = |class: u16, weight: u16, size: u64, flags: &[u8]| {
        let mut payload = class.to_be_bytes().to_vec();
        payload.extend(weight.to_be_bytes());
        payload.extend(size.to_be_bytes());
        payload.extend(flags);
        payload
    };
    for (name, payload) in [
        ("class-50", header(50, 0, 0, &[0, 0])),
        ("class-0", header(0, 0, 5, &[0, 0])),
        ("class-9999", header(9999, 0, 5, &[0, 0])),
        ("weight-1", header(60, 1, 0, &[0, 0])),
        ("weight-and-class", header(50, 1, 0, &[0, 0])),
    ] {
        let script = header_due(format!("header-{name}"));
        scripts.push(script.frame(CONTENT_HEADER, &payload).end());
    }
    for (name, size) in [
        ("128-mib", 134_217_728),
        ("129-mib", 135_266_304),
        ("most", u64::MAX),
    ] {
        let script = header_due(format!("size-{name}"));
        let payload = header(60, 0, size, &[0, 0]);
        scripts.push(
            script
                .frame(CONTENT_HEADER, &payload)
                .on(2)
                .call(method!("channel.open"))
                .on(1)
                .frame(9, b"x")
                .end(),
        );
    }
}

fn bodies(scripts: &mut Vec<Script>) {
    let queue = |script: Script| {
        let name = script.own("q");
        script.call(method!("queue.declare", queue: &name, exclusive: true))
    };
    let get = method!("basic.get", no_ack: true);
    let parts = |name: &str, size: u64, parts: &[&[u8]]| {
        let script = queue(Script::new(format!("parts-{name}")));
        let publish = method!("basic.publish", routing_key: script.own("q"));
        let mut frames = vec![
            Frame::method(1, &publish),
            Frame::content_header(1, size, &Properties::default()),
        ];
        frames.extend(parts.iter().map(|part| Frame::body(1, part)));
        script.frames(&frames).call(get.clone())
    };
    scripts.push(parts("none", 0, &[]));
    scripts.push(parts("one", 5, &[b"hello"]));
    scripts.push(parts("many", 5, &[b"h", b"e", b"l", b"l", b"o"]));
    scripts.push(parts("empty-between", 5, &[b"he", b"", b"llo"]));
    scripts.push(parts("empty-first", 5, &[b"", b"hello"]));
    scripts.push(parts("empty-after-none", 0, &[b""]));
    scripts.push(parts("one-too-many", 5, &[b"hello", b"!"]));
    scripts.push(parts("too-long", 5, &[b"hello!"]));
    scripts.push(parts("too-long-later", 5, &[b"hel", b"lo!"]));
    // How a large body is cut.
    let script = queue(Script::new("large-body"));
    let publish = method!("basic.publish", routing_key: script.own("q"));
    let mut frames = vec![
        Frame::method(1, &publish),
        Frame::content_header(1, 300_000, &Properties::default()),
    ];
    frames.extend([100_000, 100_000, 100_000].map(|size| Frame::body(1, &vec![b'x'; size])));
    scripts.push(script.frames(&frames).call(get));
}

/// Property flags and values that are not what they should be: told when the message is looked at.
fn properties_as_bytes(scripts: &mut Vec<Script>) {
    let with = |name: &str, bytes: &[u8]| {
        let script = Script::new(format!("properties-{name}"));
        let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        payload.extend(bytes);
        script
            .send(publish())
            .frame(CONTENT_HEADER, &payload)
            .settled()
    };
    for (name, bytes) in [
        ("none", &[0, 0][..]),
        ("no-flags", &[]),
        ("half-flags", &[0]),
        ("continued", &[0, 1, 0, 0]),
        ("continued-without-end", &[0, 1]),
        ("reserved-flag", &[0, 2]),
        ("cluster-id", &[0, 4, 1, b'x']),
        ("short-string", &[0x80, 0, 5, b'a', b'b']),
        ("missing-value", &[0x80, 0]),
        ("too-long", &[0x80, 0, 1, b'a', b'b', b'c']),
        ("delivery-mode-3", &[0x10, 0, 3]),
        ("priority-255", &[0x08, 0, 255]),
        ("timestamp-short", &[0, 0x40, 0, 0, 0]),
        ("headers-short", &[0x20, 0, 0, 0, 0, 9, 1, b'a']),
        (
            "headers-unknown-tag",
            &[0x20, 0, 0, 0, 0, 4, 1, b'a', b'?', 0],
        ),
        ("headers-good", &[0x20, 0, 0, 0, 0, 4, 1, b'a', b't', 1]),
    ] {
        scripts.push(with(name, bytes));
    }
    // Every property, and every type of header, there and back.
    let all = properties!(content_type: "text/plain", content_encoding: "utf-8", delivery_mode: 2,
        priority: 7, correlation_id: "c", reply_to: "r", expiration: "100000", message_id: "m",
        timestamp: 1_700_000_000, type: "t", user_id: "guest", app_id: "a", cluster_id: "k");
    let headers = table! {
        "bool" => true, "i8" => -1i8, "u8" => 1u8, "i16" => -1i16, "u16" => 1u16, "i32" => -1,
        "u32" => 1u32, "i64" => -1i64, "f32" => 0.5f32, "f64" => 0.25, "decimal" => Value::Decimal(2, 314),
        "text" => "text", "bytes" => Value::Bytes(vec![0, 255]), "array" => vec![Value::I32(1), Value::from("a")],
        "time" => Value::Timestamp(1), "table" => table! { "a" => table! { "b" => 1 } }, "void" => Value::Void,
    };
    let all = all.with("headers", headers);
    let back = |name: &str, properties: &Properties| {
        let script = Script::new(format!("properties-back-{name}"));
        let queue = script.own("q");
        let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
        let script = script.publish_with("", &queue, properties, "hello");
        script.call(method!("basic.get", queue: &queue, no_ack: true))
    };
    scripts.push(back("all", &all));
    let empty =
        properties!(content_type: "", headers: Table::default(), delivery_mode: 0, message_id: "");
    scripts.push(back("empty", &empty));
}
