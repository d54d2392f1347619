//! AMQP through TLS, with real handshakes; and the ends of a broker's life that signals bring.

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod handshakes;
mod reload;
mod shutdown;
mod wrong_port;

use std::net::TcpStream;
use std::sync::Arc;

use certificates::{Authority, Files, Signed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use support::*;

/// A broker that also listens for TLS with a certificate of that authority.
fn start(files: &Files, authority: &Authority, setup: Setup) -> Option<Broker> {
    let (certificate, key) = files.write_server(&authority.server("first"));
    let ca = files.write("ca.pem", &authority.certificate);
    setup
        .arg("--listen-tls", "127.0.0.1:0")
        .arg("--tls-cert", certificate)
        .arg("--tls-key", key)
        .arg("--tls-ca", ca)
        .start()
}

/// What a client trusts, and what it shows.
fn trust(authority: &Authority, shows: Option<&Signed>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    Arc::new(match shows {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes()).expect("a key");
            builder
                .with_client_auth_cert(vec![client.der.clone()], key)
                .expect("certificate and key")
        }
    })
}

/// A client that speaks TLS; the handshake comes with the first bytes.
fn connect(broker: &Broker, config: &Arc<ClientConfig>) -> Client {
    let socket = TcpStream::connect(broker.listening("amqps")).expect("the broker listens");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
    Client::tls(socket, session)
}

/// A client that is logged in and has channel 1 open.
fn client(broker: &Broker, config: &Arc<ClientConfig>) -> Client {
    let mut client = Login::default().open_on(connect(broker, config));
    client.open_channel(1);
    client
}

/// The TLS handshake fails, or the broker hangs up over it.
fn assert_turned_away(mut client: Client) {
    client.try_send_bytes(support::frame::HEADER);
    assert_eq!(client.drain_to_end(), b"", "the broker said something");
}

/// Goes there and back.
fn assert_serves(client: &mut Client) {
    let queue = client.queue();
    client.publish("", &queue, "hello");
    client.await_ready(&queue, 1);
    assert_eq!(client.take(&queue).as_deref(), Some("hello"));
}
