//! The firehose: what is published and delivered in a traced vhost, as messages on
//! `amq.rabbitmq.trace`.

use serde_json::json;

use crate::support::*;

const TRACE: &str = "amq.rabbitmq.trace";

/// A vhost of its own, gone with this.
struct Vhost {
    http: Http,
    name: String,
}

impl Vhost {
    fn new() -> Option<Self> {
        let http = Broker::shared().management()?;
        let name = unique("vhost");
        let vhost = Vhost { http, name };
        vhost.put(json!({}));
        let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
        let path = format!("/permissions/{}/guest", vhost.name);
        assert!(vhost.http.put(&path, everything) < 300);
        Some(vhost)
    }

    #[track_caller]
    fn put(&self, document: serde_json::Value) {
        assert!(self.http.put(&format!("/vhosts/{}", self.name), document) < 300);
    }

    fn client(&self) -> Client {
        let login = Login {
            vhost: self.name.clone(),
            ..Login::default()
        };
        let mut client = login.open(Broker::shared().address());
        client.open_channel(1);
        client
    }

    /// Traced from now on, to somebody who is shown all there is.
    fn traced(&self) -> Client {
        let mut listener = self.client();
        let queue = listener.queue();
        listener.call(method!("queue.bind", queue: &queue, exchange: TRACE, routing_key: "#"));
        listener.call(method!("basic.consume", queue: &queue, consumer_tag: "trace", no_ack: true));
        self.put(json!({"tracing": true}));
        listener
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        self.http.delete(&format!("/vhosts/{}", self.name));
    }
}

/// The next trace: its key, headers and body. Nothing else is said of it.
#[track_caller]
fn next(listener: &mut Client) -> (String, Table, String) {
    let trace = listener.delivery();
    assert_eq!(trace.method.text("exchange"), TRACE);
    let headers = trace.headers();
    assert_eq!(trace.properties, properties!(headers: headers.clone()));
    let text = trace.text();
    (trace.method.text("routing-key"), headers, text)
}

#[track_caller]
fn next_keys(listener: &mut Client, count: usize) -> Vec<String> {
    let mut keys: Vec<_> = (0..count).map(|_| next(listener).0).collect();
    keys.sort();
    keys
}

/// Whatever else was to be told of has been: the next is this.
#[track_caller]
fn expect_no_more(vhost: &Vhost, listener: &mut Client) {
    vhost.put(json!({"tracing": true}));
    vhost.client().publish("amq.headers", "", "fence");
    let (key, _, body) = next(listener);
    assert_eq!(
        (key.as_str(), body.as_str()),
        ("publish.amq.headers", "fence")
    );
}

/// The queue's one message, got without acknowledgement.
#[track_caller]
fn fetch(client: &mut Client, queue: &str) -> Message {
    client.await_ready(queue, 1);
    client.get(queue, true).expect("a message")
}

fn texts(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|text| Value::from(*text)).collect())
}

fn connection_name(client: &Client) -> String {
    let socket = client.socket();
    let (own, peer) = (socket.local_addr(), socket.peer_addr());
    format!(
        "{} -> {}",
        own.expect("an address"),
        peer.expect("an address")
    )
}

#[test]
fn a_publish_and_its_delivery_are_told_with_all_there_is_to_know() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    client.open_channel(7);
    let queue = client.queue();
    client.call(method!("queue.bind", queue: &queue, exchange: "amq.direct", routing_key: "key"));
    let mut listener = vhost.traced();
    let own = table! { "one" => 1, "text" => "two" };
    let all = properties!(
        content_type: "text/plain", content_encoding: "none", headers: own.clone(),
        delivery_mode: 2, priority: 3, correlation_id: "correlation", reply_to: "reply",
        expiration: "60000", message_id: "message", timestamp: 5_000_000_000_u64,
        type: "kind", user_id: "guest", app_id: "app", cluster_id: "cluster"
    );
    client.on(7).publish_with("amq.direct", "key", &all, "body");
    let message = fetch(&mut client, &queue);
    assert_eq!(message.text(), "body");

    let told = table! {
        "cluster_id" => "cluster", "app_id" => "app", "user_id" => "guest", "type" => "kind",
        "timestamp" => 5_000_000_000_u64 as i32, "message_id" => "message",
        "expiration" => "60000", "reply_to" => "reply", "correlation_id" => "correlation",
        "priority" => 3, "delivery_mode" => 2, "headers" => Value::Table(own),
        "content_encoding" => "none", "content_type" => "text/plain",
    };
    let (key, headers, body) = next(&mut listener);
    assert_eq!(
        (key.as_str(), body.as_str()),
        ("publish.amq.direct", "body")
    );
    let node = headers.at("node").clone();
    let published = table! {
        "exchange_name" => "amq.direct", "routing_keys" => texts(&["key"]),
        "properties" => Value::Table(told.clone()), "node" => node.clone(),
        "vhost" => vhost.name.as_str(), "connection" => connection_name(&client).as_str(),
        "channel" => 7, "user" => "guest", "routed_queues" => texts(&[&queue]),
    };
    assert_eq!(headers, published);

    let (key, headers, body) = next(&mut listener);
    assert_eq!((key, body.as_str()), (format!("deliver.{queue}"), "body"));
    let delivered = table! {
        "exchange_name" => "amq.direct", "routing_keys" => texts(&["key"]),
        "properties" => Value::Table(told), "node" => node, "redelivered" => 0,
        "vhost" => vhost.name.as_str(), "connection" => connection_name(&client).as_str(),
        "channel" => 1, "user" => "guest",
    };
    assert_eq!(headers, delivered);
}

#[test]
fn many_alike_are_told_one_by_one_in_their_order() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    let queue = client.queue();
    // A route that is known already.
    client.publish("", &queue, "before");
    client.await_ready(&queue, 1);
    let mut listener = vhost.traced();
    let bodies: Vec<_> = (0..50)
        .map(|number| format!("number {number:02}"))
        .collect();
    for body in &bodies {
        client.publish("", &queue, body);
    }
    for body in &bodies {
        let (key, headers, text) = next(&mut listener);
        assert_eq!((key.as_str(), &text), ("publish.", body));
        assert_eq!(headers.at("routed_queues"), &texts(&[&queue]));
        assert_eq!(headers.at("properties"), &Value::Table(table! {}));
    }
    client.call(method!("basic.consume", queue: &queue, consumer_tag: "tag", no_ack: true));
    let all = std::iter::once("before").chain(bodies.iter().map(String::as_str));
    for body in all {
        assert_eq!(client.delivery().text(), body);
        let (key, headers, text) = next(&mut listener);
        assert_eq!((key, text.as_str()), (format!("deliver.{queue}"), body));
        assert_eq!(headers.at("redelivered"), &Value::I32(0));
    }
    vhost.put(json!({"tracing": false}));
    client.publish("", &queue, "after");
    assert_eq!(client.delivery().text(), "after");
    expect_no_more(&vhost, &mut listener);
}

#[test]
fn what_comes_back_is_told_as_redelivered() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    let queue = client.queue();
    let mut listener = vhost.traced();
    client.publish("", &queue, "body");
    client.call(method!("basic.consume", queue: &queue, consumer_tag: "tag"));
    let tag = client.delivery().tag();
    client.send(method!("basic.nack", delivery_tag: tag, requeue: true));
    assert!(client.delivery().redelivered());
    assert_eq!(next(&mut listener).0, "publish.");
    for redelivered in [0, 1] {
        let (key, headers, _) = next(&mut listener);
        assert_eq!(key, format!("deliver.{queue}"));
        assert_eq!(headers.at("redelivered"), &Value::I32(redelivered));
    }
}

#[test]
fn what_goes_nowhere_is_told_with_the_queues_that_its_keys_name() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    let mut listener = vhost.traced();
    client.publish("amq.fanout", "key", "nowhere");
    let (key, headers, _) = next(&mut listener);
    assert_eq!(key, "publish.amq.fanout");
    assert_eq!(headers.at("routed_queues"), &texts(&[]));
    // The default exchange does not look whether they are there.
    let copies = table! { "CC" => texts(&["c", "a"]), "BCC" => texts(&["b", "a"]) };
    client.publish_with("", "z", &properties!(headers: copies), "nowhere");
    let (key, headers, _) = next(&mut listener);
    assert_eq!(key, "publish.");
    assert_eq!(headers.at("routed_queues"), &texts(&["a", "b", "c", "z"]));
    assert_eq!(
        headers.at("routing_keys"),
        &texts(&["z", "c", "a", "b", "a"])
    );
    let seen = Value::Table(table! { "CC" => texts(&["c", "a"]) });
    assert_eq!(
        headers.at("properties"),
        &Value::Table(table! { "headers" => seen })
    );
}

#[test]
fn blind_copies_are_told_of_a_delivery_as_well() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    let (queue, other) = (client.queue(), client.queue());
    let mut listener = vhost.traced();
    let copies = table! { "BCC" => texts(&[&other]) };
    client.publish_with("", &queue, &properties!(headers: copies), "body");
    fetch(&mut client, &other);
    let (_, headers, _) = next(&mut listener);
    let mut both = [queue.as_str(), other.as_str()];
    assert_eq!(headers.at("routing_keys"), &texts(&both));
    both.sort_unstable();
    assert_eq!(headers.at("routed_queues"), &texts(&both));
    let (key, headers, _) = next(&mut listener);
    assert_eq!(key, format!("deliver.{other}"));
    assert_eq!(headers.at("routing_keys"), &texts(&[&queue, &other]));
    let none = Value::Table(table! {});
    assert_eq!(
        headers.at("properties"),
        &Value::Table(table! { "headers" => none })
    );
}

#[test]
fn a_transaction_is_told_before_its_commit() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    let queue = client.queue();
    let mut listener = vhost.traced();
    client.call(method!("tx.select"));
    client.publish("", &queue, "dropped");
    client.call(method!("tx.rollback"));
    let (key, headers, body) = next(&mut listener);
    assert_eq!((key.as_str(), body.as_str()), ("publish.", "dropped"));
    assert_eq!(headers.at("routed_queues"), &texts(&[&queue]));
    expect_no_more(&vhost, &mut listener);
}

#[test]
fn large_bodies_and_those_in_pieces_are_told_whole() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    let queue = client.queue();
    let mut listener = vhost.traced();
    for bytes in [0, 20_000, 300_000] {
        let body = "x".repeat(bytes);
        client.publish("", &queue, &body);
        assert_eq!(fetch(&mut client, &queue).text(), body);
        for expected in ["publish.".to_string(), format!("deliver.{queue}")] {
            let (key, _, told) = next(&mut listener);
            assert_eq!((key, told.len()), (expected, bytes));
        }
    }
}

#[test]
fn dead_letters_are_told_when_they_are_delivered() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    let dead = client.queue();
    let arguments =
        table! { "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => dead.as_str() };
    let queue = client.queue_with(arguments);
    let mut listener = vhost.traced();
    client.publish("", &queue, "body");
    client.call(method!("basic.consume", queue: &queue, consumer_tag: "tag"));
    let tag = client.delivery().tag();
    client.send(method!("basic.reject", delivery_tag: tag));
    client.call(method!("basic.consume", queue: &dead, consumer_tag: "dead", no_ack: true));
    client.delivery();
    let keys = next_keys(&mut listener, 3);
    let mut expected = vec![
        format!("deliver.{dead}"),
        format!("deliver.{queue}"),
        "publish.".into(),
    ];
    expected.sort();
    assert_eq!(keys, expected);
    expect_no_more(&vhost, &mut listener);
}

#[test]
fn direct_replies_are_told_when_they_are_published() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    let queue = client.queue();
    client.call(method!("basic.consume", queue: "amq.rabbitmq.reply-to", consumer_tag: "replies", no_ack: true));
    let mut listener = vhost.traced();
    client.publish_with(
        "",
        &queue,
        &properties!(reply_to: "amq.rabbitmq.reply-to"),
        "ping",
    );
    let request = fetch(&mut client, &queue);
    let Some(Arg::Text(address)) = request.properties.get("reply-to") else {
        panic!("{request:?}");
    };
    let address = String::from_utf8(address.clone()).expect("UTF-8");
    let (_, headers, _) = next(&mut listener);
    let told = Value::Table(table! { "reply_to" => address.as_str() });
    assert_eq!(headers.at("properties"), &told);
    next(&mut listener);
    client.publish("", &address, "pong");
    client.delivery();
    let (key, headers, _) = next(&mut listener);
    assert_eq!(key, "publish.");
    assert_eq!(headers.at("routed_queues"), &texts(&[]));
    assert_eq!(headers.at("routing_keys"), &texts(&[&address]));
    expect_no_more(&vhost, &mut listener);
}

#[test]
fn listeners_choose_by_key() {
    let Some(vhost) = Vhost::new() else { return };
    let mut client = vhost.client();
    let queue = client.queue();
    let only = client.queue();
    client.call(
        method!("queue.bind", queue: &only, exchange: TRACE, routing_key: "publish.amq.fanout"),
    );
    client.call(method!("queue.bind", queue: &queue, exchange: "amq.fanout"));
    vhost.put(json!({"tracing": true}));
    client.publish("", &queue, "1");
    client.publish("amq.fanout", "key", "2");
    client.await_ready(&only, 1);
    assert_eq!(client.get(&only, true).expect("a message").text(), "2");
    // Who listens may write nothing there.
    let mut stranger = vhost.client();
    stranger.publish(TRACE, "key", "body");
    let text = format!(
        "ACCESS_REFUSED - cannot publish to internal exchange '{TRACE}' in vhost '{}'",
        vhost.name
    );
    stranger.expect_close(403, &text, "basic.publish");
}

#[test]
fn the_management_api_says_whether_a_vhost_is_traced() {
    let Some(vhost) = Vhost::new() else { return };
    let tracing = || vhost.http.get(&format!("/vhosts/{}", vhost.name))["tracing"].clone();
    assert_eq!(tracing(), false);
    vhost.put(json!({"tracing": true}));
    assert_eq!(tracing(), true);
    vhost.put(json!({}));
    assert_eq!(tracing(), true);
    vhost.put(json!({"tracing": "false"}));
    assert_eq!(tracing(), false);
}
