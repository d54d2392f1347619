//! basic.publish: what is kept of a message, what comes back by basic.return, what is confirmed.

use crate::support::*;

fn publish(exchange: &str, key: &str) -> Method {
    method!("basic.publish", exchange: exchange, routing_key: key)
}

fn mandatory(key: &str) -> Method {
    publish("", key).with("mandatory", true)
}

/// A client whose channel 1 confirms.
fn confirming() -> Client {
    let mut client = Broker::shared().client();
    client.call(method!("confirm.select"));
    client
}

/// Takes confirms until everything up to `last` is confirmed; each must be an ack.
fn expect_acks_up_to(client: &mut Client, last: u64) {
    let mut open: std::collections::BTreeSet<u64> = (1..=last).collect();
    while !open.is_empty() {
        let ack = client.expect_name("basic.ack");
        let tag = ack.number("delivery-tag");
        assert!(
            open.contains(&tag),
            "{tag} is confirmed again, or was never published"
        );
        if ack.bit("multiple") {
            open = open.split_off(&(tag + 1));
        } else {
            open.remove(&tag);
        }
    }
}

#[test]
fn every_property_comes_back_as_it_was() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    let headers = table! {
        "bool" => true, "i8" => -8i8, "u8" => 8u8, "i16" => -16i16, "u16" => 16u16, "i32" => -32, "u32" => 32u32,
        "i64" => -64i64, "f32" => 1.5f32, "f64" => 2.5, "text" => "tëxt", "decimal" => Value::Decimal(2, 314),
        "time" => Value::Timestamp(1_700_000_000), "void" => Value::Void, "bytes" => Value::Bytes(vec![0, 255]),
        "array" => Value::Array(vec![Value::from(1), Value::from("two"), Value::Array(vec![])]),
        "table" => table! { "inner" => table! { "most" => 1 } },
    };
    let properties = properties!(
        content_type: "text/plain", content_encoding: "utf-8", headers: headers, delivery_mode: 2, priority: 3,
        correlation_id: "corr", reply_to: "reply", expiration: "600000", message_id: "id",
        timestamp: 1_700_000_001, type: "kind", user_id: "guest", app_id: "app", cluster_id: "cluster",
    );
    client.publish_with("", &queue, &properties, "body");
    client.await_ready(&queue, 1);
    let message = client.get(&queue, true).expect("a message");
    assert_eq!(message.properties, properties);
    assert_eq!(message.text(), "body");
}

#[test]
fn no_properties_stay_no_properties() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.publish("", &queue, "");
    client.await_ready(&queue, 1);
    let message = client.get(&queue, true).expect("a message");
    assert_eq!(
        (message.properties, message.body),
        (Properties::default(), vec![])
    );
}

#[test]
fn bodies_of_every_size_come_back_as_they_were() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    for size in [
        0, 1, 100, 4095, 4096, 4097, 131_063, 131_064, 131_065, 262_128, 1_000_000, 5_000_000,
    ] {
        let body: String = ('a'..='z').cycle().take(size).collect();
        client.publish("", &queue, &body);
        client.consume(&queue, "c");
        let message = client.delivery();
        assert!(message.text() == body, "{size} bytes");
        client.ack(message.tag());
        client.call(method!("basic.cancel", consumer_tag: "c"));
    }
}

#[test]
fn a_missing_exchange_closes_the_channel() {
    let mut client = Broker::shared().client();
    let nothing = unique("nothing");
    client.publish(&nothing, "k", "x");
    client.expect_close(
        404,
        &format!("NOT_FOUND - no exchange '{nothing}' in vhost '/'"),
        "basic.publish",
    );
}

#[test]
fn immediate_is_not_implemented() {
    let mut client = Broker::shared().client();
    client.send_content(
        publish("", "k").with("immediate", true),
        &Properties::default(),
        b"x",
    );
    client.expect_connection_close(540, "NOT_IMPLEMENTED - immediate=true", "basic.publish");
}

#[test]
fn the_user_id_must_be_true() {
    let mut client = Broker::shared().client();
    client.publish_with("", "k", &properties!(user_id: "guest"), "x");
    client.publish_with("", "k", &properties!(user_id: "somebody"), "x");
    let text = "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'";
    client.expect_close(406, text, "basic.publish");
}

#[test]
fn the_expiration_must_be_a_number() {
    let mut client = Broker::shared().client();
    client.publish_with("", "k", &properties!(expiration: "+5"), "x");
    for (expiration, text) in [
        ("soon", "no_integer"),
        ("", "no_integer"),
        (" 100", "no_integer"),
        ("100 ", r#"{leftover_string," "}"#),
        ("1.5", r#"{leftover_string,".5"}"#),
        ("1e3", r#"{leftover_string,"e3"}"#),
        ("-1", "{value_negative,-1}"),
        ("99999999999999", "{value_too_large,99999999999999}"),
        ("999999999999999999", "{value_too_large,999999999999999999}"),
        (
            "9999999999999999999",
            "{value_too_large,\n                                           9999999999999999999}",
        ),
    ] {
        client.publish_with("", "k", &properties!(expiration: expiration), "x");
        let text = format!("PRECONDITION_FAILED - invalid expiration '{expiration}': {text}");
        client.expect_close(406, &text, "basic.publish");
        client.open_channel(1);
    }
}

#[test]
fn mandatory_messages_that_go_nowhere_come_back() {
    let mut client = Broker::shared().client();
    let key = unique("nowhere");
    let properties = properties!(message_id: "m", headers: table! { "a" => 1 }, delivery_mode: 2);
    client.send_content(mandatory(&key), &properties, b"body");
    let message = client.message("basic.return");
    assert_eq!(
        message.method,
        method!("basic.return", reply_code: 312, reply_text: "NO_ROUTE", exchange: "", routing_key: &key)
    );
    assert_eq!(
        (message.properties, message.body),
        (properties, b"body".to_vec())
    );
}

#[test]
fn large_mandatory_messages_come_back_whole() {
    let mut client = Broker::shared().client();
    let body = vec![b'x'; 300_000];
    client.send_content(mandatory(&unique("nowhere")), &Properties::default(), &body);
    assert!(client.message("basic.return").body == body);
}

#[test]
fn mandatory_messages_that_go_somewhere_do_not_come_back() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.send_content(mandatory(&queue), &Properties::default(), b"x");
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["x"]);
}

#[test]
fn other_messages_that_go_nowhere_are_dropped() {
    let mut client = Broker::shared().client();
    client.publish("", &unique("nowhere"), "x");
    client.call(method!("basic.qos"));
}

#[test]
fn confirms_count_from_one() {
    let mut client = confirming();
    let queue = client.queue();
    for _ in 0..50 {
        client.publish("", &queue, "x");
    }
    expect_acks_up_to(&mut client, 50);
    assert_eq!(client.counts(&queue).0, 50);
}

#[test]
fn one_confirm_at_a_time() {
    let mut client = confirming();
    let queue = client.queue();
    for tag in 1..=3 {
        client.publish("", &queue, "x");
        client.expect(method!("basic.ack", delivery_tag: tag));
    }
}

#[test]
fn durable_and_transient_are_both_confirmed() {
    let mut client = confirming();
    let name = unique("durable");
    client.call(method!("queue.declare", queue: &name, durable: true));
    for mode in [1, 2, 2, 1, 2] {
        client.publish_with("", &name, &properties!(delivery_mode: mode), "x");
    }
    expect_acks_up_to(&mut client, 5);
    client.call(method!("queue.delete", queue: &name));
}

#[test]
fn selecting_twice_is_selecting_once() {
    let mut client = confirming();
    client.publish("", "nowhere", "x");
    client.expect(method!("basic.ack", delivery_tag: 1));
    client.call(method!("confirm.select"));
    client.publish("", "nowhere", "x");
    client.expect(method!("basic.ack", delivery_tag: 2));
}

#[test]
fn counting_starts_with_confirm_select() {
    let mut client = Broker::shared().client();
    client.publish("", "nowhere", "x");
    client.send(method!("confirm.select", no_wait: true));
    client.publish("", "nowhere", "x");
    client.expect(method!("basic.ack", delivery_tag: 1));
}

#[test]
fn what_goes_nowhere_is_confirmed_after_it_came_back() {
    let mut client = confirming();
    client.send_content(mandatory("nowhere"), &Properties::default(), b"x");
    client.message("basic.return");
    client.expect(method!("basic.ack", delivery_tag: 1));
}

#[test]
fn a_message_for_many_queues_is_confirmed_once() {
    let mut client = confirming();
    let exchange = client.exchange("fanout");
    for _ in 0..5 {
        let queue = client.queue();
        client.bind(&queue, &exchange, "");
    }
    client.publish(&exchange, "", "x");
    client.expect(method!("basic.ack", delivery_tag: 1));
    client.publish(&exchange, "", "x");
    client.expect(method!("basic.ack", delivery_tag: 2));
}

#[test]
fn confirms_do_not_wait_for_consumers() {
    let mut client = confirming();
    client.open_channel(2);
    let queue = client.queue();
    client.on(2).consume(&queue, "c");
    client.publish("", &queue, "x");
    client.expect(method!("basic.ack", delivery_tag: 1));
    client.on(2).expect_bodies(&["x"]);
}

#[test]
fn confirm_and_tx_exclude_each_other() {
    let mut client = confirming();
    client.refused(
        method!("tx.select"),
        406,
        "PRECONDITION_FAILED - cannot switch from confirm to tx mode",
    );
    client.call(method!("tx.select"));
    client.refused(
        method!("confirm.select"),
        406,
        "PRECONDITION_FAILED - cannot switch from tx to confirm mode",
    );
}

#[test]
fn messages_keep_their_order() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    let bodies: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for body in &bodies {
        client.publish("", &queue, body);
    }
    client.call(method!("basic.consume", queue: &queue, no_ack: true));
    let came: Vec<String> = bodies.iter().map(|_| client.delivery().text()).collect();
    assert_eq!(came, bodies);
}

#[test]
fn many_messages_in_one_write_from_many_channels() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    let mut bytes = Vec::new();
    for number in 2..=10 {
        client.open_channel(number);
    }
    for n in 0..100u16 {
        let channel = 2 + n % 9;
        bytes.extend(Frame::method(channel, &publish("", &queue)).encode());
        bytes.extend(Frame::content_header(channel, 2, &Properties::default()).encode());
        bytes.extend(Frame::body(channel, b"hi").encode());
    }
    client.send_bytes(&bytes);
    client.await_ready(&queue, 100);
}

#[test]
fn frames_may_come_cut_anywhere() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    let mut bytes = Frame::method(1, &publish("", &queue)).encode();
    let properties = properties!(content_type: "a/b", headers: table! { "k" => "v" });
    bytes.extend(Frame::content_header(1, 6, &properties).encode());
    bytes.extend(Frame::body(1, b"abc").encode());
    bytes.extend(Frame::body(1, b"def").encode());
    for cut in 1..bytes.len() {
        client.send_bytes(&bytes[..cut]);
        client.send_bytes(&bytes[cut..]);
    }
    client.await_ready(&queue, bytes.len() as u64 - 1);
    for _ in 1..bytes.len() {
        let message = client.get(&queue, true).expect("a message");
        assert_eq!(
            (message.properties.clone(), message.text()),
            (properties.clone(), "abcdef".into())
        );
    }
}
