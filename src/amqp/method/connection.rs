//! Class connection. Opening, securing, tuning and closing a connection; all on channel 0.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

use bytes::Bytes;

use super::Facts;
use crate::amqp::table::{FieldTable, ShortStr};
use crate::amqp::wire::{
    Reader, WireError, put_long, put_long_str, put_octet, put_short, put_short_str, put_table,
};

/// connection.start: The server's first word after the protocol header: what it is and how one may log in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// Protocol version, major number.
    pub version_major: u8,
    /// Protocol version, minor number.
    pub version_minor: u8,
    /// Product, version, capabilities and the like.
    pub server_properties: FieldTable,
    /// SASL mechanisms on offer, separated by spaces.
    pub mechanisms: Bytes,
    /// Locales on offer, separated by spaces.
    pub locales: Bytes,
}

impl Start {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 10,
        name: "connection.start",
        has_content: false,
        is_synchronous: true,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let version_major = input.octet()?;
        let version_minor = input.octet()?;
        let server_properties = input.table()?;
        let mechanisms = input.long_str()?;
        let locales = input.long_str()?;
        Ok(Self {
            version_major,
            version_minor,
            server_properties,
            mechanisms,
            locales,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 10);
        put_octet(out, self.version_major);
        put_octet(out, self.version_minor);
        put_table(out, &self.server_properties);
        put_long_str(out, &self.mechanisms);
        put_long_str(out, &self.locales);
    }
}

/// connection.start-ok: The client's choice of mechanism and locale, and what it is itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartOk {
    /// Product, version, capabilities and the like.
    pub client_properties: FieldTable,
    /// The SASL mechanism chosen.
    pub mechanism: ShortStr,
    /// The mechanism's first response.
    pub response: Bytes,
    /// The locale chosen.
    pub locale: ShortStr,
}

impl StartOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 11,
        name: "connection.start-ok",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let client_properties = input.table()?;
        let mechanism = input.short_text()?;
        let response = input.long_str()?;
        let locale = input.short_text()?;
        Ok(Self {
            client_properties,
            mechanism,
            response,
            locale,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 11);
        put_table(out, &self.client_properties);
        put_short_str(out, &self.mechanism);
        put_long_str(out, &self.response);
        put_short_str(out, &self.locale);
    }
}

/// connection.secure: A further challenge of the SASL mechanism.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Secure {
    /// What the mechanism asks.
    pub challenge: Bytes,
}

impl Secure {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 20,
        name: "connection.secure",
        has_content: false,
        is_synchronous: true,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let challenge = input.long_str()?;
        Ok(Self { challenge })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 20);
        put_long_str(out, &self.challenge);
    }
}

/// connection.secure-ok: The answer to a challenge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecureOk {
    /// What the mechanism answers.
    pub response: Bytes,
}

impl SecureOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 21,
        name: "connection.secure-ok",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let response = input.long_str()?;
        Ok(Self { response })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 21);
        put_long_str(out, &self.response);
    }
}

/// connection.tune: The limits that the server proposes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tune {
    /// Highest number of channels; 0 is no limit.
    pub channel_max: u16,
    /// Largest frame in bytes, all of it counted; 0 is no limit.
    pub frame_max: u32,
    /// Heartbeat interval in seconds; 0 is none.
    pub heartbeat: u16,
}

impl Tune {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 30,
        name: "connection.tune",
        has_content: false,
        is_synchronous: true,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let channel_max = input.short()?;
        let frame_max = input.long()?;
        let heartbeat = input.short()?;
        Ok(Self {
            channel_max,
            frame_max,
            heartbeat,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 30);
        put_short(out, self.channel_max);
        put_long(out, self.frame_max);
        put_short(out, self.heartbeat);
    }
}

/// connection.tune-ok: The limits that the client settles on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TuneOk {
    /// Highest number of channels; 0 is no limit.
    pub channel_max: u16,
    /// Largest frame in bytes, all of it counted; 0 is no limit.
    pub frame_max: u32,
    /// Heartbeat interval in seconds; 0 is none.
    pub heartbeat: u16,
}

impl TuneOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 31,
        name: "connection.tune-ok",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let channel_max = input.short()?;
        let frame_max = input.long()?;
        let heartbeat = input.short()?;
        Ok(Self {
            channel_max,
            frame_max,
            heartbeat,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 31);
        put_short(out, self.channel_max);
        put_long(out, self.frame_max);
        put_short(out, self.heartbeat);
    }
}

/// connection.open: Enters a virtual host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Open {
    /// Its name.
    pub virtual_host: ShortStr,
}

impl Open {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 40,
        name: "connection.open",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let virtual_host = input.short_text()?;
        input.short_text()?;
        input.octet()?;
        Ok(Self { virtual_host })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 40);
        put_short_str(out, &self.virtual_host);
        put_octet(out, 0);
        put_octet(out, 0);
    }
}

/// connection.open-ok: The virtual host is entered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OpenOk;

impl OpenOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 41,
        name: "connection.open-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short_text()?;
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 41);
        put_octet(out, 0);
    }
}

/// connection.close: Ends the connection, in order or with an error.
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
        class_id: 10,
        method_id: 50,
        name: "connection.close",
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
        put_short(out, 10);
        put_short(out, 50);
        put_short(out, self.reply_code);
        put_short_str(out, &self.reply_text);
        put_short(out, self.class_id);
        put_short(out, self.method_id);
    }
}

/// connection.close-ok: The close was seen; nothing follows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CloseOk;

impl CloseOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 51,
        name: "connection.close-ok",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 51);
    }
}

/// connection.blocked: Publishers are not read until further notice. Sent to clients with the capability connection.blocked. RabbitMQ's extension.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocked {
    /// Which alarm went off.
    pub reason: ShortStr,
}

impl Blocked {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 60,
        name: "connection.blocked",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let reason = input.short_text()?;
        Ok(Self { reason })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 60);
        put_short_str(out, &self.reason);
    }
}

/// connection.unblocked: Publishers are read again. RabbitMQ's extension.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unblocked;

impl Unblocked {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 61,
        name: "connection.unblocked",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 61);
    }
}

/// connection.update-secret: Replaces the credential of an open connection, as a token that is about to expire. RabbitMQ's extension.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateSecret {
    /// The new credential.
    pub new_secret: Bytes,
    /// Why, for the log.
    pub reason: ShortStr,
}

impl UpdateSecret {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 70,
        name: "connection.update-secret",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let new_secret = input.long_str()?;
        let reason = input.short_text()?;
        Ok(Self { new_secret, reason })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 70);
        put_long_str(out, &self.new_secret);
        put_short_str(out, &self.reason);
    }
}

/// connection.update-secret-ok: The new credential was taken. RabbitMQ's extension.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpdateSecretOk;

impl UpdateSecretOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 10,
        method_id: 71,
        name: "connection.update-secret-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 10);
        put_short(out, 71);
    }
}
