//! The life of a channel, and frames that do not fit where they come.

use crate::support::frame::{BODY, METHOD};
use crate::support::*;

#[test]
fn opens_closes_and_opens_again() {
    let mut client = Broker::shared().client();
    for _ in 0..3 {
        client.call(method!("channel.close", reply_code: 200, reply_text: "bye"));
        client.open_channel(1);
    }
}

#[test]
fn a_second_open_is_refused() {
    let mut client = Broker::shared().client();
    client.send(method!("channel.open"));
    client.expect_connection_close(
        504,
        "CHANNEL_ERROR - second 'channel.open' seen",
        "channel.open",
    );
}

#[test]
fn a_channel_must_be_opened_first() {
    for name in [
        "basic.qos",
        "queue.declare",
        "channel.close",
        "channel.close-ok",
        "basic.ack",
        "channel.flow",
    ] {
        let mut client = Broker::shared().client();
        client.on(2).send(Method::new(name));
        client.expect_connection_close(504, "CHANNEL_ERROR - expected 'channel.open'", name);
    }
}

#[test]
fn content_on_a_channel_that_is_not_open_is_refused() {
    let mut client = Broker::shared().client();
    client.on(2).publish("", "nowhere", "hi");
    client.expect_connection_close(
        504,
        "CHANNEL_ERROR - expected 'channel.open'",
        "basic.publish",
    );
}

/// A client whose threads share a channel may ack or publish while another closes it.
#[test]
fn what_comes_together_with_the_clients_close_is_ignored() {
    let mut client = Broker::shared().client();
    let publish = |number| {
        let method = method!("basic.publish", routing_key: "nowhere");
        let frames = [
            Frame::method(number, &method),
            Frame::content_header(number, 2, &Properties::default()),
            Frame::body(number, b"hi"),
        ];
        frames.iter().flat_map(Frame::encode).collect::<Vec<u8>>()
    };
    let closing = |number| {
        let close = method!("channel.close", reply_code: 200, reply_text: "bye");
        Frame::method(number, &close).encode()
    };
    let names = [
        "basic.ack",
        "basic.nack",
        "basic.get",
        "basic.publish",
        "channel.close",
    ];
    for (number, name) in (2..).zip(names) {
        client.open_channel(number);
        let mut bytes = closing(number);
        bytes.extend(match name {
            "basic.publish" => publish(number),
            "channel.close" => closing(number),
            // RabbitMQ answers one that names no queue.
            "basic.get" => Frame::method(number, &method!("basic.get", queue: "nowhere")).encode(),
            other => Frame::method(number, &Method::new(other)).encode(),
        });
        client.send_bytes(&bytes);
        client.on(number).expect(method!("channel.close-ok"));
        if name == "channel.close" {
            client.on(number).expect(method!("channel.close-ok"));
        }
        // The connection's other channels do not notice.
        client.call(method!("basic.qos", prefetch_count: 1));
    }
}

#[test]
fn close_ok_is_not_expected_on_an_open_channel() {
    let mut client = Broker::shared().client();
    client.send(method!("channel.close-ok"));
    client.expect_connection_close(
        503,
        "COMMAND_INVALID - unimplemented method",
        "channel.close-ok",
    );
}

#[test]
fn what_follows_our_close_is_ignored_until_close_ok() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.send(method!("queue.declare", queue: "nothing-here", passive: true));
    client.expect_name("channel.close");
    client.send(method!("queue.declare", queue: &queue, passive: true));
    client.publish("", &queue, "lost");
    client.send(method!("basic.get", queue: &queue));
    client.send(method!("channel.close-ok"));
    client.open_channel(1);
    assert_eq!(client.take(&queue), None);
}

#[test]
fn close_crosses_our_own_close() {
    let mut client = Broker::shared().client();
    client.send(method!("queue.declare", queue: "nothing-here", passive: true));
    client.expect_name("channel.close");
    client.send(method!("channel.close", reply_code: 200));
    client.expect(method!("channel.close-ok"));
    client.send(method!("channel.close-ok"));
    client.open_channel(1);
}

#[test]
fn an_exception_leaves_other_channels_alone() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    client.send(method!("queue.declare", queue: "nothing-here", passive: true));
    client.on(2).call(method!("basic.qos"));
    client.expect_close(
        404,
        "NOT_FOUND - no queue 'nothing-here' in vhost '/'",
        "queue.declare",
    );
    client.on(2).call(method!("basic.qos"));
}

#[test]
fn flow_can_be_asked_for_but_not_stopped() {
    let mut client = Broker::shared().client();
    client.send(method!("channel.flow", active: true));
    client.expect(method!("channel.flow-ok", active: true));
    client.send(method!("channel.flow", active: false));
    client.expect_connection_close(540, "NOT_IMPLEMENTED - active=false", "channel.flow");
}

#[test]
fn access_request_is_granted() {
    let mut client = Broker::shared().client();
    client.send(method!("access.request", realm: "/data", active: true));
    client.expect(method!("access.request-ok", ticket: 1));
}

#[test]
fn methods_that_only_brokers_send_are_refused() {
    for name in [
        "channel.open-ok",
        "queue.declare-ok",
        "basic.consume-ok",
        "basic.get-empty",
        "channel.flow-ok",
        "confirm.select-ok",
    ] {
        let mut client = Broker::shared().client();
        client.send(Method::new(name));
        client.expect_connection_close(503, "COMMAND_INVALID - unimplemented method", name);
    }
}

#[test]
fn methods_that_do_not_exist_end_the_connection() {
    for payload in [[0, 50, 0, 99], [0, 99, 0, 10], [0, 0, 0, 0]] {
        let mut client = Broker::shared().client();
        client.send_frame(&Frame::new(METHOD, 1, payload));
        client.expect_hard_close();
    }
}

#[test]
fn methods_that_are_cut_short_are_refused() {
    for (payload, text, ids) in [
        (&b"\0\x32\0\x0a"[..], "cannot decode <<>>", (50, 10)),
        (b"\0\x32\0\x0a\0", "cannot decode <<0>>", (50, 10)),
        (
            b"\0\x32\0\x0a\0\0\x05abc",
            "cannot decode <<0,0,5,97,98,99>>",
            (50, 10),
        ),
        (
            b"\0\x32",
            "type 1, all octets = <<0,50>>: unknown_frame",
            (0, 0),
        ),
        (b"", "type 1, all octets = <<>>: unknown_frame", (0, 0)),
    ] {
        let mut client = Broker::shared().client();
        client.send_frame(&Frame::new(METHOD, 1, payload));
        client.expect_connection_close_ids(501, &format!("FRAME_ERROR - {text}"), ids);
    }
}

#[test]
fn methods_with_something_left_over_are_refused() {
    let mut client = Broker::shared().client();
    let mut payload = method!("basic.qos").encode();
    payload.push(0);
    client.send_frame(&Frame::new(METHOD, 1, payload));
    let text = "FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,0>>";
    client.expect_connection_close(501, text, "basic.qos");
}

#[test]
fn content_out_of_order_is_refused() {
    let publish = || Frame::method(1, &method!("basic.publish", routing_key: "nowhere"));
    let header = |size| Frame::content_header(1, size, &Properties::default());
    let body = |bytes: &[u8]| Frame::body(1, bytes);
    let method = || Frame::method(1, &method!("basic.qos"));
    let foreign_header = {
        let mut frame = header(2);
        frame.payload[1] = 50;
        frame
    };
    let no_method = "expected method frame, got non method frame instead";
    let no_header = "expected content header for class 60, got non content header frame instead";
    let no_body = "expected content body, got non content body frame instead";
    let other_class = "expected content header for class 60, got one for class 50 instead";
    let publishing = (60, 40);
    for (frames, text, ids) in [
        (vec![header(2)], no_method, (0, 0)),
        (vec![body(b"hi")], no_method, (0, 0)),
        (vec![publish(), header(0), body(b"h")], no_method, (0, 0)),
        (vec![publish(), body(b"hi")], no_header, publishing),
        (vec![publish(), method()], no_header, publishing),
        (vec![publish(), publish()], no_header, publishing),
        (vec![publish(), header(2), header(2)], no_body, publishing),
        (vec![publish(), header(2), method()], no_body, publishing),
        (
            vec![publish(), header(2), body(b"h"), method()],
            no_body,
            publishing,
        ),
        (vec![publish(), foreign_header], other_class, publishing),
    ] {
        let mut client = Broker::shared().client();
        client.send_bytes(&frames.iter().flat_map(Frame::encode).collect::<Vec<u8>>());
        client.expect_connection_close_ids(505, &format!("UNEXPECTED_FRAME - {text}"), ids);
    }
}

#[test]
fn frames_of_an_unknown_type_are_refused() {
    for kind in [0, 4, 5, 6, 7, 9, 255] {
        let mut client = Broker::shared().client();
        client.send_frame(&Frame::new(kind, 1, *b"abcd"));
        let text = format!("FRAME_ERROR - type {kind}, all octets = <<\"abcd\">>: unknown_frame");
        client.expect_connection_close(501, &text, "");
    }
}

#[test]
fn other_channels_may_speak_between_the_frames_of_a_message() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    let queue = client.queue();
    client.send(method!("basic.publish", routing_key: &queue));
    client
        .on(2)
        .send(method!("basic.publish", routing_key: &queue));
    client.send_frame(&Frame::content_header(1, 2, &Properties::default()));
    client.send_frame(&Frame::content_header(2, 2, &Properties::default()));
    client.send_frame(&Frame::new(BODY, 2, *b"22"));
    client.send_frame(&Frame::new(BODY, 1, *b"11"));
    client.await_ready(&queue, 2);
    let mut texts = client.take_all(&queue);
    texts.sort();
    assert_eq!(texts, ["11", "22"]);
}

#[test]
fn a_half_sent_message_must_be_finished_even_after_our_close() {
    let mut client = Broker::shared().client();
    client.send(method!("queue.declare", queue: "nothing-here", passive: true));
    client.expect_name("channel.close");
    client.send(method!("basic.publish"));
    client.send_frame(&Frame::content_header(1, 2, &Properties::default()));
    client.send(method!("channel.close-ok"));
    let text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    client.expect_connection_close(505, text, "basic.publish");
}
