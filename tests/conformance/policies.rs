//! Policies: what they change of queues and exchanges, at once and without loss.

use serde_json::{Value, json};

use crate::support::Value as Field;
use crate::support::broker::eventually;
use crate::support::*;

/// A policy on one name, gone with this.
struct Policy {
    http: Http,
    path: String,
}

impl Policy {
    #[track_caller]
    fn on(http: &Http, name: &str, definition: Value) -> Self {
        Self::set(http, "policies", name, json!({"definition": definition}))
    }

    #[track_caller]
    fn operator_on(http: &Http, name: &str, definition: Value) -> Self {
        let document = json!({"definition": definition});
        Self::set(http, "operator-policies", name, document)
    }

    #[track_caller]
    fn set(http: &Http, kind: &str, name: &str, mut document: Value) -> Self {
        let path = format!("/{kind}/%2F/{}", unique("policy"));
        document["pattern"] = json!(format!("^{name}$"));
        assert_eq!(http.put(&path, document), 201);
        Policy {
            http: http.clone(),
            path,
        }
    }

    #[track_caller]
    fn change(&self, name: &str, definition: Value) {
        let document = json!({"pattern": format!("^{name}$"), "definition": definition});
        assert_eq!(self.http.put(&self.path, document), 204);
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        self.http.delete(&self.path);
    }
}

fn site() -> Option<(Client, Http)> {
    let http = Broker::shared().management()?;
    Some((Broker::shared().client(), http))
}

/// Publishes until what was refused is nacked, since a policy takes its moment elsewhere.
fn await_nack(client: &mut Client, queue: &str) {
    for _ in 0..1000 {
        client.publish("", queue, "more");
        if client.receive().name == "basic.nack" {
            return;
        }
    }
    panic!("nothing was refused");
}

#[test]
fn a_length_limit_drops_what_is_too_much_at_once() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let (queue, dead) = (client.queue(), client.queue());
    for body in ["1", "2", "3"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 3);
    let definition = json!({
        "max-length": 1, "dead-letter-exchange": "", "dead-letter-routing-key": dead,
    });
    let policy = Policy::on(&http, &queue, definition);
    client.await_ready(&queue, 1);
    client.await_ready(&dead, 2);
    let letter = client.get(&dead, true).expect("a dead letter");
    let death = letter.headers().at("x-death").array()[0].table().clone();
    assert_eq!(death.at("reason"), &Field::from("maxlen"));
    assert_eq!(client.take_all(&dead), ["2"]);
    assert_eq!(client.take_all(&queue), ["3"]);
    drop(policy);
    for body in ["4", "5"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 2);
}

#[test]
fn a_limit_of_bytes_drops_at_once() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let queue = client.queue();
    for body in ["aaaa", "bb", "c"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 3);
    let _policy = Policy::on(&http, &queue, json!({"max-length-bytes": 3}));
    client.await_ready(&queue, 2);
    assert_eq!(client.take_all(&queue), ["bb", "c"]);
}

#[test]
fn a_ttl_holds_for_what_is_published_from_then_on() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let queue = client.queue();
    client.publish("", &queue, "from before");
    client.await_ready(&queue, 1);
    let policy = Policy::on(&http, &queue, json!({"message-ttl": 1}));
    assert_eq!(client.take(&queue).as_deref(), Some("from before"));
    client.publish("", &queue, "short-lived");
    client.await_ready(&queue, 0);
    policy.change(&queue, json!({"max-length": 10}));
    client.publish("", &queue, "stays");
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["stays"]);
}

#[test]
fn of_argument_and_policy_the_smaller_number_holds() {
    let Some((mut client, http)) = site() else {
        return;
    };
    for (argument, policy, kept) in [(1, 3, 1), (3, 1, 1)] {
        let queue = client.queue_with(table! { "x-max-length" => argument });
        let _policy = Policy::on(&http, &queue, json!({"max-length": policy}));
        for body in ["1", "2", "3"] {
            client.publish("", &queue, body);
        }
        client.await_ready(&queue, kept);
        assert_eq!(client.take_all(&queue), ["3"]);
    }
}

#[test]
fn of_policy_and_operator_policy_the_smaller_number_holds() {
    let Some((mut client, http)) = site() else {
        return;
    };
    for (policy, operator) in [(1, 3), (3, 1)] {
        let queue = client.queue();
        let _policy = Policy::on(&http, &queue, json!({"max-length": policy}));
        let _operator = Policy::operator_on(&http, &queue, json!({"max-length": operator}));
        for body in ["1", "2", "3"] {
            client.publish("", &queue, body);
        }
        client.await_ready(&queue, 1);
        assert_eq!(client.take_all(&queue), ["3"]);
    }
}

#[test]
fn an_argument_that_is_no_number_comes_before_the_policy() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let (own, other) = (client.queue(), client.queue());
    let queue = client.queue_with(table! {
        "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => own.as_str(),
    });
    let definition = json!({"dead-letter-exchange": "nope", "dead-letter-routing-key": other});
    let _policy = Policy::on(&http, &queue, definition);
    client.publish("", &queue, "x");
    client.await_ready(&queue, 1);
    let message = client.get(&queue, false).expect("a message");
    client.nack(message.tag(), false, false);
    client.await_ready(&own, 1);
    assert_eq!(client.take_all(&own), ["x"]);
}

#[test]
fn what_is_unacked_keeps_its_place_and_is_dead_lettered_as_the_policy_says() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let (queue, dead) = (client.queue(), client.queue());
    client.publish("", &queue, "held");
    client.await_ready(&queue, 1);
    let held = client.get(&queue, false).expect("a message");
    let definition = json!({
        "max-length": 0, "dead-letter-exchange": "", "dead-letter-routing-key": dead,
    });
    let policy = Policy::on(&http, &queue, definition);
    client.publish("", &queue, "too much");
    client.await_ready(&dead, 1);
    assert_eq!(client.take_all(&dead), ["too much"]);
    let definition = json!({"dead-letter-exchange": "", "dead-letter-routing-key": dead});
    policy.change(&queue, definition);
    client.nack(held.tag(), false, false);
    client.await_ready(&dead, 1);
    assert_eq!(client.take_all(&dead), ["held"]);
}

#[test]
fn overflow_changes_at_once() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let queue = client.queue();
    client.publish("", &queue, "first");
    client.await_ready(&queue, 1);
    let definition = json!({"max-length": 1, "overflow": "reject-publish"});
    let policy = Policy::on(&http, &queue, definition);
    client.call(method!("confirm.select"));
    await_nack(&mut client, &queue);
    assert_eq!(client.take_all(&queue)[0], "first");
    policy.change(&queue, json!({"max-length": 1}));
    client.publish("", &queue, "old");
    client.expect_name("basic.ack");
    client.publish("", &queue, "new");
    client.expect_name("basic.ack");
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["new"]);
}

#[test]
fn an_unused_queue_expires() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let queue = client.queue();
    let _policy = Policy::on(&http, &queue, json!({"expires": 50}));
    client.call(method!("confirm.select"));
    // To publish is not to use.
    eventually("expired", || {
        let publish = method!("basic.publish", routing_key: &queue, mandatory: true);
        client.send_content(publish, &Properties::default(), b"x");
        let reply = client.receive();
        let is_gone = reply.name == "basic.return";
        if is_gone {
            client.content(reply);
            client.expect_name("basic.ack");
        }
        is_gone
    });
}

#[test]
fn the_highest_priority_holds() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let queue = client.queue();
    let with = |length: u32, priority: i32| {
        let document = json!({"definition": {"max-length": length}, "priority": priority});
        Policy::set(&http, "policies", &queue, document)
    };
    let _low = with(1, -1);
    let high = with(2, 5);
    let publish = |client: &mut Client| {
        for body in ["1", "2", "3"] {
            client.publish("", &queue, body);
        }
    };
    publish(&mut client);
    client.await_ready(&queue, 2);
    drop(high);
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["3"]);
}

#[test]
fn policies_are_there_for_queues_that_come_later() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let queue = unique("later");
    let _policy = Policy::on(&http, &queue, json!({"max-length": 1}));
    client.call(method!("queue.declare", queue: &queue, exclusive: true));
    for body in ["1", "2"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["2"]);
    // What policies say is not what it was declared with.
    client.call(method!("queue.declare", queue: &queue, exclusive: true));
}

#[test]
fn an_alternate_exchange_is_used_from_then_on() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let (exchange, alternate) = (client.exchange("direct"), client.exchange("fanout"));
    let queue = client.queue();
    client.bind(&queue, &alternate, "");
    client.publish(&exchange, "nowhere", "lost");
    client.expect_nothing(&queue);
    let policy = Policy::on(&http, &exchange, json!({"alternate-exchange": alternate}));
    client.publish(&exchange, "nowhere", "found");
    client.await_ready(&queue, 1);
    assert_eq!(client.take_all(&queue), ["found"]);
    drop(policy);
    client.publish(&exchange, "nowhere", "lost again");
    client.expect_nothing(&queue);
}

#[test]
fn what_it_applies_to_counts() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let queue = client.queue();
    let document = json!({"definition": {"max-length": 1}, "apply-to": "exchanges"});
    let _policy = Policy::set(&http, "policies", &queue, document);
    for body in ["1", "2"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 2);
}

#[test]
fn a_key_that_a_type_does_not_know_keeps_the_whole_policy_away() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let classic = client.queue();
    let definition = json!({"max-length": 1, "delivery-limit": 5});
    let _policy = Policy::on(&http, &classic, definition);
    for body in ["1", "2"] {
        client.publish("", &classic, body);
    }
    client.await_ready(&classic, 2);
}

#[test]
fn quorum_queues_heed_policies() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let (queue, dead) = (unique("quorum"), client.queue());
    let arguments = table! { "x-queue-type" => "quorum" };
    client.call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
    for body in ["1", "2", "3"] {
        client.publish("", &queue, body);
    }
    client.await_ready(&queue, 3);
    let definition = json!({
        "max-length": 1, "delivery-limit": 1,
        "dead-letter-exchange": "", "dead-letter-routing-key": dead,
    });
    let policy = Policy::on(&http, &queue, definition);
    client.await_ready(&queue, 1);
    client.await_ready(&dead, 2);
    // Elsewhere they may come in another order.
    let mut letters = client.take_all(&dead);
    letters.sort();
    assert_eq!(letters, ["1", "2"]);
    for _ in 0..2 {
        client.await_ready(&queue, 1);
        let message = client.get(&queue, false).expect("a message");
        client.send(method!("basic.reject", delivery_tag: message.tag(), requeue: true));
    }
    client.await_ready(&dead, 1);
    assert_eq!(client.take_all(&dead), ["3"]);
    drop(policy);
    client.call(method!("queue.delete", queue: &queue));
}

#[test]
fn a_quorum_queue_takes_overflow_and_strategy_from_the_policy() {
    let Some((mut client, http)) = site() else {
        return;
    };
    let (queue, dead) = (unique("quorum"), client.queue());
    let arguments = table! { "x-queue-type" => "quorum", "x-overflow" => "drop-head" };
    client.call(method!("queue.declare", queue: &queue, durable: true, arguments: arguments));
    let definition = json!({
        "max-length": 1, "overflow": "reject-publish", "dead-letter-strategy": "at-least-once",
        "dead-letter-exchange": "", "dead-letter-routing-key": dead,
    });
    let _policy = Policy::on(&http, &queue, definition);
    client.publish("", &queue, "first");
    client.await_ready(&queue, 1);
    client.call(method!("confirm.select"));
    await_nack(&mut client, &queue);
    let first = client.get(&queue, false).expect("a message");
    assert_eq!(first.text(), "first");
    client.nack(first.tag(), false, false);
    client.await_ready(&dead, 1);
    assert_eq!(client.take_all(&dead), ["first"]);
    client.call(method!("queue.delete", queue: &queue));
}
