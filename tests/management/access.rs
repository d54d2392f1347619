//! Who may see what: users' tags, and the vhosts that they may enter.

use serde_json::json;

use super::*;

#[test]
fn nobody_comes_in_without_a_password() {
    let Some((_, http)) = site() else { return };
    let answer = http.raw(b"GET /api/whoami HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let head = answer.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 401"), "{answer}");
    assert!(head.contains("www-authenticate: basic realm="), "{answer}");
    let wrong = http.login("guest", "wrong").send("GET", "/whoami", "");
    assert_eq!(wrong.status, 401);
    assert_eq!(
        wrong.body,
        json!({"error": "not_authorized", "reason": "Login failed"})
    );
}

#[test]
fn tags_say_what_is_for_whom() {
    let Some((_, http)) = site() else { return };
    let refused = |http: &Http, method: &str, path: &str, reason: &str| {
        let body = r#"{"pattern": "a", "definition": {"max-length": 1}, "value": 1, "tags": ""}"#;
        let answer = http.send(method, path, body);
        assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
        let body = json!({"error": "not_authorised", "reason": reason});
        assert_eq!(answer.body, body, "{method} {path}");
    };
    let nobody = Person::new(&http, "");
    refused(&nobody.api(), "GET", "/whoami", "Not management user");

    let manager = Person::new(&http, "management");
    let api = manager.api();
    assert_eq!(api.get("/vhosts"), json!([]));
    assert_eq!(api.get("/policies"), json!([]));
    refused(&api, "GET", "/users", "Not administrator user");
    refused(
        &api,
        "GET",
        "/policies/%2F",
        "User not authorised to access virtual host",
    );
    refused(
        &api,
        "GET",
        "/parameters",
        "User not authorised to access object",
    );
    refused(
        &api,
        "GET",
        "/global-parameters",
        "User not authorised to access object",
    );
    refused(
        &api,
        "PUT",
        "/policies/%2F/p",
        "User not authorised to access object",
    );
    manager.may("/", "");
    assert_eq!(api.get("/vhosts?columns=name"), json!([{"name": "/"}]));
    assert_eq!(api.send("GET", "/policies/%2F", "").status, 200);
    refused(
        &api,
        "PUT",
        "/policies/%2F/p",
        "User not authorised to access object",
    );

    let maker = Person::new(&http, "policymaker");
    let api = maker.api();
    refused(
        &api,
        "PUT",
        "/policies/%2F/p",
        "User not authorised to access object",
    );
    maker.may("/", "");
    let path = format!("/policies/%2F/{}", unique("p"));
    let policy = json!({"pattern": "^no such name$", "definition": {"max-length": 1}});
    assert_eq!(api.put(&path, policy), 201);
    assert_eq!(api.delete(&path), 204);
    assert_eq!(api.send("GET", "/global-parameters", "").status, 200);
    refused(
        &api,
        "PUT",
        "/operator-policies/%2F/p",
        "Not administrator user",
    );
    refused(&api, "PUT", "/vhosts/x", "Not administrator user");
    refused(
        &api,
        "PUT",
        "/vhost-limits/%2F/max-queues",
        "Not administrator user",
    );
    refused(&api, "GET", "/definitions", "Not administrator user");
    refused(&api, "PUT", "/users/x", "Not administrator user");

    let monitor = Person::new(&http, "monitoring");
    let vhosts = monitor.api().get("/vhosts?columns=name");
    assert!(
        vhosts
            .as_array()
            .expect("a list")
            .contains(&json!({"name": "/"}))
    );
    refused(
        &monitor.api(),
        "GET",
        "/permissions",
        "Not administrator user",
    );
}
