//! Whatever was answered before the broker was killed holds.

use super::support::Random;
use super::*;

/// So many declares are on their way when the broker is killed.
const DECLARES: usize = 400;

#[test]
fn each_answer_holds_and_what_is_there_is_the_beginning_of_what_was_asked() {
    let mut random = Random(17);
    let Some(mut broker) = fresh() else { return };
    for round in 0..5 {
        let mut client = broker.client();
        let name = |n: usize| format!("{round}-{n}");
        let mut bytes = Vec::new();
        for n in 0..DECLARES {
            let declare = durable_queue(&name(n), no_arguments());
            bytes.extend(support::Frame::method(1, &declare).encode());
        }
        client.send_bytes(&bytes);
        let answered = random.below(DECLARES / 2);
        for n in 0..answered {
            let ok = client.expect_name("queue.declare-ok");
            assert_eq!(ok.text("queue"), name(n));
        }
        broker = killed(broker);
        let mut client = broker.client();
        let mut there = 0;
        for n in 0..DECLARES {
            client.send(method!("queue.declare", queue: name(n), passive: true));
            match client.receive().name {
                "queue.declare-ok" => {
                    assert_eq!(there, n, "one before it is missing");
                    there += 1;
                }
                _ => {
                    client.send(method!("channel.close-ok"));
                    client.open_channel(1);
                }
            }
        }
        assert!(
            there >= answered,
            "{there} are there, {answered} were answered"
        );
    }
}

/// Each waits for its own answers, and all of them hold.
#[test]
fn many_connections_at_once() {
    let Some(broker) = fresh() else { return };
    let address = broker.address();
    let clients: Vec<_> = (0..8)
        .map(|client| {
            std::thread::spawn(move || {
                let mut login = support::Login::default().open(address);
                login.open_channel(1);
                for n in 0..25 {
                    let name = format!("{client}-{n}");
                    login.call(durable_queue(&name, no_arguments()));
                    login.bind(&name, "amq.topic", &name);
                    // Nobody but this one asks for it, and everybody for that one.
                    login.call(durable_exchange("shared", "fanout"));
                    if n % 5 == 4 {
                        login.call(method!("queue.delete", queue: &name));
                    }
                }
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().expect("no panic"));
    let broker = killed(broker);
    let mut client = broker.client();
    is_there(&mut client, "exchange", "shared");
    for n in 0..25 {
        for number in 0..8 {
            let name = format!("{number}-{n}");
            assert_eq!(
                is_routed(&mut client, "amq.topic", &name),
                n % 5 != 4,
                "{name}"
            );
        }
    }
}
