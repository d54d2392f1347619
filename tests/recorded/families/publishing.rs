//! Publishing: what a message may say, returns, confirms, transactions.

use crate::script::Script;
use crate::support::{Properties, Value, method, properties, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    refused(&mut scripts);
    returned(&mut scripts);
    confirmed(&mut scripts);
    transactions(&mut scripts);
    copies(&mut scripts);
    scripts
}

fn refused(scripts: &mut Vec<Script>) {
    let publish = |exchange: &str| method!("basic.publish", exchange: exchange, routing_key: "k");
    let nothing = Properties::default();
    let script = Script::new("no-exchange");
    scripts.push(
        script
            .content(publish("none.at.all"), &nothing, b"hello")
            .reply(),
    );
    let script = Script::new("no-exchange-mandatory");
    let mandatory = publish("none.at.all").with("mandatory", true);
    scripts.push(script.content(mandatory, &nothing, b"hello").reply());
    let script = Script::new("immediate");
    let immediate = publish("amq.direct").with("immediate", true);
    scripts.push(
        script
            .content(immediate.clone(), &nothing, b"hello")
            .reply(),
    );
    let script = Script::new("immediate-no-exchange");
    scripts.push(
        script
            .content(immediate.with("exchange", "none.at.all"), &nothing, b"")
            .reply(),
    );
    for expiration in [
        "0",
        "1",
        "100000",
        "315360000000",
        "315360000001",
        "99999999999999999999",
        "-1",
        "",
        "abc",
        "1.5",
        "10s",
        " 10",
        "10 ",
        "+10",
        "0x10",
        "1e3",
        "00010",
        "'~p'",
    ] {
        let script = Script::new(format!("expiration-{expiration}"));
        let says = properties!(expiration: expiration);
        scripts.push(
            script
                .content(publish("amq.direct"), &says, b"hello")
                .settled(),
        );
    }
    for (name, reply_to) in [
        ("without-consumer", "amq.rabbitmq.reply-to"),
        ("made-up", "amq.rabbitmq.reply-to.g1abc"),
        ("any", "somewhere"),
    ] {
        let script = Script::new(format!("reply-to-{name}"));
        let says = properties!(reply_to: reply_to);
        scripts.push(
            script
                .content(publish("amq.direct"), &says, b"hello")
                .settled(),
        );
    }
    for (name, key) in [
        ("bare", "amq.rabbitmq.reply-to"),
        ("made-up", "amq.rabbitmq.reply-to.g1abc"),
        ("nonsense", "amq.rabbitmq.reply-to.!!!"),
    ] {
        let script = Script::new(format!("reply-key-{name}"));
        let publish = method!("basic.publish", routing_key: key, mandatory: true);
        scripts.push(script.content(publish, &nothing, b"hello").events(1));
    }
    // Several wrong things at once: which is told.
    let script = Script::new("expiration-and-user-id");
    let says = properties!(expiration: "never", user_id: "nobody");
    scripts.push(
        script
            .content(publish("amq.direct"), &says, b"hello")
            .reply(),
    );
    let script = Script::new("expiration-and-reply-to");
    let says = properties!(expiration: "never", reply_to: "amq.rabbitmq.reply-to");
    scripts.push(
        script
            .content(publish("amq.direct"), &says, b"hello")
            .reply(),
    );
    let script = Script::new("exchange-and-expiration");
    scripts.push(
        script
            .content(publish("none.at.all"), &says, b"hello")
            .reply(),
    );
    // After the refusal the rest is not looked at.
    let script = Script::new("two-refused").publish("none.at.all", "a", "one");
    scripts.push(
        script
            .publish("none.at.either", "b", "two")
            .reply()
            .open(1)
            .settled(),
    );
}

fn returned(scripts: &mut Vec<Script>) {
    let mandatory = |exchange: &str| method!("basic.publish", exchange: exchange, routing_key: "key.of.nobody", mandatory: true);
    for exchange in ["", "amq.direct", "amq.fanout", "amq.topic", "amq.headers"] {
        let script = Script::new(format!("returned-by-{exchange}"));
        let says =
            properties!(content_type: "text/plain", headers: table! { "a" => 1, "b" => "c" });
        scripts.push(
            script
                .content(mandatory(exchange), &says, b"hello")
                .events(1),
        );
        let script = Script::new(format!("not-returned-by-{exchange}"));
        let publish = mandatory(exchange).with("mandatory", false);
        scripts.push(script.content(publish, &says, b"hello").settled());
    }
    let script = Script::new("returned-empty");
    scripts.push(
        script
            .content(mandatory(""), &Properties::default(), b"")
            .events(1),
    );
    let script = Script::new("returned-then-confirmed").call(method!("confirm.select"));
    scripts.push(
        script
            .content(mandatory(""), &Properties::default(), b"hello")
            .events(2),
    );
    let script = Script::new("returned-in-order");
    let script = script.content(mandatory(""), &Properties::default(), b"one");
    scripts.push(
        script
            .content(mandatory("amq.direct"), &Properties::default(), b"two")
            .events(2),
    );
}

fn confirmed(scripts: &mut Vec<Script>) {
    let select = method!("confirm.select");
    scripts.push(
        Script::new("confirm-twice")
            .call(select.clone())
            .call(select.clone()),
    );
    let no_wait = select.clone().with("no_wait", true);
    let script = Script::new("confirm-no-wait")
        .send(no_wait)
        .publish("amq.fanout", "", "hello");
    scripts.push(script.events(1));
    let script = Script::new("confirm-tags").call(select.clone());
    let script = script.publish("amq.fanout", "", "one").events(1);
    scripts.push(script.publish("amq.fanout", "", "two").events(1));
    let script = Script::new("confirm-not-what-was-before").publish("amq.fanout", "", "zero");
    scripts.push(
        script
            .call(select.clone())
            .publish("amq.fanout", "", "one")
            .events(1),
    );
    let script = Script::new("confirm-refused").call(select.clone());
    scripts.push(script.publish("none.at.all", "", "one").reply());
    let script = Script::new("confirm-not-routed").call(select.clone());
    scripts.push(script.publish("", "key.of.nobody", "one").events(1));
    // A queue that is full refuses.
    for overflow in ["reject-publish", "reject-publish-dlx"] {
        let script = Script::new(format!("nacked-by-{overflow}")).call(select.clone());
        let queue = script.own("q");
        let arguments = table! { "x-max-length" => 1, "x-overflow" => overflow };
        let declare =
            method!("queue.declare", queue: &queue, exclusive: true, arguments: arguments);
        let script = script.call(declare).publish("", &queue, "one").events(1);
        scripts.push(script.publish("", &queue, "two").events(1));
    }
}

fn transactions(scripts: &mut Vec<Script>) {
    let (select, commit, rollback) = (
        method!("tx.select"),
        method!("tx.commit"),
        method!("tx.rollback"),
    );
    scripts.push(
        Script::new("tx-twice")
            .call(select.clone())
            .call(select.clone()),
    );
    scripts.push(Script::new("commit-without").call(commit.clone()));
    scripts.push(Script::new("rollback-without").call(rollback.clone()));
    let script = Script::new("confirm-after-tx").call(select.clone());
    scripts.push(script.call(method!("confirm.select")));
    let script = Script::new("confirm-after-tx-no-wait").call(select.clone());
    scripts.push(script.call(method!("confirm.select", no_wait: true)));
    let script = Script::new("tx-after-confirm").call(method!("confirm.select"));
    scripts.push(script.call(select.clone()));
    let script = Script::new("tx-empty")
        .call(select.clone())
        .call(commit.clone());
    scripts.push(script.call(rollback.clone()).call(commit.clone()));
    let publish_refused = |name: &str| {
        Script::new(name)
            .call(select.clone())
            .publish("none.at.all", "k", "hello")
            .reply()
    };
    scripts.push(publish_refused("tx-publish-no-exchange"));
    let script = Script::new("tx-unknown-tag").call(select.clone());
    scripts.push(script.send(method!("basic.ack", delivery_tag: 1)).reply());
    let get = |queue: &str| method!("basic.get", queue: queue);
    let script = Script::new("tx-commit").call(select.clone());
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let script = script
        .publish("", &queue, "one")
        .call(get(&queue))
        .call(commit.clone());
    scripts.push(script.call(get(&queue)));
    let script = Script::new("tx-rollback").call(select.clone());
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let script = script
        .publish("", &queue, "one")
        .call(rollback.clone())
        .call(get(&queue));
    let script = script
        .publish("", &queue, "two")
        .call(commit.clone())
        .call(get(&queue));
    let script = script
        .send(method!("basic.ack", delivery_tag: 1))
        .call(rollback);
    let script = script
        .send(method!("basic.ack", delivery_tag: 1))
        .call(commit.clone());
    scripts.push(script.send(method!("basic.ack", delivery_tag: 1)).reply());
    let script = Script::new("tx-return-at-commit").call(select.clone());
    let publish = method!("basic.publish", routing_key: "key.of.nobody", mandatory: true);
    let script = script
        .content(publish, &Properties::default(), b"hello")
        .settled();
    scripts.push(script.call(commit.clone()));
    let script = Script::new("tx-commit-refused-by-full-queue").call(select);
    let queue = script.own("q");
    let arguments = table! { "x-max-length" => 1, "x-overflow" => "reject-publish" };
    let declare = method!("queue.declare", queue: &queue, exclusive: true, arguments: arguments);
    let script = script
        .call(declare)
        .publish("", &queue, "one")
        .publish("", &queue, "two");
    scripts.push(script.call(commit));
}

fn copies(scripts: &mut Vec<Script>) {
    let header = |name: &str, value: Value| properties!(headers: table! { name => value });
    for key in ["CC", "BCC"] {
        for (name, value) in [
            ("array", Value::Array(vec!["a".into(), "b".into()])),
            ("empty", Value::Array(vec![])),
            ("text", "a".into()),
            ("number", 1.into()),
            ("table", Value::Table(table! { "a" => 1 })),
            ("void", Value::Void),
            ("bool", true.into()),
            ("numbers", Value::Array(vec![1.into()])),
            ("mixed", Value::Array(vec!["a".into(), 1.into()])),
            ("bytes", Value::Array(vec![Value::Bytes(b"a".to_vec())])),
        ] {
            let script = Script::new(format!("{key}-{name}"));
            let script = script.publish_with("amq.direct", "k", &header(key, value), "hello");
            scripts.push(script.settled());
        }
    }
    let script = Script::new("CC-and-BCC-arrive");
    let (one, two, three) = (script.own("q1"), script.own("q2"), script.own("q3"));
    let mut script = script;
    for queue in [&one, &two, &three] {
        script = script.call(method!("queue.declare", queue: queue, exclusive: true));
    }
    let says = properties!(headers: table! {
        "CC" => vec![Value::from(&two)], "BCC" => vec![Value::from(&three)],
    });
    script = script.publish_with("", &one, &says, "hello");
    for queue in [&one, &two, &three] {
        script = script.call(method!("basic.get", queue: queue, no_ack: true));
    }
    scripts.push(script);
}
