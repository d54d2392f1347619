//! queue.bind, exchange.bind and their undoing; what each exchange type routes where.

use crate::support::*;

/// Publishes a message with each of the keys and says which of them reached the queue.
fn routed(client: &mut Client, exchange: &str, queue: &str, keys: &[&str]) -> Vec<String> {
    for key in keys {
        client.publish(exchange, key, key);
    }
    client.publish("", queue, "end");
    let mut came = Vec::new();
    loop {
        match client.take(queue) {
            Some(text) if text == "end" => return came,
            Some(text) => came.push(text),
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn every_queue_is_bound_to_the_default_exchange_by_its_name() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.publish("", &queue, "1");
    client.await_ready(&queue, 1);
    let message = client.get(&queue, true).expect("a message");
    assert_eq!(
        message.method,
        method!("basic.get-ok", delivery_tag: 1, routing_key: &queue)
    );
}

#[test]
fn direct_takes_the_key_itself() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("direct"), client.queue());
    client.bind(&queue, &exchange, "a.b");
    client.bind(&queue, &exchange, "");
    let came = routed(
        &mut client,
        &exchange,
        &queue,
        &["a", "a.b", "a.*", "", "A.B", "a.b.c"],
    );
    assert_eq!(came, ["a.b", ""]);
}

#[test]
fn fanout_takes_everything() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("fanout"), client.queue());
    client.bind(&queue, &exchange, "whatever");
    assert_eq!(
        routed(&mut client, &exchange, &queue, &["a", "", "whatever"]),
        ["a", "", "whatever"]
    );
}

#[test]
fn topic_takes_patterns() {
    let keys = [
        "", "a", "b", "a.b", "a.b.c", "a..c", ".", "a.", "a.b.c.d", "x.b.y", "b.b", "#", "*",
    ];
    for (pattern, takes) in [
        ("#", &keys[..]),
        ("*", &["a", "b", "#", "*"][..]),
        ("", &[""]),
        ("a", &["a"]),
        ("a.*", &["a.b", "a."]),
        ("*.b", &["a.b", "b.b"]),
        ("a.#", &["a", "a.b", "a.b.c", "a..c", "a.", "a.b.c.d"]),
        ("#.b", &["b", "a.b", "b.b"]),
        ("#.b.#", &["b", "a.b", "a.b.c", "a.b.c.d", "x.b.y", "b.b"]),
        ("*.b.*", &["a.b.c", "x.b.y"]),
        ("*.*.*", &["a.b.c", "a..c", "x.b.y"]),
        (
            "#.*",
            &[
                "a", "b", "a.b", "a.b.c", "a..c", ".", "a.", "a.b.c.d", "x.b.y", "b.b", "#", "*",
            ],
        ),
        (
            "*.#",
            &[
                "a", "b", "a.b", "a.b.c", "a..c", ".", "a.", "a.b.c.d", "x.b.y", "b.b", "#", "*",
            ],
        ),
        ("#.#", &keys[..]),
        ("a.#.c", &["a.b.c", "a..c"]),
        ("a.*.#.d", &["a.b.c.d"]),
        ("a*", &[]),
    ] {
        let mut client = Broker::shared().client();
        let (exchange, queue) = (client.exchange("topic"), client.queue());
        client.bind(&queue, &exchange, pattern);
        assert_eq!(
            routed(&mut client, &exchange, &queue, &keys),
            takes,
            "pattern {pattern}"
        );
    }
}

#[test]
fn a_message_comes_once_however_many_bindings_match() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("topic"), client.queue());
    for pattern in ["#", "a.*", "a.b", "*.b"] {
        client.bind(&queue, &exchange, pattern);
    }
    assert_eq!(routed(&mut client, &exchange, &queue, &["a.b"]), ["a.b"]);
}

#[test]
fn topic_bindings_go_one_by_one() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("topic"), client.queue());
    client.bind(&queue, &exchange, "stays.#");
    for pattern in ["a.*", "a.*.c", "a.#"] {
        client.bind(&queue, &exchange, pattern);
    }
    let keys = ["a", "a.b", "a.b.c"];
    for (unbind, takes) in [
        ("a.#", &["a.b", "a.b.c"][..]),
        ("a.*", &["a.b.c"]),
        ("a.*.c", &[]),
    ] {
        client
            .call(method!("queue.unbind", queue: &queue, exchange: &exchange, routing_key: unbind));
        assert_eq!(
            routed(&mut client, &exchange, &queue, &keys),
            takes,
            "without {unbind}"
        );
    }
}

#[test]
fn headers_take_what_matches() {
    let void = || Table(vec![("a".into(), Value::Void)]);
    for (binding, headers, takes) in [
        (
            table! { "x-match" => "all", "a" => 1, "b" => "x" },
            table! { "a" => 1, "b" => "x", "c" => 2 },
            true,
        ),
        (
            table! { "x-match" => "all", "a" => 1, "b" => "x" },
            table! { "a" => 1 },
            false,
        ),
        (table! { "a" => 1, "b" => "x" }, table! { "a" => 1 }, false),
        (
            table! { "a" => 1, "b" => "x" },
            table! { "a" => 1, "b" => "x" },
            true,
        ),
        (
            table! { "x-match" => "any", "a" => 1, "b" => "x" },
            table! { "a" => 1 },
            true,
        ),
        (
            table! { "x-match" => "any", "a" => 1, "b" => "x" },
            table! { "a" => 2, "b" => "y" },
            false,
        ),
        (table! { "x-match" => "any", "a" => 1 }, table! {}, false),
        (table! { "x-match" => "all" }, table! { "a" => 1 }, true),
        (table! { "x-match" => "all" }, table! {}, true),
        (table! { "x-match" => "any" }, table! { "a" => 1 }, false),
        (table! {}, table! {}, true),
        (table! { "a" => 1 }, table! { "a" => 1i64 }, true),
        (table! { "a" => 1 }, table! { "a" => "1" }, false),
        (table! { "a" => true }, table! { "a" => true }, true),
        (table! { "a" => true }, table! { "a" => false }, false),
        (void(), table! { "a" => "anything" }, true),
        (void(), table! { "b" => "anything" }, false),
        (
            table! { "x-match" => "all", "x-skip" => 1, "a" => 1 },
            table! { "a" => 1 },
            true,
        ),
        (
            table! { "x-match" => "all-with-x", "x-skip" => 1 },
            table! { "a" => 1 },
            false,
        ),
        (
            table! { "x-match" => "all-with-x", "x-skip" => 1 },
            table! { "x-skip" => 1 },
            true,
        ),
        (
            table! { "x-match" => "any-with-x", "x-skip" => 1, "b" => 1 },
            table! { "x-skip" => 1 },
            true,
        ),
        (
            table! { "x-match" => "any-with-x", "x-skip" => 1, "b" => 1 },
            table! { "a" => 1 },
            false,
        ),
        (
            table! { "a" => table! { "n" => 1 } },
            table! { "a" => table! { "n" => 1 } },
            true,
        ),
        (table! { "a" => 1.5 }, table! { "a" => 1.5 }, true),
    ] {
        let mut client = Broker::shared().client();
        let (exchange, queue) = (client.exchange("headers"), client.queue());
        client.call(
            method!("queue.bind", queue: &queue, exchange: &exchange, arguments: binding.clone()),
        );
        client.publish_with(
            &exchange,
            "key",
            &properties!(headers: headers.clone()),
            "1",
        );
        let came = routed(&mut client, &exchange, &queue, &[]).len();
        assert_eq!(came == 1, takes, "{binding:?} takes {headers:?}");
    }
}

#[test]
fn a_message_without_headers_has_none() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("headers"), client.queue());
    client.call(
        method!("queue.bind", queue: &queue, exchange: &exchange, arguments: table! { "a" => 1 }),
    );
    assert!(routed(&mut client, &exchange, &queue, &["k"]).is_empty());
}

#[test]
fn x_match_is_checked() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("headers"), client.queue());
    for (value, text) in [
        (
            Value::from("some"),
            "value <<\"some\">>; expected all, any, all-with-x, or any-with-x",
        ),
        (Value::from(1), "type signedint (value 1); expected longstr"),
        (
            Value::from(true),
            "type bool (value true); expected longstr",
        ),
    ] {
        let arguments = Table(vec![("x-match".into(), value)]);
        let bind = method!("queue.bind", queue: &queue, exchange: &exchange, arguments: arguments);
        client.refused(
            bind,
            406,
            &format!("PRECONDITION_FAILED - Invalid x-match field {text}"),
        );
    }
}

#[test]
fn binding_twice_is_binding_once() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("direct"), client.queue());
    client.bind(&queue, "amq.direct", &queue);
    client.bind(&queue, &exchange, "k");
    client.bind(&queue, &exchange, "k");
    assert_eq!(routed(&mut client, &exchange, &queue, &["k"]), ["k"]);
    let unbind = method!("queue.unbind", queue: &queue, exchange: &exchange, routing_key: "k");
    client.call(unbind.clone());
    client.call(method!("queue.bind", queue: &queue, exchange: "amq.direct", routing_key: "other"));
}

#[test]
fn bindings_that_differ_in_arguments_are_two() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("direct"), client.queue());
    let bind = |arguments: Table| method!("queue.bind", queue: &queue, exchange: &exchange, routing_key: "k", arguments: arguments);
    client.call(bind(table! {}));
    client.call(bind(table! { "a" => 1 }));
    client.call(method!("queue.unbind", queue: &queue, exchange: &exchange, routing_key: "k"));
    assert_eq!(routed(&mut client, &exchange, &queue, &["k"]), ["k"]);
    let unbind = method!("queue.unbind", queue: &queue, exchange: &exchange, routing_key: "k");
    client.call(unbind.with("arguments", table! { "a" => 1 }));
    client.refused(
        method!("exchange.declare", exchange: &exchange, passive: true),
        404,
        &format!("NOT_FOUND - no exchange '{exchange}' in vhost '/'"),
    );
}

#[test]
fn missing_exchanges_and_queues_are_not_found() {
    let mut client = Broker::shared().client();
    let (queue, nothing) = (client.queue(), unique("nothing"));
    let no_exchange = format!("NOT_FOUND - no exchange '{nothing}' in vhost '/'");
    let no_queue = format!("NOT_FOUND - no queue '{nothing}' in vhost '/'");
    for (method, text) in [
        (
            method!("queue.bind", queue: &queue, exchange: &nothing),
            &no_exchange,
        ),
        (
            method!("queue.bind", queue: &nothing, exchange: "amq.direct"),
            &no_queue,
        ),
        (
            method!("queue.bind", queue: &nothing, exchange: &nothing),
            &no_exchange,
        ),
        (
            method!("exchange.bind", destination: &nothing, source: "amq.direct"),
            &no_exchange,
        ),
        (
            method!("exchange.bind", destination: "amq.direct", source: &nothing),
            &no_exchange,
        ),
    ] {
        client.refused(method, 404, text);
    }
}

#[test]
fn undoing_a_binding_that_is_not_there_is_fine() {
    let mut client = Broker::shared().client();
    let (queue, nothing) = (client.queue(), unique("nothing"));
    client.call(method!("queue.unbind", queue: &queue, exchange: &nothing));
    client.call(method!("queue.unbind", queue: &nothing, exchange: "amq.direct"));
    client.call(method!("exchange.unbind", destination: &nothing, source: "amq.direct"));
    client.call(method!("queue.unbind", queue: &queue, exchange: "amq.direct", routing_key: "k"));
    client.call(method!("exchange.unbind", destination: "amq.fanout", source: "amq.direct", routing_key: &queue));
}

#[test]
fn an_empty_key_stands_for_the_queue_only_where_the_queue_is_empty_too() {
    let mut client = Broker::shared().client();
    let (exchange, queue) = (client.exchange("direct"), client.queue());
    client.call(method!("queue.bind", exchange: &exchange));
    assert_eq!(
        routed(&mut client, &exchange, &queue, &["", &queue]),
        [queue.as_str()]
    );
}

#[test]
fn exchanges_feed_exchanges() {
    let mut client = Broker::shared().client();
    let (source, middle, queue) = (
        client.exchange("topic"),
        client.exchange("direct"),
        client.queue(),
    );
    client
        .call(method!("exchange.bind", destination: &middle, source: &source, routing_key: "a.*"));
    client.bind(&queue, &middle, "a.b");
    assert_eq!(
        routed(&mut client, &source, &queue, &["a.b", "a.c", "b"]),
        ["a.b"]
    );
    client.publish(&source, "a.b", "1");
    client.await_ready(&queue, 1);
    assert_eq!(
        client
            .get(&queue, true)
            .expect("a message")
            .method
            .text("exchange"),
        source
    );
    client.call(
        method!("exchange.unbind", destination: &middle, source: &source, routing_key: "a.*"),
    );
}

#[test]
fn exchanges_may_feed_each_other_in_a_circle() {
    let mut client = Broker::shared().client();
    let (one, two, queue) = (
        client.exchange("fanout"),
        client.exchange("fanout"),
        client.queue(),
    );
    client.call(method!("exchange.bind", destination: &two, source: &one));
    client.call(method!("exchange.bind", destination: &one, source: &two));
    client.call(method!("exchange.bind", destination: &one, source: &one));
    client.bind(&queue, &one, "");
    client.bind(&queue, &two, "");
    assert_eq!(routed(&mut client, &one, &queue, &["k"]), ["k"]);
    assert_eq!(routed(&mut client, &two, &queue, &["k"]), ["k"]);
}

#[test]
fn cc_and_bcc_route_too_and_bcc_is_taken_out() {
    let mut client = Broker::shared().client();
    let (exchange, one, two, three) = (
        client.exchange("direct"),
        client.queue(),
        client.queue(),
        client.queue(),
    );
    for (queue, key) in [(&one, "one"), (&two, "two"), (&three, "three")] {
        client.bind(queue, &exchange, key);
    }
    let list = |keys: &[&str]| Value::Array(keys.iter().map(|key| Value::from(*key)).collect());
    let headers = table! { "CC" => list(&["two"]), "BCC" => list(&["three", "two"]), "other" => 1 };
    client.publish_with(&exchange, "one", &properties!(headers: headers), "x");
    for queue in [&one, &two, &three] {
        client.await_ready(queue, 1);
        let message = client.get(queue, true).expect("a message");
        assert_eq!(message.method.text("routing-key"), "one");
        assert_eq!(
            message.headers(),
            table! { "CC" => list(&["two"]), "other" => 1 }
        );
    }
}

#[test]
fn cc_and_bcc_must_be_lists() {
    let mut client = Broker::shared().client();
    for (headers, text) in [
        (
            table! { "CC" => "two" },
            r#"{unacceptable_type_in_header,"CC",longstr}"#,
        ),
        (
            table! { "BCC" => 1 },
            r#"{unacceptable_type_in_header,"BCC",signedint}"#,
        ),
    ] {
        client.publish_with("amq.direct", "one", &properties!(headers: headers), "x");
        let text = format!("PRECONDITION_FAILED - invalid message: {text}");
        client.expect_close(406, &text, "basic.publish");
        client.open_channel(1);
    }
}

/// Later versions take the last one.
#[test]
fn of_a_header_that_comes_twice_the_first_one_counts() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("headers");
    let queues = [client.queue(), client.queue()];
    for (queue, value) in queues.iter().zip([1, 2]) {
        let arguments = table! { "x-match" => "any", "a" => value };
        client.call(method!("queue.bind", queue: queue, exchange: &exchange, arguments: arguments));
    }
    let headers = Table(vec![
        ("a".into(), Value::from(1)),
        ("a".into(), Value::from(2)),
    ]);
    client.publish_with(&exchange, "", &properties!(headers: headers), "twice");
    client.await_ready(&queues[0], 1);
    assert_eq!(client.counts(&queues[1]).0, 0);
}
