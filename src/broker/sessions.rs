//! Who is connected to which vhost as whom: counted, for the limits, and closed where a vhost or a
//! user is deleted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Broker, ConnectionId, Vhost};
use crate::auth::{MAX_CONNECTIONS, User};

/// A connection that can be told to close.
pub trait Session: Send + Sync {
    /// It closes soon, and tells its client why. Must not block.
    fn force_close(&self, reason: &str);
}

/// A connection in a vhost.
pub(super) struct Seated {
    pub vhost: Arc<Vhost>,
    pub user: Arc<User>,
    session: Arc<dyn Session>,
}

/// A connection's place in a vhost; free again when it is dropped.
pub struct Seat {
    broker: Arc<Broker>,
    connection: ConnectionId,
    vhost: Arc<Vhost>,
    user: Arc<User>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSeat {
    /// The vhost has as many connections as it may have.
    VhostFull(u64),
    /// The user has as many connections as it may have.
    UserFull(u64),
    /// Vhost or user was just deleted.
    Gone,
}

impl Broker {
    /// A place in the vhost for a connection of that user.
    ///
    /// # Errors
    /// See [`NoSeat`].
    pub fn take_seat(
        self: &Arc<Self>,
        connection: ConnectionId,
        vhost: &Arc<Vhost>,
        user: &Arc<User>,
        session: Arc<dyn Session>,
    ) -> Result<Seat, NoSeat> {
        let most = vhost.max_connections().unwrap_or(u64::MAX);
        if !count_below(vhost.connections(), most) {
            return Err(NoSeat::VhostFull(most));
        }
        let most = user.limit(MAX_CONNECTIONS).unwrap_or(u64::MAX);
        if !count_below(&user.usage().connections, most) {
            vhost.connections().fetch_sub(1, Ordering::Relaxed);
            return Err(NoSeat::UserFull(most));
        }
        let seat = Seat {
            broker: Arc::clone(self),
            connection,
            vhost: Arc::clone(vhost),
            user: Arc::clone(user),
        };
        let seated = Seated {
            vhost: Arc::clone(vhost),
            user: Arc::clone(user),
            session,
        };
        self.sessions.insert(connection, seated);
        // Whoever deletes takes out first and closes connections then: one of us sees the other.
        let is_there = self
            .vhost(vhost.name())
            .is_some_and(|there| Arc::ptr_eq(&there, vhost))
            && self
                .users
                .get(user.name())
                .is_some_and(|there| Arc::ptr_eq(&there, user));
        match is_there {
            true => Ok(seat),
            false => Err(NoSeat::Gone),
        }
    }

    /// How many connections are open.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Closes those connections that `is_meant` says.
    pub(super) fn close_sessions(&self, reason: &str, is_meant: impl Fn(&Seated) -> bool) {
        let meant: Vec<_> = self
            .sessions
            .iter()
            .filter(|seated| is_meant(seated))
            .map(|seated| Arc::clone(&seated.session))
            .collect();
        for session in meant {
            session.force_close(reason);
        }
    }
}

/// Counts one more, unless there are `most`.
pub(crate) fn count_below(count: &AtomicU64, most: u64) -> bool {
    count
        .try_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < most).then_some(count + 1)
        })
        .is_ok()
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.broker.sessions.remove(&self.connection);
        self.vhost.connections().fetch_sub(1, Ordering::Relaxed);
        let usage = self.user.usage();
        usage.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
