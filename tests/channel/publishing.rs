//! Publishes: however they are cut into reads, each queue gets its messages in order.

use std::sync::Arc;

use proptest::prelude::*;
use warren::amqp::method::{Method, basic, exchange, queue};
use warren::amqp::properties::Properties;
use warren::amqp::table::{FieldTable, FieldValue};
use warren::broker::Broker;

use super::client::{Client, FRAME_MAX, Received, broker, text, to};

const QUEUES: [&str; 3] = ["q0", "q1", "q2"];

/// How a message is published.
#[derive(Clone, Debug)]
enum How {
    /// To one queue.
    Default(usize),
    /// To one queue, with others as CC and BCC.
    Copied { to: usize, cc: usize, bcc: usize },
    /// To all queues.
    Fanout,
    /// To a headers exchange, by a header.
    Headers(usize),
    /// Nowhere.
    Unroutable,
}

fn how() -> impl Strategy<Value = How> {
    let queue = || 0..QUEUES.len();
    prop_oneof![
        6 => queue().prop_map(How::Default),
        1 => (queue(), queue(), queue()).prop_map(|(to, cc, bcc)| How::Copied { to, cc, bcc }),
        2 => Just(How::Fanout),
        1 => queue().prop_map(How::Headers),
        1 => Just(How::Unroutable),
    ]
}

fn array(key: &str) -> FieldValue {
    FieldValue::Array(vec![text(key)])
}

fn with_headers(entries: Vec<(&str, FieldValue)>) -> Properties {
    Properties {
        headers: Some(entries.into_iter().collect()),
        ..Default::default()
    }
}

impl How {
    fn queues(&self) -> Vec<usize> {
        let mut queues = match self {
            How::Default(queue) | How::Headers(queue) => vec![*queue],
            How::Copied { to, cc, bcc } => vec![*to, *cc, *bcc],
            How::Fanout => (0..QUEUES.len()).collect(),
            How::Unroutable => Vec::new(),
        };
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    fn publish(&self, client: &mut Client, body: &str) {
        match self {
            How::Default(queue) => client.publish("", QUEUES[*queue], body),
            How::Copied { to: queue, cc, bcc } => {
                let headers = vec![("CC", array(QUEUES[*cc])), ("BCC", array(QUEUES[*bcc]))];
                client.publish_with(to("", QUEUES[*queue]), &with_headers(headers), body)
            }
            How::Fanout => client.publish("amq.fanout", "any", body),
            How::Headers(queue) => {
                let headers = with_headers(vec![("queue", FieldValue::I32(*queue as i32))]);
                client.publish_with(to("amq.headers", ""), &headers, body)
            }
            How::Unroutable => client.publish("", "no such queue", body),
        };
    }
}

fn client_with_queues(broker: &Arc<Broker>) -> Client {
    let mut client = Client::new(broker);
    for (number, name) in QUEUES.iter().enumerate() {
        client.declare(name);
        for (exchange, arguments) in [
            ("amq.fanout", FieldTable::new()),
            (
                "amq.headers",
                [("queue", number as i32)].into_iter().collect(),
            ),
        ] {
            let bind = queue::Bind {
                queue: (*name).into(),
                exchange: exchange.into(),
                arguments,
                ..Default::default()
            };
            assert!(matches!(client.ask(bind), Method::QueueBindOk(_)));
        }
    }
    client
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn every_queue_gets_its_messages_in_order_however_they_are_read(
        publishes in prop::collection::vec(
            (how(), prop_oneof![8 => 0..40usize, 1 => 3000..20_000usize], prop_oneof![Just(1), 1..20usize]),
            1..40,
        ),
        reads in prop::collection::vec(1..9000usize, 1..40),
        consumed in prop::collection::vec(any::<bool>(), QUEUES.len()),
    ) {
        let broker = broker();
        let mut client = client_with_queues(&broker);
        let mut consumers: Vec<Option<Client>> = Vec::new();
        for (name, consumed) in QUEUES.iter().zip(consumed) {
            let mut consumer = Client::new(&broker);
            consumer.consume(name, name, true);
            consumers.push(consumed.then_some(consumer));
        }
        let mut expected: Vec<Vec<String>> = vec![Vec::new(); QUEUES.len()];
        // Some differ from the ones before in their bodies' bytes alone.
        for (number, (how, padding, times)) in publishes.iter().enumerate() {
            for time in 0..*times {
                let body = format!("{number} {time:02} {}", "x".repeat(*padding));
                how.publish(&mut client, &body);
                for queue in how.queues() {
                    expected[queue].push(body.clone());
                }
            }
        }
        let mut window = 0;
        for read in reads {
            // As a connection's buffer: what is no whole frame yet is read again with more.
            window += read;
            let before = client.written();
            client.try_read(window).expect("no exception");
            window -= (before - client.written()).min(window);
        }
        client.read();
        prop_assert_eq!(client.received(), vec![]);
        for ((name, consumer), expected) in QUEUES.iter().zip(consumers).zip(expected) {
            let Some(mut consumer) = consumer else {
                prop_assert_eq!(client.drain_queue(name), expected);
                continue;
            };
            let deliveries = consumer.deliveries();
            let tags: Vec<u64> = deliveries.iter().map(|delivered| delivered.tag).collect();
            prop_assert_eq!(tags, (1..=expected.len() as u64).collect::<Vec<_>>());
            let bodies: Vec<String> = deliveries.into_iter().map(|delivered| delivered.body).collect();
            prop_assert_eq!(bodies, expected);
        }
    }
}

#[test]
fn a_remembered_route_follows_the_topology() {
    let mut client = Client::new(&broker());
    client.declare("q");
    let declare = exchange::Declare {
        exchange: "x".into(),
        kind: "direct".into(),
        ..Default::default()
    };
    client.ask(declare);
    client.publish("x", "key", "before").read();
    let bind = queue::Bind {
        queue: "q".into(),
        exchange: "x".into(),
        routing_key: "key".into(),
        ..Default::default()
    };
    // All of it in one read.
    client.publish("x", "key", "unbound");
    client.write(bind).publish("x", "key", "bound");
    let unbind = queue::Unbind {
        queue: "q".into(),
        exchange: "x".into(),
        routing_key: "key".into(),
        ..Default::default()
    };
    client
        .write(unbind)
        .publish("x", "key", "unbound again")
        .read();
    client.received();
    assert_eq!(client.drain_queue("q"), ["bound"]);

    client.publish("", "q", "to the first q");
    client.write(queue::Delete {
        queue: "q".into(),
        ..Default::default()
    });
    client.publish("", "q", "to no q");
    client.write(queue::Declare {
        queue: "q".into(),
        ..Default::default()
    });
    client.publish("", "q", "to the second q").read();
    client.received();
    assert_eq!(client.drain_queue("q"), ["to the second q"]);

    // Somebody else's doing counts as well.
    let mut other = Client::new(&client.shared.broker);
    other.ask(queue::Delete {
        queue: "q".into(),
        ..Default::default()
    });
    client.publish("", "q", "to no q").read();
    client.declare("q");
    assert_eq!(client.drain_queue("q"), Vec::<String>::new());
}

#[test]
fn what_came_before_an_error_counts() {
    let mut client = Client::new(&broker());
    client.declare("q");
    client
        .publish("", "q", "good")
        .publish("no such exchange", "q", "bad")
        .publish("", "q", "late");
    assert_eq!(
        client.refused(),
        "NOT_FOUND - no exchange 'no such exchange' in vhost '/'"
    );
    assert_eq!(
        Client::new(&client.shared.broker).drain_queue("q"),
        ["good"]
    );
}

#[test]
fn everything_else_comes_after_what_was_published_before_it() {
    let mut client = Client::new(&broker());
    client.declare("q");
    client.publish("", "q", "first").publish("", "q", "second");
    client.write(basic::Get {
        queue: "q".into(),
        no_ack: true,
    });
    client.publish("", "q", "third");
    client
        .write(queue::Purge {
            queue: "q".into(),
            no_wait: false,
        })
        .read();
    let received = client.received();
    let [
        Received::Content {
            method: Method::BasicGetOk(got),
            body,
            ..
        },
        Received::Method(Method::QueuePurgeOk(purged)),
    ] = received.as_slice()
    else {
        panic!("not a message and a count: {received:?}")
    };
    assert_eq!((got.message_count, body.as_slice()), (1, &b"first"[..]));
    assert_eq!(purged.message_count, 2);
}

#[test]
fn bcc_is_not_shown_and_properties_stay_as_they_were() {
    let mut client = client_with_queues(&broker());
    let mut properties = with_headers(vec![
        ("a", true.into()),
        ("BCC", array("q1")),
        ("CC", array("q2")),
    ]);
    properties.content_type = Some("text/plain".into());
    properties.priority = Some(3);
    client
        .publish_with(to("", "q0"), &properties, "copied")
        .read();
    properties.headers = with_headers(vec![("a", true.into()), ("CC", array("q2"))]).headers;
    for queue in QUEUES {
        client
            .write(basic::Get {
                queue: queue.into(),
                no_ack: true,
            })
            .read();
        match client.received().as_slice() {
            [
                Received::Content {
                    properties: seen,
                    method: Method::BasicGetOk(got),
                    ..
                },
            ] => {
                assert_eq!(seen, &properties);
                assert_eq!(got.routing_key, "q0");
            }
            other => panic!("no message: {other:?}"),
        }
    }
}

#[test]
fn a_mandatory_message_comes_back_whole() {
    let mut client = Client::new(&broker());
    let body = "long ".repeat(FRAME_MAX as usize);
    let properties = Properties {
        message_id: Some("id".into()),
        ..Default::default()
    };
    let publish = basic::Publish {
        mandatory: true,
        ..to("amq.topic", "nowhere")
    };
    client.publish_with(publish, &properties, &body).read();
    match client.received().as_slice() {
        [
            Received::Content {
                method: Method::BasicReturn(returned),
                properties: seen,
                body: seen_body,
            },
        ] => {
            assert_eq!(
                (returned.reply_code, &*returned.reply_text),
                (312, "NO_ROUTE")
            );
            assert_eq!(
                (&*returned.exchange, &*returned.routing_key),
                ("amq.topic", "nowhere")
            );
            assert_eq!(seen, &properties);
            assert_eq!(seen_body, body.as_bytes());
        }
        other => panic!("not returned: {other:?}"),
    }
}

#[test]
fn more_queues_and_routes_than_are_remembered_at_once() {
    let mut client = Client::new(&broker());
    let names: Vec<String> = (0..1500).map(|number| format!("many {number}")).collect();
    for name in &names {
        client.declare(name);
    }
    for round in 0..2 {
        for name in &names {
            client.publish("", name, format!("{round} for {name}"));
        }
    }
    client.read();
    for name in &names {
        assert_eq!(
            client.drain_queue(name),
            [format!("0 for {name}"), format!("1 for {name}")]
        );
    }
}
