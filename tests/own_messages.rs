//! What the broker publishes itself, as far as only Warren has settings for it. (What the firehose tells is
//! stated in `conformance/firehose.rs`.)

#[macro_use]
mod support;

use support::{Broker, Client, Setup, Talk};

const TRACE: &str = "amq.rabbitmq.trace";

fn is_traced(broker: &Broker) -> bool {
    let http = broker.management().expect("a management API");
    http.get("/vhosts/%2F")["tracing"] == true
}

/// Publishes to nowhere, and says what `listener` hears of that.
fn told(broker: &Broker, listener: &mut Client) -> String {
    broker.client().publish("amq.fanout", "key", "body");
    listener.delivery().method.text("routing-key")
}

fn listener(broker: &Broker) -> Client {
    let mut listener = broker.client();
    let queue = listener.queue();
    listener.bind(&queue, TRACE, "#");
    listener.call(method!("basic.consume", queue: &queue, consumer_tag: "trace", no_ack: true));
    listener
}

#[test]
fn vhosts_are_traced_from_the_start_if_settings_say_so() {
    let setup = Setup::default().env("WARREN_TRACING_VHOSTS", "/");
    let Some(broker) = setup.start() else { return };
    assert!(is_traced(&broker));
    let mut listener = listener(&broker);
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
