//! A letter that is torn, mixed up or has lost something is recognized.

use crate::ledger::Kind;
use crate::letter::Letter;
use crate::plan::{DeadFrom, QueueId, QueueInfo, Role};
use crate::support::{Message, Properties, Table, Value, method, table};

fn letter() -> Letter {
    Letter {
        id: 77,
        publisher: 3,
        number: 5,
        exchange: "exchange".to_string(),
        key: "key".to_string(),
        persistent: true,
        priority: Some(2),
        expiration_ms: Some(500),
        body_bytes: 1_000,
    }
}

fn message(exchange: &str, key: &str, properties: Properties, body: Vec<u8>) -> Message {
    Message {
        method: method!("basic.deliver", exchange: exchange, routing_key: key),
        properties,
        body,
    }
}

/// As it comes from the queue that it was published to.
fn whole() -> Message {
    let letter = letter();
    message("exchange", "key", letter.properties(), letter.body())
}

fn source() -> QueueInfo {
    QueueInfo::idle(QueueId(1), "source")
}

fn dead() -> QueueInfo {
    QueueInfo {
        role: Role::Dead,
        dead_from: Some(DeadFrom {
            queue: "source".to_string(),
            reasons: vec!["expired"],
            exchange: "dlx".to_string(),
            key: "dead".to_string(),
        }),
        ..QueueInfo::idle(QueueId(2), "dead")
    }
}

fn death() -> Table {
    table! {
        "count" => 1i64, "reason" => "expired", "queue" => "source",
        "time" => Value::Timestamp(1_700_000_000), "exchange" => "exchange",
        "routing-keys" => vec![Value::from("key")], "original-expiration" => "500",
    }
}

/// As it comes from the queue of dead letters.
fn dead_letter(deaths: Vec<Table>) -> Message {
    let letter = Letter {
        expiration_ms: None,
        ..letter()
    };
    let mut headers = self::letter().properties().headers();
    let deaths = deaths.into_iter().map(Value::Table).collect::<Vec<_>>();
    headers.0.extend(
        table! {
            "x-death" => deaths, "x-first-death-reason" => "expired",
            "x-first-death-queue" => "source", "x-first-death-exchange" => "exchange",
        }
        .0,
    );
    let properties = letter.properties().with("headers", headers);
    message("dlx", "dead", properties, letter.body())
}

#[track_caller]
fn expect(message: &Message, queue: &QueueInfo, kinds: &[Kind]) {
    let (_, faults) = Letter::receive(message, queue);
    let found: Vec<Kind> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(found, kinds, "{faults:#?}");
}

#[test]
fn a_whole_letter_is_recognized() {
    let (read, faults) = Letter::receive(&whole(), &source());
    assert_eq!((read, faults), (Some(letter()), vec![]));
    let (read, faults) = Letter::receive(&dead_letter(vec![death()]), &dead());
    assert_eq!((read, faults), (Some(letter()), vec![]));
}

#[test]
fn bodies_are_compared_to_the_last_byte() {
    let mut torn = whole();
    torn.body.truncate(999);
    expect(&torn, &source(), &[Kind::Corrupt]);
    let mut changed = whole();
    changed.body[999] ^= 1;
    expect(&changed, &source(), &[Kind::Corrupt]);
}

#[test]
fn nothing_of_a_letter_may_change() {
    let other = whole().properties.with("app_id", "other");
    let body = letter().body();
    expect(
        &message("exchange", "key", other, body.clone()),
        &source(),
        &[Kind::Corrupt],
    );
    let mut headers = whole().headers();
    headers.0.retain(|(name, _)| name != "nested");
    let without = whole().properties.with("headers", headers);
    expect(
        &message("exchange", "key", without, body.clone()),
        &source(),
        &[Kind::Corrupt],
    );
    let properties = letter().properties();
    expect(
        &message("exchange", "other", properties, body),
        &source(),
        &[Kind::Corrupt],
    );
}

#[test]
fn what_is_no_letter_is_no_letter() {
    let nothing = message("exchange", "key", Properties::default(), Vec::new());
    let (read, faults) = Letter::receive(&nothing, &source());
    assert_eq!(read, None);
    assert_eq!(faults[0].kind, Kind::Corrupt);
}

#[test]
fn dead_letters_tell_of_their_deaths() {
    expect(&whole(), &dead(), &[Kind::Deaths]);
    expect(&dead_letter(vec![]), &dead(), &[Kind::Deaths]);
    for (name, wrong) in [
        ("count", Value::from(2i64)),
        ("reason", Value::from("rejected")),
        ("queue", Value::from("other")),
        ("exchange", Value::from("other")),
        ("routing-keys", Value::from(vec![Value::from("other")])),
        ("original-expiration", Value::from("501")),
    ] {
        let mut death = death();
        for (key, value) in &mut death.0 {
            if key == name {
                *value = wrong.clone();
            }
        }
        expect(&dead_letter(vec![death]), &dead(), &[Kind::Deaths]);
    }
    for name in death().keys() {
        let mut death = death();
        death.0.retain(|(key, _)| key != name);
        expect(&dead_letter(vec![death]), &dead(), &[Kind::Deaths]);
    }
}

#[test]
fn dead_letters_keep_what_they_were() {
    let mut headers = dead_letter(vec![death()]).headers();
    headers.0.retain(|(name, _)| name != "list");
    let dead_letter = dead_letter(vec![death()]);
    let properties = dead_letter.properties.clone().with("headers", headers);
    let without = message("dlx", "dead", properties, dead_letter.body);
    expect(&without, &dead(), &[Kind::Corrupt]);
}
