//! Direct reply-to: the pseudo-queue amq.rabbitmq.reply-to.

use crate::support::broker::eventually;
use crate::support::*;

const PSEUDO: &str = "amq.rabbitmq.reply-to";

fn consume_replies() -> Method {
    method!("basic.consume", queue: PSEUDO, consumer_tag: "replies", no_ack: true)
}

/// Sends a request and says what the server sees as its reply-to.
fn request(client: &mut Client, queue: &str) -> String {
    client.publish_with(
        "",
        queue,
        &properties!(reply_to: PSEUDO, correlation_id: "1"),
        "ping",
    );
    client.await_ready(queue, 1);
    let message = client.get(queue, true).expect("a message");
    match message.properties.get("reply-to") {
        Some(Arg::Text(text)) => String::from_utf8(text.clone()).expect("UTF-8"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reply_comes_straight_back() {
    let mut client = Broker::shared().client();
    let mut server = Broker::shared().client();
    let queue = client.queue();
    client.send(consume_replies());
    client.expect(method!("basic.consume-ok", consumer_tag: "replies"));
    let reply_to = request(&mut client, &queue);
    assert!(reply_to.starts_with("amq.rabbitmq.reply-to."), "{reply_to}");
    server.publish_with("", &reply_to, &properties!(correlation_id: "1"), "pong");
    let reply = client.delivery();
    assert_eq!(
        reply.method,
        method!("basic.deliver", consumer_tag: "replies", delivery_tag: 2, exchange: "", routing_key: &reply_to)
    );
    assert_eq!(
        (reply.text().as_str(), reply.properties),
        ("pong", properties!(correlation_id: "1"))
    );
}

#[test]
fn many_replies_keep_their_order() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.call(consume_replies());
    let reply_to = request(&mut client, &queue);
    let mut server = Broker::shared().client();
    for body in ["1", "2", "3"] {
        server.publish("", &reply_to, body);
    }
    client.expect_bodies(&["1", "2", "3"]);
}

/// However much that is: whoever answered was told that it arrived.
#[test]
fn replies_wait_for_a_client_that_does_not_read() {
    let broker = Broker::shared();
    let (mut asker, mut answerer) = (broker.client(), broker.client());
    asker.call(consume_replies());
    let queue = asker.queue_with(table! {});
    let address = request(&mut asker, &queue);
    answerer.call(method!("confirm.select"));
    const ANSWERS: usize = 300;
    let body = "x".repeat(100_000);
    for _ in 0..ANSWERS {
        answerer.publish("", &address, &body);
    }
    let mut confirmed = 0;
    while confirmed < ANSWERS as u64 {
        confirmed = answerer.expect_name("basic.ack").number("delivery-tag");
    }
    for _ in 0..ANSWERS {
        assert_eq!(asker.delivery().body.len(), body.len());
    }
}

/// Letters come although publishers are blocked; those for whom there is no memory are dropped.
#[test]
fn replies_that_nobody_reads_are_dropped_past_the_memory_limit() {
    let setup = Setup::default().env("WARREN_LIMITS_MEMORY_LIMIT_BYTES", 64 << 20);
    let Some(broker) = setup.start() else { return };
    let (mut asker, mut answerer) = (broker.client(), broker.client());
    asker.call(consume_replies());
    let queue = asker.queue_with(table! {});
    let address = request(&mut asker, &queue);
    const LETTERS: usize = 120;
    let body = "x".repeat(1 << 20);
    let mut publisher = broker.client();
    // They lie on the disk, so that this many find room.
    let stored = unique("letters");
    let arguments = table! {
        "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => &address,
    };
    answerer.call(method!("queue.declare", queue: &stored, durable: true, arguments: arguments));
    publisher.call(method!("confirm.select"));
    for _ in 0..LETTERS {
        publisher.publish_with("", &stored, &properties!(delivery_mode: 2), &body);
        publisher.expect_name("basic.ack");
    }
    for _ in 0..LETTERS {
        let tag = answerer.get(&stored, false).expect("a message").tag();
        answerer.nack(tag, false, false);
    }
    eventually("all of them leave", || answerer.counts(&stored) == (0, 0));
    broker.wait_for_line("messages take too much memory");
    // Whoever asked reads on, and hears again what comes from then on.
    let mut heard = 0;
    answerer.publish("", &address, "end");
    loop {
        let reply = asker.delivery();
        if reply.text() == "end" {
            break;
        }
        assert_eq!(reply.body.len(), body.len());
        heard += 1;
    }
    assert!((1..LETTERS).contains(&heard), "{heard} of {LETTERS}");
}

#[test]
fn replies_need_no_ack() {
    let mut client = Broker::shared().client();
    let consume = method!("basic.consume", queue: PSEUDO);
    client.refused(
        consume,
        406,
        "PRECONDITION_FAILED - reply consumer cannot acknowledge",
    );
}

#[test]
fn there_is_one_reply_consumer_in_a_channel() {
    let mut client = Broker::shared().client();
    client.call(consume_replies());
    let again = consume_replies().with("consumer_tag", "again");
    client.refused(
        again,
        406,
        "PRECONDITION_FAILED - reply consumer already set",
    );
}

#[test]
fn a_request_needs_a_reply_consumer() {
    let mut client = Broker::shared().client();
    client.publish_with("", "anywhere", &properties!(reply_to: PSEUDO), "ping");
    client.expect_close(
        406,
        "PRECONDITION_FAILED - fast reply consumer does not exist",
        "basic.publish",
    );
}

#[test]
fn a_cancelled_reply_consumer_gets_nothing() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.call(consume_replies());
    let reply_to = request(&mut client, &queue);
    client.call(method!("basic.cancel", consumer_tag: "replies"));
    client.publish("", &reply_to, "late");
    client.call(method!("basic.qos"));
    client.call(consume_replies());
    client.call(method!("basic.qos"));
}

#[test]
fn servers_may_ask_whether_a_client_still_waits() {
    let mut client = Broker::shared().client();
    let mut server = Broker::shared().client();
    let queue = client.queue();
    client.call(consume_replies());
    let reply_to = request(&mut client, &queue);
    let ask = method!("queue.declare", queue: &reply_to, passive: true);
    server.send(ask.clone());
    server.expect(method!("queue.declare-ok", queue: &reply_to, consumer_count: 1));
    server.send(ask.clone().with("passive", false));
    server.expect(method!("queue.declare-ok", queue: &reply_to, consumer_count: 1));
    client.close();
    let text = format!("NOT_FOUND - no queue '{reply_to}' in vhost '/'");
    crate::support::broker::eventually("gone", || {
        server.send(ask.clone());
        let answer = server.receive();
        if answer.name == "channel.close" {
            assert_eq!(answer.text("reply-text"), text);
        }
        answer.name == "channel.close"
    });
}

#[test]
fn the_pseudo_queue_itself_may_be_declared() {
    let mut client = Broker::shared().client();
    for passive in [true, false] {
        client.send(method!("queue.declare", queue: PSEUDO, passive: passive));
        client.expect(method!("queue.declare-ok", queue: PSEUDO, consumer_count: 1));
    }
}

#[test]
fn mandatory_replies_come_back_because_this_is_no_queue() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.call(consume_replies());
    let reply_to = request(&mut client, &queue);
    let mut server = Broker::shared().client();
    let reply = method!("basic.publish", routing_key: &reply_to, mandatory: true);
    server.send_content(reply.clone(), &Properties::default(), b"pong");
    client.expect_bodies(&["pong"]);
    assert_eq!(
        server.message("basic.return").method.text("reply-text"),
        "NO_ROUTE"
    );
    client.close();
    server.send_content(reply, &Properties::default(), b"pong");
    assert_eq!(
        server.message("basic.return").method.text("reply-text"),
        "NO_ROUTE"
    );
}

/// By CC and BCC it goes to queues and other addresses as well; to each address once.
#[test]
fn a_reply_may_go_to_queues_too() {
    let mut client = Broker::shared().client();
    let mut second = Broker::shared().client();
    let queue = client.queue();
    client.call(consume_replies());
    second.call(consume_replies());
    let reply_to = request(&mut client, &queue);
    let second_queue = second.queue();
    let other = request(&mut second, &second_queue);
    for name in ["CC", "BCC"] {
        let keys = [&queue, &other, &reply_to].map(Value::from).to_vec();
        let headers = Table(vec![(name.into(), Value::Array(keys))]);
        let mut server = Broker::shared().client();
        server.publish_with("", &reply_to, &properties!(headers: headers), "pong");
        for receiver in [&mut client, &mut second] {
            let reply = receiver.delivery();
            assert_eq!(reply.text(), "pong");
            assert_eq!(reply.headers().get("CC").is_some(), name == "CC");
            assert!(reply.headers().get("BCC").is_none());
            receiver.call(method!("basic.qos"));
        }
        client.await_ready(&queue, 1);
        assert_eq!(client.take_all(&queue), ["pong"]);
    }
}

/// Whether the queue names the address or the message was published with it.
#[test]
fn dead_letters_reach_reply_consumers() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    let exchange = client.exchange("fanout");
    client.bind(&queue, &exchange, "");
    client.call(consume_replies());
    let reply_to = request(&mut client, &queue);
    let mut server = Broker::shared().client();
    for arguments in [
        table! { "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => &reply_to },
        table! { "x-dead-letter-exchange" => "" },
    ] {
        let dying = server.queue_with(arguments);
        server.bind(&dying, &exchange, "");
        server.publish(&exchange, &reply_to, "late");
        server.await_ready(&dying, 1);
        let tag = server.get(&dying, false).expect("a message").tag();
        server.nack(tag, false, false);
        let reply = client.delivery();
        assert_eq!(
            (reply.text().as_str(), reply.method.text("routing-key")),
            ("late", reply_to.clone())
        );
        let deaths = reply.headers();
        let death = deaths.at("x-death").array()[0].table();
        assert_eq!(death.at("reason"), &Value::from("rejected"));
        assert_eq!(death.at("queue"), &Value::from(&dying));
        server.call(method!("queue.delete", queue: &dying));
    }
}

#[test]
fn replies_may_be_confirmed() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.call(consume_replies());
    let reply_to = request(&mut client, &queue);
    client.open_channel(2);
    client.on(2).call(method!("confirm.select"));
    client.on(2).publish("", &reply_to, "pong");
    client.on(2).expect(method!("basic.ack", delivery_tag: 1));
    client.expect_bodies(&["pong"]);
}

#[test]
fn an_address_that_nobody_made_leads_nowhere() {
    let broker = Broker::shared();
    let publish = |client: &mut Client, address: &str| {
        let publish = method!("basic.publish", routing_key: address, mandatory: true);
        client.send_content(publish, &Properties::default(), b"x");
    };
    let expect_return = |client: &mut Client| {
        let reply = client.expect_name("basic.return");
        client.content(reply);
    };
    let mut client = broker.client();
    for end in ["g1abc", "!!!", "a.b.c"] {
        publish(&mut client, &format!("{PSEUDO}.{end}"));
        expect_return(&mut client);
    }
    // RabbitMQ takes the first of two words for an Erlang process, and fails where it is none.
    publish(&mut client, &format!("{PSEUDO}.a.b"));
    match broker.is_warren() {
        true => expect_return(&mut client),
        false => client.expect_connection_close_ids(541, "INTERNAL_ERROR", (0, 0)),
    }
}
