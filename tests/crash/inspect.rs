//! Reading everything that is in the queues of a chain, after a restart, while nobody else does.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checker::Checker;
use crate::consumer;
use crate::ledger::{ConsumerId, Kind, Ledger, Settling, What};
use crate::plan::QueueInfo;
use crate::support::{Arg, Message, Random, Value, method};
use crate::topology::Binding;
use crate::wire::{End, Heard, PATIENCE, Result, Wire};

/// So long may a dead letter be under way from one queue to the next after a restart.
pub const UNDER_WAY: Duration = Duration::from_secs(30);

/// Of every inspector's consumer.
const TAG: &str = "inspector";

/// The inspector of one queue.
struct Inspector {
    queue: Arc<QueueInfo>,
    id: ConsumerId,
    channel: u16,
    /// Probes of other looks tell nothing.
    look: u64,
    /// How many were ready before it asked.
    ready: u64,
    letters: Vec<(u64, u64)>,
    probes: Vec<u64>,
    /// How often in a row the broker said that nothing is left.
    empty: u32,
}

/// So often it must say so: RabbitMQ may say it first and send what it had for us then.
const EMPTY_ENOUGH: u32 = 2;

/// Delivers everything in these queues (the source first) to the ledger; acks some, all or none of
/// it. Says which bindings the probes of this look among them came by: a queue that keeps transient
/// messages may have kept older ones, too, when a kill undid their acks. Until `deadline` it waits
/// for dead letters that have to come and have not.
pub fn chain(
    address: SocketAddr,
    ledger: &Ledger,
    checker: &mut Checker,
    queues: &[Arc<QueueInfo>],
    random: &mut Random,
    (look, deadline): (u64, Instant),
) -> Result<BTreeSet<Binding>> {
    let mut wire = Wire::open(address)?;
    let mut bindings = BTreeSet::new();
    let mut inspectors = Vec::new();
    for (at, queue) in queues.iter().enumerate() {
        let inspector = Inspector::begin(&mut wire, at as u16 + 1, queue, ledger, look)?;
        inspectors.push(inspector);
    }
    for inspector in &inspectors {
        inspector.consume(&wire, ledger)?;
    }
    read_all(&mut wire, &mut inspectors, ledger, &mut bindings)?;
    loop {
        checker.apply(ledger.take());
        let is_still = queues.len() == 1 && !queues[0].waits;
        let is_complete = is_still || checker.missing(queues[0].chain) == 0;
        if is_complete || Instant::now() > deadline {
            break;
        }
        read_all(&mut wire, &mut inspectors, ledger, &mut bindings)?;
    }
    stop(&mut wire, &mut inspectors, ledger, &mut bindings)?;
    for inspector in &inspectors {
        inspector.count(ledger);
    }
    ledger.note(What::Inspected(queues[0].chain));
    for inspector in &mut inspectors {
        inspector.settle(&mut wire, ledger, random)?;
    }
    wire.close()?;
    checker.apply(ledger.take());
    Ok(bindings)
}

/// Reads until none of the queues has anything left.
fn read_all(
    wire: &mut Wire,
    inspectors: &mut [Inspector],
    ledger: &Ledger,
    bindings: &mut BTreeSet<Binding>,
) -> Result<()> {
    let mut waiting: Vec<u16> = inspectors
        .iter()
        .map(|inspector| inspector.channel)
        .collect();
    for inspector in inspectors.iter_mut() {
        inspector.empty = 0;
        inspector.ask_count(wire)?;
    }
    let deadline = Instant::now() + PATIENCE;
    while !waiting.is_empty() {
        if Instant::now() > deadline {
            for channel in waiting {
                let name = &inspectors[usize::from(channel) - 1].queue.name;
                let what = format!("{name} has letters that it does not deliver");
                ledger.fault(Kind::Trouble, what);
            }
            return Err(End::Silent);
        }
        let Some((channel, heard)) = wire.hear(PATIENCE)? else {
            return Err(End::Silent);
        };
        let inspector = &mut inspectors[usize::from(channel) - 1];
        match heard {
            Heard::Message(message) => inspector.receive(&message, ledger, bindings),
            Heard::Method(method) => match method.name {
                "basic.consume-ok" => {}
                "queue.declare-ok" => {
                    let is_empty = method.number("message-count") == 0;
                    inspector.empty = if is_empty { inspector.empty + 1 } else { 0 };
                    if inspector.empty == EMPTY_ENOUGH {
                        waiting.retain(|at| *at != channel);
                    } else {
                        inspector.ask_count(wire)?;
                    }
                }
                _ => panic!("an inspector hears {method:?}"),
            },
        }
    }
    Ok(())
}

/// No inspector gets anything any more: what one gives back may go to the queue of another.
fn stop(
    wire: &mut Wire,
    inspectors: &mut [Inspector],
    ledger: &Ledger,
    bindings: &mut BTreeSet<Binding>,
) -> Result<()> {
    for inspector in inspectors.iter() {
        let cancel = method!("basic.cancel", consumer_tag: TAG);
        wire.send(inspector.channel, &cancel)?;
    }
    let mut stopped = 0;
    while stopped < inspectors.len() {
        match wire.hear(PATIENCE)? {
            Some((channel, Heard::Message(message))) => {
                let inspector = &mut inspectors[usize::from(channel) - 1];
                inspector.receive(&message, ledger, bindings);
            }
            Some((_, Heard::Method(method))) if method.name == "basic.cancel-ok" => stopped += 1,
            Some(other) => panic!("an inspector hears {other:?}"),
            None => return Err(End::Silent),
        }
    }
    Ok(())
}

impl Inspector {
    fn begin(
        wire: &mut Wire,
        channel: u16,
        queue: &Arc<QueueInfo>,
        ledger: &Ledger,
        look: u64,
    ) -> Result<Self> {
        wire.open_channel(channel)?;
        let passive = method!("queue.declare", queue: &queue.name, passive: true);
        let ready = wire.call(channel, &passive)?.number("message-count");
        Ok(Inspector {
            queue: Arc::clone(queue),
            id: ConsumerId(ledger.new_id()),
            channel,
            look,
            ready,
            letters: Vec::new(),
            probes: Vec::new(),
            empty: 0,
        })
    }

    fn consume(&self, wire: &Wire, ledger: &Ledger) -> Result<()> {
        ledger.note(What::Asked {
            consumer: self.id,
            inspects: true,
        });
        let consume = method!("basic.consume", queue: &self.queue.name, consumer_tag: TAG);
        wire.send(self.channel, &consume)
    }

    fn ask_count(&self, wire: &Wire) -> Result<()> {
        let passive = method!("queue.declare", queue: &self.queue.name, passive: true);
        wire.send(self.channel, &passive)
    }

    fn receive(&mut self, message: &Message, ledger: &Ledger, bindings: &mut BTreeSet<Binding>) {
        let tag = message.tag();
        if let Some(id) = consumer::note(ledger, self.id, &self.queue, message) {
            self.letters.push((tag, id));
            return;
        }
        self.probes.push(tag);
        let Some(Arg::Text(text)) = message.properties.get("message-id") else {
            return;
        };
        let text = String::from_utf8_lossy(text);
        let look = self.look.to_string();
        let ours = text
            .split_once(' ')
            .filter(|(number, _)| *number == look)
            .and_then(|(_, binding)| binding.split_once(' '));
        if let Some((exchange, key)) = ours {
            // It may have expired where it came to.
            let queue = match message.headers().get("x-first-death-queue") {
                Some(Value::Text(queue)) => String::from_utf8_lossy(queue).into_owned(),
                _ => self.queue.name.clone(),
            };
            let binding = Binding {
                exchange: exchange.to_string(),
                queue,
                key: key.to_string(),
            };
            if !bindings.insert(binding) {
                let what = format!("a probe came twice to {}: {text}", self.queue.name);
                ledger.fault(Kind::Twice, what);
            }
        }
    }

    /// Where letters do not come and go, as many came as were ready before.
    fn count(&self, ledger: &Ledger) {
        if self.queue.moving {
            return;
        }
        let ready = self.ready.saturating_sub(self.probes.len() as u64);
        ledger.note(What::Counted {
            consumer: self.id,
            queue: self.queue.id,
            ready,
        });
    }

    fn settle(&mut self, wire: &mut Wire, ledger: &Ledger, random: &mut Random) -> Result<()> {
        for tag in &self.probes {
            wire.send(self.channel, &method!("basic.ack", delivery_tag: *tag))?;
        }
        let consumer = self.id;
        let ack = |acked: &[(u64, u64)], multiple: bool| -> Result<()> {
            let Some((tag, _)) = acked.last() else {
                return Ok(());
            };
            let ids = acked.iter().map(|(_, id)| *id).collect();
            let how = Settling::Ack;
            ledger.note(What::Settled { consumer, ids, how });
            let ack = method!("basic.ack", delivery_tag: *tag, multiple: multiple);
            wire.send(self.channel, &ack)
        };
        match random.below(4) {
            0 => ack(&self.letters, true)?,
            1 => {
                for letter in &self.letters {
                    ack(std::slice::from_ref(letter), false)?;
                }
            }
            2 => {
                for letter in &self.letters {
                    if random.chance(50) {
                        ack(std::slice::from_ref(letter), false)?;
                    }
                }
            }
            _ => {}
        }
        let before = ledger.now();
        wire.call(self.channel, &method!("basic.qos"))?;
        ledger.note(What::Processed { consumer, before });
        ledger.note(What::Released(consumer));
        let bye = method!("channel.close", reply_code: 200, reply_text: "bye");
        wire.call(self.channel, &bye).map(|_| ())
    }
}
