//! Publishing: confirms, returns, bodies, properties, transactions, and what is refused.

use lapin::options::*;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Confirmation};

use super::Outcome;
use crate::world::*;

const MANDATORY: BasicPublishOptions = BasicPublishOptions {
    mandatory: true,
    immediate: false,
};

/// Bytes in which every part differs from every other.
fn pattern(size: usize) -> Vec<u8> {
    (0..size as u32 / 4 + 1)
        .flat_map(u32::to_be_bytes)
        .take(size)
        .collect()
}

pub async fn confirms(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let mut pending = Vec::new();
    for number in 0..1000u32 {
        let body = number.to_be_bytes();
        let properties = BasicProperties::default().with_delivery_mode(2);
        pending.push(
            channel
                .basic_publish("".into(), queue.clone(), MANDATORY, &body, properties)
                .await?,
        );
    }
    for confirm in pending {
        assert_eq!(confirm.await?, Confirmation::Ack(None));
    }
    assert_eq!(ready(&channel, &queue).await?, 1000);
    Ok(())
}

pub async fn wait_for_confirms(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    for number in 0..100u32 {
        publish(&channel, "", queue.as_str(), &number.to_be_bytes()).await?;
    }
    assert!(channel.wait_for_confirms().await?.is_empty());
    assert_eq!(ready(&channel, &queue).await?, 100);
    Ok(())
}

pub async fn returned_with_confirm(world: &World) -> Outcome {
    let channel = world.channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let (key, body) = (fresh("key"), pattern(300_000));
    let properties = BasicProperties::default().with_message_id("one".into());
    let published = channel
        .basic_publish(
            "amq.direct".into(),
            key.clone(),
            MANDATORY,
            &body,
            properties.clone(),
        )
        .await?;
    let Confirmation::Ack(Some(returned)) = published.await? else {
        return Err("not returned".into());
    };
    assert_eq!(
        (returned.reply_code, returned.reply_text.as_str()),
        (312, "NO_ROUTE")
    );
    assert_eq!(
        (
            returned.delivery.exchange.as_str(),
            &returned.delivery.routing_key
        ),
        ("amq.direct", &key)
    );
    assert_eq!(returned.delivery.properties, properties);
    assert!(returned.delivery.data == body);
    // Without mandatory it is dropped and confirmed.
    let dropped = channel
        .basic_publish(
            "amq.direct".into(),
            key,
            BasicPublishOptions::default(),
            b"x",
            BasicProperties::default(),
        )
        .await?;
    assert_eq!(dropped.await?, Confirmation::Ack(None));
    Ok(())
}

pub async fn nack_by_a_full_queue(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(
        &channel,
        table([
            ("x-max-length", int(1)),
            ("x-overflow", string("reject-publish")),
        ]),
    )
    .await?;
    assert!(enqueue(&channel, &queue, b"fits").await?.is_ack());
    assert_eq!(
        enqueue(&channel, &queue, b"does not").await?,
        Confirmation::Nack(None)
    );
    assert_eq!(bodies(&channel, &queue).await?, ["fits"]);
    assert!(enqueue(&channel, &queue, b"fits again").await?.is_ack());
    Ok(())
}

pub async fn bodies_of_all_sizes(world: &World) -> Outcome {
    const ONE_FRAME: usize = 131_072 - 8;
    let channel = world.channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    let mut consumer = consume(&channel, &queue, true).await?;
    for size in [
        0,
        1,
        4096,
        ONE_FRAME - 1,
        ONE_FRAME,
        ONE_FRAME + 1,
        2 * ONE_FRAME + 1,
        5_000_000,
    ] {
        publish(&channel, "", queue.as_str(), &pattern(size)).await?;
        assert!(
            next(&mut consumer).await?.data == pattern(size),
            "{size} bytes"
        );
    }
    Ok(())
}

pub async fn all_properties(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    let user = world
        .target
        .amqp_url
        .parse::<lapin::uri::AMQPUri>()?
        .authority
        .userinfo
        .username;
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("gzip".into())
        .with_headers(table([("key", string("value"))]))
        .with_delivery_mode(2)
        .with_priority(7)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_expiration("60000".into())
        .with_message_id("message ünïque".into())
        .with_timestamp(1_700_000_000)
        .with_type("kind".into())
        .with_user_id(user.into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into());
    publish_with(&channel, "", queue.as_str(), b"x", properties.clone()).await?;
    publish(&channel, "", queue.as_str(), b"y").await?;
    assert_eq!(
        get(&channel, &queue).await?.ok_or("empty")?.properties,
        properties
    );
    assert_eq!(
        get(&channel, &queue).await?.ok_or("empty")?.properties,
        BasicProperties::default()
    );
    Ok(())
}

/// Every type of value comes back as it went, also when dead-lettering wrote the headers anew.
pub async fn header_types(world: &World) -> Outcome {
    let channel = world.channel().await?;
    let dead = queue(&channel, FieldTable::default()).await?;
    let arguments = table([
        ("x-dead-letter-exchange", string("")),
        ("x-dead-letter-routing-key", string(dead.as_str())),
    ]);
    let queue = queue(&channel, arguments).await?;
    let mut list = FieldArray::default();
    list.push(int(1));
    list.push(string("two"));
    list.push(AMQPValue::FieldTable(table([("three", AMQPValue::Void)])));
    let sent = table([
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-8)),
        ("u8", AMQPValue::ShortShortUInt(200)),
        ("i16", AMQPValue::ShortInt(-16_000)),
        ("u16", AMQPValue::ShortUInt(60_000)),
        ("i32", AMQPValue::LongInt(-2_000_000_000)),
        ("u32", AMQPValue::LongUInt(4_000_000_000)),
        ("i64", AMQPValue::LongLongInt(-9_000_000_000_000)),
        ("f32", AMQPValue::Float(1.5)),
        ("f64", AMQPValue::Double(-2.25)),
        (
            "decimal",
            AMQPValue::DecimalValue(DecimalValue {
                scale: 3,
                value: 12_345,
            }),
        ),
        ("string", string("ünïcode λ")),
        ("time", AMQPValue::Timestamp(1_600_000_000)),
        ("bytes", AMQPValue::ByteArray(vec![0, 1, 255].into())),
        ("void", AMQPValue::Void),
        ("list", AMQPValue::FieldArray(list)),
        (
            "table",
            AMQPValue::FieldTable(table([(
                "inner",
                AMQPValue::FieldTable(FieldTable::default()),
            )])),
        ),
    ]);
    let properties = BasicProperties::default().with_headers(sent.clone());
    publish_with(&channel, "", queue.as_str(), b"x", properties).await?;
    let delivery = hold(&channel, &queue).await?;
    assert_eq!(headers(&delivery), sent);
    let mut consumer = consume(&channel, &dead, true).await?;
    delivery
        .reject(BasicRejectOptions { requeue: false })
        .await?;
    let written_anew = headers(&next(&mut consumer).await?);
    for (name, value) in sent.inner() {
        assert_eq!(written_anew.inner().get(name), Some(value), "{name}");
    }
    Ok(())
}

pub async fn transactions(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (tx, channel) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    tx.tx_select().await?;
    publish(&tx, "", queue.as_str(), b"rolled back").await?;
    tx.tx_rollback().await?;
    publish(&tx, "", queue.as_str(), b"1").await?;
    publish(&tx, "", queue.as_str(), b"2").await?;
    assert_eq!(ready(&tx, &queue).await?, 0);
    tx.tx_commit().await?;
    let held = hold(&tx, &queue).await?;
    held.ack(BasicAckOptions::default()).await?;
    tx.close(200, "without a commit".into()).await?;
    assert_eq!(bodies(&channel, &queue).await?, ["1", "2"]);
    Ok(())
}

pub async fn tx_and_confirms_exclude_each_other(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let channel = connection.create_channel().await?;
    channel.tx_select().await?;
    let result = channel
        .confirm_select(ConfirmSelectOptions::default())
        .await;
    refused(
        result,
        406,
        "PRECONDITION_FAILED - cannot switch from tx to confirm mode",
    )?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    refused(
        channel.tx_select().await,
        406,
        "PRECONDITION_FAILED - cannot switch from confirm to tx mode",
    )?;
    let channel = connection.create_channel().await?;
    refused(
        channel.tx_commit().await,
        406,
        "PRECONDITION_FAILED - channel is not transactional",
    )
}

pub async fn immediate(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, mut refusals) = (
        connection.create_channel().await?,
        Refusals::of(&connection),
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    let options = BasicPublishOptions {
        mandatory: false,
        immediate: true,
    };
    channel
        .basic_publish("".into(), queue, options, b"x", BasicProperties::default())
        .await?;
    refusals.next(540, "NOT_IMPLEMENTED - immediate=true").await
}

pub async fn invalid_expiration(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, mut refusals) = (
        connection.create_channel().await?,
        Refusals::of(&connection),
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    let properties = BasicProperties::default().with_expiration("soon".into());
    publish_with(&channel, "", queue.as_str(), b"x", properties).await?;
    refusals
        .next(
            406,
            "PRECONDITION_FAILED - invalid expiration 'soon': no_integer",
        )
        .await
}

pub async fn wrong_user_id(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (channel, mut refusals) = (
        connection.create_channel().await?,
        Refusals::of(&connection),
    );
    let queue = queue(&channel, FieldTable::default()).await?;
    let user = world
        .target
        .amqp_url
        .parse::<lapin::uri::AMQPUri>()?
        .authority
        .userinfo
        .username;
    let properties = BasicProperties::default().with_user_id("somebody".into());
    publish_with(&channel, "", queue.as_str(), b"x", properties).await?;
    let text = format!(
        "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was '{user}'"
    );
    refusals.next(406, &text).await
}
