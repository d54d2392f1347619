//! Against the `amq-protocol` crate: for every method and property set, in both directions.
//!
//! A value of ours is turned into theirs field by field; then what they write must be what we
//! write, and what they read of it must be what was turned. Swapped fields of one type would
//! show here, and only here.

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::{
    AMQPClass, access, basic, channel, confirm, connection, exchange, queue, tx,
};
use amq_protocol::types;
use amq_protocol::types::AMQPValue;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use warren::amqp::encode::{content_header_frame, method_frame};
use warren::amqp::frame::{FrameKind, content_header, frame};
use warren::amqp::method::Method;
use warren::amqp::properties::Properties;
use warren::amqp::table::{FieldTable, FieldValue, ShortStr};

use crate::specimens::{Dialect, every_method, method_payload, properties};

fn written_by_them(frame: &AMQPFrame) -> Vec<u8> {
    gen_frame(frame)(WriteContext::from(Vec::new()))
        .expect("they can write it")
        .into_inner()
        .0
}

fn read_by_them(bytes: &[u8]) -> AMQPFrame {
    let (rest, frame) = parse_frame(bytes).expect("they can read it");
    assert!(rest.is_empty());
    frame
}

/// What they have no field for: they write zero and skip what they read.
fn without_what_they_lack(mut method: Method) -> Method {
    match &mut method {
        Method::BasicQos(qos) => qos.prefetch_size = 0,
        Method::AccessRequestOk(ok) => ok.ticket = 1,
        _ => {}
    }
    method
}

#[test]
fn every_method_is_theirs_too() {
    for (class, method) in every_method() {
        let payloads = (
            any::<u16>(),
            method_payload(class, method, Dialect::AmqProtocol),
        );
        TestRunner::new(ProptestConfig::with_cases(64))
            .run(&payloads, |(channel, payload)| {
                let ours = without_what_they_lack(Method::decode(&payload).expect("well-formed"));
                let theirs = AMQPFrame::Method(channel, theirs(&ours));
                let mut bytes = Vec::new();
                method_frame(&mut bytes, channel, &ours);
                prop_assert_eq!(&bytes, &written_by_them(&theirs));
                prop_assert_eq!(read_by_them(&bytes), theirs);
                let (read, used) = frame(&bytes, 0).expect("well-formed").expect("whole");
                prop_assert_eq!(
                    (read.kind, read.channel, used),
                    (FrameKind::Method, channel, bytes.len())
                );
                prop_assert_eq!(Method::decode(read.payload), Ok(ours));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{}.{}: {error}", class.name, method.name));
    }
}

proptest! {
    #[test]
    fn every_property_set_is_theirs_too(
        (channel, body_size) in any::<(u16, u64)>(),
        ours in properties(Dialect::AmqProtocol),
    ) {
        let header = AMQPContentHeader { class_id: 60, body_size, properties: their_properties(&ours) };
        let theirs = AMQPFrame::Header(channel, header);
        let mut raw = Vec::new();
        ours.encode(&mut raw);
        let mut bytes = Vec::new();
        content_header_frame(&mut bytes, channel, body_size, &raw);
        prop_assert_eq!(&bytes, &written_by_them(&theirs));
        prop_assert_eq!(read_by_them(&bytes), theirs);
        let (read, _) = frame(&bytes, 0).expect("well-formed").expect("whole");
        let header = content_header(read.payload).expect("long enough");
        prop_assert_eq!((header.class_id, header.weight, header.body_size), (60, 0, body_size));
        prop_assert_eq!(Properties::decode(header.properties), Ok(ours));
    }
}

fn short(text: &ShortStr) -> types::ShortString {
    types::ShortString::from(text.as_str())
}

fn long(bytes: &[u8]) -> types::LongString {
    types::LongString::from(bytes)
}

fn table(table: &FieldTable) -> types::FieldTable {
    let mut theirs = types::FieldTable::default();
    for (name, entry) in table.iter() {
        theirs.insert(types::ShortString::from(name), value(entry));
    }
    theirs
}

fn value(value_of_ours: &FieldValue) -> AMQPValue {
    match value_of_ours {
        FieldValue::Bool(value) => AMQPValue::Boolean(*value),
        FieldValue::I8(value) => AMQPValue::ShortShortInt(*value),
        FieldValue::U8(value) => AMQPValue::ShortShortUInt(*value),
        FieldValue::I16(value) => AMQPValue::ShortInt(*value),
        FieldValue::U16(value) => AMQPValue::ShortUInt(*value),
        FieldValue::I32(value) => AMQPValue::LongInt(*value),
        FieldValue::U32(value) => AMQPValue::LongUInt(*value),
        FieldValue::I64(value) => AMQPValue::LongLongInt(*value),
        FieldValue::F32(value) => AMQPValue::Float(*value),
        FieldValue::F64(value) => AMQPValue::Double(*value),
        FieldValue::Decimal { scale, value } => AMQPValue::DecimalValue(types::DecimalValue {
            scale: *scale,
            value: *value,
        }),
        FieldValue::LongStr(bytes) => AMQPValue::LongString(long(bytes)),
        FieldValue::Bytes(bytes) => AMQPValue::ByteArray(types::ByteArray::from(&bytes[..])),
        FieldValue::Array(values) => AMQPValue::FieldArray(types::FieldArray::from(
            values.iter().map(value).collect::<Vec<_>>(),
        )),
        FieldValue::Timestamp(value) => AMQPValue::Timestamp(*value),
        FieldValue::Table(entries) => AMQPValue::FieldTable(table(entries)),
        FieldValue::Void => AMQPValue::Void,
    }
}

fn their_properties(ours: &Properties) -> basic::AMQPProperties {
    let mut theirs = basic::AMQPProperties::default();
    macro_rules! carry {
        ($($field:ident $with:ident $convert:expr;)*) => {
            $(if let Some(value) = &ours.$field {
                theirs = theirs.$with($convert(value));
            })*
        };
    }
    carry! {
        content_type with_content_type short;
        content_encoding with_content_encoding short;
        headers with_headers table;
        delivery_mode with_delivery_mode u8::clone;
        priority with_priority u8::clone;
        correlation_id with_correlation_id short;
        reply_to with_reply_to short;
        expiration with_expiration short;
        message_id with_message_id short;
        timestamp with_timestamp u64::clone;
        kind with_type short;
        user_id with_user_id short;
        app_id with_app_id short;
        cluster_id with_cluster_id short;
    }
    theirs
}

fn theirs(ours: &Method) -> AMQPClass {
    match ours {
        Method::ConnectionStart(m) => {
            AMQPClass::Connection(connection::AMQPMethod::Start(connection::Start {
                version_major: m.version_major,
                version_minor: m.version_minor,
                server_properties: table(&m.server_properties),
                mechanisms: long(&m.mechanisms),
                locales: long(&m.locales),
            }))
        }
        Method::ConnectionStartOk(m) => {
            AMQPClass::Connection(connection::AMQPMethod::StartOk(connection::StartOk {
                client_properties: table(&m.client_properties),
                mechanism: short(&m.mechanism),
                response: long(&m.response),
                locale: short(&m.locale),
            }))
        }
        Method::ConnectionSecure(m) => {
            AMQPClass::Connection(connection::AMQPMethod::Secure(connection::Secure {
                challenge: long(&m.challenge),
            }))
        }
        Method::ConnectionSecureOk(m) => {
            AMQPClass::Connection(connection::AMQPMethod::SecureOk(connection::SecureOk {
                response: long(&m.response),
            }))
        }
        Method::ConnectionTune(m) => {
            AMQPClass::Connection(connection::AMQPMethod::Tune(connection::Tune {
                channel_max: m.channel_max,
                frame_max: m.frame_max,
                heartbeat: m.heartbeat,
            }))
        }
        Method::ConnectionTuneOk(m) => {
            AMQPClass::Connection(connection::AMQPMethod::TuneOk(connection::TuneOk {
                channel_max: m.channel_max,
                frame_max: m.frame_max,
                heartbeat: m.heartbeat,
            }))
        }
        Method::ConnectionOpen(m) => {
            AMQPClass::Connection(connection::AMQPMethod::Open(connection::Open {
                virtual_host: short(&m.virtual_host),
            }))
        }
        Method::ConnectionOpenOk(_) => {
            AMQPClass::Connection(connection::AMQPMethod::OpenOk(connection::OpenOk {}))
        }
        Method::ConnectionClose(m) => {
            AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
                reply_code: m.reply_code,
                reply_text: short(&m.reply_text),
                class_id: m.class_id,
                method_id: m.method_id,
            }))
        }
        Method::ConnectionCloseOk(_) => {
            AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}))
        }
        Method::ConnectionBlocked(m) => {
            AMQPClass::Connection(connection::AMQPMethod::Blocked(connection::Blocked {
                reason: short(&m.reason),
            }))
        }
        Method::ConnectionUnblocked(_) => {
            AMQPClass::Connection(connection::AMQPMethod::Unblocked(connection::Unblocked {}))
        }
        Method::ConnectionUpdateSecret(m) => AMQPClass::Connection(
            connection::AMQPMethod::UpdateSecret(connection::UpdateSecret {
                new_secret: long(&m.new_secret),
                reason: short(&m.reason),
            }),
        ),
        Method::ConnectionUpdateSecretOk(_) => AMQPClass::Connection(
            connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {}),
        ),
        Method::ChannelOpen(_) => AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})),
        Method::ChannelOpenOk(_) => {
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {}))
        }
        Method::ChannelFlow(m) => AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow {
            active: m.active,
        })),
        Method::ChannelFlowOk(m) => {
            AMQPClass::Channel(channel::AMQPMethod::FlowOk(channel::FlowOk {
                active: m.active,
            }))
        }
        Method::ChannelClose(m) => AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
            reply_code: m.reply_code,
            reply_text: short(&m.reply_text),
            class_id: m.class_id,
            method_id: m.method_id,
        })),
        Method::ChannelCloseOk(_) => {
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))
        }
        Method::AccessRequest(m) => {
            AMQPClass::Access(access::AMQPMethod::Request(access::Request {
                realm: short(&m.realm),
                exclusive: m.exclusive,
                passive: m.passive,
                active: m.active,
                write: m.write,
                read: m.read,
            }))
        }
        Method::AccessRequestOk(_) => {
            AMQPClass::Access(access::AMQPMethod::RequestOk(access::RequestOk {}))
        }
        Method::ExchangeDeclare(m) => {
            AMQPClass::Exchange(exchange::AMQPMethod::Declare(exchange::Declare {
                exchange: short(&m.exchange),
                kind: short(&m.kind),
                passive: m.passive,
                durable: m.durable,
                auto_delete: m.auto_delete,
                internal: m.internal,
                nowait: m.no_wait,
                arguments: table(&m.arguments),
            }))
        }
        Method::ExchangeDeclareOk(_) => {
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}))
        }
        Method::ExchangeDelete(m) => {
            AMQPClass::Exchange(exchange::AMQPMethod::Delete(exchange::Delete {
                exchange: short(&m.exchange),
                if_unused: m.if_unused,
                nowait: m.no_wait,
            }))
        }
        Method::ExchangeDeleteOk(_) => {
            AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {}))
        }
        Method::ExchangeBind(m) => {
            AMQPClass::Exchange(exchange::AMQPMethod::Bind(exchange::Bind {
                destination: short(&m.destination),
                source: short(&m.source),
                routing_key: short(&m.routing_key),
                nowait: m.no_wait,
                arguments: table(&m.arguments),
            }))
        }
        Method::ExchangeBindOk(_) => {
            AMQPClass::Exchange(exchange::AMQPMethod::BindOk(exchange::BindOk {}))
        }
        Method::ExchangeUnbind(m) => {
            AMQPClass::Exchange(exchange::AMQPMethod::Unbind(exchange::Unbind {
                destination: short(&m.destination),
                source: short(&m.source),
                routing_key: short(&m.routing_key),
                nowait: m.no_wait,
                arguments: table(&m.arguments),
            }))
        }
        Method::ExchangeUnbindOk(_) => {
            AMQPClass::Exchange(exchange::AMQPMethod::UnbindOk(exchange::UnbindOk {}))
        }
        Method::QueueDeclare(m) => AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
            queue: short(&m.queue),
            passive: m.passive,
            durable: m.durable,
            exclusive: m.exclusive,
            auto_delete: m.auto_delete,
            nowait: m.no_wait,
            arguments: table(&m.arguments),
        })),
        Method::QueueDeclareOk(m) => {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
                queue: short(&m.queue),
                message_count: m.message_count,
                consumer_count: m.consumer_count,
            }))
        }
        Method::QueueBind(m) => AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
            queue: short(&m.queue),
            exchange: short(&m.exchange),
            routing_key: short(&m.routing_key),
            nowait: m.no_wait,
            arguments: table(&m.arguments),
        })),
        Method::QueueBindOk(_) => AMQPClass::Queue(queue::AMQPMethod::BindOk(queue::BindOk {})),
        Method::QueuePurge(m) => AMQPClass::Queue(queue::AMQPMethod::Purge(queue::Purge {
            queue: short(&m.queue),
            nowait: m.no_wait,
        })),
        Method::QueuePurgeOk(m) => AMQPClass::Queue(queue::AMQPMethod::PurgeOk(queue::PurgeOk {
            message_count: m.message_count,
        })),
        Method::QueueDelete(m) => AMQPClass::Queue(queue::AMQPMethod::Delete(queue::Delete {
            queue: short(&m.queue),
            if_unused: m.if_unused,
            if_empty: m.if_empty,
            nowait: m.no_wait,
        })),
        Method::QueueDeleteOk(m) => {
            AMQPClass::Queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk {
                message_count: m.message_count,
            }))
        }
        Method::QueueUnbind(m) => AMQPClass::Queue(queue::AMQPMethod::Unbind(queue::Unbind {
            queue: short(&m.queue),
            exchange: short(&m.exchange),
            routing_key: short(&m.routing_key),
            arguments: table(&m.arguments),
        })),
        Method::QueueUnbindOk(_) => {
            AMQPClass::Queue(queue::AMQPMethod::UnbindOk(queue::UnbindOk {}))
        }
        Method::BasicQos(m) => AMQPClass::Basic(basic::AMQPMethod::Qos(basic::Qos {
            prefetch_count: m.prefetch_count,
            global: m.global,
        })),
        Method::BasicQosOk(_) => AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {})),
        Method::BasicConsume(m) => AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
            queue: short(&m.queue),
            consumer_tag: short(&m.consumer_tag),
            no_local: m.no_local,
            no_ack: m.no_ack,
            exclusive: m.exclusive,
            nowait: m.no_wait,
            arguments: table(&m.arguments),
        })),
        Method::BasicConsumeOk(m) => {
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(basic::ConsumeOk {
                consumer_tag: short(&m.consumer_tag),
            }))
        }
        Method::BasicCancel(m) => AMQPClass::Basic(basic::AMQPMethod::Cancel(basic::Cancel {
            consumer_tag: short(&m.consumer_tag),
            nowait: m.no_wait,
        })),
        Method::BasicCancelOk(m) => {
            AMQPClass::Basic(basic::AMQPMethod::CancelOk(basic::CancelOk {
                consumer_tag: short(&m.consumer_tag),
            }))
        }
        Method::BasicPublish(m) => AMQPClass::Basic(basic::AMQPMethod::Publish(basic::Publish {
            exchange: short(&m.exchange),
            routing_key: short(&m.routing_key),
            mandatory: m.mandatory,
            immediate: m.immediate,
        })),
        Method::BasicReturn(m) => AMQPClass::Basic(basic::AMQPMethod::Return(basic::Return {
            reply_code: m.reply_code,
            reply_text: short(&m.reply_text),
            exchange: short(&m.exchange),
            routing_key: short(&m.routing_key),
        })),
        Method::BasicDeliver(m) => AMQPClass::Basic(basic::AMQPMethod::Deliver(basic::Deliver {
            consumer_tag: short(&m.consumer_tag),
            delivery_tag: m.delivery_tag,
            redelivered: m.redelivered,
            exchange: short(&m.exchange),
            routing_key: short(&m.routing_key),
        })),
        Method::BasicGet(m) => AMQPClass::Basic(basic::AMQPMethod::Get(basic::Get {
            queue: short(&m.queue),
            no_ack: m.no_ack,
        })),
        Method::BasicGetOk(m) => AMQPClass::Basic(basic::AMQPMethod::GetOk(basic::GetOk {
            delivery_tag: m.delivery_tag,
            redelivered: m.redelivered,
            exchange: short(&m.exchange),
            routing_key: short(&m.routing_key),
            message_count: m.message_count,
        })),
        Method::BasicGetEmpty(_) => {
            AMQPClass::Basic(basic::AMQPMethod::GetEmpty(basic::GetEmpty {}))
        }
        Method::BasicAck(m) => AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack {
            delivery_tag: m.delivery_tag,
            multiple: m.multiple,
        })),
        Method::BasicReject(m) => AMQPClass::Basic(basic::AMQPMethod::Reject(basic::Reject {
            delivery_tag: m.delivery_tag,
            requeue: m.requeue,
        })),
        Method::BasicRecoverAsync(m) => {
            AMQPClass::Basic(basic::AMQPMethod::RecoverAsync(basic::RecoverAsync {
                requeue: m.requeue,
            }))
        }
        Method::BasicRecover(m) => AMQPClass::Basic(basic::AMQPMethod::Recover(basic::Recover {
            requeue: m.requeue,
        })),
        Method::BasicRecoverOk(_) => {
            AMQPClass::Basic(basic::AMQPMethod::RecoverOk(basic::RecoverOk {}))
        }
        Method::BasicNack(m) => AMQPClass::Basic(basic::AMQPMethod::Nack(basic::Nack {
            delivery_tag: m.delivery_tag,
            multiple: m.multiple,
            requeue: m.requeue,
        })),
        Method::ConfirmSelect(m) => {
            AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select {
                nowait: m.no_wait,
            }))
        }
        Method::ConfirmSelectOk(_) => {
            AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}))
        }
        Method::TxSelect(_) => AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})),
        Method::TxSelectOk(_) => AMQPClass::Tx(tx::AMQPMethod::SelectOk(tx::SelectOk {})),
        Method::TxCommit(_) => AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})),
        Method::TxCommitOk(_) => AMQPClass::Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {})),
        Method::TxRollback(_) => AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {})),
        Method::TxRollbackOk(_) => AMQPClass::Tx(tx::AMQPMethod::RollbackOk(tx::RollbackOk {})),
    }
}
