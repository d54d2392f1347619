//! Exchanges, queues and bindings: what is there as far as clients know, and what the broker shows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::ledger::{Kind, Ledger};
use crate::support::{Method, Properties, Table, method, properties, table};
use crate::wire::{End, Heard, PATIENCE, Result, Wire};

/// Probes and declares go over this channel.
const CHANNEL: u16 = 1;

/// How a probe is told from a letter.
pub const PROBE: &str = "probe";

/// What stands for the key of a binding to a fanout exchange, and only there.
pub const FANOUT_KEY: &str = "all";

#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeSpec {
    pub kind: &'static str,
    pub durable: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct QueueSpec {
    pub durable: bool,
    pub arguments: Table,
}

/// A queue bound to an exchange. What the key is on the wire depends on the exchange's type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    pub exchange: String,
    pub queue: String,
    pub key: String,
}

/// What a client may change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Exchange(String, ExchangeSpec),
    DropExchange(String),
    Queue(String, QueueSpec),
    DropQueue(String),
    Bind(Binding),
    Unbind(Binding),
    /// Changes no topology.
    Purge(String),
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    pub exchanges: BTreeMap<String, ExchangeSpec>,
    pub queues: BTreeMap<String, QueueSpec>,
    pub bindings: BTreeSet<Binding>,
}

/// What there is for certain, and what the broker was asked for and has not answered.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub answered: Topology,
    pub asked: VecDeque<Change>,
}

/// Everything that may be there after a restart, by name.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub exchanges: BTreeSet<String>,
    pub queues: BTreeSet<String>,
    pub keys: BTreeSet<String>,
}

/// What the broker shows before its queues are read.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub exchanges: BTreeSet<String>,
    pub queues: BTreeSet<String>,
    /// Found by the probes.
    pub bindings: BTreeSet<Binding>,
}

impl Topology {
    pub fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Exchange(name, spec) => drop(self.exchanges.insert(name, spec)),
            Change::DropExchange(name) => {
                self.exchanges.remove(&name);
                self.bindings.retain(|binding| binding.exchange != name);
            }
            Change::Queue(name, spec) => drop(self.queues.insert(name, spec)),
            Change::DropQueue(name) => {
                self.queues.remove(&name);
                self.bindings.retain(|binding| binding.queue != name);
            }
            Change::Bind(binding) => drop(self.bindings.insert(binding)),
            Change::Unbind(binding) => drop(self.bindings.remove(&binding)),
            Change::Purge(_) => {}
        }
    }

    /// What is left of it after a restart.
    pub fn restarted(&self) -> Topology {
        let mut left = self.clone();
        left.exchanges.retain(|_, spec| spec.durable);
        left.queues.retain(|_, spec| spec.durable);
        let Topology {
            exchanges,
            queues,
            bindings,
        } = &mut left;
        bindings.retain(|binding| {
            exchanges.contains_key(&binding.exchange) && queues.contains_key(&binding.queue)
        });
        left
    }

    fn is_shown_by(&self, shown: &Shown) -> bool {
        self.exchanges.keys().eq(&shown.exchanges)
            && self.queues.keys().eq(&shown.queues)
            && self.bindings == shown.bindings
    }

    /// The request for a change.
    pub fn request(&self, change: &Change) -> Method {
        match change {
            Change::Exchange(name, spec) => method!("exchange.declare",
                exchange: name, type: spec.kind, durable: spec.durable),
            Change::DropExchange(name) => method!("exchange.delete", exchange: name),
            Change::Queue(name, spec) => method!("queue.declare",
                queue: name, durable: spec.durable, arguments: spec.arguments.clone()),
            Change::DropQueue(name) => method!("queue.delete", queue: name),
            Change::Bind(binding) => self.binding_request("queue.bind", binding),
            Change::Unbind(binding) => self.binding_request("queue.unbind", binding),
            Change::Purge(name) => method!("queue.purge", queue: name),
        }
    }

    fn binding_request(&self, name: &str, binding: &Binding) -> Method {
        let method = Method::new(name)
            .with("queue", &binding.queue)
            .with("exchange", &binding.exchange);
        match self.exchanges.get(&binding.exchange).map(|spec| spec.kind) {
            Some("topic") => method.with("routing_key", format!("{}.#", binding.key)),
            Some("headers") => method.with(
                "arguments",
                table! { "x-match" => "all", "key" => binding.key.as_str() },
            ),
            _ => method.with("routing_key", &binding.key),
        }
    }
}

impl Known {
    /// After a restart: of what was asked for, how much was done? Changes are done in order, so it
    /// is one of these. Forgets what was asked; says what was not done. None if nothing fits.
    pub fn settle(&mut self, shown: &Shown) -> Option<Vec<Change>> {
        let mut topology = self.answered.clone();
        for done in 0..=self.asked.len() {
            if topology.restarted().is_shown_by(shown) {
                self.answered = topology.restarted();
                return Some(self.asked.drain(..).skip(done).collect());
            }
            if let Some(change) = self.asked.get(done) {
                topology.apply(change);
            }
        }
        None
    }

    /// Takes what is shown for true, so that the test can go on after it complained.
    pub fn give_in(&mut self, shown: &Shown) {
        let mut topology = self.hoped();
        topology.exchanges.extend(self.answered.exchanges.clone());
        topology.queues.extend(self.answered.queues.clone());
        self.asked.clear();
        topology
            .exchanges
            .retain(|name, _| shown.exchanges.contains(name));
        topology
            .queues
            .retain(|name, _| shown.queues.contains(name));
        topology.bindings.clone_from(&shown.bindings);
        self.answered = topology;
    }

    /// What there will be once everything is answered.
    pub fn hoped(&self) -> Topology {
        let mut hoped = self.answered.clone();
        self.asked.iter().for_each(|change| hoped.apply(change));
        hoped
    }

    /// The types of all exchanges that may be there. An exchange of a name always has one type.
    fn kinds(&self) -> BTreeMap<String, &'static str> {
        let asked = self.asked.iter().filter_map(|change| match change {
            Change::Exchange(name, spec) => Some((name, spec)),
            _ => None,
        });
        let all = self.answered.exchanges.iter().chain(asked);
        all.map(|(name, spec)| (name.clone(), spec.kind)).collect()
    }

    pub fn names(&self) -> Names {
        let mut all = self.answered.clone();
        let mut names = Names::default();
        names.take(&all);
        for change in &self.asked {
            all.apply(change);
            names.take(&all);
        }
        names
    }
}

impl Names {
    fn take(&mut self, topology: &Topology) {
        self.exchanges.extend(topology.exchanges.keys().cloned());
        self.queues.extend(topology.queues.keys().cloned());
        let keys = topology.bindings.iter().map(|binding| binding.key.clone());
        self.keys.extend(keys);
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.queues, self.exchanges)?;
        self.bindings.iter().try_for_each(|binding| {
            let Binding {
                exchange,
                queue,
                key,
            } = binding;
            write!(f, " {exchange}-{key}-{queue}")
        })
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |topology: &Topology| Shown {
            exchanges: topology.exchanges.keys().cloned().collect(),
            queues: topology.queues.keys().cloned().collect(),
            bindings: topology.bindings.clone(),
        };
        write!(
            f,
            "{}, of which durable {}",
            shown(&self.answered),
            shown(&self.answered.restarted())
        )?;
        write!(f, ", asked for {:?}", self.asked)
    }
}

/// Sees which of these there are. With `probes`, every exchange is sent one message for each key,
/// which then waits in the queues that are bound; the number is that of the look, and in each of
/// them.
pub fn look(wire: &mut Wire, known: &Known, names: &Names, probes: Option<u64>) -> Result<Shown> {
    let mut shown = Shown::default();
    for name in &names.queues {
        let passive = method!("queue.declare", queue: name, passive: true);
        if is_there(wire, &passive)? {
            shown.queues.insert(name.clone());
        }
    }
    for name in &names.exchanges {
        let passive = method!("exchange.declare", exchange: name, passive: true);
        if is_there(wire, &passive)? {
            shown.exchanges.insert(name.clone());
        }
    }
    if let Some(number) = probes {
        let kinds = known.kinds();
        let pairs = shown
            .exchanges
            .iter()
            .flat_map(|exchange| names.keys.iter().map(move |key| (exchange, key)))
            .filter(|(exchange, key)| {
                (kinds[exchange.as_str()] == "fanout") == (*key == FANOUT_KEY)
            })
            .map(|(exchange, key)| probe(number, kinds[exchange.as_str()], exchange, key));
        send_probes(wire, pairs)?;
    }
    Ok(shown)
}

/// The request and properties of a message that such a binding takes.
fn probe(look: u64, kind: &str, exchange: &str, key: &str) -> (Method, Properties) {
    let mut properties = properties!(type: PROBE, message_id: format!("{look} {exchange} {key}"));
    let publish = method!("basic.publish", exchange: exchange);
    let key = match kind {
        "topic" => format!("{key}.probe"),
        "headers" => {
            properties = properties.with("headers", table! { "key" => key });
            String::new()
        }
        _ => key.to_string(),
    };
    (publish.with("routing_key", key), properties)
}

/// Publishes these, and waits until all are in their queues.
fn send_probes(wire: &mut Wire, probes: impl Iterator<Item = (Method, Properties)>) -> Result<()> {
    // A channel of its own, since confirms stay on for as long as a channel lives.
    let channel = CHANNEL + 1;
    wire.open_channel(channel)?;
    wire.call(channel, &method!("confirm.select"))?;
    let mut sent = 0;
    for (publish, properties) in probes {
        wire.publish(channel, &publish, &properties, b"")?;
        sent += 1;
    }
    let (mut confirmed, mut single) = (0, 0);
    while confirmed + single < sent {
        match wire.hear(PATIENCE)? {
            Some((_, Heard::Method(ack))) if ack.name == "basic.ack" => {
                if ack.bit("multiple") {
                    (confirmed, single) = (ack.number("delivery-tag"), 0);
                } else {
                    single += 1;
                }
            }
            Some(other) => panic!("instead of a confirm: {other:?}"),
            None => return Err(End::Silent),
        }
    }
    let bye = method!("channel.close", reply_code: 200, reply_text: "bye");
    wire.call(channel, &bye).map(|_| ())
}

fn is_there(wire: &mut Wire, passive: &Method) -> Result<bool> {
    Ok(refusal(wire, passive)? != Some(404))
}

/// The code with which the channel was closed for a request, if it was; it is opened again.
fn refusal(wire: &mut Wire, request: &Method) -> Result<Option<u64>> {
    match wire.call(CHANNEL, request) {
        Ok(_) => Ok(None),
        Err(End::Closed(close)) if close.name == "channel.close" => {
            wire.open_channel(CHANNEL)?;
            Ok(Some(close.number("reply-code")))
        }
        Err(end) => Err(end),
    }
}

/// Declares everything again that is there: it must be as it was declared. `otherwise` declares
/// each differently, which must be refused.
pub fn check_specs(
    wire: &mut Wire,
    topology: &Topology,
    ledger: &Ledger,
    otherwise: bool,
) -> Result<()> {
    let requests = topology
        .queues
        .iter()
        .map(|(name, spec)| Change::Queue(name.clone(), spec.clone()))
        .chain(
            topology
                .exchanges
                .iter()
                .map(|(name, spec)| Change::Exchange(name.clone(), spec.clone())),
        );
    for change in requests {
        let request = topology.request(&change);
        if let Some(code) = refusal(wire, &request)? {
            let what = format!("declared again as it was and refused with {code}: {change:?}");
            ledger.fault(Kind::Topology, what);
        }
        if !otherwise {
            continue;
        }
        let different = match &change {
            Change::Queue(name, spec) => {
                let mut spec = spec.clone();
                spec.arguments.0.retain(|(key, _)| key != "x-max-length");
                let limit = ("x-max-length".to_string(), 77_777_i32.into());
                spec.arguments.0.push(limit);
                topology.request(&Change::Queue(name.clone(), spec))
            }
            Change::Exchange(name, spec) => {
                let kind = if spec.kind == "fanout" {
                    "direct"
                } else {
                    "fanout"
                };
                let spec = ExchangeSpec {
                    kind,
                    ..spec.clone()
                };
                topology.request(&Change::Exchange(name.clone(), spec))
            }
            _ => continue,
        };
        if refusal(wire, &different)? != Some(406) {
            let what = format!("declared differently and not refused: {change:?}");
            ledger.fault(Kind::Topology, what);
        }
    }
    Ok(())
}
