//! One letter in one chain of queues: where it may be, and what became of it.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{Delivery, SLACK_MS};
use crate::ledger::{ConsumerId, Kind, Settling};
use crate::letter::Letter;
use crate::plan::{QueueInfo, Role};

/// Why a letter can never come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It was acked, and that is on the disk.
    Acked,
    Purged,
    /// With its queue.
    Deleted,
    /// It was transient, and the broker started again.
    Transient,
    /// It was looked for after a restart and was not there (and need not have been).
    Missing,
    /// It should have been there; that was said.
    Lost,
}

/// Where it is with one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It may be ready there.
    Possible,
    /// A consumer has it.
    Held(ConsumerId),
    /// A consumer acked it, or everything was purged; once that was processed it says when.
    Ending {
        purged: bool,
        order: u64,
        processed: Option<u64>,
    },
    /// A consumer rejected it.
    Rejected { order: u64, processed: Option<u64> },
    /// It left for the queue of dead letters.
    Left,
}

/// Whether a delivery has to say that it is not the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// Nobody can have had it.
    Unset,
    Either,
    Set,
}

#[derive(Clone, Debug)]
struct Place {
    hold: Hold,
    flag: Flag,
    /// What the flag will be after a restart.
    durable_flag: Flag,
    /// The last delivery in this life.
    delivered: Option<u64>,
    /// When it was given back last in this life.
    returned: Option<u64>,
}

/// What happened to it, for whoever has to find out why.
#[derive(Clone, Copy, Debug)]
pub enum Note {
    Published,
    Confirmed,
    Delivered { at: usize, redelivered: bool },
    Settled { at: usize, how: Settling },
    Processed,
    Purging,
    Purged,
    Killed,
    Inspected,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Lineage {
    pub letter: Arc<Letter>,
    /// The life it was published in.
    pub life: u32,
    /// When it was published.
    pub published: u64,
    published_ms: u64,
    /// When the confirm came, by order and by the clock.
    pub confirmed: Option<(u64, u64)>,
    /// The broker had it by then, by the clock.
    taken_ms: Option<u64>,
    /// It was seen after a restart, so it is on the disk.
    certain: bool,
    /// Whether it survives a restart at all.
    persistent: bool,
    /// It may have been settled before a kill; nobody knows.
    pub doubt: bool,
    /// Somebody got and acked it while the broker was stopping, and then another one wrote down that
    /// it had got it: before that, or after.
    ended_by_heir: bool,
    /// When it was first seen among the dead letters in this life.
    moved: Option<u64>,
    /// That it left its source is on the disk.
    left_for_good: bool,
    pub gone: Option<Gone>,
    places: [Place; 2],
    notes: Vec<(u64, u32, Note)>,
}

impl Lineage {
    pub fn new(
        letter: &Arc<Letter>,
        life: u32,
        order: u64,
        at_ms: u64,
        queues: &[Arc<QueueInfo>],
    ) -> Self {
        let place = |at: usize| {
            let may_be = |queue: &Arc<QueueInfo>| queue.consumed || queue.drops;
            let flag = if queues.get(at).is_some_and(may_be) {
                Flag::Either
            } else {
                Flag::Unset
            };
            Place {
                hold: Hold::Possible,
                flag,
                durable_flag: flag,
                delivered: None,
                returned: None,
            }
        };
        Lineage {
            letter: Arc::clone(letter),
            life,
            published: order,
            published_ms: at_ms,
            confirmed: None,
            taken_ms: None,
            certain: false,
            persistent: letter.persistent || queues.iter().any(|queue| queue.keeps_transient),
            doubt: false,
            ended_by_heir: false,
            moved: None,
            left_for_good: false,
            gone: None,
            places: [place(0), place(1)],
            notes: vec![(order, life, Note::Published)],
        }
    }

    pub fn note(&mut self, order: u64, life: u32, note: Note) {
        self.notes.push((order, life, note));
    }

    /// Whether it was promised to be in the chain until somebody settles it.
    pub fn is_promised(&self, life: u32) -> bool {
        let kept = self.persistent || self.life == life;
        (self.certain || self.confirmed.is_some()) && kept && !self.doubt
    }

    /// Whether somebody acked or purged it, in this life.
    pub fn is_ending(&self) -> bool {
        let ending = |place: &Place| matches!(place.hold, Hold::Ending { .. });
        self.places.iter().any(ending)
    }

    /// Whether it has to be in the chain.
    pub fn must_be(&self, life: u32) -> bool {
        self.is_promised(life) && !self.is_ending()
    }

    /// Whether a consumer has it, from whichever queue.
    pub fn is_held(&self) -> bool {
        let held = |place: &Place| matches!(place.hold, Hold::Held(_));
        self.places.iter().any(held)
    }

    fn time_to_live_ms(&self, queue: &QueueInfo) -> Option<u64> {
        let both = [queue.ttl_ms, self.letter.expiration_ms];
        both.into_iter().flatten().min()
    }

    /// Whether it must have expired by then, if it was ready in that queue.
    pub fn is_past_deadline(&self, queue: &QueueInfo, at_ms: u64) -> bool {
        if queue.role != Role::Source {
            return false;
        }
        let taken_ms = self.confirmed.map(|(_, at_ms)| at_ms).or(self.taken_ms);
        match (self.time_to_live_ms(queue), taken_ms) {
            (Some(ttl_ms), Some(taken_ms)) => at_ms > taken_ms + ttl_ms + SLACK_MS,
            _ => false,
        }
    }

    pub fn deliver(
        &mut self,
        delivery: &Delivery,
        at: usize,
        life: u32,
        wrong: &mut Vec<(Kind, String)>,
    ) {
        let Delivery {
            order,
            consumer,
            ref queue,
            ref letter,
            redelivered,
            ..
        } = *delivery;
        let name = &queue.name;
        self.note(order, life, Note::Delivered { at, redelivered });
        let mut complain = |kind, what: String| wrong.push((kind, what));
        if *letter != *self.letter {
            let what = format!("in {name}: {letter:?} instead of {:?}", self.letter);
            complain(Kind::Corrupt, what);
        }
        let is_ring = matches!(queue.role, Role::Work | Role::Wait);
        let other = &self.places[1 - at];
        match self.places[at].hold {
            Hold::Possible => {}
            Hold::Held(_) => {
                let what = format!("while somebody has it already, from {name}: {letter:?}");
                complain(Kind::Twice, what);
            }
            Hold::Ending { purged, .. } => {
                let done = if purged { "purged" } else { "acked" };
                complain(
                    Kind::CameBack,
                    format!("{done}, again in {name}: {letter:?}"),
                );
            }
            Hold::Rejected { .. } | Hold::Left if is_ring => {}
            Hold::Rejected { .. } => {
                let what = format!("rejected, again in {name}: {letter:?}");
                complain(Kind::CameBack, what);
            }
            Hold::Left => {
                let what = format!("in {name} after it left for the dead letters: {letter:?}");
                complain(Kind::InBoth, what);
            }
        }
        match other.hold {
            Hold::Held(_) => {
                let what = format!("in {name} and in the other queue of its chain: {letter:?}");
                complain(Kind::InBoth, what);
            }
            Hold::Ending { .. } => {
                let what = format!("acked in the other queue, now in {name}: {letter:?}");
                complain(Kind::CameBack, what);
            }
            _ => {}
        }
        if queue.role == Role::Dead {
            self.check_expired_early(delivery, &mut complain);
        }
        if !is_ring {
            self.check_flag(at, name, redelivered, &mut complain);
        }
        if self.life < life {
            self.certain = true;
            self.doubt = false;
        }
        let place = &mut self.places[at];
        place.hold = Hold::Held(consumer);
        place.delivered = Some(order);
        if at == 1 {
            self.moved.get_or_insert(order);
            let source = &mut self.places[0];
            if !matches!(source.hold, Hold::Held(_)) {
                source.hold = Hold::Left;
            }
        } else if is_ring {
            self.places[1].hold = Hold::Possible;
        }
    }

    fn check_flag(
        &self,
        at: usize,
        name: &str,
        redelivered: bool,
        complain: &mut impl FnMut(Kind, String),
    ) {
        match (self.places[at].flag, redelivered) {
            (Flag::Set, false) => {
                let kind = if self.places[at].returned.is_some() {
                    Kind::NotRedelivered
                } else {
                    Kind::ForgotDelivery
                };
                let what = format!("from {name}, delivered before: {:?}", self.letter);
                complain(kind, what);
            }
            (Flag::Unset, true) => {
                let what = format!("from {name}, never delivered before: {:?}", self.letter);
                complain(Kind::NeverDelivered, what);
            }
            _ => {}
        }
    }

    /// Only a letter that could not have been rejected or thrown out shows when it expired.
    fn check_expired_early(&self, delivery: &Delivery, complain: &mut impl FnMut(Kind, String)) {
        let only_expires = delivery
            .queue
            .dead_from
            .as_ref()
            .is_some_and(|from| from.reasons == ["expired"]);
        let Some(ttl_ms) = self.time_to_live_ms(&delivery.queue) else {
            return;
        };
        if only_expires && delivery.at_ms + SLACK_MS < self.published_ms + ttl_ms {
            let early_ms = self.published_ms + ttl_ms - delivery.at_ms;
            let what = format!("{early_ms} ms too early: {:?}", self.letter);
            complain(Kind::TooEarly, what);
        }
    }

    pub fn settle(&mut self, order: u64, life: u32, at: usize, how: Settling) {
        self.note(order, life, Note::Settled { at, how });
        let place = &mut self.places[at];
        let processed = None;
        match how {
            Settling::Ack => {
                place.hold = Hold::Ending {
                    purged: false,
                    order,
                    processed,
                };
            }
            Settling::Reject => place.hold = Hold::Rejected { order, processed },
            Settling::Requeue => {
                place.hold = Hold::Possible;
                place.flag = Flag::Set;
                place.returned = Some(order);
            }
        }
    }

    /// Since then consumers lose their connections, one after the other, before somebody writes down
    /// that it got this: what they held, or settled without knowing that it was processed, may have
    /// gone to others. Or it went to others before, and the one who got it first is the last to write
    /// that down, when those have settled it for good.
    pub fn lose_holders(&mut self, since: u64) {
        let moved = self.moved.is_some_and(|moved| moved >= since);
        for place in &mut self.places {
            // Who got it earlier was no heir: whatever comes now came after that in truth.
            let inherited = place.delivered.is_some_and(|at| at >= since);
            match place.hold {
                Hold::Held(_) => place.hold = Hold::Possible,
                Hold::Ending { processed, .. } if inherited || processed.is_none() => {
                    self.ended_by_heir |= inherited;
                    place.hold = Hold::Possible;
                }
                Hold::Rejected { processed, .. } if inherited || processed.is_none() => {
                    place.hold = Hold::Possible;
                }
                Hold::Left if moved => place.hold = Hold::Possible,
                _ => {}
            }
            if place.returned.is_some_and(|at| at >= since) {
                place.flag = place.flag.min(Flag::Either);
            }
        }
    }

    /// What a consumer said at `settled` has been processed by now. Another one may have got the
    /// letter meanwhile: what that one said is not known to be processed.
    pub fn processed(&mut self, now: u64, life: u32, at: usize, settled: u64) {
        self.note(now, life, Note::Processed);
        match &mut self.places[at].hold {
            Hold::Ending {
                order, processed, ..
            }
            | Hold::Rejected { order, processed }
                if *order == settled =>
            {
                processed.get_or_insert(now);
            }
            _ => {}
        }
    }

    pub fn purge(&mut self, order: u64, life: u32) {
        self.note(order, life, Note::Purging);
        if self.places[0].hold == Hold::Possible {
            self.places[0].hold = Hold::Ending {
                purged: true,
                order,
                processed: None,
            };
        }
    }

    /// When that was asked for.
    pub fn is_being_purged(&self) -> Option<u64> {
        match self.places[0].hold {
            Hold::Ending {
                purged: true,
                processed: None,
                order,
            } => Some(order),
            _ => None,
        }
    }

    pub fn purged(&mut self, now: u64, life: u32) {
        if let Some(asked) = self.is_being_purged() {
            self.note(now, life, Note::Purged);
            self.processed(now, life, 0, asked);
        }
    }

    /// The broker was killed: what it had done by the horizon stays done.
    pub fn killed(&mut self, horizon: u64, life: u32, at_ms: u64, is_ring: bool) {
        self.note(horizon, life, Note::Killed);
        self.taken_ms.get_or_insert(at_ms);
        if !self.persistent {
            self.gone = Some(Gone::Transient);
            return;
        }
        let is_durable = |processed: Option<u64>| processed.is_some_and(|at| at < horizon);
        self.doubt |= std::mem::take(&mut self.ended_by_heir);
        if self.moved.take().is_some_and(|moved| moved < horizon) {
            self.left_for_good = !is_ring;
        }
        for place in &mut self.places {
            if is_durable(place.delivered) {
                place.durable_flag = Flag::Set;
            } else if place.delivered.is_some() && place.durable_flag == Flag::Unset {
                place.durable_flag = Flag::Either;
            }
            place.flag = place.durable_flag;
            place.delivered = None;
            place.returned = None;
            match place.hold {
                Hold::Ending {
                    purged, processed, ..
                } if is_durable(processed) => {
                    self.gone = Some(if purged { Gone::Purged } else { Gone::Acked });
                }
                Hold::Ending { .. } => {
                    self.doubt = true;
                    place.hold = Hold::Possible;
                }
                Hold::Rejected { processed, .. } if is_durable(processed) && !is_ring => {
                    self.left_for_good = true;
                }
                // It was there before, and what took it away may be undone.
                _ => place.hold = Hold::Possible,
            }
        }
        if self.left_for_good {
            self.places[0].hold = Hold::Left;
        }
    }

    pub fn history(&self, queues: &[Arc<QueueInfo>]) -> String {
        let mut out = String::new();
        let name = |at: usize| queues.get(at).map_or("?", |queue| queue.name.as_str());
        for (order, life, note) in &self.notes {
            let _ = write!(out, "life {life}, {order}: ");
            let _ = match note {
                Note::Delivered { at, redelivered } => {
                    writeln!(
                        out,
                        "delivered from {} redelivered={redelivered}",
                        name(*at)
                    )
                }
                Note::Settled { at, how } => writeln!(out, "{how:?} to {}", name(*at)),
                other => writeln!(out, "{other:?}"),
            };
        }
        out
    }
}
