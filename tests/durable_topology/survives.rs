//! What is durable comes back as it was declared, and nothing else does.

use super::support::Value;
use super::*;

/// x-arguments of every kind, as a headers exchange's bindings and queues may have them.
fn odd_arguments() -> Table {
    table! {
        "x-match" => "all",
        "text" => "grün",
        "number" => 17_i64,
        "small" => 3_u8,
        "yes" => true,
        "half" => 0.5_f64,
        "when" => Value::Timestamp(1_700_000_000),
        "nothing" => Value::Void,
        "list" => Value::Array(vec![Value::I32(-1), Value::Text(b"\xff\x00".to_vec())]),
        "table" => table! { "inner" => table! { "deep" => 1_i32 } },
    }
}

#[test]
fn exchanges_with_all_that_they_were_declared_with() {
    let Some(broker) = fresh() else { return };
    let mut client = broker.client();
    let kinds = ["direct", "fanout", "topic", "headers"];
    for kind in kinds {
        client.call(durable_exchange(kind, kind));
    }
    client.call(durable_exchange("internal", "fanout").with("internal", true));
    client.call(durable_exchange("leaves", "direct").with("auto_delete", true));
    let alternate = table! { "alternate-exchange" => "fanout", "mine" => odd_arguments() };
    client.call(durable_exchange("refers", "topic").with("arguments", alternate.clone()));

    let broker = killed(broker);
    let mut client = broker.client();
    for kind in kinds {
        client.call(durable_exchange(kind, kind));
    }
    let differences = [
        (
            durable_exchange("direct", "fanout"),
            "'type' for exchange 'direct' in vhost '/': received 'fanout' but current is 'direct'",
        ),
        (
            durable_exchange("topic", "topic").with("durable", false),
            "'durable' for exchange 'topic' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            durable_exchange("internal", "fanout"),
            "'internal' for exchange 'internal' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            durable_exchange("leaves", "direct"),
            "'auto_delete' for exchange 'leaves' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            durable_exchange("refers", "topic"),
            "'alternate-exchange' for exchange 'refers' in vhost '/': received none but current is the value 'fanout' of type 'longstr'",
        ),
    ];
    for (declare, text) in differences {
        let text = format!("PRECONDITION_FAILED - inequivalent arg {text}");
        client.refused(declare, 406, &text);
    }
    client.call(durable_exchange("refers", "topic").with("arguments", alternate));
    client.call(method!("queue.declare", queue: "q"));
    client.bind("q", "fanout", "");
    assert!(is_routed(&mut client, "refers", "by its alternate"));
    // An auto-delete exchange waits for its first binding to go, however long it was there.
    client.bind("q", "leaves", "k");
    client.call(method!("queue.unbind", queue: "q", exchange: "leaves", routing_key: "k"));
    is_gone(&mut client, "exchange", "leaves");
    client.publish("internal", "", "m");
    client.expect_close(
        403,
        "ACCESS_REFUSED - cannot publish to internal exchange 'internal' in vhost '/'",
        "basic.publish",
    );
}

#[test]
fn queues_with_all_that_they_were_declared_with() {
    let Some(broker) = fresh() else { return };
    let mut client = broker.client();
    client.call(durable_exchange("dlx", "fanout"));
    let all = table! {
        "x-message-ttl" => 3_600_000_i32,
        "x-expires" => 7_200_000_i64,
        "x-dead-letter-exchange" => "dlx",
        "x-dead-letter-routing-key" => "dead",
        "x-max-length" => 2_i32,
        "x-max-length-bytes" => 100_000_i32,
        "x-max-priority" => 5_u8,
        "x-overflow" => "reject-publish",
        "x-queue-mode" => "lazy",
        "x-single-active-consumer" => true,
        "unheard-of" => odd_arguments(),
    };
    client.call(durable_queue("all", all.clone()));
    let quorum = table! { "x-queue-type" => "quorum", "x-delivery-limit" => 3_i32 };
    client.call(durable_queue("quorum", quorum.clone()));
    client.call(durable_queue("auto-delete", no_arguments()).with("auto_delete", true));
    let made_up = client.call(durable_queue("", no_arguments())).text("queue");

    let broker = killed(broker);
    let mut client = broker.client();
    for (name, arguments) in [("all", &all), ("quorum", &quorum)] {
        client.call(durable_queue(name, arguments.clone()));
    }
    for name in ["auto-delete", &made_up] {
        is_there(&mut client, "queue", name);
    }
    let mut other = all.clone();
    other.0[0].1 = Value::I32(1);
    client.refused(
        durable_queue("all", other),
        406,
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'all' in vhost '/': \
         received '1' but current is '3600000'",
    );
    client.refused(
        durable_queue("auto-delete", no_arguments()),
        406,
        "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'auto-delete' in vhost '/': \
         received 'false' but current is 'true'",
    );
    // And they do what they were declared for.
    client.call(method!("confirm.select"));
    for tag in 1..=3 {
        client.publish("", "all", "m");
        match tag {
            3 => client.expect_nack(tag),
            _ => client.expect(method!("basic.ack", delivery_tag: tag)),
        }
    }
    client.consume("auto-delete", "c");
    client.call(method!("basic.cancel", consumer_tag: "c"));
    is_gone(&mut client, "queue", "auto-delete");
}

#[test]
fn bindings_with_keys_and_arguments() {
    let Some(broker) = fresh() else { return };
    let mut client = broker.client();
    for (name, kind) in [("from", "topic"), ("to", "direct"), ("h", "headers")] {
        client.call(durable_exchange(name, kind));
    }
    for name in ["q", "hq", "other"] {
        client.call(durable_queue(name, no_arguments()));
    }
    client.bind("q", "to", "a.b");
    client.bind("q", "amq.topic", "*.end.#");
    client.bind("other", "amq.fanout", "");
    client.call(method!("exchange.bind", destination: "to", source: "from", routing_key: "a.*"));
    client.call(
        method!("exchange.bind", destination: "from", source: "amq.direct", routing_key: "a.b"),
    );
    let bind = |arguments: Table| method!("queue.bind", queue: "hq", exchange: "h", routing_key: "k", arguments: arguments);
    client.call(bind(odd_arguments()));
    let any = table! { "x-match" => "any", "a" => 1_i32, "b" => "2" };
    client.call(bind(any.clone()));

    let mut broker = broker;
    // Once more from what was restored, not declared.
    for _ in 0..2 {
        broker = killed(broker);
        let mut client = broker.client();
        assert!(is_routed(&mut client, "from", "a.b"));
        assert!(!is_routed(&mut client, "from", "b.b"));
        assert!(
            !is_routed(&mut client, "from", "a.c"),
            "the second one's key does not fit"
        );
        assert!(is_routed(&mut client, "amq.direct", "a.b"));
        assert!(is_routed(&mut client, "amq.topic", "at.end"));
        assert!(!is_routed(&mut client, "amq.topic", "end"));
        assert!(is_routed(&mut client, "amq.fanout", ""));
        let with = |headers: Table| properties!(headers: headers);
        let mut matching = odd_arguments();
        matching.0.remove(0);
        assert!(is_routed_with(
            &mut client,
            "h",
            "",
            &with(matching.clone())
        ));
        matching.0.pop();
        assert!(!is_routed_with(&mut client, "h", "", &with(matching)));
        assert!(is_routed_with(
            &mut client,
            "h",
            "",
            &with(table! { "b" => "2" })
        ));
        assert!(!is_routed_with(
            &mut client,
            "h",
            "",
            &with(table! { "b" => 2_i32 })
        ));
    }
    let mut client = broker.client();
    // Bound again it is the same binding, and unbound it is gone.
    client.call(bind(any.clone()));
    client.call(
        method!("queue.unbind", queue: "hq", exchange: "h", routing_key: "k", arguments: any),
    );
    let headers = properties!(headers: table! { "a" => 1_i32 });
    assert!(!is_routed_with(&mut client, "h", "", &headers));
}

/// As in RabbitMQ, which forgets a binding with a transient end, and keeps an auto-delete exchange
/// whose bindings all went that way.
#[test]
fn what_is_transient_or_exclusive_is_gone_and_its_bindings_with_it() {
    let Some(broker) = fresh() else { return };
    let mut client = broker.client();
    client.call(durable_exchange("durable", "direct"));
    client.call(durable_exchange("auto-delete", "direct").with("auto_delete", true));
    client.call(method!("exchange.declare", exchange: "transient", type: "direct"));
    client.call(durable_queue("q", no_arguments()));
    client.call(method!("queue.declare", queue: "transient"));
    client.call(durable_queue("exclusive", no_arguments()).with("exclusive", true));
    client.bind("transient", "durable", "k");
    client.bind("transient", "auto-delete", "k");
    client.bind("exclusive", "durable", "k");
    client.bind("q", "transient", "k");
    client.bind("transient", "amq.direct", "k");
    client.call(
        method!("exchange.bind", destination: "durable", source: "transient", routing_key: "k"),
    );

    let broker = killed(broker);
    let mut client = broker.client();
    is_gone(&mut client, "queue", "transient");
    is_gone(&mut client, "queue", "exclusive");
    is_gone(&mut client, "exchange", "transient");
    for exchange in ["durable", "auto-delete", "amq.direct"] {
        assert!(!is_routed(&mut client, exchange, "k"), "{exchange}");
    }
    // Another one of the same name gets nothing of the first one's.
    client.call(method!("queue.declare", queue: "transient"));
    client.call(method!("exchange.declare", exchange: "transient", type: "direct"));
    for exchange in ["durable", "auto-delete", "amq.direct", "transient"] {
        assert!(!is_routed(&mut client, exchange, "k"), "{exchange}");
    }
    is_there(&mut client, "queue", "q");
}

#[test]
fn a_shutdown_keeps_the_same_as_a_kill() {
    let Some(broker) = fresh() else { return };
    let mut client = broker.client();
    client.call(durable_queue("q", no_arguments()));
    client.call(method!("queue.declare", queue: "transient"));
    client.bind("q", "amq.topic", "#");
    // Nobody waits for these; the broker that ends stores them all the same.
    for n in 0..100 {
        let name = format!("q{n}");
        client.send(durable_queue(&name, no_arguments()).with("no_wait", true));
    }
    client.counts("transient");
    let broker = again(broker.stop());
    let mut client = broker.client();
    assert!(is_routed(&mut client, "amq.topic", "k"));
    is_gone(&mut client, "queue", "transient");
    for n in 0..100 {
        is_there(&mut client, "queue", &format!("q{n}"));
    }
}

#[test]
fn a_quorum_queue_expires_after_a_restart_with_what_it_holds() {
    let Some(broker) = fresh() else { return };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    let arguments = table! { "x-queue-type" => "quorum", "x-expires" => 300 };
    client.call(durable_queue("short", arguments));
    client.publish("", "short", "x");
    client.expect_name("basic.ack");
    let mut broker = killed(broker);
    for end in [killed as fn(Broker) -> Broker, |broker| {
        again(broker.stop())
    }] {
        support::broker::eventually("the queue is gone", || {
            let mut client = broker.client();
            client.send(method!("queue.bind", queue: "short", exchange: "amq.fanout"));
            client.receive().name == "channel.close"
        });
        let mut client = broker.client();
        client.call(durable_queue("later", no_arguments()));
        client.close();
        broker = end(broker);
    }
    let mut client = broker.client();
    is_gone(&mut client, "queue", "short");
    is_there(&mut client, "queue", "later");
}

#[test]
fn a_queue_that_expires_counts_as_used_when_the_broker_starts_and_expires_then() {
    let Some(broker) = fresh() else { return };
    let mut client = broker.client();
    let expires = |ms: i32| table! { "x-expires" => ms };
    client.call(durable_queue("long", expires(3_600_000)));
    client.call(durable_queue("short", expires(300)));
    let broker = killed(broker);
    let mut client = broker.client();
    is_there(&mut client, "queue", "long");
    let here = |broker: &Broker, name: &str| {
        let mut client = broker.client();
        client.send(method!("queue.bind", queue: name, exchange: "amq.fanout"));
        client.receive().name == "queue.bind-ok"
    };
    support::broker::eventually("the queue is gone", || !here(&broker, "short"));
    // Whatever is stored later is stored after that.
    client.call(durable_queue("later", no_arguments()));
    let broker = killed(broker);
    let mut client = broker.client();
    is_gone(&mut client, "queue", "short");
    is_there(&mut client, "queue", "long");
}
