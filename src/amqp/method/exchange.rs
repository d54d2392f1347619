//! Class exchange. Exchanges: declaring, deleting, and binding one to another.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

use super::Facts;
use crate::amqp::table::{FieldTable, ShortStr};
use crate::amqp::wire::{Reader, WireError, put_octet, put_short, put_short_str, put_table};

/// exchange.declare: Makes an exchange, or checks that one is as described.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declare {
    /// Its name.
    pub exchange: ShortStr,
    /// Its type: direct, fanout, topic, headers or an extension's. On the wire `type`.
    pub kind: ShortStr,
    /// Only look it up.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last binding. Reserved in 0-9-1, alive in RabbitMQ.
    pub auto_delete: bool,
    /// Cannot be published to by clients. Reserved in 0-9-1, alive in RabbitMQ.
    pub internal: bool,
    /// Send no answer.
    pub no_wait: bool,
    /// Extensions' arguments.
    pub arguments: FieldTable,
}

impl Declare {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 40,
        method_id: 10,
        name: "exchange.declare",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let exchange = input.short_text()?;
        let kind = input.short_text()?;
        let bits = input.octet()?;
        let passive = bits & 1 != 0;
        let durable = bits & 2 != 0;
        let auto_delete = bits & 4 != 0;
        let internal = bits & 8 != 0;
        let no_wait = bits & 16 != 0;
        let arguments = input.table()?;
        Ok(Self {
            exchange,
            kind,
            passive,
            durable,
            auto_delete,
            internal,
            no_wait,
            arguments,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 40);
        put_short(out, 10);
        put_short(out, 0);
        put_short_str(out, &self.exchange);
        put_short_str(out, &self.kind);
        let mut bits = u8::from(self.passive);
        bits |= u8::from(self.durable) << 1;
        bits |= u8::from(self.auto_delete) << 2;
        bits |= u8::from(self.internal) << 3;
        bits |= u8::from(self.no_wait) << 4;
        put_octet(out, bits);
        put_table(out, &self.arguments);
    }
}

/// exchange.declare-ok: The exchange is there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeclareOk;

impl DeclareOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 40,
        method_id: 11,
        name: "exchange.declare-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 40);
        put_short(out, 11);
    }
}

/// exchange.delete: Deletes an exchange and its bindings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delete {
    /// Its name.
    pub exchange: ShortStr,
    /// Only if nothing is bound to it.
    pub if_unused: bool,
    /// Send no answer.
    pub no_wait: bool,
}

impl Delete {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 40,
        method_id: 20,
        name: "exchange.delete",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let exchange = input.short_text()?;
        let bits = input.octet()?;
        let if_unused = bits & 1 != 0;
        let no_wait = bits & 2 != 0;
        Ok(Self {
            exchange,
            if_unused,
            no_wait,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 40);
        put_short(out, 20);
        put_short(out, 0);
        put_short_str(out, &self.exchange);
        let mut bits = u8::from(self.if_unused);
        bits |= u8::from(self.no_wait) << 1;
        put_octet(out, bits);
    }
}

/// exchange.delete-ok: The exchange is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeleteOk;

impl DeleteOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 40,
        method_id: 21,
        name: "exchange.delete-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 40);
        put_short(out, 21);
    }
}

/// exchange.bind: Binds an exchange to another, so that messages flow from source to destination. RabbitMQ's extension.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bind {
    /// The exchange that messages flow to.
    pub destination: ShortStr,
    /// The exchange that messages come from.
    pub source: ShortStr,
    /// What the source's type matches on.
    pub routing_key: ShortStr,
    /// Send no answer.
    pub no_wait: bool,
    /// What the source's type matches on, besides the key.
    pub arguments: FieldTable,
}

impl Bind {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 40,
        method_id: 30,
        name: "exchange.bind",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let destination = input.short_text()?;
        let source = input.short_text()?;
        let routing_key = input.short_text()?;
        let bits = input.octet()?;
        let no_wait = bits & 1 != 0;
        let arguments = input.table()?;
        Ok(Self {
            destination,
            source,
            routing_key,
            no_wait,
            arguments,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 40);
        put_short(out, 30);
        put_short(out, 0);
        put_short_str(out, &self.destination);
        put_short_str(out, &self.source);
        put_short_str(out, &self.routing_key);
        put_octet(out, u8::from(self.no_wait));
        put_table(out, &self.arguments);
    }
}

/// exchange.bind-ok: The binding is there. RabbitMQ's extension.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BindOk;

impl BindOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 40,
        method_id: 31,
        name: "exchange.bind-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 40);
        put_short(out, 31);
    }
}

/// exchange.unbind: Takes a binding between exchanges away. RabbitMQ's extension.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unbind {
    /// The exchange that messages flowed to.
    pub destination: ShortStr,
    /// The exchange that messages came from.
    pub source: ShortStr,
    /// The binding's key.
    pub routing_key: ShortStr,
    /// Send no answer.
    pub no_wait: bool,
    /// The binding's arguments.
    pub arguments: FieldTable,
}

impl Unbind {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 40,
        method_id: 40,
        name: "exchange.unbind",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let destination = input.short_text()?;
        let source = input.short_text()?;
        let routing_key = input.short_text()?;
        let bits = input.octet()?;
        let no_wait = bits & 1 != 0;
        let arguments = input.table()?;
        Ok(Self {
            destination,
            source,
            routing_key,
            no_wait,
            arguments,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 40);
        put_short(out, 40);
        put_short(out, 0);
        put_short_str(out, &self.destination);
        put_short_str(out, &self.source);
        put_short_str(out, &self.routing_key);
        put_octet(out, u8::from(self.no_wait));
        put_table(out, &self.arguments);
    }
}

/// exchange.unbind-ok: The binding is gone. RabbitMQ's extension.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UnbindOk;

impl UnbindOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 40,
        method_id: 51,
        name: "exchange.unbind-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 40);
        put_short(out, 51);
    }
}
