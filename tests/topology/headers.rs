//! Headers exchanges: a binding's arguments against a message's headers.

use std::str::FromStr;

use proptest::prelude::*;

use super::*;

/// What RabbitMQ answered.
const FROM_RABBITMQ: &str = include_str!("from_rabbitmq/headers.txt");

/// A value as the file writes it: its type's letter, and the value.
fn value(kind: &str, value: &str) -> FieldValue {
    fn number<T: FromStr<Err: std::fmt::Debug>>(value: &str) -> T {
        value.parse().expect("a number")
    }
    let element = |text: &str| self::value(&text[..1], &text[1..]);
    let elements = || value.split(',').filter(|element| !element.is_empty());
    match kind {
        "i" => FieldValue::I32(number(value)),
        "l" => FieldValue::I64(number(value)),
        "s" => value.into(),
        "b" => FieldValue::Bytes(value.as_bytes().to_vec().into()),
        "t" => FieldValue::Bool(value == "1"),
        "v" => FieldValue::Void,
        "T" => FieldValue::Timestamp(number(value)),
        "D" => {
            let value = number(&value.replace('.', ""));
            FieldValue::Decimal { scale: 1, value }
        }
        "A" => FieldValue::Array(elements().map(element).collect()),
        "F" => {
            let mut table = FieldTable::new();
            for entry in elements() {
                let (name, value) = entry.split_once('=').expect("name=value");
                table.push(name, element(value));
            }
            table.into()
        }
        other => panic!("type {other}"),
    }
}

fn entries(text: &str) -> FieldTable {
    let mut table = FieldTable::new();
    for entry in text.split_whitespace() {
        let mut parts = entry.splitn(3, ':');
        let mut part = || parts.next().expect("name:type:value");
        table.push(part(), value(part(), part()));
    }
    table
}

#[test]
fn match_what_rabbitmq_matches() {
    let vhost = vhost();
    let (mut bindings, mut messages) = (0, 0);
    for line in FROM_RABBITMQ.lines() {
        let mut parts = line.split('|');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("binding"), Some(arguments), None) => {
                let queue = bindings.to_string();
                declare(&vhost, &queue);
                vhost
                    .bind_queue(&queue, "amq.headers", "", entries(arguments), ME)
                    .expect("bound");
                bindings += 1;
            }
            (Some("message"), Some(headers), Some(matched)) => {
                let matched = matched.split_whitespace().map(str::to_owned).collect();
                let properties = with_headers(entries(headers));
                let found = routed_with(&vhost, "amq.headers", "", &properties);
                assert_eq!(found, matched, "headers '{headers}'");
                messages += 1;
            }
            _ => assert!(line.starts_with('#'), "{line}"),
        }
    }
    assert!(bindings > 100 && messages > 100);
}

/// Whether arguments match headers: a list against a list, both sorted, step by step.
fn matches(arguments: &FieldTable, headers: &FieldTable) -> bool {
    let kind = arguments
        .get("x-match")
        .and_then(FieldValue::as_str)
        .unwrap_or("all");
    let mut wanted: Vec<_> = arguments
        .iter()
        .filter(|(name, _)| *name != "x-match")
        .filter(|(name, _)| kind.ends_with("with-x") || !name.starts_with("x-"))
        .collect();
    let mut headers: Vec<_> = headers.iter().collect();
    wanted.sort_by_key(|(name, _)| *name);
    headers.sort_by_key(|(name, _)| *name);
    let (mut all, mut any) = (true, false);
    let mut rest = headers.into_iter().peekable();
    for (name, value) in wanted {
        while rest.next_if(|(other, _)| *other < name).is_some() {}
        match rest.next_if(|(other, _)| *other == name) {
            Some((_, header)) if *value == FieldValue::Void || equal(value, header) => any = true,
            _ => all = false,
        }
    }
    if kind.starts_with("all") { all } else { any }
}

fn equal(one: &FieldValue, other: &FieldValue) -> bool {
    let number = |value: &FieldValue| match value {
        FieldValue::F64(value) => Some(*value),
        value => value.as_i64().map(|value| value as f64),
    };
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn some_value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        (0..3i32).prop_map(FieldValue::I32),
        (0..3i64).prop_map(FieldValue::I64),
        (0..6u8).prop_map(|halves| FieldValue::F64(f64::from(halves) / 2.0)),
        "[ab]".prop_map(|text| text.as_str().into()),
        any::<bool>().prop_map(FieldValue::Bool),
        Just(FieldValue::Void),
    ]
}

/// Names may come twice.
fn some_table() -> impl Strategy<Value = FieldTable> {
    let name = prop::sample::select(vec!["a", "b", "c", "x-a", "x-b"]);
    prop::collection::vec((name, some_value()), 0..5).prop_map(|entries| table(&entries))
}

fn some_arguments() -> impl Strategy<Value = FieldTable> {
    let kinds = vec!["", "all", "any", "all-with-x", "any-with-x"];
    (some_table(), prop::sample::select(kinds)).prop_map(|(mut table, kind)| {
        if !kind.is_empty() {
            table.push("x-match", kind);
        }
        table
    })
}

proptest! {
    #[test]
    fn match_by_definition_while_bindings_come_and_go(
        steps in prop::collection::vec((some_arguments(), any::<bool>()), 1..40),
        messages in prop::collection::vec(some_table(), 1..20),
    ) {
        let vhost = vhost();
        let mut bound: Vec<(String, FieldTable)> = Vec::new();
        for (number, (arguments, binds)) in steps.into_iter().enumerate() {
            if binds || bound.is_empty() {
                let name = number.to_string();
                declare(&vhost, &name);
                vhost.bind_queue(&name, "amq.match", "", arguments.clone(), ME).expect("bound");
                bound.push((name, arguments));
            } else {
                let (name, arguments) = bound.swap_remove(number % bound.len());
                vhost.unbind_queue(&name, "amq.match", "", arguments, ME).expect("unbound");
            }
            for headers in &messages {
                let expected: BTreeSet<String> = bound
                    .iter()
                    .filter(|(_, arguments)| matches(arguments, headers))
                    .map(|(name, _)| name.clone())
                    .collect();
                let found = routed_with(&vhost, "amq.match", "", &with_headers(headers.clone()));
                prop_assert_eq!(found, expected, "headers {:?}", headers);
            }
        }
    }
}

#[test]
fn numbers_of_all_types_are_numbers() {
    let vhost = vhost();
    declare(&vhost, "q");
    vhost
        .bind_queue("q", "amq.headers", "", table(&[("n", 3.into())]), ME)
        .expect("bound");
    let found = |value: FieldValue| {
        !routed_with(
            &vhost,
            "amq.headers",
            "",
            &with_headers(table(&[("n", value)])),
        )
        .is_empty()
    };
    for equal in [
        FieldValue::I8(3),
        FieldValue::U8(3),
        FieldValue::I16(3),
        FieldValue::U16(3),
        FieldValue::U32(3),
        FieldValue::I64(3),
        FieldValue::F32(3.0),
        FieldValue::F64(3.0),
        FieldValue::Timestamp(3),
    ] {
        assert!(found(equal.clone()), "{equal:?}");
    }
    for different in [
        FieldValue::I8(-3),
        FieldValue::F64(3.5),
        FieldValue::F64(f64::NAN),
        "3".into(),
    ] {
        assert!(!found(different.clone()), "{different:?}");
    }
}

#[test]
fn a_route_that_hangs_on_headers_is_not_to_be_remembered() {
    let vhost = vhost();
    declare(&vhost, "q");
    vhost
        .bind_exchange("amq.headers", "amq.fanout", "", FieldTable::new())
        .expect("bound");
    let is_cacheable = || {
        vhost
            .route("amq.fanout", "k", &PLAIN, false)
            .expect("the exchange is there")
            .cacheable
    };
    assert!(is_cacheable(), "nothing is bound to it");
    vhost
        .bind_queue("q", "amq.headers", "", table(&[("a", 1.into())]), ME)
        .expect("bound");
    assert!(!is_cacheable());
}
