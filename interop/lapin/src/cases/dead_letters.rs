//! Dead-lettering: the reasons, and every header that tells of them.

use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer, ExchangeKind};

use super::Outcome;
use crate::world::*;

/// One entry of x-death: queue, reason, count, exchange, routing keys.
#[derive(Debug, PartialEq)]
struct Death {
    queue: String,
    reason: String,
    count: i64,
    exchange: String,
    routing_keys: Vec<String>,
}

fn death(queue: &ShortString, reason: &str, count: i64, exchange: &str, keys: &[&str]) -> Death {
    Death {
        queue: queue.to_string(),
        reason: reason.into(),
        count,
        exchange: exchange.into(),
        routing_keys: keys.iter().map(|key| key.to_string()).collect(),
    }
}

fn text(value: Option<&AMQPValue>) -> Outcome<String> {
    match value {
        Some(AMQPValue::LongString(text)) => Ok(String::from_utf8(text.as_bytes().to_vec())?),
        other => Err(format!("not a string: {other:?}").into()),
    }
}

/// x-death, newest first.
fn deaths(delivery: &Delivery) -> Outcome<Vec<Death>> {
    let headers = headers(delivery);
    let Some(AMQPValue::FieldArray(entries)) = headers.inner().get("x-death") else {
        return Err(format!("no x-death in {headers:?}").into());
    };
    let mut deaths = Vec::new();
    for entry in entries.as_slice() {
        let AMQPValue::FieldTable(entry) = entry else {
            return Err(format!("not a table: {entry:?}").into());
        };
        let entry = entry.inner();
        let Some(AMQPValue::LongLongInt(count)) = entry.get("count") else {
            return Err(format!("no count in {entry:?}").into());
        };
        let Some(AMQPValue::FieldArray(keys)) = entry.get("routing-keys") else {
            return Err(format!("no routing keys in {entry:?}").into());
        };
        assert!(
            matches!(entry.get("time"), Some(AMQPValue::Timestamp(seconds)) if *seconds > 1_600_000_000)
        );
        deaths.push(Death {
            queue: text(entry.get("queue"))?,
            reason: text(entry.get("reason"))?,
            count: *count,
            exchange: text(entry.get("exchange"))?,
            routing_keys: keys
                .as_slice()
                .iter()
                .map(|key| text(Some(key)))
                .collect::<Outcome<_>>()?,
        });
    }
    Ok(deaths)
}

/// x-first-death-queue, -reason and -exchange.
fn first_death(delivery: &Delivery) -> Outcome<[String; 3]> {
    let headers = headers(delivery);
    let header = |name: &str| text(headers.inner().get(name));
    Ok([
        header("x-first-death-queue")?,
        header("x-first-death-reason")?,
        header("x-first-death-exchange")?,
    ])
}

/// A queue with these arguments that dead-letters into the consumer that comes with it.
async fn with_grave<const N: usize>(
    channel: &Channel,
    arguments: [(&str, AMQPValue); N],
) -> Outcome<(ShortString, Consumer)> {
    let dead = queue(channel, FieldTable::default()).await?;
    let mut arguments = table(arguments);
    arguments.insert("x-dead-letter-exchange".into(), string(""));
    arguments.insert("x-dead-letter-routing-key".into(), string(dead.as_str()));
    let consumer = consume(channel, &dead, true).await?;
    Ok((queue(channel, arguments).await?, consumer))
}

async fn reject(channel: &Channel, queue: &ShortString) -> Outcome {
    hold(channel, queue)
        .await?
        .reject(BasicRejectOptions { requeue: false })
        .await?;
    Ok(())
}

pub async fn rejected(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let (queue, mut grave) = with_grave(&channel, []).await?;
    let properties = BasicProperties::default()
        .with_headers(table([("mine", int(1))]))
        .with_message_id("one".into());
    publish_with(&channel, "", queue.as_str(), b"x", properties).await?;
    reject(&channel, &queue).await?;
    let dead = next(&mut grave).await?;
    assert_eq!(
        (dead.data.as_slice(), dead.redelivered),
        (b"x".as_slice(), false)
    );
    assert_eq!(dead.properties.message_id(), &Some("one".into()));
    assert_eq!(headers(&dead).inner().get("mine"), Some(&int(1)));
    // RabbitMQ has x-last-death-queue, -reason and -exchange since 3.13.
    let all = headers(&dead);
    let names = all.inner().keys().map(ShortString::as_str);
    let (latest, others): (Vec<_>, Vec<_>) =
        names.partition(|name| name.starts_with("x-last-death-"));
    assert!(matches!(latest.len(), 0 | 3), "{latest:?}");
    assert_eq!(others.len(), 5, "{others:?}");
    assert_eq!(
        deaths(&dead)?,
        [death(&queue, "rejected", 1, "", &[queue.as_str()])]
    );
    assert_eq!(first_death(&dead)?, [queue.as_str(), "rejected", ""]);
    Ok(())
}

pub async fn expired(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let (queue, mut grave) = with_grave(&channel, [("x-message-ttl", int(1))]).await?;
    for body in ["1", "2", "3"] {
        publish(&channel, "", queue.as_str(), body.as_bytes()).await?;
    }
    for body in ["1", "2", "3"] {
        let dead = next(&mut grave).await?;
        assert_eq!(dead.data, body.as_bytes());
        assert_eq!(
            deaths(&dead)?,
            [death(&queue, "expired", 1, "", &[queue.as_str()])]
        );
        assert_eq!(first_death(&dead)?, [queue.as_str(), "expired", ""]);
    }
    Ok(())
}

pub async fn maxlen(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let (queue, mut grave) = with_grave(&channel, [("x-max-length", int(1))]).await?;
    publish(&channel, "", queue.as_str(), b"1").await?;
    publish(&channel, "", queue.as_str(), b"2").await?;
    let dead = next(&mut grave).await?;
    assert_eq!(dead.data, b"1");
    assert_eq!(
        deaths(&dead)?,
        [death(&queue, "maxlen", 1, "", &[queue.as_str()])]
    );
    assert_eq!(first_death(&dead)?, [queue.as_str(), "maxlen", ""]);
    Ok(())
}

pub async fn expiration_is_kept(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let (queue, mut grave) = with_grave(&channel, []).await?;
    let properties = BasicProperties::default().with_expiration("1".into());
    publish_with(&channel, "", queue.as_str(), b"x", properties).await?;
    let dead = next(&mut grave).await?;
    assert_eq!(dead.properties.expiration(), &None);
    let headers = headers(&dead);
    let Some(AMQPValue::FieldArray(entries)) = headers.inner().get("x-death") else {
        return Err("no x-death".into());
    };
    let Some(AMQPValue::FieldTable(entry)) = entries.as_slice().first() else {
        return Err("no entry".into());
    };
    assert_eq!(text(entry.inner().get("original-expiration"))?, "1");
    Ok(())
}

/// Retries: rejected from the work queue, waiting in another, back again, counted each time.
pub async fn counted(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let (work, wait) = (fresh("work"), fresh("wait"));
    let to = |queue: &ShortString| {
        table([
            ("x-dead-letter-exchange", string("")),
            ("x-dead-letter-routing-key", string(queue.as_str())),
        ])
    };
    let mut waiting = to(&work);
    waiting.insert("x-message-ttl".into(), int(1));
    channel
        .queue_declare(work.clone(), EXCLUSIVE, to(&wait))
        .await?;
    channel
        .queue_declare(wait.clone(), EXCLUSIVE, waiting)
        .await?;
    let mut consumer = consume(&channel, &work, false).await?;
    publish(&channel, "", work.as_str(), b"x").await?;
    next(&mut consumer)
        .await?
        .reject(BasicRejectOptions { requeue: false })
        .await?;
    for count in 1..=3 {
        let again = next(&mut consumer).await?;
        assert_eq!(
            deaths(&again)?,
            [
                death(&wait, "expired", count, "", &[wait.as_str()]),
                death(&work, "rejected", count, "", &[work.as_str()])
            ]
        );
        assert_eq!(first_death(&again)?, [work.as_str(), "rejected", ""]);
        again.reject(BasicRejectOptions { requeue: false }).await?;
    }
    Ok(())
}

pub async fn with_routing_key(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let source = exchange(&channel, ExchangeKind::Topic, FieldTable::default()).await?;
    let dlx = exchange(&channel, ExchangeKind::Direct, FieldTable::default()).await?;
    let (kept, replaced) = (
        queue(&channel, FieldTable::default()).await?,
        queue(&channel, FieldTable::default()).await?,
    );
    bind(&channel, &kept, &dlx, "a.b").await?;
    bind(&channel, &replaced, &dlx, "dead").await?;
    let keeps = queue(
        &channel,
        table([("x-dead-letter-exchange", string(dlx.as_str()))]),
    )
    .await?;
    let replaces = queue(
        &channel,
        table([
            ("x-dead-letter-exchange", string(dlx.as_str())),
            ("x-dead-letter-routing-key", string("dead")),
        ]),
    )
    .await?;
    for (queue, grave, key) in [(&keeps, &kept, "a.b"), (&replaces, &replaced, "dead")] {
        bind(&channel, queue, &source, "a.*").await?;
        publish(&channel, source.as_str(), "a.b", b"x").await?;
        let mut consumer = consume(&channel, grave, true).await?;
        reject(&channel, queue).await?;
        let dead = next(&mut consumer).await?;
        assert_eq!((&dead.exchange, dead.routing_key.as_str()), (&dlx, key));
        assert_eq!(
            deaths(&dead)?,
            [death(queue, "rejected", 1, source.as_str(), &["a.b"])]
        );
        assert_eq!(
            first_death(&dead)?,
            [queue.as_str(), "rejected", source.as_str()]
        );
        channel
            .queue_unbind(
                queue.clone(),
                "amq.direct".into(),
                "nothing".into(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}
