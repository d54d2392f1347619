//! Reading an HTTP/1.1 request's head: method and target. What follows it is not looked at.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest head of a request, all header fields included.
const MAX_HEAD_BYTES: usize = 8 << 10;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub method: String,
    target: String,
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestError {
    Malformed,
    TooLarge,
    Gone,
}

impl Request {
    /// The target without what is behind a question mark.
    pub fn path(&self) -> &str {
        let path = self.target.split(['?', '#']).next();
        path.unwrap_or_default()
    }
}

/// Reads up to the empty line.
pub(super) async fn read(socket: &mut TcpStream) -> Result<Request, RequestError> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let read = socket.read_buf(&mut head).await;
        if read.map_err(|_| RequestError::Gone)? == 0 {
            return Err(RequestError::Gone);
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return parse(&head);
        }
        if head.len() > MAX_HEAD_BYTES {
            return Err(RequestError::TooLarge);
        }
    }
}

fn parse(head: &[u8]) -> Result<Request, RequestError> {
    let line = head.split(|byte| *byte == b'\r').next();
    let line = std::str::from_utf8(line.unwrap_or_default());
    let mut words = line.map_err(|_| RequestError::Malformed)?.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None)
            if target.starts_with('/') && method.bytes().all(|byte| byte.is_ascii_uppercase()) =>
        {
            Ok(Request {
                method: method.to_string(),
                target: target.to_string(),
            })
        }
        _ => Err(RequestError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_all_that_counts() {
        let request = parse(b"GET /metrics?x=1 HTTP/1.1\r\nhost: a\r\n\r\n").expect("well-formed");
        assert_eq!(
            (request.method.as_str(), request.path()),
            ("GET", "/metrics")
        );
        for wrong in [
            &b"GET /\r\n\r\n"[..],
            b"GET / HTTP/2\r\n\r\n",
            b"GET metrics HTTP/1.1\r\n\r\n",
            b"get / HTTP/1.1\r\n\r\n",
            b"\xff / HTTP/1.1\r\n\r\n",
            b"\r\n\r\n",
        ] {
            assert_eq!(parse(wrong), Err(RequestError::Malformed));
        }
    }
}
