//! Streams: published to with confirms, read while that goes on, and read whole after each kill.
//!
//! Offsets make this simpler than queues are: what was confirmed is there once, each publisher's messages
//! are in their order, an offset that anybody has seen means the same message for ever, and whoever reads
//! passes nothing over that is there. Only what nobody was promised may be missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use crate::ledger::{Kind, Ledger};
use crate::support::{
    Message, Method, Properties, Random, Table, Value, method, properties, table,
};
use crate::wire::{End, Heard, Mouth, PATIENCE, Result, Wire};

const CHANNEL: u16 = 1;
/// So many messages a reader takes before it acknowledges.
const PREFETCH: u16 = 200;
/// A stream holds so many messages at most before it is deleted and another takes its place: reading it
/// whole is to stay quick.
const MANY: usize = 30_000;

/// A stream as the clients know it.
pub struct Stream {
    name: &'static str,
    segment_bytes: i64,
    life: Mutex<Life>,
}

/// What is known of a stream since it was declared.
#[derive(Default)]
struct Life {
    is_declared: bool,
    /// By id: its publisher and its number there.
    published: HashMap<u64, (u64, u64)>,
    confirmed: HashSet<u64>,
    /// By offset, what anybody has seen there.
    seen: BTreeMap<u64, u64>,
    /// What each reader has seen since the broker was started, in order.
    read: Vec<Vec<u64>>,
}

impl Life {
    /// What must not be so, if this is there, by offset.
    fn wrong(&self, there: &BTreeMap<u64, u64>) -> Vec<(Kind, String)> {
        let mut wrong = Vec::new();
        let mut ids = HashSet::new();
        let mut last_numbers: HashMap<u64, u64> = HashMap::new();
        for (offset, id) in there {
            if !ids.insert(*id) {
                let what = format!("{id} is there twice, once at {offset}");
                wrong.push((Kind::Twice, what));
            }
            let Some((publisher, number)) = self.published.get(id) else {
                let what = format!("{id} at {offset} was never published");
                wrong.push((Kind::Stranger, what));
                continue;
            };
            let last = last_numbers.insert(*publisher, *number);
            if last.is_some_and(|last| last > *number) {
                let what = format!("publisher {publisher}: {number} at {offset}, behind {last:?}");
                wrong.push((Kind::Order, what));
            }
        }
        for id in self.confirmed.difference(&ids) {
            wrong.push((Kind::Lost, format!("{id} was confirmed")));
        }
        for (offset, id) in &self.seen {
            let now = there.get(offset);
            if now != Some(id) {
                let what = format!("{id} was seen at {offset}, where is {now:?}");
                wrong.push((Kind::Lost, what));
            }
        }
        for offsets in &self.read {
            let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
                continue;
            };
            let offsets: HashSet<&u64> = offsets.iter().collect();
            let mut within = there.range(first..=last).map(|(offset, _)| offset);
            if let Some(missed) = within.find(|offset| !offsets.contains(offset)) {
                let what = format!("a reader from {first} to {last} was not shown {missed}");
                wrong.push((Kind::Order, what));
            }
        }
        wrong
    }
}

/// What came from a stream.
struct Seen {
    offset: u64,
    id: u64,
}

fn body_of(id: u64) -> Vec<u8> {
    let mut random = Random(id);
    let bytes = match random.below(20) {
        0 => random.below(64 << 10),
        _ => random.below(500),
    };
    let mut body = id.to_be_bytes().to_vec();
    body.resize(8 + bytes, id as u8);
    body
}

fn seen(message: &Message) -> Option<Seen> {
    let offset = match message.headers().get("x-stream-offset") {
        Some(Value::I64(offset)) => u64::try_from(*offset).ok()?,
        _ => return None,
    };
    let id = u64::from_be_bytes(*message.body.first_chunk()?);
    (message.body == body_of(id)).then_some(Seen { offset, id })
}

impl Stream {
    /// Those that are there all the time: one whose segments are small, one whose are usual.
    pub fn all() -> Vec<Self> {
        let stream = |name, segment_bytes| Self {
            name,
            segment_bytes,
            life: Mutex::default(),
        };
        vec![
            stream("stream.short", 300_000),
            stream("stream.long", 500_000_000),
        ]
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.life.lock().expect("no panic under this lock")
    }

    fn declare(&self) -> Method {
        let arguments = table! {
            "x-queue-type" => "stream",
            "x-stream-max-segment-size-bytes" => self.segment_bytes,
        };
        method!("queue.declare", queue: self.name, durable: true, arguments: arguments)
    }

    fn read(&self, wire: &mut Wire, from: Value) -> Result<()> {
        wire.open_channel(CHANNEL)?;
        wire.call(CHANNEL, &method!("basic.qos", prefetch_count: PREFETCH))?;
        let arguments = Table(vec![("x-stream-offset".into(), from)]);
        let consume = method!("basic.consume", queue: self.name, arguments: arguments);
        wire.send(CHANNEL, &consume)
    }

    /// After a start: it is there, with all that was promised. Then it may be deleted, for another one.
    pub fn look(&self, address: SocketAddr, ledger: &Ledger) -> Result<()> {
        let mut wire = Wire::open(address)?;
        let is_declared = self.life().is_declared;
        if is_declared {
            self.check(&mut Wire::open(address)?, ledger)?;
        }
        wire.open_channel(CHANNEL)?;
        if self.life().seen.len() > MANY {
            wire.call(CHANNEL, &method!("queue.delete", queue: self.name))?;
            *self.life() = Life::default();
        }
        wire.call(CHANNEL, &self.declare())?;
        self.life().is_declared = true;
        wire.close()
    }

    /// Reads all of it and holds it against what is known.
    fn check(&self, wire: &mut Wire, ledger: &Ledger) -> Result<()> {
        let there = self.read_whole(wire, ledger)?;
        let mut life = self.life();
        for (kind, what) in life.wrong(&there) {
            ledger.fault(kind, format!("{}: {what}", self.name));
        }
        life.read.clear();
        life.seen = there;
        Ok(())
    }

    /// All of it, by offset, as somebody sees who begins at the first message.
    fn read_whole(&self, wire: &mut Wire, ledger: &Ledger) -> Result<BTreeMap<u64, u64>> {
        self.read(wire, Value::from("first"))?;
        let passive = method!("queue.declare", queue: self.name, passive: true);
        let mut there = BTreeMap::new();
        let mut last = None;
        let mut ready = None;
        wire.send(CHANNEL, &passive)?;
        while ready.is_none_or(|ready| (there.len() as u64) < ready) {
            match wire.hear(PATIENCE)? {
                Some((_, Heard::Message(message))) => {
                    self.take(wire, &message, &mut last, ledger, |seen| {
                        there.insert(seen.offset, seen.id);
                    })?;
                }
                Some((_, Heard::Method(method))) if method.name == "queue.declare-ok" => {
                    ready = Some(method.number("message-count"));
                }
                Some(_) => {}
                None => {
                    let what = format!("{} shows {} of {ready:?}", self.name, there.len());
                    ledger.fault(Kind::Count, what);
                    return Err(End::Silent);
                }
            }
        }
        Ok(there)
    }

    /// Takes a message, which must come behind the last one.
    fn take(
        &self,
        wire: &Wire,
        message: &Message,
        last: &mut Option<u64>,
        ledger: &Ledger,
        note: impl FnOnce(Seen),
    ) -> Result<()> {
        match seen(message) {
            None => ledger.fault(Kind::Corrupt, format!("{}: {message:?}", self.name)),
            Some(seen) => {
                let before = last.replace(seen.offset);
                if before.is_some_and(|before| before >= seen.offset) {
                    let what = format!("{}: {} comes after {before:?}", self.name, seen.offset);
                    ledger.fault(Kind::Order, what);
                }
                note(seen);
            }
        }
        let ack = method!("basic.ack", delivery_tag: message.tag(), multiple: true);
        wire.send(CHANNEL, &ack)
    }

    /// Reads from somewhere on until the broker is gone.
    pub fn follow(&self, address: SocketAddr, ledger: &Ledger, mut random: Random) -> End {
        let reader = {
            let mut life = self.life();
            life.read.push(Vec::new());
            life.read.len() - 1
        };
        let mut run = || -> Result<()> {
            let mut wire = Wire::open(address)?;
            let newest = self.life().seen.keys().next_back().copied().unwrap_or(0);
            let from = match random.below(4) {
                0 => Value::from("first"),
                1 => Value::from("next"),
                2 => Value::from("last"),
                _ => Value::I64(random.below(newest as usize + 1) as i64),
            };
            self.read(&mut wire, from)?;
            let mut last = None;
            loop {
                if let Some((_, Heard::Message(message))) = wire.hear(PATIENCE)? {
                    self.take(&wire, &message, &mut last, ledger, |seen| {
                        let mut life = self.life();
                        let before = life.seen.insert(seen.offset, seen.id);
                        if before.is_some_and(|before| before != seen.id) {
                            let what = format!("{} at {} was {before:?}", seen.id, seen.offset);
                            ledger.fault(Kind::Stranger, format!("{}: {what}", self.name));
                        }
                        life.read[reader].push(seen.offset);
                    })?;
                }
            }
        };
        match run() {
            Ok(()) => End::Silent,
            Err(end) => end,
        }
    }

    /// Publishes with confirms until the broker is gone.
    pub fn publish(&self, address: SocketAddr, ledger: &Ledger, mut random: Random) -> End {
        let connected = Wire::open_publishing(address, CHANNEL, &method!("confirm.select"));
        let (mut wire, mouth) = match connected {
            Ok(connected) => connected,
            Err(end) => return end,
        };
        let (publisher, ids) = (ledger.new_id(), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            let (ids, sender) = (&ids, Random(random.next()));
            scope.spawn(move || self.send_all(&mouth, publisher, ids, ledger, sender));
            let mut confirmed = 0;
            loop {
                match wire.hear(PATIENCE) {
                    Ok(Some((_, Heard::Method(answer)))) if answer.name == "basic.ack" => {
                        let ids = ids.lock().expect("no panic under this lock");
                        let tag = answer.number("delivery-tag") as usize;
                        let from = match answer.bit("multiple") {
                            true => confirmed,
                            false => tag - 1,
                        };
                        confirmed = tag;
                        self.life().confirmed.extend(&ids[from.min(tag)..tag]);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return End::Silent,
                    Err(end) => return end,
                }
            }
        })
    }

    fn send_all(
        &self,
        mouth: &Mouth,
        publisher: u64,
        ids: &Mutex<Vec<u64>>,
        ledger: &Ledger,
        mut random: Random,
    ) {
        let publish = method!("basic.publish", exchange: "", routing_key: self.name);
        let persistent: Properties = properties!(delivery_mode: 2);
        for number in 0.. {
            let id = ledger.new_id();
            self.life().published.insert(id, (publisher, number));
            ids.lock().expect("no panic under this lock").push(id);
            if mouth
                .publish(CHANNEL, &publish, &persistent, &body_of(id))
                .is_err()
            {
                return;
            }
            // Not to wait for anything: so that bursts come at all sorts of moments.
            if random.below(30) == 0 {
                std::thread::sleep(Duration::from_micros(random.below(4_000) as u64));
            }
        }
    }
}

/// What nobody must miss.
#[cfg(test)]
mod tests {
    use super::*;

    /// Three messages of one publisher, all confirmed and seen by a reader.
    fn life() -> (Life, BTreeMap<u64, u64>) {
        let there = BTreeMap::from([(4, 70), (5, 71), (9, 72)]);
        let life = Life {
            is_declared: true,
            published: HashMap::from([(70, (1, 0)), (71, (1, 1)), (72, (1, 2)), (73, (2, 0))]),
            confirmed: HashSet::from([70, 71, 72]),
            seen: there.clone(),
            read: vec![vec![4, 5, 9], Vec::new()],
        };
        (life, there)
    }

    #[track_caller]
    fn is_wrong(life: &Life, there: &BTreeMap<u64, u64>, kinds: &[Kind]) {
        let wrong = life.wrong(there);
        let found: HashSet<Kind> = wrong.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(found, kinds.iter().copied().collect(), "{wrong:?}");
    }

    #[test]
    fn a_whole_stream_is_right() {
        let (life, mut there) = life();
        is_wrong(&life, &there, &[]);
        there.insert(10, 73);
        is_wrong(&life, &there, &[]);
    }

    #[test]
    fn each_fault_is_found() {
        let (life, whole) = life();
        let with = |offset, id| {
            let mut there = whole.clone();
            there.insert(offset, id);
            there
        };
        let mut there = whole.clone();
        there.remove(&5);
        is_wrong(&life, &there, &[Kind::Lost]);
        is_wrong(&life, &with(10, 71), &[Kind::Twice, Kind::Order]);
        is_wrong(&life, &with(10, 99), &[Kind::Stranger]);
        is_wrong(&life, &with(7, 73), &[Kind::Order]);
        is_wrong(&life, &with(5, 73), &[Kind::Lost]);
        let swapped = BTreeMap::from([(4, 71), (5, 70), (9, 72)]);
        is_wrong(&life, &swapped, &[Kind::Lost, Kind::Order]);
    }
}
