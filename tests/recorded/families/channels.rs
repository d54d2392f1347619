//! Every method in every state of a channel.

use crate::script::Script;
use crate::support::frame::{Frame, METHOD};
use crate::support::{Method, Properties, method};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for method in Method::every() {
        let name = method.name;
        scripts.push(
            said(
                Script::new(format!("unopened-{name}")).on(7),
                method.clone(),
            )
            .reply(),
        );
        scripts.push(running(method.clone()));
        let closed = Script::new(format!("closed-by-client-{name}"));
        let close = method!("channel.close", reply_code: 200, reply_text: "bye");
        scripts.push(said(closed.call(close), method.clone()).reply());
        for mode in ["confirming", "transacting", "consuming"] {
            scripts.push(in_mode(mode, method.clone()));
        }
        scripts.push(closing(method));
    }
    odd(&mut scripts);
    scripts
}

/// The method, with content where it has some.
fn said(script: Script, method: Method) -> Script {
    match method.name {
        "basic.publish" => script.content(method, &Properties::default(), b"hello"),
        // These have content as well, which a client never sends.
        "basic.return" | "basic.deliver" | "basic.get-ok" => {
            script.content(method, &Properties::default(), b"hello")
        }
        _ => script.send(method),
    }
}

/// On an open channel with all fields zero, and what the channel says after it.
fn running(method: Method) -> Script {
    let script = said(
        Script::new(format!("running-{}", method.name)),
        method.clone(),
    );
    match method.name {
        // These are not answered if they are right.
        "basic.publish" | "basic.ack" | "basic.reject" | "basic.nack" | "basic.recover-async" => {
            script.settled()
        }
        _ => script.reply(),
    }
}

/// On an open channel that has confirms, or a transaction with a publish and an ack in it, or a consumer that
/// holds a message and may have no second one; and what comes of it once the channel says something else.
fn in_mode(mode: &str, method: Method) -> Script {
    let script = Script::new(format!("{mode}-{}", method.name));
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let script = match mode {
        "confirming" => script
            .call(method!("confirm.select"))
            .publish("", &queue, "1")
            .events(1),
        "transacting" => script
            .publish("", &queue, "1")
            .call(method!("tx.select"))
            .call(method!("basic.get", queue: &queue))
            .send(method!("basic.ack", delivery_tag: 1))
            .publish("", &queue, "2"),
        _ => script
            .publish("", &queue, "1")
            .publish("", &queue, "2")
            .call(method!("basic.qos", prefetch_count: 1))
            .call(method!("basic.consume", queue: &queue, consumer_tag: "c"))
            .events(1),
    };
    let script = said(script, method.clone());
    match (mode, method.name) {
        ("confirming", "basic.publish") => script.events(1),
        (
            _,
            "basic.publish" | "basic.ack" | "basic.reject" | "basic.nack" | "basic.recover-async",
        ) => script.settled(),
        _ => script.reply(),
    }
}

/// After the broker has closed the channel, before that is answered: nothing counts but close and
/// close-ok.
fn closing(method: Method) -> Script {
    let script = Script::new(format!("closing-{}", method.name)).impolite();
    let wrong = method!("queue.delete", queue: "");
    // With a name: without one a second refusal may come before or after what is said next.
    let named = [
        "queue.bind",
        "queue.unbind",
        "queue.purge",
        "queue.delete",
        "basic.get",
        "basic.consume",
    ];
    let method = match method {
        method if named.contains(&method.name) => method.with("queue", "none.at.all"),
        method => method,
    };
    let script = said(script.call(wrong), method.clone());
    let ok = method!("channel.close-ok");
    match method.name {
        "channel.close" => script.reply().send(ok).open(1).settled(),
        "channel.close-ok" => script.open(1).settled(),
        "channel.open" => script.on(0).reply(),
        _ => script.send(ok).open(1).settled(),
    }
}

fn odd(scripts: &mut Vec<Script>) {
    for (class, id) in [(20, 99), (99, 10), (60, 200), (0, 0)] {
        let script = Script::new(format!("unknown-{class}-{id}"));
        scripts.push(script.frame(METHOD, &[0, class, 0, id]).end());
        let script = Script::new(format!("unknown-{class}-{id}-unopened")).on(9);
        scripts.push(script.frame(METHOD, &[0, class, 0, id]).end());
    }
    // Fields that end too early, or not with the frame.
    for method in [
        method!("queue.declare", queue: "q"),
        method!("channel.open"),
        method!("basic.publish", exchange: "amq.direct"),
        method!("basic.ack", delivery_tag: 1),
        method!("exchange.declare", exchange: "x", type: "direct"),
    ] {
        let payload = method.encode();
        let script = Script::new(format!("short-{}", method.name));
        scripts.push(script.frame(METHOD, &payload[..payload.len() - 1]).end());
        let script = Script::new(format!("long-{}", method.name));
        scripts.push(script.frame(METHOD, &[&payload[..], b"x"].concat()).reply());
    }
    let flow = |active: bool| method!("channel.flow", active: active);
    scripts.push(Script::new("flow-on").call(flow(true)));
    scripts.push(Script::new("flow-off").call(flow(false)));
    let close = method!("channel.close", reply_code: 404, reply_text: "NOT_FOUND - whatever",
        class_id: 50, method_id: 10);
    scripts.push(
        Script::new("close-with-reasons")
            .call(close.clone())
            .open(1)
            .settled(),
    );
    scripts.push(Script::new("close-twice").call(close.clone()).call(close));
    scripts.push(
        Script::new("open-reserved")
            .on(4)
            .call(method!("channel.open", reserved_1: "x")),
    );
    scripts.push(Script::new("highest-number").open(2047).settled());
    scripts.push(Script::new("above-highest-number").open(2048).settled());
    scripts.push(Script::new("very-last-number").open(65_535).settled());
    // Both close at once.
    let wrong = Frame::method(1, &method!("queue.delete", queue: ""));
    let close = Frame::method(1, &method!("channel.close", reply_code: 200));
    let script = Script::new("close-crosses-ours")
        .impolite()
        .frames(&[wrong, close])
        .events(2);
    scripts.push(script.send(method!("channel.close-ok")).open(1).settled());
    // One channel's end leaves others alone.
    let script = Script::new("others-live-on").open(2).open(3).on(2);
    scripts.push(
        script
            .call(method!("queue.purge", queue: "none.at.all"))
            .on(3)
            .settled()
            .on(1)
            .settled(),
    );
    // A hard error takes all along.
    let script = Script::new("hard-error")
        .open(2)
        .on(2)
        .call(method!("basic.qos", prefetch_size: 1));
    scripts.push(script);
}
