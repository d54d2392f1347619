//! `/api/policies` and `/api/operator-policies`.

use hyper::Method;
use serde_json::{Value, json};

use super::pages::Kind;
use super::reply::escaped;
use super::{Call, Reply, listing, parameters};
use crate::definitions::policy;

impl Kind {
    fn component(self) -> &'static str {
        match self {
            Self::Users => "policy",
            Self::Operators => "operator_policy",
        }
    }
}

pub(super) fn list(call: &Call, kind: Kind, vhost: Option<&str>) -> Result<Reply, Reply> {
    let list = parameters::seen(call, vhost, Some(kind.component()))?;
    let list: Vec<Value> = list.into_iter().map(policy).collect();
    listing::reply(call, list, &["priority"])
}

pub(super) fn one(call: &Call, kind: Kind, vhost: &str, name: &str) -> Result<Reply, Reply> {
    let component = kind.component();
    match call.method {
        Method::GET => {
            let list = call.broker.parameters(Some(vhost), Some(component));
            let found = list.into_iter().find(|one| one.name == name);
            found
                .map(policy)
                .map(Reply::json)
                .ok_or_else(Reply::no_object)
        }
        Method::DELETE => parameters::clear(call, component, vhost, name),
        _ => {
            call.vhost(vhost).ok_or_else(Reply::no_vhost)?;
            let body = call.document(&["pattern", "definition"])?;
            let document = json!({
                "pattern": body["pattern"],
                "definition": body["definition"],
                "priority": body.get("priority").unwrap_or(&json!(0)),
                "apply-to": body.get("apply-to").unwrap_or(&json!("all")),
            });
            parameters::set(call, component, vhost, name, document).map_err(|text| match kind {
                Kind::Users => Reply::bad_request(escaped(&text)),
                Kind::Operators => Reply::bad_request(text),
            })
        }
    }
}
