//! The management listener: `/health`, `/metrics`, and the API below `/api/`.
//!
//! In: HTTP/1.1 requests, each with a bound on size and time. Out: whether the broker is well, its
//! counters in Prometheus' text format, and what `api` says. One request per connection. The
//! protocol is hyper's: bodies in chunks, `expect: 100-continue` and the like.

mod api;
mod health;
mod metrics;
mod seats;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use self::api::Reply;
use self::seats::{Seat, Seats};
use crate::broker::Broker;
use crate::net::Connections;

/// A request's head must have come in this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A request's body must have come in this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A request must be answered, and the answer taken, in this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest head of a request, all header fields included.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// The longest body: definitions of many thousand queues.
const MAX_BODY_BYTES: usize = 16 << 20;
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
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

type Whole = Response<Full<Bytes>>;

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
    pub fn welcome(&self, socket: TcpStream, peer: SocketAddr) {
        let site = Arc::clone(&self.site);
        self.seats.seat(move |seat| async move {
            let served = serve(site, socket, peer.ip(), seat);
            // A client that is too slow or gone is nobody's concern.
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, served).await;
        });
    }
}

async fn serve(site: Arc<Site>, socket: TcpStream, peer: IpAddr, seat: Seat) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        seat.has_asked();
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request, peer).await) }
    });
    http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(socket), service)
        .await
}

impl Site {
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

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Whole {
        if request.uri().path().starts_with("/api/") {
            return match read(request).await {
                Ok((parts, body)) => api::answer(&self.broker, parts, body, peer).await.into(),
                Err(refused) => refused.into(),
            };
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Answer::text(status, "only GET and HEAD\n").into();
        }
        self.look_at_damage().await;
        let answer = match request.uri().path() {
            "/health" => health::page(&self.broker),
            "/metrics" => Answer {
                status: StatusCode::OK,
                content_type: metrics::CONTENT_TYPE,
                body: metrics::page(&self.broker, &self.connections),
            },
            _ => Answer::text(
                StatusCode::NOT_FOUND,
                "there is /health, /metrics and /api/\n",
            ),
        };
        answer.into()
    }
}

/// The whole request.
async fn read(request: Request<Incoming>) -> Result<(hyper::http::request::Parts, Bytes), Reply> {
    let (parts, body) = request.into_parts();
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(Reply::empty(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let body = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok((parts, body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Reply::empty(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Ok(Err(_)) => Err(Reply::empty(StatusCode::BAD_REQUEST)),
        Err(_) => Err(Reply::empty(StatusCode::REQUEST_TIMEOUT)),
    }
}

impl Answer {
    fn text(status: StatusCode, text: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.to_string(),
        }
    }
}

impl From<Answer> for Whole {
    fn from(answer: Answer) -> Self {
        let mut response = Response::new(Full::from(answer.body));
        *response.status_mut() = answer.status;
        let content_type = HeaderValue::from_static(answer.content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

impl From<Reply> for Whole {
    fn from(reply: Reply) -> Self {
        let body = reply.body.map(|body| body.to_string());
        let is_json = body.is_some();
        let mut response = Response::new(Full::from(body.unwrap_or_default()));
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        if is_json {
            let content_type = HeaderValue::from_static("application/json");
            headers.insert(CONTENT_TYPE, content_type);
        }
        for (name, value) in reply.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
