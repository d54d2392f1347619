//! The wire as clients see it, one file a subject: codes, texts, class and method ids and order,
//! exactly as RabbitMQ 3.10 has them. Run it against any broker with `WARREN_TEST_URL=HOST:PORT`; what another
//! broker must be configured for is said where it is, and by `WARREN_TEST_CONSUMER_TIMEOUT_1S=1` and
//! `WARREN_TEST_LOG_EXCHANGE=1` that it is.

#[path = "../support/mod.rs"]
mod support;

mod acks;
mod alarms;
mod bindings;
mod channels;
mod choosing_exchanges;
mod consuming;
mod dead_letters;
mod delaying;
mod exchanges;
mod expiry;
mod firehose;
mod handshake;
mod heartbeats;
mod limits;
mod log;
mod no_wait;
mod permissions;
mod policies;
mod prefetch;
mod priorities;
mod publishing;
mod queue_arguments;
mod queues;
mod quorum;
mod remembering;
mod reply_to;
mod shutdown;
mod streams;
mod timeouts;
mod transactions;
mod tuning;
