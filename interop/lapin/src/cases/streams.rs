//! Streams: readers from each kind of offset, beside each other, with acks as credit.

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Consumer};

use super::Outcome;
use crate::world::*;

/// A stream with the messages 0 to 9. It is deleted by [`done`].
async fn stream(channel: &Channel) -> Outcome<ShortString> {
    let name = fresh("stream");
    let options = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let arguments = table([("x-queue-type", string("stream"))]);
    channel
        .queue_declare(name.clone(), options, arguments)
        .await?;
    for number in 0..10 {
        let body = number.to_string();
        assert!(enqueue(channel, &name, body.as_bytes()).await?.is_ack());
    }
    Ok(name)
}

async fn done(channel: &Channel, stream: ShortString) -> Outcome {
    channel
        .queue_delete(stream, QueueDeleteOptions::default())
        .await?;
    Ok(())
}

async fn read(
    world: &World,
    stream: &ShortString,
    prefetch: u16,
    arguments: FieldTable,
) -> Outcome<Consumer> {
    let channel = world.channel().await?;
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let options = BasicConsumeOptions::default();
    let consumer = channel
        .basic_consume(stream.clone(), "".into(), options, arguments)
        .await?;
    Ok(consumer)
}

/// The next messages are those numbers, at these offsets; they are acked.
async fn expect(consumer: &mut Consumer, numbers: std::ops::Range<i64>) -> Outcome {
    for number in numbers {
        let delivery = next(consumer).await?;
        assert_eq!(delivery.data, number.to_string().as_bytes());
        let headers = headers(&delivery);
        let offset = headers.inner().get("x-stream-offset");
        assert_eq!(offset, Some(&AMQPValue::LongLongInt(number)));
        assert!(!delivery.redelivered);
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

pub async fn from_each_kind_of_offset(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let stream = stream(&channel).await?;
    for (offset, first) in [
        (string("first"), 0),
        (string("last"), 9),
        (int(0), 0),
        (AMQPValue::LongLongInt(7), 7),
        (string("1h"), 0),
        (AMQPValue::Timestamp(1_600_000_000), 0),
    ] {
        let arguments = table([("x-stream-offset", offset)]);
        let mut consumer = read(world, &stream, 100, arguments).await?;
        expect(&mut consumer, first..10).await?;
    }
    for offset in [string("next"), int(10), AMQPValue::Timestamp(4_000_000_000)] {
        let arguments = table([("x-stream-offset", offset)]);
        let mut consumer = read(world, &stream, 100, arguments).await?;
        enqueue(&channel, &stream, b"new").await?;
        // The offset 10 is there by the second time.
        assert_eq!(next(&mut consumer).await?.data, b"new");
    }
    done(&channel, stream).await
}

pub async fn many_readers(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let stream = stream(&channel).await?;
    let first = || table([("x-stream-offset", string("first"))]);
    let mut one = read(world, &stream, 2, first()).await?;
    let mut other = read(world, &stream, 100, first()).await?;
    expect(&mut one, 0..5).await?;
    expect(&mut other, 0..10).await?;
    expect(&mut one, 5..10).await?;
    done(&channel, stream).await
}

pub async fn needs_a_prefetch(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let stream = stream(&channel).await?;
    let refusing = world.channel().await?;
    let options = BasicConsumeOptions::default();
    let consumer = refusing
        .basic_consume(stream.clone(), "".into(), options, FieldTable::default())
        .await;
    let text = format!(
        "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue '{stream}' in vhost '/''"
    );
    refused(consumer, 406, &text)?;
    done(&channel, stream).await
}
