//! HTTP itself: methods, paths, bodies.

use serde_json::json;

use super::*;

#[test]
fn methods_that_a_page_does_not_have_are_refused() {
    let Some((_, http)) = site() else { return };
    let answer = http.send("POST", "/policies/%2F/p", "{}");
    assert_eq!(answer.status, 405);
    let answer = http.send("OPTIONS", "/policies/%2F/p", "");
    assert_eq!(answer.status, 200);
    let head = answer.head.to_ascii_lowercase();
    assert!(
        head.contains("allow: head, get, put, delete, options"),
        "{head}"
    );
    let answer = http.send("HEAD", "/policies", "");
    assert_eq!((answer.status, answer.body), (200, json!(null)));
}

#[test]
fn a_path_that_is_none_is_not_found() {
    let Some((_, http)) = site() else { return };
    let answer = http.send("GET", "/nothing", "");
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.body,
        json!({"error": "Object Not Found", "reason": "Not Found"})
    );
}

#[test]
fn bodies_come_in_chunks_too() {
    let Some((_, http)) = site() else { return };
    let name = unique("global");
    let request = format!(
        "PUT /api/global-parameters/{name} HTTP/1.1\r\nhost: x\r\n\
         authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\ntransfer-encoding: chunked\r\n\
         connection: close\r\n\r\n8\r\n{{\"value\"\r\n3\r\n:1}}\r\n0\r\n\r\n"
    );
    let answer = http.raw(request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(
        http.get(&format!("/global-parameters/{name}"))["value"],
        json!(1)
    );
    assert_eq!(http.delete(&format!("/global-parameters/{name}")), 204);
}

#[test]
fn a_body_that_is_not_said_to_be_json_is_refused_where_it_must_be() {
    let Some((_, http)) = site() else { return };
    let request = "POST /api/definitions HTTP/1.1\r\nhost: x\r\n\
                   authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\ncontent-type: text/plain\r\n\
                   content-length: 2\r\nconnection: close\r\n\r\n{}";
    let answer = http.raw(request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    // Where there is no body, nothing need be said of it.
    let request = "DELETE /api/vhost-limits/%2F/max-queues HTTP/1.1\r\nhost: x\r\n\
                   authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nconnection: close\r\n\r\n";
    let answer = http.raw(request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let Some((broker, http)) = site() else { return };
    if !broker.is_warren() {
        return skip("RabbitMQ has no limit");
    }
    let request = format!(
        "POST /api/definitions HTTP/1.1\r\nhost: x\r\n\
         authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        1_u64 << 40
    );
    let answer = http.raw(request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
