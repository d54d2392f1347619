//! `/api/policies` and `/api/operator-policies`.

use serde_json::{Value, json};

use super::*;

pub(super) fn invalid(what: &str) -> String {
    format!("Validation failed\n\n{what}\n")
}

#[test]
fn a_policy_is_made_changed_listed_and_deleted() {
    let Some((_, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let (list, path) = (
        format!("/policies/{}", vhost.name),
        format!("/policies/{}/p%2F1", vhost.name),
    );
    let document = json!({
        "pattern": "^p\\.", "definition": {"message-ttl": 100}, "priority": 3, "apply-to": "queues",
    });
    assert_eq!(http.put(&path, document), 201);
    let made = json!({
        "vhost": vhost.name, "name": "p/1", "pattern": "^p\\.", "apply-to": "queues",
        "definition": {"message-ttl": 100}, "priority": 3,
    });
    assert_eq!(http.get(&path), made);
    assert_eq!(http.get(&list), json!([made]));
    let document = json!({"pattern": "^p", "definition": {"max-length": 5}});
    assert_eq!(http.put(&path, document), 204);
    let changed = json!({
        "vhost": vhost.name, "name": "p/1", "pattern": "^p", "apply-to": "all",
        "definition": {"max-length": 5}, "priority": 0,
    });
    assert_eq!(http.get(&path), changed);
    let all = http.get("/policies");
    assert!(all.as_array().expect("a list").contains(&changed), "{all}");
    assert_eq!(http.delete(&path), 204);
    assert_eq!(http.delete(&path), 404);
    assert_eq!(http.get(&list), json!([]));
    assert_eq!(http.send("GET", &path, "").status, 404);
    assert_eq!(http.send("GET", "/policies/nowhere", "").status, 404);
}

#[test]
fn what_is_no_policy_is_refused() {
    let Some((_, http)) = site() else { return };
    let path = format!("/policies/%2F/{}", unique("refused"));
    let refused = |body: Value, reason: &str| http.refused(&path, body, reason);
    refused(json!({"pattern": "a"}), "[{key_missing,definition}]");
    refused(
        json!({}),
        "[{key_missing,pattern},{key_missing,definition}]",
    );
    let answer = http.send("PUT", &path, "not json");
    assert_eq!(answer.body["reason"], "not_json");
    let answer = http.send("PUT", &path, "\"text\"");
    let reason = "invalid payload: the request body JSON-decoded to a string. Is the input \
                  doubly-JSON-encoded?";
    assert_eq!(answer.body["reason"], reason);

    let with = |definition: Value| json!({"pattern": "a", "definition": definition});
    for (definition, what) in [
        (json!({}), "no policy provided"),
        (
            json!({"message-ttl": "x"}),
            "&lt;&lt;\"x\"&gt;&gt; is not a valid message TTL",
        ),
        (json!({"message-ttl": -1}), "-1 is not a valid message TTL"),
        (
            json!({"message-ttl": 1.5}),
            "1.5 is not a valid message TTL",
        ),
        (json!({"expires": 0}), "0 is not a valid queue expiry"),
        (
            json!({"max-length": true}),
            "true is not a valid maximum length",
        ),
        (
            json!({"max-length-bytes": null}),
            "null is not a valid maximum length in bytes",
        ),
        (
            json!({"dead-letter-exchange": 1}),
            "1 is not a valid dead letter exchange name",
        ),
        (
            json!({"dead-letter-routing-key": 1}),
            "1 is not a valid dead letter routing key",
        ),
        (
            json!({"alternate-exchange": 1}),
            "1 is not a valid alternate exchange name",
        ),
        (
            json!({"max-age": "1x"}),
            "&lt;&lt;\"1x\"&gt;&gt; is not a valid max age",
        ),
        (
            json!({"queue-mode": {"a": 1}}),
            "#{&lt;&lt;\"a\"&gt;&gt; =&gt; 1} is not a valid queue-mode value",
        ),
        (
            json!({"queue-version": 3}),
            "3 is not a valid queue-version value",
        ),
        (
            json!({"overflow": "x<y>&"}),
            "&lt;&lt;\"x&lt;y&gt;&amp;\"&gt;&gt; is not a valid overflow value",
        ),
        (
            json!({"delivery-limit": "a"}),
            "&lt;&lt;\"a\"&gt;&gt; is not a valid delivery limit",
        ),
        (
            json!({"foo": 1}),
            "[{&lt;&lt;\"foo\"&gt;&gt;,1}] are not recognised policy settings",
        ),
        (
            json!({"max-priority": 1}),
            "[{&lt;&lt;\"max-priority\"&gt;&gt;,1}] are not recognised policy settings",
        ),
    ] {
        refused(with(definition), &invalid(what));
    }
    refused(
        json!({"pattern": 1, "definition": {"max-length": 1}}),
        &invalid("pattern should be a binary but was 1"),
    );
    refused(
        json!({"pattern": "a", "definition": {"max-length": -1}, "priority": "high"}),
        &invalid(
            "-1 is not a valid maximum length\npriority should be a number, actually was \
             &lt;&lt;\"high\"&gt;&gt;",
        ),
    );
    // The reason has the words of our own regular expressions.
    let answer = http.send(
        "PUT",
        &path,
        r#"{"pattern": "(", "definition": {"max-length": 1}}"#,
    );
    let reason = answer.body["reason"].as_str().expect("text").to_string();
    assert_eq!(answer.status, 400);
    let start = "Validation failed\n\npattern should be regular expression but is invalid: ";
    assert!(reason.starts_with(start), "{reason}");
    assert_eq!(http.send("GET", &path, "").status, 404);

    let nowhere = http.send(
        "PUT",
        "/policies/nowhere/p",
        &with(json!({"max-length": 1})).to_string(),
    );
    assert_eq!(nowhere.status, 404);
    assert_eq!(
        nowhere.body,
        json!({"error": "not_found", "reason": "vhost_not_found"})
    );
}

#[test]
fn operator_policies_have_fewer_keys() {
    let Some((_, http)) = site() else { return };
    let vhost = Vhost::new(&http);
    let path = format!("/operator-policies/{}/p", vhost.name);
    let with = |definition: Value| json!({"pattern": "a", "definition": definition});
    http.refused(
        &path,
        with(json!({"dead-letter-exchange": "x"})),
        invalid("[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings"),
    );
    http.refused(
        &path,
        with(json!({"max-length": "y"})),
        invalid("<<\"y\">> is not a valid maximum length"),
    );
    assert_eq!(http.put(&path, with(json!({"max-length": 10}))), 201);
    if Broker::shared().is_warren() {
        // As in RabbitMQ 4.
        let locator = |place: &str| with(json!({"queue-master-locator": place}));
        let other = format!("/operator-policies/{}/q", vhost.name);
        assert_eq!(http.put(&other, locator("client-local")), 201);
        let text = "<<\"far\">> invalid queue-master-locator value";
        http.refused(&other, locator("far"), invalid(text));
        assert_eq!(http.delete(&other), 204);
    }
    let made = json!({
        "vhost": vhost.name, "name": "p", "pattern": "a", "apply-to": "all",
        "definition": {"max-length": 10}, "priority": 0,
    });
    assert_eq!(http.get(&path), made);
    let parameter = format!("/parameters/operator_policy/{}", vhost.name);
    let value = &http.get(&parameter)[0]["value"];
    assert_eq!(value["definition"], json!({"max-length": 10}));
    assert_eq!(http.delete(&path), 204);
}

#[test]
fn newer_keys_and_kinds_are_taken() {
    let Some((broker, http)) = site() else { return };
    if !broker.is_warren() {
        return skip("newer than RabbitMQ 3.10");
    }
    let vhost = Vhost::new(&http);
    let path = format!("/policies/{}/p", vhost.name);
    for definition in [
        json!({"consumer-timeout": 1000}),
        json!({"delayed-retry-type": "all", "delayed-retry-min": 5, "delayed-retry-max": 10}),
        json!({"target-group-size": 3}),
        json!({"stream-filter-size-bytes": 16}),
        json!({"delivery-limit": -1}),
    ] {
        for apply_to in ["classic_queues", "quorum_queues", "streams"] {
            let document = json!({"pattern": "a", "definition": definition, "apply-to": apply_to});
            assert!(http.put(&path, document) < 300, "{definition}");
        }
    }
    http.refused(
        &path,
        json!({"pattern": "a", "definition": {"delayed-retry-type": "all"}}),
        invalid("delayed-retry-min is required when delayed-retry-type is all"),
    );
    http.refused(
        &path,
        json!({"pattern": "a", "definition": {"max-length": 1}, "apply-to": "foo"}),
        invalid(
            "apply-to 'foo' unrecognised; should be one of: 'queues', 'classic_queues',  \
             'quorum_queues', 'streams', 'exchanges', or 'all'",
        ),
    );
}

#[test]
fn what_is_remembered_is_no_policys_business() {
    let Some((_, http)) = site() else { return };
    for (key, value) in [
        ("x-message-deduplication", json!(true)),
        ("x-cache-size", json!(5)),
        ("x-cache-ttl", json!(5)),
        ("x-cache-persistence", json!("disk")),
    ] {
        let printed = match &value {
            Value::String(text) => format!("<<\"{text}\">>"),
            other => other.to_string(),
        };
        let document = json!({"pattern": "^nothing$", "definition": {key: value}});
        let reason = format!(
            "Validation failed\n\n[{{<<\"{key}\">>,{printed}}}] are not recognised policy settings\n"
        );
        let reason = reason.replace('<', "&lt;").replace('>', "&gt;");
        http.refused("/policies/%2F/remembering", document, reason);
    }
}

#[test]
fn a_priority_or_a_kind_that_is_null_is_none() {
    let Some((broker, http)) = site() else { return };
    for kind in ["policies", "operator-policies"] {
        let path = format!("/{kind}/%2F/{}", unique("null"));
        let with = |key: &str| json!({"pattern": "a", "definition": {"max-length": 1}, key: null});
        let reason = invalid("priority should be a number, actually was null");
        http.refused(&path, with("priority"), reason);
        let kinds = match broker.is_warren() {
            true => {
                "one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'"
            }
            false => "'queues', 'exchanges' or 'all'",
        };
        let reason = format!("apply-to 'null' unrecognised; should be {kinds}");
        http.refused(&path, with("apply-to"), invalid(&reason));
    }
}
