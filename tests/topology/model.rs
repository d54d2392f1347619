//! Whole topologies against a model that keeps lists: exchanges that lead to each other, alternate
//! and auto-delete ones, queues that come and go; after each step every route is compared.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const EXCHANGES: [&str; 4] = ["x0", "x1", "x2", "x3"];
const QUEUES: [&str; 3] = ["q0", "q1", "q2"];
const KEYS: [&str; 3] = ["a", "b", "a.b"];
const PATTERNS: [&str; 5] = ["a", "b", "a.b", "#", "*"];
const KINDS: [&str; 3] = ["direct", "fanout", "topic"];

#[derive(Clone, Debug)]
enum Step {
    DeclareExchange {
        name: usize,
        kind: usize,
        auto_delete: bool,
        alternate: Option<usize>,
    },
    DeleteExchange {
        name: usize,
        if_unused: bool,
    },
    DeclareQueue(usize),
    DeleteQueue(usize),
    Bind {
        from: usize,
        to: End,
        key: usize,
    },
    Unbind {
        from: usize,
        to: End,
        key: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Queue(usize),
    Exchange(usize),
}

#[derive(Clone)]
struct ModelExchange {
    kind: usize,
    auto_delete: bool,
    alternate: Option<usize>,
}

#[derive(Default)]
struct Model {
    exchanges: BTreeMap<usize, ModelExchange>,
    queues: BTreeSet<usize>,
    bindings: BTreeSet<(usize, End, usize)>,
}

impl Model {
    fn has(&self, end: End) -> bool {
        match end {
            End::Queue(queue) => self.queues.contains(&queue),
            End::Exchange(exchange) => self.exchanges.contains_key(&exchange),
        }
    }

    fn is_source(&self, exchange: usize) -> bool {
        self.bindings.iter().any(|(from, _, _)| *from == exchange)
    }

    /// Takes out these bindings, and auto-delete exchanges without bindings with them.
    fn unbind(&mut self, which: impl Fn(&(usize, End, usize)) -> bool) {
        let gone: Vec<_> = self.bindings.iter().copied().filter(which).collect();
        for binding in &gone {
            self.bindings.remove(binding);
        }
        for (from, _, _) in gone {
            let goes = self
                .exchanges
                .get(&from)
                .is_some_and(|exchange| exchange.auto_delete);
            if goes && !self.is_source(from) {
                self.delete_exchange(from);
            }
        }
    }

    fn delete_exchange(&mut self, exchange: usize) {
        self.exchanges.remove(&exchange);
        self.bindings.retain(|(from, _, _)| *from != exchange);
        self.unbind(|(_, to, _)| *to == End::Exchange(exchange));
    }

    fn route(&self, exchange: usize, key: &str) -> Option<BTreeSet<String>> {
        let mut waiting = vec![exchange];
        let mut seen = BTreeSet::new();
        let mut queues = BTreeSet::new();
        self.exchanges.get(&exchange)?;
        while let Some(exchange) = waiting.pop() {
            let Some(here) = self.exchanges.get(&exchange) else {
                continue;
            };
            if !seen.insert(exchange) {
                continue;
            }
            let mut is_matched = false;
            for (_, to, pattern) in self
                .bindings
                .iter()
                .filter(|(from, _, _)| *from == exchange)
            {
                let pattern = PATTERNS[*pattern];
                let matches = match KINDS[here.kind] {
                    "direct" => pattern == key,
                    "fanout" => true,
                    _ => pattern == "#" || pattern == key || (pattern == "*" && !key.contains('.')),
                };
                if !matches {
                    continue;
                }
                is_matched = true;
                match to {
                    End::Queue(queue) => drop(queues.insert(QUEUES[*queue].to_owned())),
                    End::Exchange(exchange) => waiting.push(*exchange),
                }
            }
            if !is_matched {
                waiting.extend(here.alternate);
            }
        }
        Some(queues)
    }
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        (0..QUEUES.len()).prop_map(End::Queue),
        (0..EXCHANGES.len()).prop_map(End::Exchange)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let exchange = || 0..EXCHANGES.len();
    let alternate = prop::option::weighted(0.4, exchange());
    let binding = || (exchange(), end(), 0..PATTERNS.len());
    prop_oneof![
        3 => (exchange(), 0..KINDS.len(), any::<bool>(), alternate).prop_map(
            |(name, kind, auto_delete, alternate)| Step::DeclareExchange { name, kind, auto_delete, alternate }
        ),
        1 => (exchange(), any::<bool>()).prop_map(|(name, if_unused)| Step::DeleteExchange { name, if_unused }),
        3 => (0..QUEUES.len()).prop_map(Step::DeclareQueue),
        1 => (0..QUEUES.len()).prop_map(Step::DeleteQueue),
        8 => binding().prop_map(|(from, to, key)| Step::Bind { from, to, key }),
        4 => binding().prop_map(|(from, to, key)| Step::Unbind { from, to, key }),
    ]
}

/// Takes a step on both sides and compares whether it was refused.
fn take(step: &Step, vhost: &Arc<Vhost>, model: &mut Model) -> Result<(), TestCaseError> {
    let none = FieldTable::new;
    match *step {
        Step::DeclareExchange {
            name,
            kind,
            auto_delete,
            alternate,
        } => {
            if model.exchanges.contains_key(&name) {
                return Ok(());
            }
            let mut declare = exchange(EXCHANGES[name], KINDS[kind]);
            declare.auto_delete = auto_delete;
            if let Some(alternate) = alternate {
                declare
                    .arguments
                    .push("alternate-exchange", EXCHANGES[alternate]);
            }
            vhost.declare_exchange(declare).expect("declared");
            model.exchanges.insert(
                name,
                ModelExchange {
                    kind,
                    auto_delete,
                    alternate,
                },
            );
        }
        Step::DeleteExchange { name, if_unused } => {
            let deleted = vhost.delete_exchange(EXCHANGES[name], if_unused);
            let is_refused = if_unused && model.is_source(name);
            prop_assert_eq!(deleted.is_err(), is_refused);
            if !is_refused {
                model.delete_exchange(name);
            }
        }
        Step::DeclareQueue(name) => {
            declare(vhost, QUEUES[name]);
            model.queues.insert(name);
        }
        Step::DeleteQueue(name) => {
            delete(vhost, QUEUES[name]).expect("deleted");
            model.queues.remove(&name);
            model.unbind(|(_, to, _)| *to == End::Queue(name));
        }
        Step::Bind { from, to, key } => {
            let (source, pattern) = (EXCHANGES[from], PATTERNS[key]);
            let bound = match to {
                End::Queue(queue) => vhost.bind_queue(QUEUES[queue], source, pattern, none(), ME),
                End::Exchange(to) => vhost.bind_exchange(EXCHANGES[to], source, pattern, none()),
            };
            let is_possible = model.has(End::Exchange(from)) && model.has(to);
            prop_assert_eq!(bound.is_ok(), is_possible);
            if is_possible {
                model.bindings.insert((from, to, key));
            }
        }
        Step::Unbind { from, to, key } => {
            let (source, pattern) = (EXCHANGES[from], PATTERNS[key]);
            let unbound = match to {
                End::Queue(queue) => vhost.unbind_queue(QUEUES[queue], source, pattern, none(), ME),
                End::Exchange(to) => vhost.unbind_exchange(EXCHANGES[to], source, pattern, none()),
            };
            prop_assert!(unbound.is_ok());
            model.unbind(|binding| *binding == (from, to, key));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn routes_as_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let vhost = vhost();
        let mut model = Model::default();
        // What a cache would hold: it must stay right until the epoch changes.
        let mut remembered: BTreeMap<(usize, &str), (u64, BTreeSet<String>)> = BTreeMap::new();
        for step in &steps {
            take(step, &vhost, &mut model)?;
            prop_assert_eq!(vhost.bindings().len(), model.bindings.len());
            for (number, exchange) in EXCHANGES.iter().enumerate() {
                prop_assert_eq!(vhost.has_exchange(exchange), model.exchanges.contains_key(&number));
                for key in KEYS {
                    let expected = model.route(number, key);
                    let epoch = vhost.epoch();
                    let route = vhost.route(exchange, key, &PLAIN, false);
                    prop_assert_eq!(route.is_ok(), expected.is_some());
                    let Ok(route) = route else { continue };
                    let found = routed(&vhost, exchange, key);
                    prop_assert_eq!(Some(&found), expected.as_ref());
                    if let Some((old_epoch, old)) = remembered.get(&(number, key))
                        && *old_epoch == epoch
                    {
                        prop_assert_eq!(old, &found, "what was remembered still holds");
                    }
                    if route.cacheable {
                        remembered.insert((number, key), (epoch, found));
                    }
                }
            }
        }
    }
}
