//! Class queue. Queues: declaring, binding, purging, deleting.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

use super::Facts;
use crate::amqp::table::{FieldTable, ShortStr};
use crate::amqp::wire::{
    Reader, WireError, put_long, put_octet, put_short, put_short_str, put_table,
};

/// queue.declare: Makes a queue, or checks that one is as described.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declare {
    /// Its name; empty lets the server make one up.
    pub queue: ShortStr,
    /// Only look it up.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// For this connection alone, and gone with it.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// Send no answer.
    pub no_wait: bool,
    /// Extensions' arguments.
    pub arguments: FieldTable,
}

impl Declare {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 10,
        name: "queue.declare",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let queue = input.short_text()?;
        let bits = input.octet()?;
        let passive = bits & 1 != 0;
        let durable = bits & 2 != 0;
        let exclusive = bits & 4 != 0;
        let auto_delete = bits & 8 != 0;
        let no_wait = bits & 16 != 0;
        let arguments = input.table()?;
        Ok(Self {
            queue,
            passive,
            durable,
            exclusive,
            auto_delete,
            no_wait,
            arguments,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 10);
        put_short(out, 0);
        put_short_str(out, &self.queue);
        let mut bits = u8::from(self.passive);
        bits |= u8::from(self.durable) << 1;
        bits |= u8::from(self.exclusive) << 2;
        bits |= u8::from(self.auto_delete) << 3;
        bits |= u8::from(self.no_wait) << 4;
        put_octet(out, bits);
        put_table(out, &self.arguments);
    }
}

/// queue.declare-ok: The queue is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeclareOk {
    /// Its name.
    pub queue: ShortStr,
    /// Messages that are ready.
    pub message_count: u32,
    /// Consumers.
    pub consumer_count: u32,
}

impl DeclareOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 11,
        name: "queue.declare-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let queue = input.short_text()?;
        let message_count = input.long()?;
        let consumer_count = input.long()?;
        Ok(Self {
            queue,
            message_count,
            consumer_count,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 11);
        put_short_str(out, &self.queue);
        put_long(out, self.message_count);
        put_long(out, self.consumer_count);
    }
}

/// queue.bind: Binds a queue to an exchange.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bind {
    /// The queue; empty is the channel's last declared.
    pub queue: ShortStr,
    /// The exchange.
    pub exchange: ShortStr,
    /// What the exchange's type matches on.
    pub routing_key: ShortStr,
    /// Send no answer.
    pub no_wait: bool,
    /// What the exchange's type matches on, besides the key.
    pub arguments: FieldTable,
}

impl Bind {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 20,
        name: "queue.bind",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let queue = input.short_text()?;
        let exchange = input.short_text()?;
        let routing_key = input.short_text()?;
        let bits = input.octet()?;
        let no_wait = bits & 1 != 0;
        let arguments = input.table()?;
        Ok(Self {
            queue,
            exchange,
            routing_key,
            no_wait,
            arguments,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 20);
        put_short(out, 0);
        put_short_str(out, &self.queue);
        put_short_str(out, &self.exchange);
        put_short_str(out, &self.routing_key);
        put_octet(out, u8::from(self.no_wait));
        put_table(out, &self.arguments);
    }
}

/// queue.bind-ok: The binding is there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BindOk;

impl BindOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 21,
        name: "queue.bind-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 21);
    }
}

/// queue.purge: Drops all messages that are ready.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Purge {
    /// The queue; empty is the channel's last declared.
    pub queue: ShortStr,
    /// Send no answer.
    pub no_wait: bool,
}

impl Purge {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 30,
        name: "queue.purge",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let queue = input.short_text()?;
        let bits = input.octet()?;
        let no_wait = bits & 1 != 0;
        Ok(Self { queue, no_wait })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 30);
        put_short(out, 0);
        put_short_str(out, &self.queue);
        put_octet(out, u8::from(self.no_wait));
    }
}

/// queue.purge-ok: The queue was purged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PurgeOk {
    /// Messages dropped.
    pub message_count: u32,
}

impl PurgeOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 31,
        name: "queue.purge-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let message_count = input.long()?;
        Ok(Self { message_count })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 31);
        put_long(out, self.message_count);
    }
}

/// queue.delete: Deletes a queue, its messages and its bindings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delete {
    /// The queue; empty is the channel's last declared.
    pub queue: ShortStr,
    /// Only if it has no consumers.
    pub if_unused: bool,
    /// Only if no message is ready.
    pub if_empty: bool,
    /// Send no answer.
    pub no_wait: bool,
}

impl Delete {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 40,
        name: "queue.delete",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let queue = input.short_text()?;
        let bits = input.octet()?;
        let if_unused = bits & 1 != 0;
        let if_empty = bits & 2 != 0;
        let no_wait = bits & 4 != 0;
        Ok(Self {
            queue,
            if_unused,
            if_empty,
            no_wait,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 40);
        put_short(out, 0);
        put_short_str(out, &self.queue);
        let mut bits = u8::from(self.if_unused);
        bits |= u8::from(self.if_empty) << 1;
        bits |= u8::from(self.no_wait) << 2;
        put_octet(out, bits);
    }
}

/// queue.delete-ok: The queue is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeleteOk {
    /// Messages that went with it.
    pub message_count: u32,
}

impl DeleteOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 41,
        name: "queue.delete-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let message_count = input.long()?;
        Ok(Self { message_count })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 41);
        put_long(out, self.message_count);
    }
}

/// queue.unbind: Takes a binding away. It has no no-wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unbind {
    /// The queue; empty is the channel's last declared.
    pub queue: ShortStr,
    /// The exchange.
    pub exchange: ShortStr,
    /// The binding's key.
    pub routing_key: ShortStr,
    /// The binding's arguments.
    pub arguments: FieldTable,
}

impl Unbind {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 50,
        name: "queue.unbind",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let queue = input.short_text()?;
        let exchange = input.short_text()?;
        let routing_key = input.short_text()?;
        let arguments = input.table()?;
        Ok(Self {
            queue,
            exchange,
            routing_key,
            arguments,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 50);
        put_short(out, 0);
        put_short_str(out, &self.queue);
        put_short_str(out, &self.exchange);
        put_short_str(out, &self.routing_key);
        put_table(out, &self.arguments);
    }
}

/// queue.unbind-ok: The binding is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UnbindOk;

impl UnbindOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 50,
        method_id: 51,
        name: "queue.unbind-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 50);
        put_short(out, 51);
    }
}
