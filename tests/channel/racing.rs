//! Several connections at once: whatever interleaving, nothing is lost, doubled or stuck.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use warren::amqp::method::basic;

use super::client::{Client, ack, ack_up_to, broker};

const PUBLISHERS: usize = 3;
const CONSUMERS: usize = 3;
const MESSAGES: usize = 3_000;

/// A wake-up that was lost would be waited for for ever; this is when the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs publishers and consumers to the end; says what each consumer got.
fn race(prefetch: u16, global: bool, room_bytes: usize) -> Vec<Vec<String>> {
    let broker = broker();
    let mut setup = Client::new(&broker);
    for queue in ["a", "b"] {
        setup.declare(queue);
    }
    let settled = AtomicUsize::new(0);
    let started = Instant::now();
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let broker = &broker;
            scope.spawn(move || {
                let mut client = Client::new(broker);
                for number in 0..MESSAGES {
                    client.publish("", ["a", "b"][number % 2], format!("{publisher} {number}"));
                    if number % 7 == 0 {
                        client.read();
                    }
                }
                client.read();
            });
        }
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|consumer| {
                let (broker, settled) = (&broker, &settled);
                scope.spawn(move || {
                    let mut client = Client::with_room(broker, room_bytes);
                    client
                        .write(basic::Qos {
                            prefetch_size: 0,
                            prefetch_count: prefetch,
                            global,
                        })
                        .read();
                    client.received();
                    for queue in ["a", "b"] {
                        client.consume(queue, queue, false);
                    }
                    let mut got = Vec::new();
                    while settled.load(Ordering::SeqCst) < PUBLISHERS * MESSAGES {
                        assert!(
                            started.elapsed() < PATIENCE,
                            "stuck at {settled:?}, {}",
                            got.len()
                        );
                        let deliveries = client.deliveries();
                        match deliveries.last() {
                            None => thread::yield_now(),
                            Some(last) if consumer == 0 => {
                                client.write(ack_up_to(last.tag));
                            }
                            Some(_) => deliveries.iter().for_each(|delivery| {
                                client.write(ack(delivery.tag));
                            }),
                        }
                        client.read();
                        settled.fetch_add(deliveries.len(), Ordering::SeqCst);
                        got.extend(deliveries.into_iter().map(|delivery| delivery.body));
                    }
                    got
                })
            })
            .collect();
        consumers
            .into_iter()
            .map(|consumer| consumer.join().expect("a consumer"))
            .collect()
    })
}

fn check(received: &[Vec<String>]) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for body in received.iter().flatten() {
        *seen.entry(body).or_default() += 1;
    }
    assert_eq!(seen.len(), PUBLISHERS * MESSAGES);
    assert!(seen.values().all(|times| *times == 1));
    // Each consumer sees each publisher's messages of one queue in order.
    for got in received {
        let mut last: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for body in got {
            let (publisher, number) = body.split_once(' ').expect("two numbers");
            let (publisher, number): (usize, usize) =
                (publisher.parse().unwrap(), number.parse().unwrap());
            let before = last.insert((publisher, number % 2), number);
            assert!(
                before.is_none_or(|before| before < number),
                "{body} after {before:?}"
            );
        }
    }
}

#[test]
fn with_a_prefetch_of_each_consumer() {
    check(&race(5, false, 1 << 20));
}

#[test]
fn with_a_prefetch_of_the_channel() {
    check(&race(5, true, 1 << 20));
}

#[test]
fn with_hardly_any_room_in_the_outgoing_buffer() {
    check(&race(0, false, 200));
}

#[test]
fn with_everything_short() {
    check(&race(3, false, 200));
}
