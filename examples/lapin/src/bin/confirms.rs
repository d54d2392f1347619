//! Publisher confirms: know what became of every message.
//!
//! Each publish gives a future that says how it ended: taken charge of, refused by a full queue, or
//! returned because no queue wanted it. Many may be under way at once.

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
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
    for number in 0..5 {
        let order = format!("order {number}");
        let confirm = publish(&channel, queue.name().as_str(), &order).await?;
        pending.push((order, confirm));
    }
    for (order, confirm) in pending {
        say(&order, confirm.await?)?;
    }
    // lapin takes a returned message to belong to the confirm that comes next, so what may be
    // returned is better published with nothing else under way.
    let confirm = publish(&channel, "no.such.queue", "order 5").await?;
    say("order 5", confirm.await?)?;
    connection.close(200, "OK".into()).await?;
    Ok(())
}

/// Publishes a persistent message that must reach a queue.
async fn publish(channel: &Channel, queue: &str, order: &str) -> Outcome<PublisherConfirm> {
    let mandatory = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let (exchange, key) = ("".into(), queue.into());
    Ok(channel
        .basic_publish(exchange, key, mandatory, order.as_bytes(), persistent)
        .await?)
}

fn say(order: &str, confirmation: Confirmation) -> Outcome {
    match confirmation {
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
    Ok(())
}
