//! connection.tune and tune-ok: what is offered, what may be answered, what then holds.

use crate::support::frame::{BODY, HEADER, HEARTBEAT, METHOD};
use crate::support::*;

fn tuned(login: &Login) -> Client {
    let mut client = Broker::shared().stranger();
    login.tuned(&mut client);
    client
}

#[test]
fn the_offer() {
    let mut client = Broker::shared().stranger();
    client.send_bytes(HEADER);
    client.on(0).expect_name("connection.start");
    client.on(0).send(Login::default().start_ok());
    client
        .on(0)
        .expect(method!("connection.tune", channel_max: 2047, frame_max: 131_072, heartbeat: 60));
}

#[test]
fn more_than_was_offered_is_the_end_without_a_word() {
    let offers = [
        (2047, 131_073),
        (2047, 0),
        (2047, 4095),
        (2048, 131_072),
        (0, 131_072),
    ];
    let clients = offers.map(|(channel_max, frame_max)| {
        tuned(&Login {
            channel_max,
            frame_max,
            ..Login::default()
        })
    });
    for mut client in clients {
        client.expect_end();
    }
}

#[test]
fn less_than_was_offered_is_taken() {
    for (channel_max, frame_max, heartbeat) in
        [(1, 4096, 0), (2047, 131_072, 65535), (100, 5000, 1)]
    {
        let login = Login {
            channel_max,
            frame_max,
            heartbeat,
            ..Login::default()
        };
        let mut client = login.open(Broker::shared().address());
        client.open_channel(1);
        client.close();
    }
}

#[test]
fn channel_max_counts_channels_whatever_their_numbers() {
    let login = Login {
        channel_max: 2,
        ..Login::default()
    };
    let mut client = login.open(Broker::shared().address());
    client.open_channel(1);
    client.open_channel(300);
    client
        .on(300)
        .call(method!("channel.close", reply_code: 200));
    client.open_channel(65535);
    client.on(2).send(method!("channel.open"));
    let text =
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)";
    client.expect_connection_close(530, text, "");
}

#[test]
fn bodies_are_cut_by_frame_max() {
    let login = Login {
        frame_max: 4096,
        ..Login::default()
    };
    let mut client = login.open(Broker::shared().address());
    client.open_channel(1);
    let queue = client.queue();
    for size in [4087, 4088, 4089, 8176, 8177, 20_000] {
        client.publish("", &queue, &"x".repeat(size));
        client.send(method!("basic.get", queue: &queue, no_ack: true));
        client.expect_name("basic.get-ok");
        client.frame();
        let mut left = size;
        while left > 0 {
            let frame = client.frame();
            assert_eq!((frame.kind, frame.payload.len()), (BODY, left.min(4088)));
            left -= frame.payload.len();
        }
    }
}

#[test]
fn our_own_body_frames_may_be_cut_anywhere() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.send(method!("basic.publish", routing_key: &queue));
    client.send_frame(&Frame::content_header(1, 10, &Properties::default()));
    for part in ["a", "bcd", "", "efghi", "j"] {
        client.send_frame(&Frame::body(1, part.as_bytes()));
    }
    client.await_ready(&queue, 1);
    assert_eq!(client.take(&queue).as_deref(), Some("abcdefghij"));
}

#[test]
fn a_frame_may_be_8_bytes_too_large() {
    let login = Login {
        frame_max: 4096,
        ..Login::default()
    };
    let mut client = login.open(Broker::shared().address());
    client.open_channel(1);
    let queue = client.queue();
    client.send(method!("basic.publish", routing_key: &queue));
    client.send_frame(&Frame::content_header(1, 4096, &Properties::default()));
    client.send_frame(&Frame::body(1, &[b'x'; 4096]));
    assert_eq!(client.take(&queue).map(|text| text.len()), Some(4096));
}

#[test]
fn a_larger_frame_is_refused() {
    let login = Login {
        frame_max: 4096,
        ..Login::default()
    };
    // All at once, because the broker takes its time to close.
    let frames = [(METHOD, 1), (BODY, 1), (METHOD, 0), (HEARTBEAT, 0)];
    let clients = frames.map(|(kind, channel)| {
        let mut client = login.open(Broker::shared().address());
        client.open_channel(1);
        client.send_frame(&Frame::new(kind, channel, [0; 4097]));
        client
    });
    for (mut client, (kind, _)) in clients.into_iter().zip(frames) {
        let text =
            format!("FRAME_ERROR - type {kind}, all octets = <<>>: {{frame_too_large,4097,4088}}");
        client.expect_connection_close(501, &text, "");
    }
}

#[test]
fn frames_before_tune_ok_have_at_most_4096_bytes() {
    let mut client = Broker::shared().stranger();
    client.send_bytes(HEADER);
    client.on(0).expect_name("connection.start");
    let login = Login {
        capabilities: table! { "padding" => "x".repeat(5000) },
        ..Login::default()
    };
    client.on(0).send(login.start_ok());
    client.expect_end();
}
