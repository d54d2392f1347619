//! From the first byte to connection.open-ok, and back out by connection.close.

use crate::support::frame::{HEADER, METHOD};
use crate::support::*;

/// Goes as far as connection.start.
fn started() -> Client {
    let mut client = Broker::shared().stranger();
    client.send_bytes(HEADER);
    client.on(0).expect_name("connection.start");
    client
}

/// Goes as far as connection.tune.
fn authenticated() -> Client {
    let mut client = started();
    client.on(0).send(Login::default().start_ok());
    client.on(0).expect_name("connection.tune");
    client
}

#[test]
fn opens_and_closes() {
    Broker::shared().client().close();
}

#[test]
fn wrong_protocol_headers_are_answered_with_ours_and_a_close() {
    for header in [
        b"AMQP\0\0\x09\x02",
        b"AMQP\0\0\x0a\x00",
        b"AMQP\x02\x02\x00\x09",
        b"HTTP/1.1",
        b"\0\0\0\0\0\0\0\0",
    ] {
        let mut client = Broker::shared().stranger();
        client.send_bytes(header);
        assert_eq!(
            client.raw_bytes(8).as_deref(),
            Ok(&HEADER[..]),
            "to {header:?}"
        );
        client.expect_end();
    }
}

#[test]
fn the_header_may_come_byte_by_byte() {
    let mut client = Broker::shared().stranger();
    for byte in HEADER {
        client.send_bytes(&[*byte]);
    }
    client.on(0).expect_name("connection.start");
}

#[test]
fn the_header_of_0_9_is_taken_for_0_9_1() {
    let mut client = Broker::shared().stranger();
    client.send_bytes(b"AMQP\x01\x01\x00\x09");
    let start = client.on(0).expect_name("connection.start");
    assert_eq!(
        (start.number("version-major"), start.number("version-minor")),
        (0, 9)
    );
}

#[test]
fn start_says_who_we_are() {
    let mut client = Broker::shared().stranger();
    client.send_bytes(HEADER);
    let start = client.on(0).expect_name("connection.start");
    assert_eq!(
        (start.number("version-major"), start.number("version-minor")),
        (0, 9)
    );
    assert_eq!(start.text("locales"), "en_US");
    assert_eq!(start.text("mechanisms"), "PLAIN AMQPLAIN");
    let properties = start.table("server-properties");
    let mut keys = properties.keys();
    keys.sort();
    let expected = [
        "capabilities",
        "cluster_name",
        "copyright",
        "information",
        "platform",
        "product",
        "version",
    ];
    assert_eq!(keys, expected);
    let mut capabilities = properties.at("capabilities").table().clone();
    capabilities.0.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = table! {
        "authentication_failure_close" => true,
        "basic.nack" => true,
        "connection.blocked" => true,
        "consumer_cancel_notify" => true,
        "consumer_priorities" => true,
        "direct_reply_to" => true,
        "exchange_exchange_bindings" => true,
        "per_consumer_qos" => true,
        "publisher_confirms" => true,
    };
    assert_eq!(capabilities, expected);
}

#[test]
fn amqplain_lets_in() {
    let mut client = started();
    let response = table! { "LOGIN" => "guest", "PASSWORD" => "guest" }.encode()[4..].to_vec();
    let start_ok = Login::default()
        .start_ok()
        .with("mechanism", "AMQPLAIN")
        .with("response", response);
    client.on(0).send(start_ok);
    client.on(0).expect_name("connection.tune");
}

#[test]
fn refused_logins_are_told_so() {
    let plain = |response: &[u8]| ("PLAIN", response.to_vec());
    let amqplain = |table: Table| ("AMQPLAIN", table.encode()[4..].to_vec());
    let refused = |mechanism: &str| {
        format!(
            "ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. \
             For details see the broker logfile."
        )
    };
    for (mechanism, response) in [
        plain(b"\0guest\0wrong"),
        plain(b"\0nobody\0guest"),
        plain(b"\0guest\0"),
        amqplain(table! { "LOGIN" => "guest", "PASSWORD" => "wrong" }),
    ] {
        let mut client = started();
        let start_ok = Login::default()
            .start_ok()
            .with("mechanism", mechanism)
            .with("response", response);
        client.on(0).send(start_ok);
        client.expect_connection_close(403, &refused(mechanism), "");
    }
}

#[test]
fn malformed_credentials_are_the_end() {
    let credentials = [
        ("PLAIN", "guest"),
        ("PLAIN", ""),
        ("AMQPLAIN", ""),
        ("AMQPLAIN", "\x05LOGINS\0\0\0\x05guest"),
    ];
    // All at once, because the broker takes its time to close.
    let clients = credentials.map(|(mechanism, response)| {
        let mut client = started();
        let start_ok = Login::default().start_ok().with("mechanism", mechanism);
        client.on(0).send(start_ok.with("response", response));
        client
    });
    for mut client in clients {
        client.expect_end();
    }
}

#[test]
fn a_client_that_does_not_know_authentication_failure_close_is_just_cut_off() {
    let mut client = started();
    let login = Login {
        password: "wrong".into(),
        capabilities: Table::default(),
        ..Login::default()
    };
    client.on(0).send(login.start_ok());
    client.expect_end();
}

#[test]
fn an_unknown_mechanism_is_the_end() {
    let mut client = started();
    client
        .on(0)
        .send(Login::default().start_ok().with("mechanism", "KERBEROS"));
    client.expect_end();
}

#[test]
fn an_unknown_vhost_is_refused() {
    let mut client = authenticated();
    client.on(0).send(Login::default().tune_ok());
    client
        .on(0)
        .send(method!("connection.open", virtual_host: "nowhere"));
    client.expect_connection_close(
        530,
        "NOT_ALLOWED - vhost nowhere not found",
        "connection.open",
    );
}

#[test]
fn the_empty_vhost_is_refused() {
    let mut client = authenticated();
    client.on(0).send(Login::default().tune_ok());
    client
        .on(0)
        .send(method!("connection.open", virtual_host: ""));
    client.expect_connection_close(530, "NOT_ALLOWED - vhost  not found", "connection.open");
}

#[test]
fn any_error_before_tune_ok_is_the_end_without_a_word() {
    let on_0 = |name: &str| Frame::method(0, &Method::new(name));
    let on_1 = |name: &str| Frame::method(1, &Method::new(name));
    let unknown = Frame::new(METHOD, 0, [0, 10, 0, 99]);
    let after_start = [
        "connection.open",
        "connection.tune-ok",
        "connection.secure-ok",
        "connection.close-ok",
    ];
    let after_tune = [
        "connection.open",
        "connection.start-ok",
        "connection.secure-ok",
        "queue.declare",
    ];
    let both = [
        on_1("channel.open"),
        on_0("channel.open"),
        on_0("connection.close"),
        unknown,
    ];
    let mut conversations = Vec::new();
    conversations.extend(after_start.map(|name| (started as fn() -> Client, on_0(name))));
    conversations.extend(after_tune.map(|name| (authenticated as fn() -> Client, on_0(name))));
    conversations.extend(both.clone().map(|frame| (started as fn() -> Client, frame)));
    conversations.extend(both.map(|frame| (authenticated as fn() -> Client, frame)));
    // All at once, because RabbitMQ takes its time to close.
    let clients: Vec<Client> = conversations
        .iter()
        .map(|(reach, frame)| {
            let mut client = reach();
            client.send_frame(frame);
            client
        })
        .collect();
    for mut client in clients {
        client.expect_end();
    }
}

#[test]
fn connection_methods_that_do_not_fit_are_refused() {
    for name in [
        "connection.start",
        "connection.start-ok",
        "connection.secure",
        "connection.secure-ok",
        "connection.tune",
        "connection.tune-ok",
        "connection.open",
        "connection.open-ok",
        "connection.close-ok",
        "connection.blocked",
        "connection.unblocked",
        "connection.update-secret-ok",
        "channel.open",
        "queue.declare",
        "basic.publish",
        "tx.select",
    ] {
        let mut client = Broker::shared().client();
        client.on(0).send(Method::new(name));
        let text = "CHANNEL_ERROR - unexpected method in connection state running";
        client.expect_connection_close(504, text, name);
    }
}

#[test]
fn connection_methods_on_other_channels_are_refused() {
    let mut client = Broker::shared().client();
    client
        .on(1)
        .send(method!("connection.close", reply_code: 200));
    client.expect_connection_close(
        503,
        "COMMAND_INVALID - unimplemented method",
        "connection.close",
    );
}

#[test]
fn an_unknown_method_on_channel_0_is_the_end() {
    let mut client = Broker::shared().client();
    client.send_frame(&Frame::new(METHOD, 0, [0, 10, 0, 99]));
    client.expect_hard_close();
}

#[test]
fn update_secret_is_taken() {
    let mut client = Broker::shared().client();
    client
        .on(0)
        .call(method!("connection.update-secret", new_secret: "new", reason: "old one expires"));
    client.call(method!("basic.qos"));
}

#[test]
fn close_takes_open_channels_along() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    client.open_channel(3);
    client.on(0).send(method!("connection.close", reply_code: 320, reply_text: "going", class_id: 50, method_id: 10));
    client.on(0).expect(method!("connection.close-ok"));
}

#[test]
fn what_follows_close_is_ignored() {
    let mut client = Broker::shared().client();
    let queue = unique("after-close");
    let mut bytes = Frame::method(0, &method!("connection.close", reply_code: 200)).encode();
    bytes
        .extend(Frame::method(1, &method!("queue.declare", queue: &queue, durable: true)).encode());
    bytes.extend(Frame::method(1, &method!("basic.get", queue: &queue)).encode());
    client.send_bytes(&bytes);
    client.on(0).expect(method!("connection.close-ok"));
    let passive = method!("queue.declare", queue: &queue, passive: true);
    let text = format!("NOT_FOUND - no queue '{queue}' in vhost '/'");
    Broker::shared().client().refused(passive, 404, &text);
}

#[test]
fn a_second_close_is_answered_too() {
    let mut client = Broker::shared().client();
    let close = Frame::method(0, &method!("connection.close", reply_code: 200)).encode();
    client.send_bytes(&[close.clone(), close].concat());
    client.on(0).expect(method!("connection.close-ok"));
    client.on(0).expect(method!("connection.close-ok"));
}

#[test]
fn close_crosses_our_own_close() {
    let mut client = Broker::shared().client();
    client.on(0).send(Method::new("channel.open"));
    client.on(0).expect_name("connection.close");
    client
        .on(0)
        .send(method!("connection.close", reply_code: 200));
    client.on(0).expect(method!("connection.close-ok"));
    client.on(0).send(method!("connection.close-ok"));
    client.expect_end();
}

#[test]
fn what_follows_our_close_is_ignored() {
    let mut client = Broker::shared().client();
    client.on(0).send(Method::new("channel.open"));
    client.on(0).expect_name("connection.close");
    client.on(1).send(method!("queue.declare"));
    client.on(7).send(method!("channel.open"));
    client.on(0).send(method!("connection.close-ok"));
    client.expect_end();
}
