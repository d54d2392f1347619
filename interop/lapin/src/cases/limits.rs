//! Time to live, queue expiry, length limits.

use lapin::options::*;
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};

use super::Outcome;
use crate::world::*;

async fn fill(channel: &Channel, queue: &ShortString, bodies: &[&str]) -> Outcome<Vec<bool>> {
    let mut taken = Vec::new();
    for body in bodies {
        taken.push(enqueue(channel, queue, body.as_bytes()).await?.is_ack());
    }
    Ok(taken)
}

pub async fn queue_ttl(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let (short, long) = (
        queue(&channel, table([("x-message-ttl", int(10))])).await?,
        queue(&channel, table([("x-message-ttl", int(600_000))])).await?,
    );
    fill(&channel, &short, &["x"]).await?;
    fill(&channel, &long, &["x"]).await?;
    wait_ready(&channel, &short, 0).await?;
    assert_eq!(bodies(&channel, &short).await?, [""; 0]);
    assert_eq!(bodies(&channel, &long).await?, ["x"]);
    Ok(())
}

pub async fn message_ttl(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    for expiration in ["10", "600000"] {
        let properties = BasicProperties::default().with_expiration(expiration.into());
        enqueue_with(&channel, &queue, expiration.as_bytes(), properties).await?;
    }
    wait_ready(&channel, &queue, 1).await?;
    assert_eq!(bodies(&channel, &queue).await?, ["600000"]);
    Ok(())
}

/// Now or never: to a consumer that is there, or to nobody.
pub async fn ttl_of_nought(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, table([("x-message-ttl", int(0))])).await?;
    fill(&channel, &queue, &["nobody there"]).await?;
    wait_ready(&channel, &queue, 0).await?;
    let mut consumer = consume(&channel, &queue, true).await?;
    fill(&channel, &queue, &["somebody there"]).await?;
    assert_eq!(next_bodies(&mut consumer, 1).await?, ["somebody there"]);
    Ok(())
}

/// Binding is no use of a queue, so it can be asked that way whether it is there.
async fn exists(connection: &Connection, queue: &ShortString) -> Outcome<bool> {
    let channel = connection.create_channel().await?;
    match bind(&channel, queue, &"amq.direct".into(), "probe").await {
        Ok(()) => {
            channel.close(200, "OK".into()).await?;
            Ok(true)
        }
        Err(error) => match error.downcast::<lapin::Error>() {
            Ok(error) if error.is_amqp_soft_error() => Ok(false),
            Ok(error) => Err(error),
            Err(error) => Err(error),
        },
    }
}

pub async fn queue_expiry(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let channel = connection.create_channel().await?;
    let arguments = || table([("x-expires", int(100))]);
    let (used, unused) = (
        queue(&channel, arguments()).await?,
        queue(&channel, arguments()).await?,
    );
    let consumer = consume(&channel, &used, true).await?;
    while exists(&connection, &unused).await? {}
    assert!(exists(&connection, &used).await?);
    channel
        .basic_cancel(consumer.tag(), BasicCancelOptions::default())
        .await?;
    while exists(&connection, &used).await? {}
    Ok(())
}

pub async fn drop_head(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, table([("x-max-length", int(2))])).await?;
    assert_eq!(
        fill(&channel, &queue, &["1", "2", "3", "4"]).await?,
        [true; 4]
    );
    assert_eq!(bodies(&channel, &queue).await?, ["3", "4"]);
    Ok(())
}

pub async fn max_bytes(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, table([("x-max-length-bytes", int(10))])).await?;
    fill(&channel, &queue, &["aaaa", "bbbb", "cccc", "dd"]).await?;
    assert_eq!(bodies(&channel, &queue).await?, ["bbbb", "cccc", "dd"]);
    fill(&channel, &queue, &["eeee", "more than ten bytes"]).await?;
    assert_eq!(bodies(&channel, &queue).await?, [""; 0]);
    Ok(())
}

pub async fn reject_publish(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(
        &channel,
        table([
            ("x-max-length", int(2)),
            ("x-overflow", string("reject-publish")),
        ]),
    )
    .await?;
    assert_eq!(
        fill(&channel, &queue, &["1", "2", "3"]).await?,
        [true, true, false]
    );
    hold(&channel, &queue)
        .await?
        .ack(BasicAckOptions::default())
        .await?;
    assert_eq!(
        enqueue(&channel, &queue, b"4").await?,
        Confirmation::Ack(None)
    );
    assert_eq!(bodies(&channel, &queue).await?, ["2", "4"]);
    Ok(())
}
