//! Durability: what must survive, and how it comes back. Knows no queue semantics.
//!
//! ```text
//! journal/ ─▶ one log of records for all queues, written and synced in batches
//! segment/ ─▶ a queue's chunks, where the journal can't keep them
//! catalog/ ─▶ topology, users, permissions, lists of segments; transactional
//! disk/    ─▶ files, real or simulated
//! folder.rs: the data folder, its lock and format   check.rs: verifying a stopped one
//! health.rs: what has failed, and what was found damaged   quarantine/: where that is kept
//! unreadable.rs: what the disk does not give at the moment
//! ```
//!
//! The layout is written down in `docs/storage.md`.

pub mod catalog;
pub mod check;
pub mod disk;
mod fields;
pub mod folder;
pub mod health;
pub mod journal;
pub mod quarantine;
pub mod segment;
pub mod unreadable;
