//! exchange.declare and delete; exchanges that are predeclared, internal, auto-delete, alternate.

use crate::support::*;

fn declare(name: &str, kind: &str) -> Method {
    method!("exchange.declare", exchange: name, type: kind)
}

#[test]
fn every_type_is_declared_deleted_and_gone() {
    let mut client = Broker::shared().client();
    for kind in ["direct", "fanout", "topic", "headers"] {
        let name = unique(kind);
        client.call(declare(&name, kind));
        client.call(declare(&name, kind));
        client.call(declare(&name, kind).with("passive", true));
        client.call(method!("exchange.delete", exchange: &name));
        let text = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
        client.refused(declare(&name, kind).with("passive", true), 404, &text);
    }
}

#[test]
fn predeclared_exchanges_are_there() {
    let mut client = Broker::shared().client();
    for (name, kind) in [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ] {
        client.call(declare(name, kind).with("passive", true));
        client.call(declare(name, kind).with("durable", true));
    }
}

#[test]
fn passive_ignores_what_else_is_said() {
    let mut client = Broker::shared().client();
    let name = client.exchange("direct");
    let other = declare(&name, "fanout")
        .with("durable", true)
        .with("internal", true);
    client.call(
        other
            .with("passive", true)
            .with("arguments", table! { "x" => 1 }),
    );
    client.call(declare(&name, "").with("passive", true));
}

#[test]
fn redeclaring_must_be_equivalent() {
    let mut client = Broker::shared().client();
    let name = unique("exchange");
    client.call(declare(&name, "direct"));
    let inequivalent = |what: &str, received: &str, current: &str| {
        format!(
            "PRECONDITION_FAILED - inequivalent arg '{what}' for exchange '{name}' in vhost '/': \
             received {received} but current is {current}"
        )
    };
    for (method, text) in [
        (
            declare(&name, "fanout"),
            inequivalent("type", "'fanout'", "'direct'"),
        ),
        (
            declare(&name, "direct").with("durable", true),
            inequivalent("durable", "'true'", "'false'"),
        ),
        (
            declare(&name, "direct").with("auto_delete", true),
            inequivalent("auto_delete", "'true'", "'false'"),
        ),
        (
            declare(&name, "direct").with("internal", true),
            inequivalent("internal", "'true'", "'false'"),
        ),
        (
            declare(&name, "direct").with("arguments", table! { "alternate-exchange" => "ae" }),
            inequivalent(
                "alternate-exchange",
                "the value 'ae' of type 'longstr'",
                "none",
            ),
        ),
    ] {
        client.refused(method, 406, &text);
    }
    // Arguments that mean nothing to the broker are not compared.
    client.call(declare(&name, "direct").with("arguments", table! { "x-whatever" => 1 }));
    client.call(method!("exchange.delete", exchange: &name));
}

#[test]
fn redeclaring_with_another_alternate_exchange_is_refused() {
    let mut client = Broker::shared().client();
    let name = unique("exchange");
    let with = |table: Table| declare(&name, "direct").with("arguments", table);
    client.call(with(table! { "alternate-exchange" => "one" }));
    let text = |received: &str| {
        format!(
            "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '{name}' in vhost '/': \
             received {received}"
        )
    };
    client.refused(
        with(table! { "alternate-exchange" => "two" }),
        406,
        &text("'two' but current is 'one'"),
    );
    client.refused(
        with(table! {}),
        406,
        &text("none but current is the value 'one' of type 'longstr'"),
    );
    // No value is as if there was none, in another way.
    client.refused(
        with(table! { "alternate-exchange" => Value::Void }),
        406,
        &text("none but current is 'one'"),
    );
    client.call(with(table! { "alternate-exchange" => "one" }));
    client.call(method!("exchange.delete", exchange: &name));
}

#[test]
fn an_unknown_type_is_refused() {
    let mut client = Broker::shared().client();
    client.send(declare(&unique("exchange"), "x-nothing"));
    client.expect_connection_close(
        503,
        "COMMAND_INVALID - unknown exchange type 'x-nothing'",
        "exchange.declare",
    );
    let mut client = Broker::shared().client();
    client.send(declare(&unique("exchange"), ""));
    client.expect_connection_close(
        503,
        "COMMAND_INVALID - invalid exchange type ''",
        "exchange.declare",
    );
}

#[test]
fn the_type_of_an_existing_exchange_must_be_known_too() {
    let mut client = Broker::shared().client();
    client.send(declare("amq.direct", "x-nothing").with("durable", true));
    client.expect_connection_close(
        503,
        "COMMAND_INVALID - unknown exchange type 'x-nothing'",
        "exchange.declare",
    );
}

#[test]
fn reserved_names_are_refused() {
    let mut client = Broker::shared().client();
    for name in ["amq.mine", "amq."] {
        let text =
            format!("ACCESS_REFUSED - exchange name '{name}' contains reserved prefix 'amq.*'");
        client.refused(declare(name, "direct"), 403, &text);
    }
    client.refused(
        declare("amq.mine", "direct").with("passive", true),
        404,
        "NOT_FOUND - no exchange 'amq.mine' in vhost '/'",
    );
}

#[test]
fn the_default_exchange_is_not_to_be_touched() {
    let mut client = Broker::shared().client();
    let text = "ACCESS_REFUSED - operation not permitted on the default exchange";
    client.refused(declare("", "direct"), 403, text);
    client.refused(declare("", "direct").with("durable", true), 403, text);
    client.refused(declare("", "direct").with("passive", true), 403, text);
    client.refused(method!("exchange.delete", exchange: ""), 403, text);
    let queue = client.queue();
    client.refused(
        method!("queue.bind", queue: &queue, exchange: ""),
        403,
        text,
    );
    client.refused(
        method!("queue.unbind", queue: &queue, exchange: ""),
        403,
        text,
    );
    client.refused(
        method!("exchange.bind", destination: "amq.fanout", source: ""),
        403,
        text,
    );
    client.refused(
        method!("exchange.bind", destination: "", source: "amq.fanout"),
        403,
        text,
    );
}

#[test]
fn system_exchanges_are_not_deleted() {
    let mut client = Broker::shared().client();
    for name in ["amq.direct", "amq.fanout", "amq.rabbitmq.trace"] {
        let text = format!(
            "ACCESS_REFUSED - deletion of system exchange '{name}' in vhost '/' not allowed"
        );
        client.refused(method!("exchange.delete", exchange: name), 403, &text);
    }
}

#[test]
fn deleting_what_is_not_there_is_fine() {
    let mut client = Broker::shared().client();
    client.call(method!("exchange.delete", exchange: unique("nothing")));
    client.call(method!("exchange.delete", exchange: unique("nothing"), if_unused: true));
}

#[test]
fn if_unused_spares_an_exchange_with_bindings() {
    let mut client = Broker::shared().client();
    let name = unique("exchange");
    client.call(declare(&name, "direct"));
    let queue = client.queue();
    client.bind(&queue, &name, "k");
    let delete = method!("exchange.delete", exchange: &name, if_unused: true);
    client.refused(
        delete.clone(),
        406,
        &format!("PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use"),
    );
    client.call(method!("queue.unbind", queue: &queue, exchange: &name, routing_key: "k"));
    client.call(delete);
}

#[test]
fn an_exchange_that_others_feed_is_not_in_use() {
    let mut client = Broker::shared().client();
    let name = unique("exchange");
    client.call(declare(&name, "direct"));
    client.call(
        method!("exchange.bind", destination: &name, source: "amq.direct", routing_key: &name),
    );
    client.call(method!("exchange.delete", exchange: &name, if_unused: true));
}

#[test]
fn auto_delete_waits_for_the_last_binding_to_go() {
    let mut client = Broker::shared().client();
    let name = client.exchange("fanout");
    let (one, two) = (client.queue(), client.queue());
    client.bind(&one, &name, "");
    client.bind(&two, &name, "");
    client.call(method!("queue.unbind", queue: &one, exchange: &name));
    client.call(declare(&name, "").with("passive", true));
    client.call(method!("queue.delete", queue: &two));
    let text = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
    client.refused(declare(&name, "").with("passive", true), 404, &text);
}

#[test]
fn auto_delete_goes_along_chains_of_exchanges() {
    let mut client = Broker::shared().client();
    let (first, second) = (client.exchange("fanout"), client.exchange("fanout"));
    let queue = client.queue();
    client.call(method!("exchange.bind", destination: &second, source: &first));
    client.bind(&queue, &second, "");
    client.call(method!("queue.delete", queue: &queue));
    for name in [first, second] {
        let text = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
        client.refused(declare(&name, "").with("passive", true), 404, &text);
    }
}

#[test]
fn an_internal_exchange_takes_no_publishes_but_routes() {
    let mut client = Broker::shared().client();
    let name = unique("internal");
    client.call(
        declare(&name, "fanout")
            .with("internal", true)
            .with("auto_delete", true),
    );
    let source = client.exchange("fanout");
    let queue = client.queue();
    client.bind(&queue, &name, "");
    client.call(method!("exchange.bind", destination: &name, source: &source));
    client.publish(&source, "k", "through");
    client.await_ready(&queue, 1);
    assert_eq!(client.take(&queue).as_deref(), Some("through"));
    client.publish(&name, "k", "refused");
    let text =
        format!("ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'");
    client.expect_close(403, &text, "basic.publish");
}

#[test]
fn what_is_not_routed_goes_to_the_alternate_exchange() {
    let mut client = Broker::shared().client();
    let (last, middle, first) = (client.exchange("fanout"), unique("middle"), unique("first"));
    let with_alternate = |name: &str, alternate: &str| {
        declare(name, "direct").with("arguments", table! { "alternate-exchange" => alternate })
    };
    client.call(with_alternate(&middle, &last));
    client.call(with_alternate(&first, &middle));
    let (queue, fallback) = (client.queue(), client.queue());
    client.bind(&queue, &first, "known");
    client.bind(&fallback, &last, "");
    client.publish(&first, "known", "one");
    client.publish(&first, "unknown", "two");
    client.await_ready(&fallback, 1);
    assert_eq!(client.take_all(&queue), ["one"]);
    let message = client.get(&fallback, true).expect("a message");
    assert_eq!(message.method.text("exchange"), first);
    assert_eq!(message.method.text("routing-key"), "unknown");
    client.call(method!("exchange.delete", exchange: &first));
    client.call(method!("exchange.delete", exchange: &middle));
}

#[test]
fn a_missing_alternate_exchange_makes_a_message_unroutable() {
    let mut client = Broker::shared().client();
    let name = unique("exchange");
    let arguments = table! { "alternate-exchange" => unique("nothing") };
    client.call(declare(&name, "direct").with("arguments", arguments));
    let publish = method!("basic.publish", exchange: &name, routing_key: "k", mandatory: true);
    client.send_content(publish, &Properties::default(), b"back");
    assert_eq!(
        client.message("basic.return").method.text("reply-text"),
        "NO_ROUTE"
    );
    client.call(method!("exchange.delete", exchange: &name));
}

#[test]
fn alternate_exchanges_may_form_a_circle() {
    let mut client = Broker::shared().client();
    let (one, two) = (unique("one"), unique("two"));
    for (name, alternate) in [(&one, &two), (&two, &one)] {
        client.call(
            declare(name, "direct").with("arguments", table! { "alternate-exchange" => alternate }),
        );
    }
    let publish = method!("basic.publish", exchange: &one, routing_key: "k", mandatory: true);
    client.send_content(publish, &Properties::default(), b"back");
    assert_eq!(client.message("basic.return").text(), "back");
    client.call(method!("exchange.delete", exchange: &one));
    client.call(method!("exchange.delete", exchange: &two));
}

#[test]
fn alternate_exchange_must_be_a_string() {
    let mut client = Broker::shared().client();
    for (value, kind) in [(Value::from(1), "signedint"), (Value::from(true), "bool")] {
        let name = unique("exchange");
        let arguments = Table(vec![("alternate-exchange".into(), value)]);
        let text = format!(
            "PRECONDITION_FAILED - invalid type '{kind}' for arg 'alternate-exchange' in exchange '{name}' in vhost '/'"
        );
        client.refused(
            declare(&name, "direct").with("arguments", arguments),
            406,
            &text,
        );
    }
}

#[test]
fn line_ends_are_taken_out_of_names() {
    let mut client = Broker::shared().client();
    let name = unique("exchange");
    client.call(declare(&format!("{name}\r\n"), "fanout").with("auto_delete", true));
    client.call(declare(&name, "").with("passive", true));
}

#[test]
fn names_may_be_255_bytes_of_anything() {
    let mut client = Broker::shared().client();
    let name = format!("{}-ü€😀 /", unique("exchange"));
    let name = format!("{name}{}", "x".repeat(255 - name.len()));
    client.call(declare(&name, "fanout").with("auto_delete", true));
    let queue = client.queue();
    client.bind(&queue, &name, "");
    client.publish(&name, "", "hi");
    client.await_ready(&queue, 1);
    assert_eq!(
        client
            .get(&queue, true)
            .expect("a message")
            .method
            .text("exchange"),
        name
    );
}

#[test]
fn long_reply_texts_are_cut() {
    let mut client = Broker::shared().client();
    let name = "x".repeat(255);
    client.send(declare(&name, "").with("passive", true));
    let close = client.expect_name("channel.close");
    let text = format!("NOT_FOUND - no exchange '{name}");
    assert_eq!(close.text("reply-text"), format!("{}...", &text[..252]));
}
