//! Deliveries: when they begin, when they stop, and what holds them up.

use warren::amqp::method::{Method, basic, queue};
use warren::amqp::properties::Properties;

use super::client::{Client, Received, ack, ack_up_to, broker, numbered, text, to};

fn publish(client: &mut Client, bodies: &[String]) {
    for body in bodies {
        client.publish("", "q", body);
    }
    client.read();
}

#[test]
fn consume_ok_comes_before_the_first_delivery() {
    let mut client = Client::new(&broker());
    client.declare("q");
    publish(&mut client, &numbered("m", 0..3));
    client
        .write(basic::Consume {
            queue: "q".into(),
            consumer_tag: "tag".into(),
            ..Default::default()
        })
        .read();
    let received = client.received();
    assert!(
        matches!(received[0], Received::Method(Method::BasicConsumeOk(_))),
        "{received:?}"
    );
    assert_eq!(received.len(), 4);
}

#[test]
fn a_client_that_does_not_read_holds_up_its_own_deliveries_alone() {
    let broker = broker();
    let mut slow = Client::with_room(&broker, 1000);
    slow.declare("q");
    slow.consume("q", "slow", true);
    let mut publisher = Client::new(&broker);
    let bodies = numbered("a message that takes some room", 0..200);
    publish(&mut publisher, &bodies);
    let unsent = slow.shared.outgoing.unsent_bytes();
    assert!((1000..1200).contains(&unsent), "{unsent} bytes wait");
    let mut got = Vec::new();
    while got.len() < bodies.len() {
        let more = slow.bodies();
        assert!(!more.is_empty(), "nothing comes after {}", got.len());
        got.extend(more);
    }
    assert_eq!(got, bodies);
    assert_eq!(publisher.counts("q"), (0, 0, 1));
}

#[test]
fn a_full_consumer_leaves_its_share_to_others() {
    let broker = broker();
    let mut slow = Client::with_room(&broker, 300);
    slow.declare("q");
    slow.consume("q", "slow", true);
    let mut quick = Client::new(&broker);
    quick.consume("q", "quick", true);
    let bodies = numbered("m", 0..100);
    publish(&mut quick, &bodies);
    let mut all = quick.bodies();
    let its_share = all.len();
    all.extend(slow.bodies());
    assert!(its_share > 50 && its_share < 100, "{its_share}");
    all.sort_unstable_by_key(|body| bodies.iter().position(|other| other == body));
    assert_eq!(all, bodies);
}

#[test]
fn nothing_comes_after_cancel_ok() {
    let mut client = Client::new(&broker());
    client.declare("q");
    client.consume("q", "tag", false);
    client.publish("", "q", "before");
    client.write(basic::Cancel {
        consumer_tag: "tag".into(),
        no_wait: false,
    });
    client.publish("", "q", "after").read();
    let received = client.received();
    assert!(
        matches!(received[0], Received::Content { .. }),
        "{received:?}"
    );
    assert!(
        matches!(received[1..], [Received::Method(Method::BasicCancelOk(_))]),
        "{received:?}"
    );
    assert_eq!(client.counts("q"), (1, 1, 0));
    // What it was given may still be acknowledged.
    client.write(ack(1)).read();
    assert_eq!(client.counts("q"), (1, 0, 0));
}

#[test]
fn a_consumer_hears_that_its_queue_is_gone() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.consume("q", "tag", false);
    publish(&mut client, &numbered("m", 0..2));
    assert_eq!(client.bodies().len(), 2);
    let mut other = Client::new(&broker);
    other.ask(queue::Delete {
        queue: "q".into(),
        ..Default::default()
    });
    assert_eq!(
        client.answer(),
        basic::Cancel {
            consumer_tag: "tag".into(),
            no_wait: true
        }
        .into()
    );
    // Its deliveries' tags stay known, and its own tag is free.
    client.write(ack_up_to(2)).read();
    client.declare("q");
    client.consume("q", "tag", true);
    publish(&mut client, &numbered("again", 0..1));
    assert_eq!(client.bodies(), ["again 0"]);
}

#[test]
fn a_closed_channel_gives_everything_back_in_order() {
    let broker = broker();
    let mut first = Client::new(&broker);
    first.declare("q");
    publish(&mut first, &numbered("m", 0..6));
    first.consume("q", "tag", false);
    assert_eq!(first.bodies().len(), 6);
    first
        .write(ack(2))
        .write(basic::Get {
            queue: "q".into(),
            no_ack: false,
        })
        .read();
    first.leave();
    let mut second = Client::new(&broker);
    second.consume("q", "tag", false);
    let deliveries = second.deliveries();
    assert!(deliveries.iter().all(|delivery| delivery.redelivered));
    let bodies: Vec<_> = deliveries
        .into_iter()
        .map(|delivery| delivery.body)
        .collect();
    assert_eq!(bodies, numbered("m", [0, 2, 3, 4, 5]));
    assert_eq!(second.counts("q"), (0, 5, 1));
}

#[test]
fn large_bodies_are_whole() {
    let broker = broker();
    let mut client = Client::with_room(&broker, 1 << 20);
    client.declare("q");
    client.declare("r");
    let body = "0123456789".repeat(5000);
    for queue in ["q", "r"] {
        client.consume(queue, queue, true);
    }
    let cc = Properties {
        headers: Some(
            [(
                "CC",
                warren::amqp::table::FieldValue::Array(vec![text("r")]),
            )]
            .into_iter()
            .collect(),
        ),
        ..Default::default()
    };
    client.publish_with(to("", "q"), &cc, &body).read();
    client.publish("", "q", &body).read();
    assert_eq!(client.bodies(), [body.as_str(), &body, &body]);
}

#[test]
fn direct_replies_reach_the_channel_that_asked() {
    let broker = broker();
    let (mut asker, mut answerer) = (Client::new(&broker), Client::new(&broker));
    asker.declare("requests");
    asker.consume("amq.rabbitmq.reply-to", "replies", true);
    answerer.consume("requests", "worker", true);
    let request = Properties {
        reply_to: Some("amq.rabbitmq.reply-to".into()),
        ..Default::default()
    };
    for body in ["one", "two"] {
        asker.publish_with(to("", "requests"), &request, body);
    }
    asker.read();
    let requests = answerer.received();
    assert_eq!(requests.len(), 2);
    let mut address = String::new();
    for request in requests {
        let Received::Content {
            properties, body, ..
        } = request
        else {
            panic!("no request: {request:?}")
        };
        address = properties.reply_to.expect("an address").to_string();
        answerer.publish("", &address, [&b"answer to "[..], &body].concat());
    }
    answerer.read();
    let replies = asker.deliveries();
    let bodies: Vec<_> = replies
        .iter()
        .map(|reply| (reply.consumer.as_str(), reply.tag, reply.body.as_str()))
        .collect();
    // Delivery tags are not used up, as in RabbitMQ.
    assert_eq!(
        bodies,
        [
            ("replies", 1, "answer to one"),
            ("replies", 1, "answer to two")
        ]
    );

    let declare = queue::Declare {
        queue: address.as_str().into(),
        passive: true,
        ..Default::default()
    };
    assert!(matches!(
        answerer.ask(declare.clone()),
        Method::QueueDeclareOk(_)
    ));
    asker.ask(basic::Cancel {
        consumer_tag: "replies".into(),
        no_wait: false,
    });
    answerer.write(declare);
    assert_eq!(
        answerer.refused(),
        format!("NOT_FOUND - no queue '{address}' in vhost '/'")
    );
}
