//! Clients that take their time, or never take anything.

use std::time::Duration;

use crate::bystander::{assert_serves, undisturbed};
use crate::support::broker::eventually;
use crate::support::frame::HEADER;
use crate::support::*;

/// A broker with little patience: handshakes and stuck writes end after a second.
fn hasty() -> Option<Broker> {
    Setup::default()
        .env("WARREN_LIMITS_HANDSHAKE_TIMEOUT_MS", 1000)
        .env("WARREN_LIMITS_WRITE_TIMEOUT_MS", 1000)
        .start()
}

#[test]
fn who_says_nothing_is_cut_off() {
    let Some(broker) = hasty() else { return };
    undisturbed(&broker, || {
        let mut strangers: Vec<Client> = (0..50).map(|_| broker.stranger()).collect();
        for stranger in &mut strangers {
            stranger.expect_end();
        }
    });
}

#[test]
fn who_stops_in_the_middle_of_the_handshake_is_cut_off() {
    let Some(broker) = hasty() else { return };
    let login = Login::default();
    let start_ok = Frame::method(0, &login.start_ok()).encode();
    let tune_ok = Frame::method(0, &login.tune_ok()).encode();
    let conversation = [&HEADER[..], &start_ok, &tune_ok].concat();
    let stops = [
        1,
        7,
        8,
        9,
        15,
        8 + start_ok.len() - 1,
        8 + start_ok.len(),
        conversation.len(),
    ];
    undisturbed(&broker, || {
        let clients = stops.map(|stop| {
            let mut client = broker.stranger();
            client.send_bytes(&conversation[..stop]);
            client
        });
        for mut client in clients {
            client.drain_to_end();
        }
    });
}

#[test]
fn a_handshake_byte_by_byte_takes_too_long() {
    let Some(broker) = hasty() else { return };
    let conversation = [
        &HEADER[..],
        &Frame::method(0, &Login::default().start_ok()).encode(),
    ]
    .concat();
    undisturbed(&broker, || {
        let mut client = broker.stranger();
        let taken = conversation
            .iter()
            .take_while(|byte| {
                // This is the client's slowness, not a wait for anything.
                std::thread::sleep(Duration::from_millis(50));
                client.try_send_bytes(&[**byte])
            })
            .count();
        assert!(
            taken < conversation.len(),
            "a byte every 50 ms was waited for to the end"
        );
        client.drain_to_end();
    });
}

#[test]
fn a_frame_byte_by_byte_is_waited_for() {
    let Some(broker) = hasty() else { return };
    let mut client = broker.client();
    let queue = client.queue();
    let mut bytes = Frame::method(1, &method!("basic.publish", routing_key: &queue)).encode();
    bytes.extend(Frame::content_header(1, 2, &Properties::default()).encode());
    bytes.extend(Frame::body(1, b"hi").encode());
    undisturbed(&broker, || {
        for byte in bytes {
            std::thread::sleep(Duration::from_millis(20));
            client.send_bytes(&[byte]);
        }
        client.await_ready(&queue, 1);
    });
}

#[test]
fn half_a_frame_and_silence_is_ended_by_heartbeats() {
    let broker = Broker::shared();
    let login = Login {
        heartbeat: 1,
        ..Login::default()
    };
    let mut client = login.open(broker.address());
    client.open_channel(1);
    client.send_bytes(&Frame::method(1, &method!("basic.qos")).encode()[..9]);
    client.expect_end();
}

#[test]
fn a_consumer_that_never_reads_is_cut_off_and_what_it_was_sent_goes_back() {
    let Some(broker) = hasty() else { return };
    let mut publisher = broker.client();
    let queue = unique("queue");
    publisher.call(method!("queue.declare", queue: &queue));
    let mut stuck = broker.client();
    stuck.consume(&queue, "stuck");
    let before_kib = broker.memory_kib("VmRSS");
    let body = "x".repeat(10_000);
    undisturbed(&broker, || {
        for _ in 0..2_000 {
            publisher.publish("", &queue, &body);
        }
        eventually("the stuck consumer is gone", || {
            publisher.counts(&queue).1 == 0
        });
        publisher.await_ready(&queue, 2_000);
    });
    // The messages themselves are 20 MB.
    let grown_kib = broker.memory_kib("VmHWM") - before_kib;
    assert!(grown_kib < 100 << 10, "{grown_kib} KiB");
    stuck.drain_to_end();
    publisher.call(method!("queue.delete", queue: &queue));
}

#[test]
fn a_consumer_that_never_reads_does_not_keep_others_from_theirs() {
    let broker = Broker::shared();
    let mut publisher = broker.client();
    let queue = unique("queue");
    publisher.call(method!("queue.declare", queue: &queue));
    let mut stuck = broker.client();
    stuck.call(method!("basic.consume", queue: &queue, no_ack: true));
    let mut working = broker.client();
    working.call(method!("basic.consume", queue: &queue, no_ack: true));
    let body = "x".repeat(10_000);
    // Far more than the buffers between the broker and the stuck one can hold.
    for _ in 0..5_000 {
        publisher.publish("", &queue, &body);
    }
    for _ in 0..2_500 {
        working.delivery();
    }
    publisher.call(method!("queue.delete", queue: &queue));
    assert_serves(broker);
}
