//! Class basic. Messages: publishing, consuming, getting, acknowledging.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

use super::Facts;
use crate::amqp::table::{FieldTable, ShortStr};
use crate::amqp::wire::{
    Reader, WireError, put_long, put_longlong, put_octet, put_short, put_short_str, put_table,
};

/// basic.qos: Limits what may be delivered and not yet acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Qos {
    /// Limit in bytes; 0 is none. RabbitMQ refuses any other.
    pub prefetch_size: u32,
    /// Limit in messages; 0 is none.
    pub prefetch_count: u16,
    /// For RabbitMQ: the channel shares one limit, instead of each new consumer having its own.
    pub global: bool,
}

impl Qos {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 10,
        name: "basic.qos",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let prefetch_size = input.long()?;
        let prefetch_count = input.short()?;
        let bits = input.octet()?;
        let global = bits & 1 != 0;
        Ok(Self {
            prefetch_size,
            prefetch_count,
            global,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 10);
        put_long(out, self.prefetch_size);
        put_short(out, self.prefetch_count);
        put_octet(out, u8::from(self.global));
    }
}

/// basic.qos-ok: The limits hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QosOk;

impl QosOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 11,
        name: "basic.qos-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 11);
    }
}

/// basic.consume: Starts a consumer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consume {
    /// The queue; empty is the channel's last declared.
    pub queue: ShortStr,
    /// The consumer's name; empty lets the server make one up.
    pub consumer_tag: ShortStr,
    /// Not what this connection published. RabbitMQ ignores it.
    pub no_local: bool,
    /// What is delivered counts as acknowledged.
    pub no_ack: bool,
    /// The only consumer of the queue.
    pub exclusive: bool,
    /// Send no answer.
    pub no_wait: bool,
    /// Extensions' arguments.
    pub arguments: FieldTable,
}

impl Consume {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 20,
        name: "basic.consume",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let queue = input.short_text()?;
        let consumer_tag = input.short_text()?;
        let bits = input.octet()?;
        let no_local = bits & 1 != 0;
        let no_ack = bits & 2 != 0;
        let exclusive = bits & 4 != 0;
        let no_wait = bits & 8 != 0;
        let arguments = input.table()?;
        Ok(Self {
            queue,
            consumer_tag,
            no_local,
            no_ack,
            exclusive,
            no_wait,
            arguments,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 20);
        put_short(out, 0);
        put_short_str(out, &self.queue);
        put_short_str(out, &self.consumer_tag);
        let mut bits = u8::from(self.no_local);
        bits |= u8::from(self.no_ack) << 1;
        bits |= u8::from(self.exclusive) << 2;
        bits |= u8::from(self.no_wait) << 3;
        put_octet(out, bits);
        put_table(out, &self.arguments);
    }
}

/// basic.consume-ok: The consumer is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumeOk {
    /// Its name.
    pub consumer_tag: ShortStr,
}

impl ConsumeOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 21,
        name: "basic.consume-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let consumer_tag = input.short_text()?;
        Ok(Self { consumer_tag })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 21);
        put_short_str(out, &self.consumer_tag);
    }
}

/// basic.cancel: Ends a consumer. The server sends it too, when a queue goes, to clients with the capability consumer_cancel_notify.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cancel {
    /// The consumer.
    pub consumer_tag: ShortStr,
    /// Send no answer.
    pub no_wait: bool,
}

impl Cancel {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 30,
        name: "basic.cancel",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let consumer_tag = input.short_text()?;
        let bits = input.octet()?;
        let no_wait = bits & 1 != 0;
        Ok(Self {
            consumer_tag,
            no_wait,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 30);
        put_short_str(out, &self.consumer_tag);
        put_octet(out, u8::from(self.no_wait));
    }
}

/// basic.cancel-ok: The consumer is gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CancelOk {
    /// The consumer.
    pub consumer_tag: ShortStr,
}

impl CancelOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 31,
        name: "basic.cancel-ok",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let consumer_tag = input.short_text()?;
        Ok(Self { consumer_tag })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 31);
        put_short_str(out, &self.consumer_tag);
    }
}

/// basic.publish: Publishes the message that follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publish {
    /// Where to; empty is the default exchange.
    pub exchange: ShortStr,
    /// What the exchange routes by.
    pub routing_key: ShortStr,
    /// Return it if it reaches no queue.
    pub mandatory: bool,
    /// Return it if no consumer is ready. RabbitMQ refuses it.
    pub immediate: bool,
}

impl Publish {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 40,
        name: "basic.publish",
        has_content: true,
        is_synchronous: false,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let exchange = input.short_str()?;
        let routing_key = input.short_str()?;
        let bits = input.octet()?;
        let mandatory = bits & 1 != 0;
        let immediate = bits & 2 != 0;
        Ok(Self {
            exchange,
            routing_key,
            mandatory,
            immediate,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 40);
        put_short(out, 0);
        put_short_str(out, &self.exchange);
        put_short_str(out, &self.routing_key);
        let mut bits = u8::from(self.mandatory);
        bits |= u8::from(self.immediate) << 1;
        put_octet(out, bits);
    }
}

/// basic.return: Gives a mandatory message back that reached no queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Return {
    /// Why.
    pub reply_code: u16,
    /// Why, in words.
    pub reply_text: ShortStr,
    /// Where it was published to.
    pub exchange: ShortStr,
    /// The key it was published with.
    pub routing_key: ShortStr,
}

impl Return {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 50,
        name: "basic.return",
        has_content: true,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let reply_code = input.short()?;
        let reply_text = input.short_str()?;
        let exchange = input.short_str()?;
        let routing_key = input.short_str()?;
        Ok(Self {
            reply_code,
            reply_text,
            exchange,
            routing_key,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 50);
        put_short(out, self.reply_code);
        put_short_str(out, &self.reply_text);
        put_short_str(out, &self.exchange);
        put_short_str(out, &self.routing_key);
    }
}

/// basic.deliver: Delivers the message that follows to a consumer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deliver {
    /// The consumer.
    pub consumer_tag: ShortStr,
    /// What to acknowledge it by, on this channel.
    pub delivery_tag: u64,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Where it was published to.
    pub exchange: ShortStr,
    /// The key it was published with.
    pub routing_key: ShortStr,
}

impl Deliver {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 60,
        name: "basic.deliver",
        has_content: true,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let consumer_tag = input.short_str()?;
        let delivery_tag = input.longlong()?;
        let bits = input.octet()?;
        let redelivered = bits & 1 != 0;
        let exchange = input.short_str()?;
        let routing_key = input.short_str()?;
        Ok(Self {
            consumer_tag,
            delivery_tag,
            redelivered,
            exchange,
            routing_key,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 60);
        put_short_str(out, &self.consumer_tag);
        put_longlong(out, self.delivery_tag);
        put_octet(out, u8::from(self.redelivered));
        put_short_str(out, &self.exchange);
        put_short_str(out, &self.routing_key);
    }
}

/// basic.get: Asks for one message of a queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Get {
    /// The queue; empty is the channel's last declared.
    pub queue: ShortStr,
    /// What is given counts as acknowledged.
    pub no_ack: bool,
}

impl Get {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 70,
        name: "basic.get",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.short()?;
        let queue = input.short_text()?;
        let bits = input.octet()?;
        let no_ack = bits & 1 != 0;
        Ok(Self { queue, no_ack })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 70);
        put_short(out, 0);
        put_short_str(out, &self.queue);
        put_octet(out, u8::from(self.no_ack));
    }
}

/// basic.get-ok: Gives the message that follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GetOk {
    /// What to acknowledge it by, on this channel.
    pub delivery_tag: u64,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Where it was published to.
    pub exchange: ShortStr,
    /// The key it was published with.
    pub routing_key: ShortStr,
    /// Messages that remain ready.
    pub message_count: u32,
}

impl GetOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 71,
        name: "basic.get-ok",
        has_content: true,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let delivery_tag = input.longlong()?;
        let bits = input.octet()?;
        let redelivered = bits & 1 != 0;
        let exchange = input.short_str()?;
        let routing_key = input.short_str()?;
        let message_count = input.long()?;
        Ok(Self {
            delivery_tag,
            redelivered,
            exchange,
            routing_key,
            message_count,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 71);
        put_longlong(out, self.delivery_tag);
        put_octet(out, u8::from(self.redelivered));
        put_short_str(out, &self.exchange);
        put_short_str(out, &self.routing_key);
        put_long(out, self.message_count);
    }
}

/// basic.get-empty: There is no message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GetEmpty;

impl GetEmpty {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 72,
        name: "basic.get-empty",
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
        put_short(out, 60);
        put_short(out, 72);
        put_octet(out, 0);
    }
}

/// basic.ack: Settles deliveries for good. From the server: confirms what was published.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ack {
    /// Which; 0 with `multiple` is all so far.
    pub delivery_tag: u64,
    /// This one and all before it.
    pub multiple: bool,
}

impl Ack {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 80,
        name: "basic.ack",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let delivery_tag = input.longlong()?;
        let bits = input.octet()?;
        let multiple = bits & 1 != 0;
        Ok(Self {
            delivery_tag,
            multiple,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 80);
        put_longlong(out, self.delivery_tag);
        put_octet(out, u8::from(self.multiple));
    }
}

/// basic.reject: Gives one delivery back, or throws it away.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reject {
    /// Which.
    pub delivery_tag: u64,
    /// Back into the queue; otherwise dead-lettered or dropped.
    pub requeue: bool,
}

impl Reject {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 90,
        name: "basic.reject",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let delivery_tag = input.longlong()?;
        let bits = input.octet()?;
        let requeue = bits & 1 != 0;
        Ok(Self {
            delivery_tag,
            requeue,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 90);
        put_longlong(out, self.delivery_tag);
        put_octet(out, u8::from(self.requeue));
    }
}

/// basic.recover-async: Like recover, without an answer; deprecated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecoverAsync {
    /// Back into the queue. RabbitMQ refuses the other way.
    pub requeue: bool,
}

impl RecoverAsync {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 100,
        name: "basic.recover-async",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let bits = input.octet()?;
        let requeue = bits & 1 != 0;
        Ok(Self { requeue })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 100);
        put_octet(out, u8::from(self.requeue));
    }
}

/// basic.recover: Gives all unacknowledged deliveries of the channel back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recover {
    /// Back into the queue. RabbitMQ refuses the other way.
    pub requeue: bool,
}

impl Recover {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 110,
        name: "basic.recover",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let bits = input.octet()?;
        let requeue = bits & 1 != 0;
        Ok(Self { requeue })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 110);
        put_octet(out, u8::from(self.requeue));
    }
}

/// basic.recover-ok: They were given back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecoverOk;

impl RecoverOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 111,
        name: "basic.recover-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 111);
    }
}

/// basic.nack: Rejects one or many deliveries. From the server: refuses what was published. RabbitMQ's extension.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Nack {
    /// Which; 0 with `multiple` is all so far.
    pub delivery_tag: u64,
    /// This one and all before it.
    pub multiple: bool,
    /// Back into the queue; otherwise dead-lettered or dropped.
    pub requeue: bool,
}

impl Nack {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 60,
        method_id: 120,
        name: "basic.nack",
        has_content: false,
        is_synchronous: false,
        from_client: true,
        from_server: true,
    };

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let delivery_tag = input.longlong()?;
        let bits = input.octet()?;
        let multiple = bits & 1 != 0;
        let requeue = bits & 2 != 0;
        Ok(Self {
            delivery_tag,
            multiple,
            requeue,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 60);
        put_short(out, 120);
        put_longlong(out, self.delivery_tag);
        let mut bits = u8::from(self.multiple);
        bits |= u8::from(self.requeue) << 1;
        put_octet(out, bits);
    }
}
