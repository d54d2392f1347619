//! Contents that lie: about their size, their class, their properties.

use crate::bystander::{assert_serves, undisturbed};
use crate::support::frame::{CONTENT_HEADER, METHOD};
use crate::support::*;

/// Starts a publish on a channel, up to the header with this body size.
fn begin(client: &mut Client, channel: u16, body_size: u64) {
    let publish = method!("basic.publish", routing_key: "nowhere");
    let mut bytes = Frame::method(channel, &publish).encode();
    bytes.extend(Frame::content_header(channel, body_size, &Properties::default()).encode());
    client.send_bytes(&bytes);
}

#[test]
fn a_huge_declared_body_is_refused_before_it_comes() {
    let broker = Broker::shared();
    if !broker.is_warren() {
        return skip("RabbitMQ 3.10 takes all of it in before it looks at its size");
    }
    for size in [134_217_729, 1 << 32, 1 << 40, i64::MAX as u64, u64::MAX] {
        let mut client = broker.client();
        begin(&mut client, 1, size);
        let text = format!(
            "PRECONDITION_FAILED - message size {size} is larger than configured max size 134217728"
        );
        client.expect_close(406, &text, "basic.publish");
        client.open_channel(1);
    }
}

#[test]
fn what_is_declared_takes_no_memory_until_it_comes() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut clients: Vec<Client> = (0..20).map(|_| broker.client()).collect();
    let before_kib = broker.memory_kib("VmRSS");
    undisturbed(&broker, || {
        for client in &mut clients {
            for channel in 2..=50 {
                client.open_channel(channel);
                begin(client, channel, 134_217_728);
                client
                    .on(channel)
                    .client()
                    .send_frame(&Frame::body(channel, b"just this"));
            }
            client.call(method!("basic.qos"));
        }
    });
    // 1,000 bodies of 128 MiB each would be 125 GiB.
    let grown_kib = broker.memory_kib("VmHWM") - before_kib;
    assert!(
        grown_kib < 300 << 10,
        "{grown_kib} KiB for 1,000 bodies that never came"
    );
}

#[test]
fn a_body_longer_than_declared_is_refused() {
    let broker = Broker::shared();
    if !broker.is_warren() {
        return skip("RabbitMQ 3.10 waits for ever for the body to come out right");
    }
    for (size, parts) in [(2, &["hey"][..]), (5, &["abc", "def"]), (1, &["ab"])] {
        let mut client = broker.client();
        begin(&mut client, 1, size);
        for part in parts {
            client.send_frame(&Frame::body(1, part.as_bytes()));
        }
        let text = "FRAME_ERROR - content body frame exceeds remaining content size";
        client.expect_connection_close(501, text, "basic.publish");
    }
}

#[test]
fn unreadable_properties_are_refused() {
    for properties in [
        // content-type says 5 bytes and has 3
        &b"\x80\0\x05abc"[..],
        // headers end before they begin; say more than there is; have an unknown type
        b"\x20\0\0\0\0\xff",
        b"\x20\0\xff\xff\xff\xff\x01a",
        b"\x20\0\0\0\0\x03\x01a?",
        // only half of the flags; a timestamp of 3 bytes; something left over
        b"\xff",
        b"\0\x40\0\0\0",
        b"\0\0left over",
    ] {
        let mut client = Broker::shared().client();
        client.send(method!("basic.publish", routing_key: "nowhere"));
        let mut frame = Frame::content_header(1, 0, &Properties::default());
        frame.payload.truncate(12);
        frame.payload.extend(properties);
        client.send_frame(&frame);
        client.expect_hard_close();
    }
    assert_serves(Broker::shared());
}

#[test]
fn headers_that_are_cut_short_are_refused() {
    for length in [0, 1, 2, 4, 11, 13] {
        let mut client = Broker::shared().client();
        client.send(method!("basic.publish", routing_key: "nowhere"));
        let mut frame = Frame::content_header(1, 0, &Properties::default());
        frame.payload.truncate(length);
        client.send_frame(&frame);
        client.expect_hard_close();
    }
}

#[test]
fn contents_in_any_order_are_told_or_taken() {
    let mut random = Random(8);
    let broker = Broker::shared();
    undisturbed(broker, || {
        for _ in 0..100 {
            let mut client = broker.client();
            for _ in 0..12 {
                let frame = match random.below(5) {
                    0 => Frame::method(1, &method!("basic.publish", routing_key: "nowhere")),
                    1 => Frame::content_header(1, random.below(4) as u64, &Properties::default()),
                    2 => Frame::body(1, &b"abc"[..random.below(4)]),
                    3 => Frame::new(CONTENT_HEADER, random.below(3) as u16, [0, 60]),
                    _ => Frame::new(
                        METHOD,
                        random.below(3) as u16,
                        method!("basic.qos").encode(),
                    ),
                };
                client.try_send_bytes(&frame.encode());
            }
            client.finish_sending();
            client.drain_to_end();
        }
    });
}
