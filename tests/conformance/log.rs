//! The log as messages, on `amq.rabbitmq.log`.

use crate::support::*;

const LOG: &str = "amq.rabbitmq.log";

/// What the lines say differs.
#[test]
fn lines_are_messages_with_their_level_as_routing_key() {
    let setup = Setup::default().env("WARREN_LOG_EXCHANGE", "true");
    // In RabbitMQ `log.exchange = true`.
    let Some(broker) = setup.start_or_as("WARREN_TEST_LOG_EXCHANGE") else {
        return;
    };
    let mut client = broker.client();
    client.call(method!("exchange.declare", exchange: LOG, type: "topic", passive: true));
    let text = format!("ACCESS_REFUSED - cannot publish to internal exchange '{LOG}' in vhost '/'");
    client.open_channel(2);
    client.on(2).publish(LOG, "info", "x");
    client.on(2).expect_close(403, &text, "basic.publish");
    let (errors, others) = (unique("errors"), unique("others"));
    for queue in [&errors, &others] {
        client.call(method!("queue.declare", queue: queue, auto_delete: true));
    }
    client.bind(&errors, LOG, "error");
    client.bind(&others, LOG, "none of them");
    broker.refuse("nobody-knows");
    client.consume(&errors, "errors");
    let line = loop {
        let line = client.delivery();
        if line.text().contains("nobody-knows") {
            break line;
        }
    };
    assert_eq!(line.method.text("exchange"), LOG);
    assert_eq!(line.method.text("routing-key"), "error");
    let content_type = line.properties.get("content-type").cloned();
    assert_eq!(content_type, Some(Arg::Text("text/plain".into())));
    assert!(line.properties.get("timestamp").is_some());
    assert_eq!(line.properties.get("delivery-mode"), None);
    let headers = line.headers();
    assert_eq!(headers.keys(), ["node"]);
    assert!(matches!(headers.at("node"), Value::Text(_)));
    assert_eq!(broker.client().counts(&others).0, 0);
}
