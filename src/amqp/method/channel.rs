//! Class channel. Opening and closing channels, and stopping what flows on them.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

use super::Facts;
use crate::amqp::table::ShortStr;
use crate::amqp::wire::{Reader, WireError, put_long, put_octet, put_short, put_short_str};

/// channel.open: Opens the channel that it is sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Open;

impl Open {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 20,
        method_id: 10,
        name: "channel.open",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short_text()?;
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 20);
        put_short(out, 10);
        put_octet(out, 0);
    }
}

/// channel.open-ok: The channel is open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OpenOk;

impl OpenOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 20,
        method_id: 11,
        name: "channel.open-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.long_bytes()?;
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 20);
        put_short(out, 11);
        put_long(out, 0);
    }
}

/// channel.flow: Stops or restarts what the peer sends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    /// Whether the peer may send.
    pub active: bool,
}

impl Flow {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 20,
        method_id: 20,
        name: "channel.flow",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let bits = input.octet()?;
        let active = bits & 1 != 0;
        Ok(Self { active })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 20);
        put_short(out, 20);
        put_octet(out, u8::from(self.active));
    }
}

/// channel.flow-ok: A flow was obeyed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FlowOk {
    /// The state that holds now.
    pub active: bool,
}

impl FlowOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 20,
        method_id: 21,
        name: "channel.flow-ok",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let bits = input.octet()?;
        let active = bits & 1 != 0;
        Ok(Self { active })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 20);
        put_short(out, 21);
        put_octet(out, u8::from(self.active));
    }
}

/// channel.close: Ends the channel, in order or with an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Close {
    /// Why.
    pub reply_code: u16,
    /// Why, in words.
    pub reply_text: ShortStr,
    /// Class of the method that is to blame, or 0.
    pub class_id: u16,
    /// The method that is to blame, or 0.
    pub method_id: u16,
}

impl Close {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 20,
        method_id: 40,
        name: "channel.close",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let reply_code = input.short()?;
        let reply_text = input.short_text()?;
        let class_id = input.short()?;
        let method_id = input.short()?;
        Ok(Self {
            reply_code,
            reply_text,
            class_id,
            method_id,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 20);
        put_short(out, 40);
        put_short(out, self.reply_code);
        put_short_str(out, &self.reply_text);
        put_short(out, self.class_id);
        put_short(out, self.method_id);
    }
}

/// channel.close-ok: The close was seen; the channel's number is free.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CloseOk;

impl CloseOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 20,
        method_id: 41,
        name: "channel.close-ok",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 20);
        put_short(out, 41);
    }
}
