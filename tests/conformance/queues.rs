//! queue.declare, purge and delete; server-named, exclusive, auto-delete and durable queues.

use crate::support::*;

fn declare(name: &str) -> Method {
    method!("queue.declare", queue: name)
}

fn locked(name: &str) -> String {
    format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. \
         It could be originally declared on another connection or the exclusive property value \
         does not match that of the original declaration."
    )
}

fn not_found(name: &str) -> String {
    format!("NOT_FOUND - no queue '{name}' in vhost '/'")
}

#[test]
fn declared_deleted_and_gone() {
    let mut client = Broker::shared().client();
    let name = unique("queue");
    for _ in 0..2 {
        client.send(declare(&name));
        client.expect(method!("queue.declare-ok", queue: &name));
    }
    client.send(method!("queue.delete", queue: &name));
    client.expect(method!("queue.delete-ok"));
    client.refused(declare(&name).with("passive", true), 404, &not_found(&name));
}

#[test]
fn declare_ok_counts_messages_and_consumers() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    let queue = client.queue();
    client.on(2).prefetch(1);
    client.on(2).consume(&queue, "c");
    client.publish("", &queue, "1");
    client.on(2).delivery();
    client.publish("", &queue, "2");
    client.publish("", &queue, "3");
    client.await_ready(&queue, 2);
    client.send(declare(&queue).with("passive", true));
    client.expect(method!("queue.declare-ok", queue: &queue, message_count: 2, consumer_count: 1));
}

#[test]
fn names_are_made_where_none_is_given() {
    let mut client = Broker::shared().client();
    let names = [client.queue(), client.queue()];
    assert_ne!(names[0], names[1]);
    for name in names {
        let random = name.strip_prefix("amq.gen-").expect(&name);
        assert_eq!(random.len(), 22);
        assert!(
            random
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'),
            "{name}"
        );
    }
}

#[test]
fn an_empty_name_means_the_queue_declared_last() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.call(method!("queue.bind", exchange: "amq.direct"));
    client.publish("amq.direct", &queue, "1");
    client.await_ready(&queue, 1);
    assert_eq!(client.take("").as_deref(), Some("1"));
    client.call(method!("queue.unbind", exchange: "amq.direct"));
    client.call(method!("queue.purge"));
    client.call(method!("basic.consume", consumer_tag: "c"));
    assert_eq!(client.counts(&queue), (0, 1));
    client.call(method!("basic.cancel", consumer_tag: "c"));
    client.call(method!("queue.delete"));
    client.refused(
        declare(&queue).with("passive", true),
        404,
        &not_found(&queue),
    );
}

#[test]
fn an_empty_name_means_nothing_on_a_new_channel() {
    let mut client = Broker::shared().client();
    client.queue();
    client.open_channel(2);
    let text = "NOT_FOUND - no previously declared queue";
    for method in [
        method!("basic.get"),
        method!("basic.consume"),
        method!("queue.purge"),
        method!("queue.delete"),
        method!("queue.bind", exchange: "amq.direct"),
        method!("queue.unbind", exchange: "amq.direct"),
    ] {
        client.on(2).refused(method, 404, text);
    }
    client.on(2).refused(
        declare("").with("passive", true),
        404,
        "NOT_FOUND - no queue '' in vhost '/'",
    );
}

#[test]
fn a_passive_declare_counts_as_declared_last() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.queue();
    client.call(declare(&queue).with("passive", true));
    client.publish("", &queue, "1");
    client.await_ready(&queue, 1);
    assert_eq!(client.take("").as_deref(), Some("1"));
}

#[test]
fn redeclaring_must_be_equivalent() {
    let mut client = Broker::shared().client();
    let name = unique("queue");
    client.call(declare(&name));
    let text = |what: &str| {
        format!(
            "PRECONDITION_FAILED - inequivalent arg '{what}' for queue '{name}' in vhost '/': \
             received 'true' but current is 'false'"
        )
    };
    client.refused(declare(&name).with("durable", true), 406, &text("durable"));
    client.refused(
        declare(&name).with("auto_delete", true),
        406,
        &text("auto_delete"),
    );
    client.refused(declare(&name).with("exclusive", true), 405, &locked(&name));
    client.call(declare(&name).with("arguments", table! { "x-whatever" => "ignored" }));
    client.call(method!("queue.delete", queue: &name));
}

#[test]
fn redeclaring_with_no_value_is_as_with_no_argument() {
    let mut client = Broker::shared().client();
    let name = unique("queue");
    let with = |value: Value| declare(&name).with("arguments", table! { "x-message-ttl" => value });
    client.call(with(Value::I32(1000)));
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '{name}' in vhost '/': \
         received none but current is '1000'"
    );
    client.refused(with(Value::Void), 406, &text);
    client.call(method!("queue.delete", queue: &name));
}

#[test]
fn reserved_names_are_refused() {
    let mut client = Broker::shared().client();
    let text = "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'";
    client.refused(declare("amq.mine"), 403, text);
    client.refused(
        declare("amq.mine").with("passive", true),
        404,
        &not_found("amq.mine"),
    );
    let queue = client.queue();
    let text = format!("ACCESS_REFUSED - queue name '{queue}' contains reserved prefix 'amq.*'");
    client.refused(declare(&queue).with("exclusive", true), 403, &text);
}

#[test]
fn an_exclusive_queue_is_locked_for_others() {
    let mut owner = Broker::shared().client();
    let queue = owner.queue();
    let mut other = Broker::shared().client();
    let text = locked(&queue);
    let reserved =
        format!("ACCESS_REFUSED - queue name '{queue}' contains reserved prefix 'amq.*'");
    other.refused(declare(&queue), 403, &reserved);
    other.refused(declare(&queue).with("exclusive", true), 403, &reserved);
    for method in [
        declare(&queue).with("passive", true),
        method!("basic.get", queue: &queue),
        method!("basic.consume", queue: &queue),
        method!("queue.purge", queue: &queue),
        method!("queue.delete", queue: &queue),
        method!("queue.bind", queue: &queue, exchange: "amq.direct"),
    ] {
        other.refused(method, 405, &text);
    }
    other.publish("", &queue, "anybody may publish");
    owner.await_ready(&queue, 1);
}

#[test]
fn an_exclusive_queue_goes_with_its_connection() {
    let mut owner = Broker::shared().client();
    let name = unique("exclusive");
    owner.call(declare(&name).with("exclusive", true).with("durable", true));
    owner.close();
    let mut other = Broker::shared().client();
    other.call(declare(&name));
    other.call(method!("queue.delete", queue: &name));
}

#[test]
fn an_exclusive_queue_outlives_its_channel() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.call(method!("channel.close", reply_code: 200));
    client.open_channel(1);
    client.call(declare(&queue).with("passive", true));
}

#[test]
fn auto_delete_goes_with_the_last_consumer() {
    let mut client = Broker::shared().client();
    let name = unique("auto-delete");
    client.call(declare(&name).with("auto_delete", true));
    client.consume(&name, "one");
    client.consume(&name, "two");
    client.call(method!("basic.cancel", consumer_tag: "one"));
    client.call(declare(&name).with("passive", true));
    client.call(method!("basic.cancel", consumer_tag: "two"));
    client.refused(declare(&name).with("passive", true), 404, &not_found(&name));
}

#[test]
fn auto_delete_goes_with_the_consumers_channel() {
    let mut client = Broker::shared().client();
    client.open_channel(2);
    let name = unique("auto-delete");
    client.call(declare(&name).with("auto_delete", true));
    client.on(2).consume(&name, "one");
    client.on(2).call(method!("channel.close", reply_code: 200));
    client.refused(declare(&name).with("passive", true), 404, &not_found(&name));
}

#[test]
fn auto_delete_without_a_consumer_stays() {
    let mut client = Broker::shared().client();
    let name = unique("auto-delete");
    client.call(declare(&name).with("auto_delete", true));
    client.publish("", &name, "1");
    client.await_ready(&name, 1);
    client.take(&name);
    client.call(declare(&name).with("passive", true));
    client.call(method!("queue.delete", queue: &name));
}

#[test]
fn purge_drops_what_is_ready_and_says_how_much() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    for body in ["1", "2", "3"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 3);
    let unacked = client.get(&queue, false).expect("a message");
    client.send(method!("queue.purge", queue: &queue));
    client.expect(method!("queue.purge-ok", message_count: 2));
    client.send(method!("queue.purge", queue: &queue));
    client.expect(method!("queue.purge-ok"));
    client.nack(unacked.tag(), false, true);
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["1"]);
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut client = Broker::shared().client();
    let name = unique("nothing");
    for method in [
        declare(&name).with("passive", true),
        method!("basic.get", queue: &name),
        method!("basic.consume", queue: &name),
        method!("queue.purge", queue: &name),
        method!("queue.bind", queue: &name, exchange: "amq.direct"),
    ] {
        client.refused(method, 404, &not_found(&name));
    }
}

#[test]
fn deleting_what_is_not_there_is_fine() {
    let mut client = Broker::shared().client();
    for (if_unused, if_empty) in [(false, false), (true, true)] {
        let name = unique("nothing");
        client
            .send(method!("queue.delete", queue: &name, if_unused: if_unused, if_empty: if_empty));
        client.expect(method!("queue.delete-ok"));
    }
}

#[test]
fn delete_ok_counts_ready_messages() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    for body in ["1", "2", "3"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 3);
    client.get(&queue, false);
    client.send(method!("queue.delete", queue: &queue));
    client.expect(method!("queue.delete-ok", message_count: 2));
}

#[test]
fn if_empty_and_if_unused_are_respected() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.publish("", &queue, "1");
    client.await_ready(&queue, 1);
    let delete = method!("queue.delete", queue: &queue);
    let text = format!("PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty");
    client.refused(delete.clone().with("if_empty", true), 406, &text);
    client.open_channel(2);
    client.on(2).consume(&queue, "c");
    client.on(2).expect_bodies(&["1"]);
    let text = format!("PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use");
    client.refused(delete.clone().with("if_unused", true), 406, &text);
    client.refused(
        delete
            .clone()
            .with("if_unused", true)
            .with("if_empty", true),
        406,
        &text,
    );
    client
        .on(2)
        .call(method!("basic.cancel", consumer_tag: "c"));
    client.call(delete.with("if_unused", true));
}

#[test]
fn unacked_messages_do_not_make_a_queue_unempty() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.publish("", &queue, "1");
    client.await_ready(&queue, 1);
    client.get(&queue, false);
    client.call(method!("queue.delete", queue: &queue, if_empty: true));
}

#[test]
fn a_channel_can_ack_what_a_deleted_queue_gave_it() {
    let mut client = Broker::shared().client();
    let queue = client.queue();
    client.publish("", &queue, "1");
    client.await_ready(&queue, 1);
    let message = client.get(&queue, false).expect("a message");
    client.call(method!("queue.delete", queue: &queue));
    client.ack(message.tag());
    client.call(method!("basic.qos"));
}

#[test]
fn line_ends_are_taken_out_of_names() {
    let mut client = Broker::shared().client();
    let name = unique("queue");
    let declare = method!("queue.declare", queue: format!("{name}\r\n"), exclusive: true);
    assert_eq!(client.call(declare).text("queue"), name);
}
