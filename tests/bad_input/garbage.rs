//! Bytes that mean nothing, and conversations that went wrong on the way.

use crate::bystander::{assert_serves, undisturbed};
use crate::support::frame::HEADER;
use crate::support::*;

/// Conversations of each kind; seeds are their numbers. RabbitMQ takes seconds to hang up.
fn conversations() -> u64 {
    if Broker::shared().is_warren() { 150 } else { 3 }
}

/// Sends it all, ends our half, and reads what comes until the broker ends its own.
fn say(broker: &Broker, bytes: &[u8]) {
    let mut client = broker.stranger();
    // The broker may hang up before all is said.
    client.try_send_bytes(bytes);
    client.finish_sending();
    client.drain_to_end();
}

fn random_bytes(random: &mut Random, most: usize) -> Vec<u8> {
    let count = 1 + random.below(most);
    (0..count).map(|_| random.next() as u8).collect()
}

/// A frame whose outside is right.
fn random_frame(random: &mut Random) -> Frame {
    let kind = [1, 1, 1, 2, 3, 8, 4, random.next() as u8][random.below(8)];
    let mut payload = random_bytes(random, 60);
    if kind == 1 && payload.len() >= 4 && random.chance(80) {
        let class = [10, 20, 30, 40, 50, 60, 60, 85, 90][random.below(9)];
        payload[..4].copy_from_slice(&[
            0,
            class,
            0,
            10 * (1 + random.below(12) as u8) + random.below(2) as u8,
        ]);
    }
    Frame::new(kind, random.below(3) as u16, payload)
}

/// Everything that a busy client says from its first byte to its last.
fn busy_conversation() -> Vec<Vec<u8>> {
    let login = Login::default();
    let queue = unique("mutated");
    let on = |channel, method: Method| Frame::method(channel, &method).encode();
    let mut said = vec![HEADER.to_vec()];
    said.push(on(0, login.start_ok()));
    said.push(on(0, login.tune_ok()));
    said.push(on(0, method!("connection.open", virtual_host: "/")));
    for channel in [1, 2] {
        said.push(on(channel, method!("channel.open")));
    }
    let arguments = table! { "x-max-length" => 10, "x-message-ttl" => 60_000 };
    said.push(on(
        1,
        method!("queue.declare", queue: &queue, exclusive: true, arguments: arguments),
    ));
    said.push(on(
        1,
        method!("queue.bind", queue: &queue, exchange: "amq.topic", routing_key: "a.#"),
    ));
    said.push(on(1, method!("confirm.select")));
    said.push(on(2, method!("basic.qos", prefetch_count: 10)));
    said.push(on(
        2,
        method!("basic.consume", queue: &queue, consumer_tag: "c"),
    ));
    for n in 0..3 {
        let properties =
            properties!(content_type: "a/b", headers: table! { "n" => n }, expiration: "1000");
        said.push(on(
            1,
            method!("basic.publish", exchange: "amq.topic", routing_key: "a.b", mandatory: true),
        ));
        said.push(Frame::content_header(1, 6, &properties).encode());
        said.push(Frame::body(1, b"abc").encode());
        said.push(Frame::body(1, b"def").encode());
    }
    said.push(on(2, method!("basic.ack", delivery_tag: 0, multiple: true)));
    said.push(on(2, method!("basic.get", queue: &queue)));
    said.push(on(2, method!("basic.recover", requeue: true)));
    said.push(on(2, method!("tx.select")));
    said.push(on(2, method!("tx.rollback")));
    said.push(on(2, method!("basic.cancel", consumer_tag: "c")));
    said.push(on(1, method!("queue.delete", queue: &queue)));
    said.push(on(1, method!("channel.close", reply_code: 200)));
    said.push(on(0, method!("connection.close", reply_code: 200)));
    said
}

fn mutate(random: &mut Random, said: &mut Vec<Vec<u8>>) {
    // Past the header and, mostly, past the handshake.
    let from = if random.chance(20) { 0 } else { 4 };
    let at = from + random.below(said.len() - from);
    match random.below(7) {
        0 => drop(said.remove(at)),
        1 => {
            let again = said[at].clone();
            said.insert(at, again);
        }
        2 => {
            let other = from + random.below(said.len() - from);
            said.swap(at, other);
        }
        3 => said.insert(at, random_frame(random).encode()),
        4 => {
            let cut = random.below(said[at].len());
            said[at].truncate(cut);
        }
        5 => said[at] = random_bytes(random, 40),
        _ => {
            let byte = random.below(said[at].len());
            if let Some(byte) = said[at].get_mut(byte) {
                *byte = random.next() as u8;
            }
        }
    }
}

#[test]
fn random_bytes_harm_nobody() {
    let broker = Broker::shared();
    undisturbed(broker, || {
        for seed in 0..conversations() {
            let mut random = Random(seed);
            let mut bytes = if random.chance(70) {
                HEADER.to_vec()
            } else {
                Vec::new()
            };
            bytes.extend(random_bytes(&mut random, 3000));
            say(broker, &bytes);
        }
    });
    assert_serves(broker);
}

#[test]
fn random_frames_harm_nobody() {
    let broker = Broker::shared();
    undisturbed(broker, || {
        for seed in 0..conversations() {
            let mut random = Random(seed);
            let opened = 4 + random.below(3);
            let mut bytes = busy_conversation()[..opened].concat();
            for _ in 0..random.below(20) {
                bytes.extend(random_frame(&mut random).encode());
            }
            say(broker, &bytes);
        }
    });
    assert_serves(broker);
}

#[test]
fn mutated_conversations_harm_nobody() {
    let broker = Broker::shared();
    undisturbed(broker, || {
        for seed in 0..2 * conversations() {
            let mut random = Random(seed);
            let mut said = busy_conversation();
            for _ in 0..1 + random.below(3) {
                mutate(&mut random, &mut said);
            }
            say(broker, &said.concat());
        }
    });
    assert_serves(broker);
    if broker.is_warren() {
        assert_eq!(
            broker.count_lines("panicked at"),
            0,
            "a connection panicked"
        );
    }
}

#[test]
fn random_methods_on_an_open_channel_harm_nobody() {
    let broker = Broker::shared();
    undisturbed(broker, || {
        for seed in 0..conversations() {
            let mut random = Random(seed);
            let mut said = busy_conversation()[..10].to_vec();
            for _ in 0..30 {
                let mut frame = random_frame(&mut random);
                frame.kind = 1;
                // Zeros decode more often than anything else.
                frame.payload.iter_mut().skip(4).for_each(|byte| *byte &= 3);
                said.push(frame.encode());
            }
            say(broker, &said.concat());
        }
    });
    assert_serves(broker);
}
