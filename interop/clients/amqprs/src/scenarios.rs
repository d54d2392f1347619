//! What amqprs does: a function for each feature of ../../features.py.

use std::time::Duration;

use amqprs::channel::{
    BasicNackArguments, BasicPublishArguments, BasicQosArguments, BasicRejectArguments,
    ExchangeBindArguments, ExchangeDeclareArguments, ExchangeDeleteArguments, QueueBindArguments,
    QueueDeclareArguments, QueueDeleteArguments, QueuePurgeArguments, QueueUnbindArguments,
};
use amqprs::connection::Connection;
use amqprs::{BasicProperties, DecimalValue, FieldTable, FieldValue};
use tokio::sync::mpsc;

use crate::place::{Ear, Heard, Place, Problem, in_time, to_queue, transient};

/// Empty, or the driver's remark on what the client left out.
type Outcome = Result<String, Problem>;

const NOTHING: Outcome = Ok(String::new());

/// Runs one feature.
pub async fn run(feature: &str, place: &Place) -> Outcome {
    match feature {
        "connect" => connect(place).await,
        "tls" => tls(place).await,
        "mutual-tls" => mutual_tls(place).await,
        "topology" => topology(place).await,
        "confirms" => confirms(place).await,
        "confirm-nack" => confirm_nack(place).await,
        "returns" => returns(place).await,
        "consume" => consume(place).await,
        "requeue" => requeue(place).await,
        "prefetch" => prefetch(place).await,
        "dead-letter" => dead_letter(place).await,
        "cancel" => cancel(place).await,
        "bodies" => {
            let frames = [4096, 8192, 131_072];
            let around = frames.into_iter().flat_map(|frame| [frame - 8, frame - 7]);
            bodies(place, [0, 1].into_iter().chain(around)).await
        }
        "body-64-mib" => bodies(place, [64 << 20]).await,
        "headers" => headers(place).await,
        "unicode" => unicode(place).await,
        "channels" => channels(place).await,
        "heartbeat" => heartbeat(place).await,
        "frozen" => frozen(place).await,
        "killed" => after_a_restart(place, "kill").await,
        "closed" => after_a_restart(place, "stop").await,
        _ => Err(Problem::Failed("no such feature".into())),
    }
}

fn table<const N: usize>(entries: [(&str, FieldValue); N]) -> FieldTable {
    let mut table = FieldTable::new();
    for (name, value) in entries {
        table.insert(name.try_into().expect("short"), value);
    }
    table
}

fn text(value: &str) -> FieldValue {
    FieldValue::S(value.try_into().expect("fits"))
}

fn value(table: &FieldTable, name: &str) -> Option<FieldValue> {
    table.get(&name.try_into().expect("short")).cloned()
}

async fn round_trip(place: &Place, connection: &Connection) -> Result<(), Problem> {
    let mut channel = place.channel(connection).await?;
    let queue = place.name("queue");
    channel.declare(&queue, FieldTable::new()).await?;
    channel.send(&queue, "hello").await?;
    assert_eq!(channel.take(&queue).await?.expect("there").body, b"hello");
    Ok(())
}

async fn connect(place: &Place) -> Outcome {
    round_trip(place, &place.connect(&place.url).await?).await?;
    // It does not ask for a close that says so, and is cut off without a word.
    let wrong = place
        .connect(&place.url.replace(":guest@", ":wrong@"))
        .await;
    assert!(wrong.is_err());
    let no_such = place.connect(&place.url.replace("%2F", "no%20such")).await;
    let Err(Problem::Failed(why)) = no_such else {
        return Err(Problem::Failed("opened a vhost that is not there".into()));
    };
    assert!(
        why.contains("NOT_ALLOWED - vhost no such not found"),
        "{why}"
    );
    Ok("does not hear why a login is refused; leaves the URI's vhost percent-encoded".into())
}

async fn tls(place: &Place) -> Outcome {
    let url = place.tls_url("AMQPS_URL")?;
    round_trip(place, &place.connect_tls(&url, "ca.pem", false).await?).await?;
    assert!(
        place
            .connect_tls(&url, "stranger.pem", false)
            .await
            .is_err()
    );
    NOTHING
}

async fn mutual_tls(place: &Place) -> Outcome {
    let url = place.tls_url("AMQPS_REQUIRED_URL")?;
    round_trip(place, &place.connect_tls(&url, "ca.pem", true).await?).await?;
    assert!(place.connect_tls(&url, "ca.pem", false).await.is_err());
    NOTHING
}

async fn topology(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let (queue, source) = (place.name("queue"), place.name("source"));
    channel
        .declare(&queue, table([("x-max-length", FieldValue::I(10))]))
        .await?;
    channel
        .amqp
        .exchange_declare(ExchangeDeclareArguments::new(&source, "fanout"))
        .await?;
    let wanted = table([("n", FieldValue::I(1)), ("s", text("x"))]);
    let mut matching = wanted.clone();
    matching.insert("x-match".try_into().expect("short"), text("all"));
    let kinds = [
        ("direct", "a.b", FieldTable::new(), "a.b"),
        ("fanout", "", FieldTable::new(), "whatever"),
        ("topic", "a.*.#", FieldTable::new(), "a.b.c.d"),
        ("headers", "", matching, ""),
    ];
    for (kind, binding_key, arguments, key) in kinds {
        let exchange = place.name(kind);
        let declare = ExchangeDeclareArguments::new(&exchange, kind)
            .auto_delete(true)
            .finish();
        channel.amqp.exchange_declare(declare).await?;
        let bind = QueueBindArguments::new(&queue, &exchange, binding_key)
            .arguments(arguments.clone())
            .finish();
        channel.amqp.queue_bind(bind).await?;
        channel
            .amqp
            .exchange_bind(ExchangeBindArguments::new(&exchange, &source, ""))
            .await?;
        for to in [&exchange, &source] {
            let properties = transient().with_headers(wanted.clone()).finish();
            channel
                .publish(BasicPublishArguments::new(to, key), properties, kind)
                .await?;
            assert_eq!(
                channel.take(&queue).await?.expect(kind).body,
                kind.as_bytes()
            );
        }
        let unbind = QueueUnbindArguments::new(&queue, &exchange, binding_key)
            .arguments(arguments)
            .finish();
        channel.amqp.queue_unbind(unbind).await?;
        assert!(channel.take(&queue).await?.is_none());
    }
    channel
        .amqp
        .exchange_delete(ExchangeDeleteArguments::new(&source))
        .await?;
    channel.send(&queue, "left").await?;
    assert_eq!(channel.ready(&queue).await?, 1);
    assert_eq!(
        channel
            .amqp
            .queue_purge(QueuePurgeArguments::new(&queue))
            .await?,
        Some(1)
    );

    let mut other = place.channel(&connection).await?;
    let unequal = table([("x-max-length", FieldValue::I(11))]);
    let declare = QueueDeclareArguments::new(&queue)
        .exclusive(true)
        .arguments(unequal)
        .finish();
    let outcome = other.amqp.queue_declare(declare).await;
    let unequal = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': received '11' but current is '10'"
    );
    assert_eq!(other.refused(outcome).await?, (406, unequal));
    channel
        .amqp
        .queue_delete(QueueDeleteArguments::new(&queue))
        .await?;
    let mut other = place.channel(&connection).await?;
    let outcome = other
        .amqp
        .queue_declare(QueueDeclareArguments::new(&queue).passive(true).finish())
        .await;
    let gone = format!("NOT_FOUND - no queue '{queue}' in vhost '/'");
    assert_eq!(other.refused(outcome).await?, (404, gone));
    let declared = channel
        .amqp
        .queue_declare(QueueDeclareArguments::exclusive_server_named())
        .await?;
    assert!(declared.is_some_and(|(name, ..)| name.starts_with("amq.gen-")));
    NOTHING
}

async fn confirms(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let queue = place.name("queue");
    channel.declare(&queue, FieldTable::new()).await?;
    for number in 0..200 {
        channel
            .amqp
            .basic_publish(
                transient(),
                number.to_string().into_bytes(),
                to_queue(&queue),
            )
            .await?;
    }
    let mut confirmed = 0;
    while confirmed < 200 {
        match channel.hear().await? {
            Heard::Ack(tag) => {
                assert!(tag > confirmed, "{tag} after {confirmed}");
                confirmed = tag;
            }
            other => return Err(Problem::Failed(format!("heard {other:?}"))),
        }
    }
    assert_eq!(channel.ready(&queue).await?, 200);
    NOTHING
}

async fn confirm_nack(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let queue = place.name("queue");
    let arguments = table([
        ("x-max-length", FieldValue::I(2)),
        ("x-overflow", text("reject-publish")),
    ]);
    channel.declare(&queue, arguments).await?;
    let expected = [Heard::Ack(1), Heard::Ack(2), Heard::Nack(3), Heard::Nack(4)];
    for one in expected {
        assert_eq!(
            channel.publish(to_queue(&queue), transient(), "x").await?,
            [one]
        );
    }
    channel.take(&queue).await?;
    assert_eq!(
        channel.publish(to_queue(&queue), transient(), "x").await?,
        [Heard::Ack(5)]
    );
    NOTHING
}

async fn returns(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let nowhere = place.name("nowhere");
    let outcome = channel
        .publish(
            to_queue(&nowhere).mandatory(true).finish(),
            transient(),
            "x",
        )
        .await?;
    assert_eq!(
        outcome,
        [Heard::Returned(312, "NO_ROUTE".into()), Heard::Ack(1)]
    );
    assert_eq!(
        channel
            .publish(to_queue(&nowhere), transient(), "x")
            .await?,
        [Heard::Ack(2)]
    );
    NOTHING
}

async fn consume(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let queue = place.name("queue");
    channel.declare(&queue, FieldTable::new()).await?;
    for number in 0..20 {
        if number == 10 {
            channel.consume(&queue).await?;
        }
        channel.send(&queue, number.to_string()).await?;
    }
    for number in 0..20 {
        let delivery = channel.next().await?;
        assert_eq!(delivery.body, number.to_string().into_bytes());
        assert!(!delivery.redelivered && delivery.routing_key == queue);
        channel.ack(&delivery).await?;
    }
    channel.amqp.close().await?;
    assert_eq!(place.channel(&connection).await?.ready(&queue).await?, 0);
    NOTHING
}

async fn requeue(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let queue = place.name("queue");
    channel.declare(&queue, FieldTable::new()).await?;
    channel.send(&queue, "x").await?;
    channel.consume(&queue).await?;
    let first = channel.next().await?;
    channel
        .amqp
        .basic_nack(BasicNackArguments::new(first.tag, false, true))
        .await?;
    let again = channel.next().await?;
    assert!(again.redelivered);
    channel
        .amqp
        .basic_reject(BasicRejectArguments::new(again.tag, true))
        .await?;
    let again = channel.next().await?;
    channel
        .amqp
        .basic_nack(BasicNackArguments::new(again.tag, false, false))
        .await?;
    channel.send(&queue, "y").await?;
    let last = channel.next().await?;
    assert!(last.body == b"y" && !last.redelivered);
    channel
        .amqp
        .basic_reject(BasicRejectArguments::new(last.tag, false))
        .await?;
    channel.amqp.close().await?;
    assert_eq!(place.channel(&connection).await?.ready(&queue).await?, 0);
    NOTHING
}

async fn prefetch(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let other = place.channel(&connection).await?;
    let queue = place.name("queue");
    channel.declare(&queue, FieldTable::new()).await?;
    for number in 0..10 {
        channel.send(&queue, number.to_string()).await?;
    }
    channel
        .amqp
        .basic_qos(BasicQosArguments::new(0, 3, false))
        .await?;
    channel.consume(&queue).await?;
    let first = channel.next().await?;
    for expected in ["1", "2"] {
        assert_eq!(channel.next().await?.body, expected.as_bytes());
    }
    assert_eq!(other.ready(&queue).await?, 7);
    channel.ack(&first).await?;
    assert_eq!(channel.next().await?.body, b"3");
    assert_eq!(other.ready(&queue).await?, 6);
    NOTHING
}

async fn dead_letter(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let (queue, dead) = (place.name("queue"), place.name("dead"));
    let arguments = table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&dead)),
    ]);
    channel.declare(&queue, arguments).await?;
    channel.declare(&dead, FieldTable::new()).await?;
    channel.consume(&dead).await?;
    channel.send(&queue, "rejected").await?;
    let rejected = channel.get(&queue, false).await?.expect("there");
    channel
        .amqp
        .basic_reject(BasicRejectArguments::new(rejected.tag, false))
        .await?;
    channel
        .publish(
            to_queue(&queue),
            transient().with_expiration("1").finish(),
            "expired",
        )
        .await?;
    for reason in ["rejected", "expired"] {
        let delivery = channel.next().await?;
        assert_eq!(delivery.body, reason.as_bytes());
        let headers = delivery.headers();
        let Some(FieldValue::A(deaths)) = value(&headers, "x-death") else {
            return Err(Problem::Failed(format!("no x-death in {headers}")));
        };
        let deaths: Vec<FieldValue> = deaths.into();
        let [FieldValue::F(death)] = deaths.as_slice() else {
            return Err(Problem::Failed(format!("x-death is {deaths:?}")));
        };
        let keys = vec![text(&queue)].try_into().expect("fits");
        assert_eq!(value(death, "count"), Some(FieldValue::l(1)));
        assert_eq!(value(death, "reason"), Some(text(reason)));
        assert_eq!(value(death, "queue"), Some(text(&queue)));
        assert_eq!(value(death, "exchange"), Some(text("")));
        assert_eq!(value(death, "routing-keys"), Some(FieldValue::A(keys)));
        assert!(matches!(value(death, "time"), Some(FieldValue::T(_))));
        assert_eq!(
            value(death, "original-expiration"),
            (reason == "expired").then(|| text("1"))
        );
        for (name, first) in [("reason", reason), ("queue", &queue), ("exchange", "")] {
            assert_eq!(
                value(&headers, &format!("x-first-death-{name}")),
                Some(text(first))
            );
        }
    }
    NOTHING
}

async fn cancel(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let queue = place.name("queue");
    channel.declare(&queue, FieldTable::new()).await?;
    let tag = channel.consume(&queue).await?;
    let other = place.channel(&connection).await?;
    other
        .amqp
        .queue_delete(QueueDeleteArguments::new(&queue))
        .await?;
    assert_eq!(channel.hear().await?, Heard::Cancelled(tag));
    NOTHING
}

async fn bodies(place: &Place, sizes: impl IntoIterator<Item = usize>) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let queue = place.name("queue");
    channel.declare(&queue, FieldTable::new()).await?;
    channel.consume(&queue).await?;
    for size in sizes {
        let body: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
        channel.send(&queue, body.clone()).await?;
        let delivery = channel.next().await?;
        assert!(
            delivery.body == body,
            "{size} bytes came as {}",
            delivery.body.len()
        );
        channel.ack(&delivery).await?;
    }
    NOTHING
}

async fn headers(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let queue = place.name("queue");
    channel.declare(&queue, FieldTable::new()).await?;
    let list = vec![
        FieldValue::I(1),
        text("two"),
        FieldValue::V,
        FieldValue::F(table([("four", true.into())])),
    ];
    let sent = table([
        ("t", FieldValue::t(true)),
        ("b", FieldValue::b(-100)),
        ("B", FieldValue::B(200)),
        ("s", FieldValue::s(-30_000)),
        ("u", FieldValue::u(60_000)),
        ("I", FieldValue::I(-2_000_000_000)),
        ("i", FieldValue::i(4_000_000_000)),
        ("l", FieldValue::l(-(1 << 62))),
        ("f", FieldValue::f(0.1)),
        ("d", FieldValue::d(0.1)),
        ("D", FieldValue::D(DecimalValue::new(2, -314))),
        ("S", text(&"x".repeat(10_000))),
        ("A", FieldValue::A(list.try_into().expect("fits"))),
        ("T", FieldValue::T(1_767_323_045)),
        (
            "F",
            FieldValue::F(table([("a", FieldValue::F(table([("b", FieldValue::V)])))])),
        ),
        ("V", FieldValue::V),
        (
            "x",
            FieldValue::x(vec![0, 255, 254].try_into().expect("fits")),
        ),
    ]);
    let mut properties = BasicProperties::default()
        .with_content_type("text/plain")
        .with_content_encoding("utf-8")
        .with_delivery_mode(1)
        .with_priority(3)
        .with_correlation_id("c")
        .with_reply_to("r")
        .with_expiration("60000")
        .with_message_id("m")
        .with_timestamp(1_767_323_045)
        .with_message_type("t")
        .with_user_id("guest")
        .with_app_id("a")
        .finish();
    let with_headers = properties.clone().with_headers(sent.clone()).finish();
    channel.publish(to_queue(&queue), with_headers, "").await?;
    let mut delivery = channel.take(&queue).await?.expect("there");
    for (name, sent) in sent.as_ref() {
        assert_eq!(delivery.headers().get(name), Some(sent), "{name}");
    }
    let plain =
        |properties: &mut BasicProperties| properties.with_headers(FieldTable::new()).to_string();
    assert_eq!(plain(&mut delivery.properties), plain(&mut properties));
    NOTHING
}

async fn unicode(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let name = place.name("Grüße-κόσμε-世界-🐇");
    let key = "schlüssel.世界";
    let exchange = ExchangeDeclareArguments::new(&name, "direct")
        .auto_delete(true)
        .finish();
    channel.amqp.exchange_declare(exchange).await?;
    channel.declare(&name, FieldTable::new()).await?;
    channel
        .amqp
        .queue_bind(QueueBindArguments::new(&name, &name, key))
        .await?;
    let headers = table([("ключ", text("значение 🐇"))]);
    let properties = transient()
        .with_headers(headers.clone())
        .with_message_id("ñ")
        .finish();
    let to = BasicPublishArguments::new(&name, key)
        .mandatory(true)
        .finish();
    assert_eq!(
        channel.publish(to, properties, "тело").await?,
        [Heard::Ack(1)]
    );
    let delivery = channel.take(&name).await?.expect("there");
    assert_eq!(
        (delivery.exchange.as_str(), delivery.routing_key.as_str()),
        (name.as_str(), key)
    );
    assert_eq!(delivery.body, "тело".as_bytes());
    assert_eq!(delivery.headers(), headers);
    assert_eq!(
        delivery.properties.message_id().map(String::as_str),
        Some("ñ")
    );
    NOTHING
}

async fn channels(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut many = Vec::new();
    for _ in 0..1000 {
        many.push(place.channel(&connection).await?);
    }
    let queue = place.name("queue");
    many[0].declare(&queue, FieldTable::new()).await?;
    for (index, channel) in many.iter_mut().enumerate() {
        channel.send(&queue, index.to_string()).await?;
    }
    assert_eq!(many[0].ready(&queue).await?, 1000);
    for channel in many {
        channel.amqp.close().await?;
    }
    let first = place.channel(&connection).await?.take(&queue).await?;
    assert_eq!(first.expect("there").body, b"0");
    NOTHING
}

async fn heartbeat(place: &Place) -> Outcome {
    let connection = place.connect_beating(2).await?;
    tokio::time::sleep(Duration::from_secs(7)).await;
    round_trip(place, &connection).await?;
    NOTHING
}

async fn frozen(place: &Place) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let mut channel = place.channel(&connection).await?;
    let queue = place.name("queue");
    channel
        .amqp
        .queue_declare(QueueDeclareArguments::new(&queue))
        .await?;
    channel.send(&queue, "held").await?;
    place.ask(&format!("freeze {queue}")).await?;
    channel.consume(&queue).await?;
    let delivery = channel.next().await?;
    assert!(delivery.body == b"held" && delivery.redelivered);
    channel.ack(&delivery).await?;
    channel
        .amqp
        .queue_delete(QueueDeleteArguments::new(&queue))
        .await?;
    NOTHING
}

async fn after_a_restart(place: &Place, how: &str) -> Outcome {
    let connection = place.connect(&place.url).await?;
    let (ear, mut heard) = mpsc::unbounded_channel();
    connection.register_callback(Ear(ear)).await?;
    let mut channel = place.channel(&connection).await?;
    let kept = place.name("kept");
    channel
        .amqp
        .queue_declare(QueueDeclareArguments::durable_client_named(&kept))
        .await?;
    for number in 0..10 {
        let persistent = BasicProperties::default().with_delivery_mode(2).finish();
        channel
            .publish(to_queue(&kept), persistent, number.to_string())
            .await?;
    }
    place.ask(how).await?;
    if how == "stop" {
        let word = in_time("connection.close", heard.recv()).await?;
        assert!(
            matches!(&word, Heard::Closed(320, text) if text.starts_with("CONNECTION_FORCED")),
            "{word:?}"
        );
    }
    assert!(
        channel.ready(&kept).await.is_err(),
        "the connection lived on"
    );
    let connection = place.connect(&place.url).await?;
    let channel = place.channel(&connection).await?;
    for number in 0..10 {
        assert_eq!(
            channel.take(&kept).await?.expect("kept").body,
            number.to_string().into_bytes()
        );
    }
    assert!(channel.take(&kept).await?.is_none());
    channel
        .amqp
        .queue_delete(QueueDeleteArguments::new(&kept))
        .await?;
    Ok("connecting anew".into())
}
