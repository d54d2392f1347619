//! Who may log in, and what they may do then.
//!
//! ```text
//! configuration ─▶ UserSpec ─▶ Users ── login ─▶ User ── may, may_enter, has_tag
//!                                │                 │
//!                            password          permissions
//! ```
//!
//! Users live in memory, as configuration names them. A [`User`] who logged in is a snapshot: it
//! holds for its connection's life, as what RabbitMQ's channels have looked up holds for theirs.

mod password;
mod permissions;
mod user;
mod users;

pub use password::{PasswordHash, PasswordHashError};
pub use permissions::{Permission, PermissionError, Permissions};
pub use user::User;
pub use users::{LoginRefused, Password, UserError, UserSpec, Users, VhostPermissions};
