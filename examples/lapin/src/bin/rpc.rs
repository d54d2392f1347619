//! Remote calls by direct reply-to: the answers need no queue.
//!
//! The client consumes from the pseudo-queue amq.rabbitmq.reply-to and names it in reply_to; the
//! broker puts an address in its place that leads straight back to the client's channel.

use futures_lite::StreamExt;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, Consumer};
use lapin_examples::{Outcome, connect, next};

const QUEUE: &str = "example.rpc.square";
const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Squares numbers for as long as the connection lives.
async fn serve(connection: &Connection) -> Outcome<Channel> {
    let channel = connection.create_channel().await?;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(QUEUE.into(), exclusive, FieldTable::default())
        .await?;
    let mut requests = channel
        .basic_consume(
            QUEUE.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let answering = channel.clone();
    tokio::spawn(async move {
        while let Some(Ok(request)) = requests.next().await {
            let number: u64 = String::from_utf8_lossy(&request.data).parse().unwrap_or(0);
            let mut properties = BasicProperties::default();
            if let Some(id) = request.properties.correlation_id() {
                properties = properties.with_correlation_id(id.clone());
            }
            if let Some(address) = request.properties.reply_to() {
                let answer = (number * number).to_string();
                let options = BasicPublishOptions::default();
                let _ = answering
                    .basic_publish(
                        "".into(),
                        address.clone(),
                        options,
                        answer.as_bytes(),
                        properties,
                    )
                    .await;
            }
            let _ = request.ack(BasicAckOptions::default()).await;
        }
    });
    Ok(channel)
}

/// Asks and waits for the answer to this very question.
async fn square(channel: &Channel, answers: &mut Consumer, number: u64) -> Outcome<u64> {
    let id = format!("request {number}");
    let properties = BasicProperties::default()
        .with_reply_to(REPLY_TO.into())
        .with_correlation_id(id.clone().into());
    let question = number.to_string();
    channel
        .basic_publish(
            "".into(),
            QUEUE.into(),
            BasicPublishOptions::default(),
            question.as_bytes(),
            properties,
        )
        .await?;
    loop {
        let answer = next(answers).await?;
        if answer.properties.correlation_id() == &Some(id.clone().into()) {
            return Ok(String::from_utf8_lossy(&answer.data).parse()?);
        }
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let (server, client) = (connect("rpc server").await?, connect("rpc client").await?);
    // lapin closes a channel when its last handle goes, so we hold on to it.
    let _serving = serve(&server).await?;

    let channel = client.create_channel().await?;
    // Before the first request, on the same channel, and always without acks.
    let no_ack = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let mut answers = channel
        .basic_consume(REPLY_TO.into(), "".into(), no_ack, FieldTable::default())
        .await?;
    for number in [3, 12, 111] {
        let answer = square(&channel, &mut answers, number).await?;
        println!("{number} squared is {answer}");
    }
    client.close(200, "OK".into()).await?;
    server.close(200, "OK".into()).await?;
    Ok(())
}
