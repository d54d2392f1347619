//! What every Rust client does, once: a function for each feature of ../../features.py.

use std::time::Duration;

use crate::place::{Place, Problem};
use crate::restarts;
use crate::words::{
    Binding, Channel, Client, Connection, EXCLUSIVE, How, Properties, Published, Table, To, Value,
    table, to_queue, transient,
};

/// Empty, or the driver's remark on what the client left out.
pub type Outcome = Result<String, Problem>;

/// Nothing to remark.
pub const NOTHING: Outcome = Ok(String::new());

/// Runs one feature.
pub async fn run<C: Client>(feature: &str, place: &Place<'_, C>) -> Outcome {
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
        "frozen" => restarts::frozen(place).await,
        "killed" => restarts::after_a_restart(place, "kill").await,
        "closed" => restarts::after_a_restart(place, "stop").await,
        _ => Err(Problem::Failed("no such feature".into())),
    }
}

/// It has to be refused with this code and a text with this in it.
fn refused<T>(outcome: Result<T, Problem>, code: u16, text: &str) -> Result<(), Problem> {
    match outcome {
        Err(Problem::Refused(with, said)) => {
            assert!(
                with == code && said.contains(text),
                "{with} {said}, not {code} {text}"
            );
            Ok(())
        }
        Err(other) => Err(other),
        Ok(_) => Err(Problem::Failed(format!("not refused with {code} {text}"))),
    }
}

async fn round_trip(name: &str, connection: &impl Connection) -> Result<(), Problem> {
    let mut channel = connection.channel().await?;
    channel.declare_queue(name, EXCLUSIVE, Table::new()).await?;
    channel.send(name, "hello").await?;
    assert_eq!(taken(&mut channel, name).await?, b"hello");
    Ok(())
}

/// The body of a message that has to be there.
pub async fn taken(channel: &mut impl Channel, queue: &str) -> Result<Vec<u8>, Problem> {
    let got = channel.get(queue, true).await?;
    got.map(|delivery| delivery.body)
        .ok_or_else(|| Problem::Failed(format!("{queue} is empty")))
}

/// A channel with an exclusive queue of its own.
pub async fn with_queue<C: Client>(
    place: &Place<'_, C>,
    connection: &C::Connection,
    arguments: Table,
) -> Result<(<C::Connection as Connection>::Channel, String), Problem> {
    let mut channel = connection.channel().await?;
    let queue = place.name("queue");
    channel.declare_queue(&queue, EXCLUSIVE, arguments).await?;
    Ok((channel, queue))
}

async fn connect<C: Client>(place: &Place<'_, C>) -> Outcome {
    round_trip(&place.name("queue"), &place.connect().await?).await?;
    let wrong = place.url.replace(":guest@", ":wrong@");
    let outcome = place.client.connect(&wrong, How::default()).await;
    if C::HEARS_LOGIN_REFUSED {
        refused(outcome, 403, "ACCESS_REFUSED - Login was refused")?;
    } else {
        assert!(outcome.is_err());
    }
    let no_such = place.url.replace("%2F", "no%20such");
    let outcome = place.client.connect(&no_such, How::default()).await;
    refused(outcome, 530, "NOT_ALLOWED - vhost no such not found")?;
    Ok(C::CONNECT_REMARK.into())
}

async fn tls<C: Client>(place: &Place<'_, C>) -> Outcome {
    let url = place.tls_url("AMQPS_URL")?;
    let trusting = |ca: &str| How {
        ca: Some(place.certificate(ca)),
        ..How::default()
    };
    let connection = place.client.connect(&url, trusting("ca.pem")).await?;
    round_trip(&place.name("queue"), &connection).await?;
    let stranger = place.client.connect(&url, trusting("stranger.pem")).await;
    assert!(stranger.is_err());
    NOTHING
}

async fn mutual_tls<C: Client>(place: &Place<'_, C>) -> Outcome {
    let url = place.tls_url("AMQPS_REQUIRED_URL")?;
    let without = || How {
        ca: Some(place.certificate("ca.pem")),
        ..How::default()
    };
    let (certificate, key) = ("client.pem", "client.key");
    let with = How {
        certificate: Some((place.certificate(certificate), place.certificate(key))),
        ..without()
    };
    let connection = place.client.connect(&url, with).await?;
    round_trip(&place.name("queue"), &connection).await?;
    assert!(place.client.connect(&url, without()).await.is_err());
    NOTHING
}

async fn topology<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let limited = |length: i32| table([("x-max-length", length.into())]);
    let (mut channel, queue) = with_queue(place, &connection, limited(10)).await?;
    let source = place.name("source");
    channel.declare_exchange(&source, "fanout", false).await?;
    let wanted = table([("n", 1.into()), ("s", "x".into())]);
    let mut matching = wanted.clone();
    matching.insert("x-match".into(), "all".into());
    let kinds = [
        ("direct", "a.b", Table::new(), "a.b"),
        ("fanout", "", Table::new(), "whatever"),
        ("topic", "a.*.#", Table::new(), "a.b.c.d"),
        ("headers", "", matching, ""),
    ];
    for (kind, binding_key, arguments, key) in kinds {
        let exchange = place.name(kind);
        let binding = Binding {
            queue: &queue,
            exchange: &exchange,
            key: binding_key,
            arguments,
        };
        channel.declare_exchange(&exchange, kind, true).await?;
        channel.bind_queue(&binding).await?;
        channel.bind_exchange(&exchange, &source).await?;
        for exchange in [exchange.as_str(), &source] {
            let to = To {
                exchange,
                key,
                mandatory: false,
            };
            let properties = Properties {
                headers: wanted.clone(),
                ..transient()
            };
            channel.publish(to, properties, kind).await?;
            assert_eq!(taken(&mut channel, &queue).await?, kind.as_bytes());
        }
        channel.unbind_queue(&binding).await?;
        assert!(channel.get(&queue, true).await?.is_none());
    }
    channel.delete_exchange(&source).await?;
    channel.send(&queue, "left").await?;
    assert_eq!(channel.ready(&queue).await?, 1);
    assert_eq!(channel.purge(&queue).await?, 1);

    let mut other = connection.channel().await?;
    let outcome = other.declare_queue(&queue, EXCLUSIVE, limited(11)).await;
    let unequal = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': received '11' but current is '10'"
    );
    refused(outcome, 406, &unequal)?;
    channel.delete_queue(&queue).await?;
    let mut other = connection.channel().await?;
    let gone = format!("NOT_FOUND - no queue '{queue}' in vhost '/'");
    refused(other.ready(&queue).await, 404, &gone)?;
    let (name, _) = channel.declare_queue("", EXCLUSIVE, Table::new()).await?;
    assert!(name.starts_with("amq.gen-"));
    NOTHING
}

async fn confirms<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let (mut channel, queue) = with_queue(place, &connection, Table::new()).await?;
    let bodies = (0..200).map(|number| number.to_string().into_bytes());
    let outcomes = channel
        .publish_many(to_queue(&queue), transient(), bodies.collect())
        .await?;
    assert_eq!(outcomes.len(), 200);
    assert!(outcomes.iter().all(|outcome| *outcome == Published::Acked));
    assert_eq!(channel.ready(&queue).await?, 200);
    NOTHING
}

async fn confirm_nack<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let arguments = table([
        ("x-max-length", 2.into()),
        ("x-overflow", "reject-publish".into()),
    ]);
    let (mut channel, queue) = with_queue(place, &connection, arguments).await?;
    for expected in [
        Published::Acked,
        Published::Acked,
        Published::Nacked,
        Published::Nacked,
    ] {
        let outcome = channel.publish(to_queue(&queue), transient(), "x").await?;
        assert_eq!(outcome, expected);
    }
    taken(&mut channel, &queue).await?;
    channel.send(&queue, "x").await?;
    NOTHING
}

async fn returns<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let mut channel = connection.channel().await?;
    let nowhere = place.name("nowhere");
    let to = To {
        mandatory: true,
        ..to_queue(&nowhere)
    };
    let outcome = channel.publish(to, transient(), "x").await?;
    assert_eq!(outcome, Published::Returned(312, "NO_ROUTE".into()));
    channel.send(&nowhere, "x").await?;
    NOTHING
}

async fn consume<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let (mut channel, queue) = with_queue(place, &connection, Table::new()).await?;
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
        channel.ack(delivery.tag).await?;
    }
    channel.close().await?;
    assert_eq!(connection.channel().await?.ready(&queue).await?, 0);
    NOTHING
}

async fn requeue<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let (mut channel, queue) = with_queue(place, &connection, Table::new()).await?;
    channel.send(&queue, "x").await?;
    channel.consume(&queue).await?;
    let first = channel.next().await?;
    channel.nack(first.tag, true).await?;
    let again = channel.next().await?;
    assert!(again.redelivered);
    channel.reject(again.tag, true).await?;
    let again = channel.next().await?;
    channel.nack(again.tag, false).await?;
    channel.send(&queue, "y").await?;
    let last = channel.next().await?;
    assert!(last.body == b"y" && !last.redelivered);
    channel.reject(last.tag, false).await?;
    channel.close().await?;
    assert_eq!(connection.channel().await?.ready(&queue).await?, 0);
    NOTHING
}

async fn prefetch<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let (mut channel, queue) = with_queue(place, &connection, Table::new()).await?;
    let mut other = connection.channel().await?;
    for number in 0..10 {
        channel.send(&queue, number.to_string()).await?;
    }
    channel.qos(3).await?;
    channel.consume(&queue).await?;
    let first = channel.next().await?;
    for expected in ["1", "2"] {
        assert_eq!(channel.next().await?.body, expected.as_bytes());
    }
    assert_eq!(other.ready(&queue).await?, 7);
    channel.ack(first.tag).await?;
    assert_eq!(channel.next().await?.body, b"3");
    assert_eq!(other.ready(&queue).await?, 6);
    NOTHING
}

async fn dead_letter<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let dead = place.name("dead");
    let arguments = table([
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", dead.as_str().into()),
    ]);
    let (mut channel, queue) = with_queue(place, &connection, arguments).await?;
    channel
        .declare_queue(&dead, EXCLUSIVE, Table::new())
        .await?;
    channel.consume(&dead).await?;
    channel.send(&queue, "rejected").await?;
    let rejected = channel.get(&queue, false).await?.expect("there");
    channel.reject(rejected.tag, false).await?;
    let expiring = Properties {
        expiration: Some("1".into()),
        ..transient()
    };
    channel
        .publish(to_queue(&queue), expiring, "expired")
        .await?;
    for reason in ["rejected", "expired"] {
        let delivery = channel.next().await?;
        assert_eq!(delivery.body, reason.as_bytes());
        let headers = delivery.properties.headers;
        let Some(Value::List(deaths)) = headers.get("x-death") else {
            return Err(Problem::Failed(format!("no x-death in {headers:?}")));
        };
        let [Value::Table(death)] = deaths.as_slice() else {
            return Err(Problem::Failed(format!("x-death is {deaths:?}")));
        };
        let mut death = death.clone();
        assert!(matches!(death.remove("time"), Some(Value::Time(_))));
        let mut expected = table([
            ("count", Value::I64(1)),
            ("reason", reason.into()),
            ("queue", queue.as_str().into()),
            ("exchange", "".into()),
            ("routing-keys", Value::List(vec![queue.as_str().into()])),
        ]);
        if reason == "expired" {
            expected.insert("original-expiration".into(), "1".into());
        }
        assert_eq!(death, expected);
        for (name, first) in [("reason", reason), ("queue", &queue), ("exchange", "")] {
            let found = headers.get(&format!("x-first-death-{name}"));
            assert_eq!(found, Some(&first.into()));
        }
    }
    NOTHING
}

async fn cancel<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let (mut channel, queue) = with_queue(place, &connection, Table::new()).await?;
    let tag = channel.consume(&queue).await?;
    connection.channel().await?.delete_queue(&queue).await?;
    assert_eq!(channel.cancelled().await?, tag);
    NOTHING
}

async fn bodies<C: Client>(
    place: &Place<'_, C>,
    sizes: impl IntoIterator<Item = usize>,
) -> Outcome {
    let connection = place.connect().await?;
    let (mut channel, queue) = with_queue(place, &connection, Table::new()).await?;
    channel.consume(&queue).await?;
    for size in sizes {
        let body: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
        channel.send(&queue, body.clone()).await?;
        let delivery = channel.next().await?;
        let came = delivery.body.len();
        assert!(delivery.body == body, "{size} bytes came as {came}");
        channel.ack(delivery.tag).await?;
    }
    NOTHING
}

async fn headers<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let (mut channel, queue) = with_queue(place, &connection, Table::new()).await?;
    let four = table([("four", Value::Bool(true))]);
    let list = vec![1.into(), "two".into(), Value::Nothing, Value::Table(four)];
    let inner = table([("b", Value::Nothing)]);
    let sent = table([
        ("t", Value::Bool(true)),
        ("b", Value::I8(-100)),
        ("B", Value::U8(200)),
        ("s", Value::I16(-30_000)),
        ("u", Value::U16(60_000)),
        ("I", Value::I32(-2_000_000_000)),
        ("i", Value::U32(4_000_000_000)),
        ("l", Value::I64(-(1 << 62))),
        ("f", Value::F32(0.1)),
        ("d", Value::F64(0.1)),
        ("D", Value::Decimal(2, -314)),
        ("S", "x".repeat(10_000).as_str().into()),
        ("A", Value::List(list)),
        ("T", Value::Time(1_767_323_045)),
        ("F", Value::Table(table([("a", Value::Table(inner))]))),
        ("V", Value::Nothing),
        ("x", Value::Bytes(vec![0, 255, 254])),
    ]);
    let text = |text: &str| Some(text.to_string());
    let properties = Properties {
        headers: sent,
        delivery_mode: Some(1),
        priority: Some(3),
        timestamp: Some(1_767_323_045),
        content_type: text("text/plain"),
        content_encoding: text("utf-8"),
        correlation_id: text("c"),
        reply_to: text("r"),
        expiration: text("60000"),
        message_id: text("m"),
        kind: text("t"),
        user_id: text("guest"),
        app_id: text("a"),
    };
    channel
        .publish(to_queue(&queue), properties.clone(), "")
        .await?;
    let delivery = channel.get(&queue, true).await?.expect("there");
    assert_eq!(delivery.properties, properties);
    NOTHING
}

async fn unicode<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let mut channel = connection.channel().await?;
    let name = place.name("Grüße-κόσμε-世界-🐇");
    let key = "schlüssel.世界";
    channel.declare_exchange(&name, "direct", true).await?;
    channel
        .declare_queue(&name, EXCLUSIVE, Table::new())
        .await?;
    let binding = Binding {
        queue: &name,
        exchange: &name,
        key,
        arguments: Table::new(),
    };
    channel.bind_queue(&binding).await?;
    let properties = Properties {
        headers: table([("ключ", "значение 🐇".into())]),
        message_id: Some("ñ".into()),
        ..transient()
    };
    let to = To {
        exchange: &name,
        key,
        mandatory: true,
    };
    let outcome = channel.publish(to, properties.clone(), "тело").await?;
    assert_eq!(outcome, Published::Acked);
    let delivery = channel.get(&name, true).await?.expect("there");
    let came = (delivery.exchange.as_str(), delivery.routing_key.as_str());
    assert_eq!(came, (name.as_str(), key));
    assert_eq!(delivery.body, "тело".as_bytes());
    assert_eq!(delivery.properties, properties);
    NOTHING
}

async fn channels<C: Client>(place: &Place<'_, C>) -> Outcome {
    let connection = place.connect().await?;
    let mut many = Vec::new();
    for _ in 0..1000 {
        many.push(connection.channel().await?);
    }
    let queue = place.name("queue");
    many[0]
        .declare_queue(&queue, EXCLUSIVE, Table::new())
        .await?;
    for (index, channel) in many.iter_mut().enumerate() {
        channel.send(&queue, index.to_string()).await?;
    }
    assert_eq!(many[0].ready(&queue).await?, 1000);
    for channel in &mut many {
        channel.close().await?;
    }
    let mut last = connection.channel().await?;
    assert_eq!(taken(&mut last, &queue).await?, b"0");
    NOTHING
}

async fn heartbeat<C: Client>(place: &Place<'_, C>) -> Outcome {
    let how = How {
        heartbeat: Some(2),
        ..How::default()
    };
    let connection = place.client.connect(&place.url, how).await?;
    tokio::time::sleep(Duration::from_secs(7)).await;
    round_trip(&place.name("queue"), &connection).await?;
    NOTHING
}
