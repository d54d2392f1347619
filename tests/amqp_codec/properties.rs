//! Property sets.

use proptest::prelude::*;
use warren::amqp::properties::{
    NO_PROPERTIES, Properties, PropertyError, Scan, headers, put_with_header, scan,
};
use warren::amqp::table::{FieldTable, FieldValue, ShortStr, TableError};

use crate::specimens::{Dialect, SPEC, damaged, encoded_properties, properties};

fn encoded(properties: &Properties) -> Vec<u8> {
    let mut raw = Vec::new();
    properties.encode(&mut raw);
    raw
}

/// What a scan found, read.
fn read(scan: &Scan<'_>) -> Properties {
    let text =
        |bytes: Option<&[u8]>| bytes.map(|bytes| ShortStr::from_bytes(bytes).expect("short"));
    Properties {
        content_type: text(scan.content_type),
        content_encoding: text(scan.content_encoding),
        headers: scan
            .headers
            .map(|contents| FieldTable::decode(contents).expect("checked by the scan")),
        delivery_mode: scan.delivery_mode,
        priority: scan.priority,
        correlation_id: text(scan.correlation_id),
        reply_to: text(scan.reply_to),
        expiration: text(scan.expiration),
        message_id: text(scan.message_id),
        timestamp: scan.timestamp,
        kind: text(scan.kind),
        user_id: text(scan.user_id),
        app_id: text(scan.app_id),
        cluster_id: text(scan.cluster_id),
    }
}

/// Reading and scanning must say the same.
fn both(raw: &[u8]) -> Result<(), TestCaseError> {
    let decoded = Properties::decode(raw);
    let scanned = scan(raw);
    prop_assert_eq!(decoded.as_ref().map(|_| ()), scanned.as_ref().map(|_| ()));
    if let (Ok(decoded), Ok(scanned)) = (decoded, scanned) {
        prop_assert!(same(&read(&scanned), &decoded));
    }
    Ok(())
}

/// Equality by what is written, since a header may be not a number.
fn same(left: &Properties, right: &Properties) -> bool {
    encoded(left) == encoded(right)
}

proptest! {
    /// Without decoding them, headers are found as they are when they are decoded, and one more is put
    /// in.
    #[test]
    fn headers_are_found_and_put_in_as_if_they_were_decoded(
        properties in properties(Dialect::RabbitMq),
        name in prop_oneof!["[a-z]{0,3}", Just("x-stream-offset".to_owned())],
        at in any::<prop::sample::Index>(),
        takes_one_that_is_there in any::<bool>(),
        value in any::<i64>(),
    ) {
        let raw = encoded(&properties);
        let table = properties.headers.clone().unwrap_or_default();
        let there = table.0.get(at.index(table.len().max(1)));
        let there = there.and_then(|(name, _)| std::str::from_utf8(name.as_bytes()).ok());
        let name = there.filter(|_| takes_one_that_is_there).map_or(name, str::to_owned);
        let found = headers(&raw).and_then(|headers| FieldTable::find_long_str(headers, &name));
        let wanted = match table.get(&name) {
            Some(FieldValue::LongStr(text)) => Some(&text[..]),
            _ => None,
        };
        prop_assert_eq!(found, wanted);
        let mentioned = headers(&raw).is_some_and(|headers| FieldTable::mentions(headers, &name));
        prop_assert_eq!(mentioned, table.contains(&name));

        let mut with = vec![7];
        put_with_header(&raw, &name, value, &mut with);
        let mut expected = properties;
        expected.headers.get_or_insert_default().insert(name.as_str(), FieldValue::I64(value));
        prop_assert!(with[0] == 7 && with[1..] == encoded(&expected));
    }

    #[test]
    fn what_is_written_is_read_back(properties in properties(Dialect::RabbitMq)) {
        let raw = encoded(&properties);
        prop_assert_eq!(&read(&scan(&raw).expect("well-formed")), &properties);
        prop_assert_eq!(Properties::decode(&raw), Ok(properties));
    }

    #[test]
    fn reading_and_scanning_agree(raw in damaged(encoded_properties())) {
        both(&raw)?;
    }

    #[test]
    fn reading_and_scanning_agree_on_anything(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        both(&raw)?;
    }

    #[test]
    fn what_ends_too_early_or_too_late_is_refused(raw in encoded_properties()) {
        for end in 0..raw.len() {
            prop_assert!(scan(&raw[..end]).is_err());
            prop_assert!(Properties::decode(&raw[..end]).is_err());
        }
        let longer = [&raw[..], &[0]].concat();
        prop_assert_eq!(scan(&longer), Err(PropertyError::Trailing));
        prop_assert_eq!(Properties::decode(&longer), Err(PropertyError::Trailing));
    }
}

#[test]
fn flags_and_order_are_the_specifications() {
    let class = SPEC
        .classes
        .iter()
        .find(|class| class.name == "basic")
        .expect("basic");
    assert_eq!(class.properties.len(), 14);
    for (index, property) in class.properties.iter().enumerate() {
        use spec_generator::spec::WireType;
        let value: &[u8] = match SPEC.wire_type(property).expect("known type") {
            WireType::Shortstr => b"\x02hi",
            WireType::Table => b"\x00\x00\x00\x00",
            WireType::Octet => b"\x07",
            WireType::Timestamp => b"\x00\x00\x00\x00\x00\x00\x00\x07",
            other => panic!("no property is a {other:?}"),
        };
        let flag: u16 = 1 << (15 - index);
        let raw = [&flag.to_be_bytes(), value].concat();
        let decoded = Properties::decode(&raw).expect("well-formed");
        assert_eq!(encoded(&decoded), raw, "{}", property.name);
        let name = property
            .rename
            .as_ref()
            .unwrap_or(&property.name)
            .replace('-', "_");
        let set: Vec<_> = format!("{decoded:?}")
            .split([',', '{'])
            .filter(|part| part.contains(": Some"))
            .map(|part| part.split(':').next().unwrap_or_default().trim().to_owned())
            .collect();
        assert_eq!(set, [name], "only this one is set");
    }
}

/// RabbitMQ has one word of flags and looks at 14 of its bits.
#[test]
fn the_lowest_two_flags_mean_nothing() {
    for flags in 0..4 {
        assert_eq!(scan(&[0, flags]), Ok(Scan::default()));
        assert_eq!(Properties::decode(&[0, flags]), Ok(Properties::default()));
        assert_eq!(scan(&[0, flags, 0, 0]), Err(PropertyError::Trailing));
    }
    let with_mode = Scan {
        delivery_mode: Some(2),
        ..Scan::default()
    };
    assert_eq!(scan(&[0x10, 0x01, 2]), Ok(with_mode));
}

#[test]
fn no_properties_are_two_zero_bytes() {
    assert_eq!(encoded(&Properties::default()), NO_PROPERTIES);
    assert_eq!(scan(b""), Err(PropertyError::Truncated));
    assert_eq!(Properties::decode(b"\x00"), Err(PropertyError::Truncated));
}

#[test]
fn bad_headers_are_named() {
    let raw = b"\x20\x00\x00\x00\x00\x03\x01aZ";
    let error = PropertyError::Headers(TableError::UnknownType(b'Z'));
    assert_eq!(scan(raw), Err(error));
    assert_eq!(Properties::decode(raw), Err(error));
}
