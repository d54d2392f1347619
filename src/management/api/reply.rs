//! Answers of the management API.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::broker::accounts::AccountError;
use crate::broker::catalog::NotStored;
use crate::broker::parameters::Put;

/// See the module.
pub(in crate::management) struct Reply {
    pub status: StatusCode,
    /// Headers besides those that every answer has.
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
}

impl Reply {
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
        }
    }

    pub fn json(body: impl Into<Value>) -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![("cache-control", "no-cache".into())],
            body: Some(body.into()),
        }
    }

    pub fn error(status: StatusCode, error: &str, reason: impl Into<Value>) -> Self {
        let body = json!({"error": error, "reason": reason.into()});
        Self {
            status,
            headers: Vec::new(),
            body: Some(body),
        }
    }

    pub fn bad_request(reason: impl Into<Value>) -> Self {
        Self::error(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    /// What was asked for is not done, or will not last.
    pub fn not_stored() -> Self {
        Self::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_server_error",
            NotStored::TEXT,
        )
    }

    pub fn not_authorised(reason: &str) -> Self {
        Self::error(StatusCode::UNAUTHORIZED, "not_authorised", reason)
    }

    /// There is no such page, or nothing of that name on it.
    pub fn no_object() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Object Not Found", "Not Found")
    }

    pub fn no_vhost() -> Self {
        Self::error(StatusCode::NOT_FOUND, "not_found", "vhost_not_found")
    }

    /// It was made, or changed.
    pub fn put(put: Put) -> Self {
        match put {
            Put::Created => Self::empty(StatusCode::CREATED),
            Put::Changed => Self::empty(StatusCode::NO_CONTENT),
        }
    }

    pub fn done() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// As of whether there was something to delete.
    pub fn deleted(was_there: bool) -> Self {
        match was_there {
            true => Self::done(),
            false => Self::no_object(),
        }
    }

    /// Which methods a page has.
    pub fn allow(status: StatusCode, methods: &[Method]) -> Self {
        let mut names = Vec::new();
        for method in methods {
            if *method == Method::GET {
                names.push("HEAD");
            }
            names.push(method.as_str());
        }
        names.push("OPTIONS");
        Self {
            headers: vec![("allow", names.join(", "))],
            ..Self::empty(status)
        }
    }

    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }
}

impl From<NotStored> for Reply {
    fn from(_: NotStored) -> Self {
        Self::not_stored()
    }
}

impl From<AccountError> for Reply {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NotStored(error) => error.into(),
            error => Self::bad_request(error.reason()),
        }
    }
}

/// With what means something in HTML made harmless, as RabbitMQ does in some texts.
pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}
