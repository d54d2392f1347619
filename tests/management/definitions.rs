//! `/api/definitions`, and definitions that are loaded at start.

use serde_json::{Value, json};

use super::*;

const HASH: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

/// Definitions of a vhost with one of everything in it, and of its user.
fn definitions(vhost: &str, user: &str) -> Value {
    json!({
        "rabbit_version": "3.10.8",
        "users": [{
            "name": user, "password_hash": HASH,
            "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "administrator",
        }],
        "vhosts": [{"name": vhost, "metadata": {"description": "imported", "tags": ["t"]}}],
        "permissions": [{
            "user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*",
        }],
        "topic_permissions": [{
            "user": user, "vhost": vhost, "exchange": "e", "write": "a", "read": "b",
        }],
        "parameters": [{
            "value": {"max-queues": 2}, "vhost": vhost, "component": "vhost-limits",
            "name": "limits",
        }],
        "global_parameters": [{"name": format!("of-{vhost}"), "value": "x"}],
        "policies": [{
            "vhost": vhost, "name": "p", "pattern": "q", "apply-to": "queues",
            "definition": {"max-length": 1}, "priority": 1,
        }],
        "queues": [{
            "name": "q", "vhost": vhost, "durable": true, "auto_delete": false,
            "arguments": {"x-max-length": 5},
        }],
        "exchanges": [{
            "name": "e", "vhost": vhost, "type": "topic", "durable": true, "auto_delete": false,
            "internal": false, "arguments": {},
        }],
        "bindings": [{
            "source": "e", "vhost": vhost, "destination": "q", "destination_type": "queue",
            "routing_key": "a.#", "arguments": {},
        }],
    })
}

/// What is left of a list of definitions with that field.
fn of(all: &Value, kind: &str, key: &str, value: &str) -> Vec<Value> {
    let list = all[kind].as_array().expect(kind);
    let those = list.iter().filter(|one| one[key] == value);
    those.cloned().collect()
}

#[test]
fn definitions_make_what_they_say() {
    let Some((broker, http)) = site() else { return };
    let (vhost, user) = (unique("defined"), unique("user"));
    let document = definitions(&vhost, &user);
    let answer = http.send("POST", "/definitions", &document.to_string());
    assert_eq!(answer.status, 204, "{answer:?}");

    let all = http.get("/definitions");
    for kind in [
        "topic_permissions",
        "policies",
        "queues",
        "exchanges",
        "bindings",
    ] {
        assert_eq!(
            of(&all, kind, "vhost", &vhost),
            document[kind].as_array().expect("a list")[..]
        );
    }
    // Who makes a vhost may use it.
    let permissions = of(&all, "permissions", "vhost", &vhost);
    assert_eq!(permissions.len(), 2);
    assert!(
        permissions.contains(&document["permissions"][0]),
        "{permissions:?}"
    );
    let parameters = of(&all, "parameters", "vhost", &vhost);
    assert_eq!(parameters[0]["value"], json!({"max-queues": 2}));
    assert_eq!(of(&all, "users", "name", &user)[0]["password_hash"], HASH);
    assert_eq!(of(&all, "vhosts", "name", &vhost).len(), 1);
    let global = format!("of-{vhost}");
    assert_eq!(
        of(&all, "global_parameters", "name", &global)[0]["value"],
        "x"
    );

    let login = Login {
        user: user.clone(),
        password: "test12".into(),
        vhost: vhost.clone(),
        ..Login::default()
    };
    let mut client = login.open(broker.address());
    client.open_channel(1);
    for body in ["1", "2"] {
        client.publish("e", "a.b", body);
    }
    client.await_ready("q", 1);
    assert_eq!(client.take_all("q"), ["2"]);

    // Once more changes nothing.
    let answer = http.send("POST", "/definitions", &document.to_string());
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(http.delete(&format!("/vhosts/{vhost}")), 204);
    assert_eq!(http.delete(&format!("/users/{user}")), 204);
    assert_eq!(http.delete(&format!("/global-parameters/{global}")), 204);
}

#[test]
fn definitions_of_a_vhost_do_not_name_it() {
    let Some((_, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let path = format!("/definitions/{}", vhost.name);
    let mut document = definitions("", "");
    for kind in ["policies", "parameters", "queues", "exchanges", "bindings"] {
        for one in document[kind].as_array_mut().expect("a list") {
            one.as_object_mut().expect("an object").remove("vhost");
        }
    }
    for kind in [
        "users",
        "vhosts",
        "permissions",
        "topic_permissions",
        "global_parameters",
    ] {
        document.as_object_mut().expect("an object").remove(kind);
    }
    let answer = http.send("POST", &path, &document.to_string());
    assert_eq!(answer.status, 204, "{answer:?}");
    let all = http.get(&path);
    for kind in ["queues", "exchanges", "bindings"] {
        assert_eq!(all[kind], document[kind]);
    }
    assert_eq!(all["policies"][0]["definition"], json!({"max-length": 1}));
    assert_eq!(http.send("POST", "/definitions/nowhere", "{}").status, 404);
    assert_eq!(http.send("GET", "/definitions/nowhere", "").status, 400);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let Some((_, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let refused = |body: Value, reason: Value| {
        let answer = http.send("POST", "/definitions", &body.to_string());
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert_eq!(answer.body["reason"], reason, "{body}");
    };
    let answer = http.send("POST", "/definitions", "x");
    assert_eq!(answer.body["reason"], "failed_to_parse_json");
    refused(
        json!({"queues": [{"name": "q", "vhost": "nowhere", "durable": true}]}),
        json!(["no_such_vhost", "nowhere"]),
    );
    refused(
        json!({"permissions": [{
            "user": "nobody", "vhost": "/", "configure": "", "write": "", "read": "",
        }]}),
        json!(["no_such_user", "nobody"]),
    );
    refused(json!({"users": [{"name": "u"}]}), json!("tags_not_present"));
    refused(
        json!({"policies": [{
            "name": "p", "vhost": vhost.name, "pattern": "a", "definition": {"foo": 1},
        }]}),
        json!(format!(
            "Validation failed\n\n[{{&lt;&lt;\"foo\"&gt;&gt;,1}}] are not recognised policy \
             settings\n ({}/p)",
            vhost.name
        )),
    );
    refused(
        json!({"parameters": [{
            "name": "n", "vhost": vhost.name, "component": "foo", "value": {"a": 1},
        }]}),
        json!(format!(
            "Validation failed\n\ncomponent foo not found\n ({}/foo/n)",
            vhost.name
        )),
    );
}

#[test]
fn definitions_are_loaded_at_start() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let document = definitions("loaded", "loader");
    std::fs::write(file.path(), document.to_string()).expect("written");
    let setup = || Setup::default().arg("--definitions", file.path());
    let Some(broker) = setup().start() else {
        return;
    };
    let check = |broker: &Broker| {
        let http = broker
            .management()
            .expect("it listens")
            .login("loader", "test12");
        assert_eq!(http.get("/definitions/loaded")["queues"][0]["name"], "q");
        let login = Login {
            user: "loader".into(),
            password: "test12".into(),
            vhost: "loaded".into(),
            ..Login::default()
        };
        drop(login.open(broker.address()));
    };
    check(&broker);
    let broker = setup()
        .on(broker.stop())
        .start()
        .expect("a Warren of our own");
    check(&broker);
}

#[test]
fn a_broker_does_not_start_with_definitions_that_it_does_not_understand() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    for (text, why) in [
        ("[]", "no definitions"),
        (
            r#"{"queues": [{"name": "q", "vhost": "nowhere"}]}"#,
            "no_such_vhost",
        ),
    ] {
        std::fs::write(file.path(), text).expect("written");
        let data = tempfile::tempdir().expect("a temporary folder");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_warren"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--management",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(data.path())
            .arg("--definitions")
            .arg(file.path())
            .env_remove("WARREN_TEST_URL")
            .env_remove("WARREN_TEST_MANAGEMENT")
            .output()
            .expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{error}");
        assert!(error.contains(why), "{error}");
    }
}
