//! Publisher confirms: know what became of every message.
//!
//! Each publish gives a future that says how it ended: taken charge of, refused by a full queue, or
//! returned because no queue wanted it. Many may be under way at once.

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use lapin_examples::{Outcome, connect};

#[tokio::main]
async fn main() -> Outcome {
    let connection = connect("confirms").await?;
    let channel = connection.create_channel().await?;
    // Room for three, and the publisher is told when it is full.
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(3));
    arguments.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare("".into(), exclusive, arguments)
        .await?;

    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let mut pending = Vec::new();
    for number in 0..6 {
        let key = if number < 5 {
            queue.name().clone()
        } else {
            "no.such.queue".into()
        };
        let mandatory = BasicPublishOptions {
            mandatory: true,
            immediate: false,
        };
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let body = format!("order {number}");
        let confirm = channel
            .basic_publish("".into(), key, mandatory, body.as_bytes(), persistent)
            .await?;
        pending.push((body, confirm));
    }
    for (order, confirm) in pending {
        match confirm.await? {
            Confirmation::Ack(None) => println!("{order}: confirmed"),
            Confirmation::Ack(Some(returned)) => {
                println!(
                    "{order}: returned ({} {})",
                    returned.reply_code, returned.reply_text
                );
            }
            Confirmation::Nack(_) => println!("{order}: refused"),
            Confirmation::NotRequested => return Err("not in confirm mode".into()),
        }
    }
    connection.close(200, "OK".into()).await?;
    Ok(())
}
