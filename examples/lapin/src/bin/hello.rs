//! Hello world: one message through one queue.

use lapin::BasicProperties;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin_examples::{Outcome, connect, next};

#[tokio::main]
async fn main() -> Outcome {
    let connection = connect("hello").await?;
    let channel = connection.create_channel().await?;
    let queue = QueueDeclareOptions {
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare("example.hello".into(), queue, FieldTable::default())
        .await?;
    channel
        .basic_publish(
            "".into(),
            "example.hello".into(),
            BasicPublishOptions::default(),
            b"Hello, world!",
            BasicProperties::default(),
        )
        .await?;

    let mut consumer = channel
        .basic_consume(
            "example.hello".into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let delivery = next(&mut consumer).await?;
    delivery.ack(BasicAckOptions::default()).await?;
    println!("received {:?}", String::from_utf8_lossy(&delivery.data));
    connection.close(200, "OK".into()).await?;
    Ok(())
}
