//! Acks, rejections and recovery of what is there and what isn't.

use crate::script::{Entry, Script};
use crate::support::{Login, Method, method, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for kind in ["basic.ack", "basic.nack", "basic.reject"] {
        unknown(&mut scripts, kind);
    }
    recovering(&mut scripts);
    for kind in ["classic", "quorum"] {
        after_an_error(&mut scripts, kind);
    }
    scripts
}

/// With so many messages taken and not settled.
fn holding(name: impl Into<String>, count: usize) -> (Script, String) {
    let script = Script::new(name);
    let queue = script.own("q");
    let mut script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    for number in 1..=count {
        script = script.publish("", &queue, &format!("{number}"));
    }
    for _ in 0..count {
        script = script.call(method!("basic.get", queue: &queue));
    }
    (script, queue)
}

fn unknown(scripts: &mut Vec<Script>, kind: &str) {
    let settle = |tag: u64| Method::new(kind).with("delivery_tag", tag);
    let script = |name: &str| Script::new(format!("{kind}-{name}"));
    scripts.push(script("nothing").send(settle(1)).reply());
    scripts.push(script("zero").send(settle(0)).reply());
    scripts.push(script("most").send(settle(u64::MAX)).reply());
    let (held, _) = holding(format!("{kind}-twice"), 1);
    scripts.push(held.send(settle(1)).send(settle(1)).reply());
    let (held, _) = holding(format!("{kind}-beyond"), 2);
    scripts.push(held.send(settle(3)).reply());
    let (held, _) = holding(format!("{kind}-on-other-channel"), 1);
    scripts.push(held.open(2).send(settle(1)).reply());
    let (held, queue) = holding(format!("{kind}-middle"), 3);
    let held = held
        .send(settle(2))
        .settled()
        .call(method!("queue.purge", queue: &queue));
    scripts.push(held.send(settle(2)).reply());
    if kind == "basic.reject" {
        let (held, queue) = holding("basic.reject-requeue", 2);
        let held = held.send(settle(1).with("requeue", true));
        scripts.push(held.call(method!("basic.get", queue: &queue)));
        return;
    }
    let all = |tag: u64| settle(tag).with("multiple", true);
    scripts.push(script("all-of-nothing").send(all(0)).settled());
    scripts.push(script("up-to-nothing").send(all(1)).reply());
    let (held, _) = holding(format!("{kind}-all"), 3);
    scripts.push(held.send(all(0)).settled().send(settle(3)).reply());
    let (held, _) = holding(format!("{kind}-up-to"), 3);
    scripts.push(
        held.send(all(2))
            .settled()
            .send(settle(3))
            .send(settle(1))
            .reply(),
    );
    let (held, _) = holding(format!("{kind}-up-to-beyond"), 3);
    scripts.push(held.send(all(4)).reply());
    let (held, _) = holding(format!("{kind}-up-to-settled"), 3);
    scripts.push(held.send(settle(2)).send(all(2)).reply());
}

fn recovering(scripts: &mut Vec<Script>) {
    let recover = |requeue: bool| method!("basic.recover", requeue: requeue);
    scripts.push(Script::new("recover-nothing").call(recover(true)));
    scripts.push(Script::new("recover-without-requeue").call(recover(false)));
    let (held, queue) = holding("recover", 2);
    let get = method!("basic.get", queue: &queue);
    scripts.push(held.call(recover(true)).call(get.clone()).call(get));
    let later = |requeue: bool| method!("basic.recover-async", requeue: requeue);
    scripts.push(
        Script::new("recover-async-without-requeue")
            .send(later(false))
            .reply(),
    );
    let (held, queue) = holding("recover-async", 1);
    scripts.push(
        held.send(later(true))
            .call(method!("basic.get", queue: &queue)),
    );
    let (held, _) = holding("recovered-tag-is-gone", 1);
    scripts.push(
        held.call(recover(true))
            .send(method!("basic.ack", delivery_tag: 1))
            .reply(),
    );
    // What a channel held comes back when it closes.
    let (held, queue) = holding("closed-channel-gives-back", 1);
    let held = held.call(method!("channel.close")).open(1);
    scripts.push(held.call(method!("basic.get", queue: &queue)));
}

/// What a channel held that the broker has closed, until its client says close-ok, as somebody else sees it.
fn after_an_error(scripts: &mut Vec<Script>, kind: &str) {
    for how in ["get", "consume", "consume-and-get", "cancelled-consume"] {
        let script = Script::new(format!("error-with-{kind}-{how}")).impolite();
        let queue = script.own("q");
        let arguments = table! { "x-queue-type" => kind };
        let consume = method!("basic.consume", queue: &queue, consumer_tag: "c");
        let get = method!("basic.get", queue: &queue);
        let cancel = method!("basic.cancel", consumer_tag: "c");
        let declare = method!("queue.declare", queue: &queue, durable: true, arguments: arguments);
        let script = script
            .call(method!("confirm.select"))
            .call(declare)
            .call(method!("basic.qos", prefetch_count: 1));
        let published = |script: Script| script.publish("", &queue, "x").events(1);
        let script = match how {
            "get" => published(script).call(get.clone()),
            "consume" => published(script).call(consume.clone()).events(1),
            "consume-and-get" => published(published(script).call(get.clone()))
                .call(consume.clone())
                .events(1),
            _ => published(script)
                .call(consume.clone())
                .events(1)
                .call(cancel),
        };
        let script = script.call(method!("queue.purge", queue: "none.at.all"));
        let script = script.enters(Entry::Open(Login::default()));
        let script = script.call(method!("queue.declare", queue: &queue, passive: true));
        let script = match how {
            "consume-and-get" => script.call(get.clone()).call(get),
            _ => script.call(get),
        };
        let script = script.call(method!("basic.recover", requeue: true));
        // Whoever waits gets it then.
        let ok = method!("channel.close-ok");
        let script = script.call(consume).client(0).send(ok).client(1);
        scripts.push(script.events(if how == "consume-and-get" { 2 } else { 1 }));
    }
}
