//! Publishers and alarms: connection.blocked, connection.unblocked, and not reading.
//!
//! While there is an alarm, a client is blocked as soon as it publishes, not before. It is told
//! once, whatever alarms come and go meanwhile, and that it may go on when the last one is gone;
//! both only if it said that it understands.

use super::link::Link;
use crate::amqp::method::{Method, connection};
use crate::broker::Alarms;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    alarms: Alarms,
    /// The client published during the alarm.
    blocked: bool,
    /// The client was told.
    told: bool,
    understands: bool,
}

impl Throttle {
    /// For a client that understands connection.blocked, or not.
    pub fn new(alarms: Alarms, understands: bool) -> Self {
        Self {
            alarms,
            understands,
            ..Self::default()
        }
    }

    /// Whether there is an alarm.
    pub fn is_alarmed(&self) -> bool {
        self.alarms.any()
    }

    /// Whether the client is not to be read.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The client sent a message, or part of one. Says whether it is now blocked.
    pub fn published(&mut self, link: &Link) -> bool {
        if !self.alarms.any() {
            return false;
        }
        self.blocked = true;
        if self.understands && !std::mem::replace(&mut self.told, true) {
            let reason = match (self.alarms.memory, self.alarms.disk) {
                (true, true) => "low on disk & memory",
                (true, false) => "low on memory",
                (false, _) => "low on disk",
            };
            let reason = reason.into();
            link.send(
                0,
                &Method::ConnectionBlocked(connection::Blocked { reason }),
            );
        }
        true
    }

    /// Alarms changed. Says whether the client, which was blocked, may go on.
    pub fn alarms(&mut self, alarms: Alarms, link: &Link) -> bool {
        self.alarms = alarms;
        if alarms.any() || !std::mem::take(&mut self.blocked) {
            return false;
        }
        if std::mem::take(&mut self.told) {
            link.send(0, &Method::ConnectionUnblocked(connection::Unblocked));
        }
        true
    }
}
