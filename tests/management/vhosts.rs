//! `/api/vhosts`, and what a vhost's deletion does.

use serde_json::json;

use super::*;

#[test]
fn a_vhost_is_made_described_and_deleted() {
    let Some((_, http)) = site() else { return };
    let name = unique("vhost");
    let path = format!("/vhosts/{name}");
    assert_eq!(http.send("PUT", &path, "").status, 201);
    let document = json!({"description": "for tests", "tags": "a, b"});
    assert_eq!(http.put(&path, document), 204);
    let made = http.get(&path);
    assert_eq!(made["name"], name);
    assert_eq!(made["description"], "for tests");
    assert_eq!(made["tags"], json!(["a", "b"]));
    assert_eq!(made["default_queue_type"], "undefined");
    assert_eq!(made["tracing"], false);
    assert_eq!(
        made["metadata"],
        json!({"description": "for tests", "tags": ["a", "b"]})
    );
    let all = http.get("/vhosts?columns=name&sort=name");
    assert!(
        all.as_array()
            .expect("a list")
            .contains(&json!({"name": name})),
        "{all}"
    );
    // Who made it may use it.
    let permissions = http.get(&format!("{path}/permissions"));
    assert_eq!(
        permissions,
        json!([{"vhost": name, "user": "guest", "configure": ".*", "write": ".*", "read": ".*"}])
    );
    assert_eq!(http.delete(&path), 204);
    assert_eq!(http.delete(&path), 404);
    assert_eq!(http.send("GET", &path, "").status, 404);
}

#[test]
fn nonsense_is_refused() {
    let Some((_, http)) = site() else { return };
    let path = format!("/vhosts/{}", unique("vhost"));
    http.refused(
        &path,
        json!({"tracing": "maybe"}),
        json!(["not_boolean", "maybe"]),
    );
    assert_eq!(http.send("PUT", &path, "x").body["reason"], "not_json");
    assert_eq!(http.send("GET", &path, "").status, 404);
}

#[test]
fn its_default_queue_type_is_that_of_queues_without_one() {
    let Some((broker, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let name = unique("vhost");
    let path = format!("/vhosts/{name}");
    assert_eq!(http.put(&path, json!({"defaultqueuetype": "quorum"})), 201);
    assert_eq!(http.get(&path)["default_queue_type"], "quorum");
    let quorum = Vhost {
        http: http.clone(),
        name,
    };
    let declare = |durable: bool, arguments: Table| method!("queue.declare", queue: "q", durable: durable, arguments: arguments);
    let mut client = quorum.client(broker);
    client.call(declare(true, table! {}));
    client.call(declare(true, table! { "x-queue-type" => "quorum" }));
    client.call(method!("queue.declare", queue: "t", exclusive: true));
    let text = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost";
    client.send(declare(true, table! { "x-queue-type" => "classic" }));
    let closed = client.receive();
    assert!(closed.text("reply-text").starts_with(text), "{closed:?}");

    let mut client = vhost.client(broker);
    client.call(declare(true, table! {}));
    client.call(declare(true, table! { "x-queue-type" => "classic" }));
}

#[test]
fn its_deletion_closes_its_connections() {
    let Some((broker, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let mut inside = vhost.client(broker);
    let mut outside = broker.client();
    inside.call(method!("queue.declare", queue: "q"));
    assert_eq!(http.delete(&format!("/vhosts/{}", vhost.name)), 204);
    let close = inside.on(0).expect_name("connection.close");
    assert_eq!(close.number("reply-code"), 320);
    let text = format!("CONNECTION_FORCED - vhost '{}' is deleted", vhost.name);
    assert_eq!(close.text("reply-text"), text);
    outside.call(method!("queue.declare", exclusive: true));
    // It is another one that comes under its name.
    assert_eq!(http.put(&format!("/vhosts/{}", vhost.name), json!({})), 201);
    let mut again = vhost.client(broker);
    again.send(method!("queue.declare", queue: "q", passive: true));
    let closed = again.receive();
    assert_eq!(closed.number("reply-code"), 404, "{closed:?}");
}
