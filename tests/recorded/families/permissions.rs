//! What is refused to a user: every method that needs a permission, without it.

use crate::script::{Entry, Script};
use crate::support::{Login, Method, method, properties, table};

pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for method in refused() {
        let name = format!("{}-{}", method.name, scripts.len());
        scripts.push(named(&name, "limited").call(method));
    }
    mixed(&mut scripts);
    publishing(&mut scripts);
    topics(&mut scripts);
    scripts
}

fn named(name: &str, user: &str) -> Script {
    let login = Login {
        user: user.into(),
        password: "secret".into(),
        ..Login::default()
    };
    Script::with(name, Entry::Open(login))
}

/// `limited` may do everything with names that begin with "mine".
fn refused() -> Vec<Method> {
    vec![
        method!("queue.declare", queue: "theirs"),
        method!("queue.declare"),
        method!("queue.declare", queue: "theirs.passive", passive: true),
        method!("queue.delete", queue: "theirs"),
        method!("queue.purge", queue: "theirs"),
        method!("basic.get", queue: "theirs"),
        method!("basic.consume", queue: "theirs"),
        method!("queue.bind", queue: "theirs", exchange: "amq.direct"),
        method!("queue.bind", queue: "mine", exchange: "amq.direct"),
        method!("queue.bind", queue: "mine", exchange: "mine"),
        method!("queue.unbind", queue: "theirs", exchange: "mine"),
        method!("queue.unbind", queue: "mine", exchange: "theirs"),
        method!("exchange.declare", exchange: "theirs", type: "direct"),
        method!("exchange.declare", exchange: "theirs", type: "none"),
        method!("exchange.declare", exchange: "theirs.passive", type: "direct", passive: true),
        method!("exchange.delete", exchange: "theirs"),
        method!("exchange.delete", exchange: "amq.direct"),
        method!("exchange.bind", destination: "theirs", source: "mine"),
        method!("exchange.bind", destination: "mine", source: "theirs"),
        method!("exchange.bind", destination: "mine", source: "mine"),
        method!("exchange.unbind", destination: "theirs", source: "mine"),
        method!("exchange.unbind", destination: "mine", source: "theirs"),
        method!("queue.declare", queue: "mine.dlx",
            arguments: table! { "x-dead-letter-exchange" => "theirs" }),
        method!("queue.declare", queue: "mine.dlx.default",
            arguments: table! { "x-dead-letter-exchange" => "" }),
        method!("exchange.declare", exchange: "mine.alternate", type: "fanout",
            arguments: table! { "alternate-exchange" => "theirs" }),
        method!("queue.declare", queue: "mine.exclusive", exclusive: true),
        method!("exchange.declare", exchange: "mine.exchange", type: "fanout", auto_delete: true),
    ]
}

fn mixed(scripts: &mut Vec<Script>) {
    // Passive declares need no permission.
    let script = Script::new("passive-of-anything");
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue));
    let login = Login {
        user: "limited".into(),
        password: "secret".into(),
        ..Login::default()
    };
    let script = script.enters(Entry::Open(login));
    let script = script.call(method!("queue.declare", queue: &queue, passive: true));
    scripts.push(script.call(method!("exchange.declare", exchange: "amq.direct", passive: true)));
    // An exclusive queue of somebody else: permission is looked at first.
    let script = Script::new("exclusive-or-refused");
    let queue = script.own("q");
    let script = script.call(method!("queue.declare", queue: &queue, exclusive: true));
    let login = Login {
        user: "limited".into(),
        password: "secret".into(),
        ..Login::default()
    };
    let script = script.enters(Entry::Open(login));
    scripts.push(script.call(method!("basic.get", queue: &queue)));
}

fn publishing(scripts: &mut Vec<Script>) {
    let script = named("publish-default", "limited");
    scripts.push(script.publish("", "mine", "hello").reply());
    let script = named("publish-theirs", "limited");
    scripts.push(script.publish("amq.direct", "mine", "hello").reply());
    let script = named("publish-missing", "limited");
    scripts.push(script.publish("mine.not.there", "k", "hello").reply());
    let script = named("publish-theirs-missing", "limited");
    scripts.push(script.publish("theirs.not.there", "k", "hello").reply());
    let says = |user: &str| properties!(user_id: user);
    let script = Script::new("user-id-right");
    scripts.push(
        script
            .publish_with("amq.fanout", "", &says("guest"), "hello")
            .settled(),
    );
    for user in ["limited", "", "nobody", "it's"] {
        let script = Script::new(format!("user-id-{user}-wrong"));
        scripts.push(
            script
                .publish_with("amq.fanout", "", &says(user), "hello")
                .reply(),
        );
    }
    let script = named("user-id-of-impersonator", "actor");
    scripts.push(
        script
            .publish_with("amq.fanout", "", &says("guest"), "hello")
            .settled(),
    );
}

/// `topical` may do everything, but with amq.topic only by keys that begin with "mine".
fn topics(scripts: &mut Vec<Script>) {
    let script = named("topic-publish-mine", "topical");
    scripts.push(script.publish("amq.topic", "mine.a", "hello").settled());
    let script = named("topic-publish-theirs", "topical");
    scripts.push(script.publish("amq.topic", "theirs.a", "hello").reply());
    let script = named("topic-publish-elsewhere", "topical");
    scripts.push(script.publish("amq.direct", "theirs.a", "hello").settled());
    for key in ["mine.*", "theirs.*", "#"] {
        let script = named(&format!("topic-bind-{key}"), "topical");
        let script = script.call(method!("queue.declare", exclusive: true));
        scripts.push(script.call(method!("queue.bind", exchange: "amq.topic", routing_key: key)));
        let script = named(&format!("topic-unbind-{key}"), "topical");
        let script = script.call(method!("queue.declare", exclusive: true));
        scripts.push(script.call(method!("queue.unbind", exchange: "amq.topic", routing_key: key)));
        let script = named(&format!("topic-bind-exchange-{key}"), "topical");
        let bind = method!("exchange.bind", destination: "amq.direct", source: "amq.topic", routing_key: key);
        scripts.push(script.call(bind));
    }
}
