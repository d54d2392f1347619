//! The end: SIGTERM and SIGINT.

use std::net::TcpStream;

use crate::certificates::{Authority, Files};
use crate::support::*;
use crate::{client, start, trust};

const TEXT: &str = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";

#[test]
fn open_connections_are_told_and_the_broker_exits() {
    for signal in ["TERM", "INT"] {
        let (files, authority) = (Files::new(), Authority::new("ours"));
        let Some(mut broker) = start(&files, &authority, Setup::default()) else {
            return;
        };
        let (mut plain, mut tls) = (broker.client(), client(&broker, &trust(&authority, None)));
        let queue = plain.queue();
        plain.consume(&queue, "c");
        broker.signal(signal);
        plain.expect_connection_close(320, TEXT, "");
        tls.expect_connection_close(320, TEXT, "");
        assert_eq!(broker.wait_for_exit().code(), Some(0), "after SIG{signal}");
    }
}

#[test]
fn nobody_new_is_let_in() {
    let Some(mut broker) = Setup::default().start() else {
        return;
    };
    let address = broker.address();
    broker.signal("TERM");
    broker.wait_for_exit();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn clients_that_do_not_answer_are_not_waited_for_for_ever() {
    let setup = Setup::default().env("WARREN_LIMITS_SHUTDOWN_TIMEOUT_MS", 300);
    let Some(mut broker) = setup.start() else {
        return;
    };
    let mut silent = broker.client();
    let mut stranger = broker.stranger();
    broker.signal("TERM");
    silent.on(0).expect_name("connection.close");
    assert_eq!(broker.wait_for_exit().code(), Some(0));
    silent.drain_to_end();
    stranger.drain_to_end();
}

#[test]
fn confirms_on_their_way_come_before_the_close() {
    let Some(mut broker) = Setup::default().start() else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("confirm.select"));
    let queue = client.queue();
    for _ in 0..1000 {
        client.publish("", &queue, "x");
    }
    broker.signal("TERM");
    let mut confirmed = 0;
    loop {
        let deadline = std::time::Instant::now() + client.patience;
        let frame = client
            .raw_frame(deadline)
            .expect("confirms and then a close");
        let method = Method::decode(&frame.payload);
        match method.name {
            "basic.ack" => {
                let tag = method.number("delivery-tag");
                assert!(tag > confirmed, "{tag} after {confirmed}");
                confirmed = tag;
            }
            "connection.close" => break,
            _ => panic!("{method:?}"),
        }
    }
    client.on(0).send(method!("connection.close-ok"));
    assert_eq!(broker.wait_for_exit().code(), Some(0));
}
