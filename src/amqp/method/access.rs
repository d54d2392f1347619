//! Class access. Access tickets of AMQP 0-8. Gone from 0-9-1, but old clients ask, so RabbitMQ still answers.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

use super::Facts;
use crate::amqp::table::ShortStr;
use crate::amqp::wire::{Reader, WireError, put_octet, put_short, put_short_str};

/// access.request: Asks for a ticket. What it says is not looked at. RabbitMQ's extension.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Name of a realm.
    pub realm: ShortStr,
    /// Exclusive access.
    pub exclusive: bool,
    /// Passive access.
    pub passive: bool,
    /// Active access.
    pub active: bool,
    /// Write access.
    pub write: bool,
    /// Read access.
    pub read: bool,
}

impl Request {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 30,
        method_id: 10,
        name: "access.request",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let realm = input.short_text()?;
        let bits = input.octet()?;
        let exclusive = bits & 1 != 0;
        let passive = bits & 2 != 0;
        let active = bits & 4 != 0;
        let write = bits & 8 != 0;
        let read = bits & 16 != 0;
        Ok(Self {
            realm,
            exclusive,
            passive,
            active,
            write,
            read,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 30);
        put_short(out, 10);
        put_short_str(out, &self.realm);
        let mut bits = u8::from(self.exclusive);
        bits |= u8::from(self.passive) << 1;
        bits |= u8::from(self.active) << 2;
        bits |= u8::from(self.write) << 3;
        bits |= u8::from(self.read) << 4;
        put_octet(out, bits);
    }
}

/// access.request-ok: A ticket, which means nothing. RabbitMQ's extension.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestOk {
    /// Always 1.
    pub ticket: u16,
}

impl RequestOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 30,
        method_id: 11,
        name: "access.request-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let ticket = input.short()?;
        Ok(Self { ticket })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 30);
        put_short(out, 11);
        put_short(out, self.ticket);
    }
}
