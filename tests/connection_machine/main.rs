//! Conversations with the connection machine: bytes and time in, frames out, no socket.

mod conversation;
mod pausing;

use std::time::Duration;

use warren::amqp::encode;
use warren::amqp::method::{Method, basic, channel, connection};
use warren::amqp::table::{FieldTable, FieldValue, ShortStr};
use warren::broker::Alarms;
use warren::connection::{Limits, State};

use self::conversation::*;

#[test]
fn a_connection_is_opened_however_its_bytes_are_split() {
    let mut bytes = HEADER.to_vec();
    for method in [
        Method::from(start_ok(b"\0guest\0guest")),
        tune_ok(0).into(),
        open("/").into(),
    ] {
        encode::method_frame(&mut bytes, 0, &method);
    }
    encode::method_frame(&mut bytes, 1, &open_channel().into());
    encode::method_frame(&mut bytes, 1, &declare("q", false, false).into());
    bytes.extend(published("q", b"hello"));
    bytes.extend(published("q", b""));

    let hear = |pieces: &[&[u8]]| {
        let broker = broker();
        let mut client = Conversation::with(&broker, Limits::default(), "127.0.0.1:1");
        pieces.iter().for_each(|piece| client.send_bytes(piece));
        assert_eq!(ready(&broker, "q"), 2);
        client.hear()
    };
    let whole = hear(&[&bytes]);
    assert_eq!(whole.len(), 5, "{whole:?}");
    for at in 1..bytes.len() {
        assert_eq!(hear(&[&bytes[..at], &bytes[at..]]), whole, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(hear(&single), whole);
}

#[test]
fn connection_start_says_what_rabbitmq_says() {
    let mut client = Conversation::start();
    client.send_bytes(HEADER);
    let Method::ConnectionStart(start) = client.hear_one() else {
        panic!("not connection.start");
    };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.mechanisms, "PLAIN AMQPLAIN");
    assert_eq!(start.locales, "en_US");
    let names: Vec<&str> = start
        .server_properties
        .iter()
        .map(|(name, _)| name)
        .collect();
    let expected = [
        "capabilities",
        "cluster_name",
        "copyright",
        "information",
        "platform",
        "product",
        "version",
    ];
    assert_eq!(names, expected);
    let text = |name| {
        start
            .server_properties
            .get(name)
            .and_then(FieldValue::as_str)
    };
    assert_eq!(text("product"), Some("Warren"));
    assert_eq!(text("cluster_name"), Some("test"));
    let capabilities = start.server_properties.get("capabilities");
    let capabilities = capabilities
        .and_then(FieldValue::as_table)
        .expect("a table");
    assert_eq!(capabilities.len(), 9);
    assert!(
        capabilities
            .iter()
            .all(|(_, can)| can == &FieldValue::Bool(true))
    );
}

#[test]
fn other_protocols_are_told_ours_and_cut_off() {
    for header in [
        &b"HTTP/1.1"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"AMQP\0\x01\0\0",
        b"AMQP\x03\x01\0\0",
        b"AMQP\0\0\x09\x02",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
    ] {
        let mut client = Conversation::start();
        client.send_bytes(header);
        assert_eq!(client.hear(), [Said::Header]);
        assert_eq!(client.state, State::Over, "{}", header.escape_ascii());
    }
}

#[test]
fn a_refused_login_is_told_if_the_client_wants_to_know_it() {
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For \
                details see the broker logfile.";
    let mut client = Conversation::start();
    client.send_bytes(HEADER);
    client.hear();
    client.send(0, start_ok(b"\0guest\0wrong"));
    client.hear_close(403, text, (0, 0));
    assert_eq!(client.state, State::Reading);
    client.send(0, connection::CloseOk);
    assert_eq!(client.state, State::Over);

    let mut client = Conversation::start();
    client.send_bytes(HEADER);
    client.hear();
    let unaware = connection::StartOk {
        client_properties: FieldTable::new(),
        ..start_ok(b"\0guest\0wrong")
    };
    client.send(0, unaware);
    assert_eq!(client.hear(), []);
    client.send_bytes(b"whatever it says now");
    client.pass(Duration::from_millis(2999));
    assert_eq!(client.state, State::Reading);
    client.pass(Duration::from_millis(1));
    assert_eq!(client.state, State::Over);
}

#[test]
fn guest_may_only_come_from_this_machine() {
    let broker = broker();
    for (peer, welcome) in [
        ("127.0.0.1:1", true),
        ("127.8.9.1:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("10.0.0.1:1", false),
        ("[2001:db8::1]:1", false),
    ] {
        let mut client = Conversation::with(&broker, Limits::default(), peer);
        client.send_bytes(HEADER);
        client.hear();
        client.send(0, start_ok(b"\0guest\0guest"));
        let answer = client.hear_one();
        assert_eq!(
            matches!(answer, Method::ConnectionTune(_)),
            welcome,
            "{peer}: {answer:?}"
        );
    }
    assert_eq!(broker.metrics().auth_failures.get(), 2);
}

#[test]
fn amqplain_logs_in_too() {
    let mut response = Vec::new();
    let login: FieldTable = [("LOGIN", "guest"), ("PASSWORD", "guest")]
        .into_iter()
        .collect();
    login.encode(&mut response);
    let mut client = Conversation::start();
    client.send_bytes(HEADER);
    client.hear();
    let start_ok = connection::StartOk {
        mechanism: "AMQPLAIN".into(),
        response: response.into(),
        ..start_ok(b"")
    };
    client.send(0, start_ok);
    let tune = connection::Tune {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 60,
    };
    assert_eq!(client.hear_one(), Method::ConnectionTune(tune));
}

#[test]
fn what_is_wrong_before_the_login_is_answered_with_silence() {
    let wrong: [fn(&mut Conversation); 6] = [
        |client| client.send(0, open("/")),
        |client| client.send(1, open_channel()),
        |client| client.send(0, close()),
        |client| client.send_bytes(&[1, 0, 0, 0, 0, 16, 1, 0]),
        |client| client.send_bytes(&[1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 11, 0xCD]),
        |client| {
            let unknown = connection::StartOk {
                mechanism: "EXTERNAL".into(),
                ..start_ok(b"")
            };
            client.send(0, unknown);
        },
    ];
    for wrong in wrong {
        let mut client = Conversation::start();
        client.send_bytes(HEADER);
        client.hear();
        wrong(&mut client);
        assert_eq!(client.hear(), []);
        assert_eq!(client.state, State::Reading);
        client.pass(Duration::from_secs(3));
        assert_eq!(client.state, State::Over);
    }
}

#[test]
fn a_vhost_must_exist_and_be_allowed() {
    let broker = broker();
    broker.add_vhost("secret");
    let refused = [
        ("nope", "NOT_ALLOWED - vhost nope not found"),
        (
            "secret",
            "NOT_ALLOWED - access to vhost 'secret' refused for user 'guest'",
        ),
    ];
    for (vhost, text) in refused {
        let mut client = Conversation::with(&broker, Limits::default(), "127.0.0.1:1");
        client.tune(tune_ok(0));
        client.send(0, open(vhost));
        client.hear_close(530, text, (10, 40));
        client.send(0, connection::CloseOk);
        assert_eq!(client.state, State::Over);
    }
}

#[test]
fn a_slow_handshake_is_cut_off() {
    let mut client = Conversation::start();
    client.log_in();
    client.pass(Duration::from_millis(9_999));
    assert_eq!(client.state, State::Reading);
    client.pass(Duration::from_millis(1));
    assert_eq!(client.state, State::Over);
    assert_eq!(client.hear(), []);

    let mut client = Conversation::start();
    client.open();
    client.pass(Duration::from_secs(3600));
    assert_eq!(client.state, State::Reading);
}

#[test]
fn close_is_answered_and_the_client_closes_the_socket() {
    let mut client = Conversation::start();
    client.open();
    client.send(1, open_channel());
    client.hear();
    client.send(0, close());
    assert_eq!(
        client.hear_one(),
        Method::ConnectionCloseOk(connection::CloseOk)
    );
    // Nothing that follows is looked at, but another close is answered.
    client.send(2, open_channel());
    client.send_bytes(&[9, 0, 0, 0, 0, 0, 1, 0, 0xCE]);
    assert_eq!(client.hear(), []);
    client.send(0, close());
    assert_eq!(
        client.hear_one(),
        Method::ConnectionCloseOk(connection::CloseOk)
    );
    assert_eq!(client.state, State::Reading);
    client.pass(Duration::from_secs(30));
    assert_eq!(client.state, State::Over);
}

#[test]
fn after_an_exception_only_close_and_close_ok_count() {
    let mut client = Conversation::start();
    client.open();
    client.send(0, open("/"));
    let text = "CHANNEL_ERROR - unexpected method in connection state running";
    client.hear_close(504, text, (10, 40));
    client.send(1, open_channel());
    assert_eq!(client.hear(), []);
    client.send(0, close());
    assert_eq!(
        client.hear_one(),
        Method::ConnectionCloseOk(connection::CloseOk)
    );
    client.send(0, connection::CloseOk);
    assert_eq!(client.state, State::Over);
}

#[test]
fn a_client_that_does_not_answer_close_is_waited_for_as_long_as_a_heartbeat() {
    for (heartbeat_s, wait_s) in [(5, 5), (60, 30), (0, 30)] {
        let mut client = Conversation::start();
        client.tune(tune_ok(heartbeat_s));
        client.send(0, open("/"));
        client.send(0, open("/"));
        client.pass(Duration::from_secs(wait_s) - Duration::from_millis(1));
        assert_eq!(client.state, State::Reading);
        client.pass(Duration::from_millis(1));
        assert_eq!(client.state, State::Over);
    }
}

#[test]
fn out_of_step_frames_are_told_and_nothing_more_is_heard() {
    let wrong: [(&[u8], &str); 3] = [
        (
            &[3, 0, 1, 0, 0, 0, 2, b'a', b'b', 0],
            "FRAME_ERROR - type 3, all octets = <<\"ab\">>: {invalid_frame_end_marker,0}",
        ),
        (
            &[3, 0, 1, 0, 2, 0, 1],
            "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064}",
        ),
        (
            &[3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF],
            "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4294967295,131064}",
        ),
    ];
    for (frame, text) in wrong {
        let mut client = Conversation::start();
        client.open();
        client.send_bytes(frame);
        client.hear_close(501, text, (0, 0));
        client.send(0, connection::CloseOk);
        assert_eq!(client.state, State::Reading);
        assert!(client.unused.is_empty(), "input is kept");
        client.pass(Duration::from_secs(3));
        assert_eq!(client.state, State::Over);
    }
}

#[test]
fn channels_are_counted_not_numbered() {
    let mut client = Conversation::start();
    client.tune(connection::TuneOk {
        channel_max: 2,
        ..tune_ok(0)
    });
    client.send(0, open("/"));
    client.send(3000, open_channel());
    client.send(65535, open_channel());
    assert_eq!(client.hear().len(), 3);
    client.send(7, open_channel());
    let text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated \
                channel_max (2)";
    client.hear_close(530, text, (0, 0));
}

#[test]
fn a_soft_exception_closes_the_channel_until_close_ok() {
    let mut client = Conversation::start();
    client.open();
    client.send(1, open_channel());
    client.hear();
    client.send(1, declare("nope", false, true));
    match client.hear_one() {
        Method::ChannelClose(close) => {
            assert_eq!(close.reply_code, 404);
            assert_eq!(
                &*close.reply_text,
                "NOT_FOUND - no queue 'nope' in vhost '/'"
            );
            assert_eq!((close.class_id, close.method_id), (50, 10));
        }
        other => panic!("{other:?}"),
    }
    // Ignored, contents too.
    client.send(1, declare("q", false, false));
    client.send_bytes(&published("q", b"hello"));
    assert_eq!(client.hear(), []);
    client.send(1, channel::CloseOk);
    client.send(1, open_channel());
    assert_eq!(client.hear_one(), Method::ChannelOpenOk(channel::OpenOk));
}

#[test]
fn heartbeats_go_both_ways() {
    let mut client = Conversation::start();
    client.tune(tune_ok(10));
    client.send(0, open("/"));
    client.hear();
    let half = Duration::from_secs(5);
    for _ in 0..10 {
        client.pass(half);
        assert_eq!(client.hear(), [Said::Heartbeat]);
        client.send_bytes(&[8, 0, 0, 0, 0, 0, 0, 0xCE]);
        assert_eq!(client.state, State::Reading);
    }
    // Then the client falls silent.
    let mut halves = 0;
    while client.state == State::Reading {
        client.pass(half);
        client.hear();
        halves += 1;
    }
    assert!((4..=6).contains(&halves), "gone after {halves} halves");
    assert_eq!(client.hear(), []);
}

#[test]
fn a_publisher_is_blocked_during_an_alarm_and_goes_on_after_it() {
    let broker = broker();
    let mut client = Conversation::with(&broker, Limits::default(), "127.0.0.1:1");
    client.open();
    client.send(1, open_channel());
    client.send(1, declare("q", false, false));
    client.hear();
    let alarms = Alarms {
        memory: true,
        disk: false,
    };
    assert_eq!(client.connection.on_alarms(alarms), State::Reading);
    assert_eq!(client.hear(), [], "who does not publish is not told");
    client.send(1, declare("q", false, false));
    assert_eq!(client.hear().len(), 1, "and is served");

    client.send_bytes(&published("q", b"hello"));
    let blocked = connection::Blocked {
        reason: ShortStr::from("low on memory"),
    };
    assert_eq!(client.hear_one(), Method::ConnectionBlocked(blocked));
    assert_eq!(client.state, State::Held);
    client.send_bytes(&published("q", b"hello"));
    assert_eq!(client.hear(), []);
    assert_eq!(ready(&broker, "q"), 0);
    let more = Alarms {
        memory: true,
        disk: true,
    };
    assert_eq!(client.connection.on_alarms(more), State::Held);
    assert_eq!(client.hear(), [], "it is told once");

    let none = Alarms::default();
    assert_eq!(client.connection.on_alarms(none), State::Reading);
    assert_eq!(
        client.hear_one(),
        Method::ConnectionUnblocked(connection::Unblocked)
    );
    client.send_bytes(&[]);
    assert_eq!(ready(&broker, "q"), 2);
}

#[test]
fn a_client_that_does_not_understand_is_blocked_without_a_word() {
    let mut client = Conversation::start();
    client.send_bytes(HEADER);
    let unaware = connection::StartOk {
        client_properties: FieldTable::new(),
        ..start_ok(b"\0guest\0guest")
    };
    client.send(0, unaware);
    client.send(0, tune_ok(0));
    client.send(0, open("/"));
    client.send(1, open_channel());
    client.hear();
    let alarms = Alarms {
        memory: false,
        disk: true,
    };
    client.connection.on_alarms(alarms);
    client.send_bytes(&published("q", b"hello"));
    assert_eq!(client.state, State::Held);
    assert_eq!(client.hear(), []);
    client.connection.on_alarms(Alarms::default());
    assert_eq!(client.hear(), []);
}

#[test]
fn replies_that_are_not_taken_stop_the_reading() {
    let mut client = Conversation::start();
    client.open();
    client.send(1, open_channel());
    client.send(1, declare("q", false, false));
    client.send_bytes(&published("q", &vec![b'x'; 700 << 10]));
    client.send_bytes(&published("q", &vec![b'x'; 700 << 10]));
    client.send_bytes(&published("q", b"third"));
    client.hear();
    let mut gets = Vec::new();
    let get = basic::Get {
        queue: "q".into(),
        no_ack: true,
    };
    for _ in 0..3 {
        encode::method_frame(&mut gets, 1, &get.clone().into());
    }
    client.send_bytes(&gets);
    assert_eq!(client.state, State::Held);
    assert_eq!(client.unused.len(), gets.len() / 3, "two were served");
    assert!(!client.outgoing.hold_reader_until_low());
    client.hear();
    assert!(client.outgoing.hold_reader_until_low());
    client.send_bytes(&[]);
    assert_eq!(client.state, State::Reading);
    assert_eq!(client.hear().len(), 3, "the third");
}

#[test]
fn a_shutdown_is_told_to_whoever_is_connected() {
    let mut client = Conversation::start();
    client.open();
    assert_eq!(
        client.connection.on_shutdown("shutdown", client.now),
        State::Reading
    );
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    client.hear_close(320, text, (0, 0));
    client.send(0, connection::CloseOk);
    assert_eq!(client.state, State::Over);

    let mut client = Conversation::start();
    client.log_in();
    assert_eq!(
        client.connection.on_shutdown("shutdown", client.now),
        State::Over
    );
    assert_eq!(client.hear(), []);
}

#[test]
fn what_was_exclusive_goes_with_the_connection_however_it_ends() {
    let ends: [fn(Conversation); 4] = [
        |mut client| client.send(0, close()),
        |mut client| client.send(0, open("/")),
        |mut client| client.connection.on_gone("reset", client.now),
        drop,
    ];
    for end in ends {
        let broker = broker();
        let mut client = Conversation::with(&broker, Limits::default(), "127.0.0.1:1");
        client.open();
        client.send(1, open_channel());
        client.send(1, declare("mine", true, false));
        let vhost = broker.vhost("/").expect("there is one");
        let id = client.connection.id();
        assert!(vhost.queue("mine", id).is_ok());
        end(client);
        assert!(vhost.queue("mine", id).is_err());
        let metrics = broker.metrics();
        assert_eq!(
            metrics.connections_opened.get(),
            metrics.connections_closed.get()
        );
        assert_eq!(metrics.channels_opened.get(), metrics.channels_closed.get());
    }
}

#[test]
fn a_delivery_that_is_not_acked_in_time_closes_its_channel() {
    let broker = broker();
    let limits = Limits {
        // The engine's clock is the machine's here, so that the shortest timeout is over at once.
        consumer_timeout_ms: Some(0),
        ..Limits::default()
    };
    let mut client = Conversation::with(&broker, limits, "127.0.0.1:1");
    client.open();
    client.send(1, open_channel());
    client.send(1, declare("q", false, false));
    client.send_bytes(&published("q", b"hello"));
    let get = basic::Get {
        queue: "q".into(),
        no_ack: false,
    };
    client.send(1, get);
    client.hear();
    client.pass(Duration::from_secs(60));
    match client.hear_one() {
        Method::ChannelClose(close) => {
            assert_eq!(close.reply_code, 406);
            let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. \
                        Timeout value used: 0 ms. This timeout value can be configured, see \
                        consumers doc guide to learn more";
            assert_eq!(&*close.reply_text, text);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ready(&broker, "q"), 1);
}
