//! Users, and what they may do, change.

use super::*;

/// What is told of a user by its name alone.
fn of(name: &str) -> Table {
    table! { "user_who_performed_action" => "guest", "name" => name }
}

fn tags(name: &str, tags: &[&str]) -> Table {
    table! { "user_who_performed_action" => "guest", "tags" => terms(tags), "name" => name }
}

fn limits(user: &str, limits: Table) -> Table {
    let mut says = limits;
    let rest = table! {
        "username" => user, "user_who_performed_action" => "guest", "name" => "limits",
    };
    says.0.extend(rest.0);
    says
}

#[test]
fn users_are_made_changed_and_deleted() {
    let own = own();
    let broker = site(&own);
    let Some(http) = broker.management() else {
        return;
    };
    let mut listener = listener(broker);
    let user = unique("user");
    let path = format!("/users/{user}");
    let document =
        json!({"tags": "administrator,x", "password": "p", "limits": {"max-connections": 3}});
    assert_eq!(http.put(&path, document), 201);
    expect_all(&mut listener, "user.created", of(&user));
    expect_all(
        &mut listener,
        "user.tags.set",
        tags(&user, &["administrator", "x"]),
    );
    let most = table! { "max-connections" => 3_i64 };
    expect_all(&mut listener, "user.limits.set", limits(&user, most));

    assert_eq!(http.put(&path, json!({"tags": "", "password": "q"})), 204);
    expect_all(&mut listener, "user.password.changed", of(&user));
    expect_all(&mut listener, "user.tags.set", tags(&user, &[]));

    assert_eq!(http.put(&path, json!({"tags": "monitoring"})), 204);
    expect_all(&mut listener, "user.tags.set", tags(&user, &["monitoring"]));
    expect_all(&mut listener, "user.password.cleared", of(&user));

    let limit = format!("/user-limits/{user}/max-channels");
    assert_eq!(http.put(&limit, json!({"value": 6})), 204);
    let most = table! { "max-channels" => 6_i64 };
    expect_all(&mut listener, "user.limits.set", limits(&user, most));
    assert_eq!(http.delete(&limit), 204);
    expect_all(
        &mut listener,
        "user.limits.cleared",
        limits(&user, Table::default()),
    );

    assert_eq!(http.delete(&path), 204);
    expect_all(&mut listener, "user.deleted", of(&user));
}

#[test]
fn permissions_are_given_and_taken() {
    let own = own();
    let broker = site(&own);
    let Some(http) = broker.management() else {
        return;
    };
    let mut listener = listener(broker);
    let user = unique("user");
    assert_eq!(
        http.put(&format!("/users/{user}"), json!({"tags": ""})),
        201
    );
    let gone =
        || table! { "user_who_performed_action" => "guest", "vhost" => "/", "user" => &user };
    let path = format!("/permissions/%2F/{user}");
    let document = json!({"configure": "c", "write": "w", "read": "r"});
    assert_eq!(http.put(&path, document), 201);
    let given = table! {
        "user_who_performed_action" => "guest", "read" => "r", "write" => "w", "configure" => "c",
        "vhost" => "/", "user" => &user,
    };
    expect_all(&mut listener, "permission.created", given);
    assert_eq!(http.delete(&path), 204);
    expect_all(&mut listener, "permission.deleted", gone());

    let path = format!("/topic-permissions/%2F/{user}");
    let document = json!({"exchange": "amq.topic", "write": "w", "read": "r"});
    let given = table! {
        "user_who_performed_action" => "guest", "read" => "r", "write" => "w",
        "exchange" => "amq.topic", "vhost" => "/", "user" => &user,
    };
    assert_eq!(http.put(&path, document.clone()), 201);
    expect_all(&mut listener, "topic.permission.created", given.clone());
    assert_eq!(http.delete(&path), 204);
    expect_all(&mut listener, "topic.permission.deleted", gone());
    assert_eq!(http.put(&path, document), 201);
    expect_all(&mut listener, "topic.permission.created", given);
    // That of one exchange goes as RabbitMQ tells of it, under the other name.
    assert_eq!(http.delete(&format!("{path}/amq.topic")), 204);
    expect_all(&mut listener, "permission.deleted", gone());
    assert_eq!(http.delete(&format!("/users/{user}")), 204);
}
