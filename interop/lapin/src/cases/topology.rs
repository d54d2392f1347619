//! Queues and exchanges: declaring, equivalence, locking, deleting, and what is refused.

use std::collections::HashSet;

use lapin::options::*;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::Outcome;
use crate::world::*;

/// Neither exclusive nor anything else.
const SHARED: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: false,
    exclusive: false,
    auto_delete: false,
    nowait: false,
};

/// The queue is not there. This costs the channel.
async fn gone(world: &World, channel: &Channel, queue: &ShortString) -> Outcome {
    let result = channel
        .queue_declare(queue.clone(), PASSIVE, FieldTable::default())
        .await;
    refused(
        result,
        404,
        &format!(
            "NOT_FOUND - no queue '{queue}' in vhost '{}'",
            world.vhost()?
        ),
    )
}

pub async fn server_named_queues(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let mut names = HashSet::new();
    for _ in 0..10 {
        let declared = channel
            .queue_declare("".into(), EXCLUSIVE, FieldTable::default())
            .await?;
        assert_eq!(
            (declared.message_count(), declared.consumer_count()),
            (0, 0)
        );
        assert!(
            declared.name().as_str().starts_with("amq.gen-"),
            "{}",
            declared.name()
        );
        names.insert(declared.name().to_string());
    }
    assert_eq!(names.len(), 10);
    Ok(())
}

pub async fn declare_again_and_differently(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let channel = connection.create_channel().await?;
    let name = fresh("queue");
    let options = QueueDeclareOptions {
        auto_delete: true,
        ..SHARED
    };
    for _ in 0..2 {
        channel
            .queue_declare(name.clone(), options, FieldTable::default())
            .await?;
    }
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{name}' in vhost '{}': \
         received 'true' but current is 'false'",
        world.vhost()?
    );
    let durable = QueueDeclareOptions {
        durable: true,
        ..options
    };
    refused(
        channel
            .queue_declare(name.clone(), durable, FieldTable::default())
            .await,
        406,
        &text,
    )?;

    let channel = connection.create_channel().await?;
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{name}' in vhost '{}': \
         received the value '5' of type 'signedint' but current is none",
        world.vhost()?
    );
    let limited = table([("x-max-length", int(5))]);
    refused(
        channel.queue_declare(name.clone(), options, limited).await,
        406,
        &text,
    )?;

    let channel = connection.create_channel().await?;
    let exchange = fresh("exchange");
    channel
        .exchange_declare(
            exchange.clone(),
            ExchangeKind::Direct,
            AUTO_DELETE,
            FieldTable::default(),
        )
        .await?;
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{exchange}' in vhost '{}': \
         received 'fanout' but current is 'direct'",
        world.vhost()?
    );
    let result = channel
        .exchange_declare(
            exchange.clone(),
            ExchangeKind::Fanout,
            AUTO_DELETE,
            FieldTable::default(),
        )
        .await;
    refused(result, 406, &text)?;

    let channel = connection.create_channel().await?;
    channel
        .queue_delete(name, QueueDeleteOptions::default())
        .await?;
    channel
        .exchange_delete(exchange, ExchangeDeleteOptions::default())
        .await?;
    Ok(())
}

pub async fn passive_declare_of_none(world: &World) -> Outcome {
    let connection = world.connect().await?;
    gone(world, &connection.create_channel().await?, &fresh("queue")).await?;
    let exchange = fresh("exchange");
    let passive = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    let result = connection
        .create_channel()
        .await?
        .exchange_declare(
            exchange.clone(),
            ExchangeKind::Direct,
            passive,
            FieldTable::default(),
        )
        .await;
    refused(
        result,
        404,
        &format!(
            "NOT_FOUND - no exchange '{exchange}' in vhost '{}'",
            world.vhost()?
        ),
    )
}

pub async fn reserved_names(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let result = connection
        .create_channel()
        .await?
        .queue_declare("amq.mine".into(), EXCLUSIVE, FieldTable::default())
        .await;
    refused(
        result,
        403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    )?;
    let result = connection
        .create_channel()
        .await?
        .exchange_declare(
            "amq.mine".into(),
            ExchangeKind::Direct,
            AUTO_DELETE,
            FieldTable::default(),
        )
        .await;
    refused(
        result,
        403,
        "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
    )?;
    let channel = connection.create_channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    let result = channel
        .queue_bind(
            queue,
            "".into(),
            "key".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await;
    refused(
        result,
        403,
        "ACCESS_REFUSED - operation not permitted on the default exchange",
    )
}

pub async fn exclusive_queue_is_locked(world: &World) -> Outcome {
    let (owner, other) = (world.channel().await?, world.channel().await?);
    let queue = queue(&owner, FieldTable::default()).await?;
    let text = format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '{}'. \
         It could be originally declared on another connection or the exclusive property value does not match \
         that of the original declaration.",
        world.vhost()?
    );
    refused(
        other
            .basic_get(queue.clone(), BasicGetOptions::default())
            .await,
        405,
        &text,
    )?;
    let other = world.channel().await?;
    publish(&other, "", queue.as_str(), b"publishing is not locked").await?;
    wait_ready(&owner, &queue, 1).await
}

pub async fn auto_delete_queue(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let name = fresh("queue");
    let options = QueueDeclareOptions {
        auto_delete: true,
        ..SHARED
    };
    channel
        .queue_declare(name.clone(), options, FieldTable::default())
        .await?;
    let consumer = consume(&channel, &name, true).await?;
    channel
        .basic_cancel(consumer.tag(), BasicCancelOptions::default())
        .await?;
    gone(world, &channel, &name).await
}

pub async fn purge_and_delete_count(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    for body in [b"1", b"2", b"3"] {
        enqueue(&channel, &queue, body).await?;
    }
    let _held = hold(&channel, &queue).await?;
    assert_eq!(
        channel
            .queue_purge(queue.clone(), QueuePurgeOptions::default())
            .await?,
        2
    );
    enqueue(&channel, &queue, b"4").await?;
    assert_eq!(
        channel
            .queue_delete(queue.clone(), QueueDeleteOptions::default())
            .await?,
        1
    );
    assert_eq!(
        channel
            .queue_delete(queue.clone(), QueueDeleteOptions::default())
            .await?,
        0
    );
    gone(world, &channel, &queue).await
}

pub async fn delete_if_empty_and_if_unused(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let channel = connection.create_channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    enqueue(&channel, &queue, b"x").await?;
    let if_empty = QueueDeleteOptions {
        if_empty: true,
        ..QueueDeleteOptions::default()
    };
    let text = format!(
        "PRECONDITION_FAILED - queue '{queue}' in vhost '{}' not empty",
        world.vhost()?
    );
    refused(
        channel.queue_delete(queue.clone(), if_empty).await,
        406,
        &text,
    )?;

    let channel = connection.create_channel().await?;
    let _consumer = consume(&channel, &queue, true).await?;
    let if_unused = QueueDeleteOptions {
        if_unused: true,
        ..QueueDeleteOptions::default()
    };
    let text = format!(
        "PRECONDITION_FAILED - queue '{queue}' in vhost '{}' in use",
        world.vhost()?
    );
    refused(
        channel.queue_delete(queue.clone(), if_unused).await,
        406,
        &text,
    )
}

pub async fn invalid_arguments(world: &World) -> Outcome {
    let connection = world.connect().await?;
    for (argument, value, problem) in [
        ("x-message-ttl", int(-1), "{value_negative,-1}"),
        ("x-expires", int(0), "{value_zero,0}"),
        (
            "x-max-length",
            string("5"),
            "\"expected integer, got longstr\"",
        ),
        ("x-overflow", string("explode"), "invalid_overflow"),
        (
            "x-dead-letter-routing-key",
            string("key"),
            "routing_key_but_no_dlx_defined",
        ),
        (
            "x-single-active-consumer",
            int(1),
            "{unacceptable_type,signedint}",
        ),
    ] {
        let (channel, name) = (connection.create_channel().await?, fresh("queue"));
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '{}': {problem}",
            world.vhost()?
        );
        refused(
            channel
                .queue_declare(name, EXCLUSIVE, table([(argument, value)]))
                .await,
            406,
            &text,
        )?;
    }
    Ok(())
}
