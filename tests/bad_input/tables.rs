//! Field tables that are nested too deep, or lie about their lengths.

use crate::bystander::{assert_serves, undisturbed};
use crate::support::frame::{HEADER, METHOD};
use crate::support::*;

/// The contents of a table whose tables are nested so deep, each in the one before.
fn nested(depth: usize) -> Vec<u8> {
    let mut contents = Vec::new();
    for _ in 1..depth {
        let mut outer = b"\x01aF".to_vec();
        outer.extend((contents.len() as u32).to_be_bytes());
        outer.extend(contents);
        contents = outer;
    }
    contents
}

/// The same with arrays.
fn nested_arrays(depth: usize) -> Vec<u8> {
    let mut contents = Vec::new();
    for _ in 1..depth {
        let mut outer = b"A".to_vec();
        outer.extend((contents.len() as u32).to_be_bytes());
        outer.extend(contents);
        contents = outer;
    }
    [b"\x01a", &contents[..]].concat()
}

fn with_length(contents: &[u8]) -> Vec<u8> {
    [&(contents.len() as u32).to_be_bytes(), contents].concat()
}

/// queue.declare of a name-less exclusive queue with this as its arguments.
fn declare_with(table: &[u8]) -> Frame {
    let mut payload = method!("queue.declare", exclusive: true).encode();
    payload.truncate(payload.len() - 4);
    payload.extend(table);
    Frame::new(METHOD, 1, payload)
}

/// basic.publish whose headers are this.
fn publish_with(routing_key: &str, table: &[u8]) -> Vec<u8> {
    let mut bytes = Frame::method(1, &method!("basic.publish", routing_key: routing_key)).encode();
    let mut header = Frame::content_header(1, 2, &Properties::default());
    header.payload.truncate(12);
    header.payload.extend([0x20, 0]);
    header.payload.extend(table);
    bytes.extend(header.encode());
    bytes.extend(Frame::body(1, b"hi").encode());
    bytes
}

/// Frames that need a table, with this one: a declare, a bind, a publish.
fn uses(queue: &str, table: &[u8]) -> [Vec<u8>; 3] {
    let mut payload = method!("queue.bind", queue: queue, exchange: "amq.headers").encode();
    payload.truncate(payload.len() - 4);
    payload.extend(table);
    let bind = Frame::new(METHOD, 1, payload).encode();
    [
        declare_with(table).encode(),
        bind,
        publish_with(queue, table),
    ]
}

#[test]
fn tables_nested_1000_deep_are_refused() {
    let broker = Broker::shared();
    if !broker.is_warren() {
        return skip("RabbitMQ 3.10 on Erlang 25 takes most of them, and dies of one");
    }
    undisturbed(broker, || {
        for table in [
            nested(1000),
            nested_arrays(1000),
            nested(18_000),
            nested_arrays(25_000),
        ] {
            let queue = broker.client().queue();
            for bytes in uses(&queue, &with_length(&table)) {
                let mut client = broker.client();
                client.send_bytes(&bytes);
                client.expect_hard_close();
            }
        }
    });
}

#[test]
fn tables_nested_100_deep_are_taken() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    let [declare, bind, publish] = uses(&queue, &with_length(&nested(100)));
    client.send_bytes(&declare);
    client.expect_name("queue.declare-ok");
    client.send_bytes(&bind);
    client.expect_name("queue.bind-ok");
    client.send_bytes(&publish);
    client.await_ready(&queue, 1);
    client.get(&queue, true).expect("a message");
}

#[test]
fn client_properties_nested_deep_are_taken_or_refused() {
    let broker = Broker::shared();
    let mut client = broker.stranger();
    client.send_bytes(HEADER);
    client.on(0).expect_name("connection.start");
    let mut payload = vec![0, 10, 0, 11];
    payload.extend(with_length(&nested(500)));
    payload.extend(b"\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US");
    client.send_frame(&Frame::new(METHOD, 0, payload));
    // RabbitMQ goes on with connection.tune; a broker that knows a limit hangs up.
    client.finish_sending();
    client.drain_to_end();
    assert_serves(broker);
}

#[test]
fn tables_that_lie_are_refused() {
    for table in [
        // The table is longer than its frame; shorter than its entries; a key is longer than it.
        &b"\xff\xff\xff\xff\x01at\x01"[..],
        b"\0\0\0\x64\x01at\x01",
        b"\0\0\0\x03\x01at\x01",
        b"\0\0\0\x04\xffat\x01",
        // The value is missing; its length goes past the table; its type is unknown.
        b"\0\0\0\x02\x01a",
        b"\0\0\0\x08\x01aS\0\0\0\x64x",
        b"\0\0\0\x08\x01aF\0\0\0\x64x",
        b"\0\0\0\x08\x01aA\0\0\0\x64x",
        b"\0\0\0\x07\x01aS\xff\xff\xff\xff",
        b"\0\0\0\x04\x01a?\x01",
        b"\0\0\0\x05\x01al\0\0",
    ] {
        for bytes in [declare_with(table).encode(), publish_with("nowhere", table)] {
            let mut client = Broker::shared().client();
            client.send_bytes(&bytes);
            client.expect_hard_close();
        }
    }
    assert_serves(Broker::shared());
}

#[test]
fn a_table_of_many_entries_is_taken() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    let headers = Table((0..5000).map(|n| (n.to_string(), Value::from(n))).collect());
    client.publish_with("", &queue, &properties!(headers: headers.clone()), "x");
    client.await_ready(&queue, 1);
    assert_eq!(
        client.get(&queue, true).expect("a message").headers(),
        headers
    );
}
