//! What happens in the broker, as messages on `amq.rabbitmq.event`. Run against RabbitMQ it needs a node on
//! which the plugin rabbitmq_event_exchange is enabled.

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod consumers;
mod settings;

use serde_json::json;
use support::broker::eventually;
use support::{Arg, Broker, Client, Login, Setup, Table, Talk, Value, unique};

const EVENTS: &str = "amq.rabbitmq.event";

/// Our own broker with events; None where another one is under test.
fn own() -> Option<Broker> {
    Setup::default()
        .env("WARREN_EVENTS_EXCHANGE", "true")
        .start()
}

fn site(own: &Option<Broker>) -> &Broker {
    own.as_ref().unwrap_or_else(|| Broker::shared())
}

fn listener(broker: &Broker) -> Client {
    let mut listener = broker.client();
    let queue = listener.queue();
    listener.bind(&queue, EVENTS, "#");
    listener.call(method!("basic.consume", queue: &queue, consumer_tag: "events", no_ack: true));
    listener
}

/// The next event of that kind that says these things, in this order; and all that it says.
#[track_caller]
fn expect(listener: &mut Client, key: &str, says: &Table) -> Table {
    loop {
        let event = listener.delivery();
        assert_eq!(event.method.text("exchange"), EVENTS);
        if event.method.text("routing-key") != key {
            continue;
        }
        let headers = event.headers();
        let said: Vec<_> = headers
            .0
            .iter()
            .filter(|(name, _)| says.get(name).is_some())
            .cloned()
            .collect();
        if said != says.0 {
            continue;
        }
        assert_eq!(event.body, b"");
        assert_eq!(event.properties.get("delivery-mode"), Some(&Arg::Number(2)));
        let Some(Arg::Number(seconds)) = event.properties.get("timestamp") else {
            panic!("{event:?}");
        };
        let Value::I64(ms) = headers.at("timestamp_in_ms") else {
            panic!("{event:?}");
        };
        assert_eq!(*ms as u64 / 1000, *seconds);
        assert_eq!(headers.keys().last(), Some(&"timestamp_in_ms"));
        return headers;
    }
}

/// The next event of that kind says all this and no more, in this order; of a name or vhost that is not
/// said, others may come before.
#[track_caller]
fn expect_all(listener: &mut Client, key: &str, says: Table) {
    let said = expect(listener, key, &says);
    let mut keys = says.keys();
    keys.push("timestamp_in_ms");
    assert_eq!(said.keys(), keys);
}

fn terms(terms: &[&str]) -> Value {
    Value::Array(terms.iter().map(|term| Value::from(*term)).collect())
}

#[test]
fn queues_exchanges_and_bindings_are_made_and_deleted() {
    let own = own();
    let broker = site(&own);
    let mut listener = listener(broker);
    let mut client = broker.client();
    let (queue, exchange) = (unique("queue"), unique("exchange"));
    let arguments = table! { "x-max-length" => 5, "x-dead-letter-exchange" => "d" };
    client.call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
    let made = table! {
        "user_who_performed_action" => "guest", "exclusive" => false, "owner_pid" => "",
        "arguments" => terms(&["{<<\"x-max-length\">>,signedint,5}", "{<<\"x-dead-letter-exchange\">>,longstr,<<\"d\">>}"]),
        "auto_delete" => false, "durable" => true, "name" => &queue, "vhost" => "/",
    };
    expect(&mut listener, "queue.created", &made);
    client.call(method!("exchange.declare", exchange: &exchange, type: "topic", durable: true));
    let made = table! {
        "user_who_performed_action" => "guest", "policy" => "", "arguments" => terms(&[]),
        "internal" => false, "auto_delete" => false, "durable" => true, "type" => "topic",
        "name" => &exchange, "vhost" => "/",
    };
    expect(&mut listener, "exchange.created", &made);
    let bound = |by: &str, arguments: &[&str], key: &str, kind: &str, to: &str| {
        table! {
            "user_who_performed_action" => by, "vhost" => "/", "arguments" => terms(arguments),
            "routing_key" => key, "destination_kind" => kind, "destination_name" => to,
            "source_kind" => "exchange", "source_name" => &exchange,
        }
    };
    let arguments = table! { "a" => 1 };
    client.call(method!("queue.bind", queue: &queue, exchange: &exchange, routing_key: "k.#", arguments: arguments.clone()));
    let with = bound(
        "guest",
        &["{<<\"a\">>,signedint,1}"],
        "k.#",
        "queue",
        &queue,
    );
    expect(&mut listener, "binding.created", &with);
    client.call(method!("queue.unbind", queue: &queue, exchange: &exchange, routing_key: "k.#", arguments: arguments));
    expect(&mut listener, "binding.deleted", &with);
    client.bind(&queue, &exchange, "key");
    expect(
        &mut listener,
        "binding.created",
        &bound("guest", &[], "key", "queue", &queue),
    );
    client.call(
        method!("exchange.bind", source: &exchange, destination: "amq.fanout", routing_key: "f"),
    );
    let to_fanout = bound("guest", &[], "f", "exchange", "amq.fanout");
    expect(&mut listener, "binding.created", &to_fanout);

    let gone = |name: &str| table! { "user_who_performed_action" => "guest", "name" => name, "vhost" => "/" };
    client.call(method!("queue.delete", queue: &queue));
    expect(
        &mut listener,
        "binding.deleted",
        &bound("rmq-internal", &[], "key", "queue", &queue),
    );
    expect(&mut listener, "queue.deleted", &gone(&queue));
    client.call(method!("exchange.delete", exchange: &exchange));
    expect(&mut listener, "exchange.deleted", &gone(&exchange));
    expect(&mut listener, "binding.deleted", &to_fanout);
}

#[test]
fn queues_of_other_types_say_so() {
    let own = own();
    let broker = site(&own);
    let mut listener = listener(broker);
    let mut client = broker.client();
    for kind in ["quorum", "stream"] {
        let queue = unique(kind);
        let arguments = table! { "x-queue-type" => kind };
        client.call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
        let argument = format!("{{<<\"x-queue-type\">>,longstr,<<\"{kind}\">>}}");
        let module = format!("rabbit_{kind}_queue");
        let mut made = table! { "user_who_performed_action" => "guest" };
        let of_type = match kind {
            "quorum" => table! {
                "arguments" => terms(&[&argument]), "type" => module, "exclusive" => false,
            },
            _ => table! { "type" => module, "arguments" => terms(&[&argument]) },
        };
        made.0.extend(of_type.0);
        let of_all = table! {
            "auto_delete" => false, "durable" => true, "name" => &queue, "vhost" => "/",
        };
        made.0.extend(of_all.0);
        expect(&mut listener, "queue.created", &made);
        client.call(method!("queue.delete", queue: &queue));
        expect(
            &mut listener,
            "queue.deleted",
            &table! { "name" => &queue, "vhost" => "/" },
        );
    }
}

#[test]
fn connections_and_channels_come_and_go() {
    let own = own();
    let broker = site(&own);
    let mut listener = listener(broker);
    let mut client = broker.client();
    let socket = client.socket();
    let (own_end, peer) = (
        socket.local_addr().expect("ours"),
        socket.peer_addr().expect("theirs"),
    );
    let name = format!("{own_end} -> {peer}");
    let login = table! {
        "ssl" => false, "auth_mechanism" => "PLAIN", "protocol" => "{0,9,1}", "peer_port" => i64::from(own_end.port()),
        "peer_host" => "{127,0,0,1}", "connection_name" => &name, "host" => "{127,0,0,1}",
        "name" => "guest", "connection_type" => "network",
    };
    expect(&mut listener, "user.authentication.success", &login);
    let opened = table! {
        "user_who_performed_action" => "guest", "channel_max" => 2047_i64, "frame_max" => 131_072_i64,
        "timeout" => 0_i64, "vhost" => "/", "user" => "guest", "protocol" => "{0,9,1}",
        "ssl_hash" => "", "ssl_cipher" => "", "ssl_key_exchange" => "", "ssl_protocol" => "",
        "auth_mechanism" => "PLAIN", "peer_cert_validity" => "", "peer_cert_issuer" => "",
        "peer_cert_subject" => "", "ssl" => false, "peer_host" => "{127,0,0,1}", "host" => "{127,0,0,1}", "peer_port" => i64::from(own_end.port()),
        "port" => i64::from(peer.port()), "name" => &name, "type" => "network",
    };
    let created = expect(&mut listener, "connection.created", &opened);
    let properties = created.at("client_properties").clone();
    assert!(!properties.array().is_empty());
    assert!(matches!(created.at("connected_at"), Value::I64(ms) if *ms > 0));
    // It did not name itself.
    assert_eq!(created.get("user_provided_name"), None);
    let connection = created.at("pid").clone();
    let channel = |number: i64| {
        table! {
            "user_who_performed_action" => "guest", "vhost" => "/", "user" => "guest", "number" => number,
            "connection" => connection.clone(), "name" => format!("{name} ({number})"),
        }
    };
    let first = expect(&mut listener, "channel.created", &channel(1))
        .at("pid")
        .clone();
    client.open_channel(7);
    let second = expect(&mut listener, "channel.created", &channel(7))
        .at("pid")
        .clone();
    // Whose exclusive queue it is, is known by that as well.
    let queue = client.queue();
    let made = table! { "exclusive" => true, "owner_pid" => connection.clone(), "name" => &queue };
    expect(&mut listener, "queue.created", &made);
    client.on(7).call(method!("channel.close"));
    let closed = |pid: Value| table! { "user_who_performed_action" => "guest", "pid" => pid };
    expect(&mut listener, "channel.closed", &closed(second));
    client.close();
    expect(&mut listener, "channel.closed", &closed(first));
    let gone = table! { "client_properties" => properties, "pid" => connection, "name" => &name };
    expect(&mut listener, "connection.closed", &gone);
}

#[test]
fn a_login_that_is_refused_is_told_with_its_reason() {
    let own = own();
    let broker = site(&own);
    let mut listener = listener(broker);
    let user = unique("nobody");
    let login = Login {
        user: user.clone(),
        ..Login::default()
    };
    let mut stranger = broker.stranger();
    stranger.send_bytes(b"AMQP\0\0\x09\x01");
    stranger.on(0).expect_name("connection.start");
    stranger.on(0).send(login.start_ok());
    let why = format!("user '{user}' - invalid credentials");
    let letters = why.bytes().map(|letter| Value::I64(letter.into()));
    let refused = table! {
        "error" => Value::Array(letters.collect()), "auth_mechanism" => "PLAIN", "name" => &user,
    };
    expect(&mut listener, "user.authentication.failure", &refused);
}

#[test]
fn what_goes_by_itself_is_nobodys_doing() {
    let own = own();
    let broker = site(&own);
    let mut listener = listener(broker);
    let mut client = broker.client();
    let queue = unique("expiring");
    let arguments = table! { "x-expires" => 1 };
    client.call(method!("queue.declare", queue: &queue, arguments: arguments));
    let gone =
        table! { "user_who_performed_action" => "rmq-internal", "name" => &queue, "vhost" => "/" };
    expect(&mut listener, "queue.deleted", &gone);
}

#[test]
fn events_outlive_the_broker_in_a_durable_queue() {
    let Some(broker) = own() else { return };
    let mut client = broker.client();
    client.call(method!("queue.declare", queue: "kept", durable: true));
    client.bind("kept", EVENTS, "queue.*");
    client.call(method!("queue.declare", queue: "other", durable: true));
    client.await_ready("kept", 1);
    client.close();
    let setup = Setup::default().env("WARREN_EVENTS_EXCHANGE", "true");
    let broker = setup.on(broker.stop()).start().expect("a Warren");
    let mut client = broker.client();
    let event = client.get("kept", true).expect("an event");
    assert_eq!(event.headers().at("name"), &Value::from("other"));
    // What is restored is not made anew.
    assert_eq!(client.counts("kept").0, 0);
    let http = broker.management().expect("a management API");
    assert_eq!(http.put("/vhosts/%2F", json!({"tracing": true})), 204);
    client.call(method!("queue.delete", queue: "other"));
    eventually("an event", || client.counts("kept").0 == 1);
    let event = client.get("kept", true).expect("an event");
    assert_eq!(event.method.text("routing-key"), "queue.deleted");
}
