//! Vhosts come and go; parameters, policies and limits are set and cleared; alarms go off.

use super::*;

fn by(mut says: Table, rest: Table) -> Table {
    says.0
        .push(("user_who_performed_action".into(), Value::from("guest")));
    says.0.extend(rest.0);
    says
}

#[test]
fn a_vhost_comes_and_goes_with_what_is_in_it() {
    let own = own();
    let broker = site(&own);
    let Some(http) = broker.management() else {
        return;
    };
    let mut listener = listener(broker);
    let vhost = unique("vhost");
    let path = format!("/vhosts/{vhost}");
    let document = json!({"description": "d", "tags": "a,B"});
    assert_eq!(http.put(&path, document), 201);
    for (name, kind) in [
        ("", "direct"),
        ("amq.direct", "direct"),
        ("amq.topic", "topic"),
    ] {
        let made = table! {
            "user_who_performed_action" => "guest", "policy" => "", "arguments" => terms(&[]),
            "internal" => false, "auto_delete" => false, "durable" => true, "type" => kind,
            "name" => name, "vhost" => &vhost,
        };
        expect_all(&mut listener, "exchange.created", made);
    }
    let described = |description: &str, metadata: &str| {
        by(
            table! { "tags" => terms(&["a", "B"]), "description" => description },
            table! { "metadata" => metadata, "default_queue_type" => "undefined", "name" => &vhost },
        )
    };
    let metadata = "#{description => <<\"d\">>,tags => [a,'B']}";
    let made = expect_described(&mut listener, "vhost.created", &described("d", metadata));
    assert_eq!(made.at("tracing"), &Value::Bool(false));
    let Value::Table(state) = made.at("cluster_state") else {
        panic!("{made:?}");
    };
    assert_eq!(state.0[0].1, Value::from("running"));
    let given = table! {
        "read" => ".*", "write" => ".*", "configure" => ".*", "vhost" => &vhost, "user" => "guest",
    };
    expect_all(
        &mut listener,
        "permission.created",
        by(Table::default(), given),
    );
    assert_eq!(
        http.put(&path, json!({"description": "", "tags": "a,B"})),
        204
    );
    let metadata = "#{description => <<>>,tags => [a,'B']}";
    expect_described(&mut listener, "vhost.updated", &described("", metadata));

    let limit = format!("/vhost-limits/{vhost}/max-queues");
    assert_eq!(http.put(&limit, json!({"value": 7})), 204);
    let policy = json!({"pattern": ".", "definition": {"max-length": 5}});
    assert_eq!(http.put(&format!("/policies/{vhost}/p"), policy), 201);
    assert_eq!(http.delete(&path), 204);
    let gone = table! { "vhost" => &vhost, "user" => "guest" };
    expect_all(
        &mut listener,
        "permission.deleted",
        by(Table::default(), gone),
    );
    let deleted = table! { "name" => &vhost };
    expect_all(
        &mut listener,
        "vhost.deleted",
        by(Table::default(), deleted),
    );
    let cleared = table! { "name" => "limits", "component" => "vhost-limits", "vhost" => &vhost };
    // In RabbitMQ they come in the order of a table.
    if broker.is_warren() {
        let cleared = table! { "vhost" => &vhost, "name" => "p" };
        expect_all(
            &mut listener,
            "policy.cleared",
            by(Table::default(), cleared),
        );
    }
    expect_all(
        &mut listener,
        "parameter.cleared",
        by(Table::default(), cleared),
    );
    let cleared = table! { "name" => "limits" };
    expect_all(
        &mut listener,
        "vhost.limits.cleared",
        by(Table::default(), cleared),
    );
    let down = expect(&mut listener, "vhost.down", &table! { "name" => &vhost });
    assert_eq!(
        down.keys(),
        [
            "user_who_performed_action",
            "node",
            "name",
            "timestamp_in_ms"
        ]
    );
}

/// An event that says some things twice.
#[track_caller]
fn expect_described(listener: &mut Client, key: &str, says: &Table) -> Table {
    loop {
        let event = listener.delivery();
        let headers = event.headers();
        if event.method.text("routing-key") == key && headers.get("name") == says.get("name") {
            let keys = [
                "tags",
                "description",
                "user_who_performed_action",
                "cluster_state",
                "tracing",
                "metadata",
                "default_queue_type",
                "tags",
                "description",
                "name",
                "timestamp_in_ms",
            ];
            assert_eq!(headers.keys(), keys);
            for (name, value) in &says.0 {
                assert_eq!(headers.get(name), Some(value), "{name}");
            }
            return headers;
        }
    }
}

#[test]
fn limits_of_a_vhost_are_told_of_as_a_parameter_too() {
    let own = own();
    let broker = site(&own);
    let Some(http) = broker.management() else {
        return;
    };
    let vhost = unique("vhost");
    assert_eq!(http.put(&format!("/vhosts/{vhost}"), json!({})), 201);
    let mut listener = listener(broker);
    let mut expect_limits = |limits: Table| {
        let value = match limits.0.is_empty() {
            true => Value::Array(Vec::new()),
            false => Value::Table(limits.clone()),
        };
        let rest = table! { "value" => value, "name" => "limits", "component" => "vhost-limits", "vhost" => &vhost };
        expect_all(&mut listener, "parameter.set", by(Table::default(), rest));
        let set = by(limits, table! { "name" => "limits" });
        expect_all(&mut listener, "vhost.limits.set", set);
    };
    let limit = format!("/vhost-limits/{vhost}/max-connections");
    assert_eq!(http.put(&limit, json!({"value": 5})), 204);
    expect_limits(table! { "max-connections" => 5_i64 });
    assert_eq!(http.delete(&limit), 204);
    expect_limits(Table::default());
    assert_eq!(http.delete(&format!("/vhosts/{vhost}")), 204);
}

#[test]
fn policies_are_set_and_cleared() {
    let own = own();
    let broker = site(&own);
    let Some(http) = broker.management() else {
        return;
    };
    let mut listener = listener(broker);
    let mut client = broker.client();
    let (queue, policy) = (unique("queue"), unique("policy"));
    client.call(method!("queue.declare", queue: &queue));
    let path = format!("/policies/%2F/{policy}");
    let document = json!({
        "pattern": format!("^{queue}"), "priority": 3, "apply-to": "all",
        "definition": {"max-length": 5, "overflow": "reject-publish", "dead-letter-exchange": "z"},
    });
    assert_eq!(http.put(&path, document.clone()), 201);
    let says = table! {
        "apply-to" => "all", "priority" => 3_i64,
        "definition" => table! {
            "overflow" => "reject-publish", "max-length" => 5_i64, "dead-letter-exchange" => "z",
        },
        "pattern" => format!("^{queue}"),
    };
    let of_queue = || {
        // The vhost is said once more with the name.
        let mut of_queue =
            table! { "type" => "rabbit_classic_queue", "vhost" => "/", "name" => &queue };
        of_queue.0.push(("vhost".into(), Value::from("/")));
        of_queue
    };
    expect_all(
        &mut listener,
        "queue.policy.updated",
        by(says.clone(), of_queue()),
    );
    let named = || table! { "vhost" => "/", "name" => &policy };
    expect_all(&mut listener, "policy.set", by(says, named()));
    // Nothing changes.
    assert_eq!(http.put(&path, document), 204);
    assert_eq!(http.delete(&path), 204);
    expect_all(
        &mut listener,
        "queue.policy.cleared",
        by(Table::default(), of_queue()),
    );
    expect_all(
        &mut listener,
        "policy.cleared",
        by(Table::default(), named()),
    );

    let path = format!("/operator-policies/%2F/{policy}");
    let document = json!({
        "pattern": format!("^{queue}$"), "priority": 0, "apply-to": "queues",
        "definition": {"max-length": 5},
    });
    assert_eq!(http.put(&path, document), 201);
    let says = table! {
        "apply-to" => "queues", "priority" => 0_i64, "definition" => table! { "max-length" => 5_i64 },
        "pattern" => format!("^{queue}$"),
    };
    let of_parameter =
        || table! { "name" => &policy, "component" => "operator_policy", "vhost" => "/" };
    let value = table! { "value" => Value::Table(says.clone()) };
    let mut parameter = by(Table::default(), value);
    parameter.0.extend(of_parameter().0);
    expect_all(&mut listener, "parameter.set", parameter);
    expect_all(
        &mut listener,
        "queue.policy.updated",
        by(says.clone(), of_queue()),
    );
    expect_all(&mut listener, "policy.set", by(says, named()));
    assert_eq!(http.delete(&path), 204);
    expect_all(
        &mut listener,
        "parameter.cleared",
        by(Table::default(), of_parameter()),
    );
    expect_all(
        &mut listener,
        "queue.policy.cleared",
        by(Table::default(), of_queue()),
    );
    expect_all(
        &mut listener,
        "operator.policy.cleared",
        by(Table::default(), named()),
    );
}

#[test]
fn an_exchange_is_made_under_a_policy() {
    let own = own();
    let broker = site(&own);
    let Some(http) = broker.management() else {
        return;
    };
    let mut listener = listener(broker);
    let exchange = unique("exchange");
    let path = format!("/policies/%2F/{exchange}");
    let document = json!({
        "pattern": format!("^{exchange}$"), "apply-to": "exchanges",
        "definition": {"alternate-exchange": "amq.fanout"},
    });
    assert_eq!(http.put(&path, document), 201);
    let mut client = broker.client();
    client.call(method!("exchange.declare", exchange: &exchange, type: "fanout"));
    let made = table! { "policy" => &exchange, "name" => &exchange };
    expect(&mut listener, "exchange.created", &made);
    client.call(method!("exchange.delete", exchange: &exchange));
    assert_eq!(http.delete(&path), 204);
}

#[test]
fn global_parameters_are_set_and_cleared() {
    let own = own();
    let broker = site(&own);
    let Some(http) = broker.management() else {
        return;
    };
    let mut listener = listener(broker);
    let name = unique("global");
    let path = format!("/global-parameters/{name}");
    let set = |value: Value| {
        by(
            Table::default(),
            table! { "value" => value, "name" => &name, "component" => "global" },
        )
    };
    let value = json!({"a": 1, "b": [1, "x", true, null, 2.5], "c": {"d": {}}});
    assert_eq!(http.put(&path, json!({"value": value})), 201);
    let list = vec![
        Value::I64(1),
        Value::from("x"),
        Value::Bool(true),
        Value::from("null"),
        Value::F32(2.5),
    ];
    let told = table! {
        "c" => "#{<<\"d\">> => #{}}", "b" => Value::Array(list), "a" => 1_i64,
    };
    expect_all(&mut listener, "parameter.set", set(Value::Table(told)));
    assert_eq!(http.delete(&path), 204);
    // As in RabbitMQ it is no other event.
    let cleared = table! { "name" => &name, "component" => "global" };
    expect_all(
        &mut listener,
        "parameter.set",
        by(Table::default(), cleared),
    );
}

#[test]
fn alarms_are_told_of() {
    let Some(broker) = Setup::default()
        .env("WARREN_EVENTS_EXCHANGE", "true")
        .env("WARREN_LIMITS_MEMORY_LIMIT_BYTES", 1 << 20)
        .start()
    else {
        return;
    };
    let mut listener = listener(&broker);
    let mut client = broker.client();
    let queue = client.queue();
    client.publish("", &queue, &"x".repeat(2 << 20));
    let alarm = expect(&mut listener, "alarm.set", &table! { "source" => "memory" });
    assert_eq!(alarm.keys(), ["node", "source", "timestamp_in_ms"]);
    // The queue goes with its client.
    drop(client);
    expect(
        &mut listener,
        "alarm.cleared",
        &table! { "source" => "memory" },
    );
}
