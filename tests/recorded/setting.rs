//! Who may do what where, for the conversations about that: the same in every broker.

use serde_json::json;

use crate::support::Broker;

/// Makes users, vhosts and permissions; false, said aloud, where that can't be done.
pub fn prepare(broker: &Broker) -> bool {
    let Some(api) = broker.management() else {
        return false;
    };
    let put = |path: &str, body: serde_json::Value| {
        let status = api.put(path, body);
        assert!(matches!(status, 201 | 204), "PUT {path}: {status}");
    };
    put("/vhosts/elsewhere", json!({}));
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    put("/permissions/elsewhere/guest", everything.clone());
    // May do everything with what begins with mine, and nothing with anything else.
    put("/users/limited", json!({"password": "secret", "tags": ""}));
    let mine = json!({"configure": "^mine", "write": "^mine", "read": "^mine"});
    put("/permissions/%2F/limited", mine);
    // May enter nowhere.
    put("/users/outsider", json!({"password": "secret", "tags": ""}));
    // May speak for others.
    put(
        "/users/actor",
        json!({"password": "secret", "tags": "impersonator"}),
    );
    put("/permissions/%2F/actor", everything.clone());
    // May publish to amq.topic with keys that begin with mine.
    put("/users/topical", json!({"password": "secret", "tags": ""}));
    put("/permissions/%2F/topical", everything);
    let mine = json!({"exchange": "amq.topic", "write": "^mine", "read": "^mine"});
    put("/topic-permissions/%2F/topical", mine);
    true
}
