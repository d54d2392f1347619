//! Who may enter which vhost and do what there.
//!
//! Another broker under test must have the same users and vhosts; without them this is skipped.

use std::io::Write;
use std::sync::LazyLock;

use crate::support::*;

/// As `limited` may do with names that begin with `mine-`, and with amq.topic; `outsider` may
/// nothing, `actor` may speak for others.
const CONFIGURATION: &str = r#"
vhosts = ["/", "other"]

[[users]]
name = "guest"
password = "guest"
tags = ["administrator"]
permissions = [
    { vhost = "/", configure = ".*", write = ".*", read = ".*" },
    { vhost = "other", configure = ".*", write = ".*", read = ".*" },
]

[[users]]
name = "limited"
password = "secret"
permissions = [
    { vhost = "/", configure = "^mine-", write = "^(mine-.*|amq\\.topic)$", read = "^(mine-.*|amq\\.topic)$" },
]

[[users]]
name = "outsider"
password = "secret"

[[users]]
name = "actor"
password = "secret"
tags = ["impersonator"]
permissions = [{ vhost = "/", configure = ".*", write = ".*", read = ".*" }]
"#;

struct Guarded {
    broker: Broker,
    _configuration: tempfile::NamedTempFile,
}

/// A Warren with those users, shared by the tests of this file; or the other broker, if it has them.
fn broker() -> Option<&'static Broker> {
    static GUARDED: LazyLock<Guarded> = LazyLock::new(|| {
        let mut configuration = tempfile::NamedTempFile::new().expect("a temporary file");
        configuration
            .write_all(CONFIGURATION.as_bytes())
            .expect("written");
        let setup = Setup::default().arg("--config", configuration.path());
        let broker = setup.start().expect("a broker of our own");
        Guarded {
            broker,
            _configuration: configuration,
        }
    });
    if Broker::shared().is_warren() {
        return Some(&GUARDED.broker);
    }
    let mut client = Broker::shared().stranger();
    client.send_bytes(crate::support::frame::HEADER);
    client.on(0).expect_name("connection.start");
    client.on(0).send(login("limited").start_ok());
    if client.on(0).receive().name == "connection.tune" {
        return Some(Broker::shared());
    }
    skip("the other broker does not know the user `limited`");
    None
}

fn login(user: &str) -> Login {
    Login {
        user: user.into(),
        password: "secret".into(),
        ..Login::default()
    }
}

fn limited(broker: &Broker) -> Client {
    let mut client = login("limited").open(broker.address());
    client.open_channel(1);
    client
}

fn refused(kind: &str, name: &str) -> String {
    format!("ACCESS_REFUSED - access to {kind} '{name}' in vhost '/' refused for user 'limited'")
}

#[test]
fn a_vhost_without_permissions_may_not_be_entered() {
    let Some(broker) = broker() else { return };
    for (user, vhost) in [("outsider", "/"), ("limited", "other")] {
        let mut client = broker.stranger();
        login(user).tuned(&mut client);
        client
            .on(0)
            .send(method!("connection.open", virtual_host: vhost));
        let text = format!("NOT_ALLOWED - access to vhost '{vhost}' refused for user '{user}'");
        client.expect_connection_close(530, &text, "connection.open");
    }
}

#[test]
fn vhosts_are_worlds_of_their_own() {
    let Some(broker) = broker() else { return };
    let guest = Login {
        vhost: "other".into(),
        ..Login::default()
    };
    let (mut here, mut there) = (broker.client(), guest.open(broker.address()));
    there.open_channel(1);
    let queue = unique("queue");
    for client in [&mut here, &mut there] {
        client.call(method!("queue.declare", queue: &queue, exclusive: true));
        client.bind(&queue, "amq.fanout", "");
    }
    there.publish("amq.fanout", "", "there");
    there.await_ready(&queue, 1);
    assert_eq!(here.counts(&queue).0, 0);
    let text = "NOT_FOUND - no queue 'nothing' in vhost 'other'";
    there.refused(
        method!("queue.declare", queue: "nothing", passive: true),
        404,
        text,
    );
}

#[test]
fn configure_is_needed_to_declare_and_delete() {
    let Some(broker) = broker() else { return };
    let (mut client, mut guest) = (limited(broker), broker.client());
    let (mine, theirs) = (unique("mine"), unique("theirs"));
    client.call(method!("queue.declare", queue: &mine, exclusive: true));
    client.call(method!("exchange.declare", exchange: &mine, type: "fanout"));
    client.call(method!("exchange.delete", exchange: &mine));
    client.call(method!("queue.delete", queue: &mine));
    guest.call(method!("queue.declare", queue: &theirs));
    guest.call(method!("exchange.declare", exchange: &theirs, type: "fanout"));
    for (method, kind) in [
        (method!("queue.declare", queue: &theirs), "queue"),
        (method!("queue.delete", queue: &theirs), "queue"),
        (
            method!("exchange.declare", exchange: &theirs, type: "fanout"),
            "exchange",
        ),
        (method!("exchange.delete", exchange: &theirs), "exchange"),
    ] {
        client.refused(method, 403, &refused(kind, &theirs));
    }
    // Looking is free.
    client.call(method!("queue.declare", queue: &theirs, passive: true));
    client.call(method!("exchange.declare", exchange: &theirs, passive: true));
    guest.call(method!("queue.delete", queue: &theirs));
    guest.call(method!("exchange.delete", exchange: &theirs));
}

#[test]
fn server_named_queues_need_configure_as_well() {
    let Some(broker) = broker() else { return };
    let mut client = limited(broker);
    client.send(method!("queue.declare"));
    let text = client.expect_name("channel.close").text("reply-text");
    assert!(
        text.starts_with("ACCESS_REFUSED - access to queue 'amq.gen-"),
        "{text}"
    );
}

#[test]
fn read_is_needed_to_get_consume_and_purge() {
    let Some(broker) = broker() else { return };
    let (mut client, mut guest) = (limited(broker), broker.client());
    let theirs = unique("theirs");
    guest.call(method!("queue.declare", queue: &theirs));
    for method in [
        method!("basic.get", queue: &theirs),
        method!("basic.consume", queue: &theirs),
        method!("queue.purge", queue: &theirs),
    ] {
        client.refused(method, 403, &refused("queue", &theirs));
    }
    guest.call(method!("queue.delete", queue: &theirs));
}

#[test]
fn write_is_needed_to_publish() {
    let Some(broker) = broker() else { return };
    let mut client = limited(broker);
    let mine = unique("mine");
    client.call(method!("queue.declare", queue: &mine, exclusive: true));
    client.bind(&mine, "amq.topic", "#");
    client.publish("amq.topic", "k", "allowed");
    client.await_ready(&mine, 1);
    for (exchange, name) in [("amq.fanout", "amq.fanout"), ("", "amq.default")] {
        client.publish(exchange, "k", "x");
        client.expect_close(403, &refused("exchange", name), "basic.publish");
        client.open_channel(1);
    }
}

#[test]
fn binding_needs_write_on_the_queue_and_read_on_the_exchange() {
    let Some(broker) = broker() else { return };
    let (mut client, mut guest) = (limited(broker), broker.client());
    let (mine, theirs) = (unique("mine"), unique("theirs"));
    client.call(method!("queue.declare", queue: &mine, exclusive: true));
    guest.call(method!("queue.declare", queue: &theirs));
    for (method, kind, name) in [
        (
            method!("queue.bind", queue: &mine, exchange: "amq.fanout"),
            "exchange",
            "amq.fanout",
        ),
        (
            method!("queue.bind", queue: &theirs, exchange: "amq.topic"),
            "queue",
            &theirs,
        ),
        (
            method!("queue.unbind", queue: &mine, exchange: "amq.fanout"),
            "exchange",
            "amq.fanout",
        ),
        (
            method!("exchange.bind", destination: "amq.topic", source: "amq.fanout"),
            "exchange",
            "amq.fanout",
        ),
        (
            method!("exchange.bind", destination: "amq.fanout", source: "amq.topic"),
            "exchange",
            "amq.fanout",
        ),
    ] {
        client.refused(method, 403, &refused(kind, name));
    }
    guest.call(method!("queue.delete", queue: &theirs));
}

#[test]
fn dead_lettering_and_alternates_need_permissions_on_the_exchange() {
    let Some(broker) = broker() else { return };
    let mut client = limited(broker);
    let (queue, exchange) = (unique("mine"), unique("mine"));
    let arguments = table! { "x-dead-letter-exchange" => "amq.fanout" };
    client.refused(
        method!("queue.declare", queue: &queue, arguments: arguments),
        403,
        &refused("exchange", "amq.fanout"),
    );
    let arguments = table! { "alternate-exchange" => "amq.fanout" };
    client.refused(
        method!("exchange.declare", exchange: &exchange, type: "fanout", arguments: arguments),
        403,
        &refused("exchange", "amq.fanout"),
    );
}

#[test]
fn permission_comes_before_existence() {
    let Some(broker) = broker() else { return };
    let mut client = limited(broker);
    let nothing = unique("theirs");
    client.refused(
        method!("basic.get", queue: &nothing),
        403,
        &refused("queue", &nothing),
    );
    client.publish(&nothing, "k", "x");
    client.expect_close(403, &refused("exchange", &nothing), "basic.publish");
}

#[test]
fn an_impersonator_may_name_anybody() {
    let Some(broker) = broker() else { return };
    let mut client = login("actor").open(broker.address());
    client.open_channel(1);
    let queue = client.queue();
    client.publish_with("", &queue, &properties!(user_id: "somebody"), "x");
    client.await_ready(&queue, 1);
}
