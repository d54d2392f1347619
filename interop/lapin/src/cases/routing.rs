//! What each exchange type sends where, and publishing to exchanges that refuse it.

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ExchangeKind};

use super::Outcome;
use crate::world::*;

pub async fn direct(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let name = exchange(&channel, ExchangeKind::Direct, FieldTable::default()).await?;
    let (one, two) = (
        queue(&channel, FieldTable::default()).await?,
        queue(&channel, FieldTable::default()).await?,
    );
    bind(&channel, &one, &name, "a").await?;
    bind(&channel, &one, &name, "b").await?;
    bind(&channel, &two, &name, "b").await?;
    for key in ["a", "b", "c", ""] {
        publish(&channel, name.as_str(), key, key.as_bytes()).await?;
    }
    assert_eq!(bodies(&channel, &one).await?, ["a", "b"]);
    assert_eq!(bodies(&channel, &two).await?, ["b"]);
    channel
        .queue_unbind(one.clone(), name.clone(), "a".into(), FieldTable::default())
        .await?;
    publish(&channel, name.as_str(), "a", b"unbound").await?;
    assert_eq!(bodies(&channel, &one).await?, [""; 0]);
    Ok(())
}

pub async fn fanout(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let name = exchange(&channel, ExchangeKind::Fanout, FieldTable::default()).await?;
    let mut queues = Vec::new();
    for _ in 0..5 {
        let queue = queue(&channel, FieldTable::default()).await?;
        bind(&channel, &queue, &name, "some key").await?;
        bind(&channel, &queue, &name, "another").await?;
        queues.push(queue);
    }
    publish(&channel, name.as_str(), "whatever", b"x").await?;
    for queue in &queues {
        assert_eq!(bodies(&channel, queue).await?, ["x"]);
    }
    Ok(())
}

pub async fn topic(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let name = exchange(&channel, ExchangeKind::Topic, FieldTable::default()).await?;
    let keys = ["a", "a.b", "a.b.c", "b", "b.a", "a.a.a.b", ".b", "a."];
    let patterns: [(&str, &[&str]); 8] = [
        ("#", &keys),
        ("*", &["a", "b"]),
        ("a.*", &["a.b", "a."]),
        ("a.#", &["a", "a.b", "a.b.c", "a.a.a.b", "a."]),
        ("#.b", &["a.b", "b", "a.a.a.b", ".b"]),
        ("*.b.*", &["a.b.c"]),
        ("#.a.#", &["a", "a.b", "a.b.c", "b.a", "a.a.a.b", "a."]),
        ("*.*", &["a.b", "b.a", ".b", "a."]),
    ];
    let mut queues = Vec::new();
    for (pattern, matching) in patterns {
        let queue = queue(&channel, FieldTable::default()).await?;
        bind(&channel, &queue, &name, pattern).await?;
        queues.push((queue, pattern, matching));
    }
    for key in keys {
        publish(&channel, name.as_str(), key, key.as_bytes()).await?;
    }
    for (queue, pattern, matching) in &queues {
        assert_eq!(bodies(&channel, queue).await?, *matching, "{pattern}");
    }
    Ok(())
}

pub async fn headers(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let name = exchange(&channel, ExchangeKind::Headers, FieldTable::default()).await?;
    let bindings = [
        (
            table([
                ("x-match", string("all")),
                ("a", int(1)),
                ("b", string("x")),
            ]),
            vec!["both"],
        ),
        (
            table([
                ("x-match", string("any")),
                ("a", int(1)),
                ("b", string("x")),
            ]),
            vec!["both", "a", "b"],
        ),
        (table([("a", int(1))]), vec!["both", "a"]),
        (
            table([("a", AMQPValue::Void)]),
            vec!["both", "a", "other a"],
        ),
        (
            table([("x-match", string("all-with-x")), ("x-c", int(1))]),
            vec!["x-c"],
        ),
    ];
    let mut queues = Vec::new();
    for (arguments, expected) in bindings {
        let queue = queue(&channel, FieldTable::default()).await?;
        bind_with(&channel, &queue, &name, "", arguments).await?;
        queues.push((queue, expected));
    }
    let messages = [
        ("both", table([("a", int(1)), ("b", string("x"))])),
        ("a", table([("a", int(1)), ("c", int(5))])),
        ("b", table([("b", string("x"))])),
        ("other a", table([("a", int(2))])),
        ("x-c", table([("x-c", int(1))])),
        ("none", FieldTable::default()),
    ];
    for (body, headers) in messages {
        let properties = BasicProperties::default().with_headers(headers);
        publish_with(&channel, name.as_str(), "", body.as_bytes(), properties).await?;
    }
    for (queue, expected) in &queues {
        assert_eq!(bodies(&channel, queue).await?, *expected);
    }
    Ok(())
}

pub async fn exchange_to_exchange(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let source = exchange(&channel, ExchangeKind::Topic, FieldTable::default()).await?;
    let destination = exchange(&channel, ExchangeKind::Fanout, FieldTable::default()).await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    bind(&channel, &queue, &destination, "").await?;
    let (options, none) = (ExchangeBindOptions::default(), FieldTable::default);
    channel
        .exchange_bind(
            destination.clone(),
            source.clone(),
            "a.*".into(),
            options,
            none(),
        )
        .await?;
    // Round and back again, and by two ways: still once.
    bind(&channel, &queue, &source, "a.b").await?;
    channel
        .exchange_bind(
            source.clone(),
            destination.clone(),
            "".into(),
            options,
            none(),
        )
        .await?;
    publish(&channel, source.as_str(), "a.b", b"once").await?;
    publish(&channel, source.as_str(), "b.a", b"never").await?;
    assert_eq!(bodies(&channel, &queue).await?, ["once"]);
    let unbind = ExchangeUnbindOptions::default();
    channel
        .exchange_unbind(
            destination.clone(),
            source.clone(),
            "a.*".into(),
            unbind,
            none(),
        )
        .await?;
    publish(&channel, source.as_str(), "a.c", b"unbound").await?;
    assert_eq!(bodies(&channel, &queue).await?, [""; 0]);
    Ok(())
}

pub async fn alternate_exchange(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let alternate = exchange(&channel, ExchangeKind::Fanout, FieldTable::default()).await?;
    let arguments = table([("alternate-exchange", string(alternate.as_str()))]);
    let name = exchange(&channel, ExchangeKind::Direct, arguments).await?;
    let (routed, unrouted) = (
        queue(&channel, FieldTable::default()).await?,
        queue(&channel, FieldTable::default()).await?,
    );
    bind(&channel, &routed, &name, "known").await?;
    bind(&channel, &unrouted, &alternate, "").await?;
    publish(&channel, name.as_str(), "known", b"known").await?;
    publish(&channel, name.as_str(), "unknown", b"unknown").await?;
    assert_eq!(bodies(&channel, &routed).await?, ["known"]);
    let delivery = get(&channel, &unrouted).await?.ok_or("nothing came")?;
    assert_eq!(
        (delivery.exchange, delivery.routing_key.as_str()),
        (name, "unknown")
    );
    Ok(())
}

pub async fn internal_exchange(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, mut refusals) = (
        connection.create_channel().await?,
        Refusals::of(&connection),
    );
    let name = fresh("exchange");
    let internal = ExchangeDeclareOptions {
        internal: true,
        ..AUTO_DELETE
    };
    channel
        .exchange_declare(
            name.clone(),
            ExchangeKind::Fanout,
            internal,
            FieldTable::default(),
        )
        .await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    bind(&channel, &queue, &name, "").await?;
    publish(&channel, name.as_str(), "", b"x").await?;
    let text = format!(
        "ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '{}'",
        world.vhost()?
    );
    refusals.next(403, &text).await
}

pub async fn auto_delete_exchange(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let name = exchange(&channel, ExchangeKind::Direct, FieldTable::default()).await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    bind(&channel, &queue, &name, "key").await?;
    channel
        .queue_delete(queue, QueueDeleteOptions::default())
        .await?;
    let passive = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    let result = channel
        .exchange_declare(
            name.clone(),
            ExchangeKind::Direct,
            passive,
            FieldTable::default(),
        )
        .await;
    refused(
        result,
        404,
        &format!(
            "NOT_FOUND - no exchange '{name}' in vhost '{}'",
            world.vhost()?
        ),
    )
}

pub async fn publish_to_no_exchange(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, mut refusals) = (
        connection.create_channel().await?,
        Refusals::of(&connection),
    );
    let name = fresh("exchange");
    publish(&channel, name.as_str(), "key", b"x").await?;
    let text = format!(
        "NOT_FOUND - no exchange '{name}' in vhost '{}'",
        world.vhost()?
    );
    refusals.next(404, &text).await
}

pub async fn unknown_exchange_type(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let kind = ExchangeKind::Custom("x-nonesuch".into());
    let result = channel
        .exchange_declare(fresh("exchange"), kind, AUTO_DELETE, FieldTable::default())
        .await;
    refused(
        result,
        503,
        "COMMAND_INVALID - unknown exchange type 'x-nonesuch'",
    )
}
