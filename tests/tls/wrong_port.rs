//! TLS where plain AMQP is spoken, and the other way round.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::certificates::{Authority, Files};
use crate::support::frame::HEADER;
use crate::support::*;
use crate::{assert_serves, client, start, trust};

/// The first bytes of a TLS client.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let config = trust(authority, None);
    let mut session = ClientConnection::new(Arc::clone(&config), name).expect("a session");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("written to memory");
    hello
}

#[test]
fn a_tls_client_on_the_plain_port_gets_our_header_and_the_end() {
    let broker = Broker::shared();
    let mut bystander = broker.client();
    let mut stranger = broker.stranger();
    stranger.send_bytes(&client_hello(&Authority::new("any")));
    assert_eq!(stranger.raw_bytes(8).as_deref(), Ok(&HEADER[..]));
    stranger.expect_end();
    assert_serves(&mut bystander);
}

#[test]
fn plain_bytes_on_the_tls_port_end_the_connection() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    let config = trust(&authority, None);
    let mut bystander = client(&broker, &config);
    for bytes in [
        &HEADER[..],
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        &[0; 100],
        &[0xff; 5000],
    ] {
        let mut stranger = Client::plain(broker.listening("amqps"));
        stranger.try_send_bytes(bytes);
        stranger.drain_to_end();
        assert_serves(&mut bystander);
    }
}

#[test]
fn a_tls_handshake_that_stops_is_cut_off() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let setup = Setup::default().env("WARREN_LIMITS_HANDSHAKE_TIMEOUT_MS", 500);
    let Some(broker) = start(&files, &authority, setup) else {
        return;
    };
    let hello = client_hello(&authority);
    let stops = [0, 1, 5, hello.len() / 2, hello.len()];
    let mut strangers = stops.map(|stop| {
        let mut stranger = Client::plain(broker.listening("amqps"));
        stranger.send_bytes(&hello[..stop]);
        stranger
    });
    for stranger in &mut strangers {
        stranger.drain_to_end();
    }
    assert_serves(&mut client(&broker, &trust(&authority, None)));
}

#[test]
fn garbage_after_the_tls_handshake_ends_the_connection() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    let config = trust(&authority, None);
    let victim = client(&broker, &config);
    let mut raw: TcpStream = victim.socket().try_clone().expect("a second handle");
    std::io::Write::write_all(
        &mut raw,
        &[
            0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
            20,
        ],
    )
    .expect("taken");
    let mut victim = victim;
    victim.drain_to_end();
    assert_serves(&mut client(&broker, &config));
}
