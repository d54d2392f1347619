//! Sockets and clocks: listeners, one task per connection, TLS, shutting down.
//!
//! ```text
//! listener ─▶ (tls) ─▶ task ─▶ transport ─▶ socket
//!                       │ └──▶ read_buffer (one per thread)
//!                       └────▶ connection::Connection (no socket, no clock)
//!                            lookout: stays awake for a publisher that waits for each confirm
//! connections: who is there; carries alarms and shutdown to every task
//! ```

mod connections;
mod listener;
mod lookout;
mod read_buffer;
mod server;
mod task;
mod tls;
mod transport;

pub use connections::Connections;
pub use listener::{ListenError, Protocol};
pub use server::{NetSettings, Server, StartError};
pub use tls::{ClientCertificate, TlsError, TlsFiles, TlsSource};
