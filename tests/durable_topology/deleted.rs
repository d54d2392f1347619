//! What was deleted stays deleted, and nothing of it reaches what has its name later.

use std::path::Path;

use warren::store::catalog::{Catalog, Contents};
use warren::store::disk::RealDisk;

use super::*;

fn contents(data: &Path) -> Contents {
    let disk = RealDisk::new(data).expect("the folder is there");
    Catalog::inspect(&disk).expect("the catalog is sound")
}

#[test]
fn however_it_was_deleted() {
    let Some(broker) = fresh() else { return };
    let mut client = broker.client();
    for name in ["x", "y", "leaves"] {
        let auto_delete = name == "leaves";
        client.call(durable_exchange(name, "fanout").with("auto_delete", auto_delete));
    }
    for name in ["deleted", "unbound", "stays", "consumed"] {
        let auto_delete = name == "consumed";
        client.call(durable_queue(name, no_arguments()).with("auto_delete", auto_delete));
    }
    client.bind("deleted", "x", "");
    client.bind("unbound", "x", "");
    client.bind("stays", "y", "");
    client.bind("deleted", "leaves", "");
    client.call(method!("exchange.bind", destination: "x", source: "y"));
    let broker = killed(broker);
    let mut client = broker.client();
    client.consume("consumed", "c");
    client.call(method!("basic.cancel", consumer_tag: "c"));
    client.call(method!("queue.unbind", queue: "unbound", exchange: "x"));
    client.call(method!("queue.delete", queue: "deleted"));
    client.call(method!("exchange.delete", exchange: "y"));

    let broker = killed(broker);
    let mut client = broker.client();
    is_gone(&mut client, "queue", "deleted");
    is_gone(&mut client, "queue", "consumed");
    is_gone(&mut client, "exchange", "y");
    is_gone(&mut client, "exchange", "leaves");
    is_there(&mut client, "queue", "stays");
    assert!(!is_routed(&mut client, "x", ""));
    // Under the old names, without the old bindings.
    client.call(durable_queue("deleted", no_arguments()));
    client.call(durable_exchange("y", "fanout"));
    let broker = killed(broker);
    let mut client = broker.client();
    assert!(!is_routed(&mut client, "x", ""));
    assert!(!is_routed(&mut client, "y", ""));
    let data = broker.stop();
    assert_eq!(contents(data.path()).bindings, []);
}

#[test]
fn no_number_is_given_out_twice() {
    let Some(mut broker) = fresh() else { return };
    let mut highest = 0;
    for round in 0..4 {
        let mut client = broker.client();
        client.call(durable_exchange("x", "direct"));
        client.call(durable_queue("q", no_arguments()));
        client.bind("q", "x", "k");
        // These have numbers too, and nobody knows them after a kill.
        for _ in 0..10 {
            client.call(method!("queue.declare", queue: "transient"));
            client.call(method!("queue.delete", queue: "transient"));
        }
        let data = match round % 2 {
            0 => broker.kill(),
            _ => broker.stop(),
        };
        let contents = contents(data.path());
        let exchanges = contents.exchanges.iter().map(|(id, _)| *id);
        let queues = contents.queues.iter().map(|(id, _)| *id);
        let bindings = contents.bindings.iter().map(|(id, _)| *id);
        let numbers: Vec<u64> = exchanges.chain(queues).chain(bindings).collect();
        assert_eq!(numbers.len(), 3);
        for number in &numbers {
            assert!(*number > highest, "{number} may have been given out before");
        }
        highest = numbers.into_iter().max().expect("three");
        broker = again(data);
        let mut client = broker.client();
        is_there(&mut client, "queue", "q");
        client.call(method!("queue.delete", queue: "q"));
        client.call(method!("exchange.delete", exchange: "x"));
    }
}
