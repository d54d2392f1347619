//! New certificates without a restart: SIGHUP.

use rustls::pki_types::CertificateDer;

use crate::certificates::{Authority, Files};
use crate::support::*;
use crate::{assert_serves, client, start, trust};

fn shown(client: &Client) -> CertificateDer<'static> {
    let session = client.tls_session().expect("a TLS client");
    session.peer_certificates().expect("the server's")[0]
        .clone()
        .into_owned()
}

#[test]
fn new_connections_see_the_new_certificate_and_old_ones_live_on() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    let config = trust(&authority, None);
    let mut old = client(&broker, &config);
    let second = authority.server("second");
    assert_ne!(shown(&old), second.der);
    files.write_server(&second);
    broker.signal("HUP");
    broker.wait_for_line("certificates reloaded");
    assert_serves(&mut old);
    let mut new = client(&broker, &trust(&authority, None));
    assert_eq!(shown(&new), second.der);
    assert_serves(&mut new);
}

#[test]
fn bad_files_change_nothing() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    let config = trust(&authority, None);
    let before = shown(&client(&broker, &config));
    files.write("server.pem", "this is no certificate");
    broker.signal("HUP");
    broker.wait_for_line("certificates not reloaded");
    let mut after = client(&broker, &config);
    assert_eq!(shown(&after), before);
    assert_serves(&mut after);
}

#[test]
fn a_key_that_does_not_fit_changes_nothing() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let Some(broker) = start(&files, &authority, Setup::default()) else {
        return;
    };
    files.write("server.key", &authority.server("another").key);
    broker.signal("HUP");
    broker.wait_for_line("certificates not reloaded");
    assert_serves(&mut client(&broker, &trust(&authority, None)));
}

#[test]
fn new_authorities_hold_for_new_clients() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let setup = Setup::default().env("WARREN_TLS_CLIENT_CERTIFICATE", "required");
    let Some(broker) = start(&files, &authority, setup) else {
        return;
    };
    let other = Authority::new("another");
    let config = trust(&authority, Some(&other.client("stranger")));
    crate::assert_turned_away(crate::connect(&broker, &config));
    files.write("ca.pem", &other.certificate);
    broker.signal("HUP");
    broker.wait_for_line("certificates reloaded");
    assert_serves(&mut client(&broker, &config));
}

#[test]
fn without_tls_the_signal_does_no_harm() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    broker.signal("HUP");
    assert_serves(&mut broker.client());
}
