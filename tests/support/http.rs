//! A client of the management API: one request a connection, in plain HTTP/1.1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::broker::PATIENCE;

/// See the module.
#[derive(Clone, Debug)]
pub struct Http {
    pub address: SocketAddr,
    pub user: String,
    pub password: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// Null where there is no body.
    pub body: Value,
}

impl Http {
    pub fn new(address: SocketAddr) -> Self {
        Http {
            address,
            user: "guest".into(),
            password: "guest".into(),
        }
    }

    /// The same as somebody else.
    pub fn login(&self, user: &str, password: &str) -> Self {
        Http {
            user: user.into(),
            password: password.into(),
            ..self.clone()
        }
    }

    /// Sends bytes as they are; gives all that comes.
    #[track_caller]
    pub fn raw(&self, request: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).expect("the broker listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.write_all(request).expect("sent");
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
                // What came before a reset is what counts.
                Err(_) => break,
            }
        }
        String::from_utf8(answer).expect("text")
    }

    /// Sends a request for a path below `/api`, with a body if it is not empty.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let login = STANDARD.encode(format!("{}:{}", self.user, self.password));
        let length = body.len();
        let request = format!(
            "{method} /api{path} HTTP/1.1\r\nhost: test\r\nauthorization: Basic {login}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n\
             {body}"
        );
        let answer = self.raw(request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let body = match body {
            "" => Value::Null,
            body => serde_json::from_str(&unchunked(head, body)).expect("JSON"),
        };
        Answer {
            status: status.expect("a status"),
            head: head.to_string(),
            body,
        }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, "");
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.body
    }

    /// The status of a PUT.
    #[track_caller]
    pub fn put(&self, path: &str, body: Value) -> u16 {
        self.send("PUT", path, &body.to_string()).status
    }

    /// The status of a DELETE.
    #[track_caller]
    pub fn delete(&self, path: &str) -> u16 {
        self.send("DELETE", path, "").status
    }

    /// A PUT that is refused with 400 and this reason.
    #[track_caller]
    pub fn refused(&self, path: &str, body: Value, reason: impl Into<Value>) {
        let answer = self.send("PUT", path, &body.to_string());
        assert_eq!(answer.status, 400, "PUT {path}: {answer:?}");
        assert_eq!(
            answer.body["error"], "bad_request",
            "PUT {path}: {answer:?}"
        );
        assert_eq!(answer.body["reason"], reason.into(), "PUT {path}");
    }
}

fn unchunked(head: &str, body: &str) -> String {
    if !head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        return body.to_string();
    }
    let (mut rest, mut out) = (body, String::new());
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        out.push_str(&behind[..size]);
        rest = &behind[size + 2..];
    }
    out
}

/// A path's part with everything encoded that could mean something.
pub fn encoded(name: &str) -> String {
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    name.bytes()
        .map(|byte| match safe(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
