//! `/api/parameters` and `/api/global-parameters`.

use serde_json::json;

use super::*;

#[test]
fn policies_are_parameters_that_are_set_their_own_way() {
    let Some((_, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let policy = json!({"pattern": "a", "definition": {"max-length": 1}});
    let path = format!("/policies/{}/p", vhost.name);
    assert_eq!(http.put(&path, policy), 201);
    let value = json!({
        "pattern": "a", "definition": {"max-length": 1}, "priority": 0, "apply-to": "all",
    });
    let made = json!({
        "value": value, "vhost": vhost.name, "component": "policy", "name": "p",
    });
    let list = format!("/parameters/policy/{}", vhost.name);
    assert_eq!(http.get(&list), json!([made]));
    assert_eq!(http.get(&format!("{list}/p")), made);
    let all = http.get("/parameters");
    assert!(!all.as_array().expect("a list").contains(&made), "{all}");
    let reason = "policies may not be set using this method";
    http.refused(&format!("{list}/x"), json!({"value": {}}), reason);
}

#[test]
fn a_component_that_is_not_there_is_refused() {
    let Some((_, http)) = site() else { return };
    http.refused(
        "/parameters/nothing/%2F/x",
        json!({"value": {"a": 1}}),
        "Validation failed\n\ncomponent nothing not found\n",
    );
    http.refused(
        "/parameters/operator_policy/%2F/x",
        json!({"value": {"pattern": "a"}}),
        "Validation failed\n\nKey \"definition\" not found in x\nKey \"priority\" not found in x\n",
    );
    http.refused(
        "/parameters/nothing/%2F/x",
        json!({}),
        "[{key_missing,value}]",
    );
    assert_eq!(
        http.put("/parameters/nothing/nowhere/x", json!({"value": 1})),
        404
    );
    assert_eq!(
        http.send("GET", "/parameters/policy/nowhere", "").status,
        404
    );
}

#[test]
fn global_parameters_are_any_json() {
    let Some((_, http)) = site() else { return };
    let name = unique("global");
    let path = format!("/global-parameters/{name}");
    assert_eq!(http.put(&path, json!({"value": {"a": [1, "b"]}})), 201);
    assert_eq!(http.put(&path, json!({"value": "text"})), 204);
    let made = json!({"name": name, "value": "text"});
    assert_eq!(http.get(&path), made);
    let all = http.get("/global-parameters");
    assert!(all.as_array().expect("a list").contains(&made), "{all}");
    http.refused(&path, json!({}), "[{key_missing,value}]");
    assert_eq!(http.delete(&path), 204);
    assert_eq!(http.delete(&path), 404);
}
