//! Class confirm. Publisher confirms.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

use super::Facts;
use crate::amqp::wire::{Reader, WireError, put_octet, put_short};

/// confirm.select: From now on, every message published on this channel is confirmed. RabbitMQ's extension.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Select {
    /// Send no answer.
    pub no_wait: bool,
}

impl Select {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 85,
        method_id: 10,
        name: "confirm.select",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let bits = input.octet()?;
        let no_wait = bits & 1 != 0;
        Ok(Self { no_wait })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 85);
        put_short(out, 10);
        put_octet(out, u8::from(self.no_wait));
    }
}

/// confirm.select-ok: The channel confirms. RabbitMQ's extension.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SelectOk;

impl SelectOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 85,
        method_id: 11,
        name: "confirm.select-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 85);
        put_short(out, 11);
    }
}
