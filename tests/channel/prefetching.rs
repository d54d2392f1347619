//! Prefetch as RabbitMQ means it: a consumer's own, and the channel's.

use warren::amqp::method::{Method, basic};

use super::client::{Client, ack, ack_up_to, broker, numbered};

fn qos(prefetch_count: u16, global: bool) -> basic::Qos {
    basic::Qos {
        prefetch_size: 0,
        prefetch_count,
        global,
    }
}

fn client_with(queues: &[(&str, usize)]) -> Client {
    let mut client = Client::new(&broker());
    for (queue, messages) in queues {
        client.declare(queue);
        for body in numbered(queue, 0..*messages) {
            client.publish("", queue, body);
        }
    }
    client.read();
    client
}

#[test]
fn a_consumers_own_is_what_it_was_when_it_came() {
    let mut client = client_with(&[("q", 20)]);
    assert!(matches!(client.ask(qos(3, false)), Method::BasicQosOk(_)));
    client.consume("q", "three", false);
    assert_eq!(client.bodies(), numbered("q", 0..3));
    client.ask(qos(2, false));
    client.consume("q", "two", false);
    assert_eq!(client.bodies(), numbered("q", 3..5));
    // One read, one ack by one: each frees one place of the consumer it was for.
    client.write(ack(2)).write(ack(4)).write(ack(5)).read();
    let mut freed: Vec<_> = client
        .deliveries()
        .into_iter()
        .map(|delivery| delivery.consumer)
        .collect();
    freed.sort_unstable();
    assert_eq!(freed, ["three", "two", "two"]);
}

#[test]
fn it_does_not_bind_consumers_without_acknowledgements() {
    let mut client = client_with(&[("q", 20)]);
    client.ask(qos(1, false));
    client.consume("q", "tag", true);
    assert_eq!(client.bodies().len(), 20);
}

#[test]
fn every_outcome_gives_it_back() {
    let mut client = client_with(&[("q", 10)]);
    client.ask(qos(2, false));
    client.consume("q", "tag", false);
    assert_eq!(client.bodies(), numbered("q", 0..2));
    client
        .write(basic::Reject {
            delivery_tag: 1,
            requeue: false,
        })
        .read();
    assert_eq!(client.bodies(), numbered("q", [2]));
    client
        .write(basic::Nack {
            delivery_tag: 2,
            multiple: true,
            requeue: false,
        })
        .read();
    assert_eq!(client.bodies(), numbered("q", [3]));
    client.write(ack_up_to(0)).read();
    assert_eq!(client.bodies(), numbered("q", 4..6));
    client
        .write(basic::Nack {
            delivery_tag: 5,
            multiple: false,
            requeue: true,
        })
        .read();
    assert_eq!(client.bodies(), numbered("q", [4]));
    client.ask_with_deliveries(basic::Recover { requeue: true });
    assert_eq!(client.counts("q"), (4, 2, 1));
}

#[test]
fn the_channels_is_shared_by_its_consumers() {
    let mut client = client_with(&[("a", 10), ("b", 10)]);
    client.ask(qos(4, true));
    client.consume("a", "a", false);
    assert_eq!(client.bodies(), numbered("a", 0..4));
    client.consume("b", "b", false);
    assert_eq!(client.bodies(), Vec::<String>::new());
    client.write(ack(1)).read();
    assert_eq!(client.bodies().len(), 1);
    client.ask_with_deliveries(qos(6, true));
    client.write(ack_up_to(0)).read();
    assert_eq!(client.bodies().len(), 6);
    // What nobody waits for goes to whoever still does.
    for _ in 0..20 {
        client.write(ack_up_to(0)).read();
    }
    assert_eq!(client.bodies().len(), 20 - 4 - 1 - 2 - 6);
}

#[test]
fn the_channels_starves_nobody() {
    let mut client = client_with(&[("a", 50), ("b", 50), ("c", 50)]);
    client.ask(qos(1, true));
    for queue in ["a", "b", "c"] {
        client.consume(queue, queue, false);
    }
    let mut got = Vec::new();
    for _ in 0..30 {
        let delivered = client.deliveries();
        assert_eq!(delivered.len(), 1);
        client.write(ack(delivered[0].tag)).read();
        got.push(delivered[0].consumer.clone());
    }
    for queue in ["a", "b", "c"] {
        assert!(
            got.iter().filter(|consumer| *consumer == queue).count() >= 5,
            "{got:?}"
        );
    }
}

#[test]
fn the_channels_counts_what_was_unsettled_when_it_was_set_and_ends_with_the_other_kind() {
    let mut client = client_with(&[("q", 20)]);
    client.consume("q", "tag", false);
    assert_eq!(client.bodies().len(), 20);
    client.ask(qos(21, true));
    for body in numbered("more", 0..5) {
        client.publish("", "q", body);
    }
    client.read();
    assert_eq!(client.bodies(), ["more 0"]);
    client.write(qos(1, false)).read();
    assert_eq!(client.received().len(), 1 + 4);
}

#[test]
fn the_channels_holds_consumers_without_acknowledgements_too() {
    let mut client = client_with(&[("a", 5), ("b", 5)]);
    client.ask(qos(2, true));
    client.consume("a", "a", false);
    assert_eq!(client.bodies().len(), 2);
    client.consume("b", "b", true);
    assert_eq!(client.bodies().len(), 0);
    client.write(ack(1)).read();
    let bodies = client.bodies();
    // Whose turn it is is left open; what the one without acknowledgements takes uses nothing up.
    assert!(
        bodies == numbered("a", [2])
            || bodies == [numbered("b", 0..5), numbered("a", [2])].concat(),
        "{bodies:?}"
    );
}

#[test]
fn a_get_is_bound_by_none() {
    let mut client = client_with(&[("q", 5)]);
    client.ask(qos(1, true));
    client.consume("q", "tag", false);
    assert_eq!(client.bodies().len(), 1);
    client
        .write(basic::Get {
            queue: "q".into(),
            no_ack: false,
        })
        .read();
    assert_eq!(client.received().len(), 1);
    // Nor does its ack free a place.
    client.write(ack(2)).read();
    assert_eq!(client.bodies().len(), 0);
    client.write(ack(1)).read();
    assert_eq!(client.bodies(), ["q 2"]);
}

impl Client {
    /// Sends a method and takes out whatever comes.
    fn ask_with_deliveries(&mut self, method: impl Into<Method>) {
        self.write(method).read();
        assert!(!self.received().is_empty());
    }
}
