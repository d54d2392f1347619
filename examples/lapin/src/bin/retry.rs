//! Retries with growing pauses, made of dead-lettering and TTL alone.
//!
//! A job that fails is put into a waiting queue. When its time there is up it is dead-lettered back to
//! the jobs. Each pause has a queue of its own, because messages expire at a queue's head. After the
//! last pause the job is rejected and ends in the queue of failed jobs.

use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel};
use lapin_examples::{Outcome, connect, next};

const JOBS: &str = "example.jobs";
const FAILED: &str = "example.jobs.failed";
/// In earnest rather seconds and minutes.
const PAUSES_MS: [i32; 3] = [50, 100, 200];

fn waiting(pause_ms: i32) -> ShortString {
    format!("example.jobs.wait-{pause_ms}-ms").into()
}

/// Arguments of a queue whose dead letters go to that other queue.
fn dead_letters_to(queue: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-dead-letter-exchange".into(),
        AMQPValue::LongString("".into()),
    );
    arguments.insert(
        "x-dead-letter-routing-key".into(),
        AMQPValue::LongString(queue.into()),
    );
    arguments
}

/// How often the job has waited already: the broker counts it in x-death.
fn attempts(job: &Delivery) -> i64 {
    let headers = job.properties.headers().clone().unwrap_or_default();
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else {
        return 0;
    };
    let mut attempts = 0;
    for death in deaths.as_slice() {
        if let AMQPValue::FieldTable(death) = death
            && death.inner().get("reason") == Some(&AMQPValue::LongString("expired".into()))
            && let Some(AMQPValue::LongLongInt(count)) = death.inner().get("count")
        {
            attempts += count;
        }
    }
    attempts
}

/// Publishes and waits for the confirm.
async fn publish(
    channel: &Channel,
    queue: ShortString,
    body: &[u8],
    properties: BasicProperties,
) -> Outcome {
    let mandatory = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    let confirm = channel
        .basic_publish("".into(), queue, mandatory, body, properties)
        .await?;
    match confirm.await? {
        lapin::Confirmation::Ack(None) => Ok(()),
        other => Err(format!("not taken: {other:?}").into()),
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let connection = connect("retry").await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(FAILED.into(), exclusive, FieldTable::default())
        .await?;
    channel
        .queue_declare(JOBS.into(), exclusive, dead_letters_to(FAILED))
        .await?;
    for pause_ms in PAUSES_MS {
        let mut arguments = dead_letters_to(JOBS);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(pause_ms));
        channel
            .queue_declare(waiting(pause_ms), exclusive, arguments)
            .await?;
    }

    let consume = BasicConsumeOptions::default();
    let mut jobs = channel
        .basic_consume(JOBS.into(), "".into(), consume, FieldTable::default())
        .await?;
    let mut failed = channel
        .basic_consume(FAILED.into(), "".into(), consume, FieldTable::default())
        .await?;
    publish(
        &channel,
        JOBS.into(),
        b"a job that never works",
        BasicProperties::default(),
    )
    .await?;

    loop {
        let job = next(&mut jobs).await?;
        let attempt = attempts(&job);
        let Some(pause_ms) = PAUSES_MS.get(usize::try_from(attempt)?) else {
            println!("attempt {}: failed for good", attempt + 1);
            job.reject(BasicRejectOptions { requeue: false }).await?;
            break;
        };
        println!("attempt {}: failed, again in {pause_ms} ms", attempt + 1);
        // First the copy, confirmed, then the ack: if we die in between, the job is there twice,
        // never lost.
        publish(
            &channel,
            waiting(*pause_ms),
            &job.data,
            job.properties.clone(),
        )
        .await?;
        job.ack(BasicAckOptions::default()).await?;
    }
    let given_up = next(&mut failed).await?;
    given_up.ack(BasicAckOptions::default()).await?;
    println!(
        "given up: {}, after {} pauses",
        String::from_utf8_lossy(&given_up.data),
        attempts(&given_up)
    );
    connection.close(200, "OK".into()).await?;
    Ok(())
}
