//! Limits of vhosts and users, and what happens at them.

use std::time::Instant;

use serde_json::json;

use super::support::broker::PATIENCE;
use super::*;

#[test]
fn limits_of_a_vhost_are_set_listed_and_cleared() {
    let Some((_, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let list = format!("/vhost-limits/{}", vhost.name);
    assert_eq!(http.get(&list), json!([]));
    assert_eq!(
        http.put(&format!("{list}/max-queues"), json!({"value": 2})),
        204
    );
    assert_eq!(
        http.put(&format!("{list}/max-connections"), json!({"value": -1})),
        204
    );
    let made = json!({"vhost": vhost.name, "value": {"max-connections": -1, "max-queues": 2}});
    assert_eq!(http.get(&list), json!([made]));
    let all = http.get("/vhost-limits");
    assert!(all.as_array().expect("a list").contains(&made), "{all}");
    let parameter = format!("/parameters/vhost-limits/{}/limits", vhost.name);
    assert_eq!(http.get(&parameter)["value"], made["value"]);
    http.refused(
        &format!("{list}/max-foo"),
        json!({"value": 0}),
        "Validation failed\n\nUnrecognised terms [{<<\"max-foo\">>,0}] in limits\n",
    );
    http.refused(
        &format!("{list}/max-queues"),
        json!({"value": "x"}),
        "Validation failed\n\nmax-queues should be a number, actually was <<\"x\">>\n",
    );
    http.refused(
        &format!("{list}/max-queues"),
        json!({}),
        "[{key_missing,value}]",
    );
    assert_eq!(
        http.put("/vhost-limits/nowhere/max-queues", json!({"value": 1})),
        404
    );
    assert_eq!(http.send("GET", "/vhost-limits/nowhere", "").status, 404);
    assert_eq!(http.delete(&format!("{list}/max-queues")), 204);
    let left = json!({"vhost": vhost.name, "value": {"max-connections": -1}});
    assert_eq!(http.get(&list), json!([left]));
}

#[test]
fn a_vhost_has_no_more_queues_than_it_may_have() {
    let Some((broker, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let limit = format!("/vhost-limits/{}/max-queues", vhost.name);
    let mut client = vhost.client(broker);
    client.call(method!("queue.declare", queue: "1"));
    assert_eq!(http.put(&limit, json!({"value": 1})), 204);
    client.call(method!("queue.declare", queue: "1"));
    let text = format!(
        "PRECONDITION_FAILED - cannot declare queue '2': queue limit in vhost '{}' (1) is reached",
        vhost.name
    );
    client.refused(method!("queue.declare", queue: "2"), 406, &text);
    assert_eq!(http.delete(&limit), 204);
    client.call(method!("queue.declare", queue: "2"));
}

#[test]
fn a_vhost_has_no_more_connections_than_it_may_have() {
    let Some((broker, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let limit = format!("/vhost-limits/{}/max-connections", vhost.name);
    assert_eq!(http.put(&limit, json!({"value": 1})), 204);
    let first = vhost.client(broker);
    let login = Login {
        vhost: vhost.name.clone(),
        ..Login::default()
    };
    let mut second = broker.stranger();
    login.tuned(&mut second);
    second
        .on(0)
        .send(method!("connection.open", virtual_host: &vhost.name));
    let text = format!(
        "NOT_ALLOWED - access to vhost '{}' refused for user 'guest': connection limit (1) is \
         reached",
        vhost.name
    );
    let close = second.on(0).expect_name("connection.close");
    assert_eq!(
        (close.number("reply-code"), close.text("reply-text")),
        (530, text)
    );
    drop(first);
    // It takes its moment until the first one is gone.
    support::broker::eventually("room", || {
        let mut third = broker.stranger();
        login.tuned(&mut third);
        third
            .on(0)
            .send(method!("connection.open", virtual_host: &vhost.name));
        third.on(0).receive().name == "connection.open-ok"
    });
}

#[test]
fn a_user_has_no_more_connections_than_it_may_have() {
    let Some((broker, http)) = site() else { return };
    let user = Person::new(&http, "");
    user.may("/", ".*");
    let limit = format!("/user-limits/{}/max-connections", user.name);
    assert_eq!(http.put(&limit, json!({"value": 0})), 204);
    let mut client = broker.stranger();
    user.login().tuned(&mut client);
    client
        .on(0)
        .send(method!("connection.open", virtual_host: "/"));
    let text = format!(
        "NOT_ALLOWED - connection refused for user '{}': user connection limit (0) is reached",
        user.name
    );
    let close = client.on(0).expect_name("connection.close");
    assert_eq!(
        (close.number("reply-code"), close.text("reply-text")),
        (530, text)
    );
    assert_eq!(http.delete(&limit), 204);
    user.login().open(broker.address());
}

#[test]
fn a_user_has_no_more_channels_than_it_may_have() {
    let Some((broker, http)) = site() else { return };
    let user = Person::new(&http, "");
    user.may("/", ".*");
    let limits = format!("/user-limits/{}", user.name);
    assert_eq!(
        http.put(&format!("{limits}/max-channels"), json!({"value": 1})),
        204
    );
    let made = json!({"user": user.name, "value": {"max-channels": 1}});
    assert_eq!(http.get(&limits), json!([made]));
    let all = http.get("/user-limits");
    assert!(all.as_array().expect("a list").contains(&made), "{all}");
    let mut client = user.login().open(broker.address());
    client.open_channel(1);
    client.call(method!("queue.declare", exclusive: true));
    support::broker::eventually("counted", || {
        let mut other = user.login().open(broker.address());
        other.on(1).send(method!("channel.open"));
        let deadline = Instant::now() + PATIENCE;
        let frame = other.raw_frame(deadline).expect("an answer");
        let reply = Method::decode(&frame.payload);
        if reply.name == "channel.open-ok" {
            return false;
        }
        let text = format!(
            "NOT_ALLOWED - number of channels opened for user '{}' has reached the maximum allowed \
             user limit of (1)",
            user.name
        );
        assert_eq!(
            (reply.number("reply-code"), reply.text("reply-text")),
            (530, text)
        );
        true
    });
}

#[test]
fn limits_of_a_user_that_make_no_sense_are_refused() {
    let Some((_, http)) = site() else { return };
    let user = Person::new(&http, "");
    let limits = format!("/user-limits/{}", user.name);
    http.refused(
        &format!("{limits}/max-foo"),
        json!({"value": 5}),
        "Unrecognised terms [{<<\"max-foo\">>,5}] in user-limits",
    );
    http.refused(
        &format!("{limits}/max-channels"),
        json!({"value": "x"}),
        "max-channels should be a number, actually was <<\"x\">>",
    );
    http.refused(
        "/user-limits/nobody/max-channels",
        json!({"value": 5}),
        json!(["no_such_user", "nobody"]),
    );
    assert_eq!(http.send("GET", "/user-limits/nobody", "").status, 404);
    assert_eq!(http.get(&limits), json!([]));
}
