//! What was set is there after a restart, a `kill -9` among them; what configuration names stays.

use std::io::Write;

use serde_json::json;

use super::*;

#[test]
fn everything_is_kept() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let http = broker.management().expect("it listens");
    assert_eq!(
        http.put("/vhosts/v", json!({"description": "d", "tags": "a"})),
        201
    );
    assert_eq!(
        http.put(
            "/users/u",
            json!({"password": "secret", "tags": "monitoring"})
        ),
        201
    );
    let permissions = json!({"configure": "c", "write": "w", "read": "r"});
    assert_eq!(http.put("/permissions/v/u", permissions), 201);
    let topics = json!({"exchange": "amq.topic", "write": "w", "read": "r"});
    assert_eq!(http.put("/topic-permissions/v/u", topics), 201);
    let policy = json!({"pattern": "^q$", "definition": {"max-length": 1}});
    assert_eq!(http.put("/policies/%2F/p", policy.clone()), 201);
    assert_eq!(http.put("/operator-policies/v/o", policy), 201);
    assert_eq!(
        http.put("/vhost-limits/v/max-queues", json!({"value": 1})),
        204
    );
    assert_eq!(
        http.put("/user-limits/u/max-connections", json!({"value": 7})),
        204
    );
    assert_eq!(http.put("/global-parameters/g", json!({"value": [1]})), 201);
    let mut client = broker.client();
    client.call(method!("queue.declare", queue: "q", durable: true));
    let before = http.get("/definitions");
    let vhosts = http.get("/vhosts");
    let broker = Setup::default()
        .on(broker.kill())
        .start()
        .expect("a Warren of our own");
    let http = broker.management().expect("it listens");
    assert_eq!(http.get("/definitions"), before);
    assert_eq!(http.get("/vhosts"), vhosts);
    let mut client = broker.client();
    for body in ["1", "2"] {
        client.publish("", "q", body);
    }
    client.await_ready("q", 1);
    assert_eq!(client.take_all("q"), ["2"]);

    for path in [
        "/vhosts/v",
        "/users/u",
        "/policies/%2F/p",
        "/global-parameters/g",
    ] {
        assert_eq!(http.delete(path), 204, "{path}");
    }
    let broker = Setup::default()
        .on(broker.stop())
        .start()
        .expect("a Warren of our own");
    let http = broker.management().expect("it listens");
    let after = http.get("/definitions");
    for kind in [
        "policies",
        "parameters",
        "topic_permissions",
        "global_parameters",
    ] {
        assert_eq!(after[kind], json!([]), "{kind}");
    }
    assert_eq!(after["users"].as_array().map(Vec::len), Some(1));
    assert_eq!(after["permissions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn guest_does_not_come_back() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let http = broker.management().expect("it listens");
    let tags = json!({"password": "secret", "tags": "administrator"});
    assert_eq!(http.put("/users/admin", tags), 201);
    let admin = http.login("admin", "secret");
    assert_eq!(admin.delete("/users/guest"), 204);
    let broker = Setup::default()
        .on(broker.stop())
        .start()
        .expect("a Warren of our own");
    let http = broker.management().expect("it listens");
    assert_eq!(http.send("GET", "/whoami", "").status, 401);
    let admin = http.login("admin", "secret");
    assert_eq!(admin.send("GET", "/users/guest", "").status, 404);
}

#[test]
fn whom_configuration_names_is_changed_there_alone() {
    let mut configuration = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = r#"
[[users]]
name = "guest"
password = "another"
tags = ["administrator"]
loopback_only = true
permissions = [{ vhost = "/", configure = ".*", write = ".*", read = ".*" }]
"#;
    configuration.write_all(text.as_bytes()).expect("written");
    let setup = || Setup::default().arg("--config", configuration.path());
    let Some(broker) = setup().start() else {
        return;
    };
    let http = broker.management().expect("it listens");
    let http = http.login("guest", "another");
    let reason = "user 'guest' is named by the configuration and is changed there";
    http.refused("/users/guest", json!({"password": "x", "tags": ""}), reason);
    let all = json!({"configure": "", "write": "", "read": ""});
    http.refused("/permissions/%2F/guest", all.clone(), reason);
    let answer = http.send("DELETE", "/users/guest", "");
    assert_eq!(
        (answer.status, &answer.body["reason"]),
        (400, &json!(reason))
    );
    // What it does not say can be said.
    assert_eq!(http.put("/vhosts/v", json!({})), 201);
    assert_eq!(http.put("/permissions/v/guest", all), 204);
    assert_eq!(
        http.put("/user-limits/guest/max-channels", json!({"value": 3})),
        204
    );
    // Every export has the user; it is passed over.
    let definitions = http.get("/definitions").to_string();
    assert_eq!(http.send("POST", "/definitions", &definitions).status, 204);
    let broker = setup()
        .on(broker.stop())
        .start()
        .expect("a Warren of our own");
    let http = broker.management().expect("it listens");
    let http = http.login("guest", "another");
    assert_eq!(http.get("/permissions/v/guest")["configure"], "");
    assert_eq!(
        http.get("/user-limits/guest")[0]["value"],
        json!({"max-channels": 3})
    );
}
