//! A work queue: tasks that survive a restart, shared by workers that each take one at a time.
//!
//! A task is acked when it is done; if a worker dies before that, another gets the task.

use futures_lite::StreamExt;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection};
use lapin_examples::{Outcome, connect};
use tokio::sync::mpsc;

const QUEUE: &str = "example.tasks";
const TASKS: usize = 20;

/// Takes tasks one at a time, does them, says so.
async fn work(
    connection: &Connection,
    name: &'static str,
    done: mpsc::Sender<(&'static str, String)>,
) -> Outcome<Channel> {
    let channel = connection.create_channel().await?;
    // At most one task in hand: the next goes to whoever is free.
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    let mut tasks = channel
        .basic_consume(
            QUEUE.into(),
            name.into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    tokio::spawn(async move {
        while let Some(Ok(task)) = tasks.next().await {
            let text = String::from_utf8_lossy(&task.data).into_owned();
            if done.send((name, text)).await.is_err()
                || task.ack(BasicAckOptions::default()).await.is_err()
            {
                return;
            }
        }
    });
    Ok(channel)
}

#[tokio::main]
async fn main() -> Outcome {
    let connection = connect("work queue").await?;
    let channel = connection.create_channel().await?;
    channel
        .queue_declare(
            QUEUE.into(),
            QueueDeclareOptions::durable(),
            FieldTable::default(),
        )
        .await?;
    channel
        .queue_purge(QUEUE.into(), QueuePurgeOptions::default())
        .await?;

    let (done, mut finished) = mpsc::channel(TASKS);
    // lapin closes a channel when its last handle goes, so we hold on to them.
    let _workers = [
        work(&connection, "worker 1", done.clone()).await?,
        work(&connection, "worker 2", done).await?,
    ];

    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    for number in 0..TASKS {
        let persistent = BasicProperties::default().with_delivery_mode(2);
        channel
            .basic_publish(
                "".into(),
                QUEUE.into(),
                BasicPublishOptions::default(),
                format!("task {number}").as_bytes(),
                persistent,
            )
            .await?;
    }
    channel.wait_for_confirms().await?;

    let mut count = [0, 0];
    for _ in 0..TASKS {
        let (worker, _task) = finished.recv().await.ok_or("the workers are gone")?;
        count[usize::from(worker == "worker 2")] += 1;
    }
    println!(
        "{TASKS} tasks done, {} by worker 1 and {} by worker 2",
        count[0], count[1]
    );
    channel
        .queue_delete(QUEUE.into(), QueueDeleteOptions::default())
        .await?;
    connection.close(200, "OK".into()).await?;
    Ok(())
}
