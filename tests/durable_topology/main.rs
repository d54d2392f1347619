//! Durable topology through the front door: what a broker says is done is there after `kill -9`, and
//! what is not durable is not. Held against what RabbitMQ 3.10.8 does.

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod acknowledged;
mod deleted;
mod refused;
mod survives;
mod vhosts;

use tempfile::TempDir;

use support::{Broker, Client, Method, Setup, Table, Talk};

/// A broker in a new folder; None where another broker is under test.
fn fresh() -> Option<Broker> {
    Setup::default().start()
}

/// A broker in the folder that another one left behind.
fn again(data: TempDir) -> Broker {
    let broker = Setup::default().on(data).start();
    broker.expect("the first one was ours too")
}

/// Kills a broker and starts another one in its folder.
fn killed(broker: Broker) -> Broker {
    again(broker.kill())
}

fn durable_queue(name: &str, arguments: Table) -> Method {
    method!("queue.declare", queue: name, durable: true, arguments: arguments)
}

fn durable_exchange(name: &str, kind: &str) -> Method {
    method!("exchange.declare", exchange: name, type: kind, durable: true)
}

#[track_caller]
fn is_gone(client: &mut Client, kind: &str, name: &str) {
    let text = format!("NOT_FOUND - no {kind} '{name}' in vhost '/'");
    let passive = match kind {
        "queue" => method!("queue.declare", queue: name, passive: true),
        _ => method!("exchange.declare", exchange: name, passive: true),
    };
    client.refused(passive, 404, &text);
}

#[track_caller]
fn is_there(client: &mut Client, kind: &str, name: &str) {
    match kind {
        "queue" => client.call(method!("queue.declare", queue: name, passive: true)),
        _ => client.call(method!("exchange.declare", exchange: name, passive: true)),
    };
}

/// Whether a message goes anywhere.
#[track_caller]
fn is_routed(client: &mut Client, exchange: &str, key: &str) -> bool {
    let properties = support::Properties::default();
    is_routed_with(client, exchange, key, &properties)
}

#[track_caller]
fn is_routed_with(
    client: &mut Client,
    exchange: &str,
    key: &str,
    properties: &support::Properties,
) -> bool {
    client.open_channel(9);
    client.on(9).call(method!("confirm.select"));
    let publish = method!("basic.publish", exchange: exchange, routing_key: key, mandatory: true);
    client.on(9).send_content(publish, properties, b"probe");
    let answer = client.on(9).receive();
    let routed = answer.name == "basic.ack";
    if !routed {
        client.on(9).content(answer);
        client.on(9).expect_name("basic.ack");
    }
    client.on(9).call(method!("channel.close", reply_code: 200));
    routed
}

/// `table!` for arguments that matter little.
fn no_arguments() -> Table {
    table! {}
}
