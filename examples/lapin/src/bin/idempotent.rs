//! An idempotent consumer: what comes twice is done once.
//!
//! At-least-once delivery means that a message may come again: a publisher that lost the connection
//! before the confirm sends it again, a consumer that lost it before the ack gets it again. So the
//! publisher gives every message an id of its own, and the consumer remembers which ids it has dealt
//! with. Here it remembers in a set with a limit; in earnest it is a table with a unique key, written
//! in the same transaction as the work itself.

use std::collections::{HashSet, VecDeque};

use lapin::BasicProperties;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin_examples::{Outcome, connect, next};

/// The last ids, the oldest forgotten first.
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
    limit: usize,
}

impl Seen {
    fn new(limit: usize) -> Self {
        Self {
            ids: HashSet::new(),
            order: VecDeque::new(),
            limit,
        }
    }

    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let connection = connect("idempotent consumer").await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare("".into(), exclusive, FieldTable::default())
        .await?;

    // A publisher that was not sure about payments 2 and 4 and sent them again.
    for number in [1, 2, 3, 2, 4, 5, 4] {
        let properties =
            BasicProperties::default().with_message_id(format!("payment-{number}").into());
        channel
            .basic_publish(
                "".into(),
                queue.name().clone(),
                BasicPublishOptions::default(),
                format!("{number}").as_bytes(),
                properties,
            )
            .await?
            .await?;
    }

    let mut payments = channel
        .basic_consume(
            queue.name().clone(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let (mut seen, mut balance, mut passed_over) = (Seen::new(10_000), 0, 0);
    for deliveries in 1..=8 {
        let payment = next(&mut payments).await?;
        let id = payment
            .properties
            .message_id()
            .clone()
            .ok_or("a payment without an id")?;
        if seen.is_new(id.as_str()) {
            balance += String::from_utf8_lossy(&payment.data).parse::<u32>()?;
            if deliveries == 3 {
                // A consumer that fell over after the work and before the ack: the message comes
                // again, and only its id saves us.
                payment
                    .nack(BasicNackOptions {
                        multiple: false,
                        requeue: true,
                    })
                    .await?;
                continue;
            }
        } else {
            passed_over += 1;
        }
        payment.ack(BasicAckOptions::default()).await?;
    }
    println!("8 deliveries of 5 payments, {passed_over} passed over, balance {balance} EUR");
    connection.close(200, "OK".into()).await?;
    if (balance, passed_over) == (15, 3) {
        Ok(())
    } else {
        Err("the balance is wrong".into())
    }
}
