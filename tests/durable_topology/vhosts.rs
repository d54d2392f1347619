//! Vhosts: those that configuration names are made, and none that is there goes.

use super::*;

fn with_vhosts(vhosts: &str, data: Option<TempDir>) -> Option<Broker> {
    let setup = Setup {
        data,
        ..Setup::default()
    };
    setup.env("WARREN_VHOSTS", vhosts).start()
}

/// What a client of that vhost is told: nothing if it may come in.
fn refusal(broker: &Broker, vhost: &str) -> Option<String> {
    let login = support::Login {
        vhost: vhost.to_string(),
        ..support::Login::default()
    };
    let mut client = broker.stranger();
    login.tuned(&mut client);
    client
        .on(0)
        .send(method!("connection.open", virtual_host: vhost));
    let answer = client.on(0).receive();
    (answer.name == "connection.close").then(|| answer.text("reply-text"))
}

#[test]
fn a_vhost_that_configuration_no_longer_names_stays() {
    let Some(broker) = with_vhosts("a, b", None) else {
        return;
    };
    let none = |vhost| Some(format!("NOT_ALLOWED - vhost {vhost} not found"));
    let not_allowed = |vhost| {
        let text = format!("NOT_ALLOWED - access to vhost '{vhost}' refused for user 'guest'");
        Some(text)
    };
    assert_eq!(refusal(&broker, "/"), none("/"), "nobody asked for it");
    assert_eq!(refusal(&broker, "b"), not_allowed("b"));
    // What is submitted is stored in the end, and a shutdown waits for it.
    let broker = with_vhosts("/, c", Some(broker.stop())).expect("as before");
    for vhost in ["a", "b", "c"] {
        assert_eq!(refusal(&broker, vhost), not_allowed(vhost));
    }
    assert_eq!(refusal(&broker, "/"), None);
    assert_eq!(refusal(&broker, "d"), none("d"));
    let mut client = broker.client();
    client.call(durable_queue("q", no_arguments()));
    let broker = with_vhosts("c", Some(broker.kill())).expect("as before");
    is_there(&mut broker.client(), "queue", "q");
}
