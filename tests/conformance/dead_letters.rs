//! Dead-lettering: reasons, headers, cycles.

use crate::support::*;

/// A queue that dead-letters into another; returns both.
fn with_dead_letters(client: &mut Client, mut arguments: Table) -> (String, String) {
    let dead = client.queue();
    arguments
        .0
        .push(("x-dead-letter-exchange".into(), Value::from("")));
    arguments
        .0
        .push(("x-dead-letter-routing-key".into(), Value::from(&dead)));
    (client.queue_with(arguments), dead)
}

/// Waits for a message in a queue and takes it.
fn await_message(client: &mut Client, queue: &str) -> Message {
    client.await_ready(queue, 1);
    client.get(queue, true).expect("a message")
}

/// x-death without its times, which must be timestamps; keys in order, as RabbitMQ has them in
/// more than one.
/// Takes a message, once it is there, and rejects it.
fn reject_next(client: &mut Client, queue: &str) -> Message {
    client.await_ready(queue, 1);
    let message = client.get(queue, false).expect("a message");
    client.nack(message.tag(), false, false);
    message
}

fn deaths(message: &Message) -> Vec<Table> {
    message
        .headers()
        .at("x-death")
        .array()
        .iter()
        .map(|death| {
            let mut death = death.table().clone();
            assert!(matches!(death.at("time"), Value::Timestamp(_)), "{death:?}");
            death.0.retain(|(key, _)| key != "time");
            death.0.sort_by(|a, b| a.0.cmp(&b.0));
            death
        })
        .collect()
}

/// An entry of x-death.
fn death(reason: &str, queue: &str, exchange: &str, key: &str, count: i64) -> Table {
    table! {
        "count" => count, "exchange" => exchange, "queue" => queue, "reason" => reason,
        "routing-keys" => Value::Array(vec![Value::from(key)]),
    }
}

#[test]
fn rejected_messages_die_with_headers() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! {});
    let exchange = client.exchange("direct");
    client.bind(&queue, &exchange, "key");
    let properties =
        properties!(headers: table! { "mine" => 1 }, message_id: "m", delivery_mode: 2);
    for reject in [
        method!("basic.reject", delivery_tag: 1),
        method!("basic.nack", delivery_tag: 1),
        method!("basic.nack", delivery_tag: 0, multiple: true),
    ] {
        client.open_channel(2);
        client.publish_with(&exchange, "key", &properties, "body");
        client.await_ready(&queue, 1);
        client.on(2).get(&queue, false);
        client.on(2).send(reject);
        let message = await_message(&mut client, &dead);
        assert_eq!(message.text(), "body");
        assert_eq!(
            message.properties.get("message-id"),
            properties.get("message-id")
        );
        assert_eq!(
            message.properties.get("delivery-mode"),
            properties.get("delivery-mode")
        );
        assert_eq!(message.method.text("exchange"), "");
        assert_eq!(message.method.text("routing-key"), dead);
        assert!(!message.redelivered());
        assert_eq!(
            deaths(&message),
            [death("rejected", &queue, &exchange, "key", 1)]
        );
        let headers = message.headers();
        let mut keys = headers.keys();
        // Since 3.13 RabbitMQ has these as well.
        keys.retain(|key| !key.starts_with("x-last-death-"));
        keys.sort();
        let expected = [
            "mine",
            "x-death",
            "x-first-death-exchange",
            "x-first-death-queue",
            "x-first-death-reason",
        ];
        assert_eq!(keys, expected);
        assert_eq!(headers.at("x-first-death-reason"), &Value::from("rejected"));
        assert_eq!(headers.at("x-first-death-queue"), &Value::from(&queue));
        assert_eq!(
            headers.at("x-first-death-exchange"),
            &Value::from(&exchange)
        );
        client.on(2).call(method!("channel.close", reply_code: 200));
    }
}

#[test]
fn expired_messages_die() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! { "x-message-ttl" => 20 });
    client.publish("", &queue, "x");
    let message = await_message(&mut client, &dead);
    assert_eq!(deaths(&message), [death("expired", &queue, "", &queue, 1)]);
    assert_eq!(client.counts(&queue).0, 0);
}

#[test]
fn the_expiration_is_taken_off_and_remembered() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! {});
    client.publish_with("", &queue, &properties!(expiration: "20", priority: 1), "x");
    let message = await_message(&mut client, &dead);
    assert_eq!(message.properties.get("expiration"), None);
    assert_eq!(message.properties.get("priority"), Some(&Arg::from(1)));
    let mut expected = death("expired", &queue, "", &queue, 1);
    expected
        .0
        .insert(1, ("original-expiration".into(), Value::from("20")));
    expected.0.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(deaths(&message), [expected]);
}

#[test]
fn the_expiration_goes_for_every_reason() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! {});
    client.publish_with("", &queue, &properties!(expiration: "600000"), "x");
    client.await_ready(&queue, 1);
    client.get(&queue, false);
    client.nack(1, false, false);
    let message = await_message(&mut client, &dead);
    assert_eq!(message.properties.get("expiration"), None);
    assert_eq!(
        deaths(&message)[0].at("original-expiration"),
        &Value::from("600000")
    );
}

#[test]
fn what_is_pushed_out_dies() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! { "x-max-length" => 1 });
    client.publish("", &queue, "1");
    client.publish("", &queue, "2");
    let message = await_message(&mut client, &dead);
    assert_eq!(message.text(), "1");
    assert_eq!(deaths(&message), [death("maxlen", &queue, "", &queue, 1)]);
    assert_eq!(client.take_all(&queue), ["2"]);
}

#[test]
fn what_is_refused_may_die() {
    let mut client = Broker::shared().client();
    let arguments = table! { "x-max-length" => 1, "x-overflow" => "reject-publish-dlx" };
    let (queue, dead) = with_dead_letters(&mut client, arguments);
    client.call(method!("confirm.select"));
    client.publish("", &queue, "1");
    client.expect(method!("basic.ack", delivery_tag: 1));
    client.publish("", &queue, "2");
    client.expect_nack(2);
    let message = await_message(&mut client, &dead);
    assert_eq!(message.text(), "2");
    assert_eq!(deaths(&message), [death("maxlen", &queue, "", &queue, 1)]);
    assert_eq!(client.take_all(&queue), ["1"]);
}

#[test]
fn without_a_routing_key_the_old_one_is_used() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("topic");
    let dead = client.queue();
    client.bind(&dead, &exchange, "#");
    let queue = client.queue_with(table! { "x-dead-letter-exchange" => &exchange });
    client.publish("", &queue, "x");
    client.await_ready(&queue, 1);
    client.get(&queue, false);
    client.nack(1, false, false);
    let message = await_message(&mut client, &dead);
    assert_eq!(message.method.text("exchange"), exchange);
    assert_eq!(message.method.text("routing-key"), queue);
}

#[test]
fn cc_is_used_where_there_is_no_routing_key_and_dropped_where_there_is() {
    let list = |keys: &[&str]| Value::Array(keys.iter().map(|key| Value::from(*key)).collect());
    for with_key in [false, true] {
        let mut client = Broker::shared().client();
        let (exchange, dead) = (client.exchange("direct"), client.queue());
        let queue = {
            let mut arguments = table! { "x-dead-letter-exchange" => &exchange };
            if with_key {
                arguments
                    .0
                    .push(("x-dead-letter-routing-key".into(), Value::from("new")));
            }
            client.queue_with(arguments)
        };
        let key = if with_key { "new" } else { "cc" };
        client.bind(&dead, &exchange, key);
        let headers = table! { "CC" => list(&["cc"]), "BCC" => list(&["bcc"]) };
        client.publish_with("", &queue, &properties!(headers: headers), "x");
        client.await_ready(&queue, 1);
        client.get(&queue, false);
        client.nack(1, false, false);
        let message = await_message(&mut client, &dead);
        let keys = deaths(&message)[0].at("routing-keys").clone();
        assert_eq!(keys, list(&[&queue, "cc"]));
        let cc = (!with_key).then(|| list(&["cc"]));
        assert_eq!(message.headers().get("CC"), cc.as_ref());
        assert_eq!(message.headers().get("BCC"), None);
        assert_eq!(
            message.method.text("routing-key"),
            if with_key { "new" } else { &queue }
        );
    }
}

/// And whoever gets it does not see BCC, the first time as the second.
#[test]
fn bcc_is_used_where_there_is_no_routing_key_and_never_seen() {
    let list = |keys: &[&str]| Value::Array(keys.iter().map(|key| Value::from(*key)).collect());
    for quorum in [false, true] {
        let mut client = Broker::shared().client();
        let (exchange, headers_exchange) = (client.exchange("direct"), client.exchange("headers"));
        let mut arguments = table! { "x-dead-letter-exchange" => &exchange };
        let queue = if quorum {
            arguments.0.push(("x-queue-type".into(), "quorum".into()));
            let name = unique("queue");
            let declare =
                method!("queue.declare", queue: &name, durable: true, arguments: arguments.clone());
            client.call(declare);
            name
        } else {
            client.queue_with(arguments.clone())
        };
        let again = client.queue_with(table! { "x-dead-letter-exchange" => &exchange });
        let (last, by_header) = (client.queue(), client.queue());
        client.bind(&again, &exchange, "bcc");
        client.bind(&last, &exchange, "bcc-too");
        let has_bcc = table! { "x-match" => "all", "BCC" => Value::Void };
        let bind = method!("queue.bind", queue: &by_header, exchange: &headers_exchange, arguments: has_bcc);
        client.call(bind);

        let headers = table! { "BCC" => list(&["bcc", "bcc-too"]) };
        client.publish_with("", &queue, &properties!(headers: headers.clone()), "x");
        client.publish_with(&headers_exchange, "", &properties!(headers: headers), "y");
        let message = reject_next(&mut client, &queue);
        assert_eq!(message.headers().get("BCC"), None);
        for queue in [&last, &again] {
            let message = reject_next(&mut client, queue);
            assert_eq!(message.headers().get("BCC"), None);
            assert_eq!(message.method.text("exchange"), exchange);
        }
        // The first of them has it once more, by the second.
        let message = await_message(&mut client, &last);
        assert_eq!(message.headers().get("BCC"), None);
        let keys = deaths(&message)[0].at("routing-keys").clone();
        assert_eq!(keys, list(&[&message.method.text("routing-key")]));
        assert_eq!(client.counts(&by_header).0, 0, "nobody routes by BCC");
        client.call(method!("queue.delete", queue: &queue));
    }
}

#[test]
fn a_routing_key_of_its_own_ends_bcc() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("direct");
    let (second, last) = (
        client.queue_with(table! { "x-dead-letter-exchange" => &exchange }),
        client.queue(),
    );
    client.bind(&second, &exchange, "new");
    client.bind(&last, &exchange, "bcc");
    client.bind(&last, &exchange, "end");
    let queue = client.queue_with(table! {
        "x-dead-letter-exchange" => &exchange,
        "x-dead-letter-routing-key" => "new",
    });
    let bcc = table! { "BCC" => Value::Array(vec!["bcc".into()]) };
    client.publish_with("", &queue, &properties!(headers: bcc), "x");
    for queue in [&queue, &second] {
        reject_next(&mut client, queue);
    }
    client.publish(&exchange, "end", "end");
    assert_eq!(client.take_all(&last), ["end"]);
}

#[test]
fn a_routing_key_may_be_any_bytes() {
    let odd = b"a.\xff".to_vec();
    for (kind, pattern) in [("fanout", ""), ("topic", "a.*")] {
        let mut client = Broker::shared().client();
        let (exchange, dead) = (client.exchange(kind), client.queue());
        client.bind(&dead, &exchange, pattern);
        let queue = client.queue_with(table! {
            "x-dead-letter-exchange" => &exchange,
            "x-dead-letter-routing-key" => Value::Text(odd.clone()),
            "x-max-length" => 0,
        });
        client.publish("", &queue, "x");
        let message = await_message(&mut client, &dead);
        assert_eq!(message.method.bytes("routing-key"), odd);
    }
}

#[test]
fn an_exchange_may_be_any_bytes_but_is_not_there() {
    let mut client = Broker::shared().client();
    let long = "e".repeat(300);
    for name in [Value::Text(b"a\xff".to_vec()), Value::from(&long)] {
        let queue = client.queue_with(table! {
            "x-dead-letter-exchange" => name,
            "x-max-length" => 0,
        });
        client.publish("", &queue, "x");
        client.await_ready(&queue, 0);
    }
}

/// RabbitMQ takes it as well, but whoever gets such a message loses the connection.
#[test]
fn a_routing_key_that_no_method_can_say_is_cut() {
    if !Broker::shared().is_warren() {
        return skip("its connections crash");
    }
    let mut client = Broker::shared().client();
    let (exchange, dead) = (client.exchange("fanout"), client.queue());
    client.bind(&dead, &exchange, "");
    let long = "k".repeat(300);
    let queue = client.queue_with(table! {
        "x-dead-letter-exchange" => &exchange,
        "x-dead-letter-routing-key" => &long,
        "x-max-length" => 0,
    });
    client.publish("", &queue, "x");
    let message = await_message(&mut client, &dead);
    assert_eq!(message.method.text("routing-key"), long[..255]);
    assert_eq!(message.text(), "x");
}

#[test]
fn deaths_are_counted_by_queue_and_reason_the_latest_first() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("direct");
    let one = client.queue_with(
        table! { "x-dead-letter-exchange" => &exchange, "x-dead-letter-routing-key" => "two" },
    );
    let two = client.queue_with(
        table! { "x-dead-letter-exchange" => &exchange, "x-dead-letter-routing-key" => "one" },
    );
    client.bind(&one, &exchange, "one");
    client.bind(&two, &exchange, "two");
    client.publish(&exchange, "one", "x");
    for queue in [&one, &two, &one, &two] {
        client.await_ready(queue, 1);
        let message = client.get(queue, false).expect("a message");
        client.nack(message.tag(), false, false);
    }
    client.await_ready(&one, 1);
    let message = client.get(&one, true).expect("a message");
    assert_eq!(
        deaths(&message),
        [
            death("rejected", &two, &exchange, "two", 2),
            death("rejected", &one, &exchange, "one", 2)
        ]
    );
    assert_eq!(
        message.headers().at("x-first-death-queue"),
        &Value::from(&one)
    );
}

#[test]
fn another_reason_is_another_entry() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! {});
    client.publish_with("", &queue, &properties!(expiration: "20"), "x");
    let expired = await_message(&mut client, &dead);
    // The client sends it on as it came.
    client.publish_with("", &queue, &expired.properties, "x");
    client.await_ready(&queue, 1);
    let tag = client.get(&queue, false).expect("a message").tag();
    client.nack(tag, false, false);
    let rejected = await_message(&mut client, &dead);
    let mut came = deaths(&rejected);
    came[1].0.retain(|(key, _)| key != "original-expiration");
    let entry = |reason| death(reason, &queue, "", &queue, 1);
    assert_eq!(came, [entry("rejected"), entry("expired")]);
    assert_eq!(
        rejected.headers().at("x-first-death-reason"),
        &Value::from("expired")
    );
}

#[test]
fn a_cycle_without_a_reject_ends() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("fanout");
    let watcher = client.queue();
    let queue =
        client.queue_with(table! { "x-dead-letter-exchange" => &exchange, "x-message-ttl" => 20 });
    client.bind(&queue, &exchange, "");
    client.bind(&watcher, &exchange, "");
    client.publish("", &queue, "x");
    // The watcher gets it when it first dies; the queue itself is not given it again.
    let message = await_message(&mut client, &watcher);
    assert_eq!(deaths(&message).len(), 1);
    assert_eq!(client.counts(&queue).0, 0);
}

#[test]
fn a_cycle_with_a_reject_goes_on() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-dead-letter-exchange" => "" });
    client.consume(&queue, "c");
    client.publish("", &queue, "x");
    for count in 0..5 {
        let message = client.delivery();
        if count > 0 {
            assert_eq!(
                deaths(&message),
                [death("rejected", &queue, "", &queue, count)]
            );
        }
        client.nack(message.tag(), false, false);
    }
}

#[test]
fn a_missing_dead_letter_exchange_loses_the_message() {
    let mut client = Broker::shared().client();
    let queue = client.queue_with(table! { "x-dead-letter-exchange" => unique("nothing") });
    client.publish("", &queue, "x");
    client.await_ready(&queue, 1);
    client.get(&queue, false);
    client.nack(1, false, false);
    client.call(method!("basic.qos"));
    assert_eq!(client.counts(&queue).0, 0);
}

#[test]
fn purged_and_deleted_messages_do_not_die() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! {});
    for _ in 0..2 {
        client.publish("", &queue, "x");
    }
    client.await_ready(&queue, 2);
    client.call(method!("queue.purge", queue: &queue));
    client.publish("", &queue, "x");
    client.await_ready(&queue, 1);
    client.call(method!("queue.delete", queue: &queue));
    assert_eq!(client.counts(&dead).0, 0);
}

#[test]
fn x_death_headers_of_others_are_kept_if_they_make_sense() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! {});
    let other = table! { "queue" => "other", "reason" => "rejected", "count" => 7i64 };
    for (header, kept) in [
        (Value::from("nonsense"), 0),
        (Value::Array(vec![Value::from(other.clone())]), 1),
    ] {
        let headers = Table(vec![("x-death".into(), header)]);
        client.publish_with("", &queue, &properties!(headers: headers), "x");
        client.await_ready(&queue, 1);
        let tag = client.get(&queue, false).expect("a message").tag();
        client.nack(tag, false, false);
        let message = await_message(&mut client, &dead);
        let headers = message.headers();
        let deaths = headers.at("x-death").array();
        assert_eq!(deaths.len(), 1 + kept);
        assert_eq!(deaths[0].table().at("queue"), &Value::from(&queue));
        assert_eq!(deaths[1..], [Value::from(other.clone())][..kept]);
        assert_eq!(headers.get("x-first-death-queue"), None);
    }
}

/// The first of those with one queue and reason stands for all.
#[test]
fn repeated_x_death_entries_are_merged() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! {});
    let own = table! { "queue" => &queue, "reason" => "rejected", "count" => 7i64 };
    let again = table! { "queue" => &queue, "reason" => "rejected", "count" => 5i64 };
    let other = table! { "queue" => "other", "reason" => "rejected" };
    let forged = [own, other.clone(), again, other].map(Value::from).to_vec();
    let headers = Table(vec![("x-death".into(), Value::Array(forged))]);
    client.publish_with("", &queue, &properties!(headers: headers), "x");
    reject_next(&mut client, &queue);
    let message = await_message(&mut client, &dead);
    let headers = message.headers();
    let deaths: Vec<_> = headers
        .at("x-death")
        .array()
        .iter()
        .map(Value::table)
        .collect();
    let counts: Vec<_> = deaths
        .iter()
        .map(|death| (death.at("queue"), death.at("count")))
        .collect();
    let (name, other) = (Value::from(&queue), Value::from("other"));
    let (eight, two) = (Value::from(8i64), Value::from(2i64));
    assert_eq!(counts, [(&name, &eight), (&other, &two)]);
}

#[test]
fn many_die_in_order() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! {});
    let bodies: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    for body in &bodies {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 100);
    for _ in 0..100 {
        client.get(&queue, false);
    }
    client.nack(0, true, false);
    client.await_ready(&dead, 100);
    assert_eq!(client.take_all(&dead), bodies);
}

/// Whoever's publish pushes them out.
#[test]
fn what_many_publishers_push_out_dies_in_order() {
    let mut client = Broker::shared().client();
    let (queue, dead) = with_dead_letters(&mut client, table! { "x-max-length" => 1 });
    std::thread::scope(|scope| {
        for publisher in ["a", "b", "c"] {
            let queue = &queue;
            scope.spawn(move || {
                let mut client = Broker::shared().client();
                client.call(method!("confirm.select"));
                for number in 0..1_000 {
                    client.publish("", queue, &format!("{publisher}{number}"));
                }
                client.close();
            });
        }
    });
    client.await_ready(&dead, 2_999);
    let died = client.take_all(&dead);
    for publisher in ["a", "b", "c"] {
        let own = died.iter().filter_map(|body| body.strip_prefix(publisher));
        let numbers: Vec<u32> = own
            .map(|number| number.parse().expect("a number"))
            .collect();
        assert!(numbers.is_sorted(), "{publisher}: {numbers:?}");
    }
}

#[test]
fn the_first_death_and_the_last_are_told_apart() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let exchange = client.exchange("direct");
    let (middle, last) = with_dead_letters(&mut client, table! {});
    let first = client.queue_with(
        table! { "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => &middle },
    );
    client.bind(&first, &exchange, "key");
    client.publish_with(&exchange, "key", &properties!(expiration: "1"), "body");
    client.await_ready(&middle, 1);
    let tag = client.get(&middle, false).expect("a letter").tag();
    client.send(method!("basic.reject", delivery_tag: tag));
    let headers = await_message(&mut client, &last).headers();
    let says = |name: &str, values: [&str; 3]| {
        for (what, value) in ["reason", "queue", "exchange"].iter().zip(values) {
            let name = format!("x-{name}-death-{what}");
            assert_eq!(headers.at(&name), &Value::from(value), "{name}");
        }
    };
    says("first", ["expired", &first, &exchange]);
    if broker.is_warren() {
        // RabbitMQ since 3.13.
        says("last", ["rejected", &middle, ""]);
    }
}
