//! Consumers: each reads one queue on a channel of its own and acks, requeues, rejects and keeps
//! what it gets, one by one or many at once; from time to time it closes its channel.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::{ConsumerId, Ledger, Settling, What};
use crate::letter::Letter;
use crate::plan::{Habits, QueueInfo};
use crate::support::{Message, Random, method};
use crate::topology::PROBE;
use crate::wire::{End, Heard, Result, Wire};

/// When nothing has come for so long, everything that waits is settled.
const IDLE: Duration = Duration::from_millis(15);

/// A consumer to be.
#[derive(Clone)]
pub struct Reader {
    pub queue: Arc<QueueInfo>,
    pub habits: Habits,
}

struct Reading<'a> {
    ledger: &'a Ledger,
    channel: u16,
    reader: Reader,
    id: ConsumerId,
    /// Delivered and not settled: tag and letter.
    unsettled: VecDeque<(u64, u64)>,
    /// Of those, the ones that it has not made up its mind about.
    undecided: VecDeque<u64>,
    settled: u32,
    /// What had been settled when the broker was asked whether it has processed that.
    asked: Option<u64>,
    closing: bool,
}

/// Notes what came from a queue; None if it is no letter.
pub fn note(
    ledger: &Ledger,
    consumer: ConsumerId,
    queue: &QueueInfo,
    message: &Message,
) -> Option<u64> {
    let (letter, faults) = Letter::receive(message, queue);
    let Some(letter) = letter else {
        let is_probe = message.properties.get("type") == Some(&PROBE.into());
        if !is_probe {
            let queue = queue.id;
            ledger.note(What::Garbled { queue, faults });
        }
        return None;
    };
    let id = letter.id;
    ledger.note(What::Delivered {
        consumer,
        queue: queue.id,
        letter: Box::new(letter),
        redelivered: message.redelivered(),
        faults,
    });
    Some(id)
}

/// Reads these queues over one connection until the broker is gone.
pub fn run(address: SocketAddr, ledger: &Ledger, readers: Vec<Reader>, mut random: Random) -> End {
    let mut run = || -> Result<()> {
        let mut wire = Wire::open(address)?;
        let mut all = HashMap::new();
        for (at, reader) in readers.iter().enumerate() {
            let channel = at as u16 + 1;
            let mut reading = Reading::new(ledger, channel, reader.clone());
            reading.begin(&wire)?;
            all.insert(channel, reading);
        }
        loop {
            match wire.hear(IDLE)? {
                Some((channel, heard)) => {
                    let reading = all.get_mut(&channel).expect("a channel of ours");
                    reading.hear(heard, &wire, &mut random)?;
                }
                None => {
                    for reading in all.values_mut() {
                        reading.decide(0, &wire, &mut random)?;
                        reading.ask(&wire)?;
                    }
                }
            }
        }
    };
    match run() {
        Ok(()) => End::Silent,
        Err(end) => end,
    }
}

impl<'a> Reading<'a> {
    fn new(ledger: &'a Ledger, channel: u16, reader: Reader) -> Self {
        Reading {
            ledger,
            channel,
            reader,
            id: ConsumerId(ledger.new_id()),
            unsettled: VecDeque::new(),
            undecided: VecDeque::new(),
            settled: 0,
            asked: None,
            closing: false,
        }
    }

    /// Opens the channel and consumes; the answers are heard later.
    fn begin(&mut self, wire: &Wire) -> Result<()> {
        let prefetch = self.reader.habits.prefetch;
        wire.send(self.channel, &method!("channel.open"))?;
        wire.send(
            self.channel,
            &method!("basic.qos", prefetch_count: prefetch),
        )?;
        // The first qos-ok is for this.
        self.asked = Some(0);
        self.ledger.note(What::Asked {
            consumer: self.id,
            inspects: false,
        });
        let name = &self.reader.queue.name;
        wire.send(self.channel, &method!("basic.consume", queue: name))
    }

    fn hear(&mut self, heard: Heard, wire: &Wire, random: &mut Random) -> Result<()> {
        match heard {
            Heard::Message(message) if !self.closing => {
                self.receive(&message, wire)?;
                let prefetch = usize::from(self.reader.habits.prefetch);
                let patience = random.below(prefetch / 2);
                self.decide(patience, wire, random)?;
                if random.below(400) == 0 {
                    self.end(wire)?;
                }
            }
            Heard::Message(_) => {}
            Heard::Method(method) => match method.name {
                "basic.qos-ok" if !self.closing => {
                    if let Some(before) = self.asked.take().filter(|before| *before > 0) {
                        let consumer = self.id;
                        self.ledger.note(What::Processed { consumer, before });
                    }
                }
                "channel.close-ok" => {
                    *self = Reading::new(self.ledger, self.channel, self.reader.clone());
                    self.begin(wire)?;
                }
                "channel.open-ok" | "basic.consume-ok" | "basic.qos-ok" => {}
                _ => panic!("a consumer hears {method:?}"),
            },
        }
        Ok(())
    }

    fn receive(&mut self, message: &Message, wire: &Wire) -> Result<()> {
        let tag = message.tag();
        match note(self.ledger, self.id, &self.reader.queue, message) {
            Some(letter) => {
                self.unsettled.push_back((tag, letter));
                self.undecided.push_back(tag);
                Ok(())
            }
            None => wire.send(self.channel, &method!("basic.ack", delivery_tag: tag)),
        }
    }

    /// Settles the oldest until no more than so many are undecided.
    fn decide(&mut self, left: usize, wire: &Wire, random: &mut Random) -> Result<()> {
        let habits = self.reader.habits;
        while self.undecided.len() > left && !self.closing {
            let Some(tag) = self.undecided.pop_front() else {
                break;
            };
            let roll = random.below(100);
            let how = if roll < habits.ack {
                Settling::Ack
            } else if roll < habits.ack + habits.requeue {
                Settling::Requeue
            } else if roll < habits.ack + habits.requeue + habits.reject {
                Settling::Reject
            } else {
                continue;
            };
            self.settle(tag, how, random.chance(20), wire)?;
            if self.settled > 30 {
                self.ask(wire)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self, tag: u64, how: Settling, multiple: bool, wire: &Wire) -> Result<()> {
        let chosen = |at: u64| at == tag || (multiple && at < tag);
        let ids = self
            .unsettled
            .iter()
            .filter(|(at, _)| chosen(*at))
            .map(|(_, id)| *id)
            .collect();
        self.unsettled.retain(|(at, _)| !chosen(*at));
        self.undecided.retain(|at| !chosen(*at));
        let consumer = self.id;
        self.ledger.note(What::Settled { consumer, ids, how });
        self.settled += 1;
        let settle = match how {
            Settling::Ack => method!("basic.ack", delivery_tag: tag, multiple: multiple),
            _ if multiple || tag.is_multiple_of(2) => method!("basic.nack",
                delivery_tag: tag, multiple: multiple, requeue: how == Settling::Requeue),
            _ => method!("basic.reject",
                delivery_tag: tag, requeue: how == Settling::Requeue),
        };
        wire.send(self.channel, &settle)
    }

    /// Asks for an answer that comes after everything that was settled has been processed.
    fn ask(&mut self, wire: &Wire) -> Result<()> {
        if self.settled == 0 || self.asked.is_some() || self.closing {
            return Ok(());
        }
        self.settled = 0;
        self.asked = Some(self.ledger.now());
        let prefetch = self.reader.habits.prefetch;
        wire.send(
            self.channel,
            &method!("basic.qos", prefetch_count: prefetch),
        )
    }

    /// Closes the channel; it begins anew once that is answered.
    fn end(&mut self, wire: &Wire) -> Result<()> {
        self.ledger.note(What::Released(self.id));
        self.closing = true;
        let bye = method!("channel.close", reply_code: 200, reply_text: "bye");
        wire.send(self.channel, &bye)
    }
}
