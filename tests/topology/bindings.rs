//! queue.bind, queue.unbind, exchange.bind, exchange.unbind. Texts are those of RabbitMQ 3.10.8.

use super::*;

#[test]
fn what_is_missing_is_named() {
    let vhost = vhost();
    declare(&vhost, "q");
    vhost
        .declare_exchange(exchange("x", "direct"))
        .expect("declared");
    let bind =
        |queue, exchange| refusal(vhost.bind_queue(queue, exchange, "k", FieldTable::new(), ME));
    let no_exchange = "NOT_FOUND - no exchange 'nox' in vhost '/'";
    assert_eq!(bind("noq", "x"), "NOT_FOUND - no queue 'noq' in vhost '/'");
    assert_eq!(bind("q", "nox"), no_exchange);
    assert_eq!(bind("noq", "nox"), no_exchange);
    let bind = |to, from| refusal(vhost.bind_exchange(to, from, "k", FieldTable::new()));
    assert_eq!(bind("nox", "x"), no_exchange);
    assert_eq!(bind("x", "nox"), no_exchange);
    assert_eq!(bind("nox2", "nox"), no_exchange);
    // To unbind, nothing needs to be there.
    for (queue, exchange) in [("noq", "x"), ("q", "nox"), ("noq", "nox"), ("q", "x")] {
        // It may have been there, and durable.
        let gone = queue != "q" || exchange != "x";
        assert_eq!(
            vhost.unbind_queue(queue, exchange, "k", FieldTable::new(), ME),
            Ok(Durability::of(gone))
        );
    }
    for (to, from) in [("nox", "x"), ("x", "nox"), ("nox", "nox"), ("x", "x")] {
        let gone = to != "x" || from != "x";
        assert_eq!(
            vhost.unbind_exchange(to, from, "k", FieldTable::new()),
            Ok(Durability::of(gone))
        );
    }
}

#[test]
fn the_default_exchange_is_left_alone() {
    let vhost = vhost();
    declare(&vhost, "q");
    let none = FieldTable::new;
    for refused in [
        vhost.bind_queue("q", "", "k", none(), ME),
        vhost.bind_queue("noq", "", "k", none(), ME),
        vhost.unbind_queue("q", "", "k", none(), ME),
        vhost.bind_exchange("amq.direct", "", "k", none()),
        vhost.bind_exchange("", "amq.direct", "k", none()),
        vhost.unbind_exchange("amq.direct", "", "k", none()),
        vhost.unbind_exchange("", "amq.direct", "k", none()),
    ] {
        assert_eq!(
            refusal(refused),
            "ACCESS_REFUSED - operation not permitted on the default exchange"
        );
    }
}

#[test]
fn the_same_again_is_one_and_other_arguments_are_another() {
    let vhost = vhost();
    declare(&vhost, "q");
    let bind = |arguments| {
        vhost
            .bind_queue("q", "amq.direct", "k", arguments, ME)
            .expect("bound")
    };
    let unbind = |arguments| {
        vhost
            .unbind_queue("q", "amq.direct", "k", arguments, ME)
            .expect("unbound")
    };
    let (a, b) = (("a", FieldValue::from(1)), ("b", FieldValue::from("x")));
    bind(FieldTable::new());
    bind(FieldTable::new());
    assert_eq!(vhost.bindings().len(), 1);
    bind(table(&[a.clone(), b.clone()]));
    bind(table(&[b.clone(), a.clone()]));
    assert_eq!(vhost.bindings().len(), 2, "their order does not matter");
    bind(table(&[("a", FieldValue::I64(1)), b.clone()]));
    assert_eq!(vhost.bindings().len(), 3, "their types do");
    assert_eq!(routed(&vhost, "amq.direct", "k"), names(&["q"]));
    unbind(FieldTable::new());
    unbind(table(&[b, a]));
    unbind(FieldTable::new());
    assert_eq!(vhost.bindings().len(), 1);
    assert_eq!(routed(&vhost, "amq.direct", "k"), names(&["q"]));
    let last = vhost.bindings().remove(0);
    assert_eq!((&*last.routing_key, last.arguments.len()), ("k", 2));
    unbind(last.arguments.clone());
    assert_eq!(routed(&vhost, "amq.direct", "k"), names(&[]));
}

#[test]
fn x_match_is_checked() {
    let vhost = vhost();
    declare(&vhost, "q");
    let bind = |exchange, value: FieldValue| {
        vhost.bind_queue("q", exchange, "", table(&[("x-match", value)]), ME)
    };
    for exchange in ["amq.headers", "amq.match"] {
        for known in ["all", "any", "all-with-x", "any-with-x"] {
            assert_eq!(bind(exchange, known.into()), Ok(TRANSIENT));
        }
        for unknown in ["foo", "héh", ""] {
            let shown = if unknown.is_empty() {
                "<<>>".into()
            } else {
                format!("<<\"{unknown}\">>")
            };
            assert_eq!(
                refusal(bind(exchange, unknown.into())),
                format!(
                    "PRECONDITION_FAILED - Invalid x-match field value {shown}; expected all, any, \
                     all-with-x, or any-with-x"
                )
            );
        }
        for (value, shown) in [
            (5.into(), "signedint (value 5)"),
            (true.into(), "bool (value true)"),
            (FieldValue::Void, "void (value undefined)"),
            (
                table(&[("a", 1.into())]).into(),
                "table (value [{<<\"a\">>,signedint,1}])",
            ),
            (
                FieldValue::Bytes(b"foo"[..].into()),
                "binary (value <<\"foo\">>)",
            ),
        ] {
            assert_eq!(
                refusal(bind(exchange, value)),
                format!(
                    "PRECONDITION_FAILED - Invalid x-match field type {shown}; expected longstr"
                )
            );
        }
    }
    assert_eq!(
        bind("amq.direct", "foo".into()),
        Ok(TRANSIENT),
        "it means nothing elsewhere"
    );
}

#[test]
fn a_mistake_in_the_arguments_comes_before_a_locked_queue() {
    let vhost = vhost();
    let exclusive = QueueDeclare {
        exclusive: true,
        ..queue("q")
    };
    vhost.declare_queue(exclusive, ME).expect("declared");
    let arguments = table(&[("x-match", "foo".into())]);
    let refused = refusal(vhost.bind_queue("q", "amq.headers", "", arguments, OTHER));
    assert!(
        refused.starts_with("PRECONDITION_FAILED - Invalid x-match"),
        "{refused}"
    );
}

#[test]
fn exchanges_lead_to_exchanges_in_circles_too() {
    let vhost = vhost();
    for (name, kind) in [("a", "fanout"), ("b", "direct"), ("c", "topic")] {
        vhost
            .declare_exchange(exchange(name, kind))
            .expect("declared");
    }
    for (to, from, key) in [
        ("b", "a", ""),
        ("c", "a", "#"),
        ("c", "b", "k"),
        ("a", "c", "#"),
    ] {
        vhost
            .bind_exchange(to, from, key, FieldTable::new())
            .expect("bound");
    }
    for (queue, exchange, key) in [
        ("qa", "a", ""),
        ("qb", "b", "k"),
        ("qc", "c", "k"),
        ("q", "c", "#"),
    ] {
        declare(&vhost, queue);
        bind(&vhost, queue, exchange, key);
    }
    bind(&vhost, "q", "a", "twice and more");
    bind(&vhost, "q", "b", "k");
    for exchange in ["a", "b", "c"] {
        assert_eq!(
            routed(&vhost, exchange, "k"),
            names(&["q", "qa", "qb", "qc"]),
            "{exchange}"
        );
    }
    assert_eq!(routed(&vhost, "b", "other"), names(&[]));
    assert_eq!(routed(&vhost, "c", "other"), names(&["q", "qa"]));
    vhost
        .unbind_exchange("a", "c", "#", FieldTable::new())
        .expect("unbound");
    assert_eq!(routed(&vhost, "c", "k"), names(&["q", "qc"]));
}

#[test]
fn what_changes_a_route_changes_the_epoch() {
    let vhost = vhost();
    declare(&vhost, "q");
    vhost
        .declare_exchange(exchange("x", "direct"))
        .expect("declared");
    let none = FieldTable::new;
    let changes: [&dyn Fn() -> Result<Durability, Exception>; 5] = [
        &|| vhost.bind_queue("q", "x", "k", none(), ME),
        &|| vhost.unbind_queue("q", "x", "k", none(), ME),
        &|| vhost.bind_exchange("x", "amq.fanout", "k", none()),
        &|| vhost.unbind_exchange("x", "amq.fanout", "k", none()),
        &|| vhost.delete_exchange("x", false),
    ];
    for change in changes {
        let epoch = vhost.epoch();
        assert_eq!(change(), Ok(TRANSIENT));
        assert_ne!(vhost.epoch(), epoch);
    }
    let epoch = vhost.epoch();
    declare(&vhost, "new");
    assert_eq!(vhost.epoch(), epoch, "a new queue leaves caches alone");
    let route = vhost
        .route("", "missing", &PLAIN, false)
        .expect("the default exchange");
    assert!(
        !route.cacheable,
        "since where it was missing nobody remembers that"
    );
    let route = vhost
        .route("", "new", &PLAIN, false)
        .expect("the default exchange");
    assert!(route.cacheable);
}
