//! The arguments of queue.declare: which are taken, which must be the same the second time.

use crate::support::*;

fn declare(name: &str) -> Method {
    method!("queue.declare", queue: name)
}

#[test]
fn redeclaring_needs_equivalent_arguments() {
    let mut client = Broker::shared().client();
    for (key, declared, kind, other) in [
        (
            "x-message-ttl",
            Value::from(1000),
            "signedint",
            Value::from(2000),
        ),
        (
            "x-expires",
            Value::from(60_000),
            "signedint",
            Value::from(70_000),
        ),
        (
            "x-max-length",
            Value::from(10),
            "signedint",
            Value::from(11),
        ),
        (
            "x-max-length-bytes",
            Value::from(10),
            "signedint",
            Value::from(11),
        ),
        (
            "x-max-priority",
            Value::from(5),
            "signedint",
            Value::from(6),
        ),
        (
            "x-dead-letter-exchange",
            Value::from("a"),
            "longstr",
            Value::from("b"),
        ),
        (
            "x-overflow",
            Value::from("drop-head"),
            "longstr",
            Value::from("reject-publish"),
        ),
        (
            "x-queue-mode",
            Value::from("default"),
            "longstr",
            Value::from("lazy"),
        ),
        (
            "x-single-active-consumer",
            Value::from(true),
            "bool",
            Value::from(false),
        ),
    ] {
        let name = unique("queue");
        let with = |value: &Value| {
            declare(&name).with("arguments", Table(vec![(key.into(), value.clone())]))
        };
        let text = |what: String| {
            format!(
                "PRECONDITION_FAILED - inequivalent arg '{key}' for queue '{name}' in vhost '/': {what}"
            )
        };
        let plain = |value: &Value| match value {
            Value::I32(number) => number.to_string(),
            other => format!("{other:?}").replace('"', ""),
        };
        let (value, differs) = (plain(&declared), plain(&other));
        client.call(with(&declared));
        client.call(with(&declared));
        client.refused(
            with(&other),
            406,
            &text(format!("received '{differs}' but current is '{value}'")),
        );
        let was_there =
            format!("received none but current is the value '{value}' of type '{kind}'");
        client.refused(declare(&name), 406, &text(was_there));
        client.call(method!("queue.delete", queue: &name));
        client.call(declare(&name));
        let is_new = format!("received the value '{value}' of type '{kind}' but current is none");
        client.refused(with(&declared), 406, &text(is_new));
        client.call(method!("queue.delete", queue: &name));
    }
}

#[test]
fn the_type_of_an_equivalent_number_does_not_matter() {
    let mut client = Broker::shared().client();
    let name = unique("queue");
    let with = |value: Value| {
        declare(&name).with("arguments", Table(vec![("x-max-length".into(), value)]))
    };
    client.call(with(Value::from(10)));
    for same in [
        Value::from(10i64),
        Value::from(10i16),
        Value::from(10i8),
        Value::from(10u8),
        Value::from(10u16),
        Value::from(10u32),
    ] {
        client.call(with(same));
    }
    client.call(method!("queue.delete", queue: &name));
}

#[test]
fn a_queue_and_its_messages_may_live_for_ten_years() {
    let mut client = Broker::shared().client();
    for argument in ["x-message-ttl", "x-expires"] {
        for (ms, is_taken) in [
            (4_294_967_296i64, true),
            (315_360_000_000, true),
            (315_360_000_001, false),
        ] {
            let name = unique("queue");
            let mut arguments = table! {};
            arguments.0.push((argument.into(), Value::from(ms)));
            let declare = method!("queue.declare", queue: &name, arguments: arguments);
            if is_taken {
                client.call(declare);
                client.call(method!("queue.delete", queue: &name));
            } else {
                let text = format!(
                    "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/': \
                     {{value_too_large,{ms}}}"
                );
                client.refused(declare, 406, &text);
            }
        }
    }
}

#[test]
fn arguments_are_checked() {
    let mut client = Broker::shared().client();
    let no_integer = |kind: &str| format!("\"expected integer, got {kind}\"");
    let unacceptable = |kind: &str| format!("{{unacceptable_type,{kind}}}");
    for (key, value, text) in [
        (
            "x-message-ttl",
            Value::from(-1),
            "{value_negative,-1}".into(),
        ),
        ("x-message-ttl", Value::from("100"), no_integer("longstr")),
        ("x-message-ttl", Value::from(1.5), no_integer("double")),
        (
            "x-message-ttl",
            Value::from(i64::MAX),
            "{value_too_large,9223372036854775807}".into(),
        ),
        ("x-expires", Value::from(0), "{value_zero,0}".into()),
        ("x-expires", Value::from(-1), "{value_negative,-1}".into()),
        ("x-expires", Value::from("1000"), no_integer("longstr")),
        (
            "x-expires",
            Value::from(i64::MAX),
            "{value_too_large,9223372036854775807}".into(),
        ),
        (
            "x-max-length",
            Value::from(-1),
            "{value_negative,-1}".into(),
        ),
        ("x-max-length", Value::from("10"), no_integer("longstr")),
        (
            "x-max-length-bytes",
            Value::from(-1),
            "{value_negative,-1}".into(),
        ),
        ("x-max-length-bytes", Value::from(true), no_integer("bool")),
        (
            "x-max-priority",
            Value::from(-1),
            "{value_negative,-1}".into(),
        ),
        (
            "x-max-priority",
            Value::from(256),
            "{max_value_exceeded,256}".into(),
        ),
        ("x-max-priority", Value::from("9"), no_integer("longstr")),
        (
            "x-dead-letter-routing-key",
            Value::from("k"),
            "routing_key_but_no_dlx_defined".into(),
        ),
        (
            "x-dead-letter-routing-key",
            Value::from(1),
            unacceptable("signedint"),
        ),
        (
            "x-overflow",
            Value::from("drop-tail"),
            "invalid_overflow".into(),
        ),
        ("x-overflow", Value::from(1), unacceptable("signedint")),
        (
            "x-queue-mode",
            Value::from("busy"),
            "\"unsupported queue mode 'busy'\"".into(),
        ),
        ("x-queue-mode", Value::from(1), unacceptable("signedint")),
        (
            "x-queue-type",
            Value::from("nothing"),
            "\"unsupported queue type 'nothing'\"".into(),
        ),
        ("x-queue-type", Value::from(1), unacceptable("signedint")),
        (
            "x-single-active-consumer",
            Value::from("yes"),
            unacceptable("longstr"),
        ),
        (
            "x-queue-version",
            Value::from(9),
            "\"unsupported queue version '9'\"".into(),
        ),
    ] {
        let name = unique("queue");
        let arguments = Table(vec![(key.into(), value)]);
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost '/': {text}"
        );
        client.refused(declare(&name).with("arguments", arguments), 406, &text);
    }
}

#[test]
fn a_dead_letter_exchange_must_be_a_string() {
    let mut client = Broker::shared().client();
    let name = unique("queue");
    let arguments = table! { "x-dead-letter-exchange" => 1 };
    let text = format!(
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue '{name}' in vhost '/'"
    );
    client.refused(declare(&name).with("arguments", arguments), 406, &text);
}

#[test]
fn arguments_of_other_queue_types_are_refused() {
    let mut client = Broker::shared().client();
    for (key, value) in [
        ("x-delivery-limit", Value::from(5)),
        ("x-quorum-initial-group-size", Value::from(3)),
        ("x-max-age", Value::from("1D")),
        ("x-stream-max-segment-size-bytes", Value::from(1000)),
        ("x-max-in-memory-length", Value::from(1000)),
        ("x-dead-letter-strategy", Value::from("at-least-once")),
    ] {
        let name = unique("queue");
        let arguments = Table(vec![(key.into(), value)]);
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost '/' of queue type rabbit_classic_queue"
        );
        client.refused(
            declare(&name)
                .with("exclusive", true)
                .with("arguments", arguments),
            406,
            &text,
        );
    }
}

#[test]
fn of_several_arguments_of_other_queue_types_the_first_is_named() {
    let mut client = Broker::shared().client();
    let (one, other) = ("x-max-age", "x-delivery-limit");
    for keys in [[one, other], [other, one]] {
        let name = unique("queue");
        let value = |key: &str| match key {
            "x-max-age" => Value::from("1D"),
            _ => Value::from(3),
        };
        let arguments = Table(keys.map(|key| (key.into(), value(key))).into());
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{}' for queue '{name}' in vhost '/' of queue type rabbit_classic_queue",
            keys[0]
        );
        client.refused(declare(&name).with("arguments", arguments), 406, &text);
    }
}

#[test]
fn what_no_queue_type_knows_means_nothing() {
    let mut client = Broker::shared().client();
    client.queue_with(table! { "x-quorum-target-group-size" => 3 });
    client.queue_with(table! { "x-nonsense" => "y", "x-queue-master-locator" => "nowhere" });
}

/// Where a queue for everybody is to be must make sense; RabbitMQ closes the connection over it.
#[test]
fn a_master_locator_must_be_one() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let name = unique("queue");
    let locator = |place: &str| {
        let arguments = table! { "x-queue-master-locator" => place };
        method!("queue.declare", queue: &name, arguments: arguments)
    };
    client.call(locator("min-masters"));
    client.call(method!("queue.delete", queue: &name));
    if !broker.is_warren() {
        return skip("RabbitMQ closes the connection with 541");
    }
    let text = format!(
        "PRECONDITION_FAILED - invalid arg 'x-queue-master-locator' for queue '{name}' in vhost '/': \
         invalid_queue_locator_arg"
    );
    client.refused(locator("nowhere"), 406, &text);
}

#[test]
fn values_are_shown_as_rabbitmq_shows_them() {
    let mut client = Broker::shared().client();
    let numbers = |text: &[u8]| {
        let numbers: Vec<_> = text.iter().map(u8::to_string).collect();
        format!("[{}]", numbers.join(","))
    };
    for (value, shown) in [
        (&b"bus\"y\\"[..], "'bus\\\"y\\\\'"),
        ("caf\u{e9}".as_bytes(), "'caf\u{e9}'"),
        (b"a\n", "'a\\n'"),
        (b"", "''"),
    ] {
        for (key, what) in [("x-queue-mode", "mode"), ("x-queue-type", "type")] {
            let name = unique("queue");
            let arguments = Table(vec![(key.into(), Value::Text(value.to_vec()))]);
            let text = format!(
                "PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}' in vhost '/': \
                 \"unsupported queue {what} {shown}\""
            );
            client.refused(declare(&name).with("arguments", arguments), 406, &text);
        }
    }
    for value in [&b"a\x80"[..], "\u{20ac}".as_bytes(), b"a\0"] {
        let name = unique("queue");
        let arguments = Table(vec![("x-queue-mode".into(), Value::Text(value.to_vec()))]);
        let shown = numbers(&[b"unsupported queue mode '", value, b"'"].concat());
        let text = format!(
            "PRECONDITION_FAILED - invalid arg 'x-queue-mode' for queue '{name}' in vhost '/': {shown}"
        );
        client.refused(declare(&name).with("arguments", arguments), 406, &text);
    }
    let name = unique("queue");
    let arguments = Table(vec![("x-overflow".into(), Value::Text(b"a\xff".to_vec()))]);
    let text = format!(
        "PRECONDITION_FAILED - invalid arg 'x-overflow' for queue '{name}' in vhost '/': invalid_overflow"
    );
    client.refused(declare(&name).with("arguments", arguments), 406, &text);
}

#[test]
fn limits_that_are_zero_are_fine() {
    let mut client = Broker::shared().client();
    for key in [
        "x-message-ttl",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
    ] {
        client.queue_with(table! { key => 0 });
    }
}
