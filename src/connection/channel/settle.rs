//! Acknowledgements: basic.ack, nack, reject and recover.
//!
//! In: delivery tags. Out: each queue is told once, for all of a read's acknowledgements of one
//! kind, as ranges where they can be, and in the same call which consumers have room again.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Channel;
use super::delivery::{Deliveries, State};
use super::read_batch::Gathering;
use super::unacked::Unsettled;
use crate::amqp::method::basic;
use crate::amqp::reply::{Exception, ReplyCode};
use crate::broker::queue::{Cause, ConsumerId};
use crate::broker::{Effects, Queue};

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done with.
    #[default]
    Acked,
    /// It goes back.
    Returned(Cause),
    /// It is dead-lettered or dropped.
    Rejected,
}

/// Deliveries with one outcome, on the way to their queues.
#[derive(Debug, Default)]
pub(super) struct Settling {
    pub outcome: Outcome,
    pub deliveries: Vec<Unsettled>,
    ranges: Vec<(u64, u64)>,
    returned: Vec<u64>,
}

impl Channel {
    pub(super) fn ack(
        &mut self,
        ack: basic::Ack,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        self.settle(ack.delivery_tag, ack.multiple, Outcome::Acked, batch)
    }

    pub(super) fn nack(
        &mut self,
        nack: basic::Nack,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        self.settle(
            nack.delivery_tag,
            nack.multiple,
            given_up(nack.requeue, Cause::Nacked),
            batch,
        )
    }

    pub(super) fn reject(
        &mut self,
        reject: basic::Reject,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        let outcome = given_up(reject.requeue, Cause::Rejected);
        self.settle(reject.delivery_tag, false, outcome, batch)
    }

    /// basic.recover and recover-async: everything unsettled goes back, after the answer.
    pub(super) fn recover(
        &mut self,
        requeue: bool,
        is_answered: bool,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        if !requeue {
            return Err(Exception::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        self.reply_unless(!is_answered, basic::RecoverOk);
        let mut settling = Settling::new(Outcome::Returned(Cause::Recovered));
        self.deliveries
            .lock()
            .unacked
            .take_all(|delivery| settling.deliveries.push(delivery));
        settling.settle(&self.deliveries, &mut batch.effects);
        Ok(())
    }

    /// Tells the queues of what was settled so far.
    pub(super) fn settle_gathered(&mut self, batch: &mut Gathering<'_>) {
        if !batch.settling.deliveries.is_empty() {
            if batch.settling.outcome == Outcome::Acked {
                let acknowledged = batch.settling.deliveries.len() as u64;
                self.shared
                    .broker
                    .metrics()
                    .messages_acknowledged
                    .add(acknowledged);
            }
            batch.settling.settle(&self.deliveries, &mut batch.effects);
        }
    }

    fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        outcome: Outcome,
        batch: &mut Gathering<'_>,
    ) -> Result<(), Exception> {
        if let Some(transaction) = &mut self.transaction {
            return transaction.settle(outcome, |taken| {
                take(&mut self.deliveries.lock(), tag, multiple, taken)
            });
        }
        if batch.settling.outcome != outcome {
            self.settle_gathered(batch);
            batch.settling.outcome = outcome;
        }
        take(
            &mut self.deliveries.lock(),
            tag,
            multiple,
            &mut batch.settling.deliveries,
        )
    }
}

fn given_up(requeue: bool, cause: Cause) -> Outcome {
    if requeue {
        Outcome::Returned(cause)
    } else {
        Outcome::Rejected
    }
}

/// Takes deliveries out of the unsettled ones: the one with that tag, or, if `multiple`, all up to
/// it, where tag 0 means all there are.
fn take(
    state: &mut State,
    tag: u64,
    multiple: bool,
    taken: &mut Vec<Unsettled>,
) -> Result<(), Exception> {
    let unacked = &mut state.unacked;
    let known = match (tag, multiple) {
        (_, false) => unacked
            .take(tag)
            .map(|delivery| taken.push(delivery))
            .is_some(),
        (0, true) => {
            unacked.take_all(|delivery| taken.push(delivery));
            true
        }
        (_, true) => unacked.take_up_to(tag, |delivery| taken.push(delivery)),
    };
    if known {
        return Ok(());
    }
    Err(Exception::new(
        ReplyCode::PreconditionFailed,
        format!("unknown delivery tag {tag}"),
    ))
}

/// What one slot's queue is to be told.
struct Portion {
    queue: Arc<Queue>,
    resume: Option<ConsumerId>,
    /// How many of the deliveries, which are sorted by slot.
    count: usize,
}

/// Whom to tell of what was settled.
struct Freed {
    portions: SmallVec<[Portion; 4]>,
    /// Consumers of other slots, which waited for the channel's prefetch.
    others: Resumable,
}

/// Consumers that have room again.
pub(super) type Resumable = Vec<(Arc<Queue>, ConsumerId)>;

impl Settling {
    /// Nothing yet, with that outcome.
    pub fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            ..Self::default()
        }
    }

    /// Tells the queues, and resumes consumers that got room by it. Leaves nothing behind but
    /// room for the next time.
    pub fn settle(&mut self, channel: &Deliveries, effects: &mut Effects) {
        let Freed { portions, others } = self.sort_and_free_room(channel);
        self.tell_all(&portions, effects);
        Queue::resume_all(&others, effects);
    }

    /// Tells the queues, and says which consumers got room by it: the caller resumes them.
    pub fn settle_without_resuming(
        &mut self,
        channel: &Deliveries,
        effects: &mut Effects,
    ) -> Resumable {
        let Freed {
            mut portions,
            mut others,
        } = self.sort_and_free_room(channel);
        for portion in &mut portions {
            let resume = portion.resume.take();
            others.extend(resume.map(|consumer| (Arc::clone(&portion.queue), consumer)));
        }
        self.tell_all(&portions, effects);
        others
    }

    fn sort_and_free_room(&mut self, channel: &Deliveries) -> Freed {
        let key = |delivery: &Unsettled| (delivery.slot, delivery.sequence);
        if !self.deliveries.is_sorted_by_key(key) {
            self.deliveries.sort_unstable_by_key(key);
        }
        let freed = self.free_room(&mut channel.lock());
        // What took too long is in its queue again, which is not told once more.
        self.deliveries.retain(|delivery| !delivery.is_given_back());
        freed
    }

    fn tell_all(&mut self, portions: &[Portion], effects: &mut Effects) {
        let deliveries = std::mem::take(&mut self.deliveries);
        match self.outcome {
            Outcome::Returned(cause) => {
                self.give_back(cause, portions, &deliveries, effects);
            }
            Outcome::Acked | Outcome::Rejected => {
                let mut rest = deliveries.as_slice();
                for portion in portions {
                    let Some((deliveries, after)) = rest.split_at_checked(portion.count) else {
                        break;
                    };
                    rest = after;
                    self.tell(portion, deliveries, effects);
                }
            }
        }
        self.deliveries = deliveries;
        self.deliveries.clear();
    }

    /// Each queue gets back all of its own at once, whichever consumer had it: so nobody is dealt a
    /// later one before an earlier one.
    fn give_back(
        &mut self,
        cause: Cause,
        portions: &[Portion],
        deliveries: &[Unsettled],
        effects: &mut Effects,
    ) {
        let mut rest = deliveries;
        let mut parts: SmallVec<[(&Portion, &[Unsettled]); 4]> = SmallVec::new();
        for portion in portions {
            let Some((own, after)) = rest.split_at_checked(portion.count) else {
                break;
            };
            rest = after;
            parts.push((portion, own));
        }
        parts.sort_by_key(|(portion, _)| portion.queue.id());
        for parts in parts.chunk_by(|(one, _), (next, _)| one.queue.id() == next.queue.id()) {
            let Some((Portion { queue, .. }, _)) = parts.first() else {
                continue;
            };
            self.returned.clear();
            let deliveries = parts.iter().flat_map(|(_, deliveries)| *deliveries);
            self.returned
                .extend(deliveries.map(|delivery| delivery.sequence));
            if parts.len() > 1 {
                self.returned.sort_unstable();
            }
            let resume = parts.iter().filter_map(|(portion, _)| portion.resume);
            let resume: SmallVec<[ConsumerId; 4]> = resume.collect();
            queue.requeue(&self.returned, cause, &resume, effects);
        }
    }

    /// Gives prefetch back for what is settled; finds out whom to tell and who may go on.
    fn free_room(&self, state: &mut State) -> Freed {
        let runs = || self.deliveries.chunk_by(|one, next| one.slot == next.slot);
        for run in runs() {
            if let Some(delivery) = run.first() {
                state.settled(delivery.slot, run.len());
            }
        }
        let portions = runs().filter_map(|run| {
            let slot = run.first()?.slot;
            let queue = Arc::clone(&state.slots.get_mut(slot)?.queue);
            let resume = state.take_resumable(slot);
            state.slots.free_if_done(slot);
            let count = run.iter().filter(|delivery| !delivery.is_given_back());
            Some(Portion {
                queue,
                resume,
                count: count.count(),
            })
        });
        let portions = portions.collect();
        Freed {
            portions,
            others: state.take_waiting_for_channel(),
        }
    }

    /// One consumer's, which are acked or rejected.
    fn tell(&mut self, portion: &Portion, deliveries: &[Unsettled], effects: &mut Effects) {
        let Portion { queue, resume, .. } = portion;
        if self.outcome == Outcome::Acked {
            self.ranges.clear();
            for delivery in deliveries {
                match self.ranges.last_mut() {
                    Some((_, last)) if *last + 1 == delivery.sequence => *last = delivery.sequence,
                    _ => self.ranges.push((delivery.sequence, delivery.sequence)),
                }
            }
            queue.ack(&self.ranges, resume.as_slice(), effects);
            return;
        }
        self.returned.clear();
        self.returned
            .extend(deliveries.iter().map(|delivery| delivery.sequence));
        queue.reject(&self.returned, resume.as_slice(), effects);
    }
}
