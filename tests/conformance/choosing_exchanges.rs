//! Exchanges that choose one of what is bound to them: x-consistent-hash, x-random, x-local-random,
//! x-modulus-hash. RabbitMQ needs its plugins rabbitmq_consistent_hash_exchange,
//! rabbitmq_random_exchange and rabbitmq_sharding for them.

use crate::support::broker::eventually;
use crate::support::*;

fn declare(name: &str, kind: &str, arguments: Table) -> Method {
    method!("exchange.declare", exchange: name, type: kind, auto_delete: true, arguments: arguments)
}

fn exchange_with(client: &mut Client, kind: &str, arguments: Table) -> String {
    let name = unique(kind);
    client.call(declare(&name, kind, arguments));
    name
}

/// Queues, bound with these keys.
fn queues(client: &mut Client, exchange: &str, keys: &[&str]) -> Vec<String> {
    let queues: Vec<String> = keys.iter().map(|_| client.queue()).collect();
    for (queue, key) in queues.iter().zip(keys) {
        client.bind(queue, exchange, key);
    }
    queues
}

/// Waits until the queues have so many messages together, and takes them: what each has.
fn take_from(client: &mut Client, queues: &[String], count: usize) -> Vec<Vec<String>> {
    let mut taken = vec![Vec::new(); queues.len()];
    eventually("all messages are there", || {
        for (queue, taken) in queues.iter().zip(&mut taken) {
            taken.extend(client.take_all(queue));
        }
        taken.iter().map(Vec::len).sum::<usize>() >= count
    });
    // Nothing comes twice.
    assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), count);
    taken
}

fn with_headers(headers: Table) -> Properties {
    Properties::default().with("headers", headers)
}

#[test]
fn weights_are_integers_above_zero() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("x-consistent-hash");
    let queue = client.queue();
    let bind =
        |key: &str| method!("queue.bind", queue: &queue, exchange: &exchange, routing_key: key);
    for key in ["0", "-1", "-0", "+0", "000"] {
        let text = "PRECONDITION_FAILED - The binding key must be greater than 0";
        client.refused(bind(key), 406, text);
    }
    for key in ["", "abc", "1.5", " 1", "1 ", "+", "--1", "0x1", "1e3"] {
        let text =
            format!("PRECONDITION_FAILED - The binding key must be an integer: <<\"{key}\">>");
        let text = text.replace("<<\"\">>", "<<>>");
        client.refused(bind(key), 406, &text);
    }
    let text = "PRECONDITION_FAILED - The binding key must be an integer: <<\"ab\\\"c\">>";
    client.refused(bind("ab\"c"), 406, text);
    for key in ["1", "+2", "007"] {
        client.call(bind(key));
    }
    let to_exchange =
        method!("exchange.bind", destination: "amq.fanout", source: &exchange, routing_key: "x");
    let text = "PRECONDITION_FAILED - The binding key must be an integer: <<\"x\">>";
    client.refused(to_exchange, 406, text);
}

#[test]
fn what_is_hashed_is_one_thing_that_messages_have() {
    let mut client = Broker::shared().client();
    let kind = "x-consistent-hash";
    for (arguments, text) in [
        (
            table! { "hash-property" => "user_id" },
            "Unsupported property: user_id",
        ),
        (table! { "hash-property" => "" }, "Unsupported property: "),
        (
            table! { "hash-header" => "h", "hash-property" => "message_id" },
            "hash-header and hash-property are mutually exclusive",
        ),
        (
            table! { "hash-property" => "nonsense", "hash-header" => "h" },
            "hash-header and hash-property are mutually exclusive",
        ),
    ] {
        let text = format!("PRECONDITION_FAILED - {text}");
        client.refused(declare(&unique(kind), kind, arguments), 406, &text);
    }
    for property in ["message_id", "correlation_id", "timestamp"] {
        exchange_with(&mut client, kind, table! { "hash-property" => property });
    }
    exchange_with(&mut client, kind, table! { "hash-header" => "h" });
    // They are not compared when it is declared again.
    let exchange = exchange_with(&mut client, kind, table! { "hash-header" => "h" });
    client.call(declare(
        &exchange,
        kind,
        table! { "hash-property" => "nonsense" },
    ));
    // Here RabbitMQ's channel crashes.
    if Broker::shared().is_warren() {
        for name in ["hash-header", "hash-property"] {
            let exchange = unique(kind);
            let arguments = Table(vec![(name.into(), 1.into())]);
            let text = format!(
                "PRECONDITION_FAILED - invalid type 'signedint' for arg '{name}' in exchange '{exchange}' in vhost '/'"
            );
            client.refused(declare(&exchange, kind, arguments), 406, &text);
        }
    }
}

#[test]
fn a_key_goes_to_one_queue_and_keys_are_shared_out_by_weight() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("x-consistent-hash");
    let queues = queues(&mut client, &exchange, &["1", "1", "2"]);
    for round in 0..3 {
        for key in 0..600 {
            client.publish(&exchange, &format!("key {key}"), &format!("{round} {key}"));
        }
    }
    let taken = take_from(&mut client, &queues, 1800);
    for (taken, weight) in taken.iter().zip([1, 1, 2]) {
        let mut keys: Vec<&str> = taken
            .iter()
            .filter_map(|text| text.split(' ').nth(1))
            .collect();
        keys.sort_unstable();
        assert!(
            keys.chunks(3).all(|chunk| chunk == [chunk[0]; 3]),
            "{keys:?}"
        );
        // The queues' names are drawn anew each time, and a quarter of 600 keys is off by a quarter of
        // itself once in a thousand draws, by a third once in 200,000.
        let expected = 450 * weight;
        assert!(
            taken.len().abs_diff(expected) < expected / 3,
            "{}",
            taken.len()
        );
    }
}

#[test]
fn a_header_or_a_property_decides_whatever_the_routing_key() {
    let mut client = Broker::shared().client();
    let kind = "x-consistent-hash";
    for by in ["header", "message_id", "correlation_id", "timestamp"] {
        let arguments = match by {
            "header" => table! { "hash-header" => "h" },
            property => table! { "hash-property" => property },
        };
        let exchange = exchange_with(&mut client, kind, arguments);
        let queues = queues(&mut client, &exchange, &["5", "5", "5", "5"]);
        for index in 0..200_u64 {
            let key = index % 50;
            let text = format!("k{key}");
            let properties = match by {
                "header" => with_headers(table! { "h" => text }),
                "message_id" => Properties::default().with("message_id", text),
                "correlation_id" => Properties::default().with("correlation_id", text),
                _ => Properties::default().with("timestamp", key),
            };
            let routing_key = if index < 100 {
                "same".into()
            } else {
                index.to_string()
            };
            client.publish_with(&exchange, &routing_key, &properties, &format!("{key:02}"));
        }
        let taken = take_from(&mut client, &queues, 200);
        assert!(
            taken.iter().filter(|taken| !taken.is_empty()).count() > 1,
            "{by}"
        );
        for mut keys in taken {
            keys.sort_unstable();
            assert!(
                keys.chunks(4)
                    .all(|chunk| *chunk == vec![chunk[0].clone(); 4]),
                "{by}: {keys:?}"
            );
        }
        // What has none of it goes one way, too.
        for index in 0..20 {
            client.publish(&exchange, &index.to_string(), "none");
        }
        let taken = take_from(&mut client, &queues, 20);
        assert_eq!(
            taken.iter().filter(|taken| !taken.is_empty()).count(),
            1,
            "{by}"
        );
    }
}

#[test]
fn with_nothing_bound_a_message_is_unroutable() {
    let mut client = Broker::shared().client();
    for kind in ["x-consistent-hash", "x-random", "x-modulus-hash"] {
        let exchange = client.exchange(kind);
        let publish =
            method!("basic.publish", exchange: &exchange, routing_key: "k", mandatory: true);
        client.send_content(publish, &Properties::default(), b"back");
        assert_eq!(client.message("basic.return").text(), "back");
        let alternate = client.exchange("fanout");
        let queue = client.queue();
        client.bind(&queue, &alternate, "");
        let arguments = table! { "alternate-exchange" => &alternate };
        let exchange = exchange_with(&mut client, kind, arguments);
        client.publish(&exchange, "k", "elsewhere");
        client.await_ready(&queue, 1);
    }
}

#[test]
fn keys_of_a_queue_that_goes_are_shared_out_and_the_others_stay() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("x-consistent-hash");
    let mut queues = queues(&mut client, &exchange, &["1", "1", "1", "1"]);
    let publish = |client: &mut Client, queues: &[String]| {
        for key in 0..400 {
            client.publish(&exchange, &key.to_string(), &key.to_string());
        }
        take_from(client, queues, 400)
    };
    let before = publish(&mut client, &queues);
    // The last one, of which RabbitMQ moves no other keys either.
    let gone = queues.pop().expect("four");
    client.call(method!("queue.delete", queue: &gone));
    let after = publish(&mut client, &queues);
    for (before, after) in before.iter().zip(&after) {
        assert!(before.iter().all(|key| after.contains(key)));
        assert!(after.len() > before.len());
    }
    // And one that comes takes keys from all, but only for itself.
    let new = client.queue();
    client.bind(&new, &exchange, "1");
    queues.push(new);
    let again = publish(&mut client, &queues);
    for (after, again) in after.iter().zip(&again) {
        assert!(again.iter().all(|key| after.contains(key)));
        assert!(again.len() < after.len());
    }
}

#[test]
fn random_takes_every_way_and_no_message_twice() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("x-random");
    let queues = queues(&mut client, &exchange, &["", "whatever", "#"]);
    for index in 0..300 {
        client.publish(&exchange, "one key", &index.to_string());
    }
    let taken = take_from(&mut client, &queues, 300);
    // None gets fewer than 50 but once in a billion times.
    assert!(taken.iter().all(|taken| taken.len() > 50));
}

#[test]
fn random_counts_bindings_and_leads_to_exchanges() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("x-random");
    let fanout = client.exchange("fanout");
    let (queue, behind) = (client.queue(), client.queue());
    client.bind(&behind, &fanout, "");
    client.call(method!("exchange.bind", destination: &fanout, source: &exchange));
    for key in ["a", "b", "c"] {
        client.bind(&queue, &exchange, key);
    }
    for index in 0..400 {
        client.publish(&exchange, "k", &index.to_string());
    }
    let taken = take_from(&mut client, &[queue, behind], 400);
    assert!(
        taken[0].len() > 2 * taken[1].len() - 100,
        "{}",
        taken[0].len()
    );
    assert!(taken[1].len() > 30);
}

#[test]
fn modulus_takes_one_way_for_each_key() {
    let mut client = Broker::shared().client();
    let exchange = client.exchange("x-modulus-hash");
    let queues = queues(&mut client, &exchange, &["a", "b", "c"]);
    for index in 0..300 {
        client.publish(
            &exchange,
            &format!("key {}", index % 100),
            &format!("{:02}", index % 100),
        );
    }
    for mut keys in take_from(&mut client, &queues, 300) {
        assert!(keys.len() > 30, "{}", keys.len());
        keys.sort_unstable();
        assert!(
            keys.chunks(3)
                .all(|chunk| *chunk == vec![chunk[0].clone(); 3]),
            "{keys:?}"
        );
    }
}

/// What follows an exchange that chooses is not remembered with a route that leads through it.
#[test]
fn another_exchange_before_a_choosing_one_chooses_anew() {
    let mut client = Broker::shared().client();
    let (topic, random) = (client.exchange("topic"), client.exchange("x-random"));
    client.call(method!("exchange.bind", destination: &random, source: &topic, routing_key: "#"));
    let queues = queues(&mut client, &random, &["", ""]);
    for index in 0..100 {
        client.publish(&topic, "k", &index.to_string());
    }
    let taken = take_from(&mut client, &queues, 100);
    assert!(taken.iter().all(|taken| taken.len() > 10));
}

#[test]
fn more_routing_keys_make_no_more_messages() {
    let mut client = Broker::shared().client();
    for (kind, key) in [
        ("x-consistent-hash", "1"),
        ("x-random", ""),
        ("x-modulus-hash", ""),
    ] {
        let exchange = client.exchange(kind);
        let queues = queues(&mut client, &exchange, &[key; 3]);
        let others: Vec<Value> = ["a", "b", "c", "d"].into_iter().map(Value::from).collect();
        let properties = with_headers(Table(vec![("CC".into(), Value::Array(others))]));
        client.publish_with(&exchange, "k", &properties, "once");
        take_from(&mut client, &queues, 1);
    }
}

/// RabbitMQ 4's rules.
#[test]
fn local_random_takes_classic_queues_without_a_key() {
    if !Broker::shared().is_warren() {
        return skip("RabbitMQ 3.10 has no x-local-random");
    }
    let mut client = Broker::shared().client();
    let exchange = client.exchange("x-local-random");
    let queues = queues(&mut client, &exchange, &["", ""]);
    for index in 0..100 {
        client.publish(&exchange, &index.to_string(), "m");
    }
    assert!(
        take_from(&mut client, &queues, 100)
            .iter()
            .all(|taken| taken.len() > 10)
    );
    let text = "PRECONDITION_FAILED - Non empty binding 'k' key not permitted";
    client.refused(
        method!("queue.bind", queue: &queues[0], exchange: &exchange, routing_key: "k"),
        406,
        text,
    );
}

#[test]
fn local_random_takes_nothing_else() {
    if !Broker::shared().is_warren() {
        return skip("RabbitMQ 3.10 has no x-local-random");
    }
    let mut client = Broker::shared().client();
    let exchange = client.exchange("x-local-random");
    let text = "PRECONDITION_FAILED - Destination not found";
    client.refused(
        method!("exchange.bind", destination: "amq.fanout", source: &exchange),
        406,
        text,
    );
    let quorum = unique("quorum");
    let arguments = table! { "x-queue-type" => "quorum" };
    client.call(method!("queue.declare", queue: &quorum, durable: true, arguments: arguments));
    let text =
        "PRECONDITION_FAILED - Queue type rabbit_quorum_queue not valid for this exchange type";
    client.refused(
        method!("queue.bind", queue: &quorum, exchange: &exchange),
        406,
        text,
    );
    client.call(method!("queue.delete", queue: &quorum));
}
