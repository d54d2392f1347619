//! exchange.declare and exchange.delete. Texts are those of RabbitMQ 3.10.8.

use super::*;

/// One way in which a declaration differs, and RabbitMQ's text for it.
type Difference = (fn(&mut ExchangeDeclare<'static>), &'static str);

#[test]
fn every_vhost_has_some() {
    let vhost = vhost();
    for (name, kind) in [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ] {
        let durable = ExchangeDeclare {
            durable: true,
            ..exchange(name, kind)
        };
        assert!(
            is_durable(vhost.declare_exchange(durable)),
            "{name} as it is"
        );
        assert!(vhost.has_exchange(name));
    }
    assert_eq!(
        refusal(vhost.route("amq.rabbitmq.trace", "k", &PLAIN, false)),
        "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"
    );
    assert_eq!(
        refusal(vhost.declare_exchange(exchange("amq.direct", "direct"))),
        "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': \
         received 'false' but current is 'true'"
    );
}

#[test]
fn unknown_types_are_refused_before_anything_else() {
    let vhost = vhost();
    for name in ["x", "", "amq.x", "amq.direct"] {
        let refused = vhost.declare_exchange(exchange(name, "nope"));
        assert!(
            refused
                .as_ref()
                .is_err_and(|refused| refused.code.is_hard())
        );
        assert_eq!(
            refusal(refused),
            "COMMAND_INVALID - unknown exchange type 'nope'"
        );
    }
}

#[test]
fn the_default_exchange_is_left_alone() {
    let vhost = vhost();
    let text = "ACCESS_REFUSED - operation not permitted on the default exchange";
    assert_eq!(
        refusal(vhost.declare_exchange(exchange("", "direct"))),
        text
    );
    let passive = ExchangeDeclare {
        passive: true,
        ..exchange("", "direct")
    };
    assert_eq!(refusal(vhost.declare_exchange(passive)), text);
    assert_eq!(refusal(vhost.delete_exchange("", false)), text);
}

#[test]
fn reserved_names_are_refused() {
    let vhost = vhost();
    assert_eq!(
        refusal(vhost.declare_exchange(exchange("amq.x", "direct"))),
        "ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'"
    );
    assert_eq!(
        refusal(vhost.delete_exchange("amq.direct", false)),
        "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"
    );
    assert_eq!(
        refusal(vhost.delete_exchange("amq.zzz", false)),
        "ACCESS_REFUSED - deletion of system exchange 'amq.zzz' in vhost '/' not allowed"
    );
}

#[test]
fn passive_declares_look_up() {
    let vhost = vhost();
    let passive = |name, kind| ExchangeDeclare {
        passive: true,
        ..exchange(name, kind)
    };
    let missing = "NOT_FOUND - no exchange 'x' in vhost '/'";
    assert_eq!(
        refusal(vhost.declare_exchange(passive("x", "direct"))),
        missing
    );
    assert_eq!(refusal(vhost.route("x", "k", &PLAIN, false)), missing);
    vhost
        .declare_exchange(exchange("x", "direct"))
        .expect("declared");
    assert_eq!(
        vhost.declare_exchange(passive("x", "no type at all")),
        Ok(TRANSIENT)
    );
}

#[test]
fn declared_again_it_must_be_the_same() {
    let vhost = vhost();
    let declare = || ExchangeDeclare {
        durable: true,
        ..exchange("x", "direct")
    };
    vhost.declare_exchange(declare()).expect("declared");
    assert!(is_durable(vhost.declare_exchange(declare())));
    let differences: [Difference; 5] = [
        (
            |x| x.kind = "fanout",
            "'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'",
        ),
        (
            |x| x.durable = false,
            "'durable' for exchange 'x' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            |x| x.auto_delete = true,
            "'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            |x| x.internal = true,
            "'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            |x| x.arguments.push("alternate-exchange", "foo"),
            "'alternate-exchange' for exchange 'x' in vhost '/': received the value 'foo' of type 'longstr' but current is none",
        ),
    ];
    for (differ, text) in differences {
        let mut different = declare();
        differ(&mut different);
        let refused = refusal(vhost.declare_exchange(different));
        assert_eq!(
            refused,
            format!("PRECONDITION_FAILED - inequivalent arg {text}")
        );
    }
    let mut other = declare();
    other.arguments.push("foo", "not compared");
    assert!(is_durable(vhost.declare_exchange(other)));
}

#[test]
fn alternate_exchanges_are_compared_and_checked() {
    let vhost = vhost();
    let with = |name, alternate: FieldValue| ExchangeDeclare {
        arguments: table(&[("alternate-exchange", alternate)]),
        ..exchange(name, "direct")
    };
    vhost
        .declare_exchange(with("x", "foo".into()))
        .expect("declared");
    let inequivalent = |received: &str| {
        format!(
            "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in vhost \
             '/': received {received}"
        )
    };
    assert_eq!(
        refusal(vhost.declare_exchange(exchange("x", "direct"))),
        inequivalent("none but current is the value 'foo' of type 'longstr'")
    );
    assert_eq!(
        refusal(vhost.declare_exchange(with("x", "bar".into()))),
        inequivalent("'bar' but current is 'foo'")
    );
    assert_eq!(
        refusal(vhost.declare_exchange(with("x", 5.into()))),
        inequivalent("'5' but current is 'foo'")
    );
    for (value, kind) in [(5.into(), "signedint"), (true.into(), "bool")] {
        assert_eq!(
            refusal(vhost.declare_exchange(with("y", value))),
            format!(
                "PRECONDITION_FAILED - invalid type '{kind}' for arg 'alternate-exchange' in \
                 exchange 'y' in vhost '/'"
            )
        );
    }
    assert!(!vhost.has_exchange("y"));
}

#[test]
fn what_finds_nothing_goes_to_the_alternate() {
    let vhost = vhost();
    let with = |name: &'static str, alternate: &str| ExchangeDeclare {
        arguments: table(&[("alternate-exchange", alternate.into())]),
        ..exchange(name, "direct")
    };
    // A circle, a missing one, and the default exchange, which finds nothing this way.
    for (name, alternate) in [
        ("a", "b"),
        ("b", "c"),
        ("c", "a"),
        ("d", "nowhere"),
        ("e", ""),
    ] {
        vhost
            .declare_exchange(with(name, alternate))
            .expect("declared");
    }
    declare(&vhost, "q");
    declare(&vhost, "k");
    for exchange in ["a", "b", "c", "d", "e"] {
        assert_eq!(routed(&vhost, exchange, "k"), names(&[]));
    }
    bind(&vhost, "q", "c", "k");
    assert_eq!(routed(&vhost, "a", "k"), names(&["q"]));
    assert_eq!(routed(&vhost, "a", "other"), names(&[]));
    bind(&vhost, "k", "b", "k");
    assert_eq!(
        routed(&vhost, "a", "k"),
        names(&["k"]),
        "only where nothing was found"
    );
    // An internal exchange may be an alternate.
    let internal = ExchangeDeclare {
        internal: true,
        ..exchange("nowhere", "fanout")
    };
    vhost.declare_exchange(internal).expect("declared");
    bind(&vhost, "q", "nowhere", "");
    assert_eq!(routed(&vhost, "d", "k"), names(&["q"]));
}

#[test]
fn internal_ones_are_not_for_clients() {
    let vhost = vhost();
    let internal = ExchangeDeclare {
        internal: true,
        ..exchange("x", "direct")
    };
    vhost.declare_exchange(internal).expect("declared");
    assert_eq!(
        refusal(vhost.route("x", "k", &PLAIN, false)),
        "ACCESS_REFUSED - cannot publish to internal exchange 'x' in vhost '/'"
    );
    declare(&vhost, "q");
    bind(&vhost, "q", "x", "k");
    assert!(
        vhost
            .route("x", "k", &PLAIN, true)
            .is_ok_and(|route| route.queues.len() == 1)
    );
}

#[test]
fn deleting() {
    let vhost = vhost();
    assert_eq!(
        vhost.delete_exchange("x", false),
        Ok(DURABLE),
        "what is not there is deleted"
    );
    vhost
        .declare_exchange(exchange("x", "direct"))
        .expect("declared");
    declare(&vhost, "q");
    bind(&vhost, "q", "x", "k");
    assert_eq!(
        refusal(vhost.delete_exchange("x", true)),
        "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"
    );
    assert_eq!(routed(&vhost, "x", "k"), names(&["q"]));
    assert_eq!(vhost.delete_exchange("x", false), Ok(TRANSIENT));
    assert!(!vhost.has_exchange("x"));
    assert_eq!(vhost.bindings().len(), 0, "its bindings went with it");
    vhost
        .declare_exchange(exchange("x", "direct"))
        .expect("declared anew");
    assert_eq!(routed(&vhost, "x", "k"), names(&[]));
    assert_eq!(
        vhost.delete_exchange("x", true),
        Ok(TRANSIENT),
        "nothing leads from it"
    );
}

#[test]
fn being_a_destination_is_no_use() {
    let vhost = vhost();
    vhost
        .declare_exchange(exchange("x", "direct"))
        .expect("declared");
    vhost
        .bind_exchange("x", "amq.fanout", "", FieldTable::new())
        .expect("bound");
    assert_eq!(vhost.delete_exchange("x", true), Ok(TRANSIENT));
    assert_eq!(vhost.bindings().len(), 0);
}

#[test]
fn auto_delete_ones_go_with_the_last_binding_from_them() {
    let vhost = vhost();
    let auto_delete = |name| ExchangeDeclare {
        auto_delete: true,
        ..exchange(name, "direct")
    };
    // up leads to middle leads to q: without q's binding, all go, one after the other.
    for name in ["up", "middle", "kept"] {
        vhost.declare_exchange(auto_delete(name)).expect("declared");
    }
    vhost
        .declare_exchange(exchange("plain", "direct"))
        .expect("declared");
    declare(&vhost, "q");
    vhost
        .bind_exchange("middle", "up", "k", FieldTable::new())
        .expect("bound");
    vhost
        .bind_exchange("middle", "kept", "k", FieldTable::new())
        .expect("bound");
    vhost
        .bind_exchange("middle", "plain", "k", FieldTable::new())
        .expect("bound");
    bind(&vhost, "q", "kept", "k");
    bind(&vhost, "q", "middle", "k1");
    bind(&vhost, "q", "middle", "k2");
    vhost
        .unbind_queue("q", "middle", "k1", FieldTable::new(), ME)
        .expect("unbound");
    assert!(vhost.has_exchange("middle"));
    vhost
        .unbind_queue("q", "middle", "k2", FieldTable::new(), ME)
        .expect("unbound");
    assert!(!vhost.has_exchange("middle"));
    assert!(!vhost.has_exchange("up"));
    assert!(vhost.has_exchange("kept"), "another binding leads from it");
    assert!(vhost.has_exchange("plain"));
    delete(&vhost, "q").expect("deleted");
    assert!(!vhost.has_exchange("kept"), "with the queue, too");
    assert_eq!(vhost.bindings().len(), 0);
    // One that nothing was ever bound to stays, and one that leads to itself goes.
    vhost
        .declare_exchange(auto_delete("self"))
        .expect("declared");
    assert!(vhost.has_exchange("self"));
    vhost
        .bind_exchange("self", "self", "k", FieldTable::new())
        .expect("bound");
    vhost
        .unbind_exchange("self", "self", "k", FieldTable::new())
        .expect("unbound");
    assert!(!vhost.has_exchange("self"));
}

#[test]
fn line_ends_are_taken_out_of_names() {
    let vhost = vhost();
    vhost
        .declare_exchange(exchange("a\r\nb", "direct"))
        .expect("declared");
    assert!(vhost.has_exchange("ab"));
    assert_eq!(vhost.delete_exchange("a\nb", false), Ok(TRANSIENT));
    assert!(!vhost.has_exchange("ab"));
}
