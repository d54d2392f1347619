//! The page `/health`: whether the broker does what it is there for, as JSON.
//!
//! It is not well when it cannot store any more, or has lost something that it had stored. Alarms
//! are told, but only stop publishers, for a time.

use std::fmt::Write;

use hyper::StatusCode;

use super::Answer;
use crate::broker::Broker;
use crate::store::health::SegmentsWait;

pub(super) fn page(broker: &Broker) -> Answer {
    let alarms = *broker.alarms().borrow();
    let condition = broker.engine.store.condition();
    let mut raised = Vec::new();
    let mut problems = Vec::new();
    if alarms.memory {
        raised.push("memory".to_string());
    }
    if alarms.disk {
        raised.push("disk".to_string());
    }
    if let Some(journal) = condition.journal {
        if journal.stalled.is_some() {
            raised.push("journal waits for disk space".to_string());
        }
        if let Some(failure) = journal.failure {
            problems.push(format!("the journal has failed: {failure}"));
        }
    }
    match &condition.segments_wait {
        Some(SegmentsWait::ForRoom) => raised.push("segments wait for disk space".to_string()),
        Some(SegmentsWait::Failing(error)) => {
            raised.push(format!("segments can't be written: {error}"));
        }
        None => {}
    }
    if broker.is_catalog_stalled() {
        raised.push("catalog waits for disk space".to_string());
    }
    if let Some(failure) = broker.catalog_failure() {
        problems.push(failure.to_string());
    }
    problems.extend(condition.damage);

    let alarms = list(&raised);
    let (status, body) = if problems.is_empty() {
        let body = format!("{{\"status\":\"ok\",\"alarms\":{alarms}}}\n");
        (StatusCode::OK, body)
    } else {
        let problems = list(&problems);
        let body =
            format!("{{\"status\":\"failed\",\"alarms\":{alarms},\"problems\":{problems}}}\n");
        (StatusCode::SERVICE_UNAVAILABLE, body)
    };
    Answer {
        status,
        content_type: "application/json",
        body,
    }
}

/// A JSON array of strings.
fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(","))
}

fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            '\0'..='\u{1f}' => {
                // Writing to a String does not fail.
                let _ = write!(json, "\\u{:04x}", u32::from(char));
            }
            _ => json.push(char),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_json_string() {
        let text = "a \"b\" \\ \n \u{1} ü";
        assert_eq!(quoted(text), "\"a \\\"b\\\" \\\\ \\u000a \\u0001 ü\"");
    }
}
