//! What ends without the client's doing: a client that is frozen, a broker that is killed or stopped.

use std::time::Duration;

use crate::place::{Place, Problem, WAIT};
use crate::scenarios::{NOTHING, Outcome, taken, with_queue};
use crate::words::{
    Binding, Channel, Client, Connection, Flags, How, Properties, Published, Table, To, to_queue,
    transient,
};

/// A second client stands still, is cut off, and what it had goes to us.
pub async fn frozen<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let mut channel = connection.channel().await?;
    let queue = place.name("queue");
    channel
        .declare_queue(&queue, Flags::default(), Table::new())
        .await?;
    channel.send(&queue, "held").await?;
    place.ask(&format!("freeze {queue}")).await?;
    channel.consume(&queue).await?;
    let delivery = channel.next().await?;
    assert!(delivery.body == b"held" && delivery.redelivered);
    channel.ack(delivery.tag).await?;
    channel.delete_queue(&queue).await?;
    NOTHING
}

/// What is left of a connection, and of messages, once the broker was killed or stopped.
pub async fn after_a_restart<C: Client>(place: &Place<'_, C>, how: &str) -> Outcome {
    let recovers = How {
        recovers: C::RECOVERS,
        ..How::default()
    };
    let mut connection = place.client.connect(&place.url, recovers).await?;
    let mut channel = connection.channel().await?;
    let kept = place.name("kept");
    let durable = Flags {
        durable: true,
        ..Flags::default()
    };
    channel.declare_queue(&kept, durable, Table::new()).await?;
    for number in 0..10 {
        let persistent = Properties {
            delivery_mode: Some(2),
            ..Properties::default()
        };
        let outcome = channel.publish(to_queue(&kept), persistent, number.to_string());
        assert_eq!(outcome.await?, Published::Acked);
    }
    if C::RECOVERS {
        recovers_by_itself(place, &connection, how).await?;
    } else {
        place.ask(how).await?;
        if how == "stop" {
            let (code, text) = connection.closed().await?;
            assert!(
                code == 320 && text.starts_with("CONNECTION_FORCED"),
                "{text}"
            );
        }
        let lives = channel.ready(&kept).await.is_ok();
        assert!(!lives, "the connection lived on");
    }
    let connection = place.connect().await?;
    let mut channel = connection.channel().await?;
    for number in 0..10 {
        let body = taken(&mut channel, &kept).await?;
        assert_eq!(body, number.to_string().into_bytes());
    }
    assert!(channel.get(&kept, true).await?.is_none());
    channel.delete_queue(&kept).await?;
    Ok(if C::RECOVERS {
        "by itself"
    } else {
        "connecting anew"
    }
    .into())
}

/// An exclusive queue, its binding and its consumer come back without a word of ours.
async fn recovers_by_itself<C: Client>(
    place: &Place<'_, C>,
    connection: &C::Connection,
    how: &str,
) -> Result<(), Problem> {
    let (mut channel, queue) = with_queue(place, connection, Table::new()).await?;
    let mut publisher = connection.channel().await?;
    let exchange = place.name("exchange");
    channel.declare_exchange(&exchange, "direct", true).await?;
    let binding = Binding {
        queue: &queue,
        exchange: &exchange,
        key: "key",
        arguments: Table::new(),
    };
    channel.bind_queue(&binding).await?;
    channel.consume(&queue).await?;
    let to = To {
        exchange: &exchange,
        key: "key",
        mandatory: true,
    };
    publisher.publish(to, transient(), "before").await?;
    let before = channel.next().await?;
    channel.ack(before.tag).await?;
    place.ask(how).await?;
    let deadline = tokio::time::Instant::now() + WAIT;
    // While it recovers, publishing fails or finds no queue yet.
    while tokio::time::Instant::now() < deadline {
        if let Ok(Published::Acked) = publisher.publish(to, transient(), "after").await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    loop {
        let delivery = channel.next().await?;
        channel.ack(delivery.tag).await?;
        // Its ack may have been on its way.
        if delivery.body != b"before" {
            assert_eq!(delivery.body, b"after");
            return Ok(());
        }
    }
}
