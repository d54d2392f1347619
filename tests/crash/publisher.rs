//! Publishers: letters to all routes in bursts, many unconfirmed at a time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::ledger::{Kind, Ledger, What};
use crate::letter::Letter;
use crate::plan::{Plan, Route};
use crate::support::{Method, Random, method};
use crate::wire::{End, Heard, Mouth, PATIENCE, Result, Wire};

const CHANNEL: u16 = 1;

/// Bodies of these sizes, mostly small ones.
fn body_bytes(random: &mut Random) -> usize {
    match random.below(100) {
        0..10 => 0,
        10..70 => random.below(200),
        70..92 => random.below(8 << 10),
        92..99 => random.below(64 << 10),
        _ => random.below(256 << 10) + 1,
    }
}

/// What was sent and not confirmed, by its tag.
#[derive(Default)]
pub struct Unconfirmed {
    letters: BTreeMap<u64, u64>,
    ended: bool,
}

impl Unconfirmed {
    pub fn add(&mut self, tag: u64, id: u64) {
        self.letters.insert(tag, id);
    }

    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Writes down what a basic.ack or basic.nack answers.
    pub fn answered(&mut self, answer: &Method, ledger: &Ledger) {
        let tag = answer.number("delivery-tag");
        let rest = if answer.bit("multiple") {
            self.letters.split_off(&(tag + 1))
        } else {
            let mut rest = std::mem::take(&mut self.letters);
            self.letters.extend(rest.remove_entry(&tag));
            rest
        };
        for id in std::mem::replace(&mut self.letters, rest).into_values() {
            if answer.name == "basic.ack" {
                ledger.note(What::Confirmed(id));
            }
        }
    }
}

/// Makes the letters of one channel.
pub struct Pen<'a> {
    pub ledger: &'a Ledger,
    publisher: u64,
    number: u64,
}

impl<'a> Pen<'a> {
    pub fn new(ledger: &'a Ledger) -> Self {
        Pen {
            ledger,
            publisher: ledger.new_id(),
            number: 0,
        }
    }

    /// Writes the next letter and notes it in the ledger.
    pub fn write(&mut self, route: &Route, random: &mut Random) -> Arc<Letter> {
        self.number += 1;
        let letter = Arc::new(Letter {
            id: self.ledger.new_id(),
            publisher: self.publisher,
            number: self.number,
            exchange: route.exchange.clone(),
            key: route.key.clone(),
            persistent: random.chance(85),
            priority: route.priorities.then(|| random.below(6) as u8),
            expiration_ms: route
                .expirations
                .map(|(from_ms, to_ms)| from_ms + random.below((to_ms - from_ms) as usize) as u64),
            body_bytes: match route.large {
                true => random.below(128 << 10),
                false => body_bytes(random),
            },
        });
        self.ledger.note(What::Published {
            letter: Arc::clone(&letter),
            to: Arc::clone(&route.to),
        });
        letter
    }
}

pub fn send(mouth: &Mouth, channel: u16, letter: &Letter) -> Result<()> {
    let publish = method!("basic.publish",
        exchange: &letter.exchange, routing_key: &letter.key);
    mouth.publish(channel, &publish, &letter.properties(), &letter.body())
}

/// A burst of letters and a pause: how a publisher goes about it.
fn pause(random: &mut Random) {
    // Not to wait for anything: so that bursts come at all sorts of moments.
    if random.chance(60) {
        std::thread::sleep(Duration::from_micros(random.below(4_000) as u64));
    }
}

/// Publishes with confirms until the broker is gone.
pub fn confirming(address: SocketAddr, ledger: &Ledger, plan: &Plan, mut random: Random) -> End {
    let connected = Wire::open_publishing(address, CHANNEL, &method!("confirm.select"));
    let (mut wire, mouth) = match connected {
        Ok(connected) => connected,
        Err(end) => return end,
    };
    let unconfirmed = (Mutex::new(Unconfirmed::default()), Condvar::new());
    let unconfirmed = &unconfirmed;
    std::thread::scope(|scope| {
        let listener = scope.spawn(move || {
            let end = loop {
                match wire.hear(PATIENCE) {
                    Ok(Some((_, Heard::Method(answer)))) => {
                        let mut unconfirmed = unconfirmed.0.lock().expect("no panic here");
                        match answer.name {
                            "basic.ack" | "basic.nack" => unconfirmed.answered(&answer, ledger),
                            "connection.blocked" | "connection.unblocked" => {}
                            _ => panic!("a publisher hears {answer:?}"),
                        }
                    }
                    Ok(Some((_, Heard::Message(message)))) => {
                        ledger.fault(Kind::Lost, format!("returned: {:?}", message.method));
                    }
                    Ok(None) => break End::Silent,
                    Err(end) => break end,
                }
                unconfirmed.1.notify_all();
            };
            unconfirmed.0.lock().expect("no panic here").ended = true;
            unconfirmed.1.notify_all();
            end
        });
        let most = 1 + random.below(300);
        let mut pen = Pen::new(ledger);
        let mut tag = 0;
        'all: loop {
            for _ in 0..random.below(40) {
                let route = &plan.routes[random.below(plan.routes.len())];
                let guard = unconfirmed.0.lock().expect("no panic here");
                let mut waiting = unconfirmed
                    .1
                    .wait_while(guard, |waiting| !waiting.ended && waiting.len() >= most)
                    .expect("no panic here");
                if waiting.ended {
                    break 'all;
                }
                let letter = pen.write(route, &mut random);
                tag += 1;
                waiting.add(tag, letter.id);
                drop(waiting);
                if send(&mouth, CHANNEL, &letter).is_err() {
                    break 'all;
                }
            }
            pause(&mut random);
        }
        listener.join().expect("the listener ends")
    })
}

/// Publishes in transactions until the broker is gone: a commit confirms all that is in it.
pub fn in_transactions(
    address: SocketAddr,
    ledger: &Ledger,
    plan: &Plan,
    mut random: Random,
) -> End {
    let mut run = || -> Result<()> {
        let select = method!("tx.select");
        let (mut wire, mouth) = Wire::open_publishing(address, CHANNEL, &select)?;
        let mut pen = Pen::new(ledger);
        loop {
            let mut letters = Vec::new();
            for _ in 0..1 + random.below(20) {
                let route = &plan.routes[random.below(plan.routes.len())];
                let letter = pen.write(route, &mut random);
                send(&mouth, CHANNEL, &letter)?;
                letters.push(letter.id);
            }
            wire.call(CHANNEL, &method!("tx.commit"))?;
            for id in letters {
                ledger.note(What::Confirmed(id));
            }
            pause(&mut random);
        }
    };
    match run() {
        Ok(()) => End::Silent,
        Err(end) => end,
    }
}
