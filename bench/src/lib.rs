//! The benchmark: Warren beside RabbitMQ, a null broker, or any broker with a URL.
//!
//! ```text
//! scenario ─▶ load ─▶ transport ─▶ broker under test
//!    │          └─ wire, client        │
//!    └──▶ results ◀── process ◀────────┘
//! ```
//!
//! Nothing here uses Warren's own code, so that the same bytes go to every broker.

pub mod broker;
pub mod client;
pub mod figures;
pub mod load;
pub mod null;
pub mod plot;
pub mod process;
pub mod report;
pub mod scenario;
pub mod tls;
pub mod transport;
pub mod url;
pub mod wire;
