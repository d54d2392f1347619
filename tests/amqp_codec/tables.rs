//! Field tables.

use proptest::prelude::*;
use warren::amqp::table::{FieldTable, FieldValue, MAX_TABLE_DEPTH, TableError};

use crate::specimens::{Dialect, damaged, field_table};

fn encoded(table: &FieldTable) -> Vec<u8> {
    let mut contents = Vec::new();
    table.encode(&mut contents);
    contents
}

/// Contents of a table that holds tables, or arrays, so that `depth` of them lie in each other,
/// itself counted.
fn nested(depth: usize, array: bool) -> Vec<u8> {
    let (name, tag): (&[u8], &[u8]) = if array { (b"", b"A") } else { (b"\x01a", b"F") };
    let mut inner = Vec::new();
    for level in 2..=depth {
        let name = if level == depth { b"\x01a" } else { name };
        inner = [name, tag, &(inner.len() as u32).to_be_bytes(), &inner].concat();
    }
    inner
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(table in field_table(Dialect::RabbitMq)) {
        let contents = encoded(&table);
        prop_assert_eq!(FieldTable::validate(&contents), Ok(()));
        prop_assert_eq!(FieldTable::decode(&contents), Ok(table));
    }

    #[test]
    fn checking_and_reading_agree(contents in damaged(field_table(Dialect::RabbitMq).prop_map(|table| encoded(&table)).boxed())) {
        prop_assert_eq!(FieldTable::validate(&contents), FieldTable::decode(&contents).map(|_| ()));
    }

    #[test]
    fn checking_and_reading_agree_on_anything(contents in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(FieldTable::validate(&contents), FieldTable::decode(&contents).map(|_| ()));
    }
}

#[test]
fn type_tags_are_rabbitmqs() {
    let read: [(&[u8], FieldValue); 19] = [
        (b"t\x02", FieldValue::Bool(true)),
        (b"t\x00", FieldValue::Bool(false)),
        (b"b\xff", FieldValue::I8(-1)),
        (b"B\xff", FieldValue::U8(255)),
        (b"s\xff\xff", FieldValue::I16(-1)),
        (b"u\xff\xff", FieldValue::U16(65535)),
        (b"I\xff\xff\xff\xff", FieldValue::I32(-1)),
        (b"i\xff\xff\xff\xff", FieldValue::U32(u32::MAX)),
        (b"l\xff\xff\xff\xff\xff\xff\xff\xff", FieldValue::I64(-1)),
        (b"L\xff\xff\xff\xff\xff\xff\xff\xff", FieldValue::I64(-1)),
        (b"f\x3f\x80\x00\x00", FieldValue::F32(1.0)),
        (b"d\x3f\xf0\x00\x00\x00\x00\x00\x00", FieldValue::F64(1.0)),
        (
            b"D\x02\x00\x00\x00\x07",
            FieldValue::Decimal { scale: 2, value: 7 },
        ),
        (
            b"S\x00\x00\x00\x01\xff",
            FieldValue::LongStr(bytes::Bytes::from_static(b"\xff")),
        ),
        (
            b"x\x00\x00\x00\x01\xff",
            FieldValue::Bytes(bytes::Bytes::from_static(b"\xff")),
        ),
        (
            b"T\x00\x00\x00\x00\x00\x00\x00\x07",
            FieldValue::Timestamp(7),
        ),
        (b"V", FieldValue::Void),
        (
            b"A\x00\x00\x00\x01V",
            FieldValue::Array(vec![FieldValue::Void]),
        ),
        (
            b"F\x00\x00\x00\x03\x01kV",
            FieldValue::Table(FieldTable::from_iter([("k", FieldValue::Void)])),
        ),
    ];
    for (bytes, value) in read {
        let contents = [b"\x01a", bytes].concat();
        let table = FieldTable::decode(&contents).expect("well-formed");
        assert_eq!(table, FieldTable::from_iter([("a", value)]));
        let written = match bytes {
            b"t\x02" => b"\x01at\x01".to_vec(),
            [b'L', ..] => [b"\x01al", &bytes[1..]].concat(),
            _ => contents,
        };
        assert_eq!(encoded(&table), written);
    }
    for tag in 0..=u8::MAX {
        let known = b"tbBsuIilLfdDSxTVAF".contains(&tag);
        let contents = [b"\x01a", &[tag][..], &[0; 8]].concat();
        let unknown = FieldTable::decode(&contents) == Err(TableError::UnknownType(tag));
        assert_eq!(unknown, !known, "{}", char::from(tag));
    }
}

#[test]
fn not_a_number_and_infinities_pass() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let contents = encoded(&FieldTable::from_iter([("a", FieldValue::F64(value))]));
        let table = FieldTable::decode(&contents).expect("well-formed");
        assert!(
            matches!(table.get("a"), Some(FieldValue::F64(read)) if read.to_bits() == value.to_bits())
        );
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let lies: [&[u8]; 9] = [
        b"\x05ab",
        b"\x01a",
        b"\x01aS\x00\x00\x00\x02a",
        b"\x01aS\xff\xff\xff\xffa",
        b"\x01aF\x00\x00\x00\x04\x05abc",
        b"\x01aF\xff\xff\xff\xff",
        b"\x01aA\x00\x00\x00\x02I\x00",
        b"\x01al\x00\x00",
        b"\x01aA\x00\x00",
    ];
    for contents in lies {
        assert_eq!(
            FieldTable::decode(contents),
            Err(TableError::Truncated),
            "{contents:?}"
        );
        assert_eq!(
            FieldTable::validate(contents),
            Err(TableError::Truncated),
            "{contents:?}"
        );
    }
}

#[test]
fn nesting_has_a_limit() {
    for array in [false, true] {
        for (depth, expected) in [
            (1, Ok(())),
            (MAX_TABLE_DEPTH, Ok(())),
            (MAX_TABLE_DEPTH + 1, Err(TableError::TooDeep)),
            (1000, Err(TableError::TooDeep)),
            (10_000, Err(TableError::TooDeep)),
        ] {
            let contents = nested(depth, array);
            assert_eq!(FieldTable::validate(&contents), expected, "{depth} {array}");
            assert_eq!(
                FieldTable::decode(&contents).map(|_| ()),
                expected,
                "{depth} {array}"
            );
        }
    }
}

#[test]
fn the_deepest_table_needs_little_stack() {
    let contents = nested(MAX_TABLE_DEPTH, false);
    let deep = std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(move || {
            let table = FieldTable::decode(&contents).expect("well-formed");
            let copy = table.clone();
            assert_eq!(encoded(&copy), contents);
            assert_eq!(table, copy);
        });
    deep.expect("a thread").join().expect("no overflow");
}
