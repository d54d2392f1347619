//! Consuming: order, cancelling, prefetch, priorities, exclusive and single active consumers.

use futures_lite::StreamExt;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer};

use super::Outcome;
use crate::world::*;

async fn fill(
    channel: &Channel,
    queue: &ShortString,
    numbers: std::ops::RangeInclusive<u32>,
) -> Outcome {
    for number in numbers {
        assert!(
            enqueue(channel, queue, number.to_string().as_bytes())
                .await?
                .is_ack()
        );
    }
    Ok(())
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn consume_with(
    channel: &Channel,
    queue: &ShortString,
    options: BasicConsumeOptions,
    arguments: FieldTable,
) -> Result<Consumer, lapin::Error> {
    channel
        .basic_consume(queue.clone(), "".into(), options, arguments)
        .await
}

pub async fn in_order(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (publisher, channel) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    let mut consumer = consume(&channel, &queue, false).await?;
    for number in 1..=1000u32 {
        publish(
            &publisher,
            "",
            queue.as_str(),
            number.to_string().as_bytes(),
        )
        .await?;
    }
    for number in 1..=1000u64 {
        let delivery = next(&mut consumer).await?;
        assert_eq!(delivery.data, number.to_string().as_bytes());
        assert_eq!(
            (delivery.delivery_tag, delivery.redelivered),
            (number, false)
        );
        delivery.ack(BasicAckOptions::default()).await?;
    }
    channel.close(200, "done".into()).await?;
    // Had an ack been lost, the closed channel would have given its message back.
    wait_ready(&publisher, &queue, 0).await
}

pub async fn to_the_end_of_a_cancel(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    fill(&channel, &queue, 1..=3).await?;
    let mut consumer = consume(&channel, &queue, false).await?;
    next_bodies(&mut consumer, 3).await?;
    channel
        .basic_cancel(consumer.tag(), BasicCancelOptions::default())
        .await?;
    fill(&channel, &queue, 4..=4).await?;
    assert!(consumer.next().await.is_none());
    assert_eq!(bodies(&channel, &queue).await?, ["4"]);
    channel
        .basic_nack(
            0,
            BasicNackOptions {
                multiple: true,
                requeue: true,
            },
        )
        .await?;
    assert_eq!(bodies(&channel, &queue).await?, numbers(1..=3));
    Ok(())
}

pub async fn cancel_notification(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, other) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    let mut consumer = consume(&channel, &queue, false).await?;
    other
        .queue_delete(queue, QueueDeleteOptions::default())
        .await?;
    assert!(consumer.next().await.is_none());
    assert!(channel.status().connected());
    Ok(())
}

pub async fn prefetch_each(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (publisher, channel) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    fill(&publisher, &queue, 1..=10).await?;
    channel
        .basic_qos(2, BasicQosOptions { global: false })
        .await?;
    let (mut one, mut two) = (
        consume(&channel, &queue, false).await?,
        consume(&channel, &queue, false).await?,
    );
    next_bodies(&mut one, 2).await?;
    let first = next(&mut two).await?;
    next(&mut two).await?;
    wait_ready(&publisher, &queue, 6).await?;
    first.ack(BasicAckOptions::default()).await?;
    next(&mut two).await?;
    wait_ready(&publisher, &queue, 5).await
}

pub async fn prefetch_global(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (publisher, channel) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    fill(&publisher, &queue, 1..=10).await?;
    channel
        .basic_qos(3, BasicQosOptions { global: true })
        .await?;
    let mut one = consume(&channel, &queue, false).await?;
    assert_eq!(next_bodies(&mut one, 3).await?, numbers(1..=3));
    let _two = consume(&channel, &queue, false).await?;
    wait_ready(&publisher, &queue, 7).await?;
    channel
        .basic_ack(0, BasicAckOptions { multiple: true })
        .await?;
    wait_ready(&publisher, &queue, 4).await
}

pub async fn priorities(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (publisher, low, high) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&publisher, FieldTable::default()).await?;
    high.basic_qos(3, BasicQosOptions::default()).await?;
    let priority = |value| table([("x-priority", int(value))]);
    let mut lower = consume_with(&low, &queue, BasicConsumeOptions::default(), priority(1)).await?;
    let mut higher =
        consume_with(&high, &queue, BasicConsumeOptions::default(), priority(5)).await?;
    fill(&publisher, &queue, 1..=5).await?;
    assert_eq!(next_bodies(&mut higher, 3).await?, numbers(1..=3));
    assert_eq!(next_bodies(&mut lower, 2).await?, numbers(4..=5));
    Ok(())
}

pub async fn exclusive(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, other) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    let options = BasicConsumeOptions {
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    let _consumer = consume_with(&channel, &queue, options, FieldTable::default()).await?;
    let result = consume_with(
        &other,
        &queue,
        BasicConsumeOptions::default(),
        FieldTable::default(),
    )
    .await;
    let text = format!(
        "ACCESS_REFUSED - queue '{queue}' in vhost '{}' in exclusive use",
        world.vhost()?
    );
    refused(result, 403, &text)
}

pub async fn single_active_consumer(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (publisher, one, two) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(
        &publisher,
        table([("x-single-active-consumer", AMQPValue::Boolean(true))]),
    )
    .await?;
    let (mut first, mut second) = (
        consume(&one, &queue, false).await?,
        consume(&two, &queue, false).await?,
    );
    fill(&publisher, &queue, 1..=10).await?;
    assert_eq!(next_bodies(&mut first, 10).await?, numbers(1..=10));
    one.close(200, "done".into()).await?;
    for number in 1..=10 {
        let delivery = next(&mut second).await?;
        assert_eq!(
            (delivery.data, delivery.redelivered),
            (number.to_string().into_bytes(), true)
        );
    }
    Ok(())
}

pub async fn two_share_the_work(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (publisher, one, two) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&publisher, FieldTable::default()).await?;
    let (mut first, mut second) = (
        consume(&one, &queue, true).await?,
        consume(&two, &queue, true).await?,
    );
    fill(&publisher, &queue, 1..=10).await?;
    let mut all = next_bodies(&mut first, 5).await?;
    all.extend(next_bodies(&mut second, 5).await?);
    all.sort_by_key(|body| body.parse::<u32>().ok());
    assert_eq!(all, numbers(1..=10));
    Ok(())
}

pub async fn direct_reply_to(world: &World) -> Outcome {
    let (server, client) = (world.channel().await?, world.channel().await?);
    let requests = queue(&server, FieldTable::default()).await?;
    let mut asked = consume(&server, &requests, true).await?;
    let reply_to: ShortString = "amq.rabbitmq.reply-to".into();
    let mut answers = consume(&client, &reply_to, true).await?;
    for number in 0..3u8 {
        let properties = BasicProperties::default()
            .with_reply_to(reply_to.clone())
            .with_correlation_id(number.to_string().into());
        publish_with(&client, "", requests.as_str(), &[number], properties).await?;
        let request = next(&mut asked).await?;
        let address = request.properties.reply_to().clone().ok_or("no reply-to")?;
        assert!(address.as_str().starts_with("amq.rabbitmq.reply-to."));
        let properties = BasicProperties::default()
            .with_correlation_id(request.properties.correlation_id().clone().ok_or("no id")?);
        publish_with(&server, "", address.as_str(), &[number * 2], properties).await?;
        let answer = next(&mut answers).await?;
        assert_eq!(answer.data, [number * 2]);
        assert_eq!(
            answer.properties.correlation_id(),
            &Some(number.to_string().into())
        );
    }
    let channel = world.channel().await?;
    let result = consume_with(
        &channel,
        &reply_to,
        BasicConsumeOptions::default(),
        FieldTable::default(),
    )
    .await;
    refused(
        result,
        406,
        "PRECONDITION_FAILED - reply consumer cannot acknowledge",
    )
}

pub async fn consumer_tag_twice(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default);
    let _first = channel
        .basic_consume(queue.clone(), "twice".into(), options, none())
        .await?;
    let result = channel
        .basic_consume(queue.clone(), "twice".into(), options, none())
        .await;
    refused(
        result,
        530,
        "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
    )
}
