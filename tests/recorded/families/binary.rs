//! Bytes that are no UTF-8 in every text of every method and of a message's properties.

use crate::script::Script;
use crate::support::{Arg, Method, Properties, method};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for method in Method::every() {
        for (field, arg) in method.args() {
            if matches!(arg, Arg::Text(_)) {
                scripts.push(in_method(method.clone(), field));
            }
        }
    }
    for property in [
        "content-type",
        "content-encoding",
        "correlation-id",
        "reply-to",
        "expiration",
        "message-id",
        "type",
        "user-id",
        "app-id",
        "cluster-id",
    ] {
        scripts.push(in_property(property));
    }
    scripts
}

fn in_method(method: Method, field: &str) -> Script {
    let name = method.name;
    let script = Script::new(format!("{name}-{field}"));
    let script = match name.starts_with("connection.") {
        true => script.on(0),
        false => script,
    };
    let method = method.with(field, b"\xff\xfe".to_vec());
    match name {
        "basic.publish" | "basic.return" | "basic.deliver" | "basic.get-ok" => script
            .content(method, &Properties::default(), b"hello")
            .settled(),
        _ => script.call(method),
    }
}

fn in_property(property: &str) -> Script {
    let script = Script::new(format!("property-{property}"));
    let queue = script.own("q");
    let properties = Properties::default().with(property, b"\xff\xfe".to_vec());
    script
        .call(method!("queue.declare", queue: &queue, exclusive: true))
        .publish_with("", &queue, &properties, "hello")
        .call(method!("basic.get", queue: &queue))
}
