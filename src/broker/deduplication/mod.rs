//! Telling messages that came before: who publishes again because no confirm came back is not to be
//! heard twice.
//!
//! ```text
//! message ─▶ message_id ─▶ seen          what an exchange remembers, bounded, for a time
//!                       └▶ band ids      what is in a queue now (queue/band)
//! seen ─▶ stored ─▶ log and catalog      what an exchange must not forget
//! ```
//!
//! A message's id is the header `x-deduplication-header`, whatever its value.

mod message_id;
mod seen;
mod stored;

pub(super) use self::message_id::HEADER;
pub use self::message_id::MessageId;
pub use self::seen::Seen;
pub use self::stored::Storing;
