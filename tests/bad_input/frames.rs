//! Frames that are cut short, end wrongly, or lie about their length.

use crate::bystander::{assert_serves, undisturbed};
use crate::support::frame::{BODY, CONTENT_HEADER, HEADER, HEARTBEAT, METHOD};
use crate::support::*;

#[test]
fn a_client_may_go_in_the_middle_of_anything() {
    let broker = Broker::shared();
    let mut watcher = broker.client();
    let queue = unique("never-whole");
    watcher.call(method!("queue.declare", queue: &queue, auto_delete: true));
    let login = Login::default();
    let frames = [
        Frame::method(0, &login.start_ok()),
        Frame::method(0, &login.tune_ok()),
        Frame::method(0, &method!("connection.open", virtual_host: "/")),
        Frame::method(1, &method!("channel.open")),
        Frame::method(1, &method!("basic.publish", routing_key: &queue)),
        Frame::content_header(1, 10, &properties!(headers: table! { "a" => 1 })),
        Frame::body(1, b"0123456789"),
    ];
    let mut conversation = HEADER.to_vec();
    conversation.extend(frames.iter().flat_map(Frame::encode));
    undisturbed(broker, || {
        for cut in 1..conversation.len() {
            let mut client = broker.stranger();
            client.send_bytes(&conversation[..cut]);
            client.finish_sending();
            // What the broker has to say comes, and then the end.
            client.drain_to_end();
        }
    });
    assert_eq!(watcher.counts(&queue), (0, 0));
    watcher.call(method!("queue.delete", queue: &queue));
}

/// Says each of these on a connection of its own and expects FRAME_ERROR with the text beside it.
/// All at once, because the broker takes its time to close when it has lost its place in a stream.
fn expect_frame_errors(cases: Vec<(Vec<u8>, String)>) {
    let clients: Vec<(Client, String)> = cases
        .into_iter()
        .map(|(bytes, text)| {
            let mut client = Broker::shared().client();
            client.send_bytes(&bytes);
            (client, format!("FRAME_ERROR - {text}"))
        })
        .collect();
    for (mut client, text) in clients {
        client.expect_connection_close(501, &text, "");
    }
}

#[test]
fn a_wrong_frame_end_is_refused() {
    let qos = "type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>";
    let close_ok = "type 1, all octets = <<0,10,0,51>>";
    let cases = [
        (Frame::method(1, &method!("basic.qos")), 0, qos),
        (Frame::method(1, &method!("basic.qos")), 9, qos),
        (
            Frame::method(0, &method!("connection.close-ok")),
            255,
            close_ok,
        ),
        (Frame::new(HEARTBEAT, 0, []), 0, "type 8, all octets = <<>>"),
        (
            Frame::body(1, b"abc"),
            0,
            r#"type 3, all octets = <<"abc">>"#,
        ),
        (
            Frame::new(77, 1, *b"abc"),
            0,
            r#"type 77, all octets = <<"abc">>"#,
        ),
    ];
    let wrong = cases.map(|(frame, end, text)| {
        let mut bytes = frame.encode();
        *bytes.last_mut().expect("an end") = end;
        (bytes, format!("{text}: {{invalid_frame_end_marker,{end}}}"))
    });
    expect_frame_errors(wrong.into());
}

#[test]
fn a_wrong_frame_end_before_tune_ok_is_the_end() {
    let mut client = Broker::shared().stranger();
    client.send_bytes(HEADER);
    client.on(0).expect_name("connection.start");
    let mut bytes = Frame::method(0, &Login::default().start_ok()).encode();
    *bytes.last_mut().expect("an end") = 0;
    client.send_bytes(&bytes);
    client.expect_end();
}

#[test]
fn a_length_past_frame_max_is_refused_before_anything_else_comes() {
    let mut cases = Vec::new();
    for kind in [METHOD, CONTENT_HEADER, BODY, HEARTBEAT, 200] {
        for size in [131_073u32, 1 << 24, u32::MAX] {
            let mut head = vec![kind, 0, 1];
            head.extend(size.to_be_bytes());
            let text = format!("type {kind}, all octets = <<>>: {{frame_too_large,{size},131064}}");
            cases.push((head, text));
        }
    }
    expect_frame_errors(cases);
}

#[test]
fn a_length_past_frame_max_before_tune_ok_is_the_end() {
    let mut client = Broker::shared().stranger();
    client.send_bytes(HEADER);
    client.on(0).expect_name("connection.start");
    client.send_bytes(&[METHOD, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    client.expect_end();
}

#[test]
fn a_frame_one_byte_too_short_takes_the_next_one_along() {
    // The declared length swallows what follows, so that no frame end stands where it should.
    let mut client = Broker::shared().client();
    let mut bytes = Frame::method(1, &method!("basic.qos")).encode();
    bytes[6] += 1;
    bytes.extend(Frame::method(1, &method!("basic.qos")).encode());
    client.send_bytes(&bytes);
    let close = client.on(0).expect_name("connection.close");
    assert_eq!(close.number("reply-code"), 501, "{close:?}");
}

#[test]
fn strings_that_say_they_are_longer_than_their_frame_are_refused() {
    for (payload, text) in [
        (
            &b"\0\x32\0\x0a\0\0\xffabc"[..],
            "cannot decode <<0,0,255,97,98,99>>",
        ),
        (
            b"\0\x28\0\x0a\0\0\x01a\x7f",
            "cannot decode <<0,0,1,97,127>>",
        ),
    ] {
        let mut client = Broker::shared().client();
        client.send_frame(&Frame::new(METHOD, 1, payload));
        let ids = (u16::from(payload[1]), u16::from(payload[3]));
        client.expect_connection_close_ids(501, &format!("FRAME_ERROR - {text}"), ids);
    }
    assert_serves(Broker::shared());
}

#[test]
fn long_strings_that_say_they_are_longer_than_their_frame_end_the_connection() {
    let mut payload = b"\0\x0a\0\x46".to_vec();
    payload.extend(u32::MAX.to_be_bytes());
    payload.extend(b"secret");
    let mut client = Broker::shared().client();
    client.send_frame(&Frame::new(METHOD, 0, payload));
    client.expect_hard_close();
    assert_serves(Broker::shared());
}
