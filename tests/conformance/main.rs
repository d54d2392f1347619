//! The wire as clients see it, one file a subject: codes, texts, class and method ids and order,
//! exactly as RabbitMQ 3.10 has them. Run it against any broker with `WARREN_TEST_URL=HOST:PORT`.

#[path = "../support/mod.rs"]
mod support;

mod channels;
mod handshake;
mod heartbeats;
mod tuning;
