//! Random methods, tables, property sets and frames. Methods are made by reading `spec/` and
//! writing bytes as it says, so that they prove the generated code instead of repeating it.

use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use spec_generator::spec::{Class, Field, Method, Spec, WireType};
use warren::amqp::properties::Properties;
use warren::amqp::table::{FieldTable, FieldValue, ShortStr};

pub static SPEC: LazyLock<Spec> = LazyLock::new(|| {
    Spec::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("spec")).expect("spec/ can be read")
});

/// Every method of the specification.
pub fn every_method() -> impl Iterator<Item = (&'static Class, &'static Method)> {
    SPEC.classes
        .iter()
        .flat_map(|class| class.methods.iter().map(move |method| (class, method)))
}

/// What random data must keep to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Whatever RabbitMQ takes.
    RabbitMq,
    /// What survives amq-protocol too: text is UTF-8, a table's names are sorted and different.
    AmqProtocol,
}

/// Text of up to 255 bytes.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        4 => "[a-z.#*]{0,12}",
        2 => "\\PC{0,40}",
        1 => "[a-z]{240,255}",
    ]
    .boxed()
}

/// A short string of any bytes.
pub fn short_str(dialect: Dialect) -> BoxedStrategy<ShortStr> {
    let utf8 = text().prop_map(|text| ShortStr::new(text).expect("at most 255 bytes"));
    match dialect {
        Dialect::AmqProtocol => utf8.boxed(),
        Dialect::RabbitMq => prop_oneof![
            4 => utf8,
            1 => vec(any::<u8>(), 0..=255).prop_map(|bytes| ShortStr::from_bytes(&bytes).expect("at most 255 bytes")),
        ]
        .boxed(),
    }
}

fn bytes() -> BoxedStrategy<Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        "[a-z]{0,20}".prop_map(String::into_bytes)
    ]
    .prop_map(Bytes::from)
    .boxed()
}

/// Any float that equals itself.
fn double() -> BoxedStrategy<f64> {
    any::<f64>()
        .prop_filter("not a number", |value| !value.is_nan())
        .boxed()
}

fn float() -> BoxedStrategy<f32> {
    any::<f32>()
        .prop_filter("not a number", |value| !value.is_nan())
        .boxed()
}

/// A field value, nested or not.
pub fn field_value(dialect: Dialect) -> BoxedStrategy<FieldValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(FieldValue::Bool),
        any::<i8>().prop_map(FieldValue::I8),
        any::<u8>().prop_map(FieldValue::U8),
        any::<i16>().prop_map(FieldValue::I16),
        any::<u16>().prop_map(FieldValue::U16),
        any::<i32>().prop_map(FieldValue::I32),
        any::<u32>().prop_map(FieldValue::U32),
        any::<i64>().prop_map(FieldValue::I64),
        float().prop_map(FieldValue::F32),
        double().prop_map(FieldValue::F64),
        any::<(u8, u32)>().prop_map(|(scale, value)| FieldValue::Decimal { scale, value }),
        bytes().prop_map(FieldValue::LongStr),
        bytes().prop_map(FieldValue::Bytes),
        any::<u64>().prop_map(FieldValue::Timestamp),
        Just(FieldValue::Void),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(FieldValue::Array),
            table_of(inner, dialect).prop_map(FieldValue::Table),
        ]
    })
    .boxed()
}

fn table_of(value: BoxedStrategy<FieldValue>, dialect: Dialect) -> BoxedStrategy<FieldTable> {
    vec((short_str(dialect), value), 0..5)
        .prop_map(move |mut entries| {
            if dialect == Dialect::AmqProtocol {
                entries.sort_by(|(left, _), (right, _)| left.as_str().cmp(right.as_str()));
                entries.dedup_by(|(left, _), (right, _)| left == right);
            }
            FieldTable(entries)
        })
        .boxed()
}

/// A field table.
pub fn field_table(dialect: Dialect) -> BoxedStrategy<FieldTable> {
    table_of(field_value(dialect), dialect)
}

/// A property set.
pub fn properties(dialect: Dialect) -> BoxedStrategy<Properties> {
    let text = || proptest::option::of(short_str(dialect));
    (
        (
            text(),
            text(),
            proptest::option::of(field_table(dialect)),
            any::<Option<u8>>(),
            any::<Option<u8>>(),
        ),
        (text(), text(), text(), text(), any::<Option<u64>>()),
        (text(), text(), text(), text()),
    )
        .prop_map(|(first, second, third)| Properties {
            content_type: first.0,
            content_encoding: first.1,
            headers: first.2,
            delivery_mode: first.3,
            priority: first.4,
            correlation_id: second.0,
            reply_to: second.1,
            expiration: second.2,
            message_id: second.3,
            timestamp: second.4,
            kind: third.0,
            user_id: third.1,
            app_id: third.2,
            cluster_id: third.3,
        })
        .boxed()
}

/// A method frame's payload, as the specification has it.
pub fn method_payload(class: &Class, method: &Method, dialect: Dialect) -> BoxedStrategy<Vec<u8>> {
    payload(class, method, dialect, false)
}

/// The same with anything in the reserved fields and in the bits that have no meaning.
pub fn method_payload_with_noise(class: &Class, method: &Method) -> BoxedStrategy<Vec<u8>> {
    payload(class, method, Dialect::RabbitMq, true)
}

fn payload(
    class: &Class,
    method: &Method,
    dialect: Dialect,
    noise: bool,
) -> BoxedStrategy<Vec<u8>> {
    let dialect = if method.content {
        dialect
    } else {
        Dialect::AmqProtocol
    };
    let mut parts: Vec<BoxedStrategy<Vec<u8>>> =
        vec![Just([class.id.to_be_bytes(), method.id.to_be_bytes()].concat()).boxed()];
    let mut bits: Vec<&Field> = Vec::new();
    for field in &method.fields {
        let wire_type = SPEC.wire_type(field).expect("known type");
        if wire_type == WireType::Bit {
            bits.push(field);
            continue;
        }
        parts.extend(bit_octets(&mut bits, noise));
        parts.push(match field.reserved && !noise {
            true => Just(vec![0; zero_bytes(wire_type)]).boxed(),
            false => field_bytes(wire_type, dialect),
        });
    }
    parts.extend(bit_octets(&mut bits, noise));
    parts.prop_map(|parts| parts.concat()).boxed()
}

fn bit_octets(bits: &mut Vec<&Field>, noise: bool) -> Vec<BoxedStrategy<Vec<u8>>> {
    let octets = bits.chunks(8).map(|octet| {
        let meant = octet
            .iter()
            .enumerate()
            .filter(|(_, field)| !field.reserved)
            .fold(0_u8, |mask, (index, _)| mask | 1 << index);
        let mask = if noise { 0xff } else { meant };
        any::<u8>()
            .prop_map(move |octet| vec![octet & mask])
            .boxed()
    });
    let octets = octets.collect();
    bits.clear();
    octets
}

fn zero_bytes(wire_type: WireType) -> usize {
    match wire_type {
        WireType::Bit | WireType::Octet | WireType::Shortstr => 1,
        WireType::Short => 2,
        WireType::Long | WireType::Longstr | WireType::Table => 4,
        WireType::Longlong | WireType::Timestamp => 8,
    }
}

fn field_bytes(wire_type: WireType, dialect: Dialect) -> BoxedStrategy<Vec<u8>> {
    match wire_type {
        WireType::Bit => unreachable!("bits are put together before"),
        WireType::Octet => any::<u8>().prop_map(|value| vec![value]).boxed(),
        WireType::Short => any::<u16>()
            .prop_map(|value| value.to_be_bytes().to_vec())
            .boxed(),
        WireType::Long => any::<u32>()
            .prop_map(|value| value.to_be_bytes().to_vec())
            .boxed(),
        WireType::Longlong | WireType::Timestamp => any::<u64>()
            .prop_map(|value| value.to_be_bytes().to_vec())
            .boxed(),
        WireType::Shortstr => short_str(dialect)
            .prop_map(|text| [&[text.as_bytes().len() as u8], text.as_bytes()].concat())
            .boxed(),
        WireType::Longstr => bytes().prop_map(|bytes| with_length(&bytes)).boxed(),
        WireType::Table => field_table(dialect)
            .prop_map(|table| {
                let mut contents = Vec::new();
                table.encode(&mut contents);
                with_length(&contents)
            })
            .boxed(),
    }
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A frame around a payload, written by hand.
pub fn framed(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    [
        &[kind],
        &channel.to_be_bytes()[..],
        &with_length(payload),
        &[0xce],
    ]
    .concat()
}

/// The three (or two) frames of a message, with a publish method.
pub fn publish_frames(channel: u16, method: &[u8], properties: &[u8], body: &[u8]) -> Vec<u8> {
    let size = (body.len() as u64).to_be_bytes();
    let header = [&[0, 60, 0, 0], &size[..], properties].concat();
    let mut frames = [framed(1, channel, method), framed(2, channel, &header)].concat();
    if !body.is_empty() {
        frames.extend(framed(3, channel, body));
    }
    frames
}

/// A basic.publish's payload.
pub fn publish_payload() -> BoxedStrategy<Vec<u8>> {
    let (class, method) = every_method()
        .find(|(class, method)| class.name == "basic" && method.name == "publish")
        .expect("basic.publish");
    method_payload(class, method, Dialect::RabbitMq)
}

/// Encoded properties.
pub fn encoded_properties() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        Just(vec![0, 0]),
        properties(Dialect::RabbitMq).prop_map(|properties| {
            let mut raw = Vec::new();
            properties.encode(&mut raw);
            raw
        }),
    ]
    .boxed()
}

/// Bytes with some of them changed, cut out or put in.
pub fn damaged(original: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (original, vec(change, 1..4))
        .prop_map(|(mut bytes, changes)| {
            for (index, byte, change) in changes {
                let place = index.index(bytes.len() + 1);
                match change {
                    0 if place < bytes.len() => bytes[place] = byte,
                    1 if place < bytes.len() => {
                        bytes.remove(place);
                    }
                    2 => bytes.truncate(place),
                    _ => bytes.insert(place, byte),
                }
            }
            bytes
        })
        .boxed()
}
