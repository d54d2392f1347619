//! Who may log in, and what they may do then.
//!
//! ```text
//! configuration ─▶ UserSpec ─▶ Users ── login ─▶ User ── may, may_enter, has_tag
//! run time ──────▶ Account ─────▲ │                 │
//!                              password    permissions, topic_permissions
//!                                            expression: what they consist of
//! ```
//!
//! Users live in memory: those that configuration names, and those that were made at run time, which
//! the broker keeps. What changes of a [`User`] holds at once for whoever is logged in.

pub mod expression;
mod password;
mod permissions;
mod topic_permissions;
mod user;
mod users;

pub use password::{PasswordHash, PasswordHashError};
pub use permissions::{Permission, PermissionError, Permissions};
pub use topic_permissions::TopicPermissions;
pub use user::{Account, MAX_CHANNELS, MAX_CONNECTIONS, Usage, User};
pub use users::{GUEST, LoginRefused, Password, UserError, UserSpec, Users, VhostPermissions};
