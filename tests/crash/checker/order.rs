//! The order in which one consumer gets the letters of one queue.

use std::collections::HashMap;

use super::Delivery;
use super::lineage::Lineage;
use crate::ledger::Kind;
use crate::plan::Rule;

/// What a consumer has got so far.
#[derive(Default)]
pub struct Line {
    /// The last of each publisher and priority.
    last: HashMap<(u64, u8), u64>,
    /// Of each priority, when the latest one was published, and which it is.
    latest: HashMap<u8, (u64, u64)>,
    priority: Option<u8>,
}

impl Line {
    /// The next one that should be in order.
    pub fn add(
        &mut self,
        lineage: &Lineage,
        band: u8,
        delivery: &Delivery,
        wrong: &mut Vec<(Kind, String)>,
    ) {
        let letter = &lineage.letter;
        let name = &delivery.queue.name;
        let rule = delivery.queue.rule;
        if rule == Rule::None {
            return;
        }
        if let Some(last) = self
            .last
            .insert((letter.publisher, band), letter.number)
            .filter(|last| *last > letter.number)
        {
            let what = format!("in {name} after number {last}: {letter:?}");
            wrong.push((Kind::Order, what));
        }
        if rule != Rule::All {
            return;
        }
        let latest = self.latest.entry(band).or_default();
        if let Some((confirmed, _)) = lineage.confirmed.filter(|(order, _)| *order < latest.0) {
            let what = format!(
                "in {name} after {:x}, which was published at {}, when this was confirmed, at \
                 {confirmed}: {letter:?}",
                latest.1, latest.0
            );
            wrong.push((Kind::Order, what));
        }
        if lineage.published > latest.0 {
            *latest = (lineage.published, letter.id);
        }
    }

    /// Where everything was ready before the first was asked for, priorities fall.
    pub fn add_priority(&mut self, delivery: &Delivery, wrong: &mut Vec<(Kind, String)>) {
        let band = delivery.queue.band(&delivery.letter);
        if let Some(before) = self.priority.replace(band).filter(|before| *before < band) {
            let what = format!(
                "in {} after one of priority {before}: {:?}",
                delivery.queue.name, delivery.letter
            );
            wrong.push((Kind::Priority, what));
        }
    }
}
