//! Who is let in by which certificates.

use crate::certificates::{Authority, Files};
use crate::support::*;
use crate::{assert_serves, assert_turned_away, client, connect, start, trust};

fn wanting(how: &str) -> Setup {
    Setup::default().env("WARREN_TLS_CLIENT_CERTIFICATE", how)
}

#[test]
fn clients_that_trust_the_authority_are_served() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    let mut client = client(&broker, &trust(&authority, None));
    assert_serves(&mut client);
    client.close();
}

#[test]
fn clients_that_trust_another_authority_go_away() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    let mut client = connect(&broker, &trust(&Authority::new("another"), None));
    assert!(
        !client.try_send_bytes(b"AMQP\0\0\x09\x01"),
        "the server was trusted"
    );
}

#[test]
fn large_messages_go_both_ways() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    let mut client = client(&broker, &trust(&authority, None));
    let queue = client.queue();
    client.consume(&queue, "c");
    for size in [1, 16_383, 16_384, 16_385, 131_064, 1_000_000, 5_000_000] {
        let body: String = ('a'..='z').cycle().take(size).collect();
        client.publish("", &queue, &body);
        assert!(client.delivery().text() == body, "{size} bytes");
    }
}

#[test]
fn heartbeats_go_through() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    let login = Login {
        heartbeat: 1,
        ..Login::default()
    };
    let mut client = login.open_on(connect(&broker, &trust(&authority, None)));
    client.expect_heartbeats(2);
}

#[test]
fn a_required_client_certificate_is_required() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, wanting("required")) else {
        return;
    };
    let stranger = Authority::new("another").client("stranger");
    assert_turned_away(connect(&broker, &trust(&authority, None)));
    assert_turned_away(connect(&broker, &trust(&authority, Some(&stranger))));
    let friend = authority.client("friend");
    assert_serves(&mut client(&broker, &trust(&authority, Some(&friend))));
}

#[test]
fn an_optional_client_certificate_must_be_valid_where_there_is_one() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, wanting("optional")) else {
        return;
    };
    let stranger = Authority::new("another").client("stranger");
    assert_turned_away(connect(&broker, &trust(&authority, Some(&stranger))));
    assert_serves(&mut client(&broker, &trust(&authority, None)));
    let friend = authority.client("friend");
    assert_serves(&mut client(&broker, &trust(&authority, Some(&friend))));
}

#[test]
fn a_server_certificate_does_not_make_a_client() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, wanting("required")) else {
        return;
    };
    let server = authority.server("a server");
    assert_turned_away(connect(&broker, &trust(&authority, Some(&server))));
}

#[test]
fn plain_and_tls_clients_share_the_broker() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    let (mut plain, mut tls) = (broker.client(), client(&broker, &trust(&authority, None)));
    let queue = unique("shared");
    plain.call(method!("queue.declare", queue: &queue));
    plain.consume(&queue, "c");
    tls.publish("", &queue, "from TLS to plain");
    plain.expect_bodies(&["from TLS to plain"]);
    tls.call(method!("queue.delete", queue: &queue));
}

#[test]
fn events_say_how_a_connection_is_kept_secret() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let setup = Setup::default().env("WARREN_EVENTS_EXCHANGE", "true");
    let Some(broker) = start(&files, &authority, setup) else {
        return;
    };
    let mut listener = broker.client();
    let queue = listener.queue();
    listener.bind(&queue, "amq.rabbitmq.event", "user.authentication.success");
    listener.bind(&queue, "amq.rabbitmq.event", "connection.created");
    listener.consume(&queue, "events");
    let client = client(&broker, &trust(&authority, None));
    let session = client.tls_session().expect("a session");
    let suite = session.negotiated_cipher_suite().expect("a suite").suite();
    let suite = suite.as_str().expect("a name").to_lowercase();
    let login = listener.delivery().headers();
    assert_eq!(login.at("ssl"), &Value::Bool(true));
    assert_eq!(login.at("ssl_protocol"), &Value::from("tlsv1.3"));
    let created = listener.delivery().headers();
    assert_eq!(created.at("ssl"), &Value::Bool(true));
    assert_eq!(created.at("ssl_key_exchange"), &Value::from("any"));
    assert_eq!(created.at("ssl_hash"), &Value::from("aead"));
    let Value::Text(cipher) = created.at("ssl_cipher") else {
        panic!("{created:?}");
    };
    let cipher = std::str::from_utf8(cipher).expect("text");
    assert!(suite.starts_with(&format!("tls13_{cipher}_sha")), "{suite}");
    assert_eq!(login.at("ssl_cipher"), created.at("ssl_cipher"));
}
