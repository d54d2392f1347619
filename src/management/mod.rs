//! The management pages: `/health` and `/metrics`.
//!
//! In: HTTP/1.1 requests, each with a bound on size and time. Out: whether the broker is well, and
//! its counters in Prometheus' text format. One request per connection.

mod health;
mod metrics;
mod request;
mod seats;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::broker::Broker;
use crate::net::Connections;
use request::{Request, RequestError};
use seats::{Seat, Seats};

/// A request must be read and answered in this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// So many clients may be there at a time.
const MAX_CLIENTS: usize = 512;

/// See the module.
pub struct Pages {
    site: Arc<Site>,
    seats: Arc<Seats>,
}

struct Site {
    broker: Arc<Broker>,
    connections: Arc<Connections>,
}

struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Pages {
    /// Pages on that broker.
    pub fn new(broker: Arc<Broker>, connections: Arc<Connections>) -> Self {
        Self {
            site: Arc::new(Site {
                broker,
                connections,
            }),
            seats: Seats::new(MAX_CLIENTS),
        }
    }

    /// Serves a client that was just accepted. Must be called within a tokio runtime.
    pub fn welcome(&self, socket: TcpStream) {
        let site = Arc::clone(&self.site);
        self.seats.seat(|seat| async move {
            // A client that is too slow or gone is nobody's concern.
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, site.serve(socket, &seat)).await;
        });
    }
}

impl Site {
    async fn serve(&self, mut socket: TcpStream, seat: &Seat) -> std::io::Result<()> {
        let request = request::read(&mut socket).await;
        seat.has_asked();
        let (answer, with_body) = match request {
            Ok(request) => {
                self.look_at_damage().await;
                (self.answer(&request), request.method != "HEAD")
            }
            Err(RequestError::Malformed) => {
                (Answer::text("400 Bad Request", "bad request\n"), true)
            }
            Err(RequestError::TooLarge) => {
                let status = "431 Request Header Fields Too Large";
                (Answer::text(status, "request too large\n"), true)
            }
            Err(RequestError::Gone) => return Ok(()),
        };
        let Answer {
            status,
            content_type,
            body,
        } = answer;
        let length = body.len();
        let mut response = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n"
        );
        if with_body {
            response.push_str(&body);
        }
        socket.write_all(response.as_bytes()).await?;
        socket.shutdown().await
    }

    /// Damage whose notes were deleted is not told any more.
    async fn look_at_damage(&self) {
        if !self.broker.engine.store.is_damaged() {
            return;
        }
        let broker = Arc::clone(&self.broker);
        // A network's file system may keep whoever asks waiting.
        let looked = tokio::task::spawn_blocking(move || broker.engine.store.forget_deleted());
        if let Ok(Err(error)) = looked.await {
            tracing::warn!(%error, "cannot tell whether damage is still noted");
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Answer::text("405 Method Not Allowed", "only GET and HEAD\n");
        }
        match request.path() {
            "/health" => health::page(&self.broker),
            "/metrics" => Answer {
                status: "200 OK",
                content_type: metrics::CONTENT_TYPE,
                body: metrics::page(&self.broker, &self.connections),
            },
            _ => Answer::text("404 Not Found", "there is /health and /metrics\n"),
        }
    }
}

impl Answer {
    fn text(status: &'static str, text: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.to_string(),
        }
    }
}
