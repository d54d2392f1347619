//! Queues: names, passive declares, exclusive access, deletion, purging, the last declared one.

use crate::script::{Entry, Script};
use crate::support::{Login, Table, method, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    names(&mut scripts);
    passive(&mut scripts);
    exclusive(&mut scripts);
    last_declared(&mut scripts);
    deleting(&mut scripts);
    purging(&mut scripts);
    kinds(&mut scripts);
    scripts
}

/// With a queue of the conversation's own, not durable.
fn with_queue(name: impl Into<String>) -> (Script, String) {
    let script = Script::new(name);
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue));
    (script, queue)
}

fn names(scripts: &mut Vec<Script>) {
    let long = "n".repeat(255);
    for (name, queue) in [
        ("made-up", ""),
        ("amq", "amq.queue"),
        ("amq-dot", "amq."),
        ("amq-without-dot", "amq"),
        ("amq-gen", "amq.gen-mine"),
        ("amq-upper-case", "AMQ.names"),
        ("longest", &long),
        ("control-characters", "a\nb\r\tc\u{1}.names"),
        ("line-ends-alone", "\r\n"),
        ("quotes", "it's \"quoted\" ~p ~s.names"),
        ("unicode", "кролик.names"),
        ("spaces", "  .names"),
        ("reply-to", "amq.rabbitmq.reply-to"),
        ("reply-to-and-more", "amq.rabbitmq.reply-to.g1x"),
    ] {
        let declare = method!("queue.declare", queue: queue, exclusive: true);
        scripts.push(Script::new(format!("name-{name}")).call(declare));
        let declare = method!("queue.declare", queue: format!("{queue}!"), passive: true);
        if queue.len() < 255 {
            scripts.push(Script::new(format!("name-passive-{name}")).call(declare));
        }
    }
    let binary = method!("queue.declare", queue: b"\xff\xfe".to_vec(), exclusive: true);
    scripts.push(Script::new("name-binary").call(binary));
    let binary = method!("queue.declare", queue: b"\xff\xfe\x80".to_vec(), passive: true);
    scripts.push(Script::new("name-binary-passive").call(binary));
    // A long name makes a long text, which is cut.
    for length in [200, 220, 240, 255] {
        let declare = method!("queue.declare", queue: "m".repeat(length), passive: true);
        scripts.push(Script::new(format!("text-of-{length}")).call(declare));
    }
    for kind in ["quorum", "stream"] {
        let declare =
            method!("queue.declare", durable: true, arguments: table! { "x-queue-type" => kind });
        scripts.push(Script::new(format!("name-made-up-{kind}")).call(declare));
    }
    let ticket = method!("queue.declare", ticket: 7, exclusive: true);
    scripts.push(Script::new("ticket").call(ticket));
}

fn passive(scripts: &mut Vec<Script>) {
    let (script, queue) = with_queue("passive-there");
    scripts.push(script.call(method!("queue.declare", queue: &queue, passive: true)));
    // Nothing else of a passive declare counts.
    let (script, queue) = with_queue("passive-with-other-properties");
    scripts.push(script.call(
        method!("queue.declare", queue: &queue, passive: true, durable: true,
        exclusive: true, auto_delete: true, arguments: table! { "x-max-length" => "many" }),
    ));
    let declare = method!("queue.declare", queue: "none.at.all", passive: true);
    scripts.push(Script::new("passive-missing").call(declare.clone()));
    let no_wait = declare.clone().with("no_wait", true);
    scripts.push(Script::new("passive-missing-no-wait").call(no_wait));
    scripts.push(Script::new("passive-empty").call(declare.with("queue", "")));
    let (script, queue) = with_queue("passive-counts");
    // Counts may be taken before messages that came earlier, unless those are known to be there.
    let script = script
        .call(method!("confirm.select"))
        .publish("", &queue, "one")
        .events(1);
    let script = script.publish("", &queue, "two").events(1);
    scripts.push(script.call(method!("queue.declare", queue: &queue, passive: true)));
    let (script, queue) = with_queue("declare-no-wait");
    let declare = method!("queue.declare", queue: &queue, no_wait: true);
    scripts.push(
        script
            .send(declare.clone())
            .settled()
            .send(declare.with("durable", true))
            .reply(),
    );
}

fn exclusive(scripts: &mut Vec<Script>) {
    for (count, method) in [
        method!("queue.declare", passive: true),
        method!("queue.declare"),
        method!("queue.declare", exclusive: true),
        method!("queue.declare", exclusive: true, durable: true),
        method!("queue.delete"),
        method!("queue.purge"),
        method!("queue.bind", exchange: "amq.direct"),
        method!("queue.unbind", exchange: "amq.direct"),
        method!("basic.get"),
        method!("basic.consume"),
        method!("queue.bind", exchange: "none.at.all"),
    ]
    .into_iter()
    .enumerate()
    {
        let script = Script::new(format!("exclusive-{}-{count}", method.name));
        let queue = script.own("q");
        let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
        let script = script.enters(Entry::Open(Login::default()));
        scripts.push(script.call(method.with("queue", &queue)));
    }
    // It goes with its connection, before the close is answered.
    let script = Script::new("exclusive-goes-with-connection");
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let script = script
        .on(0)
        .call(method!("connection.close", reply_code: 200));
    let script = script.enters(Entry::Open(Login::default()));
    scripts.push(script.call(method!("queue.declare", queue: &queue, passive: true)));
    // And not with its channel.
    let script = Script::new("exclusive-outlives-channel");
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let script = script.call(method!("channel.close")).open(1);
    scripts.push(script.call(method!("queue.declare", queue: &queue, exclusive: true)));
    // A message may go there from anyone.
    let script = Script::new("exclusive-publish-from-other");
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let script = script
        .enters(Entry::Open(Login::default()))
        .call(method!("confirm.select"));
    let script = script.publish("", &queue, "hello").events(1).client(0);
    scripts.push(script.call(method!("basic.get", queue: &queue)));
}

fn last_declared(scripts: &mut Vec<Script>) {
    for (count, method) in [
        method!("queue.bind", exchange: "amq.direct", routing_key: "k"),
        method!("queue.bind", exchange: "amq.direct"),
        method!("queue.unbind", exchange: "amq.direct", routing_key: "k"),
        method!("queue.unbind", exchange: "amq.direct"),
        method!("queue.purge"),
        method!("queue.delete"),
        method!("basic.get"),
        method!("basic.consume", consumer_tag: "c"),
    ]
    .into_iter()
    .enumerate()
    {
        let script = Script::new(format!("last-none-{}-{count}", method.name));
        scripts.push(script.call(method.clone()));
        let (script, _) = with_queue(format!("last-one-{}-{count}", method.name));
        scripts.push(script.call(method.clone()).settled());
        // It is still that one when it is gone.
        let (script, queue) = with_queue(format!("last-gone-{}-{count}", method.name));
        let script = script.call(method!("queue.delete", queue: &queue));
        scripts.push(script.call(method));
    }
    // Each channel has its own.
    let (script, _) = with_queue("last-of-other-channel");
    scripts.push(script.open(2).call(method!("queue.purge")));
    // A passive declare counts, and a refused one does not.
    let (script, queue) = with_queue("last-passive");
    let script = script
        .open(2)
        .call(method!("queue.declare", queue: &queue, passive: true));
    scripts.push(script.call(method!("queue.purge")));
    let (script, queue) = with_queue("last-no-wait");
    let script = script
        .open(2)
        .send(method!("queue.declare", queue: &queue, no_wait: true));
    scripts.push(script.call(method!("queue.purge")));
    // Declared without a name it is a new one, not the last.
    let (script, _) = with_queue("last-declare-without-name");
    scripts.push(script.call(method!("queue.declare", exclusive: true)));
}

fn deleting(scripts: &mut Vec<Script>) {
    let consume = |queue: &str| method!("basic.consume", queue: queue, consumer_tag: "c");
    let delete = |queue: &str| method!("queue.delete", queue: queue);
    let unused = |queue: &str| method!("queue.delete", queue: queue, if_unused: true);
    let empty = |queue: &str| method!("queue.delete", queue: queue, if_empty: true);
    scripts.push(Script::new("delete-missing").call(delete("none.at.all")));
    scripts.push(
        Script::new("delete-missing-if")
            .call(unused("none.at.all"))
            .call(empty("none.at.all")),
    );
    scripts.push(Script::new("delete-amq").call(delete("amq.none.at.all")));
    let (script, queue) = with_queue("delete");
    scripts.push(script.call(delete(&queue)).call(delete(&queue)));
    let (script, queue) = with_queue("delete-no-wait");
    let script = script.send(delete(&queue).with("no_wait", true)).settled();
    scripts.push(script.call(method!("queue.declare", queue: &queue, passive: true)));
    let (script, queue) = with_queue("delete-counts");
    let script = script.publish("", &queue, "one").publish("", &queue, "two");
    scripts.push(script.call(delete(&queue)));
    let (script, queue) = with_queue("delete-if-empty-is-not");
    scripts.push(script.publish("", &queue, "one").call(empty(&queue)));
    let (script, queue) = with_queue("delete-if-empty-is-but-unacked");
    let script = script
        .publish("", &queue, "one")
        .call(method!("basic.get", queue: &queue));
    scripts.push(script.call(empty(&queue)));
    let (script, queue) = with_queue("delete-if-unused-is-used");
    scripts.push(script.call(consume(&queue)).call(unused(&queue)));
    let (script, queue) = with_queue("delete-if-both-neither");
    let script = script
        .open(2)
        .call(consume(&queue))
        .on(1)
        .publish("", &queue, "one")
        .on(2)
        .events(1)
        .on(1);
    scripts.push(script.call(unused(&queue).with("if_empty", true)));
    let (script, queue) = with_queue("delete-consumed");
    scripts.push(script.call(consume(&queue)).send(delete(&queue)).events(2));
    let (script, queue) = with_queue("delete-consumed-elsewhere");
    let script = script.open(2).call(consume(&queue)).on(1);
    scripts.push(script.call_and_hear(delete(&queue), 2));
    for kind in ["classic", "quorum"] {
        let script = Script::new(format!("delete-durable-{kind}-consumed"));
        let queue = script.own("q");
        let arguments = table! { "x-queue-type" => kind };
        let declare = method!("queue.declare", queue: &queue, durable: true, arguments: arguments);
        let script = script.call(declare).call(consume(&queue));
        let second = consume(&queue).with("consumer_tag", "d");
        scripts.push(script.call(second).send(delete(&queue)).events(3));
    }
    let (script, queue) = with_queue("delete-consumed-no-wait");
    let script = script.call(consume(&queue));
    let no_wait = delete(&queue).with("no_wait", true);
    scripts.push(script.send(no_wait).events(1));
    let login = Login {
        capabilities: Table::default(),
        ..Login::default()
    };
    let script = Script::with("delete-consumed-not-notified", Entry::Open(login));
    let queue = script.own("q");
    let script = script
        .call(method!("queue.declare", queue: &queue))
        .call(consume(&queue));
    scripts.push(script.call(delete(&queue)).settled());
    for kind in ["quorum", "stream"] {
        let script = Script::new(format!("delete-{kind}"));
        let queue = script.own("q");
        let arguments = table! { "x-queue-type" => kind };
        let declare = method!("queue.declare", queue: &queue, durable: true, arguments: arguments);
        let script = script
            .call(declare.clone())
            .call(unused(&queue))
            .call(declare.clone());
        let script = script
            .call(empty(&queue))
            .open(2)
            .call(declare)
            .call(delete(&queue));
        scripts.push(script.call(delete(&queue)));
    }
    let script = Script::new("delete-quorum-if-empty");
    let queue = script.own("q");
    let arguments = table! { "x-queue-type" => "quorum" };
    let declare = method!("queue.declare", queue: &queue, durable: true, arguments: arguments);
    scripts.push(script.call(declare).call(empty(&queue)));
    // Auto-delete queues go with their last consumer, and not before there was one.
    let script = Script::new("auto-delete");
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, auto_delete: true));
    let script = script
        .call(consume(&queue))
        .call(method!("basic.cancel", consumer_tag: "c"));
    scripts.push(script.call(method!("queue.declare", queue: &queue, passive: true)));
}

fn purging(scripts: &mut Vec<Script>) {
    let purge = |queue: &str| method!("queue.purge", queue: queue);
    scripts.push(Script::new("purge-missing").call(purge("none.at.all")));
    let (script, queue) = with_queue("purge");
    let script = script.publish("", &queue, "one").publish("", &queue, "two");
    scripts.push(script.call(purge(&queue)).call(purge(&queue)));
    let (script, queue) = with_queue("purge-no-wait");
    let script = script
        .publish("", &queue, "one")
        .send(purge(&queue).with("no_wait", true));
    scripts.push(script.call(method!("basic.get", queue: &queue)));
    let (script, queue) = with_queue("purge-unacked-stays");
    let script = script.publish("", &queue, "one").publish("", &queue, "two");
    let script = script
        .call(method!("basic.get", queue: &queue))
        .call(purge(&queue));
    let script = script.send(method!("basic.reject", delivery_tag: 1, requeue: true));
    scripts.push(script.call(method!("basic.get", queue: &queue)));
}

/// What a type of queue does not do.
fn kinds(scripts: &mut Vec<Script>) {
    for kind in ["classic", "quorum", "stream"] {
        for (name, durable, exclusive, auto_delete) in [
            ("durable", true, false, false),
            ("transient", false, false, false),
            ("exclusive", false, true, false),
            ("durable-exclusive", true, true, false),
            ("auto-delete", true, false, true),
        ] {
            let script = Script::new(format!("kind-{kind}-{name}"));
            let declare = method!("queue.declare", queue: script.own("q"), durable: durable,
                exclusive: exclusive, auto_delete: auto_delete, arguments: table! { "x-queue-type" => kind });
            scripts.push(script.call(declare));
        }
        for (count, method) in [
            method!("basic.get"),
            method!("basic.get", no_ack: true),
            method!("queue.purge"),
            method!("basic.consume", consumer_tag: "c"),
            method!("basic.consume", consumer_tag: "c", no_ack: true),
            method!("basic.consume", consumer_tag: "c", exclusive: true),
        ]
        .into_iter()
        .enumerate()
        {
            let script = Script::new(format!("kind-{kind}-{}-{count}", method.name));
            let queue = script.own("q");
            let declare = method!("queue.declare", queue: &queue, durable: true,
                arguments: table! { "x-queue-type" => kind });
            scripts.push(script.call(declare).call(method.with("queue", &queue)));
        }
        let script = Script::new(format!("kind-{kind}-global-prefetch"));
        let queue = script.own("q");
        let declare = method!("queue.declare", queue: &queue, durable: true, arguments: table! { "x-queue-type" => kind });
        let script = script
            .call(declare)
            .call(method!("basic.qos", prefetch_count: 5, global: true));
        scripts.push(script.call(method!("basic.consume", queue: &queue, consumer_tag: "c")));
        let script = Script::new(format!("kind-{kind}-one-active"));
        let queue = script.own("q");
        let arguments = table! { "x-queue-type" => kind, "x-single-active-consumer" => true };
        let script = script
            .call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
        let script = script.call(method!("basic.get", queue: &queue)).open(2);
        let consume = method!("basic.consume", queue: &queue, consumer_tag: "c", exclusive: true);
        scripts.push(
            script
                .call(method!("basic.qos", prefetch_count: 5))
                .call(consume),
        );
    }
}
