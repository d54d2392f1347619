//! Every method, against the specification.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use warren::amqp::method::{Facts, Method, MethodError, peek_ids};
use warren::amqp::table::TableError;

use crate::specimens::{
    Dialect, SPEC, damaged, every_method, method_payload, method_payload_with_noise,
};

const CASES: u32 = 64;

fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig::with_cases(CASES))
}

fn encoded(method: &Method) -> Vec<u8> {
    let mut out = Vec::new();
    method.encode(&mut out);
    out
}

#[test]
fn every_method_is_read_and_written_as_the_specification_has_it() {
    for (class, method) in every_method() {
        let payloads = method_payload(class, method, Dialect::RabbitMq);
        runner()
            .run(&payloads, |payload| {
                let decoded = Method::decode(&payload).expect("well-formed");
                prop_assert_eq!(decoded.ids(), (class.id, method.id));
                prop_assert_eq!(decoded.has_content(), method.content);
                let again = encoded(&decoded);
                prop_assert_eq!(&again, &payload);
                prop_assert_eq!(Method::decode(&again), Ok(decoded));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{}.{}: {error}", class.name, method.name));
    }
}

#[test]
fn facts_are_those_of_the_specification() {
    use spec_generator::spec::From;

    assert_eq!(Facts::ALL.len(), every_method().count());
    for (class, method) in every_method() {
        let facts = Facts::of(class.id, method.id).expect("known");
        assert_eq!(facts.name, format!("{}.{}", class.name, method.name));
        assert_eq!(facts.has_content, method.content, "{}", facts.name);
        assert_eq!(facts.is_synchronous, method.synchronous, "{}", facts.name);
        assert_eq!(
            facts.from_client,
            method.from != From::Server,
            "{}",
            facts.name
        );
        assert_eq!(
            facts.from_server,
            method.from != From::Client,
            "{}",
            facts.name
        );
    }
}

#[test]
fn what_ends_too_early_or_too_late_cannot_be_decoded() {
    for (class, method) in every_method() {
        let ids = (class.id, method.id);
        runner()
            .run(
                &method_payload(class, method, Dialect::RabbitMq),
                |payload| {
                    for end in 0..payload.len() {
                        let error = Method::decode(&payload[..end]).expect_err("cut off");
                        let expected = if end < 4 { (0, 0) } else { ids };
                        prop_assert_eq!(error.ids(), expected);
                        prop_assert_eq!(matches!(error, MethodError::NoIds), end < 4);
                        prop_assert_eq!(peek_ids(&payload[..end]), (end >= 4).then_some(ids));
                    }
                    let longer = [&payload[..], &[0]].concat();
                    let error = Method::decode(&longer).expect_err("trailing byte");
                    prop_assert!(matches!(error, MethodError::Malformed(_)));
                    prop_assert_eq!(error.ids(), ids);
                    Ok(())
                },
            )
            .unwrap_or_else(|error| panic!("{}.{}: {error}", class.name, method.name));
    }
}

#[test]
fn reserved_fields_and_bits_do_not_matter() {
    for (class, method) in every_method() {
        runner()
            .run(&method_payload_with_noise(class, method), |noisy| {
                let decoded = Method::decode(&noisy).expect("reserved fields may hold anything");
                prop_assert_eq!(Method::decode(&encoded(&decoded)), Ok(decoded));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{}.{}: {error}", class.name, method.name));
    }
}

#[test]
fn damage_is_found_or_makes_another_method() {
    for (class, method) in every_method() {
        let payloads = damaged(method_payload(class, method, Dialect::RabbitMq));
        runner()
            .run(&payloads, |payload| {
                if let Ok(decoded) = Method::decode(&payload) {
                    // Bytes are compared, since a float that is not a number does not equal itself.
                    let written = encoded(&decoded);
                    let again = Method::decode(&written).map(|method| encoded(&method));
                    prop_assert_eq!(again, Ok(written));
                }
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{}.{}: {error}", class.name, method.name));
    }
}

#[test]
fn unknown_classes_and_methods_are_told_apart_from_bad_arguments() {
    let known: Vec<_> = every_method()
        .map(|(class, method)| (class.id, method.id))
        .collect();
    for class_id in 0..=100_u16 {
        for method_id in 0..=130_u16 {
            let payload = [class_id.to_be_bytes(), method_id.to_be_bytes()].concat();
            let decoded = Method::decode(&payload);
            if known.contains(&(class_id, method_id)) {
                assert!(
                    !matches!(decoded, Err(MethodError::Unknown { .. })),
                    "{class_id}.{method_id}"
                );
            } else {
                assert_eq!(
                    decoded,
                    Err(MethodError::Unknown {
                        class_id,
                        method_id
                    })
                );
            }
        }
    }
}

#[test]
fn text_must_be_utf8_only_where_no_content_follows() {
    let cancel = b"\x00\x3c\x00\x1e\x01\xff\x00";
    assert!(
        matches!(Method::decode(cancel), Err(MethodError::NotUtf8(facts)) if facts.name == "basic.cancel")
    );
    let publish = b"\x00\x3c\x00\x28\x00\x00\x01\xfe\x01\xff\x00";
    match Method::decode(publish) {
        Ok(Method::BasicPublish(publish)) => {
            assert_eq!(publish.exchange.as_bytes(), b"\xfe");
            assert_eq!(publish.routing_key.as_bytes(), b"\xff");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_table_is_told_apart_from_other_bad_arguments() {
    let delete_with = |table: &[u8]| {
        let mut payload = b"\x00\x32\x00\x0a\x00\x00\x00\x00".to_vec();
        payload.extend((table.len() as u32).to_be_bytes());
        payload.extend(table);
        Method::decode(&payload)
    };
    assert!(delete_with(b"\x01at\x01").is_ok());
    assert!(matches!(
        delete_with(b"\x01aZ"),
        Err(MethodError::Table(_, TableError::UnknownType(b'Z')))
    ));
    assert!(matches!(
        delete_with(b"\x05a"),
        Err(MethodError::Table(_, TableError::Truncated))
    ));
}

/// Guards the specification's data itself: what RabbitMQ has, neither more nor less.
#[test]
fn the_specification_is_whole() {
    let count = |class: &str| {
        SPEC.classes
            .iter()
            .find(|candidate| candidate.name == class)
            .map(|class| class.methods.len())
    };
    assert_eq!(SPEC.classes.len(), 8);
    for (class, methods) in [
        ("connection", 14),
        ("channel", 6),
        ("access", 2),
        ("exchange", 8),
        ("queue", 10),
        ("basic", 18),
        ("confirm", 2),
        ("tx", 6),
    ] {
        assert_eq!(count(class), Some(methods), "{class}");
    }
}
