//! Messages that an exchange of type x-delayed-message keeps for a while: they are there after
//! `kill -9`, they are many, and what is Warren's own about them.

#[macro_use]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{Broker, Client, Setup, Table, Talk, Value};
use tempfile::TempDir;

const EXCHANGE: &str = "later";

fn again(data: TempDir) -> Broker {
    let broker = Setup::default().on(data).start();
    broker.expect("the first one was ours too")
}

/// A broker with the exchange, and a queue `q` that is bound to it.
fn start() -> Option<(Broker, Client)> {
    let broker = Setup::default().start()?;
    let mut client = broker.client();
    let arguments = table! { "x-delayed-type" => "fanout" };
    client.call(
        method!("exchange.declare", exchange: EXCHANGE, type: "x-delayed-message",
        durable: true, arguments: arguments),
    );
    client.call(method!("queue.declare", queue: "q", durable: true));
    client.bind("q", EXCHANGE, "");
    Some((broker, client))
}

/// How many messages wait, as the metrics say.
fn delayed(broker: &Broker) -> u64 {
    let mut socket = TcpStream::connect(broker.listening("http")).expect("accepted");
    write!(socket, "GET /metrics HTTP/1.1\r\n\r\n").expect("sent");
    let mut page = String::new();
    socket.read_to_string(&mut page).expect("text");
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("warren_messages_delayed "));
    line.and_then(|count| count.parse().ok()).expect("a number")
}

fn publish(client: &mut Client, delay: impl Into<Value>, mode: i32, body: &str) {
    let headers = Table(vec![("x-delay".into(), delay.into())]);
    let properties = properties!(headers: headers, delivery_mode: mode);
    client.publish_with(EXCHANGE, "k", &properties, body);
}

#[test]
fn what_was_confirmed_comes_after_a_kill() {
    let Some((broker, mut client)) = start() else {
        return;
    };
    client.call(method!("confirm.select"));
    let published = Instant::now();
    for (delay, mode, body) in [
        (2500, 2, "second"),
        (2000, 2, "first"),
        (2000, 1, "transient"),
        (1, 2, "at once"),
        (3_600_000, 2, "much later"),
    ] {
        publish(&mut client, delay, mode, body);
        client.expect_name("basic.ack");
    }
    let broker = again(broker.kill());
    let mut client = broker.client();
    client.await_ready("q", 3);
    assert!(published.elapsed() >= Duration::from_millis(2500));
    assert_eq!(client.take_all("q"), ["at once", "first", "second"]);
    // And they are there once: whatever was dealt with before it is safe with a message.
    client.call(method!("confirm.select"));
    publish(&mut client, 3_600_000, 2, "later still");
    client.expect_name("basic.ack");
    let broker = again(broker.kill());
    let mut client = broker.client();
    assert_eq!(client.counts("q").0, 0);
    assert_eq!(delayed(&broker), 2);
    client.call(method!("exchange.delete", exchange: EXCHANGE));
    let data = again(broker.kill()).stop();
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_warren"));
    check.arg("check-store").arg("--data-dir").arg(data.path());
    let said = check.output().expect("it runs");
    assert!(said.status.success(), "{said:?}");
}

/// More than stays in memory, in any order, over a restart in good order.
#[test]
fn many_come_once_each() {
    const MESSAGES: u64 = 20_000;
    let Some((broker, mut client)) = start() else {
        return;
    };
    client.call(method!("confirm.select"));
    let body = "x".repeat(1000);
    let start = Instant::now();
    for number in 0..MESSAGES {
        // In no order, 8 to 10 seconds from the first one on.
        let from_start = 8000 + number * 7919 % 2000;
        let delay = from_start.saturating_sub(start.elapsed().as_millis() as u64);
        publish(&mut client, delay as i64, 2, &format!("{number} {body}"));
    }
    let mut confirmed = 0;
    while confirmed < MESSAGES {
        confirmed = client.expect_name("basic.ack").number("delivery-tag");
    }
    let broker = again(broker.stop());
    let mut client = broker.client();
    client.consume("q", "c");
    let mut seen = vec![false; MESSAGES as usize];
    for _ in 0..MESSAGES {
        let text = client.delivery().text();
        let number = text
            .split(' ')
            .next()
            .and_then(|number| number.parse::<usize>().ok());
        let number = number.expect("a number");
        assert!(
            !std::mem::replace(&mut seen[number], true),
            "{number} came twice"
        );
    }
    assert_eq!(delayed(&broker), 0);
}

/// The plugin gives it back at once, and delays it all the same.
#[test]
fn nothing_is_returned_that_waits() {
    let Some((_broker, mut client)) = start() else {
        return;
    };
    client.call(method!("confirm.select"));
    client.call(method!("queue.unbind", queue: "q", exchange: EXCHANGE));
    let properties = properties!(headers: table! { "x-delay" => 50 });
    let publish = method!("basic.publish", exchange: EXCHANGE, routing_key: "k", mandatory: true);
    client.send_content(publish, &properties, b"x");
    client.expect_name("basic.ack");
}

#[test]
fn what_finds_nobody_when_it_is_due_goes_to_the_alternate_exchange() {
    let Some((_broker, mut client)) = start() else {
        return;
    };
    client.call(method!("exchange.declare", exchange: "others", type: "fanout"));
    let other = client.queue();
    client.bind(&other, "others", "");
    let arguments = table! { "x-delayed-type" => "direct", "alternate-exchange" => "others" };
    client.call(
        method!("exchange.declare", exchange: "direct later", type: "x-delayed-message",
        arguments: arguments),
    );
    let properties = properties!(headers: table! { "x-delay" => 100 });
    let start = Instant::now();
    client.publish_with("direct later", "nobody", &properties, "x");
    client.await_ready(&other, 1);
    assert!(start.elapsed() >= Duration::from_millis(100));
}

/// The plugin routes at once what is to wait for longer than 2^32-1 ms.
#[test]
fn a_delay_may_be_as_long_as_anybody_wants() {
    let Some((broker, mut client)) = start() else {
        return;
    };
    client.call(method!("confirm.select"));
    for delay in [1 << 32, 1 << 50, i64::MAX] {
        publish(&mut client, delay, 2, "in some years");
        client.expect_name("basic.ack");
    }
    assert_eq!(client.counts("q").0, 0);
    let broker = again(broker.kill());
    let mut client = broker.client();
    assert_eq!(client.counts("q").0, 0);
    assert_eq!(delayed(&broker), 3);
}

#[test]
fn its_time_to_live_begins_when_it_arrives() {
    let Some((_broker, mut client)) = start() else {
        return;
    };
    client.consume("q", "c");
    let headers = table! { "x-delay" => 300 };
    let properties = properties!(headers: headers, expiration: "100");
    client.publish_with(EXCHANGE, "k", &properties, "x");
    assert_eq!(client.delivery().text(), "x");
}

#[test]
fn what_a_transaction_publishes_waits_from_its_commit_on() {
    let Some((_broker, mut client)) = start() else {
        return;
    };
    client.call(method!("tx.select"));
    publish(&mut client, 10, 2, "rolled back");
    client.call(method!("tx.rollback"));
    publish(&mut client, 100, 2, "committed");
    client.call(method!("tx.commit"));
    client.await_ready("q", 1);
    assert_eq!(client.take_all("q"), ["committed"]);
}
