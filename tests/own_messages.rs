//! What the broker publishes itself, as far as only Warren has settings for it. (What the firehose tells is
//! stated in `conformance/firehose.rs`.)

#[macro_use]
mod support;

use support::broker::eventually;
use support::{Arg, Broker, Client, Message, Setup, Talk, Value};

const TRACE: &str = "amq.rabbitmq.trace";
const LOG: &str = "amq.rabbitmq.log";

fn is_traced(broker: &Broker) -> bool {
    let http = broker.management().expect("a management API");
    http.get("/vhosts/%2F")["tracing"] == true
}

/// Publishes to nowhere, and says what `listener` hears of that.
fn told(broker: &Broker, listener: &mut Client) -> String {
    broker.client().publish("amq.fanout", "key", "body");
    listener.delivery().method.text("routing-key")
}

fn listener(broker: &Broker, exchange: &str) -> Client {
    let mut listener = broker.client();
    let queue = listener.queue();
    listener.bind(&queue, exchange, "#");
    listener.call(method!("basic.consume", queue: &queue, consumer_tag: "own", no_ack: true));
    listener
}

#[test]
fn vhosts_are_traced_from_the_start_if_settings_say_so() {
    let setup = Setup::default().env("WARREN_TRACING_VHOSTS", "/");
    let Some(broker) = setup.start() else { return };
    assert!(is_traced(&broker));
    let mut listener = listener(&broker, TRACE);
    assert_eq!(told(&broker, &mut listener), "publish.amq.fanout");
    let http = broker.management().expect("a management API");
    let off = serde_json::json!({"tracing": false});
    assert_eq!(http.put("/vhosts/%2F", off), 204);
    assert!(!is_traced(&broker));
}

#[test]
fn what_was_switched_on_is_off_after_a_restart_and_bindings_stay() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let http = broker.management().expect("a management API");
    let on = || serde_json::json!({"tracing": true});
    assert_eq!(http.put("/vhosts/%2F", on()), 204);
    let mut client = broker.client();
    client.call(method!("queue.declare", queue: "kept", durable: true));
    client.bind("kept", TRACE, "publish.#");
    client.publish("amq.fanout", "key", "body");
    client.await_ready("kept", 1);
    let Some(broker) = Setup::default().on(broker.stop()).start() else {
        return;
    };
    assert!(!is_traced(&broker));
    let mut client = broker.client();
    client.publish("amq.fanout", "key", "body");
    let http = broker.management().expect("a management API");
    assert_eq!(http.put("/vhosts/%2F", on()), 204);
    client.publish("amq.fanout", "key", "told");
    // Traces are transient: the first went with the broker.
    client.await_ready("kept", 1);
    assert_eq!(client.take("kept").expect("a trace"), "told");
}

/// The same, and gives the line.
fn refused(broker: &Broker, listener: &mut Client, user: &str) -> Message {
    broker.refuse(user);
    loop {
        let line = listener.delivery();
        if line.text().contains(user) {
            return line;
        }
    }
}

#[test]
fn lines_of_the_log_are_messages_if_settings_say_so() {
    let setup = Setup::default().env("WARREN_LOG_EXCHANGE", "true");
    let Some(broker) = setup.start() else { return };
    let mut listener = listener(&broker, LOG);
    let line = refused(&broker, &mut listener, "nobody-knows");
    assert_eq!(line.method.text("routing-key"), "error");
    let text = |text: &str| Some(Arg::Text(text.into()));
    assert_eq!(
        line.properties.get("content-type").cloned(),
        text("text/plain")
    );
    assert!(line.properties.get("timestamp").is_some());
    assert_eq!(line.properties.get("delivery-mode"), None);
    let headers = line.headers();
    assert_eq!(headers.keys(), ["node"]);
    assert!(matches!(headers.at("node"), Value::Text(node) if node.starts_with(b"warren@")));
    // But for the time, which each line has of its own.
    let line = line.text();
    let logged = broker.wait_for_line("nobody-knows") + "\n";
    let rest = |line: &str| line.split_once('Z').map(|(_, rest)| rest.to_string());
    assert_eq!(rest(&line), rest(&logged));
}

#[test]
fn what_is_logged_for_a_line_of_the_log_is_no_line_of_it() {
    let setup = Setup::default()
        .env("WARREN_LOG_EXCHANGE", "true")
        .env("WARREN_LOG_LEVEL", "trace")
        .env("WARREN_LOG_EXCHANGE_LEVEL", "trace");
    let Some(broker) = setup.start() else { return };
    let mut listener = listener(&broker, LOG);
    // Each would bring others without end.
    refused(&broker, &mut listener, "first");
    broker.refuse("second");
    let mut between = 0;
    while !listener.delivery().text().contains("second") {
        between += 1;
    }
    assert!(between < 100, "{between} lines");
}

#[test]
fn the_logs_exchange_is_there_while_settings_say_so() {
    let Some(broker) = Setup::default().start() else {
        return;
    };
    let passive = || method!("exchange.declare", exchange: LOG, type: "topic", passive: true);
    let none = format!("NOT_FOUND - no exchange '{LOG}' in vhost '/'");
    broker.client().refused(passive(), 404, &none);
    let with = || Setup::default().env("WARREN_LOG_EXCHANGE", "true");
    let broker = with().on(broker.stop()).start().expect("a Warren");
    let mut client = broker.client();
    client.call(method!("queue.declare", queue: "lines", durable: true));
    client.bind("lines", LOG, "info");
    // Durable, and so is what is bound to it: the start is logged.
    let broker = with().on(broker.stop()).start().expect("a Warren");
    let mut client = broker.client();
    client.call(passive());
    eventually("lines", || client.counts("lines").0 > 0);
    let broker = Setup::default()
        .on(broker.stop())
        .start()
        .expect("a Warren");
    broker.client().refused(passive(), 404, &none);
    let broker = with().on(broker.stop()).start().expect("a Warren");
    let mut client = broker.client();
    client.call(passive());
    // What was bound to it had gone with it.
    let mut other = listener(&broker, LOG);
    refused(&broker, &mut other, "nobody-knows");
    assert_eq!(client.counts("lines"), (0, 0));
}
