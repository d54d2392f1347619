//! Ack, nack, reject, recover: what comes back, and where.

use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};

use super::Outcome;
use crate::world::*;

const REQUEUE_ALL: BasicNackOptions = BasicNackOptions {
    multiple: true,
    requeue: true,
};
const REQUEUE: BasicNackOptions = BasicNackOptions {
    multiple: false,
    requeue: true,
};

/// A queue of five messages and a channel to take them from.
async fn five(connection: &Connection) -> Outcome<(Channel, ShortString)> {
    let (publisher, channel) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    for number in 1..=5 {
        enqueue(&publisher, &queue, number.to_string().as_bytes()).await?;
    }
    Ok((channel, queue))
}

async fn hold_many(channel: &Channel, queue: &ShortString, count: usize) -> Outcome<Vec<Delivery>> {
    let mut held = Vec::new();
    while held.len() < count {
        held.push(hold(channel, queue).await?);
    }
    Ok(held)
}

/// What is in the queue: bodies, with a star at what is redelivered.
async fn rest(channel: &Channel, queue: &ShortString) -> Outcome<String> {
    let mut rest = String::new();
    while let Some(delivery) = get(channel, queue).await? {
        rest += &String::from_utf8(delivery.data)?;
        if delivery.redelivered {
            rest.push('*');
        }
    }
    Ok(rest)
}

pub async fn get_and_ack(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, queue) = five(&connection).await?;
    for number in 1..=5u32 {
        let got = channel
            .basic_get(queue.clone(), BasicGetOptions::default())
            .await?
            .ok_or("empty")?;
        assert_eq!(got.message_count, 5 - number);
        assert_eq!(got.delivery.delivery_tag, u64::from(number));
        assert_eq!(
            (got.delivery.exchange.as_str(), &got.delivery.routing_key),
            ("", &queue)
        );
        if number != 3 {
            got.delivery.ack(BasicAckOptions::default()).await?;
        }
    }
    assert!(
        channel
            .basic_get(queue.clone(), BasicGetOptions::default())
            .await?
            .is_none()
    );
    channel.close(200, "done".into()).await?;
    assert_eq!(
        rest(&connection.create_channel().await?, &queue).await?,
        "3*"
    );
    Ok(())
}

pub async fn ack_multiple(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, queue) = five(&connection).await?;
    let held = hold_many(&channel, &queue, 4).await?;
    held[2].ack(BasicAckOptions { multiple: true }).await?;
    channel.close(200, "done".into()).await?;
    assert_eq!(
        rest(&connection.create_channel().await?, &queue).await?,
        "4*5"
    );
    Ok(())
}

pub async fn nack_requeues_in_order(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, queue) = five(&connection).await?;
    for _ in 0..5 {
        let held = hold_many(&channel, &queue, 4).await?;
        held[3].nack(REQUEUE_ALL).await?;
    }
    let held = hold_many(&channel, &queue, 2).await?;
    held[0]
        .nack(BasicNackOptions {
            multiple: false,
            requeue: false,
        })
        .await?;
    held[1].nack(REQUEUE).await?;
    assert_eq!(rest(&channel, &queue).await?, "2*3*4*5");
    Ok(())
}

pub async fn reject_to_its_place(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, queue) = five(&connection).await?;
    let held = hold_many(&channel, &queue, 4).await?;
    held[2].reject(BasicRejectOptions { requeue: true }).await?;
    held[0].reject(BasicRejectOptions { requeue: true }).await?;
    held[1]
        .reject(BasicRejectOptions { requeue: false })
        .await?;
    assert_eq!(rest(&channel, &queue).await?, "1*3*5");
    Ok(())
}

pub async fn unknown_delivery_tag(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, queue) = five(&connection).await?;
    let mut refusals = Refusals::of(&connection);
    hold(&channel, &queue).await?;
    channel.basic_ack(99, BasicAckOptions::default()).await?;
    refusals
        .next(406, "PRECONDITION_FAILED - unknown delivery tag 99")
        .await?;
    // What the failed channel held is back.
    let channel = connection.create_channel().await?;
    wait_ready(&channel, &queue, 5).await?;
    assert_eq!(rest(&channel, &queue).await?, "1*2345");
    Ok(())
}

pub async fn closing_gives_back(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, queue) = five(&connection).await?;
    let mut consumer = consume(&channel, &queue, false).await?;
    next_bodies(&mut consumer, 5).await?;
    channel.close(200, "done".into()).await?;
    assert_eq!(
        rest(&connection.create_channel().await?, &queue).await?,
        "1*2*3*4*5*"
    );
    Ok(())
}

pub async fn recover(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, queue) = five(&connection).await?;
    hold_many(&channel, &queue, 3).await?;
    channel
        .basic_recover(BasicRecoverOptions { requeue: true })
        .await?;
    assert_eq!(rest(&channel, &queue).await?, "1*2*3*45");
    let result = channel
        .basic_recover(BasicRecoverOptions { requeue: false })
        .await;
    refused(result, 540, "NOT_IMPLEMENTED - requeue=false")
}
