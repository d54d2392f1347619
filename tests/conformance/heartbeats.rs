//! Heartbeat frames, both ways.

use crate::support::frame::HEARTBEAT;
use crate::support::*;

fn beating(heartbeat: u16) -> Client {
    Login {
        heartbeat,
        ..Login::default()
    }
    .open(Broker::shared().address())
}

#[test]
fn the_broker_sends_heartbeats() {
    beating(1).expect_heartbeats(2);
}

#[test]
fn silence_is_the_end() {
    let mut client = beating(1);
    client.expect_end();
}

#[test]
fn heartbeats_keep_a_connection_alive() {
    let mut client = beating(1);
    for count in 1..=8 {
        client.send_frame(&Frame::new(HEARTBEAT, 0, []));
        client.expect_heartbeats(count);
    }
    client.open_channel(1);
}

#[test]
fn any_bytes_keep_a_connection_alive() {
    let mut client = beating(1);
    let frame = Frame::method(1, &method!("channel.open")).encode();
    for (count, byte) in (1..).zip(&frame[..8]) {
        client.send_bytes(&[*byte]);
        client.expect_heartbeats(count);
    }
    client.send_bytes(&frame[8..]);
    client.expect(method!("channel.open-ok"));
}

#[test]
fn heartbeats_may_be_sent_where_none_were_agreed() {
    let mut client = beating(0);
    client.send_frame(&Frame::new(HEARTBEAT, 0, []));
    client.open_channel(1);
}

#[test]
fn heartbeats_may_stand_between_the_frames_of_a_message() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.send(method!("basic.publish", routing_key: &queue));
    client.send_frame(&Frame::new(HEARTBEAT, 0, []));
    client.send_frame(&Frame::content_header(1, 2, &Properties::default()));
    client.send_frame(&Frame::new(HEARTBEAT, 0, []));
    client.send_frame(&Frame::body(1, b"hi"));
    assert_eq!(client.take(&queue).as_deref(), Some("hi"));
}

#[test]
fn heartbeats_belong_on_channel_0() {
    let mut client = Broker::shared().client();
    client.send_frame(&Frame::new(HEARTBEAT, 1, []));
    client.expect_connection_close(505, "UNEXPECTED_FRAME - type 8, all octets = <<>>", "");
}

#[test]
fn heartbeats_have_no_payload() {
    let mut client = Broker::shared().client();
    client.send_frame(&Frame::new(HEARTBEAT, 0, [1]));
    client.expect_connection_close(
        501,
        "FRAME_ERROR - type 8, all octets = <<1>>: unknown_frame",
        "",
    );
}
