//! The load engine: publishers and consumers of one broker, a thread a connection.
//!
//! ```text
//! plan ─▶ publisher ─▶ broker ─▶ consumer ─▶ outcome
//!             └── shared counters ──┘
//! ```
//!
//! Both sides move raw frames: a publisher writes batches that were encoded once, a consumer
//! counts deliveries in place. The engine samples the shared counters and the broker's process at
//! the beginning and the end of the measured time.

mod clock;
mod consumer;
mod engine;
mod plan;
mod publisher;
mod shared;

pub use clock::now_ns;
pub use consumer::{Seen, Walker};
pub use engine::{LoadOutcome, Probe, run};
pub use plan::{
    AckMode, BODY_HEAD_BYTES, ConsumerPlan, Load, MessageShape, Order, Pace, PublisherPlan,
    SEQUENCE_BITS, Until,
};
pub use publisher::Template;
pub use shared::Latencies;
