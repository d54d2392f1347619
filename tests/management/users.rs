//! `/api/users`, permissions, and what changes for who is logged in.

use serde_json::json;

use super::*;

/// RabbitMQ's documentation of password hashes has it; of `test12`.
const HASH: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

#[test]
fn a_user_is_made_changed_and_deleted() {
    let Some((broker, http)) = site() else { return };
    let name = unique("user");
    let path = format!("/users/{name}");
    let document = json!({"password_hash": HASH, "tags": "monitoring, administrator"});
    assert_eq!(http.put(&path, document), 201);
    let made = json!({
        "name": name, "password_hash": HASH,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["monitoring", "administrator"], "limits": {},
    });
    assert_eq!(http.get(&path), made);
    let all = http.get("/users");
    assert!(all.as_array().expect("a list").contains(&made), "{all}");
    let without = http.get("/users/without-permissions");
    assert!(
        without.as_array().expect("a list").contains(&made),
        "{without}"
    );
    let who = http.login(&name, "test12").get("/whoami");
    assert_eq!(
        who,
        json!({"name": name, "tags": ["monitoring", "administrator"]})
    );

    let document = json!({"password": "new", "tags": ["policymaker", "foo"]});
    assert_eq!(http.put(&path, document), 204);
    assert_eq!(http.get(&path)["tags"], json!(["policymaker", "foo"]));
    assert_eq!(
        http.login(&name, "test12")
            .send("GET", "/whoami", "")
            .status,
        401
    );
    assert_eq!(
        http.login(&name, "new").send("GET", "/whoami", "").status,
        200
    );

    let permissions = format!("/permissions/%2F/{name}");
    let document = json!({"configure": "a", "write": "b", "read": "c"});
    assert_eq!(http.put(&permissions, document.clone()), 201);
    assert_eq!(http.put(&permissions, document), 204);
    let permission =
        json!({"user": name, "vhost": "/", "configure": "a", "write": "b", "read": "c"});
    assert_eq!(http.get(&permissions), permission);
    assert_eq!(
        http.get(&format!("{path}/permissions")),
        json!([permission])
    );
    let all = http.get("/permissions");
    assert!(
        all.as_array().expect("a list").contains(&permission),
        "{all}"
    );
    let login = Login {
        user: name.clone(),
        password: "new".into(),
        ..Login::default()
    };
    drop(login.open(broker.address()));
    assert_eq!(http.delete(&permissions), 204);
    assert_eq!(http.delete(&permissions), 404);
    assert_eq!(http.delete(&path), 204);
    assert_eq!(http.delete(&path), 404);
}

#[test]
fn what_is_no_user_is_refused() {
    let Some((_, http)) = site() else { return };
    let path = format!("/users/{}", unique("user"));
    http.refused(&path, json!({"password": "a"}), "tags_not_present");
    http.refused(
        &path,
        json!({"password": "a", "password_hash": HASH, "tags": ""}),
        "both_password_and_password_hash_are_provided",
    );
    http.refused(
        &path,
        json!({"password_hash": "!!", "tags": ""}),
        json!(["not_base64", "!!"]),
    );
    assert_eq!(http.send("GET", &path, "").status, 404);
    assert_eq!(
        http.send("GET", &format!("{path}/permissions"), "").status,
        404
    );
    http.refused(
        "/permissions/%2F/nobody",
        json!({"configure": "", "write": "", "read": ""}),
        "vhost_or_user_not_found",
    );
    http.refused(
        "/permissions/nowhere/guest",
        json!({"configure": "", "write": "", "read": ""}),
        "vhost_or_user_not_found",
    );
    let user = Person::new(&http, "");
    http.refused(
        &format!("/permissions/%2F/{}", user.name),
        json!({"write": "", "read": ""}),
        "[{key_missing,configure}]",
    );
    let answer = http.send(
        "PUT",
        &format!("/permissions/%2F/{}", user.name),
        r#"{"configure": "(", "write": "", "read": ""}"#,
    );
    assert_eq!(
        (answer.status, &answer.body["reason"][0]),
        (400, &json!("invalid_regexp"))
    );
}

#[test]
fn permissions_change_for_who_is_logged_in() {
    let Some((broker, http)) = site() else { return };
    if !broker.is_warren() {
        return skip("there a channel keeps what it has looked up, for as long as it is busy");
    }
    let user = Person::new(&http, "");
    user.may("/", ".*");
    let mut client = user.login().open(broker.address());
    client.open_channel(1);
    let queue = client.queue();
    client.publish("", &queue, "x");
    client.await_ready(&queue, 1);
    user.may("/", "^nothing$");
    let text = format!(
        "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user '{}'",
        user.name
    );
    client.publish("", &queue, "y");
    client.expect_close(403, &text, "basic.publish");
    user.may("/", ".*");
    client.open_channel(1);
    client.publish("", &queue, "z");
    client.await_ready(&queue, 2);
}

#[test]
fn the_deletion_of_a_user_closes_its_connections() {
    let Some((broker, http)) = site() else { return };
    let user = Person::new(&http, "");
    user.may("/", ".*");
    let mut client = user.login().open(broker.address());
    client.open_channel(1);
    client.call(method!("queue.declare", exclusive: true));
    assert_eq!(http.delete(&format!("/users/{}", user.name)), 204);
    let close = client.on(0).expect_name("connection.close");
    let text = format!("CONNECTION_FORCED - user '{}' is deleted", user.name);
    assert_eq!(
        (close.number("reply-code"), close.text("reply-text")),
        (320, text)
    );
}

#[test]
fn topic_permissions_say_which_keys_may_be_used() {
    let Some((broker, http)) = site() else { return };
    let user = Person::new(&http, "");
    user.may("/", ".*");
    let exchange = unique("topic");
    let path = format!("/topic-permissions/%2F/{}", user.name);
    let document = json!({"exchange": exchange, "write": "^{username}\\.", "read": "^a"});
    assert_eq!(http.put(&path, document), 201);
    let made = json!({
        "user": user.name, "vhost": "/", "exchange": exchange, "write": "^{username}\\.",
        "read": "^a",
    });
    assert_eq!(http.get(&path), json!([made]));
    assert_eq!(
        http.get(&format!("/users/{}/topic-permissions", user.name)),
        json!([made])
    );
    let mut client = user.login().open(broker.address());
    client.open_channel(1);
    client.call(method!("exchange.declare", exchange: &exchange, type: "topic", auto_delete: true));
    let queue = client.queue();
    client.bind(&queue, &exchange, "a.#");
    client.publish(&exchange, &format!("{}.x", user.name), "fine");
    let refused = |key: &str| {
        format!(
            "ACCESS_REFUSED - access to topic '{key}' in exchange '{exchange}' in vhost '/' refused \
             for user '{}'",
            user.name
        )
    };
    client.publish(&exchange, "a.x", "not fine");
    client.expect_close(403, &refused("a.x"), "basic.publish");
    client.open_channel(1);
    client.refused(
        method!("queue.bind", queue: &queue, exchange: &exchange, routing_key: "b"),
        403,
        &refused("b"),
    );
    let other = client.exchange("fanout");
    client.refused(
        method!("exchange.bind", destination: &other, source: &exchange, routing_key: "b"),
        403,
        &refused("b"),
    );
    assert_eq!(http.delete(&format!("{path}/{exchange}")), 204);
    assert_eq!(http.send("GET", &path, "").status, 404);
}

#[test]
fn many_are_deleted_at_once() {
    let Some((_, http)) = site() else { return };
    let (one, other) = (Person::new(&http, ""), Person::new(&http, ""));
    let body = json!({"users": [one.name, other.name]}).to_string();
    assert_eq!(http.send("POST", "/users/bulk-delete", &body).status, 204);
    assert_eq!(
        http.send("GET", &format!("/users/{}", one.name), "").status,
        404
    );
    let body = json!({"users": ["nobody"]}).to_string();
    let answer = http.send("POST", "/users/bulk-delete", &body);
    assert_eq!(answer.body["reason"], json!(["no_such_user", "nobody"]));
}
