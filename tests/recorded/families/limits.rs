//! What there may not be any more of, and connections that somebody else ends.

use serde_json::{Value, json};

use crate::script::{Entry, Script};
use crate::support::{Login, method};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    connections(&mut scripts);
    queues(&mut scripts);
    ended(&mut scripts);
    scripts
}

fn of(user: &str, vhost: &str) -> Login {
    let password = if user == "guest" { "guest" } else { "secret" };
    Login {
        user: user.into(),
        password: password.into(),
        vhost: vhost.into(),
        ..Login::default()
    }
}

/// As far as connection.open.
fn enters(name: &str, user: &str, vhost: &str) -> Script {
    let login = of(user, vhost);
    let script = Script::started(name).quietly(login.start_ok(), Some("connection.tune"));
    let script = script.quietly(login.tune_ok(), None);
    script.call(method!("connection.open", virtual_host: vhost))
}

fn connections(scripts: &mut Vec<Script>) {
    scripts.push(enters("vhost-full", "guest", "crowded"));
    scripts.push(enters("vhost-full-and-not-allowed", "limited", "crowded"));
    scripts.push(enters("user-has-too-many", "alone", "/"));
    scripts.push(enters(
        "user-has-too-many-and-vhost-full",
        "alone",
        "crowded",
    ));
    scripts.push(enters(
        "user-has-too-many-and-vhost-unknown",
        "alone",
        "nowhere",
    ));
    let script = enters("channels", "silent", "/").on(1);
    scripts.push(script.call(method!("channel.open")));
    let script = enters("channels-not-by-open", "silent", "/").on(1);
    scripts.push(script.call(method!("queue.declare")));
}

fn queues(scripts: &mut Vec<Script>) {
    let open = |name: &str| Script::with(name, Entry::Open(of("guest", "queueless")));
    let declare = method!("queue.declare", queue: "one");
    scripts.push(open("queue").call(declare.clone()));
    scripts.push(open("queue-made-up").call(method!("queue.declare")));
    scripts.push(
        open("queue-exclusive").call(method!("queue.declare", queue: "two", exclusive: true)),
    );
    scripts.push(open("queue-passive").call(declare.with("passive", true)));
    let wrong = method!("queue.declare", queue: "three",
        arguments: crate::support::table! { "x-max-length" => -1 });
    scripts.push(open("queue-with-wrong-argument").call(wrong));
}

fn ended(scripts: &mut Vec<Script>) {
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    let script = Script::with("vhost-deleted", Entry::Open(of("guest", "short.lived")));
    let script = script.api("PUT", "/vhosts/short.lived", json!({}));
    let script = script.api("PUT", "/permissions/short.lived/guest", everything.clone());
    let script = script.settled();
    scripts.push(
        script
            .api("DELETE", "/vhosts/short.lived", Value::Null)
            .end(),
    );
    let script = Script::with("user-deleted", Entry::Open(of("mortal", "/")));
    let user = json!({"password": "secret", "tags": ""});
    let script = script.api("PUT", "/users/mortal", user);
    let script = script
        .api("PUT", "/permissions/%2F/mortal", everything)
        .settled();
    scripts.push(script.api("DELETE", "/users/mortal", Value::Null).end());
}
