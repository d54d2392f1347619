//! Consumers: tags, exclusivity, cancelling, prefetch, deliveries.

use crate::script::{Entry, Script};
use crate::support::{Login, method, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    refused(&mut scripts);
    cancelling(&mut scripts);
    delivering(&mut scripts);
    prefetch(&mut scripts);
    reply_consumers(&mut scripts);
    scripts
}

fn with_queue(name: impl Into<String>) -> (Script, String) {
    let script = Script::new(name);
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, auto_delete: true));
    (script, queue)
}

fn refused(scripts: &mut Vec<Script>) {
    let consume = |queue: &str| method!("basic.consume", queue: queue, consumer_tag: "c");
    scripts.push(Script::new("no-queue").call(consume("none.at.all")));
    let no_wait = consume("none.at.all").with("no_wait", true);
    scripts.push(Script::new("no-queue-no-wait").call(no_wait));
    let (script, queue) = with_queue("tag-twice");
    scripts.push(script.call(consume(&queue)).call(consume(&queue)));
    let (script, queue) = with_queue("tag-twice-other-queue-missing");
    scripts.push(script.call(consume(&queue)).call(consume("none.at.all")));
    let (script, queue) = with_queue("tag-on-two-channels");
    scripts.push(script.call(consume(&queue)).open(2).call(consume(&queue)));
    let (script, queue) = with_queue("tag-made-up");
    let made_up = consume(&queue).with("consumer_tag", "");
    scripts.push(script.call(made_up.clone()).call(made_up));
    for (name, tag) in [
        ("longest", &"t".repeat(255)[..]),
        ("amq", "amq.mine"),
        ("quotes", "it's ~p"),
    ] {
        let (script, queue) = with_queue(format!("tag-{name}"));
        let named = consume(&queue).with("consumer_tag", tag);
        scripts.push(script.call(named.clone()).call(named));
    }
    for (name, first, second) in [
        ("second-exclusive", false, true),
        ("first-exclusive", true, false),
        ("both-exclusive", true, true),
    ] {
        let (script, queue) = with_queue(name);
        let script = script
            .call(consume(&queue).with("exclusive", first))
            .open(2);
        scripts.push(script.call(consume(&queue).with("exclusive", second)));
        // And from another connection.
        let (script, queue) = with_queue(format!("{name}-elsewhere"));
        let script = script.call(consume(&queue).with("exclusive", first));
        let script = script.enters(Entry::Open(Login::default()));
        scripts.push(script.call(consume(&queue).with("exclusive", second)));
    }
    for kind in ["quorum", "stream"] {
        for (name, first, second) in [
            ("second", false, true),
            ("first", true, false),
            ("both", true, true),
        ] {
            let script = Script::new(format!("{kind}-{name}-exclusive"));
            let queue = script.own("q");
            let arguments = table! { "x-queue-type" => kind };
            let declare =
                method!("queue.declare", queue: &queue, durable: true, arguments: arguments);
            let qos = method!("basic.qos", prefetch_count: 5);
            let script = script.call(declare).call(qos.clone());
            let script = script
                .call(consume(&queue).with("exclusive", first))
                .open(2)
                .call(qos);
            scripts.push(script.call(consume(&queue).with("exclusive", second)));
        }
    }
    let (script, queue) = with_queue("exclusive-after-cancel");
    let script = script.call(consume(&queue).with("exclusive", true)).open(2);
    let script = script
        .on(1)
        .call(method!("basic.cancel", consumer_tag: "c"));
    scripts.push(script.on(2).call(consume(&queue)));
    let (script, queue) = with_queue("get-beside-exclusive");
    let script = script.call(consume(&queue).with("exclusive", true)).open(2);
    scripts.push(script.call(method!("basic.get", queue: &queue)));
    let (script, queue) = with_queue("no-local");
    scripts.push(script.call(consume(&queue).with("no_local", true)));
    let arguments = table! { "x-single-active-consumer" => true };
    for exclusive in [false, true] {
        let script = Script::new(format!("one-active-exclusive-{exclusive}"));
        let queue = script.own("q");
        let declare =
            method!("queue.declare", queue: &queue, exclusive: true, arguments: arguments.clone());
        let script = script
            .call(declare)
            .call(consume(&queue).with("exclusive", exclusive));
        scripts.push(script.open(2).call(consume(&queue)));
    }
    scripts.push(Script::new("get-no-queue").call(method!("basic.get", queue: "none.at.all")));
}

fn cancelling(scripts: &mut Vec<Script>) {
    let cancel = |tag: &str| method!("basic.cancel", consumer_tag: tag);
    scripts.push(
        Script::new("cancel-unknown")
            .call(cancel("none.at.all"))
            .call(cancel("")),
    );
    let no_wait = cancel("none.at.all").with("no_wait", true);
    scripts.push(
        Script::new("cancel-unknown-no-wait")
            .send(no_wait)
            .settled(),
    );
    let (script, queue) = with_queue("cancel-last-of-auto-delete");
    let consume = method!("basic.consume", queue: &queue, consumer_tag: "c");
    let script = script.call(consume).call(cancel("c")).call(cancel("c"));
    scripts.push(script.call(method!("queue.declare", queue: &queue, passive: true)));
    let (script, queue) = with_queue("cancel-on-other-channel");
    let consume = method!("basic.consume", queue: &queue, consumer_tag: "c");
    let script = script.call(consume).open(2).call(cancel("c"));
    scripts.push(script.call(method!("queue.declare", queue: &queue, passive: true)));
    let (script, queue) = with_queue("cancel-then-delete");
    let script = script
        .open(2)
        .call(method!("basic.consume", queue: &queue, consumer_tag: "d"));
    let script = script.call(method!("basic.qos", prefetch_count: 1)).on(1);
    let script = script.call(method!("basic.consume", queue: &queue, consumer_tag: "c"));
    let script = script.call(cancel("c"));
    scripts.push(script.call_and_hear(method!("queue.delete", queue: &queue), 2));
    // A client may send basic.cancel-ok, which means nothing.
    scripts.push(
        Script::new("cancel-ok-from-client").call(method!("basic.cancel-ok", consumer_tag: "c")),
    );
}

fn delivering(scripts: &mut Vec<Script>) {
    let declare = |queue: &str| method!("queue.declare", queue: queue, passive: true);
    let (script, queue) = with_queue("deliveries");
    let script = script.publish("", &queue, "one").publish("", &queue, "two");
    let script = script
        .call(method!("basic.consume", queue: &queue, consumer_tag: "c"))
        .events(2);
    scripts.push(script.call(declare(&queue)));
    let (script, queue) = with_queue("deliveries-no-ack");
    let script = script.publish("", &queue, "one");
    let consume = method!("basic.consume", queue: &queue, consumer_tag: "c", no_ack: true);
    let script = script
        .call(consume)
        .events(1)
        .send(method!("basic.ack", delivery_tag: 1));
    scripts.push(script.reply());
    let (script, queue) = with_queue("deliveries-no-wait");
    let consume = method!("basic.consume", queue: &queue, consumer_tag: "c", no_wait: true);
    let script = script.publish("", &queue, "one").send(consume).events(1);
    scripts.push(script.call(declare(&queue)));
    let (script, queue) = with_queue("redelivered");
    let script = script.publish("", &queue, "one");
    let script = script
        .call(method!("basic.consume", queue: &queue, consumer_tag: "c"))
        .events(1);
    let requeue = method!("basic.reject", delivery_tag: 1, requeue: true);
    scripts.push(script.send(requeue).events(1));
    let (script, queue) = with_queue("get");
    let script = script.publish("", &queue, "one").publish("", &queue, "two");
    let get = method!("basic.get", queue: &queue);
    scripts.push(script.call(get.clone()).call(get.clone()).call(get));
    // By priority of consumers: the higher one has all.
    let (script, queue) = with_queue("consumer-priority");
    let consume = method!("basic.consume", queue: &queue, consumer_tag: "low", no_ack: true);
    let high = method!("basic.consume", queue: &queue, consumer_tag: "high", no_ack: true,
        arguments: table! { "x-priority" => 10 });
    let script = script.call(consume).call(high);
    let script = script
        .publish("", &queue, "one")
        .events(1)
        .publish("", &queue, "two");
    scripts.push(script.events(1));
    // In turn.
    let (script, queue) = with_queue("in-turn");
    let consume =
        |tag: &str| method!("basic.consume", queue: &queue, consumer_tag: tag, no_ack: true);
    let script = script.call(consume("a")).call(consume("b"));
    let script = script
        .publish("", &queue, "one")
        .events(1)
        .publish("", &queue, "two")
        .events(1);
    scripts.push(script.publish("", &queue, "three").events(1));
}

fn prefetch(scripts: &mut Vec<Script>) {
    for (name, size, count, global) in [
        ("plain", 0, 10, false),
        ("global", 0, 10, true),
        ("none", 0, 0, false),
        ("global-none", 0, 0, true),
        ("most", 0, 65_535, false),
        ("size", 1, 0, false),
        ("size-global", 1024, 10, true),
    ] {
        let qos = method!("basic.qos", prefetch_size: size, prefetch_count: count, global: global);
        scripts.push(Script::new(format!("qos-{name}")).call(qos));
    }
    let (script, queue) = with_queue("prefetch-holds");
    let script = script.call(method!("basic.qos", prefetch_count: 1));
    let script = script.publish("", &queue, "one").publish("", &queue, "two");
    let script = script
        .call(method!("basic.consume", queue: &queue, consumer_tag: "c"))
        .events(1);
    let script = script.call(method!("queue.declare", queue: &queue, passive: true));
    scripts.push(script.send(method!("basic.ack", delivery_tag: 1)).events(1));
}

fn reply_consumers(scripts: &mut Vec<Script>) {
    let consume =
        method!("basic.consume", queue: "amq.rabbitmq.reply-to", no_ack: true, consumer_tag: "r");
    let with_ack = consume.clone().with("no_ack", false);
    scripts.push(Script::new("reply-consumer-with-ack").call(with_ack.clone()));
    scripts.push(Script::new("reply-consumer").call(consume.clone()));
    let other = consume.clone().with("consumer_tag", "s");
    scripts.push(
        Script::new("reply-consumer-twice")
            .call(consume.clone())
            .call(other),
    );
    scripts.push(
        Script::new("reply-consumer-twice-with-ack")
            .call(consume.clone())
            .call(with_ack),
    );
    let made_up = consume.clone().with("consumer_tag", "");
    scripts.push(Script::new("reply-consumer-made-up-tag").call(made_up));
    let cancel = method!("basic.cancel", consumer_tag: "r");
    let script = Script::new("reply-consumer-cancelled")
        .call(consume.clone())
        .call(cancel);
    scripts.push(script.call(consume.clone()));
    let (script, queue) = with_queue("reply-consumer-tag-taken");
    let script = script.call(method!("basic.consume", queue: &queue, consumer_tag: "r"));
    scripts.push(script.call(consume.clone()));
    for (count, method) in [
        method!("basic.get"),
        method!("queue.purge"),
        method!("queue.delete"),
        method!("queue.bind", exchange: "amq.direct"),
        method!("queue.declare"),
        method!("queue.declare", passive: true),
    ]
    .into_iter()
    .enumerate()
    {
        let script = Script::new(format!("reply-queue-{}-{count}", method.name));
        scripts.push(script.call(method.with("queue", "amq.rabbitmq.reply-to")));
    }
}
