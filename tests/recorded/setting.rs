//! Who may do what where, for the conversations about that: the same in every broker.

use serde_json::{Value, json};

use crate::support::Http;

/// Makes users, vhosts, permissions and limits.
pub fn prepare(api: &Http) {
    let put = |path: &str, body: Value| {
        let status = api.put(path, body);
        assert!(matches!(status, 201 | 204), "PUT {path}: {status}");
    };
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    for vhost in ["elsewhere", "crowded", "queueless"] {
        put(&format!("/vhosts/{vhost}"), json!({}));
        put(&format!("/permissions/{vhost}/guest"), everything.clone());
    }
    put("/vhost-limits/crowded/max-connections", json!({"value": 0}));
    put("/vhost-limits/queueless/max-queues", json!({"value": 0}));
    for user in ["limited", "outsider", "topical", "alone", "silent"] {
        let path = format!("/users/{user}");
        put(&path, json!({"password": "secret", "tags": ""}));
    }
    // May speak for others.
    put(
        "/users/actor",
        json!({"password": "secret", "tags": "impersonator"}),
    );
    for user in ["actor", "topical", "alone", "silent"] {
        put(&format!("/permissions/%2F/{user}"), everything.clone());
    }
    // May do everything with what begins with mine, and nothing with anything else.
    let mine = json!({"configure": "^mine", "write": "^mine", "read": "^mine"});
    put("/permissions/%2F/limited", mine);
    // May publish to amq.topic with keys that begin with mine.
    let mine = json!({"exchange": "amq.topic", "write": "^mine", "read": "^mine"});
    put("/topic-permissions/%2F/topical", mine);
    put("/user-limits/alone/max-connections", json!({"value": 0}));
    put("/user-limits/silent/max-channels", json!({"value": 0}));
}
