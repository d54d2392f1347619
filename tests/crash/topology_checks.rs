//! What the broker shows after a restart is compared with what it was asked for.

use crate::support::table;
use crate::topology::{Binding, Change, ExchangeSpec, Known, QueueSpec, Shown};

fn exchange(name: &str, durable: bool) -> Change {
    let kind = "direct";
    Change::Exchange(name.to_string(), ExchangeSpec { kind, durable })
}

fn queue(name: &str, durable: bool) -> Change {
    let arguments = table! {};
    Change::Queue(name.to_string(), QueueSpec { durable, arguments })
}

fn binding(exchange: &str, queue: &str) -> Binding {
    Binding {
        exchange: exchange.to_string(),
        queue: queue.to_string(),
        key: "key".to_string(),
    }
}

fn known(answered: Vec<Change>, asked: Vec<Change>) -> Known {
    let mut known = Known::default();
    for change in &answered {
        known.answered.apply(change);
    }
    known.asked.extend(asked);
    known
}

fn shown(exchanges: &[&str], queues: &[&str], bindings: &[(&str, &str)]) -> Shown {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    Shown {
        exchanges: names(exchanges),
        queues: names(queues),
        bindings: bindings
            .iter()
            .map(|(exchange, queue)| binding(exchange, queue))
            .collect(),
    }
}

#[test]
fn durable_topology_is_there_and_nothing_else() {
    let declared = vec![
        exchange("x", true),
        exchange("fleeting", false),
        queue("q", true),
        queue("fleeting", false),
        Change::Bind(binding("x", "q")),
        Change::Bind(binding("x", "fleeting")),
        Change::Bind(binding("fleeting", "q")),
    ];
    let fits = |shown: &Shown| known(declared.clone(), vec![]).settle(shown).is_some();
    assert!(fits(&shown(&["x"], &["q"], &[("x", "q")])));
    assert!(!fits(&shown(&["x"], &["q"], &[])));
    assert!(!fits(&shown(&[], &["q"], &[])));
    assert!(!fits(&shown(&["x"], &[], &[])));
    assert!(!fits(&shown(&["x"], &["fleeting", "q"], &[("x", "q")])));
    let other = [("x", "fleeting"), ("x", "q")];
    assert!(!fits(&shown(&["x"], &["q"], &other)));
}

#[test]
fn what_was_not_answered_was_done_in_order() {
    let asked = vec![
        queue("q", true),
        Change::Bind(binding("x", "q")),
        Change::DropQueue("q".to_string()),
    ];
    let left = |shown: &Shown| {
        let mut known = known(vec![exchange("x", true)], asked.clone());
        known.settle(shown).map(|left| left.len())
    };
    assert_eq!(left(&shown(&["x"], &[], &[])), Some(3));
    assert_eq!(left(&shown(&["x"], &["q"], &[])), Some(2));
    assert_eq!(left(&shown(&["x"], &["q"], &[("x", "q")])), Some(1));
    assert_eq!(left(&shown(&[], &["q"], &[])), None);
    assert_eq!(left(&shown(&["x"], &[], &[("x", "q")])), None);
}

#[test]
fn what_was_deleted_takes_its_bindings_along() {
    let declared = vec![
        exchange("x", true),
        queue("q", true),
        Change::Bind(binding("x", "q")),
        Change::DropQueue("q".to_string()),
        queue("q", true),
    ];
    let fits = |shown: &Shown| known(declared.clone(), vec![]).settle(shown).is_some();
    assert!(fits(&shown(&["x"], &["q"], &[])));
    assert!(!fits(&shown(&["x"], &["q"], &[("x", "q")])));
}
