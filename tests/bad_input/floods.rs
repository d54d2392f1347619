//! Too much of everything.

use crate::bystander::{assert_serves, undisturbed};
use crate::support::client::Silence;
use crate::support::*;

/// channel.open for each of these, in one go.
fn opens(channels: impl Iterator<Item = u16>) -> Vec<u8> {
    let open = method!("channel.open");
    channels
        .flat_map(|channel| Frame::method(channel, &open).encode())
        .collect()
}

#[test]
fn channel_opens_end_at_channel_max() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let mut client = Login::default().open(broker.address());
    undisturbed(&broker, || {
        // 100,000 opens; the numbers begin anew when they are used up.
        let bytes = opens((0..100_000u32).map(|n| (n % 65_535 + 1) as u16));
        client.try_send_bytes(&bytes);
        for number in 1..=2047 {
            client.on(number).expect(method!("channel.open-ok"));
        }
        let close = client.on(0).expect_name("connection.close");
        assert_eq!(close.number("reply-code"), 530);
        let text = "NOT_ALLOWED - number of channels opened (2047) has reached the negotiated channel_max (2047)";
        assert_eq!(close.text("reply-text"), text);
        client.try_send_bytes(&Frame::method(0, &method!("connection.close-ok")).encode());
        client.expect_end();
    });
    let peak_kib = broker.memory_kib("VmHWM");
    assert!(peak_kib < 200 << 10, "{peak_kib} KiB");
}

#[test]
fn channels_may_come_and_go_100_000_times() {
    let broker = Broker::shared();
    let rounds = if broker.is_warren() { 100_000 } else { 1_000 };
    let mut client = Login::default().open(broker.address());
    let mut round = Vec::new();
    for number in 1..=100 {
        round.extend(Frame::method(number, &method!("channel.open")).encode());
        round.extend(Frame::method(number, &method!("channel.close", reply_code: 200)).encode());
    }
    let before_kib = broker.is_warren().then(|| broker.memory_kib("VmRSS"));
    undisturbed(broker, || {
        for _ in 0..rounds / 100 {
            client.send_bytes(&round);
            for number in 1..=100 {
                client.on(number).expect(method!("channel.open-ok"));
                client.on(number).expect(method!("channel.close-ok"));
            }
        }
    });
    if let Some(before_kib) = before_kib {
        let grown_kib = broker.memory_kib("VmRSS").saturating_sub(before_kib);
        assert!(
            grown_kib < 64 << 10,
            "{grown_kib} KiB after {rounds} channels"
        );
    }
}

#[test]
fn a_second_open_in_a_flood_ends_the_connection_once() {
    let broker = Broker::shared();
    let mut client = Login::default().open(broker.address());
    client.try_send_bytes(&opens(std::iter::repeat_n(1, 10_000)));
    client.on(1).expect(method!("channel.open-ok"));
    let close = client.on(0).expect_name("connection.close");
    assert_eq!(
        close.text("reply-text"),
        "CHANNEL_ERROR - second 'channel.open' seen"
    );
    client.try_send_bytes(&Frame::method(0, &method!("connection.close-ok")).encode());
    client.expect_end();
}

#[test]
fn many_consumers_and_queues_of_one_connection_go_with_it() {
    let broker = Broker::shared();
    let queues: Vec<String> = undisturbed(broker, || {
        let mut client = broker.client();
        let queues: Vec<String> = (0..1000).map(|_| client.queue()).collect();
        for (n, queue) in queues.iter().enumerate() {
            client.call(method!("basic.consume", queue: queue, consumer_tag: n.to_string()));
        }
        client.close();
        queues
    });
    let mut client = broker.client();
    for queue in [&queues[0], &queues[999]] {
        let gone = method!("queue.declare", queue: queue, passive: true);
        client.refused(
            gone,
            404,
            &format!("NOT_FOUND - no queue '{queue}' in vhost '/'"),
        );
    }
}

#[test]
fn tens_of_thousands_of_consumers_of_one_queue_go_at_once() {
    let broker = Broker::shared();
    // RabbitMQ takes half a minute for 20,000.
    let consumers = if broker.is_warren() { 60_000 } else { 1_000 };
    for arguments in [table! {}, table! { "x-queue-type" => "stream" }] {
        let is_stream = !arguments.0.is_empty();
        let queue = unique("consumed");
        let mut client = broker.client();
        client.call(
            method!("queue.declare", queue: &queue, durable: is_stream, arguments: arguments),
        );
        client.prefetch(1);
        let mut consumes = Vec::new();
        for n in 0..consumers {
            let consume = method!(
                "basic.consume", queue: &queue, consumer_tag: n.to_string(), no_wait: true
            );
            consumes.extend(Frame::method(1, &consume).encode());
        }
        undisturbed(broker, || {
            client.send_bytes(&consumes);
            client.call(method!("basic.qos"));
            drop(client);
            let mut client = broker.client();
            let gone = || client.counts(&queue).1 == 0;
            crate::support::broker::eventually("the consumers are gone", gone);
            client.call(method!("queue.delete", queue: &queue));
        });
    }
}

#[test]
fn strangers_by_the_hundred_are_let_in_and_go() {
    let broker = Broker::shared();
    let mut strangers: Vec<Client> = (0..300).map(|_| broker.stranger()).collect();
    assert_serves(broker);
    for stranger in &mut strangers {
        stranger.send_bytes(b"AMQP");
    }
    drop(strangers);
    assert_serves(broker);
}

#[test]
fn returns_that_nobody_reads_do_not_pile_up() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let before_kib = broker.memory_kib("VmRSS");
    let mut client = broker.client();
    let publish = method!("basic.publish", routing_key: "nowhere", mandatory: true);
    let mut message = Frame::method(1, &publish).encode();
    message.extend(Frame::content_header(1, 100_000, &Properties::default()).encode());
    message.extend(Frame::body(1, &[b'x'; 100_000]).encode());
    undisturbed(&broker, || {
        // Each comes back, and is not read. Sooner or later the broker stops reading, too.
        client
            .socket()
            .set_write_timeout(Some(std::time::Duration::from_millis(500)))
            .expect("a timeout");
        let sent = (0..5_000)
            .take_while(|_| client.try_send_bytes(&message))
            .count();
        assert!(
            sent < 5_000,
            "500 MB were taken in without one byte being read"
        );
    });
    let grown_kib = broker.memory_kib("VmHWM") - before_kib;
    assert!(
        grown_kib < 64 << 10,
        "{grown_kib} KiB for one client that does not read"
    );
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let before_kib = broker.memory_kib("VmRSS");
    let mut client = broker.client();
    let asks = Frame::method(1, &method!("basic.qos"))
        .encode()
        .repeat(10_000);
    undisturbed(&broker, || {
        client
            .socket()
            .set_write_timeout(Some(std::time::Duration::from_millis(500)))
            .expect("a timeout");
        let sent = (0..2_000)
            .take_while(|_| client.try_send_bytes(&asks))
            .count();
        assert!(
            sent < 2_000,
            "20 million questions were taken without one answer being read"
        );
    });
    let grown_kib = broker.memory_kib("VmHWM") - before_kib;
    assert!(
        grown_kib < 64 << 10,
        "{grown_kib} KiB for one client that does not read"
    );
}

#[test]
fn a_flood_goes_on_where_it_stopped_once_it_is_read() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let asks = Frame::method(1, &method!("basic.qos"))
        .encode()
        .repeat(10_000);
    let mut writer = client.socket().try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..10 {
                std::io::Write::write_all(&mut writer, &asks).expect("taken in the end");
            }
        });
        for _ in 0..100_000 {
            client.expect(method!("basic.qos-ok"));
        }
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_millis(1);
    assert_eq!(client.raw_frame(deadline), Err(Silence::Deadline));
}
