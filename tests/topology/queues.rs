//! queue.declare and queue.delete. Texts are those of RabbitMQ 3.10.8.

use warren::amqp::table::ShortStr;

use super::*;

const LOCKED: &str = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost \
                      '/'. It could be originally declared on another connection or the exclusive \
                      property value does not match that of the original declaration.";

#[test]
fn without_a_name_one_is_made_up() {
    let vhost = vhost();
    let one = vhost.declare_queue(queue(""), ME).expect("declared");
    let other = vhost.declare_queue(queue(""), ME).expect("declared");
    assert_ne!(one.name(), other.name());
    let letters = one
        .name()
        .strip_prefix("amq.gen-")
        .expect("as RabbitMQ names them");
    assert_eq!(letters.len(), 22);
    assert!(
        letters
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
    );
    let passive = QueueDeclare {
        passive: true,
        ..queue(one.name())
    };
    assert!(
        vhost
            .declare_queue(passive, OTHER)
            .is_ok_and(|again| Arc::ptr_eq(&again, &one))
    );
}

#[test]
fn reserved_names_are_refused() {
    let vhost = vhost();
    let made_up = vhost.declare_queue(queue(""), ME).expect("declared");
    for name in ["amq.q", made_up.name()] {
        assert_eq!(
            refusal(vhost.declare_queue(queue(name), ME)),
            format!("ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'")
        );
    }
}

#[test]
fn what_is_not_there() {
    let vhost = vhost();
    let passive = QueueDeclare {
        passive: true,
        ..queue("amq.q")
    };
    assert_eq!(
        refusal(vhost.declare_queue(passive, ME)),
        "NOT_FOUND - no queue 'amq.q' in vhost '/'"
    );
    assert_eq!(
        refusal(vhost.queue("q", ME)),
        "NOT_FOUND - no queue 'q' in vhost '/'"
    );
    assert_eq!(delete(&vhost, "q"), Ok(0), "is deleted");
}

#[test]
fn declared_again_it_must_be_the_same() {
    let vhost = vhost();
    declare(&vhost, "q");
    let inequivalent = |name: &str, how: &str| {
        format!("PRECONDITION_FAILED - inequivalent arg '{name}' for queue 'q' in vhost '/': {how}")
    };
    let durable = QueueDeclare {
        durable: true,
        ..queue("q")
    };
    assert_eq!(
        refusal(vhost.declare_queue(durable, ME)),
        inequivalent("durable", "received 'true' but current is 'false'")
    );
    let auto_delete = QueueDeclare {
        auto_delete: true,
        ..queue("q")
    };
    assert_eq!(
        refusal(vhost.declare_queue(auto_delete, ME)),
        inequivalent("auto_delete", "received 'true' but current is 'false'")
    );
    let exclusive = QueueDeclare {
        exclusive: true,
        ..queue("q")
    };
    assert_eq!(refusal(vhost.declare_queue(exclusive, ME)), LOCKED);
    let nested = table(&[("a", 1.into())]);
    for (value, how) in [
        (FieldValue::from(1), "the value '1' of type 'signedint'"),
        ("a".into(), "the value 'a' of type 'longstr'"),
        (FieldValue::Void, "the value 'undefined' of type 'void'"),
        (
            FieldValue::Timestamp(1),
            "the value '1' of type 'timestamp'",
        ),
        (
            FieldValue::Decimal {
                scale: 1,
                value: 15,
            },
            "the value '{1,15}' of type 'decimal'",
        ),
        (
            nested.into(),
            "the value '[{<<\"a\">>,signedint,1}]' of type 'table'",
        ),
        (FieldValue::F64(1.5), "the value '1.5' of type 'double'"),
    ] {
        let arguments = table(&[("x-max-length", value)]);
        let with = QueueDeclare {
            arguments,
            ..queue("q")
        };
        assert_eq!(
            refusal(vhost.declare_queue(with, ME)),
            inequivalent(
                "x-max-length",
                &format!("received {how} but current is none")
            )
        );
    }
}

#[test]
fn arguments_are_compared_by_value() {
    let vhost = vhost();
    let with = |arguments: &[(&str, FieldValue)]| QueueDeclare {
        arguments: table(arguments),
        ..queue("q")
    };
    let length = ("x-max-length", FieldValue::from(1));
    let overflow = ("x-overflow", FieldValue::from("drop-head"));
    let kind = ("x-queue-type", FieldValue::from("classic"));
    let first = [length.clone(), kind, overflow.clone()];
    vhost.declare_queue(with(&first), ME).expect("declared");
    // Neither types of integers, nor their order, nor what is not compared, nor the default type.
    for same in [
        vec![length.clone(), overflow.clone()],
        vec![overflow.clone(), ("x-max-length", FieldValue::I64(1))],
        vec![overflow.clone(), ("x-max-length", FieldValue::Timestamp(1))],
        vec![length.clone(), overflow.clone(), ("x-foo", "bar".into())],
    ] {
        assert!(vhost.declare_queue(with(&same), ME).is_ok(), "{same:?}");
    }
    let array = FieldValue::Array(vec![
        1.into(),
        "a".into(),
        FieldValue::Bytes(b"z"[..].into()),
    ]);
    let nested: FieldValue = table(&[("a", 1.into())]).into();
    for (name, value, text) in [
        ("x-max-length", 2.into(), "received '2' but current is '1'"),
        (
            "x-max-length",
            true.into(),
            "received 'true' but current is '1'",
        ),
        (
            "x-max-length",
            FieldValue::F64(1.0),
            "received '1.0' but current is '1'",
        ),
        (
            "x-max-length",
            nested,
            "received '[{<<\"a\">>,signedint,1}]' but current is '1'",
        ),
        (
            "x-max-length",
            array,
            "received '[{signedint,1},{longstr,<<\"a\">>},{binary,<<\"z\">>}]' but current is '1'",
        ),
        (
            "x-overflow",
            "reject-publish".into(),
            "received 'reject-publish' but current is 'drop-head'",
        ),
        (
            "x-queue-type",
            "quorum".into(),
            "received 'quorum' but current is 'classic'",
        ),
    ] {
        let mut arguments = table(&first);
        arguments.insert(ShortStr::from(name), value);
        let different = QueueDeclare {
            arguments,
            ..queue("q")
        };
        assert_eq!(
            refusal(vhost.declare_queue(different, ME)),
            format!(
                "PRECONDITION_FAILED - inequivalent arg '{name}' for queue 'q' in vhost '/': {text}"
            )
        );
    }
    assert_eq!(
        refusal(vhost.declare_queue(with(&[length]), ME)),
        "PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'q' in vhost '/': received \
         none but current is the value 'drop-head' of type 'longstr'"
    );
}

#[test]
fn a_queue_without_a_type_is_classic() {
    let vhost = vhost();
    declare(&vhost, "q");
    let with = |kind: &str| QueueDeclare {
        arguments: table(&[("x-queue-type", kind.into())]),
        ..queue("q")
    };
    assert!(vhost.declare_queue(with("classic"), ME).is_ok());
    assert_eq!(
        refusal(vhost.declare_queue(with("quorum"), ME)),
        "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received \
         the value 'quorum' of type 'longstr' but current is none"
    );
}

#[test]
fn a_dead_letter_exchange_is_a_name() {
    let vhost = vhost();
    let with = QueueDeclare {
        arguments: table(&[("x-dead-letter-exchange", 5.into())]),
        ..queue("q")
    };
    assert_eq!(
        refusal(vhost.declare_queue(with, ME)),
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue \
         'q' in vhost '/'"
    );
    assert!(!vhost.has_queue("q"));
}

#[test]
fn exclusive_ones_are_their_connections() {
    let vhost = vhost();
    let exclusive = |durable| QueueDeclare {
        exclusive: true,
        durable,
        ..queue("q")
    };
    let declared = vhost.declare_queue(exclusive(true), ME).expect("declared");
    assert!(!declared.is_durable(), "it goes with its connection");
    assert!(vhost.declare_queue(exclusive(false), ME).is_ok());
    assert_eq!(refusal(vhost.declare_queue(queue("q"), ME)), LOCKED);
    let passive = || QueueDeclare {
        passive: true,
        ..queue("q")
    };
    assert!(vhost.declare_queue(passive(), ME).is_ok());
    let none = FieldTable::new;
    let mut effects = Effects::new();
    vhost
        .bind_queue("q", "amq.direct", "mine", none(), ME)
        .expect("bound");
    for refused in [
        vhost.declare_queue(passive(), OTHER).map(drop),
        vhost.declare_queue(queue("q"), OTHER).map(drop),
        vhost.declare_queue(exclusive(false), OTHER).map(drop),
        vhost.queue("q", OTHER).map(drop),
        vhost
            .delete_queue("q", false, false, OTHER, &mut effects)
            .map(drop),
        vhost
            .bind_queue("q", "amq.direct", "k", none(), OTHER)
            .map(drop),
        vhost
            .unbind_queue("q", "amq.direct", "mine", none(), OTHER)
            .map(drop),
    ] {
        assert_eq!(refusal(refused), LOCKED);
    }
    // What is not bound is unbound, whoever asks.
    assert_eq!(
        vhost.unbind_queue("q", "amq.direct", "k", none(), OTHER),
        Ok(TRANSIENT)
    );
    // Messages reach it, whoever sends them.
    assert_eq!(routed(&vhost, "", "q"), names(&["q"]));
    vhost.connection_closed(OTHER, &mut effects);
    assert!(vhost.has_queue("q"));
    vhost.connection_closed(ME, &mut effects);
    effects.complete();
    assert!(!vhost.has_queue("q"));
    assert!(declared.is_deleted());
    assert_eq!(routed(&vhost, "amq.direct", "mine"), names(&[]));
    assert_eq!(vhost.bindings().len(), 0);
}

#[test]
fn a_deleted_queue_is_gone_with_its_bindings() {
    let vhost = vhost();
    let first = declare(&vhost, "q");
    bind(&vhost, "q", "amq.direct", "k");
    let epoch = vhost.epoch();
    assert_eq!(delete(&vhost, "q"), Ok(0));
    assert!(first.is_deleted());
    assert_ne!(vhost.epoch(), epoch);
    assert_eq!(routed(&vhost, "", "q"), names(&[]));
    assert_eq!(routed(&vhost, "amq.direct", "k"), names(&[]));
    let second = declare(&vhost, "q");
    assert_ne!(first.id(), second.id(), "numbers are not used again");
    assert_eq!(
        routed(&vhost, "amq.direct", "k"),
        names(&[]),
        "the bindings were the first one's"
    );
}

#[test]
fn a_mistake_leaves_nothing_behind() {
    let vhost = vhost();
    let wrong = QueueDeclare {
        arguments: table(&[("x-max-length", "many".into())]),
        ..queue("q")
    };
    assert!(vhost.declare_queue(wrong, ME).is_err());
    assert!(!vhost.has_queue("q"));
    assert_eq!(vhost.totals().queues, 0);
}

#[test]
fn only_in_use_or_with_messages() {
    use warren::broker::{Body, Facts, Message};
    let vhost = vhost();
    let queue = declare(&vhost, "q");
    let message = Message {
        exchange: b"",
        routing_key: b"q",
        properties: &PLAIN,
        body: Body::Slice(b"body"),
        facts: Facts::PLAIN,
    };
    let mut effects = Effects::new();
    queue.publish(&[message, message], None, &mut effects);
    assert_eq!(
        refusal(vhost.delete_queue("q", false, true, ME, &mut effects)),
        "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"
    );
    let totals = vhost.totals();
    assert_eq!((totals.queues, totals.ready, totals.unacked), (1, 2, 0));
    let deleted = vhost
        .delete_queue("q", true, false, ME, &mut effects)
        .expect("deleted");
    assert_eq!((deleted.messages, deleted.durability), (2, TRANSIENT));
    assert_eq!(vhost.totals().ready, 0);
}

#[test]
fn a_removed_vhost_is_empty_and_stays_so() {
    let broker = Broker::new(Users::new());
    let vhost = broker.add_vhost("other");
    assert!(Arc::ptr_eq(&broker.add_vhost("other"), &vhost));
    let queue = declare(&vhost, "q");
    bind(&vhost, "q", "amq.direct", "k");
    // Exchanges in a circle must not keep each other.
    vhost
        .bind_exchange("amq.fanout", "amq.direct", "", FieldTable::new())
        .expect("bound");
    vhost
        .bind_exchange("amq.direct", "amq.fanout", "", FieldTable::new())
        .expect("bound");
    let exchange = Arc::downgrade(&vhost.exchange("amq.direct").expect("it is there"));
    assert_eq!(broker.totals().queues, 1);
    let mut effects = Effects::new();
    assert_eq!(broker.remove_vhost("other", &mut effects), Ok(true));
    assert_eq!(broker.remove_vhost("other", &mut effects), Ok(false));
    assert!(broker.vhost("other").is_none());
    assert!(queue.is_deleted());
    assert_eq!(
        refusal(vhost.declare_queue(super::queue("q"), ME)),
        "INTERNAL_ERROR - vhost 'other' is being deleted"
    );
    assert_eq!(broker.totals().queues, 0);
    drop((vhost, queue));
    assert!(exchange.upgrade().is_none());
}
